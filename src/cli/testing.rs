//! The parts of the command line that the fuzz targets reach.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::config::ConfigFile;
use crate::cli::target::remote::{Spec, parse_bare};

/// The name or host that an argument would make other programs call; empty where it names none.
///
/// # Errors
/// What the user is told.
pub fn remote(argument: &[u8]) -> Result<String, String> {
    match parse_bare(OsStr::from_bytes(argument)).map_err(|complaint| complaint.to_string())? {
        Spec::Name { name: target, .. }
        | Spec::Address { host: target, .. }
        | Spec::Ssh { destination: target, .. } => Ok(target),
        Spec::Url { .. } | Spec::Local { .. } => Ok(String::new()),
    }
}

/// How many settings a text has, as `/home/config.toml`.
///
/// # Errors
/// What the user is told.
pub fn settings(text: &str) -> Result<usize, String> {
    let checked = ConfigFile::of("/home/config.toml".into(), text).and_then(|config| config.check());
    checked.map_err(|error| format!("{error:#}"))
}
