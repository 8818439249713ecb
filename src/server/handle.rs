//! Looks at a server, and ends it, from anywhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ServerInner, ServerStatus};
use crate::keys::{Authority, Identity, Token};

/// Looks at a server, and ends it, from anywhere.
#[derive(Clone)]
pub struct ServerHandle(pub(super) Arc<ServerInner>);

impl ServerHandle {
    /// Takes no more clients and no more files, lets what is in flight finish for at most `drain`, then
    /// ends. Returns at once; a second call can only shorten the time.
    pub fn shutdown(&self, drain: Duration) {
        let deadline = Instant::now() + drain;
        self.0.drain.send_modify(|by| *by = Some(by.map_or(deadline, |earlier| earlier.min(deadline))));
    }

    /// Asks the network thread and every worker for a sign of life, and resolves once all have given it; `false` when one of
    /// them has ended. For whoever restarts a server that lives and serves nobody: it sets the time itself.
    pub async fn is_alive(&self) -> bool {
        self.0.liveness.answered().await
    }

    /// Looks at the list of clients at once, instead of within a second, and ends the connections that it does not
    /// allow any more. Returns at once.
    pub fn reload(&self) {
        self.0.reload.notify_one();
    }

    /// Puts another token and another authority in the place of those that the server started with, and ends the
    /// connections that rest on what they do not let in. Returns at once.
    pub fn replace_passes(&self, token: Option<Token>, authority: Option<Authority>) {
        let mut passes = self.0.passes.lock().expect("no holder panics");
        *passes = Arc::new(passes.replaced(token, authority));
        drop(passes);
        self.reload();
    }

    /// Shows clients that come from now on another certificate. Those who are inside stay. Returns at once.
    pub fn replace_identity(&self, identity: Identity) {
        self.0.identity.send_replace(identity);
    }

    /// The server's present status. It costs a few microseconds for each connection, and keeps none of them waiting.
    pub fn status(&self) -> ServerStatus {
        ServerStatus::of(&self.0)
    }
}
