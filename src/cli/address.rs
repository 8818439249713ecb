//! Addresses: what to listen on, and which of this machine's addresses others may be able to reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::exit::Complaint;
use crate::transport::DEFAULT_PORT;

/// Addresses for documentation (RFC 5737, RFC 3849): a socket that is connected there sends nothing, but
/// the kernel chooses the address that it would send from.
const SOMEWHERE_V4: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
const SOMEWHERE_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

/// Reads what to listen on: `ADDR:PORT`, `ADDR`, `:PORT` or `PORT`.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, Complaint> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(every_address(port));
    }
    Err(Complaint::Usage(format!(
        "{text:?} is no address to listen on; it looks like [::]:{DEFAULT_PORT}, 10.0.0.7:{DEFAULT_PORT} or {DEFAULT_PORT}"
    )))
}

/// All addresses of this machine, of both families.
pub(crate) fn every_address(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

/// The host, and the port if there is one, that `--advertise` names.
pub(crate) fn parse_advertised(text: &str) -> Result<(String, Option<u16>), Complaint> {
    let wrong = || Complaint::Usage(format!("--advertise {text:?} is neither HOST nor HOST:PORT"));
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), Some(address.port())));
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok((ip.to_string(), None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    match !host.is_empty() && host.chars().all(is_name) {
        true => Ok((host.to_owned(), port)),
        false => Err(wrong()),
    }
}

/// Addresses under which others may reach a socket, the most likely first; never empty.
pub(crate) fn plausible(bound: IpAddr) -> Vec<IpAddr> {
    if !bound.is_unspecified() {
        return vec![bound];
    }
    let mut found: Vec<IpAddr> = own_v4().into_iter().collect();
    if bound.is_ipv6() {
        found.extend(own_v6());
    }
    // A global address serves more people than a private one; the order is stable otherwise.
    found.sort_by_key(|ip| is_private(*ip));
    match found.is_empty() {
        // Without a network there is still this machine.
        true => vec![Ipv4Addr::LOCALHOST.into()],
        false => found,
    }
}

fn own_v4() -> Option<IpAddr> {
    own(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)), SOMEWHERE_V4.into())
}

fn own_v6() -> Option<IpAddr> {
    own(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)), SOMEWHERE_V6.into())
}

fn own(socket: std::io::Result<UdpSocket>, towards: SocketAddr) -> Option<IpAddr> {
    let socket = socket.ok()?;
    socket.connect(towards).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback() && !is_link_local(ip)).then_some(ip)
}

/// Such an address needs an interface's name, which means nothing on another machine.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_listening_address_is_read() {
        let table = [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:5000", "[::1]:5000"),
            ("10.0.0.7", "10.0.0.7:4433"),
            ("::", "[::]:4433"),
            ("[::]", "[::]:4433"),
            (":5000", "[::]:5000"),
            ("5000", "[::]:5000"),
        ];
        for (text, expected) in table {
            assert_eq!(parse_listen(text).map(|a| a.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", ":", "host:1", "70000", "1.2.3:4"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_advertised_host_may_have_a_port() {
        let table = [
            ("box.example", ("box.example", None)),
            ("box:5000", ("box", Some(5000))),
            ("10.0.0.7", ("10.0.0.7", None)),
            ("[2001:db8::7]:1", ("2001:db8::7", Some(1))),
            ("2001:db8::7", ("2001:db8::7", None)),
        ];
        for (text, (host, port)) in table {
            assert_eq!(parse_advertised(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", "a b", "box:x", "box:99999", ":1", "qft://x@y", "a/b"] {
            assert!(parse_advertised(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bound_address_is_the_only_plausible_one() {
        for ip in ["127.0.0.1", "::1", "10.0.0.7"] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(plausible(ip), [ip]);
        }
    }

    #[test]
    fn every_address_offers_at_least_one_that_is_real() {
        for bound in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            let found = plausible(bound);
            assert!(!found.is_empty() && found.iter().all(|ip| !ip.is_unspecified()), "{found:?}");
            assert!(bound.is_ipv6() || found.iter().all(IpAddr::is_ipv4), "{found:?}");
        }
    }
}
