//! What crosses on the control stream after the end: a failure here, and a source that changed there.

use super::*;

/// A job of the files 0 `one` and 1 `two`, whose end was said and whose parts somebody else has, so that both have failed.
/// With `third`, file 2 is under way still.
struct Failed {
    field: Field,
    peer: Raw,
    third: Option<quinn::SendStream>,
    _parts: [fs::File; 2],
}

impl Failed {
    async fn new(third: bool) -> Self {
        let field = Field::new();
        let parts = ["one", "two"].map(|name| locked(&field.path(&format!(".{name}.qft-part"))));
        let mut peer = field.pushing().await;
        let files = if third { &["one", "two", "three"][..] } else { &["one", "two"] };
        for (id, name) in files.iter().enumerate() {
            peer.say(&header(id as u64, name, 5)).await;
            peer.say(&peer.tail_early(id as u64, b"three", 1)).await;
        }
        let third = if third { Some(peer.begin_early(2, 0, 5, b"thr").await.0) } else { None };
        peer.say(&end(files.len() as u64)).await;
        for _ in files {
            assert!(matches!(peer.hear_pos().await.verdict, Verdict::From { .. }));
        }
        for _ in 0..2 {
            let done = peer.hear().await;
            let Some(Message::Done(Done { failure: Some(failure), .. })) = done else { panic!("{done:?}") };
            assert_eq!(failure.status, Status::Busy);
        }
        Self { field, peer, third, _parts: parts }
    }

    /// The third file is sent to its end, if there is one.
    async fn finish_third(&mut self) {
        let Some(mut stream) = self.third.take() else { return };
        stream.write_all(b"ee").await.unwrap();
        stream.finish().unwrap();
        self.peer.is_done(2).await;
        assert_eq!(self.peer.hear().await, Some(Message::Settled));
        assert_eq!(fs::read(self.field.path("three")).unwrap(), b"three");
    }

    /// Sees the peer leave and returns what the server said had failed.
    async fn leave(self) -> (Field, Vec<String>) {
        self.peer.leave().await;
        let mut failures = Vec::new();
        let left = self.field.notice(|notice| match notice {
            Notice::Failed { path, .. } => {
                failures.push(path);
                None
            }
            Notice::Disconnected { .. } => Some(()),
            _ => None,
        });
        left.await;
        failures.sort();
        (self.field, failures)
    }
}

/// A part of five bytes that another transfer holds.
fn locked(part: &std::path::Path) -> fs::File {
    field::write(part, b"older");
    let part = fs::File::options().write(true).open(part).unwrap();
    part.try_lock().unwrap();
    part
}

pub(super) fn changed(id: u64) -> Message {
    Message::Cancel(Done { id: FileId(id), failure: Some(Failure::new(Status::Changed, "it changed")) })
}

#[tokio::test]
async fn what_crosses_a_failure_after_the_end_is_dropped_and_the_failure_stands() {
    for third in [true, false] {
        let mut failed = Failed::new(third).await;
        let (peer, next) = (&mut failed.peer, 2 + u64::from(third));
        if !third {
            assert_eq!(peer.hear().await, Some(Message::Settled));
        }
        // What a sender says that has heard of neither failure.
        let problem = Problem { name: b"two".to_vec(), failure: Failure::new(Status::Changed, "it changed") };
        for crossing in [changed(0), header(next, "one", 7), changed(1), Message::Problem(problem)] {
            peer.say(&crossing).await;
        }
        failed.finish_third().await;
        // The connection is as good as before.
        failed.peer.say(&push()).await;
        failed.peer.send_well(0, "well", b"content").await;
        let (field, failures) = failed.leave().await;
        assert_eq!(failures, ["one", "two"], "each once");
        field.honest_client_is_served().await;
    }
}

#[tokio::test]
async fn a_failure_after_the_end_lets_nobody_offer_another_file() {
    let anew = header(3, "one", 7);
    for crossing in [&[][..], &[changed(0), anew.clone()], &[changed(0), changed(1), anew.clone()]] {
        let mut failed = Failed::new(true).await;
        for message in crossing {
            failed.peer.say(message).await;
        }
        failed.peer.say(&header(3 + u64::from(!crossing.is_empty()), "another", 7)).await;
        failed.field.ends_with(&failed.peer, CloseCode::Violation).await;
        assert!(!failed.field.path("another").exists());
    }
}

#[tokio::test]
async fn a_file_that_changes_after_the_end_is_not_offered_for_ever() {
    let often = EARLY_FILES_MAX as u64 * u64::from(OFFERS_MAX - 1);
    for last in [often, often + 1] {
        let field = Field::new();
        let mut peer = field.pushing().await;
        let mut bytes = [frame(&header(0, "x", 5)), frame(&end(1))].concat();
        for id in 0..last {
            bytes.extend(frame(&changed(id)));
            bytes.extend(frame(&header(id + 1, "x", 5)));
        }
        peer.say_bytes(&bytes).await;
        if last > often {
            field.ends_with(&peer, CloseCode::Violation).await;
            continue;
        }
        while peer.hear_pos().await.id != FileId(last) {}
        peer.range(last, 0, b"still").await;
        peer.say(&peer.tail(last, b"still", 1)).await;
        peer.is_done(last).await;
        assert_eq!(peer.hear().await, Some(Message::Settled));
        peer.leave().await;
    }
}

/// A client's next connection offers a file again that its last one, which it does not hear any more, is about to bring to
/// its end.
#[tokio::test]
async fn a_name_is_looked_at_when_whoever_writes_its_part_has_done_so() {
    let field = Field::new();
    let bytes = content(CHUNK + 5);
    field::write(&field.path("x"), b"taken");
    let (mut first, mut second) = (field.greeted().await, field.greeted().await);
    for peer in [&mut first, &mut second] {
        let (to, target, if_exists) = (None, Target::Directory, IfExists::Rename);
        peer.say(&Message::Push(Push { to, target, if_exists, checksum: false, dry_run: false, resume: true })).await;
    }
    let offer = header(0, "x", bytes.len() as u64);
    first.say(&offer).await;
    assert!(matches!(first.hear_pos().await.verdict, Verdict::From { offset: 0, .. }));
    let (mut stream, _reports) = first.begin(0, 0, bytes.len() as u64, &bytes[..CHUNK]).await;
    until("a part", || field.names().iter().any(|name| name.ends_with(".qft-part"))).await;
    second.say(&offer).await;
    stream.write_all(&bytes[CHUNK..]).await.unwrap();
    stream.finish().unwrap();
    first.say(&first.tail(0, &bytes, 1)).await;
    first.is_done(0).await;
    let pos = second.hear_pos().await;
    assert_eq!(pos.verdict, Verdict::Skip(SkipReason::Same), "it is there, and did not step aside twice");
    assert_eq!(fs::read(field.path("x~1")).unwrap(), bytes);
    assert_eq!(field.names(), ["x", "x~1"]);
    first.leave().await;
    second.leave().await;
}
