//! The variables and files that qft reads: one table each, for `qft help environment`, the manual pages and `qft config`.

use std::ffi::OsString;

/// A variable of the environment.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    /// What it does; a sentence without its end.
    pub(crate) about: &'static str,
    /// Whether it is qft's own, or one that other programs go by too.
    pub(crate) is_own: bool,
}

const fn own(name: &'static str, about: &'static str) -> Variable {
    Variable { name, about, is_own: true }
}

const fn shared(name: &'static str, about: &'static str) -> Variable {
    Variable { name, about, is_own: false }
}

pub(crate) const VARIABLES: &[Variable] = &[
    own("QFT_HOME", "where keys, lists and settings are kept"),
    own("QFT_REMOTE", "the remote that is meant when none is named"),
    own("QFT_TOKEN_FILE", "as --token-file, for clients and for 'qft serve'"),
    own("QFT_LISTEN", "as --listen of 'qft serve'"),
    own("QFT_RSH", "as --rsh: the ssh to run, with its options"),
    own("QFT_PROGRESS", "as --progress: auto, bar, plain or none"),
    own("QFT_LOG", "what is logged beside -v, such as qft=debug"),
    own("QFT_MD5", "scalar: hash without vector instructions"),
    shared("XDG_CONFIG_HOME", "without QFT_HOME, the home is qft in there [~/.config]"),
    shared("XDG_RUNTIME_DIR", "where completions keep names of remotes for seconds"),
    shared("TMPDIR", "where standard input and output are spooled [/tmp]"),
    shared("NO_COLOR", "no colours, whatever its value"),
    shared("TERM", "no bars and no colours where it is dumb or not set"),
    shared("LC_ALL, LC_CTYPE, LANG", "bars are ASCII where the first one is not UTF-8"),
    shared("MANPAGER, PAGER", "what 'qft man' shows plain text with, without man(1)"),
];

/// Files, by their names in the home where they have no slash or dot before them.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("~/.config/qft", "the home, if neither variable names another"),
    ("config.toml", "settings; see 'qft config --help'"),
    ("identity.key", "the key of this machine; nobody else may read it"),
    ("remotes", "the servers known here; see 'qft remote'"),
    ("authorized_clients", "who may connect to servers here; see 'qft peers'"),
    ("revoked_clients", "keys that no token or certificate lets in any more"),
    ("history.ndjson", "what servers here have done; see 'qft history'"),
    ("http_token", "what who watches must show; see 'qft serve --http'"),
    ("invites", "tickets that were not used yet, as hashes"),
    (".NAME.qft-part", "a file that is not whole yet; the next run goes on"),
];

/// Columns of a name.
const NAME_COLUMNS: usize = 22;

/// What is known about one thing, under the others' names.
fn row(name: &str, about: &str) -> String {
    format!("  {name:<NAME_COLUMNS$}  {about}\n")
}

/// Both tables, as text.
pub(crate) fn text() -> String {
    let mut text = "Environment:\n".to_owned();
    VARIABLES.iter().for_each(|variable| text.push_str(&row(variable.name, variable.about)));
    text.push_str("\nFiles:\n");
    FILES.iter().for_each(|(name, about)| text.push_str(&row(name, about)));
    text.push_str("\nAn option outweighs its variable, that outweighs config.toml, and the file the\ndefault.");
    text
}

/// qft's own variables that stand for no option, with their values.
pub(crate) fn without_option(is_option: impl Fn(&str) -> bool) -> Vec<(&'static str, Option<OsString>)> {
    let own = VARIABLES.iter().filter(|variable| variable.is_own && !is_option(variable.name));
    own.map(|variable| (variable.name, std::env::var_os(variable.name).filter(|value| !value.is_empty()))).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::*;
    use crate::cli::args::Cli;

    fn options(command: &Command, found: &mut Vec<String>) {
        let names = command.get_arguments().filter_map(|arg| arg.get_env());
        found.extend(names.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|inner| options(inner, found));
    }

    #[test]
    fn every_variable_of_an_option_is_in_the_table() {
        let mut found = Vec::new();
        options(&Cli::command(), &mut found);
        assert!(found.len() > 4);
        for name in found {
            assert!(VARIABLES.iter().any(|variable| variable.name == name && variable.is_own), "{name}");
        }
    }

    #[test]
    fn every_variable_that_the_code_reads_is_in_the_table_and_no_other() {
        let mut read = Vec::new();
        gather(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut read);
        let table: Vec<_> = VARIABLES.iter().flat_map(|variable| variable.name.split(", ")).collect();
        for name in &read {
            assert!(table.contains(&name.as_str()), "{name} is read and not in the table");
        }
        for name in table {
            assert!(read.iter().any(|other| other == name) || name == "TMPDIR", "{name} is in the table and not read");
        }
    }

    /// Names in quotes that look like variables, outside of this file and of what only tests have.
    fn gather(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("it is ours") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                gather(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs")
                && !["environment.rs", "broken.rs"].iter().any(|left_out| path.ends_with(left_out))
            {
                let text = std::fs::read_to_string(&path).expect("text");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let words = code.split('"').skip(1).step_by(2);
                let is_variable = |word: &&str| {
                    word.starts_with("QFT_")
                        && word.len() > 4
                        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                        || [
                            "XDG_CONFIG_HOME",
                            "XDG_RUNTIME_DIR",
                            "NO_COLOR",
                            "TERM",
                            "LC_ALL",
                            "LC_CTYPE",
                            "LANG",
                            "MANPAGER",
                            "PAGER",
                        ]
                        .contains(word)
                };
                found.extend(words.filter(is_variable).map(str::to_owned));
            }
        }
    }

    #[test]
    fn the_text_fits_a_terminal() {
        for line in text().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
