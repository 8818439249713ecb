//! What servers write down of their jobs, and what becomes of it.

use std::fs;

use rustix::process::Signal;

use crate::support::bin::{Machine, SLOW_BYTES, SLOWLY, wait_for};

/// More than goes ahead of an answer.
const LARGE: usize = 3 << 20;

#[test]
fn every_job_is_written_down_and_shown_and_summed() {
    let (remote, local) = (Machine::new(), Machine::new());
    remote
        .run("history")
        .exits(0)
        .prints("no server of this user has finished a job yet; to start one: qft serve DIR\n");
    let mut serve = remote.serve("in", "");
    local.write("d/a", vec![b'a'; LARGE]);
    local.write("d/b", "12345");
    local.qft(["send", "d", "--to", serve.ticket()]).run().exits(0);
    local.run("send d").exits(0);
    // Of one that goes ahead of its answer as a whole the name may be missing: the client's farewell overtakes the answer.
    local.run("get d/a back").exits(0);
    local.run("get missing back").exits(1);
    // Neither of them moves anything.
    local.run("ls").exits(0);
    local.run("send -n d/a").exits(0);
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    let lines = remote.read("home/history.ndjson");
    let lines = String::from_utf8(lines).expect("plain text");
    assert_eq!(lines.lines().count(), 4, "{lines}");
    let shown = remote.run("history");
    shown.exits(0);
    let shown = String::from_utf8(shown.stdout.clone()).expect("plain text");
    assert!(shown.contains("in/") || shown.contains("d/a and 1 more") || shown.contains("d/b and 1 more"), "{shown}");
    assert!(shown.contains("2 unchanged") && shown.contains("2 files  3.0 MiB  1 file  3.0 MiB"), "{shown}");
    let json = remote.run("history --json").json();
    let kinds: Vec<_> = json.iter().map(|line| line["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["start", "job", "job", "job", "job", "peer", "day", "summary"]);
    let [_, sent, again, got, missing, peer, day, all] = &json[..] else { panic!("{json:?}") };
    assert_eq!((&sent["direction"], &sent["files"], &sent["bytes"]), (&"in".into(), &2.into(), &(LARGE + 5).into()));
    assert_eq!((&sent["outcome"], &sent["skipped"], &again["skipped"]), (&"done".into(), &0.into(), &2.into()));
    assert_eq!((&got["direction"], &got["file"], &got["bytes"]), (&"out".into(), &"d/a".into(), &LARGE.into()));
    assert_eq!((&missing["outcome"], &missing["failed"]), (&"failed".into(), &1.into()));
    assert!(sent["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0) && sent["loss"].is_number(), "{sent}");
    assert_eq!((&peer["jobs"], &peer["unwell"], &peer["peer"]), (&4.into(), &1.into(), &sent["peer"]));
    assert_eq!(day["day"].as_str(), sent["time"].as_str().map(|time| &time[..10]));
    assert_eq!(all["received"]["bytes"], LARGE + 5);
    remote.run("history --since 1h --json -n 1").exits(0);
    assert_eq!(remote.run("history --json -n 1").json().len(), 5, "the sums are of all");
    remote.run("history --since 2999-01-01").exits(0).prints("no such job is written down here\n");
    remote.run("history --since yesterday").exits(2).says(&["--since"]);
    let key = sent["fingerprint"].as_str().expect("a key");
    assert_eq!(remote.run(&format!("history --json --peer {}", &key[..8])).json().len(), 8);
    assert_eq!(remote.run("history --json --peer nobody").json().len(), 2);
}

#[test]
fn a_job_that_was_stopped_is_written_down_as_that() {
    let (remote, local) = (Machine::new(), Machine::new());
    let mut serve = remote.serve("in", SLOWLY);
    local.write_large("large", SLOW_BYTES);
    let sending = local.qft(["send", "large", "--to", serve.ticket()]).start();
    wait_for("the first bytes", || {
        let status = remote.run("status --json").json();
        let job = status.iter().find_map(|line| line["connections"][0]["jobs"][0]["bytes_written"].as_u64());
        job.filter(|written| *written > 0)
    });
    sending.signal(Signal::INT);
    sending.end().exits(130);
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    let json = remote.run("history --json").json();
    let job = json.iter().find(|line| line["type"] == "job").expect("a job");
    assert_eq!((&job["outcome"], &job["file"], &job["files"]), (&"stopped".into(), &"large".into(), &0.into()));
    assert!(job["bytes"].as_u64().is_some_and(|bytes| (1..SLOW_BYTES).contains(&bytes)), "{job}");
}

#[test]
fn a_history_that_cannot_be_written_stops_no_transfer() {
    let (remote, local) = (Machine::new(), Machine::new());
    remote.run("id").exits(0);
    fs::create_dir(remote.path("home/history.ndjson")).expect("made");
    let mut serve = remote.serve("in", "-vv");
    local.write("f", "content");
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0);
    local.run("get f back").exits(0);
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    assert_eq!(serve.log().matches("the history of jobs is not written").count(), 1, "{}", serve.log());
    assert_eq!(remote.read("in/f"), b"content");
}
