//! The receiver's ledger of one job: what is on offer, what was answered, what is settled, and when the job is.
//!
//! It is fed with what the sender says, what the disk turns out to hold, and what was stored; what is to be done
//! comes out as [`AnswersAction`]s, in the order in which they are to be carried out. Messages of one file must leave
//! in that order: whoever drives the ledger from several threads carries out [`AnswersAction::Say`] and
//! [`AnswersAction::Report`] before another thread feeds it.
//!
//! | file | fed with |
//! |---|---|
//! | `action` | nothing: it is what comes out |
//! | `messages` | what the sender says |
//! | `plan` | what the disk says about an offer, and what is done with it |
//! | `content` | ranges, chunks, digests of what is there, the commit |
//!
//! The state of the job is a [`AnswersStage`], that of a file a variant of [`AnswerState`]:
//!
//! ```text
//! Searching ── Offered ──▶ AllOffered ── End ──▶ Ended ── nothing is left ──▶ WindingUp ── on_wound_up ──▶ Settled
//!     └───────────────────── End ────────────────▶│
//!
//! Header ─▶ Offered ── start ──▶ Open ── complete ──▶ Committing ── Done ──▶ gone
//!              └── skip, refuse ──▶ gone  └── fail, cancel ──▶ gone     └── fail ──▶ gone
//! ```

mod action;
mod content;
mod messages;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use rustc_hash::FxHashMap;

pub(crate) use self::action::{AnswersAction, AnswersAttached, AnswersOptions};
pub(crate) use self::content::{Complete, EarlyRange, PrefixProgress, RangeTarget};
pub(crate) use self::plan::{DirConflict, NameConflict};
use super::early::Early;
use super::reoffer::Reoffers;
use super::twins::Twins;
use crate::broken::BreakableRule;
use crate::protocol::features;
use crate::protocol::message::{Failure, FileId, Header, Message, Remark, Status, Tail};
use crate::protocol::path::WirePath;
use crate::transfer::file::ReceiveFile;
use crate::transfer::job::report::LedgerReport;

/// How far the job is. Each stage follows from those before it and never goes back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AnswersStage {
    /// The sender looks for files.
    #[default]
    Searching,
    /// The sender has found all that there is.
    AllOffered,
    /// No new name follows.
    Ended,
    /// Every file is settled, and what is done last is being done.
    WindingUp,
    /// `Settled` was said.
    Settled,
}

/// The receiver's ledger of one job.
pub(crate) struct Answers<A: AnswersAttached> {
    options: AnswersOptions,
    /// The features of the sender.
    features: u64,
    stage: AnswersStage,
    /// This end is about to stop: what has not begun is refused.
    is_draining: bool,
    next_id: u64,
    /// Ids count up: no peer chooses those that share a place.
    files: FxHashMap<FileId, AnswerState<A>>,
    /// Offers that wait for the disk's word on what is there, those that were given up meanwhile among them.
    unplanned: VecDeque<FileId>,
    /// Somebody plans, or was told to.
    is_planning: bool,
    early: Early,
    /// Streams whose file was not offered yet.
    unoffered: HashMap<FileId, A::Wait>,
    reoffers: Reoffers<A::Room>,
    twins: Twins<A::Names>,
    /// Offers that wait until the one whose name is like theirs is settled.
    held: FxHashMap<FileId, Vec<FileId>>,
    actions: VecDeque<AnswersAction<A>>,
}

/// A file that is not settled.
enum AnswerState<A: AnswersAttached> {
    Offered(Box<Offered<A>>),
    Open(Box<OpenFile<A>>),
    Committing(Committing<A>),
}

/// A file that is not answered.
struct Offered<A: AnswersAttached> {
    header: Header,
    room: A::Room,
    waits_for: WaitsFor,
    /// The stream that has its start already, if there is one.
    stream: Option<A::Wait>,
    /// It came with all of the content, and counts if that does.
    tail: Option<Tail>,
}

/// The reason why an offer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Disk,
    /// Another file, whose name is like its own.
    Twin,
}

/// A file whose content is wanted.
struct OpenFile<A: AnswersAttached> {
    /// As it was offered.
    path: WirePath,
    room: A::Room,
    rules: ReceiveFile,
    io: A::Io,
    progress: A::Progress,
}

/// A file that is complete.
struct Committing<A: AnswersAttached> {
    path: WirePath,
    room: A::Room,
    progress: A::Progress,
}

impl<A: AnswersAttached> AnswerState<A> {
    fn path(&self) -> &WirePath {
        match self {
            Self::Offered(offered) => &offered.header.path,
            Self::Open(open) => &open.path,
            Self::Committing(committing) => &committing.path,
        }
    }
}

impl<A: AnswersAttached> Answers<A> {
    /// The ledger of a job that begins. `names` is room that grows with the names that are told apart.
    pub(crate) fn new(options: AnswersOptions, names: A::Names) -> Self {
        Self {
            options,
            features: features::NONE,
            stage: AnswersStage::default(),
            is_draining: false,
            next_id: 0,
            files: FxHashMap::default(),
            unplanned: VecDeque::new(),
            is_planning: false,
            early: Early::default(),
            unoffered: HashMap::new(),
            reoffers: Reoffers::default(),
            twins: Twins::new(names),
            held: FxHashMap::default(),
            actions: VecDeque::new(),
        }
    }

    /// Takes the features of the sender beyond the least.
    pub(crate) fn use_features(&mut self, features: u64) {
        self.features = features;
    }

    /// The next thing that is to be done.
    pub(crate) fn next_action(&mut self) -> Option<AnswersAction<A>> {
        self.actions.pop_front()
    }

    /// Begins no more files. For an end that is about to close.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Whether the sender has ended and every file is settled.
    pub(crate) fn is_finished(&self) -> bool {
        self.stage == AnswersStage::Settled
    }

    /// Whether this side owes the next step: it is planning, hashing or committing.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_planning
            || self.files.values().any(|file| match file {
                AnswerState::Offered(offered) => offered.waits_for == WaitsFor::Disk,
                AnswerState::Open(open) => open.rules.is_hashing(),
                AnswerState::Committing(_) => true,
            })
    }

    /// Says something of the job that is no failure, at both ends: the user is at one of them.
    pub(crate) fn remark(&mut self, text: String) {
        if self.hears(features::REMARKS) {
            self.say(Message::Remark(Remark::new(text.clone())));
        }
        self.report(LedgerReport::Note(text));
    }

    /// The last work of the job is done.
    pub(crate) fn on_wound_up(&mut self) {
        self.stage = AnswersStage::Settled;
        self.say(Message::Settled);
        self.actions.push_back(AnswersAction::Finish);
    }

    /// Takes out where the content of open files goes, of a job that nobody goes on with.
    pub(crate) fn take_open(&mut self) -> Vec<A::Io> {
        let open = self.files.drain().filter_map(|(_, file)| match file {
            AnswerState::Open(open) => Some(open.io),
            AnswerState::Offered(_) | AnswerState::Committing(_) => None,
        });
        open.collect()
    }

    fn hears(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    fn say(&mut self, message: Message) {
        self.actions.push_back(AnswersAction::Say(message));
    }

    fn report(&mut self, report: LedgerReport<A::Progress>) {
        self.actions.push_back(AnswersAction::Report(report));
    }

    fn report_failed(&mut self, path: &WirePath, failure: Failure, by_peer: bool) {
        self.report(LedgerReport::Failed { name: path.as_bytes().to_vec(), failure, by_peer });
    }

    fn is_offered(&self, id: FileId) -> bool {
        id.0 < self.next_id
    }

    /// Forgets a file that is settled. What waited for it is planned, and the job is over when it was the last.
    fn forget(&mut self, id: FileId) -> Option<AnswerState<A>> {
        let file = self.files.remove(&id)?;
        self.twins.settle(id);
        if let Some(held) = self.held.remove(&id) {
            for id in &held {
                if let Some(AnswerState::Offered(offered)) = self.files.get_mut(id) {
                    offered.waits_for = WaitsFor::Disk;
                }
            }
            self.unplanned.extend(held);
            self.start_planning();
        }
        Some(file)
    }

    fn start_planning(&mut self) {
        if !std::mem::replace(&mut self.is_planning, true) {
            self.actions.push_back(AnswersAction::Plan);
        }
    }

    /// Ends the job, once, when nothing is left.
    fn settle(&mut self) {
        let has_files = !self.files.is_empty() && !BreakableRule::FilesAreAwaited.is_broken();
        let awaits_offers = self.reoffers.is_awaited() && !BreakableRule::ReofferIsAwaited.is_broken();
        if self.stage == AnswersStage::Ended && !has_files && !awaits_offers {
            self.stage = AnswersStage::WindingUp;
            self.actions.push_back(AnswersAction::WindUp);
        }
    }
}

/// The failure of what has not begun when this end is about to stop.
fn stopping() -> Failure {
    Failure::new(Status::Cancelled, "this end is about to stop")
}
