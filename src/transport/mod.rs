//! QUIC: sockets, handshakes and the knobs of the link. This room knows nothing of files to transfer.
//!
//! Trust comes first. Every installation has one [`Identity`](crate::keys::Identity); both ends always present it, and
//! each end compares the other's [`Fingerprint`](crate::keys::Fingerprint) with what it was told, or has an
//! [`Authority`](crate::keys::Authority) judge its certificate. A client judges the server *inside* the TLS handshake
//! ([`dial()`], [`connect`]), so it says nothing to a wrong server. A server takes any well-formed key whose owner
//! proves to hold it ([`listen`]) and decides afterwards, by fingerprint, what it may do
//! ([`keys::trust`](crate::keys::trust)): a refusal inside the handshake would reach the client as a bare TLS alert,
//! after it believed itself connected.
//!
//! | file | holds |
//! |---|---|
//! | `endpoint`, `dial`, `race`, `attempt`, `resolve` | the server's end; the client's: names, addresses, the attempts beside each other |
//! | `tls`, `verify` | TLS as both ends speak it; which server is the right one |
//! | `peer`, `machine` | what is asked of a connection: who is there, keying material, whether both ends are on one machine |
//! | [`tuning`], [`limits`] | the knobs of a connection; how much, how many and how long, and why so |
//! | `close`, `outage_rtt` | the last packet leaves; the round trip after an outage |
//! | `paths` | what is remembered of paths |
//! | `udp` | the socket under QUIC, in layers |
//! | `error` | what can go wrong between two machines |

mod attempt;
mod close;
mod dial;
mod endpoint;
mod error;
pub mod limits;
mod machine;
mod outage_rtt;
mod paths;
mod peer;
mod race;
mod resolve;
mod tls;
pub mod tuning;
mod udp;
mod verify;

pub use attempt::Dialled;
pub(crate) use close::admit_probe;
pub use close::{close, closed_by};
pub use dial::{connect, dial, recognise};
pub(crate) use endpoint::listen_on;
pub use endpoint::{Listener, accept, listen};
pub(crate) use error::canonical;
pub use error::{TransportError, TransportFault};
pub(crate) use limits::{RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_IN_A_CROWD, STREAMS_BEFORE_HELLO, STREAMS_MAX};
pub(crate) use machine::{MachineKey, is_own_address};
pub(crate) use paths::learnt;
pub use paths::{PathList, PathMemory};
pub(crate) use peer::{client_certificate, token_material};
pub use peer::{peer_fingerprint, session_salt};
pub(crate) use resolve::{is_no_such_name, resolve};
pub(crate) use tuning::mtu_bound;
pub use tuning::{Tuning, open_up, receive_window};

pub use udp::{Granted, Rate, Throttle};
pub(crate) use udp::{RouteChanges, SOCKET_BUFFER_BYTES, ThrottledPeer, examine_socket, find_route, send_urgently};

#[cfg(test)]
mod tests;
