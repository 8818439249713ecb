//! A file that is read, and whether it changed meanwhile.

pub(in crate::storage) mod holes;

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{Advice, OFlags};
use rustix::io::Errno;

use crate::protocol::message::{Failure, Kind, Mtime, Status};

use super::dir::Dir;
use super::error::{Op, StorageError, failed};
use super::file_system::FileSystem;
use super::meta::{Meta, kept_mode, nanos_since_1970};
pub use holes::DataMap;

/// Within this time of a change another one may get the same time stamp: two ticks of the slowest clock that Linux
/// stamps files with (`CONFIG_HZ=100`).
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// The same for a file system that keeps whole seconds, or pairs of them as FAT does.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// A regular file, open to be read from any offset by any thread.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    meta: Meta,
    /// When that was asked for.
    opened: SystemTime,
    file_system: OnceLock<FileSystem>,
}

/// What the file system says of a file since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Size, time of modification and attributes are the same, and so is the content.
    Same,
    /// Something is not, but the content may be: its mode or name changed, or it grew. Only reading it again tells.
    ReadAgain,
    /// It is shorter: what was read is not there any more.
    Shorter,
}

impl Since {
    /// What has become of a file that was `then` and is `now`.
    pub(crate) fn between(then: &Meta, now: &Meta) -> Self {
        match now.size == then.size && now.mtime == then.mtime && now.identity == then.identity {
            true => Self::Same,
            false if now.size < then.size => Self::Shorter,
            false => Self::ReadAgain,
        }
    }
}

/// How long until what was learnt of a file can be relied on that was last `changed` then and looked at when it was
/// `opened`; `None` when it can be.
///
/// Right after a change the next one may get the same time stamp: it would go unseen, now and in every later run
/// that compares times. Whoever needs to see it waits, and opens the file again.
pub(crate) fn settles_in(changed: Mtime, opened: SystemTime) -> Option<Duration> {
    let tick = if changed.nanos == 0 { COARSE_TICK } else { CLOCK_TICK };
    let opened = opened.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let age = i128::try_from(opened.as_nanos()).ok()? - nanos_since_1970(changed);
    let age = Duration::from_nanos(u64::try_from(age).ok()?);
    tick.checked_sub(age).filter(|wait| !wait.is_zero())
}

impl Source {
    /// Opens a regular file in a directory; anything else is refused. A link is not followed.
    pub(super) fn open(dir: &Dir, name: &[u8], path: &Path) -> io::Result<Self> {
        let source = Self::new(dir.open_file(name, OFlags::RDONLY)?, path)?;
        if source.meta.identity.dev == dir.id().dev {
            let _ = source.file_system.set(dir.file_system());
        }
        Ok(source)
    }

    /// Takes an open file.
    fn new(file: File, path: &Path) -> io::Result<Self> {
        // Before the look: a change in between must not seem to be older than it is.
        let opened = SystemTime::now();
        let meta = meta_of(&file)?;
        match meta.kind {
            Kind::File => Ok(Self { file, path: path.to_owned(), meta, opened, file_system: OnceLock::new() }),
            Kind::Dir | Kind::Link(_) => Err(Errno::ISDIR.into()),
        }
    }

    /// What the file was when it was opened.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Reads at `offset` until `buf` is full or the file ends, and returns how much that was.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        read_full_at(&self.file, buf, offset).map_err(failed(Op::Read, &self.path))
    }

    /// The same from the start, where `buf` is as long as the file is said to be, and one byte more: what is returned is
    /// greater than the length of `buf` where the file goes on.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_to_end(&self, buf: &mut [u8]) -> Result<usize, StorageError> {
        let mut beyond = [0];
        let mut read = read_with_more(&self.file, buf, &mut beyond).map_err(failed(Op::Read, &self.path))?;
        // One of which nothing is known may give less than it has.
        if read <= buf.len() && !self.file_system().has_honest_sizes() {
            read += self.read_at(&mut buf[read..], read as u64)?;
            if read == buf.len() {
                read += self.read_at(&mut beyond, read as u64)?;
            }
        }
        Ok(read)
    }

    pub(super) fn file_system(&self) -> FileSystem {
        *self.file_system.get_or_init(|| FileSystem::of(&self.file))
    }

    /// How long until what was learnt when it was opened can be relied on; `None` when it can be.
    pub fn settles_in(&self) -> Option<Duration> {
        settles_in(self.meta.identity.ctime, self.opened)
    }

    /// What has become of the file since it was opened.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn since_opened(&self) -> Result<Since, StorageError> {
        let now = meta_of(&self.file).map_err(failed(Op::Stat, &self.path))?;
        Ok(Since::between(&self.meta, &now))
    }

    /// Whether the file is still what it was when it was opened: size, content and attributes.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn unchanged(&self) -> Result<bool, StorageError> {
        Ok(self.since_opened()? == Since::Same)
    }

    /// Whether the file ends where the file system says that it does. What `/proc`, `/sys` and some network file
    /// systems call the size is not the length of what can be read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_honest_size(&self) -> Result<bool, StorageError> {
        if self.file_system().has_honest_sizes() {
            return Ok(true);
        }
        let size = || meta_of(&self.file).map(|meta| meta.size).map_err(failed(Op::Stat, &self.path));
        let mut byte = [0];
        let said = size()?;
        let is_short = said > 0 && self.read_at(&mut byte, said - 1)? == 0;
        let is_honest = !is_short && self.read_at(&mut byte, said)? == 0;
        // Otherwise it may have become longer or shorter between the two questions.
        Ok(is_honest || size()? != said)
    }

    /// Whether its permission bits are those that a file that is sent with `mode` gets.
    pub(crate) fn has_mode(&self, mode: u32) -> bool {
        meta_of(&self.file).is_ok_and(|meta| meta.mode & 0o777 == kept_mode(mode))
    }

    /// The first `size` bytes alone, of a file that has grown.
    pub(crate) fn up_to(mut self, size: u64) -> Self {
        self.meta.size = self.meta.size.min(size);
        self
    }

    /// Whether it holds more than `size` bytes by now.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_longer_than(&self, size: u64) -> Result<bool, StorageError> {
        Ok(meta_of(&self.file).map_err(failed(Op::Stat, &self.path))?.size > size)
    }

    /// Tells the kernel that the file will be read from front to back.
    pub fn advise_sequential(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Sequential);
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// The failure of a file whose content is not as long as its size.
pub(crate) fn unknown_size() -> Failure {
    let text = "the file system does not say how long it is; what a command reads of it can be sent: \
                cat FILE | qft send - REMOTE:NAME";
    Failure::new(Status::ReadFailed, text)
}

fn meta_of(file: &File) -> io::Result<Meta> {
    Meta::new(&rustix::fs::fstat(file)?, || Err(Errno::INVAL.into()))
}

/// Reads the start of a file and what lies behind it in one call.
fn read_with_more(file: &File, start: &mut [u8], more: &mut [u8]) -> io::Result<usize> {
    let mut parts = [IoSliceMut::new(start), IoSliceMut::new(more)];
    Ok(rustix::io::retry_on_intr(|| rustix::io::preadv(file, &mut parts, 0))?)
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::{TestRoot, wire};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn reading_fills_the_buffer_up_to_the_end() {
        let place = TestRoot::new();
        place.write("a", b"0123456789");
        let source = place.root.open_source(&wire("a")).unwrap();
        let mut buf = [0; 6];
        assert_eq!(source.read_at(&mut buf, 0).unwrap(), 6);
        assert_eq!(&buf, b"012345");
        assert_eq!(source.read_at(&mut buf, 7).unwrap(), 3);
        assert_eq!(&buf[..3], b"789");
        assert_eq!(source.read_at(&mut buf, 10).unwrap(), 0);
        assert_eq!(source.read_at(&mut buf, 1 << 40).unwrap(), 0);
    }

    #[test]
    fn a_file_is_read_whole_and_found_to_end_there_or_not() {
        let place = TestRoot::new();
        for content in [&b""[..], b"0123456789"] {
            place.write("a", content);
            let source = place.root.open_source(&wire("a")).unwrap();
            let unknown = Source::new(File::open(place.path("a")).unwrap(), &place.path("a")).unwrap();
            let _ = unknown.file_system.set(FileSystem::UNKNOWN);
            for source in [source, unknown] {
                let mut whole = vec![0; content.len()];
                assert_eq!(source.read_to_end(&mut whole).unwrap(), content.len());
                assert_eq!(whole, content);
                let mut long = vec![7; content.len() + 5];
                assert_eq!(source.read_to_end(&mut long).unwrap(), content.len(), "it is shorter than was said");
                if let Some(part) = content.len().checked_sub(1) {
                    assert_eq!(source.read_to_end(&mut vec![0; part]).unwrap(), content.len(), "it goes on");
                    assert!(source.read_to_end(&mut [0; 3]).unwrap() > 3, "it goes on");
                }
            }
        }
    }

    #[test]
    fn any_change_is_seen_and_only_a_shorter_file_is_lost_for_sure() {
        let place = TestRoot::new();
        for (change, expected) in [
            (&(|path: &Path| fs::write(path, b"three").unwrap()) as &dyn Fn(&Path), Since::ReadAgain),
            (&|path: &Path| fs::write(path, b"two").unwrap(), Since::ReadAgain),
            (&|path: &Path| fs::write(path, b"2").unwrap(), Since::Shorter),
            (&|path: &Path| fs::rename(path, path.with_extension("b")).unwrap(), Since::ReadAgain),
            (&|path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap(), Since::ReadAgain),
            (&|path: &Path| File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(), Since::ReadAgain),
        ] {
            place.write("a", b"one");
            let source = opened_at_rest(&place, "a");
            assert_eq!(source.since_opened().unwrap(), Since::Same);
            change(&place.path("a"));
            assert_eq!(source.since_opened().unwrap(), expected);
            assert!(!source.unchanged().unwrap());
        }
    }

    /// As whoever sends it opens it.
    fn opened_at_rest(place: &TestRoot, name: &str) -> Source {
        loop {
            let source = place.root.open_source(&wire(name)).unwrap();
            match source.settles_in() {
                None => return source,
                Some(wait) => std::thread::sleep(wait),
            }
        }
    }

    #[test]
    fn a_write_of_equal_length_is_seen_however_soon_it_comes() {
        let place = TestRoot::new();
        for round in 0..20 {
            place.write("a", b"one");
            let source = opened_at_rest(&place, "a");
            // In place, as a database writes; the time is put back.
            let file = fs::OpenOptions::new().write(true).open(place.path("a")).unwrap();
            let before = file.metadata().unwrap().modified().unwrap();
            file.write_all_at(b"two", 0).unwrap();
            file.set_modified(before).unwrap();
            assert_eq!(source.since_opened().unwrap(), Since::ReadAgain, "round {round}");
        }
    }

    #[test]
    fn what_has_just_changed_is_not_relied_on_yet_and_what_has_not_is() {
        let place = TestRoot::new();
        place.write("a", b"one");
        let mut source = place.root.open_source(&wire("a")).unwrap();
        let at = |secs, nanos| SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
        for (secs, nanos, opened, expected) in [
            (100, 5_000_000, at(100, 5_000_000), Some(Duration::from_millis(20))),
            (100, 5_000_000, at(100, 24_000_000), Some(Duration::from_millis(1))),
            (100, 5_000_000, at(100, 25_000_000), None),
            (100, 5_000_000, at(100, 4_000_000), None),
            (100, 0, at(101, 0), Some(Duration::from_secs(1))),
            (100, 0, at(102, 0), None),
            (-100, 0, at(0, 0), None),
        ] {
            source.meta.identity.ctime = Mtime { secs, nanos };
            source.opened = opened;
            assert_eq!(source.settles_in(), expected, "{secs}.{nanos:09} {opened:?}");
        }
    }

    #[test]
    fn sizes_of_proc_and_sys_are_not_honest_and_those_on_a_disk_are() {
        let place = TestRoot::new();
        for content in [&b""[..], b"x", &[1; 5000]] {
            place.write("a", content);
            assert!(place.root.open_source(&wire("a")).unwrap().has_honest_size().unwrap());
        }
        let proc = crate::storage::Root::open(Path::new("/proc")).unwrap();
        assert!(!proc.tree().open_source(&wire("version")).unwrap().has_honest_size().unwrap(), "given as 0");
        let page = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
        match File::open(page) {
            Ok(file) => assert!(!Source::new(file, page).unwrap().has_honest_size().unwrap(), "given as a page"),
            Err(_) => println!("skipped: there is no {}", page.display()),
        }
    }

    #[test]
    fn a_fifo_or_directory_is_no_source() {
        let place = TestRoot::new();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, place.path("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
        fs::create_dir(place.path("dir")).unwrap();
        let status = |name| place.root.open_source(&wire(name)).unwrap_err().status();
        assert_eq!(status("fifo"), Status::Unsupported);
        assert_eq!(status("socket"), Status::Unsupported);
        assert_eq!(status("dir"), Status::BadName);
        assert_eq!(status("missing"), Status::NotFound);
        let stat = |name| place.root.stat(&wire(name)).unwrap_err().status();
        assert_eq!(stat("fifo"), Status::Unsupported);
    }
}
