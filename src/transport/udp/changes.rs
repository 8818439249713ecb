//! The kernel's notices that a route, an address or a link of this machine has changed.
//!
//! That something has changed is all that is taken from it: a connection that asks its peer whether it is there finds
//! the rest out. The socket needs no new one, since it is bound to no address of its own; the kernel chooses one for
//! each packet.

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::pin::pin;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::time::{Instant, sleep_until};

/// Time from a change to its word: one cable that is plugged in is a dozen changes, and the last one is the route.
const SETTLE: Duration = Duration::from_millis(50);

/// The changes from now on.
pub(crate) struct RouteChanges {
    /// `None` where the system does not tell, which costs a silent path a second or two.
    source: Option<NetlinkSocket>,
    /// When what has changed is told.
    told_at: Option<Instant>,
}

impl RouteChanges {
    pub(crate) fn listen() -> Self {
        Self { source: NetlinkSocket::open(), told_at: None }
    }

    /// Resolves when something has changed. Safe to cancel.
    pub(crate) async fn next(&mut self) {
        let Some(source) = &self.source else { return std::future::pending().await };
        let told_at = match self.told_at {
            Some(at) => at,
            None => {
                if !source.changed().await {
                    self.source = None;
                    return std::future::pending().await;
                }
                *self.told_at.insert(Instant::now() + SETTLE)
            }
        };
        pin!(sleep_until(told_at)).await;
        self.told_at = None;
        source.forget();
    }
}

/// A socket on which the kernel tells of changes. tokio has no type for netlink; to it this is a socket of datagrams like any
/// other.
struct NetlinkSocket(UnixDatagram);

impl NetlinkSocket {
    fn open() -> Option<Self> {
        let opened = subscribe().and_then(UnixDatagram::from_std);
        opened.inspect_err(|error| tracing::debug!(%error, "changes of routes are not heard of")).ok().map(Self)
    }

    /// Waits for a change; false: nothing more will be told. Safe to cancel.
    async fn changed(&self) -> bool {
        self.0.readable().await.is_ok()
    }

    /// Forgets what has changed so far.
    fn forget(&self) {
        // What is longer than this is cut off.
        while self.0.try_recv(&mut [0; 64]).is_ok() {}
    }
}

/// A socket that hears of links, addresses and routes.
#[cfg(target_os = "linux")]
fn subscribe() -> io::Result<StdDatagram> {
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

    /// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR` and `RTMGRP_IPV6_ROUTE` of rtnetlink(7).
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // The protocol that is none in particular is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket.into())
}

#[cfg(not(target_os = "linux"))]
fn subscribe() -> io::Result<StdDatagram> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_machine_on_which_nothing_changes_says_nothing_and_may_be_asked() {
        let mut changes = RouteChanges::listen();
        assert!(changes.source.is_some(), "every Linux tells");
        // Others may change something meanwhile, so only that this does not spin is certain.
        let _ = timeout(Duration::from_millis(100), changes.next()).await;
    }
}
