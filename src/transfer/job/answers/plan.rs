//! Planning: what the disk says about an offer, and what is done with it.

use super::super::twins::{Twin, TwinCheck};
use super::{AnswerState, Answers, AnswersAction, AnswersAttached, Complete, Offered, OpenFile, WaitsFor, stopping};
use crate::protocol::features;
use crate::protocol::message::{
    Done, Failure, FileId, Header, Kind, Message, Named, Pos, SkipReason, Status, Verdict, Why,
};
use crate::protocol::path::WirePath;
use crate::transfer::file::ReceiveFile;
use crate::transfer::file::resume::Start;
use crate::transfer::job::report::LedgerReport;

/// Whether a name may be given on a disk that takes some names for one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameConflict {
    /// No other of the job is like it.
    Yes,
    /// Another one is like it and under way: the offer is planned again when that is settled.
    Waits,
    /// Another one is like it, and settled: the disk is to be asked whether it takes both for one.
    Twin(WirePath),
    /// It lies in a directory that the disk takes for this one.
    Refused(WirePath),
    /// There was no room to remember all names: only the disk knows what is there under it.
    Unsure,
}

/// Whether the directories above a name may be those of earlier names, in another spelling.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DirConflict {
    /// None of them is like another one.
    None,
    /// One is like another one, in which something is under way: the offer is planned again when that is settled.
    Waits,
    /// The disk is to be asked whether it takes `dir` for `first`.
    Twin { dir: WirePath, first: WirePath },
}

impl<A: AnswersAttached> Answers<A> {
    /// The next offers to be planned, so many at most; none: there are none, and nobody plans any more.
    pub(crate) fn next_to_plan(&mut self, count_max: usize) -> Vec<Header> {
        let offered = std::iter::from_fn(|| self.unplanned.pop_front()).filter_map(|id| match self.files.get(&id) {
            Some(AnswerState::Offered(offered)) => Some(offered.header.clone()),
            // It was given up meanwhile.
            Some(AnswerState::Open(_) | AnswerState::Committing(_)) | None => None,
        });
        let next: Vec<_> = offered.take(count_max).collect();
        self.is_planning = !next.is_empty();
        next
    }

    /// Nobody plans any more: the connection has ended.
    pub(crate) fn stop_planning(&mut self) {
        self.is_planning = false;
    }

    /// Whether an offer is still to be planned. `was_done`: an earlier connection of the job has brought it, or found that
    /// it need not be.
    pub(crate) fn is_to_be_planned(&mut self, id: FileId, was_done: bool) -> bool {
        let Some(AnswerState::Offered(offered)) = self.files.get(&id) else { return false };
        // The object under its name may be another one, since the file may have got another name.
        let is_there = was_done && offered.header.kind != Kind::Dir;
        if self.is_draining {
            self.refuse(id, stopping());
        } else if is_there {
            self.skip(id, SkipReason::Same);
        }
        !self.is_draining && !is_there
    }

    /// Whether the name that an offer is to get is like that of another offer, on a disk that may take them for one.
    pub(crate) fn tell_apart(&mut self, header: &Header, path: &WirePath) -> NameConflict {
        if let Some(first) = self.twins.refused_above(path) {
            return NameConflict::Refused(first.clone());
        }
        if let Some(dir) = self.twins.waits_above(path) {
            self.hold(header.id, dir);
            return NameConflict::Waits;
        }
        let Twin { path: first, id } = match self.twins.note(path, header.id) {
            TwinCheck::Alone => return NameConflict::Yes,
            TwinCheck::Unsure => return NameConflict::Unsure,
            TwinCheck::Like(twin) => twin,
        };
        if !self.files.contains_key(&id) {
            return NameConflict::Twin(first);
        }
        if header.kind == Kind::Dir {
            self.twins.wait(path, header.id);
        }
        self.hold(header.id, id);
        NameConflict::Waits
    }

    /// Whether a directory above the name that an offer is to get is like another one. It need not have been offered.
    pub(crate) fn tell_above_apart(&mut self, header: &Header, path: &WirePath) -> DirConflict {
        if self.twins.refused_above(path).is_some() || self.twins.waits_above(path).is_some() {
            return DirConflict::None;
        }
        match self.twins.note_above(path, header.id) {
            None => DirConflict::None,
            Some((_, Twin { id, .. })) if self.files.contains_key(&id) => {
                self.hold(header.id, id);
                DirConflict::Waits
            }
            Some((dir, Twin { path: first, .. })) => DirConflict::Twin { dir, first },
        }
    }

    /// Remembers the name of an offer that need not be planned.
    pub(crate) fn note_name(&mut self, id: FileId, path: &WirePath) {
        self.twins.note_above(path, id);
        self.twins.note(path, id);
    }

    /// An offer that [`Answers::tell_apart`] took for another's twin gets its name all the same.
    pub(crate) fn take_over_name(&mut self, header: &Header, path: &WirePath) {
        self.twins.take_over(path, header.id);
    }

    /// An offer does not get the name that [`Answers::tell_apart`] has noted.
    pub(crate) fn forget_name(&mut self, path: &WirePath) {
        self.twins.forget(path);
    }

    /// The disk takes a directory for one that is there: all that lies in it is refused.
    pub(crate) fn refuse_below(&mut self, dir: &WirePath, first: &WirePath) {
        self.twins.refuse(dir, first);
    }

    /// An earlier connection of the job has given names, of which this ledger knows nothing.
    pub(crate) fn begin_unsure_of_names(&mut self) {
        self.twins.begin_unsure();
    }

    /// Whether names of the job are not remembered for want of room.
    pub(crate) fn lacks_names(&self) -> bool {
        self.twins.lacks_names()
    }

    /// Whether directories that were refused are not remembered for want of room.
    pub(crate) fn lacks_refused(&self) -> bool {
        self.twins.lacks_refused()
    }

    /// Lets an offer wait until another file is settled, which is under way.
    fn hold(&mut self, id: FileId, first: FileId) {
        if let Some(AnswerState::Offered(offered)) = self.files.get_mut(&id) {
            offered.waits_for = WaitsFor::Twin;
            self.held.entry(first).or_default().push(id);
        }
    }

    /// An offer needs no content.
    pub(crate) fn skip(&mut self, id: FileId, reason: SkipReason) {
        let known = match reason {
            SkipReason::Mode if !self.hears(features::REMARKS) => SkipReason::Same,
            reason => reason,
        };
        self.answer(id, Verdict::Skip(known), |header| {
            let Header { path, size, kind, .. } = header;
            (kind != Kind::Dir).then_some(LedgerReport::Skipped { path, size, reason })
        });
    }

    /// An offer cannot be taken.
    pub(crate) fn refuse(&mut self, id: FileId, failure: Failure) {
        let status = failure.status;
        self.answer(id, Verdict::Refuse(failure.clone()), |header| {
            let name = header.path.as_bytes().to_vec();
            let failed = LedgerReport::Failed { name, failure, by_peer: false };
            (status != Status::Cancelled).then_some(failed)
        });
    }

    /// In a dry run: the content of an offer would be asked for, under another name than its own if one is `named`.
    pub(crate) fn plan_only(&mut self, id: FileId, from: u64, why: Why, named: Option<WirePath>) {
        if let Some(name) = &named {
            self.say_name(id, name);
        }
        let verdict = match self.options.tells_plans {
            true => Verdict::From { offset: from, why },
            false => Verdict::Skip(SkipReason::Same),
        };
        self.answer(id, verdict, |header| {
            let Header { path, size, .. } = header;
            let named = named.map(|name| name.to_string());
            Some(LedgerReport::Planned { path, size, from, why, named })
        });
    }

    /// Settles an offer by its answer. Nothing happens when it is not on offer any more: it was given up meanwhile.
    fn answer(
        &mut self,
        id: FileId,
        verdict: Verdict,
        report: impl FnOnce(Header) -> Option<LedgerReport<A::Progress>>,
    ) {
        if !matches!(self.files.get(&id), Some(AnswerState::Offered(_))) {
            return;
        }
        if let Some(AnswerState::Offered(offered)) = self.forget(id) {
            report(offered.header).into_iter().for_each(|report| self.report(report));
        }
        self.say(Message::Pos(Pos { id, verdict }));
        self.settle();
    }

    /// Asks for the content of an offer, by these rules. What is returned is complete with that: an empty file.
    pub(crate) fn open(
        &mut self,
        id: FileId,
        start: &Start,
        mut rules: ReceiveFile,
        io: A::Io,
        progress: A::Progress,
    ) -> Option<Complete<A>> {
        let Some(AnswerState::Offered(offered)) = self.files.get_mut(&id) else { return None };
        if let Some(tail) = offered.tail.take() {
            rules.on_tail(tail).expect("a file that has just begun has no tail and no ranges");
        }
        let Some(AnswerState::Offered(offered)) = self.files.remove(&id) else { return None };
        let has_prefix = rules.is_hashing();
        let Offered { header: Header { path, .. }, room, .. } = *offered;
        let open = OpenFile { path, room, rules, io: io.clone(), progress: progress.clone() };
        self.files.insert(id, AnswerState::Open(Box::new(open)));
        self.report(LedgerReport::Started { progress, is_checked: false });
        self.say(Message::Pos(Pos { id, verdict: Verdict::From { offset: start.from, why: start.why } }));
        if has_prefix {
            self.actions.push_back(AnswersAction::HashPrefix(id, io));
        }
        self.take_complete(id)
    }

    /// Tells the sender under which name a file is, or would be. One that is kept blind must not learn what else is there.
    pub(super) fn say_name(&mut self, id: FileId, name: &WirePath) {
        if self.hears(features::NAMED) && !self.options.is_blind {
            self.say(Message::Named(Named { id, name: name.clone() }));
        }
    }

    /// Gives up a file that cannot be received and tells the sender why; its partial file stays for a later resume. Nothing
    /// happens when it was settled before, by a cancel or on another thread.
    pub(crate) fn fail(&mut self, id: FileId, failure: Failure) {
        let Some(file) = self.forget(id) else { return };
        self.report_failed(file.path(), failure.clone(), false);
        self.say(Message::Done(Done { id, failure: Some(failure) }));
        if let AnswerState::Open(open) = file {
            // A file that proved right is committed first. The sender may find it changed before it hears of that.
            self.reoffers.on_failed();
            self.actions.push_back(AnswersAction::GiveUp(open.io));
        }
        self.settle();
    }
}
