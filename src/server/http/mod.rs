//! Monitoring over HTTP: a page to look at, metrics for Prometheus, and health checks.
//!
//! It is a port that strangers may reach, so nothing is changed through it, no name of a file is taken from a request, and
//! all that a peer can make it hold or do is bounded ([`manual::limits`](crate::manual::limits)). It has a thread and a runtime of its own: whoever asks
//! waits for nobody's packets, and nobody's packets wait for them.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the page, which draws what `/events` says once a second |
//! | `/metrics` | what was counted since the start, as OpenMetrics or, for who does not ask for that, as Prometheus' text |
//! | `/healthz` | 200 while the server works |
//! | `/readyz` | 200 while it takes clients, 503 while it ends |
//!
//! | file | noun |
//! |---|---|
//! | `listen` | the socket, and the connections that are served |
//! | `slots` | how many there may be |
//! | `patience` | a reader that does not read |
//! | `access` | who may ask |
//! | `site` | requests and their answers |
//! | `figures` | what is counted, in the words of Prometheus |
//! | `page` | the page, with its style and script beside it |
//! | `events` | what open pages are told |
//! | `survey` | what takes a disk to find out |

mod access;
mod events;
mod figures;
mod listen;
mod page;
mod patience;
mod site;
mod slots;
mod survey;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use self::access::HttpAccess;
use self::site::Site;
use super::ServerInner;
use crate::error::Error;
use crate::keys::Token;
use crate::transport::canonical;

pub use self::events::{HTTP_CLIENTS_SHOWN_MAX, HTTP_PAGES_MAX};
pub use self::listen::{HEAD_BYTES_MAX, HEADERS_MAX};
pub use self::slots::{HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_ADDRESS_MAX};

/// Longest time for the head of a request, and between two requests of one connection. A scraper that comes again later
/// connects again.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest time in which a reader takes nothing of its answer.
pub const READER_WAIT: Duration = Duration::from_secs(10);

/// Where and for whom a server tells what it does.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The TCP address; port 0 picks one.
    pub addr: SocketAddr,
    /// The token that a request has to carry. Needed for an address that other machines may reach.
    pub token: Option<Token>,
}

/// The times that may pass.
#[derive(Debug, Clone, Copy)]
struct HttpTimeouts {
    head: Duration,
    reader: Duration,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self { head: HEAD_WAIT, reader: READER_WAIT }
    }
}

/// The socket and its thread. Dropping it closes both.
#[derive(Debug)]
pub(super) struct Http {
    addr: SocketAddr,
    access: Arc<HttpAccess>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpOptions {
    /// Whether this may be told to whoever can reach the address.
    ///
    /// # Errors
    /// [`Error::Usage`] when it needs a token.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.token.is_some() || canonical(self.addr).ip().is_loopback() {
            return Ok(());
        }
        let addr = self.addr;
        Err(Error::Usage(format!(
            "--http {addr} can be reached from other machines, which would see who sends what: give it a token that they \
             have to show (--http-token-file FILE; qft peers token FILE makes one), or listen on 127.0.0.1:{}",
            addr.port()
        )))
    }
}

impl Http {
    /// Binds the socket and starts the thread.
    ///
    /// # Errors
    /// [`Error::Http`] when the address cannot be used, [`Error::Thread`].
    pub(super) fn start(options: HttpOptions, shared: Arc<ServerInner>) -> Result<Self, Error> {
        Self::start_with(options, shared, HttpTimeouts::default())
    }

    fn start_with(options: HttpOptions, shared: Arc<ServerInner>, waits: HttpTimeouts) -> Result<Self, Error> {
        options.check()?;
        let HttpOptions { addr, token } = options;
        let unbound = |source| Error::Http { addr, source };
        let socket = std::net::TcpListener::bind(addr).map_err(unbound)?;
        socket.set_nonblocking(true).map_err(unbound)?;
        let addr = socket.local_addr().map_err(unbound)?;
        let access = Arc::new(HttpAccess::new(token));
        let site = Arc::new(Site::new(shared, access.clone()).map_err(Error::Thread)?);
        let (stop, stopped) = oneshot::channel();
        let thread = run(socket, site, waits, stopped).map_err(Error::Thread)?;
        Ok(Self { addr, access, stop: Some(stop), thread: Some(thread) })
    }

    /// The address, with the port that was picked.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Asks for another token from now on, if it asks for any.
    pub(super) fn replace_token(&self, token: Token) {
        self.access.replace(token);
    }
}

fn run(
    socket: std::net::TcpListener,
    site: Arc<Site>,
    waits: HttpTimeouts,
    stopped: oneshot::Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("qft-http".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = listen::serve(socket, site, waits) => {}
                _ = stopped => {}
            }
        });
        // Connections end with the runtime.
    })
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panics only where a request made it, and the log has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
