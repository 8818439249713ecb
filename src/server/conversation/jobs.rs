//! The jobs of a conversation as others see them: observed, shown, written down when they are over.

use std::sync::Arc;
use std::time::Instant;

use super::ServerEnd;
use super::served_place::ServedPlace;
use crate::progress::Observer;
use crate::server::job::{JobRole, ServerJob};
use crate::server::meter::ConnectionEnd;
use crate::server::moving::Moving;
use crate::server::status::Direction;
use crate::session::JobTools;
use crate::session::record::Record;
use crate::transport::canonical;

impl ServerEnd {
    /// An observer whose events become notices at once: what happened to a connection's files is told before its end is.
    pub(super) fn observe(&self, direction: Direction, place: ServedPlace) -> (Observer, Arc<Moving>) {
        let (shared, peer, moving) = (self.shared.clone(), self.peer.clone(), Arc::<Moving>::default());
        let observed = moving.clone();
        // A dry run moves nothing.
        let all = if place.is_rehearsal { Arc::default() } else { shared.meter.moved(direction).clone() };
        let observer = Observer::for_one_connection(all, move |event| {
            observed.on_event(&event, |name| place.path(name));
            if let Some(notice) = place.notice(event, direction, &peer) {
                shared.notices.send(notice);
            }
        });
        (observer, moving)
    }

    /// The tools of a job.
    pub(super) fn tools(&self, observer: &Observer) -> JobTools {
        JobTools {
            connection: self.client.connection.clone(),
            control: self.client.control.clone(),
            disk: self.disk.queue(),
            hasher: self.client.hasher.clone(),
            buffers: self.shared.buffers.clone(),
            account: self.client.account.clone(),
            observer: observer.clone(),
            record: Record::default(),
        }
    }

    /// Makes a job visible.
    pub(super) fn begin(&mut self, role: JobRole, observer: &Observer, moving: Arc<Moving>, is_rehearsal: bool) {
        let job = Arc::new(ServerJob::new(role, observer.counters().clone(), moving, is_rehearsal));
        // The job before this one in the same direction is over; of thousands only the sums stay.
        if let Some(earlier) = self.live.begin(job) {
            self.totals.add(&earlier);
            earlier.note_end(Instant::now());
            self.write_down(&earlier, None);
        }
    }

    /// Puts a job that is over into the history, if it is not there.
    pub(super) fn write_down(&self, job: &ServerJob, parting: Option<ConnectionEnd>) {
        let address = canonical(self.client.connection.remote_address()).ip();
        if let Some(entry) = job.account(&self.peer, address, parting) {
            self.shared.history.add(entry);
        }
    }

    /// Ends what is left of connections that the client has lost: the job that begins may have been theirs.
    pub(super) fn watch_for_stale(&mut self) {
        // One watch at a time, however many jobs follow each other.
        while self.stale.try_join_next().is_some() {}
        if self.stale.is_empty() {
            let (shared, peer, own) = (self.shared.clone(), self.live.peer, self.client.connection.clone());
            self.stale.spawn(async move { shared.registry.close_stale(peer, &own).await });
        }
    }
}
