//! Keeps an eye on what lets clients in: whoever is taken off the list, shut out, narrowed or past its time is not served
//! on, and neither is whoever came by a token or a CA that was replaced.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::ServerInner;
use super::admission::Lists;
use super::passes::{AuthorizedBy, Passes};
use crate::keys::trust::{KeyStatus, Stamps};
use crate::keys::{Fingerprint, HomeError};
use crate::protocol::close::CloseCode;

/// Time between two looks: a change counts at the second look that sees it, so within a second. A look costs a few
/// system calls, and none while no client is connected.
const LOOK: Duration = Duration::from_millis(400);

/// Looks until the server's runtime ends. `shared.reload` makes it look at once.
pub(super) async fn keep_watch(shared: Arc<ServerInner>) {
    let Some(lists) = shared.lists.clone() else { return };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        let is_asked = tokio::select! {
            _ = looks.tick() => false,
            () = shared.reload.notified() => true,
        };
        if shared.registry.is_empty() {
            continue;
        }
        let (lists, shared, last) = (lists.clone(), shared.clone(), seen.take());
        let disk = shared.rechecks.clone();
        // A look that panicked is made again at the next tick.
        seen = disk.run(move || look(&shared, &lists, last, is_asked)).await.ok();
    }
}

/// The result of one check: a state of the lists, or that they cannot be read.
type Seen = Result<Stamps, ()>;

/// On a disk thread: ends the connections that the list does not allow any more.
///
/// A file that changed since the last look is let rest until the next one, unless the operator asked: an editor may be
/// in the middle of writing it.
fn look(shared: &ServerInner, lists: &Lists, last: Option<Seen>, is_asked: bool) -> Seen {
    let now = lists.clients.stamps().map_err(|error| warn!(%error, "cannot look at the list of clients"));
    let is_settled = last.is_none_or(|last| last == now);
    if now.is_ok() && (is_settled || is_asked) {
        let (passes, time) = (shared.passes(), SystemTime::now());
        shared.registry.end_where(|peer, basis| judge(lists, &passes, peer, basis, time));
    }
    now
}

/// Why a client that was let in on this basis may not stay; `None` when it may.
fn judge(
    lists: &Lists,
    passes: &Passes,
    peer: &Fingerprint,
    basis: &AuthorizedBy,
    now: SystemTime,
) -> Option<CloseCode> {
    let status = match lists.clients.status(peer) {
        Ok(status) => status,
        // Connected clients stay until the list can be read; no new one is let in.
        Err(error) => return unreadable(&error),
    };
    let code = match (status, basis) {
        (KeyStatus::Revoked, _) | (KeyStatus::Unknown, AuthorizedBy::Listed(_)) => CloseCode::Revoked,
        (KeyStatus::Unknown, AuthorizedBy::Pass(pass)) => passes.refuse(pass, now)?,
        (KeyStatus::Listed(client), _) if client.rights.have_expired(now) => CloseCode::Expired,
        (KeyStatus::Listed(client), basis) if !client.rights.cover(&basis.rights()) => CloseCode::RightsChanged,
        (KeyStatus::Listed(_), _) => return None,
    };
    info!(peer = peer.short(), why = code.reason(), "what let it in does so no more");
    Some(code)
}

fn unreadable(error: &HomeError) -> Option<CloseCode> {
    warn!(%error, "cannot read the list of clients");
    None
}
