//! Is someone else holding the queue?
//!
//! Our own kind keeps it near the target, so a queue that stays long although we yield belongs to a sender that fills
//! queues, or the path has become slower. A drain tells the two apart; this module says when to look.

use std::time::{Duration, Instant};

use super::filter::MaxFilter;
use super::queue_budget::Round;

/// Queue in targets that counts as pressure...
const PRESSURE_QUEUE: f64 = 1.75;
/// ... and that many rounds of it are someone else's doing.
const PRESSURE_ROUNDS: f64 = 16.0;
/// A round is as long as a round trip, and at least this: on short paths the queue of a moment's overshoot lasts for many.
const PRESSURE_RTT: Duration = Duration::from_millis(50);
/// So is a fall of our rate to this part of what it was, under a standing queue. Two flows of ours end at a half.
const SQUEEZED_SHARE: f64 = 0.45;
/// One that goes on to this part of what it was at the suspicion needs no drain to tell: beside our own kind it would have
/// come to rest. A late flow cannot tell the queue that a competitor holds from the path, nor empty it.
const STARVED_SHARE: f64 = 0.5;
/// After a suspicion, a competitor is likely: less is enough...
const WARY_ROUNDS: f64 = 8.0;
/// ... for so long, and with a queue of so many targets a drain is not even needed: the competitor may just then have
/// backed off.
const WARY_SPAN: Duration = Duration::from_secs(20);
const WARY_QUEUE: u32 = 2;
/// Queue in targets at which the window is cut at once.
const CUT_QUEUE: u32 = 3;
/// Rounds until a cut can be seen in the queue.
const CUT_ROUNDS: u32 = 3;
/// A cut that leaves more of the queue than this was futile: the queue is not ours.
const CUT_EFFECT: f64 = 0.75;
/// A cut weighs as many rounds of pressure: a competitor that grows slowly makes many small cuts necessary.
const CUT_PRESSURE: f64 = 4.0;
/// Rounds over which our largest window is remembered: what we had before a competitor pushed.
const RECENT_ROUNDS: u64 = 100;
/// How long our best rate is. CUBIC grows by the clock and not by round trips.
const RECENT_SPAN: Duration = Duration::from_secs(20);
/// Part of a round's rate that the smoothed one takes over. Single rounds of small windows are uneven, and the best of
/// twenty seconds of them is far above what we had.
const RATE_GAIN: f64 = 1.0 / 8.0;

/// How sure we are of a competitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    None,
    /// A drain must tell.
    Suspected,
    Certain,
}

/// The judgement on a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    /// The queue is far too long: believe the last round's rate and nothing older.
    pub(super) cut: bool,
    pub(super) suspicion: Suspicion,
}

/// A cut of the window.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The queue before it.
    queue: Duration,
    rounds: u32,
}

/// A suspicion that was acted on.
#[derive(Debug, Clone, Copy)]
struct LowerThreshold {
    from: Instant,
    /// Our rate then, unless it was competitive mode's, which says nothing about what is ours.
    rate: Option<f64>,
}

/// Watches the queue and our share.
#[derive(Debug, Clone)]
pub(super) struct Competitors {
    start: Instant,
    pressure: f64,
    cut: Option<Cut>,
    wary: Option<LowerThreshold>,
    /// Our rate, smoothed.
    rate: Option<f64>,
    recent_window: MaxFilter,
    recent_rate: MaxFilter,
}

impl Competitors {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            pressure: 0.0,
            cut: None,
            wary: None,
            rate: None,
            recent_window: MaxFilter::new(RECENT_ROUNDS),
            recent_rate: MaxFilter::new(RECENT_SPAN.as_nanos() as u64),
        }
    }

    fn wary(&self, now: Instant) -> Option<LowerThreshold> {
        self.wary.filter(|wary| now.saturating_duration_since(wary.from) < WARY_SPAN)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.pressure == 0.0
    }

    /// The largest window of the last rounds.
    pub(super) fn recent_window(&self) -> f64 {
        self.recent_window.get().unwrap_or(0.0)
    }

    pub(super) fn note_window(&mut self, round: u64, window: u64) {
        self.recent_window.push(round, window as f64);
    }

    /// A drain has emptied the queue: what we had before, the path no longer gives.
    pub(super) fn on_quiet(&mut self) {
        self.calm_down();
        self.recent_window.clear();
    }

    /// Competitive mode has begun.
    pub(super) fn calm_down(&mut self) {
        self.pressure = 0.0;
        self.cut = None;
    }

    /// A suspicion has been acted on, at this rate, or competitive mode is over.
    pub(super) fn become_wary(&mut self, now: Instant, rate: Option<f64>) {
        self.wary = Some(LowerThreshold { from: now, rate });
        self.rate = None;
        self.recent_rate.clear();
    }

    /// Judges a round of cruising that took `span`. `full`: a queue has stood lately.
    pub(super) fn on_round(&mut self, now: Instant, round: &Round, span: Duration, full: bool) -> Judgement {
        self.weigh(round, span);
        let wary = self.wary(now);
        let rounds = if wary.is_some() { WARY_ROUNDS } else { PRESSURE_ROUNDS };
        let rate = self.note_rate(now, round.bandwidth);
        let squeezed = full && wary.is_none() && rate < self.recent_rate.get().unwrap_or(0.0) * SQUEEZED_SHARE;
        let before = wary.and_then(|wary| wary.rate);
        let starved = full && before.is_some_and(|before| rate < before * STARVED_SHARE);
        let (cut, futile) = self.judge_cut(round);
        let suspicion = if !futile && !squeezed && !starved && self.pressure < rounds {
            Suspicion::None
        } else if starved || (wary.is_some() && round.queue > round.usual() * WARY_QUEUE) {
            Suspicion::Certain
        } else {
            Suspicion::Suspected
        };
        Judgement { cut, suspicion }
    }

    fn note_rate(&mut self, now: Instant, bandwidth: f64) -> f64 {
        let before = self.rate.unwrap_or(bandwidth);
        let rate = before + RATE_GAIN * (bandwidth - before);
        self.rate = Some(rate);
        self.recent_rate.push(now.saturating_duration_since(self.start).as_nanos() as u64, rate);
        rate
    }

    fn weigh(&mut self, round: &Round, span: Duration) {
        let rounds = span.as_secs_f64() / (round.rtt + round.queue).max(PRESSURE_RTT).as_secs_f64();
        if round.queue > round.usual().mul_f64(PRESSURE_QUEUE) {
            self.pressure += rounds;
        } else if round.queue < round.usual() {
            self.pressure = (self.pressure - rounds).max(0.0);
        }
    }

    /// (whether to cut now, whether the last cut was futile)
    fn judge_cut(&mut self, round: &Round) -> (bool, bool) {
        if round.queue <= round.usual() * CUT_QUEUE {
            self.cut = None;
            return (false, false);
        }
        match &mut self.cut {
            Some(cut) if cut.rounds < CUT_ROUNDS => {
                cut.rounds += 1;
                return (false, false);
            }
            Some(cut) if round.queue > cut.queue.mul_f64(CUT_EFFECT) => return (false, true),
            _ => {}
        }
        self.cut = Some(Cut { queue: round.queue, rounds: 0 });
        self.pressure += CUT_PRESSURE;
        (true, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);
    const SPAN: Duration = Duration::from_millis(64);

    fn round(queue_ms: u64, bandwidth: f64) -> Round {
        let (queue, target) = (Duration::from_millis(queue_ms), Duration::from_millis(5));
        let product = bandwidth * RTT.as_secs_f64();
        Round { queue, rtt: RTT, target, product, bandwidth, capacity: bandwidth, mtu: 1200.0 }
    }

    fn judge(competitors: &mut Competitors, rounds: &[Round]) -> Judgement {
        let now = Instant::now();
        let judge = |round| competitors.on_round(now, round, SPAN, true);
        rounds.iter().map(judge).last().expect("at least one round")
    }

    #[test]
    fn a_queue_at_its_target_raises_no_suspicion() {
        let mut competitors = Competitors::new(Instant::now());
        assert_eq!(judge(&mut competitors, &[round(6, 1e6); 200]).suspicion, Suspicion::None);
        assert!(competitors.is_calm());
    }

    #[test]
    fn lasting_pressure_is_suspected_then_certain() {
        let mut competitors = Competitors::new(Instant::now());
        let pressed = [round(13, 1e6); PRESSURE_ROUNDS as usize];
        assert_eq!(judge(&mut competitors, &pressed[1..]).suspicion, Suspicion::None);
        assert_eq!(judge(&mut competitors, &pressed[..1]).suspicion, Suspicion::Suspected);
        competitors.become_wary(Instant::now(), Some(1e6));
        assert_eq!(judge(&mut competitors, &pressed).suspicion, Suspicion::Certain);
    }

    #[test]
    fn on_a_short_path_pressure_takes_as_long() {
        let mut competitors = Competitors::new(Instant::now());
        let pressed = Round { rtt: Duration::from_millis(2), ..round(13, 1e6) };
        let now = Instant::now();
        let judge = |competitors: &mut Competitors, rounds: u32| {
            let judge = |_| competitors.on_round(now, &pressed, Duration::from_millis(5), true).suspicion;
            (0..rounds).map(judge).last()
        };
        assert_eq!(judge(&mut competitors, 150), Some(Suspicion::None));
        assert_eq!(judge(&mut competitors, 20), Some(Suspicion::Suspected));
    }

    #[test]
    fn a_fall_after_a_contest_says_nothing() {
        let mut competitors = Competitors::new(Instant::now());
        competitors.become_wary(Instant::now(), None);
        assert_eq!(judge(&mut competitors, &[round(5, 4e5); 50]).suspicion, Suspicion::None);
        assert_eq!(judge(&mut competitors, &[round(5, 1e5); 100]).suspicion, Suspicion::None);
    }

    #[test]
    fn a_cut_that_shortens_the_queue_is_repeated_and_one_that_does_not_is_futile() {
        let mut competitors = Competitors::new(Instant::now());
        assert!(judge(&mut competitors, &[round(100, 1e6)]).cut);
        let effective = judge(&mut competitors, &[100, 80, 60, 40].map(|queue| round(queue, 1e6)));
        assert!(effective.cut && effective.suspicion == Suspicion::None);
        let futile = judge(&mut competitors, &[40, 40, 40, 39].map(|queue| round(queue, 1e6)));
        assert!(!futile.cut && futile.suspicion == Suspicion::Suspected);
    }

    #[test]
    fn a_lost_share_under_a_standing_queue_is_suspicious() {
        let mut competitors = Competitors::new(Instant::now());
        assert_eq!(judge(&mut competitors, &[round(5, 1e6)]).suspicion, Suspicion::None);
        assert_eq!(judge(&mut competitors, &[round(5, 5e5); 100]).suspicion, Suspicion::None);
        assert_eq!(judge(&mut competitors, &[round(5, 4e5); 100]).suspicion, Suspicion::Suspected);
    }

    #[test]
    fn one_that_goes_on_falling_is_certain() {
        let mut competitors = Competitors::new(Instant::now());
        competitors.become_wary(Instant::now(), Some(4e5));
        assert_ne!(judge(&mut competitors, &[round(5, 3e5); 100]).suspicion, Suspicion::Certain);
        assert_eq!(judge(&mut competitors, &[round(5, 1.9e5); 100]).suspicion, Suspicion::Certain);
    }
}
