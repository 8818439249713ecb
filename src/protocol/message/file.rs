//! One file's way: offer, answer, digests, tail, fate.

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::digest::Digest;
use crate::protocol::path::WirePath;

/// Names one file within one direction of one connection: chosen by the sender, counting up from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId(pub u64);

/// An offer of one file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The sender's number for it.
    pub id: FileId,
    /// Its name, below the destination.
    pub path: WirePath,
    /// Its kind: a file, a directory or a link.
    pub kind: Kind,
    /// Bytes; 0 for anything but a file.
    pub size: u64,
    /// When its content was last modified.
    pub mtime: Mtime,
    /// Permission bits: the lower nine are used, less the receiver's umask.
    pub mode: u32,
}

/// The kind of object that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file, which has content.
    File,
    /// A directory, without what is in it.
    Dir,
    /// A symbolic link and its target, as bytes.
    Link(Vec<u8>),
}

/// A time of modification: seconds since 1970 (may be negative) and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// Nanoseconds after `secs`, below a thousand million.
    pub nanos: u32,
}

/// The receiver's answer to a [`Header`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pos {
    /// The file, by the id of its header.
    pub id: FileId,
    /// The answer of the receiver.
    pub verdict: Verdict,
}

/// The answer of a receiver to an offered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Nothing: it is settled.
    Skip(SkipReason),
    /// Nothing: it cannot be taken.
    Refuse(Failure),
    /// Content from this offset on; digests of all before it follow in [`Have`].
    From {
        /// A multiple of [`CHUNK_BYTES`](crate::digest::CHUNK_BYTES), or the file's size.
        offset: u64,
        /// The use of the content that is asked for.
        why: Why,
    },
}

/// Why a file needs no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkipReason {
    /// Same size and time of modification.
    Same,
    /// It exists and [`IfExists::Skip`](super::IfExists::Skip) was asked for.
    Exists,
    /// A directory or link that is in place now.
    Made,
    /// Same size and time of modification; it has got the sender's permission bits. Said only to a peer with
    /// [`REMARKS`](crate::protocol::features::REMARKS).
    Mode,
}

/// The reason for which the content of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Nothing of that name exists.
    New,
    /// It replaces a file of that name.
    Replace,
    /// It continues a partial file.
    Resume,
    /// It is compared with, and made from, the file of that name.
    Update,
}

/// Digests of consecutive chunks of the receiver's own copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The file, by the id of its header.
    pub id: FileId,
    /// Index of the first chunk.
    pub first: u64,
    /// One digest a chunk; at most [`HAVE_DIGESTS_MAX`](crate::protocol::HAVE_DIGESTS_MAX).
    pub digests: Vec<Digest>,
}

/// The sender's closing of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The file, by the id of its header.
    pub id: FileId,
    /// Digest of the whole file.
    pub root: Digest,
    /// How many data streams carried it. The receiver waits for all of them before it judges.
    pub ranges: u64,
    /// It was said before the answer was heard, and counts only for a file that is wanted whole.
    pub early: bool,
}

/// The fate of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The file, by the id of its header.
    pub id: FileId,
    /// `None`: committed under its final name (and durable, unless the receiver was told otherwise).
    pub failure: Option<Failure>,
}

/// The name that an offered file gets instead of the one asked for, since that is taken
/// ([`IfExists::Rename`](super::IfExists::Rename)). It comes before the answer of a dry run, and before the file's
/// [`Done`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The file, by the id of its header.
    pub id: FileId,
    /// The new last component, alone.
    pub name: WirePath,
}

/// The end of a sender's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Files, directories and links offered.
    pub files: u64,
    /// Sum of their sizes.
    pub bytes: u64,
}
