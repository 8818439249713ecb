//! The receiving role: offers in, answers out; content to disk; each file judged, committed, reported.
//!
//! Whoever learns something — the control loop, a data stream, a disk thread, the committer — calls the
//! matching `on_` method. It takes the lock, feeds the rules, and acts on what they say.
//!
//! | file | noun |
//! |---|---|
//! | `messages` | what the sender says |
//! | `plan`, `answer` | what an offer needs; saying so, and beginning it |
//! | `same` | what is there already and needs no content |
//! | `twins` | names that the disk may take for one |
//! | `check` | digests of what is there already |
//! | `stream`, `gaps`, `backlog` | a range on its way to disk; the order that it comes in; the brake when the disk is behind |
//! | `ahead` | a range that came before its file was answered |
//! | `anew` | what changed and is to be offered again; what crosses it |
//! | `file`, `wait` | where content is written; waiting for a part that cannot be opened |
//! | `finish`, `settle` | the verdict and the commit; the last word on a file and on the job |
//! | `remark` | what is not as it should be, and no failure |

mod ahead;
mod anew;
mod answer;
mod backlog;
mod check;
mod delivered;
mod file;
mod finish;
mod gaps;
mod messages;
mod plan;
mod remark;
mod same;
mod settle;
mod stream;
mod twins;
mod wait;

pub use self::backlog::BEGUN_STILL_MAX;
pub(crate) use self::delivered::Delivered;
pub use self::gaps::{PIECE_BYTES, PIECES_FREE};

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use quinn::Connection;
use tokio::sync::Notify;

use self::ahead::Waker;
use self::anew::Anew;
use self::backlog::Backlog;
use self::file::FileIo;
use self::twins::Twins;
use super::budget::{Account, Hold, OFFER_BYTES};
use super::control::Control;
use super::memory::Buffers;
use super::window::ReceiveWindow;
use crate::digest::Hasher;
use crate::progress::{FileProgress, Observer};
use crate::protocol::features;
use crate::protocol::message::{End, Failure, FileId, Header, IfExists, Tail, Target};
use crate::protocol::path::{PATH_BYTES_MAX, WirePath};
use crate::storage::{Committer, Destination, DirMeta, DiskQueue, Meta, Replace};
use crate::transfer::ahead::Ahead;
use crate::transfer::receive::Receive;
use crate::transfer::resume::Policy;

/// Whether what is on offer may be written, and under that name; else why not.
type Allows = dyn Fn(&Header, &WirePath) -> Result<(), Failure> + Send + Sync;

/// How a receiver treats what it is offered.
pub(crate) struct ReceiveOptions {
    /// Where files go; nothing outside it is touched.
    pub(crate) root: Destination,
    /// Below the root; `None` is the root itself.
    pub(crate) to: Option<WirePath>,
    /// How `to` is to be read.
    pub(crate) target: Target,
    /// What happens to what exists.
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
    /// Who alone may continue the partial files of this job; `None` is anyone. A sender that the policy keeps blind
    /// must not learn what others left unfinished.
    pub(crate) owner: Option<String>,
    /// What such senders have delivered, which each of them may hear of its own.
    pub(crate) delivered: Option<Arc<Delivered>>,
}

impl ReceiveOptions {
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

    /// What happens to a name that is taken when content, or a link, is to get it: it may have been taken since the plan.
    fn replace(&self) -> Replace {
        match self.policy.if_exists {
            IfExists::Replace => Replace::Yes,
            IfExists::Rename => Replace::RenameFree,
            IfExists::Skip | IfExists::Fail => Replace::No,
        }
    }
}

/// What a receiver works with.
pub(crate) struct Tools {
    pub(crate) connection: Connection,
    pub(crate) control: Control,
    /// The connection's.
    pub(crate) disk: DiskQueue,
    pub(crate) committer: Committer,
    pub(crate) hasher: Hasher,
    pub(crate) buffers: Buffers,
    /// What the connection may hold.
    pub(crate) account: Account,
    /// What the peer may have under way.
    pub(crate) window: Arc<ReceiveWindow>,
    pub(crate) observer: Observer,
    /// Where waits happen.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The receiving role of one job. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<Shared>);

struct Shared {
    tools: Tools,
    options: ReceiveOptions,
    backlog: Backlog,
    state: Mutex<State>,
    settled: Notify,
}

/// Files that were not settled are closed, which may block on the disk: not where the last of us happened to be dropped.
impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let files = std::mem::take(&mut state.files);
        if !files.is_empty() {
            self.tools.disk.spawn(move || drop(files));
        }
    }
}

#[derive(Default)]
struct State {
    next_id: u64,
    files: HashMap<FileId, File>,
    /// What each of them takes from the budget.
    rooms: HashMap<FileId, Hold>,
    /// What came before it was asked for.
    ahead: Ahead,
    /// Files whose content came before their offer.
    unoffered: HashMap<FileId, Waker>,
    /// Offers that wait for the disk's word on what is there.
    unplanned: VecDeque<Header>,
    planning: bool,
    /// Files that the sender gave up because they changed.
    anew: Anew,
    /// Directories whose time and mode are set last: writing into them changes their time. By name, so that
    /// one that is offered over and over takes no more room.
    directories: BTreeMap<WirePath, Finish>,
    /// There was no room to keep them all.
    lacks_directories: bool,
    /// The sender hears under which name a file is.
    says_names: bool,
    /// The sender has found all that there is.
    offered: bool,
    end: Option<End>,
    /// Nothing is left but the directories.
    settling: bool,
    finished: bool,
    /// This end is about to stop: what has not begun is refused.
    ending: bool,
    twins: Twins,
    /// Offers that wait until the one whose name is like theirs is settled.
    held: HashMap<FileId, Vec<Header>>,
    /// Directories whose names have been doubted, each once, and whether as names that others lie below; `None` is the root.
    doubted: HashMap<Option<WirePath>, bool>,
    /// The step of the disk's time stamps in nanoseconds, once it was asked for.
    time_step: Option<u64>,
    /// The sender understands [`Message::Remark`](crate::protocol::message::Message::Remark).
    hears_remarks: bool,
    /// Content that was written before this moment is on the disk, whoever wrote it.
    written_until: Option<SystemTime>,
    /// It has been said that times or modes are not kept.
    unset_said: bool,
}

/// What a directory gets at the end.
struct Finish {
    meta: DirMeta,
    _room: Hold,
}

/// One offered file that is not settled.
enum File {
    Planning(Planned),
    Open(Open),
    Committing(Arc<FileProgress>),
}

/// A file that waits for its answer.
struct Planned {
    header: Header,
    /// It waits for another file, not for the disk.
    is_held: bool,
    /// The stream that has its start already, if there is one.
    stream: Option<Waker>,
    /// It came with all of the content, and counts if that does.
    tail: Option<Tail>,
}

struct Open {
    /// As it was offered.
    path: WirePath,
    rules: Receive,
    io: Arc<FileIo>,
    progress: Arc<FileProgress>,
}

impl Open {
    fn place(&self) -> Place {
        Place { io: self.io.clone(), progress: self.progress.clone() }
    }
}

/// Where the content of one file goes.
struct Place {
    io: Arc<FileIo>,
    progress: Arc<FileProgress>,
}

impl State {
    /// Lets an offer wait until another file is settled, which is under way.
    fn hold(&mut self, header: &Header, first: FileId) {
        if let Some(File::Planning(planned)) = self.files.get_mut(&header.id) {
            planned.is_held = true;
            self.held.entry(first).or_default().push(header.clone());
        }
    }

    /// What waited for a file, which is settled, is to be planned.
    fn release(&mut self, id: FileId) -> bool {
        self.twins.settle(id);
        let Some(headers) = self.held.remove(&id) else { return false };
        for header in &headers {
            if let Some(File::Planning(planned)) = self.files.get_mut(&header.id) {
                planned.is_held = false;
            }
        }
        self.unplanned.extend(headers);
        !std::mem::replace(&mut self.planning, true)
    }
}

impl Receiver {
    pub(crate) fn new(tools: Tools, options: ReceiveOptions) -> Self {
        let backlog = Backlog::new(tools.window.clone());
        Self(Arc::new(Shared { tools, options, backlog, state: Mutex::default(), settled: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder panics")
    }

    /// What the sender understands beyond the least.
    pub(crate) fn use_features(&self, features: u64) {
        let mut state = self.state();
        state.hears_remarks = features & features::REMARKS != 0;
        state.says_names = features & features::NAMED != 0;
    }

    /// A file is settled: what waited for it goes on.
    fn release(&self, id: FileId) {
        if self.state().release(id) {
            let receiver = self.clone();
            self.0.tools.disk.spawn(move || receiver.plan_some());
        }
    }

    /// Resolves when the sender has ended and every file is settled.
    pub(crate) async fn finished(&self) {
        loop {
            let notified = self.0.settled.notified();
            if self.state().finished {
                return;
            }
            notified.await;
        }
    }

    /// Begins no more files. For an end that is about to close.
    pub(crate) fn refuse_new(&self) {
        self.state().ending = true;
    }

    /// Whether the sender has ended and every file is settled.
    pub(crate) fn is_finished(&self) -> bool {
        self.state().finished
    }

    /// Whether the connection has ended: nobody waits for what the disk could still find out.
    fn is_over(&self) -> bool {
        self.0.tools.connection.close_reason().is_some()
    }

    /// Whether there is room for one more offer. A sender that is not heard meanwhile has the windows that it had.
    pub(crate) fn has_room_for_an_offer(&self) -> bool {
        self.0.tools.account.take_for_offer(OFFER_BYTES + 2 * PATH_BYTES_MAX).is_some()
    }

    /// Whether the peer has begun chunks and left them so for too long. To be asked every few seconds.
    pub(crate) fn is_left_begun(&self, now: Instant) -> bool {
        self.0.backlog.is_left_begun(now)
    }

    /// Whether this side owes the next step: it is planning, hashing, writing or committing.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state();
        state.planning
            || self.0.backlog.is_busy()
            || state.files.values().any(|file| match file {
                File::Planning(planned) => !planned.is_held,
                File::Committing(_) => true,
                File::Open(open) => open.rules.is_hashing(),
            })
    }
}
