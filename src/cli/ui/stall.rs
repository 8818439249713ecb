//! A job of which nothing moves: since when, why, and what is said of it.

use std::time::Duration;

use super::rate::eta;
use crate::cli::text::size;

/// A time in which nothing has moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stall {
    pub(crate) lasted: Duration,
    /// As far as it is known.
    pub(crate) cause: StallCause,
}

/// The speed, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// Nothing was measured yet.
    Unknown,
    /// Bytes per second that crossed the wire.
    Moving(f64),
    /// Nothing has moved for a while.
    Stalled(Stall),
    /// No connection any more, or (`is_first`) none yet: the attempt, and the time until it.
    Reconnecting {
        /// Counts from 1.
        attempt: u32,
        wait: Duration,
        /// None has stood yet.
        is_first: bool,
    },
    /// No connection, for there is no place; the time until the server is asked again.
    Waiting(Duration),
}

impl Speed {
    /// Whether nothing moves, for a reason that is known.
    pub(crate) fn is_still(self) -> bool {
        match self {
            Self::Stalled(_) | Self::Reconnecting { .. } | Self::Waiting(_) => true,
            Self::Unknown | Self::Moving(_) => false,
        }
    }

    /// Time left for `remaining` bytes: while nothing moves there is none, however fast it went before.
    pub(crate) fn eta(self, remaining: u64) -> Option<Duration> {
        match self {
            Self::Moving(rate) => eta(remaining, Some(rate)),
            _ => None,
        }
    }
}

/// Why nothing moves, as far as this end knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StallCause {
    /// There has been no reply at all.
    Unreached,
    /// The connection stands, and nothing comes from the other side.
    Silent,
    /// The same, and this machine knows no way to it.
    NoRoute,
    /// The other side answers, but no content moves.
    Idle,
}

/// Where the other side is, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct PeerLabel {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Its name, safe to print.
    pub(crate) name: String,
}

/// A change that is to be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StallNews {
    /// Nothing moves any more, or for another cause than before.
    Began(Stall),
    Ended(Stall),
}

/// Remembers what was said.
#[derive(Debug, Default)]
pub(crate) struct StallTeller {
    told: Option<Stall>,
}

impl Stall {
    /// The speed of a job that has stood still for so long.
    pub(crate) fn speed(lasted: Duration, cause: StallCause) -> Speed {
        Speed::Stalled(Self { lasted, cause })
    }

    /// The cause of a stall, for a line that is drawn again and again.
    pub(crate) fn text(self, peer: &PeerLabel) -> String {
        let PeerLabel { address, name } = peer;
        let time = size::rough(self.lasted);
        match self.cause {
            StallCause::Unreached => format!("no reply from {address}/udp for {time} (firewall? wrong port?)"),
            StallCause::Silent => format!("no answer from {name} for {time}; trying again"),
            StallCause::NoRoute => format!("no route to {name} for {time}; trying again"),
            StallCause::Idle => format!("nothing has moved for {time}; {name} is heard"),
        }
    }
}

impl StallCause {
    /// As JSON has it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Unreached => "no_reply",
            Self::Silent => "no_answer",
            Self::NoRoute => "no_route",
            Self::Idle => "no_progress",
        }
    }
}

impl StallNews {
    /// A line for who reads a log; `None` where another line says it.
    pub(crate) fn text(self, peer: &PeerLabel) -> Option<String> {
        let PeerLabel { address, name } = peer;
        match self {
            Self::Began(Stall { cause: StallCause::Unreached, .. }) => {
                Some(format!("no reply from {address}/udp yet (firewall? wrong port?)"))
            }
            Self::Began(stall) => Some(stall.text(peer)),
            // That a connection stands is said by what comes over it.
            Self::Ended(Stall { cause: StallCause::Unreached, .. }) => None,
            Self::Ended(Stall { lasted, cause: StallCause::Idle }) => {
                Some(format!("moving again after {}", size::rough(lasted)))
            }
            Self::Ended(Stall { lasted, .. }) => Some(format!("{name} answers again after {}", size::rough(lasted))),
        }
    }
}

impl StallTeller {
    /// The change at a look: each stall is told once, when it begins and when it ends. A lost connection is told of
    /// elsewhere.
    pub(crate) fn next(&mut self, speed: Speed) -> Option<StallNews> {
        match (speed, self.told.take()) {
            (Speed::Stalled(stall), told) => {
                self.told = Some(stall);
                let is_known = told.is_some_and(|told| told.cause == stall.cause);
                (!is_known).then_some(StallNews::Began(stall))
            }
            (Speed::Moving(_) | Speed::Unknown, Some(told)) => Some(StallNews::Ended(told)),
            (Speed::Moving(_) | Speed::Unknown | Speed::Reconnecting { .. } | Speed::Waiting(_), _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer() -> PeerLabel {
        PeerLabel { address: "192.0.2.1:4433".into(), name: "box".into() }
    }

    fn stall(seconds: u32, cause: StallCause) -> Stall {
        Stall { lasted: seconds * SECOND, cause }
    }

    #[test]
    fn each_cause_has_its_words_while_it_lasts_and_when_it_ends() {
        for (cause, text, began, ended) in [
            (
                StallCause::Unreached,
                "no reply from 192.0.2.1:4433/udp for 4s (firewall? wrong port?)",
                "no reply from 192.0.2.1:4433/udp yet (firewall? wrong port?)",
                None,
            ),
            (
                StallCause::Silent,
                "no answer from box for 4s; trying again",
                "no answer from box for 4s; trying again",
                Some("box answers again after 4s"),
            ),
            (
                StallCause::NoRoute,
                "no route to box for 4s; trying again",
                "no route to box for 4s; trying again",
                Some("box answers again after 4s"),
            ),
            (
                StallCause::Idle,
                "nothing has moved for 4s; box is heard",
                "nothing has moved for 4s; box is heard",
                Some("moving again after 4s"),
            ),
        ] {
            let stall = stall(4, cause);
            assert_eq!(stall.text(&peer()), text);
            assert_eq!(StallNews::Began(stall).text(&peer()).as_deref(), Some(began));
            assert_eq!(StallNews::Ended(stall).text(&peer()).as_deref(), ended);
        }
    }

    #[test]
    fn a_stall_is_told_once_when_it_begins_becomes_another_and_ends() {
        let silent = |seconds| stall(seconds, StallCause::Silent);
        let lost = Speed::Reconnecting { attempt: 1, wait: SECOND, is_first: false };
        let mut teller = StallTeller::default();
        for (speed, news) in [
            (Speed::Moving(1.0), None),
            (Speed::Stalled(silent(3)), Some(StallNews::Began(silent(3)))),
            (Speed::Stalled(silent(4)), None),
            (Speed::Stalled(stall(5, StallCause::NoRoute)), Some(StallNews::Began(stall(5, StallCause::NoRoute)))),
            (Speed::Unknown, Some(StallNews::Ended(stall(5, StallCause::NoRoute)))),
            (Speed::Moving(1.0), None),
            (Speed::Stalled(silent(3)), Some(StallNews::Began(silent(3)))),
            (lost, None),
            (Speed::Moving(1.0), None),
        ] {
            assert_eq!(teller.next(speed), news, "{speed:?}");
        }
    }
}
