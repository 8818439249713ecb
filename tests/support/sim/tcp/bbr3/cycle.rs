//! How BBRv3 probes: down, cruise, refill, up.

use super::super::SECOND;
use super::super::congestion::{Tcp, burst_of};
use super::super::sample::Sample;
use super::{AckPhase, BETA, Bbr3, Mode, is_too_high};

const PROBE_WAIT: u64 = 2 * SECOND;
const PROBE_WAIT_RANDOM: u64 = SECOND;
const RENO_ROUNDS: u32 = 63;
const PROBE_UP_ROUNDS_MAX: u32 = 30;

impl Bbr3 {
    pub(super) fn start_down(&mut self, now: u64, tcp: &Tcp) {
        (self.loss_in_round, self.bw_latest, self.inflight_latest) = (false, 0.0, 0);
        self.up_count = f64::INFINITY;
        self.rounds_since_probe = (self.rng.next_u64() % 2) as u32;
        self.probe_wait = PROBE_WAIT + self.rng.next_u64() % PROBE_WAIT_RANDOM;
        self.cycle_at = now;
        self.ack_phase = AckPhase::Stopping;
        self.start_round(tcp);
        self.mode = Mode::Down;
    }

    fn start_refill(&mut self, tcp: &Tcp) {
        self.reset_short();
        (self.up_rounds, self.up_acks) = (0, 0.0);
        self.ack_phase = AckPhase::Refilling;
        self.start_round(tcp);
        self.mode = Mode::Refill;
    }

    fn start_up(&mut self, now: u64, rate: f64, tcp: &Tcp) {
        self.ack_phase = AckPhase::Starting;
        self.start_round(tcp);
        self.reset_full_bw(rate);
        self.cycle_at = now;
        self.mode = Mode::Up;
        self.raise_slope(tcp);
    }

    fn raise_slope(&mut self, tcp: &Tcp) {
        let growth = f64::from(1_u32 << self.up_rounds);
        self.up_rounds = (self.up_rounds + 1).min(PROBE_UP_ROUNDS_MAX);
        self.up_count = (f64::from(tcp.window) / growth).max(1.0);
    }

    pub(super) fn update_cycle(&mut self, now: u64, sample: &Sample, rate: f64, tcp: &Tcp) {
        if !self.full_bw_reached {
            return;
        }
        self.adapt_long(now, sample, tcp);
        match self.mode {
            Mode::Down if self.is_time_to_probe(now, tcp) => self.start_refill(tcp),
            Mode::Down if self.is_time_to_cruise(tcp) => self.mode = Mode::Cruise,
            Mode::Cruise if self.is_time_to_probe(now, tcp) => self.start_refill(tcp),
            Mode::Refill if self.round_start => {
                self.samples_are_probes = true;
                self.start_up(now, rate, tcp);
            }
            Mode::Up => self.look_for_end(now, sample, rate, tcp),
            _ => {}
        }
    }

    fn is_time_to_probe(&self, now: u64, tcp: &Tcp) -> bool {
        let rounds = (self.target_inflight(tcp) as u32).min(RENO_ROUNDS);
        now > self.cycle_at + self.probe_wait || self.rounds_since_probe >= rounds
    }

    fn is_time_to_cruise(&self, tcp: &Tcp) -> bool {
        let in_flight = f64::from(tcp.in_flight);
        in_flight <= self.inflight_with_headroom() && in_flight <= self.inflight(self.max_bw(), 1.0, tcp)
    }

    /// While the long-term bound is all that limits, there may be more.
    fn look_for_end(&mut self, now: u64, sample: &Sample, rate: f64, tcp: &Tcp) {
        if is_limited(sample, tcp) && f64::from(tcp.window) >= self.inflight_long {
            self.reset_full_bw(rate);
        } else if self.full_bw_now {
            self.start_down(now, tcp);
        }
    }

    fn adapt_long(&mut self, now: u64, sample: &Sample, tcp: &Tcp) {
        if self.ack_phase == AckPhase::Starting && self.round_start {
            self.ack_phase = AckPhase::Feedback;
        }
        if self.ack_phase == AckPhase::Stopping && self.round_start {
            self.samples_are_probes = false;
            self.ack_phase = AckPhase::Init;
            if self.mode.is_probe_bw() && self.max_bw[1] > 0.0 {
                self.max_bw = [self.max_bw[1], 0.0];
            }
        }
        if is_too_high(sample) {
            if self.samples_are_probes {
                self.on_inflight_too_high(now, f64::from(sample.tx_in_flight), tcp);
            }
            return;
        }
        if self.inflight_long.is_infinite() {
            return;
        }
        self.inflight_long = self.inflight_long.max(f64::from(sample.tx_in_flight));
        if self.mode == Mode::Up {
            self.probe_upward(sample, tcp);
        }
    }

    fn probe_upward(&mut self, sample: &Sample, tcp: &Tcp) {
        if !is_limited(sample, tcp) || f64::from(tcp.window) < self.inflight_long {
            return;
        }
        self.up_acks += f64::from(sample.acked);
        if self.up_acks >= self.up_count {
            let more = (self.up_acks / self.up_count).floor();
            self.up_acks -= more * self.up_count;
            self.inflight_long += more;
        }
        if self.round_start {
            self.raise_slope(tcp);
        }
    }

    pub(super) fn on_inflight_too_high(&mut self, now: u64, in_flight: f64, tcp: &Tcp) {
        self.samples_are_probes = false;
        // Whole segments, or no window would ever reach it.
        self.inflight_long = in_flight.max(self.target_inflight(tcp) * BETA).floor();
        if self.mode == Mode::Up {
            self.start_down(now, tcp);
        }
    }
}

fn is_limited(sample: &Sample, tcp: &Tcp) -> bool {
    sample.prior_in_flight + burst_of(tcp.pacing.unwrap_or(0.0)) >= tcp.window
}
