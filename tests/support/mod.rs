//! What the tests of whole servers and clients share.
#![allow(dead_code, reason = "every test program uses another part of it")]
#![allow(unreachable_pub, reason = "test programs have no outside")]

#[cfg(test)]
pub mod alone;
pub mod field;
pub mod pair;
pub mod peer;
pub mod relay;
pub mod tree;

// What drives the real program is for tests alone: the fuzz targets, which share the rest, have no program.
#[cfg(test)]
pub mod any_server;
#[cfg(test)]
pub mod bin;
#[cfg(test)]
pub mod browser;
#[cfg(test)]
pub mod cable;
#[cfg(test)]
pub mod http;
#[cfg(test)]
#[path = "../../benches/compare/namespace.rs"]
pub mod namespace;
#[cfg(test)]
pub mod odd_disk;
#[cfg(test)]
pub mod screen;
#[cfg(test)]
pub mod snapshot;
#[cfg(test)]
pub mod sshd;

use std::future::Future;
use std::time::{Duration, Instant};

/// Far beyond what anything here takes; only a hang reaches it.
pub const LONG: Duration = Duration::from_secs(120);

/// The result of `work`, which must not hang.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Waits until `holds`, and fails when it never does.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes that differ from place to place.
pub fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    let mut bytes = vec![0; len.next_multiple_of(8)];
    for word in bytes.as_chunks_mut().0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *word = state.to_le_bytes();
    }
    bytes.truncate(len);
    bytes
}
