//! The kind of word that a command line expects at the cursor, from clap's own definitions, so that no option is listed
//! twice.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command, Id, ValueHint};

/// A command line up to the word that the cursor is in.
#[derive(Debug)]
pub(super) struct Typed {
    /// The names of the command and of its own commands, as the definitions spell them.
    pub(super) path: Vec<String>,
    /// The command named behind `config`, whose options follow.
    pub(super) config_of: Option<String>,
    /// The options before the cursor, with their values.
    pub(super) options: Vec<(Id, Option<OsString>)>,
    /// The other words before the cursor.
    pub(super) words: Vec<OsString>,
    /// The word that the cursor is in, up to there.
    pub(super) current: OsString,
    /// The kind of word that it can be completed to.
    pub(super) due: Expected,
}

/// The kind of word that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// The name of a command below `path`.
    Command,
    /// The name of a command whose help, page or settings are wanted: below these, and whether topics have one too.
    CommandName {
        /// The commands named so far.
        below: Vec<String>,
        /// Whether the names of topics are among the first ones.
        topics: bool,
    },
    Option,
    /// A value, which begins so many bytes into the word.
    Value {
        /// The kind of value.
        kind: ValueKind,
        start: usize,
    },
    /// Nothing that is known here.
    Nothing,
}

/// The kind of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueKind {
    Choice(Vec<PossibleValue>),
    File,
    Dir,
    /// A remote, perhaps with a path.
    Remote,
    Server,
    /// The name of a remote of the list.
    RemoteName,
    /// The name of a client of the list.
    Peer,
    /// Files here, and at the end a remote with a path: `qft send`.
    Sent,
    /// Remotes with paths, and at the end a place here: `qft get`.
    Got,
    /// A remote with a path, or a path on the default remote: `qft ls`.
    Listed,
    Text,
}

/// Reads the words before the cursor, the program's name left out. `root` is built.
pub(super) fn typed(root: &Command, words: &[OsString], current: OsString) -> Typed {
    let mut walk = WordWalk { command: root, typed: Typed::new(current), pending: None, is_escaped: false };
    words.iter().for_each(|word| walk.take(root, word));
    walk.finish()
}

impl Typed {
    fn new(current: OsString) -> Self {
        let (path, options, words) = (Vec::new(), Vec::new(), Vec::new());
        Self { path, config_of: None, options, words, current, due: Expected::Nothing }
    }

    /// The last value of an option.
    pub(super) fn option(&self, id: &str) -> Option<&OsStr> {
        let mut of_it = self.options.iter().rev().filter(|(given, _)| given == id);
        of_it.next().and_then(|(_, value)| value.as_deref())
    }
}

/// A walk along the words.
struct WordWalk<'a> {
    command: &'a Command,
    typed: Typed,
    /// The option whose value comes next.
    pending: Option<&'a Arg>,
    is_escaped: bool,
}

impl<'a> WordWalk<'a> {
    fn take(&mut self, root: &'a Command, word: &OsStr) {
        if let Some(arg) = self.pending.take() {
            return self.typed.options.push((arg.get_id().clone(), Some(word.to_owned())));
        }
        let raw = word.as_bytes();
        if !self.is_escaped && raw == b"--" {
            self.is_escaped = true;
        } else if !self.is_escaped && raw.len() > 1 && raw.starts_with(b"-") {
            self.take_option(raw);
        } else if let Some(inner) = self.inner(root, word) {
            match self.typed.path.first().is_some_and(|first| first == "config") {
                true => self.typed.config_of = Some(inner.get_name().to_owned()),
                false => self.typed.path.push(inner.get_name().to_owned()),
            }
            self.command = inner;
        } else {
            self.typed.words.push(word.to_owned());
        }
    }

    /// The command that a word leads to. Behind `config` stands a whole command line.
    fn inner(&self, root: &'a Command, word: &OsStr) -> Option<&'a Command> {
        let is_first = self.typed.words.is_empty() && !self.is_escaped;
        let of = if self.typed.path == ["config"] && self.typed.config_of.is_none() { root } else { self.command };
        of.find_subcommand(word).filter(|_| is_first)
    }

    fn take_option(&mut self, raw: &[u8]) {
        if let Some(long) = raw.strip_prefix(b"--") {
            let (name, value) = match long.iter().position(|byte| *byte == b'=') {
                Some(at) => (&long[..at], Some(OsStr::from_bytes(&long[at + 1..]))),
                None => (long, None),
            };
            let Some(arg) = find_long(self.command, name) else { return };
            match value {
                None if takes_value(arg) => self.pending = Some(arg),
                value => self.typed.options.push((arg.get_id().clone(), value.map(OsStr::to_owned))),
            }
            return;
        }
        let (flags, valued) = shorts(self.command, &raw[1..]);
        self.typed.options.extend(flags.into_iter().map(|arg| (arg.get_id().clone(), None)));
        match valued {
            Some((arg, [])) => self.pending = Some(arg),
            Some((arg, value)) => {
                self.typed.options.push((arg.get_id().clone(), Some(OsStr::from_bytes(value).to_owned())));
            }
            None => {}
        }
    }

    fn finish(mut self) -> Typed {
        self.typed.due = self.due();
        self.typed
    }

    fn due(&self) -> Expected {
        let value = |arg: &Arg, start| Expected::Value { kind: kind(&self.typed.path, arg), start };
        if let Some(arg) = self.pending {
            return value(arg, 0);
        }
        let raw = self.typed.current.as_bytes();
        if !self.is_escaped && raw.starts_with(b"-") {
            return self.option_due(raw);
        }
        if let Some(due) = self.name_due() {
            return due;
        }
        if self.command.has_subcommands() && self.typed.words.is_empty() {
            return Expected::Command;
        }
        let positionals: Vec<_> = self.command.get_positionals().filter(|arg| !arg.is_hide_set()).collect();
        // The last one may stand for any number of words.
        let last = positionals.last().copied().filter(|arg| is_repeated(arg));
        let arg = positionals.get(self.typed.words.len()).copied().or(last);
        arg.map_or(Expected::Nothing, |arg| value(arg, 0))
    }

    /// `--name=value` and `-nvalue` are values already.
    fn option_due(&self, raw: &[u8]) -> Expected {
        let value = |arg: &Arg, start| Expected::Value { kind: kind(&self.typed.path, arg), start };
        if let Some(long) = raw.strip_prefix(b"--") {
            let Some(at) = long.iter().position(|byte| *byte == b'=') else { return Expected::Option };
            let arg = find_long(self.command, &long[..at]).filter(|arg| takes_value(arg));
            return arg.map_or(Expected::Nothing, |arg| value(arg, b"--=".len() + at));
        }
        match shorts(self.command, &raw[1..]).1 {
            Some((arg, text)) if raw.len() > 2 => value(arg, raw.len() - text.len()),
            _ => Expected::Option,
        }
    }

    /// Where the names of commands are what is asked about.
    fn name_due(&self) -> Option<Expected> {
        let words = self.typed.words.iter().filter_map(|word| word.to_str()).map(str::to_owned);
        let (first, topics) = match self.typed.path.first().map(String::as_str) {
            // No command of clap's here.
            None if self.typed.words.first().is_some_and(|word| word == "help") => (1, true),
            Some("man") => (0, true),
            Some("config") if self.typed.config_of.is_none() => {
                return Some(Expected::CommandName { below: Vec::new(), topics: false });
            }
            _ => return None,
        };
        Some(Expected::CommandName { below: words.skip(first).collect(), topics })
    }
}

fn find_long<'a>(command: &'a Command, name: &[u8]) -> Option<&'a Arg> {
    let name = std::str::from_utf8(name).ok()?;
    let is_it = |arg: &&Arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
    };
    command.get_arguments().find(is_it)
}

/// The flags of `-abc`, and the first of them that takes a value, with what stands behind it.
fn shorts<'a, 'b>(command: &'a Command, letters: &'b [u8]) -> (Vec<&'a Arg>, Option<(&'a Arg, &'b [u8])>) {
    let mut flags = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let letter = char::from(*letter);
        let is_it = |arg: &&Arg| {
            arg.get_short() == Some(letter)
                || arg.get_all_short_aliases().is_some_and(|aliases| aliases.contains(&letter))
        };
        let Some(arg) = command.get_arguments().find(is_it) else { break };
        if takes_value(arg) {
            return (flags, Some((arg, &letters[at + 1..])));
        }
        flags.push(arg);
    }
    (flags, None)
}

/// Whether something stands behind an option.
pub(super) fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Whether an option or a word may come again.
pub(super) fn is_repeated(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
}

/// The kind of a value, by its choices, by its name in the help, by its hint.
pub(super) fn kind(path: &[String], arg: &Arg) -> ValueKind {
    let choices: Vec<_> = arg.get_possible_values().into_iter().filter(|choice| !choice.is_hide_set()).collect();
    if takes_value(arg) && !choices.is_empty() {
        return ValueKind::Choice(choices);
    }
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match (path.as_slice(), name) {
        (["doctor" | "ping"], "REMOTE") => ValueKind::Server,
        (_, "REMOTE") => ValueKind::Remote,
        (_, "FP|NAME" | "FP|NAME|INVITE") => ValueKind::Peer,
        (["remote", "default" | "forget" | "rename"], _) if arg.get_id() == "name" => ValueKind::RemoteName,
        (["send"], _) if arg.get_id() == "paths" => ValueKind::Sent,
        (["parts"], _) if arg.get_id() == "place" => ValueKind::Sent,
        (["get"], _) if arg.get_id() == "paths" => ValueKind::Got,
        (["ls"], _) if arg.get_id() == "path" => ValueKind::Listed,
        _ => match arg.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath => ValueKind::File,
            ValueHint::DirPath => ValueKind::Dir,
            _ => ValueKind::Text,
        },
    }
}

/// The part of a word behind the first `start` bytes.
pub(super) fn tail(word: &OsStr, start: usize) -> OsString {
    OsString::from_vec(word.as_bytes().get(start..).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests;
