//! Unfinished files: seen, removed, and never taken from under whoever writes them.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::support::bin::{Machine, Outcome, wait_for};

const DAY: u64 = 24 * 60 * 60;

/// What an interrupted transfer left so many days ago.
fn leave(machine: &Machine, part: &str, bytes: usize, days: u64) {
    let path = machine.write_private(part, vec![b'x'; bytes]);
    let time = SystemTime::now() - Duration::from_secs(days * DAY);
    fs::File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("ours");
}

#[test]
fn unfinished_files_are_shown_and_removed_here() {
    let machine = Machine::new();
    leave(&machine, "d/.big.iso.qft-part", 2048, 10);
    leave(&machine, ".new.qft-part", 10, 0);
    machine.write("d/big.iso", "an older version");
    let shown = machine.run("parts");
    let text = String::from_utf8(shown.exits(0).says(&["2 unfinished files, 2.0 KiB"]).stdout.clone()).expect("text");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["10d00h", "2.0", "KiB", "d/big.iso"]), "{text}");
    machine.run("parts --older 7d d").exits(0).says(&["1 unfinished file,"]);
    machine.run("parts d/big.iso").exits(0).says(&["1 unfinished file,"]);
    machine.run("parts d/other").exits(0).says(&["0 unfinished files"]);
    let events = machine.run("parts --json --older 7d").exits(0).json();
    let part = events.iter().find(|event| event["type"] == "part").expect("one part");
    assert_eq!((part["path"].as_str(), part["size"].as_u64()), (Some("d/big.iso"), Some(2048)));
    assert!(part["age_s"].as_u64().is_some_and(|age| age / DAY == 10), "{part}");
    machine.run("parts --remove --older 7d").exits(0).says(&["removed 1 unfinished file,"]);
    assert_eq!(machine.tree("d"), ["big.iso"]);
    assert!(machine.has(".new.qft-part"));
    machine.run("parts nowhere/at/all").exits(1).says(&["nowhere"]);
}

#[test]
fn a_server_drops_what_nobody_continues_and_nothing_that_is_in_use() {
    let machine = Machine::new();
    for (part, days) in [("in/.old.qft-part", 31), ("in/.busy.qft-part", 400), ("in/.young.qft-part", 29)] {
        leave(&machine, part, 10, days);
    }
    // It is found last: a directory comes after what is beside it.
    leave(&machine, "in/d/.older.qft-part", 10, 400);
    leave(&machine, "in/.home/.hidden.qft-part", 10, 400);
    leave(&machine, "in/.other", 10, 400);
    let busy = fs::File::open(machine.path("in/.busy.qft-part")).expect("it is there");
    busy.try_lock().expect("nobody writes to it");
    let serve = machine.serve("in", "");
    serve.wait_to_say("removed what was left of old: 10 B");
    serve.wait_to_say("removed what was left of d/older: 10 B, not written to for 400d");
    assert_eq!(
        machine.tree("in"),
        [".busy.qft-part", ".home/", ".home/.hidden.qft-part", ".other", ".young.qft-part", "d/"]
    );
    drop(serve);
    drop(busy);
    // Neither one that is told to keep them removes any, nor one that only gives files.
    for options in ["--keep-parts 0", "--read-only"] {
        let serve = machine.serve("in", options);
        machine.qft(["ls", "--from", serve.ticket()]).run();
        assert!(machine.has("in/.busy.qft-part"), "{options}");
    }
    let serve = machine.serve("in", "--keep-parts 28d");
    serve.wait_to_say("removed what was left of busy");
    serve.wait_to_say("removed what was left of young");
}

#[test]
fn a_client_sees_and_removes_what_it_may() {
    let (here, other, there) = (Machine::new(), Machine::new(), Machine::new());
    let serve = there.serve("in", "--hidden");
    here.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
    let invite = |words: &[&str]| {
        let run = there.qft(["peers", "invite", "--json"].iter().chain(words)).run();
        let events = run.exits(0).json();
        events.iter().find_map(|event| event["ticket"].as_str()).expect("a ticket").to_owned()
    };
    let names = |outcome: &Outcome| String::from_utf8_lossy(&outcome.stdout).into_owned();
    other.qft(["remote", "add", "box", &invite(&["--wo"])]).run().exits(0);
    // Each begins a file and does not finish it.
    for (machine, name) in [(&here, "mine"), (&other, "theirs")] {
        machine.write_large("f", 8 << 20);
        let sending = machine.run_on(&format!("send --bwlimit 1M f box:d/{name}"));
        wait_for("the first bytes", || (there.tree("in").iter().any(|file| file.contains(name))).then_some(()));
        let busy = machine.run("parts --remove box:d");
        busy.exits(3).says(&["removed 0"]);
        sending.signal(Signal::INT);
        sending.end();
    }
    let all = here.run("parts box:");
    all.exits(0).says(&["2 unfinished files"]);
    assert!(names(&all).contains("d/mine\n") && names(&all).contains("d/theirs\n"), "{}", names(&all));
    let own = other.run("parts box:");
    own.exits(0).says(&["1 unfinished file,"]);
    assert!(names(&own).ends_with("d/theirs\n"), "{}", names(&own));
    other.run("parts box:nowhere").exits(0).says(&["0 unfinished files"]);
    here.run("parts box:nowhere/x").exits(1).says(&["nowhere"]);
    // The server may not have seen yet that the client has gone.
    let removed = || {
        let outcome = here.run("parts --remove box:");
        outcome.exits(3).says(&["d/theirs: not allowed: only the client that began it may remove it"]);
        outcome.stderr.contains("removed 1 unfinished file,").then_some(())
    };
    wait_for("the part to be free", removed);
    assert_eq!(there.tree("in").len(), 2, "the directory and the part of the other: {:?}", there.tree("in"));
    // Who may only get may look.
    let reader = Machine::new();
    reader.qft(["remote", "add", "box", &invite(&["--ro"])]).run().exits(0);
    reader.run("parts box:").exits(0).says(&["1 unfinished file,"]);
    reader.run("parts --remove box:").exits(7).says(&["may only get"]);
    wait_for("the part to be free", || (other.run("parts --remove box:d/theirs").code == Some(0)).then_some(()));
    assert_eq!(there.tree("in"), ["d/"]);
}
