//! Tickets: where a server is, who it is, and the one-time right to become its client.

use std::fmt;
use std::str::FromStr;

use super::address::{AddressError, address, parse_host_port};
use super::base32::{self, Base32Error};
use super::fingerprint::Fingerprint;
use super::provider::fill_random;

/// How every ticket starts, in any case.
const SCHEME: &str = "qft://";

/// The secret of a ticket: whoever brings it first, in time, is enrolled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Invite(pub [u8; 16]);

impl Invite {
    /// A new secret from the system's source of randomness.
    pub fn random() -> Self {
        let mut secret = [0; 16];
        fill_random(&mut secret);
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
    /// The identity of the server.
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
    /// The part behind the `@` is no `HOST:PORT`.
    #[error(transparent)]
    Address(#[from] AddressError),
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
        // Mail and narrow terminals break lines where they like, and there is no blank in a ticket.
        let text: String = text.split_whitespace().collect();
        behind_scheme(text.as_bytes()).ok_or(TicketError::Scheme)?;
        let rest = &text[SCHEME.len()..];
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

/// The text behind `qft://`, whatever the case of that: a QR code has it in capitals. `None` for anything else.
pub(crate) fn behind_scheme(text: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes()).then_some(rest)
}

#[cfg(test)]
mod tests;
