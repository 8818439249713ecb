//! Networks that go away and come back in mid-transfer: the real program on both ends, in network namespaces.
//!
//! How soon bytes flow again is measured by `cargo bench --bench outage`; here it is counted what an outage costs, and what
//! is said of it.

use std::thread::sleep;
use std::time::Duration;

use crate::support::alone::is_alone;
use crate::support::bin::{Machine, Outcome, Running, Serve, wait_for};
use crate::support::cable::{Cable, FAR, FAR_MOVED, FAR_V6, Way};
use rustix::process::Signal;
use serde_json::Value;

/// At this rate a file outlasts what is done to its transfer.
const RATE: &str = "2M";
const BYTES: u64 = 10 << 20;
/// It is done when so much has arrived.
const BEGUN_BYTES: u64 = 2 << 20;
/// Content that a lost connection may cost: chunks that were not complete, and what was not reported of those that were.
const LOST_BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Send,
    Get,
}

/// A transfer between two hosts that has begun.
struct Scene {
    here: Machine,
    there: Machine,
    // Before the hosts, with whose namespaces all their processes end.
    client: Option<Running>,
    serve: Option<Serve>,
    cable: Cable,
}

impl Scene {
    /// `None`, after saying so, where there can be no namespaces, and where the test of that name has run in a process of
    /// its own: what ends a namespace waits for whatever child it has.
    fn new(test: &str, role: Role, lay: impl FnOnce(&str) -> anyhow::Result<Cable>) -> Option<Self> {
        Self::with_server(test, role, lay, FAR, |there| there.serve_at(&format!("{FAR}:0"), "in", ""))
    }

    /// The same with a server of this name, which only the client's file of hosts has.
    fn with_server(
        test: &str,
        role: Role,
        lay: impl FnOnce(&str) -> anyhow::Result<Cable>,
        host: &str,
        start: impl FnOnce(&Machine) -> Serve + Send,
    ) -> Option<Self> {
        if !is_alone(&format!("outage::{test}")) {
            return None;
        }
        let cable = match lay("outage-") {
            Ok(cable) => cable,
            Err(error) => {
                println!("skipped: no such network can be made ({error:#})");
                return None;
            }
        };
        let (here, there) = (Machine::new(), Machine::new());
        let from = if role == Role::Send { &here } else { &there };
        from.write_large("in/file", BYTES);
        let serve = cable.far.enter(|| start(&there)).expect("a namespace of ours");
        here.write("hosts", format!("{FAR} {host}\n"));
        here.write("with-hosts", "mount --bind hosts /etc/hosts && exec \"$@\"");
        let line = match role {
            Role::Send => format!("send --json --bwlimit {RATE} in/file --to {}", serve.ticket()),
            Role::Get => format!("get --json --bwlimit {RATE} {}/file in/", serve.ticket()),
        };
        let client = cable.near.enter(|| here.under("unshare -m sh with-hosts", &line).start());
        let client = client.expect("a namespace of ours");
        let scene = Self { here, there, client: Some(client), serve: Some(serve), cable };
        wait_for("content", || (scene.written() > BEGUN_BYTES).then_some(()));
        Some(scene)
    }

    fn client(&self) -> &Running {
        self.client.as_ref().expect("it runs")
    }

    /// Content bytes that the client has told of.
    fn written(&self) -> u64 {
        told(&self.client().printed()).iter().filter_map(|line| line["bytes_written"].as_u64()).max().unwrap_or(0)
    }

    /// Waits for an event of this kind.
    fn wait_to_tell(&self, kind: &str) {
        wait_for(kind, || told(&self.client().printed()).iter().any(|line| line["kind"] == kind).then_some(()));
    }

    /// Waits for the end, looks that all of the file has come, and gives what the client told of.
    fn end(mut self) -> Vec<Value> {
        let outcome: Outcome = self.client.take().expect("it runs").end();
        let lines = outcome.exits(0).json();
        assert!(self.here.read("in/file") == self.there.read("in/file"), "another content");
        lines
    }
}

fn told(printed: &str) -> Vec<Value> {
    // The last line may not be whole yet.
    printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn count(lines: &[Value], kind: &str) -> usize {
    lines.iter().filter(|line| line["kind"] == kind).count()
}

/// The connection has outlived it, and no content was sent again that had been written.
fn assert_not_lost(lines: &[Value]) {
    assert_eq!(count(lines, "reconnecting"), 0, "{lines:#?}");
    assert_eq!(count(lines, "connected"), 1, "{lines:#?}");
    assert_eq!(lines.last().expect("a summary")["bytes_written"], BYTES);
}

/// A path is away in the middle of a transfer, for long enough that QUIC's own probes are seconds apart, and comes back.
fn path_away(test: &str, role: Role, way: Way, cause: &str) {
    let Some(scene) = Scene::new(test, role, Cable::lay) else { return };
    scene.cable.cut(way).expect("a namespace of ours");
    scene.wait_to_tell("stalled");
    sleep(Duration::from_secs(2));
    scene.cable.mend(way).expect("a namespace of ours");
    scene.wait_to_tell("moving");
    let lines = scene.end();
    assert_not_lost(&lines);
    let at = |kind| lines.iter().position(|line| line["kind"] == kind).expect("it was told");
    assert!(at("stalled") < at("moving"), "{lines:#?}");
    assert_eq!(lines[at("stalled")]["cause"], cause, "{role:?} {way:?}");
    // While nothing moves there is neither a rate nor a time left, and it is said how long.
    let between = lines[at("stalled")..at("moving")].iter().filter(|line| line["type"] == "progress");
    for line in between {
        let figures = (&line["rate"], &line["eta_ms"], line["stalled_ms"].as_u64().map(|ms| ms >= 3000));
        assert_eq!(figures, (&Value::Null, &Value::Null, Some(true)), "{line}");
    }
}

#[test]
fn a_path_that_was_away_costs_a_sender_no_connection_and_is_told_of_with_its_cause_and_its_end() {
    let test = "a_path_that_was_away_costs_a_sender_no_connection_and_is_told_of_with_its_cause_and_its_end";
    path_away(test, Role::Send, Way::Silent, "no_answer");
}

#[test]
fn a_path_that_was_away_costs_a_getter_no_connection_and_is_told_of_with_its_cause_and_its_end() {
    let test = "a_path_that_was_away_costs_a_getter_no_connection_and_is_told_of_with_its_cause_and_its_end";
    path_away(test, Role::Get, Way::Silent, "no_answer");
}

#[test]
fn a_route_that_was_away_costs_no_connection_and_is_told_of_with_its_cause_and_its_end() {
    let test = "a_route_that_was_away_costs_no_connection_and_is_told_of_with_its_cause_and_its_end";
    path_away(test, Role::Send, Way::NoRoute, "no_route");
}

#[test]
fn a_changed_address_of_the_clients_machine_costs_no_connection() {
    for role in [Role::Send, Role::Get] {
        let Some(scene) = Scene::new("a_changed_address_of_the_clients_machine_costs_no_connection", role, Cable::lay)
        else {
            return;
        };
        scene.cable.change_address().expect("a namespace of ours");
        assert_not_lost(&scene.end());
    }
}

#[test]
fn a_router_that_gives_the_client_another_port_costs_no_connection() {
    for role in [Role::Send, Role::Get] {
        let Some(scene) =
            Scene::new("a_router_that_gives_the_client_another_port_costs_no_connection", role, Cable::lay_behind_nat)
        else {
            return;
        };
        scene.cable.rebind().expect("a namespace of ours");
        assert_not_lost(&scene.end());
    }
}

/// A server has another address from now on, which a name leads to.
fn server_moves(test: &str, role: Role, to: &str) {
    const NAME: &str = "moving.test";
    let start = |there: &Machine| there.serve_at("[::]:0", "in", &format!("--json --advertise {NAME}"));
    let Some(scene) = Scene::with_server(test, role, Cable::lay, NAME, start) else { return };
    scene.cable.move_server(to).expect("a namespace of ours");
    scene.here.write("hosts", format!("{to} {NAME}\n"));
    scene.wait_to_tell("reconnecting");
    let serve = scene.serve.as_ref().expect("it runs");
    wait_for("the second connection", || (count(&serve.json(), "connected") == 2).then_some(()));
    let lines = scene.end();
    assert_eq!(count(&lines, "connected"), 2, "{lines:#?}");
    let causes: Vec<_> = lines.iter().filter(|line| line["kind"] == "reconnecting").collect();
    // It is no idle timeout that has ended the first one.
    assert!(causes.len() == 1 && causes[0]["cause"].to_string().contains("takes its place"), "{causes:#?}");
    let written = lines.last().expect("a summary")["bytes_written"].as_u64().expect("a number");
    assert!(written.abs_diff(BYTES) <= LOST_BYTES_MAX, "{written} of {BYTES}");
}

#[test]
fn a_server_that_is_to_be_found_under_another_address_is_found_there_beside_the_dead_connection() {
    let test = "a_server_that_is_to_be_found_under_another_address_is_found_there_beside_the_dead_connection";
    server_moves(test, Role::Send, FAR_MOVED);
}

#[test]
fn a_server_that_is_to_be_found_under_an_address_of_the_other_family_is_found_there() {
    server_moves("a_server_that_is_to_be_found_under_an_address_of_the_other_family_is_found_there", Role::Get, FAR_V6);
}

#[test]
fn a_server_that_was_killed_and_started_again_goes_on_with_what_it_has() {
    for role in [Role::Send, Role::Get] {
        let Some(mut scene) =
            Scene::new("a_server_that_was_killed_and_started_again_goes_on_with_what_it_has", role, Cable::lay)
        else {
            return;
        };
        let mut killed = scene.serve.take().expect("it runs");
        let address = killed.address().to_owned();
        killed.signal(Signal::KILL);
        killed.end();
        let there = &scene.there;
        let serve = scene.cable.far.enter(|| there.serve_at(&address, "in", "")).expect("a namespace of ours");
        scene.serve = Some(serve);
        scene.wait_to_tell("reconnecting");
        let lines = scene.end();
        assert_eq!(count(&lines, "connected"), 2, "{lines:#?}");
        let written = lines.last().expect("a summary")["bytes_written"].as_u64().expect("a number");
        // What was there and not reported yet is found, and not sent again.
        assert!(written.abs_diff(BYTES) <= LOST_BYTES_MAX, "{written} of {BYTES}");
    }
}
