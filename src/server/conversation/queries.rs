//! The questions of a client that are no job: lists, parts and probes.

use tokio::task::JoinSet;

use super::ServerEnd;
use crate::protocol::message::{List, Parts, Probe, ProbeKind};
use crate::server::find::problem;
use crate::server::greeting::AdmittedClient;
use crate::server::{list, parts};
use crate::session::peer_streams::PeerStreams;
use crate::session::roles::Roles;
use crate::session::{SessionError, probe};

/// The questions of one client that are being answered.
#[derive(Default)]
pub(super) struct Queries {
    listing: JoinSet<Result<(), SessionError>>,
    probing: JoinSet<()>,
}

impl Queries {
    pub(super) fn are_none(&self) -> bool {
        self.listing.is_empty() && self.probing.is_empty()
    }

    pub(super) fn is_probing(&self) -> bool {
        !self.probing.is_empty()
    }

    /// Whether this end owes the client the next step of an answer.
    pub(super) fn is_busy(&self, client: &AdmittedClient) -> bool {
        self.is_probing() || !self.listing.is_empty() && client.control.has_room()
    }

    pub(super) fn on_parts(&mut self, client: &AdmittedClient, asked: Parts) -> Result<(), SessionError> {
        self.is_next_list()?;
        let AdmittedClient { grant, control, account, .. } = client;
        self.listing.spawn(parts::answer(grant.clone(), control.clone(), account.name_room(), asked));
        Ok(())
    }

    pub(super) fn on_list(&mut self, client: &AdmittedClient, wanted: List) -> Result<(), SessionError> {
        self.is_next_list()?;
        let AdmittedClient { grant, control, account, .. } = client;
        self.listing.spawn(list::answer(grant.clone(), control.clone(), account.name_room(), wanted));
        Ok(())
    }

    /// Each list takes a thread.
    fn is_next_list(&mut self) -> Result<(), SessionError> {
        while let Some(ended) = self.listing.try_join_next() {
            ended??;
        }
        match self.listing.is_empty() {
            true => Ok(()),
            false => Err(SessionError::Order("a second list while the first is running")),
        }
    }

    /// Whether a probe may begin as far as other probes go: each would take the other's streams.
    pub(super) fn may_probe(&mut self) -> Result<bool, SessionError> {
        while let Some(ended) = self.probing.try_join_next() {
            ended?;
        }
        Ok(self.probing.is_empty())
    }

    pub(super) fn probe(&mut self, client: &AdmittedClient, streams: PeerStreams, asked: Probe) {
        let AdmittedClient { connection, control, granted, .. } = client;
        self.probing.spawn(probe::serve(connection.clone(), streams, control.clone(), *granted, asked));
    }

    /// Waits until something is answered; for ever where nothing is.
    pub(super) async fn answered(&mut self) -> Result<(), SessionError> {
        tokio::select! {
            Some(ended) = self.listing.join_next() => ended?,
            Some(ended) = self.probing.join_next() => Ok(ended?),
            else => std::future::pending().await,
        }
    }
}

impl ServerEnd {
    pub(super) fn on_probe(&mut self, roles: &mut Roles, asked: Probe) -> Result<(), SessionError> {
        // Each of them would take the other's streams.
        if !self.queries.may_probe()? || roles.is_receiving() || roles.sender().is_some() {
            return Err(SessionError::Order("a probe while something else is running"));
        }
        // A client that may not send or get files may not measure that direction with empty content either.
        if let Err(failure) = match asked.kind {
            ProbeKind::Echo => Ok(()),
            ProbeKind::Up => self.client.grant.may_send(),
            ProbeKind::Down => self.client.grant.may_read(),
        } {
            self.client.control.send(problem(Vec::new(), failure));
            return Ok(());
        }
        drop(self.window());
        roles.let_go_of_streams();
        let streams = self.take_streams();
        self.queries.probe(&self.client, streams, asked);
        Ok(())
    }
}
