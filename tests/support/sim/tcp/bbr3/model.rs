//! What BBRv3 learns from acknowledgements: bandwidth, what losses leave of it, the end of start-up, round trips.

use super::super::MILLIS;
use super::super::SECOND;
use super::super::congestion::{State, Tcp};
use super::super::sample::Sample;
use super::{AckPhase, BETA, Bbr3, MIN_PIPE_CWND, Mode, PROBE_RTT_CWND_GAIN, is_too_high};

const MIN_RTT_FILTER: u64 = 10 * SECOND;
const PROBE_RTT_INTERVAL: u64 = 5 * SECOND;
const PROBE_RTT_DURATION: u64 = 200 * MILLIS;
const FULL_BW_GROWTH: f64 = 1.25;
const FULL_BW_COUNT: u32 = 3;
const STARTUP_FULL_LOSSES: u32 = 6;

impl Bbr3 {
    pub(super) fn start_round(&mut self, tcp: &Tcp) {
        self.next_round_delivered = tcp.delivered;
    }

    pub(super) fn update_signals(&mut self, sample: &Sample, tcp: &Tcp) -> Option<f64> {
        self.loss_round_start = false;
        self.round_start = false;
        self.loss_in_round |= sample.lost > 0;
        self.losses_in_round += u32::from(sample.lost > 0);
        let delivered = sample.delivered?;
        let rate = delivered as f64 / (sample.interval as f64 / SECOND as f64);
        self.bw_latest = self.bw_latest.max(rate);
        self.inflight_latest = self.inflight_latest.max(delivered);
        if sample.prior_delivered >= self.loss_round_delivered {
            self.loss_round_delivered = tcp.delivered;
            self.loss_round_start = true;
        }
        if sample.prior_delivered >= self.next_round_delivered {
            self.start_round(tcp);
            self.rounds_since_probe += 1;
            self.round_start = true;
        }
        self.max_bw[1] = self.max_bw[1].max(rate);
        Some(rate)
    }

    /// What losses leave, while nothing more is looked for.
    pub(super) fn adapt_lower_bounds(&mut self, tcp: &Tcp) {
        if !self.loss_round_start {
            return;
        }
        if self.loss_in_round && !self.mode.is_probing() {
            if self.bw_short.is_infinite() {
                self.bw_short = self.max_bw();
            }
            if self.inflight_short.is_infinite() {
                self.inflight_short = f64::from(tcp.window);
            }
            self.bw_short = self.bw_latest.max(BETA * self.bw_short);
            self.inflight_short = (self.inflight_latest as f64).max(BETA * self.inflight_short);
        }
    }

    pub(super) fn end_signals(&mut self, sample: &Sample, rate: f64) {
        if self.loss_round_start {
            self.bw_latest = rate;
            self.inflight_latest = sample.delivered.unwrap_or(0);
            self.loss_in_round = false;
            self.losses_in_round = 0;
        }
    }

    pub(super) fn reset_short(&mut self) {
        (self.bw_short, self.inflight_short) = (f64::INFINITY, f64::INFINITY);
    }

    pub(super) fn reset_full_bw(&mut self, rate: f64) {
        (self.full_bw, self.full_bw_count, self.full_bw_now) = (rate, 0, false);
    }

    pub(super) fn check_full_bw(&mut self, rate: f64) {
        if self.full_bw_now || !self.round_start {
            return;
        }
        if rate >= self.full_bw * FULL_BW_GROWTH {
            self.reset_full_bw(rate);
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= FULL_BW_COUNT;
        self.full_bw_reached |= self.full_bw_now;
    }

    pub(super) fn check_startup(&mut self, now: u64, sample: &Sample, tcp: &Tcp) {
        if self.mode == Mode::Startup {
            let is_lossy = self.loss_round_start
                && tcp.state == State::Recovery
                && self.losses_in_round >= STARTUP_FULL_LOSSES
                && is_too_high(sample);
            if is_lossy {
                self.full_bw_reached = true;
                self.inflight_long = self.bdp(self.max_bw(), 1.0).max(self.inflight_latest as f64).floor();
            }
            if self.full_bw_reached {
                self.mode = Mode::Drain;
            }
        }
        if self.mode == Mode::Drain && f64::from(tcp.in_flight) <= self.inflight(self.bw(), 1.0, tcp) {
            self.start_down(now, tcp);
        }
    }

    pub(super) fn update_min_rtt(&mut self, now: u64, sample: &Sample) {
        self.probe_rtt_expired = now > self.probe_rtt_at + PROBE_RTT_INTERVAL;
        if let Some(rtt) = sample.rtt
            && (rtt < self.probe_rtt_min || self.probe_rtt_expired)
        {
            (self.probe_rtt_min, self.probe_rtt_at) = (rtt, now);
        }
        let is_expired = now > self.min_rtt_at + MIN_RTT_FILTER;
        if self.probe_rtt_min < self.min_rtt || self.min_rtt == 0 || is_expired {
            (self.min_rtt, self.min_rtt_at) = (self.probe_rtt_min, self.probe_rtt_at);
        }
    }

    pub(super) fn probe_rtt_cwnd(&self) -> u32 {
        (self.bdp(self.bw(), PROBE_RTT_CWND_GAIN) as u32).max(MIN_PIPE_CWND)
    }

    pub(super) fn check_probe_rtt(&mut self, now: u64, tcp: &mut Tcp) {
        if self.mode != Mode::ProbeRtt && self.probe_rtt_expired {
            self.prior_window = tcp.window;
            self.mode = Mode::ProbeRtt;
            self.probe_rtt_done = None;
            self.ack_phase = AckPhase::Stopping;
            self.start_round(tcp);
        }
        if self.mode != Mode::ProbeRtt {
            return;
        }
        match self.probe_rtt_done {
            None if tcp.in_flight <= self.probe_rtt_cwnd() => {
                self.probe_rtt_done = Some(now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.start_round(tcp);
            }
            None => {}
            Some(done) => {
                self.probe_rtt_round_done |= self.round_start;
                if self.probe_rtt_round_done && now > done {
                    self.probe_rtt_at = now;
                    tcp.window = tcp.window.max(self.prior_window);
                    self.leave_probe_rtt(now, tcp);
                }
            }
        }
    }

    fn leave_probe_rtt(&mut self, now: u64, tcp: &Tcp) {
        self.reset_short();
        if self.full_bw_reached {
            self.start_down(now, tcp);
            self.mode = Mode::Cruise;
        } else {
            self.mode = Mode::Startup;
        }
    }
}
