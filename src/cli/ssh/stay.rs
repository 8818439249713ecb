//! How long the far end stays.

use std::time::{Duration, Instant};

/// How long the client may take to come, counted from the near end's last sign of life: it may still be reading what it
/// is to send.
pub(super) const FIRST_CLIENT_WAIT: Duration = Duration::from_secs(60);

/// The condition that the far end waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// The client has not come yet, and is waited for until then.
    Expecting(Instant),
    /// For the end of what it does, however long that takes.
    Serving,
    /// It was cut off, and may come back until then.
    Missing(Instant),
}

impl Stay {
    pub(super) fn new(now: Instant) -> Self {
        Self::Expecting(now + FIRST_CLIENT_WAIT)
    }

    /// Whether the client has been here.
    pub(super) fn has_come(self) -> bool {
        !matches!(self, Self::Expecting(_))
    }

    /// When the far end leaves, if nothing happens until then.
    pub(super) fn until(self) -> Option<Instant> {
        match self {
            Self::Expecting(until) | Self::Missing(until) => Some(until),
            Self::Serving => None,
        }
    }

    /// The near end is alive. That keeps nobody who has lost a client: its reconnecting has a limit of its own.
    pub(super) fn on_sign_of_life(&mut self, now: Instant) {
        if let Self::Expecting(until) = self {
            *until = now + FIRST_CLIENT_WAIT;
        }
    }

    /// The client is here.
    pub(super) fn on_connected(&mut self) {
        *self = Self::Serving;
    }

    /// The client was cut off; it gets `patience` to come back, zero is for ever.
    pub(super) fn on_disconnected(&mut self, now: Instant, patience: Duration) {
        *self = if patience.is_zero() { Self::Serving } else { Self::Missing(now + patience) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn whoever_lives_is_waited_for_until_he_comes() {
        let begin = Instant::now();
        let mut stay = Stay::new(begin);
        for beats in 1..120 {
            let now = begin + beats * 30 * SECOND;
            assert!(stay.until().is_some_and(|until| until > now), "after {beats} signs of life");
            stay.on_sign_of_life(now);
        }
        assert!(!stay.has_come());
        stay.on_connected();
        assert_eq!((stay.until(), stay.has_come()), (None, true));
    }

    #[test]
    fn who_was_cut_off_has_the_time_that_was_agreed_on_whoever_else_lives() {
        let now = Instant::now();
        let mut stay = Stay::new(now);
        stay.on_connected();
        stay.on_sign_of_life(now);
        assert_eq!(stay, Stay::Serving);
        stay.on_disconnected(now, 5 * SECOND);
        stay.on_sign_of_life(now + 4 * SECOND);
        assert_eq!(stay.until(), Some(now + 5 * SECOND));
        stay.on_disconnected(now, Duration::ZERO);
        assert_eq!(stay.until(), None, "no limit");
    }
}
