//! The builder of a client.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::limits::CLIENT_MEMORY_BYTES;
use super::{Client, OnWait, PATIENCE};
use crate::error::Error;
use crate::keys::Identity;
use crate::storage::Disk;
use crate::transport::{PathMemory, Rate, Throttle};

/// The settings of a client.
pub struct ClientBuilder {
    identity: Identity,
    disk_threads: Option<NonZeroUsize>,
    patience: Duration,
    waits_for_first: bool,
    rate_limit: Option<Rate>,
    local: Option<SocketAddr>,
    paths: Option<PathMemory>,
    memory: usize,
    on_wait: Option<OnWait>,
}

impl ClientBuilder {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            disk_threads: None,
            patience: PATIENCE,
            waits_for_first: true,
            rate_limit: None,
            local: None,
            paths: None,
            memory: CLIENT_MEMORY_BYTES,
            on_wait: None,
        }
    }

    /// Threads for files and digests. Default: two more than cores.
    pub fn disk_threads(mut self, threads: NonZeroUsize) -> Self {
        self.disk_threads = Some(threads);
        self
    }

    /// How long a job keeps trying while nothing moves, also before its first connection; zero is for ever. Default:
    /// [`PATIENCE`].
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether a job waits for its first connection to stand as long as for one that was lost. Where the server is known to
    /// run, waiting is of no use: what is in between does not let it through. Default: it waits.
    pub fn wait_for_first(mut self, waits: bool) -> Self {
        self.waits_for_first = waits;
        self
    }

    /// Bytes of UDP payload per second that may be sent, and as many that may arrive, by all jobs of this client
    /// together. Held at the socket, one percent below what is asked for, in bursts of at most five milliseconds.
    /// Default: no limit.
    pub fn rate_limit(mut self, limit: Option<Rate>) -> Self {
        self.rate_limit = limit;
        self
    }

    /// The address of this machine that connections are made from; its port is usually 0, which is any. Only addresses of
    /// the same family are called. Default: the system's choice.
    pub fn local_address(mut self, local: Option<SocketAddr>) -> Self {
        self.local = local;
        self
    }

    /// Where to remember how fast the paths to servers are, so that the next job that sends begins near it. What is
    /// remembered is tested first, and not used when it does not fit. Default: nothing is remembered.
    pub fn path_memory(mut self, paths: Option<PathMemory>) -> Self {
        self.paths = paths;
        self
    }

    /// Bytes that the server of a job may make it hold: content that is under way, and notes until its end. Default:
    /// [`CLIENT_MEMORY_BYTES`], which only a hostile server comes near; a job that would take more ends.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Is called once, with the reason, when a server lets nobody in who wants a listing, a probe or a greeting, which is
    /// then tried again for as long as [`patience`](Self::patience) says. Jobs have [`Event::Waiting`](crate::progress::Event::Waiting) for it.
    /// Default: nobody is told.
    pub fn on_wait(mut self, tell: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_wait = Some(Arc::new(tell));
        self
    }

    /// Starts the client's threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn build(self) -> Result<Client, Error> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = self.disk_threads.unwrap_or_else(|| Disk::threads_for(cores));
        let disk = Disk::new(threads).map_err(Error::Thread)?;
        let throttle = self.rate_limit.map(Throttle::new);
        let Self { identity, patience, waits_for_first, local, paths, memory, on_wait, .. } = self;
        Ok(Client { identity, disk, patience, waits_for_first, throttle, local, paths, memory, on_wait })
    }
}
