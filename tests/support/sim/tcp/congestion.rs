//! What a congestion control of Linux is: it reads the state of the connection and sets its window and its pace.

use super::sample::Sample;
use super::scoreboard::Sent;
use super::{MILLIS, MSS, SECOND};

/// Offload makes bursts of a millisecond, and of no less than two segments and no more than 64 KiB.
const BURST_TIME: u64 = MILLIS;
const BURST_SEGMENTS_MIN: u32 = 2;
const BURST_SEGMENTS_MAX: u32 = 44;

/// Where a connection stands after a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// A mark was echoed: as in recovery, with nothing to repair.
    Reducing,
    Recovery,
    /// After a timeout.
    Loss,
}

/// What the congestion control reads and sets. Windows are in segments.
#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) window: u32,
    pub(super) threshold: u32,
    pub(super) state: State,
    pub(super) in_flight: u32,
    pub(super) delivered: u64,
    pub(super) delivered_at: u64,
    pub(super) lost: u64,
    /// Smoothed and shortest round trip; zero when not known.
    pub(super) srtt: u64,
    pub(super) min_rtt: u64,
    /// Bytes per second; `None` = not paced.
    pub(super) pacing: Option<f64>,
    /// When the pacer lets the next burst leave.
    pub(super) next_send: u64,
    /// The number of the next new segment, and of the first that is not acknowledged.
    pub(super) next: u64,
    pub(super) first: u64,
}

/// A congestion control of Linux: what `tcp_congestion_ops` has, as far as it is needed here.
pub(super) trait Congestion {
    /// The handshake is over.
    fn on_start(&mut self, now: u64, tcp: &mut Tcp);

    /// An acknowledgement, after losses were looked for; the window is its own if [`has_own_recovery`](Self::has_own_recovery).
    fn on_ack(&mut self, now: u64, sample: &Sample, tcp: &mut Tcp);

    /// The window to come down to, at the beginning of a recovery or after a timeout.
    fn on_congestion(&mut self, now: u64, tcp: &mut Tcp) -> u32;

    /// A timeout.
    fn on_timeout(&mut self, _now: u64, _tcp: &mut Tcp) {}

    /// A segment is found to be lost; `tcp.lost` counts it.
    fn on_lost(&mut self, _now: u64, _sent: &Sent, _tcp: &mut Tcp) {}

    /// Whether it sets the window in recoveries too.
    fn has_own_recovery(&self) -> bool {
        false
    }

    /// Segments in a burst, if it has its own opinion.
    fn burst(&self, _tcp: &Tcp) -> Option<u32> {
        None
    }
}

/// Segments that leave at once at this rate.
pub(super) fn burst_of(rate: f64) -> u32 {
    let segments = rate * BURST_TIME as f64 / SECOND as f64 / MSS as f64;
    (segments as u32).clamp(BURST_SEGMENTS_MIN, BURST_SEGMENTS_MAX)
}
