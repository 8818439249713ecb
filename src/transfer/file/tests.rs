//! Both sides of one file, played against each other without a network: whatever was there before, the
//! receiver ends with the sender's content, and only what differs is sent.

use proptest::prelude::*;

use super::receive::{FileVerdict, ReceiveFile};
use super::send::{Closing, SendFile};
use crate::digest::{CHUNK_BYTES, ChunkHasher, Digest, Salt, chunk_count, chunk_len};
use crate::protocol::message::{FileId, Tail};
use crate::transfer::{ACCEPTED_FILE_BYTES_MAX, Violation};

const ID: FileId = FileId(7);

fn hasher() -> ChunkHasher {
    ChunkHasher::new(&Salt([3; 64]))
}

/// The tail of a file that is closed.
fn tail_of(mut closing: Closing) -> Tail {
    closing.step(&hasher(), u64::MAX).expect("it is the sum of all chunks")
}

/// The verdict on a file; `None` while something is to come.
fn verdict(file: &mut ReceiveFile) -> Option<FileVerdict> {
    file.judge().map(|mut judging| judging.step(&hasher(), u64::MAX).expect("it is the sum of all chunks"))
}

/// A file in miniature: one byte stands for each chunk, 0 for a hole.
#[derive(Debug, Clone)]
struct FileModel {
    size: u64,
    chunks: Vec<u8>,
}

impl FileModel {
    fn digest(&self, index: u64) -> Digest {
        digest_of(self.chunks[index as usize], chunk_len(self.size, index))
    }

    /// The parts at or after `from` that hold data, as the disk would tell them.
    fn content(&self, from: u64) -> Vec<std::ops::Range<u64>> {
        let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
        for index in from.div_ceil(CHUNK_BYTES)..chunk_count(self.size) {
            let (start, end) = (index * CHUNK_BYTES, index * CHUNK_BYTES + chunk_len(self.size, index));
            match ranges.last_mut() {
                _ if self.chunks[index as usize] == 0 => {}
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }
}

/// The digest of a chunk that is filled with one byte; a table, since hashing megabytes is not the point.
fn digest_of(byte: u8, len: u64) -> Digest {
    if byte == 0 {
        return hasher().zero_chunk(len);
    }
    let mut digest = [byte; 16];
    digest[..8].copy_from_slice(&len.to_le_bytes());
    Digest(digest)
}

/// Sends every range that is due and stores it; returns how many bytes that were.
fn flow(send: &mut SendFile, receive: &mut ReceiveFile, source: &FileModel) -> u64 {
    let mut sent = 0;
    while let Some(range) = send.next_range() {
        receive.on_range(range.start, range.end - range.start).expect("an honest range");
        for index in range.start / CHUNK_BYTES..range.end.div_ceil(CHUNK_BYTES) {
            send.on_own(index, &[source.digest(index)]);
            receive.on_chunk(index, source.digest(index));
        }
        send.on_sent();
        receive.on_range_stored();
        sent += range.end - range.start;
    }
    sent
}

/// The start of the file went ahead of the answer: the receiver takes it or not, the sender counts it or not. Returns how
/// many bytes of it counted.
fn flow_early(send: &mut SendFile, receive: &mut ReceiveFile, source: &FileModel, from: u64) -> u64 {
    let len = source.size.min(CHUNK_BYTES);
    let wanted = receive.on_early(len).expect("an honest start");
    assert_eq!(wanted, from == 0, "the start is wanted by who has nothing");
    if !wanted {
        return 0;
    }
    receive.on_chunk(0, source.digest(0));
    receive.on_range_stored();
    send.on_start(source.digest(0));
    len
}

fn model() -> impl Strategy<Value = FileModel> {
    (0..12 * CHUNK_BYTES).prop_flat_map(|size| {
        let chunks = proptest::collection::vec(0_u8..4, chunk_count(size) as usize);
        chunks.prop_map(move |chunks| FileModel { size, chunks })
    })
}

proptest! {
    #[test]
    fn whatever_was_there_the_receiver_ends_with_the_senders_file(
        source in model(), held in proptest::collection::vec(0_u8..4, 12), start in 0_u64..14, step in 1_usize..5,
        is_early: bool,
    ) {
        let from = (start * CHUNK_BYTES).min(source.size);
        let prefix = from.div_ceil(CHUNK_BYTES);
        let old: Vec<_> = (0..prefix).map(|i| digest_of(held[i as usize], chunk_len(source.size, i))).collect();
        let mut receive = ReceiveFile::new(source.size, from, &hasher());
        let mut send = SendFile::new(ID, source.size, from, source.content(from), &hasher()).expect("an honest start");
        let is_early = is_early && source.size > 0;

        let early = if is_early { flow_early(&mut send, &mut receive, &source, from) } else { 0 };
        let mut sent = early + flow(&mut send, &mut receive, &source);
        for (timing, digests) in old.chunks(step).enumerate() {
            prop_assert!(send.close().is_none(), "no tail before everything is compared");
            let first = (timing * step) as u64;
            receive.on_prefix(digests);
            send.on_have(first, digests).expect("honest digests");
            let own: Vec<_> = (first..first + digests.len() as u64).map(|i| source.digest(i)).collect();
            send.on_own(first, &own);
            sent += flow(&mut send, &mut receive, &source);
        }
        let tail = tail_of(send.close().expect("everything is sent and compared"));
        prop_assert_eq!(verdict(&mut receive), None);
        receive.on_tail(tail).expect("an honest tail");
        prop_assert_eq!(verdict(&mut receive), Some(FileVerdict::Right));

        let differing: u64 =
            (0..prefix).filter(|i| old[*i as usize] != source.digest(*i)).map(|i| chunk_len(source.size, i)).sum();
        let content: u64 = source.content(from).iter().map(|range| range.end - range.start).sum();
        // Only a hole at the start is sent for nothing.
        let hole = if early > 0 && source.chunks[0] == 0 { early } else { 0 };
        prop_assert_eq!(sent, differing + content + hole, "nothing is sent twice or that is there already");
    }

    #[test]
    fn ranges_of_a_hostile_sender_never_overlap_or_leave_the_file(
        size in 0..6 * CHUNK_BYTES, ranges in proptest::collection::vec((0_u64..8, 0_u64..8, -1_i64..2), 0..20),
    ) {
        let mut receive = ReceiveFile::new(size, 0, &hasher());
        let mut taken: Vec<std::ops::Range<u64>> = Vec::new();
        for (start, chunks, skew) in ranges {
            let offset = start * CHUNK_BYTES;
            let len = (chunks * CHUNK_BYTES).saturating_add_signed(skew);
            if receive.on_range(offset, len).is_ok() {
                prop_assert!(len > 0 && offset + len <= size);
                prop_assert!(taken.iter().all(|other| other.end <= offset || offset + len <= other.start));
                taken.push(offset..offset + len);
            }
        }
    }
}

fn tail(ranges: u64) -> Tail {
    Tail { id: ID, root: Digest([0; 16]), ranges, early: false }
}

#[test]
fn a_receiver_refuses_what_breaks_the_rules() {
    const M: u64 = CHUNK_BYTES;
    let fresh = || ReceiveFile::new(4 * M + 5, 2 * M, &hasher());
    for (offset, len) in [(1, M), (2 * M, 1), (2 * M, 0), (2 * M, 3 * M), (u64::MAX, 2), (4 * M, 6), (M, 2 * M)] {
        assert_eq!(fresh().on_range(offset, len), Err(Violation::BadRange { offset, len }), "{offset}+{len}");
    }
    assert_eq!(fresh().on_range(0, M), Err(Violation::EarlyRepair { offset: 0 }));
    assert_eq!(fresh().on_range(4 * M, 5), Ok(()));
    let mut file = fresh();
    file.on_prefix(&[Digest([1; 16])]);
    assert_eq!(file.on_range(0, M), Ok(()), "a chunk that was offered may be repaired");
    assert_eq!(file.on_range(0, M), Err(Violation::Overlap { offset: 0 }), "but only once");
    assert_eq!(file.on_range(M, M), Err(Violation::EarlyRepair { offset: M }));
    assert_eq!(file.on_tail(tail(0)), Err(Violation::RangeCount { announced: 0, seen: 1 }));
    assert_eq!(file.on_tail(tail(1)), Ok(()));
    assert_eq!(file.on_tail(tail(1)), Err(Violation::SecondTail));
    assert_eq!(file.on_range(2 * M, M), Err(Violation::RangeCount { announced: 1, seen: 2 }));
}

#[test]
fn a_start_that_went_ahead_is_the_first_range_or_nothing() {
    const M: u64 = CHUNK_BYTES;
    let size = 2 * M + 5;
    let mut whole = ReceiveFile::new(size, 0, &hasher());
    for len in [0, 1, M - 1, M + 1, size] {
        assert_eq!(whole.on_early(len), Err(Violation::BadRange { offset: 0, len }));
    }
    assert_eq!(whole.on_early(M), Ok(true));
    assert_eq!(whole.on_early(M), Err(Violation::Overlap { offset: 0 }), "twice");
    assert_eq!(whole.on_range(0, M), Err(Violation::Overlap { offset: 0 }), "and again when it was asked for");
    assert_eq!(whole.on_tail(tail(0)), Err(Violation::RangeCount { announced: 0, seen: 1 }), "it counts");

    let mut rest = ReceiveFile::new(size, M, &hasher());
    assert_eq!(rest.on_early(M), Ok(false));
    assert!(!rest.has_ranges(), "it does not count");
    rest.on_prefix(&[Digest([1; 16])]);
    assert_eq!(rest.on_range(0, M), Ok(()), "a repair of the start is none that went ahead");
    assert_eq!(rest.on_early(M), Ok(false), "nor the other way round");
    assert_eq!(ReceiveFile::new(0, 0, &hasher()).on_early(0), Err(Violation::BadRange { offset: 0, len: 0 }));
}

#[test]
fn what_went_ahead_is_not_sent_again() {
    const M: u64 = CHUNK_BYTES;
    // Chunks that hold data, and those that are sent then.
    for (content, rest) in
        [(&[(0, 3)][..], &[(1, 3)][..]), (&[(0, 1), (2, 3)], &[(2, 3)]), (&[(1, 2)], &[(1, 2)]), (&[], &[])]
    {
        let content = content.iter().map(|(start, end)| start * M..end * M).collect();
        let mut file = SendFile::new(ID, 3 * M, 0, content, &hasher()).expect("the start");
        file.on_start(Digest([1; 16]));
        let mut sent = Vec::new();
        while let Some(range) = file.next_range() {
            assert!(file.close().is_none(), "no tail while a range is on its way");
            file.on_sent();
            sent.push((range.start / M, range.end / M));
        }
        assert_eq!(sent, rest);
        assert_eq!(tail_of(file.close().expect("all is sent")).ranges, 1 + rest.len() as u64);
    }
    let mut small = SendFile::new(ID, 5, 0, std::iter::once(0..5).collect(), &hasher()).expect("the start");
    small.on_start(Digest([1; 16]));
    assert_eq!(tail_of(small.close().expect("all is sent")).ranges, 1);
}

#[test]
fn a_wrong_root_is_found() {
    let mut file = ReceiveFile::new(5, 0, &hasher());
    assert_eq!(file.on_range(0, 5), Ok(()));
    file.on_chunk(0, Digest([9; 16]));
    file.on_range_stored();
    assert_eq!(file.on_tail(tail(1)), Ok(()));
    assert_eq!(verdict(&mut file), Some(FileVerdict::Wrong));
}

#[test]
fn a_sender_refuses_what_breaks_the_rules() {
    const M: u64 = CHUNK_BYTES;
    let start = |from| SendFile::new(ID, 3 * M + 1, from, Vec::new(), &hasher());
    assert!(start(0).is_ok() && start(2 * M).is_ok() && start(3 * M + 1).is_ok());
    for offset in [1, M + 1, 4 * M] {
        assert_eq!(start(offset).err(), Some(Violation::BadStart { offset }));
    }
    let mut file = start(2 * M).expect("a chunk boundary");
    let digests = [Digest([1; 16]); 3];
    assert_eq!(file.on_have(1, &digests[..1]), Err(Violation::BadHave { first: 1 }), "not in order");
    assert_eq!(file.on_have(0, &digests), Err(Violation::BadHave { first: 0 }), "beyond the start");
    assert_eq!(file.on_have(0, &digests[..2]), Ok(()));
    assert_eq!(file.on_have(0, &digests[..1]), Err(Violation::BadHave { first: 0 }), "twice");
}

#[test]
fn neighbouring_chunks_that_differ_are_repaired_as_one_range() {
    const M: u64 = CHUNK_BYTES;
    let mut file = SendFile::new(ID, 5 * M, 5 * M, Vec::new(), &hasher()).expect("a whole file is held");
    let own = [1, 2, 3, 4, 5].map(|byte| Digest([byte; 16]));
    let theirs = [1, 9, 9, 4, 9].map(|byte| Digest([byte; 16]));
    file.on_own(0, &own);
    assert_eq!(file.on_have(0, &theirs), Ok(()));
    assert_eq!(file.next_range(), Some(M..3 * M));
    assert_eq!(file.next_range(), Some(4 * M..5 * M));
    assert_eq!(file.next_range(), None);
}

/// A sparse file of the greatest size, of which one chunk and the last bytes are data: what either end keeps of it fits a
/// few lines of memory, and neither sums up more than it is told to at a time.
#[test]
fn a_file_of_the_greatest_size_that_is_all_holes_takes_no_room_and_is_summed_up_in_steps() {
    const STEP: u64 = 1 << 20;
    let (size, last) = (ACCEPTED_FILE_BYTES_MAX - 5, chunk_count(ACCEPTED_FILE_BYTES_MAX) - 1);
    let content = vec![7 * CHUNK_BYTES..8 * CHUNK_BYTES, last * CHUNK_BYTES..size];
    let mut send = SendFile::new(ID, size, 0, content, &hasher()).expect("the start");
    let mut receive = ReceiveFile::new(size, 0, &hasher());
    while let Some(range) = send.next_range() {
        let (index, digest) = (range.start / CHUNK_BYTES, Digest([range.start as u8; 16]));
        receive.on_range(range.start, range.end - range.start).expect("an honest range");
        receive.on_chunk(index, digest);
        receive.on_range_stored();
        send.on_own(index, &[digest]);
        send.on_sent();
    }
    let mut closing = send.close().expect("all is sent");
    let mut steps = 1;
    let tail = loop {
        match closing.step(&hasher(), STEP) {
            Some(tail) => break tail,
            None => steps += 1,
        }
    };
    assert_eq!(steps, chunk_count(size) / STEP);
    receive.on_tail(tail).expect("an honest tail");
    assert_eq!(verdict(&mut receive), Some(FileVerdict::Right));
}

/// A receiver that holds a sparse file hashes its prefix, whose digests need no room in memory either.
#[test]
fn digests_of_zeros_before_the_start_are_compared_and_not_kept() {
    const M: u64 = CHUNK_BYTES;
    let zeros = hasher().zero_chunk(M);
    let mut send = SendFile::new(ID, 3 * M, 3 * M, Vec::new(), &hasher()).expect("a whole file is held");
    send.on_own(0, &[zeros, zeros]);
    assert_eq!(send.on_have(0, &[zeros, Digest([1; 16]), zeros]), Ok(()));
    assert!(send.is_behind() && !send.is_compared(), "the third is not known yet");
    assert_eq!(send.next_range(), Some(M..2 * M), "a chunk that is no hole there is sent");
    send.on_own(2, &[zeros]);
    assert!(send.is_compared() && !send.is_behind());
}
