//! `qft config`: each setting, its value, and where that comes from.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory as _};
use serde_json::json;

use super::super::args::{Cli, ConfigArgs};
use super::super::exit::{Complaint, Exit};
use super::super::in_one_line;
use super::super::ui::json::Json;
use super::super::ui::text::shown;
use super::layer::{Layer, Setting, is_setting};
use super::{Config, FILE};

/// Columns for a setting's name and its value.
const NAME_COLUMNS: usize = 14;
const VALUE_COLUMNS: usize = 30;

/// Runs the command.
pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let config = Config::load()?;
    let root = Cli::command();
    let layer = Layer::new(&config, &root)?;
    let sections = match args.line.split_first() {
        None => every_command(&layer, &root)?,
        Some((name, rest)) => vec![one_command(&layer, &root, name, rest)?],
    };
    match args.json {
        true => print_json(&config.path, &sections),
        false => print(&config.path, &sections),
    }
    Ok(Exit::Done)
}

/// The settings of one command.
struct Section {
    /// Its name, with those of the commands around it.
    name: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    values: Vec<String>,
    source: Source,
}

/// Where a value comes from.
enum Source {
    Default,
    File(usize),
    Environment(String),
    Flag,
}

impl Source {
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

fn every_command(layer: &Layer, root: &Command) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::new();
    gather(layer, root, &[], &mut sections)?;
    Ok(sections)
}

fn gather(layer: &Layer, command: &Command, path: &[String], sections: &mut Vec<Section>) -> anyhow::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let path = [path, &[inner.get_name().to_owned()]].concat();
        if inner.get_arguments().any(is_setting) {
            sections.push(section(layer, inner, path.clone(), &[])?);
        }
        gather(layer, inner, &path, sections)?;
    }
    Ok(())
}

fn one_command(layer: &Layer, root: &Command, name: &OsString, rest: &[OsString]) -> anyhow::Result<Section> {
    let found = root.find_subcommand(name).filter(|command| command.get_arguments().any(is_setting));
    let command = found.ok_or_else(|| {
        let known: Vec<_> = root
            .get_subcommands()
            .filter(|command| command.get_arguments().any(is_setting))
            .map(Command::get_name)
            .collect();
        // What other programs' commands of this name do.
        let is_edit = ["set", "unset", "edit", "init", "add"].iter().any(|verb| name == verb);
        let edit = if is_edit { "; to change them, edit config.toml (qft config --help shows one)" } else { "" };
        Complaint::Usage(format!(
            "no settings for {:?}; there are some for {}{edit}",
            name.to_string_lossy(),
            known.join(", ")
        ))
    })?;
    section(layer, command, vec![command.get_name().to_owned()], rest)
}

/// What a command's options would be if `rest` were typed behind its name.
fn section(layer: &Layer, command: &Command, path: Vec<String>, rest: &[OsString]) -> anyhow::Result<Section> {
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
    let optional = |arg: Arg| arg.required(false);
    command.clone().mut_args(optional).no_binary_name(true).subcommand_required(false).arg_required_else_help(false)
}

fn row(arg: &Arg, matches: &ArgMatches, setting: Option<&Setting>) -> Row {
    let id = arg.get_id().as_str();
    let raw = matches.get_raw(id).into_iter().flatten();
    let values: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
    let source = match (matches.value_source(id), setting) {
        (Some(ValueSource::CommandLine), _) => Source::Flag,
        (Some(ValueSource::EnvVariable), _) => {
            Source::Environment(arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
        }
        // A setting that gave way to a contradicting flag has another value now.
        (_, Some(setting)) if values == setting.values => Source::File(setting.line),
        _ => Source::Default,
    };
    let name = arg.get_long().expect("a setting has a long name").to_owned();
    Row { name, values, source }
}

fn print(path: &Path, sections: &[Section]) {
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
    // Whoever closed the pipe has seen enough.
    drop(io::stdout().write_all(text.as_bytes()));
}

fn print_json(path: &Path, sections: &[Section]) {
    let mut json = Json::stdout();
    json.start("config", json!({ "path": path.to_string_lossy() }));
    for section in sections {
        for row in &section.rows {
            let mut body = json!({
                "command": section.name, "name": row.name, "values": row.values, "source": row.source.key(),
            });
            match &row.source {
                Source::File(line) => body["line"] = (*line).into(),
                Source::Environment(name) => body["variable"] = name.as_str().into(),
                Source::Default | Source::Flag => {}
            }
            json.note("setting", body);
        }
    }
    json.end(None, Exit::Done, json!({}));
}
