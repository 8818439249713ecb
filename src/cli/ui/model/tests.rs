use super::super::files::Doing;
use super::*;
use crate::progress::{FilePhase, FileProgress};
use crate::protocol::message::{Failure, Status, Why};

const TICK: Duration = Duration::from_millis(100);

fn file(path: &str, size: u64, resumed: u64) -> Arc<FileProgress> {
    let file = FileProgress::new(path.to_owned(), size, resumed, Why::New);
    file.begin();
    Arc::new(file)
}

fn connected() -> Event {
    let addr = "192.0.2.1:1".parse().expect("an address");
    Event::Connected { addr, peer: "box".into(), enrolled: false }
}

fn model() -> (Model, Arc<Counters>, Instant) {
    let now = Instant::now();
    let mut model = Model::new(now, "192.0.2.1:1");
    let counters = Arc::new(Counters::default());
    model.set_counters(Arc::clone(&counters));
    model.on_event(&connected(), now);
    (model, counters, now)
}

#[test]
fn resumed_bytes_are_there_but_are_no_rate() {
    let (mut model, counters, mut now) = model();
    Counters::add(&counters.bytes_found, 1000 << 20);
    counters.scan_ended.store(true, Ordering::Relaxed);
    let big = file("big", 1000 << 20, 900 << 20);
    model.on_event(&Event::Started(Arc::clone(&big)), now);
    model.sample(now);
    for _ in 0..10 {
        now += TICK;
        big.add_written(1 << 20);
        Counters::add(&counters.bytes_written, 1 << 20);
        model.sample(now);
    }
    let look = model.sample(now);
    assert_eq!(look.bytes_there, 910 << 20);
    let Speed::Moving(rate) = look.speed else { panic!("{:?}", look.speed) };
    assert!((rate / f64::from(10 << 20) - 1.0).abs() < 1e-6, "{rate}");
    assert_eq!(look.eta.map(|eta| eta.as_secs()), Some(9), "of the 90 MiB that are missing");
    assert_eq!(look.files[0].there, 910 << 20);
}

#[test]
fn a_total_that_is_not_known_gives_no_time_left() {
    let (mut model, counters, now) = model();
    Counters::add(&counters.bytes_found, 100);
    model.sample(now);
    Counters::add(&counters.bytes_written, 50);
    assert_eq!(model.sample(now + TICK).eta, None);
}

#[test]
fn nothing_found_yet_is_nothing_done() {
    let (mut model, counters, now) = model();
    assert_eq!(model.sample(now).percent(), 0);
    counters.scan_ended.store(true, Ordering::Relaxed);
    assert_eq!(model.sample(now).percent(), 100, "empty files only");
}

#[test]
fn a_stall_is_excused_while_digests_are_compared() {
    let (mut model, _, now) = model();
    let file = file("a", 100, 50);
    model.on_event(&Event::Started(Arc::clone(&file)), now);
    file.set_phase(FilePhase::Checking);
    model.sample(now);
    assert!(matches!(model.sample(now + TICK * 90).speed, Speed::Moving(_)));
    file.set_phase(FilePhase::Moving);
    assert_eq!(model.sample(now + TICK * 160).speed, Stall::speed(TICK * 70, StallCause::Idle));
}

#[test]
fn a_job_whose_disk_gives_nothing_stands_still_and_one_that_counts_files_does_not() {
    let (mut model, counters, now) = model();
    for tick in 0..200_u32 {
        Counters::add(&counters.files_found, 1);
        assert!(!model.sample(now + TICK * tick).speed.is_still(), "after {tick} ticks");
    }
    // Nothing of it has been read.
    model.on_event(&Event::Started(file("a", 100, 0)), now + TICK * 200);
    let look = model.sample(now + TICK * 260);
    assert_eq!(look.stall.as_deref(), Some("nothing has moved for 6s; box is heard"));
}

#[test]
fn content_that_flows_and_is_not_reported_yet_is_no_stall() {
    let (mut model, counters, now) = model();
    model.on_event(&Event::Started(file("a", 100 << 20, 0)), now);
    for tick in 0..200_u32 {
        if tick % 10 == 0 {
            Counters::add(&counters.flows, 1);
        }
        let look = model.sample(now + TICK * tick);
        assert!(!look.speed.is_still(), "{:?} after {tick} ticks", look.speed);
    }
    assert!(model.sample(now + TICK * 250).speed.is_still());
}

/// A job of one file, 100 MiB of 200 done at 10 MiB/s.
fn half_done() -> (Model, Arc<Counters>, Arc<FileProgress>, Instant) {
    let (mut model, counters, mut now) = model();
    Counters::add(&counters.bytes_found, 200 << 20);
    counters.scan_ended.store(true, Ordering::Relaxed);
    let big = file("big", 200 << 20, 0);
    model.on_event(&Event::Started(Arc::clone(&big)), now);
    for _ in 0..=100 {
        model.sample(now);
        now += TICK;
        big.add_written(1 << 20);
        Counters::add(&counters.bytes_written, 1 << 20);
    }
    (model, counters, big, now)
}

#[test]
fn while_nothing_moves_there_is_no_time_left_in_any_row_whatever_the_cause() {
    let second = Duration::from_secs(1);
    let silent = |cause| Event::Silent { lasted: 3 * second, cause };
    for (event, text) in [
        (silent(SilenceCause::NoAnswer), Some("no answer from box for 3s; trying again")),
        (silent(SilenceCause::NoRoute), Some("no route to box for 3s; trying again")),
        (Event::Reconnecting { attempt: 1, after: second, cause: "gone".into() }, None),
        (Event::Waiting { attempt: 1, after: second, cause: "full".into() }, None),
    ] {
        let (mut model, _, _, now) = half_done();
        let look = model.sample(now);
        assert!(look.eta.is_some() && look.files[0].doing == Doing::Moving);
        model.on_event(&event, now + TICK);
        let look = model.sample(now + TICK);
        assert_eq!((look.eta, look.files[0].doing, look.stall.as_deref()), (None, Doing::Stalled, text), "{event:?}");
    }
    let (mut model, _, _, now) = half_done();
    model.sample(now);
    let look = model.sample(now + 6 * second);
    assert_eq!((look.eta, look.files[0].doing), (None, Doing::Stalled));
    assert_eq!(look.stall.as_deref(), Some("nothing has moved for 6s; box is heard"));
}

#[test]
fn after_a_stall_the_averages_begin_again() {
    let (mut model, counters, big, mut now) = half_done();
    let end = now + TICK * 300;
    model.on_event(&Event::Silent { lasted: Duration::ZERO, cause: SilenceCause::NoAnswer }, now);
    while now < end {
        now += TICK;
        model.sample(now);
    }
    let mut move_on = |now: Instant| {
        big.add_written(1 << 20);
        Counters::add(&counters.bytes_written, 1 << 20);
        model.sample(now)
    };
    // Written bytes are a sign of life, even before the connection is reported.
    assert_eq!(move_on(now + TICK).speed, Speed::Unknown);
    let look = move_on(now + TICK * 2);
    let Speed::Moving(rate) = look.speed else { panic!("{:?}", look.speed) };
    assert!((rate / f64::from(10 << 20) - 1.0).abs() < 1e-6, "{rate}");
    assert_eq!(look.eta.map(|eta| eta.as_secs()), Some(9));
    assert!(look.files[0].rate.is_some_and(|rate| (rate / f64::from(10 << 20) - 1.0).abs() < 1e-6));
}

#[test]
fn a_first_connection_that_nobody_answers_says_whom_it_waits_for() {
    let now = Instant::now();
    let mut model = Model::new(now, "192.0.2.1:1");
    assert_eq!(model.sample(now + TICK * 19).stall, None);
    let look = model.sample(now + TICK * 40);
    assert_eq!(look.stall.as_deref(), Some("no reply from 192.0.2.1:1/udp for 4s (firewall? wrong port?)"));
    model.on_event(&Event::Reconnecting { attempt: 1, after: TICK, cause: "no answer".into() }, now + TICK * 100);
    let speed = model.sample(now + TICK * 101).speed;
    assert_eq!(speed, Speed::Reconnecting { attempt: 1, wait: Duration::ZERO, is_first: true });
}

#[test]
fn a_lost_connection_counts_down_to_the_next_attempt() {
    let (mut model, _, now) = model();
    let lost = Event::Reconnecting { attempt: 2, after: Duration::from_secs(3), cause: "gone".into() };
    model.on_event(&lost, now);
    assert_eq!(
        model.sample(now + TICK * 10).speed,
        Speed::Reconnecting { attempt: 2, wait: Duration::from_secs(2), is_first: false }
    );
    model.on_event(&connected(), now);
    assert!(!model.sample(now + TICK * 11).speed.is_still());
}

#[test]
fn a_file_leaves_when_it_is_settled_in_any_way() {
    let (mut model, _, now) = model();
    let failure = Failure { status: Status::NoSpace, detail: String::new() };
    for name in ["a", "b", "c", "d"] {
        model.on_event(&Event::Started(file(name, 1, 0)), now);
    }
    model.on_event(&Event::Finished { file: file("a", 1, 0) }, now);
    model.on_event(&Event::Failed { path: "b".into(), failure, by_peer: false }, now);
    model.on_event(&Event::Skipped { path: "c".into(), size: 1, reason: SkipReason::Same }, now);
    let left: Vec<_> = model.sample(now).files.iter().map(|view| view.file.path.clone()).collect();
    assert_eq!(left, ["d"]);
}

#[test]
fn a_file_that_starts_again_keeps_its_age() {
    let (mut model, _, now) = model();
    model.on_event(&Event::Started(file("a", 100, 0)), now);
    model.sample(now);
    model.on_event(&Event::Started(file("a", 100, 64)), now + TICK * 20);
    let look = model.sample(now + TICK * 30);
    assert_eq!((look.files.len(), look.files[0].age, look.files[0].there), (1, TICK * 30, 64));
}

#[test]
fn directories_are_no_files_to_the_user() {
    let (mut model, counters, now) = model();
    Counters::add(&counters.files_found, 5);
    Counters::add(&counters.files_skipped, 1);
    Counters::add(&counters.files_done, 1);
    for reason in [SkipReason::Made, SkipReason::Same] {
        model.on_event(&Event::Skipped { path: "x".into(), size: 0, reason }, now);
    }
    let look = model.sample(now);
    assert_eq!((look.files_settled, look.files_found, look.tally.same), (1, 4, 1));
}
