//! Who may come in: the one place that decides about a client's `Hello`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use quinn::Connection;
use tracing::{debug, info, warn};

use super::grant::{self, Grant};
use super::{Access, Notice, Shared};
use crate::protocol::close::CloseCode;
use crate::protocol::message::Hello;
use crate::session::SessionError;
use crate::storage::Lost;
use crate::transport::trust::{Allowed, Client, Clients, Guest, Invites, RedeemError, Rights};
use crate::transport::{self, Authority, Fingerprint, Token, Uncertified};

/// The lists by which clients are let in.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) clients: Clients,
    pub(super) invites: Invites,
}

/// A client that may come in.
pub(super) struct Admitted {
    /// What it may do.
    pub(super) grant: Grant,
    /// What the list says of it; `None` for one that no list knows.
    pub(super) listed: Option<Client>,
    /// Whether its invite enrolled it just now.
    pub(super) enrolled: bool,
}

/// Why a client was not let in, and what it is told.
pub(super) struct Turned {
    code: CloseCode,
    why: String,
}

impl From<SessionError> for Turned {
    fn from(error: SessionError) -> Self {
        Self { code: error.close_code(), why: error.to_string() }
    }
}

impl From<CloseCode> for Turned {
    fn from(code: CloseCode) -> Self {
        // What is said to the client is in its words; the log speaks as the server.
        let why = match code {
            CloseCode::NotCertified => "not enrolled here, and no client certificate from --client-ca was shown",
            code => code.reason(),
        };
        Self { code, why: why.to_owned() }
    }
}

impl From<Lost> for Turned {
    fn from(_: Lost) -> Self {
        SessionError::Internal("a disk thread").into()
    }
}

impl From<transport::HomeError> for Turned {
    fn from(error: transport::HomeError) -> Self {
        warn!(%error, "cannot read who is enrolled");
        Self { code: CloseCode::Internal, why: error.to_string() }
    }
}

impl From<RedeemError> for Turned {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::Invite(error) => CloseCode::from(error).into(),
            RedeemError::Home(error) => error.into(),
        }
    }
}

impl Turned {
    /// Tells the client, and the operator.
    pub(super) fn away(self, connection: &Connection, shared: &Shared, addr: SocketAddr, peer: Fingerprint) {
        transport::close(connection, self.code, "");
        refuse(shared, addr, Some(peer), self.why);
    }
}

/// What lets a client in for one connection, without a place in the list.
#[derive(Debug, Default)]
pub(super) struct Passes {
    /// Whoever has the same token may come in.
    pub(super) token: Option<Token>,
    /// Whoever has a certificate from it may come in.
    pub(super) authority: Option<Authority>,
}

impl Passes {
    /// Whether the client has one of them; an error says what is wrong with the one that it brought.
    fn admit(&self, connection: &Connection, hello: &Hello) -> Result<bool, CloseCode> {
        let proof = self.token.as_ref().zip(hello.token_proof);
        if proof.is_some_and(|(token, proof)| token.is_proved_by(&proof, connection)) {
            return Ok(true);
        }
        let judged = self.authority.as_ref().map(|authority| authority.check_client(connection));
        match judged {
            Some(Ok(())) => Ok(true),
            // An invite may yet let it in.
            _ if hello.invite.is_some() => Ok(false),
            _ if proof.is_some() => Err(CloseCode::WrongToken),
            Some(Err(Uncertified::Expired)) => Err(CloseCode::CertificateExpired),
            Some(Err(why)) => {
                debug!(%why, "no certificate that counts");
                Err(CloseCode::NotCertified)
            }
            None => Ok(false),
        }
    }
}

/// Decides whether a key may come in, and what it may do then.
pub(super) async fn authorise(
    shared: &Arc<Shared>,
    connection: &Connection,
    peer: Fingerprint,
    hello: &Hello,
) -> Result<Admitted, Turned> {
    let lists = match (&shared.access, &shared.lists) {
        (Access::Anyone, _) => return Ok(unlisted(shared, peer)),
        (Access::Only(keys), _) if keys.contains(&peer) => return Ok(unlisted(shared, peer)),
        (Access::Only(_), _) | (Access::Enrolled { .. }, None) => return Err(stranger(peer)),
        (Access::Enrolled { .. }, Some(lists)) => lists.clone(),
    };
    let shared = shared.clone();
    let (addr, invite, name) = (connection.remote_address(), hello.invite, hello.name.clone());
    let pass = shared.passes.admit(connection, hello);
    // The lists are files, which no worker thread reads.
    let disk = shared.admissions.clone();
    let decided = disk.run(move || {
        let known = lists.clients.find(&peer)?;
        let expired = known.as_ref().is_some_and(|client| client.rights.have_expired(SystemTime::now()));
        match (known, invite) {
            (Some(client), None) if expired => Err(expired_since(&client)),
            (Some(client), _) if !expired => admit(&shared, client, false),
            (None, _) if pass == Ok(true) => Ok(unlisted(&shared, peer)),
            (None, None) => Err(pass.err().map_or_else(|| stranger(peer), Turned::from)),
            (_, Some(invite)) => {
                let client = enrol(&shared, &lists, addr, peer, &invite, &name)?;
                admit(&shared, client, true)
            }
            (Some(_), None) => unreachable!("whoever is listed has expired or has not"),
        }
    });
    decided.await?
}

fn unlisted(shared: &Arc<Shared>, peer: Fingerprint) -> Admitted {
    Admitted { grant: grant::full(shared, peer), listed: None, enrolled: false }
}

fn stranger(peer: Fingerprint) -> Turned {
    let why = format!("not enrolled here; to let it in: qft peers allow {peer}");
    Turned { code: CloseCode::NotAuthorised, why }
}

fn expired_since(client: &Client) -> Turned {
    let Client { name, rights, .. } = client;
    let why = format!("the time of {name} has ended ({rights}); for more: qft peers allow {name}");
    Turned { code: CloseCode::Expired, why }
}

fn admit(shared: &Shared, client: Client, enrolled: bool) -> Result<Admitted, Turned> {
    let grant = Grant::new(shared, client.fingerprint, &client.rights).map_err(|error| {
        warn!(%error, name = client.name, "a client's directory cannot be used");
        Turned { code: CloseCode::Internal, why: format!("its directory cannot be used: {error}") }
    })?;
    Ok(Admitted { grant, listed: Some(client), enrolled })
}

/// Redeems an invite and puts its bearer on the list. A right one is honoured wherever it comes from: behind one address
/// there may be a whole office, and one who guesses there must not shut out who was invited.
fn enrol(
    shared: &Shared,
    lists: &Lists,
    addr: SocketAddr,
    peer: Fingerprint,
    invite: &[u8; 16],
    name: &str,
) -> Result<Client, Turned> {
    let redeemed = lists.invites.redeem(invite, SystemTime::now());
    if matches!(redeemed, Err(RedeemError::Invite(_))) {
        let now = Instant::now();
        if !shared.door.may_pair(addr, now) {
            return Err(CloseCode::TooManyTries.into());
        }
        shared.door.failed_pairing(addr, now);
    }
    let guest: Guest = redeemed?;
    if let Some(client) = lists.clients.enrol(&peer, name, &guest)? {
        return Ok(client);
    }
    // It is listed and its time has ended: the invite renews it.
    renew(&lists.clients, peer, guest.name.as_deref(), &guest.rights)
}

fn renew(clients: &Clients, peer: Fingerprint, name: Option<&str>, rights: &Rights) -> Result<Client, Turned> {
    match clients.allow(&peer, name, rights)? {
        Allowed::Added(client) | Allowed::Same(client) | Allowed::Changed { new: client, .. } => Ok(client),
        // The invite's name went to somebody else meanwhile; the client keeps its own.
        Allowed::NameTaken(_) if name.is_some() => renew(clients, peer, None, rights),
        Allowed::NameTaken(_) => Err(SessionError::Internal("the list of clients").into()),
    }
}

/// Tells the operator of a client that was not let in.
pub(super) fn refuse(shared: &Shared, addr: SocketAddr, fingerprint: Option<Fingerprint>, why: String) {
    info!(%addr, peer = fingerprint.map(|key| key.short()), why, "refused");
    shared.notices.send(Notice::Refused { addr, fingerprint, why });
}
