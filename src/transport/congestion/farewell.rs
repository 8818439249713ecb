//! A window that opens for the last packet.
//!
//! quinn holds a CONNECTION_CLOSE back like content: behind the congestion window and the pacer while stream data
//! wait. But a closed connection hears no acknowledgements any more, so a full window never opens, and a peer in
//! mid-transfer waits for its idle timeout instead of hearing why. Here the window is lifted first; nothing but the
//! close is sent then.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::Connection;
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

/// More than any connection has in flight, and so much that quinn's pacer holds nothing back.
const WINDOW_OPEN: u64 = 1 << 33;

/// Makes the controllers of another factory, each of which can be opened.
pub(crate) struct Opening(pub(crate) Arc<dyn ControllerFactory + Send + Sync>);

impl ControllerFactory for Opening {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Openable { inner: self.0.clone().build(now, current_mtu), is_open: Arc::default() })
    }
}

/// Lifts the window of a connection that is about to be closed.
pub(crate) fn open_window(connection: &Connection) {
    if let Ok(controller) = connection.congestion_state().into_any().downcast::<Openable>() {
        controller.is_open.store(true, Ordering::Relaxed);
    }
}

/// A copy of the controller below, as it stands now.
pub(crate) fn controller(connection: &Connection) -> Option<Box<dyn Controller>> {
    let controller = connection.congestion_state().into_any().downcast::<Openable>().ok()?;
    Some(controller.inner)
}

struct Openable {
    inner: Box<dyn Controller>,
    /// Shared with every clone: quinn gives nothing but clones away.
    is_open: Arc<AtomicBool>,
}

impl Controller for Openable {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.inner.on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.is_open.load(Ordering::Relaxed) { WINDOW_OPEN } else { self.inner.window() }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), is_open: self.is_open.clone() })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
