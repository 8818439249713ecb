//! The window that follows from the model, and its bounds.

use std::time::Duration;

use super::PathController;
use crate::congestion::competitive_mode::CompetitiveMode;
use crate::congestion::state::Phase;
use crate::congestion::without::Mechanism;
use crate::congestion::{probe, trial};
use crate::transport::tuning::{ACK_EVERY, ACK_EVERY_LOOPBACK, MTU_JUMBO, PACKET_THRESHOLD};

/// Packets in flight before the first ACK, on a path of [`INITIAL_RTT`]: a queue of half a second at 2 Mbit/s, of three
/// quarters of the round trip at 10 Mbit/s.
pub(super) const INITIAL_PACKETS: u64 = 96;
/// The initial window goes with the round trip, so that its rate (which the pacer holds) is the same on all paths:
/// doubling costs nothing on short ones, and a burst does.
const INITIAL_RTT: Duration = Duration::from_millis(100);
const INITIAL_PACKETS_MIN: u64 = 10;
const INITIAL_PACKETS_MAX: u64 = 192;
/// The first flight leaves so many times as fast as its window would: in a fifth of the round trip. The rest of it is for
/// what its answers earn. A slow path queues it either way.
const FIRST_PACE: u64 = 4;
/// The least window. quinn sends while in flight + one packet < window, so this holds what one acknowledgement waits for and
/// a packet that may be lost of it; with less, each would wait for its timer.
const WINDOW_MIN_PACKETS: u64 = ACK_EVERY as u64 + 3;
/// The same within one machine: two acknowledgements' worth, or each would wait for its timer, which is a hundred round
/// trips there. There is no link whose queue it could fill.
const WINDOW_MIN_PACKETS_LOCAL: u64 = 2 * (ACK_EVERY_LOOPBACK as u64 + 1);
/// Standard deviations of what is lost and not missed yet that a small window has room for. With none, runs of losses held
/// it up: 92.5 % of 10 Mbit/s at 1 ms and 10 % loss; with two and a quarter to three and a half, 96.5 to 96.9.
const UNMISSED_SIGMAS: f64 = 3.0;
/// Above this quinn switches its pacer off (`window > u32::MAX`).
pub(super) const WINDOW_MAX: u64 = u32::MAX as u64;

impl PathController {
    pub(super) fn update_window(&mut self) {
        if self.min_rtt_filter.is_none() || !self.bandwidth.is_known() {
            return;
        }
        self.window = self.bounded(self.wanted_window() as u64);
    }

    fn wanted_window(&self) -> f64 {
        let product = self.product();
        match self.phase {
            Phase::Startup => {
                let bound = self.known().bound() * self.headroom();
                let initial = (initial_packets(self.min_rtt()) * self.mtu).max(self.resume.window());
                (self.window as f64).min(bound.max(initial as f64))
            }
            Phase::Drain => self.drain_window() * self.headroom(),
            Phase::Cruise if self.trials.is_running() => trial::GAIN * product,
            Phase::Cruise => {
                let gain = if self.prober.is_running() { probe::GAIN } else { 1.0 };
                (product * gain + self.budget.bytes()) * self.headroom() + self.unmissed()
            }
            // Bandwidth that is there without any queue is the flow's own whoever else is there; chance losses would
            // take it from a small window.
            Phase::Contested => {
                self.competitive.as_ref().map_or(0.0, CompetitiveMode::window).max(product * self.headroom())
            }
        }
    }

    /// What is lost stays in flight until so many later packets are acknowledged. On a path that holds fewer, that is long
    /// after the round trip that the head-room is for, and a run of losses would stop the flow.
    fn unmissed(&self) -> f64 {
        if self.is_without(Mechanism::Unmissed) {
            return 0.0;
        }
        let (base, mtu) = (self.loss.base(), self.mtu as f64);
        let later = f64::from(PACKET_THRESHOLD + ACK_EVERY);
        let beyond = (later - self.product() / mtu).max(0.0);
        (base * later + UNMISSED_SIGMAS * (base * (1.0 - base) * beyond).sqrt()) * mtu
    }

    /// The window as quinn may see it, which makes its pace of it.
    pub(super) fn shown_window(&self) -> u64 {
        if self.first_flight_left == 0 || self.is_without(Mechanism::FirstPace) {
            return self.window;
        }
        self.window.max(initial_packets(self.min_rtt()) * self.mtu * FIRST_PACE)
    }

    pub(super) fn bounded(&self, window: u64) -> u64 {
        window.clamp(self.least_window(), WINDOW_MAX)
    }

    pub(super) fn least_window(&self) -> u64 {
        // On no network are packets of that size tried.
        let is_local = self.mtu > u64::from(MTU_JUMBO);
        self.mtu * if is_local { WINDOW_MIN_PACKETS_LOCAL } else { WINDOW_MIN_PACKETS }
    }
}

pub(super) fn initial_packets(rtt: Duration) -> u64 {
    let share = rtt.as_secs_f64() / INITIAL_RTT.as_secs_f64();
    ((INITIAL_PACKETS as f64 * share) as u64).clamp(INITIAL_PACKETS_MIN, INITIAL_PACKETS_MAX)
}
