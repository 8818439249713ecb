//! Two disks, the processes that use them, and the connections between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Fault;
use super::judge::{Judge, Told};
use super::network::Streams;
use super::receiving::{self, Receiving, events};
use super::sending::{self, Sending};
use super::setup::{Client, Setup, User, path, quirks};
use crate::digest::{CHUNK_BYTES, ChunkHasher, SALT_BYTES, Salt};
use crate::keys::Fingerprint;
use crate::progress::{Event, Observer};
use crate::protocol::message::{Message, Target};
use crate::session::budget::{Account, Budget};
use crate::session::receiver::{Delivered, ReceiveOptions};
use crate::session::record::Record;
use crate::storage::Durability;
use crate::storage::testing::memory::{ManualClock, MemoryCommitter, MemoryStore, Volume};
use crate::storage::testing::random::Random;
use crate::transfer::job::offers::OffersOptions;

/// Steps after which a job that nobody disturbs any more has to be over.
const STEPS_MAX: usize = 5000;

/// After so long everything is on its disk, asked for or not.
const WRITTEN_BACK_MILLIS: u64 = 1_000_000;

/// What a server may hold for all its clients.
const SERVER_BYTES: usize = 4 << 20;

/// The one client that a server has.
const CLIENT: Fingerprint = Fingerprint([1; 32]);

/// Commits of one group, at most.
const GROUP_MAX: usize = 4;

/// What happens that nobody has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disturbance {
    Cut,
    Drain,
    ServerKilled,
    ServerWithoutPower,
    ClientKilled,
    ClientWithoutPower,
    SourceChanged,
    TargetChanged,
    SourceFails,
    TargetFails,
    TargetFull,
    TimePasses,
}

impl Disturbance {
    fn draw(random: &mut Random) -> Self {
        random.pick(&[
            Self::Cut,
            Self::Cut,
            Self::Drain,
            Self::ServerKilled,
            Self::ServerWithoutPower,
            Self::ClientKilled,
            Self::ClientWithoutPower,
            Self::SourceChanged,
            Self::SourceChanged,
            Self::SourceChanged,
            Self::TargetChanged,
            Self::SourceFails,
            Self::TargetFails,
            Self::TargetFails,
            Self::TargetFull,
            Self::TimePasses,
        ])
    }
}

/// What worlds have been through.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) jobs: usize,
    pub(super) connections: usize,
    pub(super) steps: usize,
    pub(super) disturbed: BTreeMap<Disturbance, usize>,
    pub(super) told: BTreeMap<&'static str, usize>,
    pub(super) operations: u64,
    pub(super) failed_operations: u64,
    pub(super) mistaken_by_stamp: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.connections += other.connections;
        self.steps += other.steps;
        other.disturbed.into_iter().for_each(|(kind, count)| *self.disturbed.entry(kind).or_default() += count);
        other.told.into_iter().for_each(|(kind, count)| *self.told.entry(kind).or_default() += count);
        self.operations += other.operations;
        self.failed_operations += other.failed_operations;
        self.mistaken_by_stamp += other.mistaken_by_stamp;
    }
}

/// Two trees on two disks, for as many jobs as are run one after the other.
pub(super) struct World {
    random: Random,
    clock: ManualClock,
    user: User,
    source: Volume,
    target: Volume,
    hasher: ChunkHasher,
    judge: Judge,
    fault: Option<Fault>,
    delivered: Arc<Delivered>,
    /// Whether what happens is shown.
    pub(super) is_shown: bool,
    pub(super) tally: Tally,
}

/// The process that receives.
struct ReceivingProcess {
    store: MemoryStore,
    committer: MemoryCommitter,
    budget: Budget,
    /// Receivers of connections that were lost, of which something is still to be done.
    ghosts: Vec<Receiving>,
}

impl Drop for ReceivingProcess {
    fn drop(&mut self) {
        self.committer.abandon();
    }
}

/// Both ends of one connection.
struct Connection {
    sending: Sending,
    receiving: Receiving,
    streams: Streams,
    /// What the server tells of, who knows only this connection.
    server_events: UnboundedReceiver<Event>,
    /// An end is about to stop.
    is_draining: bool,
}

/// One job, over as many connections as it takes.
struct Job {
    setup: Setup,
    record: Record,
    observer: Observer,
    events: UnboundedReceiver<Event>,
    sender: MemoryStore,
    receiver: ReceivingProcess,
    faults_left: usize,
    is_disturbed: bool,
    connections: usize,
    steps: usize,
    full_until: usize,
    /// The process that received is dead, and what it was about to do with it.
    is_restarted: bool,
    /// What the server has told of over the last connection.
    server_told: BTreeMap<String, Told>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Over,
    /// The rest is for the next one.
    Again,
    /// The client is not there any more.
    Gone,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> Self {
        static HASHER: OnceLock<ChunkHasher> = OnceLock::new();
        let hasher = HASHER.get_or_init(|| ChunkHasher::new(&Salt([7; SALT_BYTES]))).clone();
        let (mut random, clock) = (Random::new(seed), ManualClock::new());
        let source = Volume::new(quirks(&mut random), clock.clone());
        let target = Volume::new(quirks(&mut random), clock.clone());
        let mut user = User::new(clock.clone());
        user.make_sources(&source, &mut random);
        if random.percent(60) {
            user.make_target(&source, &target, &mut random);
        }
        let (tally, delivered) = Default::default();
        Self {
            random,
            clock,
            user,
            source,
            target,
            hasher,
            judge: Judge::default(),
            fault,
            delivered,
            is_shown: false,
            tally,
        }
    }

    /// Runs some jobs, as a user does that sends a tree again and again; why something is not what it must be, if it is not.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for _ in 0..1 + self.random.below(3) {
            self.between_jobs();
            let setup = Setup::draw(&mut self.random);
            self.run_job(setup).map_err(|error| format!("{error}\n  {setup:?}"))?;
        }
        let operations = [&self.source, &self.target].map(Volume::operations);
        self.tally.operations = operations.iter().map(|(all, _)| all).sum();
        self.tally.failed_operations = operations.iter().map(|(_, failed)| failed).sum();
        self.tally.mistaken_by_stamp = self.judge.mistaken_by_stamp;
        Ok(())
    }

    /// The user changes some of the tree, and time passes.
    fn between_jobs(&mut self) {
        for _ in 0..self.random.below(3) {
            if let Some(change) = self.user.any_change(&self.source, &mut self.random) {
                self.source.change(change);
            }
        }
        self.source.sync_all();
        self.source.take_changed();
        self.target.take_changed();
        let passes = self.random.pick(&[1, 30, 5000, WRITTEN_BACK_MILLIS]);
        self.clock.advance(Duration::from_millis(passes));
        if passes >= WRITTEN_BACK_MILLIS {
            // A disk writes what is older, whether anybody asks for it or not.
            self.target.sync_all();
        }
    }

    fn run_job(&mut self, setup: Setup) -> Result<(), String> {
        self.judge.begin_job(&setup, &self.source, &self.target);
        self.show(|| format!("a job: {setup:?}\n{:#?}\n{:#?}", self.source.look(), self.target.look()));
        let (observer, events) = Observer::new();
        let mut job = Job {
            setup,
            record: Record::of_job(),
            observer,
            events,
            sender: MemoryStore::of_new_process(&self.source),
            receiver: self.receiving_process(&setup),
            faults_left: setup.faults,
            is_disturbed: false,
            connections: 0,
            steps: 0,
            full_until: 0,
            is_restarted: false,
            server_told: BTreeMap::new(),
        };
        self.tally.jobs += 1;
        loop {
            let mut connection = self.connect(&mut job);
            let end = self.converse(&mut job, &mut connection)?;
            match end {
                End::Over => {
                    self.end_job(&mut job, connection)?;
                    break;
                }
                End::Again if self.fault == Some(Fault::LossTakenForEnd) => {
                    self.end_job(&mut job, connection)?;
                    break;
                }
                End::Again => self.lose(&mut job, connection)?,
                End::Gone => {
                    drop(connection);
                    break;
                }
            }
        }
        self.tally.steps += job.steps;
        self.calm();
        self.listen(&mut job, None)?;
        self.judge.check_names(&setup, &self.target, false)?;
        self.judge.check_kept(&setup, &self.target)?;
        if setup.durable && self.random.percent(30) {
            self.power_cut_at_target(&setup)?;
        }
        for told in self.judge.told.values() {
            let kind = match told {
                Told::Done => "done",
                Told::Skipped(_) => "skipped",
                Told::Planned => "planned",
                Told::Failed => "failed",
            };
            *self.tally.told.entry(kind).or_default() += 1;
        }
        Ok(())
    }

    fn show(&self, what: impl FnOnce() -> String) {
        if self.is_shown {
            println!("{}", what());
        }
    }

    fn receiving_process(&self, setup: &Setup) -> ReceivingProcess {
        let sync = if setup.durable { Durability::Synced } else { Durability::Unsynced };
        ReceivingProcess {
            store: MemoryStore::of_new_process(&self.target),
            committer: MemoryCommitter::new(sync),
            budget: Budget::new(SERVER_BYTES, setup.open_files),
            ghosts: Vec::new(),
        }
    }

    fn connect(&mut self, job: &mut Job) -> Connection {
        let setup = job.setup;
        self.tally.connections += 1;
        job.connections += 1;
        let (server, server_events) = Observer::new();
        let of_server = job.receiver.budget.account(CLIENT);
        let client = || (job.record.clone(), job.observer.clone(), Account::of_one());
        let server = || (Record::default(), server.clone(), of_server.clone());
        let is_sent = setup.client == Client::Sends;
        let (record, observer, account) = if is_sent { client() } else { server() };
        let options = OffersOptions {
            is_dry_run: setup.dry_run,
            is_own_tree: is_sent,
            sends_early: setup.sends_early && job.connections == 1,
        };
        let (clock, hasher, features) = (self.clock.clone(), self.hasher.clone(), setup.features);
        let store = job.sender.clone();
        let tools = sending::Tools { store, clock, account, hasher, record, observer, features, options };
        let names = self.source.look().into_keys().map(|name| path(&name)).collect();
        let sending = Sending::new(tools, names);
        let (record, observer, account) = if is_sent { server() } else { client() };
        let (committer, hasher) = (job.receiver.committer.clone(), self.hasher.clone());
        let tools = receiving::Tools { committer, account, hasher, record, observer, features };
        let receiving = Receiving::new(tools, self.receive_options(job), self.clock.clone());
        if is_sent && job.connections > 1 {
            // The client says in its first message that the job goes on.
            receiving.receiver().begin_unsure_of_names();
        }
        Connection { sending, receiving, streams: Streams::default(), server_events, is_draining: false }
    }

    fn receive_options(&self, job: &Job) -> ReceiveOptions<MemoryStore> {
        let Setup { policy, dry_run, durable, .. } = job.setup;
        ReceiveOptions {
            root: job.receiver.store.clone(),
            to: None,
            target: Target::Directory,
            policy,
            leaves_directories: false,
            dry_run,
            tells_plans: true,
            durable,
            allows: Box::new(|_, _| Ok(())),
            owner: policy.blind.then(|| "ann".to_owned()),
            delivered: policy.blind.then(|| self.delivered.clone()),
        }
    }

    /// One connection, until it is lost or has done its work.
    fn converse(&mut self, job: &mut Job, connection: &mut Connection) -> Result<End, String> {
        let steps_max = job.steps + STEPS_MAX;
        loop {
            job.steps += 1;
            if job.steps > steps_max {
                return Err("it does not come to an end".to_owned());
            }
            if let Some(end) = self.disturb(job, connection)? {
                return Ok(end);
            }
            if job.full_until == job.steps {
                self.target.set_capacity(u64::MAX);
            }
            let has_stepped = self.step(job, connection)?;
            self.listen(job, Some(connection))?;
            let is_over = match job.setup.client {
                Client::Sends => connection.sending.is_over,
                Client::Receives => connection.receiving.is_finished(),
            };
            if is_over {
                let is_left = connection.is_draining
                    && (job.setup.client == Client::Receives || connection.sending.ledger.has_left_out());
                return Ok(if is_left { End::Again } else { End::Over });
            }
            if !has_stepped && !self.wait(job, connection) {
                return Err("both ends wait for each other".to_owned());
            }
        }
    }

    /// Lets time pass until somebody's wait is over; false when nobody waits for time.
    fn wait(&self, job: &Job, connection: &Connection) -> bool {
        let ghosts = job.receiver.ghosts.iter().filter_map(Receiving::next_due);
        let both = [connection.sending.next_due(), connection.receiving.next_due()];
        let Some(due) = both.into_iter().flatten().chain(ghosts).min() else { return false };
        self.clock.advance(due.saturating_sub(self.clock.since_1970()));
        true
    }

    /// One step of either end, or of the network; `false`: there is none to take.
    fn step(&mut self, job: &Job, connection: &mut Connection) -> Result<bool, String> {
        let Connection { sending, receiving, streams, .. } = connection;
        streams.take_back();
        let readable = receiving.readable(streams);
        let has_room = receiving.receiver().has_room_for_an_offer();
        let ghosts: usize = job.receiver.ghosts.iter().map(Receiving::steps).sum();
        let weights = [
            sending.steps(),
            receiving.steps(),
            usize::from(!sending.says.is_empty() && has_room),
            usize::from(receiving.has_said()),
            readable.len(),
            usize::from(job.receiver.committer.has_work()),
            ghosts,
        ];
        let all: usize = weights.iter().sum();
        if all == 0 {
            return Ok(false);
        }
        if self.random.percent(20) {
            self.clock.advance(Duration::from_micros(self.random.below(8000) as u64));
        }
        let mut chosen = self.random.below(all);
        let which = weights.iter().position(|weight| {
            let is_it = chosen < *weight;
            chosen = chosen.saturating_sub(*weight);
            is_it
        });
        let (random, fault) = (&mut self.random, self.fault);
        let lies = |error: &dyn std::fmt::Display| format!("an honest end is called a liar: {error}");
        match which {
            Some(0) => sending.step(random, streams, fault),
            Some(1) => receiving.step(random, fault),
            Some(2) => {
                if let Some(message) = next_message(&mut sending.says, random, fault) {
                    show(self.is_shown, "receiver hears", &message);
                    receiving.hear(message).map_err(|error| lies(&error))?;
                }
            }
            Some(3) => match receiving.next_said(|says| next_message(says, random, fault)) {
                Some(Message::GoAway) => sending.stop(),
                Some(message) => {
                    show(self.is_shown, "sender hears", &message);
                    sending.hear(message).map_err(|error| lies(&error))?;
                }
                None => {}
            },
            Some(4) => {
                let number = readable[random.below(readable.len())];
                receiving.read(number, random, streams).map_err(|error| lies(&error))?;
            }
            Some(5) => job.receiver.committer.step(1 + random.below(GROUP_MAX)),
            _ => {
                let with_work = job.receiver.ghosts.iter().find(|ghost| ghost.steps() > 0);
                with_work.into_iter().for_each(|ghost| ghost.step(random, None));
            }
        }
        Ok(true)
    }

    /// Something that nobody has asked for happens, now and then.
    fn disturb(&mut self, job: &mut Job, connection: &mut Connection) -> Result<Option<End>, String> {
        if job.faults_left == 0 || !self.random.percent(job.setup.fault_percent) {
            return Ok(None);
        }
        job.faults_left -= 1;
        let what = Disturbance::draw(&mut self.random);
        *self.tally.disturbed.entry(what).or_default() += 1;
        self.show(|| format!("{}: {what:?}", job.steps));
        job.is_disturbed |= what != Disturbance::TimePasses;
        let is_sent = job.setup.client == Client::Sends;
        match what {
            Disturbance::Cut => return Ok(Some(End::Again)),
            Disturbance::Drain => drain(job, connection),
            Disturbance::ServerKilled if is_sent => self.restart_receiver(job, false)?,
            Disturbance::ServerWithoutPower if is_sent => self.restart_receiver(job, true)?,
            Disturbance::ServerKilled | Disturbance::ServerWithoutPower => {
                job.sender = MemoryStore::of_new_process(&self.source);
                return Ok(Some(End::Again));
            }
            Disturbance::ClientKilled => return Ok(Some(End::Gone)),
            Disturbance::ClientWithoutPower => {
                if !is_sent {
                    self.power_cut_at_target(&job.setup)?;
                }
                return Ok(Some(End::Gone));
            }
            Disturbance::SourceChanged => {
                if let Some(change) = self.user.any_change(&self.source, &mut self.random) {
                    self.source.change_after(self.random.below(6) as u64, change);
                }
            }
            Disturbance::TargetChanged => {
                if let Some(change) = self.user.any_change(&self.target, &mut self.random) {
                    self.target.change_after(self.random.below(6) as u64, change);
                }
            }
            Disturbance::SourceFails => {
                let errno = self.random.pick(&[Errno::IO, Errno::ACCESS, Errno::MFILE]);
                self.source.fail_after(self.random.below(6) as u64, errno);
            }
            Disturbance::TargetFails => {
                let errno = self.random.pick(&[Errno::IO, Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::DQUOT]);
                self.target.fail_after(self.random.below(12) as u64, errno);
            }
            Disturbance::TargetFull => {
                self.target.set_capacity(self.target.filled() + self.random.below(3) as u64 * CHUNK_BYTES);
                job.full_until = job.steps + 1 + self.random.below(60);
            }
            Disturbance::TimePasses => self.clock.advance(Duration::from_millis(self.random.below(4000) as u64)),
        }
        let is_restart = matches!(what, Disturbance::ServerKilled | Disturbance::ServerWithoutPower);
        Ok(is_restart.then_some(End::Again))
    }

    /// The server that receives dies, and another process takes its place.
    fn restart_receiver(&mut self, job: &mut Job, without_power: bool) -> Result<(), String> {
        if without_power {
            self.power_cut_at_target(&job.setup)?;
        }
        job.receiver = self.receiving_process(&job.setup);
        job.is_restarted = true;
        self.delivered = Arc::default();
        Ok(())
    }

    fn power_cut_at_target(&mut self, setup: &Setup) -> Result<(), String> {
        self.note_changes();
        self.target.cut_power(&mut self.random);
        self.show(|| format!("without power: {:#?}", self.target.look()));
        self.judge.check_names(setup, &self.target, true)
    }

    /// The connection is lost. What the disk was told to do is done still, or some of it.
    fn lose(&mut self, job: &mut Job, connection: Connection) -> Result<(), String> {
        let Connection { sending, mut receiving, server_events, .. } = connection;
        drop((sending, server_events));
        if std::mem::take(&mut job.is_restarted) {
            drop(receiving);
        } else {
            receiving.lose();
            if self.random.percent(50) {
                receiving.forget_some(&mut self.random);
            }
            // The committer may have an answer for it still.
            job.receiver.ghosts.push(receiving);
        }
        self.listen(job, None)?;
        if self.fault == Some(Fault::NothingRemembered) {
            job.record = Record::of_job();
        }
        job.record.on_connection_lost();
        job.server_told.clear();
        Ok(())
    }

    /// Whatever was wrong is not any more.
    fn calm(&self) {
        for volume in [&self.source, &self.target] {
            volume.heal();
            volume.forget_changes();
        }
        self.target.set_capacity(u64::MAX);
    }

    fn note_changes(&mut self) {
        for (at, seen) in self.source.take_changed() {
            self.show(|| format!("source {at}: {seen:?}"));
            self.judge.source_changed(&at.to_string(), seen);
        }
        for (at, seen) in self.target.take_changed() {
            self.show(|| format!("target {at}: {seen:?}"));
            self.judge.target_changed(&at.to_string(), seen);
        }
    }

    /// What is told at either end is looked at.
    fn listen(&mut self, job: &mut Job, connection: Option<&mut Connection>) -> Result<(), String> {
        self.note_changes();
        for event in events(&mut job.events) {
            self.show(|| format!("client: {event:?}"));
            self.judge.hear(&event, true, &job.setup, &self.target)?;
        }
        let Some(connection) = connection else { return Ok(()) };
        let of_server = events(&mut connection.server_events);
        for event in of_server {
            self.show(|| format!("server: {event:?}"));
            // A server that sends knows what it was told; one that receives, what it has done.
            self.judge.hear(&event, false, &job.setup, &self.target)?;
            if let Some((name, told)) = outcome(&event) {
                job.server_told.insert(name, told);
            }
        }
        Ok(())
    }

    /// The job is over. Whatever was begun is done, and leaves nothing behind.
    fn end_job(&mut self, job: &mut Job, mut connection: Connection) -> Result<(), String> {
        let setup = job.setup;
        self.calm();
        // A server that sends hears the last words, too.
        while let Some(message) = connection.receiving.next_said(VecDeque::pop_front) {
            connection.sending.hear(message).map_err(|error| format!("the last words are none: {error}"))?;
        }
        self.listen(job, Some(&mut connection))?;
        if !job.is_disturbed && job.connections == 1 {
            self.judge.check_undisturbed(&setup, &self.target, &job.server_told)?;
        }
        let mut receivers = std::mem::take(&mut job.receiver.ghosts);
        receivers.push(connection.receiving);
        drop(connection.sending);
        let is_done = |receivers: &[Receiving], committer: &MemoryCommitter| {
            let has_work = |receiver: &Receiving| receiver.steps() > 0 || receiver.next_due().is_some();
            !committer.has_work() && !receivers.iter().any(has_work)
        };
        for _ in 0..STEPS_MAX {
            if is_done(&receivers, &job.receiver.committer) {
                break;
            }
            job.receiver.committer.step(GROUP_MAX);
            receivers.iter().for_each(|receiver| receiver.step(&mut self.random, None));
            self.clock.advance(Duration::from_millis(50));
        }
        if !is_done(&receivers, &job.receiver.committer) {
            return Err("something is done without end after the job".to_owned());
        }
        drop(receivers);
        self.listen(job, None)?;
        self.judge.check_end(&setup, &self.target, job.observer.counters())?;
        if self.target.locked() > 0 {
            return Err("a part is locked that nobody writes".to_owned());
        }
        if job.receiver.budget.free() != SERVER_BYTES {
            return Err(format!("{} bytes are held for nobody", SERVER_BYTES - job.receiver.budget.free()));
        }
        Ok(())
    }
}

fn show(is_shown: bool, who: &str, message: &Message) {
    if is_shown {
        println!("{who} {message:?}");
    }
}

/// The server is about to stop.
fn drain(job: &Job, connection: &mut Connection) {
    connection.is_draining = true;
    match job.setup.client {
        Client::Sends => {
            connection.receiving.receiver().refuse_new();
            connection.receiving.say(Message::GoAway);
        }
        Client::Receives => {
            connection.sending.says.push_back(Message::GoAway);
            connection.sending.stop();
        }
    }
}

fn outcome(event: &Event) -> Option<(String, Told)> {
    Some(match event {
        Event::Finished { file } => (file.path.clone(), Told::Done),
        Event::Skipped { path, reason, .. } => (path.clone(), Told::Skipped(*reason)),
        Event::Planned { path, .. } => (path.clone(), Told::Planned),
        Event::Failed { path, .. } => (path.clone(), Told::Failed),
        _ => return None,
    })
}

/// The next message that comes, of those that were said.
fn next_message(says: &mut VecDeque<Message>, random: &mut Random, fault: Option<Fault>) -> Option<Message> {
    match fault {
        Some(Fault::ControlOutOfOrder) if random.percent(20) => says.pop_back(),
        Some(Fault::MessageTwice) if random.percent(5) => says.front().cloned(),
        Some(Fault::MessageLost) if random.percent(5) => {
            says.pop_front();
            None
        }
        _ => says.pop_front(),
    }
}
