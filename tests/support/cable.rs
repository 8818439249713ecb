//! Two hosts in network namespaces and what lies between them: a cable, or a router that translates addresses. It can be
//! taken away and given back, and the hosts can change their addresses. Needs root, `ip` and `nft`.
#![allow(dead_code, reason = "every program uses another part of it")]

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::namespace::{Namespace, ip};

/// Where the server is.
pub(crate) const FAR: &str = "10.211.0.2";
/// Where it is when it has moved.
pub(crate) const FAR_MOVED: &str = "10.211.0.3";
pub(crate) const FAR_V6: &str = "fd00:211::2";
const NEAR_V6: &str = "fd00:211::1/64";
/// The client's address on the cable, and another one.
const NEAR: &str = "10.211.0.1/24";
const NEAR_MOVED: &str = "10.211.0.77/24";
/// The client's address behind the router, and the router's own.
const INSIDE: &str = "10.212.0.1/24";
const GATEWAY: &str = "10.212.0.254";
const OUTSIDE: &str = "10.211.0.254/24";

/// How the path goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Packets are dropped at both ends.
    Silent,
    /// The client's machine knows no way to the server.
    NoRoute,
}

/// Two hosts and the cable between them.
pub(crate) struct Cable {
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
    router: Option<Namespace>,
}

impl Cable {
    /// `name` tells it from others of this process.
    pub(crate) fn lay(name: &str) -> anyhow::Result<Self> {
        let host = |end| Namespace::create(&format!("{name}{end}"));
        let cable = Self { near: host("near")?, far: host("far")?, router: None };
        cable.near.enter(|| {
            join("lan", "lan", cable.far.name())?;
            plug("lan", NEAR)
        })??;
        cable.far.enter(|| plug("lan", &format!("{FAR}/24")))??;
        Ok(cable)
    }

    /// The same with a router between them, behind whose address the client is.
    pub(crate) fn lay_behind_nat(name: &str) -> anyhow::Result<Self> {
        let host = |end| Namespace::create(&format!("{name}{end}"));
        let (near, far, router) = (host("near")?, host("far")?, host("router")?);
        near.enter(|| {
            join("lan", "inside", router.name())?;
            plug("lan", INSIDE)
        })??;
        router.enter(|| {
            join("outside", "lan", far.name())?;
            plug("inside", &format!("{GATEWAY}/24"))?;
            plug("outside", OUTSIDE)?;
            nft("add table ip nat
                add chain ip nat post { type nat hook postrouting priority 100; }
                add rule ip nat post oifname outside udp sport 1-65535 masquerade to :40000-40999")
        })??;
        router.set("ipv4/ip_forward", "1")?;
        far.enter(|| plug("lan", &format!("{FAR}/24")))??;
        near.enter(|| ip(&["route", "add", "default", "via", GATEWAY]))??;
        Ok(Self { near, far, router: Some(router) })
    }

    /// Takes the path away.
    pub(crate) fn cut(&self, way: Way) -> anyhow::Result<()> {
        const DROP: &str = "add table inet away
            add chain inet away i { type filter hook input priority 0; policy drop; }";
        match way {
            Way::Silent => [&self.near, &self.far].into_iter().try_for_each(|host| host.enter(|| nft(DROP))?),
            Way::NoRoute => self.near.enter(|| ip(&["route", "del", "10.211.0.0/24"]))?,
        }
    }

    /// Gives it back.
    pub(crate) fn mend(&self, way: Way) -> anyhow::Result<()> {
        match way {
            Way::Silent => {
                [&self.near, &self.far].into_iter().try_for_each(|host| host.enter(|| nft("delete table inet away"))?)
            }
            Way::NoRoute => self.near.enter(|| ip(&["route", "add", "10.211.0.0/24", "dev", "lan"]))?,
        }
    }

    /// Gives the client's machine another address instead of its own.
    pub(crate) fn change_address(&self) -> anyhow::Result<()> {
        self.near.enter(|| {
            ip(&["address", "del", NEAR, "dev", "lan"])?;
            ip(&["address", "add", NEAR_MOVED, "dev", "lan"])
        })?
    }

    /// Takes the server's address, and gives its machine this one.
    pub(crate) fn move_server(&self, to: &str) -> anyhow::Result<()> {
        if to == FAR_V6 {
            self.near.enter(|| ip(&["address", "add", NEAR_V6, "dev", "lan", "nodad"]))??;
        }
        let bits = if to.contains(':') { 64 } else { 24 };
        self.far.enter(|| {
            ip(&["address", "del", &format!("{FAR}/24"), "dev", "lan"])?;
            let new = format!("{to}/{bits}");
            match bits {
                64 => ip(&["address", "add", &new, "dev", "lan", "nodad"]),
                _ => ip(&["address", "add", &new, "dev", "lan"]),
            }
        })?
    }

    /// Lets the router forget whom it translates, and take other ports for them.
    pub(crate) fn rebind(&self) -> anyhow::Result<()> {
        let router = self.router.as_ref().context("there is a router")?;
        router.enter(|| {
            nft("flush chain ip nat post
                add rule ip nat post oifname outside udp sport 1-65535 masquerade to :50000-50999")?;
            // The kernel forgets masquerading over a link that goes down.
            ip(&["link", "set", "outside", "down"])?;
            ip(&["link", "set", "outside", "up"])
        })?
    }

    /// Bytes that the client's end has received and sent.
    pub(crate) fn carried(&self) -> anyhow::Result<(u64, u64)> {
        let devices = self.near.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("lan:")).context("the cable is there")?;
        let figures: Vec<u64> = line.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        ensure!(figures.len() >= 9, "the kernel counts otherwise");
        Ok((figures[0], figures[8]))
    }
}

/// Makes a cable from here to another host.
fn join(own: &str, other: &str, host: &str) -> anyhow::Result<()> {
    ip(&["link", "add", own, "type", "veth", "peer", "name", other, "netns", host])
}

fn plug(device: &str, address: &str) -> anyhow::Result<()> {
    ip(&["address", "add", address, "dev", device])?;
    ip(&["link", "set", device, "up"])
}

/// Runs `nft` where the calling thread is.
fn nft(rules: &str) -> anyhow::Result<()> {
    let output = Command::new("nft").arg(rules).output().context("nft (package nftables)")?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
