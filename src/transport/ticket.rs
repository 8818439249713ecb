//! Tickets: where a server is, who it is, and the one-time right to become its client.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::base32::{self, Base32Error};
use super::fingerprint::Fingerprint;
use super::tls;
use crate::protocol::path::escape;

/// The UDP port of a server that was not told another.
pub const DEFAULT_PORT: u16 = 4433;
/// How every ticket starts.
const SCHEME: &str = "qft://";
/// Longest host name in the DNS, in characters.
const HOST_CHARS_MAX: usize = 253;
/// Longest name of a network interface (the zone of an IPv6 address), in characters.
const ZONE_CHARS_MAX: usize = 15;
/// Characters of a refused text that its error repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// The secret of a ticket: whoever brings it first, in time, is enrolled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Invite(pub [u8; 16]);

impl Invite {
    /// A new secret from the system's source of randomness.
    pub fn random() -> Self {
        let mut secret = [0; 16];
        tls::provider().secure_random.fill(&mut secret).expect(
            "the system gives randomness: without it no key could have been made and no handshake could succeed",
        );
        Self(secret)
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base32::encode(&self.0))
    }
}

/// Never the secret: debug output ends in logs.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite(..)")
    }
}

impl FromStr for Invite {
    type Err = Base32Error;

    fn from_str(text: &str) -> Result<Self, Base32Error> {
        base32::decode(text).map(Self)
    }
}

/// `qft://FINGERPRINT[:INVITE]@HOST[:PORT]`. Without an invite it is a pinned address and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Who the server is.
    pub fingerprint: Fingerprint,
    /// The one-time secret, if the ticket enrols its bearer. [`fmt::Display`] writes it.
    pub invite: Option<Invite>,
    /// Host name or address; an IPv6 address stands here without its brackets.
    pub host: String,
    /// UDP port, never 0.
    pub port: u16,
}

/// Why a text is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It starts with something else.
    #[error("a ticket starts with qft://")]
    Scheme,
    /// Nothing says where the server is.
    #[error("the ticket has no @HOST:PORT at its end; was it copied whole?")]
    NoHost,
    /// The part before the first `:` or `@` is no fingerprint.
    #[error("the ticket's fingerprint {0}")]
    Fingerprint(Base32Error),
    /// The part between `:` and `@` is no invite.
    #[error("the ticket's invite {0}")]
    Invite(Base32Error),
    /// Neither a host name nor an address.
    #[error("'{0}' is no host name and no address")]
    Host(String),
    /// An IPv6 address whose end cannot be told from a port.
    #[error("write the IPv6 address in brackets: [{0}]")]
    Brackets(String),
    /// Not a number from 1 to 65535.
    #[error("'{0}' is no port; ports go from 1 to 65535")]
    Port(String),
}

impl Ticket {
    /// The same address and pin without the secret: what is kept and shown.
    #[must_use]
    pub fn without_invite(&self) -> Self {
        Self { invite: None, ..self.clone() }
    }

    /// `HOST:PORT` as people write it.
    pub fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

/// `HOST:PORT` as people write it, with brackets around an IPv6 address.
pub fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.fingerprint)?;
        if let Some(invite) = &self.invite {
            write!(f, ":{invite}")?;
        }
        write!(f, "@{}", self.address())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket; white space around it (a copied line end) is ignored.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim_ascii();
        let scheme = text.get(..SCHEME.len()).filter(|start| start.eq_ignore_ascii_case(SCHEME));
        let rest = &text[scheme.ok_or(TicketError::Scheme)?.len()..];
        let (who, place) = rest.split_once('@').ok_or(TicketError::NoHost)?;
        let (fingerprint, invite) = match who.split_once(':') {
            Some((fingerprint, invite)) => (fingerprint, Some(invite)),
            None => (who, None),
        };
        let fingerprint = fingerprint.parse().map_err(TicketError::Fingerprint)?;
        let invite = invite.map(|text| text.parse().map_err(TicketError::Invite)).transpose()?;
        if place.is_empty() {
            return Err(TicketError::NoHost);
        }
        let (host, port) = parse_host_port(place)?;
        Ok(Self { fingerprint, invite, host, port })
    }
}

/// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; the port is [`DEFAULT_PORT`] when it is left out.
///
/// # Errors
/// [`TicketError::Host`], [`TicketError::Brackets`] or [`TicketError::Port`].
pub fn parse_host_port(text: &str) -> Result<(String, u16), TicketError> {
    let (host, port) = split_host_port(text)?;
    let port = match port {
        Some(port) => parse_port(port)?,
        None => DEFAULT_PORT,
    };
    Ok((host.to_owned(), port))
}

fn split_host_port(text: &str) -> Result<(&str, Option<&str>), TicketError> {
    let no_host = || TicketError::Host(shown(text));
    if let Some(inner) = text.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or_else(no_host)?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(no_host)?) };
        return if is_ipv6(host) { Ok((host, port)) } else { Err(no_host()) };
    }
    if is_ipv6(text) {
        return Err(TicketError::Brackets(shown(text)));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if is_host_name(host) { Ok((host, port)) } else { Err(TicketError::Host(shown(host))) }
}

fn parse_port(text: &str) -> Result<u16, TicketError> {
    // `u16::from_str` would also take a leading `+`.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or_else(|| TicketError::Port(shown(text)))
}

/// An IPv6 address, with or without the interface that a link-local one needs (`fe80::1%eth0`).
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let zone_is_plain = |zone: &str| {
        (1..=ZONE_CHARS_MAX).contains(&zone.len())
            && zone.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(zone_is_plain)
}

/// Plain enough to be handed to a resolver, to `ssh` and to a terminal. A leading `-` would be an option to `ssh`.
fn is_host_name(text: &str) -> bool {
    if text.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let labels = text.strip_suffix('.').unwrap_or(text);
    let label_is_plain = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    labels.len() <= HOST_CHARS_MAX && labels.split('.').all(label_is_plain)
}

/// The start of a refused text, safe to print.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{}{more}", escape(start.as_bytes()))
}

#[cfg(test)]
mod tests;
