//! What a client sends before it is let in is not read, and QUIC keeps it as it came: each byte with the packets that it came
//! in, and a note of each gap. The window bounds the bytes alone; so who sends far more packets or pieces than fill its
//! window is not waited for.

use std::time::Duration;

use quinn::{Connection, ConnectionStats};
use tokio::time::interval;

/// Time between two looks at a stranger: of a gigabit a second some megabytes, of all strangers together.
const LOOK: Duration = Duration::from_millis(100);
/// Packets of a stranger may take so many times its window: what is lost is sent again, and probes for the size of packets
/// count, too.
pub const UNREAD_TIMES: u64 = 4;
/// One piece of a stream for so many bytes of the window: a full packet carries four times as much, and the files that may
/// go ahead are few.
pub const UNREAD_PIECE_BYTES: u64 = 256;

/// Resolves when a client that is not read has sent more than any honest one.
pub(super) async fn is_too_much(connection: &Connection, window: u32) {
    let mut looks = interval(LOOK);
    while !is_beyond(&connection.stats(), window.into()) {
        looks.tick().await;
    }
}

fn is_beyond(stats: &ConnectionStats, window: u64) -> bool {
    stats.udp_rx.bytes > UNREAD_TIMES * window || stats.frame_rx.stream > window / UNREAD_PIECE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::EARLY_FILES_MAX;
    use crate::transport::tuning::{MTU_LOOPBACK, MTU_START, RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_IN_A_CROWD};

    #[test]
    fn whoever_fills_its_window_is_waited_for_and_whoever_sends_crumbs_is_not() {
        for window in [RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_IN_A_CROWD].map(u64::from) {
            let mut stats = ConnectionStats::default();
            // All of it twice, and probes for the size of packets that halve what is not known.
            stats.udp_rx.bytes = 2 * window + 8 * u64::from(MTU_LOOPBACK);
            stats.frame_rx.stream = 2 * (window / u64::from(MTU_START) + EARLY_FILES_MAX as u64);
            assert!(!is_beyond(&stats, window), "{window}");
            let (mut crumbs, mut padded) = (stats, stats);
            crumbs.frame_rx.stream = window / 2;
            padded.udp_rx.bytes = 8 * window;
            assert!(is_beyond(&crumbs, window) && is_beyond(&padded, window), "{window}");
        }
    }
}
