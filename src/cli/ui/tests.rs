use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::super::args::OutputArgs;
use super::super::exit::Complaint;
use super::super::signals::Stop;
use super::*;
use crate::progress::{FileProgress, SilenceCause};
use crate::protocol::message::{Failure, Status, Why};

/// A writer whose text a test can read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no test panics while it writes").clone()).expect("text")
    }
}

impl Write for Shared {
    fn write(&mut self, raw: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").extend_from_slice(raw);
        Ok(raw.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn options(mode: Mode) -> UiOptions {
    UiOptions {
        verb: Verb::Send,
        mode,
        json: false,
        verbose: false,
        dry_run: false,
        steps_aside: false,
        jobs: 16,
        address: "192.0.2.1:4433".into(),
        is_local: false,
    }
}

struct Stage {
    ui: Ui,
    err: Shared,
    out: Shared,
    now: Instant,
}

fn stage(options: UiOptions) -> Stage {
    let (err, out, now) = (Shared::default(), Shared::default(), Instant::now());
    let json = options.json.then(|| Json::new(Box::new(out.clone())));
    let face = Face::Lines(Plain::new(Box::new(err.clone()), options.verbose));
    Stage { ui: Ui::with(options, face, json, Box::new(out.clone()), now), err, out, now }
}

fn failed(path: &str) -> Event {
    let failure = Failure { status: Status::ReadFailed, detail: "Permission denied\x1b[2J".into() };
    Event::Failed { path: path.into(), failure }
}

fn finished(path: &str, size: u64) -> Event {
    let file = FileProgress::new(path.into(), size, 0, Why::New);
    file.add_written(size);
    Event::Finished { file: Arc::new(file) }
}

fn all_events() -> Vec<Event> {
    vec![
        Event::Connected { addr: "192.0.2.1:4433".parse().expect("an address"), peer: "box".into(), enrolled: true },
        Event::Started(Arc::new(FileProgress::new("big".into(), 1 << 30, 1 << 20, Why::Resume))),
        finished("small", 10),
        Event::Skipped { path: "same".into(), size: 5, reason: SkipReason::Same },
        Event::Skipped { path: "there".into(), size: 5, reason: SkipReason::Exists },
        Event::Skipped { path: "dir".into(), size: 0, reason: SkipReason::Made },
        Event::Planned { path: "plan".into(), size: 100, from: 61, why: Why::Resume, named: None },
        failed("bad"),
        Event::Note("a \"quoted\" note".into()),
        Event::Waiting { attempt: 1, after: Duration::from_millis(150) },
        Event::Waiting { attempt: 2, after: Duration::from_millis(300) },
        Event::Reconnecting {
            attempt: 1,
            after: Duration::from_secs(3),
            cause: "lost the link; the same command resumes".into(),
        },
    ]
}

fn output(args: &[&str]) -> OutputArgs {
    use clap::Parser as _;
    let line = [&["qft", "send", "f"], args].concat();
    match super::super::args::Cli::try_parse_from(line).expect("well formed").command {
        super::super::args::Command::Send(args) => args.job.output,
        _ => panic!("send"),
    }
}

#[test]
fn the_mode_follows_the_terminal_and_the_options() {
    let table = [
        (&[][..], true, Mode::Bars),
        (&[], false, Mode::Plain),
        (&["--progress", "bar"], false, Mode::Plain),
        (&["--progress", "plain"], true, Mode::Plain),
        (&["--progress", "none"], true, Mode::Final),
        (&["-q"], true, Mode::Errors),
        (&["--json"], true, Mode::Silent),
        (&["--json", "-q"], true, Mode::Silent),
        (&["--json", "-v", "--progress", "plain"], true, Mode::Plain),
    ];
    for (args, has_bars, expected) in table {
        assert_eq!(mode(&output(args), false, has_bars), expected, "{args:?} {has_bars}");
    }
    assert_eq!(mode(&output(&[]), true, true), Mode::Final, "a dry run has no bars");
}

#[test]
fn bars_are_ascii_unless_the_locale_is_utf8() {
    let locale = |values: &'static [(&str, &str)]| {
        is_utf8(|name| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    };
    assert!(locale(&[]));
    assert!(locale(&[("LANG", "de_DE.UTF-8")]));
    assert!(locale(&[("LC_ALL", ""), ("LANG", "C.utf8")]));
    assert!(!locale(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
    assert!(!locale(&[("LANG", "de_DE.ISO-8859-1")]));
}

#[test]
fn plain_lines_tell_failures_at_once_and_the_block_at_the_end() {
    let mut stage = stage(options(Mode::Plain));
    stage.ui.header("-> box:in/  192.0.2.1:4433", serde_json::json!({}));
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    let failure = Failure { status: Status::ReadFailed, detail: String::new() };
    let report =
        Report { done: 2, skipped: 2, failed: 1, failures: vec![("bad".into(), failure)], ..Report::default() };
    stage.ui.end(&Ok(report), Exit::SomeFailed, stage.now);
    let expected = "\
-> box:in/  192.0.2.1:4433
  started big, 1.0 GiB, resumed at 1.0 MiB
  skipped: there: exists
  failed: bad: cannot be read: Permission denied\\u{1b}[2J
note: a \"quoted\" note
waiting for a place: as many clients as it lets in (or lets in from this address, or with this key) are connected there
lost the link; reconnecting (1) in 3s
sent 1 of 2 files, 0 B, 1 unchanged, 1 left as it is there, 1 failed
";
    assert_eq!(stage.err.text(), expected);
    assert_eq!(stage.out.text(), "");
}

#[test]
fn the_block_names_failures_again_when_they_are_out_of_sight() {
    let mut stage = stage(options(Mode::Plain));
    stage.ui.event(&failed("bad"), stage.now);
    (0..20).for_each(|_| stage.ui.event(&Event::Note("more".into()), stage.now));
    let failure = Failure { status: Status::ReadFailed, detail: String::new() };
    let report = Report { failed: 1, failures: vec![("bad".into(), failure)], ..Report::default() };
    stage.ui.end(&Ok(report), Exit::SomeFailed, stage.now);
    assert!(stage.err.text().ends_with("1 failed\n  failed: bad: cannot be read\n"), "{}", stage.err.text());
}

#[test]
fn quiet_prints_failures_and_nothing_else() {
    let mut stage = stage(options(Mode::Errors));
    stage.ui.header("-> box:", serde_json::json!({}));
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    stage.ui.tick(stage.now + Duration::from_secs(60));
    stage.ui.end(&Ok(Report { failed: 1, ..Report::default() }), Exit::SomeFailed, stage.now);
    assert_eq!(stage.err.text().lines().count(), 1, "{}", stage.err.text());
    assert!(stage.err.text().starts_with("  failed: bad: "));
}

#[test]
fn a_dry_run_does_not_call_replaced_what_is_only_to_be_compared_or_steps_aside() {
    let mut stage = stage(UiOptions { dry_run: true, ..options(Mode::Final) });
    for (path, from) in [("same-size", 2048), ("longer", 1024)] {
        let planned = Event::Planned { path: path.into(), size: 2048, from, why: Why::Update, named: None };
        stage.ui.event(&planned, stage.now);
    }
    assert_eq!(stage.out.text(), "? compare          2.0 KiB  same-size\n~ update           2.0 KiB  longer\n");
    let mut stage = self::stage(UiOptions { dry_run: true, steps_aside: true, ..options(Mode::Final) });
    for named in [Some("f~1".to_owned()), None] {
        let planned = Event::Planned { path: "d/f".into(), size: 2048, from: 0, why: Why::Replace, named };
        stage.ui.event(&planned, stage.now);
    }
    assert_eq!(stage.out.text(), "+ rename           2.0 KiB  d/f -> f~1\n+ rename           2.0 KiB  d/f\n");
}

#[test]
fn a_dry_run_prints_each_decision_and_the_totals() {
    let mut stage = stage(UiOptions { dry_run: true, ..options(Mode::Final) });
    let planned = |path: &str, why| Event::Planned { path: path.into(), size: 2048, from: 0, why, named: None };
    for event in [planned("a", Why::New), planned("b", Why::Replace), planned("c", Why::Update)] {
        stage.ui.event(&event, stage.now);
    }
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    stage.ui.end(&Ok(Report { failed: 1, ..Report::default() }), Exit::SomeFailed, stage.now);
    let expected = "\
+ new              2.0 KiB  a
~ replace          2.0 KiB  b
~ update           2.0 KiB  c
= same                 5 B  same
! exists               5 B  there
» resume at 61%      100 B  plan
! fails                     bad: cannot be read: Permission denied\\u{1b}[2J
";
    assert_eq!(stage.out.text(), expected);
    assert!(
        stage.err.text().contains("would send 3 files, update 1, 6.0 KiB (61 B are there)"),
        "{}",
        stage.err.text()
    );
}

#[test]
fn every_line_of_json_parses_and_the_last_is_the_summary() {
    let mut stage = stage(UiOptions { json: true, ..options(Mode::Silent) });
    let counters = Arc::new(Counters::default());
    counters.bytes_written.store(77, Ordering::Relaxed);
    stage.ui.set_counters(counters);
    stage.ui.header("-> box:", serde_json::json!({"remote": "box"}));
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    for tenth in 0..35 {
        stage.ui.tick(stage.now + TICK * tenth);
    }
    let error = anyhow::anyhow!("the link\nis gone");
    stage.ui.end(&Err(error), Exit::Unreachable, stage.now);
    let text = stage.out.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert!(text.lines().all(|line| line.starts_with("{\"v\":1,\"type\":\"")), "{text}");
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds[0], "start");
    assert_eq!(kinds.iter().filter(|kind| **kind == "file").count(), 6);
    assert_eq!(kinds.iter().filter(|kind| **kind == "progress").count(), 3, "one a second");
    assert_eq!(kinds[kinds.len() - 2..], ["error", "summary"]);
    let last = &lines[lines.len() - 1];
    assert_eq!((last["exit_code"].as_u64(), last["bytes_written"].as_u64()), (Some(4), Some(77)));
    assert_eq!(stage.err.text(), "", "people's text is off");
}

#[test]
fn json_of_a_finished_job_has_its_figures() {
    let mut stage = stage(UiOptions { json: true, ..options(Mode::Silent) });
    let report = Report { done: 3, bytes_written: 9, elapsed: Duration::from_millis(1500), ..Report::default() };
    stage.ui.end(&Ok(report), Exit::Done, stage.now);
    let last: serde_json::Value = serde_json::from_str(stage.out.text().trim()).expect("one line");
    assert_eq!(last["type"], "summary");
    assert_eq!((last["files_done"].as_u64(), last["elapsed_ms"].as_u64()), (Some(3), Some(1500)));
    assert_eq!(last["exit_code"], 0);
}

#[test]
fn an_interrupted_job_says_that_it_continues() {
    let mut stage = stage(options(Mode::Final));
    let counters = Arc::new(Counters::default());
    counters.bytes_found.store(100, Ordering::Relaxed);
    counters.bytes_written.store(61, Ordering::Relaxed);
    counters.scan_ended.store(true, Ordering::Relaxed);
    stage.ui.set_counters(counters);
    stage.ui.end(&Err(Complaint::Interrupted(Stop::Interrupt).into()), Exit::Interrupted, stage.now);
    assert_eq!(stage.err.text(), "stopped: 61% sent; the same command continues\n");
}

#[test]
fn an_error_is_one_line_with_its_causes() {
    let mut stage = stage(options(Mode::Errors));
    let error = anyhow::anyhow!("no route\nto host").context("cannot reach box");
    stage.ui.end(&Err(error), Exit::Unreachable, stage.now);
    assert_eq!(stage.err.text(), "qft: cannot reach box: no route\\nto host\n");
}

#[test]
fn small_buffers_are_mentioned_once_with_the_command_that_mends_it() {
    let mut stage = stage(options(Mode::Final));
    stage.ui.event(&all_events()[0], stage.now);
    let counters = Arc::new(Counters::default());
    counters.udp_receive.store(208 << 10, Ordering::Relaxed);
    counters.udp_send.store(208 << 10, Ordering::Relaxed);
    stage.ui.set_counters(counters.clone());
    for second in 0..9_u32 {
        counters.bytes_written.store(u64::from(second) * (200 << 20), Ordering::Relaxed);
        stage.ui.tick(stage.now + Duration::from_secs(second.into()));
    }
    let said = stage.err.text();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("send") && said.ends_with("sudo sysctl -w net.core.wmem_max=8388608\n"), "{said}");
}

#[test]
fn silence_from_the_other_side_is_mentioned_once() {
    let mut stage = stage(options(Mode::Final));
    for second in 0..9 {
        stage.ui.tick(stage.now + Duration::from_secs(second));
    }
    assert_eq!(stage.err.text(), "no reply from 192.0.2.1:4433/udp yet (firewall? wrong port?)\n");
}

/// A job whose connection goes silent for so long, looked at each second.
fn silence(options: UiOptions) -> Stage {
    let mut stage = stage(options);
    stage.ui.event(&all_events()[0], stage.now);
    let at = |second| stage.now + Duration::from_secs(second);
    for (second, event) in [
        (1, None),
        (4, Some(Event::Silent { lasted: Duration::from_secs(3), cause: SilenceCause::NoAnswer })),
        (5, None),
        (9, Some(Event::Silent { lasted: Duration::from_secs(8), cause: SilenceCause::NoRoute })),
        (20, Some(Event::Answered { after: Duration::from_secs(19) })),
    ] {
        event.iter().for_each(|event| stage.ui.event(event, at(second)));
        stage.ui.tick(at(second));
    }
    stage
}

#[test]
fn a_silence_and_its_end_are_each_told_once_with_the_cause() {
    let stage = silence(options(Mode::Final));
    let expected = "\
no answer from box for 3s; trying again
no route to box for 8s; trying again
box answers again after 8s
";
    assert_eq!(stage.err.text(), expected);
    let stage = silence(UiOptions { json: true, ..options(Mode::Silent) });
    let lines = stage.out.text();
    let notes: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .filter(|line: &serde_json::Value| line["cause"].is_string())
        .collect();
    let told: Vec<_> = notes.iter().map(|note| (&note["kind"], &note["cause"], &note["stalled_ms"])).collect();
    let [stalled, moving] = [serde_json::json!("stalled"), "moving".into()];
    let [answer, route] = [serde_json::json!("no_answer"), "no_route".into()];
    let [three, eight] = [serde_json::json!(3000), 8000.into()];
    assert_eq!(told, [(&stalled, &answer, &three), (&stalled, &route, &eight), (&moving, &route, &eight)], "{lines}");
    assert_eq!(notes[0]["text"], "no answer from box for 3s; trying again");
}

#[test]
fn nobody_is_silent_before_the_transfer_begins() {
    let mut stage = stage(options(Mode::Final));
    let read = stage.now + Duration::from_secs(60);
    stage.ui.begin(read);
    stage.ui.tick(read + Duration::from_millis(100));
    assert_eq!(stage.err.text(), "");
}

#[test]
fn a_flood_of_failures_does_not_flood_the_bars() {
    let term = indicatif::InMemoryTerm::new(24, 80);
    let screen = Screen::Memory(std::cell::RefCell::new(term.clone()));
    let face = Face::Bars(Slots::new(screen, 16, Style::default()));
    let now = Instant::now();
    let mut ui = Ui::with(options(Mode::Bars), face, None, Box::new(Shared::default()), now);
    ui.event(&all_events()[0], now);
    for i in 0..10_000 {
        ui.event(&failed(&format!("f{i}")), now);
        if i % 1000 == 0 {
            ui.tick(now + Duration::from_secs(1 + i / 1000));
        }
    }
    ui.tick(now + Duration::from_secs(20));
    let text = term.contents();
    assert!(text.contains("only counted"), "{text}");
    assert!(!text.contains("f9999"), "{text}");
    let report = Report { done: 0, failed: 10_000, ..Report::default() };
    ui.end(&Ok(report), Exit::SomeFailed, now + Duration::from_secs(21));
    assert!(term.contents().ends_with("... 10,000 more"), "{}", term.contents());
}
