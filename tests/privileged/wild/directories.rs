//! Directories: passed and not listed, written to and not read, and a destination inside its source.

use std::fs;
use std::os::unix::fs::chown;

use super::set_mode;
use crate::support::bin::{Machine, Outcome};

const NOBODY: u32 = 65534;

/// Runs as a user whom permissions bind.
fn as_nobody(machine: &Machine, line: &str) -> Outcome {
    let home = machine.path("nobody");
    fs::create_dir_all(&home).expect("made");
    chown(&home, Some(NOBODY), Some(NOBODY)).expect("root may");
    let wrapper =
        format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups env HOME={0} QFT_HOME={0}/q", home.display());
    machine.under(&wrapper, line).run()
}

#[test]
fn a_directory_that_may_be_passed_need_not_be_listed() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this needs root, to become somebody else");
        return;
    }
    let machine = Machine::new();
    machine.write("x/f", "hi");
    machine.write("x/d/g", "deep");
    set_mode(&machine.path("x"), 0o711);
    for (out, mode) in [("out", 0o777), ("drop", 0o733)] {
        fs::create_dir(machine.path(out)).expect("made");
        set_mode(&machine.path(out), mode);
        as_nobody(&machine, &format!("send x/f x/d --to local:{out}")).exits(0);
        assert_eq!(machine.tree(out), ["d/", "d/g", "f"]);
    }
    as_nobody(&machine, "get local:x/d/ out/new").exits(0);
    as_nobody(&machine, "get local:x/f out/newer").exits(0);
    assert_eq!((machine.read("out/new/g"), machine.read("out/newer")), (b"deep".to_vec(), b"hi".to_vec()));
    // What has to be listed and may not be is still said.
    as_nobody(&machine, "send x/ --to local:out").exits(1).says(&["Permission denied"]);
}

#[test]
fn a_destination_inside_its_source_is_left_out() {
    let machine = Machine::new();
    for n in 0..50 {
        machine.write(&format!("s/{n}"), format!("{n}"));
    }
    for _ in 0..2 {
        let sent = machine.run("send s/ --to local:s/zz");
        sent.exits(0).says(&["note:", "zz", "where the files go"]);
        assert_eq!(machine.tree("s/zz").len(), 50);
    }
    let again = machine.run("send s --to local:s");
    again.exits(1).says(&["failed: s", "where the files go"]);
    machine.write("g/a", "content");
    for _ in 0..2 {
        machine.run("get local:g g/in").exits(0);
        assert_eq!(machine.tree("g"), ["a", "in/", "in/g/", "in/g/a"]);
    }
    // Its contents into itself are all there.
    machine.run("send g/ --to local:g").exits(0).says(&["unchanged"]);
}

/// Server and client share nothing but the machine.
#[test]
fn a_destination_inside_its_source_is_left_out_where_a_server_of_a_directory_above_has_it() {
    let (machine, client) = (Machine::new(), Machine::new());
    let serve = machine.serve("data", "");
    client.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
    // The place, the name that it is made under, and the one that is sent along empty because it was there before.
    for (source, to, along) in [("s", "zz", ""), ("t", "deep/new/er", "deep/new/"), ("u", "", "")] {
        for n in 0..20 {
            machine.write(&format!("data/{source}/{n}"), format!("{n}"));
            machine.write(&format!("data/{source}/deep/{n}"), format!("{n}"));
        }
        let (from, there) = (machine.path(&format!("data/{source}")), format!("data/{source}/{to}"));
        for run in 0..2 {
            // It is made while the walk goes on, and there at the second run.
            let sent = client.run(&format!("send {}/ box:{source}/{to}", from.display()));
            sent.exits(0);
            assert!(run == 0 || to.is_empty() || sent.stderr.contains("where the files go"), "{}", sent.stderr);
            let mut arrived = machine.tree(&there);
            arrived.retain(|name| name != along);
            assert_eq!(arrived.len(), 41, "{source} in run {run}: {arrived:?}");
        }
        client.run(&format!("send {} box:{source}", from.display())).exits(1).says(&["where the files go"]);
    }
    machine.write("data/g/a", "content");
    let got = machine.path("data/g");
    for _ in 0..2 {
        client.run(&format!("get box:g {}/in", got.display())).exits(0);
        assert_eq!(machine.tree("data/g"), ["a", "in/", "in/g/", "in/g/a"]);
    }
    client.run(&format!("get box:g {}", got.display())).exits(1).says(&["where the files go"]);
    // A place that is no part of the source is no matter.
    let sent = client.run(&format!("send {} box:elsewhere", got.display()));
    sent.exits(0).does_not_say("where the files go");
    assert_eq!(machine.tree("data/elsewhere/g"), machine.tree("data/g"));
}

#[test]
fn a_tree_that_is_read_only_is_brought_up_to_date_whatever_becomes_of_what_exists() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this needs root, to become somebody else");
        return;
    }
    for (mode, code, changed, names) in [
        ("replace", 0, "11", &["a", "b", "new/", "new/c"][..]),
        ("skip", 0, "1", &["a", "b", "new/", "new/c"]),
        ("rename", 0, "1", &["a", "a~1", "b", "new/", "new/c"]),
        ("fail", 3, "1", &["a", "b", "new/", "new/c"]),
    ] {
        let machine = Machine::new();
        machine.write("d/a", "1");
        fs::create_dir(machine.path("o")).expect("made");
        for dir in ["d", "o"] {
            machine.give_to_nobody(dir);
        }
        set_mode(&machine.path("d"), 0o555);
        as_nobody(&machine, "send d --to local:o").exits(0);
        set_mode(&machine.path("d"), 0o755);
        machine.write("d/a", "11");
        machine.write("d/b", "2");
        machine.write("d/new/c", "3");
        machine.give_to_nobody("d");
        for dir in ["d/new", "d"] {
            set_mode(&machine.path(dir), 0o555);
        }
        as_nobody(&machine, &format!("send --if-exists {mode} d --to local:o")).exits(code);
        assert_eq!(machine.tree("o/d"), names, "{mode}");
        assert_eq!(machine.read("o/d/a"), changed.as_bytes(), "{mode}");
        assert_eq!((machine.mode("o/d"), machine.mode("o/d/new")), (0o555, 0o555), "{mode}");
    }
}
