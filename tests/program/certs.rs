//! Certificates from a private CA: as `certs/README.md` makes them, as openssl sees them, and as qft takes them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::bin::{Machine, Outcome, Running, Serve, wait_for};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustix::process::Signal;

/// The page and what it refers to.
fn certs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs").join(name)
}

fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("SKIPPED: openssl is not installed");
    }
    found
}

/// The commands of the page: everything in its `sh` blocks, in order.
fn commands_of_the_page() -> String {
    let page = fs::read_to_string(certs("README.md")).expect("the page is there");
    let mut commands = String::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => commands.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    commands
}

/// A machine whose directory is `certs/`, after the page was followed to the letter.
fn as_the_page_says() -> Machine {
    let machine = Machine::new();
    machine.write("openssl.cnf", fs::read(certs("openssl.cnf")).expect("it is there"));
    machine.write("page.sh", format!("set -euo pipefail\n{}", commands_of_the_page()));
    let output = machine.shell("bash page.sh").output().expect("bash runs");
    let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{erred}");
    assert_eq!(said.matches(": OK\n").count(), 6, "openssl takes every certificate: {said}\n{erred}");
    machine
}

#[test]
fn the_commands_of_the_page_work_and_openssl_verifies_what_they_make() {
    if !has_openssl() {
        return;
    }
    let remote = as_the_page_says();
    for name in ["ca.key", "box.example.key", "laptop.key"] {
        let mode = fs::metadata(remote.path(&format!("mine/{name}"))).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    for dir in ["mine", "byhand"] {
        let local = client_of(&remote, dir, "laptop");
        let options = format!("--cert {dir}/box.example.crt --key {dir}/box.example.key --client-ca {dir}/ca.crt");
        let serve = remote.serve(&format!("in-{dir}"), &options);
        send(&local, &serve, "localhost").exits(0);
        assert_eq!(remote.read(&format!("in-{dir}/f")), b"content");
    }
}

/// A client that was given what belongs to it.
fn client_of(remote: &Machine, dir: &str, name: &str) -> Machine {
    let local = Machine::new();
    local.write("f", "content");
    for (from, to, mode) in [("ca.crt", "ca.crt", 0o644), ("{}.crt", "own.crt", 0o644), ("{}.key", "own.key", 0o600)] {
        let from = from.replace("{}", name);
        let path = local.write(to, remote.read(&format!("{dir}/{from}")));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    }
    local
}

/// Sends a file to the server under this name, with the client's certificate.
fn send(local: &Machine, serve: &Serve, host: &str) -> Outcome {
    let (_, port) = serve.address().rsplit_once(':').expect("a port");
    let to = format!("{host}:{port}:");
    local.qft(["send", "f", &to, "--ca", "ca.crt", "--cert", "own.crt", "--key", "own.key"]).run()
}

/// A server's machine with a CA, a server's certificate and a client's, and the client.
fn certified() -> (Machine, Machine) {
    let remote = Machine::new();
    for line in ["cert ca c", "cert issue c localhost --san 127.0.0.1", "cert issue c laptop --client"] {
        remote.run(line).exits(0);
    }
    let local = client_of(&remote, "c", "laptop");
    (remote, local)
}

fn serve(remote: &Machine) -> Serve {
    remote.serve("in", "--cert c/localhost.crt --key c/localhost.key --client-ca c/ca.crt")
}

#[test]
fn a_certificate_on_each_side_is_all_that_it_takes_and_nothing_is_remembered() {
    let (remote, local) = certified();
    let serve = serve(&remote);
    for host in ["localhost", "127.0.0.1"] {
        send(&local, &serve, host).exits(0).does_not_say("paired").does_not_say("saved");
    }
    assert!(!local.has("home/remotes") && remote.has("in/f"));
    serve.wait_to_say("clients with a certificate from c/ca.crt may connect");
    // The fingerprint stays the identity: a pin works for the same server.
    let pinned = local.qft(["ls", &serve.pinned(), "--cert", "own.crt", "--key", "own.key"]).run();
    pinned.exits(0).prints("f\n");
}

#[test]
fn a_server_with_a_certificate_can_be_given_a_name() {
    let (remote, local) = certified();
    let serve = serve(&remote);
    let (_, port) = serve.address().rsplit_once(':').expect("a port");
    let place = format!("localhost:{port}");
    let added = local.qft(["remote", "add", "box", &place, "--ca", "ca.crt"]).run();
    added.exits(0).prints(&format!("saved as box ({place}); it is the default\n"));
    local.run("send f --cert own.crt --key own.key").exits(0);
    assert_eq!(remote.tree("in"), ["f"]);
    remote.run("cert issue c elsewhere.example --san 192.0.2.1").exits(0);
    let other = remote.serve("in", "--no-auth --cert c/elsewhere.example.crt --key c/elsewhere.example.key");
    let (_, port) = other.address().rsplit_once(':').expect("a port");
    let elsewhere = local.qft(["remote", "add", "other", &format!("localhost:{port}"), "--ca", "ca.crt"]).run();
    elsewhere.exits(5).says(&["localhost is not trusted"]);
}

#[test]
fn a_server_must_have_the_name_that_it_is_called_by() {
    let (remote, local) = certified();
    remote.run("cert issue c elsewhere.example --san 192.0.2.1").exits(0);
    let serve = remote.serve("in", "--no-auth --cert c/elsewhere.example.crt --key c/elsewhere.example.key");
    let refused = send(&local, &serve, "localhost");
    refused.exits(5).says(&["localhost is not trusted", "elsewhere.example", "192.0.2.1"]);
    // The log has words for TLS's alert, and not those of the client's TLS library.
    serve.wait_to_say("it does not accept this end's certificate (");
    assert!(!serve.log().contains("DnsName") && !serve.log().contains("TransportError"), "{}", serve.log());
    assert!(remote.tree("in").is_empty());
}

#[test]
fn a_server_of_another_ca_is_refused() {
    let (remote, local) = certified();
    let other = Machine::new();
    other.run("cert ca c").exits(0);
    local.write("ca.crt", other.read("c/ca.crt"));
    let refused = send(&local, &serve(&remote), "localhost");
    refused.exits(5).says(&["localhost is not trusted", "not issued by the CA"]);
}

/// A certificate whose time is over, in the place of one of the client's or the server's.
fn expire(remote: &Machine, name: &str, usage: ExtendedKeyUsagePurpose) {
    let text = |name: &str| String::from_utf8(remote.read(name)).expect("PEM is text");
    let signing = KeyPair::from_pem(&text("c/ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&text("c/ca.crt"), signing).expect("a CA");
    let key = KeyPair::from_pem(&text(&format!("c/{name}.key"))).expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    params.extended_key_usages = vec![usage];
    let expired = params.signed_by(&key, &issuer).expect("signed");
    remote.write(&format!("c/{name}.crt"), expired.pem());
}

#[test]
fn a_server_whose_time_is_over_is_refused() {
    let (remote, local) = certified();
    expire(&remote, "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let shown = remote.run("cert show c/localhost.crt");
    shown.exits(0);
    let text = String::from_utf8(shown.stdout).expect("text");
    assert!(text.contains("valid        2020-01-01 to 2021-01-01  EXPIRED"), "{text}");
    let serve = serve(&remote);
    serve.wait_to_say("warning: the certificate in c/localhost.crt ended on 2021-01-01");
    send(&local, &serve, "localhost").exits(5).says(&["localhost is not trusted", "has expired"]);
}

#[test]
fn a_server_says_a_week_ahead_that_its_certificate_ends() {
    let (remote, _local) = certified();
    let year = serve(&remote);
    year.wait_to_say("waiting for clients");
    assert!(!year.log().contains("warning"), "it has a year: {}", year.log());
    remote.run("cert issue c localhost --days 3 --force").exits(0);
    let shown = String::from_utf8(remote.run("cert show c/localhost.crt").stdout).expect("text");
    assert!(shown.contains("  ENDS WITHIN 3 DAYS\n"), "{shown}");
    let shown = remote.run("cert show c/localhost.crt --json").exits(0).json();
    assert!(shown.iter().any(|event| event["ends_soon"] == true && event["expired"] == false), "{shown:?}");
    serve(&remote).wait_to_say("warning: the certificate in c/localhost.crt ends within 3 days, on ");
    let quiet = remote.serve("in", "--quiet --cert c/localhost.crt --key c/localhost.key");
    // A warning is none of the lines that --quiet leaves out.
    quiet.wait_to_say("ends within 3 days");
}

#[test]
fn a_client_is_told_what_is_wrong_with_its_certificate() {
    let (remote, local) = certified();
    let serve = serve(&remote);
    let to = format!("{}:", serve.address());
    // Its own generated one, which no CA issued.
    local.qft(["send", "f", &to, "--ca", "ca.crt"]).run().exits(5).says(&["no client certificate from the CA"]);
    let others = Machine::new();
    others.run("cert ca c").exits(0);
    others.run("cert issue c laptop --client").exits(0);
    let stranger = client_of(&others, "c", "laptop");
    stranger.write("ca.crt", remote.read("c/ca.crt"));
    send(&stranger, &serve, "localhost").exits(5).says(&["no client certificate from the CA"]);
    // A server's certificate is not a client's.
    let server = client_of(&remote, "c", "localhost");
    send(&server, &serve, "localhost").exits(5).says(&["no client certificate from the CA"]);
    expire(&remote, "laptop", ExtendedKeyUsagePurpose::ClientAuth);
    let late = client_of(&remote, "c", "laptop");
    send(&late, &serve, "localhost").exits(5).says(&["certificate has expired", "qft cert issue"]);
    assert!(remote.tree("in").is_empty());
}

#[test]
fn files_that_do_not_fit_are_named() {
    let (remote, local) = certified();
    let serve = |options: &str| {
        let line = format!("serve in -l 127.0.0.1:0 {options}");
        remote.qft(line.split_whitespace()).run()
    };
    fs::create_dir(remote.path("in")).expect("made");
    remote.write_private("c/ca.txt", remote.read("c/ca.crt"));
    serve("--cert c/localhost.crt --key c/laptop.key").exits(2).says_only(&["c/laptop.key", "does not belong"]);
    serve("--cert c/localhost.key --key c/localhost.key").exits(2).says_only(&["c/localhost.key holds no certificate"]);
    serve("--cert c/localhost.crt --key c/ca.txt").exits(2).says_only(&["c/ca.txt holds no private key"]);
    serve("--client-ca missing.crt").exits(2).says_only(&["cannot open missing.crt"]);
    serve("--cert c/localhost.crt").exits(2).says(&["--key"]);
    fs::set_permissions(remote.path("c/localhost.key"), fs::Permissions::from_mode(0o644)).expect("ours");
    serve("--cert c/localhost.crt --key c/localhost.key").exits(5).says_only(&["chmod 600 c/localhost.key"]);
    local.run("send f h: --ca own.key").exits(2).says(&["own.key holds no CA certificate"]);
    local.qft(["send", "f", "--ca", "ca.crt", &format!("--to=qft://{}@h", "a".repeat(52))]).run().exits(2);
}

#[test]
fn a_certificate_is_shown_in_words_and_as_json() {
    let (remote, _local) = certified();
    let shown = String::from_utf8(remote.run("cert show c/localhost.crt").stdout).expect("text");
    for line in ["certificate  CN=localhost", "good for     a server", "hosts        localhost, 127.0.0.1"] {
        assert!(shown.contains(line), "{shown}");
    }
    let ca = String::from_utf8(remote.run("cert show c/ca.crt").stdout).expect("text");
    assert!(ca.contains("issued by    itself\ngood for     issuing certificates (a CA)"), "{ca}");
    let events = remote.run("cert show c/laptop.crt --json").exits(0).json();
    let said = events.iter().find(|event| event["type"] == "note").expect("a certificate");
    assert!(said.to_string().contains("\"client\":true"), "{said}");
    remote.run("cert ca c").exits(2).says_only(&["c/ca.crt exists", "--force"]);
    remote.run("cert ca c --force").exits(0);
    remote.run("cert show c/laptop.key").exits(2).says_only(&["holds no certificate"]);
}

/// A client that a certificate let in, in the middle of sending and stopped there.
fn sending(remote: &Machine, local: &Machine, serve: &Serve) -> Running {
    local.write_large("big", 300 << 20);
    let (_, port) = serve.address().rsplit_once(':').expect("a port");
    let to = format!("localhost:{port}:");
    let sending = local.qft(["send", "big", &to, "--ca", "ca.crt", "--cert", "own.crt", "--key", "own.key"]).start();
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    sending.signal(Signal::STOP);
    sending
}

#[test]
fn who_came_by_a_certificate_goes_by_its_name_and_can_be_shut_out() {
    let (remote, local) = certified();
    let serve = serve(&remote);
    let sending = sending(&remote, &local, &serve);
    serve.wait_to_say("+ laptop (");
    let shown = remote.run("cert show c/laptop.crt --json").json();
    let key = shown.iter().find_map(|line| line["fingerprint"].as_str()).expect("its key").to_owned();
    remote.run(&format!("peers revoke {key}")).exits(0);
    serve.wait_to_say("shut out: it was taken off the list");
    sending.signal(Signal::CONT);
    sending.end().exits(5).says(&["was shut out there"]);
    send(&local, &serve, "localhost").exits(5).says(&["was shut out there"]);
    remote.run("cert issue c desktop --client").exits(0);
    send(&client_of(&remote, "c", "desktop"), &serve, "localhost").exits(0);
}

#[test]
fn a_hang_up_reads_the_ca_again_and_ends_whom_the_new_one_did_not_certify() {
    let (remote, local) = certified();
    remote.run("cert ca new").exits(0);
    remote.run("cert issue new desktop --client").exits(0);
    let both = [remote.read("c/ca.crt"), remote.read("new/ca.crt")].concat();
    remote.write("clients.crt", &both);
    let serve = remote.serve("in", "--cert c/localhost.crt --key c/localhost.key --client-ca clients.crt");
    let sending = sending(&remote, &local, &serve);
    // The same file once more: nobody is disturbed.
    serve.signal(Signal::HUP);
    serve.wait_to_say("read the list of clients again, the clients' CA");
    remote.write("clients.crt", remote.read("new/ca.crt"));
    serve.signal(Signal::HUP);
    serve.wait_to_say("the CA was replaced");
    assert_eq!(serve.log().matches("again, the clients' CA").count(), 2, "{}", serve.log());
    sending.signal(Signal::CONT);
    sending.end().exits(5).says(&["no client certificate from the CA"]);
    let desktop = client_of(&remote, "new", "desktop");
    desktop.write("ca.crt", remote.read("c/ca.crt"));
    send(&desktop, &serve, "localhost").exits(0);
}

/// The identity in a certificate's file.
fn identity(remote: &Machine, file: &str) -> String {
    let shown = remote.run(&format!("cert show {file} --json")).json();
    shown.iter().find_map(|line| line["fingerprint"].as_str()).expect("its key").to_owned()
}

#[test]
fn a_hang_up_shows_a_renewed_certificate_and_disturbs_nobody() {
    let (remote, local) = certified();
    let serve = serve(&remote);
    let sending = sending(&remote, &local, &serve);
    let old = identity(&remote, "c/localhost.crt");
    // Half a renewal: the key of another certificate.
    let good = remote.read("c/localhost.crt");
    remote.write("c/localhost.crt", "nothing");
    serve.signal(Signal::HUP);
    serve.wait_to_say("what was read before stays in force: the server's certificate");
    remote.write("c/localhost.crt", good);
    remote.run("cert issue c localhost --san 127.0.0.1 --force").exits(0);
    let fresh = identity(&remote, "c/localhost.crt");
    assert_ne!(old, fresh);
    let said = serve.log().matches("the certificate: ").count();
    serve.signal(Signal::HUP);
    wait_for("the second look", || (serve.log().matches("the certificate: ").count() > said).then_some(()));
    let invited = String::from_utf8(remote.run("peers invite").stdout).expect("text");
    assert!(invited.contains(&format!("qft://{fresh}:")), "{invited}");
    send(&local, &serve, "localhost").exits(0);
    wait_for("the new key", || {
        let listed = local
            .qft(["ls", &format!("qft://{fresh}@{}", serve.address()), "--cert", "own.crt", "--key", "own.key"])
            .run();
        (listed.code == Some(0)).then_some(())
    });
    let count = |mark: &str| serve.log().matches(&format!("Z {mark} laptop (")).count();
    wait_for("all but the first to be gone", || (count("+") == count("-") + 1).then_some(()));
    sending.signal(Signal::CONT);
    sending.signal(Signal::INT);
    sending.end().exits(130);
}
