//! Offers: files that the walk finds, files that changed or were given up, and the end of the headers.

use super::{OfferState, Offers, OffersAction, OffersAttached, OffersStage, Outgoing};
use crate::protocol::message::{Done, End, Failure, FileId, Header, Kind, Message, Mtime, Problem, Status};
use crate::protocol::path::WirePath;
use crate::protocol::{OFFERS_MAX, features};
use crate::transfer::job::early::is_empty_file;
use crate::transfer::job::report::LedgerReport;

/// A file as it is to be offered.
pub(crate) struct Offer<A: OffersAttached> {
    pub(crate) source: A::Source,
    /// The name that it is offered under.
    pub(crate) path: WirePath,
    /// The kind of object.
    pub(crate) stat: Stat,
    /// Room for it among the offers.
    pub(crate) permit: A::Permit,
}

/// The facts of a file that its header carries beside the name.
#[derive(Debug, Clone)]
pub(crate) struct Stat {
    /// The kind of object.
    pub(crate) kind: Kind,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) mtime: Mtime,
    pub(crate) mode: u32,
}

impl<A: OffersAttached> Offers<A> {
    /// Puts a file on offer.
    pub(crate) fn offer(&mut self, offer: Offer<A>) {
        self.put(offer, 1);
    }

    fn put(&mut self, offer: Offer<A>, attempt: u8) -> FileId {
        let Offer { source, path, stat: Stat { kind, size, mtime, mode }, permit } = offer;
        let id = FileId(self.next_id);
        self.next_id += 1;
        self.total = (self.total.0 + 1, self.total.1 + size);
        let header = Header { id, path, kind, size, mtime, mode };
        self.say(Message::Header(header.clone()));
        if attempt == 1 && self.goes_early(&header) {
            self.actions.push_back(OffersAction::SendEarly(id));
        }
        let state = OfferState::Offered { start: None, is_closed: false };
        let file = Outgoing { header, source, attempt, waits: 0, named: None, permit, state };
        self.unclosed += usize::from(!file.is_last());
        self.files.insert(id, Box::new(file));
        id
    }

    /// Whether the start of a new offer is sent early; it is then counted.
    fn goes_early(&mut self, header: &Header) -> bool {
        self.early.as_mut().is_some_and(|early| is_empty_file(header) || early.take(header))
    }

    /// The walk is over: all that there is was offered, or, with `is_cut_short`, what is offered before one end stops.
    pub(crate) fn on_walk_ended(&mut self, is_cut_short: bool) {
        self.has_left_out |= is_cut_short;
        self.stage = self.stage.max(OffersStage::Found);
        self.report(LedgerReport::SearchEnded);
        self.maybe_end();
    }

    /// Where the source of a file lies that changed while it was sent; `None` when it has changed too often, or is not on
    /// offer any more.
    pub(crate) fn to_look_again(&self, id: FileId) -> Option<A::Source> {
        self.files.get(&id).filter(|file| file.attempt < OFFERS_MAX).map(|file| file.source.clone())
    }

    /// The source of a file changed while it was sent: what the receiver has is dropped, and the file is offered again as
    /// it is `now`; `None`: it is gone, or has changed too often.
    ///
    /// Where nobody could look at it once more, the failure of that is what the receiver and whoever watches are told.
    pub(crate) fn offer_again(&mut self, id: FileId, now: Result<Option<(A::Source, Stat)>, Failure>) {
        let Some(file) = self.remove(id) else { return };
        let Outgoing { header: Header { path, .. }, attempt, permit, .. } = *file;
        self.say(Message::Cancel(Done { id, failure: Some(changed()) }));
        match now {
            Ok(Some((source, stat))) => {
                let again = self.put(Offer { source, path, stat, permit }, attempt + 1);
                if self.stage >= OffersStage::Ended {
                    self.reoffered.insert(id, again);
                }
            }
            Ok(None) => self.problem(path.as_bytes().to_vec(), changed()),
            Err(failure) => self.problem(path.as_bytes().to_vec(), failure),
        }
        self.maybe_end();
    }

    /// Gives one file up for good and tells the receiver.
    pub(crate) fn give_up(&mut self, id: FileId, failure: Failure) {
        let Some(file) = self.remove(id) else { return };
        self.say(Message::Cancel(Done { id, failure: Some(failure.clone()) }));
        self.report_failed(&file, failure, false);
        self.maybe_end();
    }

    /// A source never gets a header.
    pub(crate) fn problem(&mut self, name: Vec<u8>, failure: Failure) {
        self.say(Message::Problem(Problem::new(name.clone(), failure.clone())));
        self.report(LedgerReport::Failed { name, failure, by_peer: false });
    }

    pub(super) fn report_failed(&mut self, file: &Outgoing<A>, failure: Failure, by_peer: bool) {
        self.report(LedgerReport::Failed { name: file.header.path.as_bytes().to_vec(), failure, by_peer });
    }

    /// Sends `End` once no header can follow: the walk is over and every file is past the point where a change of its
    /// source would offer it again. Before that, `Offered` once the walk is over.
    pub(super) fn maybe_end(&mut self) {
        if !(OffersStage::Found..OffersStage::Ended).contains(&self.stage) {
            return;
        }
        if self.unclosed == 0 {
            self.stage = OffersStage::Ended;
            let (files, bytes) = self.total;
            self.say(Message::End(End { files, bytes }));
        } else if self.stage == OffersStage::Found && self.hears(features::OFFERED) && !self.has_left_out {
            self.stage = OffersStage::AllOffered;
            self.say(Message::Offered);
        }
    }
}

/// The failure of a source that never stood still.
fn changed() -> Failure {
    Failure::new(Status::Changed, "")
}
