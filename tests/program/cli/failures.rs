//! What goes wrong, and what is said about it.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::paired;
use crate::support::bin::{Machine, Running, SLOW_BYTES, SLOWLY, wait_for};

const MIB: u64 = 1 << 20;
/// Some more than a client needs for itself.
const FEW_FILES: u32 = 48;
/// What must be there before something is broken off.
const BEGUN: u64 = 2 * MIB;

/// The part of `in/big` that has come so far.
fn part(machine: &Machine) -> Option<u64> {
    machine.path("in/.big.qft-part").metadata().ok().map(|meta| meta.len())
}

fn send_until_begun(local: &Machine, remote: &Machine, line: &str) -> Running {
    let running = local.qft(line.split_whitespace().chain(SLOWLY.split_whitespace())).start();
    wait_for("the first bytes", || part(remote).filter(|len| *len >= BEGUN));
    running
}

#[test]
fn nobody_there_is_said_within_the_timeout() {
    let (_remote, local, serve) = paired("");
    serve.kill();
    local.write("f", "x");
    local.run("send f --timeout 1s").exits(4).says(&["qft: no answer from 127.0.0.1:", "qft serve", "firewall"]);
    local.run("ls --timeout 1s").exits(4).says(&["qft: no answer from 127.0.0.1:"]);
}

#[test]
fn a_port_where_something_else_listens_is_nobody_too() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let (_remote, local, serve) = paired("");
    let (who, _) = serve.ticket().split_once('@').expect("a ticket has a place");
    let ticket = format!("{who}@{}", silent.local_addr().expect("bound"));
    local.qft(["ls", "--timeout", "1s", &ticket]).run().exits(4).says(&["no answer from 127.0.0.1:"]);
}

#[test]
fn a_request_that_fits_no_message_is_refused_with_the_remedy() {
    let (_remote, local, _serve) = paired("");
    for (what, count, len) in [("number of patterns", 1026, 1), ("frame of", 300, 250)] {
        let names: Vec<_> = (0..count).map(|n| format!("{n:0len$}")).collect();
        let line = ["get"].into_iter().chain(names.iter().map(String::as_str));
        local.qft(line).run().exits(2).says(&["too much is asked for at once", what, "quote a pattern"]);
    }
}

#[test]
fn a_host_without_an_address_is_named() {
    let (_remote, local, serve) = paired("");
    let (who, _) = serve.ticket().split_once('@').expect("a ticket has a place");
    local.qft(["ls", &format!("{who}@no-such-host.invalid")]).run().exits(4).says(&["no-such-host.invalid"]);
}

#[test]
fn a_server_that_dies_in_mid_file_costs_only_what_is_missing() {
    let (remote, local, serve) = paired("");
    local.write_large("big", SLOW_BYTES);
    let sending = send_until_begun(&local, &remote, "send big --timeout 2s");
    let address = serve.address().to_owned();
    serve.kill();
    sending.end().exits(4).says(&["qft: lost the connection to 127.0.0.1:", "the same command resumes"]);
    assert!(part(&remote).is_some_and(|len| len >= BEGUN), "the part is kept");
    assert!(!remote.has("in/big"));

    let _serve = remote.serve_at(&address, "in", "");
    local.run("send big --timeout 2s").exits(0).says(&["sent 1 file", "resumed", "all verified"]);
    assert_eq!(remote.path("in/big").metadata().expect("it came").len(), SLOW_BYTES);
    assert_eq!(remote.tree("in"), ["big"]);
}

#[test]
fn a_server_that_comes_back_in_time_is_no_failure() {
    let (remote, local, serve) = paired("");
    local.write_large("big", SLOW_BYTES);
    let sending = send_until_begun(&local, &remote, "send big --timeout 10s");
    let address = serve.address().to_owned();
    serve.kill();
    let _serve = remote.serve_at(&address, "in", "");
    sending
        .end()
        .exits(0)
        .says(&["lost the connection to 127.0.0.1:", "; reconnecting (1)"])
        .says(&["sent 1 file", "all verified"]);
    assert_eq!(remote.tree("in"), ["big"]);
}

#[test]
fn an_interrupted_send_is_continued_by_the_same_command() {
    let (remote, local, _serve) = paired("");
    local.write_large("big", SLOW_BYTES);
    let sending = send_until_begun(&local, &remote, "send big");
    sending.signal(Signal::INT);
    sending.end().exits(130).says(&["stopped: ", "% sent; the same command continues"]);
    assert!(part(&remote).is_some_and(|len| len >= BEGUN), "the part is kept");
    local.run("send big").exits(0).says(&["sent 1 file", "resumed", "all verified"]);
    assert_eq!(remote.tree("in"), ["big"]);
}

#[test]
fn a_directory_that_takes_the_name_of_a_file_under_way_is_said_to_be_in_its_way() {
    let (remote, local, _serve) = paired("");
    local.write_large("big", SLOW_BYTES);
    let sending = send_until_begun(&local, &remote, "send big");
    fs::create_dir(remote.path("in/big")).expect("made");
    sending.end().exits(1).says(&["failed: big: not possible: a directory of that name is in the way"]);
    fs::remove_dir(remote.path("in/big")).expect("nothing is in it");
    local.run("send big").exits(0).says(&["resumed"]);
    assert_eq!(remote.tree("in"), ["big"]);
}

#[test]
fn a_missing_source_is_named_and_the_others_are_sent() {
    let (remote, local, _serve) = paired("");
    local.write("there", "x");
    let some = local.run("send missing there");
    some.exits(3).says(&["failed: missing: not found"]).says(&["sent 1 of 2 files", "1 failed"]);
    assert_eq!(some.stderr.matches("not found").count(), 1, "it is said once: {}", some.stderr);
    assert_eq!(remote.tree("in"), ["there"]);
    local.run("send missing").exits(1).says(&["failed: missing: not found"]);
    local.run("get missing .").exits(1).says(&["failed: missing: not found"]);
    local.run("ls missing").exits(1).says(&["qft: missing: not found"]);
}

#[test]
fn a_directory_that_cannot_be_written_fails_its_files_alone() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve_unprivileged("in", "");
    fs::create_dir(remote.path("in/locked")).expect("made");
    fs::set_permissions(remote.path("in/locked"), fs::Permissions::from_mode(0o555)).expect("ours");
    local.write("d/locked/a", "x");
    local.write("d/free", "x");
    let some = local.qft(["send", "d/", "--to", serve.ticket()]).run();
    some.exits(3).says(&["failed: locked/a: not allowed: Permission denied"]).says(&["sent 1 of 2 files", "1 failed"]);
    assert_eq!(remote.tree("in"), ["free", "locked/"]);
    serve.wait_to_say("failed: locked/a");
    local.run("send d/locked/").exits(0);
    local.run("send d/locked").exits(7).says(&["failed: locked/a: not allowed: Permission denied"]);
}

#[test]
fn few_files_that_may_be_open_at_once_cost_none() {
    let (remote, local, _serve) = paired("");
    for n in 0..300 {
        remote.write(&format!("in/d/{n}/empty"), "");
        remote.write(&format!("in/d/{n}/small"), "x");
    }
    let get = format!("sh -c 'ulimit -n {FEW_FILES} && exec qft get d'");
    let output = local.shell(&get).stdin(std::process::Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(local.tree("d"), remote.tree("in/d"));
}

/// A disk of a few MiB, which only the administrator can make.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("made");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "qft-test"]).arg(at).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still have it open when a test has failed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_the_same_command_goes_on_when_there_is_room() {
    let (remote, local) = (Machine::new(), Machine::new());
    let Some(_disk) = SmallDisk::mount(&remote.path("in")) else {
        eprintln!("SKIPPED: a small disk can only be mounted by root");
        return;
    };
    remote.write("in/ballast", vec![1; 5 << 20]);
    let serve = remote.serve("in", "");
    local.qft(["ls", serve.ticket()]).run().exits(0);
    local.write("d/big", vec![7; 6 << 20]);
    // It may come while the other one has taken all there is, and needs nothing.
    local.write("d/small", "");
    local.run("send d/").exits(3).says(&["failed: big: no space left", "run the same command again"]);
    assert_eq!(remote.read("in/small"), b"");
    assert!(!remote.has("in/big"));
    local.run("send d/big").exits(7).says(&["failed: big: no space left"]);
    fs::remove_file(remote.path("in/ballast")).expect("removed");
    local.run("send d/").exits(0).says(&["sent 1 file, ", "1 unchanged", "all verified"]);
    assert!(remote.read("in/big") == vec![7; 6 << 20]);
    assert_eq!(remote.tree("in"), ["big", "small"]);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_output_quietly() {
    let (remote, local, _serve) = paired("");
    remote.write("in/f", vec![7; 1 << 20]);
    let line = format!("{} get f - | head -c 10", env!("CARGO_BIN_EXE_qft"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(local.path("")).env("QFT_HOME", local.path("home"));
    let output = shell.output().expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout, [7; 10]);
    assert!(!stderr.contains("qft:") && !stderr.contains("panic"), "{stderr}");
}

#[test]
fn a_listing_that_cannot_be_written_is_a_failure_in_both_forms() {
    let (remote, local, _serve) = paired("");
    remote.write("in/f", "x");
    for line in ["ls", "ls --json"] {
        let mut command = local.shell(&format!("qft {line} > /dev/full"));
        let code = command.stdin(std::process::Stdio::null()).status().expect("it runs").code();
        assert_eq!(code, Some(1), "{line}");
    }
}

/// The server is no root here, for whom every directory can be read.
#[test]
fn a_directory_that_cannot_be_listed_is_said_beside_what_can() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve_unprivileged("in", "");
    remote.write("in/d/a", "x");
    remote.write("in/d/locked/hidden", "x");
    fs::set_permissions(remote.path("in/d"), fs::Permissions::from_mode(0o755)).expect("ours");
    fs::set_permissions(remote.path("in/d/locked"), fs::Permissions::from_mode(0o000)).expect("ours");
    let listed = local.qft(["ls", "--recursive", serve.ticket()]).run();
    listed.exits(3).prints("d/\nd/a\nd/locked/\n").says(&["failed: d/locked: "]);
    let json = local.run("ls --recursive --json");
    json.exits(3);
    let text = String::from_utf8_lossy(&json.stdout).into_owned();
    assert!(text.contains(r#""status":"failed""#) && text.contains(r#""exit_code":3"#), "{text}");
    fs::set_permissions(remote.path("in/d/locked"), fs::Permissions::from_mode(0o755)).expect("ours");
}
