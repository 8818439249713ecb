//! The pump of a file: the ranges that are read and sent, and the tail.

use std::ops::Range;

use super::{ContentState, OfferState, Offers, OffersAction, OffersAttached, Outgoing, Pump};
use crate::digest::{CHUNK_BYTES, ChunkDigests, Digest};
use crate::protocol::message::{FileId, Header, Message, Tail};
use crate::transfer::file::SendFile;
use crate::transfer::file::send::Closing;
use crate::transfer::job::early::start_len;
use crate::transfer::job::report::LedgerReport;

/// Where a file on offer lies, and what was said of it.
pub(crate) struct OfferedSource<A: OffersAttached> {
    pub(crate) source: A::Source,
    /// The header that it was offered with.
    pub(crate) header: Header,
    /// From where it is wanted.
    pub(crate) from: u64,
    /// How often it was offered, from one.
    pub(crate) attempt: u8,
    /// How often it was given time to come to rest.
    pub(crate) waits: u8,
}

impl<A: OffersAttached> Offers<A> {
    /// Where a file lies; `None` when it is over.
    pub(crate) fn place(&self, id: FileId) -> Option<OfferedSource<A>> {
        let Outgoing { header, source, attempt, waits, state, .. } = &**self.files.get(&id)?;
        let from = match state {
            OfferState::Offered { .. } => 0,
            OfferState::Wanted(wanted) => wanted.from,
        };
        let (source, header) = (source.clone(), header.clone());
        Some(OfferedSource { source, header, from, attempt: *attempt, waits: *waits })
    }

    /// The name of a file, escaped for display.
    pub(crate) fn name(&self, id: FileId) -> Option<String> {
        self.files.get(&id).map(|file| file.header.path.to_string())
    }

    /// Whether a file is wanted and its source is still to be opened.
    pub(crate) fn is_unopened(&mut self, id: FileId) -> bool {
        self.wanted(id).is_some_and(|wanted| matches!(wanted.content, ContentState::Unopened { .. }))
    }

    /// The size of a file that is to be sent whole and fits one chunk.
    pub(crate) fn small_size(&mut self, id: FileId) -> Option<u64> {
        let file = self.files.get_mut(&id)?;
        let size = file.header.size;
        let wanted = file.wanted()?;
        let is_unopened = matches!(wanted.content, ContentState::Unopened { .. });
        (is_unopened && wanted.from == 0 && size <= CHUNK_BYTES).then_some(size)
    }

    /// Queues a file once more that has been given time to come to rest.
    pub(crate) fn want_again(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.waits += 1;
            self.actions.push_back(OffersAction::Want(id));
        }
    }

    /// The start of a file is about to be sent early; whether nobody has answered meanwhile.
    pub(crate) fn is_unanswered(&self, id: FileId) -> bool {
        self.files.get(&id).is_some_and(|file| matches!(file.state, OfferState::Offered { .. }))
    }

    /// The start of a file is on its way, unasked.
    pub(crate) fn on_start_sent(&mut self, id: FileId, sent: A::Start) {
        if let Some(OfferState::Offered { start, .. }) = self.files.get_mut(&id).map(|file| &mut file.state) {
            *start = Some(sent);
        }
    }

    /// All of a small file is on its way, unasked: its tail is said too.
    pub(crate) fn close_early(&mut self, tail: Tail) {
        let Some(file) = self.files.get_mut(&tail.id) else { return };
        let OfferState::Offered { is_closed, .. } = &mut file.state else { return };
        if !std::mem::replace(is_closed, true) {
            self.unclosed -= 1;
        }
        self.say(Message::Tail(Tail { early: true, ..tail }));
        self.maybe_end();
    }

    /// The start of a file that was asked for from there, if it was sent early: it is sent then, and counted.
    pub(crate) fn take_start(&mut self, id: FileId) -> Option<A::Start> {
        let file = self.files.get_mut(&id)?;
        let len = start_len(&file.header);
        let wanted = file.wanted()?;
        let ContentState::Unopened { start, .. } = &mut wanted.content else { return None };
        let start = start.take()?;
        wanted.sent += len;
        let progress = wanted.progress.clone();
        self.report(LedgerReport::Begun(progress));
        Some(start)
    }

    /// A file is open: `content` are the parts of it at or after its start that hold data. `start` is the digest of what was
    /// sent early of it. Whether its prefix is to be hashed; `None` when it is over.
    pub(crate) fn on_opened(
        &mut self,
        id: FileId,
        source: A::Open,
        content: Vec<Range<u64>>,
        own: ChunkDigests,
        start: Option<Digest>,
    ) -> Option<bool> {
        let wanted = self.wanted(id)?;
        match std::mem::replace(&mut wanted.content, ContentState::Closed) {
            ContentState::Unopened { mut rules, .. } => {
                rules.open(content, own);
                start.into_iter().for_each(|digest| rules.on_start(digest));
                let has_prefix = rules.prefix_chunks() > 0;
                wanted.content = ContentState::Open { source, rules, pump: Pump::Running };
                Some(has_prefix)
            }
            other => {
                wanted.content = other;
                None
            }
        }
    }

    /// The next range of a file that needs a stream, and its source.
    pub(crate) fn next_range(&mut self, id: FileId) -> Option<(A::Open, Range<u64>)> {
        let wanted = self.wanted(id)?;
        let ContentState::Open { source, rules, .. } = &mut wanted.content else { return None };
        let range = rules.next_range()?;
        wanted.sent += range.end - range.start;
        Some((source.clone(), range))
    }

    /// The rules of an open file; `None` when it is over.
    pub(crate) fn rules(&mut self, id: FileId) -> Option<&mut SendFile> {
        match &mut self.wanted(id)?.content {
            ContentState::Open { rules, .. } => Some(rules),
            ContentState::Unopened { .. } | ContentState::Closed => None,
        }
    }

    /// Some of our own chunks before the start are hashed. `false` when the file is over.
    pub(crate) fn on_hashed(&mut self, id: FileId, first: u64, digests: &[Digest]) -> bool {
        let Some(rules) = self.rules(id) else { return false };
        rules.on_own(first, digests);
        self.on_compared(id);
        true
    }

    /// A stream of a file was opened.
    pub(crate) fn on_stream(&mut self, id: FileId) {
        let progress = self.wanted(id).map(|wanted| wanted.progress.clone());
        progress.into_iter().for_each(|progress| self.report(LedgerReport::Begun(progress)));
    }

    /// Counts content that is sent whole.
    pub(crate) fn count_sent(&mut self, id: FileId, bytes: u64) {
        if let Some(wanted) = self.wanted(id) {
            wanted.sent += bytes;
        }
    }

    /// The receiver reports so many bytes more of a range as written. `false` when nobody counts them any more.
    pub(crate) fn on_written(&mut self, id: FileId, bytes: u64) -> bool {
        let Some(wanted) = self.wanted(id) else { return false };
        // A receiver can only claim what was sent; more would be a lie to the progress bar.
        let new = bytes.min(wanted.sent.saturating_sub(wanted.reported));
        wanted.reported += new;
        let progress = wanted.progress.clone();
        self.report(LedgerReport::Written(progress, new));
        true
    }

    /// We begin, or end, to read our own copy of a file.
    pub(crate) fn mark_read(&mut self, id: FileId, is_read: bool) {
        if let Some(wanted) = self.wanted(id) {
            wanted.is_read = is_read;
        }
    }

    /// The source of a file that is complete, from which the tail is made; otherwise a new pump goes on, now if ranges
    /// wait, later if the comparison finds some.
    pub(crate) fn begin_close(&mut self, id: FileId) -> Option<A::Open> {
        let ContentState::Open { source, rules, pump } = &mut self.wanted(id)?.content else { return None };
        if rules.is_sent() {
            *pump = Pump::Closing;
            return Some(source.clone());
        }
        if rules.has_ranges() {
            self.actions.push_back(OffersAction::Want(id));
        } else {
            *pump = Pump::Idle;
        }
        None
    }

    /// The work that is left on a file of which all has been sent; told once.
    pub(crate) fn close(&mut self, id: FileId) -> Option<Closing> {
        self.rules(id)?.close()
    }

    /// All of a file is sent, and summed up.
    pub(crate) fn on_closed(&mut self, tail: Tail) {
        let Some(wanted) = self.wanted(tail.id) else { return };
        // Thousands of files wait for their commit; none of them needs its source any more.
        let before = std::mem::replace(&mut wanted.content, ContentState::Closed);
        let progress = wanted.progress.clone();
        match before {
            ContentState::Closed => return,
            ContentState::Unopened { .. } => {}
            ContentState::Open { source, .. } => self.actions.push_back(OffersAction::LetGo(source)),
        }
        self.unclosed -= 1;
        self.report(LedgerReport::Complete(progress));
        self.say(Message::Tail(tail));
        self.maybe_end();
    }
}
