//! What the end-to-end tests share: a real client and a real server with real files between them.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub(crate) mod pair;
pub(crate) mod tree;

use std::time::{Duration, Instant};

/// Longest wait for something that must happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// Looks again and again, without holding up the runtime, until `is_so`.
///
/// # Panics
/// When it does not come true in a minute.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
        // Not a busy loop: what is waited for needs the processor.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
