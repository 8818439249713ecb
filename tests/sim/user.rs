//! The user: makes content that nobody has seen before, and changes both trees.

use std::collections::BTreeMap;
use std::time::Duration;

use super::setup::{Workload, is_part, path};
use crate::digest::CHUNK_BYTES;
use crate::protocol::message::Mtime;
use crate::storage::testing::memory::{ChunkContent, FileData, ManualClock, Object, Seen, UserChange, Volume};
use crate::storage::testing::random::Random;

/// The end of a file that ends in the middle of a chunk.
const REST_BYTES: u64 = 5;

/// Names of sources where there are few.
const FEW: usize = 2;

/// Values that are not drawn anew for each chunk: files have chunks in common.
const COMMON_VALUES: usize = 3;

/// Names of sources: some in directories, some that are one name where case is folded.
const NAMES: [&str; 11] = ["a", "b", "c", "d/e", "d/f", "d/g/h", "A", "D/e", "\u{c9}", "\u{e9}", "l"];

/// The user: makes content that nobody has seen before.
pub(super) struct User {
    next: u32,
    clock: ManualClock,
    workload: Workload,
}

impl User {
    pub(super) fn new(clock: ManualClock, workload: Workload) -> Self {
        Self { next: COMMON_VALUES as u32 + 1, clock, workload }
    }

    fn value(&mut self, random: &mut Random) -> u32 {
        match random.below(10) {
            0 => 0,
            common @ 1..=COMMON_VALUES => common as u32,
            _ => {
                self.next += 1;
                self.next
            }
        }
    }

    /// A file that nobody has seen before.
    fn data(&mut self, random: &mut Random) -> FileData {
        let size = match self.workload {
            Workload::Mixed => random.below(4) as u64 * CHUNK_BYTES + random.pick(&[0, REST_BYTES, REST_BYTES]),
            Workload::Restless => random.pick(&[0, REST_BYTES, CHUNK_BYTES, CHUNK_BYTES]),
            Workload::Rewritten => 2 * CHUNK_BYTES + random.pick(&[0, REST_BYTES]),
        };
        let values: Vec<_> = (0..size.div_ceil(CHUNK_BYTES)).map(|_| self.value(random)).collect();
        FileData::new(size, &values)
    }

    /// Another version of a file: some chunks are others, or it ends elsewhere.
    fn edited(&mut self, data: &FileData, random: &mut Random) -> FileData {
        let mut edited = data.clone();
        match (self.workload, random.below(5)) {
            (Workload::Restless, _) | (Workload::Mixed, 0) => return self.data(random),
            (Workload::Mixed, 1) => {
                edited.set_len(random.below(4) as u64 * CHUNK_BYTES + random.pick(&[0, REST_BYTES]))
            }
            (Workload::Mixed, 2) => {
                let end = edited.size().next_multiple_of(CHUNK_BYTES);
                self.fill(&mut edited, end, CHUNK_BYTES, random);
            }
            _ if edited.size() > 0 => {
                let index = random.below(edited.size().div_ceil(CHUNK_BYTES) as usize) as u64;
                let len = CHUNK_BYTES.min(edited.size() - index * CHUNK_BYTES);
                self.fill(&mut edited, index * CHUNK_BYTES, len, random);
            }
            _ => {}
        }
        edited
    }

    fn fill(&mut self, data: &mut FileData, offset: u64, len: u64, random: &mut Random) {
        let value = self.value(random);
        data.write(offset, &ChunkContent::of(value, len));
    }

    /// The files that are to be sent.
    pub(super) fn make_sources(&mut self, volume: &Volume, random: &mut Random) {
        let count = match self.workload {
            Workload::Mixed => 1 + random.below(6),
            Workload::Restless | Workload::Rewritten => 1 + random.below(FEW),
        };
        let names = if self.workload == Workload::Mixed { &NAMES[..] } else { &NAMES[..FEW] };
        for _ in 0..count {
            let name = random.pick(names);
            let object = match name {
                "l" => Object::Link(b"a".to_vec()),
                _ => Object::File(self.data(random)),
            };
            let mode = random.pick(&[0o644, 0o644, 0o600, 0o755]);
            volume.change(UserChange::Put(path(name), object, mode));
            // A file that is written in place gets the time of now, which is to be that of the write before.
            if self.workload != Workload::Rewritten && random.percent(80) {
                volume.change(UserChange::SetTime(path(name), self.some_time(random)));
            }
        }
        if random.percent(20) {
            volume.put_dir(&path("x/y"), 0o755);
        }
        volume.sync_all();
    }

    /// Some hours ago.
    fn some_time(&self, random: &mut Random) -> Mtime {
        let now = self.clock.since_1970();
        let ago = Duration::from_millis(random.below(10_000_000) as u64 + 5000);
        let then = now.saturating_sub(ago);
        Mtime { secs: then.as_secs() as i64, nanos: if random.percent(20) { 0 } else { then.subsec_nanos() } }
    }

    /// What an earlier run, or anybody, has left where the files go.
    pub(super) fn make_target(&mut self, source: &Volume, target: &Volume, random: &mut Random) {
        for (name, seen) in source.look() {
            let Object::File(data) = &seen.object else { continue };
            let at = path(&name);
            let there = match random.below(10) {
                0..=3 => None,
                4..=5 => Some(Object::File(data.clone())),
                6..=7 => Some(Object::File(self.edited(data, random))),
                8 => Some(Object::File(self.data(random))),
                _ => Some(Object::Link(b"b".to_vec())),
            };
            if let Some(object) = there {
                let is_file = matches!(object, Object::File(_));
                target.change(UserChange::Put(at.clone(), object.clone(), seen.mode));
                // Only what is the same has the same time.
                let mtime = match object == seen.object && random.percent(60) {
                    true => seen.mtime,
                    false => self.some_time(random),
                };
                if is_file && random.percent(80) {
                    target.change(UserChange::SetTime(at.clone(), mtime));
                }
                if random.percent(10) {
                    target.change(UserChange::SetMode(at.clone(), 0o600));
                }
            }
            if random.percent(if self.workload == Workload::Restless { 70 } else { 30 }) {
                let part =
                    if random.percent(60) { data.cut(random.below(4) as u64 * CHUNK_BYTES) } else { self.data(random) };
                target.leave_part(&at, part);
            }
        }
        if random.percent(70) {
            target.sync_all();
        }
    }

    /// Something that the user does to a tree while it is sent, or written.
    pub(super) fn any_change(&mut self, volume: &Volume, random: &mut Random) -> Option<UserChange> {
        let files: BTreeMap<_, _> = volume.look().into_iter().filter(|(name, seen)| is_file(name, seen)).collect();
        let names: Vec<_> = files.keys().collect();
        if names.is_empty() {
            return None;
        }
        let name = names[random.below(names.len())];
        let (at, seen) = (path(name), &files[name]);
        let data = seen.data().expect("it is a file");
        Some(match (self.workload, random.below(10)) {
            (Workload::Mixed, 0) => UserChange::SetMode(at, random.pick(&[0o600, 0o644, 0o755])),
            (Workload::Mixed, 1) => UserChange::SetTime(at, self.some_time(random)),
            (Workload::Mixed, 2) => UserChange::TakeAway(at),
            (Workload::Mixed, 3 | 4) => UserChange::Put(at, Object::File(self.edited(data, random)), seen.mode),
            _ => UserChange::Overwrite(at, self.edited(data, random)),
        })
    }
}

fn is_file(name: &str, seen: &Seen) -> bool {
    seen.data().is_some() && !is_part(name)
}
