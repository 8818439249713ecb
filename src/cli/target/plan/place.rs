//! Which place the words that name a remote lead to: one of the list, one that a ticket pins, this process, or a
//! stranger.

use std::path::PathBuf;

use anyhow::Context as _;

use super::super::remote::{Spec, TicketText, local_path};
use crate::cli::exit::Complaint;
use crate::cli::ssh::Far;
use crate::keys::trust::Remote;
use crate::keys::{Contact, DEFAULT_PORT, Fingerprint, Ticket, TicketError, address, parse_host_port};
use crate::protocol::path::{escape, escape_path};

/// Where the other side is.
#[derive(Clone)]
pub(crate) enum ServerTarget {
    Remote {
        /// How to reach it, and how to recognise it.
        contact: Contact,
        /// Its name here, or its host.
        label: String,
        /// Whether it is known here.
        known_status: KnownStatus,
    },
    /// A server that was started through ssh for this run.
    Far(Box<Far>),
    /// A server in this process.
    Local {
        /// The directory that it serves.
        root: PathBuf,
    },
}

/// Whether a remote is in the list of known ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KnownStatus {
    Known {
        /// In which line, from 1.
        line: usize,
        /// Since which day, if that was written down.
        since: Option<String>,
    },
    /// It will be, once the first connection stands.
    New {
        /// Under this name; `None`: the server's own.
        name: Option<String>,
    },
    /// It need not be: a certificate vouches for it every time.
    Certified,
}

/// A server that is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownServer {
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What to say when there is no machine of that name, if it was more likely meant as a remote's.
    pub(crate) unknown: Option<String>,
}

/// The server that the words for a remote lead to.
pub(crate) enum ResolvedName {
    /// A place whose identity is settled.
    Server(ServerTarget),
    /// A server whose identity is not known here.
    Unknown(UnknownServer),
}

impl ServerTarget {
    /// A remote from the list.
    pub(crate) fn known(remote: &Remote) -> Self {
        let known_status = KnownStatus::Known { line: remote.line, since: remote.since.clone() };
        Self::Remote { contact: remote.ticket.clone().into(), label: remote.name.clone(), known_status }
    }

    /// The first line of every transfer: arrow, target, address.
    pub(crate) fn header(&self, arrow: &str, path: &str) -> String {
        match self {
            Self::Remote { label, .. } => format!("{arrow} {label}:{path}  {}", self.address()),
            Self::Far(far) => {
                format!("{arrow} {}:{path}  {}, started through ssh", escape(far.host.as_bytes()), self.address())
            }
            Self::Local { root } => format!("{arrow} local:{}", escape_path(root)),
        }
    }

    /// `HOST:PORT`, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Remote { contact, .. } => contact.address(),
            Self::Far(far) => far.ticket.address(),
            Self::Local { .. } => "local".to_owned(),
        }
    }
}

/// Finds the remote among the known ones. `None` asks for the default, or the only one.
///
/// # Errors
/// A [`Complaint`] with the remedy, or a ticket that cannot be read.
pub(crate) fn place(
    spec: Option<&Spec>,
    known: &[Remote],
    port: Option<u16>,
    read_ticket: impl Fn(&str) -> Result<Ticket, TicketError>,
) -> anyhow::Result<ResolvedName> {
    refuse_port(spec, port)?;
    let found = match spec {
        None => Ok(fallback(known)?),
        Some(Spec::Url { ticket, .. }) => return pinned(ticket, known, read_ticket).map(ResolvedName::Server),
        Some(Spec::Local { path }) => return Ok(ResolvedName::Server(ServerTarget::Local { root: local_path(path)? })),
        Some(Spec::Ssh { destination, .. }) => {
            let destination = escape(destination.as_bytes());
            return Err(Complaint::Usage(format!(
                "{destination}: through ssh qft runs there only during a transfer; name a server that runs already"
            ))
            .into());
        }
        Some(Spec::Name { name, .. }) => named_or_stranger(name, port, known),
        Some(Spec::Address { host, port: Some(given), path }) => port_of_name(host, *given, path, known)?,
        Some(Spec::Address { host, port: None, .. }) => {
            let port = port.unwrap_or(DEFAULT_PORT);
            by_address(host, port, known).ok_or_else(|| unknown_server(host, port, None, known))
        }
    };
    let found = match found {
        Ok(remote) => ResolvedName::Server(ServerTarget::known(remote)),
        Err(unknown_server) => ResolvedName::Unknown(unknown_server?),
    };
    refuse_port_as_path(spec, &found)?;
    Ok(found)
}

/// `HOST:4433` names a path, by scp's rule; where that is the server's port, the port was meant.
fn refuse_port_as_path(spec: Option<&Spec>, found: &ResolvedName) -> Result<(), Complaint> {
    let Some((host, digits)) = spec.and_then(Spec::port_like_path) else { return Ok(()) };
    let port = match found {
        ResolvedName::Server(ServerTarget::Remote { contact, .. }) => contact.port,
        ResolvedName::Unknown(unknown_server) => unknown_server.port,
        ResolvedName::Server(_) => return Ok(()),
    };
    // Nor is a file called like the port that servers have unless they are told otherwise.
    match [port, DEFAULT_PORT].map(Ok).contains(&digits.parse()) {
        true => Err(Complaint::Usage(format!(
            "{host}:{digits} is a path there; the port is written {host}:{digits}: and a file of that name \
             {host}:./{digits}"
        ))),
        false => Ok(()),
    }
}

/// `NAME:12:30.log`: a machine and its port, unless a remote here is called so and listens elsewhere. Of such a remote
/// a path with a colon may have been meant as well.
fn port_of_name<'a>(
    host: &str,
    port: u16,
    path: &[u8],
    known: &'a [Remote],
) -> Result<Result<&'a Remote, Result<UnknownServer, Complaint>>, Complaint> {
    let named = known.iter().find(|remote| remote.name.eq_ignore_ascii_case(host));
    let Some(remote) = named.filter(|_| by_address(host, port, known).is_none()) else {
        return Ok(by_address(host, port, known).ok_or_else(|| unknown_server(host, port, None, known)));
    };
    if remote.ticket.port != port && !path.is_empty() {
        let (path, at) = (escape(path), address(&remote.ticket.host, port));
        return Err(Complaint::Usage(format!(
            "{host}:{port}:{path}: {host} is a remote here; for what is called {port}:{path} there write \
             {host}:./{port}:{path}, for its port {port} {at}:{path}"
        )));
    }
    let at = &remote.ticket.host;
    Ok(by_address(at, port, known).ok_or_else(|| unknown_server(at, port, None, known)))
}

/// A port beside a remote that has one already, or needs none, was meant otherwise.
fn refuse_port(spec: Option<&Spec>, port: Option<u16>) -> Result<(), Complaint> {
    match spec {
        _ if port.is_none() => Ok(()),
        Some(Spec::Name { .. } | Spec::Address { port: None, .. }) => Ok(()),
        Some(Spec::Url { .. } | Spec::Address { .. }) => Err(Complaint::usage("the port is named twice")),
        None => Err(Complaint::usage("--port needs a host: HOST:[PATH] or --to HOST")),
        Some(Spec::Local { .. } | Spec::Ssh { .. }) => Err(Complaint::usage("--port is for a server's address")),
    }
}

/// A name is that of a remote, or its host, or the host of a stranger.
fn named_or_stranger<'a>(
    name: &str,
    port: Option<u16>,
    known: &'a [Remote],
) -> Result<&'a Remote, Result<UnknownServer, Complaint>> {
    let Some(port) = port else {
        return by_name(name, known).ok_or_else(|| unknown_server(name, DEFAULT_PORT, Some(name), known));
    };
    // With a port it is a machine; that of a known remote goes by the remote's name too.
    let host = known.iter().find(|remote| remote.name.eq_ignore_ascii_case(name)).map(|remote| &remote.ticket.host);
    let host = host.map_or(name, String::as_str);
    by_address(host, port, known).ok_or_else(|| unknown_server(host, port, None, known))
}

/// A server that is not known, if that can be its address. `name`: a word that may have been meant as a remote's name.
fn unknown_server(host: &str, port: u16, name: Option<&str>, known: &[Remote]) -> Result<UnknownServer, Complaint> {
    if parse_host_port(&address(host, port)).is_err() {
        return Err(unknown(host, known));
    }
    // A name with a dot is a host's.
    let unknown = name.filter(|name| !name.contains('.')).map(|name| unknown(name, known).to_string());
    Ok(UnknownServer { host: host.to_owned(), port, unknown })
}

fn pinned(
    text: &TicketText,
    known: &[Remote],
    read_ticket: impl Fn(&str) -> Result<Ticket, TicketError>,
) -> anyhow::Result<ServerTarget> {
    let ticket = read_ticket(&text.0).context("cannot read the ticket")?;
    let old = known.iter().find(|remote| {
        let known = &remote.ticket;
        known.fingerprint == ticket.fingerprint && known.host == ticket.host && known.port == ticket.port
    });
    let label = old.map_or_else(|| escape(ticket.host.as_bytes()).to_string(), |remote| remote.name.clone());
    let known_status = match old {
        Some(old) => KnownStatus::Known { line: old.line, since: old.since.clone() },
        None => KnownStatus::New { name: None },
    };
    Ok(ServerTarget::Remote { contact: ticket.into(), label, known_status })
}

fn fallback(known: &[Remote]) -> Result<&Remote, Complaint> {
    if let Some(default) = known.iter().find(|remote| remote.is_default) {
        return Ok(default);
    }
    match known {
        [only] => Ok(only),
        [] => Err(Complaint::usage(
            "which remote? none is known yet: run 'qft serve' on the other machine and add --to qft://... as it prints",
        )),
        many => Err(Complaint::Usage(format!(
            "which remote? name one as REMOTE:[PATH], with an option (--to, --from) or in $QFT_REMOTE; known: {}",
            names(many)
        ))),
    }
}

/// A remote by its name here, else by its host: with the default port if several share it.
fn by_name<'a>(name: &str, known: &'a [Remote]) -> Option<&'a Remote> {
    if let Some(found) = known.iter().find(|remote| remote.name.eq_ignore_ascii_case(name)) {
        return Some(found);
    }
    if let Some(found) = by_address(name, DEFAULT_PORT, known) {
        return Some(found);
    }
    let mut same_host = known.iter().filter(|remote| remote.ticket.host.eq_ignore_ascii_case(name));
    same_host.next().filter(|_| same_host.next().is_none())
}

fn by_address<'a>(host: &str, port: u16, known: &'a [Remote]) -> Option<&'a Remote> {
    known.iter().find(|remote| remote.is_at(host, port))
}

fn unknown(name: &str, known: &[Remote]) -> Complaint {
    if name.parse::<Fingerprint>().is_ok() {
        let text = "that is a key, and no ticket: a ticket is qft://KEY:INVITE@HOST:PORT; was it copied whole?";
        return Complaint::Unknown(format!("{name}: {text}"));
    }
    let list = match known {
        [] => String::new(),
        known => format!(" (known: {})", names(known)),
    };
    Complaint::Unknown(format!(
        "{}: not known here{list}, and no machine has that name; ask for a ticket: run 'qft serve --invite' there, and \
         use the qft://... that it prints instead of the name, once; or go through ssh: USER@{}:, or --ssh",
        escape(name.as_bytes()),
        escape(name.as_bytes())
    ))
}

fn names(known: &[Remote]) -> String {
    known.iter().map(|remote| remote.name.as_str()).collect::<Vec<_>>().join(", ")
}
