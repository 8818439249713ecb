//! Resolves the remote that a command line names: by the list of known ones, a question, a certificate, or ssh.

use std::num::NonZeroU16;
use std::path::Path;

use super::super::ask::{Interaction, introduce};
use super::super::plan::{self, KnownStatus, LsPlan, ResolvedName, ServerTarget, UnknownServer};
use super::super::remote::{Spec, below};
use super::ConnectSettings;
use crate::cli::args::{JobArgs, QueryArgs, SshArgs, TrustArgs};
use crate::cli::exit::Complaint;
use crate::cli::ssh::{FarEnd, FarStart};
use crate::keys::trust::{Remote, Remotes};
use crate::keys::{self, Authority, Contact, HomeError, Token, Trust};
use crate::protocol::path::escape;

/// The program that is run on the far side of ssh, unless the user gives another path.
const PROGRAM: &str = "qft";

/// The remote that a command line names, and its options.
pub(crate) struct TargetQuery<'a> {
    /// `None`: the default remote.
    pub(crate) spec: Option<&'a Spec>,
    /// The paths that a far end behind ssh is asked for.
    pub(crate) far: Vec<Vec<u8>>,
    /// How ssh is run.
    pub(crate) ssh: &'a SshArgs,
    /// The options on trust.
    pub(crate) trust: &'a TrustArgs,
    /// Whether events go to standard output as JSON.
    pub(crate) json: bool,
}

impl<'a> TargetQuery<'a> {
    /// The query of a transfer.
    pub(crate) fn by(spec: Option<&'a Spec>, far: Vec<Vec<u8>>, job: &'a JobArgs) -> Self {
        Self { spec, far, ssh: &job.ssh, trust: &job.trust, json: job.output.json }
    }
}

pub(crate) struct ResolvedTarget {
    pub(crate) place: ServerTarget,
    /// Held to the end: dropping it ends the far end behind ssh.
    pub(crate) far_end: Option<FarEnd>,
    /// A note for the user.
    pub(crate) note: Option<String>,
}

/// Finds the remote that is wanted: among the known ones, by asking, or by starting it through ssh.
pub(crate) fn resolve(wanted: TargetQuery<'_>, settings: &ConnectSettings) -> anyhow::Result<ResolvedTarget> {
    let Some(Spec::Ssh { destination, .. }) = wanted.spec else {
        let interaction = Interaction { json: wanted.json, patience: settings.patience };
        let (place, note) = resolve_server(wanted.spec, wanted.trust, interaction)?;
        return Ok(ResolvedTarget { place, far_end: None, note });
    };
    let trust = wanted.trust;
    if trust.port.is_some() || trust.fingerprint.is_some() || trust.ca.is_some() || trust.cert.is_some() {
        let port = trust.port.map_or_else(|| "PORT".to_owned(), |port| port.to_string());
        return Err(Complaint::Usage(format!(
            "--port, --fingerprint, --ca and --cert are for a server that runs already; ssh's own port: -e 'ssh -p {port}'"
        ))
        .into());
    }
    let asked = FarStart {
        destination: destination.clone(),
        rsh: wanted.ssh.rsh.clone().filter(|rsh| !rsh.is_empty()),
        remote_qft: wanted.ssh.remote_qft.clone().unwrap_or_else(|| PROGRAM.to_owned()),
        ports: wanted.ssh.ssh_ports.unwrap_or_default(),
        patience: settings.patience,
        sync: settings.sync,
        rate_limit: settings.rate_limit,
        paths: wanted.far,
    };
    let far_end = FarEnd::start(&asked)?;
    Ok(ResolvedTarget { place: ServerTarget::Far(Box::new(far_end.far.clone())), far_end: Some(far_end), note: None })
}

/// A place on a remote that is to be looked at.
pub(crate) struct View {
    pub(crate) target: ResolvedTarget,
    /// How it is reached.
    pub(crate) settings: ConnectSettings,
    /// The directory that all names are below, for a far end behind ssh; empty elsewhere.
    pub(crate) dir: Vec<u8>,
    /// The pattern that is asked for.
    pub(crate) pattern: Vec<u8>,
    /// Both as they were typed.
    pub(crate) typed: Vec<u8>,
}

/// Finds the remote of a place that is to be looked at.
pub(crate) fn resolve_view(plan: LsPlan, query: &QueryArgs) -> anyhow::Result<View> {
    let LsPlan { spec, far, pattern } = plan;
    let dir = far.first().cloned().unwrap_or_default();
    let typed = below(&dir, &pattern);
    let settings = ConnectSettings::without_files(query.timeout, &query.trust);
    let wanted = TargetQuery { spec: spec.as_ref(), far, ssh: &query.ssh, trust: &query.trust, json: query.json };
    let target = resolve(wanted, &settings)?;
    let pattern = match &target.far_end {
        Some(far_end) => plan::below_far_root(vec![pattern], &far_end.names).remove(0),
        None => pattern,
    };
    Ok(View { target, settings, dir, pattern, typed })
}

/// Finds a server that runs already: among the known ones, or by asking. Gives what is to be said about it.
fn resolve_server(
    spec: Option<&Spec>,
    trust: &TrustArgs,
    interaction: Interaction,
) -> anyhow::Result<(ServerTarget, Option<String>)> {
    let is_elsewhere = !matches!(spec, Some(Spec::Local { .. } | Spec::Ssh { .. }));
    let remotes = if is_elsewhere { known_remotes()? } else { Vec::new() };
    let found = plan::place(spec, &remotes, trust.port.map(NonZeroU16::get), str::parse)?;
    let (mut place, note) = match (&trust.ca, found) {
        (Some(_), ResolvedName::Server(ServerTarget::Local { .. })) => {
            return Err(Complaint::usage("--ca is for a server's address").into());
        }
        (Some(_), _) if matches!(spec, Some(Spec::Url { .. })) => {
            return Err(Complaint::usage("the ticket names the server's key already: leave out --ca").into());
        }
        (Some(ca), found) => (certified(found, ca)?, None),
        (None, ResolvedName::Unknown(unknown_server)) => introduce(&unknown_server, trust, interaction)?,
        (None, ResolvedName::Server(place)) => (place, None),
    };
    if let ServerTarget::Remote { contact, label, known_status } = &mut place {
        check_pin(contact, label, known_status, trust)?;
        contact.token = trust.token_file.as_deref().map(Token::load).transpose()?;
    }
    let exposed = [&trust.token_file, &trust.key].into_iter().flatten().filter_map(|path| keys::exposure(path));
    let notes: Vec<String> = note.into_iter().chain(exposed).collect();
    Ok((place, (!notes.is_empty()).then(|| notes.join("\n"))))
}

/// The servers that are known here. In a home that cannot even be made there are none.
fn known_remotes() -> Result<Vec<Remote>, HomeError> {
    match Remotes::open(&keys::home()?) {
        Err(HomeError::Unmade { .. }) => Ok(Vec::new()),
        remotes => remotes?.list(),
    }
}

/// A server for which a certificate vouches, whatever the list says about its key.
fn certified(found: ResolvedName, ca: &Path) -> anyhow::Result<ServerTarget> {
    let trust = Trust::Authority(Authority::load(ca)?);
    let (host, port, label) = match found {
        ResolvedName::Server(ServerTarget::Remote { contact, label, .. }) => (contact.host, contact.port, label),
        ResolvedName::Server(other @ (ServerTarget::Far(_) | ServerTarget::Local { .. })) => return Ok(other),
        ResolvedName::Unknown(UnknownServer { host, port, .. }) => {
            let label = escape(host.as_bytes()).to_string();
            (host, port, label)
        }
    };
    let contact = Contact { host, also_at: Vec::new(), port, trust, invite: None, token: None };
    Ok(ServerTarget::Remote { contact, label, known_status: KnownStatus::Certified })
}

/// `--fingerprint` and what is known already must agree.
fn check_pin(contact: &Contact, label: &str, known_status: &KnownStatus, trust: &TrustArgs) -> Result<(), Complaint> {
    let (Some(given), Some(known)) = (trust.fingerprint, contact.pin()) else { return Ok(()) };
    if given == known {
        return Ok(());
    }
    let (whose, remedy) = match known_status {
        KnownStatus::Known { .. } => {
            ("the one known here", format!("if the server has a new key: qft remote forget {label}"))
        }
        _ => ("the ticket", "leave out --fingerprint, or ask for a new ticket".to_owned()),
    };
    Err(Complaint::Untrusted(format!(
        "--fingerprint names another identity for {label} than {whose}; not connecting\n  \
        known  {known}\n  given  {given}\n{remedy}"
    )))
}
