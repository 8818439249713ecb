//! Names that a disk takes for one, names that nothing must be put in place of, and the limits of renaming.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use qft::keys::{Identity, Ticket};
use qft::server::{Access, Server};
use rustix::process::Signal;

use super::{BEHIND, DISK, failing, has_strace, with_disk};
use crate::support::bin::{Machine, wait_for};
use crate::support::field::identity;
use crate::support::peer::{Raw, header, hello_with, push, tuning};
use qft::protocol::features::{CONTINUED, NONE};
use qft::protocol::message::{Status, Verdict};

/// Pairs that differ in case: small, larger than a chunk, directories.
fn write_pairs(machine: &Machine) {
    for (name, byte) in [("B", b'B'), ("b", b'b')] {
        machine.write(&format!("src/{name}"), vec![byte; 3 << 20]);
    }
    for (name, content) in [("C", "C"), ("c", "c"), ("D/x", "D"), ("d/x", "d"), ("D/y", "D"), ("d/z", "z")] {
        machine.write(&format!("src/{name}"), content);
    }
}

fn check_first_stay_whole(machine: &Machine, top: &str) {
    for run in 0..2 {
        let sent = machine.run(&format!("send src/ --to local:{top}"));
        sent.exits(3);
        for (second, first) in [("b", "B"), ("c", "C"), ("d", "D"), ("d/x", "D")] {
            sent.says(&[&format!("failed: {second}:"), &format!("{first} has this name")]);
        }
        for name in ["B", "C", "D/x", "D/y"] {
            assert!(
                machine.read(&format!("{top}/{name}")) == machine.read(&format!("src/{name}")),
                "{name} in run {run}"
            );
        }
        assert!(!machine.has(&format!("{top}/D/z")), "what lies in a directory that was refused");
    }
}

#[test]
fn of_two_names_that_the_disk_takes_for_one_the_first_stays_whole_and_the_second_fails() {
    let Some((_disk, machine)) = with_disk("ci=1") else { return };
    write_pairs(&machine);
    check_first_stay_whole(&machine, "disk/x");
    assert_eq!(machine.tree(&format!("{BEHIND}/x")), ["B", "C", "D/", "D/x", "D/y"]);
    // What replaces nothing needs no refusal, and loses nothing.
    machine.run("send src/C src/c --if-exists rename --to local:disk/y").exits(0);
    assert_eq!(machine.tree(&format!("{BEHIND}/y")).len(), 2);
}

/// A directory that is entered again, within one source and from two.
#[test]
fn names_of_a_directory_that_is_entered_again_are_told_apart_too() {
    let Some((_disk, machine)) = with_disk("ci=1") else { return };
    for (name, content) in [("D/x", "first"), ("D/X", "second"), ("e", "between"), ("D/z", "more")] {
        machine.write(&format!("src/{name}"), content);
    }
    machine.write("list", "D/x\ne\nD/X\nD/z\n");
    let check = |top: &str, line: &str| {
        machine.run(line).exits(3).says(&["failed: D/X:", "D/x has this name"]);
        assert_eq!(machine.tree(&format!("{BEHIND}/{top}")), ["D/", "D/x", "D/z", "e"]);
        assert_eq!(machine.read(&format!("{BEHIND}/{top}/D/x")), b"first");
    };
    check("sent", "send --files-from list src --to local:disk/sent");
    check("got", "get --files-from list local:src disk/got");
    for (name, content) in [("s1/D/x", "first"), ("s1/D/z", "more"), ("s1/e", "between"), ("s2/D/X", "second")] {
        machine.write(name, content);
    }
    check("two", "send s1/ s2/ --to local:disk/two");
    // Where they are two names, and where one name comes twice, all arrives.
    machine.run("send --files-from list src --to local:plain").exits(0);
    assert_eq!(machine.tree("plain"), ["D/", "D/X", "D/x", "D/z", "e"]);
    machine.write("again", "D/x\ne\nD/x\nD/z\n");
    machine.run("send --files-from again src --to local:disk/again").exits(0);
    assert_eq!(machine.tree(&format!("{BEHIND}/again")), ["D/", "D/x", "D/z", "e"]);
}

/// What an earlier connection has brought, nobody remembers who serves this one: it may have been of the same job.
#[test]
fn a_job_that_goes_on_over_another_connection_replaces_no_name_that_may_be_its_own() {
    let Some((_disk, machine)) = with_disk("ci=1") else { return };
    machine.write(&format!("{BEHIND}/X"), "brought over the connection before");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (own, theirs) = (identity(), identity());
        let builder = Server::builder(machine.path(DISK), own).access(Access::Only(vec![theirs.fingerprint()]));
        let server = builder.listen((Ipv4Addr::LOCALHOST, 0).into()).start().expect("it starts");
        for (features, is_replaced) in [(CONTINUED, false), (NONE, true)] {
            let mut peer = Raw::greeted_by(&server, &theirs, &tuning(), &hello_with(features)).await;
            peer.say(&push()).await;
            peer.say(&header(0, "x", 5)).await;
            match peer.hear_pos().await.verdict {
                Verdict::Refuse(failure) => assert!(!is_replaced && failure.status == Status::Exists, "{failure:?}"),
                Verdict::From { .. } => assert!(is_replaced, "it is replaced"),
                other => panic!("{other:?}"),
            }
            if !is_replaced {
                // In its own spelling it is what the job means.
                peer.say(&header(1, "X", 5)).await;
                let own = peer.hear_pos().await.verdict;
                assert!(matches!(own, Verdict::From { .. }), "{own:?}");
            }
            peer.leave().await;
        }
    });
    assert_eq!(machine.read(&format!("{BEHIND}/X")), b"brought over the connection before");
}

/// As if other clients held all memory: a connection has room for some hundred long names.
#[test]
fn more_names_than_there_is_room_for_are_told_apart_by_what_is_there() {
    const OTHERS: usize = 400;
    let Some((_disk, machine)) = with_disk("ci=1") else { return };
    let identity = Identity::ephemeral().expect("a key");
    let fingerprint = identity.fingerprint();
    let builder = Server::builder(machine.path(DISK), identity).access(Access::Anyone).memory(0).sync(false);
    let server = builder.listen((Ipv4Addr::LOCALHOST, 0).into()).start().expect("it starts");
    let (host, port) = (Ipv4Addr::LOCALHOST.to_string(), server.local_addr().port());
    let to = Ticket { fingerprint, invite: None, host, port }.to_string();
    for n in 0..OTHERS {
        fs::create_dir_all(machine.path(&format!("src/{n:0200}"))).expect("made");
    }
    for (name, content) in [("B", "1"), ("b", "2"), ("c/x", "1"), ("C/x", "2"), ("C/y", "2"), ("E/deep/z", "1")] {
        machine.write(&format!("src/z{name}"), content);
    }
    for run in 0..2 {
        let sent = machine.qft(["send", "src/", "--to", &to]).run();
        sent.exits(3).says(&["failed: zb:", "another spelling of zb is there"]);
        sent.says(&["failed: zc:", "another spelling"]).says(&["failed: zc/x:", "takes both names for one"]);
        let there = machine.tree(BEHIND);
        let odd: Vec<_> = there.iter().filter(|name| name.starts_with('z')).collect();
        assert_eq!(odd, ["zB", "zC/", "zC/x", "zC/y", "zE/", "zE/deep/", "zE/deep/z"], "run {run}");
        assert_eq!(there.len(), OTHERS + odd.len());
        for name in ["zB", "zC/x", "zC/y"] {
            let is_first = machine.read(&format!("{BEHIND}/{name}")) == machine.read(&format!("src/{name}"));
            assert!(is_first, "{name} in run {run}");
        }
    }
    // What is new under its own name replaces what is there.
    machine.write("src/zB", "newer, and longer");
    machine.qft(["send", "src/zB", "--to", &to]).run().exits(0);
    assert_eq!(machine.read(&format!("{BEHIND}/zB")), b"newer, and longer");
}

#[test]
fn the_same_on_ntfs_as_it_is_mounted_for_windows() {
    let machine = Machine::new();
    let image = machine.write("image", "");
    fs::File::options().write(true).open(&image).and_then(|file| file.set_len(64 << 20)).expect("ours");
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let mount = machine.path(DISK);
    fs::create_dir_all(&mount).expect("made");
    let made = quiet(Command::new("mkfs.ntfs").args(["-F", "-Q"]).arg(&image));
    if !made || !quiet(Command::new("lowntfs-3g").args(["-o", "ignore_case"]).arg(&image).arg(&mount)) {
        println!("skipped: this needs root, FUSE and ntfs-3g");
        return;
    }
    let unmount = Unmount(&mount);
    write_pairs(&machine);
    check_first_stay_whole(&machine, "disk/x");
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn on_a_disk_that_tells_them_apart_both_arrive_also_through_fuse() {
    let machine = Machine::new();
    write_pairs(&machine);
    machine.run("send src/ --to local:plain").exits(0);
    assert_eq!(machine.tree("plain"), machine.tree("src"));
    let Some((_disk, machine)) = with_disk("") else { return };
    write_pairs(&machine);
    for _ in 0..2 {
        machine.run("send src/ --to local:disk/x").exits(0);
        for name in ["B", "b", "C", "c", "D/x", "d/x", "D/y", "d/z"] {
            assert!(machine.read(&format!("{BEHIND}/x/{name}")) == machine.read(&format!("src/{name}")), "{name}");
        }
    }
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let machine = Machine::new();
    machine.write("f", "new");
    fs::create_dir(machine.path("dev")).expect("made");
    for (name, target) in
        [("stdout", "/proc/self/fd/1"), ("null", "/dev/null"), ("nothing", "missing"), ("fd", "stdout")]
    {
        let link = machine.path(&format!("dev/{name}"));
        symlink(target, &link).expect("made");
        machine.run(&format!("get local:f dev/{name}")).exits(2).says(&[name, "'-'"]);
        assert_eq!(fs::read_link(&link).expect("still a link"), Path::new(target));
    }
    machine.run("get local:f /dev/null").exits(2).says(&["/dev/null", "'-'"]);
    machine.run("get local:f -").exits(0).prints("new");
}

#[test]
fn a_link_to_a_file_stands_for_that_file() {
    let machine = Machine::new();
    machine.write("f", "new");
    machine.write("elsewhere/real", "the old one");
    symlink("elsewhere/real", machine.path("link")).expect("made");
    machine.run("get local:f link").exits(0);
    assert_eq!(fs::read_link(machine.path("link")).expect("still a link"), Path::new("elsewhere/real"));
    assert_eq!(machine.read("elsewhere/real"), b"new");
}

#[test]
fn without_sparing_renames_and_hard_links_names_are_spared_all_the_same() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write("f", "first");
    let poor = "strace -f -qq -o /dev/null -e trace=renameat2,linkat -e inject=renameat2:error=EINVAL \
                -e inject=linkat:error=EPERM";
    for policy in ["skip", "fail", "rename"] {
        machine.write("f", "first");
        machine.under(poor, &format!("send --if-exists {policy} f --to local:{policy}")).run().exits(0);
        assert_eq!(machine.tree(policy), ["f"]);
        machine.write("f", "second, longer");
        let again = machine.under(poor, &format!("send --if-exists {policy} f --to local:{policy}")).run();
        again.exits(if policy == "fail" { 7 } else { 0 });
        assert_eq!(machine.read(&format!("{policy}/f")), b"first", "{policy}");
        assert_eq!(machine.has(&format!("{policy}/f~1")), policy == "rename");
    }
    // A link takes its name in the same way.
    symlink("f", machine.path("l")).expect("made");
    fs::create_dir(machine.path("t")).expect("made");
    fs::rename(machine.path("l"), machine.path("t/l")).expect("made");
    machine.under(poor, "send --links --if-exists skip t --to local:links").run().exits(0);
    assert_eq!(fs::read_link(machine.path("links/t/l")).expect("a link"), Path::new("f"));
}

/// Whoever replaces nothing must not take what a killed run has left for something that exists.
#[test]
fn who_is_killed_while_a_name_is_given_leaves_nothing_that_the_next_run_spares() {
    /// More than a run makes of one of the calls.
    const CALLS_MAX: u32 = 40;
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write("f", "content");
    let poor = "strace -f -qq -o /dev/null -e inject=renameat2:error=EINVAL -e inject=linkat:error=EPERM";
    let mut reserved = 0;
    for policy in ["skip", "fail", "rename"] {
        for call in ["renameat", "unlinkat", "fsync"] {
            let mut survived = false;
            for nth in 1..=CALLS_MAX {
                let there = format!("{policy}-{call}-{nth}");
                if policy == "rename" {
                    machine.write(&format!("{there}/f"), "another");
                }
                let name = format!("{there}/{}", if policy == "rename" { "f~1" } else { "f" });
                let line = format!("send --if-exists {policy} f --to local:{there}");
                let killing =
                    format!("{poor} -e trace=renameat2,linkat,{call} -e inject={call}:signal=KILL:when={nth}");
                survived = machine.under(&killing, &line).run().code == Some(0);
                if machine.has(&name) && machine.read(&name).is_empty() {
                    reserved += 1;
                    look_at_what_is_reserved(&machine, &there, &line);
                }
                let poor = format!("{poor} -e trace=renameat2,linkat");
                machine.under(&poor, &line).run().exits(0);
                assert_eq!(machine.read(&name), b"content", "killed at {call} {nth}, {policy}");
                let all: Vec<_> =
                    machine.tree(&there).into_iter().filter(|name| !name.ends_with(".qft-part")).collect();
                assert_eq!(all.len(), if policy == "rename" { 2 } else { 1 }, "{all:?}");
                if survived {
                    break;
                }
            }
            assert!(survived, "more than {CALLS_MAX} of {call}");
        }
    }
    assert!(reserved >= 3, "no run was killed between the two steps");
    // An empty file of the user's is one that exists.
    machine.write("own/f", "");
    machine
        .under(&format!("{poor} -e trace=renameat2,linkat"), "send --if-exists skip f --to local:own")
        .run()
        .exits(0);
    assert_eq!((machine.read("own/f"), machine.tree("own")), (Vec::new(), vec!["f".to_owned()]));
}

/// Whoever only looks, or reads, changes nothing, and takes it for no file.
fn look_at_what_is_reserved(machine: &Machine, there: &str, line: &str) {
    let before = machine.tree(there);
    machine.run(&format!("{line} -n")).exits(0).says(&["would send 1 file"]);
    let name = format!("read-{there}");
    machine.run(&format!("get local:{there}/ {name}")).exits(0).says(&["note:", "reserved the name"]);
    assert!(machine.tree(&name).iter().all(|name| name == "f"), "what existed before, if anything");
    assert_eq!(machine.tree(there), before);
}

#[test]
fn a_rename_that_fails_leaves_no_empty_file_under_the_name() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write("f", "content");
    let broken = failing("renameat2,linkat,renameat,rename", "EPERM", &[]);
    let broken = broken
        .replace("inject=renameat2,linkat,renameat,rename:error=EPERM", "inject=linkat,renameat,rename:error=EPERM")
        + " -e inject=renameat2:error=EINVAL";
    machine.under(&broken, "send --if-exists skip f --to local:there").run().exits(7);
    assert!(!machine.has("there/f"));
    machine.run("send --if-exists skip f --to local:there").exits(0);
    assert_eq!(machine.read("there/f"), b"content");
}

#[test]
fn names_as_long_as_the_disk_has_them_arrive_and_are_continued_and_longer_ones_fail_alone() {
    let Some((_disk, machine)) = with_disk("namemax=143") else { return };
    let longest = "n".repeat(143);
    machine.write_large(&format!("s/{longest}"), 8 << 20);
    machine.write("s/short", "x");
    let sending = machine.run_on(&format!("send --bwlimit 1M s/{longest} --to local:{DISK}"));
    let part = || machine.tree(DISK).into_iter().find(|name| name.ends_with(".qft-part"));
    let part = wait_for("the first bytes", || part().filter(|part| machine.path(DISK).join(part).metadata().is_ok()));
    assert_eq!(part.len(), 143);
    sending.signal(Signal::INT);
    sending.end();
    machine.write(&format!("s/{}", "m".repeat(144)), "x");
    machine.run(&format!("send -v s/ --to local:{DISK}")).exits(3).says(&["mmm", "name"]);
    assert_eq!(machine.tree(DISK), [longest.as_str(), "short"]);
    // A name beside it would be too long, which is said of that file.
    machine.write(&format!("t/{longest}"), "another");
    machine.run(&format!("send --if-exists rename t/ --to local:{DISK}")).exits(1).says(&["nnn"]);
    assert_eq!(machine.tree(DISK), [longest.as_str(), "short"]);
}
