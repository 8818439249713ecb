//! A tree of files as a value: what should be there, and what is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// What has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) mode: u32,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Directory,
    File(Vec<u8>),
    Link(Vec<u8>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory => f.write_str("directory"),
            Self::File(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Link(_) => f.write_str("link"),
        }
    }
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        self.content == Content::Directory
    }

    /// As a copy of it is.
    pub(crate) fn copied(&self) -> Self {
        Self { mode: self.mode & !umask(), ..self.clone() }
    }
}

/// The permission bits that are taken from whatever is made, by the programs that this one starts as well.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says so");
    let stated = status.lines().find_map(|line| line.strip_prefix("Umask:")).expect("Linux says so");
    u32::from_str_radix(stated.trim(), 8).expect("octal digits")
}

/// Everything below a directory by its path there, but for unfinished files.
pub(crate) type Tree = BTreeMap<String, Node>;

pub(crate) fn read(top: &Path) -> Tree {
    let mut tree = Tree::new();
    read_into(top, "", &mut tree);
    tree
}

fn read_into(dir: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.expect("readable");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if name.ends_with(".qft-part") {
            continue;
        }
        let (path, meta) = (entry.path(), entry.metadata().expect("it is there"));
        let content = match (meta.is_dir(), meta.is_symlink()) {
            (true, _) => Content::Directory,
            (_, true) => Content::Link(fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()),
            _ => Content::File(fs::read(&path).expect("readable")),
        };
        let (mode, mtime) = match content {
            // Nobody promises these of a link.
            Content::Link(_) => (0, (0, 0)),
            _ => (meta.permissions().mode() & 0o7777, (meta.mtime(), meta.mtime_nsec())),
        };
        if content == Content::Directory {
            read_into(&path, &format!("{name}/"), tree);
        }
        tree.insert(name, Node { content, mode, mtime });
    }
}
