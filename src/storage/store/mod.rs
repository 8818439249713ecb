//! The store behind one interface: all that a whole job asks of what it reads and writes.
//!
//! | trait | what it is | on the disk | in the simulator |
//! |---|---|---|---|
//! | [`Files`] | where files are looked at and opened | [`Tree`], [`Destination`] | memory |
//! | [`ReadFile`] | one that is open to be read | [`Source`] | |
//! | [`Store`] | where a job's files go | [`Destination`] | memory |
//! | [`PartFile`] | one that is being written | [`Part`] | |
//! | [`Commits`] | who gives names, and makes all durable | [`Committer`] | |
//!
//! Whoever uses it is compiled once for each store, so the disk costs no call through a table. Everything blocks but
//! [`Commits`], which answers later, on a thread of its own.
//!
//! Another store need not have files: a part may be the parts of an upload, its commit the end of that; what is not
//! durable before it is answered is its own to know.
//!
//! [`Tree`]: super::root::Tree
//! [`Destination`]: super::root::Destination
//! [`Source`]: super::source::Source
//! [`Part`]: super::part::Part
//! [`Committer`]: super::commit::Committer

mod disk;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::commit::{Answer, Commit, Durability, Replace, Touch};
use super::error::StorageError;
use super::meta::{DirMeta, Meta};
use super::part::Fresh;
use super::part_name::Owner;
use super::source::{DataMap, Since};
use crate::digest::{ChunkHasher, Digest};
use crate::protocol::path::WirePath;

/// Where files are looked at, and opened to be read. Cheap to clone.
pub(crate) trait Files: Clone + Send + Sync + 'static {
    /// A regular file that is open.
    type Source: ReadFile;

    /// The facts of a name; `None` when nothing is there. A link is not followed.
    ///
    /// # Errors
    /// When it cannot be told, or it is nothing that could be sent.
    fn stat(&self, path: &WirePath) -> Result<Option<Meta>, StorageError>;

    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// Opens a regular file. A link is not followed.
    ///
    /// # Errors
    /// When it is missing, not readable or no regular file.
    fn open_source(&self, path: &WirePath) -> Result<Self::Source, StorageError>;
}

/// A file that is open to be read, by any number of threads.
pub(crate) trait ReadFile: Send + Sync + 'static {
    /// The content that is read: bytes on a disk.
    type Content: ?Sized;

    /// Its facts when it was opened.
    fn meta(&self) -> &Meta;

    /// Reads at `offset` until `content` is full or the file ends, and returns how many bytes that was.
    ///
    /// # Errors
    /// When the store fails.
    fn read_at(&self, content: &mut Self::Content, offset: u64) -> Result<usize, StorageError>;

    /// The same from the start; what is returned is greater than the length of `content` where the file goes on behind it.
    ///
    /// # Errors
    /// When the store fails.
    fn read_to_end(&self, content: &mut Self::Content) -> Result<usize, StorageError>;

    /// The digest of a chunk that was read, or that is to be written.
    fn digest(content: &Self::Content, hasher: &ChunkHasher) -> Digest;

    /// The digests of chunks from `first` on, of those before the byte `end`: of one or more, as many as are read at one
    /// go. What is missing there reads as zeros.
    ///
    /// # Errors
    /// When the store fails.
    fn hash(&self, hasher: &ChunkHasher, first: u64, end: u64) -> Result<Vec<Digest>, StorageError>;

    /// Tells the store that the file will be read from front to back.
    fn advise_sequential(&self);

    /// Which ranges from `from` on hold data, widened to multiples of `chunk`.
    ///
    /// # Errors
    /// When the store fails.
    fn data_map(&self, from: u64, chunk: u64) -> Result<DataMap, StorageError>;

    /// Reads a range that may be a hole, and returns the chunks of it that are none.
    ///
    /// # Errors
    /// When the store fails.
    fn data_in(&self, range: Range<u64>, chunk: u64) -> Result<Vec<Range<u64>>, StorageError>;

    /// How long until the next change of it is certain to be seen; `None` when it is.
    fn settles_in(&self) -> Option<Duration>;

    /// Its change since it was opened.
    ///
    /// # Errors
    /// When that cannot be told.
    fn since_opened(&self) -> Result<Since, StorageError>;

    /// Whether it is still what it was when it was opened: size, content and attributes.
    ///
    /// # Errors
    /// When that cannot be told.
    fn unchanged(&self) -> Result<bool, StorageError> {
        Ok(self.since_opened()? == Since::Same)
    }

    /// Whether what can be read of it is as long as its size says.
    ///
    /// # Errors
    /// When it cannot be read.
    fn has_honest_size(&self) -> Result<bool, StorageError>;

    /// Whether it holds more than `size` bytes by now.
    ///
    /// # Errors
    /// When that cannot be told.
    fn is_longer_than(&self, size: u64) -> Result<bool, StorageError>;

    /// Whether its permission bits are those that a file that is sent with `mode` gets.
    ///
    /// # Errors
    /// When that cannot be told.
    fn has_mode(&self, mode: u32) -> Result<bool, StorageError>;

    /// The first `size` bytes alone, of a file that has grown.
    fn up_to(self, size: u64) -> Self;
}

/// The content of the files of a store, in a form that can be read and written.
pub(crate) type Content<F> = <<F as Files>::Source as ReadFile>::Content;

/// Files whose content is bytes.
pub(crate) trait ByteFiles: Files<Source: ReadFile<Content = [u8]>> {}

impl<F: Files<Source: ReadFile<Content = [u8]>>> ByteFiles for F {}

/// Where a job's files go. Cheap to clone.
pub(crate) trait Store: Files {
    /// A file that is being written.
    type Part: PartFile<Content = Content<Self>>;
    /// The rest that a part has to take over from an older version of its file.
    type Adoption: Send;
    /// The committer of this store.
    type Committer: Commits<Self>;

    /// As [`Files::stat`] for a name that a directory is to have: a link that stands for one is that directory.
    ///
    /// # Errors
    /// As [`Files::stat`].
    fn stat_dir(&self, path: &WirePath) -> Result<Option<Meta>, StorageError>;

    /// Whether an empty file of that name is nobody's: it was to be replaced at once by a file that an interrupted run did not
    /// live to put there.
    ///
    /// # Errors
    /// When it cannot be told.
    fn is_reserved(&self, path: &WirePath) -> Result<bool, StorageError>;

    /// Gives such a name back.
    ///
    /// # Errors
    /// When the empty file cannot be removed.
    fn give_back(&self, path: &WirePath) -> Result<(), StorageError>;

    /// The length of the part that an earlier transfer left for a file; `None` without one.
    ///
    /// # Errors
    /// When it cannot be told.
    fn part_len(&self, path: &WirePath, owner: Owner<'_>) -> Result<Option<u64>, StorageError>;

    /// Makes sure that no writer has the part of a file.
    ///
    /// # Errors
    /// Status `Busy` when one has it.
    fn check_part_free(&self, path: &WirePath, owner: Owner<'_>) -> Result<(), StorageError>;

    /// Opens or makes the part of a file, with missing directories above it, and locks it.
    ///
    /// # Errors
    /// Status `Busy` while another writer has it.
    fn open_part(&self, path: &WirePath, owner: Owner<'_>, fresh: Fresh) -> Result<Self::Part, StorageError>;

    /// Begins to make the first `len` bytes of an older version the content of a part.
    ///
    /// # Errors
    /// When either fails, or this one is full.
    fn adopt(part: &Self::Part, from: &Self::Source, len: u64) -> Result<Self::Adoption, StorageError>;

    /// Goes on with it, by `bytes` at most; true when the part holds all.
    ///
    /// # Errors
    /// As [`Store::adopt`].
    fn adopt_more(
        part: &Self::Part,
        from: &Self::Source,
        left: &mut Self::Adoption,
        bytes: u64,
    ) -> Result<bool, StorageError>;

    /// Makes a directory, and those above it, for what is to be put in it before it gets `mode`; true when it is new.
    ///
    /// # Errors
    /// When something else has one of the names.
    fn make_dir(&self, path: &WirePath, mode: u32) -> Result<bool, StorageError>;

    /// Lets the owner into a directory whose mode keeps even him out.
    ///
    /// # Errors
    /// When it is no directory, or its mode cannot be changed.
    fn open_up_dir(&self, path: &WirePath) -> Result<(), StorageError>;

    /// Puts a symbolic link in place, atomically, and says under which name; `None` when the same link is there already.
    ///
    /// # Errors
    /// When it leads out, a directory has the name, or what has it may not be replaced.
    fn make_link(&self, path: &WirePath, target: &[u8], replace: Replace) -> Result<Option<WirePath>, StorageError>;

    /// Sets times and modes of directories, innermost first. What one cannot have is told to `unset`.
    ///
    /// # Errors
    /// When too many files are open; `dirs` are those that are left then.
    fn finish_dirs(
        &self,
        dirs: &mut BTreeMap<WirePath, DirMeta>,
        sync: Durability,
        unset: impl FnMut(&StorageError),
    ) -> Result<(), StorageError>;

    /// From now on the name of `path`, and those of the directories above it, are taken for not durable until a commit has
    /// made them so. `leads_on`: other names lie below it.
    ///
    /// # Errors
    /// When a directory on the way cannot be opened, or too many of those noted before could not be synced.
    fn note_unsynced(&self, path: &WirePath, leads_on: bool) -> Result<(), StorageError>;

    /// Whether what has that name is there, and may not survive a power cut.
    ///
    /// # Errors
    /// When its directory cannot be looked up.
    fn is_unsynced(&self, path: &WirePath) -> Result<bool, StorageError>;

    /// Whether nobody will find what was put there: its place is another one by now, or none. False where that cannot be
    /// told.
    fn is_misplaced(&self) -> bool;

    /// The step of time stamps beside `path`, in nanoseconds.
    ///
    /// # Errors
    /// When times are not kept there.
    fn time_step(&self, path: &WirePath) -> Result<u64, StorageError>;

    /// Whether two names beside `path` that differ in a byte are two names; false where nobody can be sure.
    fn tells_names_apart(&self, path: &WirePath) -> bool;

    /// Whether `path` leads to what `first`, a name in the same directory, leads to, as another spelling of it.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    fn is_one_name(&self, first: &WirePath, path: &WirePath) -> Result<bool, StorageError>;

    /// Whether `path` leads to something that is there under another spelling.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    fn is_other_spelling(&self, path: &WirePath) -> Result<bool, StorageError>;

    /// Whether something is there under exactly this name.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    fn has_entry(&self, path: &WirePath) -> Result<bool, StorageError>;
}

/// A file that is being written, by any number of threads, each its own range. It is locked until it is dropped; it stays
/// then, to be continued, unless it never held anything.
pub(crate) trait PartFile: Send + Sync + 'static {
    /// The content that is written: bytes on a disk.
    type Content: ?Sized;

    /// End of everything written so far, in bytes.
    fn len(&self) -> u64;

    /// Cuts it, or lengthens it with a hole. Not while others write.
    ///
    /// # Errors
    /// When the store fails.
    fn truncate(&self, len: u64) -> Result<(), StorageError>;

    /// Writes all of `content` at `offset`.
    ///
    /// # Errors
    /// When the store fails or is full.
    fn write_at(&self, content: &Self::Content, offset: u64) -> Result<(), StorageError>;

    /// As [`ReadFile::hash`].
    ///
    /// # Errors
    /// When the store fails.
    fn hash(&self, hasher: &ChunkHasher, first: u64, end: u64) -> Result<Vec<Digest>, StorageError>;

    /// From now on starts to make durable what is written as it comes.
    fn write_back_early(&self);

    /// Removes it.
    ///
    /// # Errors
    /// When its name cannot be removed.
    fn discard(self) -> Result<(), StorageError>;
}

/// The committer: gives files their names, and makes them durable first where that was asked for. Cheap to clone.
pub(crate) trait Commits<S: Store>: Clone + Send + Sync + 'static {
    /// A part becomes a file.
    fn submit(&self, commit: Commit<S::Part>, answer: Answer);

    /// The name of a directory or link that was made, or of what stands in a directory that was noted as unsynced, is to be
    /// durable.
    fn submit_dir(&self, store: S, path: WirePath, answer: Answer);

    /// The same for a file whose content somebody else has written, who may not have synced it.
    fn submit_there(&self, store: S, path: WirePath, answer: Answer);

    /// A file gets a new time and mode and keeps its content.
    fn submit_touch(&self, touch: Touch<S, S::Source>, answer: Answer);
}
