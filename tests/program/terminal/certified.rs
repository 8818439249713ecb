//! A CA of one's own: its first certificates, a server and a client that need nothing else.

use crate::support::bin::Machine;
use crate::support::screen::{CTRL_C, Terminal};
use crate::support::snapshot::{Names, assert_snapshot};

/// Gives a machine files that the CA has made, as by hand.
fn carry(from: &Machine, to: &Machine, names: &[&str]) {
    for name in names {
        let content = from.read(&format!("mine/{name}"));
        to.write_private(name, content);
    }
}

/// The key in a certificate, as logs show it.
fn short_key(machine: &Machine, file: &str) -> String {
    let shown = machine.run(&format!("cert show {file} --json")).exits(0).json();
    let key = shown.iter().find_map(|event| event["fingerprint"].as_str()).expect("a certificate");
    key[..8].to_owned()
}

/// First and last day of what `qft cert show` has printed.
fn days(terminal: &Terminal) -> (String, String) {
    let seen = terminal.seen();
    let line = seen.lines().find_map(|line| line.strip_prefix("valid ")).expect("its days");
    let (from, until) = line.trim().split_once(" to ").expect("two days");
    (from.to_owned(), until.to_owned())
}

#[test]
fn a_ca_makes_certificates_that_server_and_client_know_each_other_by() {
    let (authority, remote, local) = (Machine::new(), Machine::new(), Machine::new());
    local.write("notes.txt", "notes");
    let (mut office, mut server, mut client) = (Terminal::new(), Terminal::new(), Terminal::new());
    for line in [
        "qft cert ca mine",
        "qft cert issue mine localhost --san 127.0.0.1",
        "qft cert issue mine laptop --client",
        "qft cert show mine/localhost.crt",
    ] {
        assert_eq!(office.run(&authority, line), Some(0), "{}", office.seen());
    }
    carry(&authority, &remote, &["ca.crt", "localhost.crt", "localhost.key"]);
    carry(&authority, &local, &["ca.crt", "laptop.crt", "laptop.key"]);
    let serve = "qft serve incoming --cert localhost.crt --key localhost.key --client-ca ca.crt";
    server.start_with(&remote, serve, |command| {
        command.env("QFT_LISTEN", "127.0.0.1:0");
    });
    server.wait_to_show("waiting for clients");
    let seen = server.seen();
    let (_, rest) = seen.split_once(" on 127.0.0.1:").expect("where it listens");
    let port = rest.split(' ').next().expect("a port");
    let send = format!("qft send notes.txt localhost:{port}:");
    assert_eq!(client.run(&local, &format!("{send} --ca ca.crt")), Some(5), "{}", client.seen());
    let with_certificate = format!("{send} --ca ca.crt --cert laptop.crt --key laptop.key");
    assert_eq!(client.run(&local, &with_certificate), Some(0), "{}", client.seen());
    assert_eq!(remote.tree("incoming"), ["notes.txt"]);
    crate::support::bin::wait_for("the farewell", || server.seen().contains("\n- ").then_some(()));
    server.press(CTRL_C);
    assert_eq!(server.end(), Some(0), "{}", server.seen());
    let (from, until) = days(&office);
    let names = Names::new(&[("box", &remote), ("laptop", &local)])
        .and(&from, "2026-03-01")
        .and(&until, "2027-03-01")
        .and(&short_key(&local, "laptop.crt"), "laptopKE")
        .and(&authority.path("").display().to_string(), "/home/me/")
        .and("localhost", "box.example")
        .and(&format!("localhost:{port}"), "box.example:4433");
    assert_snapshot("certificates", &names, &[("ca", &office), ("box", &server), ("laptop", &client)]);
}
