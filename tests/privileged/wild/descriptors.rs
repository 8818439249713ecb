//! A process that has no descriptor left for a moment.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::{has_strace, modified};
use crate::support::bin::Machine;

/// Directories of the tree, the inner ones first.
const DIRS: [&str; 3] = ["tree/a/b", "tree/a", "tree"];

#[test]
fn whoever_lacks_a_descriptor_for_a_directory_waits_for_one() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    let there = Machine::new();
    for (n, dir) in DIRS.iter().enumerate() {
        there.write(&format!("served/{dir}/f"), format!("content {n}"));
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    for dir in DIRS {
        File::open(there.path(&format!("served/{dir}"))).and_then(|dir| dir.set_modified(time)).expect("ours");
    }
    let serve = there.serve("served", "");
    machine.run(&format!("ls {}", serve.ticket())).exits(0);
    let get = |into: &str, wrapper: &str| {
        let got = machine.under(wrapper, &format!("get {}/tree {into}/", serve.pinned())).run();
        (got, machine.read("trace"))
    };
    let (got, trace) = get("counted", "strace -f -qq -o trace -e trace=openat2");
    got.exits(0);
    let calls = String::from_utf8_lossy(&trace).lines().filter(|line| !line.contains("resumed>")).count();
    // The first one opens the destination, without which there is no job.
    assert!(calls > 5, "{calls} calls");
    for nth in 2..=calls {
        let into = format!("into{nth}");
        let inject = format!("strace -f -qq -o trace -e trace=openat2 -e inject=openat2:error=EMFILE:when={nth}");
        let (got, trace) = get(&into, &inject);
        assert!(got.exits(0).stderr.lines().all(|line| !line.contains("note:")), "{}", got.stderr);
        for (n, dir) in DIRS.iter().enumerate() {
            let call =
                String::from_utf8_lossy(&trace).lines().find(|line| line.contains("INJECTED")).map(str::to_owned);
            assert_eq!(machine.read(&format!("{into}/{dir}/f")), format!("content {n}").into_bytes());
            assert_eq!(modified(&machine.path(&format!("{into}/{dir}"))), time, "{dir}, call {nth}: {call:?}");
        }
    }
}

/// Fewer than files of one job, and than the least that systems give a process.
const DESCRIPTORS: u32 = 96;
const FILES: usize = 600;

#[test]
fn whoever_sends_more_files_than_it_may_have_open_lacks_none() {
    let machine = Machine::new();
    for n in 0..FILES {
        machine.write(&format!("many/{}/{n}", n % 7), n.to_string());
    }
    machine.write("few", format!("ulimit -n {DESCRIPTORS} && exec \"$@\""));
    let there = Machine::new();
    let serve = there.serve("served", "");
    machine.run(&format!("ls {}", serve.ticket())).exits(0);
    machine.under("sh few", &format!("send many --to {}", serve.pinned())).run().exits(0);
    assert_eq!(there.tree("served/many").len(), FILES + 7);
    machine.under("sh few", &format!("get {}/many got/", serve.pinned())).run().exits(0);
    machine.under("sh few", "send many --to local:beside").run().exits(0);
    assert_eq!(machine.tree("beside").len(), FILES + 8);
}
