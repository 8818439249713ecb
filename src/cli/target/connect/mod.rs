//! From a [`ServerTarget`] to a client that can talk to it: identity, known remotes, the server in this process.

mod local;
mod resolve;

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use self::local::LocalServer;
pub(crate) use self::local::OnMissing;
pub(crate) use self::resolve::{ResolvedTarget, TargetQuery, View, resolve, resolve_view};
use super::plan::{KnownStatus, ServerTarget};
use crate::cli::args::{BandwidthLimit, JobArgs, TrustArgs};
use crate::cli::exit::Complaint;
use crate::cli::run::sandbox::Sandbox;
use crate::cli::ui::text::shown;
use crate::cli::ui::{asking_again, message};
use crate::client::Client;
use crate::error::Error;
use crate::keys::trust::Remotes;
use crate::keys::{self, Contact, Identity};
use crate::protocol::path::escape;
use crate::storage::sync_names_above;
use crate::transport::{PathMemory, Rate, TransportError};

/// The subject of the error when there is no identity.
const OWN_IDENTITY: &str = "this machine's identity";

/// Explains an error: for a known server that changed its key, where it is known from, and what to do.
pub(crate) fn explain(place: &ServerTarget, error: Error) -> anyhow::Error {
    let (contact, label, line, since) = match place {
        ServerTarget::Remote { contact, label, known_status: KnownStatus::Known { line, since } } => {
            (contact, label, line, since)
        }
        ServerTarget::Far(far) => return far.explain(error),
        ServerTarget::Remote { .. } | ServerTarget::Local { .. } => return error.into(),
    };
    let Error::Transport(TransportError::WrongServer { expected, found }) = &error else { return error.into() };
    let Ok(remotes) = keys::home().map_err(Error::from).and_then(|home| Ok(Remotes::open(&home)?)) else {
        return error.into();
    };
    let since = since.as_ref().map(|since| format!(", since {since}")).unwrap_or_default();
    let address = contact.address();
    let list = homely(&remotes.path());
    Complaint::Untrusted(format!(
        "{address} answered with a different identity; not connecting\n  \
        known  {expected}\n         ({list}:{line}{since})\n  \
        now    {found}\n\
        If the server was reinstalled: qft remote forget {label}, then pair again.\n\
        If not, somebody may be in between: ask its administrator."
    ))
    .into()
}

/// Saves a remote that was reached by its ticket, and says so. `None`: it is known already.
pub(crate) fn remember(place: &ServerTarget, peer: &str, enrolled: bool) -> anyhow::Result<Option<String>> {
    let ServerTarget::Remote { contact, known_status, .. } = place else { return Ok(None) };
    let Some(ticket) = contact.ticket() else { return Ok(None) };
    let who = format!("{} ({})", shown(peer), ticket.fingerprint.short());
    let KnownStatus::New { name } = known_status else {
        return Ok(enrolled.then(|| format!("paired with {who}")));
    };
    let remotes = Remotes::open(&keys::home()?)?;
    let own = if peer.is_empty() { ticket.host.as_str() } else { peer };
    let moved = remotes.renewed_by(&ticket)?;
    let saved = remotes.save(name.as_deref().unwrap_or(own), &ticket).context("saving the remote")?;
    let paired = if enrolled { format!("paired with {who}, ") } else { String::new() };
    if let Some(old) = moved.filter(|old| old.name == saved.name) {
        let (name, now, was) = (shown(&saved.name), saved.ticket.address(), old.ticket.address());
        return Ok(Some(format!("{paired}remote \"{name}\" is at {now} now (it was {was})")));
    }
    let default = if saved.is_default { ", now the default" } else { "" };
    Ok(Some(format!("{paired}saved as remote \"{}\"{default}", shown(&saved.name))))
}

/// A client, and what it talks to.
pub(crate) struct Connected {
    /// Ready to send, get and list.
    pub(crate) client: Client,
    pub(crate) contact: Contact,
    local: Option<LocalServer>,
}

/// How to reach a place.
#[derive(Debug, Clone)]
pub(crate) struct ConnectSettings {
    /// How long to keep trying while nothing moves; zero = for ever.
    pub(crate) patience: Duration,
    /// Whether the server in this process waits until files are safe on disk.
    pub(crate) sync: bool,
    pub(crate) missing: OnMissing,
    /// A certificate and its key to show instead of this machine's own.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// Most that moves each way. A server in this process, or behind ssh, holds it too: what it does not send need not
    /// be dropped here.
    pub(crate) rate_limit: Option<Rate>,
    /// The address of this machine to connect from.
    pub(crate) bind: Option<SocketAddr>,
    /// Where what is got goes: the server in this process does not send that, too.
    pub(crate) into: Option<PathBuf>,
}

impl ConnectSettings {
    /// As the options of a transfer have it.
    pub(crate) fn of(job: &JobArgs, sync: bool, missing: OnMissing) -> Self {
        Self {
            patience: job.link.timeout,
            sync,
            missing,
            certificate: job.trust.certificate(),
            rate_limit: BandwidthLimit::rate_of(job.link.bwlimit),
            bind: job.trust.bind,
            into: None,
        }
    }

    /// For commands that move no file.
    pub(crate) fn without_files(patience: Duration, trust: &TrustArgs) -> Self {
        Self {
            patience,
            sync: true,
            missing: OnMissing::Refuse,
            certificate: trust.certificate(),
            rate_limit: None,
            bind: trust.bind,
            into: None,
        }
    }

    /// What is needed to get there: the home and the system's resolver, or the directory of a server in this process, of
    /// which files are sent there (`receives`) or come from there. `None`: it cannot be told before it is done.
    pub(crate) fn sandbox(&self, place: &ServerTarget, receives: bool) -> Option<Sandbox> {
        let sandbox = Sandbox::new();
        match place {
            ServerTarget::Remote { .. } => {
                let files = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
                let sandbox = files.fold(sandbox.resolves(), |all, file| all.reads_file(file));
                Some(keys::home().into_iter().fold(sandbox, |all, home| all.uses_home(&home)))
            }
            ServerTarget::Far(_) => Some(sandbox.resolves()),
            // A stand-in is made.
            ServerTarget::Local { root } if self.missing == OnMissing::Pretend && !root.is_dir() => None,
            ServerTarget::Local { root } if receives => {
                // A rule holds for what is there, so it is made here. What fails now fails again where it is told.
                fs::create_dir_all(root).ok()?;
                // Files that are put into a directory would be lost with it.
                sync_names_above(root);
                Some(sandbox.changes(root))
            }
            ServerTarget::Local { root } => Some(sandbox.reads(root)),
        }
    }
}

impl Connected {
    /// Loads or makes the identity, and starts the server of a `local:` place. Runs in the runtime that the
    /// transfer will use.
    pub(crate) async fn open(place: &ServerTarget, settings: ConnectSettings) -> anyhow::Result<Self> {
        let (identity, contact, local) = match place {
            ServerTarget::Remote { contact, .. } => {
                (own_identity(settings.certificate.as_ref(), contact)?, contact.clone(), None)
            }
            ServerTarget::Far(far) => {
                let contact = Contact { also_at: far.also_at.clone(), ..far.ticket.clone().into() };
                (far.identity.clone(), contact, None)
            }
            ServerTarget::Local { root } => {
                let identity = Identity::ephemeral()?;
                let (ticket, local) = LocalServer::start(root, &identity, &settings).await?;
                (identity, ticket.into(), Some(local))
            }
        };
        let paths = match place {
            ServerTarget::Remote { .. } => keys::home().ok().map(|home| PathMemory::of_servers(&home)),
            // A port of its own for every run, or no path at all.
            ServerTarget::Far(_) | ServerTarget::Local { .. } => None,
        };
        let client =
            Client::builder(identity).patience(settings.patience).rate_limit(settings.rate_limit).path_memory(paths);
        // The server in this process listens where every machine has an address.
        let client = client.local_address(settings.bind.filter(|_| !matches!(place, ServerTarget::Local { .. })));
        // ssh has shown that the host is there, and a server in this process runs.
        let client = client.wait_for_first(matches!(place, ServerTarget::Remote { .. }));
        // A request of this kind has no bars that could show a wait.
        let client = client.on_wait(say_that_it_waits);
        let client = client.build()?;
        Ok(Self { client, contact, local })
    }

    /// Ends the server in this process, if there is one.
    pub(crate) async fn close(self) {
        if let Some(local) = self.local {
            local.end().await;
        }
    }
}

/// A path as its owner writes it.
fn homely(path: &Path) -> String {
    let short = std::env::home_dir().and_then(|home| Some(Path::new("~").join(path.strip_prefix(home).ok()?)));
    escape(short.as_deref().unwrap_or(path).as_os_str().as_bytes()).to_string()
}

/// Without a key, and with a home that cannot be written, a token may let in, or a server that lets in anyone: no key
/// could. Only an invite is for a key that is kept.
fn own_identity(certificate: Option<&(PathBuf, PathBuf)>, contact: &Contact) -> anyhow::Result<Identity> {
    if let Some((certificate, key)) = certificate {
        return Ok(Identity::load(certificate, key)?);
    }
    let home = keys::home()?;
    if contact.invite.is_some() && contact.token.is_none() {
        return Identity::load_or_create(&home).context(OWN_IDENTITY);
    }
    let (identity, unkept) = Identity::load_or_ephemeral(&home).context(OWN_IDENTITY)?;
    if let Some(why) = unkept {
        // Standard error may be closed, which stops nothing.
        let _ = writeln!(io::stderr(), "note: a key for this run only: {}", message(&why.into()));
    }
    Ok(identity)
}

/// Tells somebody who sees no bars that a server lets nobody in. Standard error may be closed, which stops nothing.
pub(crate) fn say_that_it_waits(why: &Error) {
    let _ = writeln!(io::stderr(), "{}", asking_again(&why.to_string()));
}
