//! What the servers of a home say of themselves.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::process::{Signal, Uid};
use rustix::thread::set_thread_uid;
use serde_json::Value;

use super::paired;
use crate::support::bin::{Machine, Outcome, wait_for};

const MIB: u64 = 1 << 20;
/// Nobody, as far as rights go.
const NOBODY: u32 = 65534;

/// The servers that `qft status --json` shows.
fn servers(machine: &Machine) -> Vec<Value> {
    let lines = machine.run("status --json").exits(0).json();
    assert_eq!((&lines[0]["type"], &lines[0]["command"]), (&"start".into(), &"status".into()));
    lines.into_iter().filter(|line| line["type"] == "server").collect()
}

fn printed(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).expect("text")
}

/// The sockets in a machine's home.
fn sockets(machine: &Machine) -> Vec<PathBuf> {
    let names = machine.tree("home");
    names.iter().filter(|name| name.ends_with(".sock")).map(|name| machine.path("home").join(name)).collect()
}

/// The only server, once something of the file has come.
fn receiving(remote: &Machine, path: &str) -> Value {
    wait_for("the first bytes", || {
        let server = servers(remote).remove(0);
        let largest = &server["connections"][0]["jobs"][0]["active"][0];
        let has_come = largest["path"] == path && largest["bytes_there"].as_u64().is_some_and(|there| there > 0);
        has_come.then_some(server)
    })
}

#[test]
fn a_transfer_is_shown_while_it_runs() {
    let (remote, local, serve) = paired("-w 2 --bwlimit 1M --no-clobber");
    local.write("dir/small", "x");
    local.write_large("dir/large", 100 * MIB);
    let _sending = local.run_on("send dir");
    let server = receiving(&remote, "dir/large");
    assert_eq!(server["address"], serve.address());
    assert_eq!(server["fingerprint"], serve.fingerprint());
    assert_eq!(server["root"], remote.path("in").canonicalize().expect("it is there").to_str().expect("plain"));
    assert_eq!((&server["rules"]["no_clobber"], &server["rules"]["rate_limit"]), (&true.into(), &MIB.into()));
    assert_eq!((server["clients"].as_u64(), server["workers"].as_array().map(Vec::len)), (Some(1), Some(2)));
    let connection = &server["connections"][0];
    let worker = connection["worker"].as_u64().expect("a number") as usize;
    assert_eq!(server["workers"][worker], 1, "{server}");
    assert_eq!(connection["fingerprint"], local.fingerprint());
    assert!(connection["rtt_us"].as_u64().is_some_and(|rtt| rtt > 0), "{connection}");
    let job = &connection["jobs"][0];
    assert_eq!((&job["direction"], job["files_found"].as_u64()), (&"in".into(), Some(2)));
    assert_eq!(job["bytes_found"].as_u64(), Some(100 * MIB + 1));
    assert!(job["bytes_there"].as_u64().is_some_and(|there| there < 100 * MIB), "{job}");
    let text = printed(remote.run("status").exits(0));
    for part in ["enrolled clients may send and get, --no-clobber", "1 of at most 64", "receiving  ", "dir/large"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    for secret in [serve.ticket(), serve.ticket().split([':', '@']).nth(2).expect("the invite")] {
        assert!(!text.contains(secret) && !server.to_string().contains(secret), "{server}");
    }
}

#[test]
fn all_servers_of_a_home_are_shown_and_no_others() {
    let (remote, other) = (Machine::new(), Machine::new());
    let (one, two, _) = (remote.serve("one", ""), remote.serve("two", "--read-only"), other.serve("three", ""));
    let found = servers(&remote);
    let mut addresses: Vec<_> = found.iter().map(|server| server["address"].as_str().expect("text")).collect();
    addresses.sort_unstable();
    let mut expected = [one.address(), two.address()];
    expected.sort_unstable();
    assert_eq!(addresses, expected);
    let text = printed(remote.run("status").exits(0));
    assert!(text.contains("/one on ") && text.contains("/two on ") && !text.contains("/three"), "{text}");
    assert!(text.contains("may get, --read-only"), "{text}");
}

#[test]
fn a_server_that_was_killed_is_not_shown_and_leaves_nothing() {
    let remote = Machine::new();
    let (dead, alive) = (remote.serve("one", ""), remote.serve("two", ""));
    assert_eq!(sockets(&remote).len(), 2);
    dead.kill();
    assert_eq!(sockets(&remote).len(), 2, "it could not clean up");
    let found = servers(&remote);
    assert_eq!((found.len(), &found[0]["address"]), (1, &alive.address().into()));
    assert_eq!(sockets(&remote).len(), 1);
    alive.kill();
    remote.run("status").exits(1).says_only(&["no server runs here", "qft serve DIR"]);
    assert!(!remote.tree("home").iter().any(|name| name.contains("serving-")), "{:?}", remote.tree("home"));
}

#[test]
fn a_server_that_has_ended_leaves_nothing() {
    let remote = Machine::new();
    let mut serve = remote.serve("in", "");
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    assert!(!remote.tree("home").iter().any(|name| name.contains("serving-")), "{:?}", remote.tree("home"));
}

#[test]
fn no_server_is_said_in_one_line_and_nothing_is_made() {
    let machine = Machine::new();
    machine.run("status").exits(1).says_only(&["no server runs here", "home", "qft serve DIR"]);
    let lines = machine.run("status --json").exits(1).json();
    assert!(lines[0]["message"].as_str().is_some_and(|text| text.contains("no server runs here")), "{lines:?}");
    assert!(!machine.has("home"));
}

#[test]
fn who_connects_and_says_nothing_disturbs_neither_transfers_nor_others() {
    let (remote, local, _serve) = paired("");
    let [socket] = &sockets(&remote)[..] else { panic!("{:?}", sockets(&remote)) };
    let silent: Vec<_> = (0..50).map(|_| UnixStream::connect(socket).expect("it is ours")).collect();
    local.write_large("f", 8 * MIB);
    local.run("send f").exits(0);
    assert_eq!(servers(&remote).len(), 1);
    drop(silent);
    assert_eq!(servers(&remote).len(), 1);
}

#[test]
fn only_its_user_can_ask_a_server() {
    let remote = Machine::new();
    let _serve = remote.serve("in", "");
    let socket = sockets(&remote).remove(0);
    assert_eq!(fs::metadata(&socket).expect("there").permissions().mode() & 0o7777, 0o600);
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return;
    }
    // On some file systems a socket's mode means nothing.
    fs::set_permissions(remote.path("home"), fs::Permissions::from_mode(0o755)).expect("ours");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("ours");
    let ask = move || {
        let mut answer = Vec::new();
        UnixStream::connect(&socket).expect("it is open").read_to_end(&mut answer).expect("closed in order");
        answer
    };
    let ours = ask();
    assert!(ours.starts_with(b"{"), "{}", String::from_utf8_lossy(&ours));
    let others = std::thread::spawn(move || {
        set_thread_uid(Uid::from_raw(NOBODY)).expect("root may");
        ask()
    });
    assert_eq!(others.join().expect("no panic"), b"");
}

#[test]
fn a_home_with_a_very_long_path_works() {
    let machine = Machine::new();
    let home = machine.path(&"l".repeat(150)).join("m".repeat(150));
    let serving = machine.qft(["serve", "in", "-l", "127.0.0.1:0", "--no-auth"]).env("QFT_HOME", &home).start();
    serving.wait_to_say("waiting for clients");
    let status = machine.qft(["status"]).env("QFT_HOME", &home).run();
    let text = printed(status.exits(0).does_not_say("qft:"));
    assert!(text.contains("anyone may send and get, --no-auth") && text.contains("0 of at most 64"), "{text}");
    serving.signal(Signal::TERM);
    serving.end().exits(0);
    machine.qft(["status"]).env("QFT_HOME", &home).run().exits(1);
}

#[test]
fn a_server_without_a_socket_serves_and_is_shown_as_it_can_be() {
    let (remote, local, _serve) = paired("");
    fs::remove_file(sockets(&remote).remove(0)).expect("ours");
    let status = remote.run("status");
    let text = printed(status.exits(4));
    assert!(text.contains("/in on ") && text.contains("no socket to be asked at"), "{text}");
    assert_eq!(remote.run("status --json").exits(4).json()[1]["answers"], false);
    local.run("ls").exits(0);
}

#[test]
fn a_server_that_is_stopped_is_named_after_a_while() {
    let remote = Machine::new();
    let (stopped, _other) = (remote.serve("one", ""), remote.serve("two", ""));
    stopped.signal(Signal::STOP);
    let text = printed(remote.run("status").exits(4));
    assert!(text.contains("it has not answered within") && text.contains("enrolled clients may"), "{text}");
}

#[test]
fn a_server_in_the_same_process_is_no_server_of_the_home() {
    let machine = Machine::new();
    machine.write_large("large", 100 * MIB);
    let sending = machine.run_on("send large --to local:out --bwlimit 1M");
    wait_for("the first bytes", || machine.has("out/.large.qft-part").then_some(()));
    machine.run("status").exits(1).says_only(&["no server runs here"]);
    drop(sending);
}
