//! The network thread: packets in, connections out to the workers, and the end of it all.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quinn::Incoming;
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep_until, timeout};
use tracing::debug;

use super::ServerInner;
use super::connection;
use super::gate::GateDecision;
use super::incoming::IncomingQueue;
use super::liveness::Questions;
use super::meter::{Limit, RefusalReason};
use super::pool::WorkerPool;
use super::recheck;
use super::source_prefix::SourcePrefix;
use crate::congestion::ControllerConfig;
use crate::error::Error;
use crate::protocol::close::CloseCode;
use crate::session::ATTENTION_DEADLINE;
use crate::transport::{self, Granted, Listener, Throttle, TransportError, Tuning};

/// The name by which a failure of this thread is reported.
pub(super) const NETWORK_THREAD: &str = "the network thread";

/// How often an ending server looks whether its connections are gone.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Clients that are told at the same time that they come too late; a crowd of more is refused without a reason.
const PARTINGS_MAX: usize = 64;

/// Longest wait for peers to hear of the end of their connections.
const FAREWELL: Duration = Duration::from_secs(1);

type Bound = std::sync::mpsc::SyncSender<Result<(SocketAddr, Granted), Error>>;

/// Where the server's socket comes from.
pub(super) enum Bind {
    /// It is bound here.
    Address(SocketAddr),
    /// A socket that was bound by the process that started this one.
    Socket(UdpSocket),
}

/// Starts the thread. It answers on `bound` once the socket is bound or cannot be.
pub(super) fn start(
    bind: Bind,
    throttle: Option<Throttle>,
    shared: Arc<ServerInner>,
    pool: Arc<WorkerPool>,
    questions: Questions,
    bound: Bound,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("qft-net".to_owned()).spawn(move || {
        let listener = match runtime.block_on(async { listen(bind, throttle, &shared) }) {
            Ok(listener) => listener,
            Err(error) => return drop(bound.send(Err(error.into()))),
        };
        // The caller may have given up; then it is dropping the server anyway.
        let _ = bound.send(Ok((listener.local_addr(), listener.granted())));
        let served =
            shared.fault.watch(NETWORK_THREAD, || runtime.block_on(serve(&listener, &shared, &pool, questions)));
        if served.is_none() {
            // The endpoint's own task lives on, and lets the clients know.
            runtime.block_on(close(&listener, CloseCode::Internal));
        }
        shared.notices.end();
    })
}

fn listen(bind: Bind, throttle: Option<Throttle>, shared: &ServerInner) -> Result<Listener, TransportError> {
    let tuning = Tuning { throttle, ..Tuning::new(Arc::new(ControllerConfig::default())) };
    let identity = shared.identity.borrow().clone();
    match bind {
        Bind::Address(addr) => transport::listen(addr, &identity, &tuning),
        Bind::Socket(socket) => transport::listen_on(socket, &identity, &tuning),
    }
}

async fn serve(listener: &Listener, shared: &Arc<ServerInner>, pool: &Arc<WorkerPool>, mut questions: Questions) {
    let (mut drain, mut identity) = (shared.drain.subscribe(), shared.identity.subscribe());
    // It ends with the runtime, or at once where no list is kept.
    let mut watch = tokio::spawn(recheck::keep_watch(shared.clone()));
    let mut is_watching = true;
    let mut waiting = IncomingQueue::new(Instant::now());
    loop {
        let next_at = waiting.next_at();
        tokio::select! {
            incoming = listener.next() => match incoming {
                Some(incoming) => receive(incoming, &mut waiting, shared),
                // Nobody has closed it yet.
                None => {
                    shared.fault.note("the UDP socket");
                    break;
                }
            },
            () = sleep_until(next_at.unwrap_or_else(Instant::now).into()), if next_at.is_some() => {}
            ended = &mut watch, if is_watching => {
                is_watching = false;
                if ended.is_err() {
                    shared.fault.note("the watch on the list of clients");
                }
            }
            () = shared.fault.noted() => break,
            Some(answer) = questions.recv() => answer.give(),
            Ok(()) = identity.changed() => listener.show(&identity.borrow_and_update()),
            _ = drain.wait_for(Option::is_some) => break,
            () = shared.left.notified(), if shared.config.once.is_some() => break,
        }
        waiting.look(Instant::now(), || shared.registry.serves_anybody());
        let now = Instant::now();
        while let Some(incoming) = waiting.next(now, |prefix| shared.gate.has_place(prefix, now)) {
            answer(incoming, listener, shared, pool);
        }
    }
    end(listener, shared, pool, questions).await;
}

/// Lets an incoming connection wait for its handshake, unless it can be answered for less.
fn receive(incoming: Incoming, waiting: &mut IncomingQueue<Incoming>, shared: &ServerInner) {
    let addr = incoming.remote_address();
    let prefix = SourcePrefix::of(addr);
    if !shared.gate.places.may_have_room(prefix, Instant::now()) {
        return turn_away(incoming, shared);
    }
    // A forged address must not use up the turn of the client that really has it.
    if !incoming.remote_address_validated() && (waiting.are_many() || shared.gate.wants_proof(addr)) {
        return want_proof(incoming, shared);
    }
    if let Err(incoming) = waiting.push(prefix, incoming) {
        shared.meter.limits.count(Limit::Incoming);
        shared.meter.refused.count(RefusalReason::Unanswered);
        // An answer would cost more than the packet that comes again.
        incoming.ignore();
    }
}

fn want_proof(incoming: Incoming, shared: &ServerInner) {
    shared.meter.limits.count(Limit::UnprovenAddresses);
    // It fails only for an address that is proven.
    if let Err(error) = incoming.retry() {
        error.into_incoming().refuse();
    }
}

fn turn_away(incoming: Incoming, shared: &ServerInner) {
    shared.meter.limits.count(Limit::Clients);
    shared.meter.refused.count(RefusalReason::Full);
    debug!(addr = %incoming.remote_address(), "no room for another client");
    incoming.refuse();
}

/// Answers an incoming connection: in to a worker, or away before anything was spent on it.
fn answer(incoming: Incoming, listener: &Listener, shared: &Arc<ServerInner>, pool: &WorkerPool) {
    #[cfg(test)]
    shared.fault.trip("network");
    let addr = incoming.remote_address();
    match shared.gate.on_incoming(addr, incoming.remote_address_validated()) {
        GateDecision::Accept(stranger) => {
            let (listener, shared) = (listener.clone(), shared.clone());
            pool.run(Box::new(move |slot| Box::pin(connection::serve(incoming, listener, shared, slot, stranger))));
        }
        GateDecision::Retry => want_proof(incoming, shared),
        GateDecision::Refuse => turn_away(incoming, shared),
    }
}

/// Tells a client that comes too late that this server is ending, which takes a handshake: QUIC's own refusal has no room
/// for a reason. It is not waited for.
fn send_away(incoming: Incoming, listener: &Listener, partings: &Arc<Semaphore>) {
    let Ok(place) = partings.clone().try_acquire_owned() else { return incoming.refuse() };
    let config = listener.server_config_for(incoming.remote_address());
    tokio::spawn(async move {
        if let Ok(connection) = transport::accept(incoming, config, ATTENTION_DEADLINE).await {
            transport::close(&connection, CloseCode::GoingAway, "");
        }
        drop(place);
    });
}

/// Lets what is in flight finish, until the deadline; then ends every connection.
async fn end(listener: &Listener, shared: &ServerInner, pool: &WorkerPool, mut questions: Questions) {
    let mut looks = interval(DRAIN_LOOK);
    let partings = Arc::new(Semaphore::new(PARTINGS_MAX));
    while shared.fault.what().is_none() && pool.active().iter().any(|active| *active > 0) {
        tokio::select! {
            _ = looks.tick() => {}
            Some(answer) = questions.recv() => answer.give(),
            Some(incoming) = listener.next() => send_away(incoming, listener, &partings),
        }
        let deadline = *shared.drain.borrow();
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            break;
        }
    }
    let code = if shared.fault.what().is_some() { CloseCode::Internal } else { CloseCode::GoingAway };
    close(listener, code).await;
}

async fn close(listener: &Listener, code: CloseCode) {
    listener.close(code, "");
    let _ = timeout(FAREWELL, listener.wait_idle()).await;
}
