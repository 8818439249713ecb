//! The settings of a server, and its start.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::admission::Lists;
use super::config::Config;
use super::fault::ThreadFailure;
use super::gate::Gate;
use super::history::HistoryLog;
use super::http::{Http, HttpOptions};
use super::liveness::Liveness;
use super::meter::Meter;
use super::notice::Notices;
use super::parts::Sweeper;
use super::passes::Passes;
use super::paths::Paths;
use super::pool::WorkerPool;
use super::run::{self, Bind, NETWORK_THREAD};
use super::{Access, ServeOnce, Server, ServerInner};
use crate::error::Error;
use crate::keys::trust::{AccessMode, Clients, Invites};
use crate::keys::{Authority, HomeError, Identity, Token};
use crate::session::SessionError;
use crate::session::budget::Budget;
use crate::session::memory::Buffers;
use crate::storage::{Committer, Disk, Durability, Root};
use crate::transport::{PathMemory, Rate, Throttle};

/// Threads that look up who asks to be let in. More than one, so that a client whose directory is on a disk that hangs does
/// not keep all others out.
const ADMISSION_THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not zero");

/// The settings of a server.
pub struct ServerBuilder {
    root: PathBuf,
    identity: Identity,
    passes: Passes,
    socket: Option<UdpSocket>,
    paths: Option<PathMemory>,
    http: Option<HttpOptions>,
    history: Option<PathBuf>,
    config: Config,
}

impl ServerBuilder {
    pub(super) fn new(root: PathBuf, identity: Identity) -> Self {
        Self {
            root,
            identity,
            passes: Passes::default(),
            socket: None,
            paths: None,
            http: None,
            history: None,
            config: Config::default(),
        }
    }

    /// The UDP address; port 0 picks one. Default: a free port on 127.0.0.1.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.config.listen = addr;
        self
    }

    /// A UDP socket that is bound already, in the place of one for [`listen`](Self::listen): systemd holds such a one while no
    /// server runs, and packets wait in it. Default: none.
    pub fn socket(mut self, socket: Option<UdpSocket>) -> Self {
        self.socket = socket;
        self
    }

    /// Threads that connections are spread over. Default: one for each core.
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.config.workers = Some(workers);
        self
    }

    /// The clients that may connect. Default: none.
    pub fn access(mut self, access: Access) -> Self {
        self.config.access = access;
        self
    }

    /// With [`Access::Enrolled`]: also let in whoever has this token, for one connection at a time. Default: none.
    pub fn token(mut self, token: Option<Token>) -> Self {
        self.passes.token = token;
        self
    }

    /// With [`Access::Enrolled`]: also let in whoever has a client's certificate from this authority. Default: none.
    pub fn client_authority(mut self, authority: Option<Authority>) -> Self {
        self.passes.authority = authority;
        self
    }

    /// The rights of all clients. Default: everything.
    pub fn mode(mut self, mode: AccessMode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Never replace a file that exists, nor change the time and mode of a directory. Default: no.
    pub fn no_clobber(mut self, no_clobber: bool) -> Self {
        self.config.no_clobber = no_clobber;
        self
    }

    /// Take symbolic links from clients that may read and write; no name of a client's leads through one. Who may only
    /// write makes none in any case. Default: yes.
    pub fn links(mut self, links: bool) -> Self {
        self.config.links = links;
        self
    }

    /// Where a client sends into a directory whose name a symbolic link has, let the link stand for the directory that
    /// it leads to, if it belongs to the user of this process, is older than the client's job, and leads to a place
    /// further down without dotted names. Default: no; such a name is refused.
    ///
    /// A client could make such a link in one job, for its next one to pass through. So from here on none are taken,
    /// unless [`links`](Self::links) is set again, for a server whose only client is its own user.
    pub fn keep_dirlinks(mut self, keep_dirlinks: bool) -> Self {
        self.config.keep_dirlinks = keep_dirlinks;
        self.config.links &= !keep_dirlinks;
        self
    }

    /// Serve the names at the top of the directory that begin with a dot, too. Default: no; they can be neither seen
    /// nor written, which keeps clients of a home directory from its `.ssh`.
    pub fn hidden(mut self, hidden: bool) -> Self {
        self.config.hidden = hidden;
        self
    }

    /// A directory that is not served, if it lies below the root, now or later: the home, with this installation's key.
    /// Default: the home of [`Access::Enrolled`].
    pub fn withhold(mut self, dir: PathBuf) -> Self {
        self.config.withheld = Some(dir);
        self
    }

    /// Clients that are connected at the same time. Default: [`CLIENTS_MAX`](super::CLIENTS_MAX). One address gets half of the places.
    pub fn clients_max(mut self, clients_max: usize) -> Self {
        self.config.clients_max = clients_max;
        self
    }

    /// Bytes that all clients together may make it hold, beside a mebibyte or two that each has for certain. With less, long
    /// links and many clients are slower. Default: [`MEMORY_BYTES`](crate::session::budget::MEMORY_BYTES).
    pub fn memory(mut self, bytes: usize) -> Self {
        self.config.memory = bytes;
        self
    }

    /// Whether a file is durable before its sender hears that it is done. Default: yes.
    pub fn sync(mut self, sync: bool) -> Self {
        self.config.sync = sync;
        self
    }

    /// End with the first client; `None`, the default: never.
    pub fn once(mut self, once: Option<ServeOnce>) -> Self {
        self.config.once = once;
        self
    }

    /// Bytes of UDP payload per second that may be sent, and as many that may arrive, over all connections together: they
    /// share one pool, first come first served. Held at the socket, one percent below what is asked for, in bursts of
    /// at most five milliseconds. Default: no limit.
    pub fn rate_limit(mut self, limit: Option<Rate>) -> Self {
        self.config.rate_limit = limit;
        self
    }

    /// Where the only client puts what it gets, if that is on this machine: what lies there is not sent into itself. It need
    /// not exist yet. Default: that is not known.
    pub fn destination(mut self, destination: Option<PathBuf>) -> Self {
        self.config.destination = destination;
        self
    }

    /// How long an unfinished file may lie there without being written to: at the start and once a day those that have are
    /// removed, unless they belong to another user of this machine, or [`mode`](Self::mode) lets nobody send. What
    /// clients may not see is not looked at. Default: for ever.
    pub fn keep_parts(mut self, keep: Option<Duration>) -> Self {
        self.config.keep_parts = keep;
        self
    }

    /// Where to remember how fast the paths to clients are, so that what is sent to them begins near it. What is remembered
    /// is tested first, and not used when it does not fit. Nothing is with [`Access::Anyone`], whose clients are
    /// strangers, nor with a rate limit, which hides the paths. Default: nothing is remembered.
    pub fn path_memory(mut self, paths: Option<PathMemory>) -> Self {
        self.paths = paths;
        self
    }

    /// Tell what it does to whoever asks over HTTP: figures for Prometheus, and whether it is up. Nothing can be changed
    /// there. Default: nobody is told.
    pub fn http(mut self, http: Option<HttpOptions>) -> Self {
        self.http = http;
        self
    }

    /// The home in which each job is written down when it is over; see [`history`](super::history). Default: none is.
    pub fn history(mut self, home: Option<PathBuf>) -> Self {
        self.history = home;
        self
    }

    /// A client that brings the token needs no list, nor a home directory that holds one.
    fn lists(&self) -> Result<Option<Arc<Lists>>, HomeError> {
        let Access::Enrolled { home } = &self.config.access else { return Ok(None) };
        let lists = match Clients::open(home) {
            Err(HomeError::Unmade { .. }) if self.passes.token.is_some() => {
                Lists { clients: Clients::open_as_it_is(home)?, invites: Invites::open_as_it_is(home) }
            }
            clients => Lists { clients: clients?, invites: Invites::open(home)? },
        };
        Ok(Some(Arc::new(lists)))
    }

    fn open_root(&self) -> Result<Root, Error> {
        let withheld = self.config.withheld.as_deref().or(match &self.config.access {
            Access::Enrolled { home } => Some(home),
            Access::Only(_) | Access::Anyone => None,
        });
        let root = Root::create(&self.root)?;
        if self.config.sync {
            root.sync_names_above();
        }
        Ok(withheld.map_or_else(|| root.clone(), |dir| root.withholding(dir)))
    }

    /// Binds the socket and starts the threads. The caller needs no runtime.
    ///
    /// # Errors
    /// The directory, the home or a socket cannot be used, or a thread cannot be started.
    pub fn start(mut self) -> Result<Server, Error> {
        self.http.iter().try_for_each(HttpOptions::check)?;
        let (http, socket) = (self.http.take(), self.socket.take());
        let (notices, notice_stream) = Notices::channel();
        let fault = Arc::<ThreadFailure>::default();
        let workers = self.config.workers.unwrap_or_else(cores);
        let pool = Arc::new(WorkerPool::start(workers, &fault).map_err(Error::Thread)?);
        let (liveness, questions) = Liveness::new(pool.inquiry());
        let shared = Arc::new(self.shared(&pool, liveness, fault, notices)?);
        let (bound, is_bound) = std::sync::mpsc::sync_channel(1);
        let throttle = shared.config.rate_limit.map(Throttle::of_known_peers);
        let bind = socket.map_or(Bind::Address(shared.config.listen), Bind::Socket);
        let thread =
            run::start(bind, throttle, shared.clone(), pool.clone(), questions, bound).map_err(Error::Thread)?;
        let unanswered = |_| Error::Session(SessionError::Internal(NETWORK_THREAD));
        let (local_addr, granted) = is_bound.recv().map_err(unanswered)??;
        // Once the server is sure to run: another one may have its place.
        let sweep = |keep| Sweeper::start(shared.clone(), keep).map_err(Error::Thread);
        let sweeper = shared.config.keep_parts.filter(|_| shared.config.mode.writes()).map(sweep).transpose()?;
        let (notices, invites, thread) = (Mutex::new(notice_stream), Mutex::default(), Some(thread));
        let mut server = Server { shared, pool, local_addr, granted, notices, invites, sweeper, http: None, thread };
        server.http = http.map(|http| Http::start(http, server.shared.clone())).transpose()?;
        Ok(server)
    }

    /// All that the threads of the server share.
    fn shared(
        self,
        pool: &WorkerPool,
        liveness: Liveness,
        fault: Arc<ThreadFailure>,
        notices: Notices,
    ) -> Result<ServerInner, Error> {
        let root = self.open_root()?;
        let lists = self.lists()?;
        let has_strangers = matches!(self.config.access, Access::Anyone);
        let paths = self.paths.filter(|_| !has_strangers && self.config.rate_limit.is_none());
        Ok(ServerInner {
            tree: if self.config.hidden { root.clone() } else { root.hiding_dots() },
            root,
            started: Instant::now(),
            workers: pool.loads(),
            liveness,
            fault,
            lists,
            gate: Gate::new(self.config.clients_max),
            passes: Mutex::new(Arc::new(self.passes)),
            identity: watch::channel(self.identity).0,
            disk: Disk::new(Disk::threads_for(cores())).map_err(Error::Thread)?,
            admissions: Disk::named("qft-admit", ADMISSION_THREADS).map_err(Error::Thread)?,
            rechecks: Disk::named("qft-recheck", NonZeroUsize::MIN).map_err(Error::Thread)?,
            buffers: Buffers::default(),
            budget: Budget::of_process(self.config.memory),
            committer: Committer::start(Durability::when(self.config.sync)).map_err(Error::Thread)?,
            registry: Arc::default(),
            notices,
            meter: Meter::new(),
            history: HistoryLog::of(self.history),
            paths: Paths::open(paths).map_err(Error::Thread)?,
            drain: watch::channel(None).0,
            delivered: Arc::default(),
            left: Notify::new(),
            reload: Notify::new(),
            config: self.config,
        })
    }
}

/// The cores of this machine, as far as this process may use them.
fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
