//! The sending end: the sender's ledger, over a store in memory. What `session/sender` does with QUIC and tokio is done here
//! one step at a time, with its own rules for opening, reading and closing a source.

mod pump;
mod start;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::pump::Step;
use self::start::Start;
use super::Fault;
use super::network::Streams;
use crate::digest::ChunkHasher;
use crate::progress::{FileProgress, Observer};
use crate::protocol::message::{Header, Kind, Message, ReceiverMessage, Spoken, Why};
use crate::protocol::path::WirePath;
use crate::session::budget::{Account, Hold, OFFER_BYTES};
use crate::session::record::Record;
use crate::session::sender::source::{Located, stat};
use crate::storage::testing::memory::{ManualClock, MemorySource, MemoryStore};
use crate::storage::testing::random::Random;
use crate::storage::{Files, Meta};
use crate::transfer::job::JobError;
use crate::transfer::job::offers::{Offer, Offers, OffersAction, OffersAttached, OffersOptions};

/// What the ledger keeps with each file.
pub(super) struct Side;

impl OffersAttached for Side {
    type Permit = Hold;
    type Digests = Hold;
    type Source = Located<MemoryStore>;
    type Open = Arc<MemorySource>;
    type Start = Start;
    type Progress = Arc<FileProgress>;

    fn progress(header: &Header, _: &Located<MemoryStore>, from: u64, why: Why) -> Arc<FileProgress> {
        Arc::new(FileProgress::new(header.path.to_string(), header.size, from, why))
    }
}

/// What one connection's sender works with.
pub(super) struct Tools {
    pub(super) store: MemoryStore,
    pub(super) clock: ManualClock,
    pub(super) account: Account,
    pub(super) hasher: ChunkHasher,
    pub(super) record: Record,
    pub(super) observer: Observer,
    pub(super) features: u64,
    pub(super) options: OffersOptions,
}

/// One connection's sender.
pub(super) struct Sending {
    pub(super) ledger: Offers<Side>,
    pub(super) says: VecDeque<Message>,
    pub(super) is_over: bool,
    tools: Tools,
    /// Names that the walk has still to look at; `None` when it is over.
    walk: Option<VecDeque<WirePath>>,
    steps: Vec<Step>,
    later: Vec<(Duration, Step)>,
}

impl Sending {
    pub(super) fn new(tools: Tools, names: VecDeque<WirePath>) -> Self {
        let mut ledger = Offers::new(tools.options);
        ledger.use_features(tools.features);
        let (says, steps, later) = Default::default();
        Self { ledger, says, is_over: false, tools, walk: Some(names), steps, later }
    }

    /// Carries out what the ledger says.
    pub(super) fn carry_out(&mut self) {
        while let Some(action) = self.ledger.next_action() {
            match action {
                OffersAction::Say(message) => self.says.push_back(message),
                OffersAction::Report(report) => {
                    self.tools.record.tell(&self.tools.observer, self.tools.options.is_own_tree, report);
                }
                OffersAction::LetGo(source) => drop(source),
                OffersAction::SendEarly(id) => self.steps.push(Step::Early { id, waits: 0 }),
                OffersAction::Claim(start) => drop(start.claim()),
                OffersAction::Want(id) => self.steps.push(Step::Begin(id)),
                OffersAction::Finish => self.is_over = true,
            }
        }
    }

    pub(super) fn hear(&mut self, message: Message) -> Result<(), JobError> {
        let account = &self.tools.account;
        let result = match Spoken::from(message) {
            Spoken::Receiver(ReceiverMessage::Pos(pos)) => self.ledger.on_pos(pos),
            Spoken::Receiver(ReceiverMessage::Have(have)) => {
                self.ledger.on_have(&have, |bytes| account.take_for_digests(bytes))
            }
            Spoken::Receiver(ReceiverMessage::Done(done)) => self.ledger.on_done(done),
            Spoken::Receiver(ReceiverMessage::Named(named)) => self.ledger.on_named(named),
            Spoken::Receiver(ReceiverMessage::Settled) => self.ledger.on_settled(),
            Spoken::Either(_) => Ok(()),
            other => unreachable!("no receiver says {other:?}"),
        };
        self.carry_out();
        result
    }

    /// One end is about to stop.
    pub(super) fn stop(&mut self) {
        self.ledger.drain();
        if self.walk.take().is_some() {
            self.ledger.on_walk_ended(true);
        }
        self.carry_out();
    }

    /// How many steps it could take now.
    pub(super) fn steps(&self) -> usize {
        let now = self.tools.clock.since_1970();
        usize::from(self.walk.is_some()) + self.steps.len() + self.later.iter().filter(|(due, _)| *due <= now).count()
    }

    /// When the next step may be taken that waits for its time.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.later.iter().map(|(due, _)| *due).min()
    }

    /// Takes any of them.
    pub(super) fn step(&mut self, random: &mut Random, streams: &mut Streams, fault: Option<Fault>) {
        let now = self.tools.clock.since_1970();
        if let Some(at) = self.later.iter().position(|(due, _)| *due <= now) {
            let (_, step) = self.later.swap_remove(at);
            self.steps.push(step);
        }
        if self.walk.is_some() && random.below(self.steps.len() + 1) == 0 {
            self.walk_on(fault);
        } else if !self.steps.is_empty() {
            let step = random.take(&mut self.steps);
            self.take(step, streams, fault);
        }
        self.carry_out();
    }

    fn walk_on(&mut self, fault: Option<Fault>) {
        let Some(name) = self.walk.as_mut().and_then(VecDeque::pop_front) else {
            self.walk = None;
            if fault != Some(Fault::EndForgotten) {
                self.ledger.on_walk_ended(false);
            }
            return;
        };
        let Tools { store, account, record, observer, .. } = &self.tools;
        let meta = match store.stat(&name) {
            Ok(Some(meta)) => meta,
            // It was taken away.
            Ok(None) => return,
            Err(error) => return self.ledger.problem(name.as_bytes().to_vec(), (&error).into()),
        };
        if record.is_settled(&name) {
            return;
        }
        let Some(permit) = account.take_for_offer(OFFER_BYTES + 2 * name.as_bytes().len()) else {
            // It waits for room.
            return self.walk.iter_mut().for_each(|walk| walk.push_front(name.clone()));
        };
        if meta.kind != Kind::Dir {
            record.found(observer, &name, meta.size);
        }
        let source = located(store, &name, &meta);
        self.ledger.offer(Offer { stat: stat(&meta), source, path: name, permit });
    }

    fn wait(&mut self, wait: Duration, step: Step) {
        self.later.push((self.tools.clock.since_1970() + wait, step));
    }
}

fn located(root: &MemoryStore, at: &WirePath, meta: &Meta) -> Located<MemoryStore> {
    Located { root: root.clone(), at: at.clone(), identity: meta.identity }
}
