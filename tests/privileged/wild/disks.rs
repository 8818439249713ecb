//! Disks that do less than others with numbers, with names and with renames.

use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use qft::keys::{Identity, Ticket};
use qft::server::{Access, Server, ServerBuilder};
use rustix::process::Signal;

use super::{BEHIND, DISK, set_modified, with_disk};
use crate::support::bin::{Machine, wait_for};

/// What is sent: files small and large, a directory and a link.
fn write_tree(machine: &Machine, version: &str) {
    for (name, bytes) in [("s/small", 5), ("s/d/deep", 70_000), ("s/large", 3 << 20)] {
        machine.write(name, version.repeat(bytes).as_bytes());
    }
    if !machine.has("s/link") {
        symlink("small", machine.path("s/link")).expect("made");
    }
}

fn check_tree(machine: &Machine, top: &str) {
    assert_eq!(machine.tree(top), ["d/", "d/deep", "large", "link", "small"], "nothing of ours is left");
    for name in ["small", "d/deep", "large"] {
        assert!(machine.read(&format!("{top}/{name}")) == machine.read(&format!("s/{name}")), "{name}");
    }
}

/// Sends, sends again, updates, and goes on after an interruption, both ways.
fn files_arrive(options: &str) {
    let Some((_disk, machine)) = with_disk(options) else { return };
    let lines = [("send --links s/ --to local:disk/sent", "sent"), ("get --links local:s/ disk/got", "got")];
    for version in ["1", "22"] {
        write_tree(&machine, version);
        for (line, top) in lines {
            machine.run(line).exits(0).does_not_say("failed");
            check_tree(&machine, &format!("{BEHIND}/{top}"));
            machine.run(line).exits(0).says(&["unchanged"]).does_not_say("failed");
        }
    }
    // Times that are a little apart make them ask how fine the disk keeps times.
    for secs in [1_700_000_001, 1_700_000_002] {
        set_modified(&machine.path("s/small"), secs, 0);
        for (line, top) in lines {
            machine.run(line).exits(0).does_not_say("failed");
            check_tree(&machine, &format!("{BEHIND}/{top}"));
        }
    }
    machine.write("other/small", "another content");
    for source in ["s/small", "other/small"] {
        machine.run(&format!("send {source} --if-exists skip --to local:disk/skipped")).exits(0);
    }
    assert_eq!(machine.read(&format!("{BEHIND}/skipped/small")), machine.read("s/small"));
    machine.write_large("big", 8 << 20);
    interrupt(&machine);
    machine.run("parts disk/cut").exits(0).says(&["1 unfinished file,"]);
    machine.run("send big --to local:disk/cut").exits(0).says(&["resumed"]);
    assert_eq!(machine.tree(&format!("{BEHIND}/cut")), ["big"]);
    assert!(machine.read(&format!("{BEHIND}/cut/big")) == machine.read("big"));
    std::fs::remove_file(machine.path(&format!("{BEHIND}/cut/big"))).expect("it is there");
    interrupt(&machine);
    machine.run("parts --remove disk/cut").exits(0).says(&["removed 1 unfinished file,"]);
    assert!(machine.tree(&format!("{BEHIND}/cut")).is_empty());
}

/// Sends the large file until some of it is there.
fn interrupt(machine: &Machine) {
    let sending = machine.run_on("send --bwlimit 2M big --to local:disk/cut");
    let part = || machine.tree(&format!("{BEHIND}/cut")).into_iter().find(|name| name.contains("big"));
    wait_for("the first bytes", || part().filter(|part| machine.read(&format!("{BEHIND}/cut/{part}")).len() > 2 << 20));
    sending.signal(Signal::INT);
    sending.end();
}

#[test]
fn files_arrive_on_a_disk_that_calls_them_by_another_number_at_every_look() {
    files_arrive("ino=changes");
}

#[test]
fn files_arrive_on_a_disk_that_refuses_names_with_a_leading_dot() {
    for error in ["EACCES", "EINVAL", "ENOENT"] {
        files_arrive(&format!("dots={error}"));
    }
}

#[test]
fn files_arrive_on_a_disk_that_gives_no_name_that_is_taken() {
    for error in ["EEXIST", "EPERM"] {
        files_arrive(&format!("over={error}"));
    }
}

#[test]
fn files_arrive_on_a_disk_that_gives_no_other_name_to_what_is_open() {
    for error in ["ETXTBSY", "EBUSY"] {
        files_arrive(&format!("open={error}"));
    }
}

#[test]
fn a_disk_that_takes_more_than_it_keeps_gets_no_file_called_done() {
    let Some((_disk, machine)) = with_disk("keeps=100000") else { return };
    machine.write_large("s/large", 3 << 20);
    machine.write("s/small", "content");
    for line in ["send s/ --to local:disk/sent", "send --no-sync s/ --to local:disk/sent", "get local:s/ disk/got"] {
        machine.run(line).exits(3).says(&["failed: large: cannot be written", "taken more than it has kept"]);
    }
    assert!(!machine.has("disk/sent/large") && !machine.has("disk/got/large"));
    assert_eq!(machine.read("disk/sent/small"), b"content");
}

/// It knows no sizes, and has all the same what was written.
#[test]
fn a_disk_that_calls_every_file_empty_is_no_disk_that_keeps_nothing() {
    let Some((_disk, machine)) = with_disk("size0=1") else { return };
    machine.write_large("s/large", 3 << 20);
    machine.run("send s/ --to local:disk/sent").exits(0);
    assert!(machine.read(&format!("{BEHIND}/sent/large")) == machine.read("s/large"));
}

#[test]
fn a_link_to_where_it_lies_is_followed_no_further_where_numbers_change() {
    let Some((_disk, machine)) = with_disk("ino=changes") else { return };
    machine.write("disk/s/d/f", "content");
    symlink("..", machine.path("disk/s/d/up")).expect("made");
    machine.run("send --copy-links disk/s/ --to local:sent").exits(0).says(&["that it lies in left out"]);
    assert_eq!(machine.tree("sent"), ["d/", "d/f"]);
}

#[test]
fn a_part_that_somebody_replaced_is_not_taken_for_ours_where_numbers_change() {
    let Some((_disk, machine)) = with_disk("ino=changes") else { return };
    machine.write_large("big", 8 << 20);
    let sending = machine.run_on("send --bwlimit 4M big --to local:disk");
    // Earlier it is taken for what another run has left, compared, and replaced by what is sent.
    let has_content =
        || std::fs::metadata(machine.path(&format!("{BEHIND}/.big.qft-part"))).is_ok_and(|part| part.len() > 0);
    wait_for("the first bytes", || has_content().then_some(()));
    machine.write("disk/other", "another content");
    std::fs::rename(machine.path("disk/other"), machine.path("disk/.big.qft-part")).expect("renamed");
    sending.end().exits(1).says(&["replaced by someone else"]);
    assert!(!machine.has(&format!("{BEHIND}/big")), "what was put there has not become the file");
}

/// The old version is the only one that is whole when a run dies after putting it aside.
#[test]
fn a_version_that_was_put_aside_is_removed_only_where_there_is_a_newer_one() {
    let machine = Machine::new();
    machine.write("d/.f~replaced.qft-part.qft-part", "the old version");
    machine.run("parts --remove d").exits(3).says(&["there is no newer one"]);
    assert_eq!(machine.read("d/.f~replaced.qft-part.qft-part"), b"the old version");
    machine.write("d/f", "the new version");
    machine.run("parts --remove d").exits(0).says(&["removed 1 unfinished file,"]);
    assert_eq!(machine.tree("d"), ["f"]);
}

/// Serves the disk to the machine, which calls it `box`.
fn serve(machine: &Machine, set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Server {
    let identity = Identity::ephemeral().expect("a key");
    let fingerprint = identity.fingerprint();
    let builder = Server::builder(machine.path(DISK), identity).access(Access::Anyone);
    let server = set(builder.listen((Ipv4Addr::LOCALHOST, 0).into())).start().expect("it starts");
    let (host, port) = (Ipv4Addr::LOCALHOST.to_string(), server.local_addr().port());
    let ticket = Ticket { fingerprint, invite: None, host, port }.to_string();
    machine.qft(["remote", "add", "box", &ticket]).run().exits(0);
    server
}

#[test]
fn what_a_server_withholds_stays_withheld_where_numbers_change() {
    let Some((_disk, machine)) = with_disk("ino=changes") else { return };
    for name in ["shown", "in/keys/secret", "in/keys/deep/secret"] {
        machine.write(&format!("{DISK}/{name}"), "content");
    }
    let _server = serve(&machine, |builder| builder.withhold(machine.path("disk/in/keys")));
    machine.run("get box: all/").exits(0);
    assert_eq!(machine.tree("all"), ["in/", "shown"]);
    for pattern in ["in/keys/", "in/keys", "in/keys/secret", "in/k*/*", "in/keys/deep/secret"] {
        machine.run(&format!("get box:{pattern} got/"));
        let got: Vec<_> = if machine.has("got") { machine.tree("got") } else { Vec::new() };
        assert!(got.iter().all(|name| !name.contains("secret")), "{pattern}: {got:?}");
    }
    machine.write("new", "content");
    machine.run("send new box:in/keys");
    assert_eq!(machine.tree(&format!("{BEHIND}/in/keys")), ["deep/", "deep/secret", "secret"]);
}

#[test]
fn a_destination_inside_its_source_is_left_out_where_numbers_change() {
    let Some((_disk, machine)) = with_disk("ino=changes") else { return };
    for name in ["s/f", "s/d/g"] {
        machine.write(&format!("{DISK}/{name}"), "content");
    }
    for line in ["send disk/s/ --to local:disk/s/d/copy", "get local:disk/s/ disk/s/d/got"] {
        for _ in 0..2 {
            machine.run(line).exits(0).says(&["left out, for it is where the files go"]);
        }
    }
    for copy in ["copy", "got"] {
        assert!(machine.has(&format!("{BEHIND}/s/d/{copy}/d/g")));
        assert!(!machine.has(&format!("{BEHIND}/s/d/{copy}/d/{copy}")), "a copy of the copy");
    }
}

#[test]
fn so_it_is_by_a_server_of_the_same_machine() {
    let Some((_disk, machine)) = with_disk("ino=changes") else { return };
    machine.write("disk/s/f", "content");
    let _server = serve(&machine, |builder| builder);
    for line in ["send disk/s box:s/copy", "get box:s/ disk/s/got"] {
        // The first run makes the destination, perhaps when all of the source was seen.
        machine.run(line).exits(0);
        machine.run(line).exits(0).says(&["left out, for it is where the files go"]);
    }
    assert!(!machine.has(&format!("{BEHIND}/s/copy/s/copy")), "a copy of the copy");
}

/// More than are held open.
#[test]
fn what_very_many_named_directories_hold_arrives_where_numbers_change() {
    let Some((_disk, machine)) = with_disk("ino=changes") else { return };
    let names: Vec<String> = (0..100).map(|n| format!("disk/s/{n}")).collect();
    for name in &names {
        machine.write(&format!("{name}/f"), "content");
    }
    machine.run(&format!("send {} --to local:sent", names.join(" "))).exits(0);
    assert_eq!(machine.tree("sent").len(), 200);
    machine.run("get local:disk/s/* got").exits(0);
    assert_eq!(machine.tree("got").len(), 200);
}

/// What nobody can promise there decides over no content; a disk that fails is another matter.
#[test]
fn files_arrive_on_a_disk_that_syncs_no_single_file() {
    for (error, arrives) in [("EINVAL", true), ("EOPNOTSUPP", true), ("EIO", false)] {
        let Some((_disk, machine)) = with_disk(&format!("fsync={error} fsyncdir={error}")) else { return };
        machine.write("s/f", "content");
        set_modified(&machine.path("s/f"), 1_700_000_001, 0);
        let sent = machine.run("send s/ --to local:disk");
        assert_eq!(sent.code == Some(0), arrives, "{error}: {}", sent.stderr);
        assert_eq!(machine.has(&format!("{BEHIND}/f")), arrives, "{error}");
        if arrives {
            machine.run("send s/ --to local:disk").exits(0).says(&["unchanged"]);
        }
    }
}

/// By whatever number its directory goes at the next look.
#[test]
fn a_name_that_cannot_be_made_durable_is_not_called_the_same_where_numbers_change() {
    let Some((_disk, machine)) = with_disk("ino=changes fsyncdir=EIO") else { return };
    machine.write("s/d/f", "content");
    for _ in 0..2 {
        machine.run("send s/ --to local:disk").exits(1).says(&["failed: d/f"]);
    }
}

#[test]
fn names_whose_accents_a_disk_takes_apart_are_found_again() {
    let Some((_disk, machine)) = with_disk("nfd=1") else { return };
    machine.write("s/\u{e9}", "first");
    machine.run("send s/ --to local:disk").exits(0);
    machine.run("send s/ --to local:disk").exits(0).says(&["nothing to send, 1 unchanged"]);
    machine.write("s/\u{e9}", "second");
    machine.run("send s/ --to local:disk").exits(0);
    assert_eq!(machine.read("behind/e\u{301}"), b"second");
    machine.write("s/e\u{301}", "third");
    machine.run("send s/ --to local:disk/both").exits(3).says(&["the file system takes both names for one"]);
}

#[test]
fn a_name_whose_accents_a_disk_takes_apart_is_known_again_over_the_next_connection() {
    let Some((_disk, remote)) = with_disk("nfd=1") else { return };
    let local = Machine::new();
    // Neither is done over the first connection: the second waits for the first, and its start alone may go ahead.
    local.write_large("s/a", 6 << 20);
    local.write("s/\u{e9}", vec![1; 3 << 20]);
    let mut serve = remote.serve(DISK, "");
    local.qft(["send", "s/\u{e9}", "--to", serve.ticket()]).run().exits(0);
    local.write("s/\u{e9}", vec![2; 3 << 20]);
    let sending = local.run_on("send -j 1 --bwlimit 3M s/");
    wait_for("the part", || remote.has(&format!("{BEHIND}/.a.qft-part")).then_some(()));
    let address = serve.address().to_owned();
    serve.signal(Signal::KILL);
    serve.end();
    let _serve = remote.serve_at(&address, DISK, "");
    sending.end().exits(0).says(&["reconnecting"]);
    assert!(remote.read(&format!("{BEHIND}/e\u{301}")) == local.read("s/\u{e9}"));
}
