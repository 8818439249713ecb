//! A peer that breaks the rules is told so and shut out; nobody else notices.
//!
//! The hostile end speaks the wire by hand against a real server or client.

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use qft::client::{Client, GetOptions, Job, SendOptions};
use qft::digest::{CHUNK_BYTES, Digest};
use qft::error::{Error, Fault};
use qft::protocol::close::CloseCode;
use qft::protocol::codec::RANGE_HEADER_BYTES;
use qft::protocol::message::{
    Done, Failure, FileId, Have, Header, Hello, IfExists, Kind, List, Message, Mtime, Pos, Probe, ProbeKind, Problem,
    Push, SkipReason, Status, Tail, Target, Verdict, Why,
};
use qft::protocol::{AHEAD_BYTES_MAX, AHEAD_FILES_MAX, HEADERS_AHEAD_MAX, PROBE_ECHO_BYTES_MAX, PROBE_MILLIS_MAX};
use qft::server::{Mode, Notice};
use qft::transport::{self, TransportError};
use support::field::{self, Field, identity};
use support::peer::{self, Raw, RawServer, end, frame, get, header, header_of, hello, push};
use support::{content, soon, until};
use tempfile::TempDir;

const CHUNK: usize = CHUNK_BYTES as usize;

/// Lets a peer in, has it push, lets it `act`, and sees it closed for a violation while an honest client is served.
async fn violates(act: impl AsyncFnOnce(&mut Raw)) {
    let field = Field::new();
    let mut peer = field.pushing().await;
    act(&mut peer).await;
    field.ends_with(&peer, CloseCode::Violation).await;
}

// ---- what is no message ----

#[tokio::test]
async fn a_frame_that_claims_a_gigabyte_is_a_violation() {
    violates(async |peer| peer.say_bytes(&(1_u32 << 30).to_le_bytes()).await).await;
}

#[tokio::test]
async fn junk_is_a_violation() {
    for junk in [&[0, 0, 0, 0][..], &[1, 0, 0, 0, 200], &[5, 0, 0, 0, 9, 255, 255, 255, 255], &content(4096)] {
        violates(async |peer| peer.say_bytes(junk).await).await;
    }
}

#[tokio::test]
async fn bytes_after_the_message_in_its_frame_are_a_violation() {
    violates(async |peer| {
        let mut bytes = frame(&Message::GoAway);
        bytes[0] += 1;
        bytes.push(0);
        peer.say_bytes(&bytes).await;
    })
    .await;
}

#[tokio::test]
async fn half_a_frame_and_the_end_of_the_stream_end_the_connection_alone() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    peer.say_bytes(&[9, 0]).await;
    peer.leave().await;
    field.honest_client_is_served().await;
}

// ---- names ----

/// Names that must never be used, as bytes.
const HOSTILE_NAMES: [&[u8]; 10] =
    [b"../x", b"a/../../x", b"/etc/qft-hostile", b"", b"a\0b", b".x.qft-part", b"x.qft-part/y", b"a//b", b"./x", b".."];

#[tokio::test]
async fn a_header_with_a_name_that_leaves_the_root_is_a_violation() {
    for name in HOSTILE_NAMES {
        violates(async |peer| peer.say_bytes(&peer::header_named(name)).await).await;
    }
}

#[tokio::test]
async fn a_push_to_a_directory_outside_the_root_is_a_violation() {
    for name in HOSTILE_NAMES {
        let field = Field::new();
        let mut peer = field.greeted().await;
        peer.say_bytes(&peer::push_to(name)).await;
        field.ends_with(&peer, CloseCode::Violation).await;
    }
}

#[tokio::test]
async fn patterns_do_not_lead_out_of_the_root() {
    let field = Field::new();
    field::write(&field.path("../home/secret"), b"secret");
    symlink("../home", field.path("door")).unwrap();
    for pattern in ["../home/secret", "/etc/passwd", "door/secret", "../home/*", "door/*", "x/../../home/secret"] {
        let mut peer = field.greeted().await;
        peer.say(&get(pattern)).await;
        let mut problems = 0;
        loop {
            match peer.hear().await {
                Some(Message::Problem(_)) => problems += 1,
                Some(Message::End(end)) => break assert_eq!(end.files, 0, "{pattern}"),
                other => panic!("{pattern}: {other:?}"),
            }
        }
        assert!(problems > 0, "{pattern}");
        peer.leave().await;
        let mut peer = field.greeted().await;
        peer.say(&Message::List(List { pattern: pattern.into(), recursive: true })).await;
        loop {
            match peer.hear().await {
                Some(Message::Problem(_)) => {}
                Some(Message::Entries(entries)) if entries.is_empty() => break,
                other => panic!("{pattern}: {other:?}"),
            }
        }
        peer.leave().await;
    }
}

#[tokio::test]
async fn links_do_not_lead_out_of_the_root() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    for (id, target) in ["/etc", "..", "../home", "x/../../home"].into_iter().enumerate() {
        peer.say(&header_of(id as u64, &format!("link{id}"), Kind::Link(target.into()), 0)).await;
        let pos = peer.hear_pos().await;
        assert!(matches!(pos.verdict, Verdict::Refuse(_)), "{target}: {pos:?}");
    }
    // One that a person put there is not followed either.
    symlink("..", field.path("out")).unwrap();
    peer.say(&header(4, "out/escaped", 1)).await;
    match peer.hear_pos().await.verdict {
        Verdict::Refuse(_) => {}
        Verdict::From { .. } => {
            peer.range(4, 0, b"x").await;
            let done = peer.hear().await;
            assert!(matches!(done, Some(Message::Done(Done { failure: Some(_), .. }))), "{done:?}");
        }
        Verdict::Skip(reason) => panic!("{reason:?}"),
    }
    peer.leave().await;
    field.honest_client_is_served().await;
    field.nothing_is_outside();
}

// ---- order ----

#[tokio::test]
async fn a_header_before_hello_is_a_violation() {
    let field = Field::new();
    let mut peer = Raw::connect(&field.server, &field.hostile).await;
    peer.say(&header(0, "x", 1)).await;
    field.ends_with(&peer, CloseCode::Violation).await;
}

#[tokio::test]
async fn a_second_hello_is_a_violation() {
    violates(async |peer| peer.say(&hello()).await).await;
}

#[tokio::test]
async fn a_message_that_only_a_server_sends_is_a_violation() {
    violates(async |peer| peer.say(&Message::Entries(Vec::new())).await).await;
}

#[tokio::test]
async fn a_header_without_a_push_is_a_violation() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    peer.say(&header(0, "x", 1)).await;
    field.ends_with(&peer, CloseCode::Violation).await;
}

#[tokio::test]
async fn a_second_push_while_one_runs_is_a_violation() {
    violates(async |peer| peer.say(&push()).await).await;
}

#[tokio::test]
async fn ids_that_do_not_count_up_are_a_violation() {
    violates(async |peer| peer.say(&header(1, "x", 1)).await).await;
    violates(async |peer| {
        peer.say(&header(0, "x", 1)).await;
        peer.say(&header(0, "y", 1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_header_or_an_end_after_the_end_is_a_violation() {
    for late in [header(1, "y", 1), end(1)] {
        violates(async |peer| {
            peer.say(&header(0, "x", 1)).await;
            peer.say(&end(1)).await;
            peer.say(&late).await;
        })
        .await;
    }
}

#[tokio::test]
async fn more_headers_than_may_be_ahead_are_a_violation() {
    violates(async |peer| {
        let ids = 0..=HEADERS_AHEAD_MAX as u64;
        let headers: Vec<u8> = ids.flat_map(|id| frame(&header(id, &format!("f{id}"), 1))).collect();
        peer.say_bytes(&headers).await;
    })
    .await;
}

#[tokio::test]
async fn a_cancel_of_what_was_never_offered_is_a_violation() {
    let failure = Some(Failure::new(Status::Changed, "never mind"));
    violates(async |peer| peer.say(&Message::Cancel(Done { id: FileId(0), failure })).await).await;
}

#[tokio::test]
async fn a_tail_before_its_header_is_a_violation() {
    violates(async |peer| peer.say(&peer.tail(0, b"x", 1)).await).await;
}

#[tokio::test]
async fn a_second_tail_is_a_violation() {
    violates(async |peer| {
        peer.offer(0, "x", 1).await;
        peer.say(&peer.tail(0, b"x", 1)).await;
        peer.say(&peer.tail(0, b"x", 1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_tail_before_all_content_waits_for_it() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    let bytes = content(2 * CHUNK);
    peer.offer(0, "late", bytes.len() as u64).await;
    peer.say(&peer.tail(0, &bytes, 2)).await;
    // The answer to another offer comes after whatever the tail did.
    peer.offer(1, "other", 1).await;
    peer.range(0, CHUNK_BYTES, &bytes[CHUNK..]).await;
    peer.offer(2, "another", 1).await;
    peer.range(0, 0, &bytes[..CHUNK]).await;
    peer.is_done(0).await;
    assert_eq!(fs::read(field.path("late")).unwrap(), bytes);
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn a_tail_that_counts_too_many_ranges_holds_up_its_own_file_only() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    peer.offer(0, "never", 1).await;
    peer.range(0, 0, b"x").await;
    peer.say(&peer.tail(0, b"x", 2)).await;
    peer.send_well(1, "well", b"content").await;
    assert!(!field.path("never").exists());
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn a_tail_that_counts_too_few_ranges_is_a_violation() {
    violates(async |peer| {
        let bytes = content(2 * CHUNK);
        peer.offer(0, "x", bytes.len() as u64).await;
        peer.range(0, 0, &bytes[..CHUNK]).await;
        peer.range(0, CHUNK_BYTES, &bytes[CHUNK..]).await;
        peer.say(&peer.tail(0, &bytes, 1)).await;
    })
    .await;
}

// ---- probes ----

fn probe(kind: ProbeKind, millis: u32) -> Message {
    Message::Probe(Probe { kind, millis })
}

#[tokio::test]
async fn a_probe_while_files_flow_is_a_violation() {
    violates(async |peer| peer.say(&probe(ProbeKind::Up, 1000)).await).await;
}

#[tokio::test]
async fn a_probe_or_a_push_beside_a_probe_is_a_violation() {
    for second in [probe(ProbeKind::Echo, 1000), push()] {
        let field = Field::new();
        let mut peer = field.greeted().await;
        peer.say(&probe(ProbeKind::Down, 1000)).await;
        peer.say(&second).await;
        field.ends_with(&peer, CloseCode::Violation).await;
    }
}

#[tokio::test]
async fn a_probe_gets_no_more_time_than_there_is() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    peer.say(&probe(ProbeKind::Up, u32::MAX)).await;
    let Some(Message::ProbeReady(ready)) = peer.hear().await else { panic!("no consent") };
    assert_eq!(ready.millis, PROBE_MILLIS_MAX);
}

#[tokio::test]
async fn an_echo_returns_its_limit_and_not_a_byte_more() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    peer.say(&probe(ProbeKind::Echo, 1000)).await;
    assert!(matches!(peer.hear().await, Some(Message::ProbeReady(_))));
    let (mut send, mut recv) = soon("a stream", peer.connection.open_bi()).await.unwrap();
    // The server may stop reading before all of it has left.
    let _ = soon("the write", send.write_all(&vec![7; 3 * PROBE_ECHO_BYTES_MAX])).await;
    let back = soon("the echo", recv.read_to_end(2 * PROBE_ECHO_BYTES_MAX)).await.unwrap();
    assert_eq!(back, vec![7; PROBE_ECHO_BYTES_MAX]);
    assert!(matches!(peer.hear().await, Some(Message::ProbeDone(_))));
}

// ---- data streams ----

#[tokio::test]
async fn content_that_fits_no_offer_is_a_violation() {
    let size = 3 * CHUNK_BYTES + 5;
    for (id, offset, len, why) in [
        (7, 0, CHUNK_BYTES, "an unknown id"),
        (0, 1, CHUNK_BYTES, "an offset within a chunk"),
        (0, 0, CHUNK_BYTES + 1, "an end within a chunk"),
        (0, 0, 0, "nothing"),
        (0, 3 * CHUNK_BYTES, 6, "an end beyond the size"),
        (0, 4 * CHUNK_BYTES, CHUNK_BYTES, "a start beyond the size"),
        (0, u64::MAX - CHUNK_BYTES + 1, CHUNK_BYTES, "an end beyond all numbers"),
        (u64::MAX, 0, CHUNK_BYTES, "an id beyond all numbers"),
    ] {
        let field = Field::new();
        let mut peer = field.pushing().await;
        peer.offer(0, "x", size).await;
        let _stream = peer.begin(id, offset, len, b"x").await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation), "{why}");
        field.ends_with(&peer, CloseCode::Violation).await;
    }
}

#[tokio::test]
async fn content_before_the_answer_is_a_violation() {
    violates(async |peer| {
        let _stream = peer.begin(0, 0, 1, b"x").await;
        // A stream may overtake what was said before it; an id that has not come yet is no better.
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    })
    .await;
}

/// Ranges ahead of the answers that no job may have: id, offset, length. Each after those before it.
fn too_far_ahead() -> Vec<(&'static str, Vec<[u64; 3]>)> {
    let most = AHEAD_FILES_MAX as u64;
    vec![
        ("nothing", vec![[0, 0, 0]]),
        ("what is no start", vec![[0, CHUNK_BYTES, 5]]),
        ("an offset beyond all numbers", vec![[0, u64::MAX, 5]]),
        ("more than a chunk", vec![[0, 0, CHUNK_BYTES + 1]]),
        ("a length beyond all numbers", vec![[0, 0, u64::MAX >> 1]]),
        ("a file twice", vec![[0, 0, 5], [0, 0, 5]]),
        ("too many bytes", vec![[0, 0, AHEAD_BYTES_MAX / 2 + 1], [1, 0, AHEAD_BYTES_MAX / 2 + 1]]),
        ("too many files", (0..=most).map(|id| [id, 0, 1]).collect()),
    ]
}

#[tokio::test]
async fn more_ahead_of_the_answers_than_a_job_may_have_is_a_violation() {
    for (why, ranges) in too_far_ahead() {
        violates(async |peer| {
            let mut streams = Vec::new();
            for [id, offset, len] in ranges {
                streams.push(peer.begin_ahead(id, offset, len, b"x").await);
            }
            assert_eq!(peer.closed().await, Some(CloseCode::Violation), "{why}");
        })
        .await;
    }
}

#[tokio::test]
async fn content_ahead_that_is_not_the_start_of_its_offer_is_a_violation() {
    let link = Kind::Link(b"target".to_vec());
    for (kind, size) in [(Kind::File, 4), (Kind::File, 6), (Kind::File, 0), (Kind::Dir, 0), (link, 0)] {
        let field = Field::new();
        let mut peer = field.greeted().await;
        let _stream = peer.begin_ahead(1, 0, 5, b"x").await;
        peer.say(&push()).await;
        // The answer to another offer comes after the stream was seen.
        peer.offer(0, "other", 1).await;
        peer.say(&header_of(1, "x", kind.clone(), size)).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation), "{kind:?} of {size}");
        field.ends_with(&peer, CloseCode::Violation).await;
    }
}

#[tokio::test]
async fn content_ahead_of_an_offer_that_never_comes_is_a_violation() {
    violates(async |peer| {
        let _stream = peer.begin_ahead(0, 0, 5, b"x").await;
        peer.say(&end(0)).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    })
    .await;
    // And is not waited for.
    let field = Field::new();
    let peer = field.pushing().await;
    let _stream = peer.begin_ahead(0, 0, 5, b"x").await;
    field.ends_with(&peer, CloseCode::Timeout).await;
}

#[tokio::test]
async fn content_that_comes_before_its_offer_waits_for_it() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    let (late, small) = (content(CHUNK / 2), [7; 5]);
    // One of them whole, of the other a part: the rest comes when it is asked for.
    let (mut begun, _reports) = peer.begin_ahead(1, 0, 5, &small[..2]).await;
    peer.say(&push()).await;
    peer.offer(0, "late", late.len() as u64).await;
    peer.say(&header(1, "small", 5)).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::From { offset: 0, why: Why::New });
    begun.write_all(&small[2..]).await.unwrap();
    begun.finish().unwrap();
    peer.say(&peer.tail(1, &small, 1)).await;
    peer.is_done(1).await;
    // What went ahead may also come after the answer.
    let (mut whole, _reports) = peer.begin_ahead(0, 0, late.len() as u64, &late).await;
    whole.finish().unwrap();
    peer.say(&peer.tail(0, &late, 1)).await;
    peer.is_done(0).await;
    assert_eq!(fs::read(field.path("late")).unwrap(), late);
    assert_eq!(fs::read(field.path("small")).unwrap(), small);
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn content_ahead_that_is_sent_again_is_a_violation() {
    violates(async |peer| {
        let _first = peer.begin_ahead(0, 0, CHUNK_BYTES, b"x").await;
        peer.offer(0, "x", 2 * CHUNK_BYTES).await;
        let _second = peer.begin(0, 0, 2 * CHUNK_BYTES, b"x").await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    })
    .await;
}

/// The code with which the receiver stops a stream.
async fn stopped(stream: &quinn::SendStream) -> Option<quinn::VarInt> {
    soon("the stop", stream.stopped()).await.unwrap()
}

#[tokio::test]
async fn content_ahead_that_is_not_wanted_is_stopped_and_counts_for_nothing() {
    let unwanted = Some(CloseCode::Cancelled.code().into());
    let field = Field::new();
    let (old, new) = (content(2 * CHUNK), vec![7; 2 * CHUNK]);
    field::write(&field.path("old"), &old);
    field::write(&field.path("dir/file"), b"x");
    let mut peer = field.pushing().await;
    // A start that is there and differs: it is sent as a repair, when the digests have been compared.
    let (start, _reports) = peer.begin_ahead(0, 0, CHUNK_BYTES, &new[..10]).await;
    peer.say(&header(0, "old", new.len() as u64)).await;
    let all = Verdict::From { offset: new.len() as u64, why: Why::Update };
    assert_eq!(peer.hear_pos().await.verdict, all);
    assert_eq!(stopped(&start).await, unwanted);
    assert!(matches!(peer.hear().await, Some(Message::Have(have)) if have.digests.len() == 2));
    peer.range(0, 0, &new).await;
    peer.say(&peer.tail(0, &new, 1)).await;
    peer.is_done(0).await;
    assert_eq!(fs::read(field.path("old")).unwrap(), new);
    peer.leave().await;
    // A file that is refused, before and after it comes.
    let mut peer = field.pushing().await;
    for early in [true, false] {
        let id = u64::from(!early);
        let before = if early { Some(peer.begin_ahead(id, 0, 5, b"x").await) } else { None };
        peer.say(&header(id, "dir", 5)).await;
        assert!(matches!(peer.hear_pos().await.verdict, Verdict::Refuse(_)));
        let (refused, _reports) = if let Some(begun) = before { begun } else { peer.begin_ahead(id, 0, 5, b"x").await };
        assert_eq!(stopped(&refused).await, unwanted);
    }
    peer.send_well(2, "well", b"content").await;
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn a_tail_that_goes_ahead_closes_a_file_that_is_wanted_whole_and_no_other() {
    let field = Field::new();
    field::write(&field.path(".old.qft-part"), b"older");
    let mut peer = field.pushing().await;
    let (mut start, _reports) = peer.begin_ahead(0, 0, 7, b"content").await;
    let _ = start.finish();
    peer.say(&header(0, "new", 7)).await;
    peer.say(&peer.tail_ahead(0, b"content", 1)).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::From { offset: 0, why: Why::New });
    peer.is_done(0).await;
    // An empty one has no content to wait for.
    peer.say(&header(1, "empty", 0)).await;
    peer.say(&peer.tail_ahead(1, b"", 0)).await;
    peer.hear_pos().await;
    peer.is_done(1).await;
    // The tail of one that is compared is not that of what went ahead; the end may have been said meanwhile.
    let _ahead = peer.begin_ahead(2, 0, 5, b"newer").await;
    peer.say(&header(2, "old", 5)).await;
    peer.say(&end(3)).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::From { offset: 5, why: Why::Resume });
    // It crosses the answer.
    peer.say(&peer.tail_ahead(2, b"wrong", 1)).await;
    assert!(matches!(peer.hear().await, Some(Message::Have(_))));
    peer.range(2, 0, b"newer").await;
    peer.say(&peer.tail(2, b"newer", 1)).await;
    peer.is_done(2).await;
    assert_eq!(peer.hear().await, Some(Message::Settled));
    assert_eq!(fs::read(field.path("old")).unwrap(), b"newer");
    assert_eq!(fs::read(field.path("new")).unwrap(), b"content");
    peer.leave().await;
}

#[tokio::test]
async fn a_file_that_changed_after_the_end_is_awaited_and_no_other_may_come() {
    let field = Field::new();
    let part = field.path(".old.qft-part");
    let changed = || Failure::new(Status::Changed, "it changed");
    for anew in [true, false] {
        field::write(&part, b"older");
        let mut peer = field.pushing().await;
        peer.say(&header(0, "old", 5)).await;
        peer.hear_pos().await;
        assert!(matches!(peer.hear().await, Some(Message::Have(_))));
        peer.say(&end(1)).await;
        peer.say(&Message::Cancel(Done { id: FileId(0), failure: Some(changed()) })).await;
        if anew {
            peer.say(&header(1, "old", 0)).await;
            let verdict = peer.hear_pos().await.verdict;
            assert!(matches!(verdict, Verdict::From { offset: 0, .. }), "{verdict:?}");
            peer.say(&peer.tail(1, b"", 0)).await;
            peer.is_done(1).await;
        } else {
            peer.say(&Message::Problem(Problem { name: b"old".to_vec(), failure: changed() })).await;
        }
        assert_eq!(peer.hear().await, Some(Message::Settled));
        peer.leave().await;
    }
    violates(async |peer| {
        peer.say(&header(0, "old", 0)).await;
        peer.hear_pos().await;
        peer.say(&end(1)).await;
        peer.say(&Message::Cancel(Done { id: FileId(0), failure: Some(changed()) })).await;
        peer.say(&header(1, "another", 5)).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    })
    .await;
}

#[tokio::test]
async fn a_second_tail_before_the_answer_is_a_violation() {
    violates(async |peer| {
        // In one write, so that the disk cannot answer between them.
        let mut bytes = frame(&header(0, "x", 5));
        for _ in 0..2 {
            bytes.extend(frame(&peer.tail_ahead(0, b"12345", 1)));
        }
        peer.say_bytes(&bytes).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_taken_back_before_its_header_is_no_violation() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    for bytes in [&[][..], &[0; 7]] {
        let (mut stream, _reports) = peer.connection.open_bi().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.reset(CloseCode::Cancelled.code().into()).unwrap();
    }
    peer.send_well(0, "well", b"content").await;
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn overlapping_ranges_are_a_violation() {
    for offset in [0, CHUNK_BYTES] {
        violates(async |peer| {
            peer.offer(0, "x", 2 * CHUNK_BYTES).await;
            let _first = peer.begin(0, 0, 2 * CHUNK_BYTES, b"x").await;
            let _second = peer.begin(0, offset, CHUNK_BYTES, b"x").await;
            assert_eq!(peer.closed().await, Some(CloseCode::Violation));
        })
        .await;
    }
}

#[tokio::test]
async fn an_end_before_the_whole_range_is_a_violation() {
    // With and without reports on the way back.
    for len in [10, CHUNK_BYTES, 3 * CHUNK_BYTES] {
        violates(async |peer| {
            peer.offer(0, "x", len).await;
            let (mut stream, _reports) = peer.begin(0, 0, len, &content(len as usize - 1)).await;
            let _ = stream.finish();
            assert_eq!(peer.closed().await, Some(CloseCode::Violation), "{len}");
        })
        .await;
    }
}

#[tokio::test]
async fn bytes_beyond_the_range_are_a_violation() {
    for len in [10, CHUNK_BYTES, 3 * CHUNK_BYTES] {
        violates(async |peer| {
            peer.offer(0, "x", len).await;
            let _stream = peer.begin(0, 0, len, &content(len as usize + 1)).await;
            assert_eq!(peer.closed().await, Some(CloseCode::Violation), "{len}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_within_its_header_is_a_violation() {
    violates(async |peer| {
        let (mut stream, _reports) = peer.connection.open_bi().await.unwrap();
        let _ = stream.write_all(&[0; 7]).await;
        let _ = stream.finish();
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    })
    .await;
}

#[tokio::test]
async fn a_repair_of_a_chunk_that_was_not_described_yet_is_a_violation() {
    const GIB: u64 = 1 << 30;
    let field = Field::new();
    // A hole takes no disk, but it is hashed like any content: seconds, within which the repair comes.
    fs::File::create(field.path("old")).unwrap().set_len(8 * GIB).unwrap();
    let mut peer = field.pushing().await;
    peer.say(&header(0, "old", 8 * GIB + CHUNK_BYTES)).await;
    let pos = peer.hear_pos().await;
    assert_eq!(pos.verdict, Verdict::From { offset: 8 * GIB, why: Why::Update });
    let _stream = peer.begin(0, 8 * GIB - CHUNK_BYTES, CHUNK_BYTES, b"x").await;
    field.ends_with(&peer, CloseCode::Violation).await;
}

#[tokio::test]
async fn content_under_another_files_id_spoils_neither_of_the_two() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    let (first, second) = (content(1000), [7; 1000]);
    peer.offer(0, "first", 1000).await;
    peer.offer(1, "second", 1000).await;
    peer.range(1, 0, &first).await;
    peer.say(&peer.tail(1, &second, 1)).await;
    let done = peer.hear().await;
    let Some(Message::Done(Done { id: FileId(1), failure: Some(failure) })) = done else { panic!("{done:?}") };
    assert_eq!(failure.status, Status::VerifyFailed);
    peer.range(0, 0, &first).await;
    peer.say(&peer.tail(0, &first, 1)).await;
    peer.is_done(0).await;
    assert_eq!(fs::read(field.path("first")).unwrap(), first);
    assert!(!field.path("second").exists());
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn content_with_another_digest_becomes_no_file_and_leaves_no_part() {
    for len in [1000, 3 * CHUNK + 1] {
        let field = Field::new();
        let mut peer = field.pushing().await;
        let bytes = content(len);
        peer.offer(0, "x", len as u64).await;
        peer.range(0, 0, &bytes).await;
        peer.say(&Message::Tail(Tail { id: FileId(0), root: Digest([7; 16]), ranges: 1, ahead: false })).await;
        let done = peer.hear().await;
        let Some(Message::Done(Done { id: FileId(0), failure: Some(failure) })) = done else { panic!("{done:?}") };
        assert_eq!(failure.status, Status::VerifyFailed);
        until("the part's end", || field.names().is_empty()).await;
        // The name is as good as before.
        peer.send_well(1, "x", &bytes).await;
        assert_eq!(fs::read(field.path("x")).unwrap(), bytes);
        peer.leave().await;
    }
}

#[tokio::test]
async fn a_file_that_claims_to_be_huge_and_empty_holds_up_nobody() {
    const TIB: u64 = 1 << 40;
    let field = Field::new();
    let mut peer = field.pushing().await;
    for id in 0..4 {
        peer.offer(id, &format!("huge{id}"), 16 * TIB).await;
        peer.say(&Message::Tail(Tail { id: FileId(id), root: Digest([7; 16]), ranges: 0, ahead: false })).await;
    }
    field.honest_client_is_served().await;
    for _ in 0..4 {
        let done = peer.hear().await;
        let Some(Message::Done(Done { failure: Some(failure), .. })) = done else { panic!("{done:?}") };
        assert_eq!(failure.status, Status::VerifyFailed);
    }
    peer.say(&header(4, "beyond", 17 * TIB)).await;
    assert!(matches!(peer.hear_pos().await.verdict, Verdict::Refuse(_)));
    peer.leave().await;
}

// ---- silence ----

#[tokio::test]
async fn silence_after_the_handshake_is_cut_short() {
    let field = Field::new();
    let dialled = peer::dial(&field.server, &field.hostile, &peer::tuning()).await;
    field.honest_client_is_served().await;
    let error = soon("the end", dialled.connection.closed()).await;
    assert_eq!(transport::closed_by(&error), Some(CloseCode::Timeout));
}

#[tokio::test]
async fn a_hello_that_never_ends_is_cut_short() {
    let field = Field::new();
    let mut peer = Raw::connect(&field.server, &field.hostile).await;
    peer.say_bytes(&frame(&hello())[..6]).await;
    field.ends_with(&peer, CloseCode::Timeout).await;
}

#[tokio::test]
async fn streams_that_announce_nothing_are_bounded_and_cut_short() {
    let field = Field::new();
    let peer = field.pushing().await;
    let mut held = Vec::new();
    let flood = async {
        for _ in 0..2 * transport::tuning::STREAMS_MAX {
            let Ok((mut send, recv)) = peer.connection.open_bi().await else { return };
            let _ = send.write_all(&[0]).await;
            held.push((send, recv));
        }
    };
    let ((), ()) = tokio::join!(soon("the end of the flood", flood), field.honest_client_is_served());
    assert!(held.len() <= transport::tuning::STREAMS_MAX as usize, "{}", held.len());
    field.ends_with(&peer, CloseCode::Timeout).await;
}

// ---- who may come in ----

#[tokio::test]
async fn a_stranger_that_sends_right_away_is_refused_before_anything_is_read() {
    for job in [push(), get("honest")] {
        let field = Field::new();
        field.honest_client_is_served().await;
        let before = field.names();
        let mut peer = Raw::connect(&field.server, &identity()).await;
        let all = [hello(), job, header(0, "x", 1), end(1)];
        // All that may go ahead.
        let mut streams = vec![peer.begin_ahead(0, 0, CHUNK_BYTES, &content(CHUNK)).await];
        for id in 1..AHEAD_FILES_MAX as u64 {
            streams.push(peer.begin_ahead(id, 0, 1, b"x").await);
        }
        let one_more = tokio::time::timeout(std::time::Duration::ZERO, peer.connection.open_bi()).await;
        assert!(one_more.is_err(), "{} streams are not all", streams.len());
        peer.say_bytes(&all.iter().flat_map(frame).collect::<Vec<u8>>()).await;
        assert_eq!(peer.hear().await, None);
        assert_eq!(field.names(), before);
        field.ends_with(&peer, CloseCode::NotAuthorised).await;
    }
}

fn bring(invite: [u8; 16]) -> Message {
    Message::Hello(Hello::new(0, "bearer", Some(invite)))
}

#[tokio::test]
async fn an_invite_lets_in_once() {
    let field = Field::enrolling();
    let invite = field.server.invite("127.0.0.1").unwrap().invite.unwrap().0;
    let mut first = Raw::connect(&field.server, &field.hostile).await;
    first.say(&bring(invite)).await;
    assert!(matches!(first.hear().await, Some(Message::Welcome(welcome)) if welcome.enrolled));
    let mut second = Raw::connect(&field.server, &identity()).await;
    second.say(&bring(invite)).await;
    assert_eq!(second.closed().await, Some(CloseCode::InviteSpent));
    // Whoever is enrolled needs none any more.
    let again = field.greeted().await;
    again.leave().await;
    first.leave().await;
    assert!(field.names().is_empty());
    field.nothing_is_outside();
}

#[tokio::test]
async fn guesses_from_one_address_are_soon_not_looked_at() {
    let field = Field::enrolling();
    let enrolling = field.server.invite("127.0.0.1").unwrap().invite.unwrap().0;
    let mut first = Raw::connect(&field.server, &field.honest).await;
    first.say(&bring(enrolling)).await;
    assert!(matches!(first.hear().await, Some(Message::Welcome(_))));
    let invite = field.server.invite("127.0.0.1").unwrap().invite.unwrap().0;
    let stranger = identity();
    let mut answers = Vec::new();
    for guess in 0..transport::trust::WRONG_TRIES_MAX {
        let mut peer = Raw::connect(&field.server, &stranger).await;
        peer.say(&bring([guess as u8; 16])).await;
        answers.push(peer.closed().await.unwrap());
    }
    assert_eq!(answers.pop(), Some(CloseCode::TooManyTries));
    assert!(answers.iter().all(|code| *code == CloseCode::NotAuthorised), "{answers:?}");
    // Not even the right one is, from there; but the invite is not ended, and whoever is enrolled is not held up.
    let mut peer = Raw::connect(&field.server, &stranger).await;
    peer.say(&bring(invite)).await;
    assert_eq!(peer.closed().await, Some(CloseCode::TooManyTries));
    first.leave().await;
    field.honest_client_is_served().await;
    let home = field.path("../home");
    let open = transport::trust::Invites::open(&home).unwrap().list(std::time::SystemTime::now()).unwrap();
    assert_eq!(open.len(), 1);
}

// ---- a drop box ----

/// An offer of a file with a given time.
fn dated(id: u64, name: &str, size: u64, secs: i64) -> Message {
    let Message::Header(header) = header(id, name, size) else { unreachable!("it is a header") };
    Message::Header(Header { mtime: Mtime { secs, nanos: 0 }, ..header })
}

fn pushing(if_exists: IfExists, checksum: bool, dry_run: bool) -> Message {
    Message::Push(Push { to: None, target: Target::FileOrDirectory, if_exists, checksum, dry_run, resume: true })
}

#[tokio::test]
async fn a_drop_box_does_not_tell_what_it_holds() {
    const SECS: i64 = 1_000_000_000;
    let field = Field::with(|builder| builder.mode(Mode::WriteOnly));
    let bytes = content(3 * CHUNK);
    field::write(&field.path("secret"), &bytes);
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(SECS as u64);
    fs::File::options().write(true).open(field.path("secret")).unwrap().set_modified(time).unwrap();
    for dry_run in [true, false] {
        for checksum in [false, true] {
            let mut peer = field.greeted().await;
            peer.say(&pushing(IfExists::Replace, checksum, dry_run)).await;
            // The same size and time, the same size, another one, and a name that is free: one answer.
            let offers = [
                dated(0, "secret", bytes.len() as u64, SECS),
                dated(1, "secret", bytes.len() as u64, 5),
                dated(2, "secret", 10, SECS),
                dated(3, "free", bytes.len() as u64, SECS),
            ];
            for offer in &offers {
                peer.say(offer).await;
                let pos = peer.hear_pos().await;
                assert_eq!(pos.verdict, Verdict::From { offset: 0, why: Why::New }, "{offer:?}");
            }
            peer.leave().await;
        }
    }
    // Somebody who would not replace it hears that the name is taken, and no more.
    for secs in [SECS, 5] {
        for size in [bytes.len() as u64, 10] {
            let mut peer = field.greeted().await;
            peer.say(&pushing(IfExists::Skip, false, true)).await;
            peer.say(&dated(0, "secret", size, secs)).await;
            assert_eq!(peer.hear_pos().await.verdict, Verdict::Skip(SkipReason::Exists));
            peer.leave().await;
        }
    }
    assert_eq!(fs::read(field.path("secret")).unwrap(), bytes);
}

#[tokio::test]
async fn a_drop_box_lets_only_the_same_key_continue_an_upload() {
    let field = Field::with(|builder| builder.mode(Mode::WriteOnly));
    let bytes = content(3 * CHUNK);
    let mut peer = field.greeted().await;
    peer.say(&pushing(IfExists::Replace, false, false)).await;
    peer.offer(0, "x", bytes.len() as u64).await;
    peer.range(0, 0, &bytes[..2 * CHUNK]).await;
    until("two chunks on the disk", || {
        let names = field.names();
        names.iter().any(|name| field.path(name).metadata().is_ok_and(|part| part.len() >= 2 * CHUNK as u64))
    })
    .await;
    peer.leave().await;
    until("its end", || field.server.active() == [0, 0]).await;
    // Another key begins its own; the first one finds its chunks again, and their digests.
    for (key, expected) in [
        (&field.honest, Verdict::From { offset: 0, why: Why::New }),
        (&field.hostile, Verdict::From { offset: 2 * CHUNK_BYTES, why: Why::Resume }),
    ] {
        let mut peer = Raw::greeted(&field.server, key).await;
        peer.say(&pushing(IfExists::Replace, false, false)).await;
        peer.say(&header(0, "x", bytes.len() as u64)).await;
        assert_eq!(peer.hear_pos().await.verdict, expected);
        if let Verdict::From { offset: 0, .. } = expected {
            peer.leave().await;
            continue;
        }
        assert!(matches!(peer.hear().await, Some(Message::Have(have)) if have.digests.len() == 2));
        peer.range(0, 2 * CHUNK_BYTES, &bytes[2 * CHUNK..]).await;
        peer.say(&peer.tail(0, &bytes, 1)).await;
        peer.is_done(0).await;
        peer.leave().await;
    }
    assert_eq!(fs::read(field.path("x")).unwrap(), bytes);
}

// ---- a crowd at the door ----

/// More than may stand there, many times over.
const CROWD: usize = 200;

#[tokio::test]
async fn half_open_handshakes_do_not_keep_a_client_out() {
    let field = Field::new();
    // Real first packets, taken on their way and passed on; nobody ever answers what the server says.
    let (catcher, forwarder) = (bound().await, bound().await);
    let addr = catcher.local_addr().unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CROWD {
        let (fingerprint, identity) = (field.server.fingerprint(), field.hostile.clone());
        callers.spawn(async move {
            let _ = transport::connect(&[addr], fingerprint, &identity, &peer::tuning(), support::LONG).await;
        });
    }
    let (mut seen, mut packet) = (std::collections::HashSet::new(), vec![0; 2048]);
    while seen.len() < CROWD {
        let (len, from) = soon("a first packet", catcher.recv_from(&mut packet)).await.unwrap();
        if seen.insert(from) {
            forwarder.send_to(&packet[..len], field.server.local_addr()).await.unwrap();
        }
    }
    callers.abort_all();
    field.honest_client_is_served().await;
    let active: usize = field.server.active().iter().sum();
    assert!(active < CROWD / 4, "{active} strangers are in the door");
}

async fn bound() -> tokio::net::UdpSocket {
    tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn silent_strangers_do_not_keep_a_client_out() {
    let field = Field::new();
    let mut silent = Vec::new();
    for _ in 0..CROWD {
        // They can receive, they finish the handshake, and say nothing.
        silent.push(peer::dial(&field.server, &field.hostile, &peer::tuning()).await);
    }
    let active: usize = field.server.active().iter().sum();
    assert!(active < CROWD / 4, "{active} strangers are in the door");
    let first = silent.swap_remove(0);
    let error = soon("the first one's end", first.connection.closed()).await;
    assert_eq!(transport::closed_by(&error), Some(CloseCode::Busy));
    field.honest_client_is_served().await;
    first.endpoint.close(0_u32.into(), b"");
}

#[tokio::test]
async fn a_full_server_turns_the_next_client_away_at_once() {
    let field = Field::with(|builder| builder.clients_max(2));
    let one = field.greeted().await;
    let addrs = [field.server.local_addr()];
    // One address has half of the places.
    let (fingerprint, tuning) = (field.server.fingerprint(), peer::tuning());
    let refused = transport::connect(&addrs, fingerprint, &field.honest, &tuning, support::LONG).await;
    assert!(matches!(refused, Err(TransportError::Refused { code: CloseCode::Busy })), "{refused:?}");
    one.leave().await;
    until("its end", || field.server.active() == [0, 0]).await;
    field.honest_client_is_served().await;
}

// ---- a client that gets ----

/// Lets a peer in that gets one file of `len` bytes, lets it `act` when the file was offered, and sees it closed for a
/// violation while an honest client is served.
async fn getting_violates(len: usize, act: impl AsyncFnOnce(&mut Raw)) {
    let field = Field::new();
    let mut peer = getting(&field, len).await;
    act(&mut peer).await;
    field.ends_with(&peer, CloseCode::Violation).await;
}

async fn getting(field: &Field, len: usize) -> Raw {
    field::write(&field.path("wanted"), &content(len));
    let mut peer = field.greeted().await;
    peer.say(&get("wanted")).await;
    let offered = peer.hear().await;
    assert!(matches!(&offered, Some(Message::Header(header)) if header.size == len as u64), "{offered:?}");
    peer
}

fn pos(id: u64, verdict: Verdict) -> Message {
    Message::Pos(Pos { id: FileId(id), verdict })
}

fn from(offset: u64) -> Message {
    pos(0, Verdict::From { offset, why: Why::Resume })
}

fn have(id: u64, first: u64, count: usize) -> Message {
    Message::Have(Have { id: FileId(id), first, digests: vec![Digest([0; 16]); count] })
}

fn done(id: u64, failure: Option<Failure>) -> Message {
    Message::Done(Done { id: FileId(id), failure })
}

/// Answers that no offer of file 0 with three chunks and a half allows, each after those before it.
fn wrong_answers() -> Vec<(&'static str, Vec<Message>)> {
    let size = 7 * CHUNK_BYTES / 2;
    vec![
        ("an answer for a file never offered", vec![pos(1, Verdict::Skip(SkipReason::Same))]),
        ("content asked of a file never offered", vec![pos(1, Verdict::From { offset: 0, why: Why::New })]),
        ("a start beyond the size", vec![from(4 * CHUNK_BYTES)]),
        ("a start at the end of all numbers", vec![from(i64::MAX as u64)]),
        ("a start within a chunk", vec![from(1)]),
        ("a second start", vec![from(0), from(0)]),
        ("a skip after a start", vec![from(0), pos(0, Verdict::Skip(SkipReason::Same))]),
        ("digests of a file never offered", vec![have(1, 0, 1)]),
        ("digests before the answer", vec![have(0, 0, 1)]),
        ("digests of nothing", vec![from(size), have(0, 0, 0)]),
        ("digests out of order", vec![from(size), have(0, 1, 1)]),
        ("digests twice", vec![from(size), have(0, 0, 1), have(0, 0, 1)]),
        ("more digests than chunks", vec![from(size), have(0, 0, 5)]),
        ("digests at the end of all numbers", vec![from(size), have(0, i64::MAX as u64, 1)]),
        ("an end of a file never offered", vec![done(1, None)]),
        ("an end before the content", vec![done(0, None)]),
        ("settled before every file was", vec![Message::Settled]),
        ("settled while a file flows", vec![from(0), Message::Settled]),
    ]
}

const WANTED: usize = 7 * CHUNK / 2;

#[tokio::test]
async fn an_answer_that_fits_no_offer_is_a_violation() {
    for (why, messages) in wrong_answers() {
        getting_violates(WANTED, async |peer| {
            for message in &messages {
                peer.say(message).await;
            }
            assert_eq!(peer.closed().await, Some(CloseCode::Violation), "{why}");
        })
        .await;
    }
}

#[tokio::test]
async fn content_asked_of_a_directory_is_a_violation() {
    let field = Field::new();
    field::write(&field.path("dir/file"), b"x");
    let mut peer = field.greeted().await;
    peer.say(&get("dir")).await;
    let offered = peer.hear().await;
    assert!(matches!(&offered, Some(Message::Header(header)) if header.kind == Kind::Dir), "{offered:?}");
    peer.say(&from(0)).await;
    field.ends_with(&peer, CloseCode::Violation).await;
}

#[tokio::test]
async fn a_second_get_while_one_runs_is_a_violation() {
    getting_violates(WANTED, async |peer| peer.say(&get("wanted")).await).await;
}

#[tokio::test]
async fn reports_of_more_than_was_sent_count_for_no_more() {
    let field = Field::new();
    let mut peer = getting(&field, WANTED).await;
    peer.say(&from(0)).await;
    let (mut reports, mut stream) = soon("the content", peer.connection.accept_bi()).await.unwrap();
    for written in [u64::MAX, 0, u64::MAX, 1 << 40] {
        reports.write_all(&written.to_le_bytes()).await.unwrap();
    }
    let bytes = soon("the content", stream.read_to_end(2 * WANTED)).await.unwrap();
    assert_eq!(bytes[24..], content(WANTED));
    let tail = peer.hear().await;
    assert!(matches!(tail, Some(Message::Tail(_))), "{tail:?}");
    peer.say(&done(0, None)).await;
    assert!(matches!(peer.hear().await, Some(Message::End(_))));
    peer.say(&Message::Settled).await;
    // Ending the connection at once could take these words back.
    field.notice(|notice| matches!(notice, Notice::Finished { from_peer: false, .. }).then_some(())).await;
    peer.leave().await;
    let out = field.notice(|notice| match notice {
        Notice::Disconnected { bytes_out, files_out, .. } => Some((files_out, bytes_out)),
        _ => None,
    });
    assert_eq!(out.await, (1, WANTED as u64));
}

// ---- a server that is not what it seems ----

/// An honest client's job against a hostile server.
struct Victim {
    place: TempDir,
    job: Option<Job>,
}

impl Victim {
    fn client() -> Client {
        Client::builder(identity()).patience(std::time::Duration::from_secs(5)).build().unwrap()
    }

    /// Gets `notes.txt` into a directory of its own.
    fn getting(server: &RawServer) -> Self {
        let place = tempfile::tempdir().unwrap();
        let into = place.path().join("into");
        let job = Self::client().get(server.ticket(), vec![b"notes.txt".to_vec()], into, GetOptions::default());
        Self { place, job: Some(job) }
    }

    /// Sends one file of [`WANTED`] bytes.
    fn sending(server: &RawServer) -> Self {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("wanted");
        field::write(&source, &content(WANTED));
        let job = Self::client().send(server.ticket(), vec![source], SendOptions::default());
        Self { place, job: Some(job) }
    }

    async fn end(&mut self) -> Result<qft::progress::Report, Error> {
        soon("the job's end", self.job.take().expect("a job ends once").finish()).await
    }

    /// The job ends because the server broke the rules.
    async fn blames_the_server(&mut self, why: &str) {
        let error = self.end().await.expect_err(why);
        assert_eq!(error.fault(), Fault::Peer, "{why}: {error}");
    }

    fn names(&self) -> Vec<String> {
        field::names(self.place.path())
    }
}

/// The client is content. Its last words may be lost: it ends the connection when it has said them.
async fn is_settled(peer: &mut Raw) {
    let last = peer.hear().await;
    assert!(matches!(last, Some(Message::Settled) | None), "{last:?}");
    assert_eq!(peer.closed().await, Some(CloseCode::Done));
}

#[tokio::test]
async fn a_server_that_sends_what_was_not_asked_for_writes_nothing() {
    let server = RawServer::new();
    let mut victim = Victim::getting(&server);
    let mut peer = server.welcome().await;
    let names = [".bashrc", "notes.txt.sh", "sub/notes.txt", "NOTES.TXT"];
    for (id, name) in names.into_iter().enumerate() {
        peer.say(&header(id as u64, name, 1)).await;
        let pos = peer.hear_pos().await;
        let Verdict::Refuse(failure) = pos.verdict else { panic!("{name}: {pos:?}") };
        assert_eq!(failure.status, Status::NotAllowed, "{name}");
    }
    peer.say(&header_of(4, "dir", Kind::Dir, 0)).await;
    assert!(matches!(peer.hear_pos().await.verdict, Verdict::Refuse(_)));
    peer.send_well(5, "notes.txt", b"notes").await;
    peer.say(&end(6)).await;
    is_settled(&mut peer).await;
    let report = victim.end().await.unwrap();
    assert_eq!((report.done, victim.names()), (1, vec!["into/notes.txt".to_owned()]));
}

#[tokio::test]
async fn a_server_that_sends_a_link_out_of_the_destination_makes_none() {
    let server = RawServer::new();
    let mut victim = Victim::getting(&server);
    let mut peer = server.welcome().await;
    peer.say(&header_of(0, "notes.txt", Kind::Link("../secret".into()), 0)).await;
    assert!(matches!(peer.hear_pos().await.verdict, Verdict::Refuse(_)));
    peer.say(&end(1)).await;
    is_settled(&mut peer).await;
    let report = victim.end().await.unwrap();
    assert_eq!((report.done, report.failed, victim.names()), (0, 1, Vec::new()));
}

#[tokio::test]
async fn a_server_whose_names_leave_the_destination_is_left_with_a_violation() {
    for name in HOSTILE_NAMES {
        let server = RawServer::new();
        let mut victim = Victim::getting(&server);
        let mut peer = server.welcome().await;
        peer.say_bytes(&peer::header_named(name)).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
        victim.blames_the_server("a hostile name").await;
        assert!(victim.names().is_empty());
    }
}

#[tokio::test]
async fn a_server_whose_content_has_another_digest_delivers_nothing() {
    let server = RawServer::new();
    let mut victim = Victim::getting(&server);
    let mut peer = server.welcome().await;
    peer.offer(0, "notes.txt", 5).await;
    peer.range(0, 0, b"wrong").await;
    peer.say(&peer.tail(0, b"right", 1)).await;
    assert!(matches!(peer.hear().await, Some(Message::Done(Done { failure: Some(_), .. }))));
    peer.say(&end(1)).await;
    is_settled(&mut peer).await;
    let report = victim.end().await.unwrap();
    assert_eq!((report.done, report.failed), (0, 1));
    assert_eq!(report.failures[0].1.status, Status::VerifyFailed);
    until("the part's end", || victim.names().is_empty()).await;
}

#[tokio::test]
async fn a_server_that_answers_what_was_not_offered_is_left_with_a_violation() {
    for (why, messages) in wrong_answers() {
        let server = RawServer::new();
        let mut victim = Victim::sending(&server);
        let mut peer = server.welcome().await;
        let offered = peer.hear().await;
        assert!(matches!(offered, Some(Message::Header(_))), "{offered:?}");
        for message in &messages {
            peer.say(message).await;
        }
        assert_eq!(peer.closed().await, Some(CloseCode::Violation), "{why}");
        victim.blames_the_server(why).await;
    }
}

#[tokio::test]
async fn a_server_that_reports_more_than_was_sent_does_not_fool_the_count() {
    let server = RawServer::new();
    let mut victim = Victim::sending(&server);
    let mut peer = server.welcome().await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    peer.say(&from(0)).await;
    let mut taken = 0;
    // Its start may have gone ahead, on a stream of its own.
    while taken < WANTED {
        let (mut reports, mut stream) = soon("the content", peer.connection.accept_bi()).await.unwrap();
        reports.write_all(&u64::MAX.to_le_bytes()).await.unwrap();
        taken += soon("the content", stream.read_to_end(2 * WANTED)).await.unwrap().len() - RANGE_HEADER_BYTES;
    }
    assert!(matches!(peer.hear().await, Some(Message::Tail(_))));
    peer.say(&done(0, None)).await;
    assert!(matches!(peer.hear().await, Some(Message::End(_))));
    peer.say(&Message::Settled).await;
    let report = victim.end().await.unwrap();
    assert_eq!((report.done, report.bytes_written), (1, WANTED as u64));
}

#[tokio::test]
async fn a_server_that_ends_in_the_middle_is_no_success() {
    for code in [CloseCode::Done, CloseCode::Cancelled] {
        let server = RawServer::new();
        let mut victim = Victim::sending(&server);
        let peer = server.welcome().await;
        transport::close(&peer.connection, code, "");
        let error = victim.end().await.unwrap_err();
        assert!(matches!(error, Error::Transport(TransportError::Refused { code: seen }) if seen == code), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_opens_with_anything_but_a_welcome_is_left_with_a_violation() {
    for first in [Message::GoAway, Message::Settled, header(0, "notes.txt", 1)] {
        let server = RawServer::new();
        let mut victim = Victim::getting(&server);
        let mut peer = server.accept().await;
        peer.say(&first).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
        victim.blames_the_server("no welcome").await;
        assert!(victim.names().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_never_welcomes_is_given_up() {
    let server = RawServer::new();
    let mut victim = Victim::getting(&server);
    let peer = server.accept().await;
    assert_eq!(peer.closed().await, Some(CloseCode::Timeout));
    let error = victim.end().await.unwrap_err();
    assert_eq!(error.fault(), Fault::Network, "{error}");
}

#[tokio::test]
async fn a_listing_takes_names_and_nothing_else() {
    let server = RawServer::new();
    let ticket = server.ticket();
    let client = Victim::client();
    let listing = tokio::spawn(async move { client.list(ticket, Vec::new(), true).await });
    let mut peer = server.welcome().await;
    let problem = Problem::new("x", Failure::new(Status::NotFound, "no"));
    peer.say(&Message::Problem(problem)).await;
    peer.say(&header(0, "x", 1)).await;
    assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    let error = soon("the listing's end", listing).await.unwrap().unwrap_err();
    assert_eq!(error.fault(), Fault::Peer, "{error}");
}
