//! The path behind a remote: a destination, a pattern, a directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::cli::config::tilde::{expand, is_tilde};
use crate::cli::exit::Complaint;
use crate::protocol::path::{WirePath, escape};

/// A destination on a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemotePath {
    /// `None` is the served root.
    pub(crate) to: Option<WirePath>,
    /// Whether it is written as a directory: empty, or with a `/` at its end.
    pub(crate) is_directory: bool,
}

/// Reads the path of a destination. Paths are relative to the served root; a leading `/` is that root too.
pub(crate) fn destination(path: &[u8]) -> Result<RemotePath, Complaint> {
    let is_directory = path.split(|b| *b == b'/').next_back().is_none_or(|last| last.is_empty() || last == b".");
    Ok(RemotePath { to: wire_path(path)?, is_directory })
}

/// A destination behind ssh. What its path means is found out there.
pub(crate) fn far_destination(path: &[u8]) -> RemotePath {
    RemotePath { to: None, is_directory: far_name(path).is_none() }
}

/// Splits a destination behind ssh into directory and name; `None` when it is written as a directory.
pub(crate) fn far_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    let (dir, name) = path.split_at(start);
    (!matches!(name, b"" | b"." | b".." | b"~")).then_some((dir, name))
}

/// Reads a path or glob to ask a remote for. The root is the empty pattern; a `/` at the end stays, since it
/// asks for a directory's contents.
pub(crate) fn pattern(path: &[u8]) -> Result<Vec<u8>, Complaint> {
    let Some(plain) = wire_path(path)? else { return Ok(Vec::new()) };
    let mut pattern = plain.as_bytes().to_vec();
    if path.ends_with(b"/") {
        pattern.push(b'/');
    }
    Ok(pattern)
}

/// `path` below `base`, the path that a default remote was given with.
pub(crate) fn below(base: &[u8], path: &[u8]) -> Vec<u8> {
    match base.is_empty() || base.ends_with(b"/") || path.is_empty() {
        true => [base, path].concat(),
        false => [base, b"/", path].concat(),
    }
}

/// The path of a `local:` argument, where no shell expands a `~`.
pub(crate) fn local_path(path: &[u8]) -> Result<PathBuf, Complaint> {
    match path {
        b"" => Ok(PathBuf::from(".")),
        _ => expand(OsStr::from_bytes(path)),
    }
}

/// A server has no home directories: what it serves is where its paths begin.
fn refuse_tilde(path: &[u8]) -> Result<(), Complaint> {
    match is_tilde(path) {
        true => {
            let shown = escape(path);
            let home = path.split_inclusive(|b| *b == b'/').next().unwrap_or_default();
            Err(Complaint::Usage(format!(
                "{shown}: a server's paths begin at the directory that it serves: leave out '{}', or write './{shown}' \
                 for what is called so there",
                escape(home)
            )))
        }
        false => Ok(()),
    }
}

/// What the user typed, without empty and `.` components. Unlike a peer's names these may be tidied: they
/// are the user's own, and `box:./x` and `box:a//b` are common.
fn wire_path(path: &[u8]) -> Result<Option<WirePath>, Complaint> {
    refuse_tilde(path)?;
    let plain: Vec<&[u8]> =
        path.split(|b| *b == b'/').filter(|component| !component.is_empty() && *component != b".").collect();
    if plain.is_empty() {
        return Ok(None);
    }
    if plain.contains(&&b".."[..]) {
        return Err(Complaint::Usage(format!("{}: a path on a remote has no '..' in it", escape(path))));
    }
    let plain = plain.join(&b'/');
    WirePath::parse(&plain).map(Some).map_err(|error| Complaint::Usage(format!("{}: {error}", escape(path))))
}
