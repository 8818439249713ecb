mod dry_run;
mod json;
mod silence;

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::super::args::OutputArgs;
use super::super::exit::Complaint;
use super::*;
use crate::cli::exit::{Exit, StopSignal};
use crate::progress::{FileProgress, JobReport, SilenceCause};
use crate::protocol::message::{Failure, SkipReason, Status, Why};

/// A writer whose text a test can read.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedText(Arc<Mutex<Vec<u8>>>);

impl SharedText {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no test panics while it writes").clone()).expect("text")
    }
}

impl Write for SharedText {
    fn write(&mut self, raw: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").extend_from_slice(raw);
        Ok(raw.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn options(mode: DisplayMode) -> UiOptions {
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
        stats: false,
        rate_limit: None,
    }
}

struct UiFixture {
    ui: Ui,
    err: SharedText,
    out: SharedText,
    now: Instant,
}

fn stage(options: UiOptions) -> UiFixture {
    let (err, out, now) = (SharedText::default(), SharedText::default(), Instant::now());
    let json = options.json.then(|| Json::new(Box::new(out.clone())));
    let face = OutputForm::Lines(Plain::new(Box::new(err.clone()), options.verbose));
    UiFixture { ui: Ui::with(options, face, json, Box::new(out.clone()), now), err, out, now }
}

fn failed(path: &str) -> Event {
    let failure = Failure { status: Status::ReadFailed, detail: "Permission denied\x1b[2J".into() };
    Event::Failed { path: path.into(), failure, by_peer: true }
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
        Event::Waiting { attempt: 1, after: Duration::from_millis(150), cause: "it is full; try again later".into() },
        Event::Waiting { attempt: 2, after: Duration::from_millis(300), cause: "it is full; try again later".into() },
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
        super::super::args::Commands::Send(args) => args.job.output,
        _ => panic!("send"),
    }
}

#[test]
fn the_mode_follows_the_terminal_and_the_options() {
    let table = [
        (&[][..], true, DisplayMode::Bars),
        (&[], false, DisplayMode::Plain),
        (&["--progress", "bar"], false, DisplayMode::Plain),
        (&["--progress", "plain"], true, DisplayMode::Plain),
        (&["--progress", "none"], true, DisplayMode::Final),
        (&["-q"], true, DisplayMode::Errors),
        (&["--json"], true, DisplayMode::Silent),
        (&["--json", "-q"], true, DisplayMode::Silent),
        (&["--json", "-v", "--progress", "plain"], true, DisplayMode::Plain),
    ];
    for (args, has_bars, expected) in table {
        assert_eq!(mode(&output(args), false, has_bars), expected, "{args:?} {has_bars}");
    }
    assert_eq!(mode(&output(&[]), true, true), DisplayMode::Final, "a dry run has no bars");
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
    let mut stage = stage(options(DisplayMode::Plain));
    stage.ui.header("-> box:in/  192.0.2.1:4433", serde_json::json!({}));
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    let failure = Failure { status: Status::ReadFailed, detail: String::new() };
    let report =
        JobReport { done: 2, skipped: 2, failed: 1, failures: vec![("bad".into(), failure)], ..JobReport::default() };
    stage.ui.end(&Ok(report), Exit::SomeFailed, stage.now);
    let expected = "\
-> box:in/  192.0.2.1:4433
  started big, 1.0 GiB, resumed at 1.0 MiB
  skipped: there: exists
  failed: bad: cannot be read: Permission denied\\033[2J
note: a \"quoted\" note
it is full; asking again
lost the link; reconnecting (1) in 3s
sent 1 of 2 files, 0 B, 1 unchanged, 1 left as it is there, 1 failed
";
    assert_eq!(stage.err.text(), expected);
    assert_eq!(stage.out.text(), "");
}

#[test]
fn the_block_names_failures_again_when_they_are_out_of_sight() {
    let mut stage = stage(options(DisplayMode::Plain));
    stage.ui.event(&failed("bad"), stage.now);
    (0..20).for_each(|_| stage.ui.event(&Event::Note("more".into()), stage.now));
    let failure = Failure { status: Status::ReadFailed, detail: String::new() };
    let report = JobReport { failed: 1, failures: vec![("bad".into(), failure)], ..JobReport::default() };
    stage.ui.end(&Ok(report), Exit::SomeFailed, stage.now);
    assert!(stage.err.text().ends_with("1 failed\n  failed: bad: cannot be read\n"), "{}", stage.err.text());
}

#[test]
fn quiet_prints_failures_and_nothing_else() {
    let mut stage = stage(options(DisplayMode::Errors));
    stage.ui.header("-> box:", serde_json::json!({}));
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    stage.ui.tick(stage.now + Duration::from_secs(60));
    stage.ui.end(&Ok(JobReport { failed: 1, ..JobReport::default() }), Exit::SomeFailed, stage.now);
    assert_eq!(stage.err.text().lines().count(), 1, "{}", stage.err.text());
    assert!(stage.err.text().starts_with("  failed: bad: "));
}

#[test]
fn an_interrupted_job_says_that_it_continues() {
    let mut stage = stage(options(DisplayMode::Final));
    let counters = Arc::new(Counters::default());
    counters.bytes_found.store(100, Ordering::Relaxed);
    counters.bytes_written.store(61, Ordering::Relaxed);
    counters.scan_ended.store(true, Ordering::Relaxed);
    stage.ui.set_counters(counters);
    stage.ui.end(&Err(Complaint::Interrupted(StopSignal::Interrupt).into()), Exit::Interrupted, stage.now);
    assert_eq!(stage.err.text(), "stopped: 61% sent; the same command continues\n");
}

#[test]
fn an_error_is_one_line_with_its_causes() {
    let mut stage = stage(options(DisplayMode::Errors));
    let error = anyhow::anyhow!("no route\nto host").context("cannot reach box");
    stage.ui.end(&Err(error), Exit::Unreachable, stage.now);
    assert_eq!(stage.err.text(), "qft: cannot reach box: no route\\nto host\n");
}

#[test]
fn small_buffers_are_mentioned_once_with_the_command_that_mends_it() {
    let mut stage = stage(options(DisplayMode::Final));
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
fn a_flood_of_failures_does_not_flood_the_bars() {
    let term = indicatif::InMemoryTerm::new(24, 80);
    let screen = Screen::Memory(std::cell::RefCell::new(term.clone()));
    let face = OutputForm::Bars(Slots::new(screen, 16, Style::default()));
    let now = Instant::now();
    let mut ui = Ui::with(options(DisplayMode::Bars), face, None, Box::new(SharedText::default()), now);
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
    let report = JobReport { done: 0, failed: 10_000, ..JobReport::default() };
    ui.end(&Ok(report), Exit::SomeFailed, now + Duration::from_secs(21));
    assert!(term.contents().ends_with("... 10,000 more"), "{}", term.contents());
}
