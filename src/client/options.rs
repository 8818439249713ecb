//! How files are sent and fetched.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JOBS;
use crate::protocol::message::{IfExists, ListedName, Target};
use crate::protocol::path::WirePath;
use crate::storage::Links;

/// How files are sent.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// Where the files go, below the served root; `None` is the root itself.
    pub to: Option<WirePath>,
    /// Whether `to` is a directory, or may be the new name of a single file.
    pub target: Target,
    /// What happens to files that exist there and differ.
    pub if_exists: IfExists,
    /// Compare by content where size and time would have settled it.
    pub checksum: bool,
    /// Decide and report, but change nothing.
    pub dry_run: bool,
    /// Continue from partial files.
    pub resume: bool,
    /// Files whose content moves at the same time.
    pub jobs: NonZeroUsize,
    /// gitignore-style patterns of what to leave out.
    pub excludes: Vec<String>,
    /// Patterns of what to keep although an exclude matches.
    pub includes: Vec<String>,
    /// What becomes of symbolic links inside directories.
    pub links: Links,
    /// Do not go into directories of another file system than that of what was named.
    pub one_file_system: bool,
    /// Of the one directory that is named: not its contents, but these, each under its own path.
    pub names: Option<Arc<[ListedName]>>,
    /// The directory that the files go to, where it is one of this machine: it is not sent into itself.
    pub destination: Option<PathBuf>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            to: None,
            target: Target::Directory,
            if_exists: IfExists::Replace,
            checksum: false,
            dry_run: false,
            resume: true,
            jobs: JOBS,
            excludes: Vec::new(),
            includes: Vec::new(),
            links: Links::Skip,
            one_file_system: false,
            names: None,
            destination: None,
        }
    }
}

/// How files are fetched.
#[derive(Debug, Clone)]
pub struct GetOptions {
    /// Whether the destination is a directory, or may be the new name of a single file.
    pub target: Target,
    /// What happens to files that exist here and differ.
    pub if_exists: IfExists,
    /// Compare by content where size and time would have settled it.
    pub checksum: bool,
    /// Decide and report, but change nothing.
    pub dry_run: bool,
    /// Continue from partial files.
    pub resume: bool,
    /// gitignore-style patterns of what to leave out.
    pub excludes: Vec<String>,
    /// Patterns of what to keep although an exclude matches.
    pub includes: Vec<String>,
    /// Copy symbolic links as links instead of leaving them out.
    pub links: bool,
    /// Do not go into directories of another file system than that of what was named.
    pub one_file_system: bool,
    /// Of the one directory that is named: not its contents, but these, each under its own path.
    pub names: Option<Arc<[ListedName]>>,
    /// Whether a file is durable before it counts as done.
    pub sync: bool,
    /// One file is wanted: a directory, or a second file, ends the job with an error before it begins.
    pub single: bool,
}

impl GetOptions {
    /// The directory that files are put into when they are got to `into`: that itself, or where it lies if it is the new
    /// name of a file.
    pub(crate) fn directory<'a>(&self, into: &'a Path) -> &'a Path {
        let is_name = self.target == Target::FileOrDirectory && !into.is_dir() && into.file_name().is_some();
        let dir = if is_name { into.parent().unwrap_or_else(|| Path::new("")) } else { into };
        if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
    }
}

impl Default for GetOptions {
    fn default() -> Self {
        Self {
            target: Target::Directory,
            if_exists: IfExists::Replace,
            checksum: false,
            dry_run: false,
            resume: true,
            excludes: Vec::new(),
            includes: Vec::new(),
            links: false,
            one_file_system: false,
            names: None,
            sync: true,
            single: false,
        }
    }
}
