use super::*;
use crate::protocol::message::{Failure, Status};

const TICK: Duration = Duration::from_millis(100);

fn file(path: &str, size: u64, resumed: u64) -> Arc<FileProgress> {
    Arc::new(FileProgress::new(path.to_owned(), size, resumed, Why::New))
}

fn model() -> (Model, Arc<Counters>, Instant) {
    let now = Instant::now();
    let mut model = Model::new(now);
    let counters = Arc::new(Counters::default());
    model.set_counters(Arc::clone(&counters));
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
    file.set_phase(Phase::Checking);
    model.sample(now);
    assert!(matches!(model.sample(now + TICK * 90).speed, Speed::Moving(_)));
    file.set_phase(Phase::Moving);
    assert_eq!(model.sample(now + TICK * 160).speed, Speed::Stalled(TICK * 70));
}

#[test]
fn a_file_is_saved_when_all_of_it_can_be_there() {
    let (mut model, _, now) = model();
    let (big, small) = (file("big", 100 << 20, 0), file("small", 5, 0));
    for file in [&big, &small] {
        model.on_event(&Event::Started(Arc::clone(file)), now);
        file.set_phase(Phase::Committing);
    }
    let look = model.sample(now);
    assert_eq!((look.files[0].phase, look.files[0].there), (Phase::Moving, 0), "on its way");
    assert_eq!((look.files[1].phase, look.files[1].there), (Phase::Committing, 5), "nothing is reported of it");
    big.add_written(100 << 20);
    assert_eq!(model.sample(now + TICK).files[0].phase, Phase::Committing);
}

#[test]
fn a_lost_connection_counts_down_to_the_next_attempt() {
    let (mut model, _, now) = model();
    let lost = Event::Reconnecting { attempt: 2, after: Duration::from_secs(3), cause: "gone".into() };
    model.on_event(&lost, now);
    assert_eq!(model.sample(now + TICK * 10).speed, Speed::Reconnecting(2, Duration::from_secs(2)));
    let addr = "192.0.2.1:1".parse().expect("an address");
    model.on_event(&Event::Connected { addr, peer: "box".into(), enrolled: false }, now);
    assert!(!matches!(model.sample(now + TICK * 11).speed, Speed::Reconnecting(..)));
}

#[test]
fn a_file_leaves_when_it_is_settled_in_any_way() {
    let (mut model, _, now) = model();
    let failure = Failure { status: Status::NoSpace, detail: String::new() };
    for name in ["a", "b", "c", "d"] {
        model.on_event(&Event::Started(file(name, 1, 0)), now);
    }
    model.on_event(&Event::Finished { file: file("a", 1, 0) }, now);
    model.on_event(&Event::Failed { path: "b".into(), failure }, now);
    model.on_event(&Event::Skipped { path: "c".into(), size: 1, reason: SkipReason::Same }, now);
    let left: Vec<_> = model.sample(now).files.iter().map(|view| view.file.path.clone()).collect();
    assert_eq!(left, ["d"]);
}

#[test]
fn a_file_that_starts_again_keeps_its_age() {
    let (mut model, _, now) = model();
    model.on_event(&Event::Started(file("a", 100, 0)), now);
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
