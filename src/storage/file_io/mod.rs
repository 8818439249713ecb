//! The disk side of one incoming file: its basis, its partial file, its end. Used on disk threads only.

mod slot;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use self::slot::{PartSlot, PartState};
use super::commit::{Commit, Replace, Touch};
use super::error::{Op, StorageError};
use super::hash::CHUNKS_A_TURN;
use super::store::{Content, PartFile, ReadFile, Store};
use crate::broken::BreakableRule;
use crate::digest::{self, CHUNK_BYTES, ChunkHasher, Digest};
use crate::protocol::message::{Header, Mtime};
use crate::protocol::path::WirePath;
use crate::transfer::Room;
use crate::transfer::file::resume::{Basis, Start};

/// Size from which a file that will be synced goes to the disk as it comes: below it the sync is short anyway.
const EARLY_BYTES_MIN: u64 = 64 << 20;

/// Where the content of one file is read from and written to.
pub(crate) struct FileIo<S: Store, R: Room> {
    root: S,
    path: WirePath,
    start: Start,
    size: u64,
    mtime: Mtime,
    mode: u32,
    is_synced: bool,
    owner: Option<String>,
    slot: Mutex<PartSlot<S, R>>,
    discard: AtomicBool,
}

/// A complete file, as the committer takes it.
pub(crate) enum Finished<S: Store> {
    /// New content, under its partial name.
    New(S::Part),
    /// The old version is the new content; only its time and mode may differ.
    Same(Touch<S, S::Source>),
}

/// The digests that the whole content is compared with where it is not certain any more.
pub(crate) struct Proof<'a> {
    pub(crate) hasher: &'a ChunkHasher,
    /// As the sender announced it.
    pub(crate) root: Option<Digest>,
}

impl Proof<'_> {
    /// Whether the first `size` bytes of a part are what was announced. Reads them all.
    fn holds_for(&self, part: &impl PartFile, size: u64) -> Result<bool, StorageError> {
        let (count, mut digests) = (digest::chunk_count(size), Vec::new());
        while (digests.len() as u64) < count {
            digests.extend(part.hash(self.hasher, digests.len() as u64, size)?);
        }
        Ok(self.root == Some(digest::root(digests, size)))
    }
}

/// The state of the old version while it is compared: it must be the same from the first look at it to the last.
#[derive(Default)]
enum OldVersion<F> {
    #[default]
    Unopened,
    Open(Arc<F>),
    Nothing,
}

impl<S: Store, R: Room> FileIo<S, R> {
    /// A file that is to be what `header` says, below `root`, and starts as `start` says. `room` grows by one while its part
    /// is open.
    pub(crate) fn new(root: S, path: WirePath, header: &Header, start: Start, room: R) -> Self {
        let Header { size, mtime, mode, .. } = *header;
        let (slot, discard) = (Mutex::new(PartSlot::new(room)), AtomicBool::new(false));
        Self { root, path, start, size, mtime, mode, is_synced: false, owner: None, slot, discard }
    }

    /// Its part is that of `owner`, if there is one.
    pub(crate) fn owned_by(mut self, owner: Option<String>) -> Self {
        self.owner = owner;
        self
    }

    /// Its commit will sync it, or not.
    pub(crate) fn synced(mut self, is_synced: bool) -> Self {
        self.is_synced = is_synced;
        self
    }

    /// The name that was asked for, below the root.
    pub(crate) fn path(&self) -> &WirePath {
        &self.path
    }

    /// The partial file proved wrong as a whole: it is removed instead of kept for a resume.
    pub(crate) fn discard_on_drop(&self) {
        self.discard.store(true, Ordering::Relaxed);
    }

    /// The digests of some chunks before the start, from `first` on. A file that has become shorter reads as zeros; the
    /// comparison then finds out.
    pub(crate) fn hash_prefix(&self, hasher: &ChunkHasher, first: u64) -> Result<Vec<Digest>, StorageError> {
        let end = self.start.from;
        let basis = if self.start.basis == Basis::Target { self.basis()? } else { None };
        match basis {
            Some(basis) => basis.hash(hasher, first, end),
            // Nothing is left of the old version, so all of it is sent.
            None if self.start.basis == Basis::Target => {
                let offsets = (first * CHUNK_BYTES..end).step_by(CHUNK_BYTES as usize).take(CHUNKS_A_TURN as usize);
                Ok(offsets.map(|offset| hasher.zero_chunk(CHUNK_BYTES.min(end - offset))).collect())
            }
            None => self.part()?.hash(hasher, first, end),
        }
    }

    /// Writes content at its place.
    pub(crate) fn write_at(&self, content: &Content<S>, offset: u64) -> Result<(), StorageError> {
        #[cfg(test)]
        crate::storage::testing::panic_at("write", &self.path);
        self.part()?.write_at(content, offset)
    }

    /// The digest of a chunk that was written in pieces.
    pub(crate) fn hash_back(&self, hasher: &ChunkHasher, index: u64) -> Result<Digest, StorageError> {
        let end = self.size.min((index + 1) * CHUNK_BYTES);
        let digests = self.part()?.hash(hasher, index, end)?;
        Ok(digests[0])
    }

    /// Hands over the complete file for its commit. No other thread uses it any more. When the old version is not what it was
    /// (its mode or name may be all that changed) what was taken from it is read again where it is now.
    pub(crate) fn finish(&self, no_content: bool, proof: &Proof<'_>) -> Result<Finished<S>, StorageError> {
        if self.start.basis == Basis::Target
            && no_content
            && let Some(source) = self.same_file()?
        {
            let (root, path) = (self.root.clone(), self.path.clone());
            return Ok(Finished::Same(Touch { root, source, path, mtime: self.mtime, mode: self.mode }));
        }
        let part = self.part()?;
        let mut slot = self.slot();
        if let OldVersion::Open(basis) = &slot.basis
            && !(is_at_rest(&**basis) && is_unchanged(&**basis)?)
            && !proof.holds_for(&*part, self.size)?
        {
            return Err(StorageError::new(
                Op::Read,
                self.path.as_path(),
                std::io::Error::other("it changed meanwhile"),
            ));
        }
        // The old version is closed here: whoever waits for the commit may hold this file until then.
        (slot.part, slot.basis) = (PartState::Unopened, OldVersion::Nothing);
        drop(slot);
        Ok(Finished::New(Arc::try_unwrap(part).unwrap_or_else(|_| unreachable!("every writer has finished"))))
    }

    /// What the committer is to do with the part.
    pub(crate) fn commit(&self, part: S::Part, replace: Replace) -> Commit<S::Part> {
        Commit { part, size: self.size, mtime: self.mtime, mode: self.mode, replace }
    }

    /// The committer has closed the part.
    pub(crate) fn on_closed(&self) {
        self.slot().room.shrink_to(0);
    }

    /// The old version, if it may stay.
    fn same_file(&self) -> Result<Option<Arc<S::Source>>, StorageError> {
        let Some(basis) = self.basis()? else { return Ok(None) };
        let is_same = basis.meta().size == self.size && is_unchanged(&*basis)?;
        Ok(is_same.then_some(basis))
    }

    fn slot(&self) -> MutexGuard<'_, PartSlot<S, R>> {
        self.slot.lock().expect("no holder panics")
    }

    fn basis(&self) -> Result<Option<Arc<S::Source>>, StorageError> {
        let mut slot = self.slot();
        self.basis_in(&mut slot)
    }

    /// `None` when there is nothing to read any more, or never was for us: then all of it is sent.
    fn basis_in(&self, slot: &mut PartSlot<S, R>) -> Result<Option<Arc<S::Source>>, StorageError> {
        if let OldVersion::Unopened = slot.basis {
            slot.basis = self.readable()?.map_or(OldVersion::Nothing, OldVersion::Open);
        }
        Ok(match &slot.basis {
            OldVersion::Open(source) => Some(source.clone()),
            OldVersion::Unopened | OldVersion::Nothing => None,
        })
    }
}

impl<S: Store, R: Room> FileIo<S, R> {
    /// What has the name, if we may read it.
    fn readable(&self) -> Result<Option<Arc<S::Source>>, StorageError> {
        match self.root.open_source(&self.path) {
            Err(error) if error.is_nothing_to_read() => Ok(None),
            opened => opened.map(|source| Some(Arc::new(source))),
        }
    }
}

impl Start {
    /// Whether the partial file starts again from nothing.
    fn is_fresh(&self) -> bool {
        self.basis != Basis::Part
    }
}

/// Whether a change of it since it was opened would show: not within the tick of the clock in which it was last changed.
fn is_at_rest(basis: &impl ReadFile) -> bool {
    BreakableRule::OldVersionIsAtRest.is_broken() || basis.settles_in().is_none()
}

fn is_unchanged(basis: &impl ReadFile) -> Result<bool, StorageError> {
    Ok(BreakableRule::OldVersionIsLookedAtAgain.is_broken() || basis.unchanged()?)
}

impl<S: Store, R: Room> Drop for FileIo<S, R> {
    fn drop(&mut self) {
        if !self.discard.load(Ordering::Relaxed) {
            return;
        }
        let Some(slot) = self.slot.get_mut().ok() else { return };
        if let PartState::Open(part) = std::mem::take(&mut slot.part)
            && let Ok(part) = Arc::try_unwrap(part)
        {
            // A part that cannot be removed is found wrong again next time.
            let _ = part.discard();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{FileId, Kind, Why};
    use crate::storage::{CopiedBy, Destination};
    use crate::transfer::CountedRoom;

    const SIZE: usize = 2 * CHUNK_BYTES as usize;

    /// A file of which an old version is said to hold all but the last chunk.
    fn update(root: &Destination, size: usize) -> FileIo<Destination, CountedRoom> {
        let path = WirePath::parse(b"f").expect("a plain name");
        let mtime = Mtime { secs: 1, nanos: 0 };
        let size = size as u64;
        let header = Header { id: FileId(0), path: path.clone(), kind: Kind::File, size, mtime, mode: 0o644 };
        let start = Start { from: size - CHUNK_BYTES, basis: Basis::Target, why: Why::Update };
        FileIo::new(root.clone(), path, &header, start, CountedRoom(usize::MAX))
    }

    /// For a file whose old version stays as it is, which needs no proof.
    fn unproven() -> Proof<'static> {
        static HASHER: std::sync::OnceLock<ChunkHasher> = std::sync::OnceLock::new();
        Proof { hasher: HASHER.get_or_init(|| ChunkHasher::new(&digest::Salt([0; digest::SALT_BYTES]))), root: None }
    }

    #[test]
    fn an_old_version_that_cannot_be_read_is_no_obstacle() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let root = crate::storage::Root::open(place.path()).expect("it opens").destination();
        let io = update(&root, SIZE);
        let hasher = unproven().hasher;
        let prefix = io.hash_prefix(hasher, 0).expect("there is nothing, which is no failure");
        assert_eq!(prefix, [hasher.zero_chunk(CHUNK_BYTES)]);
        std::fs::write(place.path().join("f"), vec![1; SIZE]).expect("written");
        let again = io.hash_prefix(hasher, 0).expect("the same as before");
        assert_eq!(again, prefix, "what was compared is what is used");
        io.write_at(&vec![2; SIZE], 0).expect("written");
        let Ok(Finished::New(part)) = io.finish(false, &unproven()) else { panic!("it is not complete") };
        assert_eq!(part.len(), SIZE as u64);
    }

    #[test]
    fn a_large_old_version_is_copied_in_turns_and_the_content_is_written_after_them() {
        const LARGE: usize = 40 * CHUNK_BYTES as usize;
        let place = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(place.path().join("f"), vec![1; LARGE]).expect("written");
        let root = crate::storage::Root::open(place.path()).expect("it opens").destination();
        let io = update(&root, LARGE);
        let (chunk, at) = (vec![2; CHUNK_BYTES as usize], LARGE - CHUNK_BYTES as usize);
        let mut turns = 0;
        while let Err(error) = io.write_at(&chunk, at as u64) {
            assert_eq!(error.copying(), Some(CopiedBy::Here), "{error}");
            turns += 1;
        }
        match turns {
            0 => println!("skipped: this file system shares content instead of copying it"),
            _ => assert_eq!(turns, 1, "more than a turn's worth, less than two"),
        }
        let Ok(Finished::New(part)) = io.finish(false, &unproven()) else { panic!("it is not complete") };
        let mut found = vec![0; LARGE];
        assert_eq!(part.read_at(&mut found, 0).expect("it is there"), LARGE);
        assert!(found[..at].iter().all(|&byte| byte == 1) && found[at..].iter().all(|&byte| byte == 2));
    }
}
