//! Where a file holds data and where holes: what the file system says, as far as it can be believed.

use std::ops::Range;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::Source;
use crate::storage::error::{Op, StorageError};

/// Most ranges of data that are told apart; a file with more holes is not worth the list.
const DATA_RANGES_MAX: usize = 4096;

/// Bytes of a doubtful hole that are read at one go: some 15 ms of a disk thread.
const READ_BYTES: u64 = 64 << 20;

/// Bytes that are read of a hole at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// What a file system may have allocated for a file besides its data, for believable holes: the blocks that list its
/// extents, which grow with the data, and some that were reserved at its end.
const OVERHEAD_BYTES_MIN: u64 = 128 << 10;
const OVERHEAD_PART: u64 = 64;

/// Which ranges of a file hold data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataMap {
    data: Vec<Range<u64>>,
    doubtful: Vec<Range<u64>>,
}

impl DataMap {
    #[allow(clippy::single_range_in_vec_init)] // A list that happens to be one range long.
    fn whole(range: Range<u64>) -> Self {
        Self { data: vec![range], doubtful: Vec::new() }
    }

    /// The next piece of what the file system calls a hole and nobody vouches for. It is to be searched with
    /// [`Source::data_in`], and what that finds given to [`DataMap::add`].
    pub fn next_doubtful(&mut self) -> Option<Range<u64>> {
        let last = self.doubtful.last_mut()?;
        let piece = last.start..last.end.min(last.start + READ_BYTES);
        last.start = piece.end;
        if last.is_empty() {
            self.doubtful.pop();
        }
        Some(piece)
    }

    /// Data where the file system sees a hole.
    pub fn add(&mut self, found: Vec<Range<u64>>) {
        self.data.extend(found);
    }

    /// The ranges of data, in order; neighbours are one.
    pub fn into_ranges(mut self) -> Vec<Range<u64>> {
        self.data.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(self.data.len());
        for range in self.data {
            match merged.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

impl Source {
    /// The ranges from `from` on that hold data, widened to multiples of `chunk`, ending at the file's size; what lies
    /// between them reads as zeros. Everything is one range where the file has no holes or the file system cannot tell.
    ///
    /// Holes that the file system reports are doubtful unless it is known to report no others and what it has
    /// allocated for the file is found as data: to believe in one that is none is to send zeros for content.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn data_map(&self, from: u64, chunk: u64) -> Result<DataMap, StorageError> {
        let size = self.meta.size;
        if from >= size {
            return Ok(DataMap::default());
        }
        if self.meta.allocated >= size {
            return Ok(DataMap::whole(from..size));
        }
        let data = match self.find_data(from, chunk.max(1)) {
            Ok(data) => data,
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(DataMap::whole(from..size)),
            Err(error) => return Err(StorageError::new(Op::Read, &self.path, error)),
        };
        let found: u64 = data.iter().map(|range| range.end - range.start).sum();
        let overhead = OVERHEAD_BYTES_MIN + self.meta.allocated / OVERHEAD_PART;
        // What lies before `from` is data for all that was looked at.
        let is_accounted_for = self.meta.allocated.saturating_sub(from + overhead) <= found;
        let doubtful = match is_accounted_for && self.file_system().vouches_for_holes() {
            true => Vec::new(),
            false => gaps(&data, from..size),
        };
        Ok(DataMap { data, doubtful })
    }

    /// All data ranges from `from` on, with what is found by reading where holes are doubtful.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn data_chunks(&self, from: u64, chunk: u64) -> Result<Vec<Range<u64>>, StorageError> {
        let mut map = self.data_map(from, chunk)?;
        while let Some(piece) = map.next_doubtful() {
            map.add(self.data_in(piece, chunk)?);
        }
        Ok(map.into_ranges())
    }

    /// Reads `range`, which begins and ends at multiples of `chunk` or at the file's end, and returns the chunks of it
    /// that hold anything but zeros.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn data_in(&self, range: Range<u64>, chunk: u64) -> Result<Vec<Range<u64>>, StorageError> {
        let mut found = DataMap::default();
        let mut buffer = vec![0; PIECE_BYTES.min(range.end - range.start) as usize];
        let mut at = range.start;
        while at < range.end {
            let len = (buffer.len() as u64).min(range.end - at) as usize;
            // A file that has become shorter is found out before anybody relies on what was read.
            let read = self.read_at(&mut buffer[..len], at)?;
            for (piece, bytes) in (at..).step_by(chunk as usize).zip(buffer[..read].chunks(chunk as usize)) {
                if !is_zero(bytes) {
                    found.data.push(piece - piece % chunk..(piece - piece % chunk + chunk).min(range.end));
                }
            }
            at += len as u64;
        }
        Ok(found.into_ranges())
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
}

/// What of `all` lies in none of `ranges`, which are in order.
fn gaps(ranges: &[Range<u64>], all: Range<u64>) -> Vec<Range<u64>> {
    let ends = ranges.iter().map(|range| range.end);
    let starts = ranges.iter().map(|range| range.start).chain([all.end]);
    let gaps = [all.start].into_iter().chain(ends).zip(starts).map(|(start, end)| start..end);
    gaps.filter(|gap| !gap.is_empty()).collect()
}

/// Looks at a few hundred bytes at a time: enough for SIMD, little lost where the first is not zero.
pub(in crate::storage) fn is_zero(data: &[u8]) -> bool {
    data.chunks(512).all(|some| some.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)]

    use super::*;
    use crate::storage::testing::{TestRoot, wire};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    const MIB: u64 = 1 << 20;

    fn sparse(place: &TestRoot, data: &[u64], size: u64) -> Source {
        let file = File::create(place.path("sparse")).unwrap();
        file.set_len(size).unwrap();
        for offset in data {
            file.write_all_at(&[7; 4096], *offset).unwrap();
        }
        file.sync_all().unwrap();
        place.root.open_source(&wire("sparse")).unwrap()
    }

    #[test]
    fn a_file_without_holes_is_one_range() {
        let place = TestRoot::new();
        place.write("a", &[1; 10_000]);
        let source = place.root.open_source(&wire("a")).unwrap();
        assert_eq!(source.data_chunks(0, 4096).unwrap(), vec![0..10_000]);
        assert_eq!(source.data_chunks(5000, 4096).unwrap(), vec![5000..10_000]);
        assert!(source.data_chunks(10_000, 4096).unwrap().is_empty());
    }

    #[test]
    fn data_ranges_are_whole_chunks_and_neighbours_are_one() {
        let place = TestRoot::new();
        let source = sparse(&place, &[5 * MIB + 8192, 6 * MIB, 9 * MIB], 12 * MIB + 100);
        assert_eq!(source.data_chunks(0, MIB).unwrap(), vec![5 * MIB..7 * MIB, 9 * MIB..10 * MIB]);
        assert_eq!(source.data_chunks(7 * MIB, MIB).unwrap(), vec![9 * MIB..10 * MIB]);
        let all_hole = sparse(&place, &[], 3 * MIB);
        assert!(all_hole.data_chunks(0, MIB).unwrap().is_empty());
    }

    #[test]
    fn very_many_holes_end_in_one_last_range() {
        let place = TestRoot::new();
        let data: Vec<u64> = (0..5000).map(|i| i * 16_384).collect();
        let source = sparse(&place, &data, 5000 * 16_384);
        let ranges = source.find_data(0, 4096).unwrap();
        assert_eq!(ranges.len(), DATA_RANGES_MAX);
        assert_eq!(ranges[0], 0..4096);
        assert_eq!(ranges.last().unwrap().end, 5000 * 16_384);
    }

    #[test]
    fn what_reading_finds_is_what_a_truthful_file_system_says() {
        let place = TestRoot::new();
        let size = 130 * MIB + 100;
        let source = sparse(&place, &[0, 5 * MIB + 8192, 6 * MIB, 64 * MIB - 4096, 130 * MIB - 4000], size);
        for chunk in [MIB, 64 * 1024] {
            let said = DataMap { data: source.find_data(0, chunk).unwrap(), doubtful: Vec::new() };
            let mut read = DataMap { data: Vec::new(), doubtful: vec![0..size] };
            let mut pieces = 0;
            while let Some(piece) = read.next_doubtful() {
                read.add(source.data_in(piece, chunk).unwrap());
                pieces += 1;
            }
            assert_eq!((read.into_ranges(), pieces), (said.into_ranges(), 3), "{chunk}");
        }
    }

    #[test]
    fn holes_are_doubtful_where_less_data_are_found_than_are_allocated() {
        let place = TestRoot::new();
        let mut source = sparse(&place, &[MIB], 8 * MIB);
        let believed = source.file_system().vouches_for_holes();
        let all = [0..MIB, 2 * MIB..8 * MIB];
        let doubtful = |source: &Source| source.data_map(0, MIB).unwrap().doubtful;
        assert_eq!(doubtful(&source), if believed { &[][..] } else { &all[..] });
        source.meta.allocated = 3 * MIB;
        assert_eq!(doubtful(&source), all);
        assert_eq!(source.data_chunks(0, MIB).unwrap(), vec![MIB..2 * MIB], "reading settles it");
    }
}
