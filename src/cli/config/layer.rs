//! The file laid over the options: each setting becomes the default of the option of its name.

use std::collections::BTreeMap;

use clap::builder::OsStr;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Id};

use super::super::exit::Complaint;
use super::super::in_one_line;
use super::ConfigFile;
use super::file::{ConfigEntry, Value, wrong};
use crate::protocol::path::{escape, quoted};

/// Options that say what one run is about, and not how runs are to be. As settings they would surprise.
const PER_RUN: [&str; 22] = [
    "client",
    "dry-run",
    "expires",
    "files-from",
    "fingerprint",
    "force",
    "from",
    "from0",
    "help",
    "invite",
    "invites",
    "json",
    "name",
    "once",
    "out",
    "output",
    "ro",
    "root",
    "san",
    "to",
    "version",
    "wo",
];

/// A name this many letters away is taken for a slip.
const SLIP_LETTERS: usize = 3;

/// Which option of which command: the names of the commands, then the option's id.
pub(super) type Place = (Vec<String>, Id);

/// Every setting, by the option that it is for.
#[derive(Debug)]
pub(super) struct SettingsLayer {
    settings: BTreeMap<Place, Setting>,
}

/// One setting that an option takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its values; more than one only where the option may be repeated.
    pub(super) values: Vec<String>,
    pub(super) line: usize,
}

impl SettingsLayer {
    /// Finds the option of each setting.
    ///
    /// # Errors
    /// The first setting that no option has, or whose value its option does not take.
    pub(super) fn new(config: &ConfigFile, root: &Command) -> Result<Self, Complaint> {
        let mut settings = BTreeMap::new();
        // Those of a table outweigh those at the top.
        let (top, inner): (Vec<_>, Vec<_>) = config.entries.iter().partition(|entry| entry.tables.is_empty());
        for entry in top.into_iter().chain(inner) {
            let fail = |what: String| wrong(&config.path, entry.line, &what);
            let (path, command) = descend(root, &entry.tables).map_err(fail)?;
            if entry.key.is_empty() {
                continue;
            }
            let places = match path.is_empty() {
                true => everywhere(root, &entry.key),
                false => option(command, &entry.key).map(|arg| (path, arg)).into_iter().collect(),
            };
            if places.is_empty() || PER_RUN.contains(&entry.key.as_str()) {
                return Err(fail(unknown(root, command, entry)));
            }
            for (path, arg) in places {
                let values = accept(arg, &entry.value).map_err(fail)?;
                settings.insert((path, arg.get_id().clone()), Setting { values, line: entry.line });
            }
        }
        Ok(Self { settings })
    }

    /// The setting for an option, if there is one.
    pub(super) fn get(&self, path: &[String], id: &Id) -> Option<&Setting> {
        self.settings.get(&(path.to_vec(), id.clone()))
    }

    /// Makes the settings the defaults of the options of the command that was `given`. What contradicts an option
    /// given is left out.
    pub(super) fn over(&self, root: Command, given: &ArgMatches) -> Command {
        let (mut root, mut path, mut own) = (root, Vec::new(), given);
        while let Some((name, inner)) = own.subcommand() {
            path.push(name.to_owned());
            own = inner;
            root = change(root, &path, &|command| self.over_one(command, &path, inner));
        }
        root
    }

    /// The same for the options of one command, which `path` leads to.
    pub(super) fn over_one(&self, command: Command, path: &[String], given: &ArgMatches) -> Command {
        let own = self.settings.iter().filter(|((of, _), _)| of == path);
        let fits = own.filter(|((_, id), _)| !contradicts(&command, id, given));
        let fits: Vec<_> = fits.map(|((_, id), setting)| (id.clone(), setting.values.clone())).collect();
        fits.into_iter().fold(command, |command, (id, values)| {
            command.mut_arg(id.as_str(), |arg| arg.default_values(values.into_iter().map(OsStr::from)))
        })
    }
}

/// Follows the names of commands; the names as they are spelt in the definitions.
fn descend<'a>(root: &'a Command, names: &[String]) -> Result<(Vec<String>, &'a Command), String> {
    let (mut path, mut command) = (Vec::new(), root);
    for name in names {
        command = command.find_subcommand(name).ok_or_else(|| {
            let known = command.get_subcommands().filter(|command| has_settings(command)).map(Command::get_name);
            format!("there is no command {}{}", quoted(name), suggestion(name, known))
        })?;
        path.push(command.get_name().to_owned());
    }
    Ok((path, command))
}

fn has_settings(command: &Command) -> bool {
    command.get_arguments().any(is_setting) || command.get_subcommands().any(has_settings)
}

/// Whether an option can be a setting.
pub(super) fn is_setting(arg: &Arg) -> bool {
    !arg.is_hide_set() && arg.get_long().is_some_and(|long| !PER_RUN.contains(&long))
}

fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(key) && !arg.is_hide_set())
}

/// All commands below `root` that have the option.
fn everywhere<'a>(root: &'a Command, key: &str) -> Vec<(Vec<String>, &'a Arg)> {
    let mut found = Vec::new();
    for command in root.get_subcommands() {
        let name = command.get_name().to_owned();
        found.extend(option(command, key).map(|arg| (vec![name.clone()], arg)));
        let below = everywhere(command, key).into_iter();
        found.extend(below.map(|(path, arg)| ([vec![name.clone()], path].concat(), arg)));
    }
    found
}

fn unknown(root: &Command, command: &Command, entry: &ConfigEntry) -> String {
    let key = &entry.key;
    if PER_RUN.contains(&key.as_str()) {
        return format!("{} is about one run and cannot be a setting; give --{key} on the command line", quoted(key));
    }
    let of = match entry.tables.as_slice() {
        [] => "no command has".to_owned(),
        tables => format!("'qft {}' has not", tables.join(" ")),
    };
    let known: Vec<&str> = match entry.tables.is_empty() {
        true => root
            .get_subcommands()
            .flat_map(Command::get_arguments)
            .filter(|arg| is_setting(arg))
            .filter_map(Arg::get_long)
            .collect(),
        false => command.get_arguments().filter(|arg| is_setting(arg)).filter_map(Arg::get_long).collect(),
    };
    format!(
        "unknown setting {}: {of} the option --{}{}",
        quoted(key),
        escape(key.as_bytes()),
        suggestion(key, known.into_iter())
    )
}

/// `; did you mean "jobs"?` when one of the known names is close.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let name = name.to_lowercase();
    let distance = |known: &&str| strsim::osa_distance(&name, known);
    let near = known.map(|known| (distance(&known), known)).min();
    match near {
        Some((distance, near)) if distance <= SLIP_LETTERS && distance < near.len() => {
            format!("; did you mean {}?", quoted(near))
        }
        _ => String::new(),
    }
}

/// The values as the option takes them, if it does.
fn accept(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let long = arg.get_long().expect("it was found by its long name");
    let values = match (arg.get_action(), value) {
        (ArgAction::SetTrue | ArgAction::SetFalse, Value::Flag(flag)) => vec![flag.to_string()],
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => return Err(format!("{long} is true or false")),
        (ArgAction::Count, Value::Flag(flag)) => vec![u8::from(*flag).to_string()],
        (ArgAction::Append, Value::List(list)) => list.clone(),
        (_, Value::Text(text)) => vec![text.clone()],
        (ArgAction::Append, _) => return Err(format!("{long} is a list of texts: {long} = [\"...\", \"...\"]")),
        (ArgAction::Count, _) => return Err(format!("{long} is a number, 0 to 3")),
        (..) => return Err(format!("{long} is a text or a number, as after --{long}")),
    };
    values.iter().try_for_each(|value| try_value(arg, value))?;
    Ok(values)
}

/// Lets the option itself judge a value.
fn try_value(arg: &Arg, value: &str) -> Result<(), String> {
    let long = arg.get_long().expect("it was found by its long name");
    // Alone, it has nothing to conflict with and needs nothing.
    let mut same = Arg::new("value").long(long.to_owned()).value_parser(arg.get_value_parser().clone()).num_args(1);
    if let Some(names) = arg.get_value_names() {
        same = same.value_names(names.iter().cloned());
    }
    let line = format!("--{long}={value}");
    let judged = Command::new("qft").no_binary_name(true).arg(same).try_get_matches_from([line]);
    judged.map(drop).map_err(|error| in_one_line(&error.to_string()))
}

/// Whether an option that was given on the command line or in the environment excludes the one with this id.
fn contradicts(command: &Command, id: &Id, own: &ArgMatches) -> bool {
    let find = |id: &Id| command.get_arguments().find(|arg| arg.get_id() == id);
    let excludes =
        |one: &Arg, other: &Id| command.get_arg_conflicts_with(one).iter().any(|conflict| conflict.get_id() == other);
    let Some(arg) = find(id) else { return false };
    let mut given = command.get_arguments().filter(|other| {
        matches!(own.value_source(other.get_id().as_str()), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    });
    given.any(|other| excludes(arg, other.get_id()) || excludes(other, id))
}

/// Changes the command at the end of `path`.
fn change(command: Command, path: &[String], edit: &dyn Fn(Command) -> Command) -> Command {
    match path {
        [] => edit(command),
        [first, rest @ ..] => command.mut_subcommand(first, |inner| change(inner, rest, edit)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory as _;

    use super::super::file::entries;
    use super::*;
    use crate::cli::args::Cli;

    fn config(text: &str) -> ConfigFile {
        let path = Path::new("/h/config.toml");
        ConfigFile { path: path.to_owned(), entries: entries(path, text).expect("TOML") }
    }

    fn refusal(text: &str) -> String {
        SettingsLayer::new(&config(text), &Cli::command()).expect_err(text).to_string()
    }

    /// The values that an option has, when this was typed over these settings.
    fn values(text: &str, line: &[&str], id: &str) -> Vec<String> {
        let line = [&["qft"], line].concat();
        let given = Cli::command().try_get_matches_from(&line).expect("a command line");
        let layer = SettingsLayer::new(&config(text), &Cli::command()).expect("settings");
        let matches = layer.over(Cli::command(), &given).try_get_matches_from(&line).expect("parsed");
        let (_, own) = matches.subcommand().expect("a command");
        let raw = own.get_raw(id).into_iter().flatten();
        raw.map(|value| value.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_setting_is_a_default_and_a_flag_outweighs_it() {
        assert_eq!(values("[send]\njobs = 3", &["send", "f"], "jobs"), ["3"]);
        assert_eq!(values("[send]\njobs = 3", &["send", "f", "-j", "5"], "jobs"), ["5"]);
        assert_eq!(values("[send]\njobs = 3", &["get", "f"], "jobs"), ["16"], "of another command");
        assert_eq!(values("[send]\nexclude = ['a', 'b']", &["send", "f"], "exclude"), ["a", "b"]);
        assert_eq!(values("[send]\nexclude = ['a', 'b']", &["send", "f", "--exclude", "c"], "exclude"), ["c"]);
        assert_eq!(values("[serve]\nread_only = true", &["serve"], "read_only"), ["true"]);
        assert_eq!(values("verbose = 1", &["send", "f"], "verbose"), ["1"]);
    }

    #[test]
    fn a_setting_at_the_top_is_for_every_command_and_a_table_outweighs_it() {
        let text = "timeout = '7s'\n[get]\ntimeout = '9s'";
        assert_eq!(values(text, &["send", "f"], "timeout"), ["7s"]);
        assert_eq!(values(text, &["ls"], "timeout"), ["7s"]);
        assert_eq!(values(text, &["get", "f"], "timeout"), ["9s"]);
    }

    #[test]
    fn a_setting_gives_way_to_a_flag_that_contradicts_it() {
        assert_eq!(values("[serve]\nwrite-only = true", &["serve", "--read-only"], "write_only"), ["false"]);
        assert_eq!(values("[send]\nquiet = true", &["send", "f", "-v"], "quiet"), ["false"]);
    }

    #[test]
    fn mistakes_are_told_with_file_line_and_what_was_meant() {
        let table = [
            ("[send]\n\njbos = 3", "/h/config.toml:3: unknown setting \"jbos\"", "did you mean \"jobs\"?"),
            ("[sned]\njobs = 3", "/h/config.toml:1: there is no command \"sned\"", "did you mean \"send\"?"),
            ("time-out = '3s'", "/h/config.toml:1: unknown setting", "did you mean \"timeout\"?"),
            ("[send]\njobs = 0", "/h/config.toml:2: invalid value '0' for '--jobs", ""),
            ("[send]\nif-exists = 'no'", "/h/config.toml:2: invalid value 'no'", "replace, skip, rename, fail"),
            ("[serve]\nread-only = 'yes'", "/h/config.toml:2: read-only is true or false", ""),
            ("[send]\njobs = true", "/h/config.toml:2: jobs is a text or a number", ""),
            ("[send]\nexclude = true", "/h/config.toml:2: exclude is a list of texts", ""),
            ("[send]\nto = 'box'", "/h/config.toml:2: \"to\" is about one run", "--to"),
            ("[send]\nquiet.x = 1", "/h/config.toml:2: there is no command \"quiet\"", ""),
            ("[get]\nworkers = 2", "'qft get' has not the option --workers", ""),
            ("zzzzzz = 1", "no command has the option --zzzzzz", ""),
        ];
        for (text, start, part) in table {
            let said = refusal(text);
            assert!(said.contains(start) && said.contains(part) && !said.contains('\n'), "{text}: {said}");
        }
    }

    #[test]
    fn hidden_options_are_no_settings() {
        assert!(refusal("[send]\ncompress = true").contains("unknown setting"));
    }
}
