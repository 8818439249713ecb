//! The log of a server: what it says of whom, how much of it there is, and what becomes of the server when nobody reads it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::paired;
use crate::support::bin::{Machine, Serve, shell_code, wait_for};

/// Files whose lines fill a pipe that nobody reads several times over.
const MANY: usize = 2000;

/// A process that ends with the test.
struct Ending(Child);

impl Ending {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    fn code(&mut self) -> Option<i32> {
        shell_code(wait_for("the end", || self.0.try_wait().expect("it is ours")))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server whose every step is logged into a pipe, and the reading end of that.
fn serve_into_a_pipe(remote: &Machine) -> (Ending, ChildStderr, String) {
    fs::create_dir_all(remote.path("in")).expect("made");
    let mut line = remote.shell("qft serve in -vv -w 1 -l 127.0.0.1:0 --ticket-file ticket");
    line.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = line.spawn().expect("the program starts");
    let stderr = child.stderr.take().expect("piped");
    let ticket = wait_for("the ticket", || fs::read_to_string(remote.path("ticket")).ok());
    (Ending(child), stderr, ticket.trim_end().to_owned())
}

fn write_many(machine: &Machine) {
    (0..MANY).for_each(|n| drop(machine.write(&format!("many/{n}"), "x")));
}

#[test]
fn a_server_whose_log_nobody_reads_serves_on_and_hears_signals() {
    let (remote, local) = (Machine::new(), Machine::new());
    let (mut serve, mut log, ticket) = serve_into_a_pipe(&remote);
    write_many(&local);
    local.qft(["send", "many", "--to", &ticket]).run().exits(0);
    local.run("ls").exits(0);
    serve.signal(Signal::TERM);
    assert_eq!(serve.code(), Some(0));
    let mut text = String::new();
    log.read_to_string(&mut text).expect("what was in the pipe");
    assert!(text.len() > 32 << 10, "the pipe was full: {} bytes", text.len());
}

#[test]
fn a_server_whose_log_is_broken_serves_on() {
    let (remote, local) = (Machine::new(), Machine::new());
    let (mut serve, log, ticket) = serve_into_a_pipe(&remote);
    drop(log);
    local.write("f", "x");
    local.qft(["send", "f", "--to", &ticket]).run().exits(0);
    local.run("ls").exits(0).prints("f\n");
    serve.signal(Signal::TERM);
    assert_eq!(serve.code(), Some(0));
}

#[test]
fn a_client_whose_lines_nobody_reads_ends_all_the_same() {
    let (remote, local, _serve) = paired("");
    write_many(&local);
    let mut line = local.shell("qft send many -v --progress plain");
    line.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut sending = Ending(line.spawn().expect("the program starts"));
    let unread = sending.0.stderr.take().expect("piped");
    assert_eq!(sending.code(), Some(0));
    drop(unread);
    assert_eq!(remote.tree("in/many").len(), MANY);
    // Whoever reads only the start of the events is a reader who has gone.
    let first = local.shell("sh -c 'qft send many --json | head -n 1'").output().expect("it runs");
    assert!(first.stdout.starts_with(b"{\"v\":1,\"type\":\"start\""));
}

#[test]
fn a_client_whose_events_nobody_reads_hears_signals() {
    let (remote, local, _serve) = paired("");
    write_many(&local);
    let mut line = local.shell("qft send many --json");
    line.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut sending = Ending(line.spawn().expect("the program starts"));
    let unread = sending.0.stdout.take().expect("piped");
    wait_for("all of them", || (remote.tree("in/many").len() == MANY).then_some(()));
    sending.signal(Signal::TERM);
    sending.signal(Signal::INT);
    let code = sending.code();
    assert!(matches!(code, Some(130 | 143)), "either of them may be the one that ended it: {code:?}");
    drop(unread);
}

#[test]
fn a_client_that_fails_with_every_file_writes_a_short_log_and_hides_no_other() {
    let (remote, local, serve) = paired("--read-only");
    write_many(&local);
    local.run("send many").exits(7);
    serve.wait_to_say(" more files failed, most of them of ");
    remote.write("in/f", "x");
    local.run("get f .").exits(0);
    let log = serve.log();
    let told = log.lines().filter(|line| line.contains("! failed: many/")).count();
    let more = log.lines().filter(|line| line.contains("more files failed")).count();
    assert!((1..MANY / 4).contains(&told) && more >= 1, "{told} and {more} of {MANY}");
    let count =
        log.split("… and ").skip(1).filter_map(|rest| rest.split(' ').next()?.replace(',', "").parse::<usize>().ok());
    assert_eq!(told + count.sum::<usize>(), MANY, "{log}");
}

/// The lines of a log that have a time, without it.
fn events(serve: &Serve) -> Vec<String> {
    let stamp = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ").expect("a pattern");
    serve.log().lines().filter(|line| stamp.is_match(line)).map(|line| stamp.replace(line, "").into_owned()).collect()
}

#[test]
fn a_line_says_when_what_happened_to_whose_file_and_where_it_is() {
    let (remote, local, mut serve) = paired("-v");
    local.write("notes.txt", "abc");
    local.qft(["send", "notes.txt", &format!("{}:lg/deep/", serve.address())]).run().exits(0);
    remote.write("in/docs/a.txt", "12345");
    // A client that has everything leaves at once, and its last word may be lost with the connection.
    let mut gets = 0;
    wait_for("a get that is told of", || {
        gets += 1;
        local.run(&format!("get docs/a.txt back{gets}")).exits(0);
        serve.log().contains("-> docs/a.txt").then_some(())
    });
    serve.signal(Signal::TERM);
    serve.end();
    let events = events(&serve);
    let has = |pattern: &str| {
        let pattern = regex::Regex::new(pattern).expect("a pattern");
        assert!(events.iter().any(|line| pattern.is_match(line)), "{pattern} in {events:#?}");
    };
    has(r"^\+ \S+ \([a-z2-7]{8}\) from 127\.0\.0\.1:\d+, worker 0");
    has(r"^<- lg/deep/notes\.txt, 3 B in \d+\.\ds \(.*/s\), \S+ \([a-z2-7]{8}\)$");
    has(r"^-> docs/a\.txt, 5 B in \d+\.\ds \(.*/s\), \S+ \([a-z2-7]{8}\)$");
    has(r"^- \S+ \([a-z2-7]{8}\) from 127\.0\.0\.1:\d+: received 1 file, 3 B; sent nothing; done$");
    has(r"^stopping; ");
}

#[test]
fn a_log_of_json_has_the_same_and_nothing_else() {
    let (remote, local) = (Machine::new(), Machine::new());
    let mut serve = remote.serve("in", "-v --log-format json");
    local.write("f", "x");
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0);
    serve.signal(Signal::HUP);
    serve.wait_to_say("read the list of clients again");
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    let parse =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<_> = serve.log().lines().map(parse).collect();
    assert!(lines.iter().all(|line| line["time"].is_string() && line["v"] == 1), "{lines:?}");
    let file = lines.iter().find(|line| line["type"] == "file").expect("the file");
    assert_eq!((&file["path"], &file["size"], &file["from_peer"]), (&"f".into(), &1.into(), &true.into()));
    assert!(file["peer"].is_string() && file["address"].is_string() && file["elapsed_ms"].is_u64(), "{file}");
    assert_eq!(lines.last().expect("a summary")["type"], "summary");
}

#[test]
fn journald_gets_priorities_and_no_second_clock() {
    let remote = Machine::new();
    fs::create_dir_all(remote.path("in")).expect("made");
    let log = fs::File::create(remote.path("journal")).expect("made");
    let stat = log.metadata().expect("it is open");
    let mut line = remote.shell("qft serve in -w 1 -l 127.0.0.1:0 --ticket-file ticket");
    line.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    line.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut serve = Ending(line.spawn().expect("the program starts"));
    wait_for("the ticket", || fs::read_to_string(remote.path("ticket")).ok());
    serve.signal(Signal::TERM);
    assert_eq!(serve.code(), Some(0));
    let text = String::from_utf8(remote.read("journal")).expect("text");
    assert!(text.contains("\n<6>stopping; "), "{text}");
    assert!(text.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{text}");
}

#[test]
fn a_dry_run_is_no_news() {
    let (_remote, local, serve) = paired("--read-only");
    local.write("f", "x");
    local.run("send -n f").exits(7);
    local.run("send f").exits(7);
    serve.wait_to_say("! failed: f: ");
    assert_eq!(serve.log().matches("failed").count(), 1, "{}", serve.log());
}

/// A client in the middle of sending to a server that lets it finish for a long time, and stopped there.
fn draining() -> (Machine, Machine, Serve, crate::support::bin::Running) {
    let (remote, local, serve) = paired("--drain 60s");
    local.write_large("big", 300 << 20);
    let sending = local.run_on("send big");
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    sending.signal(Signal::STOP);
    serve.signal(Signal::TERM);
    serve.wait_to_say("stopping; ");
    (remote, local, serve, sending)
}

#[test]
fn a_server_that_is_stopping_says_so_to_who_comes_and_to_who_is_there() {
    let (_remote, local, mut serve, sending) = draining();
    local.run("ls").exits(4).says(&["the other side is shutting down"]).does_not_say("too many");
    serve.signal(Signal::TERM);
    sending.signal(Signal::CONT);
    assert_eq!(serve.end(), Some(143), "{}", serve.log());
    // Without a word it would go on waiting until the idle timeout.
    sending.wait_to_say("the other side is shutting down");
    sending.signal(Signal::INT);
    sending.end().exits(130);
}

#[test]
fn who_comes_to_a_server_that_is_stopping_goes_on_with_the_next_one() {
    let (remote, local, mut serve, sending) = draining();
    local.write("f", "x");
    remote.write("in/g", "y");
    let late = ["send f", "get g ."].map(|line| local.run_on(line));
    late.iter().for_each(|run| run.wait_to_say("the other side is shutting down; asking again"));
    let address = serve.address().to_owned();
    serve.signal(Signal::TERM);
    sending.signal(Signal::INT);
    sending.signal(Signal::CONT);
    assert_eq!(serve.end(), Some(143), "{}", serve.log());
    let _next = remote.serve_at(&address, "in", "");
    for run in late {
        run.end().exits(0).does_not_say("as many clients").does_not_say("the same command");
    }
    assert_eq!((remote.read("in/f"), local.read("g")), (b"x".to_vec(), b"y".to_vec()));
    sending.end().exits(130);
}

#[test]
fn a_client_whose_terminal_is_closed_ends_as_by_ctrl_c() {
    let ignored = fs::read_to_string("/proc/self/status").expect("Linux says so");
    let mask = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("Linux says so");
    if u64::from_str_radix(mask.trim(), 16).expect("a mask") & 1 == 1 {
        return println!("skipped: the tests run under nohup, which the program respects");
    }
    let (remote, local, serve) = paired("-v");
    local.write_large("big", 300 << 20);
    let sending = local.run_on("send big");
    wait_for("the first bytes", || remote.has("in/.big.qft-part").then_some(()));
    sending.signal(Signal::HUP);
    sending.end().exits(129).says(&["stopped: ", "the same command continues"]);
    serve.wait_to_say("stopped by the user on the other side");
}
