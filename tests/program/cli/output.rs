//! What is printed: JSON for programs, safe text for people.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use rustix::process::Signal;
use serde_json::Value;

use super::paired;
use crate::support::bin::Machine;

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["type"].as_str().expect("a type")).collect()
}

#[test]
fn what_held_a_transfer_back_is_measured_and_said() {
    /// Two chunks at half a chunk a second. Content moves in two seconds at most, as it is counted, however little of the
    /// processor there is: so what moved in them is always as much as the limit allows.
    const SIZE: u64 = 2 << 20;
    const LIMIT: &str = "--bwlimit 512K";
    let (remote, local, _serve) = paired("");
    local.write_large("large", SIZE);
    let limited = local.run(&format!("send large {LIMIT} --stats"));
    limited.exits(0).says(&["limited by --bwlimit"]);
    limited.says(&["link", "rtt", "packets lost"]).says(&["processor"]).says(&["waits", "room to send"]);
    let json = local.run(&format!("send large -c --json {LIMIT} --stats")).json();
    assert!(json.last().is_some_and(|all| all["limited_by"].is_null()), "nothing was moved: {json:?}");
    local.write_large("other", SIZE);
    let json = local.run(&format!("send other --json {LIMIT}")).json();
    let all = json.last().expect("a summary");
    assert_eq!(all["limited_by"], "bwlimit", "{all}");
    assert!(all["bytes_acked"].as_u64().is_some_and(|acked| acked >= SIZE), "{all}");
    assert!(all["processor"].is_number() && all["send_wait_ms"].is_u64() && all["disk_wait_ms"].is_u64(), "{all}");
    remote.write_large("in/got", SIZE);
    let json = local.run(&format!("get got back --json {LIMIT}")).json();
    let all = json.last().expect("a summary");
    assert_eq!((&all["limited_by"], &all["bytes_taken"]), (&"bwlimit".into(), &SIZE.into()), "{all}");
    // The server tells how its time went, once a second.
    assert!(all["bytes_acked"].as_u64().is_some_and(|acked| acked >= SIZE / 8), "{all}");
    assert!(all["other_processor"].is_number() && all["send_wait_ms"].is_u64(), "{all}");
    // Who did not ask and has no terminal hears nothing of it.
    local.run("send other --no-resume --if-exists replace").exits(0).does_not_say("limited by");
}

#[test]
fn every_command_speaks_json_and_ends_with_its_summary() {
    let (remote, local, mut serve) = paired("--json");
    local.write("d/a", "x");
    local.write("d/b", "x");
    let sent = local.run("send d missing --json");
    sent.exits(3);
    assert_eq!(sent.stderr, "");
    let lines = sent.json();
    assert_eq!(lines[0]["type"], "start");
    assert_eq!(lines[0]["command"], "send");
    let files: Vec<&Value> = lines.iter().filter(|line| line["type"] == "file" && line["status"] == "done").collect();
    assert_eq!(files.len(), 2, "{lines:?}");
    let failed = lines.iter().find(|line| line["status"] == "failed").expect("the missing one");
    assert_eq!((failed["path"].as_str(), failed["reason"].as_str()), (Some("missing"), Some("not_found")));

    let planned = local.run("send -n d --json").json();
    assert!(planned.iter().any(|line| line["reason"] == "same"), "{planned:?}");
    let got = local.run("get d/ back --json").exits(0).json();
    assert_eq!(got.last().expect("a summary")["files_done"], 2);
    let listed = local.run("ls -R --json").exits(0).json();
    assert_eq!(kinds(&listed), ["start", "file", "file", "file", "summary"]);
    let id = local.run("id --json").exits(0).json();
    assert_eq!(id[1]["fingerprint"].as_str().map(str::len), Some(52), "{id:?}");

    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    let served = serve.json();
    assert_eq!(kinds(&served).first(), Some(&"start"));
    assert!(served.iter().any(|line| line["kind"] == "connected" && line["enrolled"] == true), "{served:?}");
    let last = served.last().expect("a summary");
    assert_eq!((&last["type"], &last["exit_code"], &last["files_in"]), (&"summary".into(), &0.into(), &2.into()));
    drop(remote);
}

#[test]
fn mistakes_are_json_too_when_it_was_asked_for() {
    let local = Machine::new();
    local.write("f", "x");
    for (line, exits) in [
        ("send --json", 2),
        ("send f --json --nonsense", 2),
        ("send f --json", 2),
        ("send f box: --json", 4),
        ("send f --to qft://abc --json", 2),
        ("get --json", 2),
        ("get box:f - --json", 2),
        ("ls --json box:", 4),
        ("serve missing/below --json", 2),
        ("id --json --nonsense", 2),
    ] {
        let outcome = local.run(line);
        let lines = outcome.exits(exits).json();
        assert_eq!(kinds(&lines), ["error", "summary"], "{line}");
        assert!(lines[0]["message"].as_str().is_some_and(|message| message.len() > 10), "{line}: {lines:?}");
        assert_eq!(outcome.stderr, "", "{line}");
    }
}

#[test]
fn a_lost_remote_is_json_too() {
    let (_remote, local, serve) = paired("");
    serve.kill();
    local.write("f", "x");
    for line in ["send f --timeout 1s --json", "ls --timeout 1s --json"] {
        let lines = local.run(line).exits(4).json();
        assert_eq!(kinds(&lines)[lines.len() - 2..], ["error", "summary"], "{line}");
    }
}

#[test]
fn quiet_is_silent_unless_something_fails() {
    let (_remote, local, _serve) = paired("");
    local.write("f", "x");
    let sent = local.run("send -q f");
    sent.exits(0).prints("");
    assert_eq!(sent.stderr, "");
    local.run("send -q missing").exits(1).says_only(&["failed: missing: not found"]);
    let listed = local.run("ls -q");
    listed.exits(0).prints("f\n");
    assert_eq!(listed.stderr, "");
}

#[test]
fn names_move_no_cursor() {
    let (remote, local, serve) = paired("-v");
    let name = OsStr::from_bytes(b"a\n\x1b[31mb\xff");
    std::fs::create_dir(local.path("d")).expect("made");
    std::fs::write(local.path("d").join(name), "x").expect("written");
    let sent = local.run("send -v d");
    sent.exits(0).says(&[r"sent d/a\n\033[31mb\377, 1 B"]);
    local.run("send d --if-exists fail -c").exits(0);
    std::fs::write(remote.path("in/d").join(name), "other").expect("written");
    let failed = local.run("send d --if-exists fail");
    failed.exits(7).says(&[r"failed: d/a\n\033[31mb\377: exists"]);
    for text in [&sent.stderr, &failed.stderr, &serve.log()] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    assert_eq!(local.run("ls d").exits(0).stdout, b"d/a\n\x1b[31mb\xff\n", "a pipe gets the bytes");
}

#[test]
fn what_was_typed_is_shown_as_names_are() {
    let machine = Machine::new();
    let odd = "odd\u{1b}[2J\u{202e}";
    let key = format!("qft://\u{1b}{}@127.0.0.1:9", "a".repeat(51));
    for words in [
        ["config", odd].as_slice(),
        &["man", odd],
        &["serve", "--listen", odd, "."],
        &["serve", "--advertise", odd, "."],
        &["ls", &key],
    ] {
        let outcome = machine.qft(words).run();
        outcome.exits(2).says(&[r"\033"]);
        assert!(!outcome.stderr.contains('\u{1b}') && !outcome.stderr.contains("u{1b}"), "{}", outcome.stderr);
    }
    machine.run("man frobnicate").exits(2).says(&["there is no page \"frobnicate\""]);
}

#[test]
fn a_remote_path_that_climbs_out_is_refused() {
    let (_remote, local, serve) = paired("");
    local.write("f", "x");
    for path in ["../f", "a/../../f"] {
        local.qft(["send", "f", &format!("{}:{path}", serve.address())]).run().exits(2).says_only(&[".."]);
    }
}

#[test]
fn help_goes_to_standard_output_and_mistakes_to_standard_error() {
    let local = Machine::new();
    for line in ["--help", "send --help", "send -h", "get --help", "ls --help", "serve --help", "id --help"] {
        let help = local.run(line);
        help.exits(0);
        assert!(help.stdout.len() > 100 && help.stderr.is_empty(), "{line}");
    }
    local.run("--version").exits(0).prints(&format!("qft {}\n", env!("CARGO_PKG_VERSION")));
    local.run("sned f").exits(2).prints("").says(&["send"]);
    local.run("send -z f box:").exits(2).says_only(&["does not compress", "zstd"]);
}
