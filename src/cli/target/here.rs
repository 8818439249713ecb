//! What this machine knows of the words of a command line: which of them are files, and of what kind; which are names
//! of remotes or of ssh's hosts.

use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::cli::ssh::config_hosts;
use crate::keys;
use crate::keys::trust::Remotes;

/// The object that a path leads to, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathKind {
    /// Nothing, as far as can be told.
    Missing,
    Directory,
    /// A file with a size.
    File,
    /// A pipe or a socket: content without a size.
    Pipe,
    /// A terminal, `/dev/null` and their like.
    Device,
}

impl PathKind {
    pub(crate) fn of(path: &Path) -> Self {
        let Ok(meta) = path.metadata() else { return Self::Missing };
        let kind = meta.file_type();
        match () {
            () if kind.is_dir() => Self::Directory,
            () if kind.is_fifo() || kind.is_socket() => Self::Pipe,
            () if kind.is_char_device() || kind.is_block_device() => Self::Device,
            () => Self::File,
        }
    }

    /// Its name for people; `None` for what files and directories are.
    pub(crate) fn oddity(self) -> Option<&'static str> {
        match self {
            Self::Pipe => Some("a pipe"),
            Self::Device => Some("a device"),
            Self::Missing | Self::Directory | Self::File => None,
        }
    }
}

/// The object whose name a bare word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordMeaning {
    /// A remote of the list.
    Remote,
    /// A host that ssh's configuration names.
    SshHost,
}

/// Tells whose name a word is; `None`: nobody's.
pub(crate) type WordMeanings = Box<dyn Fn(&str) -> Option<WordMeaning>>;

/// The facts that this machine knows; the planner's tests make up their own.
pub(crate) struct LocalContext {
    /// `$QFT_REMOTE`.
    pub(crate) remote: Option<OsString>,
    /// The kind of a path.
    pub(crate) kind: Box<dyn Fn(&Path) -> PathKind>,
    /// The things that a word can be the name of.
    pub(crate) known: WordMeanings,
}

impl LocalContext {
    /// This machine, with the value of the variable that names the default remote.
    pub(crate) fn new(remote: Option<OsString>) -> Self {
        Self { remote, kind: Box::new(PathKind::of), known: Box::new(known) }
    }

    /// Whether a path is a directory.
    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        (self.kind)(path) == PathKind::Directory
    }
}

/// A list that cannot be read is told of when it is needed.
fn known(word: &str) -> Option<WordMeaning> {
    let remote = keys::home().ok().filter(|home| home.is_dir()).and_then(|home| Remotes::open(&home).ok());
    if remote.and_then(|remotes| remotes.find(word).ok()).flatten().is_some() {
        return Some(WordMeaning::Remote);
    }
    is_ssh_host(word).then_some(WordMeaning::SshHost)
}

/// Whether `~/.ssh/config` has a section for this host by its name.
pub(crate) fn is_ssh_host(word: &str) -> bool {
    let dir = std::env::home_dir().map(|home| home.join(".ssh")).unwrap_or_default();
    config_hosts(&dir).iter().any(|host| host.eq_ignore_ascii_case(word))
}
