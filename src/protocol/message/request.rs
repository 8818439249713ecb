//! The requests of a client: to send files, or to get some.

use serde::{Deserialize, Serialize};

use super::Message;
use crate::protocol::path::WirePath;
use crate::protocol::{NAMES_BYTES_MAX, NAMES_MAX};

/// Rules for files that the client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Where the files go, below the served root; `None` is the root itself.
    pub to: Option<WirePath>,
    /// Whether `to` names a directory that the files go into, or may be the new name of a single file.
    pub target: Target,
    /// The rule for files that exist there and differ.
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

/// The rule for a file that exists and differs from the offered one.
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
    pub early: bool,
}

/// A request for files that says more than a [`Get`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// The patterns and filters, as in any `Get`.
    pub get: Get,
    /// Directories on another file system than that of what was named are sent without what is in them.
    pub one_file_system: bool,
    /// What is wanted is a list of names, in the [`Names`] that follow. The pattern of `get`, which is its only one, is the
    /// directory that they are below.
    pub listed: bool,
}

/// Some names of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// They are no patterns.
    pub names: Vec<ListedName>,
    /// Whether the list ends here.
    pub is_last: bool,
}

/// One name of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListedName {
    /// Where it is, below the directory of the list; it keeps this name, and each directory in it is sent too.
    pub path: WirePath,
    /// Of a directory: all that is in it, and not itself alone.
    pub whole: bool,
}

impl Names {
    /// A list in as few messages as may be sent.
    pub fn of(names: &[ListedName]) -> impl Iterator<Item = Message> + '_ {
        let mut rest = Some(names);
        std::iter::from_fn(move || {
            let names = rest.take()?;
            let (now, later) = names.split_at(fitting(names));
            rest = (!later.is_empty()).then_some(later);
            Some(Message::Names(Self { names: now.to_vec(), is_last: rest.is_none() }))
        })
    }
}

/// How many names from the first on make a message; one at least, if there is one.
fn fitting(names: &[ListedName]) -> usize {
    /// The length of the path and the flag.
    const NAME_OVERHEAD: usize = 4;
    let mut room = NAMES_BYTES_MAX;
    let fits = |name: &&ListedName| {
        let left = room.checked_sub(name.path.as_bytes().len() + NAME_OVERHEAD);
        room = left.unwrap_or(0);
        left.is_some()
    };
    names.iter().take(NAMES_MAX).take_while(fits).count().max(usize::from(!names.is_empty()))
}
