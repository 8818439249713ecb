//! QUIC: sockets, keys, pins and the knobs of the link. This room knows nothing of files to transfer.
//!
//! Trust comes first. Every installation has one [`Identity`]; both ends always present it, and each end
//! compares the other's [`Fingerprint`] with what it was told. A client pins the server *inside* the TLS
//! handshake ([`connect`]), so it says nothing to a wrong server. A server takes any well-formed key
//! whose owner proves to hold it ([`listen`]) and decides afterwards, by fingerprint, what it may do
//! ([`trust::Clients`], [`trust::Invites`]): a refusal inside the handshake would reach the client as a bare TLS alert,
//! after it believed itself connected.

mod base32;
pub mod congestion;
mod dial;
mod endpoint;
mod error;
mod fingerprint;
mod home;
mod identity;
mod peer;
mod presence;
mod socket;
mod ticket;
mod tls;
pub mod trust;
pub mod tuning;
mod verify;

pub use base32::Base32Error;
pub use dial::{Dialled, HEAD_START, RESOLVE_WAIT, connect, resolve};
pub use endpoint::{Listener, accept, listen};
pub use error::{Fault, TransportError};
pub use fingerprint::Fingerprint;
pub use home::{HomeError, home};
pub use identity::{Identity, IdentityError};
pub use peer::{close, closed_by, peer_fingerprint, session_salt};
pub use presence::{Presence, Serving, running};
pub use socket::{Granted, SOCKET_BUFFER_BYTES};
pub use ticket::{DEFAULT_PORT, Invite, Ticket, TicketError, parse_host_port};
pub use tuning::{Tuning, open_up};

#[cfg(test)]
mod tests;
