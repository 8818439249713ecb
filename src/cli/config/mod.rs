//! Settings: `config.toml` in the home, with the names of the long options.
//!
//! There is no second list of options: what a key may be, and which values it takes, is asked of the command line's own
//! definitions. A setting becomes the default of its option, so flags and `QFT_*` variables outweigh it by clap's rules.
//!
//! | file | noun |
//! |---|---|
//! | `file` | what is written in the file, and on which line |
//! | `layer` | the file laid over the options |
//! | `tilde` | `~` where no shell has made a path of it |
//! | `show` | `qft config` |

mod file;
mod layer;
mod show;
pub(super) mod tilde;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use self::file::ConfigEntry;
use self::layer::SettingsLayer;
use super::args::Cli;
use crate::keys::{self, HomeError, Privacy, read_home_file};

pub(crate) use self::show::run;

/// The file's name in the home.
const FILE: &str = "config.toml";

/// Commands that must work whatever the file says: they show what is wrong with it, or do not need it.
const FORGIVING: [&str; 7] = ["__complete", "completions", "config", "doctor", "id", "man", "status"];

/// The file, read but not understood yet.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    entries: Vec<ConfigEntry>,
}

impl ConfigFile {
    /// Reads the file in `home`; a missing one has no entries.
    ///
    /// # Errors
    /// The file cannot be read, others can write to it, or it is no TOML.
    pub(crate) fn read(home: &Path) -> anyhow::Result<Self> {
        let path = home.join(FILE);
        // It decides what is served and to whom, so it is as much a matter of trust as the lists.
        let text = read_home_file(&path, Privacy::List)?.map(|(text, _)| text).unwrap_or_default();
        Self::of(path, &text)
    }

    /// The settings in a text that stands in the file at `path`.
    pub(super) fn of(path: PathBuf, text: &str) -> anyhow::Result<Self> {
        let entries = file::entries(&path, text)?;
        Ok(Self { path, entries })
    }

    /// Reads the file in this installation's home. Without a home there are no settings.
    ///
    /// # Errors
    /// As [`ConfigFile::read`].
    pub(crate) fn load() -> anyhow::Result<Self> {
        match keys::home() {
            Ok(home) => Self::read(&home),
            Err(HomeError::Unknown) => Ok(Self { path: FILE.into(), entries: Vec::new() }),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks every setting against the options, and says how many there are.
    ///
    /// # Errors
    /// The first setting that no option has, or whose value its option does not take.
    pub(crate) fn check(&self) -> anyhow::Result<usize> {
        SettingsLayer::new(self, &Cli::command())?;
        Ok(self.entries.len())
    }
}

/// Why there is nothing to run.
pub(crate) enum ConfigRefusal {
    /// Clap's complaint about the command line, or the help that was asked for.
    Clap(clap::Error),
    /// The error in the settings.
    Settings(anyhow::Error, &'static str),
}

impl From<clap::Error> for ConfigRefusal {
    fn from(error: clap::Error) -> Self {
        Self::Clap(error)
    }
}

/// Parses a command line, with the settings behind it.
///
/// The command line is parsed twice: what is wrong with it, or the help that it asks for, has nothing to do with the
/// settings, and a setting that contradicts an option given gives way.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, ConfigRefusal> {
    let given = Cli::command().try_get_matches_from(args)?;
    let plain = Cli::from_arg_matches(&given)?;
    let name = plain.command.name();
    let command = match layered(&given) {
        Ok(Some(command)) => command,
        Ok(None) => return Ok(plain),
        Err(_) if FORGIVING.contains(&name) => return Ok(plain),
        Err(error) => return Err(ConfigRefusal::Settings(error, name)),
    };
    Ok(Cli::from_arg_matches(&command.try_get_matches_from(args)?)?)
}

/// The command line with the settings as defaults; `None` when there are no settings.
fn layered(given: &ArgMatches) -> anyhow::Result<Option<clap::Command>> {
    let config = ConfigFile::load()?;
    if config.entries.is_empty() {
        return Ok(None);
    }
    let command = Cli::command();
    let layer = SettingsLayer::new(&config, &command)?;
    Ok(Some(layer.over(command, given)))
}
