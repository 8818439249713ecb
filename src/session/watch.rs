//! The watch on a peer that is there but says nothing.

use std::time::Duration;

use quinn::Connection;
use tokio::time::{MissedTickBehavior, interval};

use super::SessionError;

/// Longest time without a single byte of a stream from the peer while it is the peer's turn. QUIC's own
/// idle timeout does not see this: keep-alives and acknowledgements go on.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// How often the watch looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Returns when the peer has been silent for too long. `is_ours` tells whether it is this end's turn.
pub(crate) async fn until_silent(connection: &Connection, is_ours: impl Fn() -> bool) -> SessionError {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    let mut silent = Duration::ZERO;
    loop {
        looks.tick().await;
        let now = connection.stats().frame_rx.stream;
        silent = if now == seen && !is_ours() { silent + LOOK_INTERVAL } else { Duration::ZERO };
        seen = now;
        if silent >= SILENCE_MAX {
            return SessionError::Timeout("say anything");
        }
    }
}
