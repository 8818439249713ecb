//! The wire: the specification of `qft/1`.
//!
//! Two programs that follow this page can move files to each other. The types of [`message`] fix every
//! field; this page fixes who says what, when, and what is refused. A rule that is not kept is a
//! [`CloseCode::Violation`](close::CloseCode::Violation): the connection ends, and what was kept of the
//! files can be resumed over the next one.
//!
//! # Ends and roles
//! The **client** opens the connection, the **server** accepts it. The **sender** owns content, the
//! **receiver** wants it. Ends and roles are independent: after [`Push`](message::Push) the client is the
//! sender, after [`Get`](message::Get) the server is. All below *Handshake* is said by role.
//!
//! # Connection
//! QUIC version 1, TLS 1.3, both sides with a certificate; ALPN is [`ALPN`]. There is no 0-RTT data: a
//! replayed request must not act. Who may connect is settled by the certificates, the invite and the token, not here.
//! Both ends export [`SALT_BYTES`](crate::digest::SALT_BYTES) bytes of keying material (RFC 5705 and 8446,
//! label [`SALT_LABEL`], no context): the salt of all chunk digests of this connection
//! ([`digest`](crate::digest) defines leaf, chunk and root).
//!
//! A client over whose connection nothing has come for some seconds may make a second one beside it, over which it says
//! nothing: if the first is heard again it closes the second with `Done`, which is no attempt to get in. Else it closes the
//! first with `Timeout`, which may not arrive, and goes on over the second. A server closes silent connections of a
//! client that begins a job over another one.
//!
//! # Control stream
//! The client's first bidirectional stream (id 0). It carries frames both ways until the connection closes:
//!
//! ```text
//! frame = length: u32 little endian, 1 to FRAME_BYTES_MAX    message: bincode, exactly `length` bytes
//! ```
//!
//! The encoding is that of bincode 2, "standard" configuration: little endian; `u16`, `u32`, `u64` below 251
//! are one byte, else 251, 252 or 253 and then a `u16`, `u32` or `u64`; signed numbers are zigzagged first;
//! `u8`, `bool` and the presence of an `Option` are one byte; byte strings, texts (UTF-8) and lists are a
//! `u64` count and then the elements; digests and invites are 16 bytes, proofs 32, without a count; structs are their
//! fields in order; enums are the variant's index, a `u32`, and then its fields. The order of variants and
//! fields in [`message`] is the wire format. Bytes left over in a frame are a violation, as is a value
//! outside the limits below.
//!
//! A receiver of frames must keep reading them while data streams flow: answers, digests and reports that
//! wait for each other would stop both sides.
//!
//! # Handshake
//! 1. Client: `Hello`. Nothing else is accepted before it. A client that goes on with a job over another connection sets
//!    [`features::CONTINUED`]: where the server's disk takes names for one, it then replaces none that it cannot tell from one
//!    that this job has given. An invite and the proof of a token are in it only when the client
//!    knows the server by its key or certificate. The proof is HMAC-SHA-256 under the token's characters over 32 bytes
//!    of keying material (label [`TOKEN_LABEL`], no context): it is good for this connection alone.
//! 2. Server: `Welcome`, or it closes (`NotAuthorised`, `InviteSpent`, `TooManyTries`, `Expired`, `Revoked`, `WrongToken`,
//!    `NotCertified`, `CertificateExpired`, `Unsupported`, `Busy`; `NoDirectory`; `GoingAway` when it is stopping). Its features
//!    are a subset of the client's; unknown bits are ignored by the server and never returned.
//! 3. Client: one job, that is one `Push`, `Get`, `Select`, `List`, `Parts` or `Probe`. One that needs no feature may be sent
//!    right behind `Hello`, and the headers of a `Push` right behind it, and content that goes ahead (below); the server reads
//!    them only once it has accepted the client. Other data streams wait for `Welcome`.
//!
//! With [`features::SELECT`] a `Select` is a `Get` that stays on the file system of what it names, or asks for a list of
//! names. The list follows in `Names`, of which at most [`NAMES_AHEAD_MAX`] may be ahead of the server: it answers each but
//! the last with `MoreNames` when it has looked for what is in it. What is offered of a list goes by the path that the list
//! gives it, its directories before it; a directory without what is in it unless the name says so (`whole`).
//!
//! A `List` is answered with `Entries` until an empty one, or with `Problem`s before that; then the client closes.
//! With [`features::PARTS`] a `Parts` is answered with `PartsFound` likewise. Whoever may neither send nor read is told so;
//! who may not send removes nothing; a drop box tells of, and removes, only what the client itself has begun. What another key
//! alone may continue, another user of the machine owns or somebody is writing is `Left`.
//!
//! # One file
//! ```text
//!   sender                                        receiver
//!     │ Header {id, path, kind, size, mtime, mode}   │
//!     ├─────────────────────────────────────────────►│
//!     │            Pos {Skip | Refuse | From offset} │   Skip, Refuse: settled
//!     │◄─────────────────────────────────────────────┤
//!     │ data streams: content from offset on         │
//!     ├═════════════════════════════════════════════►│
//!     │       Have {digests of chunks before offset} │   at the same time
//!     │◄─────────────────────────────────────────────┤
//!     │ data streams: chunks that differ             │
//!     ├═════════════════════════════════════════════►│
//!     │ Tail {root, number of ranges}                │
//!     ├─────────────────────────────────────────────►│
//!     │                               Done {failure} │   settled
//!     │◄─────────────────────────────────────────────┤
//! ```
//!
//! * **Header.** Ids count up from 0 without gaps. Headers run ahead of content: a sender does not wait for
//!   `Pos`, but has at most [`HEADERS_AHEAD_MAX`] files that are not settled. A path is offered once; a
//!   directory comes before what is inside it. The sender offers only what was asked for: under a pattern the names that it
//!   matches (a leading dot only where the pattern has one) or, of a directory whose contents are wanted, all that is in
//!   it; nothing that the filters leave out; links only after a `Get` with `links`. A receiver refuses all else
//!   (`NotAllowed`), and a name whose parent is a link at its end (`BadName`): what a name says is where it lies.
//! * **Pos.** One for each header, in any order. Directories and links are answered with `Skip(Made)` or
//!   `Refuse`; they have no `Tail`. `From.offset` is a multiple of the chunk size, or the file's size.
//!   `Skip(Mode)`, with [`features::REMARKS`], says that size and time were the same, and that the file has got the header's
//!   permission bits; to other senders that is `Skip(Same)`.
//! * **Content** flows after `Pos From`, and at once: it starts at `offset` and waits for no digest.
//! * **Ahead.** The sender may send the start of a file without waiting for `Pos`: its first chunk, or all of a smaller file,
//!   as one range that is marked as such. At most one for a file, for at most [`EARLY_FILES_MAX`] files and
//!   [`EARLY_BYTES_MAX`] bytes of a job, only in the first job of a connection, never for a file that is offered again;
//!   after a `Get` only if that says `ahead`. It sends nothing ahead that it can expect to be in vain: in a dry run,
//!   when contents are to be compared, when what exists is to stay, when an earlier connection has begun the job. With
//!   `Pos From{0}` the range is the first of the file's ranges and counts like any other; whatever lies in it is not
//!   sent again. With any other answer the sender resets the stream, the receiver stops it (both `Cancelled`), and it
//!   counts for nothing. The range may come before its header, but not after `End` without one.
//!   When all of a file has gone ahead, and for an empty file, its `Tail` may, too, marked as such: it counts only with
//!   `Pos From{0}`, and a file that is resumed gets another. A job of a few small files is over one round trip after the
//!   handshake.
//! * **Have.** Describes chunks `[0, offset)` of the receiver's copy: consecutive, each once, in order, in as
//!   many messages as it likes. The last chunk of a file may be short. The sender compares them with its own and
//!   sends each chunk that differs again, as a range. `Have` ends when all chunks before `offset` are described.
//! * **Holes.** A chunk at or after `offset` that no range carries is all zero. (Before `offset` zeros are
//!   sent like any content.)
//! * **Tail.** After the last range has been opened, which can only be known once all of `Have` was compared. `ranges`
//!   counts the file's data streams, `root` is over the whole file as the sender read it. It may overtake
//!   the data; an empty or complete file has `ranges` 0.
//! * **Done.** After `Tail`, all ranges and all own digests: the receiver compares the root, commits, and
//!   says so. Without failure it means *under its final name* (and durable, unless it was told otherwise). With a
//!   failure it may come at any time after `Pos From`: the receiver stops the file's streams, the sender resets them.
//! * **Named.** With [`features::NAMED`], when an offered file gets another name than its own, which is taken: before the `Pos`
//!   of a dry run, else before its `Done`. For display only. A drop box does not say it.
//! * **Cancel.** The sender gives up a file that has no `Done` yet, and says why; it resets the file's streams. It has no
//!   answer. A source that changed while it was sent is cancelled with `Changed`; it may be offered again with a new
//!   id, until it was on offer [`OFFERS_MAX`] times. One that still begins with all that was sent has not changed in
//!   this sense: a sender that finds its size, time or inode another reads it again.
//! * What was under way for a file when its `Done` or `Cancel` was said is dropped by whoever gets it.
//! * **Problem.** A source that never got a header, or that changed and is not offered again. `End` after the last
//!   header and problem. It waits for the `Tail` of every file, not for answers. So a file whose tail went ahead, and
//!   which is compared after all, may be found changed after `End`: its `Cancel(Changed)` is then followed by a header
//!   for the same path or a problem of that name, before which the job is not settled. No other `Cancel(Changed)`,
//!   header or problem comes between the two. When the receiver has said a failed `Done` for that file meanwhile, the
//!   failure stands: it drops header or problem without an answer (the id is used up), and `Settled` does not wait for
//!   it; the sender, which hears `Done` after its `Cancel`, takes it as the verdict on the new offer.
//! * **Offered.** With [`features::OFFERED`], at most once and before `End`: the sender has found all that there is, and it
//!   is on offer. For display only: `End` may be as far away as the last byte. A file that changes is still offered
//!   again. A sender that stops early does not say it.
//!
//! # What a client may do
//! A server settles it for each key when it lets the client in, and holds every `Push`, `Get` and `List` to it. What is
//! not allowed is answered file by file (`Refuse` or `Problem` with `NotAllowed`), never by closing. When the rights end
//! or shrink while the client is connected, the server closes with `Revoked`, `Expired`, or `RightsChanged`; only after
//! the last may the client come again by itself.
//!
//! **Drop box.** A client that may send and not read is answered so that it learns of what is there no more than that a
//! name is taken, which it needs to know to keep what exists:
//! * an existing file counts neither with its size and time nor with its content: the answer is `From{0, New}`, whether
//!   or not something has the name, whatever `checksum` asks for, in a dry run too; never `Skip(Same)`, `Replace` or
//!   `Update`, and no `Have` describes it;
//! * `Skip(Exists)` and `Refuse(Exists)` answer a push (or a server) that replaces nothing;
//! * a directory in the way of a file, or a file in the way of a directory, is refused as such;
//! * a link is refused (`NotAllowed`): whoever reads the box with other tools would follow it;
//! * an unfinished upload is resumed (`From{offset, Resume}` with its `Have`) only by the key that began it. Other keys
//!   begin their own, and none waits for another's.
//!
//! # Data streams
//! Bidirectional, opened by the sender, in any number that QUIC's stream limit allows. Each carries one range of one file:
//!
//! ```text
//! sender:    id: u64  offset: u64  len: u64 (little endian; bit 63: ahead)  then `len` bytes, then FIN
//! receiver:  written: u64 (little endian), again and again, then FIN
//! ```
//!
//! Bit 63 of `len` marks a range that goes ahead and is no part of the length. `offset` is a multiple of the chunk size; `offset + len` is too, or is the file's size; `len` is not 0.
//! Ranges of a file never overlap. The return half counts bytes *of this range* handed to the disk: a number that
//! never falls, written a few times a second while it changes; the last one is `len`. It feeds progress displays and
//! is no promise of durability. The receiver may take bytes in any order. A sender keeps the chunks that it began and
//! that are not acknowledged within [`BEGUN_BYTES_MAX`], however many streams carry them.
//! A sender that cannot go on resets the stream (`SourceFailed`), a receiver stops it (`DiskFailed`), both
//! with `Cancel` or a failed `Done` for the file. A FIN before `len` bytes, or bytes after them, are violations.
//!
//! # The rest of the control stream
//! * `Link`: the sender's view of the path, about once a second while content flows; for display only. An end that is at
//!   work and has nothing else to say for some seconds says it too: a receiver whose disk is slow, for one.
//! * `SenderStats`: with [`features::SENDER_STATS`], beside the sender's `Link` and before its `End`: how its time went
//!   since it said so last. For display only: the receiver tells from it what held the transfer back.
//! * `Remark`: with [`features::REMARKS`], at any time during a job: something of it that is no failure, such as a time that
//!   a file could not be given. For display only, escaped; at most [`REMARKS_MAX`] are said, and no more are shown.
//! * `Location`: with [`features::LOCATION`], the receiver, once for a job: HMAC-SHA-256 over device and number (`u64` little
//!   endian each) of a directory and the path below it that the files go to, under a key of 32 bytes of keying material
//!   (label [`LOCATION_LABEL`], no context) and the text of the machine's boot id. A server says it after a `Push`, a client
//!   behind its `Get` or `Select`. A sender on the same machine leaves that directory out, and waits some seconds for it
//!   before the first directory; to anybody else it tells nothing.
//! * `GoAway`: either end is about to stop. The sender sends no new header, then `End`. The receiver answers
//!   headers that it has not begun with `Refuse(Cancelled)`. Files that are `From` may finish.
//! * `Settled`: the receiver, once, after `End`, when every file is settled and directories have got their times, durably
//!   unless it was told otherwise.
//! * The client closes with `Done` when `Settled` was said, by it or to it; with `Cancelled` when it only wanted to know
//!   what it would get. If one half of the control stream ends before, the other end closes the connection; a reset of it
//!   is treated alike.
//!
//! # Probe
//! With [`features::PROBE`]: a measurement of the path. Nothing of it touches a disk or has a meaning.
//! 1. Client: `Probe`. Not while a job or another probe is running; many may follow each other.
//! 2. Server: `ProbeReady` with the time that it grants, or `Problem` (`NotAllowed`: `Up` needs the right to write, `Down`
//!    the right to read). It grants at most [`PROBE_MILLIS_MAX`], and [`PROBE_BYTES_MAX`] bytes.
//! 3. Client: opens one bidirectional stream and begins it with one arbitrary byte, which counts for nothing.
//!    * `Echo`: the server returns every byte after that one as it comes, at most [`PROBE_ECHO_BYTES_MAX`], until FIN.
//!    * `Up`: the client sends arbitrary bytes; the server reports on its half, a few times a second,
//!      `micros: u64  bytes: u64` (little endian): how long after the first byte how many had arrived.
//!    * `Down`: the same with the sides swapped, but without reports: the client sees what arrives.
//!
//!    The time is over when the sender of the bytes says so: it resets the stream with `Done`, so that what has not
//!    left by then never does. A sender that goes on is stopped by the other side.
//! 4. Server: `ProbeDone`, also when the stream never came. Its two `LinkReport`s tell what the probe cost.
//!
//! # Limits
//! Frames: [`FRAME_BYTES_MAX`], known before anything is reserved for them. Inside: [`NAME_BYTES_MAX`],
//! [`DETAIL_BYTES_MAX`], [`PATTERNS_MAX`], [`PATTERN_BYTES_MAX`], [`FILTERS_MAX`], [`FILTER_BYTES_MAX`],
//! [`ENTRIES_MAX`], [`HAVE_DIGESTS_MAX`], [`FILE_BYTES_MAX`], [`LINK_BYTES_MAX`]; paths as [`path`] says. Both ends
//! bound their waits and close with `Timeout`; a peer can shorten no limit of the other and lift none. A server that has no
//! place, or no room for what a client makes it hold beside the others, closes with `Busy`; the client comes again.
//!
//! # Versions
//! The ALPN names the version; other versions are other names, and TLS picks one. Within `qft/1` variants and
//! fields are only appended, and said only to a peer whose [`features`] include them. Text from a peer (names, details)
//! is untrusted: it is escaped before it is shown and never interpreted.
//!
//! # Close codes
//! Connections end and streams are reset with the codes of [`close::CloseCode`], as QUIC application errors.
//! An unknown code is a failure without a text.
//!
//! # Non-goals
//! No compression, no file deltas finer than a chunk, no owners, ACLs or extended attributes, no devices or hard
//! links, no third parties or relays, no deletion, no commands. Digests find corruption, not forgery: that is TLS's part.
//!
//! # Examples
//! `C` and `S` are client and server, `#n` a data stream `id offset+len`; chunks are 1 MiB.
//!
//! **Send of two files.** The second needs no new round trip.
//! ```text
//! C Hello  Push{to: None}  Header{0, "a", 3 MiB}  Header{1, "b", 10}
//! S Welcome  Pos{0, From{0, New}}  Pos{1, From{0, New}}
//! C Offered        C #0 0+3145728   C #1 0+10   C Tail{0, ranges: 1}  Tail{1, ranges: 1}  End{2, 3145738}
//! S (reports)  Done{1}  Done{0}  Settled        C closes: Done
//! ```
//! **The same, ahead.** `#n!` goes ahead: the first chunk of "a" is with the server before it answers. It is as much as may
//! go ahead, so "b" waits for its answer.
//! ```text
//! C Hello  Push{to: None}  Header{0, "a", 3 MiB}  Header{1, "b", 10}      C #0! 0+1048576
//! S Welcome  Pos{0, From{0, New}}  Pos{1, Skip(Same)}
//! C #0 1048576+2097152   C Tail{0, ranges: 2}  End{2, 3145738}             S Done{0}  Settled
//! ```
//! **Ahead in vain.** All of "a" and of "b" has gone ahead, with their tails; "b" was there.
//! ```text
//! C Header{0, "a", 20}  Header{1, "b", 10}   C #0! 0+20   C #1! 0+10   C Tail{0, ahead}  Tail{1, ahead}  End{2, 30}
//! S Pos{0, From{0, New}}  Pos{1, Skip(Same)}  (S stops #1!, C resets it)       S Done{0}  Settled
//! ```
//! **Get.** The same with roles swapped: the server offers and opens the data streams.
//! ```text
//! C Hello  Get{"logs/*"}               S Welcome  Header{0, "x.log", 500}  Problem{"y.log", NotAllowed}  Offered
//! C Pos{0, From{0, New}}               S #0 0+500  Tail{0, ranges: 1}  End{1, 500}   C Done{0}  Settled, closes: Done
//! ```
//! **Resume with a repair.** 5 MiB, of which a part file holds 3.2 MiB; its chunk 1 is damaged.
//! ```text
//! sender Header{0, 5 MiB}              receiver Pos{0, From{3 MiB, Resume}}
//! sender #0 3145728+2097152            receiver Have{0, first: 0, [d0, d1]}  Have{0, first: 2, [d2]}
//! sender #0 1048576+1048576            (d1 differs: the repair; d0 and d2 do not)
//! sender Tail{0, ranges: 2}            receiver Done{0}
//! ```
//! **Update, or a comparison by content.** A file of 2 MiB is there already and turns out to be the same.
//! ```text
//! sender Header{0, 2 MiB}              receiver Pos{0, From{2 MiB, Update}}  Have{0, first: 0, [d0, d1]}
//! sender Tail{0, ranges: 0}            receiver Done{0}
//! ```
//! **Skip, refusal, directory.**
//! ```text
//! sender Header{0, dir "d"}  Header{1, "d/same"}  Header{2, "d/taken"}
//! receiver Pos{0, Skip(Made)}  Pos{1, Skip(Same)}  Pos{2, Refuse(Exists)}
//! ```
//! **Dry run.** `Push{dry_run}`: the answers are real, `From` included, but settle the file; nothing else follows. A `Get`
//! does not say so: a client that only looks answers `Skip(Same)` to what it would ask for, and nothing is sent.
//! ```text
//! C Header{0, "a", 3 MiB}  End{1, 3145728}       S Pos{0, From{0, Replace}}  Settled      C closes: Done
//! ```
//! **Drain.** The server stops while file 0 flows, file 1 is on offer and more were to come.
//! ```text
//! S GoAway  Pos{1, Refuse(Cancelled)}   C Tail{0, ranges: 1}  End{2, ..}   S Done{0}  Settled   C closes: Done
//! ```
//!
//! # Files
//!
//! | file | holds |
//! |---|---|
//! | `message` | the messages; who says which is told by [`Spoken`](message::Spoken) |
//! | `codec`, `check`, `limits` | messages as bytes, and the bounds that each keeps |
//! | `range` | the header of a data stream |
//! | `path` | names that cannot lead out of their directory |
//! | `close` | the codes by which a connection or a stream ends |

mod check;
pub mod close;
pub mod codec;
mod limits;
pub mod message;
pub mod path;
pub mod range;

pub use self::limits::*;

/// The application protocol that TLS negotiates: the name and the version of this page.
pub const ALPN: &[u8] = b"qft/1";

/// Label under which both ends export the [`Salt`](crate::digest::Salt) from TLS; the context is absent.
pub const SALT_LABEL: &[u8] = b"EXPORTER-qft-1-digest-salt";

/// Label under which both ends export 32 bytes from TLS that [`message::Hello`] proves the shared token over; the context
/// is absent.
pub const TOKEN_LABEL: &[u8] = b"EXPORTER-qft-1-token";

/// Label under which both ends export 32 bytes from TLS that a [`message::Location`] is signed with; the context is absent.
pub const LOCATION_LABEL: &[u8] = b"EXPORTER-qft-1-location";

/// Features that `Hello` and `Welcome` negotiate, one bit each.
pub mod features {
    /// The set without any optional feature.
    pub const NONE: u64 = 0;
    /// The path can be measured: [`Probe`](super::message::Probe).
    pub const PROBE: u64 = 1;
    /// The receiver hears when all is on offer: [`Offered`](super::message::Message::Offered).
    pub const OFFERED: u64 = 2;
    /// Remarks are heard, and [`SkipReason::Mode`](super::message::SkipReason::Mode):
    /// [`Remark`](super::message::Message::Remark).
    pub const REMARKS: u64 = 4;
    /// The sender hears which name a file gets that steps aside: [`Named`](super::message::Message::Named).
    pub const NAMED: u64 = 8;
    /// Files can be asked for by a list, or on one file system alone: [`Select`](super::message::Select).
    pub const SELECT: u64 = 16;
    /// Unfinished files can be listed and removed: [`Parts`](super::message::Parts).
    pub const PARTS: u64 = 32;
    /// No feature, and never in a `Welcome`: the first job of the connection goes on with one that an earlier connection has
    /// begun, so names may have been given already that nobody remembers here. Said in this place since every server
    /// ignores what it does not know of it.
    pub const CONTINUED: u64 = 64;
    /// The receiver says where the files go: [`Location`](super::message::Location). A client has it only where it reaches
    /// the server by an address of its own machine.
    pub const LOCATION: u64 = 128;
    /// The receiver hears how the sender's time went: [`SenderStats`](super::message::SenderStats).
    pub const SENDER_STATS: u64 = 256;
    /// The client knows [`NoDirectory`](super::close::CloseCode::NoDirectory). A code that it does not know would be a lost
    /// connection to it, which it would try to replace.
    pub const NO_DIRECTORY: u64 = 512;
    /// All that this version knows.
    pub const ALL: u64 = PROBE | OFFERED | REMARKS | NAMED | SELECT | PARTS | LOCATION | SENDER_STATS | NO_DIRECTORY;
}
