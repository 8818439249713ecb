//! Round trips without a queue: the bare one, which a drain shows until a longer or a shorter one is shown, and what jitter
//! adds to it.
//!
//! A queue grows or is emptied, over many packets; jitter turns back at once. So what counts is how much of each step from
//! one group of round trips to the next is taken back by the step after it. On a clean link that is next to nothing. The
//! model asks only where the spacing of ACKs within batches disagrees, too, as it never does on a clean link.

use std::time::{Duration, Instant};

use super::round::{GROUP_ACKS, MEMORY_ROUNDS, MEMORY_SAMPLES, NOISE, PROOF, QUARTER, base_target, ours_max};
use crate::transport::limits::ACK_EVERY;

/// BBR's time between two looks at a path that is known.
pub(crate) const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(10);
/// On a longer path a round trip is much of a short transfer, and on a shorter one the queue of a moment's overshoot lasts for
/// many.
pub(crate) const LONG_RTT: Duration = Duration::from_millis(50);
/// A longer round trip that drains have shown.
#[derive(Debug, Clone, Copy)]
struct Raised {
    value: Duration,
    /// Drains in a row; one that saw no queue counts as all but one of those that prove it.
    drains: u32,
}

/// What a standing queue did when we withdrew a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueResponse {
    /// Much more of it has gone: others have stood aside as well.
    Joint,
    /// As much of it has gone: nobody else has stood aside, and more of it stands.
    Alone,
    /// Nothing of it has gone: none stands, and the round trip is the path's own.
    Absent,
    /// Less of it has gone, because there was no more or because others took the place, or nothing could be seen.
    Unclear,
}

/// The sample of a drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// The round trip that stood.
    pub(crate) standing: Duration,
    /// The queue we aim at.
    pub(crate) target: Duration,
    /// What may look like a queue.
    pub(crate) jitter: Duration,
    /// The bare round trip that was believed before it.
    pub(crate) believed: Duration,
    pub(crate) response: QueueResponse,
    /// We get only a part of what the path carries.
    pub(crate) is_shared: bool,
    /// It has tested competitive mode.
    pub(crate) is_contested: bool,
}

impl Drained {
    /// Whether others hold a queue who are not our kind, which would have stood aside with us: as much has gone as we have
    /// withdrawn, and the round trip that is left is another one than the path has shown before. `is_empty`: it is no longer
    /// than the path's.
    fn is_foreign(&self, is_empty: bool) -> bool {
        let is_new = self.standing.abs_diff(self.believed) >= base_target(self.believed) / 4;
        match self.response {
            QueueResponse::Joint => false,
            QueueResponse::Alone => is_new,
            QueueResponse::Absent | QueueResponse::Unclear => !is_empty,
        }
    }
}

/// The finding of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrainFinding {
    /// The bare path, or no more queue than our own kind holds.
    Quiet,
    /// A queue that is not ours.
    Foreign,
    /// A queue that is all ours, on a path that has become slower.
    Slower,
    /// The longer round trip is no competitor's queue but the path itself, which has become longer.
    Longer,
}

/// The bare round trip and when it was last seen.
#[derive(Debug, Clone)]
pub(crate) struct MinRttFilter {
    value: Duration,
    /// When the value was last seen in a round.
    seen: Instant,
    /// The shortest sample of all.
    least: Duration,
    /// A drain has shown it; before that it is the shortest sample.
    drained: bool,
    /// Only the drain after start-up has, which is gentle on long paths, or the last drain has made it shorter: a queue of others
    /// may have stood all the time, and stand still.
    guessed: bool,
    raised: Option<Raised>,
    /// How much shorter the last rounds in a row have made it, without a drain: a queue that goes for BBR's ProbeRTT takes some of
    /// them, and counted one by one they were too little on a path of 200 ms with a queue of 100, of which we had 9 %.
    fell: Duration,
}

impl MinRttFilter {
    pub(crate) fn new(now: Instant, rtt: Duration) -> Self {
        Self { value: rtt, seen: now, least: rtt, drained: false, guessed: false, raised: None, fell: Duration::ZERO }
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.value
    }

    /// The shortest ever seen: a later value may have the queue of others in it.
    pub(crate) fn least(&self) -> Duration {
        self.least
    }

    /// When it was last seen without a drain.
    pub(crate) fn seen(&self) -> Instant {
        self.seen
    }

    /// Whether the last rounds have shown that a queue stood which is not our kind's.
    pub(crate) fn has_fallen(&self) -> bool {
        self.fell > ours_max(self.value)
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drained
    }

    /// Whether a second look would tell more.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.guessed || self.raised.is_some()
    }

    /// Before the first drain, the shortest sample is the best guess.
    pub(crate) fn on_sample(&mut self, rtt: Duration) {
        self.least = self.least.min(rtt);
        if !self.drained && rtt <= self.value {
            self.value = rtt;
        }
    }

    /// After it, whole rounds are compared, not the luckiest packet: under jitter that one is far below what any window
    /// could give. Nor are rounds shorter than `jitter` makes them believed, for the same reason.
    pub(crate) fn on_round(&mut self, now: Instant, standing: Duration, jitter: Duration) {
        let round_trip = standing + jitter;
        let fallen = self.value.saturating_sub(round_trip);
        self.fell = if self.drained && !fallen.is_zero() { self.fell + fallen } else { Duration::ZERO };
        if self.drained && round_trip <= self.value {
            (self.value, self.seen) = (round_trip, now);
        }
    }

    /// A probe was delivered at this round trip: what stands there is no queue. Packets in a row do not overtake each other,
    /// so jitter makes round trips longer the faster they follow each other, and what a slow beginning has shown is too short.
    pub(crate) fn on_delivered(&mut self, standing: Duration) {
        self.value = self.value.max(standing);
    }

    /// Ends a drain.
    pub(crate) fn on_drained(&mut self, drained: &Drained) -> DrainFinding {
        let Drained { standing, target, jitter, .. } = *drained;
        self.fell = Duration::ZERO;
        if drained.is_contested {
            return self.on_tested(drained);
        }
        let is_shorter = self.drained && standing + target / 2 < drained.believed;
        let queue = standing.saturating_sub(self.value + jitter);
        let is_empty = !self.drained || queue <= target / 2;
        if !is_empty && (drained.response == QueueResponse::Absent || self.is_raised(drained)) {
            return self.lengthen(standing);
        }
        if !is_empty && queue > base_target(self.value) {
            return if drained.is_shared { DrainFinding::Foreign } else { DrainFinding::Slower };
        }
        if self.drained && drained.is_shared && drained.is_foreign(is_empty) {
            return DrainFinding::Foreign;
        }
        // A little more than before is another flow of ours: not the bare path, yet nothing to fight.
        if is_empty {
            (self.value, self.raised) = (standing, None);
        }
        self.guessed = !self.drained || is_shorter;
        self.drained = true;
        DrainFinding::Quiet
    }

    /// Ends a test of competitive mode, which leaves a part of the queue: the others are our own kind if they have stood aside. Who
    /// fills queues may take what we withdraw, so two tests in a row have to see that there is no queue: in 255 cells beside others,
    /// in none of which the path became longer, 36 saw none.
    fn on_tested(&mut self, drained: &Drained) -> DrainFinding {
        if drained.response != QueueResponse::Absent {
            self.raised = None;
        } else if self.is_raised(drained) {
            return self.lengthen(drained.standing);
        }
        self.value = self.value.min(drained.standing);
        if drained.response == QueueResponse::Joint { DrainFinding::Quiet } else { DrainFinding::Foreign }
    }

    /// What stands is the path itself.
    fn lengthen(&mut self, standing: Duration) -> DrainFinding {
        (self.value, self.raised) = (standing, None);
        DrainFinding::Longer
    }

    /// Whether several drains in a row ended at this round trip: a path's is steady, a competitor's queue is not. Of the tests of
    /// competitive mode only those that saw no queue count, since a competitor that is bound by its window holds the same queue for
    /// long.
    fn is_raised(&mut self, drained: &Drained) -> bool {
        let same = |raised: &Raised| drained.standing.abs_diff(raised.value) <= NOISE;
        let before = self.raised.filter(same).map_or(0, |raised| raised.drains);
        let drains = before + if drained.response == QueueResponse::Absent { PROOF - 1 } else { 1 };
        self.raised = Some(Raised { value: drained.standing, drains });
        drains >= PROOF
    }
}

/// Turns of this part of the target are left to chance: late timers of busy machines make half as much.
const LEAST_SHARE: f64 = 0.12;
/// So are turns of so many packets of the slowest link: bursts, and losses between them, make up to that much. Without both, the
/// packets of others were jitter, and twice as many paths were not full again when the others had gone.
const LEAST_PACKETS: u32 = 3;
/// Jitter over turns: the shortest of a group's round trips varies by less than a single one. Six re-sent 6 % at 10 Mbit/s
/// with a queue of 50 ms; three left more of fast paths unused.
const GAIN: u32 = 4;
/// At most this part of the bare round trip is believed. On the shortest paths nearly all that varies is the machines'
/// own doing, and room for it would only overflow their buffers.
const SHARE_MAX: f64 = 0.5;

/// Gathers round trips in groups, much as a round does, but across rounds.
#[derive(Debug, Clone)]
pub(crate) struct JitterFilter {
    acks: u32,
    /// Bytes delivered when the group began.
    began: u64,
    group_min: Duration,
    last: Option<Duration>,
    /// Whether the last step went up, and how far it went.
    step: (bool, Duration),
    /// How much of each step the next one took back, as a ring.
    turns: [Duration; MEMORY_SAMPLES],
    count: usize,
    /// The turn that stands for all, once enough are known.
    turn: Duration,
}

impl JitterFilter {
    pub(crate) fn new() -> Self {
        Self {
            acks: 0,
            began: 0,
            group_min: Duration::MAX,
            last: None,
            step: (false, Duration::ZERO),
            turns: [Duration::ZERO; MEMORY_SAMPLES],
            count: 0,
            turn: Duration::ZERO,
        }
    }

    /// Takes a round trip, when so many bytes had been `delivered` in all. A group has as many packets as its ACKs stand for:
    /// some bursts of the sender, within which round trips differ by the length of the burst.
    pub(crate) fn on_rtt(&mut self, rtt: Duration, delivered: u64, mtu: u64) {
        self.group_min = self.group_min.min(rtt);
        self.acks += 1;
        if self.acks >= GROUP_ACKS && delivered >= self.began + u64::from(GROUP_ACKS * ACK_EVERY) * mtu {
            let group = std::mem::replace(&mut self.group_min, Duration::MAX);
            (self.acks, self.began) = (0, delivered);
            self.on_group(group);
        }
    }

    fn on_group(&mut self, group: Duration) {
        let Some(last) = self.last.replace(group) else { return };
        let (rose, size) = (group > last, group.abs_diff(last));
        let (before_rose, before) = std::mem::replace(&mut self.step, (rose, size));
        self.turns[self.count % MEMORY_SAMPLES] = if rose == before_rose { Duration::ZERO } else { size.min(before) };
        self.count += 1;
        if self.count >= MEMORY_ROUNDS as usize {
            self.turn = self.typical();
        }
    }

    /// The least turn of the upper quarter. Steps that go on in one direction do not turn, so the median would be near zero even
    /// where nothing but jitter is at work.
    fn typical(&self) -> Duration {
        let mut sorted = self.turns;
        let known = &mut sorted[..self.count.min(MEMORY_SAMPLES)];
        known.sort_unstable();
        known[known.len() - known.len().div_ceil(QUARTER)]
    }

    /// What jitter may add to the bare round trip `min_rtt`; zero on a clean link. `packet`: the time that one takes on the
    /// slowest link.
    pub(crate) fn jitter(&self, min_rtt: Duration, packet: Duration) -> Duration {
        let least = base_target(min_rtt).mul_f64(LEAST_SHARE).max(packet * LEAST_PACKETS);
        (self.turn.saturating_sub(least) * GAIN).min(min_rtt.mul_f64(SHARE_MAX))
    }
}

/// The round trip without the time that an acknowledgement was held back. A flow of few packets waits for the timer of most of
/// them, and would yield to that as to a queue.
///
/// quinn shows a controller the smoothed round trip alone: an eighth of the newest sample, which has that time taken off it (RFC
/// 9002, section 5.3), and seven eighths of the value before.
#[derive(Debug, Clone, Default)]
pub(crate) struct UndelayedRtt {
    smoothed: Option<Duration>,
    /// The last sample, with the delay in it, until the smoothed value has taken it.
    raw: Option<Duration>,
    last: Option<Duration>,
}

impl UndelayedRtt {
    /// The round trip as quinn smooths it, once it has.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Takes the smoothed round trip as it is after the last sample, and the shortest of all.
    pub(crate) fn on_smoothed(&mut self, smoothed: Duration, min: Duration) {
        let Some(before) = self.smoothed.replace(smoothed) else { return };
        let Some(raw) = self.raw.take() else { return };
        let sample = (smoothed * 8).saturating_sub(before * 7);
        // Anything else is not the same estimator any more, or its first sample.
        let is_plausible = sample + NOISE >= min;
        self.last = Some(if is_plausible { sample.clamp(min.min(raw), raw) } else { raw });
    }

    /// Takes a sample. Gives the one before it, without its delay.
    pub(crate) fn on_sample(&mut self, raw: Duration) -> Duration {
        self.raw = Some(raw);
        self.last.unwrap_or(raw)
    }
}

#[cfg(test)]
mod tests;
