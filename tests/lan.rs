//! Networks with jumbo frames: packets grow to what the path takes, and one that takes less than its first link loses
//! nothing but probes.

#[path = "support/bin.rs"]
mod bin;
#[path = "../benches/compare/namespace.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod namespace;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bin::Machine;
use namespace::{Namespace, ip};
use qft::transport::tuning::{MTU_JUMBO, MTU_NETWORK};
use support::content;

mod support;

/// Many times what discovery takes.
const BYTES: usize = 8 << 20;

/// A namespace that goes waits for every child of this process, those of another test among them.
static ALONE: Mutex<()> = Mutex::new(());

/// Two hosts and the cable between them.
struct Lan {
    near: Namespace,
    far: Namespace,
    _alone: MutexGuard<'static, ()>,
}

impl Lan {
    /// `None` where this may not be made. `name` tells it from others of this test program.
    fn new(name: &str, near_mtu: &str, far_mtu: &str) -> Option<Self> {
        let host = |end| match Namespace::create(&format!("{name}-{end}")) {
            Ok(namespace) => Some(namespace),
            Err(error) => {
                println!("skipped: no network namespace can be made ({error:#})");
                None
            }
        };
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let lan = Self { near: host("near")?, far: host("far")?, _alone: alone };
        lan.near
            .enter(|| {
                ip(&["link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", lan.far.name()])?;
                plug("10.210.0.1/24", near_mtu)
            })
            .and_then(|made| made)
            .expect("a namespace of ours");
        lan.far.enter(|| plug("10.210.0.2/24", far_mtu)).and_then(|made| made).expect("a namespace of ours");
        Some(lan)
    }

    /// Sends a file to the other host, compares it there, and returns the packet size at the end.
    fn send(&self) -> u64 {
        let (here, there) = (Machine::new(), Machine::new());
        let file = content(BYTES);
        here.write("file", &file);
        let serve = self.far.enter(|| there.serve_at("10.210.0.2:0", "in", "")).expect("a namespace of ours");
        let line = format!("send --json file --to {}", serve.ticket());
        let sent = self.near.enter(|| here.run(&line)).expect("a namespace of ours");
        let events = sent.exits(0).json();
        assert!(there.read("in/file") == file, "the copy differs");
        events.last().and_then(|summary| summary["mtu"].as_u64()).expect("the packet size is known by then")
    }
}

fn plug(address: &str, mtu: &str) -> anyhow::Result<()> {
    ip(&["address", "add", address, "dev", "lan"])?;
    ip(&["link", "set", "lan", "mtu", mtu, "up"])
}

#[test]
fn packets_grow_on_a_network_with_jumbo_frames() {
    let Some(lan) = Lan::new("jumbo", "9000", "9000") else { return };
    let mtu = lan.send();
    assert!(mtu > u64::from(MTU_JUMBO) * 9 / 10 && mtu <= u64::from(MTU_JUMBO), "{mtu}");
}

#[test]
fn a_path_narrower_than_its_first_link_gets_packets_that_fit() {
    let Some(lan) = Lan::new("narrow", "9000", "1500") else { return };
    let mtu = lan.send();
    assert!(mtu > u64::from(MTU_NETWORK) * 9 / 10 && mtu <= 1472, "{mtu}");
}
