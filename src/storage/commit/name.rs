//! A final name: for what has been made complete under a temporary one.

use rustix::io::Errno;

use super::Durability;
use crate::protocol::path::WirePath;
use crate::storage::dir::Dir;
use crate::transfer::commit::{self, Naming, NoName, Replace};

/// Something under a temporary name, and the directory that it is in.
struct Unnamed<'a> {
    dir: &'a Dir,
    temporary: &'a [u8],
    sync: Durability,
}

impl Naming for Unnamed<'_> {
    type Error = Errno;

    fn replace(&self, name: &[u8]) -> Result<(), Errno> {
        self.dir.rename_replacing(self.temporary, name)
    }

    fn take(&self, name: &[u8]) -> Result<bool, Errno> {
        match self.dir.rename_no_replace(self.temporary, name, self.sync) {
            Err(Errno::EXIST) => Ok(false),
            renamed => renamed.map(|()| true),
        }
    }

    fn is_taken(&self, name: &[u8]) -> Result<bool, Errno> {
        match self.dir.stat(name) {
            Err(Errno::NOENT) => Ok(false),
            found => found.map(|_| true),
        }
    }
}

/// Renames within `dir`, the directory of `target`, in one step. Says which name it became. `sync` says whether a name that
/// is not replaced is told apart after a power cut, too.
pub(in crate::storage) fn give_final_name(
    dir: &Dir,
    temporary: &[u8],
    target: &WirePath,
    replace: Replace,
    sync: Durability,
) -> Result<WirePath, Errno> {
    commit::give_final_name(&Unnamed { dir, temporary, sync }, target, replace).map_err(errno_of)
}

/// Why there is no name, as the system says it.
pub(in crate::storage) fn errno_of(none: NoName<Errno>) -> Errno {
    match none {
        NoName::Taken => Errno::EXIST,
        NoName::TooLong => Errno::NAMETOOLONG,
        NoName::Failed(errno) => errno,
    }
}
