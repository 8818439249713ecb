//! Hosts and ports as people write them: the one parser for every place where an address can stand.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use crate::protocol::path::escape;

/// The UDP port of a server that was not told another.
pub const DEFAULT_PORT: u16 = 4433;
/// Longest host name in the DNS, in characters.
const HOST_CHARS_MAX: usize = 253;
/// Longest name of a network interface (the zone of an IPv6 address), in characters.
const ZONE_CHARS_MAX: usize = 15;
/// Characters of a refused text that its error repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// Where a machine is: a name, or an address. It is written without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name for the resolver, as it was written.
    Name(String),
    /// An address of IPv4, which needs no zone.
    V4(Ipv4Addr),
    /// An IPv6 address, with its zone if it is link-local.
    V6(ScopedIpv6),
}

/// An IPv6 address and its zone (RFC 4007): the interface that a link-local address needs, `fe80::1%eth0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedIpv6 {
    /// The address without its zone.
    pub ip: Ipv6Addr,
    /// The interface's name or index on this machine.
    pub zone: Option<String>,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
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

impl Host {
    /// The address of this machine's interface on which a socket can be bound, with the port; `None` for a name.
    ///
    /// # Errors
    /// The zone is no interface of this machine.
    pub fn to_local(&self, port: u16) -> Option<io::Result<SocketAddr>> {
        match self {
            Self::Name(_) => None,
            Self::V4(ip) => Some(Ok((*ip, port).into())),
            Self::V6(ScopedIpv6 { ip, zone: None }) => Some(Ok((*ip, port).into())),
            // The system's own reading of a numeric host knows the interfaces; no name service is asked.
            Self::V6(scoped) => Some(
                (scoped.to_string().as_str(), port)
                    .to_socket_addrs()
                    .and_then(|mut found| found.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))),
            ),
        }
    }

    /// The address without its zone; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(ip) => Some((*ip).into()),
            Self::V6(scoped) => Some(scoped.ip.into()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6(scoped) => write!(f, "{scoped}"),
        }
    }
}

impl FromStr for Host {
    type Err = AddressError;

    /// Reads a host without a port; brackets around an IPv6 address may be left out.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        match (bare.unwrap_or(text).parse(), bare) {
            (Ok(scoped), _) => Ok(Self::V6(scoped)),
            (Err(_), Some(_)) => Err(AddressError::Host(shown(text))),
            (Err(_), None) => name_or_v4(text),
        }
    }
}

impl fmt::Display for ScopedIpv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

impl FromStr for ScopedIpv6 {
    type Err = AddressError;

    /// Reads `IPV6`, `IPV6%ZONE`, and `IPV6%25ZONE`, which is how URLs write the sign (RFC 6874). Digits alone behind
    /// the sign are an index as the system's tools print it.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Host(shown(text));
        let (ip, zone) = match text.split_once('%') {
            Some((ip, zone)) => (ip, Some(zone)),
            None => (text, None),
        };
        let ip = ip.parse().map_err(|_| wrong())?;
        let zone = zone.map(|zone| match zone.strip_prefix("25") {
            Some(decoded) if !zone.bytes().all(|b| b.is_ascii_digit()) => decoded,
            _ => zone,
        });
        match zone {
            Some(zone) if !is_zone(zone) => Err(wrong()),
            zone => Ok(Self { ip, zone: zone.map(str::to_owned) }),
        }
    }
}

/// Plain enough for a terminal and for a list of words.
fn is_zone(text: &str) -> bool {
    (1..=ZONE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// `HOST:PORT` as people write it, with brackets around an IPv6 address.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; the port is [`DEFAULT_PORT`] when it is left out. The host
/// comes back in one spelling, whatever was typed, without brackets.
///
/// # Errors
/// As `split_host_port`, and [`AddressError::Port`].
pub fn parse_host_port(text: &str) -> Result<(String, u16), AddressError> {
    let (host, port) = split_host_port(text)?;
    let port = match port {
        Some(port) => parse_port(port)?,
        None => DEFAULT_PORT,
    };
    Ok((host.to_string(), port))
}

/// Splits `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; what stands where the port is due is not looked at.
///
/// # Errors
/// [`AddressError::Host`] or [`AddressError::Brackets`].
pub(crate) fn split_host_port(text: &str) -> Result<(Host, Option<&str>), AddressError> {
    let no_host = || AddressError::Host(shown(text));
    if let Some(inner) = text.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or_else(no_host)?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(no_host)?) };
        return host.parse().map(|scoped| (Host::V6(scoped), port)).map_err(|_| no_host());
    }
    if text.parse::<ScopedIpv6>().is_ok() {
        return Err(AddressError::Brackets(shown(text)));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    Ok((name_or_v4(host)?, port))
}

/// Reads a port that others can send to.
///
/// # Errors
/// [`AddressError::Port`].
pub(crate) fn parse_port(text: &str) -> Result<u16, AddressError> {
    // `u16::from_str` would also take a leading `+`.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or_else(|| AddressError::Port(shown(text)))
}

fn name_or_v4(text: &str) -> Result<Host, AddressError> {
    match text.parse() {
        Ok(ip) => Ok(Host::V4(ip)),
        Err(_) if is_host_name(text) => Ok(Host::Name(text.to_owned())),
        Err(_) => Err(AddressError::Host(shown(text))),
    }
}

/// Plain enough to be handed to a resolver, to `ssh` and to a terminal. A leading `-` would be an option to `ssh`.
fn is_host_name(text: &str) -> bool {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_zone_is_read_as_tools_and_as_urls_write_it() {
        for (text, read) in [
            ("fe80::1", "fe80::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("fe80::1%25eth0", "fe80::1%eth0"),
            ("FE80:0::1%25wlp3s0.100", "fe80::1%wlp3s0.100"),
            ("fe80::1%2", "fe80::1%2"),
            ("fe80::1%25", "fe80::1%25"),
            ("fe80::1%252", "fe80::1%252"),
        ] {
            assert_eq!(text.parse::<Host>().map(|host| host.to_string()).as_deref(), Ok(read), "{text}");
            assert_eq!(parse_host_port(&format!("[{text}]:9")), Ok((read.to_owned(), 9)), "{text}");
        }
        for text in ["fe80::1%", "fe80::1%a b", "fe80::1%a%b", "fe80::1%sixteen-letters-", "::1]%lo", "10.0.0.1%eth0"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_zone_names_an_interface_of_this_machine_where_a_socket_is_bound() {
        let local = |text: &str| text.parse::<Host>().expect("an address").to_local(7);
        let bound = local("fe80::1%lo").expect("an address").expect("every machine has it");
        let SocketAddr::V6(bound) = bound else { panic!("{bound} is an IPv6 address") };
        assert!(bound.scope_id() > 0 && bound.port() == 7);
        assert!(local("fe80::1%no-such-thing").expect("an address").is_err());
        assert!(local("box.example").is_none());
        assert_eq!(local("10.0.0.7").expect("an address").ok(), Some("10.0.0.7:7".parse().expect("an address")));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(ip: Ipv6Addr, zone in "([a-z][a-z0-9.-]{0,14}|[0-9]{1,4})?") {
            let zone = (!zone.is_empty()).then_some(zone);
            let scoped = ScopedIpv6 { ip, zone };
            prop_assert_eq!(scoped.to_string().parse(), Ok(scoped.clone()));
            let (host, port) = parse_host_port(&address(&scoped.to_string(), 5)).expect("well formed");
            prop_assert_eq!((host, port), (scoped.to_string(), 5));
        }
    }
}
