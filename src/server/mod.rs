//! The server: one socket, a pool of workers, a directory.
//!
//! ```no_run
//! use qft::server::{Access, Server};
//! use qft::transport::{self, Identity};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = transport::home()?;
//! let identity = Identity::load_or_create(&home)?;
//! let server = Server::builder("/srv/incoming".into(), identity)
//!     .listen("[::]:4433".parse()?)
//!     .access(Access::Enrolled { home })
//!     .start()?;
//! println!("paste on the other machine: {}", server.invite("box.example")?);
//! // … and when it is time to end:
//! server.handle().shutdown(std::time::Duration::from_secs(30));
//! server.wait();
//! # Ok(())
//! # }
//! ```

mod admission;
mod connection;
mod conversation;
mod door;
mod find;
mod grant;
mod leases;
mod list;
mod pool;
mod recheck;
mod run;
mod totals;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc, watch};

use self::admission::{Lists, Passes};
pub use self::door::CLIENTS_MAX;
use self::door::Door;
use self::leases::Leases;
use self::pool::Pool;
use crate::error::Error;
use crate::session::local::disk_threads;
use crate::session::memory::Buffers;
use crate::storage::Disk;
use crate::storage::Root;
use crate::storage::{Committer, Sync};
pub use crate::transport::trust::Mode;
use crate::transport::trust::{Clients, Guest, INVITE_LIFETIME, Invites};
use crate::transport::{Authority, Fingerprint, Granted, Identity, Rate, Throttle, Ticket, Token};

/// Who may connect.
#[derive(Debug, Clone)]
pub enum Access {
    /// The clients enrolled in this home directory, and whoever brings an invite.
    Enrolled {
        /// The directory with `authorized_clients`.
        home: PathBuf,
    },
    /// Exactly the clients with these keys.
    Only(Vec<Fingerprint>),
    /// Anyone who can reach the socket.
    Anyone,
}

/// What a server tells its caller as it happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// A client was let in.
    Connected {
        /// The worker that serves it, from 0.
        worker: usize,
        /// Where it is.
        addr: SocketAddr,
        /// Its key.
        peer: Fingerprint,
        /// Its name for itself, escaped for display.
        name: String,
        /// Whether an invite enrolled it now.
        enrolled: bool,
    },
    /// A client was not let in.
    Refused {
        /// Where it is.
        addr: SocketAddr,
        /// Its key, if the handshake got that far.
        peer: Option<Fingerprint>,
        /// Why.
        why: String,
    },
    /// One file is through.
    Finished {
        /// Its name, escaped for display.
        path: String,
        /// Bytes.
        size: u64,
        /// Whether the client sent it; else it got it.
        from_peer: bool,
    },
    /// One file failed.
    Failed {
        /// Its name, escaped for display.
        path: String,
        /// The cause.
        why: String,
    },
    /// A client's connection is over.
    Disconnected {
        /// The worker that served it.
        worker: usize,
        /// Where it was.
        addr: SocketAddr,
        /// Its key.
        peer: Fingerprint,
        /// How it ended.
        why: String,
        /// Files that it sent.
        files_in: u64,
        /// Files that it got.
        files_out: u64,
        /// Content bytes written for it.
        bytes_in: u64,
        /// Content bytes that it wrote.
        bytes_out: u64,
    },
}

/// What all threads of a server share.
pub(crate) struct Shared {
    /// Everything that is served.
    root: Root,
    /// What clients see of it whom no list confines further.
    tree: Root,
    mode: Mode,
    no_clobber: bool,
    hidden: bool,
    durable: bool,
    once: bool,
    access: Access,
    lists: Option<Arc<Lists>>,
    door: Arc<Door>,
    passes: Passes,
    identity: Identity,
    disk: Disk,
    /// Of all connections together: those that are idle hold none.
    buffers: Buffers,
    committer: Committer,
    leases: Arc<Leases>,
    notices: Notices,
    /// Set once, when the server is to end: by when what is in flight must be done.
    drain: watch::Sender<Option<Instant>>,
    /// A client that was served has left for good.
    left: Notify,
    /// The list of clients is to be looked at now.
    reload: Notify,
}

/// Where notices go until the server has ended.
struct Notices(Mutex<Option<mpsc::Sender<Notice>>>);

/// Notices that wait for a caller who does not read them: more than a second of small files. A peer decides how
/// many there are, so they cannot all be kept.
const NOTICES_KEPT: usize = 16 * 1024;

impl Notices {
    fn send(&self, notice: Notice) {
        if let Some(notices) = &*self.0.lock().expect("no holder panics") {
            // The caller may not want to know.
            let _ = notices.try_send(notice);
        }
    }

    /// There will be no more.
    fn end(&self) {
        self.0.lock().expect("no holder panics").take();
    }
}

/// A running server. Dropping it ends it at once; what was begun can be resumed.
pub struct Server {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    local_addr: SocketAddr,
    granted: Granted,
    notices: Mutex<mpsc::Receiver<Notice>>,
    thread: Option<JoinHandle<()>>,
}

/// Ends a server from anywhere.
#[derive(Clone)]
pub struct ServerHandle(Arc<Shared>);

impl ServerHandle {
    /// Takes no more clients and no more files, lets what is in flight finish for at most `drain`, then
    /// ends. Returns at once; a second call can only shorten the time.
    pub fn shutdown(&self, drain: Duration) {
        let deadline = Instant::now() + drain;
        self.0.drain.send_modify(|by| *by = Some(by.map_or(deadline, |earlier| earlier.min(deadline))));
    }

    /// Looks at the list of clients at once, instead of within a second, and ends the connections that it does not
    /// allow any more. Returns at once.
    pub fn reload(&self) {
        self.0.reload.notify_one();
    }
}

impl Server {
    /// A server for the directory `root` (made when it is missing) that shows `identity`.
    pub fn builder(root: PathBuf, identity: Identity) -> ServerBuilder {
        ServerBuilder {
            root,
            identity,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: None,
            access: Access::Only(Vec::new()),
            passes: Passes::default(),
            mode: Mode::default(),
            no_clobber: false,
            hidden: false,
            clients_max: CLIENTS_MAX,
            sync: true,
            once: false,
            rate_limit: None,
        }
    }

    /// Where it listens, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The socket's buffers, to hint at a system that gives too little.
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// The server's key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.identity.fingerprint()
    }

    /// A ticket with a fresh one-time invite for somebody who may do everything; `host` is how clients reach this machine.
    ///
    /// # Errors
    /// The home cannot be written, or this server enrols nobody.
    pub fn invite(&self, host: &str) -> Result<Ticket, Error> {
        let Some(lists) = &self.shared.lists else {
            return Err(Error::Usage("this server enrols nobody, so it has no invites".to_owned()));
        };
        let invite = Some(lists.invites.mint(Guest::default(), INVITE_LIFETIME, SystemTime::now())?);
        Ok(Ticket { fingerprint: self.fingerprint(), invite, host: host.to_owned(), port: self.local_addr.port() })
    }

    /// Active connections on each worker.
    pub fn active(&self) -> Vec<usize> {
        self.pool.active()
    }

    /// The next notice; `None` when the server has ended. Notices wait for their reader, but not without
    /// bound: what comes while 16,384 of them wait is lost.
    pub async fn notice(&self) -> Option<Notice> {
        std::future::poll_fn(|context| self.notices.lock().expect("no holder panics").poll_recv(context)).await
    }

    /// A handle that can end the server.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.shared.clone())
    }

    /// Waits until all threads have ended: after a shutdown, or after the first client with `once`.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle().shutdown(Duration::ZERO);
        self.join();
    }
}

/// The settings of a server.
pub struct ServerBuilder {
    root: PathBuf,
    identity: Identity,
    listen: SocketAddr,
    workers: Option<NonZeroUsize>,
    access: Access,
    passes: Passes,
    mode: Mode,
    no_clobber: bool,
    hidden: bool,
    clients_max: usize,
    sync: bool,
    once: bool,
    rate_limit: Option<Rate>,
}

impl ServerBuilder {
    /// The UDP address; port 0 picks one. Default: a free port on 127.0.0.1.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Threads that connections are spread over. Default: one for each core.
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Who may connect. Default: nobody.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
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

    /// What clients may do. Default: everything.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Never replace a file that exists. Default: no.
    pub fn no_clobber(mut self, no_clobber: bool) -> Self {
        self.no_clobber = no_clobber;
        self
    }

    /// Serve the names at the top of the directory that begin with a dot, too. Default: no; they can be neither seen
    /// nor written, which keeps clients of a home directory from its `.ssh`.
    pub fn hidden(mut self, hidden: bool) -> Self {
        self.hidden = hidden;
        self
    }

    /// Clients that are connected at the same time. Default: [`CLIENTS_MAX`]. One address gets half of the places.
    pub fn clients_max(mut self, clients_max: usize) -> Self {
        self.clients_max = clients_max;
        self
    }

    /// Whether a file is durable before its sender hears that it is done. Default: yes.
    pub fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// End when the first client has been served. One that lost its connection is not done: it may come back.
    /// Default: no.
    pub fn once(mut self, once: bool) -> Self {
        self.once = once;
        self
    }

    /// Bytes of UDP payload per second that may be sent, and as many that may arrive, over all connections together: they
    /// share one pool, first come first served. Held at the socket, one percent below what is asked for, in bursts of
    /// at most five milliseconds. Default: no limit.
    pub fn rate_limit(mut self, limit: Option<Rate>) -> Self {
        self.rate_limit = limit;
        self
    }

    /// Binds the socket and starts the threads. The caller needs no runtime.
    ///
    /// # Errors
    /// The directory, the home or the socket cannot be used, or a thread cannot be started.
    pub fn start(self) -> Result<Server, Error> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let lists = match &self.access {
            Access::Enrolled { home } => {
                Some(Arc::new(Lists { clients: Clients::open(home)?, invites: Invites::open(home)? }))
            }
            Access::Only(_) | Access::Anyone => None,
        };
        let root = Root::create(&self.root)?;
        let (notices, notice_stream) = mpsc::channel(NOTICES_KEPT);
        let sync = if self.sync { Sync::Durable } else { Sync::None };
        let shared = Arc::new(Shared {
            tree: if self.hidden { root.clone() } else { root.hiding_dots() },
            root,
            mode: self.mode,
            no_clobber: self.no_clobber,
            hidden: self.hidden,
            durable: self.sync,
            once: self.once,
            access: self.access,
            lists,
            door: Door::new(self.clients_max),
            passes: self.passes,
            identity: self.identity,
            disk: Disk::new(disk_threads(cores)).map_err(Error::Thread)?,
            buffers: Buffers::default(),
            committer: Committer::start(sync).map_err(Error::Thread)?,
            leases: Arc::default(),
            notices: Notices(Mutex::new(Some(notices))),
            drain: watch::channel(None).0,
            left: Notify::new(),
            reload: Notify::new(),
        });
        let pool = Arc::new(Pool::start(self.workers.unwrap_or(cores)).map_err(Error::Thread)?);
        let (bound, is_bound) = std::sync::mpsc::sync_channel(1);
        let throttle = self.rate_limit.map(Throttle::new);
        let thread = run::start(self.listen, throttle, shared.clone(), pool.clone(), bound).map_err(Error::Thread)?;
        let (local_addr, granted) = is_bound.recv().expect("the thread answers before it ends")?;
        Ok(Server { shared, pool, local_addr, granted, notices: Mutex::new(notice_stream), thread: Some(thread) })
    }
}
