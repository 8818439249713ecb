//! Networks with jumbo frames: packets grow to what the path takes, and one that takes less than its first link loses
//! nothing but probes. Networks of one cable, without routes to anywhere else: link-local addresses, and which address
//! a ticket names.

use crate::support::alone::is_alone;
use crate::support::bin::{Machine, wait_for};
use crate::support::content;
use crate::support::namespace::{Namespace, ip};
use qft::transport::limits::{MTU_JUMBO, MTU_NETWORK};

/// Many times what discovery takes.
const BYTES: usize = 8 << 20;

/// Two hosts and the cable between them.
struct Lan {
    near: Namespace,
    far: Namespace,
}

impl Lan {
    /// `None` where this may not be made, and where the test of that name has run in a process of its own: what ends a
    /// namespace waits for whatever child it has.
    fn new(test: &str, near_mtu: &str, far_mtu: &str) -> Option<Self> {
        if !is_alone(&format!("lan::{test}")) {
            return None;
        }
        let host = |end| match Namespace::create(end) {
            Ok(namespace) => Some(namespace),
            Err(error) => {
                println!("skipped: no network namespace can be made ({error:#})");
                None
            }
        };
        let lan = Self { near: host("near")?, far: host("far")? };
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

    /// The link-local addresses of both ends, near and far.
    fn link_local(&self) -> (String, String) {
        let find = || {
            wait_for("an address that is no longer tentative", || {
                let shown =
                    std::process::Command::new("ip").args(["-6", "-o", "address", "show", "dev", "lan"]).output();
                let text = String::from_utf8(shown.expect("ip runs").stdout).expect("text");
                let line = text.lines().find(|line| line.contains("fe80") && !line.contains("tentative"))?;
                let address = line.split_whitespace().find(|word| word.starts_with("fe80"))?;
                Some(address.split('/').next()?.to_owned())
            })
        };
        let found = |end: &Namespace| end.enter(find).expect("a namespace of ours");
        (found(&self.near), found(&self.far))
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
    let Some(lan) = Lan::new("packets_grow_on_a_network_with_jumbo_frames", "9000", "9000") else { return };
    let mtu = lan.send();
    assert!(mtu > u64::from(MTU_JUMBO) * 9 / 10 && mtu <= u64::from(MTU_JUMBO), "{mtu}");
}

#[test]
fn a_path_narrower_than_its_first_link_gets_packets_that_fit() {
    let Some(lan) = Lan::new("a_path_narrower_than_its_first_link_gets_packets_that_fit", "9000", "1500") else {
        return;
    };
    let mtu = lan.send();
    assert!(mtu > u64::from(MTU_NETWORK) * 9 / 10 && mtu <= 1472, "{mtu}");
}

#[test]
fn a_link_local_address_with_its_interface_is_taken_wherever_an_address_can_stand() {
    let Some(lan) =
        Lan::new("a_link_local_address_with_its_interface_is_taken_wherever_an_address_can_stand", "1500", "1500")
    else {
        return;
    };
    let (near, far) = lan.link_local();
    let (here, there) = (Machine::new(), Machine::new());
    here.write("f", "x");
    let serve = lan.far.enter(|| there.serve_at(&format!("[{far}%lan]:0"), "in", "")).expect("a namespace of ours");
    let ticket = serve.ticket().to_owned();
    assert!(ticket.contains(&format!("@[{far}%lan]:")), "{ticket}");
    let port = ticket.rsplit_once(':').expect("a port").1;
    let encoded = ticket.replace('%', "%25");
    let run = |words: &[&str]| lan.near.enter(|| here.qft(words).run()).expect("a namespace of ours");
    run(&["send", "f", "--to", &encoded]).exits(0);
    for place in [format!("[{far}%lan]:{port}:"), format!("[{far}%25lan]:{port}:")] {
        run(&["send", "f", &place]).exits(0).says(&["nothing to send"]);
        run(&["ls", &place]).exits(0).prints("f\n");
    }
    let own = format!("{near}%lan");
    run(&["ls", "--bind", &own, &format!("[{far}%lan]:{port}:")]).exits(0).prints("f\n");
    run(&["ls", "--from", &format!("{far}%lan"), "-p", port]).exits(0).prints("f\n");
    run(&["send", "f", &format!("{far}%lan:")]).exits(2).says_only(&[&format!("[{far}%lan]:")]);

    let advertised = "fe80::abcd%lan";
    let there_too = Machine::new();
    let start = || there_too.serve_at("[::]:0", "in", &format!("--advertise {advertised}"));
    let advertising = lan.far.enter(start).expect("a namespace of ours");
    assert!(advertising.ticket().contains("@[fe80::abcd%lan]:"), "{}", advertising.ticket());
    let invited = lan.far.enter(|| there.qft(["peers", "invite", "--advertise", advertised]).run()).expect("ours");
    let text = String::from_utf8(invited.exits(0).stdout.clone()).expect("text");
    assert!(text.contains("'qft://") && text.contains("@[fe80::abcd%lan]:"), "{text}");
}

#[test]
fn a_ticket_names_an_address_that_the_other_machine_reaches_though_there_is_no_default_route() {
    let Some(lan) = Lan::new(
        "a_ticket_names_an_address_that_the_other_machine_reaches_though_there_is_no_default_route",
        "1500",
        "1500",
    ) else {
        return;
    };
    let (here, there) = (Machine::new(), Machine::new());
    let serve = lan.far.enter(|| there.serve_at("[::]:0", "in", "--invite")).expect("a namespace of ours");
    let line = format!("qft send FILES --to {}", serve.ticket());
    assert!(serve.ticket().contains("@10.210.0.2:"), "{}", serve.ticket());
    serve.wait_to_say(&line);
    here.write("f", "x");
    let typed = line.replacen("qft send FILES", "send f", 1);
    lan.near.enter(|| here.run(&typed)).expect("a namespace of ours").exits(0);
    assert_eq!(there.tree("in"), ["f"]);
}
