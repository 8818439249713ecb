//! When a path, or a peer, has been silent for too long: rules that are told what was counted, look by look.

use std::time::Duration;

use super::watch::LOOK_INTERVAL;
use crate::progress::SilenceCause;

/// Round trips without a packet that are no silence: acknowledgements are held back for a part of one, and a lost one is
/// followed by the next.
const ROUND_TRIPS: u32 = 3;
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
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(100);

    fn packets(received: u64, sent: u64) -> PacketCounts {
        PacketCounts { received, sent, ..PacketCounts::default() }
    }

    #[test]
    fn a_path_is_asked_after_a_second_and_three_round_trips_without_a_packet() {
        let mut silence = PathSilence::default();
        let mut asks = |received, sent, rtt| silence.look(packets(received, sent), rtt, || true).is_to_be_asked;
        assert!(!asks(7, 1, NEAR));
        assert!(asks(7, 2, NEAR) && asks(7, 3, NEAR), "it is asked again and again");
        assert!(!asks(8, 4, NEAR));
        let far = Duration::from_millis(900);
        let looks: Vec<_> = (5..9).map(|sent| asks(8, sent, far)).collect();
        assert_eq!(looks, [false, false, true, true]);
    }

    #[test]
    fn a_path_that_has_just_gone_silent_is_asked_once_and_again_at_its_next_silence() {
        for (rtt, beats) in [(Duration::from_millis(1), 4), (NEAR, 4), (2 * NEAR, 6)] {
            let mut silence = NewSilence::default();
            silence.tick(7, rtt);
            for received in [7, 8] {
                let asked: Vec<_> = (1..40).filter(|_| silence.tick(received, rtt)).collect();
                assert_eq!(asked.len(), 1, "{rtt:?}");
            }
            silence.tick(9, rtt);
            assert_eq!((1..40).find(|_| silence.tick(9, rtt)), Some(beats), "{rtt:?}");
        }
    }

    #[test]
    fn what_comes_over_a_silent_path_is_answered_once_between_two_looks() {
        let mut silence = PathSilence::default();
        silence.look(packets(7, 1), NEAR, || true);
        assert!(!silence.is_heard_again(8), "the path is not silent");
        silence.look(packets(8, 1), NEAR, || true);
        let heard: Vec<_> = [8, 9, 10].map(|received| silence.is_heard_again(received)).into();
        assert_eq!(heard, [false, true, false], "nothing had left");
        silence.look(packets(10, 2), NEAR, || true);
        assert!(!silence.is_heard_again(11), "all is well again");
        silence.look(packets(11, 3), NEAR, || true);
        silence.look(packets(11, 4), NEAR, || true);
        assert!(!silence.is_heard_again(11) && silence.is_heard_again(12), "nothing had come");
    }

    #[test]
    fn an_end_that_says_nothing_although_it_hears_the_other_asks_too_and_nobody_is_told() {
        let mut silence = PathSilence::default();
        let looks: Vec<_> = (1..9).map(|received| silence.look(packets(received, 1), NEAR, || true)).collect();
        assert_eq!(looks.iter().filter(|look| look.is_to_be_asked).count(), 7);
        assert!(looks.iter().all(|look| look.silence.is_none()));
    }

    #[test]
    fn people_are_told_after_three_seconds_without_a_packet_and_on_a_far_path_after_three_round_trips() {
        for (rtt, first) in [(NEAR, 3), (Duration::from_millis(900), 3), (Duration::from_millis(1500), 5)] {
            let mut silence = PathSilence::default();
            silence.look(packets(1, 0), rtt, || true);
            let looks: Vec<_> = (1..8).map(|sent| silence.look(packets(1, sent), rtt, || true).silence).collect();
            let told = looks.iter().position(Option::is_some).map(|at| at + 1);
            assert_eq!(told, Some(first), "{rtt:?}");
            assert_eq!(looks[6], Some((Duration::from_secs(7), SilenceCause::NoAnswer)));
            assert_eq!(silence.look(packets(2, 9), rtt, || true).silence, None);
        }
    }

    #[test]
    fn a_connection_may_be_dead_after_three_seconds_and_after_one_where_the_way_has_changed() {
        for (has_moved, rtt, first) in
            [(false, NEAR, 3), (true, NEAR, 1), (true, Duration::from_millis(900), 3), (false, 2 * TOLD_AFTER, 18)]
        {
            let mut silence = PathSilence::default();
            silence.look(packets(7, 0), rtt, || true);
            if has_moved {
                silence.on_change();
            }
            let looks: Vec<_> = (1..20).map(|sent| silence.look(packets(7, sent), rtt, || true).silent_since).collect();
            let dead = looks.iter().position(Option::is_some).map(|at| at + 1);
            assert_eq!((dead, looks[18]), (Some(first), Some(7)), "{has_moved} {rtt:?}");
            assert_eq!(silence.look(packets(8, 20), rtt, || true).silent_since, None);
            assert_eq!(silence.look(packets(8, 21), rtt, || true).silent_since.is_some(), first == 1 && !has_moved);
        }
    }

    #[test]
    fn who_has_no_route_is_told_so_whether_the_other_end_is_heard_or_not() {
        for is_heard in [true, false] {
            let mut silence = PathSilence::default();
            silence.look(packets(1, 0), NEAR, || true);
            let mut look = |n: u64, route| {
                let received = if is_heard { 1 + n } else { 1 };
                silence.look(packets(received, n), NEAR, || route).silence
            };
            let looks: Vec<_> = (1..5).map(|n| look(n, false)).collect();
            let told = |seconds| Some((Duration::from_secs(seconds), SilenceCause::NoRoute));
            assert_eq!(looks, [None, None, told(3), told(4)]);
            let after = look(5, true).map(|(_, cause)| cause);
            assert_eq!(after, (!is_heard).then_some(SilenceCause::NoAnswer));
        }
    }

    #[test]
    fn content_flows_where_more_moves_than_reports_and_something_is_heard() {
        let frames =
            |received, frames_received, frames_sent| PacketCounts { received, sent: 1, frames_received, frames_sent };
        for (now, flows) in [
            (frames(1, 0, 100), true),
            (frames(1, 100, 0), true),
            (frames(1, 2, FLOWING_FRAMES), false),
            (frames(0, 0, 100), false),
        ] {
            assert_eq!(PathSilence::default().look(now, NEAR, || true).flows, flows, "{now:?}");
        }
    }

    /// Seconds that a silent peer survives.
    const PATIENT: u64 = SILENCE_MAX.as_secs() - PEER_LOOKS as u64;

    fn frames(frames_received: u64, frames_sent: u64) -> PacketCounts {
        PacketCounts { frames_received, frames_sent, ..PacketCounts::default() }
    }

    /// Whether a watch ends that sees these figures after 1, 2, 3 … seconds for twice as long as it waits.
    fn ends(received: impl Fn(u64) -> u64, sent: impl Fn(u64) -> u64, is_ours: impl Fn(u64) -> bool) -> bool {
        let mut silence = PeerSilence::default();
        (1..2 * PATIENT).any(|second| silence.look(frames(received(second), sent(second)), is_ours(second)).is_none())
    }

    #[test]
    fn a_peer_that_owes_something_and_says_nothing_is_given_up() {
        const A_SECOND: u64 = IDLE_FRAMES_MAX / PEER_LOOKS as u64;
        assert!(ends(|_| 0, |_| 0, |_| false));
        assert!(ends(|_| 7, |second| second * A_SECOND, |_| false), "our own reports are no sign of it");
    }

    #[test]
    fn a_peer_that_speaks_takes_content_or_waits_for_us_is_not() {
        assert!(!ends(|second| second / (PATIENT - 5), |_| 0, |_| false));
        assert!(!ends(|_| 0, |second| second * (IDLE_FRAMES_MAX + 1), |_| false));
        assert!(!ends(|_| 0, |_| 0, |second| second % PATIENT < PEER_LOOKS.into()));
    }

    #[test]
    fn silence_counts_from_the_last_sign() {
        let mut silence = PeerSilence::default();
        let mut lasts =
            |received, seconds: u64| (0..seconds).all(|_| silence.look(frames(received, 0), false).is_some());
        assert!(lasts(0, PATIENT));
        assert!(lasts(1, PATIENT));
        assert!(!lasts(1, 2 * u64::from(PEER_LOOKS)));
    }

    #[test]
    fn who_is_busy_for_long_is_to_say_so() {
        let mut silence = PeerSilence::default();
        let mut look = |sent, is_ours| {
            let looks: Vec<_> = (0..PEER_LOOKS).map(|_| silence.look(frames(0, sent), is_ours)).collect();
            assert!(looks[1..].iter().all(|own| *own == Some(HeardOfUs::Heard)), "one look in five");
            looks[0]
        };
        assert_eq!(look(0, true), Some(HeardOfUs::Heard), "it has only begun");
        assert_eq!(look(5, true), Some(HeardOfUs::Heard), "it has just said something");
        assert_eq!(look(5, true), Some(HeardOfUs::Silent));
        assert_eq!(look(6, true), Some(HeardOfUs::Heard));
        assert_eq!(look(6, false), Some(HeardOfUs::Heard), "it waits for the peer");
    }
}
