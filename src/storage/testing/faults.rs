//! Failures that a test asks for, in the middle of what is tested.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

use crate::protocol::path::WirePath;

thread_local! {
    /// Objects whose sync fails on this thread, by inode.
    static FAILING: RefCell<HashMap<u64, Errno>> = RefCell::default();
}

thread_local! {
    /// From the opening after so many others on each fails on this thread, with that.
    static UNOPENED: Cell<Option<(usize, Errno)>> = const { Cell::new(None) };
}

/// Runs `f`, in which no more than `others` files and directories can be opened, for that reason.
pub(crate) fn opening_only<T>(others: usize, errno: Errno, f: impl FnOnce() -> T) -> T {
    UNOPENED.set(Some((others, errno)));
    let done = f();
    UNOPENED.set(None);
    done
}

/// The result that opening something is to have here.
pub(crate) fn opening() -> Result<(), Errno> {
    match UNOPENED.get() {
        Some((0, errno)) => Err(errno),
        Some((others, errno)) => {
            UNOPENED.set(Some((others - 1, errno)));
            Ok(())
        }
        None => Ok(()),
    }
}

/// From now on a sync of what is at `path` fails on this thread, as on a bad disk.
pub(crate) fn fail_sync(path: &Path) {
    fail_sync_with(path, Errno::IO);
}

/// The same for another reason.
pub(crate) fn fail_sync_with(path: &Path, errno: Errno) {
    let found = fs::metadata(path).expect("tests name what is there");
    FAILING.with_borrow_mut(|failing| failing.insert(found.ino(), errno));
}

/// The disk is good again.
pub(crate) fn heal() {
    FAILING.with_borrow_mut(HashMap::clear);
}

/// The result that a sync of one object is to have here.
pub(crate) fn injected(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let inode = rustix::fs::fstat(fd)?.st_ino;
    FAILING.with_borrow(|failing| failing.get(&inode).map_or(Ok(()), |errno| Err(*errno)))
}

/// The same for a whole file system: it fails when anything does.
pub(crate) fn injected_anywhere() -> Result<(), Errno> {
    FAILING.with_borrow(|failing| failing.values().next().map_or(Ok(()), |errno| Err(*errno)))
}

/// A file with such a name makes the thread panic that comes to this point with it: `panic at commit`, say.
pub(crate) fn panic_at(point: &str, path: &WirePath) {
    let name = path.name();
    assert!(name.strip_prefix(b"panic at ") != Some(point.as_bytes()), "on purpose");
}
