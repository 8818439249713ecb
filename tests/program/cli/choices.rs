//! What of it is meant: links, pipes, filters, one file for standard output; and what is said about the rest.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::paired;

#[test]
fn what_is_left_out_of_a_tree_is_a_note_of_which_twenty_are_shown_and_no_failure() {
    let (remote, local, _serve) = paired("");
    local.write("d/file", "x");
    for n in 0..300 {
        symlink("/etc/passwd", local.path(&format!("d/link{n}"))).expect("made");
    }
    let made = Command::new("mkfifo").arg(local.path("d/fifo")).status().expect("mkfifo is there");
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(local.path("d/socket")).expect("bound");
    for (options, links) in [("", "(--links copies it)"), ("--links", "its target lies outside the tree")] {
        let sent = local.run(&format!("send d {options}"));
        sent.exits(0).says(&["note: d/fifo: named pipe left out"]).says(&["symbolic link", "left out", links]);
        assert_eq!(sent.stderr.matches("note: ").count(), 20, "{}", sent.stderr);
        sent.says(&["... 282 more notes (-v shows all)"]);
        let all = local.run(&format!("send -v d {options}"));
        assert_eq!(all.exits(0).stderr.matches("note: ").count(), 302);
        all.does_not_say("more note");
    }
    assert_eq!(remote.tree("in"), ["d/", "d/file"]);
    // What is named is meant.
    local.run("send d/socket").exits(2).says(&["d/socket", "qft send - REMOTE:NAME"]);
    local.run("send d/file d/socket").exits(3);
    // The other way.
    symlink("/etc/passwd", remote.path("in/d/out")).expect("made");
    for options in ["", "--links"] {
        let got = local.run(&format!("get {options} d/ back"));
        got.exits(0).says(&["note: out: symbolic link", "left out"]);
    }
    assert_eq!(local.tree("back"), ["file"]);
}

#[test]
fn links_are_followed_where_the_user_says_so_and_never_on_the_other_side() {
    let (remote, local, _serve) = paired("");
    local.write("elsewhere/deep/f", "far");
    local.write("d/own", "x");
    symlink(local.path("elsewhere"), local.path("d/tree")).expect("made");
    symlink("own", local.path("d/same")).expect("made");
    symlink("..", local.path("d/tree-above")).expect("made");
    symlink("nowhere", local.path("d/none")).expect("made");
    let sent = local.run("send -L d/own d/tree");
    sent.exits(0);
    assert_eq!(remote.tree("in"), ["own", "tree/", "tree/deep/", "tree/deep/f"]);
    fs::remove_file(local.path("d/none")).expect("there");
    fs::remove_file(local.path("d/tree-above")).expect("there");
    local.run("send --copy-links d --to local:in2").exits(0);
    assert_eq!(local.tree("in2/d"), ["own", "same", "tree/", "tree/deep/", "tree/deep/f"]);
    assert_eq!(local.read("in2/d/tree/deep/f"), b"far");
    assert!(!local.path("in2/d/same").is_symlink());
    symlink("nowhere", local.path("d/none")).expect("made");
    local.run("send -L d --to local:in2").exits(3).says(&["failed: d/none: not found", "nowhere"]);
    local.run("get -L d .").exits(2).says_only(&["(-L)", "--links"]);
    local.run("send -L --links d").exits(2);
}

#[test]
fn a_listing_has_links_that_lead_out_and_is_whole() {
    let (remote, local, _serve) = paired("");
    remote.write("in/f", "x");
    symlink("/usr/share/zoneinfo/UTC", remote.path("in/localtime")).expect("made");
    local.run("ls").exits(0).prints("f\nlocaltime\n");
    let long = local.run("ls -l");
    let text = String::from_utf8(long.exits(0).stdout.clone()).expect("text");
    assert!(text.contains("localtime -> /usr/share/zoneinfo/UTC\n"), "{text}");
    long.does_not_say("failed");
}

#[test]
fn where_everything_is_excluded_that_is_said_with_the_pattern_that_did_it() {
    let (remote, local, _serve) = paired("");
    local.write("tree/a.txt", "x");
    local.write("tree/b.bin", "x");
    let sent = local.qft(["send", "tree", "--exclude", "*", "--include", "*.txt"]).run();
    sent.exits(0).says(&["note: everything was excluded: tree by '*'", "--include '*/'"]).says(&["nothing to send"]);
    let dry = local.qft(["send", "-n", "tree", "--exclude", "*.txt", "--exclude", "*.bin"]).run();
    dry.exits(0).says(&["note: everything was excluded: tree/a.txt by '*.txt'"]);
    let recipe = ["send", "tree", "--exclude", "*", "--include", "*/", "--include", "*.txt"];
    local.qft(recipe).run().exits(0).does_not_say("excluded");
    assert_eq!(remote.tree("in"), ["tree/", "tree/a.txt"]);
    let got = local.qft(["get", "tree", "back", "--exclude", "*.txt"]).run();
    got.exits(0).says(&["note: everything was excluded: tree/a.txt by '*.txt'"]);
    let help = String::from_utf8(local.run("send --help").stdout).expect("text");
    assert!(help.contains("--exclude '*' --include '*/' --include '*.txt'"), "{help}");
}

#[test]
fn standard_output_takes_one_file_and_what_would_be_more_is_refused_before_it_comes() {
    let (remote, local, _serve) = paired("");
    remote.write("in/photos/a", "first");
    remote.write("in/photos/b", "second");
    for (pattern, why) in [("photos", "photos is a directory"), ("photos/*", "a and b are two files")] {
        let got = local.qft(["get", pattern, "-"]).run();
        got.exits(2).says(&[why, "one"]).does_not_say("got ");
        assert!(got.stdout.is_empty());
    }
    local.qft(["get", "photos/a*", "-"]).run().exits(0).prints("first");
    local.run("get photos/a -").exits(0).prints("first");
}

#[test]
fn a_place_without_room_for_what_goes_to_standard_output_is_named() {
    let (remote, local, _serve) = paired("");
    remote.write_large("in/big", 4 << 20);
    fs::create_dir(local.path("tmp")).expect("made");
    let mount = "mount -t tmpfs -o size=1m none tmp";
    let mut command = local.shell(&format!("unshare -m sh -c '{mount} && TMPDIR=$PWD/tmp exec qft get big -'"));
    let can = local.shell(&format!("unshare -m sh -c '{mount}'")).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: no small disk can be mounted");
        return;
    }
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty() && said.contains("no space left"), "{said}");
    assert!(said.contains("/tmp/qft-") && said.contains("$TMPDIR chooses another place"), "{said}");
}

#[test]
fn a_directory_that_was_made_for_nothing_is_not_left_behind() {
    let (remote, local, _serve) = paired("");
    remote.write("in/f", "x");
    local.run("get x y z/deep").exits(1).says(&["failed: x: not found"]);
    assert!(!local.has("z"), "{:?}", local.tree(""));
    local.run("get x f z/deep/").exits(3);
    assert_eq!(local.tree("z"), ["deep/", "deep/f"]);
    fs::create_dir(local.path("mine")).expect("made");
    local.run("get x y mine/").exits(1);
    assert!(local.has("mine"), "it was there before");
}

#[test]
fn a_dry_run_tells_each_failure_once() {
    let (_remote, local, _serve) = paired("");
    local.write("f", "x");
    let planned = local.run("send -n f missing");
    planned.exits(3).does_not_say("missing").says(&["would send 1 file", "1 would fail"]);
    let printed = String::from_utf8(planned.stdout.clone()).expect("text");
    assert_eq!(printed.matches("missing").count(), 1, "{printed}");
}
