//! Names of ours in directories of the user's. They begin with a dot and end like part files, so that no peer can choose them
//! and no walk finds them. Some disks refuse a leading dot, as servers of network file systems can be told to: there they
//! have none.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::dir::Dir;
use super::file_system::NameObjection;
use super::part_name::without_dot;
use crate::protocol::path::PART_SUFFIX;

/// How often and how long a disk is waited for that has not heard yet that a file was closed: the kernel tells a file system in
/// user space later than the call ends, usually within a millisecond, and on a busy machine when that one has its turn.
const CLOSING_LOOKS: u32 = 100;
const CLOSING_LOOK: Duration = Duration::from_millis(5);

/// A name that nobody else uses, for what is there for a moment.
pub(super) fn scratch_name(purpose: &str) -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    [format!(".qft-{purpose}-{}-{number}", std::process::id()).as_bytes(), PART_SUFFIX].concat()
}

/// Calls again, for a while, what a disk refuses while a file is open that was just closed; `may_be_open` says whether an error
/// may be such a refusal.
pub(super) fn once_closed<T, E>(
    mut call: impl FnMut() -> Result<T, E>,
    may_be_open: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 0..CLOSING_LOOKS {
        match call() {
            Err(error) if may_be_open(&error) => thread::sleep(CLOSING_LOOK),
            settled => return settled,
        }
    }
    call()
}

impl Dir {
    /// Makes something under a name of ours; where the disk refuses its leading dot, under the same name without it. Says
    /// under which.
    pub(super) fn with_or_without_dot<'a, T>(
        &self,
        name: &'a [u8],
        make: impl Fn(&[u8]) -> Result<T, Errno>,
    ) -> Result<(T, &'a [u8]), Errno> {
        match make(name) {
            Err(error) if self.may_object_to(NameObjection::Dot, error) => {
                // If that is not why, it fails as well, and the first error says why.
                let dotless = without_dot(name);
                make(dotless).map(|made| (made, dotless)).map_err(|_| error)
            }
            made => made.map(|made| (made, name)),
        }
    }

    /// Lets a new file of a [`scratch_name`] be looked at, with the name that it got, and removes it.
    pub(super) fn with_scratch_file<T>(&self, name: &[u8], look: impl FnOnce(&File, &[u8]) -> T) -> Result<T, Errno> {
        let make = |name: &[u8]| self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL);
        let (file, name) = self.with_or_without_dot(name, make)?;
        let seen = look(&file, name);
        self.remove_open(name, || drop(file))?;
        Ok(seen)
    }

    /// Removes a file that we have open; it stays open as long as that is possible, and is closed by `close` where it is not.
    /// File systems in user space and of networks give such a file another name instead, which begins with a dot. Where they
    /// refuse that, or to rename what is open, the file is closed first.
    pub(super) fn remove_open(&self, name: &[u8], close: impl FnOnce()) -> Result<(), Errno> {
        match self.remove(name) {
            Err(_) if self.file_system().is_particular_about_names() => {
                close();
                once_closed(|| self.remove(name), |_| true)
            }
            removed => removed,
        }
    }
}
