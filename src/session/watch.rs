//! The watch on a peer that is there but says nothing.

use std::time::Duration;

use quinn::Connection;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::SessionError;
use super::control::Control;
use super::link::link_report;
use super::stall::StallProbe;
use crate::protocol::message::Message;

/// Longest time without a single byte of a stream from the peer while it is the peer's turn. QUIC's own
/// idle timeout does not see this: keep-alives and acknowledgements go on.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// How often the watch looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Pieces of streams that this end may send between two looks although nothing moves: its reports on the
/// link, one a second, and as many again that were lost on the way. More is content that the peer takes.
const IDLE_FRAMES_MAX: u64 = 16;

/// Returns when the peer has been silent for too long, and meanwhile asks a path that has gone silent whether it is back.
/// `is_ours` tells whether it is this end's turn, as sender or receiver of files.
pub(crate) async fn until_silent(
    connection: &Connection,
    control: &Control,
    is_ours: impl Fn() -> bool,
) -> SessionError {
    let (mut watch, mut stall) = (Watch::new(), StallProbe::new());
    loop {
        tokio::select! {
            () = stall.next_look() => stall.look(connection, control),
            () = watch.next_look() => match watch.look(connection, is_ours()) {
                Ok(Own::Heard) => {}
                Ok(Own::Silent) => show_life(connection, control),
                Err(error) => return error,
            },
        }
    }
}

/// Lets a peer that sends or receives files hear that this end is at work. No other peer expects it.
pub(crate) fn show_life(connection: &Connection, control: &Control) {
    control.send(Message::Link(link_report(connection)));
}

/// What the peer has heard of this end of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// Something, or it is the peer's turn.
    Heard,
    /// Nothing, and it is this end's turn: for as long as a disk takes, it would hear nothing at all.
    Silent,
}

/// The same, look by look, for a loop that does other things between them.
pub(crate) struct Watch {
    looks: Interval,
    silence: Silence,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, silence: Silence::default() }
    }

    /// Resolves when it is time to look. Safe to cancel.
    pub(crate) async fn next_look(&mut self) {
        self.looks.tick().await;
    }

    /// # Errors
    /// The peer has been silent for too long.
    pub(crate) fn look(&mut self, connection: &Connection, is_ours: bool) -> Result<Own, SessionError> {
        let stats = connection.stats();
        let own = self.silence.look(stats.frame_rx.stream, stats.frame_tx.stream, is_ours);
        own.ok_or(SessionError::Timeout("say anything"))
    }
}

/// How long nothing has happened that the peer has a part in.
#[derive(Debug, Default)]
struct Silence {
    received: u64,
    sent: u64,
    lasted: Duration,
}

impl Silence {
    /// Takes the pieces of streams received and sent so far, once every [`LOOK_INTERVAL`]; `None` when the
    /// peer has been silent for too long.
    fn look(&mut self, received: u64, sent: u64, is_ours: bool) -> Option<Own> {
        // Small files are not reported on while they flow: on a slow link minutes pass before the first is
        // done. A peer that takes nothing stops us within its window.
        let flows = sent - self.sent > IDLE_FRAMES_MAX;
        let heard = received != self.received;
        // Its first word is on its way where there was none yet.
        let spoke = sent == 0 || sent != self.sent;
        (self.received, self.sent) = (received, sent);
        self.lasted = if heard || flows || is_ours { Duration::ZERO } else { self.lasted + LOOK_INTERVAL };
        let own = if is_ours && !spoke { Own::Silent } else { Own::Heard };
        (self.lasted < SILENCE_MAX).then_some(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks that a silent peer survives.
    const PATIENT_LOOKS: u64 = SILENCE_MAX.as_secs() / LOOK_INTERVAL.as_secs() - 1;

    /// Whether a watch ends that sees these figures at look 1, 2, 3 … for twice as long as it waits.
    fn ends(received: impl Fn(u64) -> u64, sent: impl Fn(u64) -> u64, is_ours: impl Fn(u64) -> bool) -> bool {
        let mut silence = Silence::default();
        (1..2 * PATIENT_LOOKS).any(|look| silence.look(received(look), sent(look), is_ours(look)).is_none())
    }

    #[test]
    fn a_peer_that_owes_something_and_says_nothing_is_given_up() {
        assert!(ends(|_| 0, |_| 0, |_| false));
        assert!(ends(|_| 7, |look| look * IDLE_FRAMES_MAX, |_| false), "our own reports are no sign of it");
    }

    #[test]
    fn a_peer_that_speaks_takes_content_or_waits_for_us_is_not() {
        assert!(!ends(|look| look / PATIENT_LOOKS, |_| 0, |_| false));
        assert!(!ends(|_| 0, |look| look * (IDLE_FRAMES_MAX + 1), |_| false));
        assert!(!ends(|_| 0, |_| 0, |look| look % PATIENT_LOOKS == 0));
    }

    #[test]
    fn silence_counts_from_the_last_sign() {
        let mut silence = Silence::default();
        for _ in 0..PATIENT_LOOKS {
            assert_eq!(silence.look(0, 0, false), Some(Own::Heard));
        }
        assert_eq!(silence.look(1, 0, false), Some(Own::Heard));
        for _ in 0..PATIENT_LOOKS {
            assert_eq!(silence.look(1, 0, false), Some(Own::Heard));
        }
        assert_eq!(silence.look(1, 0, false), None);
    }

    #[test]
    fn who_is_busy_for_long_is_to_say_so() {
        let mut silence = Silence::default();
        assert_eq!(silence.look(0, 0, true), Some(Own::Heard), "it has only begun");
        assert_eq!(silence.look(0, 5, true), Some(Own::Heard), "it has just said something");
        assert_eq!(silence.look(0, 5, true), Some(Own::Silent));
        assert_eq!(silence.look(0, 6, true), Some(Own::Heard));
        assert_eq!(silence.look(0, 6, false), Some(Own::Heard), "it waits for the peer");
    }
}
