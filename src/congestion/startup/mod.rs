//! Start-up: as fast as the path lets us, without filling its queue to find out.
//!
//! Two signs end it: a queue, or bandwidth that stopped growing. Loss alone never does. What the spacing of ACKs foretells
//! makes it steeper and bounds it, and is dropped when delivery has shown it to be too low.
//!
//! # Careful resume
//! It begins near what an earlier connection, or this one before an outage, learnt about the path (RFC 9959). The RFC's phases,
//! and what they are here: *observe* is [`PathState`](super::PathState) at a connection's end; *reconnaissance* is the
//! handshake, whose round trip must be that of the path remembered; *unvalidated* and *validating* are one flight of a part of
//! the remembered window; *safe retreat* is to forget it all. Start-up runs throughout: it leaps or leaves by what the
//! acknowledgements of that flight show, and bounds its window by what was delivered as soon as the flight is answered for.
//!
//! It differs from the RFC in two things. The handshake counts as the initial flight: the answers to a flight of data show our
//! start-up as much as the memory knows. For that, the round trip must fit much more closely.

use std::time::{Duration, Instant};

use super::config::{Mechanism, PastPath};
use super::controller::initial_packets;
use super::model::loss::SHARE_MAX;
use super::model::rate::{AGREEMENT, DispersionSample};
use super::model::round::{BURST_PACKETS, GROUP_ACKS, MEMORY_ROUNDS, NOISE, PROOF, RoundSamples};
use super::model::{ALONE, PathModel, REDUCTION, SHARED};
use super::phases::{Experiment, Moment};
use crate::transport::limits::MTU_START;

/// Start-up ends at this queue: one sixteenth of the round trip, but not for less than [`NOISE`], nor for less than the spread of
/// the first round, which is jitter. It stands as long: what came late for a moment is none, and while it stands the window grows
/// by an eighth at most. With a tenth, 64 MiB at 100 Mbit/s, 200 ms and 5 % loss took 1.4 % less, and sixteen of ours at 300 ms
/// re-sent 41 %.
const QUEUE_SHARE: f64 = 1.0 / 16.0;
/// Window over product at most: 2/ln 2, what doubling per round needs (BBR).
const GAIN: f64 = 2.89;
/// Window over the product by a flight that arrived as fast as it was sent: with the pacer's quarter, the next one leaves
/// three times as fast. Two took 20 ms longer at 100 Mbit/s and 100 ms, three no less; with BBR's gain, eight flows of ours at
/// 300 ms re-sent a third, and not a fifteenth.
const JUMP: f64 = 2.5;
/// While ACK spacing says that the window is below [`SHARED`] of what fits, it grows by this times what is acknowledged.
const LEAP: u64 = 7;

/// The estimates of the path in start-up, in bytes and seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartupInputs {
    pub(super) bandwidth: f64,
    pub(super) min_rtt: f64,
    /// Median and maximum rate by the spacing of ACKs, while it is believed.
    pub(super) trains: Option<(f64, f64)>,
    /// What the packets of the latest flight show among themselves.
    pub(super) flight: Option<DispersionSample>,
    /// Whether the spacing of ACKs may make the growth steeper.
    pub(super) leaps: bool,
}

impl StartupInputs {
    /// How much the window may grow for `bytes` acknowledged.
    pub(super) fn growth(&self, window: u64, bytes: u64) -> u64 {
        let has_room = |&(median, _): &(f64, f64)| window as f64 <= SHARED * median * self.min_rtt;
        let leaps = self.leaps && self.trains.as_ref().is_some_and(has_room);
        if leaps { LEAP * bytes } else { bytes }
    }

    /// The window that the latest flight has earned, at once: no more than the path carries, where that is known.
    pub(super) fn earned(&self) -> f64 {
        let Some(flight) = self.flight else { return 0.0 };
        let gain = if flight.stretched { 1.0 } else { JUMP };
        let most = self.trains.map_or(f64::INFINITY, |(median, _)| median);
        (flight.rate * gain).min(most) * self.min_rtt
    }

    /// The largest window, without head-room for loss.
    pub(super) fn bound(&self) -> f64 {
        self.earned().max(self.grown_bound())
    }

    /// How far the growth by ACKs may go.
    fn grown_bound(&self) -> f64 {
        match self.trains {
            // The spacing bounds more closely than the rate, which lags by a round.
            Some((median, _)) => ((1 + LEAP) as f64 * self.bandwidth).min(AGREEMENT * median) * self.min_rtt,
            None => GAIN * self.bandwidth * self.min_rtt,
        }
    }

    /// Whether we deliver what the spacing of ACKs showed: a queue must show within a round, or something else spaced them.
    fn is_goal_reached(&self) -> bool {
        self.trains.is_some_and(|(median, _)| self.bandwidth > ALONE * median)
    }
}

/// What the first round, whose window is too small for a queue, showed.
#[derive(Debug, Clone, Copy)]
struct Base {
    rtt: Duration,
    spread: Duration,
}

/// Why start-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartupEnd {
    /// The path is full: a queue was marked, or bandwidth has stopped growing.
    Full,
    /// It is overfull: more was lost than any path loses.
    Flood,
}

/// Start-up, as an experiment.
#[derive(Debug, Clone)]
pub(super) struct Startup {
    pub(super) resume: CarefulResume,
    /// Round trips of the last ACKs, as a ring.
    recent: [Duration; GROUP_ACKS as usize],
    seen: usize,
    base: Option<Base>,
    /// Since when all round trips have a queue in them.
    queued: Option<Instant>,
    best: f64,
    flat_rounds: u32,
    /// We deliver what the spacing of ACKs foretold: a round from now, its queue stands or the foretelling was wrong.
    reached: bool,
    refuted: bool,
}

impl Startup {
    pub(super) fn new(past: Option<PastPath>) -> Self {
        Self {
            resume: CarefulResume::new(past),
            recent: [Duration::MAX; GROUP_ACKS as usize],
            seen: 0,
            base: None,
            queued: None,
            best: 0.0,
            flat_rounds: 0,
            reached: false,
            refuted: false,
        }
    }

    /// The first round trip shows which window to begin with: `initial`, or more where the path is one remembered.
    pub(super) fn begin(&mut self, now: Instant, rtt: Duration, initial: u64) -> u64 {
        if let Some(bare) = self.resume.on_first_rtt(now, rtt, initial) {
            // The first window may be large enough for a queue.
            self.base = Some(Base { rtt: bare, spread: Duration::ZERO });
        }
        initial.max(self.resume.window())
    }

    /// The estimates that it goes by. What the spacing of ACKs shows counts unless delivery has refuted it.
    pub(super) fn inputs(&self, model: &PathModel) -> StartupInputs {
        StartupInputs {
            bandwidth: model.bandwidth.get(),
            min_rtt: model.min_rtt().as_secs_f64(),
            trains: model.train_rates().filter(|_| !self.refuted),
            flight: model.sampler.dispersion().filter(|_| !model.is_without(Mechanism::Dispersion)),
            leaps: !model.is_without(Mechanism::Leap),
        }
    }

    pub(super) fn on_rtt(&mut self, rtt: Duration) {
        self.recent[self.seen % self.recent.len()] = rtt;
        self.seen += 1;
    }

    /// Whether for a while even the shortest of the last round trips has had a queue in it, which `jitter` alone does not
    /// make.
    pub(super) fn is_queue_seen(&mut self, now: Instant, jitter: Duration) -> bool {
        let Some(base) = self.base.filter(|base| self.is_late(base, jitter)) else {
            self.queued = None;
            return false;
        };
        let since = *self.queued.get_or_insert(now);
        now.saturating_duration_since(since) >= base.rtt.mul_f64(QUEUE_SHARE)
    }

    fn is_late(&self, base: &Base, jitter: Duration) -> bool {
        let lowest = self.recent.iter().min().copied().unwrap_or(Duration::MAX);
        let least = NOISE.max(base.rtt.mul_f64(QUEUE_SHARE)).max(base.spread);
        self.seen >= self.recent.len() && lowest > base.rtt + least + jitter
    }

    /// Whether bandwidth has stopped growing by a quarter in three rounds (BBR's full bandwidth), at the end of a round.
    fn is_flat(&mut self, samples: &RoundSamples, known: &StartupInputs) -> bool {
        let bandwidth = known.bandwidth;
        self.base.get_or_insert_with(|| Base { rtt: samples.standing_rtt(), spread: samples.spread() });
        if samples.app_limited {
            return false;
        }
        // The window was bounded to a little more than what was foretold, for a whole round, and no queue ended it.
        self.refuted |= self.reached;
        self.reached = known.is_goal_reached();
        if bandwidth >= self.best * AGREEMENT {
            self.best = bandwidth;
            self.flat_rounds = 0;
        } else {
            self.flat_rounds += 1;
        }
        self.flat_rounds >= PROOF
    }
}

impl Experiment for Startup {
    type Finding = StartupEnd;

    /// Nothing is known of the path.
    fn is_due(&mut self, model: &PathModel, _: &Moment) -> bool {
        model.min_rtt_filter.is_none()
    }

    fn window(&self, model: &PathModel, at: &Moment) -> f64 {
        let bound = self.inputs(model).bound() * model.headroom();
        let initial = (initial_packets(model.min_rtt()) * model.mtu).max(self.resume.window());
        (at.window as f64).min(bound.max(initial as f64))
    }

    fn on_round(&mut self, model: &PathModel, _: &Moment) -> Option<StartupEnd> {
        // The first flight is paced for an empty path: beside others, losing much of it tells nothing of what comes after.
        if model.rounds > 1 && model.is_flood() {
            return Some(StartupEnd::Flood);
        }
        let is_flat = self.is_flat(&model.samples, &self.inputs(model));
        (is_flat || model.is_queue_marked()).then_some(StartupEnd::Full)
    }
}

/// Older knowledge is not used: a day brings the same hours of traffic again, and hardly another line.
pub const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The memory at work.
#[derive(Debug, Clone)]
pub(super) enum CarefulResume {
    /// Nothing is remembered, it does not fit, or it has done its work.
    Over,
    /// The first round trip will show whether the path is the same.
    Reconnaissance(PastPath),
    /// A flight is under way.
    Validating(ResumeFlight),
    /// The flight was too much: what was sent before this moment says nothing about the path's own loss.
    Retreated(Instant),
}

/// The flight that tests the memory.
#[derive(Debug, Clone)]
pub(super) struct ResumeFlight {
    window: u64,
    acked: u64,
    lost: u64,
    /// Until when it must have left and been answered for: [`MEMORY_ROUNDS`] round trips, of which a transfer's opening takes
    /// two. A sender with nothing to send for longer begins as usual.
    end: Instant,
}

/// The cause of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossCause {
    /// The path's, as far as we know.
    Path,
    /// The flight's, and this loss has shown it.
    Unmasked,
    /// The flight's, which is over.
    Flight,
}

impl CarefulResume {
    pub(super) fn new(past: Option<PastPath>) -> Self {
        match past {
            Some(past) if past.age <= AGE_MAX => Self::Reconnaissance(past),
            _ => Self::Over,
        }
    }

    /// Takes the first round trip. When the path is the one remembered and that is worth more than the `initial`
    /// window, the flight begins: [`window`](Self::window) holds from now on, and the bare round trip is returned.
    pub(super) fn on_first_rtt(&mut self, now: Instant, rtt: Duration, initial: u64) -> Option<Duration> {
        let Self::Reconnaissance(past) = *self else { return None };
        let window = (REDUCTION * past.bandwidth as f64 * past.min_rtt.min(rtt).as_secs_f64()) as u64;
        if !is_same(past.min_rtt, rtt) || window <= initial {
            *self = Self::Over;
            return None;
        }
        *self = Self::Validating(ResumeFlight { window, acked: 0, lost: 0, end: now + rtt * MEMORY_ROUNDS });
        Some(past.min_rtt.max(rtt))
    }

    /// The window that start-up may not fall below while the flight is under way; else zero.
    pub(super) fn window(&self) -> u64 {
        match self {
            Self::Validating(flight) => flight.window,
            _ => 0,
        }
    }

    pub(super) fn on_ack(&mut self, now: Instant, bytes: u64) {
        let Self::Validating(flight) = self else { return };
        flight.acked += bytes;
        if flight.is_answered() || now > flight.end {
            *self = Self::Over;
        }
    }

    /// Takes the loss of packets that were sent up to `sent`.
    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant, bytes: u64) -> LossCause {
        match self {
            Self::Over => LossCause::Path,
            Self::Reconnaissance(_) => {
                // A handshake that loses packets has not shown the path to be the same.
                *self = Self::Over;
                LossCause::Path
            }
            Self::Validating(flight) => {
                flight.lost += bytes;
                let is_lossy = flight.is_lossy();
                if is_lossy {
                    self.retreat(now);
                } else if flight.is_answered() {
                    *self = Self::Over;
                }
                if is_lossy { LossCause::Unmasked } else { LossCause::Path }
            }
            Self::Retreated(at) if sent <= *at => LossCause::Flight,
            Self::Retreated(_) => LossCause::Path,
        }
    }

    /// A queue or loss has shown that the flight is too much, if one is under way.
    pub(super) fn retreat(&mut self, now: Instant) {
        if matches!(self, Self::Validating(_)) {
            *self = Self::Retreated(now);
        }
    }
}

impl ResumeFlight {
    fn is_answered(&self) -> bool {
        self.acked + self.lost >= self.window
    }

    /// Whether more than any path loses by itself is gone, and more than a burst.
    fn is_lossy(&self) -> bool {
        self.lost >= u64::from(BURST_PACKETS) * u64::from(MTU_START)
            && self.lost as f64 > SHARE_MAX * (self.acked + self.lost) as f64
    }
}

/// Whether it is the same path, where a busy machine may have been late with its handshake. The RFC allows half to ten times as
/// much, which spares unlike paths only the worst.
fn is_same(known: Duration, seen: Duration) -> bool {
    known <= seen.mul_f64(AGREEMENT) && seen <= known.mul_f64(AGREEMENT) + NOISE
}

#[cfg(test)]
mod tests;
