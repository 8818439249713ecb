//! How files are sent and fetched: what both have, and what each has alone.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JOBS;
use crate::protocol::message::{IfExists, ListedName, Target};
use crate::protocol::path::WirePath;
use crate::storage::Links;

/// The options of a job of either direction.
#[derive(Debug, Clone)]
pub struct TransferOptions {
    /// Whether the destination is a directory, or may be the new name of a single file.
    pub target: Target,
    /// The rule for files that exist there and differ.
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
    /// Do not go into directories of another file system than that of what was named.
    pub one_file_system: bool,
    /// Of the one directory that is named: not its contents, but these, each under its own path.
    pub names: Option<Arc<[ListedName]>>,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            target: Target::Directory,
            if_exists: IfExists::Replace,
            checksum: false,
            dry_run: false,
            resume: true,
            excludes: Vec::new(),
            includes: Vec::new(),
            one_file_system: false,
            names: None,
        }
    }
}

/// How files are sent.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// The options that getting has as well.
    pub transfer: TransferOptions,
    /// Where the files go, below the served root; `None` is the root itself.
    pub to: Option<WirePath>,
    /// Files whose content moves at the same time.
    pub jobs: NonZeroUsize,
    /// The rule for symbolic links inside directories.
    pub links: Links,
    /// The directory that the files go to, where it is one of this machine: it is not sent into itself.
    pub destination: Option<PathBuf>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { transfer: TransferOptions::default(), to: None, jobs: JOBS, links: Links::Skip, destination: None }
    }
}

impl From<TransferOptions> for SendOptions {
    fn from(transfer: TransferOptions) -> Self {
        Self { transfer, ..Self::default() }
    }
}

/// How files are fetched.
#[derive(Debug, Clone)]
pub struct GetOptions {
    /// The options that sending has as well.
    pub transfer: TransferOptions,
    /// Copy symbolic links as links instead of leaving them out.
    pub links: bool,
    /// Whether a file is durable before it counts as done.
    pub sync: bool,
    /// One file is wanted: a directory, or a second file, ends the job with an error before it begins.
    pub single: bool,
}

impl GetOptions {
    /// The directory that files are put into when they are got to `into`: that itself, or where it lies if it is the new
    /// name of a file.
    pub(crate) fn directory<'a>(&self, into: &'a Path) -> &'a Path {
        let is_name = self.transfer.target == Target::FileOrDirectory && !into.is_dir() && into.file_name().is_some();
        let dir = if is_name { into.parent().unwrap_or_else(|| Path::new("")) } else { into };
        if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
    }
}

impl Default for GetOptions {
    fn default() -> Self {
        Self { transfer: TransferOptions::default(), links: false, sync: true, single: false }
    }
}

impl From<TransferOptions> for GetOptions {
    fn from(transfer: TransferOptions) -> Self {
        Self { transfer, ..Self::default() }
    }
}
