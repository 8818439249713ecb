//! The content of a part: written in any order, holes where zeros are, or taken from a file that is there.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Part;
use crate::storage::cause::Refusal;
use crate::storage::error::{Op, StorageError, failed};
use crate::storage::source::holes::is_zero;
use crate::storage::source::{Source, read_full_at};
use crate::storage::system;

/// Zeros are left out of a part in aligned pieces of this size: a multiple of every block size.
const HOLE_BYTES: usize = 64 * 1024;
/// Below this a reservation costs more than it gives.
const RESERVE_MIN_BYTES: u64 = 1 << 20;
/// Written data are handed to the disk in pieces of this size, early, when the part is to be synced.
const WRITE_BACK_BYTES: u64 = 8 << 20;
/// Bytes copied at a time where the kernel cannot copy for us.
const COPY_BYTES: usize = 1 << 20;

/// The rest that a part has to copy of the file that is to become its content.
#[derive(Debug)]
pub struct Adoption {
    left: VecDeque<Range<u64>>,
    len: u64,
}

impl Part {
    /// Writes all of `data` at `offset`. Aligned pieces of zeros beyond all data become holes.
    ///
    /// # Errors
    /// When the disk fails or is full; some of the data may have been written then.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<(), StorageError> {
        let (mut from, mut at) = (0, 0);
        while at < data.len() {
            let here = offset + at as u64;
            let to_border = HOLE_BYTES - (here % HOLE_BYTES as u64) as usize;
            let piece = &data[at..data.len().min(at + to_border)];
            if piece.len() == HOLE_BYTES && here >= self.data_end.load(Ordering::Acquire) && is_zero(piece) {
                self.write_run(&data[from..at], offset + from as u64)?;
                from = at + piece.len();
            }
            at += piece.len();
        }
        self.write_run(&data[from..], offset + from as u64)?;
        self.end.fetch_max(offset + data.len() as u64, Ordering::AcqRel);
        Ok(())
    }

    fn write_run(&self, data: &[u8], offset: u64) -> Result<(), StorageError> {
        if data.is_empty() {
            return Ok(());
        }
        let end = offset + data.len() as u64;
        // Before the write: from now on nobody may leave zeros out below this end.
        self.data_end.fetch_max(end, Ordering::AcqRel);
        self.file.write_all_at(data, offset).map_err(failed(Op::Write, self.target.as_path()))?;
        let (first, last) = (offset / WRITE_BACK_BYTES, end / WRITE_BACK_BYTES);
        if first < last && self.write_back.load(Ordering::Relaxed) {
            system::start_write_back(&self.file, first * WRITE_BACK_BYTES, (last - first) * WRITE_BACK_BYTES);
        }
        Ok(())
    }

    /// From now on starts writing to the disk as data come in, so that the final sync has little left to do.
    /// For files that will be synced and are many megabytes long.
    pub fn write_back_early(&self) {
        self.write_back.store(true, Ordering::Relaxed);
    }

    /// Reads at `offset` until `buf` is full or everything written so far is read; returns how much that was.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        let wanted = self.len().saturating_sub(offset).min(buf.len() as u64) as usize;
        let buf = &mut buf[..wanted];
        let read = read_full_at(&self.file, buf, offset).map_err(failed(Op::Read, self.target.as_path()))?;
        // Zeros at the end that were left out are not in the file yet.
        buf[read..].fill(0);
        Ok(wanted)
    }

    /// Cuts the part, or lengthens it with a hole. Not while others write.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn truncate(&self, len: u64) -> Result<(), StorageError> {
        self.file.set_len(len).map_err(failed(Op::Write, self.target.as_path()))?;
        self.end.store(len, Ordering::Release);
        self.data_end.fetch_min(len, Ordering::AcqRel);
        Ok(())
    }

    /// Makes sure that the disk, which says that `there` bytes are there, has kept what was written of the first `size`: some
    /// take what they have no room for, and say nothing. To make up for it with zeros would hide that.
    pub(super) fn check_kept(&self, there: u64, size: u64) -> Result<(), StorageError> {
        let path = self.target.as_path();
        let end = self.data_end.load(Ordering::Acquire).min(size);
        if there >= end {
            return Ok(());
        }
        // One that knows no sizes, or not yet, may have it all the same.
        system::sync(&self.file).map_err(failed(Op::Write, path))?;
        match read_full_at(&self.file, &mut [0], end - 1).map_err(failed(Op::Read, path))? {
            0 => Err(StorageError::new(Op::Write, path, Refusal::NotKept)),
            _ => Ok(()),
        }
    }

    /// Makes sure now that there is room for `size` bytes, where the file system can and it is worth it.
    /// Not for files with holes: it would fill them with blocks.
    ///
    /// # Errors
    /// Status `NoSpace` when there is not, or a file may not be that large.
    pub fn reserve(&self, size: u64) -> Result<(), StorageError> {
        if size < RESERVE_MIN_BYTES {
            return Ok(());
        }
        match system::reserve(&self.file, size) {
            Ok(()) => {
                self.reserved.store(true, Ordering::Release);
                Ok(())
            }
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                // What was reserved before the disk was full is given back, for others to finish.
                let _ = self.file.metadata().and_then(|found| self.file.set_len(found.len()));
                Err(StorageError::new(Op::Reserve, self.target.as_path(), error))
            }
            // The content needs no reservation; whether it fits is found out by writing it.
            Err(_) => Ok(()),
        }
    }

    /// Begins to make the first `len` bytes of `basis` the content: shared with it where the file system can, else what
    /// is left to copy is returned, holes left out. Whatever the part held is gone. Not while others write.
    ///
    /// # Errors
    /// When either disk fails or this one is full.
    pub fn adopt(&self, basis: &Source, len: u64) -> Result<Adoption, StorageError> {
        let len = len.min(basis.meta().size);
        self.truncate(0)?;
        self.data_end.store(len, Ordering::Release);
        let is_shared = system::clone_content(basis.file(), &self.file).is_ok();
        let left = if is_shared { Vec::new() } else { basis.data_chunks(0, HOLE_BYTES as u64)? };
        Ok(Adoption { left: left.into(), len })
    }

    /// Copies some more, `bytes` of it at most; true when the part holds all.
    ///
    /// # Errors
    /// As [`Part::adopt`].
    pub fn adopt_more(&self, basis: &Source, adoption: &mut Adoption, bytes: u64) -> Result<bool, StorageError> {
        let mut room = bytes;
        while let Some(range) = adoption.left.front_mut() {
            let end = range.end.min(adoption.len);
            let piece = range.start.min(end)..end.min(range.start.saturating_add(room));
            if piece.is_empty() && range.start < end {
                return Ok(false);
            }
            room -= piece.end - piece.start;
            range.start = piece.end;
            if piece.end == end {
                adoption.left.pop_front();
            }
            self.copy_from(basis, piece)?;
        }
        self.file.set_len(adoption.len).map_err(failed(Op::Write, self.target.as_path()))?;
        self.end.store(adoption.len, Ordering::Release);
        Ok(true)
    }

    fn copy_from(&self, basis: &Source, range: Range<u64>) -> Result<(), StorageError> {
        let mut at = range.start;
        while at < range.end {
            match system::copy_range(basis.file(), &self.file, at, range.end - at) {
                // The end of a basis that was cut meanwhile, or a file system that cannot and does not say so: reading
                // tells. What is missing reads as zeros, of which nobody would know where only the basis is hashed.
                Ok(0) => break,
                Ok(copied) => at += copied,
                Err(Errno::INTR) => {}
                // Where the kernel cannot, we can; where the disk is the cause, it will say so again.
                Err(_) => break,
            }
        }
        self.copy_by_hand(basis, at..range.end)
    }

    fn copy_by_hand(&self, basis: &Source, range: Range<u64>) -> Result<(), StorageError> {
        let mut buf = vec![0; COPY_BYTES.min((range.end - range.start) as usize)];
        let mut at = range.start;
        while at < range.end {
            let wanted = buf.len().min((range.end - at) as usize);
            let read = basis.read_at(&mut buf[..wanted], at)?;
            if read == 0 {
                break;
            }
            self.file.write_all_at(&buf[..read], at).map_err(failed(Op::Write, self.target.as_path()))?;
            at += read as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
