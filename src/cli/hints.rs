//! What users of other tools type, and what it is called here. A tip of clap's own is a word that is spelt alike, which
//! is seldom what was meant; these are said instead.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;

/// Options, the commands they were typed behind (empty: any), and what to say.
const OPTIONS: &[(&[&str], &[&str], &str)] = &[
    (&["--dest", "--destination", "--target"], &["send"], "the destination comes last, REMOTE:[PATH], or behind --to"),
    (
        &["--dest", "--destination", "--target", "--output-dir"],
        &["get"],
        "the directory comes last, or behind --output",
    ),
    (&["--src", "--source"], &["get"], "the remote comes first, REMOTE:PATH, or behind --from"),
    (
        &["-u", "--update"],
        TRANSFERS,
        "files that differ replace older ones; to leave all that exists: --if-exists skip",
    ),
    (&["--existing"], TRANSFERS, "there is no such choice; --if-exists says what happens to what exists"),
    (&["-f", "--force", "--overwrite", "--clobber"], TRANSFERS, "that is the default: --if-exists replace"),
    (&["-b", "--backup"], TRANSFERS, "--if-exists rename keeps the old file, and gives the new one another name"),
    (
        &["--follow", "--dereference", "--follow-symlinks"],
        TRANSFERS,
        "send -L sends what links lead to; --links copies them as links",
    ),
    (
        &["-i", "-F", "--identity"],
        &["send", "get", "ls"],
        "options of ssh go to ssh: -e 'ssh -i KEY', or ~/.ssh/config",
    ),
    (&["-o"], &["send", "ls"], "options of ssh go to ssh: -e 'ssh -o OPTION', or ~/.ssh/config"),
    (
        &["-4", "-6", "--ipv4", "--ipv6"],
        &[],
        "both families are tried at once; an address chooses one: '[V6]:' or A.B.C.D:",
    ),
    (
        &["-k", "--insecure", "--no-check-certificate"],
        &[],
        "whoever answers first is trusted with --host-key accept-new",
    ),
    (&["--inplace"], TRANSFERS, "files are written beside their final name and renamed when they are whole"),
    (&["--append", "--append-verify"], TRANSFERS, "what is there is continued, and verified, without an option"),
    (
        &["--hash", "--verify"],
        TRANSFERS,
        "what is sent is always verified; --checksum compares what is there by content",
    ),
    (&["--files-from"], &["ls"], "'qft get --files-from' takes names from a file; a listing is of one place"),
    (&["--remove-source-files", "--move"], TRANSFERS, "qft deletes nothing: qft send FILES && rm FILES"),
    (
        &["--bandwidth", "--limit", "--limit-rate", "--rate"],
        TRANSFERS,
        "that is --bwlimit RATE: 500K, 10M (bytes/s), 80mbit",
    ),
    (&["--threads", "--parallel", "--transfers"], TRANSFERS, "that is --jobs N: files in flight"),
    (&["--human-readable"], &[], "sizes are for people already; --json has exact ones"),
    (&["--stats", "--info"], TRANSFERS, "the last line has the totals; --json has them all"),
    (
        &["--max-size", "--min-size"],
        TRANSFERS,
        "sizes choose nothing here; find(1) does: find DIR -type f -size -1M -print0 | qft send --files-from - -0 REMOTE:",
    ),
    (
        &["--relative", "-R"],
        &["send", "get"],
        "names are those below what was named, as rsync's without -R; --files-from keeps the directories of its names",
    ),
    (&["-S", "-X", "--sort"], &["ls"], "names are in their order; qft ls --json | jq sorts otherwise"),
    (
        &["-d", "--daemon", "--background", "--detach"],
        &["serve"],
        "it stays in front: let systemd run it (qft help service), or: nohup qft serve DIR &",
    ),
    (&["--bind", "--address", "--host"], &["serve"], "that is --listen ADDR:PORT"),
    (&["--source-address", "--local-address"], &["send", "get", "ls", "doctor"], "that is --bind ADDR"),
    (&["--dir", "--root", "--directory"], &["serve"], "the directory comes without an option: qft serve DIR"),
    (&["--ro"], &["serve"], "for all clients: --read-only; for one: qft peers allow NAME --ro"),
    (&["--wo"], &["serve"], "for all clients: --write-only; for one: qft peers allow NAME --wo"),
    (&["--token"], &[], "a secret on a command line is seen by others: --token-file FILE"),
];

const TRANSFERS: &[&str] = &["send", "get"];

/// Words where a command is due (behind which one; empty: `qft` itself), and what to say.
const COMMANDS: &[(&[&str], &str, &str)] = &[
    (
        &["cp", "copy", "sync", "scp", "rsync", "mirror"],
        "",
        "to a remote: qft send FILES REMOTE:; from one: qft get REMOTE:PATH DIR",
    ),
    (
        &["partial", "unfinished", "clean", "cleanup", "prune", "gc"],
        "",
        "what interrupted transfers have left: qft parts [REMOTE:], with --remove",
    ),
    (&["cat", "less", "head"], "", "to standard output: qft get REMOTE:FILE -"),
    (
        &["rm", "mv", "mkdir", "rmdir", "del", "delete", "move", "rename", "touch", "chmod"],
        "",
        "qft only sends and gets; what is there is changed there, or through ssh",
    ),
    (&["dir", "list", "tree", "find"], "", "names on a remote: qft ls REMOTE:PATH, with -R what is inside"),
    (
        &["invite", "ticket", "pair", "allow", "revoke", "token"],
        "",
        "for a server here: qft peers invite, allow, revoke, token",
    ),
    (&["add", "remotes", "host", "hosts", "default", "forget"], "", "servers known here: qft remote"),
    (&["server", "daemon", "listen", "share", "receive-only"], "", "qft serve DIR"),
    (&["watch", "top", "monitor"], "", "what the servers here do, again and again: watch qft status"),
    (&["update", "upgrade", "self-update"], "", "qft is installed with cargo install --path ."),
    (
        &["init", "setup", "login", "keygen"],
        "",
        "nothing is to be set up: 'qft serve DIR' prints what to paste on the other machine",
    ),
    (&["key", "whoami", "fingerprint"], "", "qft id"),
];

/// What a line that clap refuses comes to.
pub(super) enum Refused {
    /// It asks for the version.
    Version,
    /// The complaint, with a tip that helps or with none.
    Complaint(clap::Error),
}

/// Puts what was meant in the place of clap's tips.
pub(super) fn improve(mut error: clap::Error, args: &[OsString]) -> Refused {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let path = command_path(args);
    let hint = match error.kind() {
        ErrorKind::UnknownArgument => {
            let option = word(ContextKind::InvalidArg).unwrap_or_default();
            if matches!(option.as_str(), "--version" | "-V") {
                return Refused::Version;
            }
            option_hint(&option, &path)
        }
        ErrorKind::InvalidSubcommand => {
            let verb = word(ContextKind::InvalidSubcommand).unwrap_or_default();
            if verb == "version" {
                return Refused::Version;
            }
            command_hint(&verb, &path, args)
        }
        ErrorKind::InvalidValue if word(ContextKind::InvalidArg).is_some_and(|arg| arg.starts_with("--progress")) => {
            Some("progress is shown without an option; --progress takes one of these words".to_owned())
        }
        _ => return Refused::Complaint(error),
    };
    for kind in [ContextKind::Suggested, ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        error.remove(kind);
    }
    if let Some(hint) = hint {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(hint)]));
    }
    Refused::Complaint(error)
}

/// The names of the commands that the line begins with, by their own names.
fn command_path(args: &[OsString]) -> Vec<String> {
    let mut command = Cli::command();
    let mut path = Vec::new();
    for word in args.iter().skip(1) {
        let Some(found) = word.to_str().and_then(|word| command.find_subcommand(word)).cloned() else { break };
        path.push(found.get_name().to_owned());
        command = found;
    }
    path
}

fn option_hint(option: &str, path: &[String]) -> Option<String> {
    let verb = path.first().map_or("", String::as_str);
    let is_meant = |commands: &[&str]| commands.is_empty() || commands.contains(&verb);
    let known = OPTIONS.iter().find(|(options, commands, _)| options.contains(&option) && is_meant(commands));
    if let Some((_, _, hint)) = known {
        return Some((*hint).to_owned());
    }
    if !option.starts_with('-') {
        let one = "it takes one path: quote a glob for the remote to expand, or run it once for each";
        return (verb == "ls").then(|| one.to_owned());
    }
    let name = option.strip_prefix("--")?;
    let command =
        path.iter().fold(Cli::command(), |command, name| command.find_subcommand(name).cloned().unwrap_or(command));
    let longs = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(clap::Arg::get_long);
    nearest(name, longs).map(|found| format!("did you mean --{found}?"))
}

fn command_hint(word: &str, path: &[String], args: &[OsString]) -> Option<String> {
    let parent = path.first().map_or("", String::as_str);
    let known = COMMANDS.iter().find(|(words, behind, _)| *behind == parent && words.contains(&word));
    if let Some((_, _, hint)) = known {
        return Some((*hint).to_owned());
    }
    let is_file = std::path::Path::new(word).exists();
    let has_remote = args.iter().skip(1).any(|arg| super::remote::is_remote(arg));
    if path.is_empty() && (is_file || has_remote) {
        let verb = if super::remote::is_remote(word.as_ref()) { "get" } else { "send" };
        let typed: Vec<_> =
            args.iter().skip(1).map(|arg| super::ui::text::shown(&arg.to_string_lossy()).into_owned()).collect();
        let typed: Vec<_> = typed.iter().map(|arg| super::paste::word(arg)).collect();
        return Some(format!("did you mean: qft {verb} {}", typed.join(" ")));
    }
    let command =
        path.iter().fold(Cli::command(), |command, name| command.find_subcommand(name).cloned().unwrap_or(command));
    let names = command.get_subcommands().filter(|command| !command.is_hide_set()).map(clap::Command::get_name);
    // `qft help TOPIC` comes here where there is no such topic.
    let topics = super::topics::ALL.iter().filter(|_| path.is_empty()).map(|topic| topic.name);
    nearest(word, names.chain(topics)).map(|found| match super::topics::Topic::find(&found) {
        Some(topic) => format!("did you mean: qft help {}", topic.name),
        None => format!("did you mean {found}?"),
    })
}

/// The one of `known` that is spelt so much alike that it was meant.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    /// One slip in three letters.
    const LETTERS_A_SLIP: usize = 3;
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let found = known.map(|name| (distance(name), name)).min()?;
    (found.0 <= word.chars().count() / LETTERS_A_SLIP).then(|| found.1.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// What is said about a line; `None` when it is taken.
    fn said(line: &str) -> Option<String> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::try_parse_from(&args).err()?;
        Some(match improve(error, &args) {
            Refused::Version => "version".to_owned(),
            Refused::Complaint(error) => error.to_string(),
        })
    }

    #[test]
    fn what_other_tools_call_it_is_led_to_what_it_is_called_here() {
        for (line, part) in [
            ("qft send f --dest box:", "REMOTE:[PATH], or behind --to"),
            ("qft send --insecure f box:", "--host-key accept-new"),
            ("qft send -u f box:", "--if-exists skip"),
            ("qft send --follow d box:", "-L sends what links lead to"),
            ("qft send --inplace f box:", "beside their final name"),
            ("qft ls --files-from list box:", "qft get --files-from"),
            ("qft send -4 f box:", "both families"),
            ("qft send -i key f me@host:", "-e 'ssh -i KEY'"),
            ("qft send --remove-source-files f box:", "deletes nothing"),
            ("qft send --progress photos box:", "progress is shown without an option"),
            ("qft serve --daemon", "systemd"),
            ("qft ls --sort size", "names are in their order"),
            ("qft ls a b", "takes one path"),
            ("qft cp a box:", "qft send FILES REMOTE:"),
            ("qft cat box:f", "qft get REMOTE:FILE -"),
            ("qft rm box:f", "only sends and gets"),
            ("qft invite", "qft peers invite"),
            ("qft watch", "watch qft status"),
            ("qft update", "cargo install --path ."),
            ("qft Cargo.toml box:", "did you mean: qft send Cargo.toml box:"),
            ("qft box:a .", "did you mean: qft get box:a ."),
            ("qft send --excude x f box:", "did you mean --exclude?"),
            ("qft sned f", "did you mean send?"),
            ("qft recipies --help", "did you mean: qft help recipes"),
            ("qft service", "did you mean: qft help service"),
            ("qft remote renme a b", "did you mean rename?"),
        ] {
            let text = said(line).unwrap_or_else(|| panic!("{line} is taken"));
            assert!(text.contains(part), "{line}: {text}");
            assert_eq!(text.matches("tip:").count(), 1, "{line}: {text}");
        }
    }

    #[test]
    fn a_word_that_is_like_nothing_gets_no_tip() {
        for line in ["qft send --frobnicate f box:", "qft frobnicate", "qft send -Y f box:", "qft peers frobnicate"] {
            let text = said(line).unwrap_or_else(|| panic!("{line} is taken"));
            assert!(!text.contains("tip:") && !text.contains("-- -"), "{line}: {text}");
        }
    }

    #[test]
    fn words_with_one_meaning_are_taken() {
        for line in [
            "qft send --recursive --archive --partial f box:",
            "qft send --ignore-existing f box:",
            "qft send --no-clobber f box:",
            "qft send -l f box:",
            "qft send --compress f box:",
            "qft upload f box:",
            "qft download box:f",
            "qft ls -a1 box:",
            "qft remote rm box",
            "qft remote remove box",
            "qft remote ls",
            "qft peers ls",
            "qft peers rm laptop",
            "qft peers add laptop",
        ] {
            assert_eq!(said(line), None, "{line}");
        }
        for line in ["qft send --version", "qft version", "qft peers list -V"] {
            assert_eq!(said(line).as_deref(), Some("version"), "{line}");
        }
    }
}
