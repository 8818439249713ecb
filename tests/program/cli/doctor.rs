//! `qft doctor`: this machine, the way to a remote, and what is said about them.

use serde_json::Value;

use super::paired;
use crate::support::bin::Machine;

fn note<'a>(lines: &'a [Value], kind: &str) -> &'a Value {
    lines.iter().find(|line| line["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {lines:?}"))
}

#[test]
fn a_machine_alone_is_looked_at_without_a_network() {
    let local = Machine::new();
    let outcome = local.run("doctor");
    outcome.exits(0);
    let text = String::from_utf8(outcome.stdout.clone()).expect("text");
    for part in ["this machine", "identity", "UDP receive", "UDP send", "open files", "hashing", "clock"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains("the way to"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 110), "{text}");
}

#[test]
fn ends_that_hash_in_lanes_and_one_at_a_time_agree_on_every_digest() {
    let (remote, local, _serve) = paired("");
    let scalar = |args: &[&str]| local.qft(args).env("QFT_MD5", "scalar").run();
    let told = String::from_utf8(scalar(&["doctor"]).exits(0).stdout.clone()).expect("text");
    assert!(told.contains("one leaf at a time (QFT_MD5=scalar)"), "{told}");
    let told = String::from_utf8(local.run("doctor").exits(0).stdout.clone()).expect("text");
    assert!(told.contains("16 leaves at once") && told.contains("self-test passed"), "{told}");
    // Two chunks that go through the lanes in a pair, one alone, and one whose last leaf is short.
    let content: Vec<u8> = (0..(3_u32 << 20) + 200_001).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    local.write("f", &content);
    scalar(&["send", "f"]).exits(0).says(&["sent 1 file"]);
    assert!(remote.read("in/f") == content);
    // Every chunk is compared: one digest that differed would have its chunk sent again.
    scalar(&["send", "--checksum", "f"]).exits(0).says(&["nothing to send, 1 unchanged"]);
}

#[test]
fn a_key_that_others_can_read_is_trouble_with_its_own_exit_code() {
    let local = Machine::new();
    local.run("doctor").exits(0);
    for name in local.tree("home") {
        let path = local.path("home").join(name);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    }
    let outcome = local.run("doctor");
    outcome.exits(5);
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("TROUBLE: others can read"));
}

#[test]
fn the_way_to_a_remote_is_measured_both_ways_and_judged() {
    let (_remote, local, serve) = paired("");
    let remote = serve.address();
    let lines = local.qft(["doctor", "--time", "1s", "--json", remote]).run().exits(0).json();
    let path = note(&lines, "path");
    let trip = |name: &str| path[name].as_u64().expect("a time");
    assert!(trip("rtt_min_us") > 0 && trip("rtt_min_us") <= trip("rtt_mean_us"));
    assert!(trip("rtt_mean_us") <= trip("rtt_max_us"));
    for way in ["up", "down"] {
        let way = &path[way];
        assert!(way["rate"].as_u64().is_some_and(|rate| rate > 1 << 20), "{path}");
        assert!(way["packets_sent"].as_u64().is_some_and(|sent| sent > 100), "{path}");
        assert!(way["mtu"].as_u64().is_some_and(|mtu| mtu >= 1200), "{path}");
        assert!(way["limit"].is_string(), "{path}");
    }
    assert!(path["udp_there"]["receive"].as_u64().is_some_and(|bytes| bytes > 0), "{path}");
    assert!(note(&lines, "connected")["handshake_us"].as_u64().is_some_and(|took| took > 0));
    assert_eq!(note(&lines, "addresses")["addresses"][0], "127.0.0.1");
    let findings = lines.last().expect("a summary")["findings"].as_array().expect("a list").len();
    assert!(findings >= 1, "{lines:?}");
    // The connection can be used for nothing else, but the next one can.
    local.write("f", "x");
    local.run("send f").exits(0);
}

#[test]
fn people_get_words() {
    let (_remote, local, serve) = paired("");
    let outcome = local.qft(["doctor", "--time", "1s", serve.address()]).run();
    outcome.exits(0);
    let text = String::from_utf8(outcome.stdout.clone()).expect("text");
    for part in ["the way to", "handshake", "round trip", "sending", "getting", "what that means"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let ends = ["nothing needs doing", "what would help", "no command on either machine"];
    assert!(ends.iter().any(|end| text.contains(end)), "{text}");
}

#[test]
fn digits_after_the_only_colon_are_the_port_that_is_tested() {
    let (_remote, local, serve) = paired("");
    let other = Machine::new();
    let unknown = other.serve("in", "--no-auth");
    // The host is known, but not at that port.
    let asked = local.qft(["doctor", unknown.address()]).run();
    asked.exits(5).says(&[unknown.address(), "not known here"]);
    let (host, port) = serve.address().split_once(':').expect("a port");
    local.qft(["doctor", host, "--port", port, "--time", "1s"]).run().exits(0);
    local.qft(["doctor", serve.address(), "--port", port]).run().exits(2).says_only(&["the port is named twice"]);
    local.run("doctor box:70000").exits(2).says_only(&["box:70000 has no port between 1 and 65535"]);
}

#[test]
fn a_direction_that_is_not_allowed_is_not_measured() {
    for (option, refused, measured) in [("--read-only", "up", "down"), ("--write-only", "down", "up")] {
        let (remote, local) = (Machine::new(), Machine::new());
        let serve = remote.serve("in", option);
        let lines = local.qft(["doctor", "--time", "1s", "--json", serve.ticket()]).run().exits(0).json();
        let path = note(&lines, "path");
        assert!(path[refused]["refused"].as_str().is_some_and(|why| why.contains(option)), "{path}");
        assert!(path[measured]["rate"].as_u64().is_some_and(|rate| rate > 0), "{path}");
    }
}

#[test]
fn a_server_in_this_process_can_be_measured() {
    let local = Machine::new();
    std::fs::create_dir(local.path("d")).expect("made");
    let lines = local.run("doctor --time 1s --json local:d").exits(0).json();
    assert!(note(&lines, "path")["up"]["rate"].as_u64().is_some_and(|rate| rate > 0));
}

#[test]
fn silence_and_strangers_are_told_as_everywhere_else() {
    let (_remote, local, serve) = paired("");
    let stranger = Machine::new();
    stranger.qft(["doctor", &serve.pinned()]).run().exits(5).says(&["not enrolled there"]);
    // A packet to a server that is gone is dropped without a word, as by a firewall.
    let remote = serve.address().to_owned();
    serve.kill();
    let outcome = local.qft(["doctor", &remote]).run();
    outcome.exits(4).says(&["no answer from", "firewalls let UDP port"]);
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("this machine"), "the local part is there");
    stranger.run("doctor nowhere").exits(4).says(&["not known here"]);
    stranger.run("doctor --time 5m").exits(2).says(&["from 1s to 30s"]);
}

#[test]
fn a_ping_is_a_few_echoes_and_fills_no_link() {
    let (_remote, local, serve) = paired("");
    let pinged = local.run("ping");
    let text = String::from_utf8(pinged.exits(0).stdout.clone()).expect("text");
    assert!(text.contains("handshake") && text.contains("(5 tries)"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    let lines = local.qft(["ping", serve.address(), "-c", "3", "--json"]).run().exits(0).json();
    let last = lines.last().expect("a summary");
    assert_eq!(last["trips_us"].as_array().map(Vec::len), Some(3), "{last}");
    assert!(last["handshake_us"].as_u64().is_some_and(|took| took > 0), "{last}");
    // Nothing near what a test of the link would have moved.
    serve.wait_to_say("received nothing; sent nothing");
    local.run("ping nowhere").exits(4).says(&["not known here"]);
    local.run("ping --port 1 box:4433").exits(2).says_only(&["the port is named twice"]);
    serve.kill();
    local.run("ping --timeout 1s").exits(4).says(&["no answer from"]);
    let help = String::from_utf8(local.run("--help").stdout).expect("text");
    assert!(help.lines().any(|line| line.trim_start().starts_with("ping ")), "{help}");
}
