//! Whether a list has changed since it was read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::keys::home::HomeError;

/// Tells one state of the lists from another; `None` for a list that there is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub(super) clients: Option<FileStamp>,
    pub(super) revoked: Option<FileStamp>,
}

/// Tells one state of a file from another. A replaced file has another inode, an edited one another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// How a file is now; `None` when there is none.
    pub(super) fn of(path: PathBuf) -> Result<Option<Self>, HomeError> {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(HomeError::Io { op: "examine", path, source }),
        };
        Ok(Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }))
    }
}
