//! The client's end: from a host name to a connection with the one right server, or to the key of a stranger.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::timeout;

use super::attempt::{DialAttempt, Dialled};
use super::close::close;
use super::error::TransportError;
use super::peer::peer_fingerprint;
use super::race::race;
use super::resolve::resolve_all;
use super::tuning::Tuning;
use super::verify::ServerRule;
use crate::keys::{CERTIFICATE_NAME, Contact, Fingerprint, Identity, Trust, Uncertified};
use crate::protocol::close::CloseCode;

/// Time for the last packet to leave this machine: the connection's driver needs one turn.
const FLUSH: Duration = Duration::from_millis(2);

/// Connects to the one right server of `contact`, and to no other. While nobody answers its host is looked up again, and
/// addresses that are new are called too.
///
/// # Errors
/// [`TransportError::Resolve`], [`TransportError::Uncertified`], and as [`connect`].
pub async fn dial(
    contact: &Contact,
    identity: &Identity,
    tuning: &Tuning,
    deadline: Duration,
) -> Result<Dialled, TransportError> {
    let (rule, name) = match &contact.trust {
        Trust::Key(expected) => (ServerRule::Key(*expected), CERTIFICATE_NAME.to_owned()),
        Trust::Authority(authority) => (ServerRule::Authority(authority.clone()), certified_name(&contact.host)?),
    };
    let addrs = resolve_all(contact).await?;
    race(&addrs, DialAttempt::new(rule, name, Some(identity), tuning, deadline), Some(contact)).await
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
/// The addresses are tried in their order, each with `HEAD_START` before the next joins in, and again while none
/// answers. A wrong key anywhere ends it: that is an alarm and no detour. The connection lives on the runtime that calls this.
///
/// # Errors
/// [`TransportError::WrongServer`], [`TransportError::NoReply`] when nothing came within `deadline` (a handshake that goes
/// on has as long again for each of its steps, and ten times as long in all), or why an attempt failed that was answered.
pub async fn connect(
    addrs: &[SocketAddr],
    expected: Fingerprint,
    identity: &Identity,
    tuning: &Tuning,
    deadline: Duration,
) -> Result<Dialled, TransportError> {
    let name = CERTIFICATE_NAME.to_owned();
    race(addrs, DialAttempt::new(ServerRule::Key(expected), name, Some(identity), tuning, deadline), None).await
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
    let found = race(addrs, DialAttempt::new(ServerRule::Any, name, None, tuning, deadline), None).await?;
    let addr = found.connection.remote_address();
    let key = peer_fingerprint(&found.connection);
    close(&found.connection, CloseCode::Done, "");
    let _ = timeout(FLUSH, found.endpoint.wait_idle()).await;
    key.ok_or_else(|| TransportError::Handshake { addr, reason: "the server showed no key".to_owned() })
}
