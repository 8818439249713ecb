//! Content goes ahead of the answers: a peer that withholds its answers sees it come.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::support::field::{self, Field, identity};
use crate::support::peer::{Raw, RawServer};
use crate::support::{content, soon, until};
use qft::client::{Client, Job, SendOptions};
use qft::digest::CHUNK_BYTES;
use qft::protocol::close::CloseCode;
use qft::protocol::message::{
    Done, Failure, FileId, Get, Have, Header, Message, Pos, SkipReason, Status, Verdict, Why,
};
use qft::protocol::range::{RANGE_HEADER_BYTES, RangeHeader, RangeTiming};
use qft::protocol::{EARLY_BYTES_MAX, EARLY_FILES_MAX};
use qft::server::history;
use qft::transport;
use quinn::{ReadError, ReadToEndError, RecvStream, VarInt};
use tempfile::TempDir;

const CHUNK: usize = CHUNK_BYTES as usize;
const LARGE: usize = 2 * CHUNK + 5;

/// A client that sends files to a server whose answers the test gives.
struct Sending {
    dir: TempDir,
    job: Job,
    peer: Raw,
    _server: RawServer,
}

impl Sending {
    async fn start(files: &[(&str, usize)]) -> Self {
        Self::start_to(RawServer::new(), files).await
    }

    async fn start_to(server: RawServer, files: &[(&str, usize)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, len) in files {
            field::write(&dir.path().join(name), &content(*len));
        }
        let client = Client::builder(identity()).build().unwrap();
        let paths = files.iter().map(|(name, _)| dir.path().join(name)).collect();
        let job = client.send(server.ticket(), paths, SendOptions::default());
        let peer = server.welcome().await;
        Self { dir, job, peer, _server: server }
    }

    /// The next offer. Tails that went ahead may come before it.
    async fn header(&mut self) -> Header {
        loop {
            match self.peer.hear().await {
                Some(Message::Header(header)) => return header,
                Some(Message::Tail(_)) => {}
                other => panic!("{other:?} instead of an offer"),
            }
        }
    }

    async fn answer(&mut self, id: u64, verdict: Verdict) {
        self.peer.say(&Message::Pos(Pos { id: FileId(id), verdict })).await;
    }

    /// Hears the end of the job, settles it, and returns what the client makes of it.
    async fn settle(mut self) -> qft::progress::JobReport {
        self.end().await;
        self.leave().await
    }

    /// Hears the end of the job. Tails that went ahead may come before it.
    async fn end(&mut self) {
        loop {
            match self.peer.hear().await {
                Some(Message::End(_)) => return,
                Some(Message::Tail(_)) => {}
                other => panic!("{other:?} instead of the end"),
            }
        }
    }

    /// Settles a job whose end was heard.
    async fn leave(mut self) -> qft::progress::JobReport {
        self.peer.say(&Message::Settled).await;
        assert_eq!(self.peer.closed().await, Some(CloseCode::Done));
        soon("the job's end", self.job.finish()).await.unwrap()
    }
}

/// The next stream of the peer's: its header, and its content.
async fn stream(peer: &Raw) -> (RangeHeader, RecvStream) {
    let (_, mut stream) = soon("a stream", peer.connection.accept_bi()).await.unwrap();
    let mut raw = [0; RANGE_HEADER_BYTES];
    soon("its header", stream.read_exact(&mut raw)).await.unwrap();
    (RangeHeader::from_bytes(raw), stream)
}

async fn range(peer: &Raw) -> (RangeHeader, Vec<u8>) {
    let (header, mut stream) = stream(peer).await;
    (header, soon("the content", stream.read_to_end(2 * LARGE)).await.unwrap())
}

fn header(offset: u64, len: usize, timing: RangeTiming) -> RangeHeader {
    RangeHeader { id: FileId(0), offset, len: len as u64, timing }
}

fn from(offset: u64, why: Why) -> Verdict {
    Verdict::From { offset, why }
}

fn done(id: u64) -> Message {
    Message::Done(Done { id: FileId(id), failure: None })
}

/// The code with which a stream was reset; `None` where all of it had come before.
async fn reset(stream: &mut RecvStream) -> Option<VarInt> {
    match soon("its end", stream.read_to_end(2 * LARGE)).await {
        Ok(_) => None,
        Err(ReadToEndError::Read(ReadError::Reset(code))) => Some(code),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_start_of_a_file_comes_before_its_answer_and_is_not_sent_again() {
    for len in [5, CHUNK, CHUNK + 1, LARGE] {
        let mut sending = Sending::start(&[("f", len)]).await;
        assert_eq!(sending.header().await.size, len as u64);
        let (first, mut bytes) = range(&sending.peer).await;
        assert_eq!(first, header(0, len.min(CHUNK), RangeTiming::Early));
        sending.answer(0, from(0, Why::New)).await;
        if len > CHUNK {
            let (second, rest) = range(&sending.peer).await;
            assert_eq!(second, header(CHUNK_BYTES, len - CHUNK, RangeTiming::Asked));
            bytes.extend(rest);
        }
        assert_eq!(bytes, content(len));
        let tail = if len > CHUNK { sending.peer.tail(0, &bytes, 2) } else { sending.peer.tail_early(0, &bytes, 1) };
        assert_eq!(sending.peer.hear().await, Some(tail));
        sending.peer.say(&done(0)).await;
        let report = sending.settle().await;
        assert_eq!((report.done, report.bytes_written, report.bytes_resumed), (1, len as u64, 0));
    }
}

#[tokio::test]
async fn a_job_of_small_files_says_all_before_it_hears_an_answer() {
    let mut sending = Sending::start(&[("a", 5), ("b", CHUNK / 2), ("empty", 0)]).await;
    let (mut headers, mut tails) = (BTreeMap::new(), BTreeMap::new());
    loop {
        match sending.peer.hear().await {
            Some(Message::Header(header)) => drop(headers.insert(header.id, header)),
            Some(Message::Tail(tail)) => drop(tails.insert(tail.id, tail)),
            Some(Message::End(end)) => break assert_eq!(end.files, headers.len() as u64),
            other => panic!("{other:?} before any answer"),
        }
    }
    for (id, header) in &headers {
        let ranges = u64::from(header.size > 0);
        let tail = sending.peer.tail_early(id.0, &content(header.size as usize), ranges);
        assert_eq!(tails.remove(id).map(Message::Tail), Some(tail));
    }
    // All answers and verdicts in one go.
    for id in headers.keys() {
        sending.answer(id.0, from(0, Why::New)).await;
        sending.peer.say(&done(id.0)).await;
    }
    let report = sending.leave().await;
    assert_eq!((report.done, report.failed, report.bytes_written), (3, 0, (5 + CHUNK / 2) as u64));
}

#[tokio::test]
async fn a_small_file_that_is_resumed_after_all_is_compared_and_closed_again() {
    for same in [true, false] {
        let mut sending = Sending::start(&[("f", 5)]).await;
        sending.header().await;
        sending.end().await;
        let bytes = content(5);
        sending.answer(0, from(5, Why::Resume)).await;
        let digests = vec![sending.peer.hasher.chunk(if same { &bytes } else { b"other" })];
        sending.peer.say(&Message::Have(Have { id: FileId(0), first: 0, digests })).await;
        let tail = sending.peer.tail(0, &bytes, u64::from(!same));
        assert_eq!(sending.peer.hear().await, Some(tail));
        sending.peer.say(&done(0)).await;
        let report = sending.leave().await;
        assert_eq!((report.done, report.bytes_written), (1, if same { 0 } else { 5 }));
    }
}

/// Hears that a source has changed.
async fn changed(peer: &mut Raw, id: u64) {
    let cancel = peer.hear().await;
    let Some(Message::Cancel(Done { id: cancelled, failure: Some(failure) })) = cancel else { panic!("{cancel:?}") };
    assert_eq!((cancelled, failure.status), (FileId(id), Status::Changed));
}

#[tokio::test]
async fn a_small_source_that_changes_after_the_end_was_said_is_offered_again() {
    let mut sending = Sending::start(&[("f", 5)]).await;
    sending.header().await;
    sending.end().await;
    let bytes = b"longer than before";
    fs::write(sending.dir.path().join("f"), bytes).unwrap();
    sending.answer(0, from(5, Why::Resume)).await;
    changed(&mut sending.peer, 0).await;
    assert_eq!(sending.header().await.size, bytes.len() as u64);
    sending.answer(1, from(0, Why::New)).await;
    let tail = sending.peer.tail(1, bytes, 1);
    assert_eq!(sending.peer.hear().await, Some(tail));
    sending.peer.say(&done(1)).await;
    let report = sending.leave().await;
    assert_eq!((report.done, report.failed), (1, 0));
}

#[tokio::test]
async fn a_small_source_that_is_gone_after_the_end_was_said_is_a_problem() {
    let mut sending = Sending::start(&[("f", 5)]).await;
    sending.header().await;
    sending.end().await;
    let name = sending.dir.path().join("f");
    fs::write(&name, b"longer than before").unwrap();
    let moved = sending.dir.path().join("moved");
    sending.answer(0, from(5, Why::Resume)).await;
    fs::rename(&name, &moved).unwrap();
    // Whether the sender had it open still, or not.
    let said = sending.peer.hear().await;
    let failed = match said {
        Some(Message::Cancel(Done { failure: Some(failure), .. })) if failure.status == Status::Changed => {
            let problem = sending.peer.hear().await;
            let Some(Message::Problem(problem)) = problem else { panic!("{problem:?}") };
            problem.name
        }
        Some(Message::Cancel(_)) => b"f".to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(failed, b"f");
    assert_eq!(sending.leave().await.failed, 1);
}

#[tokio::test]
async fn a_failure_that_crosses_a_new_offer_after_the_end_stands_for_both() {
    let failure = || Failure::new(Status::NoSpace, "full");
    // With another file under way, and as the last word on all of them.
    for others in [true, false] {
        let files = [("f", 5), ("g", 6)];
        let mut sending = Sending::start(&files[..1 + usize::from(others)]).await;
        for _ in 0..=usize::from(others) {
            sending.header().await;
        }
        sending.end().await;
        fs::write(sending.dir.path().join("f"), b"longer than before").unwrap();
        sending.answer(0, from(5, Why::Resume)).await;
        changed(&mut sending.peer, 0).await;
        assert_eq!(sending.header().await.id, FileId(files.len() as u64 - u64::from(!others)));
        // As if none of that had been heard.
        sending.peer.say(&Message::Done(Done { id: FileId(0), failure: Some(failure()) })).await;
        if others {
            sending.answer(1, from(0, Why::New)).await;
            sending.peer.say(&done(1)).await;
        }
        let report = sending.leave().await;
        assert_eq!((report.done, report.failed), (u64::from(others), 1));
        assert_eq!(report.failures, [("f".to_owned(), failure())]);
    }
}

#[tokio::test]
async fn a_resume_that_crosses_it_takes_nothing_of_it() {
    let mut sending = Sending::start(&[("f", LARGE)]).await;
    sending.header().await;
    let (first, mut start) = stream(&sending.peer).await;
    assert_eq!(first, header(0, CHUNK, RangeTiming::Early));
    sending.answer(0, from(CHUNK_BYTES, Why::Resume)).await;
    assert!(reset(&mut start).await.is_none_or(|code| code == CloseCode::Cancelled.code().into()));
    let bytes = content(LARGE);
    let digests = vec![sending.peer.hasher.chunk(&bytes[..CHUNK])];
    sending.peer.say(&Message::Have(Have { id: FileId(0), first: 0, digests })).await;
    assert_eq!(
        range(&sending.peer).await,
        (header(CHUNK_BYTES, CHUNK + 5, RangeTiming::Asked), bytes[CHUNK..].to_vec())
    );
    let tail = sending.peer.tail(0, &bytes, 1);
    assert_eq!(sending.peer.hear().await, Some(tail));
    sending.peer.say(&done(0)).await;
    let report = sending.settle().await;
    assert_eq!((report.bytes_written, report.bytes_resumed), ((CHUNK + 5) as u64, CHUNK_BYTES));
}

#[tokio::test]
async fn what_is_not_wanted_is_taken_back_and_not_counted() {
    let refusal = Failure::new(Status::NotAllowed, "read only");
    for verdict in [Verdict::Skip(SkipReason::Same), Verdict::Refuse(refusal)] {
        // Half of it cannot be sent before the answer comes, however fast the machine is.
        let server = RawServer::with_stream_window(CHUNK as u32 / 2);
        let mut sending = Sending::start_to(server, &[("f", LARGE)]).await;
        sending.header().await;
        let (_, mut start) = stream(&sending.peer).await;
        sending.answer(0, verdict.clone()).await;
        let taken_back = soon("the reset", start.received_reset()).await.unwrap();
        let report = sending.settle().await;
        let refused = u64::from(matches!(verdict, Verdict::Refuse(_)));
        assert_eq!((report.skipped, report.failed, report.bytes_written), (1 - refused, refused, 0));
        assert_eq!(taken_back, Some(CloseCode::Cancelled.code().into()), "{verdict:?}");
    }
}

#[tokio::test]
async fn few_files_and_few_bytes_go_ahead() {
    const HALF: usize = EARLY_BYTES_MAX as usize / 2 + 1;
    let names: Vec<String> = (0..2 * EARLY_FILES_MAX).map(|n| format!("{n:03}")).collect();
    let small: Vec<_> = names.iter().map(|name| (name.as_str(), 10)).collect();
    for (files, early) in [(small, EARLY_FILES_MAX), (vec![("a", HALF), ("b", HALF), ("c", 0), ("d", 7)], 2)] {
        let mut sending = Sending::start(&files).await;
        let mut sizes = BTreeMap::new();
        for _ in &files {
            let header = sending.header().await;
            sizes.insert(header.id, header.size);
        }
        for _ in 0..early {
            let (header, mut stream) = stream(&sending.peer).await;
            assert_eq!((header.timing, sizes.remove(&header.id)), (RangeTiming::Early, Some(header.len)));
            let bytes = soon("the content", stream.read_to_end(CHUNK)).await.unwrap();
            assert_eq!(bytes, content(header.len as usize));
        }
        for id in 0..files.len() as u64 {
            sending.answer(id, Verdict::Skip(SkipReason::Same)).await;
        }
        let connection = sending.peer.connection.clone();
        let report = sending.settle().await;
        assert_eq!((report.skipped, report.bytes_written), (files.len() as u64, 0));
        assert!(soon("no stream", connection.accept_bi()).await.is_err(), "more went ahead than may");
    }
}

#[tokio::test]
async fn a_source_that_changes_behind_its_start_is_offered_again_and_waits_then() {
    let mut sending = Sending::start(&[("f", LARGE)]).await;
    sending.header().await;
    let (first, _) = range(&sending.peer).await;
    assert_eq!(first.timing, RangeTiming::Early);
    // In what has gone ahead: what is read after the change is of one state of the file.
    let mut file = OpenOptions::new().write(true).open(sending.dir.path().join("f")).unwrap();
    file.write_all(b"more").unwrap();
    sending.answer(0, from(0, Why::New)).await;
    changed(&mut sending.peer, 0).await;
    let bytes = fs::read(sending.dir.path().join("f")).unwrap();
    assert_eq!(sending.header().await.size, bytes.len() as u64);
    sending.answer(1, from(0, Why::New)).await;
    loop {
        let (header, mut stream) = stream(&sending.peer).await;
        // What was under way of the first offer is of no use any more.
        if header.id == FileId(1) {
            assert_eq!((header.offset, header.len, header.timing), (0, bytes.len() as u64, RangeTiming::Asked));
            assert_eq!(soon("the content", stream.read_to_end(2 * LARGE)).await.unwrap(), bytes);
            break;
        }
    }
    let tail = sending.peer.tail(1, &bytes, 1);
    assert_eq!(sending.peer.hear().await, Some(tail));
    sending.peer.say(&done(1)).await;
    assert_eq!(sending.settle().await.done, 1);
}

#[tokio::test]
async fn a_server_goes_ahead_when_the_client_lets_it() {
    for early in [true, false] {
        let field = Field::new();
        field::write(&field.path("wanted"), &content(LARGE));
        let mut peer = field.greeted().await;
        peer.say(&Message::Get(Get { patterns: vec!["wanted".into()], filters: Vec::new(), links: false, early }))
            .await;
        assert!(matches!(peer.hear().await, Some(Message::Header(_))));
        if early {
            let start = (header(0, CHUNK, RangeTiming::Early), content(LARGE)[..CHUNK].to_vec());
            assert_eq!(range(&peer).await, start);
        }
        peer.say(&Message::Pos(Pos { id: FileId(0), verdict: from(0, Why::New) })).await;
        let offset = if early { CHUNK } else { 0 };
        let rest = (header(offset as u64, LARGE - offset, RangeTiming::Asked), content(LARGE)[offset..].to_vec());
        assert_eq!(range(&peer).await, rest);
        let tail = peer.tail(0, &content(LARGE), if early { 2 } else { 1 });
        assert_eq!(peer.hear().await, Some(tail));
        peer.leave().await;
    }
}

/// What a client got as a whole ahead of its answer it may not have answered when its farewell arrives.
#[tokio::test]
async fn the_history_names_a_file_whose_answer_the_clients_farewell_overtook() {
    let home = tempfile::tempdir().unwrap();
    let field = Field::with(|builder| builder.history(Some(home.path().to_owned())));
    field::write(&field.path("d/wanted"), b"content");
    let mut peer = field.greeted().await;
    peer.say(&Message::Get(Get { patterns: vec!["d/wanted".into()], filters: Vec::new(), links: false, early: true }))
        .await;
    assert!(matches!(peer.hear().await, Some(Message::Header(_))));
    assert_eq!(range(&peer).await.1, b"content");
    peer.leave().await;
    let jobs = || history::read(home.path()).unwrap();
    until("the job to be written down", || !jobs().is_empty()).await;
    let jobs = jobs();
    assert_eq!(jobs.iter().map(|job| (job.file.as_deref(), job.files)).collect::<Vec<_>>(), [(Some("d/wanted"), 1)]);
}

#[tokio::test]
async fn a_later_connection_of_a_job_waits_for_the_answers() {
    let server = RawServer::new();
    let dir = tempfile::tempdir().unwrap();
    field::write(&dir.path().join("f"), &content(LARGE));
    let client = Client::builder(identity()).build().unwrap();
    let job = client.send(server.ticket(), vec![dir.path().join("f")], SendOptions::default());
    let mut first = server.welcome().await;
    assert_eq!(stream(&first).await.0.timing, RangeTiming::Early);
    // What follows the answer shows that the client has heard the welcome before it: it would not come again otherwise.
    first.say(&Message::Pos(Pos { id: FileId(0), verdict: from(0, Why::New) })).await;
    assert_eq!(stream(&first).await.0.timing, RangeTiming::Asked);
    transport::close(&first.connection, CloseCode::GoingAway, "");
    let mut second = server.welcome().await;
    assert!(matches!(second.hear().await, Some(Message::Header(_))));
    second.say(&Message::Pos(Pos { id: FileId(0), verdict: from(0, Why::New) })).await;
    assert_eq!(range(&second).await.0, header(0, LARGE, RangeTiming::Asked));
    drop(job);
}
