//! A part's final name.

use rustix::io::Errno;

use super::{Commit, Replace};
use crate::protocol::path::WirePath;
use crate::storage::error::{Op, StorageError, failed};
use crate::storage::part::Part;

/// Highest number that [`Replace::RenameFree`] tries.
const FREE_NAMES_MAX: u32 = 9999;

pub(super) fn give_final_name(commit: &Commit) -> Result<WirePath, StorageError> {
    let (part, target) = (&commit.part, commit.part.target());
    let (dir, from) = (part.dir(), part.name());
    match commit.replace {
        Replace::Yes => dir.rename(from, target.name()),
        Replace::No | Replace::RenameFree => dir.rename_no_replace(from, target.name()),
    }
    .map(|()| target.clone())
    .or_else(|errno| match (errno, commit.replace) {
        (Errno::EXIST, Replace::RenameFree) => rename_free(part),
        _ => Err(errno),
    })
    .map_err(failed(Op::Rename, target.as_path()))
}

fn rename_free(part: &Part) -> Result<WirePath, Errno> {
    for number in 1..=FREE_NAMES_MAX {
        let mut path = part.target().as_bytes().to_vec();
        path.extend_from_slice(format!("~{number}").as_bytes());
        let path = WirePath::parse(&path).map_err(|_| Errno::NAMETOOLONG)?;
        match part.dir().rename_no_replace(part.name(), path.name()) {
            Err(Errno::EXIST) => {}
            settled => return settled.map(|()| path),
        }
    }
    Err(Errno::EXIST)
}
