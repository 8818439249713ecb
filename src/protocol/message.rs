//! The messages of the control stream. The order of variants and fields *is* the wire format: append only.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::path::{self, WirePath};
use super::{DETAIL_BYTES_MAX, ENTRIES_MAX, FRAME_BYTES_MAX, NAME_BYTES_MAX};
use crate::digest::Digest;

/// Names one file within one direction of one connection: chosen by the sender, counting up from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId(pub u64);

/// Everything that travels on the control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Client, first: who it is and what it can do.
    Hello(Hello),
    /// Server, first: the client is accepted.
    Welcome(Welcome),
    /// Client: it will be the sender; where its files go and by which rules.
    Push(Push),
    /// Client: it wants files; the server becomes the sender.
    Get(Get),
    /// Client: it wants the names of files, not their content.
    List(List),
    /// Server: some of the names asked for by [`Message::List`]; an empty list ends them.
    Entries(Vec<Entry>),
    /// Sender: a file is on offer.
    Header(Header),
    /// Receiver: what it wants of an offered file.
    Pos(Pos),
    /// Receiver: digests of chunks that it holds already.
    Have(Have),
    /// Sender: all content of a file has been sent; this is its digest.
    Tail(Tail),
    /// Receiver: the fate of one file.
    Done(Done),
    /// Sender: a source that never got a header (unreadable, vanished, no match).
    Problem(Problem),
    /// Sender: no more headers will follow.
    End(End),
    /// Sender: one file is given up; the other files go on.
    Cancel(Done),
    /// Either end: it is about to stop. No new files; what is in flight may finish.
    GoAway,
    /// Sender: what its side of the path looks like, about once a second.
    Link(LinkReport),
    /// Receiver, after the sender's [`Message::End`]: every file is settled, directories included.
    Settled,
    /// Client: it wants to measure the path.
    Probe(Probe),
    /// Server: the stream of a probe may be opened.
    ProbeReady(ProbeReady),
    /// Server: a probe is over.
    ProbeDone(ProbeDone),
    /// Sender: all that it found is on offer; [`Message::End`] waits for the last tail.
    Offered,
}

/// The client's opening. Nothing else is accepted before it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Bits of [`features`](super::features) that the client can use.
    pub features: u64,
    /// The client's own name for itself (host name), for the server's lists; untrusted text.
    pub name: String,
    /// The one-time invite of a ticket, when the client has one.
    pub invite: Option<[u8; 16]>,
    /// Proof that the client has the token that it shares with the server, when it has one.
    pub token_proof: Option<[u8; 32]>,
}

/// Never the secrets: debug output ends in logs.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |is_there: bool| if is_there { "Some(..)" } else { "None" };
        f.debug_struct("Hello")
            .field("features", &self.features)
            .field("name", &self.name)
            .field("invite", &format_args!("{}", shown(self.invite.is_some())))
            .field("token_proof", &format_args!("{}", shown(self.token_proof.is_some())))
            .finish()
    }
}

/// The server's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The subset of the client's features that both sides will use.
    pub features: u64,
    /// The server's name for itself; untrusted text.
    pub name: String,
    /// Whether the client's key was enrolled by this very connection.
    pub enrolled: bool,
}

/// Rules for files that the client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Where the files go, below the served root; `None` is the root itself.
    pub to: Option<WirePath>,
    /// Whether `to` names a directory that the files go into, or may be the new name of a single file.
    pub target: Target,
    /// What happens to files that exist there and differ.
    pub if_exists: IfExists,
    /// Compare by content where size and time would have settled it.
    pub checksum: bool,
    /// Decide and answer, but change nothing.
    pub dry_run: bool,
    /// Continue from partial files.
    pub resume: bool,
}

/// How a destination is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A directory, made when it is missing.
    Directory,
    /// An existing directory if there is one, else the new name of the only file.
    FileOrDirectory,
}

/// What happens to a file that exists and differs from the offered one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IfExists {
    /// It is replaced atomically.
    #[default]
    Replace,
    /// It stays; the offer is skipped.
    Skip,
    /// It stays; the new file gets a free name (`name~1`).
    Rename,
    /// It stays; the offer fails.
    Fail,
}

/// A request for files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// Paths or globs (`*`, `?`, `[…]`, `**`) below the served root; a trailing `/` asks for the contents.
    pub patterns: Vec<Vec<u8>>,
    /// gitignore-style lines that leave files out; `!` keeps.
    pub filters: Vec<String>,
    /// Send symbolic links as links instead of leaving them out.
    pub links: bool,
    /// Content may go ahead of the answers: the client expects to want it.
    pub ahead: bool,
}

/// A request for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Directory, file or glob below the served root; empty is the root itself.
    pub pattern: Vec<u8>,
    /// Also what is inside directories, all the way down.
    pub recursive: bool,
}

/// One name in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path below the served root.
    pub path: WirePath,
    /// What it is.
    pub kind: Kind,
    /// Bytes; 0 for anything but a file.
    pub size: u64,
    /// Last modification.
    pub mtime: Mtime,
    /// Permission bits.
    pub mode: u32,
}

/// An offer of one file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The sender's number for it.
    pub id: FileId,
    /// Its name, below the destination.
    pub path: WirePath,
    /// What it is.
    pub kind: Kind,
    /// Bytes; 0 for anything but a file.
    pub size: u64,
    /// Last modification.
    pub mtime: Mtime,
    /// Permission bits (the lower nine are used).
    pub mode: u32,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link and its target, as bytes.
    Link(Vec<u8>),
}

/// A time of modification: seconds since 1970 (may be negative) and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// The receiver's answer to a [`Header`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pos {
    /// The file.
    pub id: FileId,
    /// What the receiver wants of it.
    pub verdict: Verdict,
}

/// What a receiver wants of an offered file.
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
        /// What the content will be.
        why: Why,
    },
}

/// Why a file needs no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkipReason {
    /// Same size and time of modification.
    Same,
    /// It exists and [`IfExists::Skip`] was asked for.
    Exists,
    /// A directory or link that is in place now.
    Made,
}

/// What becomes of a file whose content is wanted.
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
    /// The file.
    pub id: FileId,
    /// Index of the first chunk.
    pub first: u64,
    /// One digest a chunk; at most [`HAVE_DIGESTS_MAX`](super::HAVE_DIGESTS_MAX).
    pub digests: Vec<Digest>,
}

/// The sender's closing of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The file.
    pub id: FileId,
    /// Digest of the whole file.
    pub root: Digest,
    /// How many data streams carried it. The receiver waits for all of them before it judges.
    pub ranges: u64,
    /// It was said before the answer was heard, and counts only for a file that is wanted whole.
    pub ahead: bool,
}

/// The fate of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The file.
    pub id: FileId,
    /// `None`: committed under its final name (and durable, unless the receiver was told otherwise).
    pub failure: Option<Failure>,
}

/// Why a file was not transferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub status: Status,
    /// The cause in words (an operating system's message); untrusted text.
    pub detail: String,
}

/// The kinds of failure of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The source does not exist (any more), or no name matched.
    NotFound,
    /// The source could not be opened or read.
    ReadFailed,
    /// The source changed while it was sent, more than once.
    Changed,
    /// The destination could not be created, written or renamed.
    WriteFailed,
    /// The destination's disk or quota is full.
    NoSpace,
    /// It exists, and [`IfExists::Fail`] or the server's `--no-clobber` forbids replacing it.
    Exists,
    /// The name cannot exist there: reserved, too long, through a link, or of another kind.
    BadName,
    /// Reading or writing there is not allowed.
    NotAllowed,
    /// Another transfer writes the same file.
    Busy,
    /// The received content does not have the announced digest.
    VerifyFailed,
    /// The other side waited too long for this file.
    Timeout,
    /// Someone stopped it.
    Cancelled,
    /// Not a regular file, directory or link.
    Unsupported,
    /// The end that answers failed in a way that is its own fault.
    Internal,
}

/// A source without a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The name as asked for or as found; untrusted bytes.
    pub name: Vec<u8>,
    /// What is wrong with it.
    pub failure: Failure,
}

/// The end of a sender's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Files, directories and links offered.
    pub files: u64,
    /// Sum of their sizes.
    pub bytes: u64,
}

/// The sender's view of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkReport {
    /// Smoothed round trip in microseconds.
    pub rtt_us: u64,
    /// Packets sent so far.
    pub packets_sent: u64,
    /// Packets declared lost so far.
    pub packets_lost: u64,
    /// Congestion window in bytes.
    pub window: u64,
    /// Current packet size in bytes.
    pub mtu: u16,
}

/// A request to measure the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is to be sent, and by whom.
    pub kind: ProbeKind,
    /// For how long, in milliseconds.
    pub millis: u32,
}

/// What a probe measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Round trips: the server returns what the client sends.
    Echo,
    /// What the path carries from the client to the server.
    Up,
    /// What the path carries from the server to the client.
    Down,
}

/// The server's consent to a [`Probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReady {
    /// The time that is granted, in milliseconds.
    pub millis: u32,
    /// The server's UDP buffer for packets that arrive, in bytes.
    pub udp_receive: u64,
    /// The server's UDP buffer for packets that leave, in bytes.
    pub udp_send: u64,
    /// The server's side of the path before the probe.
    pub link: LinkReport,
}

/// The end of a [`Probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeDone {
    /// The server's side of the path after the probe.
    pub link: LinkReport,
    /// How busy the server's thread for this connection was meanwhile, in thousandths of one core.
    pub cpu_permille: u16,
}

impl Hello {
    /// A client's opening; a name over [`NAME_BYTES_MAX`] is cut.
    pub fn new(features: u64, name: impl Into<String>, invite: Option<[u8; 16]>) -> Self {
        Self { features, name: cut(name.into(), NAME_BYTES_MAX), invite, token_proof: None }
    }

    /// The same with a proof that the client has a token.
    #[must_use]
    pub fn with_token_proof(self, token_proof: Option<[u8; 32]>) -> Self {
        Self { token_proof, ..self }
    }
}

impl Welcome {
    /// A server's answer; a name over [`NAME_BYTES_MAX`] is cut.
    pub fn new(features: u64, name: impl Into<String>, enrolled: bool) -> Self {
        Self { features, name: cut(name.into(), NAME_BYTES_MAX), enrolled }
    }
}

impl Failure {
    /// A failure and its cause in words; what is over [`DETAIL_BYTES_MAX`] is cut.
    pub fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: cut(detail.into(), DETAIL_BYTES_MAX) }
    }
}

impl Problem {
    /// A source without a header; a name over [`PATH_BYTES_MAX`](path::PATH_BYTES_MAX) is cut.
    pub fn new(name: impl Into<Vec<u8>>, failure: Failure) -> Self {
        let mut name = name.into();
        name.truncate(path::PATH_BYTES_MAX);
        Self { name, failure }
    }
}

impl Message {
    /// The answer to [`Message::List`]: `entries` in as few messages as the wire allows, then the empty one
    /// that ends them. Lazy: entries are taken as messages are.
    pub fn entries(entries: impl IntoIterator<Item = Entry>) -> impl Iterator<Item = Self> {
        let mut entries = entries.into_iter().peekable();
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let (mut batch, mut room) = (Vec::new(), FRAME_BYTES_MAX - ENTRY_BYTES_MAX);
            // An entry that no frame can hold goes alone, for the codec to refuse: it must not end the list.
            while let Some(entry) = entries
                .next_if(|next: &Entry| batch.is_empty() || (batch.len() < ENTRIES_MAX && next.wire_bytes() <= room))
            {
                room = room.saturating_sub(entry.wire_bytes());
                batch.push(entry);
            }
            ended = batch.is_empty();
            Some(Self::Entries(batch))
        })
    }
}

/// Most bytes that an [`Entry`] takes besides its path and link target: four varints of at most 9 bytes for
/// lengths, size and seconds, three of at most 5 for kind, nanoseconds and mode; rounded up. Also more than
/// the frame needs around its entries.
const ENTRY_BYTES_MAX: usize = 64;

impl Entry {
    /// At least as many bytes as it takes on the wire.
    fn wire_bytes(&self) -> usize {
        let target = if let Kind::Link(target) = &self.kind { target.len() } else { 0 };
        self.path.as_bytes().len() + target + ENTRY_BYTES_MAX
    }
}

/// The longest start of `text` that has at most `max` bytes and ends between two characters.
fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::ReadFailed => "cannot be read",
            Self::Changed => "changed while it was sent",
            Self::WriteFailed => "cannot be written",
            Self::NoSpace => "no space left",
            Self::Exists => "exists already",
            Self::BadName => "name not possible there",
            Self::NotAllowed => "not allowed",
            Self::Busy => "in use by another transfer",
            Self::VerifyFailed => "verification failed",
            Self::Timeout => "timed out",
            Self::Cancelled => "cancelled",
            Self::Unsupported => "not a file, directory or link",
            Self::Internal => "internal error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// Safe to print: the detail is escaped.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            return self.status.fmt(f);
        }
        write!(f, "{}: {}", self.status, path::escape(self.detail.as_bytes()))
    }
}

#[cfg(test)]
pub(super) mod tests;
