//! What is known of the disk, for the whole job.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::Receiver;
use crate::progress::Event;
use crate::protocol::path::WirePath;
use crate::session::budget::Hold;
use crate::storage::DirMeta;

/// What a directory that waits for the end takes beside its name.
const DIRECTORY_BYTES: usize = 128;

/// What the disk was asked once, or is to be told at the end.
#[derive(Default)]
pub(super) struct Notes {
    /// Directories whose time and mode are set last: writing into them changes their time. By name, so that
    /// one that is offered over and over takes no more room.
    pub(super) directories: BTreeMap<WirePath, Finish>,
    /// There was no room to keep them all.
    lacks_directories: bool,
    /// Directories whose names have been doubted, each once, and whether as names that others lie below; `None` is the root.
    pub(super) doubted: HashMap<Option<WirePath>, bool>,
    /// The step of the disk's time stamps in nanoseconds, once it was asked for.
    pub(super) time_step: Option<u64>,
    /// Content that was written before this moment is on the disk, whoever wrote it.
    pub(super) written_until: Option<SystemTime>,
    /// It has been said that times or modes are not kept.
    pub(super) unset_said: bool,
}

/// What a directory gets at the end.
pub(super) struct Finish {
    pub(super) meta: DirMeta,
    /// What it takes until then.
    pub(super) room: Hold,
}

impl Receiver {
    /// Writing into a directory changes its time, so that is set last. There is room for hundreds of thousands; of more, those
    /// that come last keep the time that they have. They take no room from what is on offer: a job with more directories than
    /// that would never come to its end.
    pub(super) fn keep_for_the_end(&self, path: &WirePath, meta: DirMeta) {
        let room = self.0.tools.account.take_for_directory(DIRECTORY_BYTES + path.as_bytes().len());
        let mut notes = self.notes();
        if let Some(room) = room {
            notes.directories.insert(path.clone(), Finish { meta, room });
        } else if !std::mem::replace(&mut notes.lacks_directories, true) {
            // The same command again would meet the same directories in the same order.
            let text = "too many directories in one job: some do not get their time and mode; a job for each part of the \
                tree sets them";
            self.0.tools.observer.event(Event::Note(text.to_owned()));
        }
    }
}
