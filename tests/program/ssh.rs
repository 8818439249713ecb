//! Far ends that are started through ssh: the real program on both sides of a real sshd.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::bin::{Machine, SLOW_BYTES, SLOWLY, wait_for};
use crate::support::sshd::{Setup, Sshd};

/// The account's machine, the user's, and sshd; `None` where there is no OpenSSH, which was said.
fn machines(setup: &Setup<'_>) -> Option<(Machine, Machine, Sshd)> {
    let (remote, local) = (Machine::new(), Machine::new());
    let sshd = Sshd::start(&remote, &local, setup)?;
    Some((remote, local, sshd))
}

/// A program that stands in for the qft of the far side.
fn stand_in(remote: &Machine, script: &str) -> String {
    let path = remote.write("stand-in", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    path.display().to_string()
}

#[test]
fn files_go_and_come_through_ssh_and_nothing_else_is_left_behind() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("photos/a.jpg", "first");
    local.write("photos/deep/b.jpg", "second");
    let sent = sshd.qft(&local, ["send", "photos", &sshd.at("data/")]).run();
    sent.exits(0).says(&["-> ", "@box:data/", "started through ssh"]).says(&["sent 2 files", "all verified"]);
    assert_eq!(remote.read("me/data/photos/deep/b.jpg"), b"second");
    sshd.qft(&local, ["ls", "-R", &sshd.at("data")])
        .run()
        .exits(0)
        .prints("data/photos/\ndata/photos/a.jpg\ndata/photos/deep/\ndata/photos/deep/b.jpg\n");
    let got = sshd.qft(&local, ["get", &sshd.at("data/photos/*.jpg"), "back"]).run();
    got.exits(0).says(&["got 1 file"]);
    assert_eq!(local.read("back/a.jpg"), b"first");
    sshd.qft(&local, ["get", &sshd.at("data/photos/"), "copy"]).run().exits(0);
    assert_eq!(local.tree("copy"), ["a.jpg", "deep/", "deep/b.jpg"]);
    let kept = ["data/", "data/photos/", "data/photos/a.jpg", "data/photos/deep/", "data/photos/deep/b.jpg"];
    sshd.assert_nothing_left(&remote, &kept);
    assert!(!local.has("home"), "nor is anything kept here");
}

#[test]
fn paths_are_those_of_the_account() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("f", "x");
    remote.write("disk/there", "y");
    symlink("../disk", remote.path("me/data")).expect("linked");
    let absolute = remote.path("disk/abs").display().to_string();
    for (path, lands) in [
        ("", "me/f"),
        ("~/home/", "me/home/f"),
        ("new/deep/name", "me/new/deep/name"),
        ("data/", "disk/f"),
        ("data", "disk/f"),
        ("../disk/up", "disk/up"),
        (absolute.as_str(), "disk/abs"),
    ] {
        sshd.qft(&local, ["send", "f", &sshd.at(path)]).run().exits(0);
        assert_eq!(remote.read(lands), b"x", "{path}");
    }
    sshd.qft(&local, ["get", &sshd.at("data/there"), &sshd.at("new/deep/name"), "both"]).run().exits(0);
    assert_eq!(local.tree("both"), ["name", "there"]);
    // A link of the account's own stands for its directory below what was named, too.
    remote.write("me/real/photos/old", "y");
    symlink("real/photos", remote.path("me/photos")).expect("linked");
    local.write("photos/a", "x");
    sshd.qft(&local, ["send", "photos", &sshd.at("")]).run().exits(0);
    assert_eq!(remote.read("me/real/photos/a"), b"x");
    sshd.qft(&local, ["send", "-", &sshd.at("new/stdin")]).stdin(b"typed").run().exits(0);
    assert_eq!(remote.read("me/new/stdin"), b"typed");
    sshd.qft(&local, ["get", &sshd.at("new/stdin"), "-"]).run().exits(0).prints("typed");
}

#[test]
fn a_dry_run_a_resume_and_json_work_as_elsewhere() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("d/a", "x");
    sshd.qft(&local, ["send", "-n", "d", &sshd.at("new")]).run().exits(0);
    sshd.assert_nothing_left(&remote, &[]);
    let sent = sshd.qft(&local, ["send", "d", &sshd.at("new"), "--json", "--no-sync"]).run();
    let lines = sent.exits(0).json();
    assert_eq!((&lines[0]["type"], &lines[0]["path"]), (&"start".into(), &"new".into()), "{lines:?}");
    assert_eq!(sent.stderr, "");
    sshd.qft(&local, ["send", "d", &sshd.at("new")]).run().exits(0).says(&["nothing to send, 1 unchanged"]);
    let listed = sshd.qft(&local, ["ls", &sshd.at("new/d/"), "--json"]).run();
    assert_eq!(listed.exits(0).json()[1]["path"], "new/d/a");
}

#[test]
fn a_limit_is_one_of_the_far_end_too() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write_large("f", 1 << 20);
    sshd.qft(&local, ["send", "f", "--bwlimit", "80mbit", &sshd.at("there")]).run().exits(0);
    assert!(remote.read("me/there") == local.read("f"));
    sshd.qft(&local, ["get", "--bwlimit", "10M", &sshd.at("there"), "back"]).run().exits(0);
    assert!(local.read("back") == local.read("f"));
}

#[test]
fn ssh_is_used_where_it_is_asked_for_and_may_be_any_command() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("f", "x");
    sshd.qft(&local, ["send", "f", "--ssh", "box:one"]).run().exits(0);
    sshd.qft(&local, ["send", "f"]).env("QFT_REMOTE", sshd.at("two")).run().exits(0);
    let own = format!("sh -c 'exec ssh \"$@\"' '{}'", "any name");
    sshd.qft(&local, ["send", "f", "-e", &own, &sshd.at("three")]).run().exits(0);
    sshd.qft(&local, ["send", "f", &sshd.at("four")]).env("QFT_RSH", "ssh -C").run().exits(0);
    assert_eq!(remote.tree("me"), ["four", "one", "three", "two"]);
    let missing = sshd.qft(&local, ["send", "f", "-e", "no-such-ssh", &sshd.at("x")]).run();
    missing.exits(4).says_only(&["cannot run no-such-ssh", "-e"]);
}

#[test]
fn whatever_start_up_files_print_is_passed_over() {
    let noise = "printf 'Welcome!\\nQFT is not installed\\nno end'; eval \"$SSH_ORIGINAL_COMMAND\"";
    let Some((remote, local, sshd)) = machines(&Setup { forced: Some(noise), ..Setup::default() }) else { return };
    local.write("f", "x");
    sshd.qft(&local, ["send", "f", &sshd.at("")]).run().exits(0).does_not_say("Welcome");
    assert_eq!(remote.read("me/f"), b"x");
}

#[test]
fn an_address_that_leads_nowhere_gives_way_to_the_name_that_was_typed() {
    let moved = "SSH_CONNECTION='192.0.2.1 1 192.0.2.9 22' sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let Some((remote, local, sshd)) = machines(&Setup { forced: Some(moved), ..Setup::default() }) else { return };
    local.write("f", "x");
    sshd.qft(&local, ["send", "f", &sshd.at("")]).run().exits(0).says(&["@box answers at 127.0.0.1:"]);
    assert_eq!(remote.read("me/f"), b"x");
}

#[test]
fn a_qft_that_ssh_does_not_find_is_named_with_the_remedy_which_works() {
    let Some((remote, local, sshd)) = machines(&Setup { without_qft: true, ..Setup::default() }) else { return };
    local.write("f", "x");
    let missing = sshd.qft(&local, ["send", "f", &sshd.at("")]).run();
    missing.exits(4).says(&["qft: ", "@box has no qft", "--remote-qft /path/to/qft"]);
    let own = env!("CARGO_BIN_EXE_qft");
    sshd.qft(&local, ["send", "f", &sshd.at(""), "--remote-qft", own]).run().exits(0);
    assert_eq!(remote.read("me/f"), b"x");
}

#[test]
fn failures_of_ssh_itself_leave_the_reason_to_ssh() {
    let wrong_host = Setup { wrong_host_key: true, ..Setup::default() };
    let Some((_remote, local, sshd)) = machines(&wrong_host) else { return };
    local.write("f", "x");
    let refused = sshd.qft(&local, ["send", "f", &sshd.at("")]).run();
    refused.exits(5).says(&["Host key verification failed"]).says(&["qft: ssh did not get into", "@box' must work"]);
    let wrong_user = Setup { wrong_user_key: true, ..Setup::default() };
    let (_remote, local, sshd) = machines(&wrong_user).expect("OpenSSH is here");
    local.write("f", "x");
    let refused = sshd.qft(&local, ["send", "f", &sshd.at("")]).run();
    refused.exits(5).says(&["Permission denied"]).says(&["qft: ssh did not get into"]);
    let nobody = sshd.qft(&local, ["ls", "me@nowhere.invalid:"]).run();
    nobody.exits(4).says(&["nowhere.invalid"]).says(&["qft: ssh did not get into me@nowhere.invalid"]);
}

#[test]
fn a_far_side_that_does_not_answer_as_it_should_is_explained() {
    const SILENT: &str = "cat > /dev/null";
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("f", "x");
    // What answers has all the time that a busy machine needs for it.
    for (script, exits, part) in [
        ("exit 2", 7, "too old to be started"),
        ("echo hello; exit 3", 4, "ended the session (exit status: 3)"),
        (SILENT, 4, "no sign of qft"),
        ("echo QFT9 CONNECT 1", 7, "update the older one"),
        ("echo QFT1 CONNECT nonsense", 7, "update the older one"),
        ("echo 'QFT1 ERROR 5 not for you'", 5, "@box: not for you"),
    ] {
        let other = stand_in(&remote, script);
        let timeout = if script == SILENT { "2s" } else { "1m" };
        let outcome = sshd.qft(&local, ["send", "f", &sshd.at(""), "--timeout", timeout, "--remote-qft", &other]).run();
        outcome.exits(exits).says_only(&["qft: ", part]);
    }
}

#[test]
fn what_a_far_side_writes_moves_no_cursor_from_its_first_byte() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("f", "x");
    let title = "\\033]0;owned\\007";
    for (is_said, script) in [
        (true, format!("printf '{title}' >&2; sleep 0.2; printf '{title}\\n' >&2; echo 'QFT1 ERROR 5 {title}'")),
        (false, format!("printf '{title}\\n\\033[2J'; exit 3")),
        (true, format!("printf 'QFT1 ERROR 5 {title}\\n'")),
    ] {
        let other = stand_in(&remote, &script);
        let outcome = sshd.qft(&local, ["send", "f", &sshd.at(""), "--timeout", "1m", "--remote-qft", &other]).run();
        let shown = [&outcome.stdout[..], outcome.stderr.as_bytes()].concat();
        let is_raw = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
        assert!(!shown.iter().any(is_raw), "{script}: {}", shown.escape_ascii());
        assert_eq!(outcome.stderr.contains("033"), is_said, "{script}: {}", outcome.stderr);
    }
}

#[test]
fn udp_that_does_not_come_through_names_what_to_open() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("f", "x");
    // A socket that nobody reads: packets vanish there as in a firewall.
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let (port, key) = (deaf.local_addr().expect("bound").port(), local.fingerprint());
    let other = stand_in(&remote, &format!("echo 'QFT1 CONNECT {port} {key} 127.0.0.1 [\"\"]'; cat > /dev/null"));
    // Time enough for ssh on a busy machine, which it takes from; both wait for it side by side.
    let args = ["--timeout", "10s", "--ssh-ports", "50000-50010", "--remote-qft", &other];
    let start = |command: &[&str]| sshd.qft(&local, command.iter().copied().chain(args)).start();
    for blocked in [start(&["send", "f", &sshd.at("")]), start(&["ls", &sshd.at("")])] {
        let blocked = blocked.end();
        blocked.exits(4).says(&["qft: ssh reaches", &format!("127.0.0.1:{port}"), "UDP ports 50000-50010"]);
    }
}

#[test]
fn what_is_wrong_there_is_said_here() {
    let Some((_remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("f", "x");
    sshd.qft(&local, ["send", "f", &sshd.at("~somebody/x")]).run().exits(2).says_only(&["qft: ", "@box: ~somebody/x"]);
    sshd.qft(&local, ["send", "f", &sshd.at("no/../x")]).run().exits(2).says_only(&["no such directory"]);
    sshd.qft(&local, ["get", &sshd.at("missing/f")]).run().says(&["missing/f", "not found"]);
    let deaf = std::net::UdpSocket::bind("[::]:0").expect("a free port");
    let port = deaf.local_addr().expect("bound").port().to_string();
    let full = sshd.qft(&local, ["send", "f", &sshd.at(""), "--ssh-ports", &port]).run();
    full.exits(1).says_only(&["cannot open any of the UDP ports", &port, "--ssh-ports"]);
}

#[test]
fn a_client_that_is_killed_takes_the_far_end_along_and_the_next_run_resumes() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write_large("big", SLOW_BYTES);
    let slowly = SLOWLY.split(' ');
    let sending = sshd.qft(&local, ["send", "big", &sshd.at("in/")].into_iter().chain(slowly)).start();
    wait_for("a partial file", || remote.has("me/in/.big.qft-part").then_some(()));
    assert_eq!(sshd.far_ends().len(), 1);
    sending.signal(Signal::KILL);
    sshd.assert_nothing_left(&remote, &["in/", "in/.big.qft-part"]);
    drop(sending);
    sshd.qft(&local, ["send", "big", &sshd.at("in/")]).run().exits(0);
    assert_eq!(remote.path("me/in/big").metadata().expect("it is there").len(), SLOW_BYTES);
    sshd.assert_nothing_left(&remote, &["in/", "in/big"]);
}

#[test]
fn a_client_that_was_cut_off_comes_back_to_the_same_far_end() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write("d/a", "x");
    local.write_large("d/big", SLOW_BYTES);
    let at = sshd.at("in/");
    let args = ["send", "-v", "d/", &at, "--timeout", "10s"];
    let sending = sshd.qft(&local, args.into_iter().chain(SLOWLY.split(' '))).start();
    sending.wait_to_say("sent a");
    let far_end = sshd.far_ends()[0];
    // A machine that is asleep answers as little as one behind a broken link.
    kill_process(far_end, Signal::STOP).expect("it runs");
    sending.wait_to_say("reconnecting");
    kill_process(far_end, Signal::CONT).expect("it sleeps");
    sending.end().exits(0).says(&["sent 2 files", "all verified"]);
    sshd.assert_nothing_left(&remote, &["in/", "in/a", "in/big"]);
}

#[test]
fn a_far_end_that_dies_is_noticed_at_once() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    local.write_large("big", SLOW_BYTES);
    let slowly = SLOWLY.split(' ');
    let sending = sshd.qft(&local, ["send", "big", &sshd.at("in/")].into_iter().chain(slowly)).start();
    wait_for("a partial file", || remote.has("me/in/.big.qft-part").then_some(()));
    for far_end in sshd.far_ends() {
        kill_process(far_end, Signal::KILL).expect("it runs");
    }
    sending.end().exits(4).says(&["the ssh connection to", "@box ended", "the same command continues"]);
}

#[test]
fn a_transfer_outlives_the_ssh_that_started_it_at_either_end() {
    for (role, kill_near) in [("send", true), ("send", false), ("get", true), ("get", false)] {
        let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
        let from =
            if role == "send" { local.write_large("big", 16 << 20) } else { remote.write_large("me/big", 16 << 20) };
        let size = from.metadata().expect("it was made").len();
        let (at, limit) = (sshd.at("big"), ["--bwlimit", "4M"]);
        let args = if role == "send" { [role, "big", &at] } else { [role, &at, "big"] };
        let running =
            sshd.qft(&local, args.into_iter().chain(limit).chain(["--progress", "plain", "--json", "-v"])).start();
        let moved = || running.printed().contains("\"type\":\"progress\"");
        wait_for("content", || moved().then_some(()));
        let far_end = sshd.far_ends()[0];
        let killed = if kill_near { child_of(running.id()) } else { sshd_of(far_end) };
        kill_process(killed, Signal::KILL).expect("it runs");
        running.wait_to_say("the ssh connection has ended; the transfer goes on without it");
        running.end().exits(0).does_not_say("reconnecting");
        assert_eq!(local.path("big").metadata().expect("it is there").len(), size, "{role}");
        assert!(local.read("big") == remote.read("me/big"), "{role}");
        wait_for("the far end's end", || sshd.far_ends().is_empty().then_some(()));
    }
}

/// The ssh that a client has started.
fn child_of(parent: u32) -> Pid {
    let processes = fs::read_dir("/proc").expect("it is mounted").flatten();
    let mut pids = processes.filter_map(|process| process.file_name().to_string_lossy().parse().ok());
    let found = pids.find_map(|pid: i32| {
        let pid = Pid::from_raw(pid)?;
        (parent_of(pid).as_raw_nonzero().get() as u32 == parent).then_some(pid)
    });
    found.expect("ssh runs")
}

/// The sshd that serves a far end, which a shell may have started.
fn sshd_of(far_end: Pid) -> Pid {
    let mut pid = parent_of(far_end);
    while !name_of(pid).starts_with("sshd") {
        assert_ne!(pid, Pid::INIT, "no sshd above {far_end:?}");
        pid = parent_of(pid);
    }
    pid
}

fn name_of(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default()
}

/// The process that started another one.
fn parent_of(pid: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // What stands before is its name, in which there may be anything.
    let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
    parent.and_then(Pid::from_raw).unwrap_or(Pid::INIT)
}

#[test]
fn the_hidden_command_serves_nobody_else() {
    let stranger = Machine::new();
    stranger
        .qft(["__bootstrap"])
        .stdin(b"")
        .run()
        .exits(1)
        .prints("\nQFT1 ERROR 1 the near end has asked for nothing\n");
    let later = stranger.qft(["__bootstrap"]).stdin(b"QFT1 {\"later\":true}\n").run();
    later.exits(2);
    assert!(String::from_utf8_lossy(&later.stdout).contains("update the older one"));
    assert!(!stranger.has("home"));
}

#[test]
fn the_way_through_ssh_can_be_tested_too_and_nothing_stays_there() {
    let Some((remote, local, sshd)) = machines(&Setup::default()) else { return };
    let pinged = sshd.qft(&local, ["ping", &sshd.at("")]).run();
    let text = String::from_utf8(pinged.exits(0).stdout.clone()).expect("text");
    assert!(text.contains("started through ssh") && text.contains("(5 tries)"), "{text}");
    let tested = sshd.qft(&local, ["doctor", "--time", "1s", &sshd.at("")]).run();
    let text = String::from_utf8(tested.exits(0).stdout.clone()).expect("text");
    for part in ["the way to", "started through ssh", "handshake", "sending", "getting", "what that means"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    sshd.assert_nothing_left(&remote, &[]);
}
