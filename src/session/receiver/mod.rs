//! The receiving role: offers in, answers out; content to disk; each file judged, committed, reported.
//!
//! What may be said when, and what follows from it, is decided by the ledger of the job
//! ([`Answers`]). Whoever learns something — the control loop, a data stream, a disk
//! thread, the committer — feeds it, and what it says is carried out.
//!
//! | file | noun |
//! |---|---|
//! | `driver` | the connection, its disk threads and the time, as one interface; work that is tried again |
//! | `planning` | which offers are planned when |
//! | `offer` | an offer, to its answer |
//! | `name` | the name of an offer on this disk, and what has it |
//! | `twins` | names that the disk may take for one |
//! | `directories` | directories, which get their time and mode at the end of the job |
//! | `range` | a range of a file, on its stream |
//! | `chunk` | a chunk of a range, from packets to the disk |
//! | `file` | a file whose content comes, to its commit |

mod chunk;
mod directories;
mod driver;
mod file;
mod name;
mod offer;
mod planning;
mod range;
#[cfg(test)]
#[path = "../../../tests/sim/mod.rs"]
mod sim;
mod twins;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tracing::debug;

use self::directories::Directories;
pub(crate) use self::driver::{Driver, Online};
use self::file::IncomingFile;
use self::offer::Unplaced;
use self::planning::CorkState;
pub use self::range::LATE_RANGES_MAX;
use super::budget::{Account, Hold, OFFER_BYTES};
use super::record::Record;
use super::{SessionError, feed_ledger};
use crate::digest::ChunkHasher;
use crate::progress::{FileProgress, Observer};
use crate::protocol::message::{Failure, Header, IfExists, Kind, SenderMessage, Status, Target};
use crate::protocol::path::{PATH_BYTES_MAX, WirePath};
use crate::storage::{Delivered, Destination, Doubts, Meta, Owner, Replace, StorageError, Store};
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
    doubts: Doubts<Hold>,
    /// The step of the disk's time stamps in nanoseconds, once it was asked for.
    time_step: OnceLock<u64>,
    /// Content that was written before this moment is on the disk, whoever wrote it.
    written_until: Mutex<Option<SystemTime>>,
    directories: Mutex<Directories>,
    cork: Mutex<CorkState>,
    /// Something was put in place.
    has_placed: AtomicBool,
    /// It has been said that times or modes are not kept.
    unset_said: AtomicBool,
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
    type Names = Hold;
    type Wait = D::Wait;
    type Io = Arc<IncomingFile<D::Store>>;
    type Progress = Arc<FileProgress>;
}

type Ledger<D> = Answers<ReceiverFiles<D>>;
type Place<D> = answers::RangeTarget<ReceiverFiles<D>>;
type Complete<D> = answers::Complete<ReceiverFiles<D>>;

impl<D: Driver> Receiver<D> {
    /// A receiver that is driven by whatever that is.
    pub(crate) fn driven_by(driver: D, tools: ReceiverCommon<D::Store>, options: ReceiveOptions<D::Store>) -> Self {
        let ReceiveOptions { tells_plans, policy, .. } = options;
        let answers = AnswersOptions { tells_plans, is_blind: policy.blind };
        let is_continued = tools.record.is_continued();
        let receiver = Self(Arc::new(ReceiverInner {
            ledger: Mutex::new(Ledger::<D>::new(answers, tools.account.for_names())),
            doubts: Doubts::new(tools.account.to_remember()),
            directories: Mutex::new(Directories::new(tools.account.for_directories())),
            time_step: OnceLock::new(),
            written_until: Mutex::default(),
            cork: Mutex::default(),
            has_placed: AtomicBool::new(false),
            unset_said: AtomicBool::new(false),
            driver,
            tools,
            options,
        }));
        if is_continued {
            receiver.begin_unsure_of_names();
        }
        receiver
    }

    /// The job goes on with one of an earlier connection, which has given names that nobody remembers here.
    pub(crate) fn begin_unsure_of_names(&self) {
        self.ledger().begin_unsure_of_names();
    }

    /// Feeds the ledger, and carries out what it says. Content that came early may complete a file at once, whose `Done` must
    /// come after its `Pos`, and nobody may see the last file gone before its end is said and counted.
    fn feed<T>(&self, feed: impl FnOnce(&mut Ledger<D>) -> T) -> T {
        feed_ledger(self.ledger(), feed, Ledger::<D>::next_action, AnswersAction::is_word, |action| {
            self.carry_out(action)
        })
    }

    fn carry_out(&self, action: AnswersAction<ReceiverFiles<D>>) {
        let receiver = self.clone();
        let driver = &self.0.driver;
        match action {
            AnswersAction::Say(message) => driver.say(message),
            AnswersAction::Report(report) => self.0.tools.record.tell(&self.0.tools.observer, false, report),
            AnswersAction::Plan => self.begin_planning(),
            AnswersAction::HashPrefix(id, io) => driver.spawn(move || receiver.hash_prefix(id, io, 0)),
            AnswersAction::GiveUp(io) => {
                io.give_up();
                // Its part is closed, which takes a system call.
                driver.spawn(move || drop(io));
            }
            AnswersAction::WindUp => self.wind_up(),
            AnswersAction::Finish => driver.on_finished(),
        }
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.0.tools.observer
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<D>> {
        self.0.ledger.lock().expect("no holder panics")
    }

    fn directories(&self) -> MutexGuard<'_, Directories> {
        self.0.directories.lock().expect("no holder panics")
    }

    fn written_until(&self) -> MutexGuard<'_, Option<SystemTime>> {
        self.0.written_until.lock().expect("no holder panics")
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
        self.0.tools.account.has_room_for_offer(OFFER_BYTES + 2 * PATH_BYTES_MAX)
    }

    /// Feeds a message of the sender's.
    ///
    /// # Errors
    /// The rule that the message breaks; the connection is to be closed.
    pub(crate) fn on_message(&self, message: SenderMessage) -> Result<(), SessionError> {
        match message {
            SenderMessage::Header(header) => self.on_header(header)?,
            SenderMessage::Tail(tail) => {
                self.feed(|ledger| ledger.on_tail(tail))?.into_iter().for_each(|file| self.judge(file))
            }
            SenderMessage::Problem(problem) => self.feed(|ledger| ledger.on_problem(problem)),
            SenderMessage::Cancel(cancel) => self.feed(|ledger| ledger.on_cancel(cancel))?,
            SenderMessage::Offered => self.feed(|ledger| ledger.on_offered())?,
            SenderMessage::End(_) => self.feed(|ledger| ledger.on_end())?,
        }
        Ok(())
    }

    fn on_header(&self, header: Header) -> Result<(), SessionError> {
        let bytes = OFFER_BYTES + 2 * header.path.as_bytes().len();
        let room = || self.0.tools.account.take_for_offer(bytes);
        Ok(self.feed(|ledger| ledger.on_header(header, room))?)
    }

    /// Says, once a job, that a time or a mode could not be set.
    fn remark_unset(&self, error: &StorageError) {
        debug!(%error, "not carried over");
        if !self.0.unset_said.swap(true, Ordering::Relaxed) {
            // Of a directory nothing is known here of what is in it.
            let text = format!("{error}; no content is lost by that, and this is said once");
            self.feed(|ledger| ledger.remark(text));
        }
    }
}

impl<S: Store> ReceiveOptions<S> {
    /// The name below the root that an offer means, if that may be written.
    fn destination(&self, header: &Header) -> Result<WirePath, Unplaced> {
        let path = self.place(header)?;
        (self.allows)(header, &path)?;
        Ok(path)
    }

    /// The name below the root that an offer means.
    fn place(&self, header: &Header) -> Result<WirePath, Unplaced> {
        Ok(match &self.to {
            None => header.path.clone(),
            Some(to) if self.is_new_name(header, to)? => to.clone(),
            Some(to) => to.join(&header.path).map_err(|error| Failure::new(Status::BadName, error.to_string()))?,
        })
    }

    /// Whether `to` is the new name of the one file on offer: it was not marked as a directory and is none.
    fn is_new_name(&self, header: &Header, to: &WirePath) -> Result<bool, StorageError> {
        let single = header.kind != Kind::Dir && header.path.parent().is_none();
        if self.target == Target::Directory || !single {
            return Ok(false);
        }
        let there = self.root.stat_dir(to)?;
        Ok(there.is_none_or(|meta| meta.kind != Kind::Dir))
    }

    /// Whether what exists may be replaced.
    fn replaces(&self) -> bool {
        self.policy.if_exists == IfExists::Replace
    }

    /// Whether that is a file which this sender has delivered before.
    fn was_delivered(&self, there: &Meta) -> bool {
        let known = self.delivered.as_ref().zip(self.owner.as_ref());
        known.is_some_and(|(delivered, owner)| delivered.is_by(owner, there))
    }

    /// Remembers what this sender has delivered.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn note_delivered(&self, path: &WirePath) -> Result<(), StorageError> {
        let Some((delivered, owner)) = self.delivered.as_ref().zip(self.owner.as_ref()) else { return Ok(()) };
        // One that is gone already is not there.
        self.root.stat(path)?.into_iter().for_each(|file| delivered.note(owner, &file));
        Ok(())
    }

    /// The owner of the partial files.
    fn part_owner(&self) -> Owner<'_> {
        Owner::of(self.owner.as_deref())
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
