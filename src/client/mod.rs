//! The client: sends, gets and lists; reconnects and resumes by itself.
//!
//! ```no_run
//! use qft::client::{Client, SendOptions};
//! use qft::progress::Event;
//! use qft::keys::{self, Identity, Ticket};
//!
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::load_or_create(&keys::home()?)?;
//! let client = Client::builder(identity).build()?;
//! let server: Ticket = "qft://…@box.example:4433".parse()?;
//! let mut job = client.send(server, vec!["photos".into()], SendOptions::default());
//! while let Some(event) = job.next().await {
//!     if let Event::Finished { file } = event {
//!         println!("{} is there", file.path);
//!     }
//! }
//! let report = job.finish().await?;
//! println!("{} files, {} failed", report.done, report.failed);
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `builder`, `options` | what a client is made of; how files are sent and fetched |
//! | `call`, `connect`, `greet` | from a contact to a greeted connection |
//! | `job`, `attempt` | a running job: its events, its end, and its next connection when one is lost |
//! | `standby`, `takeover` | a second connection beside one that has gone silent; when, and which of the two goes on |
//! | `send`, `early` | sending; whether content is worth sending before it was asked for |
//! | `get`, `requested`, `single`, `local_place` | getting; which names a server may send, and how many; where they go |
//! | `list`, `parts`, `probe` | the questions that are no job: names, unfinished files, the path |
//! | `path` | what a client remembers of its paths |

mod attempt;
mod builder;
mod call;
mod connect;
mod early;
mod get;
mod greet;
mod job;
mod list;
mod local_place;
mod options;
mod parts;
mod path;
mod probe;
mod requested;
mod send;
mod single;
mod standby;
mod takeover;

/// What a server can make a client hold; [`manual::limits`](crate::manual::limits) tells of all.
pub mod limits {
    pub use super::list::LISTING_BYTES_MAX;
    pub use crate::session::budget::CLIENT_MEMORY_BYTES;
    pub use crate::transfer::job::names::{JOB_NAME_BYTES_MAX, JOB_NAMES_MAX};
    pub use crate::transfer::job::twins::TWIN_BYTES_MAX;
}

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use self::builder::ClientBuilder;
pub use self::greet::ServerGreeting;
pub use self::job::Job;
pub use self::list::Listing;
pub use self::options::{GetOptions, SendOptions, TransferOptions};
pub use self::parts::{PartsListing, PartsOptions};
pub use self::probe::{DirectionProbe, PathFigures, PathReport, PingReport};
use crate::error::Error;
use crate::keys::{Contact, Identity};
pub use crate::session::probe::Count;
use crate::storage::Disk;
pub use crate::storage::Links;
use crate::transport::{PathMemory, Throttle};

/// Whether a client that has asked for the patterns, without what the filters leave out, takes an offer.
#[cfg(feature = "testing")]
pub(crate) fn takes(
    patterns: &[Vec<u8>],
    filters: &crate::storage::Filters,
    offer: &crate::protocol::message::Header,
) -> bool {
    requested::Requested::new(patterns, filters.clone()).check(offer, &offer.path, None).is_ok()
}

/// Files whose content moves at the same time, unless told otherwise.
pub const JOBS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// How long a job keeps trying while nothing moves, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// One installation's client. Cheap to clone; every job has a connection of its own.
#[derive(Clone)]
pub struct Client {
    identity: Identity,
    disk: Disk,
    patience: Duration,
    waits_for_first: bool,
    throttle: Option<Throttle>,
    local: Option<SocketAddr>,
    paths: Option<PathMemory>,
    memory: usize,
    on_wait: Option<OnWait>,
}

/// Is called when a server has no place.
type OnWait = std::sync::Arc<dyn Fn(&Error) + Send + Sync>;

impl Client {
    /// A client that shows `identity`.
    pub fn builder(identity: Identity) -> ClientBuilder {
        ClientBuilder::new(identity)
    }

    /// Sends local paths by rsync's rule (`dir` the directory, `dir/` its contents).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn send(&self, remote: impl Into<Contact>, paths: Vec<PathBuf>, options: impl Into<SendOptions>) -> Job {
        send::start(self.clone(), remote.into(), paths, options.into())
    }

    /// Fetches what the patterns name into the directory `into` (or, as the options' target allows, under
    /// that new name). The directory is made, except in a dry run.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn get(
        &self,
        remote: impl Into<Contact>,
        patterns: Vec<Vec<u8>>,
        into: PathBuf,
        options: impl Into<GetOptions>,
    ) -> Job {
        get::start(self.clone(), remote.into(), patterns, into, options.into())
    }

    /// Lists what a path or glob names; a directory stands for what is in it. Empty: the served root.
    ///
    /// # Errors
    /// No connection, or nothing of that name.
    pub async fn list(&self, remote: impl Into<Contact>, pattern: Vec<u8>, recursive: bool) -> Result<Listing, Error> {
        let contact = remote.into();
        attempt::until_let_in(self, || list::run(self, contact.clone(), pattern.clone(), recursive)).await
    }

    /// Lists, and removes where that is asked for, unfinished files on a server.
    ///
    /// # Errors
    /// No connection, a server that is too old, or nothing that this client may know.
    pub async fn parts(&self, remote: impl Into<Contact>, options: PartsOptions) -> Result<PartsListing, Error> {
        let contact = remote.into();
        attempt::until_let_in(self, || parts::run(self, contact.clone(), options.clone())).await
    }

    /// Measures a few round trips, and fills no link. Moves no file.
    ///
    /// # Errors
    /// No connection, or none any more.
    pub async fn ping(&self, remote: impl Into<Contact>, count: usize) -> Result<PingReport, Error> {
        let contact = remote.into();
        attempt::until_let_in(self, || probe::ping_only(self, contact.clone(), count)).await
    }

    /// Measures the path for `length` in each direction; a server may cut that short. Moves no file.
    ///
    /// # Errors
    /// No connection, or none any more.
    pub async fn probe(&self, remote: impl Into<Contact>, length: Duration) -> Result<PathReport, Error> {
        let contact = remote.into();
        attempt::until_let_in(self, || probe::run(self, contact.clone(), length)).await
    }

    /// Connects and leaves again: an invite in the ticket enrols this client's key.
    ///
    /// # Errors
    /// No connection, or the server does not let us in.
    pub async fn greet(&self, remote: impl Into<Contact>) -> Result<ServerGreeting, Error> {
        let contact = remote.into();
        attempt::until_let_in(self, || greet::run(self, contact.clone())).await
    }

    /// A deadline that does not outlast the user's patience.
    fn within_patience(&self, deadline: Duration) -> Duration {
        if self.patience.is_zero() { deadline } else { deadline.min(self.patience) }
    }
}
