//! The client's end: from a host name to a connection with the one right server, or to the key of a stranger.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint, Side, TokioRuntime};
use rustls::pki_types::ServerName;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::authority::Uncertified;
use super::close::close;
use super::contact::{Contact, Trust};
use super::error::{Fault, TransportError};
use super::fingerprint::Fingerprint;
use super::identity::{CERTIFICATE_NAME, Identity};
use super::peer::peer_fingerprint;
use super::socket::{self, Granted};
use super::tls;
use super::tuning::{Tuning, endpoint_config, mtu_bound, packet_max, transport_config};
use super::verify::{Refused, Rule, ServerCheck};
use crate::protocol::close::CloseCode;

/// Time that an address has before the next one is tried beside it (RFC 8305). Without it a machine whose IPv6 leads
/// nowhere, or a server that listens on one of `localhost`'s two addresses, would cost the whole deadline.
pub const HEAD_START: Duration = Duration::from_millis(250);
/// Time after which addresses that have not answered are tried once more, beside the first attempts. The packets of one
/// attempt leave ever further apart (RFC 9002, section 6.2.1), so one alone would meet a path that is just back seconds
/// late.
const NEXT_ROUND: Duration = Duration::from_secs(1);
/// Attempts at one address at the same time. Their packets together are a second apart at most, until the usual deadline.
const ROUNDS_MAX: usize = 5;
/// Longest wait for the name service.
pub const RESOLVE_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the name service where one address is known already.
const ALSO_AT_WAIT: Duration = Duration::from_secs(1);
/// Time for the last packet to leave this machine: the connection's driver needs one turn.
const FLUSH: Duration = Duration::from_millis(2);

/// A connection that stands, and the socket that it uses.
#[derive(Debug)]
pub struct Dialled {
    /// Keep it for as long as the connection is used; wait for it to be idle before the program ends.
    pub endpoint: Endpoint,
    /// The connection. The server is the right one.
    pub connection: Connection,
    /// The socket's buffers.
    pub granted: Granted,
}

/// What the standard library puts before the system's words.
const LOOKUP_FAILED: &str = "failed to lookup address information: ";

/// How systems say that there is no such name, or that it has no address: an answer, and no failure to get one.
const NO_SUCH_NAME: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "nodename nor servname provided",
    "the name has no address",
];

/// Whether the name service has answered that there is no such host, so that asking again is of no use.
pub fn is_no_such_name(error: &TransportError) -> bool {
    let TransportError::Resolve { source, .. } = error else { return false };
    let words = source.to_string();
    NO_SUCH_NAME.iter().any(|answer| words.contains(answer))
}

/// The name service's answer alone: that a name was looked up is said already.
fn in_system_words(error: io::Error) -> io::Error {
    match error.to_string().strip_prefix(LOOKUP_FAILED) {
        Some(words) => io::Error::new(error.kind(), words),
        None => error,
    }
}

/// The addresses of a host, in the system's order of preference.
///
/// # Errors
/// [`TransportError::Resolve`], also when the name service takes longer than [`RESOLVE_WAIT`].
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
    let failed = |source: io::Error| TransportError::Resolve { host: host.to_owned(), source: in_system_words(source) };
    let found = timeout(RESOLVE_WAIT, lookup_host((host, port))).await;
    let found = found.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for addr in found {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    if addrs.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addrs)
}

/// All addresses at which a server may be. A name that leads nowhere counts only if every one does.
async fn resolve_all(contact: &Contact) -> Result<Vec<SocketAddr>, TransportError> {
    let mut found = resolve(&contact.host, contact.port).await;
    for host in &contact.also_at {
        let looking = resolve(host, contact.port);
        found = match found {
            Err(error) => looking.await.map_err(|_| error),
            Ok(mut all) => {
                let more = timeout(ALSO_AT_WAIT, looking).await.into_iter().flatten().flatten();
                all.extend(more.filter(|addr| !all.contains(addr)).collect::<Vec<_>>());
                Ok(all)
            }
        };
    }
    found
}

/// What one attempt needs.
#[derive(Clone)]
struct Call {
    rule: Rule,
    /// The name that the server's certificate must have, if a certificate decides.
    name: String,
    /// Who calls; a server that is only looked at is not told.
    identity: Option<Identity>,
    tuning: Tuning,
    end: Instant,
}

/// Connects to the one right server of `contact`, and to no other.
///
/// # Errors
/// [`TransportError::Resolve`], [`TransportError::Uncertified`], and as [`connect`].
pub async fn dial(
    contact: &Contact,
    identity: &Identity,
    tuning: &Tuning,
    deadline: Duration,
) -> Result<Dialled, TransportError> {
    let addrs = resolve_all(contact).await?;
    match &contact.trust {
        Trust::Key(expected) => connect(&addrs, *expected, identity, tuning, deadline).await,
        Trust::Authority(authority) => {
            let name = certified_name(&contact.host)?;
            let call = Call::new(Rule::Authority(authority.clone()), name, Some(identity), tuning, deadline);
            race(&addrs, call).await
        }
    }
}

/// The host as a certificate names it: an address without the interface that it is reached through.
fn certified_name(host: &str) -> Result<String, TransportError> {
    let name = host.split_once('%').map_or(host, |(address, _)| address);
    match ServerName::try_from(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => {
            let why = Uncertified::Unusable(format!("no certificate can be for this name ({error})"));
            Err(TransportError::Uncertified { host: host.to_owned(), why })
        }
    }
}

/// Connects to the server whose key is `expected`, at the first of `addrs` that answers.
///
/// The addresses are tried in their order, each with [`HEAD_START`] before the next joins in, and again while none
/// answers. A wrong key anywhere ends it: that is an alarm and no detour. The connection lives on the runtime that calls this.
///
/// # Errors
/// [`TransportError::WrongServer`], [`TransportError::NoReply`] when nothing came within `deadline`, or why an
/// attempt failed that was answered.
pub async fn connect(
    addrs: &[SocketAddr],
    expected: Fingerprint,
    identity: &Identity,
    tuning: &Tuning,
    deadline: Duration,
) -> Result<Dialled, TransportError> {
    let name = CERTIFICATE_NAME.to_owned();
    race(addrs, Call::new(Rule::Key(expected), name, Some(identity), tuning, deadline)).await
}

/// The key of the server at the first of `addrs` that answers, which the server has proved to hold.
///
/// For a server that is not known yet, so that a person can judge the key. The server hears nothing but a TLS
/// handshake: no client certificate, no message. What is said to it afterwards is said over a new connection, which
/// expects this key.
///
/// # Errors
/// As [`connect`], except that no key is wrong.
pub async fn recognise(
    addrs: &[SocketAddr],
    tuning: &Tuning,
    deadline: Duration,
) -> Result<Fingerprint, TransportError> {
    let name = CERTIFICATE_NAME.to_owned();
    let found = race(addrs, Call::new(Rule::Any, name, None, tuning, deadline)).await?;
    let addr = found.connection.remote_address();
    let key = peer_fingerprint(&found.connection);
    close(&found.connection, CloseCode::Done, "");
    let _ = timeout(FLUSH, found.endpoint.wait_idle()).await;
    key.ok_or_else(|| TransportError::Handshake { addr, reason: "the server showed no key".to_owned() })
}

async fn race(addrs: &[SocketAddr], call: Call) -> Result<Dialled, TransportError> {
    let end = call.end;
    let addrs = &reachable(addrs, call.tuning.local)?;
    let mut waiting: VecDeque<SocketAddr> = addrs.iter().copied().collect();
    let mut silent = addrs.to_vec();
    let mut rounds = 1;
    // Dropping the set gives up the attempts that lost.
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(addr) = waiting.pop_front() {
            let attempt = call.clone().attempt(addr);
            attempts.spawn(async move { (addr, attempt.await) });
        }
        let pause = match (waiting.is_empty(), rounds < ROUNDS_MAX) {
            (false, _) => HEAD_START,
            (true, true) => NEXT_ROUND,
            (true, false) => Duration::MAX,
        };
        let turn = Instant::now().checked_add(pause).map_or(end, |turn| turn.min(end));
        match timeout_at(turn, attempts.join_next()).await {
            Ok(Some(Ok((_, Ok(dialled))))) => return Ok(dialled),
            Ok(Some(Ok((_, Err(error))))) if error.fault() == Fault::Trust => return Err(error),
            Ok(Some(Ok((addr, Err(error))))) => {
                // It has answered, or cannot be called at all.
                silent.retain(|other| *other != addr);
                failure = Some(more_telling(failure, error));
            }
            Ok(Some(Err(panicked))) => std::panic::resume_unwind(panicked.into_panic()),
            Ok(None) if waiting.is_empty() => break,
            Err(_) if turn == end => break,
            Err(_) if waiting.is_empty() => {
                rounds += 1;
                waiting.extend(&silent);
            }
            Ok(None) | Err(_) => {}
        }
    }
    Err(failure.unwrap_or_else(|| no_answer(addrs)))
}

/// The addresses that packets from `local` can be sent to.
fn reachable(addrs: &[SocketAddr], local: Option<SocketAddr>) -> Result<Vec<SocketAddr>, TransportError> {
    let fits = |addr: &&SocketAddr| local.is_none_or(|local| local.is_ipv6() == addr.is_ipv6());
    let found: Vec<_> = addrs.iter().filter(fits).copied().collect();
    match local {
        Some(local) if found.is_empty() && !addrs.is_empty() => {
            let family = if local.is_ipv6() { "IPv6" } else { "IPv4" };
            let source = io::Error::other(format!("the remote has no {family} address"));
            Err(TransportError::BindTo { ip: local.ip(), source })
        }
        _ => Ok(found),
    }
}

/// Of two failed attempts the one to report: an answer before silence, silence before a family that this machine lacks.
fn more_telling(old: Option<TransportError>, new: TransportError) -> TransportError {
    let rank = |error: &TransportError| match error.fault() {
        Fault::Local => 0,
        Fault::Path => 1,
        Fault::Peer | Fault::Trust => 2,
    };
    match old {
        Some(old) if rank(&old) >= rank(&new) => old,
        _ => new,
    }
}

fn no_answer(addrs: &[SocketAddr]) -> TransportError {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    TransportError::NoReply { addr: addrs.first().copied().unwrap_or(nowhere) }
}

impl Call {
    fn new(rule: Rule, name: String, identity: Option<&Identity>, tuning: &Tuning, deadline: Duration) -> Self {
        Self { rule, name, identity: identity.cloned(), tuning: tuning.clone(), end: Instant::now() + deadline }
    }

    async fn attempt(self, addr: SocketAddr) -> Result<Dialled, TransportError> {
        let check = ServerCheck::new(self.rule);
        let tls = tls::client(self.identity.as_ref(), Arc::clone(&check));
        let (endpoint, granted) = open_endpoint(addr, &self.tuning)?;
        let handshake = handshake(&endpoint, addr, &self.name, tls, &self.tuning);
        let Ok(outcome) = timeout_at(self.end, handshake).await else {
            return Err(TransportError::NoReply { addr });
        };
        match (outcome, check.refused()) {
            (Ok(connection), _) => Ok(Dialled { endpoint, connection, granted }),
            (Err(_), Some(Refused::WrongKey { expected, found })) => {
                Err(TransportError::WrongServer { expected, found })
            }
            (Err(_), Some(Refused::Uncertified(why))) => Err(TransportError::Uncertified { host: self.name, why }),
            (Err(error), None) => Err(error),
        }
    }
}

/// A socket of the peer's address family, so that a machine without the other family needs none of it.
pub(crate) fn open_endpoint(peer: SocketAddr, tuning: &Tuning) -> Result<(Endpoint, Granted), TransportError> {
    let (throttle, copies) = (tuning.throttle.as_ref(), &tuning.copies);
    let addr = tuning.local.unwrap_or_else(|| match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    });
    let refused = |source| match tuning.local {
        Some(local) => TransportError::BindTo { ip: local.ip(), source },
        None => TransportError::Bind { addr, source },
    };
    let (socket, granted) = socket::bind(addr).map_err(refused)?;
    let packet_max = mtu_bound(peer, throttle).min(packet_max(granted, throttle));
    let config = endpoint_config(packet_max);
    let socket = socket::attach(socket, packet_max, throttle, copies).map_err(refused)?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, runtime).map_err(refused)?;
    Ok((endpoint, granted))
}

pub(crate) async fn handshake(
    endpoint: &Endpoint,
    addr: SocketAddr,
    name: &str,
    tls: rustls::ClientConfig,
    tuning: &Tuning,
) -> Result<Connection, TransportError> {
    let mut config = ClientConfig::new(tls::quic_client(tls));
    config.transport_config(Arc::new(transport_config(tuning, Side::Client, addr)));
    let connecting = endpoint.connect_with(config, addr, name).map_err(|error| {
        // Port 0 and the like: an address to which nothing can be sent.
        TransportError::Resolve { host: addr.to_string(), source: io::Error::other(error) }
    })?;
    connecting.await.map_err(|error| match error {
        quinn::ConnectionError::TimedOut => TransportError::NoReply { addr },
        error => TransportError::from_connection(addr, &error),
    })
}
