use crate::cli::ui::tests::SharedText;
use std::time::Duration;

use super::*;
use crate::keys::Fingerprint;

fn output(quiet: bool, verbose: bool, with_json: bool) -> (ServeOutput, SharedText, SharedText) {
    let (lines, json) = (SharedText::default(), SharedText::default());
    let writer = with_json.then(|| Json::stamped(Box::new(json.clone())));
    (ServeOutput::with(Box::new(lines.clone()), writer, LinePrefix::Nothing, quiet, verbose), lines, json)
}

fn laptop(port: u16) -> std::sync::Arc<Peer> {
    let addr = ([192, 0, 2, 7], port).into();
    Peer { addr, fingerprint: Fingerprint([7; 32]), name: "laptop".into() }.into()
}

fn done(path: &str, size: u64, written: u64, from_peer: bool) -> Notice {
    let (peer, elapsed) = (laptop(1), Duration::from_millis(500));
    Notice::Finished { peer, path: path.into(), size, written, elapsed, from_peer }
}

fn failed(path: &str, port: u16) -> Notice {
    Notice::Failed { peer: laptop(port), path: path.into(), why: "no\nspace".into() }
}

fn refused(host: u8) -> Notice {
    Notice::Refused { addr: ([192, 0, 2, host], 1).into(), fingerprint: None, why: "not enrolled\x1b[2J".into() }
}

fn file_notices() -> Vec<Notice> {
    vec![done("in/a", 2048, 2048, true), done("b", 4096, 1, false), failed("c", 1), refused(9)]
}

fn all(out: &mut ServeOutput, notices: &[Notice]) {
    let now = Instant::now();
    notices.iter().for_each(|notice| out.notice(notice, now));
}

#[test]
fn failures_are_printed_always_and_files_only_when_asked() {
    let me = format!("laptop ({})", laptop(1).fingerprint.short());
    let always = format!("! failed: c: no\\nspace, {me}\n! 192.0.2.9:1 refused: not enrolled\\033[2J\n");
    let files = format!(
        "<- in/a, 2.0 KiB in 0.5s (4.0 KiB/s), {me}\n-> b, 4.0 KiB, 1 B of it moved, in 0.5s (2 B/s), {me}\n{always}"
    );
    for (quiet, verbose, expected) in [(false, false, &always), (true, false, &always), (false, true, &files)] {
        let (mut out, lines, _) = output(quiet, verbose, false);
        all(&mut out, &file_notices());
        assert_eq!(&lines.text(), expected);
    }
}

#[test]
fn json_has_a_line_for_each_notice_and_ends_with_the_summary() {
    let (mut out, lines, json) = output(false, true, true);
    out.start(json!({"root": "/srv"}));
    all(&mut out, &file_notices());
    out.end(Exit::Done);
    let all: Vec<Value> =
        json.text().lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let kinds: Vec<_> = all.iter().map(|line| line["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["start", "file", "file", "file", "note", "summary"]);
    assert!(all.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))), "{all:?}");
    assert_eq!(
        (&all[1]["peer"], &all[1]["address"], &all[1]["elapsed_ms"]),
        (&"laptop".into(), &"192.0.2.7:1".into(), &500.into())
    );
    assert_eq!(all[5]["files_failed"], 1);
    assert_eq!(all[5]["exit_code"], 0);
    assert_eq!(lines.text(), "");
}

#[test]
fn a_client_whose_every_file_fails_fills_no_disk_and_hides_no_other() {
    for with_json in [false, true] {
        let (mut out, lines, json) = output(false, false, with_json);
        let long = "x".repeat(4000);
        let flood: Vec<Notice> = (0..100_000).map(|_| failed(&long, 1)).collect();
        all(&mut out, &flood);
        all(&mut out, &[failed("honest", 2)]);
        out.report_left_out();
        let text = if with_json { json.text() } else { lines.text() };
        assert!(text.len() < 1 << 20, "{} bytes", text.len());
        assert!(text.contains("honest"), "another client's failure is told");
        let count = 100_000 - text.lines().filter(|line| line.contains("xxx")).count();
        let told = if with_json {
            format!("\"count\":{count}")
        } else {
            format!("and {} more files", size::count(count as u64))
        };
        assert!(text.contains(&told), "{told}: {}", text.lines().last().unwrap_or_default());
        assert_eq!(out.totals.failed, 100_001);
    }
}

#[test]
fn strangers_are_grouped() {
    let (mut out, lines, _) = output(true, false, false);
    let flood: Vec<Notice> = (0..20_000).map(|_| refused(9)).collect();
    all(&mut out, &flood);
    all(&mut out, &[refused(10)]);
    out.end(Exit::Done);
    let text = lines.text();
    assert!(text.lines().count() < 100 && text.contains("192.0.2.10:1 refused"), "{text}");
    assert!(text.contains("more clients were refused, most of them from 192.0.2.9\n"), "{text}");
}
