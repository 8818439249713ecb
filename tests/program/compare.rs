//! The parts of the comparison (`benches/compare`) that need no network: rate, delay and loss of the emulated link come
//! out as asked, results survive being saved, and the charts are what the results say.

#[allow(dead_code, reason = "the measuring uses more of it")]
#[path = "../../benches/compare/carried.rs"]
mod carried;
#[path = "../../benches/compare/chart.rs"]
mod chart;
#[path = "../../benches/compare/counters.rs"]
mod counters;
#[path = "../../benches/compare/ecn.rs"]
mod ecn;
#[path = "../../benches/compare/lane.rs"]
mod lane;
#[allow(dead_code, reason = "the command line uses more of it")]
#[path = "../../benches/compare/links.rs"]
mod links;
#[allow(dead_code, reason = "the measuring uses more of it")]
#[path = "../../benches/compare/load.rs"]
mod load;
#[path = "../../benches/compare/model.rs"]
mod model;
#[path = "../../benches/compare/page.rs"]
mod page;
#[allow(dead_code, reason = "the measuring uses more of it")]
#[path = "../../benches/compare/results.rs"]
mod results;
#[allow(dead_code, reason = "the measuring uses more of it")]
#[path = "../../benches/compare/table.rs"]
mod table;

use std::fs;
use std::path::Path;

use counters::Counters;
use lane::Lane;
use links::LinkSpec;
use load::{Kind, Load};
use proptest::prelude::*;
use results::{Cell, Machine, Outcome, Results};

/// A full packet.
const PACKET: usize = 1500;
const SECOND: u64 = 1_000_000_000;

fn link(text: &str) -> LinkSpec {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Offers numbered full packets at so many times the link's rate, for so long; when each that came out was due.
fn offered(link: &LinkSpec, times_the_rate: f64, seconds: f64, seed: u64) -> (Lane, Vec<(u32, u64)>) {
    let mut lane = Lane::new(link.config(), seed);
    let packets = link.mbit * 1e6 / 8.0 / PACKET as f64 * seconds * times_the_rate;
    let gap = seconds * SECOND as f64 / packets;
    let mut packet = vec![0; PACKET];
    let mut out = Vec::new();
    for number in 0..packets as u32 {
        packet[..4].copy_from_slice(&number.to_le_bytes());
        let now = (f64::from(number) * gap) as u64;
        lane.offer(now, &packet);
        lane.deliver(now, |due, packet| {
            assert!(due <= now, "nothing comes out early");
            out.push((number_of(packet), due));
        });
    }
    lane.deliver(u64::MAX, |due, packet| out.push((number_of(packet), due)));
    (lane, out)
}

fn number_of(packet: &[u8]) -> u32 {
    assert_eq!(packet.len(), PACKET, "packets stay whole");
    u32::from_le_bytes(packet[..4].try_into().expect("four bytes"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_link_carries_its_rate_and_no_more(mbit in 5.0..300.0_f64, rtt in 10.0..300.0_f64, times in 1.2..4.0_f64) {
        let link = link(&format!("{mbit}/{rtt}/0"));
        let (lane, out) = offered(&link, times, 2.0, 1);
        // While more is offered than fits, it is never idle: count between the first and the last that came out.
        let span = (out[out.len() - 1].1 - out[0].1) as f64 / SECOND as f64;
        let carried = (out.len() - 1) as f64 * PACKET as f64 * 8.0 / span / 1e6;
        prop_assert!((carried / mbit - 1.0).abs() < 0.001, "{carried} of {mbit} Mbit/s");
        let stats = lane.stats();
        prop_assert_eq!(out.len() as u64 + stats.queue_drops, stats.offered_packets);
        prop_assert!(stats.queue_drops > 0);
        prop_assert_eq!(lane.bytes(), stats.offered_packets * PACKET as u64);
    }

    #[test]
    fn packets_are_delayed_by_half_a_round_trip_and_by_one_in_the_queue_at_most(
        mbit in 5.0..300.0_f64, rtt in 20.0..300.0_f64, times in 0.3..3.0_f64,
    ) {
        let link = link(&format!("{mbit}/{rtt}/0"));
        let (_, out) = offered(&link, times, 2.0, 1);
        let gap = PACKET as f64 * 8.0 / (mbit * 1e6 * times);
        let service = PACKET as f64 * 8.0 / (mbit * 1e6) * 1e3;
        for (number, due) in out {
            let delay = due as f64 / 1e6 - f64::from(number) * gap * 1e3;
            let least = rtt / 2.0 + service;
            let most = if times < 1.0 { least } else { rtt * 1.5 };
            prop_assert!((least - 0.01..=most + 0.01).contains(&delay), "{delay} ms, not {least} to {most}");
        }
    }

    #[test]
    fn the_share_that_was_asked_for_is_lost_in_runs_of_the_length_that_was_asked_for(
        percent in 0.5..20.0_f64, burst in prop_oneof![Just(1.0), 2.0..8.0_f64], seed: u64,
    ) {
        let link = link(&format!("300/20/{percent}/{burst}"));
        let (lane, out) = offered(&link, 0.9, 20.0, seed >> 1);
        let stats = lane.stats();
        let lost = stats.lost_packets as f64;
        let packets = stats.offered_packets as f64;
        prop_assert_eq!(stats.queue_drops, 0);
        prop_assert_eq!(out.len() as f64 + lost, packets);
        // Six standard deviations: bursts of a mean length b are b geometric losses at once, so about 2b times the variance.
        let share = percent / 100.0;
        let deviation = (packets * share * (1.0 - share) * 2.0 * burst).sqrt();
        prop_assert!((lost - packets * share).abs() < 6.0 * deviation, "{} % of {percent} %", lost * 100.0 / packets);
        // A run begins where numbers jump; independent losses make runs of 1 / (1 - p).
        let runs = out.windows(2).filter(|pair| pair[1].0 > pair[0].0 + 1).count() as f64;
        let expected = if burst > 1.0 { burst } else { 1.0 / (1.0 - share) };
        let found = lost / runs;
        prop_assert!((found / expected - 1.0).abs() < 6.0 * (1.0 / runs).sqrt(), "runs of {found}, not {expected}");
    }

    #[test]
    fn the_same_seed_loses_the_same_packets_and_nothing_overtakes(seed: u64, other: u64) {
        prop_assume!(seed >> 1 != other >> 1);
        let link = link("50/40/5");
        let numbers = |seed: u64| offered(&link, 1.5, 2.0, seed >> 1).1.into_iter().map(|(number, _)| number);
        let first: Vec<_> = numbers(seed).collect();
        prop_assert!(first.is_sorted());
        prop_assert_eq!(&first, &numbers(seed).collect::<Vec<_>>());
        prop_assert_ne!(&first, &numbers(other).collect::<Vec<_>>());
    }
}

#[test]
fn a_link_is_read_as_it_is_written() {
    assert_eq!(link("100/50/0").to_string(), "100 Mbit/s, RTT 50 ms, no loss");
    assert_eq!(link("2.5/600/0.1").to_string(), "2.5 Mbit/s, RTT 600 ms, 0.1 % loss");
    assert_eq!(link("100/100/1/5").to_string(), "100 Mbit/s, RTT 100 ms, 1 % loss in bursts of 5");
    for wrong in ["", "100", "100/50", "100/50/x", "0/50/1", "100/50/100", "100/50/1/0.5", "1/2/3/4/5", "NaN/1/1"] {
        assert!(wrong.parse::<LinkSpec>().is_err(), "{wrong}");
    }
}

#[test]
fn a_load_takes_a_link_as_long_as_its_rate_without_headers_allows() {
    let on = |name: &str| {
        let link = link(name);
        Load::of(Kind::Large, &link, false).time_on(&link).as_secs_f64()
    };
    assert!((on("20/300/3") - 28.1).abs() < 0.1, "{}", on("20/300/3"));
    assert!((on("500/100/1") - 4.5).abs() < 0.1, "{}", on("500/100/1"));
}

#[test]
fn no_link_is_measured_twice_and_each_chart_has_its_own() {
    let all = LinkSpec::chosen("all").expect("known");
    for (number, link) in all.iter().enumerate() {
        assert!(!all[..number].contains(link), "{link}");
    }
    assert!(all.iter().filter(|link| link.is_of_losses()).count() >= 4);
    assert!(all.iter().filter(|link| link.is_of_round_trips()).count() >= 4);
    assert!(LinkSpec::chosen("100/100/1/5").is_ok_and(|links| !links[0].is_of_losses()));
}

/// Results in which one tool gets done everywhere and the other only without loss.
fn results() -> Results {
    let machine = Machine { processor: "Quick & <Small>".to_owned(), cores: 2, kernel: "6.1".to_owned() };
    let mut results = Results::new(machine);
    for link in LinkSpec::chosen("all").expect("known") {
        for tool in ["qft", "other"] {
            let done = tool == "qft" || link.loss_percent == 0.0;
            let seconds = if done { 6.0 + link.loss_percent } else { 60.0 };
            results.put(Cell {
                link,
                load: Load::of(Kind::Large, &link, false),
                tool: tool.to_owned(),
                version: "1".to_owned(),
                date: "2026-01-31".to_owned(),
                run: "2026-01-31T12:00:00Z".to_owned(),
                command: "link=all".to_owned(),
                outcome: if done { Outcome::Done } else { Outcome::Stopped },
                seconds,
                all_seconds: vec![seconds],
                arrived: if done { 64 << 20 } else { 1 << 20 },
                core_seconds: done.then_some(0.5),
                there: Counters::default(),
                back: Counters::default(),
            });
        }
    }
    results
}

#[test]
fn results_are_read_as_they_were_saved_and_a_new_one_takes_the_old_ones_place() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("results.json");
    assert!(Results::load(&path).expect("it may be missing").is_none());
    let mut all = results();
    all.save(&path).expect("saved");
    assert_eq!(Results::load(&path).expect("read"), Some(all.clone()));
    let (cells, mut again) = (all.cells.len(), all.cells[3].clone());
    again.seconds = 1.25;
    all.put(again.clone());
    assert_eq!((all.cells.len(), &all.cells[3]), (cells, &again));
}

#[test]
fn a_copy_that_differs_lacks_a_file_or_has_one_more_is_found_out() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let load = Load { kind: Kind::Small, files: 3, size: 100_000 };
    let source = load.make(dir.path()).expect("made");
    let copy = dir.path().join("copy");
    let fresh = || {
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).expect("made");
        for entry in fs::read_dir(&source).expect("listed") {
            let path = entry.expect("listed").path();
            fs::copy(&path, copy.join(path.file_name().expect("it has a name"))).expect("copied");
        }
        let mut paths: Vec<_> =
            fs::read_dir(&copy).expect("listed").map(|entry| entry.expect("listed").path()).collect();
        paths.sort();
        paths
    };
    fresh();
    load::compare(&source, &copy).expect("the same");
    assert_eq!(load::arrived(&copy).expect("read"), load.bytes());
    let mut content = fs::read(&fresh()[1]).expect("read");
    content[99_999] ^= 1;
    fs::write(&fresh()[1], &content).expect("written");
    load::compare(&source, &copy).expect_err("one bit");
    fs::remove_file(&fresh()[2]).expect("removed");
    load::compare(&source, &copy).expect_err("one less");
    fs::write(fresh()[0].with_extension("more"), "").expect("written");
    load::compare(&source, &copy).expect_err("one more");
    fs::File::options().write(true).open(&fresh()[0]).and_then(|file| file.set_len(99_999)).expect("cut");
    load::compare(&source, &copy).expect_err("one byte less");
}

#[test]
fn room_that_was_only_reserved_has_not_arrived() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::File::create(dir.path().join("part")).and_then(|file| file.set_len(1 << 20)).expect("made");
    assert_eq!(load::arrived(dir.path()).expect("read"), 0);
}

#[test]
fn a_chart_shows_what_was_done_and_what_was_not() {
    let svg = chart::draw(&results(), Kind::Large).expect("enough for a chart");
    assert!(chart::draw(&results(), Kind::Small).is_none(), "nothing was measured with small files");
    for part in ["One file of 64 MiB", ">qft<", ">other<", "0.1 %", "300 ms", "&amp; &lt;Small&gt;, Linux 6.1"] {
        assert!(svg.contains(part), "{part} is missing");
    }
    // One hollow mark for each place where the other was stopped: four losses, four round trips.
    assert_eq!(svg.matches("fill-opacity").count(), 8);
    assert!(svg.contains("prefers-color-scheme:dark"));
    assert_eq!(svg.matches("<g").count(), svg.matches("</g>").count());
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn the_table_says_who_was_stopped_and_how_far_it_came() {
    let text = table::terminal(&results());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("stopped; 1.0 of 64.0 MiB had arrived"), "{text}");
    assert!(text.contains(">60.00"), "{text}");
}

#[test]
fn the_page_compares_with_qft_and_says_where_the_figures_come_from() {
    let mut results = results();
    let page = page::page(&results);
    for part in [
        "## One file of 64 MiB",
        "| seconds | qft | other |",
        "| 100 Mbit/s, RTT 100 ms, no loss | 6.0 | 6.0 (1.0x) |",
        "| 100 Mbit/s, RTT 100 ms, 1 % loss | 7.0 | > 60 (> 8.6x) |",
        "| 500 Mbit/s, RTT 100 ms, 1 % loss (one file of 256 MiB) | 7.0 |",
        "](large.svg)",
        "Linux 6.1, 2026-01-31",
        "* other: 1\n",
        "    cargo bench --bench compare -- link=all\n",
    ] {
        assert!(page.contains(part), "{part} is missing:\n{page}");
    }
    assert!(!page.contains("small.svg"), "nothing was measured with small files");
    let again =
        results.cells.iter_mut().find(|cell| cell.tool == "qft" && cell.link == link("100/100/1")).expect("there");
    again.run = "2026-02-01T12:00:00Z".to_owned();
    again.there.late_percent = 3.0;
    assert!(!page.contains("was busy"), "{page}");
    let page = page::page(&results);
    assert!(page.contains("1 % loss | 7.0\\* | > 60 |"), "figures of two runs were compared:\n{page}");
    assert!(page.contains("`*`: the machine was busy"), "{page}");
}

#[test]
fn a_chart_says_within_what_time_nothing_was_done() {
    let mut results = results();
    let said = |results: &Results| chart::draw(results, Kind::Large).expect("enough for a chart");
    assert_eq!(said(&results).matches(">not done within 60 s<").count(), 2);
    let is_on_both = |cell: &Cell| cell.tool == "other" && cell.link == link("100/100/1");
    let at = results.cells.iter().position(is_on_both).expect("there");
    results.cells[at].seconds = 20.0;
    assert_eq!(said(&results).matches(">not done within 20 to 60 s<").count(), 2);
    results.cells[at].outcome = Outcome::Failed("why".to_owned());
    assert_eq!(said(&results).matches(">not done within 60 s, or failed<").count(), 2);
    assert_eq!(said(&results).matches("class=\"band\"").count(), 2);
    results.cells.retain(|cell| cell.tool == "qft");
    assert!(!said(&results).contains("class=\"band\""), "all were done");
}

#[test]
fn table_and_charts_in_the_repository_are_those_of_the_results_beside_them() {
    const REMEDY: &str = "cargo bench --bench compare -- --redraw out=benches/compare";
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare");
    let saved = Results::load(&dir.join("results.json")).expect("it can be read");
    for kind in Kind::ALL {
        let drawn = saved.as_ref().and_then(|results| chart::draw(results, kind));
        let there = fs::read_to_string(dir.join(kind.word()).with_extension("svg")).ok();
        assert_eq!(drawn, there, "{REMEDY}");
    }
    let there = fs::read_to_string(dir.join("table.md")).ok();
    assert_eq!(saved.as_ref().map(page::page), there, "{REMEDY}");
}

/// A full IPv4 packet of this protocol to this port, with this ECN field and the right checksum.
fn ip_packet(protocol: u8, port: u16, ecn: u8) -> Vec<u8> {
    let mut packet = vec![0; PACKET];
    (packet[0], packet[1], packet[8], packet[9]) = (0x45, ecn, 64, protocol);
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    packet
}

/// The sum over an IPv4 header as a receiver makes it: all ones when it is right.
fn checksum(packet: &[u8]) -> u16 {
    let words = packet[..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[test]
fn a_marking_queue_marks_what_can_be_marked_and_leaves_a_valid_header() {
    const ECT0: u8 = 0b10;
    const CE: u8 = 0b11;
    let mut config = link("10/20/0").config();
    config.discipline = model::link::Discipline::Step(std::time::Duration::from_millis(1));
    for (sent, last) in [(ECT0, CE), (0, 0)] {
        let mut lane = Lane::new(config, 1);
        (0..5).for_each(|_| lane.offer(0, &ip_packet(17, 4433, sent)));
        let mut fields = Vec::new();
        lane.deliver(SECOND, |_, packet| {
            assert_eq!(checksum(packet), u16::MAX);
            fields.push(packet[1]);
        });
        // The second waits 1.2 ms for the first.
        assert_eq!(fields, [sent, last, last, last, last]);
        let carried = lane.carried().snapshot();
        assert_eq!(carried.marked[carried::Side::Ours as usize], if sent == ECT0 { 4 } else { 0 });
    }
}

#[test]
fn what_is_ours_and_what_is_theirs_is_counted_apart() {
    let mut lane = Lane::new(link("10/20/0").config(), 1);
    lane.offer(0, &ip_packet(17, 4433, 0));
    lane.offer(0, &ip_packet(6, 5201, 0));
    lane.offer(0, &ip_packet(6, 5202, 0));
    // TCP in the place of ours.
    lane.offer(0, &ip_packet(6, carried::OURS_FROM_PORT, 0));
    // A ping belongs to nobody.
    lane.offer(0, &ip_packet(1, 0, 0));
    let carried = lane.carried().snapshot();
    assert_eq!(carried.packets, [2, 2]);
    assert_eq!(carried.bytes, [2 * PACKET as u64; 2]);
}

#[test]
fn a_policer_lets_its_burst_and_its_rate_through() {
    let mut config = link("100/20/0").config();
    config.policer = Some(model::policer::Policer { rate: 12_000_000, burst: 15_000 });
    let mut lane = Lane::new(config, 1);
    // 1000 packets a second is its rate; twice that is offered for a second.
    (0..2000).for_each(|number| lane.offer(number * 500_000, &[0; PACKET]));
    let mut through = 0;
    lane.deliver(2 * SECOND, |_, _| through += 1);
    assert!((1005..=1011).contains(&through), "{through}");
}
