//! The socket under QUIC, in layers: each changes one thing about the one below and passes on the rest.
//!
//! | file | holds |
//! |---|---|
//! | `socket` | opens a socket with buffers for the link and puts the layers on it |
//! | `system` | the lowest layer: the system's socket, read by the clock where processor time is short (`shortage`) |
//! | `split` | large packets in calls that the kernel takes |
//! | [`throttle`](Throttle) | a limit on bytes per second |
//! | [`duplicates`](Duplicates) | packets that leave several times |
//! | [`pacing`](Pacing) | packets that leave one by one |
//! | `heard` | notes when a packet arrived |
//! | `layer` | what all layers have in common |
//! | `by_peer` | what layers know of the connections to each peer |
//! | `route`, `changes` | what the system knows of the way to a peer, and when that changes |

mod by_peer;
mod changes;
mod duplicates;
mod heard;
mod layer;
mod pacing;
pub(super) mod route;
mod shortage;
pub(super) mod socket;
mod split;
mod system;
mod throttle;

pub(crate) use changes::RouteChanges;
pub(crate) use duplicates::Duplicates;
pub(crate) use duplicates::send_urgently;
pub(super) use heard::Heard;
pub(crate) use pacing::Pacing;
pub(crate) use route::{find_route, source_of};
pub use socket::Granted;
pub(crate) use socket::{SOCKET_BUFFER_BYTES, examine_socket};
pub(crate) use throttle::ThrottledPeer;
pub use throttle::{Rate, Throttle};
