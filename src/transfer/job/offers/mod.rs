//! The sender's ledger of one job: what is on offer, what was asked for, what is sent, and when all has been said.
//!
//! It is fed with what the walk finds, what the receiver says, and what was read and sent; what is to be done comes out as
//! [`OffersAction`]s, in the order in which they are to be carried out. As with the receiver's ledger,
//! [`OffersAction::Say`] and [`OffersAction::Report`] are carried out before another thread feeds it: ids count up on
//! the wire.
//!
//! | file | fed with |
//! |---|---|
//! | `action` | nothing: it is what comes out |
//! | `offer` | what the walk finds, what changed, and what is given up |
//! | `names` | names that the walk finds, each offered once |
//! | `messages` | what the receiver says |
//! | `pump` | what is read and sent of a file |
//!
//! The state of the job is a [`OffersStage`], that of a file a [`OfferState`]:
//!
//! ```text
//! Searching ── the walk is over ──▶ Found ── Offered ──▶ AllOffered ── no header can follow ──▶ Ended ── Settled ──▶ Settled
//!                                     └──────────────── no header can follow ──────────────────▶│
//!
//! Offered ── Pos From ──▶ Unopened ── opened ──▶ Open ── Tail ──▶ Closed ── Done ──▶ gone
//!    └── its tail went ahead, Pos From 0 ──────────────────────────▶│
//! ```

mod action;
mod messages;
pub(crate) mod names;
mod offer;
mod pump;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use rustc_hash::FxHashMap;

pub(crate) use self::action::{OffersAction, OffersAttached, OffersOptions};
pub(crate) use self::messages::room_for;
pub(crate) use self::offer::{Offer, Stat};
pub(crate) use self::pump::OfferedSource;
use super::early::Early;
use crate::protocol::message::{FileId, Header, Kind, Message, Remark};
use crate::protocol::{REMARKS_MAX, features};
use crate::transfer::file::SendFile;
use crate::transfer::job::report::LedgerReport;

/// How far the job is. Each stage follows from those before it and never goes back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum OffersStage {
    /// The walk goes on.
    #[default]
    Searching,
    /// The walk is over.
    Found,
    /// The receiver was told so.
    AllOffered,
    /// `End` was said.
    Ended,
    /// The receiver has settled every file.
    Settled,
}

/// The sender's ledger of one job.
pub(crate) struct Offers<A: OffersAttached> {
    options: OffersOptions,
    /// The features of the receiver.
    features: u64,
    stage: OffersStage,
    /// This end, or the receiver, is about to stop: nothing more is offered.
    is_draining: bool,
    /// Something was not offered, or not taken, because one end is about to stop.
    has_left_out: bool,
    next_id: u64,
    /// Ids count up: no peer chooses those that share a place.
    files: FxHashMap<FileId, Box<Outgoing<A>>>,
    /// Of those, files that may be offered again.
    unclosed: usize,
    /// Files that were offered, and the sum of their sizes.
    total: (u64, u64),
    /// The early content so far. `None`: no more may be sent early; an answer asks for the files to come.
    early: Option<Early>,
    /// Files that changed after the end was said, and what each is offered as now.
    reoffered: HashMap<FileId, FileId>,
    /// How many remarks the receiver has heard.
    remarks: usize,
    actions: VecDeque<OffersAction<A>>,
}

/// One offered file that is not settled.
struct Outgoing<A: OffersAttached> {
    header: Header,
    source: A::Source,
    /// How often it was offered, from one.
    attempt: u8,
    /// How often it was given time to come to rest.
    waits: u8,
    /// The name that it gets there instead of its own, escaped for display.
    named: Option<String>,
    permit: A::Permit,
    state: OfferState<A>,
}

/// How far a file is.
enum OfferState<A: OffersAttached> {
    /// It is not answered.
    Offered {
        /// The start of the file that was sent early.
        start: Option<A::Start>,
        /// All of it was, and its tail was said.
        is_closed: bool,
    },
    /// The receiver wants it.
    Wanted(Box<WantedFile<A>>),
}

/// A file that the receiver wants.
struct WantedFile<A: OffersAttached> {
    from: u64,
    progress: A::Progress,
    /// Content bytes that were sent.
    sent: u64,
    /// Content bytes that the receiver has reported as written.
    reported: u64,
    /// We read our own copy, and have nothing to say of it meanwhile.
    is_read: bool,
    /// Of the digests that wait for ours, once there are some.
    digests: Option<A::Digests>,
    content: ContentState<A>,
}

/// How far the content of a file is.
enum ContentState<A: OffersAttached> {
    /// It waits to be pumped.
    Unopened {
        /// Which compares what comes meanwhile.
        rules: SendFile,
        /// The start of the file that was sent early, which is the first of its ranges.
        start: Option<A::Start>,
    },
    /// It is read and sent.
    Open {
        /// It is what was offered.
        source: A::Open,
        /// The rules of this file: the ranges that are to be sent.
        rules: SendFile,
        /// The pump that works on it.
        pump: Pump,
    },
    /// Its tail was said.
    Closed,
}

/// The state of the pump of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pump {
    /// It is pumped, or waits for its turn.
    Running,
    /// Nobody: the comparison of what is there has to go on first.
    Idle,
    /// Everything is sent, and its digest is being summed up.
    Closing,
}

impl<A: OffersAttached> Outgoing<A> {
    /// Whether nothing that happens to it makes it be offered again.
    fn is_last(&self) -> bool {
        let is_closed = match &self.state {
            OfferState::Offered { is_closed, .. } => *is_closed,
            OfferState::Wanted(wanted) => matches!(wanted.content, ContentState::Closed),
        };
        is_closed || self.header.kind != Kind::File
    }

    fn wanted(&mut self) -> Option<&mut WantedFile<A>> {
        match &mut self.state {
            OfferState::Offered { .. } => None,
            OfferState::Wanted(wanted) => Some(wanted.as_mut()),
        }
    }

    /// Whether the receiver waits for us to read our copy: its digests wait for ours, or it waits for the tail.
    fn is_behind(&self) -> bool {
        let OfferState::Wanted(wanted) = &self.state else { return false };
        let is_behind = match &wanted.content {
            ContentState::Unopened { .. } | ContentState::Closed => false,
            ContentState::Open { rules, pump, .. } => *pump == Pump::Closing || rules.is_behind(),
        };
        wanted.is_read || is_behind
    }
}

impl<A: OffersAttached> Offers<A> {
    /// The ledger of a job that begins.
    pub(crate) fn new(options: OffersOptions) -> Self {
        Self {
            options,
            features: features::NONE,
            stage: OffersStage::default(),
            is_draining: false,
            has_left_out: false,
            next_id: 0,
            files: FxHashMap::default(),
            unclosed: 0,
            total: (0, 0),
            early: options.sends_early.then(Early::default),
            reoffered: HashMap::new(),
            remarks: 0,
            actions: VecDeque::new(),
        }
    }

    /// The next thing that is to be done.
    pub(crate) fn next_action(&mut self) -> Option<OffersAction<A>> {
        self.actions.pop_front()
    }

    /// Takes the features of the receiver beyond the least. A client sends long before it hears them.
    pub(crate) fn use_features(&mut self, features: u64) {
        self.features = features;
        self.maybe_end();
    }

    /// Offers nothing more; what is on offer is finished. For an end that is about to close.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Whether something was left to another connection.
    pub(crate) fn has_left_out(&self) -> bool {
        self.has_left_out
    }

    /// Whether everything there is has been offered.
    pub(crate) fn has_offered_all(&self) -> bool {
        self.stage > OffersStage::Searching && !self.has_left_out
    }

    /// Where the first file on offer lies that the receiver has not settled.
    pub(crate) fn first_unsettled(&self) -> Option<&A::Source> {
        let files = self.files.iter().filter(|(_, file)| file.header.kind != Kind::Dir);
        files.min_by_key(|(id, _)| **id).map(|(_, file)| &file.source)
    }

    /// Whether the receiver has settled every file.
    pub(crate) fn is_finished(&self) -> bool {
        self.stage == OffersStage::Settled
    }

    /// Whether this side owes the next step: it looks for files, compares its own copy of one, or sums one up.
    pub(crate) fn is_busy(&self) -> bool {
        let searching = self.files.is_empty() && self.stage == OffersStage::Searching;
        searching || self.files.values().any(|file| file.is_behind())
    }

    /// Says something of the job that is no failure: to the user, who is at this end or at the other.
    pub(crate) fn remark(&mut self, text: String) {
        if self.options.is_own_tree {
            self.report(LedgerReport::Note(text));
        } else if self.hears(features::REMARKS) && self.remarks < REMARKS_MAX {
            self.remarks += 1;
            self.say(Message::Remark(Remark::new(text)));
        }
    }

    fn hears(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    fn say(&mut self, message: Message) {
        self.actions.push_back(OffersAction::Say(message));
    }

    fn report(&mut self, report: LedgerReport<A::Progress>) {
        self.actions.push_back(OffersAction::Report(report));
    }

    fn is_offered(&self, id: FileId) -> bool {
        id.0 < self.next_id
    }

    fn wanted(&mut self, id: FileId) -> Option<&mut WantedFile<A>> {
        self.files.get_mut(&id)?.wanted()
    }

    /// Takes a file off the offers.
    fn remove(&mut self, id: FileId) -> Option<Box<Outgoing<A>>> {
        let file = self.files.remove(&id)?;
        self.on_removed(&file);
        Some(file)
    }

    /// A file is off the offers.
    fn on_removed(&mut self, file: &Outgoing<A>) {
        self.unclosed -= usize::from(!file.is_last());
        if let OfferState::Wanted(wanted) = &file.state
            && let ContentState::Open { source, .. } = &wanted.content
        {
            self.actions.push_back(OffersAction::LetGo(source.clone()));
        }
    }
}
