//! What users of other tools type, and what it is called here. A tip of clap's own is a word that is spelt alike, which
//! is seldom what was meant; these are said instead.

mod commands;
mod options;

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use self::commands::COMMANDS;
use self::options::OPTIONS;
use super::args::Cli;

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
mod tests;
