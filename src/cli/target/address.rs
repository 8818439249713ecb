//! Addresses: what to listen on, and which of this machine's addresses others may be able to reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use if_addrs::{IfOperStatus, Interface};

use crate::cli::exit::Complaint;
use crate::keys::{DEFAULT_PORT, Host, ScopedIpv6, parse_port, split_host_port};
use crate::protocol::path::quoted;

/// Addresses for documentation (RFC 5737, RFC 3849): a socket that is connected there sends nothing, but
/// the kernel chooses the address that it would send from.
const SOMEWHERE_V4: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
const SOMEWHERE_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

/// Reads what to listen on: `ADDR:PORT`, `ADDR`, `:PORT` or `PORT`. A link-local address has the interface behind it.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, Complaint> {
    let digits = text.strip_prefix(':').unwrap_or(text);
    if let Some(port) = local_port(digits) {
        return Ok(every_address(port));
    }
    let wrong = || {
        Complaint::Usage(format!(
            "{} is no address to listen on; it looks like [::]:{DEFAULT_PORT}, 10.0.0.7:{DEFAULT_PORT} or \
             {DEFAULT_PORT}",
            quoted(text)
        ))
    };
    let (host, port) = match (text.parse::<Host>(), split_host_port(text)) {
        (Ok(host), _) => (host, DEFAULT_PORT),
        (Err(_), Ok((host, Some(port)))) => (host, local_port(port).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    let bound = host.to_local(port).ok_or_else(wrong)?;
    bound.map_err(|_| Complaint::Usage(format!("{}: this machine has no interface of that name", quoted(text))))
}

/// Reads where to be watched: `ADDR:PORT`, or `PORT` on this machine alone.
pub(crate) fn parse_http(text: &str) -> Result<SocketAddr, Complaint> {
    let digits = text.strip_prefix(':').unwrap_or(text);
    if let Some(port) = local_port(digits) {
        return Ok(loopback(port));
    }
    let wrong = || {
        Complaint::Usage(format!(
            "--http {} is no address to be watched at; it looks like 9433, 127.0.0.1:9433 or [::]:9433",
            quoted(text)
        ))
    };
    // There is no port that everybody would expect.
    let has_port = text.parse::<Host>().is_err();
    parse_listen(text).ok().filter(|_| has_port).ok_or_else(wrong)
}

/// A port to bind; 0 lets the system choose.
fn local_port(text: &str) -> Option<u16> {
    if text == "0" { Some(0) } else { parse_port(text).ok() }
}

/// All addresses of this machine, of both families.
pub(crate) fn every_address(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

/// This machine alone: by IPv4, and by IPv6 where nothing else can be bound, as in a container that has only `::1`.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    let families: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let is_there = |ip: &IpAddr| UdpSocket::bind((*ip, 0)).is_ok();
    // Where there is none, the error names the one that every machine should have.
    SocketAddr::new(families.into_iter().find(is_there).unwrap_or(families[0]), port)
}

/// The host, and the port if there is one, that `--advertise` names.
pub(crate) fn parse_advertised(text: &str) -> Result<(String, Option<u16>), Complaint> {
    let wrong = || Complaint::Usage(format!("--advertise {} is neither HOST nor HOST:PORT", quoted(text)));
    match (text.parse::<Host>(), split_host_port(text)) {
        (Ok(host), _) => Ok((host.to_string(), None)),
        (Err(_), Ok((host, Some(port)))) => Ok((host.to_string(), Some(parse_port(port).map_err(|_| wrong())?))),
        _ => Err(wrong()),
    }
}

/// Hosts under which others may reach a socket, the most likely first; never empty.
pub(crate) fn plausible(bound: SocketAddr) -> Vec<String> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    if !bound.ip().is_unspecified() {
        return vec![scoped(bound, &interfaces)];
    }
    let routed = own_v4().into_iter().chain(own_v6().filter(|_| bound.is_ipv6())).collect();
    let found = reachable(routed, &interfaces, bound.is_ipv6());
    match found.is_empty() {
        // Without a network there is still this machine.
        true => vec![loopback(bound.port()).ip().to_string()],
        false => found,
    }
}

/// Whether others must put another interface's name behind the `%` of a host: theirs.
pub(crate) fn needs_zone(host: &str) -> bool {
    host.parse::<ScopedIpv6>().is_ok_and(|scoped| scoped.ip.is_unicast_link_local())
}

/// The addresses from which packets to far away would leave; where there is no way to far away (two machines on one
/// cable, a laboratory), those of all interfaces that are up, the link-local ones only if there is nothing else.
fn reachable(routed: Vec<IpAddr>, interfaces: &[Interface], with_v6: bool) -> Vec<String> {
    let mut found = routed;
    // A global address serves more people than a private one; the order is stable otherwise.
    found.sort_by_key(|ip| is_private(*ip));
    if !found.is_empty() {
        return found.iter().map(ToString::to_string).collect();
    }
    let up = |interface: &&Interface| interface.oper_status != IfOperStatus::Down && !interface.is_loopback();
    let fits = |interface: &&Interface| with_v6 || interface.ip().is_ipv4();
    let mut local: Vec<&Interface> = interfaces.iter().filter(up).filter(fits).collect();
    let (near, far): (Vec<_>, Vec<_>) = local.drain(..).partition(|interface| is_link_local(interface.ip()));
    let mut chosen = if far.is_empty() { near } else { far };
    chosen.sort_by_key(|interface| (interface.ip().is_ipv6(), is_private(interface.ip())));
    chosen.iter().map(|interface| with_zone(interface.ip(), &interface.name)).collect()
}

/// The address that a socket is bound to, with its interface where it needs one.
fn scoped(bound: SocketAddr, interfaces: &[Interface]) -> String {
    let SocketAddr::V6(v6) = bound else { return bound.ip().to_string() };
    let zone = interfaces.iter().find(|interface| interface.index == Some(v6.scope_id()));
    zone.map_or_else(|| v6.ip().to_string(), |zone| with_zone(bound.ip(), &zone.name))
}

fn with_zone(ip: IpAddr, interface: &str) -> String {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => ScopedIpv6 { ip, zone: Some(interface.to_owned()) }.to_string(),
        ip => ip.to_string(),
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
            ("::1", "[::1]:4433"),
            ("[fe80::1%1]:5", "[fe80::1%1]:5"),
            ("fe80::1%1", "[fe80::1%1]:4433"),
            ("::", "[::]:4433"),
            ("[::]", "[::]:4433"),
            (":5000", "[::]:5000"),
            ("5000", "[::]:5000"),
        ];
        for (text, expected) in table {
            assert_eq!(parse_listen(text).map(|a| a.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", ":", "host:1", "70000", "1.2.3:4", "host", "::1:", "[::1", "10.0.0.7:"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_alone_is_watched_on_this_machine() {
        let table = [
            ("9433", "127.0.0.1:9433"),
            (":9433", "127.0.0.1:9433"),
            ("0", "127.0.0.1:0"),
            ("[::1]:5000", "[::1]:5000"),
            ("0.0.0.0:5000", "0.0.0.0:5000"),
        ];
        for (text, expected) in table {
            assert_eq!(parse_http(text).map(|a| a.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", ":", "host:1", "70000", "10.0.0.7", "::1", "[::]", "box"] {
            assert!(parse_http(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interface_can_be_named_where_a_link_local_address_is_listened_on() {
        for text in ["[fe80::1%lo]:5", "[fe80::1%25lo]:5"] {
            let address = parse_listen(text).expect("every machine has lo");
            assert!(matches!(address, SocketAddr::V6(v6) if v6.scope_id() > 0 && v6.port() == 5), "{address}");
        }
        let error = parse_listen("[fe80::1%no-such]:5").expect_err("no interface");
        assert!(error.to_string().contains("no interface of that name"), "{error}");
    }

    #[test]
    fn an_advertised_host_may_have_a_port() {
        let table = [
            ("box.example", ("box.example", None)),
            ("box:5000", ("box", Some(5000))),
            ("10.0.0.7", ("10.0.0.7", None)),
            ("[2001:db8::7]:1", ("2001:db8::7", Some(1))),
            ("2001:db8::7", ("2001:db8::7", None)),
            ("fe80::7%veth1", ("fe80::7%veth1", None)),
            ("[fe80::7%25veth1]:1", ("fe80::7%veth1", Some(1))),
        ];
        for (text, (host, port)) in table {
            assert_eq!(parse_advertised(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", "a b", "box:x", "box:99999", ":1", "qft://x@y", "a/b", "b\u{fc}cher"] {
            assert!(parse_advertised(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bound_address_is_the_only_plausible_one() {
        for ip in ["127.0.0.1", "::1", "10.0.0.7"] {
            let address = SocketAddr::new(ip.parse().expect("an address"), 1);
            assert_eq!(plausible(address), [ip]);
        }
        let zoned = parse_listen("[fe80::1%lo]:5").expect("every machine has lo");
        assert_eq!(plausible(zoned), ["fe80::1%lo"]);
        assert!(needs_zone("fe80::1%lo") && !needs_zone("::1") && !needs_zone("box"));
    }

    #[test]
    fn every_address_offers_at_least_one_that_is_real() {
        for (bound, is_v4_only) in [("0.0.0.0:1", true), ("[::]:1", false)] {
            let found = plausible(bound.parse().expect("an address"));
            let ips: Vec<IpAddr> = found.iter().filter_map(|host| host.parse::<Host>().ok()?.ip()).collect();
            assert!(!ips.is_empty() && ips.iter().all(|ip| !ip.is_unspecified()), "{found:?}");
            assert!(!is_v4_only || ips.iter().all(IpAddr::is_ipv4), "{found:?}");
        }
    }

    fn interface(name: &str, ip: &str, is_up: bool) -> Interface {
        let addr = match ip.parse().expect("an address") {
            IpAddr::V4(ip) => if_addrs::IfAddr::V4(if_addrs::Ifv4Addr {
                ip,
                netmask: Ipv4Addr::UNSPECIFIED,
                prefixlen: 0,
                broadcast: None,
            }),
            IpAddr::V6(ip) => if_addrs::IfAddr::V6(if_addrs::Ifv6Addr {
                ip,
                netmask: Ipv6Addr::UNSPECIFIED,
                prefixlen: 0,
                broadcast: None,
            }),
        };
        let oper_status = if is_up { IfOperStatus::Up } else { IfOperStatus::Down };
        Interface { name: name.to_owned(), addr, index: Some(7), oper_status, is_p2p: false }
    }

    #[test]
    fn without_a_default_route_the_interfaces_that_are_up_are_offered() {
        let lan = [
            interface("lo", "127.0.0.1", true),
            interface("eth0", "fe80::2", true),
            interface("eth0", "fd77::7", true),
            interface("eth0", "203.0.113.7", true),
            interface("eth1", "10.0.0.7", false),
        ];
        assert_eq!(reachable(Vec::new(), &lan, true), ["203.0.113.7", "fd77::7"]);
        assert_eq!(reachable(Vec::new(), &lan, false), ["203.0.113.7"]);
        assert_eq!(reachable(vec!["192.0.2.9".parse().expect("an address")], &lan, true), ["192.0.2.9"]);
        // Two machines on one cable that nobody configured.
        assert_eq!(reachable(Vec::new(), &lan[..2], true), ["fe80::2%eth0"]);
        assert!(reachable(Vec::new(), &lan[..1], true).is_empty());
    }
}
