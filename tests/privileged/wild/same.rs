//! What is there already: what makes it the same, and how safe it has to be to be called so.

use std::fs;

use super::{BEHIND, failing, has_strace, mode, modified, set_mode, set_modified, with_disk};
use crate::support::bin::{Machine, wait_for};

#[test]
fn a_file_that_differs_in_its_permissions_alone_gets_them_without_content() {
    let (machine, client) = (Machine::new(), Machine::new());
    let serve = machine.serve("in", "");
    for from in [&machine, &client] {
        let file = from.write("f", "content");
        from.write("g", "other");
        set_mode(&file, 0o644);
    }
    client.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
    let ways: [(&Machine, &str, &Machine, &str); 3] = [
        (&machine, "send f g --to local:there", &machine, "there/f"),
        (&client, "send f g --to box:", &machine, "in/f"),
        (&machine, "get local:f local:g got/", &machine, "got/f"),
    ];
    for (from, line, at, there) in ways {
        set_mode(&from.path("f"), 0o644);
        from.run(line).exits(0);
        set_mode(&from.path("f"), 0o600);
        from.run(&format!("{line} -n")).exits(0).says(&["permissions"]);
        assert_eq!(mode(&at.path(there)), 0o644, "a dry run changes nothing");
        let again = from.run(line);
        again.exits(0).says(&["permissions of 1 file", "1 unchanged"]).does_not_say("sent");
        assert_eq!(mode(&at.path(there)), 0o600, "{line}");
        from.run(line).exits(0).says(&["2 unchanged"]).does_not_say("permissions");
    }
}

#[test]
fn who_replaces_nothing_changes_no_permissions_either() {
    let machine = Machine::new();
    let file = machine.write("f", "content");
    set_mode(&file, 0o644);
    machine.run("send f --to local:there").exits(0);
    set_mode(&file, 0o600);
    for policy in ["skip", "fail", "rename"] {
        machine.run(&format!("send f --if-exists {policy} --to local:there")).exits(0);
        assert_eq!((mode(&machine.path("there/f")), machine.tree("there").len()), (0o644, 1), "{policy}");
    }
    let (client, serve) = (Machine::new(), machine.serve("there", "--write-only"));
    let file = client.write("f", "content");
    set_mode(&file, 0o600);
    client.qft(["send", "f", "--if-exists", "skip", "--to", serve.ticket()]).run().exits(0);
    assert_eq!(mode(&machine.path("there/f")), 0o644, "a drop box");
}

#[test]
fn a_skip_is_as_durable_as_a_send() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    for name in ["tree/a", "tree/sub/deep/b", "tree/sub/deep/c"] {
        machine.write(name, "content");
    }
    // Whoever brought this was killed before it had synced a directory.
    machine.run("send tree --no-sync --to local:there").exits(0);
    machine.run("get --no-sync local:tree got/").exits(0);
    let bad = |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|path| machine.path(path)).collect();
        let paths: Vec<_> = paths.iter().map(|path| path.as_path()).collect();
        failing("fsync,syncfs", "EIO", &paths)
    };
    for (line, top) in [("send tree --to local:there", "there"), ("get local:tree got/", "got")] {
        for (dir, named) in [("tree/sub/deep", 2), ("tree/sub", 1), ("tree", 1), ("", 1)] {
            let again = machine.under(&bad(&[&format!("{top}/{dir}")]), line).run();
            assert!(again.code != Some(0), "{line}: the names in {dir} were never durable: {}", again.stderr);
            assert!(again.stderr.matches("failed:").count() >= named, "{}", again.stderr);
        }
        machine.run(line).exits(0).says(&["3 unchanged"]);
        machine.under(&bad(&[&format!("{top}/tree/sub")]), &format!("{line} --no-sync")).run().exits(0);
        machine.under(&bad(&[&format!("{top}/tree/sub")]), &format!("{line} -n")).run().exits(0);
    }
}

#[test]
fn a_name_that_is_only_said_to_be_taken_is_durable_too() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write("f", "content");
    machine.run("send f --no-sync --to local:there").exits(0);
    machine.write("f", "more content");
    let bad = failing("fsync,syncfs", "EIO", &[&machine.path("there")]);
    let line = "send f --if-exists skip --to local:there";
    let again = machine.under(&bad, line).run();
    assert!(again.code != Some(0), "its name was never durable: {}", again.stderr);
    machine.run(line).exits(0).says(&["1 left as it is"]);
}

#[test]
fn a_new_file_makes_the_directories_durable_that_others_have_left_it() {
    let (machine, client) = (Machine::new(), Machine::new());
    if !has_strace(&machine) {
        return;
    }
    // Whoever made the directory was killed before it had synced its name.
    let serve = machine.serve("in", "--no-sync");
    client.write("f", "content");
    client.write("g", "content");
    client.qft(["send", "f", "--to", &format!("{}/sub/", serve.ticket())]).run().exits(0);
    let pinned = serve.pinned();
    let who = pinned.split_once('@').expect("a ticket has a place").0;
    serve.kill();
    for (bad, is_durable) in [("in/sub", false), ("in", false), ("elsewhere", true)] {
        let calls = failing("fsync,syncfs", "EIO", &[&machine.path(bad)]);
        let serving = machine.under(&calls, "serve in -q -l 127.0.0.1:0 --once --ticket-file ticket").start();
        let ticket = wait_for("the ticket", || fs::read_to_string(machine.path("ticket")).ok());
        let address = ticket.trim_end().split_once('@').expect("a ticket has a place").1;
        let sent = client.qft(["send", "g", "--to", &format!("{who}@{address}/sub/")]).run();
        assert_eq!(sent.code == Some(0), is_durable, "{bad}: {}", sent.stderr);
        if !is_durable {
            // It ends with the first job that goes well.
            client.qft(["get", &format!("{who}@{address}/sub/f"), "got/"]).run().exits(0);
            fs::remove_dir_all(client.path("got")).expect("it was made");
        }
        serving.end();
        fs::remove_file(machine.path("ticket")).expect("it was there");
        drop(fs::remove_file(machine.path("in/sub/g")));
    }
}

#[test]
fn what_was_compared_and_is_the_same_has_a_durable_name_too() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write_large("f", 3 << 20);
    machine.run("send f --no-sync --to local:there").exits(0);
    set_modified(&machine.path("there/f"), 1_000_000_000, 0);
    let bad = failing("fsync,syncfs", "EIO", &[&machine.path("there")]);
    machine.under(&bad, "send f --to local:there").run().exits(1).says(&["failed: f"]);
    machine.run("send f --to local:there").exits(0);
}

#[test]
fn times_are_kept_where_a_change_of_one_alone_is_ignored() {
    let Some((_disk, machine)) = with_disk("omit=ignored") else { return };
    let file = machine.write("f", "content");
    let time = set_modified(&file, 1_704_067_202, 0);
    machine.run("send f --to local:disk").exits(0);
    assert_eq!(modified(&machine.path(&format!("{BEHIND}/f"))), time);
    machine.run("send f --to local:disk").exits(0).says(&["1 unchanged"]);
    // A directory, alone and with what is in it.
    machine.write("tree/d/f", "content");
    fs::create_dir(machine.path("tree/empty")).expect("made");
    for (n, dir) in ["tree/d", "tree/empty", "tree"].into_iter().enumerate() {
        set_modified_of_directory(&machine.path(dir), 1_704_067_300 + n as u64);
    }
    for _ in 0..2 {
        machine.run("send tree --to local:disk").exits(0).does_not_say("note:");
        for dir in ["tree/d", "tree/empty", "tree"] {
            assert_eq!(modified(&machine.path(&format!("{BEHIND}/{dir}"))), modified(&machine.path(dir)), "{dir}");
        }
    }
    // Equal content with a new time: that alone is set.
    let time = set_modified(&file, 1_704_067_402, 0);
    machine.run("send --checksum f --to local:disk").exits(0);
    assert_eq!(modified(&machine.path(&format!("{BEHIND}/f"))), time);
}

#[test]
fn times_are_kept_where_closing_a_file_dates_it() {
    let Some((_disk, machine)) = with_disk("close=dates") else { return };
    for (n, name) in ["s/large", "s/small", "s/other"].into_iter().enumerate() {
        let path = machine.write_large(name, if n == 0 { 3 << 20 } else { 10 });
        set_modified(&path, 1_704_067_200 + n as u64, 0);
    }
    for (line, top) in [
        ("send s/ --to local:disk/sent", "sent"),
        ("send --no-sync s/ --to local:disk/at-once", "at-once"),
        ("get local:s/ disk/got", "got"),
    ] {
        machine.run(line).exits(0).does_not_say("note:");
        for name in ["large", "small", "other"] {
            let there = machine.path(&format!("{BEHIND}/{top}/{name}"));
            assert_eq!(modified(&there), modified(&machine.path(&format!("s/{name}"))), "{line}: {name}");
        }
        machine.run(line).exits(0).says(&["3 unchanged"]);
    }
}

fn set_modified_of_directory(path: &std::path::Path, secs: u64) {
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(secs);
    fs::File::open(path).and_then(|dir| dir.set_modified(time)).expect("ours");
}

#[test]
fn coarser_times_are_the_same_and_a_changed_file_is_still_found() {
    for options in [
        "gran_ns=100",
        "gran_ns=1000",
        "gran_ns=10000000",
        "gran_ns=1000000000",
        "gran_ns=2000000000",
        "gran_ns=2000000000 round=up",
    ] {
        let Some((_disk, machine)) = with_disk(options) else { return };
        for n in 0..4 {
            let file = machine.write(&format!("tree/{n}"), format!("{n}"));
            set_modified(&file, 1_704_067_200 + n, 987_654_321);
        }
        machine.write_large("tree/large", 2 << 20);
        machine.run("send tree --to local:disk").exits(0);
        machine.run("send tree --to local:disk").exits(0).says(&["5 unchanged"]);
        machine.run("send tree -n --to local:disk").exits(0).says(&["0 files", "5 unchanged"]);
        // Three seconds later, and no longer.
        fs::write(machine.path("tree/1"), "x").expect("written");
        set_modified(&machine.path("tree/1"), 1_704_067_204, 987_654_321);
        machine.run("send tree --to local:disk").exits(0).says(&["sent 1 file", "4 unchanged"]);
        assert_eq!(machine.read(&format!("{BEHIND}/tree/1")), b"x", "{options}");
        assert_eq!(machine.tree(&format!("{BEHIND}/tree")).len(), 5, "nothing was left to ask the disk with");
    }
}

#[test]
fn whole_seconds_on_a_disk_that_keeps_finer_ones_are_no_excuse() {
    let machine = Machine::new();
    let file = machine.write("f", "new!");
    set_modified(&file, 1_704_067_200, 500_000_000);
    let there = machine.write("there/f", "old!");
    set_modified(&there, 1_704_067_200, 0);
    machine.run("send f --to local:there").exits(0);
    assert_eq!(machine.read("there/f"), b"new!");
}
