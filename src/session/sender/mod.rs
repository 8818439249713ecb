//! The sending role: headers run ahead, answers come back, content flows on one stream a file.
//!
//! Nothing here waits for a round trip per file: the walk offers thousands of files while the answers
//! to the first ones arrive; a bounded number of pumps takes the files that are wanted.
//!
//! | file | noun |
//! |---|---|
//! | `messages` | what the receiver says |
//! | `offer` | headers, as the walk finds files; offering anew what changed |
//! | `names` | names that are offered, each once |
//! | `file` | one offered file |
//! | `wanted` | what is sent next, small files many at a time |
//! | `stream`, `outlet` | a range on its way to the receiver; the stream that it takes |
//! | `start`, `ahead` | the first bytes of a file; sending them before they are asked for |
//! | `check` | the receiver's digests beside our own |
//! | `again` | a source that changed, beside what was sent of it |
//! | `settle` | the last word on a file and on the job |

mod again;
mod ahead;
mod check;
mod file;
mod messages;
mod names;
mod offer;
mod outlet;
mod settle;
mod start;
mod stream;
mod wanted;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quinn::Connection;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::file::Outgoing;
use self::wanted::{Pick, Wanted};
use super::SessionError;
use super::budget::Account;
use super::control::Control;
use super::link::{link_report, record_link};
use super::local::Walked;
use super::memory::{Buffers, SendBudget};
use crate::digest::Hasher;
use crate::progress::{Event, Observer};
use crate::protocol::message::{FileId, Message, Remark};
use crate::protocol::{HEADERS_AHEAD_MAX, REMARKS_MAX, features};
use crate::storage::{DiskQueue, Found};
use crate::transfer::job::early::Early;

/// How often the path's figures go to the receiver and the counters.
const LINK_INTERVAL: Duration = Duration::from_secs(1);

/// What a sender works with.
pub(crate) struct Tools {
    pub(crate) connection: Connection,
    pub(crate) control: Control,
    /// The connection's.
    pub(crate) disk: DiskQueue,
    pub(crate) hasher: Hasher,
    pub(crate) buffers: Buffers,
    /// What the connection may hold.
    pub(crate) account: Account,
    pub(crate) observer: Observer,
    /// Files whose content moves at the same time.
    pub(crate) jobs: NonZeroUsize,
    /// Decide and report only.
    pub(crate) dry_run: bool,
    /// The user's own trees: where they lie is no secret to whom a problem is told.
    pub(crate) own_tree: bool,
    /// The starts of the first files need not wait for the receiver's answers.
    pub(crate) ahead: bool,
}

/// The sending role of one job. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Shared>);

struct Shared {
    tools: Tools,
    budget: SendBudget,
    state: Mutex<State>,
    wanted: mpsc::UnboundedSender<FileId>,
    wanted_files: Mutex<Option<mpsc::UnboundedReceiver<FileId>>>,
    offers: Arc<Semaphore>,
    ended: Notify,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    next_id: u64,
    files: HashMap<FileId, Outgoing>,
    total: TotalOffered,
    /// What has been sent before it was asked for.
    ahead: Early,
    /// Files that changed after the end was said, and what each is offered as now.
    anew: HashMap<FileId, FileId>,
    /// The receiver has begun to answer.
    answered: bool,
    walk_ended: bool,
    /// Something was not offered, or not taken, because one end is about to stop.
    left_out: bool,
    /// The receiver understands [`Message::Offered`].
    hears_offered: bool,
    /// The receiver understands [`Message::Remark`].
    hears_remarks: bool,
    /// How many it has heard.
    remarks: usize,
    offered_sent: bool,
    end_sent: bool,
    peer_ended: bool,
}

#[derive(Default, Clone, Copy)]
struct TotalOffered {
    files: u64,
    bytes: u64,
}

impl Sender {
    pub(crate) fn new(tools: Tools) -> Self {
        let (wanted, wanted_files) = mpsc::unbounded_channel();
        Self(Arc::new(Shared {
            budget: SendBudget::new(tools.account.clone()),
            tools,
            state: Mutex::default(),
            wanted,
            wanted_files: Mutex::new(Some(wanted_files)),
            offers: Arc::new(Semaphore::new(HEADERS_AHEAD_MAX)),
            ended: Notify::new(),
            stop: CancellationToken::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder panics")
    }

    /// Sends everything that `found` yields. Resolves when the receiver has settled every file.
    ///
    /// # Errors
    /// The end of the connection, a walk that broke off, or a rule that the receiver broke.
    pub(crate) async fn run(&self, found: Walked<Found>) -> Result<(), SessionError> {
        let wanted = self.0.wanted_files.lock().expect("no holder panics").take();
        let wanted = wanted.expect("a sender runs once");
        let work = async {
            tokio::select! {
                error = self.pump_wanted(Wanted::new(wanted)) => Err(error),
                result = self.offer_until_ended(found) => result,
            }
        };
        tokio::select! {
            result = work => {
                // The last figures, which a job of less than a second has no others of.
                record_link(&self.0.tools.observer, &link_report(&self.0.tools.connection));
                result
            }
            error = self.0.tools.connection.closed() => Err(error.into()),
            () = self.report_link() => unreachable!("reports never end"),
        }
    }

    async fn offer_until_ended(&self, found: Walked<Found>) -> Result<(), SessionError> {
        self.offer_all(found).await?;
        self.until_peer_ended().await;
        Ok(())
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.0.tools.observer
    }

    /// What the receiver understands beyond the least. A client sends long before it hears that.
    pub(crate) fn use_features(&self, features: u64) {
        let mut state = self.state();
        state.hears_offered = features & features::OFFERED != 0;
        state.hears_remarks = features & features::REMARKS != 0;
        drop(state);
        self.maybe_end();
    }

    /// Offers nothing more; what is on offer is finished. For an end that is about to close.
    pub(crate) fn stop_offering(&self) {
        self.0.stop.cancel();
    }

    /// Whether something was left to another connection.
    pub(crate) fn has_left_out(&self) -> bool {
        self.state().left_out
    }

    /// Whether everything there is has been offered.
    pub(crate) fn has_offered_all(&self) -> bool {
        let state = self.state();
        state.walk_ended && !state.left_out
    }

    /// Whether the receiver has settled every file.
    pub(crate) fn is_finished(&self) -> bool {
        self.state().peer_ended
    }

    /// Whether this side owes the next step: it looks for files, compares its own copy of one, or sums one up.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state();
        let searching = state.files.is_empty() && !state.walk_ended;
        searching || state.files.values().any(Outgoing::is_behind)
    }

    fn want(&self, id: FileId) {
        // The receiver of this channel lives as long as `run`; after it nothing is wanted.
        let _ = self.0.wanted.send(id);
    }

    /// Queues a file once more that has been given time to come to rest.
    fn want_again(&self, id: FileId) {
        if let Some(file) = self.state().files.get_mut(&id) {
            file.offered.waits += 1;
        }
        self.want(id);
    }

    /// Says something of the job that is no failure: to the user, who is at this end or at the other.
    pub(super) fn remark(&self, text: String) {
        if self.0.tools.own_tree {
            return self.0.tools.observer.event(Event::Note(text));
        }
        let mut state = self.state();
        if state.hears_remarks && state.remarks < REMARKS_MAX {
            state.remarks += 1;
            self.0.tools.control.send(Message::Remark(Remark::new(text)));
        }
    }

    /// Starts a pump for each pick of wanted files, a bounded number at a time. Returns only with an error.
    async fn pump_wanted(&self, mut wanted: Wanted) -> SessionError {
        let jobs = self.0.tools.jobs.get();
        let slots = Arc::new(Semaphore::new(jobs));
        let mut pumps = JoinSet::new();
        loop {
            tokio::select! {
                Some(pick) = wanted.next(jobs, |id| self.small_size(id)) => {
                    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                    let sender = self.clone();
                    pumps.spawn(async move {
                        let _slot = slot;
                        match pick {
                            Pick::Small(ids) => sender.send_small(ids).await,
                            Pick::Large(id) => sender.pump(id).await,
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
        }
    }
}
