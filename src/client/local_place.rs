//! The place on this machine that files are got to.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::Error;
use crate::protocol::message::Target;
use crate::protocol::path::{WirePath, escape_path};
use crate::storage::{Cause as _, Destination, Op, Root, StorageError};

/// Where the files go: a directory that exists, and the name of what may be new in it.
#[derive(Clone)]
pub(super) struct LocalPlace {
    pub(super) root: Destination,
    pub(super) to: Option<WirePath>,
}

impl LocalPlace {
    /// Finds it, and makes a directory that is missing. Blocks on the disk.
    pub(super) fn find(into: &Path, target: Target, dry_run: bool, durable: bool) -> Result<Self, Error> {
        let new_name = target == Target::FileOrDirectory && !into.is_dir();
        let into = if new_name { followed(into)? } else { into.to_owned() };
        let into = into.as_path();
        let (directory, name) = match (new_name, into.file_name()) {
            (true, Some(name)) => (into.parent().unwrap_or_else(|| Path::new("")), Path::new(name)),
            _ => (into, Path::new("")),
        };
        // A dry run makes no directory: what is missing becomes part of the name.
        let there = if dry_run { existing(directory) } else { directory };
        let missing = directory.strip_prefix(there).unwrap_or_else(|_| Path::new("")).join(name);
        // Joining nothing leaves a slash at the end.
        let missing: PathBuf = missing.components().collect();
        let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
        let named = !missing.as_os_str().is_empty();
        let to = named.then(|| WirePath::from_path(&missing)).transpose();
        let to = to.map_err(|error| Error::Usage(format!("cannot write to {}: {error}", into.display())))?;
        let root = if dry_run { Root::open(there)? } else { Root::create(there)? };
        if durable {
            root.sync_names_above();
        }
        // It is the user's own directory: links that he has put there stand for what they lead to.
        Ok(Self { root: root.destination().keeping_dirlinks(SystemTime::now()), to })
    }
}

/// Where a file goes that was given this name: a link to a file stands for that file. What is neither is never replaced.
fn followed(into: &Path) -> Result<PathBuf, Error> {
    let refused = |what: &str| {
        let shown = escape_path(into);
        Err(Error::Usage(format!("{shown} is {what}, which is not replaced by a file; '-' writes to standard output")))
    };
    let unknown = |error| Error::from(StorageError::new(Op::Stat, into, error));
    match into.symlink_metadata() {
        // Whoever goes on with it says why it cannot be had.
        Err(error) if error.kind_of_failure().is_answer() => Ok(into.to_owned()),
        Err(error) => Err(unknown(error)),
        Ok(found) if found.is_file() => Ok(into.to_owned()),
        Ok(found) if !found.is_symlink() => refused("no regular file"),
        // Links in /proc only look like links to files; `/dev/stdout` leads there.
        Ok(_) if leads_to_proc(into) => refused("a link to an open file"),
        Ok(_) => match into.canonicalize() {
            Ok(place) if place.is_file() => Ok(place),
            Ok(_) => refused("a link to no regular file"),
            Err(error) if error.kind_of_failure().is_answer() => refused("a link to nothing"),
            Err(error) => Err(unknown(error)),
        },
    }
}

/// Whether a link, or one that it leads to, is one of `/proc`.
fn leads_to_proc(link: &Path) -> bool {
    let mut at = link.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = at.read_link() else { return false };
        at = at.parent().unwrap_or_else(|| Path::new("")).join(target);
        let parent = at.parent().unwrap_or_else(|| Path::new("/"));
        if parent.canonicalize().is_ok_and(|parent| parent.starts_with("/proc")) {
            return true;
        }
    }
    // They lead round in a circle.
    false
}

/// Links that a name may lead through (Linux).
const LINKS_MAX: usize = 40;

/// The innermost directory of a path that exists; empty for the current one.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|place| place.exists()).unwrap_or_else(|| Path::new(""))
}
