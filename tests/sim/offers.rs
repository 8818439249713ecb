//! Offers to a receiver alone, one at a time: what becomes of each when one operation of its disk fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::io::Errno;

use super::receiving::{Receiving, Tools};
use super::setup::path;
use crate::digest::{ChunkHasher, SALT_BYTES, Salt};
use crate::progress::Observer;
use crate::protocol::features;
use crate::protocol::message::{Failure, FileId, Header, IfExists, Kind, Message, SkipReason, Tail, Target, Verdict};
use crate::session::budget::{Account, CLIENT_MEMORY_BYTES};
use crate::session::receiver::ReceiveOptions;
use crate::session::record::Record;
use crate::storage::testing::SOME_TIME;
use crate::storage::testing::memory::{
    FileData, ManualClock, MemoryCommitter, MemoryStore, Object, Quirks, UserChange, Volume,
};
use crate::storage::testing::random::Random;
use crate::storage::{Delivered, Durability, Files as _};
use crate::transfer::file::resume::Policy;

/// An offer, and what is there when it comes.
struct Case {
    name: &'static str,
    folds: bool,
    /// What has which name, with which mode.
    there: Option<(&'static str, u32)>,
    offered: &'static str,
    kind: Kind,
}

/// The end of an offer: the verdict, or what became of the file, and the disk then.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    verdict: Result<Option<SkipReason>, Failure>,
    /// It was said that something is not as it was to be.
    is_remarked: bool,
    /// Without times: those of directories are of the moment.
    disk: BTreeMap<String, (Object, u32)>,
}

const ID: FileId = FileId(0);
const MODE: u32 = 0o640;
const OWNER: &str = "ann";

fn cases() -> Vec<Case> {
    let case = |name, folds, there, offered, kind| Case { name, folds, there, offered, kind };
    vec![
        case("a file with another mode", false, Some(("a", 0o600)), "a", Kind::File),
        case("a file that is there", false, Some(("a", MODE)), "a", Kind::File),
        case("a file that is there, on a disk that folds", true, Some(("a", MODE)), "a", Kind::File),
        case("a file in another spelling", true, Some(("A", MODE)), "a", Kind::File),
        case("a new file", false, None, "d/a", Kind::File),
        case("a new file, on a disk that folds", true, None, "d/a", Kind::File),
        case("a new directory", false, None, "d/e", Kind::Dir),
        case("a new link", false, None, "d/l", Kind::Link(b"a".to_vec())),
    ]
}

impl Case {
    /// Runs it on a disk of which the operation after so many others fails so. Also how many there were.
    fn run(&self, failure: Option<(u64, Errno)>) -> (Outcome, u64) {
        let clock = ManualClock::new();
        let volume = Volume::new(Quirks { folds: self.folds, ..Quirks::default() }, clock.clone());
        self.run_on(&volume, clock, None, failure)
    }

    /// The same on that disk; what is delivered is noted there.
    fn run_on(
        &self,
        volume: &Volume,
        clock: ManualClock,
        delivered: Option<Arc<Delivered>>,
        failure: Option<(u64, Errno)>,
    ) -> (Outcome, u64) {
        if let Some((name, mode)) = self.there {
            volume.put(&path(name), FileData::default(), mode);
            volume.change(UserChange::SetTime(path(name), SOME_TIME));
            volume.sync_all();
        }
        let committer = MemoryCommitter::new(Durability::Synced);
        let receiving = receiver(volume, &committer, clock.clone(), delivered);
        // Names of an earlier connection are remembered by nobody, so that the disk is asked.
        receiving.receiver().begin_unsure_of_names();
        let before = volume.operations().0;
        if let Some((others, errno)) = failure {
            volume.fail_after(others, errno);
        }
        let header =
            Header { id: ID, path: path(self.offered), kind: self.kind.clone(), size: 0, mtime: SOME_TIME, mode: MODE };
        receiving.hear(Message::Header(header)).expect("it is honest");
        let (mut verdict, mut is_remarked) = (None, false);
        while verdict.is_none() {
            let mut random = Random::new(1);
            if receiving.steps() > 0 {
                receiving.step(&mut random, None);
            } else if committer.has_work() {
                committer.step(1);
            } else {
                let due = receiving.next_due().expect("it comes to an end");
                clock.advance(due.saturating_sub(clock.since_1970()));
            }
            while let Some(message) = receiving.next_said(|says| says.pop_front()) {
                is_remarked |= matches!(message, Message::Remark(_));
                verdict = heard(&receiving, message).or(verdict);
            }
        }
        volume.heal();
        let disk = volume.look().into_iter().map(|(name, seen)| (name, (seen.object, seen.mode))).collect();
        let outcome = Outcome { verdict: verdict.expect("just seen"), is_remarked, disk };
        (outcome, volume.operations().0 - before)
    }
}

fn heard(receiving: &Receiving, message: Message) -> Option<Result<Option<SkipReason>, Failure>> {
    match message {
        Message::Pos(pos) => match pos.verdict {
            Verdict::Skip(reason) => Some(Ok(Some(reason))),
            Verdict::Refuse(failure) => Some(Err(failure)),
            Verdict::From { .. } => {
                let digest = crate::digest::root([], 0);
                receiving
                    .hear(Message::Tail(Tail { id: ID, root: digest, ranges: 0, early: false }))
                    .expect("it is honest");
                None
            }
        },
        Message::Done(done) => Some(done.failure.map_or(Ok(None), Err)),
        _ => None,
    }
}

fn receiver(
    volume: &Volume,
    committer: &MemoryCommitter,
    clock: ManualClock,
    delivered: Option<Arc<Delivered>>,
) -> Receiving {
    let tools = Tools {
        committer: committer.clone(),
        account: Account::of_one(CLIENT_MEMORY_BYTES),
        hasher: ChunkHasher::new(&Salt([7; SALT_BYTES])),
        record: Record::default(),
        observer: Observer::new().0,
        features: features::ALL,
    };
    let policy = Policy { if_exists: IfExists::Replace, checksum: false, resume: true, blind: false, links: true };
    let options = ReceiveOptions {
        root: MemoryStore::of_new_process(volume),
        to: None,
        target: Target::Directory,
        policy,
        leaves_directories: false,
        dry_run: false,
        tells_plans: true,
        durable: true,
        allows: Box::new(|_, _| Ok(())),
        owner: delivered.is_some().then(|| OWNER.to_owned()),
        delivered,
    };
    Receiving::new(tools, options, clock)
}

/// What became of a case for each of its operations that fails so, with how it ends without.
fn failing(errno: Errno) -> impl Iterator<Item = (String, Outcome, Outcome)> {
    cases().into_iter().flat_map(move |case| {
        let (good, operations) = case.run(None);
        assert!(operations > 0, "{}", case.name);
        let ended = move |others| {
            let name = format!("{}, operation {others}: {errno}", case.name);
            (name, good.clone(), case.run(Some((others, errno))).0)
        };
        (0..operations).map(ended).collect::<Vec<_>>()
    })
}

#[test]
fn what_fails_for_want_of_something_waits_and_ends_as_if_nothing_had_been() {
    for (name, good, ended) in [Errno::MFILE, Errno::NOMEM].into_iter().flat_map(failing) {
        // A link that was made before something failed is there when it is looked for again.
        let is_there = good.verdict == Ok(Some(SkipReason::Made)) && ended.verdict == Ok(Some(SkipReason::Same));
        assert!(is_there || ended.verdict == good.verdict, "{name}: {ended:?} instead of {good:?}");
        assert_eq!(ended.disk, good.disk, "{name}");
    }
}

#[test]
fn what_was_delivered_is_remembered_although_it_could_not_be_looked_at_for_a_while() {
    let case = cases().into_iter().find(|case| case.name == "a new file").expect("one of them");
    let deliver = |failure| {
        let (clock, delivered) = (ManualClock::new(), Arc::<Delivered>::default());
        let volume = Volume::new(Quirks::default(), clock.clone());
        let (outcome, operations) = case.run_on(&volume, clock, Some(delivered.clone()), failure);
        assert_eq!(outcome.verdict, Ok(None));
        let file = MemoryStore::of_new_process(&volume).stat(&path(case.offered)).expect("the disk is good");
        assert!(delivered.is_by(OWNER, &file.expect("it was delivered")), "{failure:?}");
        operations
    };
    let operations = deliver(None);
    for others in 0..operations {
        deliver(Some((others, Errno::MFILE)));
    }
}

#[test]
fn what_the_disk_fails_at_is_called_nothing_that_it_is_not() {
    for (name, good, ended) in failing(Errno::IO) {
        let is_told = ended.verdict.is_err() || ended.is_remarked || ended == good;
        assert!(is_told, "{name}: {ended:?} instead of {good:?}");
    }
}

#[test]
fn a_file_that_may_not_be_opened_keeps_its_mode_and_its_sender_hears_of_it() {
    let case = cases().into_iter().next().expect("the one with another mode");
    let denied = (0..case.run(None).1).map(|others| case.run(Some((others, Errno::ACCESS))).0);
    let kept = denied.filter(|ended| ended.verdict == Ok(Some(SkipReason::Same)));
    assert!(kept.inspect(|ended| assert!(ended.is_remarked, "{ended:?}")).count() > 0);
}
