//! The receiving end: the session's own receiver, over a store in memory, driven one step at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;

use super::Fault;
use super::network::{Reading, Stream, Streams};
use crate::digest::{CHUNK_BYTES, ChunkHasher};
use crate::progress::{Event, Observer};
use crate::protocol::message::{Message, Spoken};
use crate::protocol::range::RangeTiming;
use crate::session::SessionError;
use crate::session::budget::Account;
use crate::session::receiver::file::IncomingFile;
use crate::session::receiver::range::IncomingRange;
use crate::session::receiver::{Driver, Place, ReceiveOptions, Receiver, ReceiverCommon};
use crate::session::record::Record;
use crate::storage::testing::memory::{ChunkContent, ManualClock, MemoryCommitter, MemoryStore};
use crate::storage::testing::random::Random;
use crate::transfer::job::answers::EarlyRange;

/// Work for the disk.
type DiskWork = Box<dyn FnOnce() + Send>;

/// What drives a receiver here. Cheap to clone.
#[derive(Clone)]
pub(super) struct Scripted(Arc<Shared>);

struct Shared {
    clock: ManualClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    says: VecDeque<Message>,
    /// Work for the disk, of which any may be done next: a slow one has some of it long after the rest.
    work: Vec<DiskWork>,
    later: Vec<(Duration, DiskWork)>,
    is_over: bool,
    is_finished: bool,
}

impl Scripted {
    fn new(clock: ManualClock) -> Self {
        Self(Arc::new(Shared { clock, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder panics")
    }
}

impl Driver for Scripted {
    type Store = MemoryStore;
    type Wait = Arc<()>;
    type Gathering = ();

    fn say(&self, message: Message) {
        self.state().says.push_back(message);
    }

    fn gather(&self) {}

    fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.state().work.push(Box::new(work));
    }

    fn spawn_long(&self, work: impl FnOnce() + Send + 'static) {
        self.spawn(work);
    }

    fn spawn_later(&self, after: Duration, work: impl FnOnce() + Send + 'static) {
        let due = self.elapsed() + after;
        self.state().later.push((due, Box::new(work)));
    }

    fn is_over(&self) -> bool {
        self.state().is_over
    }

    fn on_written(&self, _: usize) {}

    fn on_last_word(&self) {}

    fn on_finished(&self) {
        self.state().is_finished = true;
    }

    fn elapsed(&self) -> Duration {
        self.0.clock.since_1970()
    }

    fn now(&self) -> SystemTime {
        self.0.clock.now()
    }
}

/// What one connection's receiver works with.
pub(super) struct Tools {
    pub(super) committer: MemoryCommitter,
    pub(super) account: Account,
    pub(super) hasher: ChunkHasher,
    pub(super) record: Record,
    pub(super) observer: Observer,
    pub(super) features: u64,
}

/// A range that is being read, and the file that it goes to.
type Target = (Arc<IncomingRange<MemoryStore>>, Arc<IncomingFile<MemoryStore>>);

/// One connection's receiver.
pub(super) struct Receiving {
    /// `None` once the connection is lost: what is left to be done holds it then.
    receiver: Option<Receiver<Scripted>>,
    driver: Scripted,
    /// Where the ranges go that are being read.
    ranges: HashMap<usize, Target>,
    /// Streams that wait for an answer.
    waits: HashMap<usize, Weak<()>>,
}

impl Receiving {
    pub(super) fn new(tools: Tools, options: ReceiveOptions<MemoryStore>, clock: ManualClock) -> Self {
        let Tools { committer, account, hasher, record, observer, features } = tools;
        let driver = Scripted::new(clock);
        let common = ReceiverCommon { committer, hasher, account, observer, record };
        let receiver = Receiver::driven_by(driver.clone(), common, options);
        receiver.use_features(features);
        Self { receiver: Some(receiver), driver, ranges: HashMap::new(), waits: HashMap::new() }
    }

    pub(super) fn receiver(&self) -> &Receiver<Scripted> {
        self.receiver.as_ref().expect("the connection stands")
    }

    pub(super) fn hear(&self, message: Message) -> Result<(), SessionError> {
        match Spoken::from(message) {
            Spoken::Sender(message) => self.receiver().on_message(message),
            Spoken::Either(_) => Ok(()),
            other => unreachable!("no sender says {other:?}"),
        }
    }

    pub(super) fn say(&self, message: Message) {
        self.driver.say(message);
    }

    /// The next thing that was said.
    pub(super) fn next_said(&self, choose: impl FnOnce(&mut VecDeque<Message>) -> Option<Message>) -> Option<Message> {
        choose(&mut self.driver.state().says)
    }

    pub(super) fn has_said(&self) -> bool {
        !self.driver.state().says.is_empty()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.driver.state().is_finished
    }

    /// Streams that have something for this end.
    pub(super) fn readable(&self, streams: &Streams) -> Vec<usize> {
        let can_go_on = |stream: &&Stream| match stream.reading {
            _ if stream.is_reset => true,
            Reading::Unseen => true,
            Reading::Waits => self.waits[&stream.number].strong_count() == 0,
            Reading::ToDisk => !stream.under_way.is_empty() || self.ranges[&stream.number].1.is_given_up(),
        };
        streams.open.iter().filter(can_go_on).map(|stream| stream.number).collect()
    }

    /// Reads on in a stream, as `serve_stream` does.
    pub(super) fn read(
        &mut self,
        number: usize,
        random: &mut Random,
        streams: &mut Streams,
    ) -> Result<(), SessionError> {
        let Some(stream) = streams.get_mut(number) else { return Ok(()) };
        let header = stream.header;
        let place = match stream.reading {
            Reading::ToDisk => {
                self.read_content(number, random, streams);
                return Ok(());
            }
            Reading::Unseen | Reading::Waits if stream.is_reset => None,
            Reading::Unseen if header.timing == RangeTiming::Early => {
                let wait = Arc::new(());
                self.waits.insert(number, Arc::downgrade(&wait));
                if self.receiver().feed(|ledger| ledger.on_early_range(header, wait))? == EarlyRange::Waits {
                    stream.reading = Reading::Waits;
                    return Ok(());
                }
                self.receiver().feed(|ledger| ledger.on_answered(header))?
            }
            Reading::Unseen => self.receiver().feed(|ledger| ledger.on_range(header))?,
            Reading::Waits => self.receiver().feed(|ledger| ledger.on_answered(header))?,
        };
        let Some(place) = place else {
            streams.close(number);
            return Ok(());
        };
        stream.reading = Reading::ToDisk;
        let place: Place<Scripted> = place;
        let io = place.io.clone();
        self.ranges.insert(number, (IncomingRange::begin::<Scripted>(header, place), io));
        Ok(())
    }

    fn read_content(&self, number: usize, random: &mut Random, streams: &mut Streams) {
        let Some(stream) = streams.get_mut(number) else { return };
        let (range, io) = &self.ranges[&number];
        if stream.is_reset {
            io.give_up();
        }
        if io.is_given_up() {
            return streams.close(number);
        }
        let (index, content) = random.take(&mut stream.under_way);
        let (receiver, range) = (self.receiver().clone(), range.clone());
        self.driver.spawn(move || receiver.store_chunk(range, index, Box::new(content)));
        stream.come += 1;
        if stream.come == stream.chunks() {
            streams.close(number);
        }
    }

    /// How many pieces of work could be done now.
    pub(super) fn steps(&self) -> usize {
        let state = self.driver.state();
        let now = self.driver.elapsed();
        state.work.len() + state.later.iter().filter(|(due, _)| *due <= now).count()
    }

    /// When the next piece of work may be done that waits for its time.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.driver.state().later.iter().map(|(due, _)| *due).min()
    }

    /// Does any of them.
    pub(super) fn step(&self, random: &mut Random, fault: Option<Fault>) {
        let now = self.driver.elapsed();
        let mut state = self.driver.state();
        if let Some(at) = state.later.iter().position(|(due, _)| *due <= now) {
            let (_, work) = state.later.swap_remove(at);
            state.work.push(work);
        }
        if state.work.is_empty() {
            return;
        }
        let work = random.take(&mut state.work);
        drop(state);
        match fault {
            Some(Fault::WorkForgotten) if random.percent(3) => {}
            _ => work(),
        }
    }

    /// The connection is lost. What is left to be done of it may be done still.
    pub(super) fn lose(&mut self) {
        self.driver.state().is_over = true;
        self.ranges.clear();
        self.waits.clear();
        // With the last of it go the files that are open, which is work for the disk.
        self.receiver = None;
    }

    /// Some of what is left is never done.
    pub(super) fn forget_some(&self, random: &mut Random) {
        let mut forgotten = Vec::new();
        let mut state = self.driver.state();
        let count = state.work.len();
        for _ in 0..count {
            if random.percent(50) {
                let work = random.take(&mut state.work);
                forgotten.push(work);
            }
        }
        forgotten.extend(state.later.drain(..).map(|(_, work)| work));
        drop(state);
        // What it holds may have more to say when it goes.
        drop(forgotten);
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        // Whoever waits in the queue keeps what it is the queue of.
        let State { work, later, .. } = std::mem::take(&mut *self.driver.state());
        drop((work, later));
    }
}

/// What has come to be known of a job since this was asked last.
pub(super) fn events(stream: &mut UnboundedReceiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| stream.try_recv().ok()).collect()
}

/// One chunk at most.
pub(super) fn chunk(size: u64) -> ChunkContent {
    ChunkContent::zeroed(size.min(CHUNK_BYTES))
}
