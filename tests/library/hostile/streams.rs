//! Data streams: ranges, what goes ahead of the answers, what comes after the end.

use super::*;

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
fn too_much_early() -> Vec<(&'static str, Vec<[u64; 3]>)> {
    let most = EARLY_FILES_MAX as u64;
    vec![
        ("nothing", vec![[0, 0, 0]]),
        ("what is no start", vec![[0, CHUNK_BYTES, 5]]),
        ("an offset beyond all numbers", vec![[0, u64::MAX, 5]]),
        ("more than a chunk", vec![[0, 0, CHUNK_BYTES + 1]]),
        ("a length beyond all numbers", vec![[0, 0, u64::MAX >> 1]]),
        ("a file twice", vec![[0, 0, 5], [0, 0, 5]]),
        ("too many bytes", vec![[0, 0, EARLY_BYTES_MAX / 2 + 1], [1, 0, EARLY_BYTES_MAX / 2 + 1]]),
        ("too many files", (0..=most).map(|id| [id, 0, 1]).collect()),
    ]
}

#[tokio::test]
async fn more_ahead_of_the_answers_than_a_job_may_have_is_a_violation() {
    for (why, ranges) in too_much_early() {
        violates(async |peer| {
            let mut streams = Vec::new();
            for [id, offset, len] in ranges {
                streams.push(peer.begin_early(id, offset, len, b"x").await);
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
        let _stream = peer.begin_early(1, 0, 5, b"x").await;
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
        let _stream = peer.begin_early(0, 0, 5, b"x").await;
        peer.say(&end(0)).await;
        assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    })
    .await;
    // And is not waited for.
    let field = Field::new();
    let peer = field.pushing().await;
    let _stream = peer.begin_early(0, 0, 5, b"x").await;
    field.ends_with(&peer, CloseCode::Timeout).await;
}

#[tokio::test]
async fn content_that_comes_before_its_offer_waits_for_it() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    let (late, small) = (content(CHUNK / 2), [7; 5]);
    // One of them whole, of the other a part: the rest comes when it is asked for.
    let (mut begun, _reports) = peer.begin_early(1, 0, 5, &small[..2]).await;
    peer.say(&push()).await;
    peer.offer(0, "late", late.len() as u64).await;
    peer.say(&header(1, "small", 5)).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::From { offset: 0, why: Why::New });
    begun.write_all(&small[2..]).await.unwrap();
    begun.finish().unwrap();
    peer.say(&peer.tail(1, &small, 1)).await;
    peer.is_done(1).await;
    // What went ahead may also come after the answer.
    let (mut whole, _reports) = peer.begin_early(0, 0, late.len() as u64, &late).await;
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
        let _first = peer.begin_early(0, 0, CHUNK_BYTES, b"x").await;
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
    let (start, _reports) = peer.begin_early(0, 0, CHUNK_BYTES, &new[..10]).await;
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
        let before = if early { Some(peer.begin_early(id, 0, 5, b"x").await) } else { None };
        peer.say(&header(id, "dir", 5)).await;
        assert!(matches!(peer.hear_pos().await.verdict, Verdict::Refuse(_)));
        let (refused, _reports) = if let Some(begun) = before { begun } else { peer.begin_early(id, 0, 5, b"x").await };
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
    let (mut start, _reports) = peer.begin_early(0, 0, 7, b"content").await;
    let _ = start.finish();
    peer.say(&header(0, "new", 7)).await;
    peer.say(&peer.tail_early(0, b"content", 1)).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::From { offset: 0, why: Why::New });
    peer.is_done(0).await;
    // An empty one has no content to wait for.
    peer.say(&header(1, "empty", 0)).await;
    peer.say(&peer.tail_early(1, b"", 0)).await;
    peer.hear_pos().await;
    peer.is_done(1).await;
    // The tail of one that is compared is not that of what went ahead; the end may have been said meanwhile.
    let _ahead = peer.begin_early(2, 0, 5, b"newer").await;
    peer.say(&header(2, "old", 5)).await;
    peer.say(&end(3)).await;
    assert_eq!(peer.hear_pos().await.verdict, Verdict::From { offset: 5, why: Why::Resume });
    // It crosses the answer.
    peer.say(&peer.tail_early(2, b"wrong", 1)).await;
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
            bytes.extend(frame(&peer.tail_early(0, b"12345", 1)));
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
        peer.say(&Message::Tail(Tail { id: FileId(0), root: Digest([7; 16]), ranges: 1, early: false })).await;
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
    // Their sums go behind all other work: of a busy machine they get next to nothing.
    for (id, size) in [(0, 16 * TIB), (1, TIB), (2, TIB), (3, TIB)] {
        peer.offer(id, &format!("huge{id}"), size).await;
        peer.say(&Message::Tail(Tail { id: FileId(id), root: Digest([7; 16]), ranges: 0, early: false })).await;
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

/// Half of the packets that carry a byte each are lost, so that gaps stay between those that arrive: what a peer that makes
/// its own packets does with fewer of them.
#[tokio::test]
async fn single_bytes_with_gaps_between_them_are_a_violation() {
    const LEN: usize = 2000;
    let field = Field::new();
    let relay = Relay::start(field.server.local_addr(), Duration::ZERO).await;
    let mut peer = Raw::greeted_through(&relay, &field.server, &field.hostile).await;
    peer.say(&push()).await;
    peer.offer(0, "x", LEN as u64).await;
    let (mut stream, _reports) = peer.begin(0, 0, LEN as u64, b"").await;
    relay.lose_upwards(500);
    for byte in content(LEN) {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        // The connection's own task sends it now, alone.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    field.honest_client_is_served().await;
}

/// Losses alone, as bad as links have them, break no rule.
#[tokio::test]
async fn whole_packets_with_gaps_between_them_are_content() {
    const LEN: usize = 3 * CHUNK + 500;
    let field = Field::new();
    let relay = Relay::start(field.server.local_addr(), Duration::ZERO).await;
    let mut peer = Raw::greeted_through(&relay, &field.server, &field.hostile).await;
    peer.say(&push()).await;
    relay.lose_upwards(200);
    peer.send_well(0, "x", &content(LEN)).await;
    assert_eq!(fs::read(field.path("x")).unwrap(), content(LEN));
    peer.leave().await;
}

#[tokio::test]
async fn ranges_without_end_of_a_file_that_was_given_up_are_a_violation() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    peer.offer(0, "x", 16 << 40).await;
    let flood = async {
        for chunk in (0..).step_by(2) {
            // Each takes its place among the ranges of the file, and none of them carries anything.
            let Ok((mut send, _)) = peer.connection.open_bi().await else { return };
            let (offset, len) = (chunk * CHUNK_BYTES, CHUNK_BYTES);
            let header = RangeHeader { id: FileId(0), offset, len, timing: RangeTiming::Asked };
            let _ = send.write_all(&header.to_bytes()).await;
            tokio::task::yield_now().await;
            let _ = send.reset(0_u32.into());
        }
    };
    soon("the end of the flood", flood).await;
    field.ends_with(&peer, CloseCode::Violation).await;
}
