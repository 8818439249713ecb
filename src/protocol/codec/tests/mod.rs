mod any;

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use self::any::message;
use super::*;
use crate::digest::Digest;
use crate::protocol::message::*;
use crate::protocol::path::WirePath;
use crate::protocol::{
    DETAIL_BYTES_MAX, ENTRIES_MAX, FILE_BYTES_MAX, FILTER_BYTES_MAX, FILTERS_MAX, HAVE_DIGESTS_MAX, LINK_BYTES_MAX,
    NAME_BYTES_MAX, NAMES_MAX, PATTERN_BYTES_MAX, PATTERNS_MAX, path,
};

fn frame(message: &Message) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(message, &mut frame).expect("within the limits");
    frame
}

/// A frame around any bytes.
fn framed(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short");
    [&len.to_le_bytes(), payload].concat()
}

fn decode_one(bytes: &[u8]) -> Result<Option<Message>, CodecError> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    decoder.next()
}

#[test]
fn several_frames_are_cut_where_one_ends() {
    let messages = [Message::Settled, Message::GoAway, Message::Remark(Remark::new("x".repeat(100))), Message::Settled];
    let frames: Vec<Vec<u8>> = messages.iter().map(frame).collect();
    let (all, ends) = (
        frames.concat(),
        frames.iter().scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        }),
    );
    let ends: Vec<usize> = ends.collect();
    for bytes_max in 0..=all.len() + 1 {
        let (bytes, count) = whole_frames(&all, bytes_max);
        let fit = ends.iter().filter(|end| **end <= bytes_max).count().max(1);
        assert_eq!((bytes, count), (ends[fit - 1], fit), "of {bytes_max} bytes");
    }
    assert_eq!(whole_frames(&[], 10), (0, 0));
}

/// The payload of `message`, limits unchecked: what a peer without our checks could send.
fn raw(message: &Message) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, standard()).expect("memory is no limit")
}

/// One message of every variant, and with it the exact bytes: the format may not change under `qft/1`.
fn examples() -> Vec<(Message, &'static [u8])> {
    let path = WirePath::parse(b"a/b").expect("a plain path");
    let mtime = Mtime { secs: -1, nanos: 250 };
    let digest = Digest([7; 16]);
    let entry = ListingEntry { path: path.clone(), kind: Kind::Link(vec![b'x']), size: 0, mtime, mode: 0o644 };
    let header = Header { id: FileId(251), path: path.clone(), kind: Kind::File, size: 1 << 32, mtime, mode: 7 };
    let push = Push {
        to: Some(path),
        target: Target::FileOrDirectory,
        if_exists: IfExists::Fail,
        checksum: true,
        dry_run: false,
        resume: true,
    };
    let get = Get { patterns: vec![b"*".to_vec()], filters: vec!["!k".into()], links: true, early: true };
    let again = Get { patterns: vec![b"d".to_vec()], filters: Vec::new(), links: false, early: false };
    let path_of_part = WirePath::parse(b"a").expect("a plain path");
    let part = ListedPart { path: path_of_part, size: 1, age_secs: 2, fate: PartFate::Removed };
    let busy = Failure::new(Status::Busy, "é");
    let link = LinkReport { rtt_us: 1, packets_sent: 2, packets_lost: 3, window: 65536, mtu: 1452 };
    let from = Verdict::From { offset: 1 << 20, why: Why::Resume };
    let stats =
        SenderStats { acked: 1, acked_idle: 2, read_wait_us: 3, write_wait_us: 4, elapsed_us: 5, processor_us: 6 };
    vec![
        (
            Message::Hello(Hello::new(0, "me", Some([9; 16]))),
            b"\x00\x00\x02me\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x00",
        ),
        (
            Message::Hello(Hello::new(0, "me", None).with_token_proof(Some(*b"0123456789abcdef0123456789abcdef"))),
            b"\x00\x00\x02me\x00\x010123456789abcdef0123456789abcdef",
        ),
        (Message::Welcome(Welcome::new(3, "", true)), b"\x01\x03\x00\x01"),
        (Message::Push(push), b"\x02\x01\x03a/b\x01\x03\x01\x00\x01"),
        (Message::Get(get), b"\x03\x01\x01*\x01\x02!k\x01\x01"),
        (Message::List(List { pattern: b"d".to_vec(), recursive: false }), b"\x04\x01d\x00"),
        (Message::Entries(vec![entry]), b"\x05\x01\x03a/b\x02\x01x\x00\x01\xfa\xfb\xa4\x01"),
        (Message::Header(header), b"\x06\xfb\xfb\x00\x03a/b\x00\xfd\0\0\0\0\x01\0\0\0\x01\xfa\x07"),
        (Message::Pos(Pos { id: FileId(1), verdict: from }), b"\x07\x01\x02\xfc\x00\x00\x10\x00\x02"),
        (
            Message::Have(Have { id: FileId(1), first: 2, digests: vec![digest] }),
            b"\x08\x01\x02\x01\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
        ),
        (
            Message::Tail(Tail { id: FileId(1), root: digest, ranges: 2, early: false }),
            b"\x09\x01\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x02\x00",
        ),
        (Message::Done(Done { id: FileId(1), failure: None }), b"\x0a\x01\x00"),
        (Message::Problem(Problem::new(*b"n", busy.clone())), b"\x0b\x01n\x08\x02\xc3\xa9"),
        (Message::End(End { files: 1, bytes: 250 }), b"\x0c\x01\xfa"),
        (Message::Cancel(Done { id: FileId(1), failure: Some(busy) }), b"\x0d\x01\x01\x08\x02\xc3\xa9"),
        (Message::GoAway, b"\x0e"),
        (Message::Link(link), b"\x0f\x01\x02\x03\xfc\x00\x00\x01\x00\xfb\xac\x05"),
        (Message::Settled, b"\x10"),
        (Message::Probe(Probe { kind: ProbeKind::Down, millis: 5000 }), b"\x11\x02\xfb\x88\x13"),
        (
            Message::ProbeReady(ProbeReady { millis: 9, udp_receive: 4, udp_send: 5, link }),
            b"\x12\x09\x04\x05\x01\x02\x03\xfc\x00\x00\x01\x00\xfb\xac\x05",
        ),
        (
            Message::ProbeDone(ProbeDone { link, cpu_permille: 7 }),
            b"\x13\x01\x02\x03\xfc\x00\x00\x01\x00\xfb\xac\x05\x07",
        ),
        (Message::Offered, b"\x14"),
        (Message::Remark(Remark::new("hi")), b"\x15\x02hi"),
        (
            Message::Named(Named { id: FileId(1), name: WirePath::parse(b"a~1").expect("a plain name") }),
            b"\x16\x01\x03a~1",
        ),
        (
            Message::Select(Select { get: again, one_file_system: true, listed: true }),
            b"\x17\x01\x01d\x00\x00\x00\x01\x01",
        ),
        (
            Message::Names(Names {
                names: vec![ListedName { path: WirePath::parse(b"a/b").expect("a plain path"), whole: true }],
                is_last: false,
            }),
            b"\x18\x01\x03a/b\x01\x00",
        ),
        (Message::MoreNames, b"\x19"),
        (Message::Parts(Parts { below: None, older_secs: 251, remove: true }), b"\x1a\x00\xfb\xfb\x00\x01"),
        (Message::PartsFound(vec![part]), b"\x1b\x01\x01a\x01\x02\x01"),
        (Message::Location(Location { proof: None }), b"\x1c\x00"),
        (Message::SenderStats(stats), b"\x1d\x01\x02\x03\x04\x05\x06"),
    ]
}

/// The first bytes of all messages that a decoder knows.
fn variants() -> Vec<u8> {
    let is_known = |variant: &u8| {
        let decoded = decode_one(&framed(&[*variant]));
        !matches!(decoded, Err(CodecError::Malformed(text)) if text.contains("variant index"))
    };
    (0..=u8::MAX).take_while(is_known).collect()
}

#[test]
fn every_message_has_the_bytes_it_always_had() {
    let all = examples();
    for (message, payload) in &all {
        assert_eq!(frame(message), framed(payload), "{message:?}");
        assert_eq!(decode_one(&framed(payload)), Ok(Some(message.clone())));
    }
    let mut seen: Vec<u8> = all.iter().map(|(_, payload)| payload[0]).collect();
    seen.dedup();
    assert_eq!(seen, variants(), "every variant has its example, in order");
}

#[test]
fn arbitrary_messages_are_of_every_variant() {
    let mut runner = TestRunner::deterministic();
    let mut one = || message().new_tree(&mut runner).expect("nothing is rejected").current();
    let seen: BTreeSet<u8> = (0..2000).map(|_| raw(&one())[0]).collect();
    assert_eq!(Vec::from_iter(seen), variants(), "every variant has its strategy");
}

#[test]
fn frames_split_at_every_byte_decode_the_same() {
    let (messages, frames): (Vec<Message>, Vec<Vec<u8>>) =
        examples().into_iter().map(|(message, payload)| (message, framed(payload))).unzip();
    let bytes = frames.concat();
    for split in 0..=bytes.len() {
        let mut decoder = Decoder::new();
        let mut decoded = Vec::new();
        for part in [&bytes[..split], &bytes[split..]] {
            decoder.push(part);
            while let Some(message) = decoder.next().expect("whole frames") {
                decoded.push(message);
            }
        }
        assert_eq!(decoded, messages, "split at {split}");
        assert_eq!(decoder.finish(), Ok(()));
    }
}

#[test]
fn a_length_over_the_cap_is_refused_as_soon_as_it_is_known() {
    for len in [FRAME_BYTES_MAX + 1, usize::try_from(u32::MAX).expect("64 bit")] {
        let prefix = u32::try_from(len).expect("four bytes").to_le_bytes();
        let mut decoder = Decoder::new();
        decoder.push(&prefix[..3]);
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(&prefix[3..]);
        assert_eq!(decoder.next(), Err(CodecError::TooLong { len }));
        assert!(decoder.bytes.capacity() < 1024, "nothing was reserved for it");
    }
}

#[test]
fn a_frame_at_the_cap_is_waited_for_without_room_being_made() {
    let mut decoder = Decoder::new();
    decoder.push(&u32::try_from(FRAME_BYTES_MAX).expect("64 KiB").to_le_bytes());
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.bytes.capacity() < 1024);
    assert_eq!(decoder.finish(), Err(CodecError::Truncated { have: LENGTH_BYTES }));
}

#[test]
fn the_longest_frame_passes_and_one_byte_more_does_not() {
    let get = |last: usize| {
        let mut patterns = vec![vec![b'*'; PATTERN_BYTES_MAX]; 15];
        patterns.push(vec![b'*'; last]);
        Message::Get(Get { patterns, filters: Vec::new(), links: false, early: false })
    };
    let spare = FRAME_BYTES_MAX - raw(&get(251)).len();
    assert_eq!(frame(&get(251 + spare)).len(), LENGTH_BYTES + FRAME_BYTES_MAX);
    assert_eq!(decode_one(&frame(&get(251 + spare))), Ok(Some(get(251 + spare))));

    let mut kept = b"before".to_vec();
    let refused = encode(&get(252 + spare), &mut kept);
    assert_eq!(refused, Err(CodecError::TooLong { len: FRAME_BYTES_MAX + 1 }));
    assert_eq!(kept, b"before");
}

#[test]
fn the_fullest_lists_pass_although_bincode_charges_more_than_they_take() {
    let mtime = Mtime { secs: 0, nanos: 0 };
    let path = WirePath::parse(&[b'p'; 50]).expect("a plain path");
    let entry = ListingEntry { path, kind: Kind::File, size: 1, mtime, mode: 0 };
    let entries = Message::Entries(vec![entry; ENTRIES_MAX]);
    let have = Message::Have(Have { id: FileId(0), first: 0, digests: vec![Digest([255; 16]); HAVE_DIGESTS_MAX] });
    let patterns = Message::Get(Get {
        patterns: vec![Vec::new(); PATTERNS_MAX],
        filters: vec![String::new(); FILTERS_MAX],
        links: true,
        early: true,
    });
    for message in [entries, have, patterns] {
        assert_eq!(decode_one(&frame(&message)), Ok(Some(message)));
    }
}

#[test]
fn bytes_after_a_message_are_refused() {
    let frame = framed(b"\x0e\x00\x00");
    assert_eq!(decode_one(&frame), Err(CodecError::Trailing { extra: 2 }));
}

#[test]
fn an_error_is_not_left_behind_by_asking_again() {
    let mut decoder = Decoder::new();
    decoder.push(&[frame(&Message::GoAway), framed(b"\xff"), frame(&Message::GoAway)].concat());
    assert_eq!(decoder.next(), Ok(Some(Message::GoAway)));
    let first = decoder.next();
    assert!(matches!(first, Err(CodecError::Malformed(_))), "{first:?}");
    assert_eq!(decoder.next(), first);
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let table: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("an unknown variant", b"\x15"),
        ("a message cut short", b"\x0a\x01"),
        ("a presence that is neither", b"\x0a\x01\x02"),
        ("a flag that is neither", b"\x04\x00\x02"),
        ("text that is not UTF-8", b"\x01\x00\x01\xff\x00"),
        ("a path with dots", b"\x02\x01\x02..\x00\x00\x00\x00\x00"),
        ("an absolute path", b"\x02\x01\x02/a\x00\x00\x00\x00\x00"),
        ("a text longer than everything", b"\x01\x00\xfd\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("a list longer than everything", b"\x05\xfd\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("bytes longer than everything", b"\x04\xfd\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("a path longer than everything", b"\x02\x01\xfd\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("a number of 128 bits", b"\x0c\xfe\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x00"),
    ];
    for (what, payload) in table {
        let refused = decode_one(&framed(payload));
        assert!(matches!(refused, Err(CodecError::Malformed(_))), "{what}: {refused:?}");
    }
}

/// One message for each limit, just outside of it.
fn over_limits() -> Vec<(&'static str, Message)> {
    let long = |max: usize| "x".repeat(max + 1);
    let failure = || Failure { status: Status::Busy, detail: long(DETAIL_BYTES_MAX) };
    let get = |patterns: Vec<Vec<u8>>, filters: Vec<String>| {
        Message::Get(Get { patterns, filters, links: false, early: false })
    };
    let path = WirePath::parse(b"a").expect("a plain path");
    let header = |kind: Kind, size: u64, nanos: u32| {
        let mtime = Mtime { secs: 0, nanos };
        Message::Header(Header { id: FileId(0), path: path.clone(), kind, size, mtime, mode: 0 })
    };
    let entry =
        ListingEntry { path: path.clone(), kind: Kind::Dir, size: 0, mtime: Mtime { secs: 0, nanos: 0 }, mode: 0 };
    let pos = |verdict| Message::Pos(Pos { id: FileId(0), verdict });
    let have = |first, count| Message::Have(Have { id: FileId(0), first, digests: vec![Digest([0; 16]); count] });
    let done = |failure| Done { id: FileId(0), failure };
    let problem = |name: Vec<u8>, failure| Message::Problem(Problem { name, failure });
    let select = |count| {
        let get = Get { patterns: vec![Vec::new(); count], filters: Vec::new(), links: false, early: false };
        Message::Select(Select { get, one_file_system: false, listed: true })
    };
    let listed = ListedName { path: path.clone(), whole: false };
    let part = |size, fate| ListedPart { path: path.clone(), size, age_secs: 0, fate };
    let parts = |count, size, fate| Message::PartsFound(vec![part(size, fate); count]);
    vec![
        ("name", Message::Hello(Hello { name: long(NAME_BYTES_MAX), ..Hello::new(0, "", None) })),
        ("name", Message::Welcome(Welcome { features: 0, name: long(NAME_BYTES_MAX), enrolled: false })),
        ("number of patterns", get(vec![Vec::new(); PATTERNS_MAX + 1], Vec::new())),
        ("pattern", get(vec![vec![b'x'; PATTERN_BYTES_MAX + 1]], Vec::new())),
        ("number of filters", get(Vec::new(), vec![String::new(); FILTERS_MAX + 1])),
        ("filter", get(Vec::new(), vec![long(FILTER_BYTES_MAX)])),
        ("pattern", Message::List(List { pattern: vec![b'x'; PATTERN_BYTES_MAX + 1], recursive: true })),
        ("number of entries", Message::Entries(vec![entry.clone(); ENTRIES_MAX + 1])),
        ("size", Message::Entries(vec![entry.clone(), ListingEntry { size: 1, ..entry }])),
        ("size", header(Kind::File, FILE_BYTES_MAX + 1, 0)),
        ("size", header(Kind::Dir, 1, 0)),
        ("size", header(Kind::Link(b"t".to_vec()), 1, 0)),
        ("nanoseconds", header(Kind::File, 0, 1_000_000_000)),
        ("link target", header(Kind::Link(vec![b'x'; LINK_BYTES_MAX + 1]), 0, 0)),
        ("link target", header(Kind::Link(Vec::new()), 0, 0)),
        ("link target", header(Kind::Link(b"a\0b".to_vec()), 0, 0)),
        ("offset", pos(Verdict::From { offset: FILE_BYTES_MAX + 1, why: Why::New })),
        ("detail", pos(Verdict::Refuse(failure()))),
        ("number of digests", have(0, HAVE_DIGESTS_MAX + 1)),
        ("chunk index", have(FILE_BYTES_MAX + 1, 1)),
        ("detail", Message::Done(done(Some(failure())))),
        ("detail", Message::Cancel(done(Some(failure())))),
        ("cancel without a failure", Message::Cancel(done(None))),
        ("detail", problem(Vec::new(), failure())),
        ("name", problem(vec![0; path::PATH_BYTES_MAX + 1], Failure::new(Status::Busy, ""))),
        ("number of patterns", select(2)),
        ("number of names", Message::Names(Names { names: vec![listed; NAMES_MAX + 1], is_last: true })),
        ("number of parts", parts(ENTRIES_MAX + 1, 0, PartFate::Kept)),
        ("size", parts(1, FILE_BYTES_MAX + 1, PartFate::Kept)),
        ("detail", parts(1, 0, PartFate::Left(failure()))),
    ]
}

#[test]
fn what_is_outside_a_limit_is_neither_taken_nor_sent() {
    for (what, message) in over_limits() {
        assert_eq!(decode_one(&framed(&raw(&message))), Err(CodecError::Limit { what }), "{message:?}");
        let mut into = b"before".to_vec();
        assert_eq!(encode(&message, &mut into), Err(CodecError::Limit { what }));
        assert_eq!(into, b"before");
    }
}

#[test]
fn a_decoder_that_is_drained_holds_no_more_than_a_frame() {
    let fill = Message::Have(Have { id: FileId(0), first: 0, digests: vec![Digest([0; 16]); HAVE_DIGESTS_MAX] });
    let bytes = frame(&fill).repeat(50);
    let mut decoder = Decoder::new();
    let mut count = 0;
    for piece in bytes.chunks(10_000) {
        decoder.push(piece);
        while decoder.next().expect("whole frames").is_some() {
            count += 1;
        }
        assert!(decoder.bytes.len() <= frame(&fill).len() + 10_000);
    }
    assert_eq!(count, 50);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_message_comes_back(messages in vec(message(), 1..6), piece in 1..200_usize) {
        let mut bytes = Vec::new();
        for message in &messages {
            encode(message, &mut bytes).expect("strategies keep the limits");
        }
        let mut decoder = Decoder::new();
        let mut decoded = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.push(piece);
            while let Some(message) = decoder.next().expect("whole frames") {
                decoded.push(message);
            }
        }
        prop_assert_eq!(decoded, messages);
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn arbitrary_frames_are_refused_or_mean_what_they_say(payload in vec(any::<u8>(), 0..200)) {
        if let Ok(Some(message)) = decode_one(&framed(&payload)) {
            prop_assert_eq!(decode_one(&frame(&message)), Ok(Some(message)));
        }
    }

    #[test]
    fn one_changed_byte_never_panics(message in message(), at: prop::sample::Index, byte: u8) {
        let mut bytes = frame(&message);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Some(message)) = decode_one(&bytes) {
            prop_assert!(encode(&message, &mut Vec::new()).is_ok());
        }
    }

    #[test]
    fn arbitrary_streams_never_panic_and_never_hold_more_than_was_pushed(pieces in vec(vec(any::<u8>(), 0..64), 0..16)) {
        let mut decoder = Decoder::new();
        let mut pushed = 0;
        for piece in pieces {
            decoder.push(&piece);
            pushed += piece.len();
            while let Ok(Some(_)) = decoder.next() {}
            prop_assert!(decoder.bytes.len() <= pushed && decoder.bytes.capacity() <= 2 * pushed + 64);
        }
    }
}
