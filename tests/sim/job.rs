//! One job, over as many connections as it takes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::Fault;
use super::connection::{Connection, End, GROUP_MAX};
use super::disturbance::Disturbance;
use super::process::ReceivingProcess;
use super::receiving::{self, Receiving, events};
use super::sending::{self, Sending};
use super::setup::{Client, Setup, path};
use super::told::Told;
use super::world::World;
use crate::keys::Fingerprint;
use crate::progress::{Event, Observer};
use crate::protocol::message::Target;
use crate::session::budget::{Account, CLIENT_MEMORY_BYTES};
use crate::session::receiver::ReceiveOptions;
use crate::session::record::Record;
use crate::storage::testing::memory::{MemoryStore, Object, Seen};
use crate::transfer::job::offers::OffersOptions;

/// Steps after which a job that nobody disturbs any more has to be over.
const STEPS_MAX: usize = 5000;

/// The one client that a server has.
const CLIENT: Fingerprint = Fingerprint([1; 32]);

pub(super) struct Job {
    pub(super) setup: Setup,
    record: Record,
    pub(super) observer: Observer,
    events: UnboundedReceiver<Event>,
    pub(super) sender: MemoryStore,
    receiver: ReceivingProcess,
    faults_left: usize,
    is_disturbed: bool,
    connections: usize,
    pub(super) steps: usize,
    /// The step at which a full disk has room again.
    pub(super) full_until: usize,
    /// The process that received is dead, and what it was about to do with it.
    is_restarted: bool,
    /// What the server has told of over the last connection.
    server_told: BTreeMap<String, Told>,
    /// It was remarked that nobody finds by its path where the files went.
    is_misplaced: bool,
}

impl Job {
    pub(super) fn new(world: &World, setup: Setup) -> Self {
        let (observer, events) = Observer::new();
        Self {
            setup,
            record: Record::of_job(),
            observer,
            events,
            sender: MemoryStore::of_new_process(&world.source),
            receiver: ReceivingProcess::new(&world.target, &setup),
            faults_left: setup.faults,
            is_disturbed: false,
            connections: 0,
            steps: 0,
            full_until: 0,
            is_restarted: false,
            server_told: BTreeMap::new(),
            is_misplaced: false,
        }
    }

    /// Runs it to its end, or to that of the client.
    pub(super) fn run(&mut self, world: &mut World) -> Result<(), String> {
        loop {
            let mut connection = self.connect(world);
            match self.converse(world, &mut connection)? {
                End::Over => return self.end(world, connection),
                End::Again if world.scheduler.fault == Some(Fault::LossTakenForEnd) => {
                    return self.end(world, connection);
                }
                End::Again => self.lose(world, connection)?,
                End::Gone => return Ok(()),
            }
        }
    }

    fn connect(&mut self, world: &mut World) -> Connection {
        let setup = self.setup;
        world.tally.connections += 1;
        self.connections += 1;
        let (server, server_events) = Observer::new();
        let of_server = self.receiver.budget.account(CLIENT);
        let client = || (self.record.of_connection(), self.observer.clone(), Account::of_one(CLIENT_MEMORY_BYTES));
        let server = || (Record::default(), server.clone(), of_server.clone());
        let is_sent = setup.client == Client::Sends;
        let (record, observer, account) = if is_sent { client() } else { server() };
        let options = OffersOptions {
            is_dry_run: setup.dry_run,
            is_own_tree: is_sent,
            sends_early: setup.sends_early && self.connections == 1,
        };
        let (clock, hasher, features) = (world.scheduler.clock.clone(), world.hasher.clone(), setup.features);
        let store = self.sender.clone();
        let tools = sending::Tools { store, clock, account, hasher, record, observer, features, options };
        let is_offered = |seen: &Seen| !(setup.dirs_are_not_offered && matches!(seen.object, Object::Dir(_)));
        let all = world.source.look().into_iter();
        let names = all.filter(|(_, seen)| is_offered(seen)).map(|(name, _)| path(&name)).collect();
        let sending = Sending::new(tools, names);
        let (record, observer, account) = if is_sent { server() } else { client() };
        let (committer, hasher) = (self.receiver.committer.clone(), world.hasher.clone());
        let tools = receiving::Tools { committer, account, hasher, record, observer, features };
        let receiving = Receiving::new(tools, self.receive_options(world), world.scheduler.clock.clone());
        if is_sent && self.connections > 1 {
            // The client says in its first message that the job goes on.
            receiving.receiver().begin_unsure_of_names();
        }
        Connection::new(sending, receiving, server_events)
    }

    fn receive_options(&self, world: &World) -> ReceiveOptions<MemoryStore> {
        let Setup { policy, dry_run, durable, .. } = self.setup;
        ReceiveOptions {
            root: self.receiver.store.clone(),
            to: None,
            target: Target::Directory,
            policy,
            leaves_directories: false,
            dry_run,
            tells_plans: true,
            durable,
            allows: Box::new(|_, _| Ok(())),
            owner: policy.blind.then(|| "ann".to_owned()),
            delivered: policy.blind.then(|| world.delivered.clone()),
        }
    }

    /// One connection, until it is lost or has done its work.
    fn converse(&mut self, world: &mut World, connection: &mut Connection) -> Result<End, String> {
        let steps_max = self.steps + STEPS_MAX;
        loop {
            self.steps += 1;
            if self.steps > steps_max {
                return Err("it does not come to an end".to_owned());
            }
            if let Some(end) = self.disturb(world, connection)? {
                return Ok(end);
            }
            if self.full_until == self.steps {
                world.target.set_capacity(u64::MAX);
            }
            let has_stepped = connection.step(&self.receiver, &mut world.scheduler)?;
            self.listen(world, Some(connection))?;
            if let Some(end) = connection.end(self.setup.client) {
                return Ok(end);
            }
            if !has_stepped && !self.wait(world, connection) {
                return Err("both ends wait for each other".to_owned());
            }
        }
    }

    /// Lets time pass until somebody's wait is over; false when nobody waits for time.
    fn wait(&self, world: &World, connection: &Connection) -> bool {
        let clock = &world.scheduler.clock;
        let ghosts = self.receiver.ghosts.iter().filter_map(Receiving::next_due);
        let both = [connection.sending.next_due(), connection.receiving.next_due()];
        let Some(due) = both.into_iter().flatten().chain(ghosts).min() else { return false };
        clock.advance(due.saturating_sub(clock.since_1970()));
        true
    }

    /// Something that nobody has asked for happens, now and then.
    fn disturb(&mut self, world: &mut World, connection: &mut Connection) -> Result<Option<End>, String> {
        let scheduler = &mut world.scheduler;
        if self.faults_left == 0 || !scheduler.random.percent(self.setup.fault_percent) {
            return Ok(None);
        }
        self.faults_left -= 1;
        let what = Disturbance::draw(world.workload, &mut scheduler.random);
        scheduler.show(|| format!("{}: {what:?}", self.steps));
        *world.tally.disturbed.entry(what).or_default() += 1;
        self.is_disturbed |= what != Disturbance::TimePasses;
        what.happen(world, self, connection)
    }

    /// The server that receives dies, and another process takes its place.
    pub(super) fn restart_receiver(&mut self, world: &mut World, without_power: bool) -> Result<(), String> {
        if without_power {
            world.cut_power_at_target(&self.setup)?;
        }
        self.receiver = ReceivingProcess::new(&world.target, &self.setup);
        self.is_restarted = true;
        world.delivered = Default::default();
        Ok(())
    }

    /// The connection is lost. What the disk was told to do is done still, or some of it.
    fn lose(&mut self, world: &mut World, connection: Connection) -> Result<(), String> {
        let Connection { sending, mut receiving, server_events, .. } = connection;
        drop((sending, server_events));
        if std::mem::take(&mut self.is_restarted) {
            drop(receiving);
        } else {
            receiving.lose();
            if world.scheduler.random.percent(50) {
                receiving.forget_some(&mut world.scheduler.random);
            }
            // The committer may have an answer for it still.
            self.receiver.ghosts.push(receiving);
        }
        self.listen(world, None)?;
        if world.scheduler.fault == Some(Fault::NothingRemembered) {
            self.record = Record::of_job();
        }
        self.record.on_connection_lost();
        self.server_told.clear();
        Ok(())
    }

    /// What is told at either end is looked at.
    pub(super) fn listen(&mut self, world: &mut World, connection: Option<&mut Connection>) -> Result<(), String> {
        world.note_changes();
        for event in events(&mut self.events) {
            self.is_misplaced |= is_of_misplaced(&event);
            world.hear("client", &event, &self.setup)?;
        }
        for event in connection.into_iter().flat_map(|connection| events(&mut connection.server_events)) {
            // A server that sends knows what it was told; one that receives, what it has done.
            self.is_misplaced |= is_of_misplaced(&event);
            world.hear("server", &event, &self.setup)?;
            if let Some((name, told)) = Told::of(&event) {
                self.server_told.insert(name.to_owned(), told);
            }
        }
        Ok(())
    }

    /// The job is over. Whatever was begun is done, and leaves nothing behind.
    fn end(&mut self, world: &mut World, mut connection: Connection) -> Result<(), String> {
        world.calm();
        // A server that sends hears the last words, too.
        while let Some(message) = connection.receiving.next_said(VecDeque::pop_front) {
            connection.sending.hear(message).map_err(|error| format!("the last words are none: {error}"))?;
        }
        self.listen(world, Some(&mut connection))?;
        if !self.is_disturbed && self.connections == 1 {
            world.judge.check_undisturbed(&self.setup, &world.target, &self.server_told)?;
        }
        let Connection { sending, receiving, .. } = connection;
        drop(sending);
        self.receiver.ghosts.push(receiving);
        for _ in 0..STEPS_MAX {
            if !self.receiver.has_work() {
                break;
            }
            self.receiver.committer.step(GROUP_MAX);
            self.receiver.ghosts.iter().for_each(|ghost| ghost.step(&mut world.scheduler.random, None));
            world.scheduler.clock.advance(Duration::from_millis(50));
        }
        if self.receiver.has_work() {
            return Err("something is done without end after the job".to_owned());
        }
        self.receiver.ghosts.clear();
        self.listen(world, None)?;
        world.judge.check_end(&self.setup, &world.target, self.observer.counters())?;
        // Over its only connection it has brought what nobody will find.
        let has_brought = self.connections == 1 && world.judge.told.values().any(|told| *told == Told::Done);
        if self.is_misplaced && !world.target.is_misplaced() {
            return Err("a directory that is where it was is said to be gone".to_owned());
        }
        if has_brought && world.target.is_misplaced() && !self.is_misplaced {
            return Err("of a directory that nobody finds any more nothing is said".to_owned());
        }
        if world.target.locked() > 0 {
            return Err("a part is locked that nobody writes".to_owned());
        }
        self.receiver.check_idle()
    }
}

/// Whether it says that nobody finds by its path where the files went.
fn is_of_misplaced(event: &Event) -> bool {
    matches!(event, Event::Note(text) if text.contains("moved or removed meanwhile"))
}
