//! Admission: the one place that decides about a client's `Hello`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use quinn::Connection;
use tracing::{info, warn};

use super::grant::{self, Grant};
use super::meter::{Limit, RefusalReason};
use super::passes::{AuthorizedBy, Pass};
use super::{Access, Notice, ServerInner};
use crate::keys::trust::{Allowed, ClientEntry, Clients, Invites, KeyStatus, ListedClient, RedeemError, Rights};
use crate::keys::{self, Fingerprint};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::Hello;
use crate::protocol::path::escape_path;
use crate::session::SessionError;
use crate::storage::Lost;
use crate::transport;

/// The lists by which clients are let in.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) clients: Clients,
    pub(super) invites: Invites,
}

/// A client that may come in.
pub(super) struct Admitted {
    /// The rights of this client.
    pub(super) grant: Grant,
    /// The entry or pass that lets the client in; `None` where anyone may come, or a fixed set of keys.
    pub(super) basis: Option<AuthorizedBy>,
    /// Its name in the list or in its certificate.
    pub(super) name: Option<String>,
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
        // The client is told in terms of its own side; the log speaks as the server.
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

impl From<keys::HomeError> for Turned {
    fn from(error: keys::HomeError) -> Self {
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
    pub(super) fn away(self, connection: &Connection, shared: &ServerInner, addr: SocketAddr, peer: Fingerprint) {
        transport::close(connection, self.code, "");
        if self.code == CloseCode::Busy {
            shared.meter.limits.count(Limit::Clients);
        }
        refuse(shared, addr, Some(peer), RefusalReason::Told(self.code), self.why);
    }
}

/// Decides whether a key may come in, and what it may do then.
pub(super) async fn authorise(
    shared: &Arc<ServerInner>,
    connection: &Connection,
    peer: Fingerprint,
    hello: &Hello,
) -> Result<Admitted, Turned> {
    let (root, told) = (shared.root.clone(), no_directory(hello));
    // What is delivered where nobody looks for it would be lost to them.
    if shared.admissions.run(move || root.is_misplaced()).await? {
        return Err(misplaced(shared, told));
    }
    let lists = match (&shared.config.access, &shared.lists) {
        (Access::Anyone, _) => return Ok(unlisted(shared, peer)),
        (Access::Only(keys), _) if keys.contains(&peer) => return Ok(unlisted(shared, peer)),
        (Access::Only(_), _) | (Access::Enrolled { .. }, None) => return Err(stranger(peer)),
        (Access::Enrolled { .. }, Some(lists)) => lists.clone(),
    };
    let shared = shared.clone();
    let (addr, invite, name) = (connection.remote_address(), hello.invite, hello.name.clone());
    let pass = shared.passes().admit(connection, hello);
    // The lists are files, which no worker thread reads.
    let disk = shared.admissions.clone();
    let has_ended = |client: &ListedClient| client.rights.have_expired(SystemTime::now());
    let decided = disk.run(move || match (lists.clients.status(&peer)?, pass, invite) {
        (KeyStatus::Listed(client), ..) if !has_ended(&client) => admit(&shared, client, false, told),
        // A pass lets in clients that are on no list, but none that was revoked.
        (KeyStatus::Unknown, Ok(Some(pass)), _) => Ok(by_pass(&shared, peer, pass)),
        (_, _, Some(invite)) => {
            let client = enrol(&shared, &lists, addr, peer, &invite, &name)?;
            admit(&shared, client, true, told)
        }
        (KeyStatus::Listed(client), _, None) => Err(expired_since(&client)),
        (KeyStatus::Revoked, Ok(Some(_)), None) => Err(shut_out(peer)),
        (KeyStatus::Unknown | KeyStatus::Revoked, pass, None) => {
            Err(pass.err().map_or_else(|| stranger(peer), Turned::from))
        }
    });
    decided.await?
}

fn unlisted(shared: &Arc<ServerInner>, peer: Fingerprint) -> Admitted {
    Admitted { grant: grant::full(shared, peer), basis: None, name: None, enrolled: false }
}

fn by_pass(shared: &Arc<ServerInner>, peer: Fingerprint, pass: Pass) -> Admitted {
    let name = pass.name().map(str::to_owned);
    Admitted { basis: Some(AuthorizedBy::Pass(pass)), name, ..unlisted(shared, peer) }
}

/// The code for a client whose directory cannot be used.
fn no_directory(hello: &Hello) -> CloseCode {
    if hello.features & features::NO_DIRECTORY != 0 { CloseCode::NoDirectory } else { CloseCode::Internal }
}

fn misplaced(shared: &ServerInner, code: CloseCode) -> Turned {
    let dir = escape_path(shared.root.path());
    let why = format!("{dir} was moved or removed, or another disk was mounted on it; start the server again");
    Turned { code, why }
}

fn shut_out(peer: Fingerprint) -> Turned {
    let why = format!("shut out here, whatever it shows; to let it in again: qft peers allow {peer}");
    Turned { code: CloseCode::Revoked, why }
}

fn stranger(peer: Fingerprint) -> Turned {
    let why = format!("not enrolled here; to let it in: qft peers allow {peer}");
    Turned { code: CloseCode::NotAuthorised, why }
}

fn expired_since(client: &ListedClient) -> Turned {
    let ListedClient { name, rights, .. } = client;
    let why = format!("the time of {name} has ended ({rights}); for more: qft peers allow {name}");
    Turned { code: CloseCode::Expired, why }
}

/// `told`: what the client hears if its directory cannot be used.
fn admit(shared: &ServerInner, client: ListedClient, enrolled: bool, told: CloseCode) -> Result<Admitted, Turned> {
    let grant = Grant::new(shared, client.fingerprint, &client.rights).map_err(|error| {
        warn!(%error, name = client.name, "a client's directory cannot be used");
        Turned { code: told, why: format!("its directory cannot be used: {error}") }
    })?;
    let ListedClient { name, rights, .. } = client;
    Ok(Admitted { grant, basis: Some(AuthorizedBy::Listed(rights)), name: Some(name), enrolled })
}

/// Redeems an invite and puts its bearer on the list. A right one is honoured wherever it comes from: behind one address
/// there may be a whole office, and one who guesses there must not shut out who was invited.
fn enrol(
    shared: &ServerInner,
    lists: &Lists,
    addr: SocketAddr,
    peer: Fingerprint,
    invite: &[u8; 16],
    name: &str,
) -> Result<ListedClient, Turned> {
    let redeemed = lists.invites.redeem(invite, SystemTime::now());
    if matches!(redeemed, Err(RedeemError::Invite(_))) {
        let now = Instant::now();
        if !shared.gate.may_pair(addr, now) {
            return Err(CloseCode::TooManyTries.into());
        }
        shared.gate.failed_pairing(addr, now);
    }
    let entry: ClientEntry = redeemed?;
    if let Some(client) = lists.clients.enrol(&peer, name, &entry)? {
        return Ok(client);
    }
    // It is listed and its time has ended: the invite renews it.
    renew(&lists.clients, peer, entry.name.as_deref(), &entry.rights)
}

fn renew(clients: &Clients, peer: Fingerprint, name: Option<&str>, rights: &Rights) -> Result<ListedClient, Turned> {
    match clients.allow(&peer, name, rights)? {
        Allowed::Added(client) | Allowed::Same(client) | Allowed::Changed { new: client, .. } => Ok(client),
        // The invite's name went to somebody else meanwhile; the client keeps its own.
        Allowed::NameTaken(_) if name.is_some() => renew(clients, peer, None, rights),
        Allowed::NameTaken(_) => Err(SessionError::Internal("the list of clients").into()),
    }
}

/// Tells the operator of a client that was not let in.
pub(super) fn refuse(
    shared: &ServerInner,
    addr: SocketAddr,
    fingerprint: Option<Fingerprint>,
    refusal: RefusalReason,
    why: String,
) {
    shared.meter.refused.count(refusal);
    info!(%addr, peer = fingerprint.map(|key| key.short()), why, "refused");
    shared.notices.send(Notice::Refused { addr, fingerprint, why });
}
