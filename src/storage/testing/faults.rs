//! Failures that a test asks for, in the middle of what is tested.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

use crate::protocol::path::WirePath;

thread_local! {
    /// Objects whose sync fails on this thread, by inode.
    static FAILING: RefCell<HashSet<u64>> = RefCell::default();
}

/// From now on a sync of what is at `path` fails on this thread, as on a bad disk.
pub(crate) fn fail_sync(path: &Path) {
    let found = fs::metadata(path).expect("tests name what is there");
    FAILING.with_borrow_mut(|failing| failing.insert(found.ino()));
}

/// The disk is good again.
pub(crate) fn heal() {
    FAILING.with_borrow_mut(HashSet::clear);
}

/// The result that a sync of one object is to have here.
pub(crate) fn injected(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let inode = rustix::fs::fstat(fd)?.st_ino;
    if FAILING.with_borrow(|failing| failing.contains(&inode)) { Err(Errno::IO) } else { Ok(()) }
}

/// The same for a whole file system: it fails when anything does.
pub(crate) fn injected_anywhere() -> Result<(), Errno> {
    if FAILING.with_borrow(HashSet::is_empty) { Ok(()) } else { Err(Errno::IO) }
}

/// A file with such a name makes the thread panic that comes to this point with it: `panic at commit`, say.
pub(crate) fn panic_at(point: &str, path: &WirePath) {
    let name = path.name();
    assert!(name.strip_prefix(b"panic at ") != Some(point.as_bytes()), "on purpose");
}
