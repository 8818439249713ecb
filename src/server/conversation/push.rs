//! A push: the job of a client that sends files.

use std::sync::Arc;

use super::ServerEnd;
use super::served_place::ServedPlace;
use crate::protocol::message::{IfExists, Push};
use crate::protocol::path::WirePath;
use crate::server::greeting::AdmittedClient;
use crate::server::job::JobRole;
use crate::server::status::Direction;
use crate::session::SessionError;
use crate::session::location;
use crate::session::receiver::{ReceiveOptions, Receiver};
use crate::session::roles::Roles;
use crate::session::window::ReceiveWindow;
use crate::transfer::file::resume::Policy;

impl ServerEnd {
    pub(super) fn on_push(&mut self, roles: &mut Roles, push: Push) -> Result<(), SessionError> {
        if roles.is_receiving() || self.queries.is_probing() {
            return Err(SessionError::Order("a second push while the first is running"));
        }
        let place = ServedPlace { root: self.client.root().cloned(), to: push.to.clone(), is_rehearsal: push.dry_run };
        let is_rehearsal = push.dry_run;
        self.say_location(push.to.clone());
        let (observer, moving) = self.observe(Direction::In, place);
        let (tools, window) = (self.tools(&observer), self.window());
        let receiver = Receiver::new(tools, self.committer.clone(), window, self.receive_options(push));
        receiver.use_features(self.client.features());
        if self.client.continues() {
            receiver.begin_unsure_of_names();
        }
        self.begin(JobRole::Receiver(receiver.clone()), &observer, moving, is_rehearsal);
        roles.receive(receiver, self.take_streams());
        self.watch_for_stale();
        Ok(())
    }

    /// Says where the files go, to a client that may be on this machine.
    fn say_location(&self, to: Option<WirePath>) {
        if !self.hears_locations() {
            return;
        }
        let AdmittedClient { connection, control, grant, .. } = &self.client;
        location::say(connection, control, &self.disk.queue(), grant.destination(), to);
    }

    /// Opens the window of a client that is about to send, once. Only now: most clients that stay connected send nothing.
    pub(super) fn window(&mut self) -> Arc<ReceiveWindow> {
        let AdmittedClient { connection, account, unread, .. } = &self.client;
        let open = || Arc::new(ReceiveWindow::open(connection.clone(), account, unread.clone()));
        self.window.get_or_insert_with(open).clone()
    }

    fn receive_options(&self, push: Push) -> ReceiveOptions {
        let grant = self.client.grant.clone();
        ReceiveOptions {
            root: grant.destination(),
            to: push.to,
            target: push.target,
            policy: Policy {
                if_exists: grant.if_exists(push.if_exists),
                checksum: push.checksum,
                resume: push.resume,
                blind: grant.is_blind(),
                links: grant.takes_links(),
            },
            leaves_directories: grant.if_exists(IfExists::Replace) != IfExists::Replace,
            dry_run: push.dry_run,
            tells_plans: true,
            durable: self.shared.config.sync,
            owner: grant.part_owner(),
            delivered: grant.is_blind().then(|| self.shared.delivered.clone()),
            allows: Box::new(move |_, path| grant.may_write(path)),
        }
    }
}
