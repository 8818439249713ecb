//! One fact is told once, the same way, by a dry run, `-v`, the final line and JSON.

use crate::support::bin::Machine;

/// Sends `from` below `local:`, and gives what it said.
struct Told {
    text: String,
    lines: String,
    planned: String,
    summary: serde_json::Value,
    events: Vec<serde_json::Value>,
}

/// The same job four times, each on a destination that was prepared alike.
fn told(options: &str, prepare: impl Fn(&Machine)) -> Told {
    let run = |more: &str| {
        let local = Machine::new();
        prepare(&local);
        local.run(&format!("send {options} {more} src/ --to local:dst"))
    };
    let outcome = |more: &str| {
        let outcome = run(more);
        outcome.exits(0);
        outcome
    };
    let events = outcome("--json").json();
    let dry = outcome("-n");
    Told {
        text: outcome("").stderr,
        lines: outcome("-v").stderr,
        planned: format!("{}{}", String::from_utf8(dry.stdout.clone()).expect("text"), dry.stderr),
        summary: events.last().expect("a summary").clone(),
        events,
    }
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in\n{text}");
}

const MIB: usize = 1 << 20;

#[test]
fn a_touched_file_is_compared_and_unchanged() {
    let told = told("", |local| {
        local.write("src/b", "b".repeat(2 * MIB));
        local.run("send -q src/ --to local:dst").exits(0);
        std::fs::File::options()
            .write(true)
            .open(local.path("src/b"))
            .expect("there")
            .set_modified(std::time::SystemTime::now())
            .expect("touched");
    });
    has(&told.planned, "? compare");
    has(&told.planned, "would compare 1 file, 0 B (2.0 MiB are there)");
    has(&told.text, "nothing to send, 1 unchanged");
    has(&told.lines, "  unchanged b (compared)");
    has(&told.lines, "nothing to send, 1 unchanged");
    assert_eq!((&told.summary["files_done"], &told.summary["files_same"]), (&0.into(), &1.into()));
    assert_eq!(told.summary["files_equal"], 1);
    let file = told.events.iter().find(|event| event["path"] == "b").expect("its event");
    assert_eq!((&file["status"], &file["reason"]), (&"skipped".into(), &"equal".into()));
}

#[test]
fn an_updated_file_is_told_from_a_new_one_and_from_an_equal_one() {
    let told = told("-c", |local| {
        for name in ["equal", "changed"] {
            local.write(&format!("src/{name}"), "x".repeat(3 * MIB));
        }
        local.run("send -q src/ --to local:dst").exits(0);
        let mut content = "x".repeat(3 * MIB).into_bytes();
        content[5] = b'y';
        local.write("src/changed", content);
        local.write("src/new", "n".repeat(MIB));
    });
    has(&told.planned, "? compare          3.0 MiB  changed");
    has(&told.planned, "+ new              1.0 MiB  new");
    has(&told.planned, "would send 1 file, compare 2, 1.0 MiB (6.0 MiB are there)");
    has(&told.text, "sent 1 file, updated 1, 2.0 MiB in ");
    has(&told.text, "2.0 MiB were there, 1 unchanged, all verified");
    for line in ["  sent new, 1.0 MiB", "  updated changed, 1.0 MiB of 3.0 MiB", "  unchanged equal (compared)"] {
        has(&told.lines, line);
    }
    let count = |key: &str| told.summary[key].as_u64().expect("a number");
    assert_eq!([count("files_done"), count("files_updated"), count("files_same")], [2, 1, 1]);
    assert_eq!([count("bytes_matched"), count("bytes_written")], [2 << 20, 2 << 20]);
}

#[test]
fn a_file_that_lost_its_end_is_no_equal_one() {
    let told = told("", |local| {
        local.write("src/f", "x".repeat(5 * MIB));
        local.run("send -q src/ --to local:dst").exits(0);
        local.write("src/f", "x".repeat(3 * MIB));
    });
    has(&told.planned, "~ update           3.0 MiB  f");
    has(&told.text, "updated 1 file, 1.0 MiB in ");
    assert_eq!(told.summary["files_updated"], 1);
}

#[test]
fn holes_are_called_holes() {
    let told = told("", |local| {
        let file = std::fs::File::create(local.write("src/disk.img", "")).expect("made");
        file.set_len(64 << 20).expect("a sparse file");
    });
    has(&told.lines, "  sent disk.img, 64.0 MiB, all holes");
    has(&told.text, "sent 1 file, 0 B, 64.0 MiB of holes, all verified");
    assert_eq!(told.summary["bytes_holes"], 64 << 20);
}

#[test]
fn a_name_that_is_taken_is_told_with_the_one_that_it_gets() {
    let told = told("--if-exists rename", |local| {
        local.write("src/p1.jpg", "new");
        local.write("src/p2.jpg", "new too");
        // Of another size: both may be written within one tick of the clock.
        local.write("dst/p1.jpg", "the old one");
        local.write("dst/p1~1.jpg", "older");
    });
    has(&told.planned, "+ rename               3 B  p1.jpg -> p1~2.jpg");
    has(&told.planned, "+ new                  7 B  p2.jpg\n");
    has(&told.lines, "  sent p1.jpg, 3 B, as p1~2.jpg");
    let file = told.events.iter().find(|event| event["path"] == "p1.jpg").expect("its event");
    assert_eq!(file["name"], "p1~2.jpg");
}

#[test]
fn the_new_name_is_told_by_either_end_but_not_to_one_that_may_not_read() {
    let remote = Machine::new();
    for (mode, dry, sent) in [("", "p -> p~1\n", "  sent p, 3 B, as p~1"), ("--write-only", "  p\n", "  sent p, 3 B")] {
        let local = Machine::new();
        let serve = remote.serve("in", mode);
        local.write("p", "new");
        remote.write("in/p", "the old one");
        local.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
        let _ = std::fs::remove_file(remote.path("in/p~1"));
        remote.write("in/p", "the old one");
        let planned = local.run("send -n --if-exists rename p");
        has(&String::from_utf8(planned.exits(0).stdout.clone()).expect("text"), dry);
        let outcome = local.run("send -v --if-exists rename p");
        assert!(outcome.exits(0).stderr.lines().any(|line| line == sent), "{}", outcome.stderr);
        assert_eq!(remote.tree("in"), ["p", "p~1"]);
    }
    let (remote, local, _serve) = super::paired("");
    remote.write("in/f", "theirs");
    local.write("f", "mine");
    let planned = local.run("get -n --if-exists rename f");
    has(&String::from_utf8(planned.exits(0).stdout.clone()).expect("text"), "f -> f~1");
    local.run("get -v --if-exists rename f").exits(0).says(&["got f, 6 B, as f~1"]);
}

#[test]
fn who_answers_is_told_with_its_address_and_as_its_own_word_for_itself() {
    let (_remote, local, serve) = super::paired("");
    local.write("f", "x");
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let sent = local.run("send -v f");
    has(&sent.exits(0).stderr, &format!("connected to {}, which calls itself {own}\n", serve.address()));
    local.write("f", "other");
    local.run("send f").exits(0).does_not_say("calls itself");
}
