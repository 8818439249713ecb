//! qft moves files between two machines over QUIC: fast over lossy or high-latency links, resumable,
//! verified, durable.
//!
//! The program `qft` is a thin layer over this library: [`Server`](server::Server) serves a directory,
//! [`Client`](client::Client) sends to it and gets from it. The interface follows the program's needs and
//! promises no stability yet.
//!
//! ```
//! use qft::client::{Client, SendOptions};
//! use qft::server::{Access, Server};
//! use qft::keys::{Identity, Ticket};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let place = std::env::temp_dir().join(format!("qft-example-{}", std::process::id()));
//! std::fs::create_dir_all(&place)?;
//! std::fs::write(place.join("letter.txt"), "Dear reader")?;
//!
//! // Both ends in one program, the whole QUIC path between them.
//! let identity = Identity::ephemeral()?;
//! let server = Server::builder(place.join("inbox"), Identity::ephemeral()?)
//!     .access(Access::Only(vec![identity.fingerprint()]))
//!     .start()?;
//! let (fingerprint, port) = (server.fingerprint(), server.local_addr().port());
//! let remote = Ticket { fingerprint, invite: None, host: "127.0.0.1".into(), port };
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let report = runtime.block_on(async {
//!     let client = Client::builder(identity).build()?;
//!     client.send(remote, vec![place.join("letter.txt")], SendOptions::default()).finish().await
//! })?;
//! assert_eq!((report.done, report.failed), (1, 0));
//! assert_eq!(std::fs::read_to_string(place.join("inbox/letter.txt"))?, "Dear reader");
//! # std::fs::remove_dir_all(&place)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//! Data flows one way through the rooms; each may use only what stands to its left:
//!
//! ```text
//! protocol, digest → transfer → storage | keys | congestion → transport → session → server | client → cli → main
//! ```
//!
//! A room's first page says what it is for and lists its files.
//!
//! | room | holds |
//! |---|---|
//! | [`protocol`] | the wire; its page is the specification |
//! | [`digest`] | MD5 in SIMD lanes: leaves, chunks, roots; a package of its own, so that tests have it optimised |
//! | `transfer` | the rules of one file and of one job, without I/O |
//! | `storage` | the disk: a confined tree, partial files, durable commits |
//! | [`congestion`] | the congestion controller |
//! | [`keys`] | who is who, and who may what |
//! | [`transport`] | QUIC: sockets, handshakes, the knobs of the link |
//! | `session` | where rules, streams and files meet |
//! | [`server`], [`client`] | the two ends |
//! | [`cli`] | the program |
//! | [`error`], [`progress`], `calendar` | vocabularies that everyone shares |
//! | `atomic_file` | how every room writes a small file of its own |
//! | `absent` | when every room takes nothing to be there |
//! | [`manual`] | why it is built this way, and [how to add to it](manual::extending) |
//!
//! # Where to begin
//! | who wants to know | reads |
//! |---|---|
//! | what is said on the wire | [`protocol`], then [`Spoken`](protocol::message::Spoken): who may say what |
//! | how two ends converse | `session/conversation.rs` (the loop), then `server/conversation/mod.rs`, `client/send.rs` and `client/get.rs` (the ends) |
//! | what becomes of one file | `transfer` (the drawing), then `transfer/file/resume/mod.rs` (the table) |
//! | what becomes of a job, and of its next connection | `transfer/job`: `offers` for the sender, `answers` for the receiver, `settled` |
//! | how bytes get from disk to disk | `session/sender/stream.rs`, `session/receiver/range.rs`, then `storage/commit` |
//! | how fast they are sent | [`congestion`] (the formula), then `congestion/phases.rs` (the table) |
//! | who is let in | `server/run.rs`, `server/gate.rs`, `server/greeting.rs`, `server/admission.rs`, then [`keys::trust`] |
//! | where a connection runs | `server/pool.rs` |
//! | what a flag does | `cli/args`, then `cli/commands`, then the options of [`client`] or [`ServerBuilder`](server::ServerBuilder) |
//! | what an error becomes | [`error::StorageError`] or [`transport::TransportError`], [`error`], then `cli/exit.rs` |
//!
//! # Deliberately absent
//! * No `async`, clock or raw path in [`protocol`], [`digest`] and `transfer`.
//! * No string of a peer's in `storage`: only a parsed [`WirePath`](protocol::path::WirePath).
//! * No allocation of a size that a peer named, before a cap.
//! * No file under its final name before its digest matched.
//! * No stream that ends without a tail and a verdict, or a reset with a code.
//! * No hashing and no file I/O on a thread that drives connections.

pub(crate) mod absent;
pub(crate) mod atomic_file;
pub(crate) mod broken;
pub(crate) mod calendar;
pub mod cli;
pub mod client;
pub mod congestion;
pub mod error;
pub mod keys;
pub mod manual;
pub mod progress;
pub mod protocol;
pub mod server;
pub(crate) mod session;
#[cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, unused_imports, dead_code, reason = "tests and benches reach more of it through `testing`")
)]
pub(crate) mod storage;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
pub(crate) mod transfer;
pub mod transport;

pub use qft_digest as digest;
