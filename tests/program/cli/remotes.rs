//! Servers that a client knows.

use std::net::UdpSocket;

use rustix::process::Signal;

use super::paired;
use crate::support::bin::{Machine, SLOW_BYTES, SLOWLY, wait_for};

#[test]
fn a_ticket_from_standard_input_pairs_under_the_name_that_was_given() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--write-only");
    let added = local.qft(["remote", "add", "box"]).stdin(serve.ticket().as_bytes()).run();
    added.exits(0);
    let said = String::from_utf8(added.stdout.clone()).expect("text");
    assert!(said.starts_with("paired with ") && said.contains("saved as box (127.0.0.1:"), "{said}");
    serve.wait_to_say("the invite is used up");
    local.write("f", "x");
    local.run("send f box:g").exits(0);
    assert_eq!(remote.read("in/g"), b"x");
    local.qft(["remote", "add", "other"]).stdin(b"").run().exits(2).says_only(&["no ticket was given"]);
    local.qft(["remote", "add", "other"]).stdin(b"nonsense").run().exits(2).says_only(&["cannot read the ticket"]);
}

#[test]
fn an_address_without_an_invite_is_only_noted() {
    let local = Machine::new();
    let pin = "a".repeat(52);
    local.qft(["remote", "add", "a", &format!("qft://{pin}@a.example:1")]).run().exits(0);
    local.qft(["remote", "add", "b", &format!("qft://{pin}@b.example")]).run().exits(0);
    local
        .run("remote")
        .exits(0)
        .prints("   NAME  ADDRESS         KEY\n*  a     a.example:1     aaaaaaaa\n   b     b.example:4433  aaaaaaaa\n");
    local.run("remote default B").exits(0).prints("b (b.example:4433) is the default now\n");
    local
        .run("remote forget b")
        .exits(0)
        .prints("b (b.example:4433) is forgotten; there is no default now (qft remote default NAME)\n");
    let listed = local.run("remote list --json").json();
    let remotes: Vec<_> = listed.iter().filter(|line| line["type"] == "remote").collect();
    assert_eq!(
        (remotes.len(), remotes[0]["name"].as_str(), remotes[0]["default"].as_bool()),
        (1, Some("a"), Some(false))
    );
}

#[test]
fn a_remote_can_get_another_name() {
    let local = Machine::new();
    local.qft(["remote", "add", "vm-17", &format!("qft://{}@a.example:1", "a".repeat(52))]).run().exits(0);
    local.run("remote rename vm-17 box").exits(0).prints("vm-17 (a.example:1) is called box now\n");
    local.run("remote rename vm-17 c").exits(2).says_only(&["vm-17: no such remote; known: box"]);
}

#[test]
fn names_that_mean_something_else_or_are_taken_are_refused() {
    let local = Machine::new();
    let url = |host: &str| format!("qft://{}@{host}:1", "a".repeat(52));
    local.qft(["remote", "add", "box", &url("one")]).run().exits(0);
    for name in ["local", "a:b", "a/b", "user@box", "a.b", "", "qft://x"] {
        local.qft(["remote", "add", name, &url("one")]).run().exits(2);
    }
    local
        .qft(["remote", "add", "BOX", &format!("qft://{}a@two:1", "b".repeat(51))])
        .run()
        .exits(2)
        .says_only(&["box is the name of one:1", "remote forget box"]);
    local.run("remote default nope").exits(2).says_only(&["nope: no such remote; known: box"]);
    local.run("remote forget nope").exits(2).says_only(&["no such remote"]);
}

#[test]
fn a_server_can_be_named_by_its_address_and_moves_with_a_new_ticket() {
    let (remote, local) = (Machine::new(), Machine::new());
    local.run("remote add box nonsense/x").exits(2).says_only(&["no host name", "HOST[:PORT]"]);
    local.run("remote add box me@host").exits(2).says_only(&["qft send FILES me@host:"]);
    let serve = remote.serve("in", "--no-auth");
    let address = serve.address().to_owned();
    let port = address.rsplit_once(':').expect("a port").1.to_owned();
    local.qft(["remote", "add", "box", &address]).run().exits(5).says(&["--host-key accept-new"]);
    let added = local.qft(["remote", "add", "box", &address, "--host-key", "accept-new"]).run();
    let saved = format!("saved as box ({address}); it is the default\n");
    added.exits(0).prints(&saved);
    let key = serve.fingerprint().to_owned();
    local
        .qft(["remote", "add", "box", &format!("127.0.0.1:{port}"), "--fingerprint", &key])
        .run()
        .exits(0)
        .prints(&saved);
    local.run("ls box:").exits(0);
    drop(serve);
    // The same server, elsewhere: its port is somebody else's by now.
    let _taken = UdpSocket::bind(&address).expect("it is free again");
    let serve = remote.serve("in", "--no-auth");
    let now = serve.address().to_owned();
    let met = local.qft(["ls", &format!("{}/", serve.ticket())]).run();
    met.exits(0).says(&[&format!("remote \"box\" is at {now} now (it was {address})")]);
    local.run("ls").exits(0);
    let listed = String::from_utf8(local.run("remote").stdout).expect("text");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    drop(serve);
    let serve = remote.serve("in", "--no-auth");
    let added = local.qft(["remote", "add", "box", &format!("{}/in/x", serve.ticket())]).run();
    let moved = format!(
        "saved as box ({}, no longer {now}); it is the default; a path is not kept: write box:in/x\n",
        serve.address()
    );
    added.exits(0).prints(&moved);
}

#[test]
fn a_remote_is_announced_once_however_often_it_is_met_again() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--no-auth");
    let address = serve.address().to_owned();
    local.write_large("big", SLOW_BYTES);
    let line = ["send", "big", "--to", serve.ticket()].into_iter().chain(SLOWLY.split_whitespace());
    let sending = local.qft(line).start();
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    sending.signal(Signal::STOP);
    assert!(!remote.has("in/big"), "it was stopped before its end");
    serve.kill();
    let _again = remote.serve_at(&address, "in", "--no-auth");
    sending.signal(Signal::CONT);
    let sent = sending.end();
    sent.exits(0);
    assert_eq!(sent.stderr.matches("saved as remote").count(), 1, "{}", sent.stderr);
    assert!(!sent.stderr.contains(" resumed,"), "all of it was sent by this run: {}", sent.stderr);
}

#[test]
fn digits_after_the_only_colon_are_a_path_unless_they_are_the_servers_port() {
    let (remote, local, serve) = paired("");
    let hint = format!("the port is written {}:", serve.address());
    local.write("f", "x");
    for words in [&["ls"][..], &["get"], &["send", "f"]] {
        local.qft([words, &[serve.address()]].concat()).run().exits(2).says_only(&["is a path there", &hint]);
    }
    let name = String::from_utf8(local.run("remote").stdout).expect("text");
    let name = name.split_whitespace().skip_while(|word| *word != "*").nth(1).expect("the default").to_owned();
    local.qft(["send", "f", &format!("{name}:2024")]).run().exits(0).says(&["'2024' is read as a path"]);
    assert_eq!(remote.tree("in"), ["2024"]);
}

#[test]
fn what_is_not_found_goes_by_the_name_that_was_typed() {
    let machine = Machine::new();
    machine.write("data/a.txt", "x");
    machine.run("get local:data/*.gz out").exits(1).says(&["failed: data/*.gz: not found"]);
    machine.run("ls local:data/nope").exits(1).says(&["qft: data/nope: not found"]);
    machine.run("ls local:data/*.txt").exits(0).prints("data/a.txt\n");
    machine.run("ls local:data/a.txt").exits(0).prints("data/a.txt\n");
}

#[test]
fn a_ticket_may_come_with_blanks() {
    let remote = Machine::new();
    let serve = remote.serve("in", "--invite");
    let local = Machine::new();
    let ticket = serve.ticket();
    let (start, end) = ticket.split_at(40);
    local.qft(["ls", &format!(" {start}\n  {end}")]).run().exits(0);
    local.run("ls").exits(0);
    local.qft(["ls", &format!("{}:", serve.fingerprint())]).run().exits(4).says(&["no ticket", "was it copied whole?"]);
}
