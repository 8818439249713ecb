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
    /// What becomes of openings on this thread.
    static UNOPENED: Cell<Option<OpenFault>> = const { Cell::new(None) };
}

/// After `others` openings that succeed, `failing` ones fail; all behind those succeed.
#[derive(Clone, Copy)]
struct OpenFault {
    others: usize,
    failing: usize,
    errno: Errno,
}

/// Runs `f`, in which no more than `others` files and directories can be opened, for that reason.
pub(crate) fn opening_only<T>(others: usize, errno: Errno, f: impl FnOnce() -> T) -> T {
    with_fault(OpenFault { others, failing: usize::MAX, errno }, f)
}

/// Runs `f`, in which the first `failing` files and directories cannot be opened, for that reason: who tries again can.
pub(crate) fn opening_after<T>(failing: usize, errno: Errno, f: impl FnOnce() -> T) -> T {
    with_fault(OpenFault { others: 0, failing, errno }, f)
}

fn with_fault<T>(fault: OpenFault, f: impl FnOnce() -> T) -> T {
    UNOPENED.set(Some(fault));
    let done = f();
    UNOPENED.set(None);
    done
}

/// The result that opening something is to have here.
pub(crate) fn opening() -> Result<(), Errno> {
    let Some(fault) = UNOPENED.get() else { return Ok(()) };
    let OpenFault { others, failing, errno } = fault;
    if others > 0 {
        UNOPENED.set(Some(OpenFault { others: others - 1, ..fault }));
        return Ok(());
    }
    UNOPENED.set(Some(OpenFault { failing: failing.saturating_sub(1), ..fault }));
    if failing > 0 { Err(errno) } else { Ok(()) }
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
