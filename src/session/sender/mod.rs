//! The sending role: headers run ahead, answers come back, content flows on one stream a file.
//!
//! Nothing here waits for a round trip per file: the walk offers thousands of files while the answers
//! to the first ones arrive; a bounded number of pumps takes the files that are wanted.
//!
//! What may be said when, and what follows from it, is decided by the ledger of the job
//! ([`Offers`]), which the walk, the control loop, the pumps and disk threads feed.
//!
//! | file | noun |
//! |---|---|
//! | `offer` | headers, as the walk finds files; offering again what changed |
//! | `source` | where an offered file lies |
//! | `queue` | what is sent next, small files many at a time |
//! | `stream`, `outlet`, `turns` | a range on its way to the receiver; the stream that it takes; which of them goes first |
//! | `start`, `early` | the first bytes of a file; sending them before they are asked for |
//! | `check` | our own copy beside the receiver's digests, and beside what was sent |
//! | `stats` | how the sender's time goes |

mod check;
mod early;
mod offer;
pub(crate) mod outlet;
mod queue;
pub(crate) mod source;
pub(crate) mod start;
mod stats;
mod stream;
mod turns;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::queue::{Batch, SendQueue};
use self::source::SenderFiles;
use self::stats::{SenderMeter, Waits, micros};
use self::turns::WriteTurns;
use super::link::{link_report, record_link};
use super::memory::SendBudget;
use super::walk::Walked;
use super::{JobTools, SessionError, feed_ledger};
use crate::congestion::PathState;
use crate::progress::{Counters, Observer};
use crate::protocol::message::{Failure, FileId, Message, ReceiverMessage, SenderStats};
use crate::protocol::{HAVE_DIGESTS_MAX, HEADERS_AHEAD_MAX, features};
use crate::storage::{ByteFiles, Tree, WalkEntry};
use crate::transfer::job::offers::{Offers, OffersAction, OffersOptions, room_for};

/// How often the path's figures go to the receiver and the counters.
const LINK_INTERVAL: Duration = Duration::from_secs(1);

/// How a sender sends.
pub(crate) struct SenderOptions {
    /// Files whose content moves at the same time.
    pub(crate) jobs: NonZeroUsize,
    /// Decide and report only.
    pub(crate) dry_run: bool,
    /// The user's own trees: where they lie is no secret to whom a problem is told.
    pub(crate) own_tree: bool,
    /// The starts of the first files need not wait for the receiver's answers.
    pub(crate) early: bool,
}

/// The sending role of one job, of files that lie in such trees. Cheap to clone.
pub(crate) struct Sender<F: ByteFiles = Tree>(Arc<SenderInner<F>>);

impl<F: ByteFiles> Clone for Sender<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct SenderInner<F: ByteFiles> {
    tools: JobTools,
    options: SenderOptions,
    budget: SendBudget,
    ledger: Mutex<Ledger<F>>,
    wanted: mpsc::UnboundedSender<FileId>,
    wanted_files: Mutex<Option<mpsc::UnboundedReceiver<FileId>>>,
    offers: Arc<Semaphore>,
    turns: WriteTurns,
    waits: Waits,
    meter: Mutex<SenderMeter>,
    /// The receiver wants to hear how this end's time goes.
    tells_stats: AtomicBool,
    ended: Notify,
    stop: CancellationToken,
}

type Ledger<F> = Offers<SenderFiles<F>>;

impl Sender {
    /// A sender of what lies on the disk; the connection's controller reports to `path`.
    pub(crate) fn new(tools: JobTools, path: Arc<PathState>, options: SenderOptions) -> Self {
        Self::of_files(tools, path, options)
    }
}

impl<F: ByteFiles> Sender<F> {
    fn of_files(tools: JobTools, path: Arc<PathState>, options: SenderOptions) -> Self {
        let (wanted, wanted_files) = mpsc::unbounded_channel();
        let SenderOptions { dry_run: is_dry_run, own_tree: is_own_tree, early: sends_early, .. } = options;
        let of_ledger = OffersOptions { is_dry_run, is_own_tree, sends_early };
        Self(Arc::new(SenderInner {
            budget: SendBudget::new(tools.account.clone()),
            ledger: Mutex::new(Ledger::new(of_ledger)),
            meter: Mutex::new(SenderMeter::new(path)),
            tells_stats: AtomicBool::new(false),
            tools,
            options,
            wanted,
            wanted_files: Mutex::new(Some(wanted_files)),
            offers: Arc::new(Semaphore::new(HEADERS_AHEAD_MAX)),
            turns: WriteTurns::default(),
            waits: Waits::default(),
            ended: Notify::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Feeds the ledger, and carries out what it says. Words come in their order: ids count up on the wire.
    fn feed<T>(&self, feed: impl FnOnce(&mut Ledger<F>) -> T) -> T {
        feed_ledger(self.ledger(), feed, Ledger::next_action, OffersAction::is_word, |action| self.carry_out(action))
    }

    fn carry_out(&self, action: OffersAction<SenderFiles<F>>) {
        match action {
            OffersAction::Say(message) => {
                // All content has been handed over: this is the last that the receiver is sure to hear of it.
                if matches!(message, Message::End(_)) {
                    self.tell_stats();
                }
                self.0.tools.control.send(message);
            }
            OffersAction::Report(report) => {
                let JobTools { observer, record, .. } = &self.0.tools;
                record.tell(observer, self.0.options.own_tree, report);
            }
            OffersAction::SendEarly(id) => drop(tokio::spawn(self.clone().send_early(id))),
            OffersAction::Claim(start) => drop(start.claim()),
            // The receiver of this channel lives as long as `run`; after it nothing is wanted.
            OffersAction::Want(id) => drop(self.0.wanted.send(id)),
            OffersAction::LetGo(source) => drop(source),
            OffersAction::Finish => self.0.ended.notify_waiters(),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<F>> {
        self.0.ledger.lock().expect("no holder panics")
    }

    /// Sends everything that `found` yields. Resolves when the receiver has settled every file.
    ///
    /// # Errors
    /// The end of the connection, a walk that broke off, or a rule that the receiver broke.
    pub(crate) async fn run(&self, found: Walked<WalkEntry<F>>) -> Result<(), SessionError> {
        let wanted = self.0.wanted_files.lock().expect("no holder panics").take();
        let wanted = wanted.expect("a sender runs once");
        let work = async {
            tokio::select! {
                error = self.pump_wanted(SendQueue::new(wanted)) => Err(error),
                result = self.offer_until_ended(found) => result,
            }
        };
        let result = tokio::select! {
            result = work => result,
            error = self.0.tools.connection.closed() => Err(error.into()),
            () = self.report_link() => unreachable!("reports never end"),
        };
        // The last figures, which a job of less than a second has no others of.
        record_link(&self.0.tools.observer, &link_report(&self.0.tools.connection));
        self.look_at_meter();
        result
    }

    async fn offer_until_ended(&self, found: Walked<WalkEntry<F>>) -> Result<(), SessionError> {
        self.offer_all(found).await?;
        self.until_peer_ended().await;
        Ok(())
    }

    /// Waits for something, and counts how long that took.
    async fn timed<T>(&self, waits: fn(&Waits) -> &AtomicU64, wait: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let result = wait.await;
        Counters::add(waits(&self.0.waits), micros(begun.elapsed()));
        result
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.0.tools.observer
    }

    /// Resolves when the receiver has settled every file.
    async fn until_peer_ended(&self) {
        loop {
            let notified = self.0.ended.notified();
            if self.is_finished() {
                return;
            }
            notified.await;
        }
    }

    /// Takes the features of the receiver beyond the least. A client sends long before it hears them.
    pub(crate) fn use_features(&self, features: u64) {
        self.0.tells_stats.store(features & features::SENDER_STATS != 0, Ordering::Relaxed);
        self.feed(|ledger| ledger.use_features(features));
    }

    /// Offers nothing more; what is on offer is finished. For an end that is about to close.
    pub(crate) fn stop_offering(&self) {
        self.ledger().drain();
        self.0.stop.cancel();
    }

    /// Whether something was left to another connection.
    pub(crate) fn has_left_out(&self) -> bool {
        self.ledger().has_left_out()
    }

    /// Whether everything there is has been offered.
    pub(crate) fn has_offered_all(&self) -> bool {
        self.ledger().has_offered_all()
    }

    /// The first offered file that the receiver has not settled, below the root that it is read from.
    pub(crate) fn first_unsettled(&self) -> Option<String> {
        self.ledger().first_unsettled().map(|source| source.at.to_string())
    }

    /// Whether the receiver has settled every file.
    pub(crate) fn is_finished(&self) -> bool {
        self.ledger().is_finished()
    }

    /// Whether this side owes the next step: it looks for files, compares its own copy of one, or sums one up.
    pub(crate) fn is_busy(&self) -> bool {
        self.ledger().is_busy()
    }

    /// Feeds a message of the receiver's.
    ///
    /// # Errors
    /// The rule that the message breaks; the connection is to be closed.
    pub(crate) fn on_message(&self, message: ReceiverMessage) -> Result<(), SessionError> {
        let account = &self.0.tools.account;
        match message {
            ReceiverMessage::Pos(pos) => self.feed(|ledger| ledger.on_pos(pos))?,
            ReceiverMessage::Have(have) => {
                self.feed(|ledger| ledger.on_have(&have, |bytes| account.take_for_digests(bytes)))?;
            }
            ReceiverMessage::Done(done) => self.feed(|ledger| ledger.on_done(done))?,
            ReceiverMessage::Named(named) => self.feed(|ledger| ledger.on_named(named))?,
            ReceiverMessage::Settled => self.feed(|ledger| ledger.on_settled())?,
        }
        Ok(())
    }

    /// Whether there is room for as many more digests as a message may hold. A receiver that is not heard meanwhile has its
    /// windows; room is made by our own disk, which has to read what they are compared with.
    pub(crate) fn has_room_for_digests(&self) -> bool {
        self.0.tools.account.take_for_digests(room_for(HAVE_DIGESTS_MAX)).is_some()
    }

    /// Gives one file up for good and tells the receiver.
    fn give_up(&self, id: FileId, failure: Failure) {
        self.feed(|ledger| ledger.give_up(id, failure));
    }

    /// Starts a pump for each batch of wanted files, a bounded number at a time. Returns only with an error.
    async fn pump_wanted(&self, mut wanted: SendQueue) -> SessionError {
        let jobs = self.0.options.jobs.get();
        let slots = Arc::new(Semaphore::new(jobs));
        let mut pumps = JoinSet::new();
        loop {
            tokio::select! {
                Some(batch) = wanted.next(jobs, |id| self.ledger().small_size(id)) => {
                    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                    let sender = self.clone();
                    pumps.spawn(async move {
                        let _slot = slot;
                        match batch {
                            Batch::Small(ids) => sender.send_small(ids).await,
                            Batch::Large(id) => sender.pump(id).await,
                        }
                    });
                }
                Some(result) = pumps.join_next() => match result {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error,
                    Err(_) => return SessionError::Internal("a pump"),
                },
            }
        }
    }

    async fn report_link(&self) {
        let mut ticks = interval(LINK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let report = link_report(&self.0.tools.connection);
            record_link(&self.0.tools.observer, &report);
            self.0.tools.control.send(Message::Link(report));
            self.tell_stats();
        }
    }

    /// Counts how this end's time went since it was last asked, and tells the receiver where it wants to hear it.
    fn tell_stats(&self) {
        let stats = self.look_at_meter();
        if self.0.tells_stats.load(Ordering::Relaxed) {
            self.0.tools.control.send(Message::SenderStats(stats));
        }
    }

    fn look_at_meter(&self) -> SenderStats {
        let mut meter = self.0.meter.lock().expect("no holder panics");
        meter.look(&self.0.waits, self.0.tools.observer.counters())
    }
}
