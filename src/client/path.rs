//! A client's memory of its paths, and when enough is known to remember one.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use quinn::Connection;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::info;

use super::Client;
use crate::congestion::{ControllerConfig, PastPath, PathState};
use crate::keys::Contact;
use crate::transport::{PathList, PathMemory, learnt};

/// Longest that a finished job waits for its knowledge to be written. Whoever holds the lock longer is stopped.
const KEEP_WAIT: Duration = Duration::from_secs(1);

/// The controller for a connection to `contact`, with what is known of the path.
pub(super) async fn controller(client: &Client, contact: &Contact, state: &Arc<PathState>) -> ControllerConfig {
    let past = lookup(client, contact).await;
    ControllerConfig::new(Arc::clone(state)).resuming(past).in_step(Instant::now(), SystemTime::now())
}

async fn lookup(client: &Client, contact: &Contact) -> Option<PastPath> {
    let memory = memory(client)?;
    let list = client.disk.run(move || memory.load()).await.ok()?;
    let list = list.inspect_err(|error| info!(%error, "the path's past cannot be read")).ok()?;
    let past = list.lookup(&contact.address(), SystemTime::now())?;
    info!(mbit = past.bandwidth * 8 / 1_000_000, rtt = ?past.min_rtt, age = ?past.age, "path known");
    Some(past)
}

/// Remembers what a connection has learnt, if it was enough. Never fails, and hardly ever waits.
pub(super) async fn keep(client: &Client, contact: &Contact, connection: &Connection, state: &PathState) {
    let Some(memory) = memory(client) else { return };
    let Some(past) = learnt(connection, state) else { return };
    let address = contact.address();
    let (done, kept) = oneshot::channel();
    // A thread of its own: the runtime would wait for one of its own at its end.
    let writing = std::thread::Builder::new().name("qft-paths".to_owned()).spawn(move || {
        let now = SystemTime::now();
        if let Err(error) = memory.keep(PathList::of(&address, &past, now), now) {
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
