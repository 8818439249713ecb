//! The contract of the interface: one table of operations, done on the disk and in memory, with one result.

mod table;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::mpsc;

use self::table::Do::{self, *};
use self::table::TABLE;
use super::{ChunkContent, ManualClock, MemoryCommitter, MemoryStore, Quirks, Volume};
use crate::digest::{CHUNK_BYTES, ChunkHasher, Digest, SALT_BYTES, Salt};
use crate::storage::commit::Answer;
use crate::storage::store::PartFile;
use crate::storage::testing::{SOME_TIME, TestRoot, wire};
use crate::storage::{
    Commits, Committed, Committer, Destination, DirMeta, DirMode, Durability, Fresh, Meta, Owner, ReadFile, Replace,
    StorageError, Store,
};

/// A store that the table can be run against.
trait Subject: Store {
    fn write(part: &Self::Part, value: u8, len: u64, offset: u64) -> Result<(), StorageError>;

    /// What was read, as runs of one value, and how much the store says that it was.
    fn read(source: &Self::Source, len: u64, offset: Option<u64>) -> Result<(usize, Vec<(u32, u64)>), StorageError>;

    /// Whoever gives names does what it was asked for.
    fn let_commit(committer: &Self::Committer);
}

impl Subject for Destination {
    fn write(part: &Self::Part, value: u8, len: u64, offset: u64) -> Result<(), StorageError> {
        PartFile::write_at(part, &vec![value; len as usize], offset)
    }

    fn read(source: &Self::Source, len: u64, offset: Option<u64>) -> Result<(usize, Vec<(u32, u64)>), StorageError> {
        let mut bytes = vec![0; len as usize];
        let read = match offset {
            Some(offset) => ReadFile::read_at(source, &mut bytes, offset)?,
            None => ReadFile::read_to_end(source, &mut bytes)?,
        };
        let runs = bytes.chunk_by(|one, next| one == next).map(|run| (u32::from(run[0]), run.len() as u64));
        Ok((read, runs.collect()))
    }

    fn let_commit(_: &Committer) {}
}

impl Subject for MemoryStore {
    fn write(part: &Self::Part, value: u8, len: u64, offset: u64) -> Result<(), StorageError> {
        part.write_at(&ChunkContent::of(u32::from(value), len), offset)
    }

    fn read(source: &Self::Source, len: u64, offset: Option<u64>) -> Result<(usize, Vec<(u32, u64)>), StorageError> {
        let mut content = ChunkContent::zeroed(len);
        let read = match offset {
            Some(offset) => source.read_at(&mut content, offset)?,
            None => source.read_to_end(&mut content)?,
        };
        Ok((read, content.runs()))
    }

    fn let_commit(committer: &MemoryCommitter) {
        while committer.has_work() {
            committer.step(1);
        }
    }
}

/// The table's operations on one store.
struct StoreTrial<S: Subject> {
    store: S,
    committer: S::Committer,
    part: Option<S::Part>,
    hasher: ChunkHasher,
}

impl<S: Subject> StoreTrial<S> {
    fn new(store: S, committer: S::Committer) -> Self {
        Self { store, committer, part: None, hasher: ChunkHasher::new(&Salt([3; SALT_BYTES])) }
    }

    /// The result of each operation.
    fn transcript(&mut self, operations: &[Do]) -> Vec<String> {
        operations.iter().map(|operation| format!("{operation:?}: {}", self.act(*operation))).collect()
    }

    fn act(&mut self, operation: Do) -> String {
        let store = self.store.clone();
        match operation {
            Stat(path) => told(store.stat(&wire(path)).map(shown)),
            StatDir(path) => told(store.stat_dir(&wire(path)).map(shown)),
            PartLen(path) => told(store.part_len(&wire(path), Owner::Anyone)),
            PartLenOf(path, owner) => told(store.part_len(&wire(path), Owner::Only(owner))),
            CheckFree(path) => told(store.check_part_free(&wire(path), Owner::Anyone)),
            Open(path, fresh) => self.open(path, Owner::Anyone, fresh),
            OpenAs(path, owner) => self.open(path, Owner::Only(owner), Fresh::No),
            Write(value, len, offset) => told(S::write(self.part(), value, len, offset)),
            Truncate(len) => told(self.part().truncate(len)),
            Len => self.part().len().to_string(),
            HashPart(end) => self.hashed(end, |first| self.part().hash(&self.hasher, first, end)),
            Leave => {
                self.part = None;
                told(Ok(()))
            }
            Discard => told(self.part.take().expect("it is open").discard()),
            Commit(size, mode, replace) => self.commit(size, mode, replace),
            Adopt(from, len) => told(self.adopt(from, len)),
            MakeDir(path, mode) => told(store.make_dir(&wire(path), mode)),
            Link(path, target, replace) => told(store.make_link(&wire(path), target.as_bytes(), replace)),
            FinishDir(path, mode) => {
                let meta = DirMeta { mtime: SOME_TIME, mode: DirMode::Narrowed(mode) };
                let (mut dirs, mut unset) = (BTreeMap::from([(wire(path), meta)]), Vec::new());
                let finished = store.finish_dirs(&mut dirs, Durability::Synced, |error| unset.push(kind_of(error)));
                format!("{} {unset:?}", told(finished))
            }
            Touch(path, mode) => self.touch(path, mode),
            Read(path, len, offset) => told(self.read(path, len, Some(offset))),
            ReadWhole(path, len) => told(self.read(path, len, None)),
            HashFile(path, end) => match store.open_source(&wire(path)) {
                Ok(source) => self.hashed(end, |first| source.hash(&self.hasher, first, end)),
                Err(error) => kind_of(&error),
            },
            Data(path, from) => told(self.data(path, from)),
            HasMode(path, mode) => told(store.open_source(&wire(path)).and_then(|source| source.has_mode(mode))),
            HasEntry(path) => told(store.has_entry(&wire(path))),
            IsOtherSpelling(path) => told(store.is_other_spelling(&wire(path))),
            IsOneName(first, path) => told(store.is_one_name(&wire(first), &wire(path))),
            NoteUnsynced(path) => told(store.note_unsynced(&wire(path), false)),
            IsUnsynced(path) => told(store.is_unsynced(&wire(path))),
            SyncName(path) => self.answered(|committer, done| committer.submit_dir(store, wire(path), done)),
            SyncThere(path) => self.answered(|committer, done| committer.submit_there(store, wire(path), done)),
            TellsApart(path) => store.tells_names_apart(&wire(path)).to_string(),
            TimeStep(path) => told(store.time_step(&wire(path))),
            IsReserved(path) => told(store.is_reserved(&wire(path))),
        }
    }

    fn part(&self) -> &S::Part {
        self.part.as_ref().expect("the table opens it first")
    }

    /// A part that cannot be opened leaves the one that is open.
    fn open(&mut self, path: &str, owner: Owner<'_>, fresh: Fresh) -> String {
        match self.store.open_part(&wire(path), owner, fresh) {
            Ok(part) => {
                let len = part.len();
                self.part = Some(part);
                format!("open, {len} bytes")
            }
            Err(error) => kind_of(&error),
        }
    }

    /// Which digests are equal to which, and to those of zeros: the values are each store's own.
    fn hashed(&self, end: u64, hash: impl Fn(u64) -> Result<Vec<Digest>, StorageError>) -> String {
        let mut digests: Vec<Digest> = Vec::new();
        while (digests.len() as u64) < end.div_ceil(CHUNK_BYTES) {
            match hash(digests.len() as u64) {
                Ok(more) if more.is_empty() => return "none".to_owned(),
                Ok(more) => digests.extend(more),
                Err(error) => return kind_of(&error),
            }
        }
        let zeros = |index: usize| self.hasher.zero_chunk(crate::digest::chunk_len(end, index as u64));
        let shown = digests.iter().enumerate().map(|(index, digest)| match *digest == zeros(index) {
            true => "zeros".to_owned(),
            false => digests.iter().position(|other| other == digest).unwrap_or_default().to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn answered(&self, submit: impl FnOnce(&S::Committer, Answer)) -> String {
        let (sender, answers) = mpsc::channel();
        submit(&self.committer, Box::new(move |done| sender.send(done).expect("it is waited for")));
        S::let_commit(&self.committer);
        let done = answers.recv().expect("every commit is answered");
        told(done.map(|Committed { path, unset }| format!("{path} {}", unset.is_none())))
    }

    fn commit(&mut self, size: u64, mode: u32, replace: Replace) -> String {
        let part = self.part.take().expect("the table opens it first");
        let commit = crate::storage::Commit { part, size, mtime: SOME_TIME, mode, replace };
        self.answered(|committer, done| committer.submit(commit, done))
    }

    fn adopt(&self, from: &str, len: u64) -> Result<(), StorageError> {
        let source = self.store.open_source(&wire(from))?;
        let mut left = S::adopt(self.part(), &source, len)?;
        while !S::adopt_more(self.part(), &source, &mut left, CHUNK_BYTES)? {}
        Ok(())
    }

    fn touch(&self, path: &str, mode: u32) -> String {
        let source = Arc::new(self.store.open_source(&wire(path)).expect("it is there"));
        let touch =
            crate::storage::Touch { root: self.store.clone(), source, path: wire(path), mtime: SOME_TIME, mode };
        self.answered(|committer, done| committer.submit_touch(touch, done))
    }

    fn read(&self, path: &str, len: u64, offset: Option<u64>) -> Result<(usize, Vec<(u32, u64)>), StorageError> {
        S::read(&self.store.open_source(&wire(path))?, len, offset)
    }

    fn data(&self, path: &str, from: u64) -> Result<Vec<std::ops::Range<u64>>, StorageError> {
        let source = self.store.open_source(&wire(path))?;
        let mut map = source.data_map(from, CHUNK_BYTES)?;
        while let Some(piece) = map.next_doubtful() {
            map.add(source.data_in(piece, CHUNK_BYTES)?);
        }
        Ok(map.into_ranges())
    }
}

fn told<T: Debug>(result: Result<T, StorageError>) -> String {
    result.map_or_else(|error| kind_of(&error), |value| format!("{value:?}"))
}

/// The words that a peer would be told.
fn kind_of(error: &StorageError) -> String {
    format!("{:?} {:?}", error.op, error.status())
}

/// What does not depend on when it was made, and by whom.
fn shown(meta: Option<Meta>) -> Option<String> {
    meta.map(|Meta { kind, size, mtime, mode, .. }| format!("{kind:?} {size} {mode:o} {}", mtime == SOME_TIME))
}

#[test]
fn the_store_in_memory_does_what_the_disk_does() {
    let mut differing = Vec::new();
    for (case, operations) in TABLE {
        let place = TestRoot::new();
        let committer = Committer::start(Durability::Synced).expect("a thread");
        let on_disk = StoreTrial::new(place.root.clone(), committer).transcript(operations);
        let volume = Volume::new(Quirks::default(), ManualClock::new());
        let store = MemoryStore::of_new_process(&volume);
        let in_memory = StoreTrial::new(store, MemoryCommitter::new(Durability::Synced)).transcript(operations);
        let pairs = on_disk.into_iter().zip(in_memory);
        differing.extend(pairs.filter(|(disk, memory)| disk != memory).map(|pair| (*case, pair)));
    }
    assert!(differing.is_empty(), "disk and memory differ: {differing:#?}");
}
