//! Is someone else holding the queue, and what we take while he does.
//!
//! Our own kind keeps it near the target, so a queue that stays long although we yield belongs to a sender that fills
//! queues, or the path has become slower. [`Pressure`] says when to look, and a drain tells the two apart.
//!
//! A delay-based sender starves beside one that fills the queue (Copa, section 2.2). While another does, competitive mode holds a
//! fixed share of the path, whatever the queue is: by Little's law the window of a share is that share of the bandwidth times
//! the round trip as it is now. A sender that is bound by its window (BBR by twice its product) or yields to loss (CUBIC) comes
//! to rest beside that, while growing until something is lost would only starve beside BBR, which does not mind losses.

use std::time::{Duration, Instant};

use super::config::Mechanism;
use super::model::round::{BURST_PACKETS, EMPTY_ROUNDS, MEMORY_ROUNDS, SETTLE_ROUNDS, base_target};
use super::model::rtt::{LONG_RTT, MinRttFilter, PROBE_RTT_INTERVAL};
use super::model::{PathModel, REDUCTION, SHARE, SHARED};
use super::phases::{Experiment, Moment, PhaseEnd};
use crate::transport::limits::{ACK_EVERY, TIMER_GRAIN};

/// Queue that counts as pressure, over the one that our own kind makes. With two, 89 cells beside others missed a bound and not
/// 87.
const PRESSURE_QUEUE: f64 = 1.75;
/// Round trips from which on a drain comes late: in up to ten seconds, in which a flow at 200 ms beside CUBIC fell from 58 to 0.7
/// Mbit/s. On shorter paths it comes sooner, and a guess made eight of ours at 20 ms uneven (Jain 99.5 to 80.6).
const LATE_DRAIN_RTT: Duration = Duration::from_millis(150);
/// What a round gives back of the share, of which each loses as much as is lost. Beside several BBR that fill a short queue a
/// third of all packets is lost, and that much is held there; several of ours come to share the path by it. Half of it held a
/// third as much beside four BBR; a sixth more made sixteen of ours re-send more while they begin. So twice as much comes back
/// only where a queue has gone by itself, which is never ours: beside four BBR of Linux's, whose full queue drops a third of
/// our bursts.
const STEP: f64 = 0.06;
/// Rate over that of the window while packets leave one by one: quinn's pacer has the same. With 1.1, 82 cells beside others
/// missed a bound and not 69.
const PACE_GAIN: f64 = 1.25;

/// How long the queue has been much longer than our own kind makes it, in round trips: [`MEMORY_ROUNDS`] of it are someone else's
/// doing.
#[derive(Debug, Clone, Default)]
pub(super) struct Pressure {
    round_trips: f64,
}

impl Pressure {
    pub(super) fn is_none(&self) -> bool {
        self.round_trips == 0.0
    }

    /// Takes a round of cruise. Says whether it is time to look who holds the queue. `is_expected`: somebody may come back who
    /// does; then any queue counts on a path of which we get less than half.
    pub(super) fn on_round(&mut self, model: &PathModel, now: Instant, is_expected: bool) -> bool {
        let (queue, usual, round_trips) = (model.round.queue, model.round.usual(), round_trips(model, now));
        // A flow that is alone on late machines takes a path for half as large again as it is, so it seems to get two thirds.
        let is_back = is_expected && model.bandwidth.get() < REDUCTION * model.capacity() && model.is_queued();
        if is_back || queue > usual.mul_f64(PRESSURE_QUEUE) {
            self.round_trips += round_trips;
        } else if queue < usual {
            self.round_trips = (self.round_trips - round_trips).max(0.0);
        }
        let is_long = self.round_trips >= f64::from(MEMORY_ROUNDS);
        if is_long {
            *self = Self::default();
        }
        is_long
    }
}

/// How far we give way to a queue that is longer than our own kind makes it. A flow of ours that has less than others wins of them,
/// and loses to nobody but those who come; a flow that fills the queue takes what we give up, and the queue stays as long as it was.
#[derive(Debug, Clone, Default)]
pub(super) struct Starvation {
    rounds: u32,
    /// The most that we got of the path since that queue stands, in bytes per second.
    most: f64,
    /// More was lost since than the path loses: a full queue takes from everybody.
    is_lossy: bool,
}

impl Starvation {
    /// Takes a round of cruise. Says whether much of what we had has gone, by no loss, and less is left than the share that would be
    /// held. Who comes late takes the queue of others for path, so a flow at 200 ms had 17 Mbit/s of 100 beside CUBIC, 6 of them
    /// twenty seconds later, and no queue that was much longer than usual. Only where a drain comes late, since many of ours that
    /// begin together pass through the same.
    pub(super) fn on_round(&mut self, model: &PathModel) -> bool {
        let bandwidth = model.bandwidth.get();
        if model.round.queue > model.round.usual() {
            self.rounds += 1;
        } else {
            self.rounds = self.rounds.saturating_sub(1);
        }
        if self.rounds == 0 {
            *self = Self::default();
        }
        self.most = self.most.max(bandwidth);
        self.is_lossy |= model.is_loss_unusual();
        let is_less = bandwidth < SHARED * self.most && bandwidth < SHARE * model.capacity();
        self.rounds > MEMORY_ROUNDS && is_less && !self.is_lossy && model.round.min_rtt >= LATE_DRAIN_RTT
    }
}

/// How long no queue has stood although we get only a part of the path, in round trips: whoever had the rest of it is gone, and
/// there is no need to grow by a little each round.
#[derive(Debug, Clone, Default)]
pub(super) struct Vacancy {
    round_trips: f64,
}

impl Vacancy {
    /// Takes a round of cruise. Says whether that is longer than a drain of others lasts. Behind a policer no queue ever
    /// stands, though the spacing of ACKs shows more than it lets through.
    pub(super) fn on_round(&mut self, model: &PathModel, now: Instant) -> bool {
        let is_clean = model.jitter().is_zero() && !model.is_aggregating() && !model.is_loss_unusual();
        let is_vacant = is_clean && model.is_shared() && !model.is_queued() && model.bandwidth.is_queue_seen();
        self.count(is_vacant && !model.is_without(Mechanism::Vacancy), round_trips(model, now))
    }

    fn count(&mut self, is_vacant: bool, round_trips: f64) -> bool {
        self.round_trips = if is_vacant { self.round_trips + round_trips } else { 0.0 };
        self.round_trips > f64::from(EMPTY_ROUNDS)
    }
}

/// Round trips that a round took, of at least [`LONG_RTT`].
fn round_trips(model: &PathModel, now: Instant) -> f64 {
    let span = now.saturating_duration_since(model.samples.started);
    let round_trip = (model.round.min_rtt + model.round.queue).max(LONG_RTT);
    span.as_secs_f64() / round_trip.as_secs_f64()
}

/// A share of the path that is held.
#[derive(Debug, Clone)]
struct HeldShare {
    share: f64,
    /// The most that the path was known to carry for all since it began, in bytes per second. What is seen of that while others
    /// have most of it may be no more than what we get, and a share of that would be less and less.
    capacity: f64,
    /// What it may carry as long as nothing shows that: more each round, until losses take as much as a round gives back.
    guess: f64,
    /// In bytes.
    window: f64,
    /// What arrived in the last round that no test has cut, in bytes per second.
    rate: f64,
    /// It has begun with a part of the share, and nothing was lost since that the path does not lose.
    is_opening: bool,
    /// Losses have cut the share to less than half since the last test.
    was_halved: bool,
    /// Since when no queue stands.
    vacancy: Vacancy,
}

impl HeldShare {
    /// Takes the part of the share that losses have left in a round, and what the round gives back.
    fn on_losses(&mut self, kept: f64, step: f64, is_guessed: bool) {
        let left = self.share * kept;
        // A share of too little shows no more than that: few packets leave no batch whose spacing tells what the path carries.
        // Never by more than one step, or a third would be lost before it ends.
        let growth = ((left + STEP) / SHARE).max(1.0);
        self.guess = if is_guessed { self.guess.max(self.capacity) * growth } else { 0.0 };
        self.share = (left + step).min(SHARE);
    }
}

/// Competitive mode, as an experiment: on while a competitor is there, also while a drain tests that.
#[derive(Debug, Clone, Default)]
pub(super) struct Competition {
    hold: Option<HeldShare>,
    /// When it was on last.
    last: Option<Instant>,
    /// A queue went away by itself, as only that of a buffer-filling flow does (Copa's word): BBR empties it for its own
    /// ProbeRTT.
    is_buffer_filling: bool,
    /// It ended because no queue stood, and no test has shown since that those who held one were our own kind.
    is_vacated: bool,
}

impl Competition {
    pub(super) fn is_on(&self) -> bool {
        self.hold.is_some()
    }

    /// The pace at which packets are to leave one by one, in bytes per second. The queue is full, and takes one or two of a burst:
    /// beside four BBR at 100 Mbit/s and 50 ms 30 % was lost in bursts, and 10 % one by one. Not where losses have cut the share to
    /// less than half: those may be of our own kind, who give way to the losses of bursts sooner. Sixteen of ours at 100 Mbit/s and
    /// 20 ms re-sent 36 % without that, and 6 %. Until the next test: BBR yields after ten round trips of losses, in which a share
    /// that came all at once was halved, and four of them left bursts 7 % of a path, and single packets 29 %.
    pub(super) fn pace(&self, model: &PathModel, window: u64) -> Option<f64> {
        let pace = PACE_GAIN * window as f64 / model.sampler.smoothed_rtt()?.as_secs_f64();
        // What passes between two timers leaves in a burst anyway.
        let bursts = f64::from(BURST_PACKETS) * model.mtu as f64 / TIMER_GRAIN.as_secs_f64();
        self.hold.as_ref().filter(|hold| !hold.was_halved && pace < bursts).map(|_| pace)
    }

    /// How long packets wait for each other that leave one by one, of those for which an acknowledgement is due: no queue of the
    /// path's. At 30 Mbit/s it looked like one after the others had gone. Half a target at most: where each of many flows waits for
    /// longer, they would all take what is not empty for empty: sixteen of ours re-sent 41 % and not less than 20.
    fn held_back(&self, model: &PathModel, window: u64) -> Duration {
        let packets = f64::from(ACK_EVERY) * model.mtu as f64;
        let wait =
            self.pace(model, window).map_or(Duration::ZERO, |pace| Duration::from_secs_f64(packets / pace.max(1.0)));
        wait.min(base_target(model.min_rtt()) / 2)
    }

    /// Whether losses have cut the share.
    pub(super) fn is_cut(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.share < SHARE && !hold.is_opening)
    }

    /// Whether it was on lately. BBR empties the queue itself every ten seconds, and a test that falls on that takes it for our
    /// own kind: when a long queue comes back, it was none.
    pub(super) fn was_on_lately(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < PROBE_RTT_INTERVAL)
    }

    /// Whether those whose queue went away may come back: for its ProbeRTT BBR takes as long as if it had gone for good, and then
    /// pushes us aside, little by little, with a queue that is no longer than ours. At 100 Mbit/s and 20 ms it took four seconds
    /// of ten to see that, and we had 28 % and not 38 to 45.
    pub(super) fn is_expected_back(&self, now: Instant) -> bool {
        self.is_vacated && self.was_on_lately(now)
    }

    /// What arrived in the last round of competitive mode, in bytes per second.
    pub(super) fn last_rate(&self) -> Option<f64> {
        self.hold.as_ref().map(|hold| hold.rate).filter(|&rate| rate > 0.0)
    }

    /// Begins with this window, until the first round has shown how long the round trip is, and then with twice what we get of the
    /// path, as slow start would, or half of the share. The rest is taken when a round was not too much: sixteen of ours that took
    /// each other for strangers lost seven in eight packets of all that each took at once.
    pub(super) fn begin(&mut self, window: u64, capacity: f64, bandwidth: f64) {
        let doubled = bandwidth / (REDUCTION * capacity.max(1.0));
        self.hold = Some(HeldShare {
            share: doubled.clamp(SHARE * REDUCTION, SHARE),
            capacity,
            guess: 0.0,
            window: window as f64,
            rate: 0.0,
            is_opening: true,
            was_halved: false,
            vacancy: Vacancy::default(),
        });
    }

    /// A test has found that the others are still there.
    pub(super) fn on_tested(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.was_halved = false;
        }
    }

    /// Nobody but our own kind holds a queue. When a test has shown that, nobody is expected back; a drain in cruise or after
    /// start-up may have fallen on the moment for which the others stand aside.
    pub(super) fn on_our_kind(&mut self) {
        self.is_vacated &= !self.is_on();
        self.is_buffer_filling = false;
    }

    /// Nobody holds the queue, or the path may be another one. Says whether competitive mode was on.
    pub(super) fn end(&mut self) -> bool {
        self.hold.take().is_some()
    }
}

impl Experiment for Competition {
    /// What ends it without a test.
    type Finding = PhaseEnd;

    /// The shortest round trip has fallen by more than the queue of our own kind, without a drain: what stood there was someone
    /// else's.
    fn is_due(&mut self, model: &PathModel, _: &Moment) -> bool {
        let has_fallen = model.may_be_shared() && model.min_rtt_filter.as_ref().is_some_and(MinRttFilter::has_fallen);
        self.is_buffer_filling |= has_fallen;
        has_fallen
    }

    /// Bandwidth that is there without any queue is the flow's own whoever else is there; chance losses would take it from
    /// a small window.
    fn window(&self, model: &PathModel, _: &Moment) -> f64 {
        self.hold.as_ref().map_or(0.0, |hold| hold.window).max(model.product() * model.headroom())
    }

    fn on_round(&mut self, model: &PathModel, at: &Moment) -> Option<PhaseEnd> {
        let is_queued = model.is_queued_beyond(self.held_back(model, at.window));
        let hold = self.hold.as_mut()?;
        self.last = Some(at.now);
        if at.phase_rounds > SETTLE_ROUNDS {
            hold.rate = model.round.rate;
            // A mark says as much as it says to the queue budget.
            let kept = if model.is_queue_marked() { REDUCTION } else { 1.0 - model.unusual_loss() };
            hold.is_opening &= !model.is_loss_unusual();
            let step = if hold.is_opening {
                hold.share
            } else if self.is_buffer_filling {
                STEP / REDUCTION
            } else {
                STEP
            };
            hold.on_losses(kept, step, model.is_capacity_guessed());
            hold.was_halved |= hold.share < SHARE * REDUCTION;
        }
        hold.capacity = hold.capacity.max(model.capacity());
        hold.window =
            hold.share * hold.capacity.max(hold.guess) * model.samples.mean_rtt().as_secs_f64() * model.headroom();
        let is_vacant = !is_queued && !model.is_without(Mechanism::Vacancy);
        let is_over = hold.vacancy.count(is_vacant, round_trips(model, at.now));
        // Who fills queues leaves none empty for longer than a drain of his.
        self.is_buffer_filling |= is_over;
        self.is_vacated = is_over;
        is_over.then_some(PhaseEnd::PathEmpty)
    }
}

#[cfg(test)]
mod tests;
