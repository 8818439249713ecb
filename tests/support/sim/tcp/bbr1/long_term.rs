//! Policers, as BBR finds them: two spans of like rate that both lose a fifth show the rate that is let through.

use super::super::congestion::Tcp;
use super::super::sample::Sample;
use super::super::{MSS, SECOND};

/// Names and values are the kernel's (`lt_*`).
const ROUNDS_MIN: u32 = 4;
const LOSS: f64 = 50.0 / 256.0;
const RATIO: f64 = 1.0 / 8.0;
/// Bytes per second.
const DIFFERENCE: f64 = 4000.0 / 8.0;
const ROUNDS_MAX: u32 = 48;
/// The shortest span that tells a rate, in seconds.
const SPAN_MIN: f64 = 1e-3;

/// The long-term bandwidth, in segments per second.
#[derive(Debug, Default)]
pub(super) struct LongTerm {
    is_sampling: bool,
    in_use: bool,
    bw: f64,
    rounds: u32,
    last_delivered: u64,
    last_lost: u64,
    last_at: u64,
}

impl LongTerm {
    pub(super) fn new(tcp: &Tcp) -> Self {
        let mut fresh = Self::default();
        fresh.restart(tcp);
        fresh
    }

    /// What a policer lets through, while one is believed in.
    pub(super) fn bandwidth(&self) -> Option<f64> {
        self.in_use.then_some(self.bw)
    }

    fn restart(&mut self, tcp: &Tcp) {
        (self.last_delivered, self.last_lost) = (tcp.delivered, tcp.lost);
        (self.last_at, self.rounds) = (tcp.delivered_at, 0);
    }

    /// Takes an acknowledgement. Says whether a policer has been believed in for long enough to look for more again.
    pub(super) fn on_sample(&mut self, sample: &Sample, tcp: &Tcp, round_start: bool, is_probing_bw: bool) -> bool {
        if self.in_use {
            self.rounds += u32::from(is_probing_bw && round_start);
            let is_over = self.rounds >= ROUNDS_MAX;
            if is_over {
                *self = Self::new(tcp);
            }
            return is_over;
        }
        if !self.is_sampling {
            if sample.lost == 0 {
                return false;
            }
            self.restart(tcp);
            self.is_sampling = true;
        }
        self.rounds += u32::from(round_start);
        if self.rounds > 4 * ROUNDS_MIN {
            *self = Self::new(tcp);
        } else if self.rounds >= ROUNDS_MIN && sample.lost > 0 {
            self.end_span(tcp);
        }
        false
    }

    fn end_span(&mut self, tcp: &Tcp) {
        let lost = (tcp.lost - self.last_lost) as f64;
        let delivered = (tcp.delivered - self.last_delivered) as f64;
        let span = (tcp.delivered_at - self.last_at) as f64 / SECOND as f64;
        if delivered <= 0.0 || lost < LOSS * delivered || span < SPAN_MIN {
            return;
        }
        let (bw, before) = (delivered / span, self.bw);
        let difference = (bw - before).abs();
        if before > 0.0 && (difference <= RATIO * before || difference * MSS as f64 <= DIFFERENCE) {
            (self.bw, self.in_use, self.rounds) = ((bw + before) / 2.0, true, 0);
            return;
        }
        self.bw = bw;
        self.restart(tcp);
    }
}
