//! `qft completions`: a script for a shell, and `qft __complete`, which the script asks at each Tab.
//!
//! The scripts know nothing of qft but its name, so they need no renewal when options change. What is due, and which
//! words can stand there, is told here by clap's definitions, the lists in the home and, behind `box:`, the remote.
//! Files of this machine are left to each shell, whose users have their own ways with them.
//!
//! | file | noun |
//! |---|---|
//! | `line` | a command line of bash, which gives it as it was typed |
//! | `due` | what the line wants at the cursor |
//! | `candidates` | the words that can stand there |
//! | `listing` | names on a remote |
//! | `qft.bash`, `qft.zsh`, `qft.fish` | the scripts |

mod candidates;
mod due;
mod line;
mod listing;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};

use self::candidates::{Candidate, Completions, Native, answer};
use self::due::typed;
use self::line::quoted;
use crate::cli::args::{Cli, CompleteArgs, CompletionsArgs, Shell};
use crate::cli::exit::Exit;
use crate::cli::run::standard;

/// The last characters of words that can go on: no blank is added after them.
const GOES_ON: &[u8] = b"/:=";

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    standard::output().write_all(script(args.shell)).context("writing to standard output")?;
    Ok(Exit::Done)
}

pub(crate) fn complete(args: &CompleteArgs) -> Exit {
    let mut root = Cli::command();
    root.build();
    let text = match args.shell {
        Shell::Bash => for_bash(&root, &args.words),
        Shell::Zsh => for_zsh(&of_words(&root, &args.words)),
        Shell::Fish => for_fish(&of_words(&root, &args.words)),
    };
    // The shell may have given up.
    drop(standard::output().write_all(&text));
    Exit::Done
}

/// The shells that are driven by a test, each with a script of its own.
fn script(shell: Shell) -> &'static [u8] {
    match shell {
        Shell::Bash => include_bytes!("qft.bash"),
        Shell::Zsh => include_bytes!("qft.zsh"),
        Shell::Fish => include_bytes!("qft.fish"),
    }
}

/// The answer to the words behind the program's name, the last of which the cursor is in.
fn of_words(root: &Command, words: &[OsString]) -> Completions {
    let (current, before) = words.split_last().map_or((OsString::new(), words), |(last, all)| (last.clone(), all));
    answer(root, &typed(root, before, current))
}

/// For bash: how the shell goes on, then a word a line. `words` are the line up to the cursor and the part of the word
/// that bash will replace, both as they were typed.
fn for_bash(root: &Command, words: &[OsString]) -> Vec<u8> {
    let [line, replaced] = words else { return Vec::new() };
    let line = line::read(line.as_bytes());
    let Some((_, before)) = line.words.split_first().filter(|_| !line.is_the_shells) else { return b"files\n".into() };
    let begun = line.current.clone();
    let Completions { native, mut candidates } = answer(root, &typed(root, before, line.current));
    candidates.retain(|candidate| candidate.text.starts_with(begun.as_bytes()));
    // bash completes files by itself only where it has got no word.
    if let (Native::Files(_), false) = (native, candidates.is_empty()) {
        candidates.extend(files_here(&begun));
    }
    let mut text = match (native, candidates.as_slice()) {
        (Native::Files(_), []) => b"files\n".to_vec(),
        (Native::Dirs(_), []) => b"dirs\n".to_vec(),
        (_, [only]) if GOES_ON.iter().any(|end| only.text.ends_with(&[*end])) => b"nospace\n".to_vec(),
        _ => b"none\n".to_vec(),
    };
    for candidate in &candidates {
        text.extend_from_slice(replaced.as_bytes());
        text.extend_from_slice(&quoted(&candidate.text[begun.len()..], line.quote));
        text.push(b'\n');
    }
    text
}

/// Files of this machine, beside other words.
fn files_here(begun: &OsStr) -> Vec<Candidate> {
    let begun = begun.as_bytes();
    let (dir, name) = begun.split_at(begun.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
    let entries = std::fs::read_dir(OsStr::from_bytes(if dir.is_empty() { b"." } else { dir }));
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten().flatten() {
        let own = entry.file_name();
        let is_hidden = own.as_bytes().starts_with(b".") && !name.starts_with(b".");
        // An option, where it stands alone.
        let is_option = dir.is_empty() && own.as_bytes().starts_with(b"-");
        if !own.as_bytes().starts_with(name) || is_hidden || is_option {
            continue;
        }
        let end: &[u8] = if entry.path().is_dir() { b"/" } else { b"" };
        found.push(Candidate { text: [dir, own.as_bytes(), end].concat(), about: String::new() });
    }
    found
}

/// How the shell goes on: with which files of its own, from which byte of the word on.
fn native_words(native: Native) -> String {
    match native {
        Native::Nothing => "none 0".to_owned(),
        Native::Files(start) => format!("files {start}"),
        Native::Dirs(start) => format!("dirs {start}"),
    }
}

/// For zsh: texts that end with NUL, words and what is said about them in turn.
fn for_zsh(answer: &Completions) -> Vec<u8> {
    let mut text = native_words(answer.native).into_bytes();
    for candidate in &answer.candidates {
        for part in [&candidate.text, candidate.about.as_bytes()] {
            text.push(0);
            text.extend_from_slice(part);
        }
    }
    text
}

/// For fish: a word a line, a tab, what is said about it. A name with either in it cannot be told to fish.
fn for_fish(answer: &Completions) -> Vec<u8> {
    let mut text = native_words(answer.native).into_bytes();
    text.push(b'\n');
    for candidate in answer.candidates.iter().filter(|it| !it.text.iter().any(|byte| b"\n\t".contains(byte))) {
        text.extend_from_slice(&candidate.text);
        if !candidate.about.is_empty() {
            text.push(b'\t');
            text.extend_from_slice(candidate.about.as_bytes());
        }
        text.push(b'\n');
    }
    text
}

/// The same command without what its help does not show.
pub(crate) fn visible(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        shown = shown.after_long_help(help.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned();
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(visible);
    shown.args(args).subcommands(inner).disable_help_subcommand(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Command {
        let mut root = Cli::command();
        root.build();
        root
    }

    /// The answer to bash.
    fn bash(line: &str, replaced: &str) -> Vec<String> {
        let text = for_bash(&root(), &[line.into(), replaced.into()]);
        String::from_utf8(text).expect("plain text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_help_hides_is_left_out() {
        let command = visible(&Cli::command());
        let send = command.find_subcommand("send").expect("it is there");
        assert!(send.get_arguments().all(|arg| !arg.is_hide_set()));
        assert!(send.get_arguments().any(|arg| arg.get_long() == Some("jobs")));
        assert!(!send.get_arguments().any(|arg| arg.get_short() == Some('z')));
    }

    #[test]
    fn bash_is_answered_with_what_it_replaces_and_the_rest() {
        assert_eq!(bash("qft se", "se"), ["none", "send", "serve", "service"]);
        assert_eq!(bash("qft send --if-ex", "--if-ex"), ["none", "--if-exists"]);
        assert_eq!(bash("qft send --if-exists=re", "re"), ["none", "replace", "rename"]);
        assert_eq!(bash("qft send --progress ", ""), ["none", "auto", "bar", "plain", "none"]);
        assert_eq!(bash("qft send --jobs ", ""), ["none"]);
        assert_eq!(bash("qft send ", ""), ["files"], "and no option");
        assert_eq!(bash("qft serve ", ""), ["dirs"]);
        assert_eq!(bash("qft get \"$x", "$x"), ["files"], "bash knows what that is");
        assert_eq!(bash("qft id > o", "o"), ["files"]);
        assert_eq!(bash("qft id ", ""), ["none"]);
    }

    #[test]
    fn options_that_were_given_are_not_offered_again_unless_they_may_be() {
        let offered = bash("qft send --dry-run --exclude x --", "--");
        assert!(!offered.contains(&"--dry-run".to_owned()), "{offered:?}");
        assert!(offered.contains(&"--exclude".to_owned()) && offered.contains(&"--to".to_owned()), "{offered:?}");
        assert!(!offered.contains(&"--delete".to_owned()), "hidden");
    }

    #[test]
    fn a_local_remote_is_a_directory_of_this_machine() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(of_words(&root(), &words("send f local:")).native, Native::Dirs(6));
        assert_eq!(of_words(&root(), &words("get local:x")).native, Native::Files(6));
        assert_eq!(of_words(&root(), &words("send f --to=local:x")).native, Native::Dirs(11));
        assert_eq!(of_words(&root(), &words("serve --token-file=x")).native, Native::Files(13));
    }
}
