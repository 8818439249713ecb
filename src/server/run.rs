//! The network thread: packets in, connections out to the workers, and the end of it all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quinn::Incoming;
use tokio::time::{interval, timeout};
use tracing::debug;

use super::Shared;
use super::connection;
use super::door::Answer;
use super::pool::Pool;
use super::recheck;
use crate::error::Error;
use crate::protocol::close::CloseCode;
use crate::transport::congestion::ControllerConfig;
use crate::transport::{self, Granted, Listener, Throttle, TransportError, Tuning};

/// How often an ending server looks whether its connections are gone.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Longest wait for peers to hear of the end of their connections.
const FAREWELL: Duration = Duration::from_secs(1);

type Bound = std::sync::mpsc::SyncSender<Result<(SocketAddr, Granted), Error>>;

/// Starts the thread. It answers on `bound` once the socket is bound or cannot be.
pub(super) fn start(
    addr: SocketAddr,
    throttle: Option<Throttle>,
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    bound: Bound,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("qft-net".to_owned()).spawn(move || {
        runtime.block_on(async {
            match listen(addr, throttle, &shared) {
                Ok(listener) => {
                    // The caller may have given up; then it is dropping the server anyway.
                    let _ = bound.send(Ok((listener.local_addr(), listener.granted())));
                    serve(&listener, &shared, &pool).await;
                    shared.notices.end();
                }
                Err(error) => drop(bound.send(Err(error.into()))),
            }
        });
    })
}

fn listen(addr: SocketAddr, throttle: Option<Throttle>, shared: &Shared) -> Result<Listener, TransportError> {
    let tuning = Tuning { throttle, ..Tuning::new(Arc::new(ControllerConfig::default())) };
    transport::listen(addr, &shared.identity, &tuning)
}

async fn serve(listener: &Listener, shared: &Arc<Shared>, pool: &Arc<Pool>) {
    let mut drain = shared.drain.subscribe();
    // It ends with the runtime.
    tokio::spawn(recheck::keep_watch(shared.clone()));
    loop {
        tokio::select! {
            incoming = listener.next() => match incoming {
                Some(incoming) => answer(incoming, listener, shared, pool),
                None => break,
            },
            _ = drain.wait_for(Option::is_some) => break,
            () = shared.left.notified(), if shared.once => break,
        }
    }
    end(listener, shared, pool).await;
}

/// Answers a knock: in to a worker, or away before anything was spent on it.
fn answer(incoming: Incoming, listener: &Listener, shared: &Arc<Shared>, pool: &Pool) {
    let addr = incoming.remote_address();
    match shared.door.knock(addr, incoming.remote_address_validated()) {
        Answer::Enter(stranger) => {
            let (listener, shared) = (listener.clone(), shared.clone());
            pool.run(Box::new(move |slot| Box::pin(connection::serve(incoming, listener, shared, slot, stranger))));
        }
        Answer::ProveAddress => {
            // It fails only for an address that is proven.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        }
        Answer::TurnAway => {
            debug!(%addr, "no room for another client");
            incoming.refuse();
        }
    }
}

/// Lets what is in flight finish, until the deadline; then ends every connection.
async fn end(listener: &Listener, shared: &Shared, pool: &Pool) {
    let mut looks = interval(DRAIN_LOOK);
    while pool.active().iter().any(|active| *active > 0) {
        tokio::select! {
            _ = looks.tick() => {}
            // Turned away at the door: the client hears at once that this server is busy ending.
            Some(incoming) = listener.next() => incoming.refuse(),
        }
        let deadline = *shared.drain.borrow();
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            break;
        }
    }
    listener.close(CloseCode::GoingAway, "");
    let _ = timeout(FAREWELL, listener.wait_idle()).await;
}
