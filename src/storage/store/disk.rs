//! The disk as a store: what the interface asks is what its own types do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::{Commits, Files, PartFile, ReadFile, Store};
use crate::digest::{ChunkHasher, Digest};
use crate::protocol::path::WirePath;
use crate::storage::commit::{Answer, Commit, Committer, Durability, Replace, Touch};
use crate::storage::error::StorageError;
use crate::storage::hash::hash_turn;
use crate::storage::meta::{DirMeta, Meta};
use crate::storage::part::{Adoption, Fresh, Part};
use crate::storage::part_name::Owner;
use crate::storage::root::{Destination, Tree};
use crate::storage::source::{DataMap, Since, Source};

impl Files for Tree {
    type Source = Source;

    fn stat(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        self.stat(path)
    }

    fn path(&self) -> &Path {
        self.path()
    }

    fn open_source(&self, path: &WirePath) -> Result<Source, StorageError> {
        self.open_source(path)
    }
}

impl ReadFile for Source {
    type Content = [u8];

    fn meta(&self) -> &Meta {
        self.meta()
    }

    fn read_at(&self, content: &mut [u8], offset: u64) -> Result<usize, StorageError> {
        self.read_at(content, offset)
    }

    fn read_to_end(&self, content: &mut [u8]) -> Result<usize, StorageError> {
        self.read_to_end(content)
    }

    fn digest(content: &[u8], hasher: &ChunkHasher) -> Digest {
        hasher.chunk(content)
    }

    fn hash(&self, hasher: &ChunkHasher, first: u64, end: u64) -> Result<Vec<Digest>, StorageError> {
        hash_turn(hasher, first, end, |buffer, offset| self.read_at(buffer, offset))
    }

    fn advise_sequential(&self) {
        self.advise_sequential();
    }

    fn data_map(&self, from: u64, chunk: u64) -> Result<DataMap, StorageError> {
        self.data_map(from, chunk)
    }

    fn data_in(&self, range: Range<u64>, chunk: u64) -> Result<Vec<Range<u64>>, StorageError> {
        self.data_in(range, chunk)
    }

    fn settles_in(&self) -> Option<Duration> {
        self.settles_in()
    }

    fn since_opened(&self) -> Result<Since, StorageError> {
        self.since_opened()
    }

    fn has_honest_size(&self) -> Result<bool, StorageError> {
        self.has_honest_size()
    }

    fn is_longer_than(&self, size: u64) -> Result<bool, StorageError> {
        self.is_longer_than(size)
    }

    fn has_mode(&self, mode: u32) -> Result<bool, StorageError> {
        self.has_mode(mode)
    }

    fn up_to(self, size: u64) -> Self {
        self.up_to(size)
    }
}

impl Files for Destination {
    type Source = Source;

    fn stat(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        self.stat(path)
    }

    fn path(&self) -> &Path {
        self.path()
    }

    fn open_source(&self, path: &WirePath) -> Result<Source, StorageError> {
        self.open_source(path)
    }
}

impl Store for Destination {
    type Part = Part;
    type Adoption = Adoption;
    type Committer = Committer;

    fn stat_dir(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        self.stat_dir(path)
    }

    fn is_reserved(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.is_reserved(path)
    }

    fn give_back(&self, path: &WirePath) -> Result<(), StorageError> {
        self.give_back(path)
    }

    fn part_len(&self, path: &WirePath, owner: Owner<'_>) -> Result<Option<u64>, StorageError> {
        Part::peek(self, path, owner)
    }

    fn check_part_free(&self, path: &WirePath, owner: Owner<'_>) -> Result<(), StorageError> {
        Part::check_free(self, path, owner)
    }

    fn open_part(&self, path: &WirePath, owner: Owner<'_>, fresh: Fresh) -> Result<Part, StorageError> {
        Part::open(self, path, owner, fresh)
    }

    fn adopt(part: &Part, from: &Source, len: u64) -> Result<Adoption, StorageError> {
        part.adopt(from, len)
    }

    fn adopt_more(part: &Part, from: &Source, left: &mut Adoption, bytes: u64) -> Result<bool, StorageError> {
        part.adopt_more(from, left, bytes)
    }

    fn make_dir(&self, path: &WirePath, mode: u32) -> Result<bool, StorageError> {
        self.make_dir_for(path, mode)
    }

    fn open_up_dir(&self, path: &WirePath) -> Result<(), StorageError> {
        self.open_up_dir(path)
    }

    fn make_link(&self, path: &WirePath, target: &[u8], replace: Replace) -> Result<Option<WirePath>, StorageError> {
        self.make_link(path, target, replace)
    }

    fn finish_dirs(
        &self,
        dirs: &mut BTreeMap<WirePath, DirMeta>,
        sync: Durability,
        unset: impl FnMut(&StorageError),
    ) -> Result<(), StorageError> {
        self.finish_dirs(dirs, sync, unset)
    }

    fn note_unsynced(&self, path: &WirePath, leads_on: bool) -> Result<(), StorageError> {
        self.note_unsynced(path, leads_on)
    }

    fn is_unsynced(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.is_unsynced(path)
    }

    fn is_misplaced(&self) -> bool {
        self.is_misplaced()
    }

    fn time_step(&self, path: &WirePath) -> Result<u64, StorageError> {
        self.time_step(path)
    }

    fn tells_names_apart(&self, path: &WirePath) -> bool {
        self.tells_names_apart(path)
    }

    fn is_one_name(&self, first: &WirePath, path: &WirePath) -> Result<bool, StorageError> {
        self.is_one_name(first, path)
    }

    fn is_other_spelling(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.is_other_spelling(path)
    }

    fn has_entry(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.has_entry(path)
    }
}

impl PartFile for Part {
    type Content = [u8];

    fn len(&self) -> u64 {
        self.len()
    }

    fn truncate(&self, len: u64) -> Result<(), StorageError> {
        self.truncate(len)
    }

    fn write_at(&self, content: &[u8], offset: u64) -> Result<(), StorageError> {
        self.write_at(content, offset)
    }

    fn hash(&self, hasher: &ChunkHasher, first: u64, end: u64) -> Result<Vec<Digest>, StorageError> {
        hash_turn(hasher, first, end, |buffer, offset| self.read_at(buffer, offset))
    }

    fn write_back_early(&self) {
        self.write_back_early();
    }

    fn discard(self) -> Result<(), StorageError> {
        self.discard()
    }
}

impl Commits<Destination> for Committer {
    fn submit(&self, commit: Commit, answer: Answer) {
        self.submit(commit, answer);
    }

    fn submit_dir(&self, store: Destination, path: WirePath, answer: Answer) {
        self.submit_dir(store, path, answer);
    }

    fn submit_there(&self, store: Destination, path: WirePath, answer: Answer) {
        self.submit_there(store, path, answer);
    }

    fn submit_touch(&self, touch: Touch, answer: Answer) {
        self.submit_touch(touch, answer);
    }
}
