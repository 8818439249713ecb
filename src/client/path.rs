//! What a client remembers of its paths, and when it knows enough to do so.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn::Connection;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::info;

use super::Client;
use crate::transport::congestion::{ControllerConfig, PastPath, PathState};
use crate::transport::{Contact, PathMemory};

/// Bytes that must have been sent for the path to be known: three seconds at 10 Mbit/s.
const SENT_MIN: u64 = 4 << 20;
/// Longest that a finished job waits for its knowledge to be written. Whoever holds the lock longer is stopped.
const KEEP_WAIT: Duration = Duration::from_secs(1);

/// The controller for a connection to `contact`, with what is known of the path.
pub(super) async fn controller(client: &Client, contact: &Contact, state: &Arc<PathState>) -> ControllerConfig {
    ControllerConfig::new(Arc::clone(state)).recalling(recall(client, contact).await)
}

async fn recall(client: &Client, contact: &Contact) -> Option<PastPath> {
    let (memory, contact) = (memory(client)?, contact.clone());
    let found = tokio::task::spawn_blocking(move || memory.recall(&contact, SystemTime::now())).await.ok()?;
    let past = found.inspect_err(|error| info!(%error, "the path's past cannot be read")).ok()??;
    info!(mbit = past.bandwidth * 8 / 1_000_000, rtt = ?past.min_rtt, age = ?past.age, "path known");
    Some(past)
}

/// Remembers what a connection has learnt, if it was enough. Never fails, and hardly ever waits.
pub(super) async fn keep(client: &Client, contact: &Contact, connection: &Connection, state: &PathState) {
    let Some(memory) = memory(client) else { return };
    let Some(past) = state.snapshot().past().filter(|_| connection.stats().udp_tx.bytes >= SENT_MIN) else { return };
    let contact = contact.clone();
    let (done, kept) = oneshot::channel();
    // A thread of its own: the runtime would wait for one of its own at its end.
    let writing = std::thread::Builder::new().name("qft-paths".to_owned()).spawn(move || {
        if let Err(error) = memory.keep(&contact, &past, SystemTime::now()) {
            info!(%error, "the path is not remembered");
        }
        let _ = done.send(());
    });
    if writing.is_ok() {
        let _ = timeout(KEEP_WAIT, kept).await;
    }
}

/// A rate limit hides the path, and what it lets through needs no memory.
fn memory(client: &Client) -> Option<PathMemory> {
    client.paths.clone().filter(|_| client.throttle.is_none())
}
