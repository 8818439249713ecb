//! Early content, which leaves before its file was answered: how much of a job may, and what of a file.
//!
//! The sender expects that the first files of a job are wanted whole and does not wait to hear it: their starts
//! arrive with their offers, a round trip earlier. What was not wanted after all is stopped and counts for nothing.

use std::collections::BTreeMap;

use crate::digest::CHUNK_BYTES;
use crate::protocol::message::{FileId, Header, Kind};
use crate::protocol::{EARLY_BYTES_MAX, EARLY_FILES_MAX};
use crate::transfer::Violation;

const _: () = assert!(EARLY_BYTES_MAX >= CHUNK_BYTES, "no large file could go ahead");

/// The start of a file that may go ahead: its first chunk, or all of a smaller file. 0 when nothing of it may.
pub(crate) fn start_len(header: &Header) -> u64 {
    match header.kind {
        Kind::File => header.size.min(CHUNK_BYTES),
        Kind::Dir | Kind::Link(_) => 0,
    }
}

/// Whether a file has no content: nothing of it can go ahead but its tail.
pub(crate) fn is_empty_file(header: &Header) -> bool {
    header.kind == Kind::File && header.size == 0
}

/// The early content of one job. Sender and receiver count alike.
#[derive(Debug, Default)]
pub(crate) struct Early {
    files: BTreeMap<FileId, u64>,
    bytes: u64,
}

impl Early {
    /// On the sending side: whether the start of one more file may go ahead; it is then counted.
    pub(crate) fn take(&mut self, header: &Header) -> bool {
        let len = start_len(header);
        len > 0 && self.on_range(header.id, 0, len).is_ok()
    }

    /// On the receiving side: a stream announces `len` bytes at `offset` of a file that may not be offered yet.
    ///
    /// # Errors
    /// The rule that the range breaks; nothing is counted then.
    pub(crate) fn on_range(&mut self, id: FileId, offset: u64, len: u64) -> Result<(), Violation> {
        if offset != 0 || len == 0 {
            return Err(Violation::BadRange { offset, len });
        }
        if self.files.contains_key(&id) {
            return Err(Violation::Overlap { offset });
        }
        // A length that is no start of any file is as good as too much.
        let bytes = self.bytes.saturating_add(len);
        if self.files.len() >= EARLY_FILES_MAX || bytes > EARLY_BYTES_MAX {
            return Err(Violation::TooMuchEarly { files: self.files.len() as u64 + 1, bytes });
        }
        self.files.insert(id, len);
        self.bytes = bytes;
        Ok(())
    }

    /// On the receiving side, once both have come: whether what went ahead is the start of what was offered.
    ///
    /// # Errors
    /// That it is not.
    pub(crate) fn check(&self, header: &Header) -> Result<(), Violation> {
        match self.files.get(&header.id) {
            Some(&len) if len != start_len(header) => Err(Violation::BadRange { offset: 0, len }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Mtime;
    use crate::protocol::path::WirePath;

    fn header(id: u64, kind: Kind, size: u64) -> Header {
        let path = WirePath::parse(b"x").expect("a plain path");
        Header { id: FileId(id), path, kind, size, mtime: Mtime { secs: 0, nanos: 0 }, mode: 0 }
    }

    #[test]
    fn what_may_go_ahead_is_one_chunk_or_a_whole_smaller_file() {
        for (kind, size, len) in [
            (Kind::File, 0, 0),
            (Kind::File, 1, 1),
            (Kind::File, CHUNK_BYTES, CHUNK_BYTES),
            (Kind::File, CHUNK_BYTES + 1, CHUNK_BYTES),
            (Kind::File, u64::MAX >> 1, CHUNK_BYTES),
            (Kind::Dir, 4096, 0),
            (Kind::Link(vec![b'x']), 1, 0),
        ] {
            let header = header(0, kind, size);
            assert_eq!((start_len(&header), Early::default().take(&header)), (len, len > 0), "{header:?}");
        }
    }

    #[test]
    fn a_job_sends_ahead_few_files_and_few_bytes() {
        let mut many = Early::default();
        let taken = (0..2 * EARLY_FILES_MAX as u64).filter(|id| many.take(&header(*id, Kind::File, 1))).count();
        assert_eq!(taken, EARLY_FILES_MAX);
        let mut large = Early::default();
        let half = EARLY_BYTES_MAX / 2 + 1;
        assert!(large.take(&header(0, Kind::File, half)));
        assert!(!large.take(&header(1, Kind::File, half)), "beyond the bytes");
        assert!(large.take(&header(2, Kind::File, half - 2)), "a smaller one still fits");
        assert!(!large.take(&header(3, Kind::File, 1)));
    }

    #[test]
    fn a_receiver_refuses_what_may_not_go_ahead() {
        let mut early = Early::default();
        for (offset, len) in [(CHUNK_BYTES, 1), (0, 0), (u64::MAX, 1)] {
            assert_eq!(early.on_range(FileId(0), offset, len), Err(Violation::BadRange { offset, len }));
        }
        for len in [EARLY_BYTES_MAX + 1, u64::MAX >> 1] {
            let far = Violation::TooMuchEarly { files: 1, bytes: len };
            assert_eq!(early.on_range(FileId(0), 0, len), Err(far));
        }
        assert_eq!(early.on_range(FileId(0), 0, 5), Ok(()));
        assert_eq!(early.on_range(FileId(0), 0, 5), Err(Violation::Overlap { offset: 0 }), "twice");
        for id in 1..EARLY_FILES_MAX as u64 {
            assert_eq!(early.on_range(FileId(id), 0, 1), Ok(()));
        }
        let (files, bytes) = (EARLY_FILES_MAX as u64 + 1, EARLY_FILES_MAX as u64 + 5);
        assert_eq!(early.on_range(FileId(99), 0, 1), Err(Violation::TooMuchEarly { files, bytes }));
    }

    #[test]
    fn what_went_ahead_must_be_the_start_of_what_is_offered() {
        let mut early = Early::default();
        assert_eq!(early.on_range(FileId(0), 0, 5), Ok(()));
        let misfit = Err(Violation::BadRange { offset: 0, len: 5 });
        assert_eq!(early.check(&header(0, Kind::File, 5)), Ok(()));
        assert_eq!(early.check(&header(0, Kind::File, 4)), misfit);
        assert_eq!(early.check(&header(0, Kind::File, 6)), misfit);
        assert_eq!(early.check(&header(0, Kind::Dir, 5)), misfit);
        assert_eq!(early.check(&header(1, Kind::File, 6)), Ok(()), "of another nothing went ahead");
    }
}
