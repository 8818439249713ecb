//! `qft config`: each setting, its value, and where that comes from.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory as _};
use serde_json::json;

use super::super::args::{Cli, ConfigArgs};
use super::super::exit::{Complaint, Exit};
use super::super::in_one_line;
use super::super::ui::json::Json;
use super::super::ui::text::shown;
use super::layer::{Setting, SettingsLayer, is_setting};
use super::{ConfigFile, FILE};
use crate::cli::args::environment;
use crate::cli::run::standard;
use crate::protocol::path::quoted;

/// Columns for a setting's name and its value.
const NAME_COLUMNS: usize = 14;
const VALUE_COLUMNS: usize = 30;

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let config = ConfigFile::load()?;
    let root = Cli::command();
    let layer = SettingsLayer::new(&config, &root)?;
    let sections = match args.line.split_first() {
        None => every_command(&layer, &root)?,
        Some(_) => vec![one_command(&layer, &root, &args.line)?],
    };
    match args.json {
        true => print_json(&config.path, &sections, args.line.is_empty()),
        false => print(&config.path, &sections, args.line.is_empty()),
    }
    Ok(Exit::Done)
}

/// The settings of one command.
struct Section {
    /// Its name, with those of the commands around it.
    name: String,
    rows: Vec<SettingRow>,
}

struct SettingRow {
    name: String,
    values: Vec<String>,
    source: SettingSource,
}

/// Where a value comes from.
enum SettingSource {
    Default,
    File(usize),
    Environment(String),
    Flag,
}

impl SettingSource {
    fn key(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(_) => "config",
            Self::Environment(_) => "env",
            Self::Flag => "flag",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File(line) => format!("{FILE}:{line}"),
            Self::Environment(name) => format!("${name}"),
            Self::Flag => "command line".to_owned(),
        }
    }
}

fn every_command(layer: &SettingsLayer, root: &Command) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::new();
    gather(layer, root, &[], &mut sections)?;
    Ok(sections)
}

fn gather(
    layer: &SettingsLayer,
    command: &Command,
    path: &[String],
    sections: &mut Vec<Section>,
) -> anyhow::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let path = [path, &[inner.get_name().to_owned()]].concat();
        if inner.get_arguments().any(is_setting) {
            sections.push(section(layer, inner, path.clone(), &[])?);
        }
        gather(layer, inner, &path, sections)?;
    }
    Ok(())
}

fn one_command(layer: &SettingsLayer, root: &Command, line: &[OsString]) -> anyhow::Result<Section> {
    let (mut command, mut path) = (root, Vec::new());
    while let Some(inner) = line.get(path.len()).and_then(|name| command.find_subcommand(name)) {
        command = inner;
        path.push(inner.get_name().to_owned());
    }
    let rest = &line[path.len()..];
    if !path.is_empty() && command.get_arguments().any(is_setting) {
        return section(layer, command, path, rest);
    }
    let known: Vec<String> = every_command(layer, root)?.into_iter().map(|section| section.name).collect();
    let words: Vec<_> = line.iter().take(path.len() + 1).map(|word| word.to_string_lossy()).collect();
    // Commands of this name in other programs open an editor.
    let is_edit =
        ["set", "unset", "edit", "init", "add"].iter().any(|verb| line.first().is_some_and(|word| word == verb));
    let edit = if is_edit { "; to change them, edit config.toml (qft config --help shows one)" } else { "" };
    let (words, known) = (words.join(" "), known.join(", "));
    Err(Complaint::Usage(format!("no settings for {}; there are some for {known}{edit}", quoted(&words))).into())
}

/// The options of a command as they would be if `rest` were typed behind its name.
fn section(layer: &SettingsLayer, command: &Command, path: Vec<String>, rest: &[OsString]) -> anyhow::Result<Section> {
    let options = bare(command);
    let misused = |error: clap::Error| Complaint::Usage(in_one_line(&error.to_string()));
    let given = options.clone().try_get_matches_from(rest).map_err(misused)?;
    let matches = layer.over_one(options, &path, &given).try_get_matches_from(rest).map_err(misused)?;
    let settings = command.get_arguments().filter(|arg| is_setting(arg));
    let rows = settings.map(|arg| row(arg, &matches, layer.get(&path, arg.get_id()))).collect();
    Ok(Section { name: path.join(" "), rows })
}

/// The command without what it cannot run without, and without its name in front.
fn bare(command: &Command) -> Command {
    let optional = |arg: Arg| arg.required(false).required_unless_present(Resettable::Reset);
    command.clone().mut_args(optional).no_binary_name(true).subcommand_required(false).arg_required_else_help(false)
}

fn row(arg: &Arg, matches: &ArgMatches, setting: Option<&Setting>) -> SettingRow {
    let id = arg.get_id().as_str();
    let raw = matches.get_raw(id).into_iter().flatten();
    let values: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
    let source = match (matches.value_source(id), setting) {
        (Some(ValueSource::CommandLine), _) => SettingSource::Flag,
        (Some(ValueSource::EnvVariable), _) => SettingSource::Environment(
            arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        ),
        // A setting that gave way to a contradicting flag has another value now.
        (_, Some(setting)) if values == setting.values => SettingSource::File(setting.line),
        _ => SettingSource::Default,
    };
    let name = arg.get_long().expect("a setting has a long name").to_owned();
    let values = if values.is_empty() { default_in_help(arg).into_iter().collect() } else { values };
    SettingRow { name, values, source }
}

/// A default that depends on the machine, or on other options, stands in the help alone.
fn default_in_help(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (_, behind) = help.split_once("[default: ")?;
    // It may have brackets itself.
    Some(behind.rsplit_once(']')?.0.to_owned())
}

fn print(path: &Path, sections: &[Section], variables: bool) {
    let there = if path.exists() { "" } else { " (there is none)" };
    let mut text = format!("{}{there}\n", shown(&path.to_string_lossy()));
    for section in sections {
        text.push_str(&format!("\n[{}]\n", section.name));
        for row in &section.rows {
            let value = match row.values.as_slice() {
                [] => "-".to_owned(),
                values => shown(&values.join(", ")).into_owned(),
            };
            let (name, source) = (&row.name, row.source.words());
            text.push_str(&format!("  {name:<NAME_COLUMNS$} {value:<VALUE_COLUMNS$} {source}\n"));
        }
    }
    if variables {
        text.push_str("\n[variables without an option]\n");
        for (name, value) in variables_here() {
            let value = value.map_or_else(|| "-".to_owned(), |value| shown(&value).into_owned());
            text.push_str(&format!("  {name:<NAME_COLUMNS$} {value}\n"));
        }
    }
    // A reader that has closed the pipe has seen enough.
    drop(standard::output().write_all(text.as_bytes()));
}

/// The variables of qft's own that no option stands for, with their values.
fn variables_here() -> Vec<(&'static str, Option<String>)> {
    fn has(command: &Command, name: &str) -> bool {
        let mut own = command.get_arguments().filter_map(Arg::get_env);
        own.any(|env| env == name) || command.get_subcommands().any(|inner| has(inner, name))
    }
    let root = Cli::command();
    let all = environment::without_option(|name| has(&root, name)).into_iter();
    all.map(|(name, value)| (name, value.map(|value| value.to_string_lossy().into_owned()))).collect()
}

fn print_json(path: &Path, sections: &[Section], variables: bool) {
    let mut json = Json::stdout();
    json.start("config", json!({ "path": path.to_string_lossy() }));
    for section in sections {
        for row in &section.rows {
            let mut body = json!({
                "command": section.name, "name": row.name, "values": row.values, "source": row.source.key(),
            });
            match &row.source {
                SettingSource::File(line) => body["line"] = (*line).into(),
                SettingSource::Environment(name) => body["variable"] = name.as_str().into(),
                SettingSource::Default | SettingSource::Flag => {}
            }
            json.note("setting", body);
        }
    }
    if variables {
        for (name, value) in variables_here() {
            json.note("variable", json!({ "variable": name, "value": value }));
        }
    }
    json.end(None, Exit::Done, json!({}));
}
