//! The ledgers alone: both of them, a sender's files, a receiver's disk and a network between them, in one thread without a
//! clock. Which step comes next is drawn from a seed, so a run can be replayed.
//!
//! The network hands over control messages in order, and data streams in any; it is cut at any step. Either end is about
//! to stop at any step, a source changes at any step, a disk refuses a write. What the disk had of partial files may be
//! anything: it is never trusted. After each job is looked at what must hold whatever happened ([`Job::judge`]).
//!
//! More jobs than the tests run: `QFT_SIM_JOBS=1000000 cargo test --lib job::ledgers`; one again: `QFT_SIM_SEED=17`.

mod content;
mod network;
mod receiving;
mod sending;

use std::collections::BTreeMap;

use self::content::{Content, Disk, Sources};
use self::network::Streams;
use self::random::Random;
use self::receiving::Receiving;
use self::sending::{Sending, Told};
use crate::broken::BreakableRule;
use crate::protocol::features;
use crate::protocol::message::Message;
use crate::storage::testing::random;
use crate::transfer::job::JobError;
use crate::transfer::job::settled::{NameOutcome, Settled};

/// Jobs that an ordinary run of the tests simulates.
const JOBS: u64 = 3000;

/// Jobs among which is one whose two ends change their minds about one file at the same time, after the end.
const RARE_JOBS: u64 = 5 * JOBS;

/// Steps after which a job that nobody disturbs any more has to be over.
const STEPS_MAX: usize = 20_000;

/// A rule that is broken on purpose, to see that it is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Neither end compares what was there.
    DigestNotCompared,
    /// The receiver says `Done` and has committed nothing.
    DoneBeforeCommit,
    /// The sender closes a file whose source changed while it was sent.
    SourceNotLookedAtAgain,
    /// Messages overtake each other.
    ControlOutOfOrder,
    /// A message is lost.
    MessageLost,
    /// A message is said twice.
    MessageTwice,
    /// Nothing is remembered over a lost connection.
    NothingRemembered,
    /// What failed counts as done.
    FailedCountsAsDone,
    /// What is found again counts as new.
    SettledTwice,
    /// Chunks that came are not written.
    ChunkNotWritten,
    /// The end of the walk is not said.
    EndForgotten,
    /// The job is called over when the connection is lost.
    LossTakenForEnd,
}

/// What may go wrong in a step.
#[derive(Debug, Clone, Copy)]
struct Hazard {
    /// Reads and writes of a hundred that fail.
    failing: usize,
    broken: Option<Fault>,
}

/// Who the client is: it keeps what the job has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Sends,
    Receives,
}

/// One job, over as many connections as it takes.
struct Job {
    random: Random,
    client: Client,
    is_checked: bool,
    sources: Sources,
    disk: Disk,
    settled: Settled,
    /// What the client has told its user of each name.
    outcomes: BTreeMap<String, Vec<Told>>,
    /// What may still be disturbed.
    faults_left: usize,
    has_disturbed: bool,
    failing: usize,
    /// All files are small, change often and are there in part: what is sent early is compared after all.
    is_restless: bool,
    broken: Option<Fault>,
    seen: Seen,
}

/// What a job has been through.
#[derive(Debug, Default)]
struct Seen {
    steps: usize,
    cuts: usize,
    drains: usize,
    changes: usize,
    failures: usize,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.cuts += other.cuts;
        self.drains += other.drains;
        self.changes += other.changes;
        self.failures += other.failures;
    }
}

/// Both ends of one connection.
struct Connection {
    sending: Sending,
    receiving: Receiving,
    streams: Streams,
    /// An end is about to stop.
    is_draining: bool,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Over,
    /// The rest is for the next one.
    Again,
}

impl Job {
    fn new(seed: u64, broken: Option<Fault>) -> Self {
        let mut random = Random::new(seed);
        let is_restless = random.percent(40);
        let any = if is_restless { Content::small } else { Content::any };
        let names = ["a", "b", "c", "d", "e", "f"];
        let count = 1 + random.below(if is_restless { 2 } else { names.len() });
        let sources: Sources = names[..count].iter().map(|name| ((*name).to_owned(), vec![any(&mut random)])).collect();
        let mut disk = Disk::default();
        for (name, versions) in &sources {
            if random.percent(30) {
                let old = if random.percent(50) { versions[0].clone() } else { any(&mut random) };
                // Of another time than the source, which is told apart by nothing else.
                disk.files.insert(name.clone(), (old, random.below(2) as i64));
            }
            if random.percent(if is_restless { 70 } else { 30 }) {
                let part = if is_restless { Content::part } else { Content::any };
                disk.parts.insert(name.clone(), part(&mut random));
            }
        }
        // A file of the same size and time is taken for the same, which it is.
        for (name, (content, secs)) in &mut disk.files {
            if *secs == 1 {
                *content = sources[name][0].clone();
            }
        }
        let client = if random.percent(50) { Client::Sends } else { Client::Receives };
        let is_checked = random.percent(20);
        let (faults_left, failing) = if is_restless { (random.below(12), 15) } else { (random.below(6), 1) };
        let (settled, outcomes) = Default::default();
        let has_disturbed = false;
        Self {
            random,
            client,
            is_checked,
            sources,
            disk,
            settled,
            outcomes,
            faults_left,
            has_disturbed,
            failing,
            is_restless,
            broken,
            seen: Seen::default(),
        }
    }

    /// Runs it to its end; why it is not what it must be, if it is not.
    fn run(&mut self) -> Result<(), String> {
        for attempt in 0.. {
            let sends_early = attempt == 0 && self.random.percent(70) && !self.is_checked;
            let known = if self.random.percent(80) { features::ALL } else { features::NONE };
            let mut connection = Connection {
                sending: Sending::new(&self.sources, sends_early, known),
                receiving: Receiving::new(self.is_checked, known),
                streams: Streams::default(),
                is_draining: false,
            };
            let end = self.converse(&mut connection)?;
            if end == End::Over || self.broken == Some(Fault::LossTakenForEnd) {
                return self.judge(&connection);
            }
            self.lose(&mut connection)?;
        }
        unreachable!("a job ends, or has taken too many steps")
    }

    /// One connection, until it is lost or has done its work.
    fn converse(&mut self, connection: &mut Connection) -> Result<End, String> {
        loop {
            self.seen.steps += 1;
            if self.seen.steps > STEPS_MAX {
                return Err("it does not come to an end".to_owned());
            }
            if let Some(end) = self.disturb(connection) {
                return Ok(end);
            }
            let is_idle = !self.step(connection).map_err(|error| format!("an honest end is called a liar: {error}"))?;
            self.listen(connection)?;
            let is_over = match self.client {
                Client::Sends => connection.sending.is_over,
                Client::Receives => connection.receiving.is_over,
            };
            if is_over {
                let is_left = connection.is_draining
                    && (self.client == Client::Receives || connection.sending.ledger.has_left_out());
                return Ok(if is_left { End::Again } else { End::Over });
            }
            if is_idle {
                return Err("both ends wait for each other".to_owned());
            }
        }
    }

    /// Something that nobody has asked for happens, now and then.
    fn disturb(&mut self, connection: &mut Connection) -> Option<End> {
        if self.faults_left == 0 || !self.random.percent(if self.is_restless { 8 } else { 2 }) {
            return None;
        }
        self.faults_left -= 1;
        self.has_disturbed = true;
        match self.random.below(if self.is_restless { 12 } else { 4 }) {
            0 => {
                self.seen.cuts += 1;
                return Some(End::Again);
            }
            1 => {
                self.seen.drains += 1;
                connection.is_draining = true;
                match self.client {
                    // The server is what stops.
                    Client::Sends => {
                        connection.receiving.ledger.drain();
                        connection.receiving.says.push_back(Message::GoAway);
                    }
                    Client::Receives => {
                        connection.sending.says.push_back(Message::GoAway);
                        connection.sending.stop();
                    }
                }
            }
            _ => {
                self.seen.changes += 1;
                let names: Vec<_> = self.sources.keys().cloned().collect();
                let name = &names[self.random.below(names.len())];
                let content = if self.is_restless { Content::small } else { Content::any }(&mut self.random);
                self.sources.get_mut(name).expect("it is one of them").push(content);
            }
        }
        None
    }

    /// One step of either end, or of the network; `false`: there is none to take.
    fn step(&mut self, connection: &mut Connection) -> Result<bool, JobError> {
        let Connection { sending, receiving, streams, .. } = connection;
        streams.take_back();
        let readable = receiving.readable(streams);
        let weights = [
            sending.steps(),
            receiving.steps(),
            usize::from(!sending.says.is_empty()),
            usize::from(!receiving.says.is_empty()),
            readable.len(),
        ];
        let all: usize = weights.iter().sum();
        if all == 0 {
            return Ok(false);
        }
        let mut chosen = self.random.below(all);
        let which = weights.iter().position(|weight| {
            let is_it = chosen < *weight;
            chosen = chosen.saturating_sub(*weight);
            is_it
        });
        let hazard = Hazard { failing: self.failing, broken: self.broken };
        let random = &mut self.random;
        match which {
            Some(0) => {
                let settled = (self.client == Client::Sends).then_some(&mut self.settled);
                sending.step(random, &self.sources, streams, settled, hazard);
            }
            Some(1) => {
                let settled = (self.client == Client::Receives).then_some(&mut self.settled);
                receiving.step(random, &mut self.disk, settled, hazard);
            }
            Some(2) => {
                if let Some(message) = next_message(&mut sending.says, random, self.broken) {
                    receiving.hear(message)?;
                }
            }
            Some(3) => {
                if let Some(mut message) = next_message(&mut receiving.says, random, self.broken) {
                    if let (Message::Have(have), Some(Fault::DigestNotCompared)) = (&mut message, self.broken)
                        && let Some(name) = sending.ledger.name(have.id)
                    {
                        let own = self.sources[&name].last().expect("each has one");
                        have.digests = (have.first..).take(have.digests.len()).map(|index| own.digest(index)).collect();
                    }
                    sending.hear(message)?;
                }
            }
            _ => {
                let number = readable[random.below(readable.len())];
                receiving.read(number, random, streams)?;
                receiving.carry_out();
            }
        }
        Ok(true)
    }

    /// What the client's ledger reports is told to the user, each name once.
    fn listen(&mut self, connection: &mut Connection) -> Result<(), String> {
        let told = match self.client {
            Client::Sends => &mut connection.sending.told,
            Client::Receives => &mut connection.receiving.told,
        };
        for told in told.drain(..) {
            let (name, outcome) = match &told {
                Told::Done(name) | Told::Skipped(name) => (name, NameOutcome::Done),
                Told::Failed(name, _) => (name, NameOutcome::Failed),
            };
            let outcome = if self.broken == Some(Fault::FailedCountsAsDone) { NameOutcome::Done } else { outcome };
            self.seen.failures += usize::from(outcome == NameOutcome::Failed);
            let is_news = self.settled.settle(name.as_bytes(), outcome);
            if let Told::Done(name) | Told::Skipped(name) = &told
                && !self.sources[name]
                    .iter()
                    .any(|version| self.disk.files.get(name).is_some_and(|(file, _)| file == version))
            {
                return Err(format!("{name} is said to be there, and is not"));
            }
            if is_news || self.broken == Some(Fault::SettledTwice) {
                self.outcomes.entry(name.clone()).or_default().push(told.clone());
            }
        }
        Ok(())
    }

    fn lose(&mut self, connection: &mut Connection) -> Result<(), String> {
        connection.receiving.lose(&mut self.random, &mut self.disk);
        // What a thread of the lost connection has still to say of it is told.
        self.listen(connection)?;
        match self.broken {
            Some(Fault::NothingRemembered) => self.settled = Settled::default(),
            _ => self.settled.on_connection_lost(),
        }
        Ok(())
    }

    /// What must hold at the end.
    fn judge(&self, connection: &Connection) -> Result<(), String> {
        for (name, versions) in &self.sources {
            let outcomes = self.outcomes.get(name).map(Vec::as_slice).unwrap_or_default();
            let [outcome] = outcomes else { return Err(format!("{name} was told of {outcomes:?}")) };
            let file = self.disk.files.get(name);
            let is_version = file.is_some_and(|(file, _)| versions.contains(file));
            match outcome {
                Told::Done(_) | Told::Skipped(_) if !is_version => {
                    return Err(format!("{name} was told of {outcome:?}, and is {file:?}"));
                }
                _ => {}
            }
        }
        // A server tells of one connection, and of a name that failed and was offered again both.
        if self.client == Client::Sends && !self.has_disturbed {
            let last = |told: &Told| match told {
                Told::Done(name) | Told::Skipped(name) | Told::Failed(name, _) => (name.clone(), told.clone()),
            };
            let there: BTreeMap<_, _> = connection.receiving.told.iter().map(last).collect();
            let here: BTreeMap<_, _> = self.outcomes.values().flatten().map(last).collect();
            if here != there {
                return Err(format!("one end tells of {here:?}, the other of {there:?}"));
            }
        }
        Ok(())
    }
}

/// The next message that comes, of those that were said.
fn next_message(
    says: &mut std::collections::VecDeque<Message>,
    random: &mut Random,
    broken: Option<Fault>,
) -> Option<Message> {
    match broken {
        Some(Fault::ControlOutOfOrder) if random.percent(20) => says.pop_back(),
        Some(Fault::MessageTwice) if random.percent(5) => says.front().cloned(),
        Some(Fault::MessageLost) if random.percent(5) => {
            says.pop_front();
            None
        }
        Some(Fault::EndForgotten) if matches!(says.front(), Some(Message::End(_))) => {
            says.pop_front();
            None
        }
        _ => says.pop_front(),
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn whatever_happens_nothing_is_lost_forgotten_or_told_twice() {
    if let Some(seed) = number_from("QFT_SIM_SEED") {
        Job::new(seed, None).run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        return;
    }
    let (jobs, mut seen) = (number_from("QFT_SIM_JOBS").unwrap_or(JOBS), Seen::default());
    for seed in 0..jobs {
        let mut job = Job::new(seed, None);
        job.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        seen.add(&job.seen);
    }
    println!("{jobs} jobs: {seen:?}");
}

/// The first of so many jobs that is not what it must be, and why.
fn first_found(jobs: u64, broken: Option<Fault>) -> Option<(u64, String)> {
    (0..jobs).find_map(|seed| Some((seed, Job::new(seed, broken).run().err()?)))
}

#[test]
fn each_broken_rule_of_the_ledgers_is_found_out() {
    for rule in [
        BreakableRule::CrossedOfferIsDropped,
        BreakableRule::FailureIsOfBothOffers,
        BreakableRule::ReofferIsAwaited,
        BreakableRule::FilesAreAwaited,
        BreakableRule::EarlyTailIsOfWholeFile,
        BreakableRule::DigestsAreSaid,
    ] {
        BreakableRule::set_broken(Some(rule));
        let found = first_found(RARE_JOBS, None);
        BreakableRule::set_broken(None);
        let Some((seed, error)) = found else { panic!("{rule:?} is not found out") };
        println!("{rule:?}: seed {seed}: {error}");
    }
}

#[test]
fn each_broken_rule_of_what_carries_out_is_found_out() {
    for fault in [
        Fault::DigestNotCompared,
        Fault::DoneBeforeCommit,
        Fault::SourceNotLookedAtAgain,
        Fault::ControlOutOfOrder,
        Fault::MessageLost,
        Fault::MessageTwice,
        Fault::NothingRemembered,
        Fault::FailedCountsAsDone,
        Fault::SettledTwice,
        Fault::ChunkNotWritten,
        Fault::EndForgotten,
        Fault::LossTakenForEnd,
    ] {
        let Some((seed, error)) = first_found(JOBS, Some(fault)) else { panic!("{fault:?} is not found out") };
        println!("{fault:?}: seed {seed}: {error}");
    }
}
