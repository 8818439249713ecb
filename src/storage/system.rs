//! Calls that only this operating system offers. All Linux-specific ones of the room are here.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How often a resolution is tried again when the kernel saw a rename in its way.
const RESOLVE_ATTEMPTS: usize = 64;

/// Longest that a lease is waited for: the kernel takes it back after 45 s (`fs.lease-break-time`).
const LEASE_BREAK_MAX: Duration = Duration::from_secs(60);
/// Time between two looks at it.
const LEASE_LOOK: Duration = Duration::from_millis(20);

/// Up to here files (or directories) are synced one by one: a sync of the whole file system would also wait
/// for what other transfers are writing.
pub(super) const SYNC_EACH_MAX: usize = 8;

/// The "nice" value of work that is to hold nobody up, and that somebody waits for all the same: beside a process that wants
/// all of a processor it gets a tenth. With the greatest there is, 19, that would be a seventieth, and the verdict on a very
/// large file would not come while a machine is busy.
const BACKGROUND_NICE: i32 = 10;

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where reading it is not allowed a directory is opened so: enough to pass through it, to what may be read in it.
const PASS_DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory with the first flags, or, where it may not be read, to pass through it only.
pub(crate) fn open_or_pass(open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    match open(OPEN_DIR) {
        Err(Errno::ACCESS) => open(PASS_DIR),
        opened => opened,
    }
}

/// Opens the directory `path` below `dir`; the kernel refuses every way out (`..`), and with `ELOOP` every link.
pub(crate) fn open_dir_beneath(dir: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    for _ in 0..RESOLVE_ATTEMPTS {
        let open = |how| rustix::fs::openat2(dir.as_fd(), path, how, Mode::empty(), confined);
        match open_or_pass(open) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            settled => return settled,
        }
    }
    Err(Errno::AGAIN)
}

/// Whether [`open_dir_beneath`] works: kernels before 5.6 lack it, and some sandboxes forbid it.
pub(crate) fn can_open_beneath(dir: impl AsFd) -> bool {
    open_dir_beneath(dir, b".").is_ok()
}

/// Shares the content of `from` with `to`, if the file system can.
pub(crate) fn clone_content(from: &File, to: &File) -> Result<(), Errno> {
    rustix::fs::ioctl_ficlone(to, from)
}

/// Lets the kernel copy up to `len` bytes at `offset`; 0 at the end of `from`.
pub(crate) fn copy_range(from: &File, to: &File, offset: u64, len: u64) -> Result<u64, Errno> {
    let (mut read_at, mut write_at) = (offset, offset);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let copied = rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), len)?;
    Ok(copied as u64)
}

/// Reserves blocks for the first `size` bytes without changing the length.
pub(crate) fn reserve(file: &File, size: u64) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, size))
}

/// Starts writing dirty pages of a range to the disk, without waiting.
///
/// `POSIX_FADV_DONTNEED` does just that on Linux before it drops the clean pages of the range.
pub(crate) fn start_write_back(file: &File, offset: u64, len: u64) {
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), Advice::DontNeed);
}

/// Renames within the kernel's promise that nothing is replaced.
pub(crate) fn rename_no_replace(from: impl AsFd, old: &[u8], to: impl AsFd, new: &[u8]) -> Result<(), Errno> {
    rustix::fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE)
}

/// Closes a second descriptor of the same open file, and says what the file system says to that.
///
/// The destructor of a file cannot: it drops the answer.
pub(crate) fn flush(file: &File) -> std::io::Result<()> {
    match file.try_clone() {
        Ok(second) => close(second),
        // There is no descriptor to spare. A sync tells the same.
        Err(_) => Ok(sync(file)?),
    }
}

/// Closes a file and says what the file system says to that: on NFS, FUSE and others the last write may fail there.
pub(crate) fn close(file: File) -> std::io::Result<()> {
    Ok(nix::unistd::close(file)?)
}

/// Makes one file or directory durable, its length, time and mode included: with its whole file system where that has no such
/// thing for one.
pub(crate) fn sync(fd: impl AsFd) -> Result<(), Errno> {
    #[cfg(test)]
    super::testing::faults::injected(fd.as_fd())?;
    match rustix::io::retry_on_intr(|| rustix::fs::fsync(fd.as_fd())) {
        Err(Errno::INVAL | Errno::NOTSUP) => rustix::fs::syncfs(fd),
        synced => synced,
    }
}

/// Makes the whole file system that holds `fd` durable; reports write-back errors since `fd` was opened.
pub(crate) fn sync_file_system(fd: impl AsFd) -> Result<(), Errno> {
    #[cfg(test)]
    super::testing::faults::injected_anywhere()?;
    rustix::fs::syncfs(fd)
}

/// Lets the calling thread have little of a processor that others want.
pub(crate) fn give_way_to_others() {
    // On Linux this is a thread's own, unlike what POSIX says. Whoever may not, which is hardly anybody, does without.
    let _ = rustix::process::setpriority_process(None, BACKGROUND_NICE);
}

/// The permission bits that this process takes from whatever it makes. They are read once: nobody changes them here.
pub(crate) fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| stated_umask().unwrap_or_else(exchanged_umask))
}

/// As the kernel states it; `None` without `/proc`.
fn stated_umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let stated = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(stated.trim(), 8).ok()
}

/// As the only system call for it tells: by setting another one. What a second thread makes in that moment is for its
/// owner alone, which harms nobody.
#[allow(clippy::unnecessary_cast)]
fn exchanged_umask() -> u32 {
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(before);
    before.bits() as u32
}

/// Makes all file systems durable: where a directory may not be opened to be synced.
pub(crate) fn sync_all() {
    rustix::fs::sync();
}

/// Raises the limit of open files of this process as far as it may, and returns it.
///
/// Every part file that waits for its commit is an open file, and the customary limit of 1024 is less than
/// one group of small files. Programs call this once at their start.
pub fn allow_many_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

/// Opens a file that somebody may have leased, as file servers do: whoever opens it without waiting is told to come again,
/// and the kernel asks for it back meanwhile.
pub(crate) fn open_leased(open: impl Fn() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    let end = Instant::now() + LEASE_BREAK_MAX;
    loop {
        match open() {
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < end => thread::sleep(LEASE_LOOK),
            settled => return settled,
        }
    }
}

/// Where an open file or directory is now, as far as the kernel knows. Behind the last name of one that has lost it stands
/// that it is deleted.
pub(crate) fn path_of(open: &impl AsFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", open.as_fd().as_raw_fd())).ok()
}

/// Files that this process may have open at once.
pub(crate) fn open_files_max() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_umask_is_the_one_that_a_child_inherits() {
        // Not by exchanging it here: other tests make files at this moment.
        let child = std::process::Command::new("sh").args(["-c", "umask"]).output().expect("a shell");
        let inherited = u32::from_str_radix(String::from_utf8_lossy(&child.stdout).trim(), 8).expect("octal digits");
        assert_eq!(stated_umask(), Some(inherited));
        assert_eq!(umask(), inherited);
    }
}
