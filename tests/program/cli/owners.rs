//! Modes, owners and directories that are shut: what a copy may do here, and what is left as it is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::paired;
use crate::support::bin::{Machine, wait_for};

const NOBODY: u32 = 65534;

fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: only root {what}");
    }
    is_root
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quietly(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A tree that is as open as can be.
fn open_tree(machine: &Machine, name: &str) {
    machine.write(&format!("{name}/f"), "x");
    machine.write(&format!("{name}/run"), "x");
    machine.set_mode(&format!("{name}/f"), 0o666);
    machine.set_mode(&format!("{name}/run"), 0o6777);
    machine.set_mode(name, 0o777);
}

#[test]
fn the_umask_of_the_end_that_receives_holds_for_files_and_directories() {
    let (remote, local) = (Machine::new(), Machine::new());
    open_tree(&local, "src");
    let line = "sh -c 'umask 027; exec qft serve in -l 127.0.0.1:0 -w 1 --ticket-file ticket'";
    fs::create_dir(remote.path("in")).expect("made");
    let _serve = Ends(quietly(remote.shell(line)).spawn().expect("it starts"));
    let ticket = wait_for("the ticket", || fs::read_to_string(remote.path("ticket")).ok());
    local.qft(["send", "-q", "src", "--to", ticket.trim()]).run().exits(0);
    assert_eq!(["in/src", "in/src/f", "in/src/run"].map(|name| remote.mode(name)), [0o750, 0o640, 0o750]);
    open_tree(&remote, "in/other");
    let get = quietly(local.shell("sh -c 'umask 077; exec qft get -q other got'")).status().expect("it runs");
    assert!(get.success());
    let modes = ["got/other", "got/other/f", "got/other/run"].map(|name| local.mode(name));
    assert_eq!(modes, [0o700, 0o600, 0o700]);
}

#[test]
fn a_directory_that_was_there_is_never_opened_and_keeps_its_special_bits() {
    let (remote, local, _serve) = paired("");
    for (name, mode) in [("group", 0o2770), ("private", 0o700), ("shared", 0o1777), ("wide", 0o755)] {
        open_tree(&local, name);
        remote.write(&format!("in/{name}/there"), "x");
        remote.set_mode(&format!("in/{name}"), mode);
    }
    local.set_mode("wide", 0o700);
    local.run("send group private shared wide").exits(0);
    // The umask of the tests' user takes its part of what comes.
    let mode = |name: &str| remote.mode(&format!("in/{name}"));
    assert_eq!((mode("group") & 0o7707, mode("private"), mode("wide")), (0o2700, 0o700, 0o700));
    assert_eq!(mode("shared") & 0o7700, 0o1700);
}

#[test]
fn a_server_opens_no_directory_of_its_client() {
    let (remote, local, _serve) = paired("");
    open_tree(&remote, "in/d");
    fs::create_dir(remote.path("in/d/keys")).expect("made");
    remote.set_mode("in/d/keys", 0o777);
    local.write("d/keys/secret", "x");
    local.set_mode("d", 0o700);
    local.set_mode("d/keys", 0o700);
    local.run("get d/ d").exits(0);
    assert_eq!((local.mode("d"), local.mode("d/keys")), (0o700, 0o700));
    assert!(local.has("d/f"), "and the files came");
}

#[test]
fn what_is_new_inherits_the_group_of_the_directory_above() {
    let (remote, local, _serve) = paired("");
    open_tree(&local, "new");
    remote.set_mode("in", 0o2775);
    local.run("send new").exits(0);
    assert_eq!(remote.mode("in/new") & 0o7000, 0o2000);
    assert_eq!(remote.mode("in/new/run") & 0o7000, 0, "but nothing of the source's");
}

#[test]
fn root_continues_nothing_that_another_user_has_put_there() {
    if !is_root("can be fooled so") {
        return;
    }
    let machine = Machine::new();
    machine.write("d/.s.qft-part", "");
    machine.give_to_nobody("d");
    machine.write_private("s", "secret");
    for content in ["secret", "another"] {
        machine.write_private("s", content);
        machine.run("send s --to local:d").exits(0);
        let found = fs::metadata(machine.path("d/s")).expect("it came");
        assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o600));
        assert_eq!(machine.read("d/s"), content.as_bytes());
    }
    assert_eq!(fs::metadata(machine.path("d/.s.qft-part")).expect("left as it was").uid(), NOBODY);
    assert_eq!(machine.tree("d"), [".s.qft-part", "s"]);
}

#[test]
fn what_an_administrator_left_unfinished_does_not_block_its_file() {
    if !is_root("leaves such files") {
        return;
    }
    let machine = Machine::new();
    machine.write_large("big", 3 << 20);
    machine.write("d/there", "x");
    machine.give_to_nobody("");
    machine.write_private("d/.big.qft-part", vec![b'x'; 1 << 20]);
    machine.qft(["send", "big", "--to", "local:d"]).unprivileged().run().exits(0);
    assert_eq!(machine.read("d/big"), machine.read("big"));
    assert_eq!(fs::metadata(machine.path("d/big")).expect("it came").uid(), NOBODY);
    // It is continued, too, when it has been interrupted itself.
    machine.write_large("big", 9 << 20);
    machine.give_to_nobody("big");
    let send = machine.qft(["send", "--bwlimit", "4M", "big", "--to", "local:d"]).unprivileged().start();
    wait_for("some of it", || machine.tree("d").iter().any(|name| name.contains("uid65534")).then_some(()));
    send.signal(Signal::KILL);
    send.end();
    machine.qft(["send", "big", "--to", "local:d"]).unprivileged().run().exits(0);
    assert_eq!(machine.read("d/big"), machine.read("big"));
    assert_eq!(machine.tree("d"), [".big.qft-part", "big", "there"]);
}

/// A tree that is shut, and its copy.
fn shut_tree(machine: &Machine) {
    for file in ["d/a", "d/e/a", "d/passed/a"] {
        machine.write(file, "1");
    }
    for (name, mode) in SHUT {
        machine.set_mode(name, mode);
    }
    machine.give_to_nobody("");
}

const SHUT: [(&str, u32); 3] = [("d/passed", 0o511), ("d/e", 0o500), ("d", 0o555)];

/// Changes a file and adds one, and a directory.
fn change_shut_tree(machine: &Machine) {
    for (name, _) in SHUT {
        machine.set_mode(name, 0o755);
    }
    machine.write("d/a", "11");
    for file in ["d/b", "d/e/b", "d/new/b"] {
        machine.write(file, "2");
    }
    machine.give_to_nobody("d");
    for (name, mode) in SHUT {
        machine.set_mode(name, mode);
    }
}

fn assert_is_copied(machine: &Machine, copy: &str) {
    assert_eq!(machine.tree(&format!("{copy}/d")), machine.tree("d"));
    assert_eq!(machine.read(&format!("{copy}/d/a")), b"11");
    for (name, mode) in SHUT {
        assert_eq!(machine.mode(&format!("{copy}/{name}")), mode, "{name}");
    }
}

#[test]
fn a_tree_that_is_shut_is_brought_up_to_date_and_shut_again() {
    let machine = Machine::new();
    shut_tree(&machine);
    let run = |words: &[&str]| machine.qft(words).unprivileged().run();
    run(&["send", "d", "--to", "local:o"]).exits(0);
    run(&["get", "local:d", "got"]).exits(0);
    change_shut_tree(&machine);
    run(&["send", "-n", "d", "--to", "local:o"]).exits(0);
    assert_eq!(machine.mode("o/d"), 0o555, "a dry run opens nothing");
    run(&["send", "d", "--to", "local:o"]).exits(0);
    run(&["get", "local:d", "got"]).exits(0);
    assert_is_copied(&machine, "o");
    assert_is_copied(&machine, "got");
    run(&["send", "d", "--to", "local:o"]).exits(0).says(&["unchanged"]);
    assert_is_copied(&machine, "o");
}

#[test]
fn a_tree_that_is_shut_is_shut_again_after_an_interruption() {
    let machine = Machine::new();
    shut_tree(&machine);
    let words = |limit: &'static str| machine.qft(["send", "--bwlimit", limit, "d", "--to", "local:o"]).unprivileged();
    words("0").run().exits(0);
    change_shut_tree(&machine);
    machine.set_mode("d", 0o755);
    machine.write_large("d/large", 8 << 20);
    machine.set_mode("d", 0o555);
    machine.give_to_nobody("d");
    let send = words("2M").start();
    wait_for("some of it", || machine.has("o/d/.large.qft-part").then_some(()));
    send.signal(Signal::KILL);
    send.end();
    words("0").run().exits(0);
    assert_is_copied(&machine, "o");
}

#[test]
fn a_directory_that_is_shut_only_here_stays_shut() {
    let machine = Machine::new();
    machine.write("d/a", "1");
    machine.write("o/d/there", "1");
    machine.set_mode("d", 0o755);
    machine.set_mode("o/d", 0o555);
    machine.give_to_nobody("");
    machine.qft(["send", "d", "--to", "local:o"]).unprivileged().run().exits(7).says(&["d/a", "ermission denied"]);
    assert_eq!((machine.tree("o/d"), machine.mode("o/d")), (vec!["there".to_owned()], 0o555));
}
