//! Servers that the client does not know yet, or not any more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::paired;
use crate::support::bin::{Machine, Outcome, Running, SLOW_BYTES, SLOWLY, Serve, wait_for};

/// What the list says, without its heading.
fn remotes(machine: &Machine) -> Vec<String> {
    let text = String::from_utf8(machine.read("home/remotes")).expect("text");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn where_nobody_can_be_asked_a_stranger_is_refused_with_the_exact_remedy() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--no-auth");
    local.write("f", "x");
    let to = format!("{}:", serve.address());
    let refused = local.qft(["send", "f", &to]).run();
    refused.exits(5).says(&["qft: the identity of", serve.address(), "not known here"]);
    let flag = format!("--fingerprint {}", serve.fingerprint());
    refused
        .says(&["fingerprint", serve.fingerprint()])
        .says(&[&flag])
        .says(&["qft status", "qft id", "qft cert show"])
        .says(&["--host-key accept-new"]);
    assert!(!local.has("home/remotes") && remote.tree("in").is_empty());
    // The server was only looked at, which is nothing to report.
    assert!(!serve.log().contains("refused"), "{}", serve.log());

    let events = local.qft(["send", "f", &to, "--json"]).run().exits(5).json();
    assert!(events.iter().any(|event| event["type"] == "error" && event.to_string().contains(&flag)), "{events:?}");
    local.qft(["send", "f", &to, "--fingerprint", serve.fingerprint()]).run().exits(0);
    assert_eq!(remote.read("in/f"), b"x");
    local.qft(["ls", &to]).run().exits(0).prints("f\n");
}

#[test]
fn accept_new_takes_the_first_key_and_no_other() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--no-auth");
    let (address, key) = (serve.address().to_owned(), serve.fingerprint().to_owned());
    local.write("f", "x");
    let send = ["send", "f", &format!("{address}:"), "--host-key", "accept-new"];
    local.qft(send).run().exits(0).says(&["accepted the identity", &key]).says(&["saved as remote", "now the default"]);
    assert_eq!(remotes(&local).len(), 1);
    assert!(!remotes(&local)[0].starts_with("127-0-0-1"), "an address is no name: {:?}", remotes(&local));
    assert!(remotes(&local)[0].contains(&format!("qft://{key}@{address} default # since 2")), "{:?}", remotes(&local));
    local.qft(send).run().exits(0).does_not_say("accepted");

    serve.kill();
    let imposter = Machine::new();
    let serve = imposter.serve_at(&address, "in", "--no-auth");
    let refused = local.qft(send).run();
    refused.exits(5).says(&[&address, "answered with a different identity"]).says(&["known", &key]);
    refused.says(&["home/remotes:2", "since 2"]).says(&["now", serve.fingerprint()]).says(&["qft remote forget"]);
    assert!(imposter.tree("in").is_empty());
}

#[test]
fn strict_takes_no_new_key_and_does_not_even_look() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--no-auth -vv");
    local.write("f", "x");
    let to = format!("{}:", serve.address());
    let refused = local.qft(["send", "f", &to, "--host-key", "strict"]).run();
    refused.exits(5).says(&["not known here", "strict"]).says(&["--fingerprint FP", "qft id"]);
    assert!(!serve.log().contains("asked for the key"), "{}", serve.log());
    local.qft(["ls", &to, "--host-key", "strict", "--fingerprint", serve.fingerprint()]).run().exits(0);
    local.qft(["send", "f", &to, "--host-key", "strict"]).run().exits(0);
}

#[test]
fn a_fingerprint_that_is_not_the_servers_keeps_everything_here() {
    let (remote, local, serve) = paired("");
    let other = local.fingerprint();
    local.write("f", "x");
    let known = local.qft(["send", "f", "--to", &format!("{}:", serve.address()), "--fingerprint", &other]).run();
    known.exits(5).says(&["--fingerprint names another identity"]).says(&["qft remote forget"]);
    let ticket = local.qft(["send", "f", "--to", serve.ticket(), "--fingerprint", &other]).run();
    ticket.exits(5).says(&["--fingerprint names another identity"]);
    let stranger = Machine::new();
    stranger.write("f", "x");
    let wrong = stranger.qft(["send", "f", &format!("{}:", serve.address()), "--fingerprint", &other]).run();
    wrong.exits(5).says(&[&other, serve.fingerprint()]);
    assert!(remote.tree("in").is_empty() && !stranger.has("home/remotes"));
    stranger.run("send f box.example: --fingerprint short").exits(2).says(&["--fingerprint", "52"]);
}

#[test]
fn a_port_is_given_in_the_address_or_by_its_flag() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", "--no-auth");
    let (host, port) = serve.address().split_once(':').expect("a port");
    local.write("f", "x");
    let send = ["send", "f", &format!("{host}:texts/"), "-p", port, "--host-key", "accept-new"];
    local.qft(send).run().exits(0);
    assert_eq!(remote.read("in/texts/f"), b"x");
    local.qft(["ls", &format!("{host}:"), "-p", port]).run().exits(0).prints("texts/\n");
    local.qft(["get", &format!("{host}:{port}:texts/f"), "back"]).run().exits(0);
    assert_eq!(local.read("back"), b"x");
    local.qft(["send", "f", "--to", serve.ticket(), "-p", port]).run().exits(2).says(&["port is named twice"]);
}

#[test]
fn a_token_lets_a_client_in_that_nobody_enrolled_and_enrols_nobody() {
    let (remote, local) = (Machine::new(), Machine::new());
    let token = "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n";
    for machine in [&remote, &local] {
        machine.write_private("token", token);
    }
    let serve = remote.serve("in", "--token-file token");
    local.write("dist/app.tar", "content");
    let to = format!("{}/in", serve.pinned());
    // As a container has it: an empty home, two variables, nobody at a terminal.
    let sent = local.qft(["send", "dist/"]).env("QFT_REMOTE", &to).env("QFT_TOKEN_FILE", local.path("token")).run();
    sent.exits(0).does_not_say("paired");
    assert_eq!(remote.read("in/in/app.tar"), b"content");
    assert!(!remote.has("home/authorized_clients") || !serve.log().contains("paired"), "{}", serve.log());
    local.qft(["ls", &to]).run().exits(5).says(&["not enrolled there"]);
    local.qft(["ls", &to, "--token-file", "token"]).run().exits(0).prints("in/app.tar\n");
    for text in [sent.stderr, serve.log(), String::from_utf8(remote.run("id").stdout).expect("text")] {
        assert!(!text.contains(token.trim()), "{text}");
    }
}

#[test]
fn another_token_is_refused_by_its_own_words() {
    let (remote, local) = (Machine::new(), Machine::new());
    remote.write_private("token", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    local.write_private("token", "0f1e2d3c4b5a69788796a5b4c3d2e1f1");
    let serve = remote.serve("in", "--token-file token");
    local.write("f", "x");
    let refused = local.qft(["send", "f", "--to", &serve.pinned(), "--token-file", "token"]).run();
    refused.exits(5).says(&["qft: the server has another token", "--token-file"]);
    serve.wait_to_say("the server has another token");
    assert!(remote.tree("in").is_empty());
}

#[test]
fn a_token_that_others_can_read_or_guess_is_used_by_neither_side() {
    let machine = Machine::new();
    machine.write("f", "x");
    let send = |token: &str| machine.qft(["send", "f", "box:", "--token-file", token]).run();
    let serve = |token: &str| machine.qft(["serve", "in", "-l", "127.0.0.1:0", "--token-file", token]).run();
    machine.write_private("weak", "hunter2");
    machine.write_private("exposed", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    fs::set_permissions(machine.path("exposed"), fs::Permissions::from_mode(0o644)).expect("ours");
    serve("weak").exits(2).says_only(&["token", "easy to guess", "qft peers token"]).does_not_say("hunter2");
    serve("exposed").exits(5).says_only(&["others can read", "chmod 600 exposed"]);
    serve("missing").exits(2).says_only(&["cannot open missing"]);
    machine.run("id").exits(0);
    machine.write_private("home/remotes", format!("box qft://{}@127.0.0.1:9\n", "a".repeat(52)));
    send("weak").exits(2).says_only(&["easy to guess"]);
    send("exposed").exits(5).says_only(&["chmod 600 exposed"]);
}

/// A server that takes a token, a client that has it, and another one.
fn with_a_token() -> (Machine, [Machine; 2], Serve) {
    let (remote, clients) = (Machine::new(), [Machine::new(), Machine::new()]);
    for machine in [&remote, &clients[0], &clients[1]] {
        machine.write_private("token", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    }
    let serve = remote.serve("in", "--token-file token");
    (remote, clients, serve)
}

fn ls_by_token(local: &Machine, serve: &Serve) -> Outcome {
    local.qft(["ls", &serve.pinned(), "--token-file", "token"]).run()
}

/// A client that a token let in, in the middle of sending and stopped there.
fn sending_by_token(remote: &Machine, local: &Machine, serve: &Serve) -> Running {
    local.write_large("big", SLOW_BYTES);
    let to = serve.pinned();
    let line = ["send", "big", "--to", &to, "--token-file", "token"].into_iter().chain(SLOWLY.split_whitespace());
    let sending = local.qft(line).start();
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    sending.signal(Signal::STOP);
    sending
}

#[test]
fn who_came_by_a_token_can_be_shut_out_for_good() {
    let (remote, [local, other], serve) = with_a_token();
    let sending = sending_by_token(&remote, &local, &serve);
    let key = local.fingerprint();
    remote.run("peers revoke nobody").exits(2).says_only(&["whole fingerprint"]);
    remote.run(&format!("peers revoke {key}")).exits(0);
    serve.wait_to_say("shut out: it was taken off the list");
    sending.signal(Signal::CONT);
    sending.end().exits(5).says(&["was shut out there"]);
    ls_by_token(&local, &serve).exits(5).says(&["was shut out there"]);
    serve.wait_to_say(&format!("refused: shut out here, whatever it shows; to let it in again: qft peers allow {key}"));
    ls_by_token(&other, &serve).exits(0);
    let listed = remote.run("peers --json").json();
    assert!(listed.iter().any(|line| line["type"] == "revoked" && line["fingerprint"] == key), "{listed:?}");
    remote.run(&format!("peers allow {key} --ro")).exits(0);
    ls_by_token(&local, &serve).exits(0);
}

#[test]
fn a_listed_client_that_was_shut_out_does_not_come_back_by_a_token() {
    let (remote, [local, _other], serve) = with_a_token();
    let key = local.fingerprint();
    remote.run(&format!("peers allow {key} --name laptop --ro")).exits(0);
    ls_by_token(&local, &serve).exits(0);
    remote.run("peers revoke laptop").exits(0);
    ls_by_token(&local, &serve).exits(5).says(&["was shut out there"]);
    // An invite is a newer word of the same operator's.
    local.qft(["ls", serve.ticket()]).run().exits(0);
    ls_by_token(&local, &serve).exits(0);
}

#[test]
fn a_hang_up_reads_the_token_again_and_ends_who_has_the_old_one() {
    let (remote, [local, other], serve) = with_a_token();
    let sending = sending_by_token(&remote, &local, &serve);
    // One that cannot be read changes nothing.
    remote.write_private("token", "short");
    serve.signal(Signal::HUP);
    serve.wait_to_say("what was read before stays in force: the token");
    ls_by_token(&other, &serve).exits(0);
    for machine in [&remote, &other] {
        machine.write_private("token", "f0e1d2c3b4a5968778695a4b3c2d1e0f");
    }
    serve.signal(Signal::HUP);
    serve.wait_to_say("the token was replaced");
    sending.signal(Signal::CONT);
    sending.end().exits(5).says(&["the server has another token"]);
    ls_by_token(&local, &serve).exits(5).says(&["the server has another token"]);
    ls_by_token(&other, &serve).exits(0);
    assert!(!remote.has("in/big"));
}
