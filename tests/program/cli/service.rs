//! A server that systemd runs: its units, and what the two say to each other.

use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::bin::{Machine, SLOW_BYTES, SLOWLY, wait_for};

/// The units that a command line prints, by name, in a directory of their own.
fn printed(machine: &Machine, line: &str) -> Vec<(String, String)> {
    let text = String::from_utf8(machine.run(line).exits(0).stdout.clone()).expect("text");
    let files = text.split("# /etc/systemd/system/").skip(1);
    files.map(|file| file.split_once('\n').expect("a name")).map(|(name, text)| (name.into(), text.into())).collect()
}

#[test]
fn units_are_ones_that_systemd_takes_and_rates_as_confined() {
    let machine = Machine::new();
    fs::create_dir(machine.path("two words")).expect("made");
    let directory = machine.path("two words");
    let line = ["service", "--run-as", "daemon", directory.to_str().expect("text"), "--", "--write-only", "-v"];
    let text = String::from_utf8(machine.qft(line).run().exits(0).stdout.clone()).expect("text");
    assert!(text.contains("--write-only -v -- \"/"), "{text}");
    for (name, text) in printed(&machine, "service --run-as daemon /srv/in") {
        machine.write(&name, text);
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(["qft.socket", "qft.service"].map(|name| machine.path(name)));
    let Ok(output) = verify.output() else {
        return println!("skipped: there is no systemd-analyze here");
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.lines().find(|line| line.contains("qft.")), None, "{said}");
    // In tenths: 2.0 is what systemd calls OK; a server without confinement has 9.6.
    let mut rate = Command::new("systemd-analyze");
    rate.args(["security", "--offline=true", "--threshold=20"]).arg(machine.path("qft.service"));
    let rated = rate.output().expect("it was there");
    assert!(
        rated.status.success(),
        "{}{}",
        String::from_utf8_lossy(&rated.stdout),
        String::from_utf8_lossy(&rated.stderr)
    );
}

#[test]
fn what_serve_would_refuse_no_unit_says() {
    let machine = Machine::new();
    machine.run("service /srv -- --frobnicate").exits(2).says(&["--frobnicate"]);
    machine.run("service /srv -- -l 0.0.0.0:9").exits(2).says(&["before the --"]);
    machine.run("service /").exits(2).says(&["does not serve /"]);
    machine.run("service --run-as root /srv").exits(2).says(&["does not run as root"]);
    machine.run("service --name a/b /srv").exits(2).says(&["letters, digits"]);
    machine.run("service -l nonsense /srv").exits(2);
}

/// A machine whose systemctl writes down what it is told.
fn with_systemctl() -> (Machine, String) {
    let machine = Machine::new();
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\n", machine.path("told").display());
    let program = machine.write("bin/systemctl", script);
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = format!("{}:{}", machine.path("bin").display(), std::env::var("PATH").expect("there is one"));
    (machine, path)
}

#[test]
fn a_service_of_ones_own_is_installed_changed_and_removed_without_root() {
    let (machine, path) = with_systemctl();
    let run = |line: &str| {
        let words = machine.qft(line.split_whitespace());
        words.env("PATH", &path).env("XDG_CONFIG_HOME", machine.path("config")).run()
    };
    let told = || {
        let told = fs::read_to_string(machine.path("told")).unwrap_or_default();
        drop(fs::remove_file(machine.path("told")));
        told
    };
    run("service install --user incoming").exits(0);
    let units = machine.tree("config/systemd/user");
    assert_eq!(units, ["qft.service", "qft.socket"]);
    assert!(machine.has("incoming"));
    let said = told();
    for part in ["--user daemon-reload", "--user enable qft.socket qft.service", "--user restart qft.socket"] {
        assert!(said.contains(part), "{said}");
    }
    // The socket stays open where only the server changes.
    run("service install --user incoming -- --read-only").exits(0);
    let said = told();
    assert!(said.contains("restart qft.service") && !said.contains("restart qft.socket"), "{said}");
    assert!(String::from_utf8_lossy(&machine.read("config/systemd/user/qft.service")).contains("--read-only -- /"));
    run("service remove --user").exits(0);
    assert!(told().contains("--user disable --now qft.service qft.socket"));
    assert_eq!(machine.tree("config/systemd/user"), [""; 0]);
    assert!(machine.has("incoming"), "what was received stays");
    run("service remove --user").exits(1).says(&["no service qft"]);
}

#[test]
fn a_unit_that_somebody_else_wrote_stays() {
    let (machine, path) = with_systemctl();
    let unit = "config/systemd/user/qft.service";
    machine.write(unit, "[Service]\n");
    for line in ["service install --user in", "service remove --user"] {
        let run = machine.qft(line.split_whitespace()).env("PATH", &path);
        run.env("XDG_CONFIG_HOME", machine.path("config")).run().exits(1).says(&["not written by 'qft service'"]);
    }
    assert_eq!(machine.read(unit), b"[Service]\n");
    assert!(!machine.has("in") && !machine.has("config/systemd/user/qft.socket"));
}

#[test]
fn the_machines_services_are_roots() {
    let machine = Machine::new();
    if rustix::process::geteuid().is_root() {
        machine.give_to_nobody("");
    }
    let install = machine.qft(["service", "install", "/srv"]).unprivileged().run();
    install.exits(2).says(&["sudo", "--user"]);
}

/// What a server says to the socket until it has said this; the rest is kept out.
fn wait_to_tell(notify: &UnixDatagram, part: &str) -> String {
    let mut all = String::new();
    wait_for(part, || {
        let mut text = [0; 4096];
        match notify.recv(&mut text) {
            Ok(length) => all.push_str(&format!("{}\n", String::from_utf8_lossy(&text[..length]).trim_end())),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        all.lines().any(|line| line.starts_with(part)).then(|| all.clone())
    })
}

#[test]
fn systemd_is_told_of_the_start_the_life_a_reload_and_the_end() {
    let machine = Machine::new();
    let path = machine.path("notify");
    let notify = UnixDatagram::bind(&path).expect("a socket");
    notify.set_nonblocking(true).expect("set");
    let often = (2 * Duration::from_millis(100)).as_micros().to_string();
    let variables = [("NOTIFY_SOCKET", path.as_os_str()), ("WATCHDOG_USEC", often.as_ref())];
    let mut serve = machine.serve_told(&variables, "in", "");
    let said = wait_to_tell(&notify, "READY=1");
    assert!(said.contains("STATUS=serving"), "{said}");
    wait_to_tell(&notify, "WATCHDOG=1");
    serve.signal(Signal::HUP);
    let said = wait_to_tell(&notify, "RELOADING=1");
    assert!(said.contains("MONOTONIC_USEC="), "{said}");
    wait_to_tell(&notify, "READY=1");
    serve.signal(Signal::TERM);
    wait_to_tell(&notify, "STOPPING=1");
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn a_transfer_outlives_a_restart_of_a_server_whose_socket_is_held_and_loses_nothing() {
    let (remote, local) = (Machine::new(), Machine::new());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut serve = remote.serve_on(&socket, "in", "--drain 0");
    let sent = local.write_large("large", SLOW_BYTES);
    local.qft(["ls", serve.ticket()]).run().exits(0);
    let transfer = local.run_on(&format!("send -v {SLOWLY} large"));
    wait_for("the transfer to be under way", || {
        let part = fs::metadata(remote.path("in/.large.qft-part")).ok()?;
        (part.len() > 0).then_some(())
    });
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    // Whoever asks now is not refused: the question waits in the socket.
    let next = remote.serve_on(&socket, "in", "");
    transfer.end().exits(0);
    assert_eq!(remote.read("in/large"), fs::read(sent).expect("ours"));
    next.wait_to_say(&format!("on {}", socket.local_addr().expect("bound")));
}

#[test]
fn a_socket_that_is_held_is_the_one_that_is_served_or_nothing_is() {
    let machine = Machine::new();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let handed_over = std::os::fd::OwnedFd::from(socket.try_clone().expect("a descriptor"));
    let mut command = machine.shell("qft serve in -l 127.0.0.1:9");
    command.stdin(handed_over).env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0");
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--listen says 127.0.0.1:9"), "{said}");
}
