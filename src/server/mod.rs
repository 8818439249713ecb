//! The server: one socket, a pool of workers, a directory.
//!
//! ```no_run
//! use qft::server::{Access, Server};
//! use qft::keys::{self, Identity};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = keys::home()?;
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
//!
//! | file | holds |
//! |---|---|
//! | `builder`, `config` | what a server is made of, and what its threads look at while it runs |
//! | `run`, `incoming` | the network thread; connections that wait for their handshake |
//! | `pool` | the workers: a new connection runs on the one with the fewest |
//! | `gate`, `places` | how many are pending and how many inside, and whose place goes to the next |
//! | `source_prefix` | the part of an address that limits hold for |
//! | `connection`, `greeting` | one client, from its handshake to its welcome, and until it has left |
//! | `admission`, `passes`, `recheck` | who is let in; tokens and certificates; whoever is shut out later |
//! | `grant` | what a client may do here |
//! | `conversation` | what a client that is inside asks for |
//! | `find`, `list`, `parts` | the files that a `Get` means; names for a `List`; unfinished files |
//! | `live_connection`, `registry` | what others see of a connection, and all of them |
//! | `job`, `moving`, `totals` | one job, its files that are moving, the sums of a connection |
//! | `paths` | what is remembered of the paths to clients |
//! | `status`, `meter`, `rate_window` | the server at one moment, and since its start |
//! | `notice`, [`history`], `http`, `presence` | what is told to the caller, to the history file, to a scraper or a browser, to other processes |
//! | `handle`, `liveness`, `fault` | ending a server; whether it does its work; a thread that failed |

mod admission;
mod builder;
mod config;
mod connection;
mod conversation;
mod fault;
mod find;
mod gate;
mod grant;
mod greeting;
mod handle;
pub mod history;
mod http;
mod incoming;
mod job;
mod list;
mod live_connection;
mod liveness;
mod meter;
mod moving;
mod notice;
mod parts;
mod passes;
mod paths;
mod places;
mod pool;
mod presence;
mod rate_window;
mod recheck;
mod registry;
mod run;
mod source_prefix;
pub mod status;
mod totals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};

use self::admission::Lists;
pub use self::builder::ServerBuilder;
use self::config::Config;
use self::fault::ThreadFailure;
use self::gate::Gate;
pub use self::handle::ServerHandle;
use self::http::Http;
pub use self::http::HttpOptions;
use self::liveness::Liveness;
use self::meter::Meter;
pub use self::notice::{Notice, Peer};
use self::notice::{NoticeStream, Notices};
use self::parts::Sweeper;
use self::passes::Passes;
use self::paths::Paths;
pub use self::places::CLIENTS_MAX;
use self::pool::{Loads, WorkerPool};
pub(crate) use self::presence::{AskError, Presence, Serving, ask, running};
use self::registry::Registry;
pub use self::status::ServerStatus;
use crate::error::Error;
pub use crate::keys::trust::AccessMode;
use crate::keys::trust::{ClientEntry, INVITE_LIFETIME};
use crate::keys::{Fingerprint, Identity, Invite, Ticket, Token};
use crate::session::SessionError;
use crate::session::budget::Budget;
use crate::session::memory::Buffers;
use crate::storage::{Committer, Delivered, Disk, Root};
use crate::transport::Granted;

/// The bounds of a server that are no part of the protocol; [`manual::limits`](crate::manual::limits) tells of all.
pub mod limits {
    pub use super::gate::{CROWD_FROM, PENDING_MAX, PENDING_PER_ADDRESS_MAX, PLACE_MIN, PROOF_FROM};
    pub use super::history::{HISTORY_BYTES_MAX, LINES_AHEAD_MAX};
    pub use super::http::{
        HEAD_BYTES_MAX, HEAD_WAIT, HEADERS_MAX, HTTP_CLIENTS_SHOWN_MAX, HTTP_CONNECTIONS_MAX,
        HTTP_CONNECTIONS_PER_ADDRESS_MAX, HTTP_PAGES_MAX, READER_WAIT,
    };
    pub use super::incoming::{
        HANDSHAKES_A_SECOND, HANDSHAKES_A_SECOND_AT_REST, HANDSHAKES_AT_ONCE, INCOMING_MAX, INCOMING_PER_ADDRESS_MAX,
    };
    pub use super::notice::{NOTICE_BYTES_KEPT, NOTICES_KEPT};
    pub use super::places::{ADDRESS_SHARE, CLIENTS_MAX, IDLE_AFTER, KEY_SHARE, STILL_AFTER};
    pub use crate::session::backlog::{BEGUN_STILL_MAX, BEYOND_MAX};
    pub use crate::session::budget::{
        FLOOR_BYTES, HELD_FOR_MAX, MEMORY_BYTES, OFFER_BYTES, WINDOWS_BYTES, WORDS_FLOOR_BYTES,
    };
    pub use crate::session::gaps::{PIECE_BYTES, PIECES_FREE};
    pub use crate::session::receiver::LATE_RANGES_MAX;
    pub use crate::session::streams::{STREAM_BYTES, STREAMS_BYTES};
    pub use crate::session::unread::{NOTE_BYTES, UNREAD_PIECE_BYTES, UNREAD_TIMES};
    pub use crate::session::unwritten::QUEUED_MESSAGES_MAX;
    pub use crate::session::walk::{FOUND_AHEAD, FOUND_BYTES_AHEAD};
    pub use crate::storage::pattern::{GLOB_BYTES_MAX, GROUPS_MAX, MATCHES_MAX, VISITS_MAX};
}

/// The clients that may connect.
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

/// The state that all threads of a server share.
pub(crate) struct ServerInner {
    /// Everything that is served.
    root: Root,
    /// The tree for clients that no list confines to a part of it.
    tree: Root,
    config: Config,
    started: Instant,
    workers: Loads,
    liveness: Liveness,
    /// Why the server ends although nobody asked it to.
    fault: Arc<ThreadFailure>,
    lists: Option<Arc<Lists>>,
    gate: Arc<Gate>,
    passes: Mutex<Arc<Passes>>,
    /// The identity that clients are shown.
    identity: watch::Sender<Identity>,
    disk: Disk,
    /// For whoever asks to be let in: nobody waits behind content.
    admissions: Disk,
    /// For the looks at the list: nobody waits behind those who ask to be let in either, whose directories may be on a disk
    /// that hangs.
    rechecks: Disk,
    /// Of all connections together: those that are idle hold none.
    buffers: Buffers,
    /// The memory and files that all connections together may hold.
    budget: Budget,
    committer: Committer,
    registry: Arc<Registry>,
    /// By clients that may not look.
    delivered: Arc<Delivered>,
    notices: Notices,
    meter: Meter,
    history: history::HistoryLog,
    paths: Paths,
    /// Set once, when the server is to end: by when what is in flight must be done.
    drain: watch::Sender<Option<Instant>>,
    /// A client with which the server is over has left.
    left: Notify,
    /// The list of clients is to be looked at now.
    reload: Notify,
}

impl ServerInner {
    /// The present passes: the token and the authority that let in clients which are on no list.
    fn passes(&self) -> Arc<Passes> {
        self.passes.lock().expect("no holder panics").clone()
    }
}

/// With which client a server that serves once is over. One that lost its connection may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeOnce {
    /// With the first that leaves, whatever it did.
    Client,
    /// With the first that has sent or got files, all of them well. One that only looked, was interrupted, or was refused,
    /// may come again.
    Transfer,
}

impl ServeOnce {
    fn is_over_with(self, parting: connection::Departure) -> bool {
        match parting {
            connection::Departure::Served => true,
            connection::Departure::Final => self == Self::Client,
            connection::Departure::Lost => false,
        }
    }
}

/// A running server. Dropping it ends it at once; what was begun can be resumed.
pub struct Server {
    shared: Arc<ServerInner>,
    pool: Arc<WorkerPool>,
    local_addr: SocketAddr,
    granted: Granted,
    notices: Mutex<NoticeStream>,
    sweeper: Option<Sweeper>,
    http: Option<Http>,
    /// Those that it has given out.
    invites: Mutex<Vec<Invite>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server for the directory `root` (made when it is missing) that shows `identity`.
    pub fn builder(root: PathBuf, identity: Identity) -> ServerBuilder {
        ServerBuilder::new(root, identity)
    }

    /// Where those who watch it find it over HTTP, with the port that was picked; `None` where it tells nobody.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Http::addr)
    }

    /// Asks whoever watches it over HTTP for another token from now on, if it asks for one.
    pub fn replace_http_token(&self, token: Token) {
        self.http.iter().for_each(|http| http.replace_token(token.clone()));
    }

    /// Where it listens, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The socket's buffers, to hint at a system that gives too little.
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// The key by which clients know this server.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.identity.borrow().fingerprint()
    }

    /// A ticket with a fresh one-time invite for somebody who may do everything; `host` is how clients reach this machine.
    /// It ends with this server.
    ///
    /// # Errors
    /// The home cannot be written, or this server enrols nobody.
    pub fn invite(&self, host: &str) -> Result<Ticket, Error> {
        let Some(lists) = &self.shared.lists else {
            return Err(Error::Usage("this server enrols nobody, so it has no invites".to_owned()));
        };
        let invite = lists.invites.mint(ClientEntry::default(), INVITE_LIFETIME, SystemTime::now())?;
        self.invites.lock().expect("no holder panics").push(invite);
        Ok(Ticket {
            fingerprint: self.fingerprint(),
            invite: Some(invite),
            host: host.to_owned(),
            port: self.local_addr.port(),
        })
    }

    /// Active connections on each worker.
    pub fn active(&self) -> Vec<usize> {
        self.pool.active()
    }

    /// The next notice; `None` when the server has ended. Notices wait for their reader, but not without
    /// bound: what comes while [`NOTICES_KEPT`](limits::NOTICES_KEPT) of them wait, or
    /// [`NOTICE_BYTES_KEPT`](limits::NOTICE_BYTES_KEPT) of their texts, is lost.
    pub async fn notice(&self) -> Option<Notice> {
        std::future::poll_fn(|context| self.notices.lock().expect("no holder panics").poll_next(context)).await
    }

    /// Whether [`notice`](Self::notice) would not wait.
    pub fn has_notices(&self) -> bool {
        self.notices.lock().expect("no holder panics").has_next()
    }

    /// A handle that can be kept elsewhere.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.shared.clone())
    }

    /// Why the server has ended although nobody asked it to: a part of it that it cannot do without failed.
    pub fn fault(&self) -> Option<Error> {
        self.shared.fault.what().map(|what| Error::Session(SessionError::Internal(what)))
    }

    /// Waits until all threads have ended: after a shutdown, or, with `once`, after the first client.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.sweeper = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
            self.http = None;
            self.shared.paths.close();
            self.shared.history.close();
            self.end_invites();
        }
    }
}

impl Server {
    /// Nobody can use them any more: whoever has got one is to be told so, and another server's operator not to wonder.
    fn end_invites(&self) {
        let Some(lists) = &self.shared.lists else { return };
        for invite in self.invites.lock().expect("no holder panics").drain(..) {
            if let Err(error) = lists.invites.end(&invite) {
                tracing::warn!(%error, "an invite of this server stays open until its time is over");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle().shutdown(Duration::ZERO);
        self.join();
    }
}
