//! What a client asks for: to send files, or to get some.

use serde::{Deserialize, Serialize};

use crate::protocol::path::WirePath;

/// Rules for files that the client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Where the files go, below the served root; `None` is the root itself.
    pub to: Option<WirePath>,
    /// Whether `to` names a directory that the files go into, or may be the new name of a single file.
    pub target: Target,
    /// What happens to files that exist there and differ.
    pub if_exists: IfExists,
    /// Compare by content where size and time would have settled it.
    pub checksum: bool,
    /// Decide and answer, but change nothing.
    pub dry_run: bool,
    /// Continue from partial files.
    pub resume: bool,
}

/// How a destination is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A directory, made when it is missing.
    Directory,
    /// An existing directory if there is one, else the new name of the only file.
    FileOrDirectory,
}

/// What happens to a file that exists and differs from the offered one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IfExists {
    /// It is replaced atomically.
    #[default]
    Replace,
    /// It stays; the offer is skipped.
    Skip,
    /// It stays; the new file gets a free name (`name~1`), unless it has one already.
    Rename,
    /// It stays; the offer fails.
    Fail,
}

/// A request for files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// Paths or globs (`*`, `?`, `[…]`, `**`) below the served root; a trailing `/` asks for the contents.
    pub patterns: Vec<Vec<u8>>,
    /// gitignore-style lines that leave files out; `!` keeps.
    pub filters: Vec<String>,
    /// Send symbolic links as links instead of leaving them out.
    pub links: bool,
    /// Content may go ahead of the answers: the client expects to want it.
    pub ahead: bool,
}
