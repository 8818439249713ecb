//! Answering offers: what planning came to, said and begun.

use std::sync::Arc;

use super::file::FileIo;
use super::{File, Finish, Open, Receiver};
use crate::progress::{Event, FileProgress, Phase};
use crate::protocol::message::{Failure, FileId, Header, Kind, Message, Named, Pos, SkipReason, Status, Verdict};
use crate::protocol::path::WirePath;
use crate::storage::{DirMeta, DirMode};
use crate::transfer::receive::Receive;
use crate::transfer::resume::Start;

/// What a directory that waits for the end takes beside its name.
const DIRECTORY_BYTES: usize = 128;

impl Receiver {
    pub(super) fn on_skip(&self, header: &Header, reason: SkipReason) {
        if header.kind != Kind::Dir {
            self.0.tools.observer.skipped(header.path.to_string(), header.size, reason);
        }
        let known = match reason {
            SkipReason::Mode if !self.state().hears_remarks => SkipReason::Same,
            reason => reason,
        };
        self.close(header.id, answer(header.id, Verdict::Skip(known)), |_| ());
    }

    pub(super) fn on_refuse(&self, header: &Header, failure: Failure) {
        if failure.status != Status::Cancelled {
            self.0.tools.observer.failed(header.path.to_string(), failure.clone());
        }
        self.close(header.id, answer(header.id, Verdict::Refuse(failure)), |_| ());
    }

    pub(super) fn on_made(&self, header: &Header, path: &WirePath, directory: bool) {
        if directory {
            self.keep_for_the_end(path, DirMeta { mtime: header.mtime, mode: DirMode::Narrowed(header.mode) });
        }
        self.on_skip(header, SkipReason::Made);
    }

    /// Writing into a directory changes its time, so that is set last. There is room for hundreds of thousands; of more, those
    /// that come last keep the time that they have. They take no room from what is on offer: a job with more directories than
    /// that would never come to its end.
    pub(super) fn keep_for_the_end(&self, path: &WirePath, meta: DirMeta) {
        let room = self.0.tools.account.take_for_directory(DIRECTORY_BYTES + path.as_bytes().len());
        let mut state = self.state();
        if let Some(room) = room {
            state.directories.insert(path.clone(), Finish { meta, _room: room });
        } else if !std::mem::replace(&mut state.lacks_directories, true) {
            let text = "too many new directories at once: some do not get their time and mode; the same command again sets them";
            self.0.tools.observer.event(Event::Note(text.to_owned()));
        }
    }

    pub(super) fn on_start(&self, header: &Header, path: WirePath, start: Start) {
        let progress = Arc::new(FileProgress::new(header.path.to_string(), header.size, start.from, start.why));
        if self.0.options.dry_run {
            let named = self.destination(header).ok().filter(|asked| *asked != path).map(|_| path.last());
            if let Some(name) = &named {
                self.say_name(header.id, name);
            }
            let named = named.map(|name| name.to_string());
            self.0.tools.observer.planned(progress.path.clone(), header.size, start.from, start.why, named);
            let verdict = match self.0.options.tells_plans {
                true => Verdict::From { offset: start.from, why: start.why },
                false => Verdict::Skip(SkipReason::Same),
            };
            return self.close(header.id, answer(header.id, verdict), |_| ());
        }
        let io = Arc::new(FileIo::new(&self.0.options, self.0.tools.account.clone(), path, header, start));
        let mut rules = Receive::new(header.size, start.from, &self.0.tools.hasher);
        let hash_prefix = rules.prefix_chunks() > 0;
        if hash_prefix {
            progress.set_phase(Phase::Checking);
        }
        let mut state = self.state();
        // It may have been cancelled while the disk was asked.
        let Some(file) = state.files.get_mut(&header.id) else { return };
        let closed = match file {
            File::Planning(planned) => planned.tail.take(),
            File::Open(_) | File::Committing(_) => None,
        };
        let is_closed = closed.is_some();
        if let Some(tail) = closed {
            rules.on_tail(tail).expect("a file that has just begun has no tail and no ranges");
        }
        *file = File::Open(Open { path: header.path.clone(), rules, io: io.clone(), progress: progress.clone() });
        self.0.tools.observer.started(&progress);
        let verdict = Verdict::From { offset: start.from, why: start.why };
        // Said under the lock: content that came ahead may complete the file at once, and `Done` must come after.
        self.0.tools.control.send(answer(header.id, verdict));
        drop(state);
        if is_closed {
            // An empty file is complete.
            self.judge_now(header.id);
        }
        if hash_prefix {
            let (receiver, id) = (self.clone(), header.id);
            self.0.tools.disk.spawn(move || receiver.hash_prefix(id, &io, 0, 0));
        }
    }
}

impl Receiver {
    /// Tells the sender under which name a file is, or would be. One that is kept blind must not learn what else is
    /// there.
    pub(super) fn say_name(&self, id: FileId, name: &WirePath) {
        if self.state().says_names && !self.0.options.policy.blind {
            self.0.tools.control.send(Message::Named(Named { id, name: name.clone() }));
        }
    }
}

fn answer(id: FileId, verdict: Verdict) -> Message {
    Message::Pos(Pos { id, verdict })
}
