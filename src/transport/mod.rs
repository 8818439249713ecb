//! QUIC: sockets, keys, pins and the knobs of the link. This room knows nothing of files to transfer.
//!
//! Trust comes first. Every installation has one [`Identity`]; both ends always present it, and each end
//! compares the other's [`Fingerprint`] with what it was told, or has an [`Authority`] judge its certificate. A
//! client judges the server *inside* the TLS handshake ([`dial()`], [`connect`]), so it says nothing to a wrong
//! server. A server takes any well-formed key whose owner proves to hold it ([`listen`]) and decides afterwards, by
//! fingerprint, what it may do ([`trust::Clients`], [`trust::Invites`], [`Token`], [`Authority`]): a refusal inside
//! the handshake would reach the client as a bare TLS alert, after it believed itself connected.

mod address;
mod authority;
mod base32;
pub mod certificate;
mod changes;
mod close;
mod contact;
mod copies;
mod credential;
mod dial;
mod endpoint;
mod error;
mod fingerprint;
mod heard;
mod home;
mod identity;
mod layer;
mod outage_rtt;
mod paths;
mod peer;
mod presence;
mod race;
mod resolve;
mod route;
mod shortage;
mod socket;
mod split;
mod throttle;
mod ticket;
mod tls;
mod token;
pub mod trust;
pub mod tuning;
mod udp;
mod verify;

pub use address::{
    AddressError, DEFAULT_PORT, Host, ScopedIpv6, address, parse_host_port, parse_port, split_host_port,
};
pub use authority::{Authority, ClientCertificate, Uncertified};
pub use base32::Base32Error;
pub(crate) use changes::RouteChanges;
pub(crate) use close::admit_probe;
pub use close::close;
pub use contact::{Contact, Trust};
pub use copies::Copies;
pub(crate) use copies::hurry;
pub use credential::{CredentialError, exposure};
pub use dial::{Dialled, connect, dial, recognise};
pub use endpoint::{Listener, accept, listen};
pub(crate) use error::canonical;
pub use error::{Fault, TransportError};
pub use fingerprint::Fingerprint;
pub use home::{HomeError, home};
pub(crate) use home::{Privacy, prepare as prepare_home, read as read_home_file};
pub use identity::{Identity, IdentityError};
pub(crate) use paths::learnt;
pub use paths::{PathList, PathMemory};
pub use peer::{closed_by, peer_fingerprint, session_salt};
pub use presence::{AskError, Presence, Serving, ask, running};
pub use race::HEAD_START;
pub use resolve::{RESOLVE_WAIT, is_no_such_name, resolve};
pub(crate) use route::find_route;
pub use socket::{Granted, SOCKET_BUFFER_BYTES, SocketReport, examine_socket};
pub(crate) use throttle::Known;
pub use throttle::{Rate, Throttle};
pub use ticket::{Invite, Ticket, TicketError, behind_scheme};
pub use token::{PROOF_BYTES, Token, TokenError};
pub(crate) use tuning::{RECEIVE_WINDOW_BEFORE_HELLO, allow_streams};
pub use tuning::{Tuning, open_up, receive_window};

#[cfg(test)]
mod tests;
