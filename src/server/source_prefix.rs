//! The part of a client's address that limits and memories of addresses hold for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An IPv4 address, or the /64 network that every IPv6 host has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SourcePrefix(IpAddr);

impl SourcePrefix {
    pub(super) fn of(addr: SocketAddr) -> Self {
        match addr.ip().to_canonical() {
            IpAddr::V6(ip) => {
                let network = ip.to_bits() & !u128::from(u64::MAX);
                Self(Ipv6Addr::from_bits(network).into())
            }
            ip => Self(ip),
        }
    }
}

/// `192.0.2.7` or `2001:db8::/64`.
impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "{ip}"),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> SourcePrefix {
        SourcePrefix::of(text.parse().expect("an address"))
    }

    #[test]
    fn an_ipv6_network_is_one_prefix_and_a_mapped_address_is_its_ipv4_one() {
        assert_eq!(prefix("[2001:db8::1]:1"), prefix("[2001:db8::ffff:1]:2"));
        assert_ne!(prefix("[2001:db8:0:1::1]:1"), prefix("[2001:db8::1]:1"));
        assert_eq!(prefix("[::ffff:10.0.0.1]:1"), prefix("10.0.0.1:2"));
        assert_ne!(prefix("10.0.0.1:1"), prefix("10.0.0.2:1"));
    }

    #[test]
    fn it_is_written_as_an_address_or_a_network() {
        assert_eq!(prefix("[::ffff:10.0.0.1]:1").to_string(), "10.0.0.1");
        assert_eq!(prefix("[2001:db8::1]:1").to_string(), "2001:db8::/64");
    }
}
