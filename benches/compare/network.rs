//! Two hosts and the link between them.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Context as _;
use tappers::{Interface, linux::Tun};

use super::carried::Snapshot;
use super::counters::Counters;
use super::emulator::Emulator;
use super::links::LinkSpec;
use super::model::link::LinkConfig;
use super::namespace::{Namespace, ip};

/// The device on each host.
const DEVICE: &str = "link0";
const MTU: &str = "1500";
/// Packets that the host's own queue holds while the emulator is not running: several milliseconds at 1 Gbit/s.
const DEVICE_QUEUE: &str = "20000";
/// Addresses of the two hosts; nobody else is on their network.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// Where the servers are.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);

/// Two hosts on a link, fresh for each measurement, so that none learns from another.
pub(crate) struct Network {
    // In this order: packets stop before the hosts go.
    emulator: Emulator,
    /// Where the copy comes from.
    pub(crate) near: Namespace,
    /// Where it goes.
    pub(crate) far: Namespace,
}

impl Network {
    /// Builds it; the same seed loses the same packets.
    pub(crate) fn build(link: &LinkSpec, seed: u64) -> anyhow::Result<Self> {
        Self::build_of(link.config(), seed)
    }

    /// The same, of a link that is no ordinary one.
    pub(crate) fn build_of(config: LinkConfig, seed: u64) -> anyhow::Result<Self> {
        let near = Namespace::create("near")?;
        let far = Namespace::create("far")?;
        let ends = [open_device(&near, NEAR)?, open_device(&far, FAR)?];
        let emulator = Emulator::start(config, ends, seed)?;
        Ok(Self { emulator, near, far })
    }

    /// Both hosts' TCP uses this congestion control.
    pub(crate) fn set_congestion_control(&self, name: &str) -> anyhow::Result<()> {
        for host in [&self.near, &self.far] {
            host.set("ipv4/tcp_congestion_control", name)
                .with_context(|| format!("the kernel does not offer TCP {name}"))?;
        }
        Ok(())
    }

    /// What the link has carried from near to far until now.
    pub(crate) fn carried(&self) -> Snapshot {
        self.emulator.carried()
    }

    /// Ends the link; what it carried from near to far, and back.
    pub(crate) fn finish(self) -> anyhow::Result<[Counters; 2]> {
        self.near.kill_all();
        self.far.kill_all();
        Ok(self.emulator.finish()?)
    }
}

/// A TUN device inside, up and with an address. It goes when the descriptor is closed.
fn open_device(host: &Namespace, address: Ipv4Addr) -> anyhow::Result<OwnedFd> {
    host.enter(|| {
        let tun = Tun::create_named(Interface::new(DEVICE)?).context("/dev/net/tun")?;
        tun.set_nonblocking(true)?;
        // Neighbour discovery would take part in the loss.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/disable_ipv6"), "1");
        ip(&["address", "add", &format!("{address}/24"), "dev", DEVICE])?;
        ip(&["link", "set", DEVICE, "mtu", MTU, "txqueuelen", DEVICE_QUEUE, "up"])?;
        Ok(tun.as_fd().try_clone_to_owned()?)
    })?
}
