//! Calls that a disk refuses: those that the content needs, and those that it does not.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::{BEHIND, failing, has_strace, with_disk};
use crate::support::bin::Machine;

#[test]
fn a_mode_or_time_that_is_refused_is_one_note_and_the_content_arrives() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    for n in 0..20 {
        machine.write(&format!("tree/d/{n}"), format!("content {n}"));
    }
    for call in ["fchmod", "utimensat"] {
        for error in ["EPERM", "EOPNOTSUPP", "EINVAL"] {
            let there = format!("{call}-{error}");
            let line = format!("send tree --to local:{there}");
            let sent = machine.under(&failing(call, error, &[]), &line).run();
            sent.exits(0).says(&["note:", "time and mode"]);
            let notes = sent.stderr.lines().filter(|line| line.starts_with("note:")).count();
            assert_eq!(notes, 1, "{}", sent.stderr);
            for n in 0..20 {
                assert_eq!(machine.read(&format!("{there}/tree/d/{n}")), format!("content {n}").into_bytes());
            }
            assert_eq!(machine.tree(&there).len(), 22, "no part is left");
            let line = format!("get local:tree got-{there}/");
            machine.under(&failing(call, error, &[]), &line).run().exits(0).says(&["note:", "time and mode"]);
        }
    }
}

/// The files get theirs, so that the note can only be the directory's.
#[test]
fn a_mode_or_time_that_is_refused_to_a_directory_alone_is_noted_with_its_name() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write("tree/d/f", "content");
    machine.set_mode("tree/d", 0o750);
    for (call, line, top) in [
        ("utimensat", "send tree --to local:sent", "sent/tree"),
        ("utimensat", "get local:tree got/", "got/tree"),
        ("fchmod", "send tree --to local:moded", "moded/tree"),
    ] {
        // It is there, and may be changed: of one that is made the mode is right from the start.
        fs::create_dir_all(machine.path(&format!("{top}/d"))).expect("made");
        machine.set_mode(&format!("{top}/d"), 0o755);
        let refused = machine.under(&failing(call, "EPERM", &[&machine.path(&format!("{top}/d"))]), line).run();
        refused.exits(0).says(&["note:", "tree/d"]);
        assert_eq!(refused.stderr.lines().filter(|line| line.starts_with("note:")).count(), 1, "{}", refused.stderr);
        assert_eq!(machine.read(&format!("{top}/d/f")), b"content");
        machine.run(line).exits(0).does_not_say("note:");
        assert_eq!(machine.mode(&format!("{top}/d")), 0o750, "{line}");
    }
}

#[test]
fn a_server_says_what_could_not_be_set_to_the_client_that_sent_it() {
    let Some((_disk, machine)) = with_disk("chmod=EPERM") else { return };
    machine.write("f", "content");
    let serve = machine.serve("disk", "");
    let client = Machine::new();
    client.write("f", "content");
    client.qft(["send", "f", "--to", serve.ticket()]).run().exits(0).says(&["note:", "time and mode"]);
    assert_eq!(machine.read(&format!("{BEHIND}/f")), b"content");
}

#[test]
fn locks_that_are_refused_decide_nothing() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write_large("f", 3 << 20);
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        machine.under(&failing("flock", error, &[]), &format!("send f --to local:{error}")).run().exits(0);
        assert!(machine.read(&format!("{error}/f")) == machine.read("f"));
    }
}

/// On a disk that is not known to tell it before.
#[test]
fn what_only_closing_a_file_tells_is_heard() {
    let Some((_disk, machine)) = with_disk("") else { return };
    if !has_strace(&machine) {
        return;
    }
    machine.write_large("f", 3 << 20);
    let (part, name) = (machine.path("disk/.f.qft-part"), machine.path("disk/f"));
    let full = failing("close", "EDQUOT", &[&part, &name]);
    for line in ["send --no-sync f --to local:disk", "send f --to local:disk"] {
        machine.under(&full, line).run().exits(7).says(&["failed: f", "quota"]);
        assert!(!machine.has(&format!("{BEHIND}/f")), "{line}");
    }
    machine.run("send f --to local:disk").exits(0);
}

#[test]
fn a_disk_that_has_no_room_at_the_last_moment_gets_no_file_called_done() {
    let Some((_disk, machine)) = with_disk("flush=EDQUOT") else { return };
    machine.write("f", "content");
    for line in ["send --no-sync f --to local:disk", "send f --to local:disk", "get --no-sync local:f disk/got"] {
        let done = machine.run(line);
        assert!(done.code != Some(0), "{line}: {}", done.stderr);
        done.says(&["failed: f"]);
    }
    assert!(!machine.has(&format!("{BEHIND}/f")) && !machine.has(&format!("{BEHIND}/got")));
}

#[test]
fn standard_output_that_fails_when_it_is_closed_is_a_failure() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write("f", "content");
    let out = machine.path("out");
    let line = format!("{} qft get local:f - >out", failing("close", "EDQUOT", &[&out]));
    let output = machine.shell(&line).stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_name_that_the_disk_does_not_take_fails_alone_and_is_called_the_disks_affair() {
    let Some((_disk, machine)) = with_disk("forbid=?:") else { return };
    for name in ["q?x", "d/12:30", "who?/f", "taken", "d/taken"] {
        machine.write(&format!("s/{name}"), name);
    }
    for (line, top) in [("send s/ --to local:disk/sent", "sent"), ("get local:s/ disk/got", "got")] {
        let refused = machine.run(line);
        refused.exits(3).does_not_say("cannot be read");
        for name in ["q?x", "d/12:30", "who?"] {
            refused.says(&[&format!(
                "failed: {name}: not possible: the file system takes no such name: Invalid argument"
            )]);
        }
        assert_eq!(machine.tree(&format!("{BEHIND}/{top}")), ["d/", "d/taken", "taken"], "{line}");
    }
}

#[test]
fn a_name_that_cannot_be_given_to_a_whole_file_is_no_links_fault() {
    let Some((_disk, machine)) = with_disk("rename=EXDEV") else { return };
    machine.write("s/f", "content");
    machine
        .run("send s/f --to local:disk/x")
        .exits(1)
        .says(&["takes its two names for two disks"])
        .does_not_say("link");
    assert_eq!(machine.tree(&format!("{BEHIND}/x")), [".f.qft-part"], "it is whole, and has no other name");
}

/// Exit code 7 is for what the remote refuses.
#[test]
fn a_disk_here_that_takes_no_files_is_a_failure_here_and_no_refusal_of_the_remote() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    machine.write("s/f", "content");
    machine.write("there/g", "content");
    for error in ["EROFS", "EPERM", "EACCES", "ENOSPC"] {
        for (line, code) in [("get local:s/f there/", 1), ("send s/f --to local:there", 7)] {
            // By the name in its directory, as it is opened.
            let part = Path::new(".f.qft-part");
            machine.under(&failing("openat", error, &[part]), line).run().exits(code).says(&["failed: "]);
        }
    }
    machine.run("get local:s/f there/").exits(0);
}
