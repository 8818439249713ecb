//! The bottleneck of a transfer, decided from measurements.

use std::time::Duration;

use super::link::LinkView;
use super::rate_limit::{OF_LIMIT, RateLimit};
use crate::cli::text::verb::Verb;
use crate::progress::Counters;

/// Below these nothing can be told: the start of a connection says little of what it would do.
const SPAN_MIN: Duration = Duration::from_secs(1);
const BYTES_MIN: u64 = 1 << 20;
/// Of the periods in which content moved, the part that reached the limit where that is what holds back.
const OF_PERIODS: f64 = 0.5;
/// The seconds in which content moved are counted, so that parts of one are missing at the start and at the end.
const FLOWING_UNCOUNTED: Duration = Duration::from_secs(1);
/// The share of a processor that counts as all of it.
const OF_PROCESSOR: f64 = 0.9;
/// Of what was acknowledged, the part that was sent into a full window where the link is what holds back.
const OF_WINDOW: f64 = 0.5;
/// Of a window and a round trip, the part that arrives where the link is full: our controller's window has room for
/// losses and for late acknowledgements beside what is under way.
const OF_WINDOW_RATE: f64 = 0.5;
/// Of what came, the part that found the disk behind where that is what holds back.
const OF_TAKEN: f64 = 0.5;
/// Of the whole time, the least that files have waited for what is said to hold them back.
const OF_TIME: f64 = 0.3;

/// The bottleneck of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limited {
    /// The path carried no more.
    Link,
    /// The user's own limit.
    RateLimit,
    OwnDisk,
    OwnProcessor,
    /// The disk of the other end: it gave no more, or what it has not written fills its memory.
    OtherDisk,
    /// The processor of the other end.
    OtherProcessor,
    /// The other end gave no more. Which part of it was slow it does not say.
    OtherEnd,
}

impl Limited {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Link => "link full",
            Self::RateLimit => "--bwlimit",
            Self::OwnDisk => "disk here",
            Self::OwnProcessor => "processor here",
            Self::OtherDisk => "disk of the other end",
            Self::OtherProcessor => "processor of the other end",
            Self::OtherEnd => "the other end",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::RateLimit => "bwlimit",
            Self::OwnDisk => "disk",
            Self::OwnProcessor => "processor",
            Self::OtherDisk => "other_disk",
            Self::OtherProcessor => "other_processor",
            Self::OtherEnd => "other_end",
        }
    }
}

/// The measurements of a transfer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Measured {
    /// From its start to its end.
    pub(crate) elapsed: Duration,
    /// Content bytes that crossed the wire, and the seconds in which some did.
    pub(crate) bytes: u64,
    pub(crate) flowing: Duration,
    /// The user's limit, in bytes a second, and of the seconds in which content moved, the part that reached it, 0 to 1.
    pub(crate) rate_limit: Option<f64>,
    pub(crate) at_rate_limit: f64,
    /// Of one processor, the part that the busiest thread used, or of all of them the process, 0 to 1.
    pub(crate) processor: f64,
    /// The sender's: bytes that were acknowledged, and those of them that were sent while there was nothing more to send.
    /// Getting, 0 where the other end does not tell.
    pub(crate) acked: u64,
    pub(crate) acked_idle: u64,
    /// The sender's: how long files waited for its disk, and until the connection took more of them, all together.
    pub(crate) read_wait: Duration,
    pub(crate) write_wait: Duration,
    /// The sender's: the part of one processor that was at work for it, 0 to 1.
    pub(crate) sender_processor: f64,
    /// Getting: bytes that came, and those of them that found much waiting for the disk.
    pub(crate) taken: u64,
    pub(crate) taken_behind: u64,
}

impl Measured {
    /// The measurements by the counters; empty where there are none yet.
    pub(crate) fn of(counters: Option<&Counters>, elapsed: Duration, limit: &RateLimit) -> Self {
        let Some(counters) = counters else { return Self { elapsed, ..Self::default() } };
        let read = Counters::read;
        let micros = |counter| Duration::from_micros(read(counter));
        Self {
            elapsed,
            bytes: read(&counters.bytes_written),
            flowing: Duration::from_secs(read(&counters.flows)),
            rate_limit: limit.bytes_per_second(),
            at_rate_limit: limit.reached(),
            processor: read(&counters.processor_permille) as f64 / 1000.0,
            acked: read(&counters.acked),
            acked_idle: read(&counters.acked_idle),
            read_wait: micros(&counters.read_wait_us),
            write_wait: micros(&counters.write_wait_us),
            sender_processor: part(read(&counters.sender_processor_us), read(&counters.sender_us)),
            taken: read(&counters.taken),
            taken_behind: read(&counters.taken_behind),
        }
    }

    /// The bottleneck of the transfer; `None` where it cannot be told.
    pub(crate) fn decide(&self, verb: Verb, link: &LinkView) -> Option<Limited> {
        if self.elapsed < SPAN_MIN || self.bytes < BYTES_MIN {
            return None;
        }
        if self.is_at_rate_limit() {
            return Some(Limited::RateLimit);
        }
        if self.processor >= OF_PROCESSOR {
            return Some(Limited::OwnProcessor);
        }
        match verb {
            Verb::Send => self.by_sender(Limited::OwnDisk, Limited::OtherDisk),
            Verb::Get if part(self.taken_behind, self.taken) >= OF_TAKEN => Some(Limited::OwnDisk),
            Verb::Get if self.sender_processor >= OF_PROCESSOR => Some(Limited::OtherProcessor),
            Verb::Get => self.by_sender(Limited::OtherDisk, Limited::OwnDisk).or_else(|| self.by_receiver(link)),
        }
    }

    /// Whether the user's limit is what held the transfer back: by its mean while content moved, or by most of the seconds.
    ///
    /// What was written is told in pieces of up to a chunk, of several files at once. So a second that a piece is told in may
    /// have too much of it, and those without one too little; no more than the mean allows reached the limit.
    fn is_at_rate_limit(&self) -> bool {
        let Some(limit) = self.rate_limit else { return false };
        let flowing = (self.flowing + FLOWING_UNCOUNTED).min(self.elapsed);
        let reached = self.bytes as f64 / flowing.as_secs_f64() / limit;
        reached >= OF_LIMIT || (self.at_rate_limit >= OF_PERIODS && reached >= OF_PERIODS * OF_LIMIT)
    }

    /// The judgement by the sender's measurements. `source` and `destination` are the disks of both ends.
    fn by_sender(&self, source: Limited, destination: Limited) -> Option<Limited> {
        if self.full() >= OF_WINDOW {
            return Some(Limited::Link);
        }
        let (longest, what) = match self.read_wait > self.write_wait {
            true => (self.read_wait, source),
            // The window was open, and the connection took no more: the receiver had not allowed it.
            false => (self.write_wait, destination),
        };
        (longest.as_secs_f64() >= OF_TIME * self.elapsed.as_secs_f64()).then_some(what)
    }

    /// Of what was acknowledged, the part that was sent into a full window.
    pub(super) fn full(&self) -> f64 {
        part(self.acked.saturating_sub(self.acked_idle), self.acked)
    }

    /// The judgement without a word of the sender, or where its word explains nothing.
    fn by_receiver(&self, link: &LinkView) -> Option<Limited> {
        let rtt = link.rtt.filter(|_| link.window > 0)?.as_secs_f64();
        // A second in which nothing came says nothing of the sender: this end was making durable what it had.
        let flowing = self.flowing.min(self.elapsed);
        if flowing.as_secs_f64() < OF_TIME * self.elapsed.as_secs_f64() {
            return None;
        }
        let rate = self.bytes as f64 / flowing.as_secs_f64();
        let is_full = self.acked == 0 && rate * rtt >= OF_WINDOW_RATE * link.window as f64;
        Some(if is_full { Limited::Link } else { Limited::OtherEnd })
    }
}

pub(super) fn part(of: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { of as f64 / all as f64 }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Ten seconds at ten million bytes each.
    pub(in super::super) fn measured() -> Measured {
        Measured {
            elapsed: 10 * SECOND,
            flowing: 10 * SECOND,
            bytes: 100_000_000,
            processor: 0.3,
            ..Measured::default()
        }
    }

    pub(in super::super) fn link() -> LinkView {
        LinkView {
            rtt: Some(Duration::from_millis(100)),
            window: 1_500_000,
            sent: 1000,
            lost: 4,
            ..LinkView::default()
        }
    }

    #[test]
    fn what_held_a_sender_back_follows_from_where_it_waited() {
        let sent = Measured { acked: 100, acked_idle: 90, ..measured() };
        let at_limit = |limit, reached| Measured { rate_limit: Some(limit), at_rate_limit: reached, ..sent };
        for (what, measured, limited) in [
            ("a full window", Measured { acked_idle: 20, write_wait: 9 * SECOND, ..sent }, Some(Limited::Link)),
            ("flow control", Measured { write_wait: 60 * SECOND, read_wait: SECOND, ..sent }, Some(Limited::OtherDisk)),
            ("its own disk", Measured { read_wait: 9 * SECOND, write_wait: SECOND, ..sent }, Some(Limited::OwnDisk)),
            ("its own limit", Measured { acked_idle: 0, ..at_limit(10e6, 0.8) }, Some(Limited::RateLimit)),
            ("a limit that is far away", Measured { acked_idle: 0, ..at_limit(100e6, 0.0) }, Some(Limited::Link)),
            ("its processor", Measured { processor: 0.97, acked_idle: 0, ..sent }, Some(Limited::OwnProcessor)),
            ("nothing that is known", sent, None),
            ("too short", Measured { elapsed: SECOND / 2, acked_idle: 0, ..sent }, None),
            ("too little", Measured { bytes: 1000, acked_idle: 0, ..sent }, None),
        ] {
            assert_eq!(measured.decide(Verb::Send, &link()), limited, "{what}");
        }
    }

    #[test]
    fn a_rate_limit_holds_back_what_reaches_it_while_content_moves_however_pieces_fall_into_seconds() {
        // 500 KB/s; pieces of a MiB are told every two seconds.
        let slow = Measured { rate_limit: Some(500e3), bytes: 5_000_000, acked: 100, ..measured() };
        for (what, measured, is_limited) in [
            ("pieces that leave few seconds full", Measured { at_rate_limit: 0.4, ..slow }, true),
            ("none of which fills one", slow, true),
            ("a wait before the first byte", Measured { elapsed: 60 * SECOND, ..slow }, true),
            (
                "a start and an end in parts of a second",
                Measured { flowing: 9 * SECOND, bytes: 4_700_000, ..slow },
                true,
            ),
            ("half of the time", Measured { bytes: 2_500_000, at_rate_limit: 0.5, ..slow }, true),
            ("half of the limit", Measured { bytes: 2_500_000, ..slow }, false),
            ("pieces of many files together", Measured { bytes: 1_100_000, at_rate_limit: 1.0, ..slow }, false),
            ("no limit", Measured { rate_limit: None, ..slow }, false),
        ] {
            let limited = if is_limited { Limited::RateLimit } else { Limited::Link };
            assert_eq!(measured.decide(Verb::Send, &link()), Some(limited), "{what}");
        }
    }

    #[test]
    fn what_held_a_receiver_back_follows_from_its_disk_and_from_the_senders_window() {
        let got = Measured { taken: 100, taken_behind: 5, ..measured() };
        let wide = LinkView { window: 30_000_000, ..link() };
        let told = Measured { acked: 100, ..got };
        let idle = Measured { acked_idle: 90, ..told };
        for (what, measured, link, limited) in [
            ("its disk", Measured { taken_behind: 80, ..got }, link(), Some(Limited::OwnDisk)),
            ("the link", got, link(), Some(Limited::Link)),
            ("a window that is not used", got, wide, Some(Limited::OtherEnd)),
            (
                "its limit",
                Measured { rate_limit: Some(10e6), at_rate_limit: 0.9, ..got },
                wide,
                Some(Limited::RateLimit),
            ),
            ("its own end, long after", Measured { elapsed: 60 * SECOND, ..got }, wide, None),
            ("a sender that says nothing", got, LinkView::default(), None),
            ("a full window", told, wide, Some(Limited::Link)),
            ("the sender's disk", Measured { read_wait: 9 * SECOND, ..idle }, wide, Some(Limited::OtherDisk)),
            ("our own flow control", Measured { write_wait: 9 * SECOND, ..idle }, wide, Some(Limited::OwnDisk)),
            (
                "the sender's processor",
                Measured { sender_processor: 0.95, ..told },
                wide,
                Some(Limited::OtherProcessor),
            ),
            ("our disk first", Measured { taken_behind: 80, ..told }, wide, Some(Limited::OwnDisk)),
            ("a window that the sender did not fill", idle, link(), Some(Limited::OtherEnd)),
        ] {
            assert_eq!(measured.decide(Verb::Get, &link), limited, "{what}");
        }
    }
}
