//! A window that opens for the last packet, and for one that asks whether the path carries anything again.
//!
//! quinn holds a CONNECTION_CLOSE back like content: behind the congestion window and the pacer while stream data
//! wait. But a closed connection hears no acknowledgements any more, so a full window never opens, and a peer in
//! mid-transfer waits for its idle timeout instead of hearing why. Here the window is lifted first; nothing but the
//! close is sent then.
//!
//! A path that was away is a like case: everything in flight is lost and fills the window, and the only packets that
//! leave are those of the probe timer, whose period doubles (RFC 9002, section 6.2.1) until the connection is given up.
//! [`admit_probe`] lets one more packet out, as often as its caller likes.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn::{Connection, ConnectionError, VarInt};
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

use super::outage_rtt::OutageRtt;
use crate::protocol::close::CloseCode;

/// More than any connection has in flight, and so much that quinn's pacer holds nothing back.
const WINDOW_OPEN: u64 = 1 << 33;

/// Packets that may leave beside those in flight when a probe is admitted: the one that is meant, and what quinn keeps
/// free of the window before it begins another.
const PROBE_PACKETS: u64 = 2;

/// Makes the controllers of another factory, each of which can be opened.
pub(crate) struct Opening(pub(crate) Arc<dyn ControllerFactory + Send + Sync>);

impl ControllerFactory for Opening {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = self.0.clone().build(now, current_mtu);
        let (lifted, mtu, rtt) = (Arc::default(), current_mtu.into(), OutageRtt::default());
        Box::new(Openable { inner, lifted, in_flight: 0, mtu, rtt })
    }
}

/// Ends a connection at once and tells the peer why. What was not acknowledged yet may be lost.
pub fn close(connection: &Connection, code: CloseCode, text: &str) {
    if let Some(controller) = openable(connection) {
        controller.lifted.store(WINDOW_OPEN, Ordering::Relaxed);
    }
    connection.close(VarInt::from_u32(code.code()), text.as_bytes());
}

/// Lets the next packet of a connection leave although everything that may be in flight is: acknowledgements too, which
/// quinn holds back behind content. For a path that has gone silent: when that packet is acknowledged, all before it are
/// known to be lost and are sent again. The exception ends when the window is free again.
pub(crate) fn admit_probe(connection: &Connection) {
    if let Some(controller) = openable(connection) {
        let bound = controller.in_flight.saturating_add(PROBE_PACKETS * controller.mtu);
        // A connection that is being closed stays open for its close.
        controller.lifted.fetch_max(bound, Ordering::Relaxed);
    }
}

/// The code with which the *peer* ended the connection; `None` when it ended in another way or with a code that this
/// version does not know. QUIC's own codes, with which a handshake is turned down, are none of ours: see
/// [`TransportError::TurnedAway`](super::TransportError::TurnedAway).
pub fn closed_by(error: &ConnectionError) -> Option<CloseCode> {
    match error {
        ConnectionError::ApplicationClosed(close) => CloseCode::from_code(close.error_code.into_inner()),
        _ => None,
    }
}

fn openable(connection: &Connection) -> Option<Box<Openable>> {
    connection.congestion_state().into_any().downcast::<Openable>().ok()
}

/// A copy of the controller below, as it stands now.
pub(crate) fn controller(connection: &Connection) -> Option<Box<dyn Controller>> {
    Some(openable(connection)?.inner)
}

struct Openable {
    inner: Box<dyn Controller>,
    /// Bytes that the window is at least. Shared with every clone: quinn gives nothing but clones away.
    lifted: Arc<AtomicU64>,
    /// Bytes that are neither acknowledged nor known to be lost; more where a loss is not reported, never fewer.
    in_flight: u64,
    mtu: u64,
    /// The window is spread over this.
    rtt: OutageRtt,
}

impl Controller for Openable {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.in_flight = self.in_flight.saturating_add(bytes);
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.rtt.on_ack(now, sent, rtt.get());
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.in_flight = in_flight;
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
        // An acknowledgement of something old may leave the window as full as it was.
        let is_free = in_flight + PROBE_PACKETS * self.mtu <= self.inner.window();
        if is_free && self.lifted.load(Ordering::Relaxed) != WINDOW_OPEN {
            self.lifted.store(0, Ordering::Relaxed);
        }
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(lost_bytes);
        self.inner.on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.rtt.enlarge(self.inner.window()).max(self.lifted.load(Ordering::Relaxed))
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let Self { inner, lifted, in_flight, mtu, rtt } = self;
        let (lifted, rtt) = (lifted.clone(), rtt.clone());
        Box::new(Self { inner: inner.clone_box(), lifted, in_flight: *in_flight, mtu: *mtu, rtt })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
