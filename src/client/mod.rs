//! The client: sends, gets and lists; reconnects and resumes by itself.
//!
//! ```no_run
//! use qft::client::{Client, SendOptions};
//! use qft::progress::Event;
//! use qft::transport::{self, Identity, Ticket};
//!
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::load_or_create(&transport::home()?)?;
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

mod ahead;
mod attempt;
mod connect;
mod get;
mod greet;
mod job;
mod list;
mod path;
mod probe;
mod requested;
mod send;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use self::greet::Greeting;
pub use self::job::Job;
pub use self::list::Listing;
pub use self::probe::{Leg, PathFigures, PathReport};
use crate::error::Error;
use crate::protocol::message::{IfExists, Target};
use crate::protocol::path::WirePath;
use crate::session::local::disk_threads;
pub use crate::session::probe::Count;
use crate::storage::Disk;
use crate::transport::{Contact, Identity, PathMemory, Rate, Throttle};

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
    throttle: Option<Throttle>,
    paths: Option<PathMemory>,
}

/// The settings of a client.
pub struct ClientBuilder {
    identity: Identity,
    disk_threads: Option<NonZeroUsize>,
    patience: Duration,
    rate_limit: Option<Rate>,
    paths: Option<PathMemory>,
}

impl Client {
    /// A client that shows `identity`.
    pub fn builder(identity: Identity) -> ClientBuilder {
        ClientBuilder { identity, disk_threads: None, patience: PATIENCE, rate_limit: None, paths: None }
    }

    /// Sends local paths by rsync's rule (`dir` the directory, `dir/` its contents).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn send(&self, remote: impl Into<Contact>, paths: Vec<PathBuf>, options: SendOptions) -> Job {
        send::start(self.clone(), remote.into(), paths, options)
    }

    /// Fetches what the patterns name into the directory `into` (or, as the options' target allows, under
    /// that new name). The directory is made, except in a dry run.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn get(&self, remote: impl Into<Contact>, patterns: Vec<Vec<u8>>, into: PathBuf, options: GetOptions) -> Job {
        get::start(self.clone(), remote.into(), patterns, into, options)
    }

    /// Lists what a path or glob names; a directory stands for what is in it. Empty: the served root.
    ///
    /// # Errors
    /// No connection, or nothing of that name.
    pub async fn list(&self, remote: impl Into<Contact>, pattern: Vec<u8>, recursive: bool) -> Result<Listing, Error> {
        list::run(self, remote.into(), pattern, recursive).await
    }

    /// Measures the path for `length` in each direction; a server may cut that short. Moves no file.
    ///
    /// # Errors
    /// No connection, or none any more.
    pub async fn probe(&self, remote: impl Into<Contact>, length: Duration) -> Result<PathReport, Error> {
        probe::run(self, remote.into(), length).await
    }

    /// Connects and leaves again: an invite in the ticket enrols this client's key.
    ///
    /// # Errors
    /// No connection, or the server does not let us in.
    pub async fn greet(&self, remote: impl Into<Contact>) -> Result<Greeting, Error> {
        greet::run(self, remote.into()).await
    }

    /// A deadline that does not outlast the user's patience.
    fn within_patience(&self, deadline: Duration) -> Duration {
        if self.patience.is_zero() { deadline } else { deadline.min(self.patience) }
    }
}

impl ClientBuilder {
    /// Threads for files and digests. Default: two more than cores.
    pub fn disk_threads(mut self, threads: NonZeroUsize) -> Self {
        self.disk_threads = Some(threads);
        self
    }

    /// How long a job keeps reconnecting while nothing moves; zero is for ever. Default: [`PATIENCE`]. A
    /// silent server is given up after this time too, if that is shorter than the usual one.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Bytes of UDP payload per second that may be sent, and as many that may arrive, by all jobs of this client
    /// together. Held at the socket, one percent below what is asked for, in bursts of at most five milliseconds.
    /// Default: no limit.
    pub fn rate_limit(mut self, limit: Option<Rate>) -> Self {
        self.rate_limit = limit;
        self
    }

    /// Where to remember how fast the paths to servers are, so that the next job that sends begins near it. What is
    /// remembered is tested first, and not used when it does not fit. Default: nothing is remembered.
    pub fn path_memory(mut self, paths: Option<PathMemory>) -> Self {
        self.paths = paths;
        self
    }

    /// Starts the client's threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn build(self) -> Result<Client, Error> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = self.disk_threads.unwrap_or_else(|| disk_threads(cores));
        let disk = Disk::new(threads).map_err(Error::Thread)?;
        let throttle = self.rate_limit.map(Throttle::new);
        Ok(Client { identity: self.identity, disk, patience: self.patience, throttle, paths: self.paths })
    }
}

/// How files are sent.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// Where the files go, below the served root; `None` is the root itself.
    pub to: Option<WirePath>,
    /// Whether `to` is a directory, or may be the new name of a single file.
    pub target: Target,
    /// What happens to files that exist there and differ.
    pub if_exists: IfExists,
    /// Compare by content where size and time would have settled it.
    pub checksum: bool,
    /// Decide and report, but change nothing.
    pub dry_run: bool,
    /// Continue from partial files.
    pub resume: bool,
    /// Files whose content moves at the same time.
    pub jobs: NonZeroUsize,
    /// gitignore-style patterns of what to leave out.
    pub excludes: Vec<String>,
    /// Patterns of what to keep although an exclude matches.
    pub includes: Vec<String>,
    /// Copy symbolic links as links instead of leaving them out.
    pub links: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            to: None,
            target: Target::Directory,
            if_exists: IfExists::Replace,
            checksum: false,
            dry_run: false,
            resume: true,
            jobs: JOBS,
            excludes: Vec::new(),
            includes: Vec::new(),
            links: false,
        }
    }
}

/// How files are fetched.
#[derive(Debug, Clone)]
pub struct GetOptions {
    /// Whether the destination is a directory, or may be the new name of a single file.
    pub target: Target,
    /// What happens to files that exist here and differ.
    pub if_exists: IfExists,
    /// Compare by content where size and time would have settled it.
    pub checksum: bool,
    /// Decide and report, but change nothing.
    pub dry_run: bool,
    /// Continue from partial files.
    pub resume: bool,
    /// gitignore-style patterns of what to leave out.
    pub excludes: Vec<String>,
    /// Patterns of what to keep although an exclude matches.
    pub includes: Vec<String>,
    /// Copy symbolic links as links instead of leaving them out.
    pub links: bool,
    /// Whether a file is durable before it counts as done.
    pub sync: bool,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self {
            target: Target::Directory,
            if_exists: IfExists::Replace,
            checksum: false,
            dry_run: false,
            resume: true,
            excludes: Vec::new(),
            includes: Vec::new(),
            links: false,
            sync: true,
        }
    }
}
