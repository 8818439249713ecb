//! A client that gets, and answers what no offer allows.

use super::*;

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

pub(super) fn from(offset: u64) -> Message {
    pos(0, Verdict::From { offset, why: Why::Resume })
}

fn have(id: u64, first: u64, count: usize) -> Message {
    Message::Have(Have { id: FileId(id), first, digests: vec![Digest([0; 16]); count] })
}

pub(super) fn done(id: u64, failure: Option<Failure>) -> Message {
    Message::Done(Done { id: FileId(id), failure })
}

/// Answers that no offer of file 0 with three chunks and a half allows, each after those before it.
pub(super) fn wrong_answers() -> Vec<(&'static str, Vec<Message>)> {
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

pub(super) const WANTED: usize = 7 * CHUNK / 2;

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

#[tokio::test]
async fn a_pattern_that_cannot_be_matched_is_a_name_that_failed_and_no_more() {
    let field = Field::new();
    let nested = "{".repeat(300) + &"}".repeat(300);
    for pattern in [nested, "{".repeat(2000), "?".repeat(2000), "[".to_owned()] {
        let mut peer = field.greeted().await;
        peer.say(&get(&pattern)).await;
        let answer = peer.hear().await;
        let Some(Message::Problem(problem)) = answer else {
            panic!("{answer:?}: {:?}", peer.connection.close_reason())
        };
        assert_eq!(problem.failure.status, Status::BadName, "{}", problem.failure);
        peer.leave().await;
    }
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn a_filter_that_cannot_be_matched_is_said_and_no_more() {
    let field = Field::new();
    field::write(&field.path("wanted"), b"x");
    let nested = "{".repeat(300) + &"}".repeat(300);
    for filter in [nested, "{".repeat(2000), "?".repeat(2000), "!".to_owned() + &"[ab]".repeat(500), "[".to_owned()] {
        let mut peer = field.greeted().await;
        let patterns = vec![b"wanted".to_vec()];
        peer.say(&Message::Get(Get { patterns, filters: vec![filter.clone()], links: false, early: false })).await;
        let answer = peer.hear().await;
        let Some(Message::Problem(problem)) = answer else {
            panic!("{filter}: {answer:?}: {:?}", peer.connection.close_reason())
        };
        assert_eq!(problem.failure.status, Status::BadName, "{}", problem.failure);
        assert!(problem.failure.detail.starts_with("bad filter: "), "{}", problem.failure);
        peer.leave().await;
    }
    let client = Client::builder(field.honest.clone()).build().unwrap();
    let got = tempfile::tempdir().unwrap();
    field::write(&field.path("dir/kept"), b"kept");
    field::write(&field.path("dir/left.jpg"), b"left out");
    let options = TransferOptions { excludes: vec!["*.{jpg,png}".to_owned()], ..TransferOptions::default() };
    let job = client.get(field.ticket(), vec![b"dir".to_vec()], got.path().to_owned(), options);
    let report = soon("the job's end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (1, 0), "{report:?}");
    assert!(got.path().join("dir/kept").exists() && !got.path().join("dir/left.jpg").exists());
}

fn listing() -> Message {
    let get = Get { patterns: vec![Vec::new()], filters: Vec::new(), links: false, early: false };
    Message::Select(Select { get, one_file_system: false, listed: true })
}

fn names(name: &str, is_last: bool) -> Message {
    Message::Names(Names { names: vec![ListedName { path: path(name), whole: false }], is_last })
}

#[tokio::test]
async fn names_that_belong_to_no_list_end_the_connection() {
    for before in [vec![], vec![get("wanted")], vec![listing(), names("wanted", true)]] {
        let field = Field::new();
        field::write(&field.path("wanted"), &content(10));
        let mut peer = field.greeted().await;
        for message in &before {
            peer.say(message).await;
        }
        peer.say(&names("wanted", true)).await;
        field.ends_with(&peer, CloseCode::Violation).await;
    }
}

#[tokio::test]
async fn a_list_that_does_not_wait_for_the_server_ends_the_connection() {
    let field = Field::new();
    let mut peer = field.greeted().await;
    peer.say(&listing()).await;
    // Offers that nobody answers keep the walk from going on.
    for n in 0..HEADERS_AHEAD_MAX + 2000 {
        field::write(&field.path(&format!("d/{n}")), b"");
    }
    peer.say(&Message::Names(Names { names: vec![ListedName { path: path("d"), whole: true }], is_last: false })).await;
    for _ in 0..=NAMES_AHEAD_MAX + 1 {
        peer.say(&names("d/1", false)).await;
    }
    assert_eq!(peer.closed().await, Some(CloseCode::Violation));
}

#[tokio::test]
async fn names_lead_nowhere_that_patterns_do_not() {
    let field = Field::new();
    field::write(&field.path(".hidden/x"), &content(10));
    field::write(&field.path("a"), &content(10));
    let mut peer = field.greeted().await;
    peer.say(&listing()).await;
    for (name, is_last) in [(".hidden/x", false), ("a", true)] {
        peer.say(&names(name, is_last)).await;
    }
    let mut heard = Vec::new();
    loop {
        match peer.hear().await {
            Some(Message::Header(header)) => {
                heard.push(header.path.to_string());
                peer.say(&pos(header.id.0, Verdict::Skip(SkipReason::Same))).await;
            }
            Some(Message::Problem(problem)) => heard.push(format!("! {}", problem.failure.status)),
            Some(Message::End(_)) => break,
            Some(_) => {}
            None => panic!("{:?}", peer.connection.close_reason()),
        }
    }
    assert_eq!(heard, [format!("! {}", Status::NotFound), "a".to_owned()]);
}

#[tokio::test]
async fn a_server_that_knows_no_lists_is_not_asked_for_one() {
    let (server, dir) = (RawServer::new(), tempfile::tempdir().unwrap());
    let client = Client::builder(identity()).build().unwrap();
    let options = TransferOptions { one_file_system: true, ..TransferOptions::default() };
    let job = client.get(server.ticket(), vec![b"d".to_vec()], dir.path().to_owned(), options);
    let mut peer = server.greet_with(features::NONE).await;
    let error = soon("the job's end", job.finish()).await.unwrap_err();
    assert!(error.to_string().contains("too old for --one-file-system"), "{error}");
    assert_eq!(peer.hear().await, None, "nothing was asked");
    let (asked, mut peer) =
        tokio::join!(client.parts(server.ticket(), PartsOptions::default()), server.greet_with(features::NONE));
    assert!(asked.unwrap_err().to_string().contains("too old"));
    assert_eq!(peer.hear().await, None, "nothing was asked");
}

/// However many files there are to send: a stream is QUIC's until the client has ended its half, too.
#[tokio::test]
async fn who_ends_no_streams_is_sent_no_more_of_them_than_there_is_room_for() {
    const FILES: u64 = 200;
    // As if others held everything.
    let field = Field::with(|builder| builder.memory(0));
    for n in 0..FILES {
        field::write(&field.path(&format!("wanted/{n}")), b"x");
    }
    let mut peer = field.greeted().await;
    peer.say(&get("wanted")).await;
    let connection = peer.connection.clone();
    let (mut held, mut ended) = (Vec::new(), Vec::new());
    let mut offered = 0;
    let room = qft::server::limits::WORDS_FLOOR_BYTES / qft::server::limits::STREAM_BYTES;
    while ended.len() < FILES as usize {
        // Streams that the server waits for are ended when no other comes.
        let waits = held.len() >= room;
        tokio::select! {
            message = peer.hear() => match message {
                Some(Message::Header(header)) if header.kind == Kind::File => {
                    offered += 1;
                    peer.say(&pos(header.id.0, Verdict::From { offset: 0, why: Why::New })).await;
                }
                Some(Message::Header(header)) => peer.say(&pos(header.id.0, Verdict::Skip(SkipReason::Made))).await,
                Some(Message::Tail(Tail { id, .. })) => {
                    ended.push(id);
                    peer.say(&done(id.0, None)).await;
                }
                Some(_) => {}
                None => panic!("{:?}", peer.connection.close_reason()),
            },
            stream = connection.accept_bi() => held.push(stream.unwrap()),
            () = tokio::time::sleep(Duration::from_millis(200)), if waits => held.clear(),
        }
        assert!(held.len() <= room, "{} streams are open, and there is room for {room}", held.len());
    }
    assert_eq!(offered, FILES);
    peer.leave().await;
    field.honest_client_is_served().await;
}
