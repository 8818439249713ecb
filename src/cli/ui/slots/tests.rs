//! The screen, as a terminal in memory shows it.

use std::cell::RefCell;
use std::sync::Arc;

use indicatif::InMemoryTerm;
use unicode_width::UnicodeWidthStr as _;

use super::super::files::Doing;
use super::super::link::LinkView;
use super::super::stall::Speed;
use super::super::stall::{Stall, StallCause};
use super::super::tally::EventTally;
use super::*;
use crate::progress::FileProgress;
use crate::protocol::message::Why;

const MIB: u64 = 1 << 20;

struct SlotsFixture {
    slots: Slots,
    term: InMemoryTerm,
}

impl SlotsFixture {
    fn new(rows: u16, columns: u16, jobs: usize) -> Self {
        let term = InMemoryTerm::new(rows, columns);
        let screen = Screen::Memory(RefCell::new(term.clone()));
        Self { slots: Slots::new(screen, jobs, Style { utf8: true, details: false }), term }
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        self.term = InMemoryTerm::new(rows, columns);
        let Screen::Memory(term) = &self.slots.screen else { panic!("memory") };
        term.replace(self.term.clone());
    }

    fn lines(&self) -> Vec<String> {
        self.term.contents().lines().map(str::to_owned).collect()
    }
}

fn view(path: &str, size: u64, there: u64, age_ms: u64) -> FileView {
    let file = Arc::new(FileProgress::new(path.to_owned(), size, 0, Why::New));
    let age = Duration::from_millis(age_ms);
    FileView { file, there, doing: Doing::Moving, age, rate: Some(41.0 * MIB as f64) }
}

fn look(files: Vec<FileView>) -> Snapshot {
    Snapshot {
        elapsed: Duration::from_secs(30),
        files_settled: 214,
        files_found: 10_000,
        scan_ended: true,
        bytes_there: 31 << 30,
        bytes_found: 128 << 30,
        bytes_written: 23 << 30,
        bytes_resumed: 8 << 30,
        failed: 0,
        speed: Speed::Moving(97.0 * MIB as f64),
        eta: Some(Duration::from_secs(1025)),
        link: LinkView {
            rtt: Some(Duration::from_millis(182)),
            loss: Some(0.013),
            window: 12 << 20,
            mtu: 1452,
            ..LinkView::default()
        },
        tally: EventTally { same: 2, ..EventTally::default() },
        files,
        announced: 0,
        stall: None,
    }
}

#[test]
fn the_screen_at_80_by_24() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let mut saving = view("backup.tar", 12 << 30, 12 << 30, 9000);
    saving.doing = Doing::Saving;
    let files = vec![
        view("holiday.mp4", 2 << 30, 1_310 * MIB, 9000),
        view("photos/2026/raw/IMG_0042.dng", 42 * MIB, 11 * MIB, 400),
        saving,
        view("tiny", 10, 5, 100),
    ];
    stage.slots.draw(&look(files));
    assert_eq!(
        stage.lines(),
        [
            "  holiday.mp4          ━━━━━━━━╸─────  63%    1.28/2.00 GiB    41 MiB/s     18s",
            "  …26/raw/IMG_0042.dng ━━━╸──────────  26%    11.0/42.0 MiB    41 MiB/s      0s",
            "  backup.tar           ━━━━━━━━━━━━━━ 100%    12.0/12.0 GiB      saving",
            " 214/10,000 files      ━━━╸──────────  24%       31/128 GiB    97 MiB/s  17m05s",
            " rtt 182 ms  loss 1.3%  3 active  8.0 GiB were there  2 same  0 failed",
        ]
    );
}

#[test]
fn the_screen_at_40_by_10() {
    let mut stage = SlotsFixture::new(10, 40, 16);
    let files = (0..9).map(|i| view(&format!("directory/file-{i}"), 100 * MIB, (i + 1) * MIB, 9000)).collect();
    stage.slots.draw(&look(files));
    assert_eq!(
        stage.lines(),
        [
            "  …tory/file-0 ╸──────   1%    41 MiB/s",
            "  …tory/file-1 ╸──────   2%    41 MiB/s",
            "  …tory/file-2 ╸──────   3%    41 MiB/s",
            "  …tory/file-3 ╸──────   4%    41 MiB/s",
            " 214/10,000    ━╸─────  24%    97 MiB/s",
            " rtt 182 ms  loss 1.3%  9 active",
        ]
    );
}

#[test]
fn the_screen_at_200_by_50_has_at_most_eight_slots() {
    let mut stage = SlotsFixture::new(50, 200, 16);
    let files = (0..16).map(|i| view(&format!("file-{i}"), 100 * MIB, i * MIB, 9000)).collect();
    stage.slots.draw(&look(files));
    let lines = stage.lines();
    assert_eq!(lines.len(), SLOTS_MAX + 2);
    assert!(lines[0].starts_with("  file-0 "), "most to do first: {}", lines[0]);
    assert!(lines[8].contains("214/10,000 files") && lines[8].ends_with("17m05s"), "{}", lines[8]);
    assert!(lines.iter().all(|line| line.width() < 200));
}

#[test]
fn the_narrowest_screen_has_one_line() {
    let mut stage = SlotsFixture::new(24, 30, 16);
    stage.slots.draw(&look(vec![view("a", 100, 5, 9000)]));
    assert_eq!(stage.term.contents(), "214/10,000 24% 97 MiB/s");
    let mut stage = SlotsFixture::new(24, 12, 16);
    stage.slots.draw(&look(vec![]));
    assert_eq!(stage.term.contents(), "214/10,000");
}

#[test]
fn a_short_job_shows_no_bars() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    stage.slots.above("failed: x: not found".into());
    let early = Snapshot { elapsed: Duration::from_millis(400), ..look(vec![view("a", 100, 5, 350)]) };
    stage.slots.draw(&early);
    stage.slots.close();
    assert_eq!(stage.term.contents(), "failed: x: not found");
}

#[test]
fn an_unfinished_scan_shows_its_plus() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    stage.slots.draw(&Snapshot { scan_ended: false, eta: None, ..look(vec![]) });
    assert!(stage.lines()[0].starts_with(" 214/10,000+ files"), "{}", stage.lines()[0]);
}

#[test]
fn a_job_of_one_file_is_one_row() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let one = |doing| {
        let file = FileView { doing, ..view("holiday.mp4", 2 << 30, 1_310 * MIB, 9000) };
        Snapshot {
            files_settled: 0,
            files_found: 1,
            bytes_resumed: 0,
            tally: EventTally::default(),
            ..look(vec![file])
        }
    };
    stage.slots.draw(&one(Doing::Moving));
    assert_eq!(
        stage.lines(),
        [
            // The rate and the time left are those of the job, which are calmer.
            "  holiday.mp4          ━━━━━━━━╸─────  63%    1.28/2.00 GiB    97 MiB/s  17m05s",
            " rtt 182 ms  loss 1.3%  1 active  0 failed",
        ]
    );
    stage.slots.draw(&Snapshot { eta: None, ..one(Doing::Saving) });
    assert!(stage.lines()[0].ends_with("1.28/2.00 GiB      saving"), "{:?}", stage.lines());
    // Until the search has ended there may be more.
    stage.slots.draw(&Snapshot { scan_ended: false, ..one(Doing::Moving) });
    assert_eq!(stage.lines().len(), 3, "{:?}", stage.lines());
    let mut stage = SlotsFixture::new(10, 40, 16);
    stage.slots.draw(&one(Doing::Moving));
    assert_eq!(stage.lines()[0], "  holiday.mp4  ━━━━╸──  63%    97 MiB/s");
}

#[test]
fn what_is_compared_while_the_rest_comes_in_shows_its_rate() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let mut row = |rate| {
        let file = FileView { doing: Doing::Checking, rate, ..view("big", 2 << 30, 1 << 30, 9000) };
        stage.slots.draw(&look(vec![file]));
        stage.lines()[0].split_whitespace().skip(5).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([row(None), row(Some(0.2)), row(Some(2e6))], ["checking", "checking", "1.9 MiB/s 8m56s"]);
}

#[test]
fn the_bar_of_nothing_is_empty_unless_that_is_all() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let nothing = Snapshot {
        files_settled: 0,
        files_found: 0,
        scan_ended: false,
        bytes_there: 0,
        bytes_found: 0,
        bytes_resumed: 0,
        speed: Speed::Unknown,
        eta: None,
        ..look(vec![])
    };
    stage.slots.draw(&nothing);
    assert_eq!(stage.lines()[0], " 0/0+ files            ──────────────   0%");
    stage.slots.draw(&Snapshot { scan_ended: true, files_settled: 2, files_found: 3, ..nothing });
    assert_eq!(stage.lines()[0], " 2/3 files             ━━━━━━━━━━━━━━ 100%");
}

#[test]
fn what_stands_still_says_so_in_every_row_and_why_and_for_how_long_below() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let stalled = |path| FileView { doing: Doing::Stalled, rate: None, ..view(path, 2 << 30, 1_310 * MIB, 9000) };
    let lasted = Duration::from_millis(20_400);
    let stall = Stall { lasted, cause: StallCause::Silent };
    let speed = Speed::Stalled(stall);
    let text = Some("no answer from box for 20s; trying again".to_owned());
    let files = vec![stalled("holiday.mp4"), stalled("resumed.mp4")];
    stage.slots.draw(&Snapshot { speed, eta: None, stall: text, ..look(files) });
    let screen = stage.lines();
    assert_eq!(
        screen,
        [
            "  holiday.mp4          ━━━━━━━━╸─────  63%    1.28/2.00 GiB     stalled",
            "  resumed.mp4          ━━━━━━━━╸─────  63%    1.28/2.00 GiB     stalled",
            " 214/10,000 files      ━━━╸──────────  24%       31/128 GiB     stalled",
            " no answer from box for 20s; trying again  2 active  8.0 GiB were there  2 same",
        ]
    );
    // No column moves when it goes on.
    stage.slots.draw(&look(vec![view("holiday.mp4", 2 << 30, 1_310 * MIB, 9000)]));
    assert_eq!(stage.lines()[1].find('%'), screen[1].find('%'));
}

#[test]
fn a_lost_connection_takes_the_place_of_its_figures() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    for (is_first, text) in [(false, " reconnecting (2), next try in 3s  0 active"), (true, " trying again (2), next")]
    {
        let speed = Speed::Reconnecting { attempt: 2, wait: Duration::from_millis(2100), is_first };
        stage.slots.draw(&Snapshot { speed, ..look(vec![]) });
        assert!(stage.lines()[1].starts_with(text), "{}", stage.lines()[1]);
    }
}

#[test]
fn rows_are_for_files_whose_content_moves_and_the_rest_is_counted() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let saving = FileView { doing: Doing::Saving, ..view("large", 12 * MIB, 12 * MIB, 900) };
    // A small file is reported only when all of it is there.
    let files = vec![view("small", 800, 0, 900), view("new", 12 * MIB, 0, 200), view("big", 12 * MIB, 0, 900), saving];
    let mut rows = |announced| {
        stage.slots.draw(&Snapshot { announced, bytes_resumed: 0, ..look(files.clone()) });
        let lines = stage.lines();
        let words = lines.iter().filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        (words.collect::<Vec<_>>(), lines)
    };
    let (many, lines) = rows(1905);
    assert_eq!(many, ["big", "large", "214/10,000", "rtt"], "{lines:#?}");
    let (few, _) = rows(0);
    assert_eq!(few, ["big", "large", "small", "214/10,000", "rtt"]);
    assert_eq!(lines[3], " rtt 182 ms  loss 1.3%  3 active  1,905 announced  2 same  0 failed");
}

#[test]
fn the_next_file_takes_the_line_of_one_that_ended_and_there_is_no_hole() {
    let mut stage = SlotsFixture::new(24, 80, 3);
    let big = || view("big", 100 * MIB, 0, 9000);
    let mid = || view("mid", 50 * MIB, 0, 9000);
    let low = || view("low", 10 * MIB, 0, 9000);
    stage.slots.draw(&look(vec![low(), mid(), big()]));
    let names = |stage: &SlotsFixture| -> Vec<String> {
        stage.lines().iter().map(|line| line.split_whitespace().next().unwrap_or("").to_owned()).collect()
    };
    assert_eq!(names(&stage)[..3], ["big", "mid", "low"]);
    let next = || view("next", 100 * MIB, 0, 9000);
    stage.slots.draw(&look(vec![low(), next(), big()]));
    assert_eq!(names(&stage)[..3], ["big", "next", "low"]);
    // Nobody takes its place.
    stage.slots.draw(&look(vec![low(), big()]));
    assert_eq!(names(&stage)[..3], ["", "big", "low"]);
    stage.slots.draw(&look(vec![low(), big(), mid()]));
    assert_eq!(names(&stage)[..3], ["mid", "big", "low"]);
}

#[test]
fn ten_thousand_small_files_need_no_slot_and_failures_stay_above() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    for tick in 0..1000_u64 {
        let files = (0..10).map(|i| view(&format!("small/{tick}-{i}"), 100, 5, 80)).collect();
        if tick % 250 == 125 {
            stage.slots.above(format!("  failed: small/{tick}: not found"));
        }
        stage.slots.draw(&Snapshot { files_settled: tick * 10, ..look(files) });
        let lines = stage.lines();
        let footer = lines.iter().position(|line| line.contains("/10,000 files")).expect("a footer");
        assert_eq!(footer, lines.len() - 2, "tick {tick}: the footer is last");
        assert!(lines[..footer].iter().all(|line| line.starts_with("  failed: ")), "{lines:?}");
        assert!(lines.iter().all(|line| line.width() < 80), "{lines:?}");
    }
    let failed = stage.lines().iter().filter(|line| line.contains("failed: small/")).count();
    assert_eq!(failed, 4, "none was drawn over or twice");
    stage.slots.close();
    assert!(stage.lines().iter().all(|line| line.starts_with("  failed: ")), "bars are gone: {:?}", stage.lines());
}

#[test]
fn lines_above_push_a_full_set_of_slots_down_without_harm() {
    for (rows, columns) in [(24, 80), (10, 40), (50, 200)] {
        let mut stage = SlotsFixture::new(rows, columns, 16);
        for tick in 0..60_u64 {
            // Files come and go at different times; the count of slots grows and stays.
            let files = (0..tick.min(12))
                .filter(|i| (tick + i) % 7 != 0)
                .map(|i| view(&format!("file-{i}"), 100 * MIB, tick * MIB, 9000))
                .collect();
            stage.slots.above(format!("  failed: name-{tick}: no space left on the device, which is a long text"));
            stage.slots.draw(&look(files));
            let lines = stage.lines();
            let footers = lines.iter().filter(|line| line.contains("214/10,000")).count();
            assert_eq!(footers, 1, "tick {tick}: {lines:#?}");
            assert!(lines.len() <= usize::from(rows));
            let bars = lines.iter().filter(|line| line.contains('─'));
            assert!(bars.clone().all(|line| line.width() < usize::from(columns)), "{lines:#?}");
        }
    }
}

#[test]
fn wide_letters_do_not_break_a_line() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    for tick in 0..5 {
        let files = vec![view("写真/二〇二六年/夏休みの思い出の写真.jpg", 100 * MIB, tick * MIB, 9000)];
        stage.slots.draw(&look(files));
    }
    let lines = stage.lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("写真.jpg") && lines[0].width() < 80, "{}", lines[0]);
}

#[test]
fn a_new_size_gets_a_new_layout() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let files = || (0..8).map(|i| view(&format!("file-{i}"), 100 * MIB, 0, 9000)).collect();
    stage.slots.draw(&look(files()));
    assert_eq!(stage.lines().len(), 10);
    stage.resize(8, 50);
    stage.slots.draw(&look(files()));
    let lines = stage.lines();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines.iter().all(|line| line.width() < 50), "{lines:#?}");
}

#[test]
fn many_files_on_a_narrow_screen_lose_columns_not_the_line() {
    let mut stage = SlotsFixture::new(24, 40, 16);
    let look = Snapshot { files_settled: 99_999_999, files_found: 100_000_000, ..look(vec![]) };
    stage.slots.draw(&look);
    let lines = stage.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].width() < 40 && lines[0].contains("24%"), "{}", lines[0]);
}

#[test]
fn a_resumed_file_says_where() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    let file = Arc::new(FileProgress::new("backup.tar".into(), 12 << 30, 8 << 30, Why::Resume));
    let view = FileView { file, there: 8 << 30, doing: Doing::Moving, age: Duration::from_secs(1), rate: None };
    stage.slots.draw(&look(vec![view]));
    assert!(stage.lines()[0].ends_with("8.0/12.0 GiB  resumed at 8.0 GiB"), "{}", stage.lines()[0]);
}

#[test]
fn details_of_the_path_come_last_and_only_when_asked_for() {
    let mut stage = SlotsFixture::new(24, 80, 16);
    stage.slots.style.details = true;
    stage.slots.draw(&Snapshot { bytes_resumed: 0, ..look(vec![]) });
    let lines = stage.lines();
    let last = lines.last().expect("a footer");
    assert_eq!(last, " rtt 182 ms  loss 1.3%  0 active  2 same  0 failed  window 12.0 MiB  mtu 1452");
}
