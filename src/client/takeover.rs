//! When a second connection is made beside one that has gone silent, and which of the two goes on: a rule that is told
//! what was counted.

use std::time::{Duration, Instant};

/// Two calls begin at least so far apart: one that is answered with a refusal is over at once.
const CALL_AGAIN: Duration = Duration::from_secs(1);
/// Handshakes of the second connection that the first one has to answer in, when the second stands: the path carries
/// packets again, so that a round trip is enough for a connection that lives.
const HANDSHAKES: u32 = 2;
/// The same at least: an end that is woken up, or has a full queue, takes longer than the path.
const ANSWER_MIN: Duration = Duration::from_millis(600);
/// And at most: a handshake may have been slow because its packets were lost.
const ANSWER_MAX: Duration = Duration::from_millis(1500);

/// Most of the time between two looks that counts as patience. What did not look did not hear either: a process that was
/// stopped, or got no processor, finds the answer only after this.
const LOOKED_MAX: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakeoverStep {
    Wait,
    /// A second connection is to be made.
    Call,
    /// The first connection lives: the second one is given up.
    GiveUp,
    /// The second connection stands: the first is to be asked once more whether it is there.
    Ask,
    /// The first connection is dead, and the second takes its place.
    TakeOver,
}

/// How far it has come.
#[derive(Debug, Default)]
pub(super) enum Takeover {
    /// The first connection is heard.
    #[default]
    Idle,
    /// The first has been silent since so many packets, and a second is called.
    Called { heard: u64, at: Instant },
    /// The second was not answered, or refused. It is called again then, if ever.
    Failed { heard: u64, again: Option<Instant> },
    /// The second stands; the first has so much of this end's time left to say something, which looked at it then.
    Stands { heard: u64, left: Duration, looked: Instant },
}

impl Takeover {
    /// Whether nothing is to be looked at before the first connection goes silent.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Takes how many packets have come over the first connection, and how many there were when it was found silent.
    pub(super) fn look(&mut self, now: Instant, received: u64, silent: Option<u64>) -> TakeoverStep {
        match *self {
            Self::Idle if silent == Some(received) => self.call(now, received),
            Self::Idle => TakeoverStep::Wait,
            Self::Called { heard, .. } | Self::Failed { heard, .. } | Self::Stands { heard, .. }
                if received != heard =>
            {
                *self = Self::Idle;
                TakeoverStep::GiveUp
            }
            Self::Failed { again: Some(again), .. } if again <= now => self.call(now, received),
            Self::Stands { heard, left, looked } => {
                self.wait(now, heard, left.saturating_sub((now - looked).min(LOOKED_MAX)))
            }
            Self::Called { .. } | Self::Failed { .. } => TakeoverStep::Wait,
        }
    }

    fn wait(&mut self, now: Instant, heard: u64, left: Duration) -> TakeoverStep {
        *self = Self::Stands { heard, left, looked: now };
        if left.is_zero() { TakeoverStep::TakeOver } else { TakeoverStep::Wait }
    }

    fn call(&mut self, now: Instant, received: u64) -> TakeoverStep {
        *self = Self::Called { heard: received, at: now };
        TakeoverStep::Call
    }

    /// The second connection stands, after a handshake of this length.
    pub(super) fn stands(&mut self, now: Instant, received: u64, handshake: Duration) -> TakeoverStep {
        match *self {
            Self::Called { heard, .. } if heard == received => {
                let left = (handshake * HANDSHAKES).clamp(ANSWER_MIN, ANSWER_MAX);
                *self = Self::Stands { heard, left, looked: now };
                TakeoverStep::Ask
            }
            _ => {
                *self = Self::Idle;
                TakeoverStep::GiveUp
            }
        }
    }

    /// There is no second connection; `is_final` when calling again would come to the same.
    pub(super) fn failed(&mut self, is_final: bool) {
        if let Self::Called { heard, at } = *self {
            *self = Self::Failed { heard, again: (!is_final).then_some(at + CALL_AGAIN) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: Duration = Duration::from_millis(400);
    const TICK: Duration = Duration::from_millis(50);

    /// A first connection that was heard seven times and has gone silent, and its second that is called.
    fn called(now: Instant) -> Takeover {
        let mut rule = Takeover::default();
        assert_eq!(rule.look(now, 7, Some(7)), TakeoverStep::Call);
        rule
    }

    #[test]
    fn one_that_is_heard_needs_no_second() {
        let (mut rule, now) = (Takeover::default(), Instant::now());
        for (received, silent) in [(0, None), (7, None), (8, Some(7)), (9, Some(8))] {
            assert_eq!(rule.look(now, received, silent), TakeoverStep::Wait, "{received} {silent:?}");
        }
        assert!(rule.is_idle());
    }

    #[test]
    fn there_is_one_second_at_a_time_and_none_once_the_first_is_heard() {
        let now = Instant::now();
        let mut rule = called(now);
        assert!((1..600).all(|n| rule.look(now + TICK * n, 7, Some(7)) == TakeoverStep::Wait));
        assert_eq!(rule.look(now, 8, Some(7)), TakeoverStep::GiveUp);
        assert_eq!(rule.look(now, 8, Some(7)), TakeoverStep::Wait, "the silence of before is over");
        assert_eq!(rule.look(now, 8, Some(8)), TakeoverStep::Call, "the next one is not");
    }

    #[test]
    fn a_second_that_stands_waits_for_the_answer_of_the_first_and_takes_over_if_there_is_none() {
        for (handshake, patience) in
            [(Duration::from_millis(1), ANSWER_MIN), (HANDSHAKE, 2 * HANDSHAKE), (Duration::from_secs(9), ANSWER_MAX)]
        {
            let now = Instant::now();
            for answers in [false, true] {
                let mut rule = called(now);
                assert_eq!(rule.stands(now, 7, handshake), TakeoverStep::Ask);
                let looks = (patience.as_millis() / TICK.as_millis()) as u32;
                assert!((1..looks).all(|n| rule.look(now + TICK * n, 7, Some(7)) == TakeoverStep::Wait));
                let (received, step) = if answers { (8, TakeoverStep::GiveUp) } else { (7, TakeoverStep::TakeOver) };
                assert_eq!(rule.look(now + patience, received, Some(7)), step, "{handshake:?}");
            }
        }
    }

    #[test]
    fn time_in_which_this_end_was_stopped_says_nothing_about_the_first() {
        let now = Instant::now();
        let mut rule = called(now);
        assert_eq!(rule.stands(now, 7, HANDSHAKE), TakeoverStep::Ask);
        let stopped = Duration::from_secs(90);
        assert_eq!(rule.look(now + stopped, 7, Some(7)), TakeoverStep::Wait, "its answer may lie there unread");
        assert_eq!(rule.look(now + stopped + TICK, 8, Some(7)), TakeoverStep::GiveUp);
    }

    #[test]
    fn whoever_speaks_first_goes_on() {
        let now = Instant::now();
        let mut rule = called(now);
        assert_eq!(rule.stands(now, 8, HANDSHAKE), TakeoverStep::GiveUp, "the first was heard before the second stood");
        assert!(rule.is_idle());
    }

    #[test]
    fn a_second_that_fails_is_called_again_a_second_after_it_was_called_unless_that_is_of_no_use() {
        let now = Instant::now();
        let mut rule = called(now);
        rule.failed(false);
        assert_eq!(rule.look(now + CALL_AGAIN - TICK, 7, Some(7)), TakeoverStep::Wait);
        assert_eq!(rule.look(now + CALL_AGAIN, 7, Some(7)), TakeoverStep::Call);
        rule.failed(true);
        assert_eq!(rule.look(now + CALL_AGAIN * 100, 7, Some(7)), TakeoverStep::Wait);
        assert_eq!(rule.look(now + CALL_AGAIN * 100, 8, None), TakeoverStep::GiveUp, "until the first is heard again");
        assert_eq!(rule.look(now + CALL_AGAIN * 101, 8, Some(8)), TakeoverStep::Call);
    }
}
