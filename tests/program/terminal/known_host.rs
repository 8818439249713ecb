//! A server without a ticket: the question on first use, its answers, and a key that changed.

use crate::support::bin::Machine;
use crate::support::screen::{CTRL_C, Terminal};
use crate::support::snapshot::{Names, assert_snapshot};

/// What the question ends with.
const QUESTION: &str = "Trust it? [yes/no/fingerprint]";

/// How it is asked again.
const AGAIN: &str = "Please type yes, no";

/// Lets a machine in by its fingerprint, as its user reads it out.
fn allow(server: &mut Terminal, remote: &Machine, client: &mut Terminal, local: &Machine) {
    assert_eq!(client.run(local, "qft id"), Some(0), "{}", client.seen());
    let allow = format!("qft peers allow {} --name laptop", local.fingerprint());
    assert_eq!(server.run(remote, &allow), Some(0), "{}", server.seen());
}

/// Both machines of a test, each with a name of its own also where `qft id` says it.
fn box_and_laptop(remote: &Machine, local: &Machine) -> Names {
    let name_and_key = String::from_utf8(local.run("id").exits(0).stdout.clone()).expect("text");
    Names::new(&[("box", remote), ("laptop", local)])
        .and(name_and_key.trim(), &format!("laptop  {}", local.fingerprint()))
}

/// Waits until this many clients have left.
fn wait_for_closes(server: &Terminal, count: usize) {
    crate::support::bin::wait_for("the farewells", || (server.seen().matches("\n- ").count() == count).then_some(()));
}

/// Starts a server at this address; `:0` picks the port, which is given back.
fn serve(terminal: &mut Terminal, machine: &Machine, address: &str) -> String {
    terminal.start_with(machine, "qft serve incoming", |command| {
        command.env("QFT_LISTEN", address);
    });
    terminal.wait_to_show("waiting for clients");
    let seen = terminal.seen();
    let line = seen.lines().rfind(|line| line.starts_with("qft ")).expect("the first line says where");
    let (_, rest) = line.split_once("127.0.0.1:").expect("it listens there");
    rest.split(' ').next().expect("a port").to_owned()
}

/// Runs a command that asks, and answers.
fn answer(terminal: &mut Terminal, machine: &Machine, line: &str, answers: &[&str]) -> Option<i32> {
    let before = terminal.seen().matches(QUESTION).count();
    terminal.start(machine, line);
    crate::support::bin::wait_for("the question", || {
        (terminal.seen().matches(QUESTION).count() > before).then_some(())
    });
    for (asked, answer) in (1..).zip(answers) {
        terminal.type_line(answer);
        if asked < answers.len() {
            crate::support::bin::wait_for("the next question", || {
                (terminal.seen().matches(AGAIN).count() >= asked).then_some(())
            });
        }
    }
    terminal.end()
}

/// The day that the client wrote down.
fn today(machine: &Machine) -> String {
    let list = String::from_utf8(machine.read("home/remotes")).expect("text");
    let (_, day) = list.split_once("# since ").expect("a day");
    day.trim().to_owned()
}

#[test]
fn a_stranger_is_asked_about_once_and_a_changed_key_is_never_accepted() {
    let (remote, local, other) = (Machine::new(), Machine::new(), Machine::new());
    local.write("notes.txt", "notes");
    let (mut server, mut client) = (Terminal::new(), Terminal::new());
    allow(&mut server, &remote, &mut client, &local);
    let port = serve(&mut server, &remote, "127.0.0.1:0");
    let send = format!("qft send notes.txt localhost:{port}:");
    assert_eq!(answer(&mut client, &local, &send, &["no"]), Some(5), "{}", client.seen());
    assert!(remote.tree("incoming").is_empty());
    let paste = remote.fingerprint();
    assert_eq!(answer(&mut client, &local, &send, &["y", &paste]), Some(0), "{}", client.seen());
    assert_eq!(remote.tree("incoming"), ["notes.txt"]);
    assert_eq!(client.run(&local, &format!("qft ls localhost:{port}:")), Some(0), "{}", client.seen());
    wait_for_closes(&server, 2);
    server.press(CTRL_C);
    assert_eq!(server.end(), Some(0));

    let mut impostor = Terminal::new();
    serve(&mut impostor, &other, &format!("127.0.0.1:{port}"));
    assert_eq!(client.run(&local, "qft send notes.txt"), Some(5), "{}", client.seen());
    assert!(other.tree("incoming").is_empty());
    let names = box_and_laptop(&remote, &local)
        .and(&other.fingerprint(), "otherKEYotherKEYotherKEYotherKEYotherKEYotherKEYothe")
        .and("localhost", "box")
        .and(&format!("localhost:{port}"), "box.example:4433")
        .and(&today(&local), "2026-03-02");
    assert_snapshot("known-host", &names, &[("box", &server), ("laptop", &client)]);
}

#[test]
fn yes_is_enough_and_the_wrong_fingerprint_is_an_alarm() {
    let (remote, local) = (Machine::new(), Machine::new());
    local.write("notes.txt", "notes");
    let (mut server, mut client) = (Terminal::new(), Terminal::new());
    allow(&mut server, &remote, &mut client, &local);
    let port = serve(&mut server, &remote, "127.0.0.1:0");
    let send = format!("qft send notes.txt localhost:{port}:");
    let wrong = local.fingerprint();
    assert_eq!(answer(&mut client, &local, &send, &[&wrong]), Some(5), "{}", client.seen());
    assert!(remote.tree("incoming").is_empty() && !local.has("home/remotes"));
    assert_eq!(answer(&mut client, &local, &send, &["yes"]), Some(0), "{}", client.seen());
    assert_eq!(remote.tree("incoming"), ["notes.txt"]);
    let names =
        box_and_laptop(&remote, &local).and("localhost", "box").and(&format!("localhost:{port}"), "box.example:4433");
    assert_snapshot("known-host-yes", &names, &[("laptop", &client)]);
}

#[test]
fn ctrl_c_at_the_question_ends_the_command_and_trusts_nobody() {
    let (remote, local) = (Machine::new(), Machine::new());
    local.write("notes.txt", "notes");
    let (mut server, mut client) = (Terminal::new(), Terminal::new());
    allow(&mut server, &remote, &mut client, &local);
    let port = serve(&mut server, &remote, "127.0.0.1:0");
    client.start(&local, &format!("qft send notes.txt localhost:{port}:"));
    client.wait_to_show(QUESTION);
    client.press(CTRL_C);
    assert_eq!(client.end(), Some(130), "the signal ends it");
    assert!(remote.tree("incoming").is_empty() && !local.has("home/remotes"));
}

#[test]
fn a_container_has_a_token_and_an_address_and_is_never_asked() {
    let (remote, local) = (Machine::new(), Machine::new());
    for machine in [&remote, &local] {
        machine.write_private("token", "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n");
    }
    local.write("dist/app.tar", "a".repeat(300_000));
    let (mut server, mut client) = (Terminal::new(), Terminal::new());
    server.start_with(&remote, "qft serve incoming --token-file token", |command| {
        command.env("QFT_LISTEN", "127.0.0.1:0");
    });
    server.wait_to_show("waiting for clients");
    let seen = server.seen();
    let (_, place) = seen.split_once("--to ").expect("where the server is");
    let place = place.split_whitespace().next().expect("where the server is");
    let sent = client.run(&local, &format!("env QFT_TOKEN_FILE=token QFT_REMOTE={place}/builds qft send dist/"));
    assert_eq!(sent, Some(0), "{}", client.seen());
    assert_eq!(client.run(&local, "qft ls"), Some(5), "{}", client.seen());
    assert_eq!(client.run(&local, "qft ls --token-file token"), Some(0), "{}", client.seen());
    assert_eq!(remote.tree("incoming"), ["builds/", "builds/app.tar"]);
    wait_for_closes(&server, 2);
    server.press(CTRL_C);
    assert_eq!(server.end(), Some(0), "{}", server.seen());
    let names = Names::new(&[("box", &remote), ("laptop", &local)]);
    assert_snapshot("token", &names, &[("box", &server), ("laptop", &client)]);
}
