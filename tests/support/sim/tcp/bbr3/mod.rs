//! BBR version 3, after draft-ietf-ccwg-bbr. Names and values are the draft's; volumes are in segments.
//!
//! As in Linux's, a recovery changes nothing but what the losses themselves change. Marks are not looked at.

mod cycle;
mod model;

use super::super::rng::Rng;
use super::aggregation::Aggregation;
use super::congestion::{Congestion, Tcp, burst_of};
use super::sample::Sample;
use super::scoreboard::Sent;
use super::{HEADER, INITIAL_WINDOW, MILLIS, MSS, SECOND};

const STARTUP_PACING_GAIN: f64 = 2.77;
const DRAIN_PACING_GAIN: f64 = 0.5;
const DEFAULT_CWND_GAIN: f64 = 2.0;
const UP_PACING_GAIN: f64 = 1.25;
const UP_CWND_GAIN: f64 = 2.25;
const DOWN_PACING_GAIN: f64 = 0.9;
const PROBE_RTT_CWND_GAIN: f64 = 0.5;
const PACING_MARGIN: f64 = 0.99;
const LOSS_THRESH: f64 = 0.02;
const BETA: f64 = 0.7;
const HEADROOM: f64 = 0.15;
const MIN_PIPE_CWND: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl Mode {
    fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// Whether it is meant to find more.
    fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    Starting,
    Feedback,
    Stopping,
}

#[derive(Debug)]
pub(super) struct Bbr3 {
    rng: Rng,
    mode: Mode,
    ack_phase: AckPhase,
    // Rounds.
    next_round_delivered: u64,
    round_start: bool,
    loss_round_delivered: u64,
    loss_round_start: bool,
    loss_in_round: bool,
    losses_in_round: u32,
    rounds_since_probe: u32,
    // Bandwidth, in segments per second: the last two cycles, and what losses leave of it.
    max_bw: [f64; 2],
    bw_short: f64,
    bw_latest: f64,
    inflight_latest: u64,
    inflight_short: f64,
    inflight_long: f64,
    full_bw: f64,
    full_bw_count: u32,
    full_bw_now: bool,
    full_bw_reached: bool,
    // Probing.
    samples_are_probes: bool,
    probe_wait: u64,
    cycle_at: u64,
    up_count: f64,
    up_acks: f64,
    up_rounds: u32,
    // Round trips.
    min_rtt: u64,
    min_rtt_at: u64,
    probe_rtt_min: u64,
    probe_rtt_at: u64,
    probe_rtt_expired: bool,
    probe_rtt_done: Option<u64>,
    probe_rtt_round_done: bool,
    prior_window: u32,
    aggregation: Aggregation,
}

impl Bbr3 {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            mode: Mode::Startup,
            ack_phase: AckPhase::Init,
            next_round_delivered: 0,
            round_start: false,
            loss_round_delivered: 0,
            loss_round_start: false,
            loss_in_round: false,
            losses_in_round: 0,
            rounds_since_probe: 0,
            max_bw: [0.0; 2],
            bw_short: f64::INFINITY,
            bw_latest: 0.0,
            inflight_latest: 0,
            inflight_short: f64::INFINITY,
            inflight_long: f64::INFINITY,
            full_bw: 0.0,
            full_bw_count: 0,
            full_bw_now: false,
            full_bw_reached: false,
            samples_are_probes: false,
            probe_wait: 0,
            cycle_at: 0,
            up_count: f64::INFINITY,
            up_acks: 0.0,
            up_rounds: 0,
            min_rtt: 0,
            min_rtt_at: 0,
            probe_rtt_min: u64::MAX,
            probe_rtt_at: 0,
            probe_rtt_expired: false,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            prior_window: 0,
            aggregation: Aggregation::default(),
        }
    }

    fn max_bw(&self) -> f64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    fn bw(&self) -> f64 {
        self.max_bw().min(self.bw_short)
    }

    fn bdp(&self, bw: f64, gain: f64) -> f64 {
        if self.min_rtt == 0 {
            return f64::from(INITIAL_WINDOW);
        }
        gain * bw * self.min_rtt as f64 / SECOND as f64
    }

    fn inflight(&self, bw: f64, gain: f64, tcp: &Tcp) -> f64 {
        self.quantized(self.bdp(bw, gain), tcp)
    }

    fn quantized(&self, volume: f64, tcp: &Tcp) -> f64 {
        let quantum = f64::from(burst_of(tcp.pacing.unwrap_or(0.0)));
        let volume = volume.max(3.0 * quantum).max(f64::from(MIN_PIPE_CWND));
        volume + if self.mode == Mode::Up { 2.0 } else { 0.0 }
    }

    fn target_inflight(&self, tcp: &Tcp) -> f64 {
        self.bdp(self.bw(), 1.0).min(f64::from(tcp.window))
    }

    fn inflight_with_headroom(&self) -> f64 {
        let headroom = (HEADROOM * self.inflight_long).max(1.0);
        if self.inflight_long.is_infinite() {
            return f64::INFINITY;
        }
        (self.inflight_long - headroom).max(f64::from(MIN_PIPE_CWND))
    }

    fn gains(&self) -> (f64, f64) {
        match self.mode {
            Mode::Startup => (STARTUP_PACING_GAIN, DEFAULT_CWND_GAIN),
            Mode::Drain => (DRAIN_PACING_GAIN, DEFAULT_CWND_GAIN),
            Mode::Down => (DOWN_PACING_GAIN, DEFAULT_CWND_GAIN),
            Mode::Cruise | Mode::Refill => (1.0, DEFAULT_CWND_GAIN),
            Mode::Up => (UP_PACING_GAIN, UP_CWND_GAIN),
            Mode::ProbeRtt => (1.0, PROBE_RTT_CWND_GAIN),
        }
    }

    fn set_pacing(&self, gain: f64, tcp: &mut Tcp) {
        let rate = self.bw() * gain * PACING_MARGIN * (MSS + HEADER) as f64;
        if self.full_bw_reached || tcp.pacing.is_none_or(|before| rate > before) {
            tcp.pacing = Some(rate);
        }
    }

    fn set_window(&self, gain: f64, sample: &Sample, tcp: &mut Tcp) {
        let extra = if self.full_bw_reached { self.aggregation.most() } else { 0 };
        let most = self.quantized(self.bdp(self.bw(), gain) + f64::from(extra), tcp) as u32;
        if self.full_bw_reached {
            tcp.window = (tcp.window + sample.acked).min(most);
        } else if tcp.window < most || tcp.delivered < u64::from(INITIAL_WINDOW) {
            tcp.window += sample.acked;
        }
        if self.mode == Mode::ProbeRtt {
            tcp.window = tcp.window.min(self.probe_rtt_cwnd());
        }
        let cap = match self.mode {
            Mode::Down | Mode::Refill | Mode::Up => self.inflight_long,
            Mode::Cruise | Mode::ProbeRtt => self.inflight_with_headroom(),
            Mode::Startup | Mode::Drain => f64::INFINITY,
        };
        let cap = cap.min(self.inflight_short).max(f64::from(MIN_PIPE_CWND));
        tcp.window = f64::from(tcp.window).min(cap) as u32;
        tcp.window = tcp.window.max(MIN_PIPE_CWND);
    }
}

/// More lost between a segment's going and its acknowledgement than a path loses by itself.
fn is_too_high(sample: &Sample) -> bool {
    f64::from(sample.lost_since) > LOSS_THRESH * f64::from(sample.tx_in_flight)
}

impl Congestion for Bbr3 {
    fn on_start(&mut self, now: u64, tcp: &mut Tcp) {
        (self.min_rtt, self.min_rtt_at) = (tcp.min_rtt, now);
        (self.probe_rtt_min, self.probe_rtt_at) = (tcp.min_rtt, now);
        let rtt = tcp.srtt.max(MILLIS) as f64 / SECOND as f64;
        tcp.pacing = Some(STARTUP_PACING_GAIN * f64::from(tcp.window) * MSS as f64 / rtt);
        self.aggregation = Aggregation::new(now);
    }

    fn on_ack(&mut self, now: u64, sample: &Sample, tcp: &mut Tcp) {
        let rate = self.update_signals(sample, tcp);
        self.adapt_lower_bounds(tcp);
        if let Some(rate) = rate {
            self.aggregation.on_ack(sample.acked, self.bw(), self.round_start, tcp);
            self.check_full_bw(rate);
            self.check_startup(now, sample, tcp);
            self.update_cycle(now, sample, rate, tcp);
        }
        self.update_min_rtt(now, sample);
        self.check_probe_rtt(now, tcp);
        self.end_signals(sample, rate.unwrap_or(0.0));
        let (pacing, window) = self.gains();
        self.set_pacing(pacing, tcp);
        self.set_window(window, sample, tcp);
    }

    fn on_lost(&mut self, now: u64, sent: &Sent, tcp: &mut Tcp) {
        let (in_flight, lost) = (f64::from(sent.in_flight), (tcp.lost - sent.lost_before) as f64);
        if self.samples_are_probes && lost > LOSS_THRESH * in_flight {
            // Where the losses of this flight passed the threshold.
            let prefix = (LOSS_THRESH * (in_flight - 1.0) - (lost - 1.0)) / (1.0 - LOSS_THRESH);
            self.on_inflight_too_high(now, in_flight - 1.0 + prefix.max(0.0), tcp);
        }
    }

    fn on_congestion(&mut self, _: u64, tcp: &mut Tcp) -> u32 {
        tcp.threshold
    }

    fn on_timeout(&mut self, _: u64, tcp: &mut Tcp) {
        self.prior_window = tcp.window;
        self.inflight_short = f64::INFINITY;
    }

    fn has_own_recovery(&self) -> bool {
        true
    }

    fn burst(&self, tcp: &Tcp) -> Option<u32> {
        Some(burst_of(tcp.pacing.unwrap_or(0.0)))
    }
}
