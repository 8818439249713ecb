//! The look around, once a second: what is noted of a conversation, and what it is not waited for any longer.

use std::time::Instant;

use super::ServerEnd;
use crate::server::meter::{Limit, LinkMark};
use crate::server::places::ClientActivity;
use crate::session::roles::Roles;
use crate::session::watch::OwnActivity;
use crate::session::{ATTENTION_DEADLINE, SessionError};

impl ServerEnd {
    /// Notes what goes on, once a second.
    pub(super) fn look_around(&mut self, roles: &Roles, now: Instant) -> Result<(), SessionError> {
        self.live.mark(now);
        self.look_at_link(now);
        self.live.ended_jobs(now).iter().for_each(|job| self.write_down(job, None));
        self.place.note(self.work(roles), self.client.connection.stats().udp_rx.datagrams, now);
        if let Some(known) = &mut self.client.known {
            known.is_at(self.client.connection.remote_address());
        }
        if self.streams.early_since().is_some_and(|since| now.duration_since(since) > ATTENTION_DEADLINE) {
            return Err(SessionError::Timeout("say what its streams are for"));
        }
        if roles.receiver().is_some_and(|receiver| receiver.is_left_begun(now)) {
            self.shared.meter.limits.count(Limit::Begun);
            return Err(SessionError::Timeout("go on with what it began"));
        }
        // Whether files are sent or received now.
        let moves_files = roles.is_receiving() || roles.sender().is_some();
        let activity = OwnActivity { is_ours: self.is_busy(roles), moves_files };
        self.watch.look(&self.client.connection, &self.client.control, activity)?;
        Ok(())
    }

    /// Counts what the link is like, from the second second of a job on.
    fn look_at_link(&mut self, now: Instant) {
        let connection = &self.client.connection;
        let mark = self.live.is_running().then(|| LinkMark::new(connection, now));
        if let (Some(before), Some(_)) = (self.link, mark) {
            self.shared.meter.links.count(before, connection, now);
        }
        self.link = mark;
    }

    /// The client's activity, by which it keeps its place.
    fn work(&self, roles: &Roles) -> ClientActivity {
        let runs = self.live.is_running() || !self.queries.are_none();
        ClientActivity { runs, is_ours: self.is_busy(roles), moved: self.live.moved() }
    }
}
