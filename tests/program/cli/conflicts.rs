//! What is there already: dry runs, comparisons, files that exist.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use super::paired;
use crate::support::bin::Machine;

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let (remote, local, _serve) = paired("");
    for name in ["d/new", "d/other", "d/same"] {
        local.write(name, "content");
    }
    local.run("send d/ --exclude new").exits(0);
    remote.write("in/other", "older and longer");
    let before = remote.tree("in");
    let planned = local.run("send -n d/");
    planned.exits(0).says(&["would send 2 files", "1 unchanged"]);
    let lines: Vec<String> =
        String::from_utf8(planned.stdout.clone()).expect("text").lines().map(str::to_owned).collect();
    for (mark, name) in [("+ new", "new"), ("~ replace", "other"), ("= same", "same")] {
        assert!(lines.iter().any(|line| line.starts_with(mark) && line.ends_with(name)), "{mark} {lines:?}");
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(remote.tree("in"), before);
    assert_eq!(remote.read("in/other"), b"older and longer");

    let planned = local.run("get -n . nowhere");
    planned.exits(0).says(&["would get 2 files"]);
    assert!(!local.has("nowhere"), "{:?}", local.tree("nowhere"));
}

#[test]
fn contents_are_compared_when_asked_for() {
    let (remote, local, _serve) = paired("");
    local.write("f", "right");
    local.run("send f").exits(0);
    let time = fs::metadata(local.path("f")).and_then(|meta| meta.modified()).expect("known");
    remote.write("in/f", "wrong");
    set_time(&remote, "in/f", time);
    local.run("send f").exits(0).says(&["nothing to send, 1 unchanged"]);
    assert_eq!(remote.read("in/f"), b"wrong", "size and time are the same");
    local.run("send -c f").exits(0).says(&["sent 1 file"]);
    assert_eq!(remote.read("in/f"), b"right");
    local.run("send -c f").exits(0).says(&["nothing to send, 1 unchanged"]);
}

fn set_time(machine: &Machine, name: &str, time: SystemTime) {
    let file = File::options().write(true).open(machine.path(name)).expect("there");
    file.set_modified(time).expect("ours");
}

#[test]
fn a_file_that_exists_is_replaced_kept_renamed_or_a_failure() {
    for (mode, exits, says, there) in [
        ("replace", 0, "sent 1 file", vec![("f", "new")]),
        ("skip", 0, "1 left as it is there", vec![("f", "older")]),
        ("rename", 0, "sent 1 file", vec![("f", "older"), ("f~1", "new")]),
        ("fail", 7, "failed: f: exists", vec![("f", "older")]),
    ] {
        let (remote, local, _serve) = paired("");
        remote.write("in/f", "older");
        local.write("f", "new");
        local.run(&format!("send f --if-exists {mode}")).exits(exits).says(&[says]);
        let names: Vec<_> = there.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(remote.tree("in"), names, "{mode}");
        for (name, content) in there {
            assert_eq!(remote.read(&format!("in/{name}")), content.as_bytes(), "{mode}");
        }
    }
}

#[test]
fn others_go_on_when_one_exists() {
    let (remote, local, _serve) = paired("");
    remote.write("in/d/a", "older");
    local.write("d/a", "new");
    local.write("d/b", "new");
    local
        .run("send d --if-exists fail")
        .exits(3)
        .says(&["failed: d/a: exists"])
        .says(&["sent 1 of 2 files", "1 failed"]);
    assert_eq!(remote.read("in/d/b"), b"new");
}

#[test]
fn an_old_version_is_updated_by_what_differs() {
    let (remote, local, _serve) = paired("");
    let mut content = vec![7; 5 << 20];
    local.write("f", &content);
    local.run("send f").exits(0);
    content[3 << 20] = 8;
    local.write("f", &content);
    let hour = Duration::from_secs(3600);
    set_time(&local, "f", SystemTime::now() - hour);
    local.run("send f").exits(0).says(&["updated 1 file, 1.0 MiB", "4.0 MiB were there"]);
    assert!(remote.read("in/f") == content);
}

/// The server is no root here, who may read everything.
#[test]
fn an_old_version_that_may_not_be_read_is_replaced_like_any_other() {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve_unprivileged("in", "");
    let old = remote.write("in/f", vec![7; 3 << 20]);
    set_time(&remote, "in/f", SystemTime::now() - Duration::from_secs(3600));
    fs::set_permissions(&old, fs::Permissions::from_mode(0o000)).expect("ours");
    local.write("f", vec![8; 3 << 20]);
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0).says(&["sent 1 file, 3.0 MiB"]);
    assert!(remote.read("in/f") == vec![8; 3 << 20]);
}

#[test]
fn what_stands_in_the_way_is_named() {
    let (remote, local, _serve) = paired("");
    remote.write("in/d", "a file");
    remote.write("in/f/inner", "x");
    local.write("d/a", "x");
    local.write("e/f", "x");
    local.run("send d").exits(1).says(&["failed: d/a: not possible: a file is in the way of the directory"]);
    local
        .run("send e/")
        .exits(1)
        .says(&["failed: f: not possible: a directory of that name is in the way of the file"]);
    let _socket = UnixListener::bind(remote.path("in/socket")).expect("made");
    local.write("socket", "a file");
    let sent = local.run("send socket");
    sent.exits(1).says(&["failed: socket: cannot be written: a device, named pipe or socket has its name there"]);
    local.write("notes", "mine");
    local
        .run("get d f notes")
        .exits(1)
        .says(&["qft: cannot make directory notes: a file is in the way of the directory"]);
    assert_eq!((local.read("notes"), remote.read("in/d")), (b"mine".to_vec(), b"a file".to_vec()));
}
