//! A file that is read, and whether it changed meanwhile.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, SeekFrom};
use rustix::io::Errno;

use crate::protocol::message::{Kind, Mtime};

use super::error::{Op, StorageError, failed};
use super::meta::{self, Meta};
use super::mode;
use super::system;

/// Most ranges that [`Source::data_chunks`] tells apart; a file with more holes is not worth the list.
const DATA_RANGES_MAX: usize = 4096;

/// A regular file, open to be read from any offset by any thread.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    meta: Meta,
}

impl Source {
    /// Takes an open file; anything but a regular file is refused.
    pub(crate) fn new(file: File, path: &Path) -> io::Result<Self> {
        let meta = meta_of(&file)?;
        match meta.kind {
            Kind::File => Ok(Self { file, path: path.to_owned(), meta }),
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

    /// Sets the time of the file itself, and permission bits: those of `mode` less the umask.
    ///
    /// # Errors
    /// When it is not ours.
    pub fn set_meta(&self, mtime: Mtime, mode: u32) -> Result<(), StorageError> {
        let decide = |there| mode::of_kept_file(mode, there, system::umask());
        meta::apply(&self.file, mtime, decide).map_err(failed(Op::SetMeta, &self.path))
    }

    /// Whether the file is still what it was when it was opened: size, content and attributes.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn unchanged(&self) -> Result<bool, StorageError> {
        let now = meta_of(&self.file).map_err(failed(Op::Stat, &self.path))?;
        Ok(now.size == self.meta.size && now.mtime == self.meta.mtime && now.identity == self.meta.identity)
    }

    /// The ranges from `from` on that hold data, widened to multiples of `chunk`, neighbours merged, ending
    /// at the file's size; what lies between them reads as zeros. Everything is one range where the file
    /// has no holes or the file system cannot tell.
    ///
    /// # Errors
    /// When the disk fails.
    #[allow(clippy::single_range_in_vec_init)] // A list that happens to be one range long.
    pub fn data_chunks(&self, from: u64, chunk: u64) -> Result<Vec<Range<u64>>, StorageError> {
        let size = self.meta.size;
        if from >= size {
            return Ok(Vec::new());
        }
        if self.meta.allocated >= size {
            return Ok(vec![from..size]);
        }
        match self.find_data(from, chunk.max(1)) {
            Ok(ranges) => Ok(ranges),
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(vec![from..size]),
            Err(error) => Err(StorageError::new(Op::Read, &self.path, error)),
        }
    }

    fn find_data(&self, from: u64, chunk: u64) -> Result<Vec<Range<u64>>, Errno> {
        let size = self.meta.size;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut at = from;
        while at < size {
            let data = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Err(Errno::NXIO) => break,
                found => found?,
            };
            let hole = rustix::fs::seek(&self.file, SeekFrom::Hole(data))?;
            let start = (data - data % chunk).max(from);
            let end = hole.div_ceil(chunk).saturating_mul(chunk).min(size);
            // The file may have been cut meanwhile; what it then holds is found out by reading.
            if start >= end {
                break;
            }
            match ranges.last_mut() {
                Some(last) if last.end >= start => last.end = end,
                _ => ranges.push(start..end),
            }
            at = end;
            if ranges.len() == DATA_RANGES_MAX {
                ranges[DATA_RANGES_MAX - 1].end = size;
                break;
            }
        }
        Ok(ranges)
    }

    /// Tells the kernel that the file will be read from front to back.
    pub fn advise_sequential(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Sequential);
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

fn meta_of(file: &File) -> io::Result<Meta> {
    Meta::new(&rustix::fs::fstat(file)?, || Err(Errno::INVAL.into()))
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
    #![allow(clippy::single_range_in_vec_init)]

    use super::*;
    use crate::protocol::message::Status;
    use crate::storage::testing::{Place, wire};
    use std::fs;

    const MIB: u64 = 1 << 20;

    fn sparse(place: &Place, data: &[u64], size: u64) -> Source {
        let file = File::create(place.path("sparse")).unwrap();
        file.set_len(size).unwrap();
        for offset in data {
            file.write_all_at(&[7; 4096], *offset).unwrap();
        }
        file.sync_all().unwrap();
        place.root.open_source(&wire("sparse")).unwrap()
    }

    #[test]
    fn reading_fills_the_buffer_up_to_the_end() {
        let place = Place::new();
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
    fn growing_touching_and_replacing_in_place_are_changes() {
        let place = Place::new();
        place.write("a", b"one");
        for change in [
            |path: &Path| fs::write(path, b"three").unwrap(),
            |path: &Path| fs::write(path, b"two!!").unwrap(),
            |path: &Path| File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap(),
        ] {
            let source = place.root.open_source(&wire("a")).unwrap();
            assert!(source.unchanged().unwrap());
            wait_for_the_clock_of_the_file_system(&place);
            change(&place.path("a"));
            assert!(!source.unchanged().unwrap());
        }
    }

    /// Times of files advance in ticks of some milliseconds: goes on when a new file gets a later one.
    fn wait_for_the_clock_of_the_file_system(place: &Place) {
        let now = || {
            fs::write(place.path("clock"), b"").unwrap();
            fs::metadata(place.path("clock")).unwrap().modified().unwrap()
        };
        let start = now();
        while now() == start {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_without_holes_is_one_range() {
        let place = Place::new();
        place.write("a", &[1; 10_000]);
        let source = place.root.open_source(&wire("a")).unwrap();
        assert_eq!(source.data_chunks(0, 4096).unwrap(), vec![0..10_000]);
        assert_eq!(source.data_chunks(5000, 4096).unwrap(), vec![5000..10_000]);
        assert!(source.data_chunks(10_000, 4096).unwrap().is_empty());
    }

    #[test]
    fn data_ranges_are_whole_chunks_and_neighbours_are_one() {
        let place = Place::new();
        let source = sparse(&place, &[5 * MIB + 8192, 6 * MIB, 9 * MIB], 12 * MIB + 100);
        assert_eq!(source.data_chunks(0, MIB).unwrap(), vec![5 * MIB..7 * MIB, 9 * MIB..10 * MIB]);
        assert_eq!(source.data_chunks(7 * MIB, MIB).unwrap(), vec![9 * MIB..10 * MIB]);
        let all_hole = sparse(&place, &[], 3 * MIB);
        assert!(all_hole.data_chunks(0, MIB).unwrap().is_empty());
    }

    #[test]
    fn very_many_holes_end_in_one_last_range() {
        let place = Place::new();
        let data: Vec<u64> = (0..5000).map(|i| i * 16_384).collect();
        let source = sparse(&place, &data, 5000 * 16_384);
        let ranges = source.data_chunks(0, 4096).unwrap();
        assert_eq!(ranges.len(), DATA_RANGES_MAX);
        assert_eq!(ranges[0], 0..4096);
        assert_eq!(ranges.last().unwrap().end, 5000 * 16_384);
    }

    #[test]
    fn a_fifo_or_directory_is_no_source() {
        let place = Place::new();
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
