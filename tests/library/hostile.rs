//! A peer that breaks the rules is told so and shut out; nobody else notices.
//!
//! The hostile end speaks the wire by hand against a real server or client.

mod budget;
mod confine;
mod crossing;
mod disk;
mod door;
mod drop_box;
mod flips;
mod getter;
mod server;
mod streams;
mod unread;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::field::{self, Field, identity};
use crate::support::peer::{self, Raw, RawServer, end, frame, get, header, header_of, hello, path, push};
use crate::support::relay::Relay;
use crate::support::{content, soon, until};
use qft::client::Links;
use qft::client::{Client, GetOptions, Job, PartsOptions, SendOptions, TransferOptions};
use qft::digest::{CHUNK_BYTES, Digest};
use qft::error::{Error, Fault};
use qft::protocol::close::CloseCode;
use qft::protocol::message::{
    Done, Failure, FileId, Get, Have, Header, Hello, IfExists, Kind, List, ListedName, Message, Mtime, Names, Pos,
    Probe, ProbeKind, Problem, Push, Select, SkipReason, Status, Tail, Target, Verdict, Why,
};
use qft::protocol::range::{RANGE_HEADER_BYTES, RangeHeader, RangeTiming};
use qft::protocol::{
    EARLY_BYTES_MAX, EARLY_FILES_MAX, HEADERS_AHEAD_MAX, NAMES_AHEAD_MAX, OFFERS_MAX, PROBE_ECHO_BYTES_MAX,
    PROBE_MILLIS_MAX, features,
};
use qft::server::{AccessMode, Notice};
use qft::transport::{self, TransportError};
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
async fn all_on_offer_twice_or_after_the_end_or_without_a_push_is_a_violation() {
    for said in [[Message::Offered, Message::Offered], [end(1), Message::Offered]] {
        violates(async |peer| {
            peer.say(&header(0, "x", 1)).await;
            for message in &said {
                peer.say(message).await;
            }
        })
        .await;
    }
    let field = Field::new();
    let mut peer = field.greeted().await;
    peer.say(&Message::Offered).await;
    field.ends_with(&peer, CloseCode::Violation).await;
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
        for _ in 0..2 * transport::limits::STREAMS_MAX {
            let Ok((mut send, recv)) = peer.connection.open_bi().await else { return };
            let _ = send.write_all(&[0]).await;
            held.push((send, recv));
        }
    };
    let ((), ()) = tokio::join!(soon("the end of the flood", flood), field.honest_client_is_served());
    assert!(held.len() <= transport::limits::STREAMS_MAX as usize, "{}", held.len());
    field.ends_with(&peer, CloseCode::Timeout).await;
}
