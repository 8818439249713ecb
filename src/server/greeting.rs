//! The greeting of a client: it says hello, and is let in or turned away.

use std::sync::Arc;

use quinn::Connection;

use super::ServerInner;
use super::admission::{Admitted, Turned, authorise};
use super::grant::Grant;
use super::passes::AuthorizedBy;
use crate::digest::{ChunkHasher, Salt};
use crate::keys::Fingerprint;
use crate::protocol::features;
use crate::protocol::message::{Message, Welcome};
use crate::protocol::path::{WirePath, escape};
use crate::session::budget::Account;
use crate::session::control::{Control, ControlReader};
use crate::session::unread::Unread;
use crate::session::{SessionError, host_name};
use crate::transport::{self, Granted, Listener, ThrottledPeer};

/// A client that was let in.
pub(super) struct AdmittedClient {
    pub(super) connection: Connection,
    pub(super) control: Control,
    pub(super) hasher: ChunkHasher,
    pub(super) granted: Granted,
    pub(super) grant: Arc<Grant>,
    /// The client's share of the memory and files that all clients may make the server hold.
    pub(super) account: Account,
    /// The bytes that it has sent and nobody has read.
    pub(super) unread: Arc<Unread>,
    /// That its packets spend the rate limit, if there is one.
    pub(super) known: Option<ThrottledPeer>,
    /// The greeting that it hears when it is in.
    pub(super) welcome: Welcome,
    /// Its first job goes on with one of an earlier connection.
    continues: bool,
    /// The entry or pass that lets the client in; `None` where every client is admitted.
    pub(super) basis: Option<AuthorizedBy>,
    pub(super) name: String,
}

impl AdmittedClient {
    /// Hears the client's `Hello` and decides about it. The reader goes on behind it.
    pub(super) async fn greet(
        connection: &Connection,
        listener: &Listener,
        shared: &Arc<ServerInner>,
        peer: Fingerprint,
    ) -> Result<(Self, ControlReader), Turned> {
        let (stream, content) = connection.accept_bi().await.map_err(SessionError::from)?;
        let mut reader = ControlReader::new(content);
        let Some(Message::Hello(hello)) = reader.next().await? else {
            return Err(SessionError::Order("anything but a hello first").into());
        };
        let Admitted { grant, basis, name, enrolled } = authorise(shared, connection, peer, &hello).await?;
        let salt = transport::session_salt(connection).map_err(|_| SessionError::Internal("the key exporter"))?;
        // The name in the list, or in the certificate, can be trusted; the one that a client gives itself cannot.
        let name = escape(name.unwrap_or(hello.name).as_bytes()).to_string();
        let account = shared.budget.account(peer);
        let unread = Unread::new(connection.clone(), &account);
        reader.tell(unread.clone());
        let client = Self {
            connection: connection.clone(),
            control: Control::start(connection.clone(), stream, &account),
            unread,
            account,
            known: None,
            granted: listener.granted(),
            hasher: ChunkHasher::new(&Salt(salt)),
            grant: Arc::new(grant),
            welcome: Welcome { features: hello.features & features::ALL, name: host_name(), enrolled },
            continues: hello.features & features::CONTINUED != 0,
            basis,
            name,
        };
        Ok((client, reader))
    }

    /// The directory below the served one that is all of it to this client; `None` for the whole.
    pub(super) fn root(&self) -> Option<&WirePath> {
        match &self.basis {
            Some(AuthorizedBy::Listed(rights)) => rights.root.as_ref(),
            Some(AuthorizedBy::Pass(_)) | None => None,
        }
    }

    /// The features that both sides use.
    pub(super) fn features(&self) -> u64 {
        self.welcome.features
    }

    /// Whether the job that begins goes on with one of an earlier connection. Only the first may.
    pub(super) fn continues(&mut self) -> bool {
        std::mem::take(&mut self.continues)
    }

    /// Tells the client that it is in.
    pub(super) fn welcome(&self) {
        self.control.send(Message::Welcome(self.welcome.clone()));
    }
}
