//! Settling: the last word on each file, and on the job.

use std::collections::BTreeMap;

use tracing::debug;

use super::{File, Finish, ReceiveOptions, Receiver};
use crate::protocol::message::{Done, Failure, FileId, Message};
use crate::protocol::path::WirePath;
use crate::storage::Sync;
use crate::transport::hurry;

impl Receiver {
    /// Gives one file up and tells the sender why; its partial file stays for a later resume.
    pub(super) fn fail(&self, id: FileId, failure: Failure) {
        let last_word = Message::Done(Done { id, failure: Some(failure.clone()) });
        self.close(id, last_word, |file| {
            let name = match file {
                File::Open(open) => {
                    open.io.give_up();
                    open.progress.path.clone()
                }
                File::Committing(progress) => progress.path.clone(),
                File::Planning(planned) => planned.header.path.to_string(),
            };
            debug!(%name, %failure, "file failed");
            self.0.tools.observer.failed(name, failure);
        });
    }

    /// Forgets a file, says how it ended, and reports it, in one step: a sender that hears of the end offers the
    /// next file at once, which must find room; and nobody may see the last file gone before its end is said and
    /// counted. Nothing happens when it was settled before, by a cancel or on another thread.
    pub(super) fn close(&self, id: FileId, last_word: Message, report: impl FnOnce(&File)) {
        let mut state = self.state();
        let Some(file) = state.files.remove(&id) else { return };
        state.rooms.remove(&id);
        if let File::Open(_) = file {
            // It fails: what is right is committed first. The sender may find it changed before it hears of that.
            state.anew.on_failed();
        }
        self.0.tools.control.send(last_word);
        report(&file);
        drop(state);
        // A part may go with it, which takes a system call.
        drop(file);
        self.release(id);
        self.settle();
    }

    /// Ends the job, once, when nothing is left: directories get their times, then the sender hears of it.
    pub(super) fn settle(&self) {
        let mut state = self.state();
        let open = state.end.is_none() || !state.files.is_empty() || state.anew.is_awaited();
        if open || std::mem::replace(&mut state.settling, true) {
            return;
        }
        let directories = std::mem::take(&mut state.directories);
        drop(state);
        // Nothing is left for the sender to do but to hear the end; a lost packet would cost it a round trip and more.
        hurry(&self.0.tools.connection);
        if directories.is_empty() {
            return self.finish_job();
        }
        let receiver = self.clone();
        self.0.tools.disk.spawn(move || {
            receiver.finish_directories(directories);
            receiver.finish_job();
        });
    }

    fn finish_job(&self) {
        self.state().finished = true;
        self.0.tools.control.send(Message::Settled);
        self.0.settled.notify_waiters();
    }

    fn finish_directories(&self, directories: BTreeMap<WirePath, Finish>) {
        let ReceiveOptions { root, durable, .. } = &self.0.options;
        let sync = if *durable { Sync::Durable } else { Sync::None };
        let dirs = directories.into_iter().map(|(path, finish)| (path, finish.meta));
        // Before the end is said: with it the sender takes all for safe.
        root.finish_dirs(dirs, sync, |error| self.remark_unset(error));
    }
}
