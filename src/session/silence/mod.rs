//! When a path, or a peer, has been silent for too long: rules that are told what was counted, look by look.

use std::time::Duration;

use crate::progress::SilenceCause;

/// Round trips without a packet that are no silence: acknowledgements are held back for a part of one, and a lost one is
/// followed by the next.
const ROUND_TRIPS: u32 = 3;
/// How often the watch looks, and a silent path is asked: what was lost flows again that long and a round trip after the
/// path is back.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether a path has just gone silent.
pub(super) const BEAT: Duration = Duration::from_millis(100);
/// Silence after which a path is asked for the first time, on a near path: longer than a peer's disk takes for a step.
const ASKED_AFTER: Duration = Duration::from_millis(400);
/// Silence after which a person is told of it: longer than a path takes to change its way, and shorter than people wait
/// before they wonder.
const TOLD_AFTER: Duration = Duration::from_secs(3);
/// Pieces of streams in a look from which on content flows: more than an end sends although nothing moves, which is a
/// report and what is sent again of it.
const FLOWING_FRAMES: u64 = 4;

/// Longest time without a single byte of a stream from the peer while it is the peer's turn. QUIC's own
/// idle timeout does not see this: keep-alives and acknowledgements go on.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Looks at the path to one at the peer.
const PEER_LOOKS: u32 = 5;
/// Pieces of streams that this end may send between two looks at the peer although nothing moves: its reports on the
/// link, one a second, and as many again that were lost on the way. More is content that the peer takes.
const IDLE_FRAMES_MAX: u64 = 16;

/// Packets and bytes received and sent so far.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct PacketCounts {
    /// Packets.
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Pieces of streams.
    pub(super) frames_received: u64,
    pub(super) frames_sent: u64,
}

/// The result of a look at the path.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathLook {
    /// Nothing has arrived, or nothing has left, for so long that it is to be asked whether it is back.
    pub(crate) is_to_be_asked: bool,
    /// How long nothing has arrived, or could leave, once that is worth a word.
    pub(crate) silence: Option<(Duration, SilenceCause)>,
    /// Content has moved since the last look.
    pub(crate) flows: bool,
    /// Nothing has arrived for so long that the connection may be dead, since it has received this many packets.
    pub(crate) silent_since: Option<u64>,
}

/// A path that has just gone silent. An end that only receives has nothing on its way that would be answered or missed, so
/// that without a question it would not learn for seconds that the server was started again.
#[derive(Debug, Default)]
pub(super) struct NewSilence {
    received: u64,
    lasted: Duration,
}

impl NewSilence {
    /// Takes the number of packets that have come, once every [`BEAT`]; whether the path is to be asked for the first time.
    /// [`PathSilence`] has it asked again.
    pub(super) fn tick(&mut self, received: u64, rtt: Duration) -> bool {
        let heard = std::mem::replace(&mut self.received, received) != received;
        let before = self.lasted;
        self.lasted = if heard { Duration::ZERO } else { before + BEAT };
        let long = ASKED_AFTER.max(rtt * ROUND_TRIPS);
        before < long && self.lasted >= long
    }
}

/// How long nothing has arrived, or nothing has left.
#[derive(Debug, Default)]
pub(super) struct PathSilence {
    before: PacketCounts,
    lasted: Duration,
    unheard: Duration,
    routeless: Duration,
    /// The machine's routes or addresses have changed, and nothing has arrived since.
    has_moved: bool,
    /// Whether anything was received since the last look.
    has_answered: bool,
}

impl PathSilence {
    /// Takes that the machine's routes or addresses have changed, or that it has been asleep: a connection that says
    /// nothing now is given up for dead sooner.
    pub(super) fn on_change(&mut self) {
        self.has_moved = true;
    }

    /// Whether the next packet that comes is to be answered at once: none had come, or none had left, at the last look.
    pub(super) fn awaits_answer(&self) -> bool {
        !self.lasted.is_zero() && !self.has_answered
    }

    /// Takes the number of packets that have come by now; whether one has that is to be answered. Once between two looks.
    pub(super) fn is_heard_again(&mut self, received: u64) -> bool {
        let is_heard = self.awaits_answer() && received != self.before.received;
        self.has_answered |= is_heard;
        is_heard
    }

    /// Takes what was counted, once every [`LOOK_INTERVAL`]. `has_route` is asked where no content flows: this end may hear
    /// the other, whose words find their way, and have none for its own.
    pub(super) fn look(&mut self, now: PacketCounts, rtt: Duration, has_route: impl FnOnce() -> bool) -> PathLook {
        let before = std::mem::replace(&mut self.before, now);
        self.has_answered = false;
        let heard = now.received != before.received;
        self.has_moved &= !heard;
        self.unheard = if heard { Duration::ZERO } else { self.unheard + LOOK_INTERVAL };
        // An end whose window is full of what was lost says nothing either, not even that it has heard the other end.
        let is_silent = !heard || now.sent == before.sent;
        self.lasted = if is_silent { self.lasted + LOOK_INTERVAL } else { Duration::ZERO };
        let patience = rtt * ROUND_TRIPS;
        let moved = (now.frames_received - before.frames_received).max(now.frames_sent - before.frames_sent);
        let flows = heard && moved > FLOWING_FRAMES;
        self.routeless = if flows || has_route() { Duration::ZERO } else { self.routeless + LOOK_INTERVAL };
        let dead_after = if self.has_moved { LOOK_INTERVAL } else { TOLD_AFTER };
        PathLook {
            is_to_be_asked: self.lasted >= LOOK_INTERVAL.max(patience),
            silence: self.told(patience),
            flows,
            silent_since: (self.unheard >= dead_after.max(patience)).then_some(now.received),
        }
    }

    fn told(&self, patience: Duration) -> Option<(Duration, SilenceCause)> {
        let is_long = |silence| silence >= TOLD_AFTER.max(patience);
        if is_long(self.routeless) {
            Some((self.routeless.max(self.unheard), SilenceCause::NoRoute))
        } else {
            is_long(self.unheard).then_some((self.unheard, SilenceCause::NoAnswer))
        }
    }
}

/// Whether the peer has heard from this end of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeardOfUs {
    /// Something, or it is the peer's turn.
    Heard,
    /// Nothing, and it is this end's turn: for as long as a disk takes, it would hear nothing at all.
    Silent,
}

/// How long nothing has happened that the peer has a part in.
#[derive(Debug, Default)]
pub(super) struct PeerSilence {
    looks: u32,
    before: PacketCounts,
    lasted: Duration,
}

impl PeerSilence {
    /// Takes what was counted, once every [`LOOK_INTERVAL`]; `None` when the peer has been silent for too long.
    pub(super) fn look(&mut self, now: PacketCounts, is_ours: bool) -> Option<HeardOfUs> {
        self.looks = (self.looks + 1) % PEER_LOOKS;
        if self.looks != 1 {
            return Some(HeardOfUs::Heard);
        }
        let before = std::mem::replace(&mut self.before, now);
        // Small files are not reported on while they flow: on a slow link minutes pass before the first is
        // done. A peer that takes nothing stops us within its window.
        let flows = now.frames_sent - before.frames_sent > IDLE_FRAMES_MAX;
        let heard = now.frames_received != before.frames_received;
        // Its first word is on its way where there was none yet.
        let spoke = now.frames_sent == 0 || now.frames_sent != before.frames_sent;
        let is_well = heard || flows || is_ours;
        self.lasted = if is_well { Duration::ZERO } else { self.lasted + LOOK_INTERVAL * PEER_LOOKS };
        let own = if is_ours && !spoke { HeardOfUs::Silent } else { HeardOfUs::Heard };
        (self.lasted < SILENCE_MAX).then_some(own)
    }
}

#[cfg(test)]
mod tests;
