//! Asks a path that has gone silent, in either direction, whether it is back.
//!
//! QUIC's probe timer doubles its period with every probe that is lost, so a path that was away for twenty seconds is
//! asked again only ten seconds after it came back. Here it is asked every second; a packet of a thousand bytes is
//! nothing to any path that carries files. An end whose window is full of what was lost says nothing either, not even
//! that it has heard the other end: quinn holds acknowledgements back behind content that may not leave. From a changed address it is also what tells the peer of it, which a
//! receiver would not do: it sends little but acknowledgements, and there is nothing to acknowledge.

use std::time::Duration;

use quinn::Connection;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::control::Control;
use super::watch::show_life;
use crate::transport;

/// How often a silent path is asked: what was lost flows again a second and a round trip after the path is back.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Round trips without a packet that are no silence: acknowledgements are held back for a part of one, and a lost one is
/// followed by the next.
const ROUND_TRIPS: u32 = 3;

/// Watches whether anything arrives, and sends something while nothing does.
pub(crate) struct StallProbe {
    looks: Interval,
    silence: Silence,
}

impl StallProbe {
    pub(crate) fn new() -> Self {
        let mut looks = interval(PROBE_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, silence: Silence::default() }
    }

    /// Resolves when it is time to look. Safe to cancel.
    pub(crate) async fn next_look(&mut self) {
        self.looks.tick().await;
    }

    /// Sends a report on the link, which any peer takes that sends or receives files, if the path is silent.
    pub(crate) fn look(&mut self, connection: &Connection, control: &Control) {
        let stats = connection.stats();
        // Reports that wait behind a full stream are no probes; what is at the front of the queue is.
        if self.silence.look(stats.udp_rx.datagrams, stats.udp_tx.datagrams, stats.path.rtt) {
            transport::admit_probe(connection);
            if control.has_room() {
                show_life(connection, control);
            }
        }
    }
}

/// How long nothing has arrived, or nothing has left.
#[derive(Debug, Default)]
struct Silence {
    received: u64,
    sent: u64,
    lasted: Duration,
}

impl Silence {
    /// Takes the packets received and sent so far, once every [`PROBE_INTERVAL`], and says whether the path is silent.
    fn look(&mut self, received: u64, sent: u64, rtt: Duration) -> bool {
        let is_silent = received == self.received || sent == self.sent;
        self.lasted = if is_silent { self.lasted + PROBE_INTERVAL } else { Duration::ZERO };
        (self.received, self.sent) = (received, sent);
        self.lasted >= PROBE_INTERVAL.max(rtt * ROUND_TRIPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_silent_after_a_second_and_three_round_trips_without_a_packet() {
        let near = Duration::from_millis(100);
        let mut silence = Silence::default();
        assert!(!silence.look(7, 1, near));
        assert!(silence.look(7, 2, near) && silence.look(7, 3, near), "it is asked again and again");
        assert!(!silence.look(8, 4, near));
        let far = Duration::from_millis(900);
        let looks: Vec<_> = (5..9).map(|sent| silence.look(8, sent, far)).collect();
        assert_eq!(looks, [false, false, true, true]);
    }

    #[test]
    fn an_end_that_says_nothing_although_it_hears_the_other_is_silent_too() {
        let mut silence = Silence::default();
        let looks: Vec<_> = (1..4).map(|received| silence.look(received, 1, Duration::ZERO)).collect();
        assert_eq!(looks, [false, true, true]);
    }
}
