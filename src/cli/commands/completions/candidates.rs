//! The candidates that a word can be completed to.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use clap::{Arg, Command};

use super::due::{Expected, Typed, ValueKind, is_repeated, tail};
use super::listing::names_in;
use crate::cli::args::topics;
use crate::cli::ssh::config_hosts;
use crate::cli::target::remote::{self, Spec};
use crate::keys;
use crate::keys::trust::{Clients, Remotes};

/// One word that can stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The whole word, without quotes.
    pub(super) text: Vec<u8>,
    /// A few words about it; may be empty.
    pub(super) about: String,
}

/// Files of this machine, which each shell completes in its own way: from this byte of the word on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Native {
    Nothing,
    Files(usize),
    Dirs(usize),
}

/// All that a word can become.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Completions {
    pub(super) native: Native,
    pub(super) candidates: Vec<Candidate>,
}

/// Tells what the word at the cursor can become. It may ask a remote, for a moment; see [`names_in`].
pub(super) fn answer(root: &Command, typed: &Typed) -> Completions {
    let command = typed.path.iter().fold(root, |command, name| command.find_subcommand(name).unwrap_or(command));
    let mut gather = Gather { typed, start: 0, native: Native::Nothing, candidates: Vec::new() };
    match &typed.due {
        Expected::Command => gather.commands(command, typed.path.is_empty()),
        Expected::CommandName { below, topics } => gather.command_names(root, below, *topics),
        Expected::Option => gather.options(config_line(root, typed).unwrap_or(command)),
        Expected::Value { kind, start } => {
            gather.start = *start;
            gather.values(kind);
        }
        Expected::Nothing => {}
    }
    Completions { native: gather.native, candidates: gather.candidates }
}

/// The command whose options stand behind `qft config COMMAND`.
fn config_line<'a>(root: &'a Command, typed: &Typed) -> Option<&'a Command> {
    typed.config_of.as_deref().and_then(|name| root.find_subcommand(name))
}

struct Gather<'a> {
    typed: &'a Typed,
    /// Where the value begins in the word.
    start: usize,
    native: Native,
    candidates: Vec<Candidate>,
}

impl Gather<'_> {
    fn add(&mut self, text: impl AsRef<[u8]>, about: impl ToString) {
        let before = &self.typed.current.as_bytes()[..self.start];
        let text = [before, text.as_ref()].concat();
        self.candidates.push(Candidate { text, about: about.to_string() });
    }

    fn value(&self) -> std::ffi::OsString {
        tail(&self.typed.current, self.start)
    }

    fn commands(&mut self, of: &Command, is_root: bool) {
        for command in of.get_subcommands().filter(|command| !command.is_hide_set()) {
            self.add(command.get_name(), command.get_about().cloned().unwrap_or_default());
        }
        if is_root {
            self.add("help", "Help for a command, or about a topic");
        }
    }

    fn command_names(&mut self, root: &Command, below: &[String], topics: bool) {
        let found = below.iter().try_fold(root, |command, name| command.find_subcommand(name));
        // Behind a topic nothing more is due.
        let Some(command) = found else { return };
        self.commands(command, false);
        if topics && below.is_empty() {
            topics::ALL.iter().for_each(|topic| self.add(topic.name, topic.about));
        }
    }

    fn options(&mut self, command: &Command) {
        let is_given = |arg: &Arg| self.typed.options.iter().any(|(id, _)| id == arg.get_id());
        let mut due: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
        due.retain(|arg| is_repeated(arg) || !is_given(arg));
        for arg in due {
            let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
            arg.get_long().into_iter().for_each(|long| self.add(format!("--{long}"), &about));
        }
    }

    fn values(&mut self, kind: &ValueKind) {
        match kind {
            ValueKind::Choice(choices) => {
                for choice in choices {
                    self.add(choice.get_name(), choice.get_help().cloned().unwrap_or_default());
                }
            }
            ValueKind::File => self.native = Native::Files(self.start),
            ValueKind::Dir => self.native = Native::Dirs(self.start),
            ValueKind::Remote => self.remote(true),
            ValueKind::Server => self.remotes(""),
            ValueKind::RemoteName => self.remotes(""),
            ValueKind::Peer => self.peers(),
            ValueKind::Sent => self.sent(),
            ValueKind::Got => self.got(),
            ValueKind::Listed => self.listed(),
            ValueKind::Text => {}
        }
    }

    fn sent(&mut self) {
        if self.typed.option("to").is_some() {
            self.native = Native::Files(self.start);
        } else if remote::is_remote(&self.value()) {
            self.remote(true);
        } else {
            self.native = Native::Files(self.start);
            // Something is to be sent before there is a place for it.
            if !self.typed.words.is_empty() {
                self.remote(true);
            }
        }
    }

    fn got(&mut self) {
        let has_remote = self.typed.words.iter().any(|word| remote::is_remote(word));
        let may_be_place = !self.typed.words.is_empty() && self.typed.option("output_path").is_none();
        if may_be_place && !remote::is_remote(&self.value()) {
            self.native = Native::Files(self.start);
        }
        match has_remote {
            true => self.remote(false),
            false => self.listed(),
        }
    }

    /// Words that name a remote or what is on one: the default one, where they name none.
    fn listed(&mut self) {
        if self.typed.option("from").is_none() {
            self.remote(false);
        }
        if !remote::is_remote(&self.value()) {
            let value = self.value();
            let dir = value.as_bytes().iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            self.paths(&value, dir);
        }
    }

    /// The name of a remote with a colon behind it, and what is on it. `is_target`: what is sent goes there.
    fn remote(&mut self, is_target: bool) {
        let value = self.value();
        if !remote::is_remote(&value) {
            return match value.to_str().and_then(|text| text.split_once('@')) {
                Some((user, _)) => self.ssh_hosts(user),
                None => self.remotes(":"),
            };
        }
        let Ok(spec) = remote::parse(&value) else { return };
        let path_at = value.len() - spec.path().len();
        if let Spec::Local { .. } = spec {
            let at = self.start + path_at;
            self.native = if is_target { Native::Dirs(at) } else { Native::Files(at) };
            return;
        }
        let is_open = value.as_bytes()[..path_at].ends_with(b":") || value.as_bytes()[..path_at].ends_with(b"/");
        if is_open {
            let slash = spec.path().iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            self.paths(&value, path_at + slash);
        }
    }

    /// Adds the entries of a directory of a remote: the first `dir_end` bytes of the value name both.
    fn paths(&mut self, value: &OsStr, dir_end: usize) {
        let (dir, begun) = value.as_bytes().split_at(dir_end);
        for (mut name, is_dir) in names_in(self.typed, OsStr::from_bytes(dir)) {
            if name.starts_with(b".") && !begun.starts_with(b".") {
                continue;
            }
            if is_dir {
                name.push(b'/');
            }
            let word = [dir, &name].concat();
            if means_what_it_says(value, &word, self.start > 0) {
                self.add(word, "");
            }
        }
    }

    fn remotes(&mut self, colon: &str) {
        // Opening a home makes one where there is none.
        let home = keys::home().ok().filter(|home| home.is_dir());
        let list = home.and_then(|home| Remotes::open(&home).ok()?.list().ok());
        for known in list.unwrap_or_default() {
            self.add(format!("{}{colon}", known.name), known.ticket.address());
        }
    }

    fn ssh_hosts(&mut self, user: &str) {
        let dir = std::env::home_dir().map(|home| home.join(".ssh")).unwrap_or_default();
        config_hosts(&dir).iter().for_each(|host| self.add(format!("{user}@{host}:"), "through ssh"));
    }

    fn peers(&mut self) {
        let home = keys::home().ok().filter(|home| home.is_dir());
        let list = home.and_then(|home| Clients::open(&home).ok()?.list().ok());
        for client in list.into_iter().flat_map(|list| list.clients) {
            self.add(&client.name, client.fingerprint.short());
        }
    }
}

/// Whether a name of a remote's, as the end of a word, would be read as that: not `12:30.log` behind `box:`, which begins
/// with a port, nor a name that is an option, another remote or somebody's home.
fn means_what_it_says(begun: &OsStr, word: &[u8], is_behind_option: bool) -> bool {
    let word = OsStr::from_bytes(word);
    let without_path = |word: &OsStr| remote::parse(word).ok().map(|spec| spec.with_path(Vec::new()));
    let path = match remote::is_remote(begun) {
        true if without_path(begun) != without_path(word) => return false,
        true => remote::parse(word).map(|spec| spec.path().to_vec()).unwrap_or_default(),
        false if remote::is_remote(word) => return false,
        false if !is_behind_option && word.as_bytes().starts_with(b"-") => return false,
        false => word.as_bytes().to_vec(),
    };
    !path.starts_with(b"~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_be_read_otherwise_is_not_offered() {
        for (begun, word, is_offered) in [
            ("box:", "box:logs/", true),
            ("box:", "box:a:b", true),
            ("box:", "box:12:30.log", false),
            ("box:d/", "box:d/12:30.log", true),
            ("box:", "box:~anna/", false),
            ("box:", "box:-x", true),
            ("lo", "logs/", true),
            ("", "-x", false),
            ("", "a:b", false),
            ("d/", "d/a:b", true),
            ("me@host:", "me@host:logs/", true),
        ] {
            assert_eq!(means_what_it_says(begun.as_ref(), word.as_bytes(), false), is_offered, "{word}");
        }
    }
}
