//! The facts that a client has to know of a server before it connects.

use super::address::address;
use super::authority::Authority;
use super::fingerprint::Fingerprint;
use super::ticket::{Invite, Ticket};
use super::token::Token;

/// Where a server is, how it is recognised, and what lets this client in beside its key.
#[derive(Debug, Clone)]
pub struct Contact {
    /// Host name or address; an IPv6 address stands here without its brackets.
    pub host: String,
    /// More hosts under which it may answer, tried after `host` on the same port: behind address translation, the
    /// address that a machine knows of itself is not the one that others reach. What it is recognised by decides.
    pub also_at: Vec<String>,
    /// UDP port, never 0.
    pub port: u16,
    /// Which server is the right one. No secret leaves this machine before it was recognised.
    pub trust: Trust,
    /// The one-time secret of a ticket.
    pub invite: Option<Invite>,
    /// The secret that is shared with the server.
    pub token: Option<Token>,
}

/// How a server is recognised.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The one server that has this key.
    Key(Fingerprint),
    /// By a certificate that this authority issued for the contact's host.
    Authority(Authority),
}

impl Contact {
    /// `HOST:PORT` as people write it.
    pub fn address(&self) -> String {
        address(&self.host, self.port)
    }

    /// The key that the server must have; `None` when a certificate decides.
    pub fn pin(&self) -> Option<Fingerprint> {
        match &self.trust {
            Trust::Key(fingerprint) => Some(*fingerprint),
            Trust::Authority(_) => None,
        }
    }

    /// The same server as a ticket without secrets; `None` when a certificate decides.
    pub fn ticket(&self) -> Option<Ticket> {
        let fingerprint = self.pin()?;
        Some(Ticket { fingerprint, invite: None, host: self.host.clone(), port: self.port })
    }
}

impl From<Ticket> for Contact {
    fn from(ticket: Ticket) -> Self {
        let Ticket { fingerprint, invite, host, port } = ticket;
        Self { host, also_at: Vec::new(), port, trust: Trust::Key(fingerprint), invite, token: None }
    }
}
