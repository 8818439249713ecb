//! The receiving role: offers in, answers out; content to disk; each file judged, committed, reported.
//!
//! What may be said when, and what follows from it, is decided by the ledger of the job
//! ([`Answers`]). Whoever learns something — the control loop, a data stream, a disk
//! thread, the committer — feeds it, and what it says is carried out.
//!
//! | file | noun |
//! |---|---|
//! | `messages` | what the sender says |
//! | `plan`, `answer` | what an offer needs; what the answer begins |
//! | `same` | what is there already and needs no content |
//! | `check` | digests of what is there already |
//! | `stream`, `beginning`, `gaps`, `backlog` | a range on its way to disk; its header; the order that it comes in; the brake when the disk is behind |
//! | `driver` | the connection, its disk threads and the time, as one interface |
//! | `early` | a range that came before its file was answered |
//! | `file`, `wait` | where content is written; waiting for a part that cannot be opened |
//! | `finish` | the verdict, the commit, and the end of the job |
//! | `notes` | what is known of the disk, for the whole job |
//! | `report` | telling whoever watches |

mod answer;
mod backlog;
mod beginning;
mod check;
mod delivered;
mod driver;
mod early;
mod file;
mod finish;
mod gaps;
mod messages;
mod notes;
mod plan;
mod report;
mod same;
#[cfg(test)]
#[path = "../../../tests/sim/mod.rs"]
mod sim;
mod stream;
mod twins;
mod wait;

pub use self::backlog::BEGUN_STILL_MAX;
pub(crate) use self::delivered::Delivered;
pub use self::gaps::{PIECE_BYTES, PIECES_FREE};
pub use self::stream::LATE_RANGES_MAX;

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use quinn::Connection;
use tokio::sync::Notify;

use self::backlog::Backlog;
pub(crate) use self::driver::{Driver, Online};
use self::file::FileIo;
use self::notes::Notes;
use super::budget::{Account, Hold, OFFER_BYTES};
use super::control::Control;
use super::memory::Buffers;
use super::record::Record;
use super::window::ReceiveWindow;
use crate::digest::ChunkHasher;
use crate::progress::{FileProgress, Observer};
use crate::protocol::message::{Failure, Header, IfExists, Target};
use crate::protocol::path::{PATH_BYTES_MAX, WirePath};
use crate::storage::{Committer, Destination, DiskQueue, Meta, Replace, Store};
use crate::transfer::file::resume::Policy;
use crate::transfer::job::answers::{self, Answers, AnswersAction, AnswersAttached, AnswersOptions};

/// Whether what is on offer may be written, and under that name; else why not.
type Allows = dyn Fn(&Header, &WirePath) -> Result<(), Failure> + Send + Sync;

/// How a receiver treats what it is offered.
pub(crate) struct ReceiveOptions<S: Store = Destination> {
    /// Where files go; nothing outside it is touched.
    pub(crate) root: S,
    /// Below the root; `None` is the root itself.
    pub(crate) to: Option<WirePath>,
    /// How `to` is to be read.
    pub(crate) target: Target,
    /// The policy for files that exist already.
    pub(crate) policy: Policy,
    /// Directories that are there keep their times and modes, whatever the sender wants: the operator lets nobody replace
    /// anything.
    pub(crate) leaves_directories: bool,
    /// Answer, but change nothing.
    pub(crate) dry_run: bool,
    /// The sender knows of a dry run and hears what would be. One that does not know would send what it is asked for.
    pub(crate) tells_plans: bool,
    /// The committer will sync what is written.
    pub(crate) durable: bool,
    /// Which names may be written at all; else why not.
    pub(crate) allows: Box<Allows>,
    /// The owner of the partial files of this job, whom alone they are continued for; `None` is anyone. A sender that
    /// the policy keeps blind must not learn what others left unfinished.
    pub(crate) owner: Option<String>,
    /// The files that such senders have delivered; each of them is told of its own only.
    pub(crate) delivered: Option<Arc<Delivered>>,
}

impl<S: Store> ReceiveOptions<S> {
    /// Whether that is a file which this sender has delivered before.
    fn was_delivered(&self, there: &Meta) -> bool {
        let known = self.delivered.as_ref().zip(self.owner.as_ref());
        known.is_some_and(|(delivered, owner)| delivered.is_by(owner, there))
    }

    /// Remembers what this sender has delivered.
    fn note_delivered(&self, path: &WirePath) {
        let Some((delivered, owner)) = self.delivered.as_ref().zip(self.owner.as_ref()) else { return };
        // One that is gone already is not there.
        if let Ok(Some(file)) = self.root.stat(path) {
            delivered.note(owner, &file);
        }
    }

    /// The rule for a name that was taken between the plan and the commit of content or a link.
    fn replace(&self) -> Replace {
        match self.policy.if_exists {
            IfExists::Replace => Replace::Yes,
            IfExists::Rename => Replace::RenameFree,
            IfExists::Skip | IfExists::Fail => Replace::No,
        }
    }
}

/// The tools of a receiver on a real connection.
pub(crate) struct ReceiverTools {
    pub(crate) connection: Connection,
    pub(crate) control: Control,
    /// The connection's.
    pub(crate) disk: DiskQueue,
    pub(crate) committer: Committer,
    pub(crate) hasher: ChunkHasher,
    pub(crate) buffers: Buffers,
    /// The connection's share of the budget.
    pub(crate) account: Account,
    /// The bytes that the peer may have in flight.
    pub(crate) window: Arc<ReceiveWindow>,
    pub(crate) observer: Observer,
    /// The results of the job so far, over all its connections.
    pub(crate) record: Record,
    /// Where waits happen.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The tools of any receiver.
pub(crate) struct ReceiverCommon<S: Store> {
    pub(crate) committer: S::Committer,
    pub(crate) hasher: ChunkHasher,
    /// The connection's share of the budget.
    pub(crate) account: Account,
    pub(crate) observer: Observer,
    /// The results of the job so far, over all its connections.
    pub(crate) record: Record,
}

/// The receiving role of one job. Cheap to clone.
pub(crate) struct Receiver<D: Driver = Online>(Arc<ReceiverInner<D>>);

impl<D: Driver> Clone for Receiver<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct ReceiverInner<D: Driver> {
    driver: D,
    tools: ReceiverCommon<D::Store>,
    options: ReceiveOptions<D::Store>,
    ledger: Mutex<Ledger<D>>,
    notes: Mutex<Notes>,
    /// The memory for the names that must be told apart, held until the end. Locked after the ledger, never before it.
    names_room: Mutex<Option<Hold>>,
}

/// Files that were not settled are closed, which may block on the disk: not where the last of us happened to be dropped.
impl<D: Driver> Drop for ReceiverInner<D> {
    fn drop(&mut self) {
        let open = self.ledger.get_mut().unwrap_or_else(PoisonError::into_inner).take_open();
        if !open.is_empty() {
            self.driver.spawn(move || drop(open));
        }
    }
}

/// The data that the ledger keeps with each file for the session.
struct ReceiverFiles<D>(PhantomData<D>);

impl<D: Driver> AnswersAttached for ReceiverFiles<D> {
    /// The memory of the offer, charged to the budget.
    type Room = Hold;
    type Wait = D::Wait;
    type Io = Arc<FileIo<D::Store>>;
    type Progress = Arc<FileProgress>;
}

type Ledger<D> = Answers<ReceiverFiles<D>>;
type Place<D> = answers::RangeTarget<ReceiverFiles<D>>;
type Complete<D> = answers::Complete<ReceiverFiles<D>>;

impl Receiver {
    pub(crate) fn new(tools: ReceiverTools, options: ReceiveOptions) -> Self {
        let ReceiverTools { connection, control, disk, committer, hasher, buffers, account, .. } = tools;
        let ReceiverTools { window, observer, record, runtime, .. } = tools;
        let (backlog, settled, begun) = (Backlog::new(window), Notify::new(), Instant::now());
        let driver = Online { connection, control, disk, buffers, backlog, settled, runtime, begun };
        Self::driven_by(driver, ReceiverCommon { committer, hasher, account, observer, record }, options)
    }

    /// Resolves when the sender has ended and every file is settled.
    pub(crate) async fn finished(&self) {
        loop {
            let notified = self.0.driver.settled.notified();
            if self.is_finished() {
                return;
            }
            notified.await;
        }
    }

    /// Whether the peer has begun chunks and left them so for too long. To be asked every few seconds.
    pub(crate) fn is_left_begun(&self, now: Instant) -> bool {
        self.0.driver.backlog.is_left_begun(now)
    }

    /// A stream of the sender's has ended: it may open another.
    pub(crate) fn on_stream_ended(&self) {
        self.0.driver.backlog.on_stream_ended();
    }

    /// Whether this side owes the next step: it is planning, hashing, writing or committing.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.driver.backlog.is_busy() || self.ledger().is_busy()
    }
}

impl<D: Driver> Receiver<D> {
    /// A receiver that is driven by whatever that is.
    pub(crate) fn driven_by(driver: D, tools: ReceiverCommon<D::Store>, options: ReceiveOptions<D::Store>) -> Self {
        let ReceiveOptions { tells_plans, policy, .. } = options;
        let ledger = Mutex::new(Ledger::<D>::new(AnswersOptions { tells_plans, is_blind: policy.blind }));
        let is_continued = tools.record.is_continued();
        let (notes, names_room) = (Mutex::default(), Mutex::default());
        let receiver = Self(Arc::new(ReceiverInner { driver, tools, options, ledger, notes, names_room }));
        if is_continued {
            receiver.begin_unsure_of_names();
        }
        receiver
    }

    /// The job goes on with one of an earlier connection, which has given names that nobody remembers here.
    pub(crate) fn begin_unsure_of_names(&self) {
        self.ledger().begin_unsure_of_names();
    }

    /// Feeds the ledger, and carries out what it says. What is said to the sender, and to whoever watches, is said before
    /// another thread feeds it: content that came early may complete a file at once, whose `Done` must come after its `Pos`,
    /// and nobody may see the last file gone before its end is said and counted.
    fn feed<T>(&self, feed: impl FnOnce(&mut Ledger<D>) -> T) -> T {
        let mut ledger = self.ledger();
        let result = feed(&mut ledger);
        let mut later = Vec::new();
        while let Some(action) = ledger.next_action() {
            if action.is_word() {
                self.carry_out(action);
            } else {
                later.push(action);
            }
        }
        drop(ledger);
        later.into_iter().for_each(|action| self.carry_out(action));
        result
    }

    fn carry_out(&self, action: AnswersAction<ReceiverFiles<D>>) {
        let receiver = self.clone();
        let driver = &self.0.driver;
        match action {
            AnswersAction::Say(message) => driver.say(message),
            AnswersAction::Report(report) => self.report(report),
            AnswersAction::Plan => driver.spawn(move || receiver.plan_some()),
            AnswersAction::HashPrefix(id, io) => driver.spawn(move || receiver.hash_prefix(id, &io, 0, 0)),
            AnswersAction::GiveUp(io) => {
                io.give_up();
                // Its part is closed, which takes a system call.
                driver.spawn(move || drop(io));
            }
            AnswersAction::WindUp => self.wind_up(),
            AnswersAction::Finish => driver.on_finished(),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<D>> {
        self.0.ledger.lock().expect("no holder panics")
    }

    /// Notes on the disk, for the whole job.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().expect("no holder panics")
    }

    /// Takes the features of the sender beyond the least.
    pub(crate) fn use_features(&self, features: u64) {
        self.ledger().use_features(features);
    }

    /// Begins no more files. For an end that is about to close.
    pub(crate) fn refuse_new(&self) {
        self.ledger().drain();
    }

    /// Whether the sender has ended and every file is settled.
    pub(crate) fn is_finished(&self) -> bool {
        self.ledger().is_finished()
    }

    /// Whether there is room for one more offer. A sender that is not heard meanwhile has the windows that it had.
    pub(crate) fn has_room_for_an_offer(&self) -> bool {
        self.0.tools.account.take_for_offer(OFFER_BYTES + 2 * PATH_BYTES_MAX).is_some()
    }
}
