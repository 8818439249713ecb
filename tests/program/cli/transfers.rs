//! What arrives where.

use std::os::unix::fs::symlink;

use super::paired;
use crate::support::bin::Machine;

#[test]
fn a_directory_is_sent_itself_and_its_contents_with_a_slash() {
    let (remote, local, _serve) = paired("");
    local.write("dir/sub/a", "a");
    local.run("send dir").exits(0).says(&["sent 1 file, 1 B"]);
    local.run("send dir/ --to vm-that-is-not-known").exits(4);
    local.run("send dir/").exits(0);
    assert_eq!(remote.tree("in"), ["dir/", "dir/sub/", "dir/sub/a", "sub/", "sub/a"]);
    local.run("get dir").exits(0);
    local.run("get dir/ copy").exits(0);
    assert_eq!(local.tree("copy"), ["sub/", "sub/a"]);
}

#[test]
fn one_file_takes_a_new_name_or_goes_into_a_directory_that_exists() {
    let (remote, local, serve) = paired("");
    let to = |path: &str| format!("{}:{path}", serve.address());
    local.write("f", "x");
    local.qft(["send", "f", &to("new")]).run().exits(0);
    local.qft(["send", "f", &to("d/")]).run().exits(0);
    local.qft(["send", "f", &to("d")]).run().exits(0).says(&["nothing to send, 1 unchanged"]);
    assert_eq!(remote.tree("in"), ["d/", "d/f", "new"]);
    local.run("get d/f here").exits(0);
    local.run("get d/f made/").exits(0);
    assert_eq!((local.read("here"), local.read("made/f")), (b"x".to_vec(), b"x".to_vec()));
}

#[test]
fn a_glob_is_expanded_by_the_remote() {
    let (remote, local, _serve) = paired("");
    for name in ["logs/a.gz", "logs/b.gz", "logs/c.txt"] {
        remote.write(&format!("in/{name}"), name);
    }
    local.run("get logs/*.gz got/").exits(0).says(&["got 2 files"]);
    assert_eq!(local.tree("got"), ["a.gz", "b.gz"]);
}

#[test]
fn standard_input_and_output_carry_every_byte() {
    let (remote, local, serve) = paired("");
    let content: Vec<u8> = (0..3 << 20_u32).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let to = format!("{}:deep/stream", serve.address());
    local.qft(["send", "-", &to]).stdin(&content).run().exits(0).says(&["sent 1 file, 3.0 MiB"]);
    assert!(remote.read("in/deep/stream") == content);
    let back = local.run("get deep/stream -");
    back.exits(0).says(&["got 1 file, 3.0 MiB"]);
    assert!(back.stdout == content, "{} bytes", back.stdout.len());
}

#[test]
fn what_is_slowed_down_by_either_side_arrives_whole() {
    let (remote, local, _serve) = paired("--bwlimit 80mbit");
    local.write_large("f", 1 << 20);
    let content = local.read("f");
    local.run("send f --bwlimit 2M").exits(0).says(&["sent 1 file, 1.0 MiB"]);
    assert!(remote.read("in/f") == content);
    local.run("get f back --bwlimit 2MiB/s").exits(0).says(&["got 1 file, 1.0 MiB"]);
    assert!(local.read("back") == content);
    local.run("send f --to local:d --bwlimit 16mbit").exits(0);
    assert!(local.read("d/f") == content);
    local.run("get f again --bwlimit 0").exits(0);
}

#[test]
fn a_limit_without_a_unit_is_refused_with_what_it_may_mean() {
    let local = Machine::new();
    local.write("f", "x");
    let words = ["--bwlimit <RATE>", "1000 what? 1000K is 1000 KiB/s, 1000mbit is 119 MiB/s"];
    for line in ["send f --to local:d --bwlimit 1000", "get local:d/f --bwlimit 1000", "serve --bwlimit 1000"] {
        local.run(line).exits(2).says(&words);
    }
    assert!(!local.has("d"));
}

#[test]
fn standard_input_needs_a_name() {
    let (_remote, local, _serve) = paired("");
    local.qft(["send", "-"]).stdin(b"x").run().exits(2).says_only(&["standard input needs a name", "REMOTE:NAME"]);
}

#[test]
fn excluded_files_stay_unless_they_are_included() {
    let (remote, local, _serve) = paired("");
    for name in ["d/a.log", "d/keep.log", "d/b.txt", "d/tmp/x"] {
        local.write(name, name);
    }
    local.run("send d --exclude *.log --exclude tmp/ --include keep.log").exits(0).says(&["sent 2 files"]);
    assert_eq!(remote.tree("in"), ["d/", "d/b.txt", "d/keep.log"]);
    remote.write("in/d/c.log", "c");
    local.run("get --exclude *.log d/ back").exits(0);
    assert_eq!(local.tree("back"), ["b.txt"]);
}

#[test]
fn links_are_left_out_with_a_note_or_copied_where_they_stay_inside() {
    let (remote, local, _serve) = paired("");
    local.write("d/file", "x");
    symlink("file", local.path("d/inside")).expect("made");
    symlink("/etc/passwd", local.path("d/outside")).expect("made");
    local.run("send d").exits(0).says(&["note: d/inside: symbolic link left out", "--links"]);
    assert_eq!(remote.tree("in"), ["d/", "d/file"]);
    local.run("send d --links").exits(0).says(&["note: d/outside: symbolic link to /etc/passwd left out"]);
    assert_eq!(remote.tree("in"), ["d/", "d/file", "d/inside"]);
    assert_eq!(std::fs::read_link(remote.path("in/d/inside")).expect("a link").as_os_str(), "file");
}

#[test]
fn a_server_with_no_links_takes_the_rest() {
    for options in ["--no-links", "--keep-dirlinks", "--write-only"] {
        let (remote, local) = (Machine::new(), Machine::new());
        let serve = remote.serve("in", options);
        local.write("first", "x");
        local.qft(["send", "first", serve.ticket()]).run().exits(0);
        local.write("d/file", "x");
        symlink("file", local.path("d/link")).expect("made");
        local.run("send d --links").exits(3).says(&["d/link", "not allowed", "symbolic links are not taken here"]);
        assert_eq!(remote.tree("in"), ["d/", "d/file", "first"], "{options}");
    }
}

#[test]
fn the_users_own_links_stand_for_directories_where_files_arrive() {
    let (remote, local, _serve) = paired("");
    for machine in [&remote, &local] {
        machine.write("in/disk/photos/old", "old");
        symlink("disk/photos", machine.path("in/photos")).expect("made");
    }
    // A client may not pass through a link of the server's, neither to write nor to read.
    local.write("photos/new", "new");
    local.run("send photos").exits(1).says(&["photos/new", "a symbolic link is in the way"]);
    for path in ["photos/", "photos/old", "photos/*"] {
        local.qft(["get", path, "back"]).run().says(&["a symbolic link is in the way"]);
        local.qft(["ls", path]).run().says(&["a symbolic link is in the way"]);
    }
    assert_eq!(remote.tree("in"), ["disk/", "disk/photos/", "disk/photos/old", "photos"]);
    assert!(!local.has("back/old"));
    // In a directory of one's own it is as good as the directory.
    std::fs::remove_file(remote.path("in/photos")).expect("removed");
    remote.write("in/photos/got", "got");
    local.run("get photos in").exits(0).says(&["got 1 file"]);
    local.run("send photos local:in").exits(0).says(&["sent 1 file"]);
    assert_eq!((local.read("in/disk/photos/got"), local.read("in/disk/photos/new")), (b"got".into(), b"new".into()));
    assert!(local.path("in/photos").is_symlink());
}

#[test]
fn a_server_keeps_links_to_directories_where_its_operator_says_so() {
    let (remote, local, _serve) = paired("--keep-dirlinks");
    remote.write("in/disk/photos/old", "old");
    symlink("disk/photos", remote.path("in/photos")).expect("made");
    local.write("photos/new", "new");
    local.run("send photos").exits(0).says(&["sent 1 file"]);
    local.run("send photos").exits(0).says(&["1 unchanged"]);
    assert_eq!(remote.read("in/disk/photos/new"), b"new");
    assert!(remote.path("in/photos").is_symlink());
    let status = String::from_utf8(remote.run("status").stdout.clone()).expect("text");
    assert!(status.contains("may send and get, --keep-dirlinks"), "{status}");
}

#[test]
fn a_local_directory_is_reached_through_a_server_in_the_process() {
    let local = Machine::new();
    local.write("src/a", "x");
    local.run("send src/ --to local:copy").exits(0).says(&["sent 1 file"]);
    local.run("send src/ --to local:copy").exits(0).says(&["nothing to send, 1 unchanged"]);
    assert_eq!(local.read("copy/a"), b"x");
    local.run("get local:copy/a back").exits(0);
    assert_eq!(local.read("back"), b"x");
    local.run("ls local:copy").exits(0).prints("a\n");
    assert!(!local.has("home/remotes"), "it is no remote");
}

/// Makes `a/x` and `b/x`, which are not the same, with so many files between them.
fn two_of_one_name(machine: &Machine, top: &str, between: usize) {
    machine.write(&format!("{top}a/x"), "the first");
    machine.write(&format!("{top}z/x"), "second");
    for n in 0..between {
        machine.write(&format!("{top}m/{n}"), "between");
    }
}

#[test]
fn the_second_of_two_files_with_one_name_is_a_failure_and_the_first_arrives() {
    for between in [0, 2000] {
        // The first is to be settled soon, so that the second comes after that.
        let (remote, local, _serve) = paired("--no-sync");
        two_of_one_name(&local, "", between);
        let line = if between == 0 { "send a/x z/x" } else { "send a/x m z/x" };
        local
            .run(line)
            .exits(3)
            .says(&["z/x: exists: will not overwrite x, which this job has from elsewhere already"]);
        assert_eq!(remote.read("in/x"), b"the first", "{between} between them");

        two_of_one_name(&remote, "in/", between);
        let line = if between == 0 { "get */x got/" } else { "get a/x m z/x got/ --no-sync" };
        local
            .run(line)
            .exits(3)
            .says(&["failed: z/x: exists: will not overwrite x, which this job has from elsewhere already"]);
        assert_eq!(local.read("got/x"), b"the first", "{between} between them");
    }
}

#[test]
fn directories_of_one_name_are_merged_and_a_file_that_is_named_twice_is_one() {
    let (remote, local, _serve) = paired("");
    for name in ["a/d/one", "b/d/two"] {
        local.write(name, name);
    }
    local.run("send a/d b/d a/d/one a/d/one").exits(0).says(&["sent 3 files"]);
    assert_eq!(remote.tree("in"), ["d/", "d/one", "d/two", "one"]);
}
