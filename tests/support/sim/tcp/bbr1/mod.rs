//! BBR version 1 as in Linux's `tcp_bbr.c`, policer detection and aggregation included.

mod long_term;

use super::super::rng::Rng;
use super::aggregation::Aggregation;
use super::congestion::{Congestion, State, Tcp, burst_of};
use super::sample::Sample;
use super::{HEADER, INITIAL_WINDOW, MILLIS, MSS, SECOND};
use long_term::LongTerm;

/// Names and values are the kernel's.
const BW_ROUNDS: u64 = 10;
const MIN_RTT_SPAN: u64 = 10 * SECOND;
const PROBE_RTT_TIME: u64 = 200 * MILLIS;
const PACING_MARGIN: f64 = 0.99;
const HIGH_GAIN: f64 = 2885.0 / 1000.0 + 1.0 / 256.0;
const DRAIN_GAIN: f64 = 1000.0 / 2885.0;
const WINDOW_GAIN: f64 = 2.0;
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const CYCLE_RANDOM: u64 = 7;
const WINDOW_MIN: u32 = 4;
const FULL_BW_THRESHOLD: f64 = 1.25;
const FULL_BW_COUNT: u32 = 3;
const EXTRA_ACKED_TIME: f64 = 0.1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

#[derive(Debug)]
pub(super) struct Bbr1 {
    rng: Rng,
    mode: Mode,
    /// (round, segments per second), largest first.
    bw: Vec<(u64, f64)>,
    round: u64,
    next_round_delivered: u64,
    round_start: bool,
    min_rtt: u64,
    min_rtt_at: u64,
    probe_rtt_done: Option<u64>,
    probe_rtt_round_done: bool,
    prior_window: u32,
    prev_state: State,
    packet_conservation: bool,
    full_bw: f64,
    full_bw_count: u32,
    full_bw_reached: bool,
    cycle: usize,
    cycle_at: u64,
    pacing_gain: f64,
    window_gain: f64,
    has_seen_rtt: bool,
    long_term: LongTerm,
    aggregation: Aggregation,
}

impl Bbr1 {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            mode: Mode::Startup,
            bw: Vec::new(),
            round: 0,
            next_round_delivered: 0,
            round_start: false,
            min_rtt: 0,
            min_rtt_at: 0,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            prior_window: 0,
            prev_state: State::Open,
            packet_conservation: false,
            full_bw: 0.0,
            full_bw_count: 0,
            full_bw_reached: false,
            cycle: 0,
            cycle_at: 0,
            pacing_gain: HIGH_GAIN,
            window_gain: HIGH_GAIN,
            has_seen_rtt: false,
            long_term: LongTerm::default(),
            aggregation: Aggregation::default(),
        }
    }

    fn max_bw(&self) -> f64 {
        self.bw.iter().map(|&(_, bw)| bw).fold(0.0, f64::max)
    }

    fn bandwidth(&self) -> f64 {
        self.long_term.bandwidth().unwrap_or_else(|| self.max_bw())
    }

    fn bdp(&self, bw: f64, gain: f64) -> u32 {
        if self.min_rtt == 0 {
            return INITIAL_WINDOW;
        }
        (bw * gain * self.min_rtt as f64 / SECOND as f64).ceil() as u32
    }

    fn quantized(&self, window: u32, tcp: &Tcp) -> u32 {
        let window = window + 3 * burst_of(tcp.pacing.unwrap_or(0.0));
        let probing = self.mode == Mode::ProbeBw && self.cycle == 0;
        window.next_multiple_of(2) + if probing { 2 } else { 0 }
    }

    fn inflight(&self, bw: f64, gain: f64, tcp: &Tcp) -> u32 {
        self.quantized(self.bdp(bw, gain), tcp)
    }

    /// What will be in flight when the pacer lets the next burst leave.
    fn in_net(&self, now: u64, in_flight: u32, tcp: &Tcp) -> u32 {
        let until = tcp.next_send.saturating_sub(now) as f64 / SECOND as f64;
        let delivered = (self.bandwidth() * until) as u32;
        let more = if self.pacing_gain > 1.0 { burst_of(tcp.pacing.unwrap_or(0.0)) } else { 0 };
        (in_flight + more).saturating_sub(delivered)
    }

    fn update_bw(&mut self, sample: &Sample, tcp: &Tcp) {
        self.round_start = false;
        let Some(delivered) = sample.delivered else { return };
        if sample.prior_delivered >= self.next_round_delivered {
            self.next_round_delivered = tcp.delivered;
            self.round += 1;
            self.round_start = true;
            self.packet_conservation = false;
        }
        if self.long_term.on_sample(sample, tcp, self.round_start, self.mode == Mode::ProbeBw) {
            self.enter_probe_bw(tcp.delivered_at);
        }
        let bw = delivered as f64 / (sample.interval as f64 / SECOND as f64);
        self.bw.retain(|&(round, old)| round + BW_ROUNDS >= self.round && old > bw);
        self.bw.push((self.round, bw));
    }

    fn extra_acked(&self) -> u32 {
        if !self.full_bw_reached {
            return 0;
        }
        let most = (self.bandwidth() * EXTRA_ACKED_TIME) as u32;
        self.aggregation.most().min(most)
    }

    fn update_cycle(&mut self, now: u64, sample: &Sample, tcp: &Tcp) {
        if self.mode != Mode::ProbeBw {
            return;
        }
        let is_full_length = now.saturating_sub(self.cycle_at) > self.min_rtt;
        let in_flight = self.in_net(now, sample.prior_in_flight, tcp);
        let bw = self.max_bw();
        let is_over = if self.pacing_gain > 1.0 {
            is_full_length && (sample.lost > 0 || in_flight >= self.inflight(bw, self.pacing_gain, tcp))
        } else if self.pacing_gain < 1.0 {
            is_full_length || in_flight <= self.inflight(bw, 1.0, tcp)
        } else {
            is_full_length
        };
        if is_over {
            self.advance_cycle(now);
        }
    }

    fn advance_cycle(&mut self, now: u64) {
        self.cycle = (self.cycle + 1) % CYCLE.len();
        self.cycle_at = now;
    }

    fn enter_probe_bw(&mut self, now: u64) {
        self.mode = Mode::ProbeBw;
        self.cycle = CYCLE.len() - 1 - (self.rng.next_u64() % CYCLE_RANDOM) as usize;
        self.advance_cycle(now);
    }

    fn check_full_bw(&mut self) {
        if self.full_bw_reached || !self.round_start {
            return;
        }
        if self.max_bw() >= self.full_bw * FULL_BW_THRESHOLD {
            (self.full_bw, self.full_bw_count) = (self.max_bw(), 0);
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_reached = self.full_bw_count >= FULL_BW_COUNT;
    }

    fn check_drain(&mut self, now: u64, tcp: &Tcp) {
        if self.mode == Mode::Startup && self.full_bw_reached {
            self.mode = Mode::Drain;
        }
        if self.mode == Mode::Drain && self.in_net(now, tcp.in_flight, tcp) <= self.inflight(self.max_bw(), 1.0, tcp) {
            self.enter_probe_bw(now);
        }
    }

    fn update_min_rtt(&mut self, now: u64, sample: &Sample, tcp: &mut Tcp) {
        let is_expired = now > self.min_rtt_at + MIN_RTT_SPAN;
        if let Some(rtt) = sample.rtt
            && (self.min_rtt == 0 || rtt < self.min_rtt || is_expired)
        {
            (self.min_rtt, self.min_rtt_at) = (rtt, now);
        }
        if is_expired && self.mode != Mode::ProbeRtt {
            self.mode = Mode::ProbeRtt;
            self.save_window(tcp);
            self.probe_rtt_done = None;
        }
        if self.mode != Mode::ProbeRtt {
            return;
        }
        match self.probe_rtt_done {
            None if tcp.in_flight <= WINDOW_MIN => {
                self.probe_rtt_done = Some(now + PROBE_RTT_TIME);
                self.probe_rtt_round_done = false;
                self.next_round_delivered = tcp.delivered;
            }
            None => {}
            Some(done) => {
                self.probe_rtt_round_done |= self.round_start;
                if self.probe_rtt_round_done && now > done {
                    self.min_rtt_at = now;
                    tcp.window = tcp.window.max(self.prior_window);
                    self.leave_probe_rtt(now);
                }
            }
        }
    }

    fn leave_probe_rtt(&mut self, now: u64) {
        if self.full_bw_reached {
            self.enter_probe_bw(now);
        } else {
            self.mode = Mode::Startup;
        }
    }

    fn save_window(&mut self, tcp: &Tcp) {
        let is_new = !matches!(self.prev_state, State::Recovery | State::Loss) && self.mode != Mode::ProbeRtt;
        self.prior_window = if is_new { tcp.window } else { self.prior_window.max(tcp.window) };
    }

    fn update_gains(&mut self) {
        (self.pacing_gain, self.window_gain) = match self.mode {
            Mode::Startup => (HIGH_GAIN, HIGH_GAIN),
            Mode::Drain => (DRAIN_GAIN, HIGH_GAIN),
            Mode::ProbeBw if self.long_term.bandwidth().is_some() => (1.0, WINDOW_GAIN),
            Mode::ProbeBw => (CYCLE[self.cycle], WINDOW_GAIN),
            Mode::ProbeRtt => (1.0, 1.0),
        };
    }

    fn set_pacing(&mut self, tcp: &mut Tcp) {
        if !self.has_seen_rtt && tcp.srtt > 0 {
            self.has_seen_rtt = true;
            tcp.pacing = Some(initial_rate(tcp));
        }
        let rate = self.bandwidth() * self.pacing_gain * PACING_MARGIN * (MSS + HEADER) as f64;
        if self.full_bw_reached || tcp.pacing.is_none_or(|before| rate > before) {
            tcp.pacing = Some(rate);
        }
    }

    fn set_window(&mut self, sample: &Sample, tcp: &mut Tcp) {
        let window = if sample.acked == 0 { tcp.window } else { self.next_window(sample, tcp) };
        tcp.window = if self.mode == Mode::ProbeRtt { window.min(WINDOW_MIN) } else { window };
    }

    fn next_window(&mut self, sample: &Sample, tcp: &Tcp) -> u32 {
        let mut window = tcp.window;
        if sample.lost > 0 {
            window = window.saturating_sub(sample.lost).max(1);
        }
        let is_bad = |state| matches!(state, State::Recovery | State::Loss);
        if tcp.state == State::Recovery && self.prev_state != State::Recovery {
            self.packet_conservation = true;
            self.next_round_delivered = tcp.delivered;
            window = tcp.in_flight + sample.acked;
        } else if is_bad(self.prev_state) && !is_bad(tcp.state) {
            window = window.max(self.prior_window);
            self.packet_conservation = false;
        }
        self.prev_state = tcp.state;
        if self.packet_conservation {
            return window.max(tcp.in_flight + sample.acked).max(1);
        }
        let target = self.bdp(self.bandwidth(), self.window_gain) + self.extra_acked();
        let target = self.quantized(target, tcp);
        if self.full_bw_reached {
            window = (window + sample.acked).min(target);
        } else if window < target || tcp.delivered < u64::from(INITIAL_WINDOW) {
            window += sample.acked;
        }
        window.max(WINDOW_MIN)
    }
}

fn initial_rate(tcp: &Tcp) -> f64 {
    let rtt = if tcp.srtt > 0 { tcp.srtt } else { MILLIS };
    HIGH_GAIN * f64::from(tcp.window) * MSS as f64 / (rtt as f64 / SECOND as f64)
}

impl Congestion for Bbr1 {
    fn on_start(&mut self, now: u64, tcp: &mut Tcp) {
        (self.min_rtt, self.min_rtt_at) = (tcp.min_rtt, now);
        self.has_seen_rtt = tcp.srtt > 0;
        tcp.pacing = Some(initial_rate(tcp));
        self.long_term = LongTerm::new(tcp);
        self.aggregation = Aggregation::new(now);
    }

    fn on_ack(&mut self, now: u64, sample: &Sample, tcp: &mut Tcp) {
        self.update_bw(sample, tcp);
        if sample.acked > 0 && sample.delivered.is_some() {
            self.aggregation.on_ack(sample.acked, self.bandwidth(), self.round_start, tcp);
        }
        self.update_cycle(now, sample, tcp);
        self.check_full_bw();
        self.check_drain(now, tcp);
        self.update_min_rtt(now, sample, tcp);
        self.update_gains();
        self.set_pacing(tcp);
        self.set_window(sample, tcp);
    }

    fn on_congestion(&mut self, _: u64, tcp: &mut Tcp) -> u32 {
        self.save_window(tcp);
        tcp.threshold
    }

    fn on_timeout(&mut self, _: u64, _: &mut Tcp) {
        self.prev_state = State::Loss;
        self.full_bw = 0.0;
        self.round_start = true;
    }

    fn has_own_recovery(&self) -> bool {
        true
    }

    fn burst(&self, tcp: &Tcp) -> Option<u32> {
        Some(burst_of(tcp.pacing.unwrap_or(0.0)))
    }
}
