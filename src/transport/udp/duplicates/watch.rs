//! The facts of a connection that duplicates need, from where quinn tells them: its congestion controller.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use quinn::Connection;
use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use quinn_proto::congestion::ControllerMetrics;

use super::Duplicates;
use super::idle_budget::IdleBudget;
use crate::transport::close;
use crate::transport::limits::NEAR;

/// How long what is said last takes to leave: from a message to its packet, the disk's word on directories included.
const URGENT_TIME: Duration = Duration::from_millis(50);

/// The facts of one connection. Its controller and the socket share them.
pub(super) struct Ledger {
    state: Mutex<DuplicatesState>,
}

pub(super) struct DuplicatesState {
    pub(super) idle: IdleBudget,
    rtt: Duration,
}

impl Ledger {
    fn new(now: Instant) -> Self {
        Self { state: Mutex::new(DuplicatesState { idle: IdleBudget::new(now), rtt: Duration::ZERO }) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, DuplicatesState> {
        self.state.lock().expect("no holder panics")
    }
}

impl DuplicatesState {
    /// The round trip, of a peer that is far enough away for duplicates to save time.
    pub(super) fn far(&self) -> Option<Duration> {
        (self.rtt >= NEAR).then_some(self.rtt)
    }
}

/// Makes the controllers of another factory, and watches what each is told.
pub(super) struct WatchedFactory {
    pub(super) inner: Arc<dyn ControllerFactory + Send + Sync>,
    pub(super) duplicates: Duplicates,
    pub(super) peer: SocketAddr,
}

impl ControllerFactory for WatchedFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let ledger = Arc::new(Ledger::new(now));
        self.duplicates.0.ledgers.enter(self.peer, &ledger);
        let inner = self.inner.clone().build(now, current_mtu);
        Box::new(WatchedController { inner, ledger, duplicates: self.duplicates.clone() })
    }
}

/// What the peer is told within the next moments is short, and it waits for it: on a far path it leaves several times.
pub(crate) fn send_urgently(connection: &Connection) {
    let controller =
        close::controller(connection).and_then(|inner| inner.into_any().downcast::<WatchedController>().ok());
    let Some(watched) = controller else { return };
    let mut state = watched.ledger.state();
    if state.far().is_some() {
        state.idle.on_urgent(Instant::now() + URGENT_TIME);
        watched.duplicates.begin();
    }
}

struct WatchedController {
    inner: Box<dyn Controller>,
    /// Shared with every clone: quinn gives nothing but clones away.
    ledger: Arc<Ledger>,
    duplicates: Duplicates,
}

impl Controller for WatchedController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
        let mut state = self.ledger.state();
        state.rtt = rtt.get();
        state.idle.on_acknowledged(bytes);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
        let window = self.inner.window();
        let mut state = self.ledger.state();
        let rate = match self.inner.metrics().pacing_rate {
            Some(bits) => bits as f64 / 8.0,
            None => window as f64 / state.rtt.max(NEAR).as_secs_f64(),
        };
        state.idle.on_path(rate, window);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.inner.on_congestion_event(now, sent, is_persistent, lost_bytes);
        self.ledger.state().idle.on_lost(lost_bytes);
        self.duplicates.begin();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            ledger: self.ledger.clone(),
            duplicates: self.duplicates.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
