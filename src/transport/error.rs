//! The errors between two machines, and whose fault each is.

use std::io;
use std::net::{IpAddr, SocketAddr};

use quinn::ConnectionError;

use super::close::closed_by;
use super::udp::find_route;
use crate::keys::Fingerprint;
use crate::keys::IdentityError;
use crate::keys::Uncertified;
use crate::protocol::close::CloseCode;
use crate::protocol::path::escape;

/// TLS alerts that mean "we speak different versions": `protocol_version` and `no_application_protocol`, as QUIC codes
/// (RFC 9001, section 4.8).
const VERSION_ALERTS: [u64; 2] = [0x100 + 70, 0x100 + 120];

/// QUIC carries TLS alerts as numbers from here on.
const TLS_ALERT: u64 = 0x100;
/// The last of them.
const TLS_ALERT_LAST: u64 = 0x1ff;

/// `certificate_required`, as a QUIC code: the client showed none.
const NO_CERTIFICATE_ALERT: u64 = 0x100 + 116;

/// `access_denied`, as a QUIC code: what a client says whose pin, or whose list, has another key for this server.
const WRONG_KEY_ALERT: u64 = 0x100 + 49;

/// QUIC's own code for "the server does not want this connection" (RFC 9000, section 20.1).
const CONNECTION_REFUSED: u64 = 0x2;

/// QUIC's own code for "the application closed this", which is all that is said of it during a handshake (RFC 9000, section
/// 10.2.3).
const APPLICATION_ERROR: u64 = 0xc;

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Another key than the pinned one answered. Nothing was said to its owner.
    #[error(
        "the server has the key {found}, not {expected}: another machine answers there, or it has a new key; if you \
        trust it, take a new ticket from it (qft serve --invite)"
    )]
    WrongServer {
        /// The key that was pinned.
        expected: Fingerprint,
        /// The key that was shown.
        found: Fingerprint,
    },
    /// The certificate authority that decides does not vouch for the server. Nothing was said to its owner.
    #[error("{host} is not trusted: {why}")]
    Uncertified {
        /// How the server was called.
        host: String,
        /// The fault of its certificate.
        why: Uncertified,
    },
    /// Nothing came back in time.
    #[error("no answer from {addr}: is qft serve running there, and do firewalls let UDP port {} through?", addr.port())]
    NoReply {
        /// The first address tried.
        addr: SocketAddr,
    },
    /// This machine sends nothing there.
    #[error("this machine has no way to {addr}{}", loopback_hint(*addr))]
    NoRoute {
        /// The first address tried.
        addr: SocketAddr,
        /// Why the system refused it.
        source: io::Error,
    },
    /// A host name led to no address; `source` says why.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The name that was looked up.
        host: String,
        /// Why the system refused it.
        source: io::Error,
    },
    /// The peer ended the connection and said why.
    #[error("{}", code.reason())]
    Refused {
        /// The reason that the peer gave.
        code: CloseCode,
    },
    /// The peer ended a handshake with a code of QUIC's own, which has no room for a reason. A server does so when it is
    /// full, when it makes room for those who came later, and while it ends; a client, when another of its calls was
    /// answered first.
    #[error("{addr} takes no connections just now: it is stopping or full; try again later")]
    TurnedAway {
        /// The peer's address.
        addr: SocketAddr,
    },
    /// The peers speak different versions.
    #[error("{addr} and this qft share no protocol version; update the older one")]
    Version {
        /// The peer's address.
        addr: SocketAddr,
    },
    /// The peer could not prove its key, or did not accept ours.
    #[error("the handshake with {addr} failed: {reason}")]
    Handshake {
        /// The peer's address.
        addr: SocketAddr,
        /// The fault, safe to print.
        reason: String,
    },
    /// The client showed no key. Whoever only wants to see a server's key shows none.
    #[error("{addr} showed no key")]
    NoClientKey {
        /// The peer's address.
        addr: SocketAddr,
    },
    /// A connection that stood is gone.
    #[error("lost the connection to {addr}: {reason}; the same command resumes")]
    Lost {
        /// The peer's address.
        addr: SocketAddr,
        /// The words of the QUIC layer, escaped for display.
        reason: String,
    },
    /// No socket there; `source` says why.
    #[error("cannot open UDP port {addr}")]
    Bind {
        /// The address of this machine that was to be bound.
        addr: SocketAddr,
        /// Why the system refused it.
        source: io::Error,
    },
    /// The address that a client was told to use cannot be used; `source` says why.
    #[error("cannot use the local address {ip}")]
    BindTo {
        /// The address of this machine that was to be bound.
        ip: IpAddr,
        /// The system's answer, or why it leads to no address of the remote.
        source: io::Error,
    },
    /// There is no key to show.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Which end broke a handshake off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BrokenOffBy {
    Us,
    Them,
}

/// What a TLS alert means, in words of ours. The text beside it is written by the peer's TLS library, if not by somebody
/// who wants to fill a log.
fn alert_reason(alert: u64, by: BrokenOffBy) -> String {
    let name = match alert {
        40 => "no common parameters",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "revoked certificate",
        45 => "expired certificate",
        46 => "certificate not accepted",
        48 => "unknown CA",
        51 => "a signature does not verify",
        80 => "internal error",
        alert => return format!("TLS alert {alert}"),
    };
    match (alert, by) {
        (42..=48, BrokenOffBy::Them) => format!("it does not accept this end's certificate ({name})"),
        (42..=48, BrokenOffBy::Us) => format!("its certificate is not accepted here ({name})"),
        _ => format!("{name} (TLS alert {alert})"),
    }
}

/// Where the remedy of a [`TransportError`] lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportFault {
    /// On this machine: its key, its sockets.
    Local,
    /// On the way: no answer, no address, a broken link. The same command may work later.
    Path,
    /// With trust: a wrong key, or one that is not enrolled. The same command will not work later.
    Trust,
    /// With the other side: it refused, or is another version.
    Peer,
}

impl TransportError {
    /// The end of a connection to `addr`, or of the attempt at one.
    pub(crate) fn from_connection(addr: SocketAddr, error: &ConnectionError) -> Self {
        let addr = canonical(addr);
        match closed_by(error) {
            // Whoever is owed something does not say so: quinn does, for a connection that was dropped before it was let
            // in.
            Some(CloseCode::Done) => return Self::TurnedAway { addr },
            Some(code) => return Self::Refused { code },
            None => {}
        }
        let reason = escape(error.to_string().as_bytes()).to_string();
        match error {
            ConnectionError::VersionMismatch => Self::Version { addr },
            ConnectionError::TransportError(error) => Self::from_code(addr, error.code.into(), BrokenOffBy::Us, reason),
            ConnectionError::ConnectionClosed(close) => {
                Self::from_code(addr, close.error_code.into(), BrokenOffBy::Them, reason)
            }
            _ => Self::Lost { addr, reason },
        }
    }

    fn from_code(addr: SocketAddr, code: u64, by: BrokenOffBy, reason: String) -> Self {
        match code {
            CONNECTION_REFUSED | APPLICATION_ERROR if by == BrokenOffBy::Them => Self::TurnedAway { addr },
            code if VERSION_ALERTS.contains(&code) => Self::Version { addr },
            NO_CERTIFICATE_ALERT => Self::NoClientKey { addr },
            WRONG_KEY_ALERT => Self::Handshake { addr, reason: "it expects another key than this one".to_owned() },
            TLS_ALERT..=TLS_ALERT_LAST => {
                tracing::debug!(%addr, reason, "the handshake failed");
                Self::Handshake { addr, reason: alert_reason(code - TLS_ALERT, by) }
            }
            _ => Self::Lost { addr, reason },
        }
    }

    /// Nothing came back from there, perhaps because nothing could be sent.
    pub(super) fn silence(addr: SocketAddr) -> Self {
        match find_route(addr) {
            Ok(()) => Self::NoReply { addr },
            Err(source) => Self::NoRoute { addr: canonical(addr), source },
        }
    }

    /// Where the remedy lies.
    pub fn fault(&self) -> TransportFault {
        match self {
            Self::Bind { .. } | Self::BindTo { .. } | Self::Identity(_) => TransportFault::Local,
            Self::NoReply { .. }
            | Self::NoRoute { .. }
            | Self::Resolve { .. }
            | Self::Lost { .. }
            | Self::TurnedAway { .. } => TransportFault::Path,
            Self::Refused { code: CloseCode::GoingAway | CloseCode::Timeout | CloseCode::RightsChanged } => {
                TransportFault::Path
            }
            Self::WrongServer { .. } | Self::Uncertified { .. } | Self::Handshake { .. } | Self::NoClientKey { .. } => {
                TransportFault::Trust
            }
            Self::Refused {
                code:
                    CloseCode::NotAuthorised
                    | CloseCode::InviteSpent
                    | CloseCode::WrongToken
                    | CloseCode::CertificateExpired
                    | CloseCode::NotCertified
                    | CloseCode::Revoked
                    | CloseCode::Expired
                    | CloseCode::TooManyTries,
            } => TransportFault::Trust,
            Self::Refused { .. } | Self::Version { .. } => TransportFault::Peer,
        }
    }
}

/// The remedy when even this machine itself cannot be reached.
fn loopback_hint(addr: SocketAddr) -> &'static str {
    if addr.ip().is_loopback() { ": its loopback interface is down (ip link set lo up)" } else { "" }
}

/// An address as people know it: an IPv4 peer of a dual-stack socket appears as `::ffff:10.0.0.1`.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip != addr.ip() => SocketAddr::new(ip, addr.port()),
        // The address itself, with the scope of a link-local one.
        _ => addr,
    }
}
