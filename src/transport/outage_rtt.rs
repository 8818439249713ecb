//! The round trip that QUIC believes in after an outage.
//!
//! Whoever is heard first when a path is back acknowledges what came before it went away. To the sender that is a round trip
//! as long as the outage, and it cannot tell: an eighth of it goes into the smoothed round trip (RFC 9002, section 5.3), by
//! which quinn spreads a window. After ten seconds without a path a link of a millisecond is paced as one of more than a
//! second, and each acknowledgement, of which there are few then, takes away an eighth of the error: seconds at a trickle.
//! A window that is larger by as much as the smoothed round trip is too long is paced as it should be.

use std::time::{Duration, Instant};

/// A round trip from which on it may be one of an outage: the path is asked that often while it is silent.
const OUTAGE: Duration = Duration::from_secs(1);
/// And so many times the smoothed one: queues do not grow like that from one acknowledgement to the next.
const LEAP: u32 = 4;
/// The error that is left alone: the smoothed round trip is so many times the fresh one at most.
const ERROR_MAX: u32 = 2;
/// Longest that a window is enlarged. It takes a few dozen acknowledgements.
const LASTS_MAX: Duration = Duration::from_secs(10);

/// The round trip since an outage, as far as it is known.
#[derive(Debug, Default, Clone)]
pub(super) struct OutageRtt {
    /// When the path was back.
    since: Option<Instant>,
    /// The shortest round trip of what was sent since.
    fresh: Option<Duration>,
    smoothed: Duration,
}

impl OutageRtt {
    /// Takes an acknowledgement of a packet that was sent then, and the smoothed round trip before it.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, smoothed: Duration) {
        let trip = now.saturating_duration_since(sent);
        self.smoothed = smoothed;
        if trip >= OUTAGE && trip >= smoothed * LEAP {
            (self.since, self.fresh) = (Some(now), None);
        }
        let Some(since) = self.since else { return };
        if sent >= since {
            self.fresh = Some(self.fresh.map_or(trip, |fresh| fresh.min(trip)));
        }
        let is_right = self.fresh.is_some_and(|fresh| smoothed <= fresh * ERROR_MAX);
        if is_right || now.saturating_duration_since(since) > LASTS_MAX {
            self.since = None;
        }
    }

    /// A window as large as it has to be for quinn to spread it over the real round trip.
    pub(super) fn enlarge(&self, window: u64) -> u64 {
        let fresh = self.fresh.filter(|_| self.since.is_some());
        let Some(fresh) = fresh.filter(|fresh| !fresh.is_zero() && self.smoothed > *fresh) else { return window };
        let enlarged = window as f64 * (self.smoothed.as_secs_f64() / fresh.as_secs_f64());
        // Above this quinn does not pace at all.
        (enlarged as u64).min(u32::MAX.into()).max(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(10);
    const WINDOW: u64 = 100_000;

    /// An acknowledgement of something that was on its way for so long.
    fn ack(rule: &mut OutageRtt, now: Instant, trip: Duration, smoothed: Duration) -> u64 {
        rule.on_ack(now, now.checked_sub(trip).expect("the machine runs for long"), smoothed);
        rule.enlarge(WINDOW)
    }

    #[test]
    fn a_path_whose_round_trip_only_grows_has_the_window_that_it_is_given() {
        let (mut rule, start) = (OutageRtt::default(), Instant::now());
        for (n, trip) in (0..).zip([10, 20, 90, 300, 990, 1500, 2000, 3000]) {
            let smoothed = Duration::from_millis(trip / 3).max(RTT);
            assert_eq!(ack(&mut rule, start + RTT * n, Duration::from_millis(trip), smoothed), WINDOW, "{trip} ms");
        }
    }

    #[test]
    fn after_an_outage_the_window_is_larger_by_the_error_until_that_has_gone() {
        let (mut rule, mut now) = (OutageRtt::default(), Instant::now());
        let mut smoothed = (RTT * 7 + Duration::from_secs(10)) / 8;
        assert_eq!(ack(&mut rule, now, Duration::from_secs(10), RTT), WINDOW, "nothing fresh is known");
        now += RTT;
        let mut acks = 0;
        while smoothed > RTT * ERROR_MAX {
            let factor = ack(&mut rule, now, RTT, smoothed) as f64 / WINDOW as f64;
            let error = smoothed.as_secs_f64() / RTT.as_secs_f64();
            assert!((factor / error - 1.0).abs() < 0.01, "{factor} for {error}");
            smoothed = (smoothed * 7 + RTT) / 8;
            (now, acks) = (now + RTT / 4, acks + 1);
        }
        assert!((20..60).contains(&acks), "{acks}");
        assert_eq!(ack(&mut rule, now, RTT, smoothed), WINDOW);
        assert_eq!(ack(&mut rule, now + RTT, RTT, smoothed * 100), WINDOW, "that is another matter");
    }

    #[test]
    fn what_was_sent_before_the_path_was_back_is_not_fresh_and_the_exception_ends() {
        let (mut rule, now) = (OutageRtt::default(), Instant::now());
        let long = Duration::from_secs(1);
        ack(&mut rule, now, Duration::from_secs(9), RTT);
        assert_eq!(ack(&mut rule, now + RTT, RTT * 2, long), WINDOW);
        assert!(ack(&mut rule, now + RTT * 3, RTT * 2, long) > WINDOW);
        assert_eq!(ack(&mut rule, now + LASTS_MAX + RTT, RTT, long), WINDOW);
    }
}
