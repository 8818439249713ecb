//! A server that is not what it seems.

use super::getter::{WANTED, done, from, wrong_answers};
use super::*;

/// An honest client's job against a hostile server.
pub(super) struct Victim {
    place: TempDir,
    job: Option<Job>,
}

impl Victim {
    pub(super) fn client() -> Client {
        Client::builder(identity()).patience(Duration::from_secs(5)).build().unwrap()
    }

    pub(super) fn of(place: TempDir, job: Job) -> Self {
        Self { place, job: Some(job) }
    }

    /// Gets `notes.txt` into a directory of its own.
    fn getting(server: &RawServer) -> Self {
        Self::wanting(server, &["notes.txt"], GetOptions::default())
    }

    /// Gets what `patterns` mean into a directory of its own.
    pub(super) fn wanting(server: &RawServer, patterns: &[&str], options: impl Into<GetOptions>) -> Self {
        let place = tempfile::tempdir().unwrap();
        let patterns = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        let job = Self::client().get(server.ticket(), patterns, place.path().join("into"), options);
        Self::of(place, job)
    }

    /// Sends one file of [`WANTED`] bytes.
    pub(super) fn sending(server: &RawServer) -> Self {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("wanted");
        field::write(&source, &content(WANTED));
        let job = Self::client().send(server.ticket(), vec![source], SendOptions::default());
        Self { place, job: Some(job) }
    }

    pub(super) async fn end(&mut self) -> Result<qft::progress::JobReport, Error> {
        soon("the job's end", self.job.take().expect("a job ends once").finish()).await
    }

    /// The job ends because the server broke the rules.
    async fn blames_the_server(&mut self, why: &str) {
        let error = self.end().await.expect_err(why);
        assert_eq!(error.fault(), Fault::Peer, "{why}: {error}");
    }

    pub(super) fn names(&self) -> Vec<String> {
        field::names(self.place.path())
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join(name)
    }
}

/// The client is content. Its last words may be lost: it ends the connection when it has said them.
pub(super) async fn is_settled(peer: &mut Raw) {
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
    let server = RawServer::new();
    let mut victim = Victim::sending(&server);
    // Done is what quinn says for a connection that was dropped: the client comes again.
    for code in [CloseCode::Done, CloseCode::Cancelled] {
        let peer = server.welcome().await;
        transport::close(&peer.connection, code, "");
    }
    let error = victim.end().await.unwrap_err();
    assert!(matches!(error, Error::Transport(TransportError::Refused { code: CloseCode::Cancelled })), "{error}");
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
