//! The socket, and the connections that are served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::super::meter::Limit;
use super::super::source_prefix::SourcePrefix;
use super::HttpTimeouts;
use super::patience::Patient;
use super::site::Site;
use super::slots::{HttpSlot, HttpSlots};

/// Bytes of the head of a request.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request; browsers send some twenty.
pub const HEADERS_MAX: usize = 64;

/// Pause after the system gave no connection: it has run out of something.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub(super) async fn serve(socket: std::net::TcpListener, site: Arc<Site>, waits: HttpTimeouts) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "nobody can watch this server over HTTP"),
    };
    let (slots, mut connections) = (Arc::<HttpSlots>::default(), JoinSet::new());
    let _looks = AbortOnDrop(tokio::spawn(site.clone().keep_looking()));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, addr)) => {
                    if let Some(slot) = slot(&slots, addr, &site) {
                        connections.spawn(converse(stream, slot, slots.clone(), site.clone(), waits));
                    }
                }
                Err(error) => {
                    warn!(%error, "a connection of somebody who watches is lost");
                    sleep(SHORTAGE_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Ends a task with whoever started it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A place for one more connection, if there is one.
fn slot(slots: &Arc<HttpSlots>, addr: SocketAddr, site: &Site) -> Option<HttpSlot> {
    let taken = slots.take(SourcePrefix::of(addr));
    if taken.as_ref().is_none_or(|(_, was_full)| *was_full) {
        site.met(Limit::HttpConnections);
    }
    taken.map(|(slot, _)| slot)
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, mut slot: HttpSlot, slots: Arc<HttpSlots>, site: Arc<Site>, waits: HttpTimeouts) {
    // An event is small, and is to be seen at once.
    let _ = stream.set_nodelay(true);
    let number = slot.number();
    let (own, known) = (site.clone(), move || slots.know(number));
    let service = service_fn(move |request| {
        let (site, known) = (own.clone(), known.clone());
        async move { Ok::<_, std::convert::Infallible>(site.answer(&request, known).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(waits.head);
    builder.max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(Patient::new(stream, waits.reader)), service);
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            if error.is_timeout() || error.is_parse() {
                site.met(Limit::HttpRequests);
            }
            debug!(%error, "a connection of somebody who watches ended");
        },
        () = slot.lost() => debug!("a connection of somebody who watches made room for another"),
    }
}
