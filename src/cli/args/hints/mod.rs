//! What users of other tools type, and what it is called here. A tip of clap's own is a word that is spelt alike, which
//! is seldom what was meant; these are said instead.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `commands` | the options, and the commands, of other tools |

mod commands;
mod options;

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};

use self::commands::COMMANDS;
use self::options::OPTIONS;
use super::topics::Topic;
use crate::cli::args::Cli;

/// What a line that clap refuses comes to.
pub(in crate::cli) enum RejectedLine {
    /// It asks for the version.
    Version,
    /// The complaint, with a tip that helps or with none.
    Complaint(clap::Error),
}

/// Puts what was meant in the place of clap's tips.
pub(in crate::cli) fn improve(mut error: clap::Error, args: &[OsString]) -> RejectedLine {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let path = command_path(args);
    let hint = match error.kind() {
        ErrorKind::UnknownArgument => {
            let option = word(ContextKind::InvalidArg).unwrap_or_default();
            if matches!(option.as_str(), "--version" | "-V") {
                return RejectedLine::Version;
            }
            option_hint(&option, &path)
        }
        ErrorKind::InvalidSubcommand => {
            let verb = word(ContextKind::InvalidSubcommand).unwrap_or_default();
            if verb == "version" {
                return RejectedLine::Version;
            }
            command_hint(&verb, &path, args)
        }
        ErrorKind::InvalidValue if word(ContextKind::InvalidArg).is_some_and(|arg| arg.starts_with("--progress")) => {
            Some("progress is shown without an option; --progress takes one of these words".to_owned())
        }
        ErrorKind::ValueValidation if word(ContextKind::InvalidArg).is_some_and(|arg| arg.starts_with("--port")) => {
            Some("-p is the port of a server; times and permission bits are kept without an option".to_owned())
        }
        _ => return RejectedLine::Complaint(error),
    };
    // Clap's own usage names the option that is spelt most alike, too.
    error.insert(ContextKind::Usage, ContextValue::StyledStr(usage(&path)));
    for kind in [ContextKind::Suggested, ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        error.remove(kind);
    }
    if let Some(hint) = hint {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(hint)]));
    }
    RejectedLine::Complaint(error)
}

/// `-avh`, `ls -lh`: the h among other letters means sizes for people, to rsync as to ls, and so they are shown. Alone it
/// is help.
pub(in crate::cli) fn without_human(args: Vec<OsString>) -> Vec<OsString> {
    let path = command_path(&args);
    if !path.first().is_some_and(|verb| ["send", "get", "ls"].contains(&verb.as_str())) {
        return args;
    }
    let command = definition(&path);
    let plain = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let shorten =
        |(n, arg): (usize, OsString)| match arg.to_str().filter(|_| n < plain).and_then(|arg| shortened(arg, &command))
        {
            Some(short) => short.into(),
            None => arg,
        };
    args.into_iter().enumerate().map(shorten).collect()
}

/// A cluster of letters without its h; `None` where there is nothing to leave out.
fn shortened(arg: &str, command: &Command) -> Option<String> {
    let letters = arg.strip_prefix('-').filter(|letters| !letters.starts_with('-'))?;
    let is_of = |letter: char, arg: &clap::Arg| {
        arg.get_short() == Some(letter) || arg.get_all_short_aliases().is_some_and(|all| all.contains(&letter))
    };
    let takes_value =
        |letter: char| command.get_arguments().any(|arg| is_of(letter, arg) && arg.get_action().takes_values());
    // What comes behind the letter of an option with a value is its value.
    let end = letters.find(takes_value).unwrap_or(letters.len());
    let (flags, value) = letters.split_at(end);
    let kept = flags.replace('h', "");
    let is_cluster = flags.contains('h') && !(kept.is_empty() && value.is_empty());
    is_cluster.then(|| format!("-{kept}{value}"))
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

/// The definition of a command, and what it is called by.
fn definition(path: &[String]) -> Command {
    let mut command = Cli::command();
    // Only then do subcommands know whose they are.
    command.build();
    path.iter().fold(command, |command, name| command.find_subcommand(name).cloned().unwrap_or(command))
}

fn usage(path: &[String]) -> StyledStr {
    definition(path).render_usage()
}

fn option_hint(option: &str, path: &[String]) -> Option<String> {
    let verb = path.first().map_or("qft", String::as_str);
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
    let command = definition(path);
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
    let has_remote = args.iter().skip(1).any(|arg| crate::cli::target::remote::is_remote(arg));
    if path.is_empty() && (is_file || has_remote) {
        let verb = if crate::cli::target::remote::is_remote(word.as_ref()) { "get" } else { "send" };
        let typed: Vec<_> =
            args.iter().skip(1).map(|arg| crate::cli::ui::text::shown(&arg.to_string_lossy()).into_owned()).collect();
        let typed: Vec<_> = typed.iter().map(|arg| crate::cli::text::paste::word(arg)).collect();
        return Some(format!("did you mean: qft {verb} {}", typed.join(" ")));
    }
    let command = definition(path);
    let names = command.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
    // `qft help TOPIC` comes here where there is no such topic.
    let topics = super::topics::ALL.iter().filter(|_| path.is_empty()).map(|topic| topic.name);
    let Some(found) = nearest(word, names.chain(topics)) else {
        let wants_help = path.is_empty() && args.last().is_some_and(|last| last == "--help");
        return wants_help.then(|| "qft help lists all commands and topics".to_owned());
    };
    Some(match Topic::find(&found).filter(|_| path.is_empty()) {
        Some(topic) => format!("did you mean: qft help {}", topic.name),
        None => format!("did you mean {found}?"),
    })
}

/// The one of `known` that was meant: the only one that begins with the word, or one that is spelt so much alike.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    /// One slip in three letters.
    const LETTERS_A_SLIP: usize = 3;
    let known: Vec<&str> = known.collect();
    let mut longer = known.iter().filter(|name| word.len() > 1 && name.starts_with(word));
    if let (Some(only), None) = (longer.next(), longer.next()) {
        return Some((*only).to_owned());
    }
    // A slip in the first letter makes another word of it more often than not.
    let alike = |name: &&str| name.get(..1) == word.get(..1) || name.get(1..2) == word.get(..1);
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let found = known.into_iter().filter(alike).map(|name| (distance(name), name)).min()?;
    (found.0 <= word.chars().count() / LETTERS_A_SLIP).then(|| found.1.to_owned())
}

#[cfg(test)]
mod tests;
