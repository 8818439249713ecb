//! From a [`Place`] to a client that can talk to it: identity, known remotes, the server in this process.

use std::num::{NonZeroU16, NonZeroUsize};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::args::{JobArgs, Limit, SshArgs, TrustArgs};
use super::ask::{Manner, Stranger, introduce};
use super::exit::Complaint;
use super::plan::{self, Found, Place, Standing};
use super::remote::Spec;
use super::spool::PrivateDir;
use super::ssh::{Asked, FarEnd};
use super::ui::text::shown;
use crate::client::Client;
use crate::error::Error;
use crate::protocol::path::escape;
use crate::server::{Access, Server, ServerHandle};
use crate::transport::trust::Remotes;
use crate::transport::{self, Authority, Contact, Identity, PathMemory, Rate, Ticket, Token, TransportError, Trust};

/// How long the server in this process may take to end when its only client is done.
const LOCAL_DRAIN: Duration = Duration::from_secs(2);

/// What is run on the far side of ssh, unless the user says where it is.
const PROGRAM: &str = "qft";

/// What becomes of a `local:` directory that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is made.
    Make,
    /// It is an error.
    Refuse,
    /// An empty one stands in for it: a dry run changes nothing.
    Pretend,
}

/// Whom the words on the command line name, and what they say about it.
pub(crate) struct Wanted<'a> {
    /// `None`: the default remote.
    pub(crate) spec: Option<&'a Spec>,
    /// The paths that a far end behind ssh is asked for.
    pub(crate) far: Vec<Vec<u8>>,
    /// How ssh is run.
    pub(crate) ssh: &'a SshArgs,
    /// What is trusted.
    pub(crate) trust: &'a TrustArgs,
    /// Whether events go to standard output as JSON.
    pub(crate) json: bool,
}

impl<'a> Wanted<'a> {
    /// What a transfer was told.
    pub(crate) fn by(spec: Option<&'a Spec>, far: Vec<Vec<u8>>, job: &'a JobArgs) -> Self {
        Self { spec, far, ssh: &job.ssh, trust: &job.trust, json: job.output.json }
    }
}

/// Whom they mean.
pub(crate) struct Whom {
    /// Where it is.
    pub(crate) place: Place,
    /// Held to the end: dropping it ends the far end behind ssh.
    pub(crate) far_end: Option<FarEnd>,
    /// What is to be said about it.
    pub(crate) note: Option<String>,
}

/// Finds the remote that is wanted: among the known ones, by asking, or by starting it through ssh.
pub(crate) fn find(wanted: Wanted<'_>, reach: &Reach) -> anyhow::Result<Whom> {
    let Some(Spec::Ssh { destination, .. }) = wanted.spec else {
        let manner = Manner { json: wanted.json, patience: reach.patience };
        let (place, note) = find_server(wanted.spec, wanted.trust, manner)?;
        return Ok(Whom { place, far_end: None, note });
    };
    let trust = wanted.trust;
    if trust.port.is_some() || trust.fingerprint.is_some() || trust.ca.is_some() || trust.cert.is_some() {
        let text = "--port, --fingerprint, --ca and --cert are for a server that runs already; ssh needs none of them";
        return Err(Complaint::usage(text).into());
    }
    let asked = Asked {
        destination: destination.clone(),
        rsh: wanted.ssh.rsh.clone().filter(|rsh| !rsh.is_empty()),
        remote_qft: wanted.ssh.remote_qft.clone().unwrap_or_else(|| PROGRAM.to_owned()),
        ports: wanted.ssh.ssh_ports.unwrap_or_default(),
        patience: reach.patience,
        sync: reach.sync,
        rate_limit: reach.rate_limit,
        paths: wanted.far,
    };
    let far_end = FarEnd::start(&asked)?;
    Ok(Whom { place: far_end.place(), far_end: Some(far_end), note: None })
}

/// Finds a server that runs already: among the known ones, or by asking. Gives what is to be said about it.
pub(crate) fn find_server(
    spec: Option<&Spec>,
    trust: &TrustArgs,
    manner: Manner,
) -> anyhow::Result<(Place, Option<String>)> {
    let is_elsewhere = !matches!(spec, Some(Spec::Local { .. } | Spec::Ssh { .. }));
    let remotes = if is_elsewhere { Remotes::open(&transport::home()?)?.list()? } else { Vec::new() };
    let found = plan::place(spec, &remotes, trust.port.map(NonZeroU16::get), str::parse)?;
    let (mut place, note) = match (&trust.ca, found) {
        (Some(_), Found::Place(Place::Local { .. })) => {
            return Err(Complaint::usage("--ca is for a server's address").into());
        }
        (Some(_), _) if matches!(spec, Some(Spec::Url { .. })) => {
            return Err(Complaint::usage("the ticket names the server's key already: leave out --ca").into());
        }
        (Some(ca), found) => (certified(found, ca)?, None),
        (None, Found::Stranger(stranger)) => introduce(&stranger, trust, manner)?,
        (None, Found::Place(place)) => (place, None),
    };
    if let Place::Remote { contact, label, standing } = &mut place {
        check_pin(contact, label, standing, trust)?;
        contact.token = trust.token_file.as_deref().map(Token::load).transpose()?;
    }
    Ok((place, note))
}

/// A server for which a certificate vouches, whatever the list says about its key.
fn certified(found: Found, ca: &Path) -> anyhow::Result<Place> {
    let trust = Trust::Authority(Authority::load(ca)?);
    let (host, port, label) = match found {
        Found::Place(Place::Remote { contact, label, .. }) => (contact.host, contact.port, label),
        Found::Place(other @ (Place::Far(_) | Place::Local { .. })) => return Ok(other),
        Found::Stranger(Stranger { host, port, .. }) => {
            let label = escape(host.as_bytes()).to_string();
            (host, port, label)
        }
    };
    let contact = Contact { host, also_at: Vec::new(), port, trust, invite: None, token: None };
    Ok(Place::Remote { contact, label, standing: Standing::Certified })
}

/// `--fingerprint` and what is known already must agree.
fn check_pin(contact: &Contact, label: &str, standing: &Standing, trust: &TrustArgs) -> Result<(), Complaint> {
    let (Some(given), Some(known)) = (trust.fingerprint, contact.pin()) else { return Ok(()) };
    if given == known {
        return Ok(());
    }
    let (whose, remedy) = match standing {
        Standing::Known { .. } => {
            ("the one known here", format!("if the server has a new key: qft remote forget {label}"))
        }
        _ => ("the ticket", "leave out --fingerprint, or ask for a new ticket".to_owned()),
    };
    Err(Complaint::Untrusted(format!(
        "--fingerprint names another identity for {label} than {whose}; not connecting\n  \
        known  {known}\n  given  {given}\n{remedy}"
    )))
}

/// What an error means here: of a known server that changed its key, where it is known from, and what to do.
pub(crate) fn explain(place: &Place, error: Error) -> anyhow::Error {
    let (contact, label, line, since) = match place {
        Place::Remote { contact, label, standing: Standing::Known { line, since } } => (contact, label, line, since),
        Place::Far(far) => return far.explain(error),
        Place::Remote { .. } | Place::Local { .. } => return error.into(),
    };
    let Error::Transport(TransportError::WrongServer { expected, found }) = &error else { return error.into() };
    let Ok(remotes) = transport::home().map_err(Error::from).and_then(|home| Ok(Remotes::open(&home)?)) else {
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
pub(crate) fn remember(place: &Place, peer: &str, enrolled: bool) -> anyhow::Result<Option<String>> {
    let Place::Remote { contact, standing, .. } = place else { return Ok(None) };
    let Some(ticket) = contact.ticket() else { return Ok(None) };
    let who = format!("{} ({})", shown(peer), ticket.fingerprint.short());
    let Standing::New { name } = standing else {
        return Ok(enrolled.then(|| format!("paired with {who}")));
    };
    let remotes = Remotes::open(&transport::home()?)?;
    let own = if peer.is_empty() { ticket.host.as_str() } else { peer };
    let saved = remotes.save(name.as_deref().unwrap_or(own), &ticket).context("saving the remote")?;
    let paired = if enrolled { format!("paired with {who}, ") } else { String::new() };
    let default = if saved.is_default { ", now the default" } else { "" };
    Ok(Some(format!("{paired}saved as remote \"{}\"{default}", shown(&saved.name))))
}

/// A client, and what it talks to.
pub(crate) struct Reached {
    /// Ready to send, get and list.
    pub(crate) client: Client,
    /// Where to.
    pub(crate) contact: Contact,
    local: Option<Local>,
}

struct Local {
    handle: ServerHandle,
    /// Owns the server, and reads its notices.
    notices: JoinHandle<()>,
    /// Held until the server has ended.
    _stand_in: Option<PrivateDir>,
}

/// How to reach a place.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// How long to keep trying while nothing moves; zero = for ever.
    pub(crate) patience: Duration,
    /// Whether the server in this process waits until files are safe on disk.
    pub(crate) sync: bool,
    /// See [`Missing`].
    pub(crate) missing: Missing,
    /// A certificate and its key to show instead of this machine's own.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// Most that moves each way. A server in this process, or behind ssh, holds it too: what it does not send need not
    /// be dropped here.
    pub(crate) rate_limit: Option<Rate>,
}

impl Reach {
    /// As the options of a transfer have it.
    pub(crate) fn of(job: &JobArgs, sync: bool, missing: Missing) -> Self {
        Self {
            patience: job.link.timeout,
            sync,
            missing,
            certificate: job.trust.certificate(),
            rate_limit: Limit::rate_of(job.link.bwlimit),
        }
    }
}

impl Reached {
    /// Loads or makes the identity, and starts the server of a `local:` place. Runs in the runtime that the
    /// transfer will use.
    pub(crate) async fn open(place: &Place, reach: Reach) -> anyhow::Result<Self> {
        let (identity, contact, local) = match place {
            Place::Remote { contact, .. } => (own_identity(reach.certificate.as_ref())?, contact.clone(), None),
            Place::Far(far) => {
                let contact = Contact { also_at: far.also_at.clone(), ..far.ticket.clone().into() };
                (far.identity.clone(), contact, None)
            }
            Place::Local { root } => {
                let identity = Identity::ephemeral()?;
                let (ticket, local) = Local::start(root, &identity, &reach).await?;
                (identity, ticket.into(), Some(local))
            }
        };
        let paths = match place {
            Place::Remote { .. } => transport::home().ok().map(|home| PathMemory::of_servers(&home)),
            // A port of its own for every run, or no path at all.
            Place::Far(_) | Place::Local { .. } => None,
        };
        let client = Client::builder(identity).patience(reach.patience).rate_limit(reach.rate_limit).path_memory(paths);
        let client = client.build()?;
        Ok(Self { client, contact, local })
    }

    /// Ends the server in this process, if there is one.
    pub(crate) async fn close(self) {
        if let Some(local) = self.local {
            local.handle.shutdown(LOCAL_DRAIN);
            // It has ended when there are no more notices; whatever keeps it longer does not keep the user.
            drop(tokio::time::timeout(2 * LOCAL_DRAIN, local.notices).await);
        }
    }
}

/// A path as its owner writes it.
fn homely(path: &Path) -> String {
    let short = std::env::home_dir().and_then(|home| Some(Path::new("~").join(path.strip_prefix(home).ok()?)));
    escape(short.as_deref().unwrap_or(path).as_os_str().as_bytes()).to_string()
}

fn own_identity(certificate: Option<&(PathBuf, PathBuf)>) -> anyhow::Result<Identity> {
    match certificate {
        Some((certificate, key)) => Ok(Identity::load(certificate, key)?),
        None => Identity::load_or_create(&transport::home()?).context("this machine's identity"),
    }
}

impl Local {
    /// Serves `root` to one client only, through the whole QUIC path over loopback.
    async fn start(root: &Path, client: &Identity, reach: &Reach) -> anyhow::Result<(Ticket, Self)> {
        let (root, stand_in) = local_root(root, reach.missing)?;
        let builder = Server::builder(root, Identity::ephemeral()?)
            .listen((std::net::Ipv4Addr::LOCALHOST, 0).into())
            // One connection needs one worker.
            .workers(NonZeroUsize::MIN)
            .access(Access::Only(vec![client.fingerprint()]))
            // It is the user's own directory, in the user's own hand.
            .hidden(true)
            .sync(reach.sync)
            .rate_limit(reach.rate_limit);
        // Starting waits for the server's threads, which a runtime's own thread must not.
        let server = tokio::task::spawn_blocking(move || builder.start()).await?.context("the local server")?;
        let address = server.local_addr();
        let ticket = Ticket {
            fingerprint: server.fingerprint(),
            invite: None,
            host: address.ip().to_string(),
            port: address.port(),
        };
        let handle = server.handle();
        // The transfer's own events say all that this server's notices would; they only must not pile up.
        let notices = tokio::spawn(async move { while server.notice().await.is_some() {} });
        Ok((ticket, Self { handle, notices, _stand_in: stand_in }))
    }
}

fn local_root(root: &Path, missing: Missing) -> anyhow::Result<(PathBuf, Option<PrivateDir>)> {
    let is_there = root.try_exists().unwrap_or(false);
    let shown = escape(root.as_os_str().as_bytes());
    match missing {
        Missing::Make if !is_there => {
            std::fs::create_dir_all(root).with_context(|| format!("making {shown}"))?;
        }
        Missing::Pretend if !is_there => {
            let stand_in = PrivateDir::new().context("making a temporary directory")?;
            return Ok((stand_in.path().to_owned(), Some(stand_in)));
        }
        _ => {}
    }
    match root.is_dir() {
        true => Ok((root.to_owned(), None)),
        false => anyhow::bail!("{shown}: {}", if is_there { "not a directory" } else { "no such directory" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_local_directory_is_made_only_to_send_there() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let missing = parent.path().join("a/b");
        assert!(local_root(&missing, Missing::Refuse).is_err());
        let (root, stand_in) = local_root(&missing, Missing::Pretend).expect("a stand-in");
        assert!(root != missing && root.is_dir() && !missing.exists());
        drop(stand_in);
        assert!(!root.exists(), "the stand-in is gone");
        let (root, stand_in) = local_root(&missing, Missing::Make).expect("made");
        assert!(root == missing && missing.is_dir() && stand_in.is_none());
    }

    #[test]
    fn a_file_is_no_local_directory() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let file = parent.path().join("file");
        std::fs::write(&file, b"x").expect("written");
        for missing in [Missing::Make, Missing::Refuse, Missing::Pretend] {
            let error = local_root(&file, missing).expect_err("a file");
            assert!(error.to_string().ends_with("not a directory"), "{error}");
        }
    }
}
