//! What a program is started with: limits, streams that take nothing, a machine without any network.

use std::fs;
use std::process::{Command, Stdio};

use super::has_strace;
use crate::support::bin::{Machine, wait_for};

/// More than the limit lets a file have.
const LARGE: u64 = 3 << 20;
const LIMIT: &str = "--fsize=1000000";

fn has_prlimit() -> bool {
    let is_there = Command::new("prlimit").arg("--version").output().is_ok_and(|said| said.status.success());
    if !is_there {
        println!("skipped: prlimit is not here");
    }
    is_there
}

#[test]
fn a_file_that_is_larger_than_the_process_may_make_fails_alone_and_ends_neither_client_nor_server() {
    if !has_prlimit() {
        return;
    }
    let (machine, client) = (Machine::new(), Machine::new());
    for from in [&machine, &client] {
        from.write_large("large", LARGE);
        from.write("small", "content");
    }
    let limited = machine.under(&format!("prlimit {LIMIT}"), "send large small --to local:there").run();
    limited.exits(3).says(&["failed: large:", "larger than files can be"]).says(&["sent 1 of 2 files"]);
    assert_eq!(machine.read("there/small"), b"content");
    machine.run("send large --to local:there").exits(0);
    assert!(machine.read("there/large") == machine.read("large"), "it goes on where there is no such limit");
    let serve = machine.serve("in", "");
    let limit = Command::new("prlimit").args([LIMIT, &format!("--pid={}", serve.id())]).status();
    assert!(limit.is_ok_and(|status| status.success()), "ours to limit");
    client.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
    client.run("send large small box:").exits(3).says(&["failed: large:", "larger than files can be"]);
    client.run("ls box:").exits(0).prints("small\n");
}

#[test]
fn what_a_program_was_to_read_and_could_not_be_written_is_a_failure_though_the_files_arrive() {
    let machine = Machine::new();
    machine.write("f", "content");
    for (line, code) in [
        ("qft send --json f --to local:json >/dev/full", 1),
        ("qft send -n f --to local:dry >/dev/full", 1),
        ("qft send f --to local:plain >/dev/full", 0),
        // A reader that is gone wants no more.
        ("sh -c '(sleep 1; qft send --json f --to local:pipe; echo $? >code) | true'", 0),
    ] {
        let ended = machine.shell(line).output().expect("a shell runs");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{line}: {said}");
        assert!(code == 0 || said.contains("writing to standard output: No space left"), "{line}: {said}");
    }
    for there in ["json", "plain"] {
        assert_eq!(machine.read(&format!("{there}/f")), b"content");
    }
}

#[test]
fn without_any_network_a_place_on_this_machine_says_what_is_missing_and_waits_for_nothing() {
    let machine = Machine::new();
    machine.write("f", "content");
    let alone = |line| machine.under("unshare --net", line).run();
    if alone("--version").code != Some(0) {
        println!("skipped: this needs root, and namespaces");
        return;
    }
    let local = alone("send f --to local:there");
    local.exits(4).says(&["loopback interface is down", "ip link set lo up"]);
    assert!(!local.stderr.contains("no reply"), "{}", local.stderr);
    // Elsewhere a network may come while it waits, and until then it says why.
    let refused = alone("ls --timeout 3s qft://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@192.0.2.1:4433");
    refused.exits(4).says(&["no way to 192.0.2.1:4433", "Network is unreachable"]);
}

#[test]
fn a_machine_has_the_loopback_of_either_family_and_needs_no_other() {
    let machine = Machine::new();
    machine.write("f", "content");
    for (n, (set_up, ip)) in [
        ("ip address delete 127.0.0.1/8 dev lo", "::1"),
        ("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let line = |qft: &str| format!("unshare --net sh -c 'ip link set lo up && {set_up} && {qft}'");
        let run = |qft: &str| {
            let ended = machine.shell(&line(qft)).output().expect("a shell runs");
            (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
        };
        if run("true").0 != Some(0) {
            println!("skipped: this needs root, namespaces, ip and sysctl");
            return;
        }
        for qft in
            [format!("qft send f --to local:sent{n}"), format!("qft get local:f got{n}/"), "qft doctor".to_owned()]
        {
            let (code, said) = run(&qft);
            assert_eq!(code, Some(0), "{ip}: {qft}: {said}");
        }
        assert_eq!(
            (machine.read(&format!("sent{n}/f")), machine.read(&format!("got{n}/f"))),
            (b"content".into(), b"content".into())
        );
        let both = format!(
            "mkdir in{n}; qft serve -q -l 0 --http 0 --ticket-file t{n} in{n} & \
             until test -s t{n}; do sleep 0.1; done; qft send f --to $(cat t{n}); code=$?; qft status --json; kill $!; exit $code"
        );
        let (code, said) = run(&both);
        assert_eq!(code, Some(0), "{ip}: {said}");
        let (url, only) = (format!("http://{}:", if n == 0 { "[::1]" } else { ip }), format!("-> {ip}:"));
        assert!(said.contains(&only), "{said}");
        assert_eq!(machine.read(&format!("in{n}/f")), b"content");
        let (_, said) = run("timeout 1 qft serve --http 0 in0");
        assert!(said.contains(&url), "{said}");
        let (_, said) = run("timeout 1 qft serve --no-auth in0");
        assert!(said.contains(&format!("/in0 on {}", if n == 0 { "[::1]:" } else { "127.0.0.1:" })), "{said}");
    }
}

/// A stale handle is what NFS gives for a file that the server has replaced: that file fails, with the system's words.
#[test]
fn a_stale_handle_is_told_of_its_file_and_the_others_arrive() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write_large("large", LARGE);
    machine.write("small", "content");
    let stale = super::failing("pread64,read,preadv", "ESTALE", &[&machine.path("large")]);
    let sent = machine.under(&stale, "send large small --to local:there").run();
    sent.exits(3).says(&["failed: large:", "Stale file handle"]).says(&["sent 1 of 2 files"]);
    let stale = super::failing("renameat", "ESTALE", &[]);
    machine.under(&stale, "send small --to local:stale").run().exits(1).says(&["failed: small:", "Stale file handle"]);
    assert!(!machine.has("stale/small"));
    machine.run("send small --to local:stale").exits(0);
}

/// What is delivered into a directory that has no path any more, or lies below a disk that was mounted on it, nobody finds.
#[test]
fn a_server_whose_directory_was_replaced_lets_nobody_in_until_it_is_back() {
    let (remote, local) = (Machine::new(), Machine::new());
    local.write("f", "content");
    let serve = remote.serve("in", "");
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0);
    let path = |name: &str| remote.path(name);
    let refused = |what: &str| {
        local.write(what, "content");
        local
            .run(&format!("send {what}"))
            .exits(7)
            .says(&["the directory that is served there cannot be used: it was moved or removed"]);
        serve.wait_to_say("start the server again");
        local.run("ls").exits(7);
    };
    fs::rename(path("in"), path("moved")).expect("renamed");
    refused("missing");
    fs::create_dir(path("in")).expect("made");
    refused("replaced");
    fs::remove_dir(path("in")).expect("removed");
    fs::rename(path("moved"), path("in")).expect("renamed");
    let mount = |words: &[&str]| {
        Command::new("mount").args(words).arg(path("in")).stderr(Stdio::null()).status().is_ok_and(|end| end.success())
    };
    if mount(&["-t", "tmpfs", "tmpfs"]) {
        refused("mounted");
        assert!(remote.tree("in").is_empty());
        assert!(Command::new("umount").arg(path("in")).status().expect("it runs").success());
    } else {
        println!("skipped: nothing can be mounted here");
    }
    local.write("back", "content");
    local.run("send back").exits(0);
    assert_eq!(remote.tree("in"), ["back", "f"]);
}

#[test]
fn a_directory_that_is_moved_away_while_files_come_is_noted() {
    for line in ["get --bwlimit 2M local:s/f out/", "send --bwlimit 2M s/f --to local:out"] {
        let machine = Machine::new();
        machine.write_large("s/f", 6 << 20);
        let running = machine.run_on(line);
        wait_for("the part", || machine.has("out/.f.qft-part").then_some(()));
        fs::rename(machine.path("out"), machine.path("moved")).expect("renamed");
        running.end().exits(0).says(&["note:", "was moved or removed meanwhile"]);
        assert!(machine.read("moved/f") == machine.read("s/f"));
    }
}
