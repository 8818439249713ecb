//! CUBIC (RFC 9438) as in `tcp_cubic.c`: with fast convergence, the Reno-friendly region, and HyStart's delay sign.
//!
//! The kernel looks for trains of acknowledgements, too, and does not find them: bursts and wake-ups leave gaps of more than
//! two milliseconds (`TCPHystartTrainDetect` stays zero over the emulator). Here there would be none, and slow start would
//! end at a quarter of the window that the kernel's ends at.

use super::congestion::{Congestion, Tcp};
use super::sample::Sample;
use super::{MILLIS, SECOND};

const C: f64 = 0.4;
const BETA: f64 = 717.0 / 1024.0;
/// Segments per round that keep Reno's average at this beta.
const FRIENDLY: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
const WINDOW_MIN: u32 = 2;
/// The kernel looks at the curve at most so often while the window is the same.
const LOOK: u64 = SECOND / 32;
/// Segments acknowledged for one more, at least; and before the first loss at most.
const COUNT_MIN: f64 = 2.0;
const COUNT_MAX_FIRST: f64 = 20.0;
/// Windows from which HyStart looks.
const HYSTART_WINDOW: u32 = 16;
/// Round trips of a round before the shortest of them says anything.
const HYSTART_SAMPLES: u32 = 8;
const HYSTART_DELAY_MIN: u64 = 4 * MILLIS;
const HYSTART_DELAY_MAX: u64 = 16 * MILLIS;

/// Looks for the end of slow start, before a loss shows it.
#[derive(Debug)]
struct HyStart {
    /// The round is over when this segment is acknowledged.
    end: u64,
    shortest: u64,
    samples: u32,
    is_found: bool,
}

#[derive(Debug)]
pub(super) struct Cubic {
    hystart: Option<HyStart>,
    window_max: f64,
    last_window: u32,
    looked: u64,
    origin: f64,
    /// When the curve began; `None` until the first acknowledgement after a reduction.
    epoch: Option<u64>,
    k: f64,
    /// Segments acknowledged for one more.
    count: f64,
    acked: f64,
    friendly: f64,
    friendly_acked: f64,
    /// The shortest round trip since the last timeout.
    delay_min: u64,
}

impl Cubic {
    pub(super) fn new(hystart: bool) -> Self {
        Self {
            hystart: hystart.then(|| HyStart::new(0)),
            window_max: 0.0,
            last_window: 0,
            looked: 0,
            origin: 0.0,
            epoch: None,
            k: 0.0,
            count: COUNT_MIN,
            acked: 0.0,
            friendly: 0.0,
            friendly_acked: 0.0,
            delay_min: 0,
        }
    }

    fn begin_curve(&mut self, now: u64, window: f64) {
        self.epoch = Some(now);
        (self.friendly, self.friendly_acked) = (window, 0.0);
        self.k = ((self.window_max - window).max(0.0) / C).cbrt();
        self.origin = self.window_max.max(window);
    }

    fn update_count(&mut self, now: u64, acked: u32, window: u32) {
        self.friendly_acked += f64::from(acked);
        if self.last_window == window && now - self.looked <= LOOK {
            return;
        }
        (self.last_window, self.looked) = (window, now);
        let window = f64::from(window);
        if self.epoch.is_none() {
            self.begin_curve(now, window);
            self.friendly_acked = f64::from(acked);
        }
        let since = now - self.epoch.unwrap_or(now) + self.delay_min;
        let target = self.origin + C * (since as f64 / SECOND as f64 - self.k).powi(3);
        self.count = if target > window { window / (target - window) } else { 100.0 * window };
        if self.window_max == 0.0 {
            self.count = self.count.min(COUNT_MAX_FIRST);
        }
        self.friendly += self.friendly_acked * FRIENDLY / window;
        self.friendly_acked = 0.0;
        if self.friendly > window {
            self.count = self.count.min(window / (self.friendly - window));
        }
        self.count = self.count.max(COUNT_MIN);
    }

    fn look_for_end(&mut self, rtt: u64, tcp: &mut Tcp) {
        let delay_min = self.delay_min;
        let Some(watch) = &mut self.hystart else { return };
        if watch.is_found {
            return;
        }
        if tcp.first > watch.end {
            *watch = HyStart::new(tcp.next);
        }
        if tcp.window < HYSTART_WINDOW {
            return;
        }
        watch.shortest = watch.shortest.min(rtt);
        if watch.samples < HYSTART_SAMPLES {
            watch.samples += 1;
        } else {
            let more = (delay_min / 8).clamp(HYSTART_DELAY_MIN, HYSTART_DELAY_MAX);
            watch.is_found |= watch.shortest > delay_min + more;
        }
        if watch.is_found {
            tcp.threshold = tcp.window;
        }
    }
}

impl HyStart {
    fn new(end: u64) -> Self {
        Self { end, shortest: u64::MAX, samples: 0, is_found: false }
    }
}

impl Congestion for Cubic {
    fn on_start(&mut self, _: u64, _: &mut Tcp) {}

    fn on_ack(&mut self, now: u64, sample: &Sample, tcp: &mut Tcp) {
        let is_fresh = self.epoch.is_none_or(|epoch| now - epoch >= SECOND);
        if let Some(rtt) = sample.rtt.filter(|_| is_fresh) {
            self.delay_min = if self.delay_min == 0 { rtt } else { self.delay_min.min(rtt) };
            if tcp.window < tcp.threshold {
                self.look_for_end(rtt, tcp);
            }
        }
        let mut acked = sample.acked;
        if tcp.window < tcp.threshold {
            let grown = (tcp.window + acked).min(tcp.threshold);
            acked -= grown - tcp.window;
            tcp.window = grown;
        }
        if acked == 0 {
            return;
        }
        self.update_count(now, acked, tcp.window);
        self.acked += f64::from(acked);
        let count = self.count.max(1.0);
        if self.acked >= count {
            let more = (self.acked / count).floor();
            self.acked -= more * count;
            tcp.window += more as u32;
        }
    }

    fn on_congestion(&mut self, _: u64, tcp: &mut Tcp) -> u32 {
        self.epoch = None;
        let window = f64::from(tcp.window);
        self.window_max = if window < self.window_max { window * (1.0 + BETA) / 2.0 } else { window };
        ((window * BETA) as u32).max(WINDOW_MIN)
    }

    fn on_timeout(&mut self, _: u64, _: &mut Tcp) {
        *self = Self::new(self.hystart.is_some());
    }
}
