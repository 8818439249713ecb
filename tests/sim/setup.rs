//! What a job is drawn to be: two trees, two disks, and what the user asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::digest::CHUNK_BYTES;
use crate::protocol::features;
use crate::protocol::message::{IfExists, Mtime};
use crate::protocol::path::WirePath;
use crate::storage::testing::memory::{ChunkContent, FileData, ManualClock, Object, Quirks, Seen, UserChange, Volume};
use crate::storage::testing::random::Random;
use crate::transfer::file::resume::Policy;

/// The end of a file that ends in the middle of a chunk.
const REST_BYTES: u64 = 5;

/// Values that are not drawn anew for each chunk: files have chunks in common.
const COMMON_VALUES: usize = 3;

/// Names of sources: some in directories, some that are one name where case is folded.
const NAMES: [&str; 11] = ["a", "b", "c", "d/e", "d/f", "d/g/h", "A", "D/e", "\u{c9}", "\u{e9}", "l"];

/// Who the client is: it keeps what the job has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Sends,
    Receives,
}

/// What the user asks for, and what the server allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) client: Client,
    pub(super) policy: Policy,
    pub(super) dry_run: bool,
    pub(super) durable: bool,
    pub(super) features: u64,
    pub(super) sends_early: bool,
    /// Files that a server may have open at once.
    pub(super) open_files: usize,
    /// What happens that nobody asked for, at most.
    pub(super) faults: usize,
    /// Most steps of a hundred in which something does.
    pub(super) fault_percent: usize,
}

impl Setup {
    pub(super) fn draw(random: &mut Random) -> Self {
        let client = if random.percent(50) { Client::Sends } else { Client::Receives };
        let if_exists = match random.below(10) {
            0 => IfExists::Skip,
            1 => IfExists::Fail,
            2 => IfExists::Rename,
            _ => IfExists::Replace,
        };
        let policy = Policy {
            if_exists,
            checksum: random.percent(20),
            resume: random.percent(90),
            blind: client == Client::Sends && random.percent(10),
            links: random.percent(90),
        };
        let dry_run = random.percent(5);
        let replaces = matches!(if_exists, IfExists::Replace | IfExists::Rename);
        Self {
            client,
            policy,
            dry_run,
            durable: random.percent(85),
            features: if random.percent(80) { features::ALL } else { features::NONE },
            sends_early: replaces && !policy.checksum && !dry_run && random.percent(70),
            open_files: if random.percent(20) { 1 + random.below(2) } else { 1000 },
            faults: if random.percent(20) { 0 } else { random.below(10) },
            fault_percent: random.pick(&[1, 3, 8]),
        }
    }
}

/// What the disk of an end is like.
pub(super) fn quirks(random: &mut Random) -> Quirks {
    Quirks {
        folds: random.percent(20),
        time_step: random.pick(&[1, 1, 1, 1, 1_000_000_000, 2_000_000_000]),
        shares: random.percent(30),
        capacity: u64::MAX,
    }
}

/// The user: makes content that nobody has seen before.
pub(super) struct User {
    next: u32,
    clock: ManualClock,
}

impl User {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self { next: COMMON_VALUES as u32 + 1, clock }
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

    fn data(&mut self, random: &mut Random) -> FileData {
        let size = random.below(4) as u64 * CHUNK_BYTES + if random.percent(70) { REST_BYTES } else { 0 };
        let values: Vec<_> = (0..size.div_ceil(CHUNK_BYTES)).map(|_| self.value(random)).collect();
        FileData::new(size, &values)
    }

    /// Another version of a file: some chunks are others, or it ends elsewhere.
    fn edited(&mut self, data: &FileData, random: &mut Random) -> FileData {
        let mut edited = data.clone();
        match random.below(5) {
            0 => return self.data(random),
            1 => edited.set_len(random.below(4) as u64 * CHUNK_BYTES + random.pick(&[0, REST_BYTES])),
            2 => {
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
        let count = 1 + random.below(6);
        for _ in 0..count {
            let name = random.pick(&NAMES);
            let object = match name {
                "l" => Object::Link(b"a".to_vec()),
                _ => Object::File(self.data(random)),
            };
            let mode = random.pick(&[0o644, 0o644, 0o600, 0o755]);
            volume.change(UserChange::Put(path(name), object, mode));
            if random.percent(80) {
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
            if random.percent(30) {
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
        Some(match random.below(10) {
            0 => UserChange::SetMode(at, random.pick(&[0o600, 0o644, 0o755])),
            1 => UserChange::SetTime(at, self.some_time(random)),
            2 => UserChange::TakeAway(at),
            3 | 4 => UserChange::Put(at, Object::File(self.edited(data, random)), seen.mode),
            _ => UserChange::Overwrite(at, self.edited(data, random)),
        })
    }
}

fn is_file(name: &str, seen: &Seen) -> bool {
    seen.data().is_some() && !is_part(name)
}

/// Whether a name is that of a part, or of a link that has no name yet.
pub(super) fn is_part(name: &str) -> bool {
    name.ends_with(".qft-part")
}

pub(super) fn path(name: &str) -> WirePath {
    WirePath::parse(name.as_bytes()).expect("a plain name")
}
