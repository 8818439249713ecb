//! `beside` and `ecn`: ours beside others, in queues that drop and in queues that mark.

use std::path::Path;
use std::time::Duration;

use crate::rivals::{Match, Order, Outcome, Rival, link, ours};
use crate::sheet::{Row, Sheet};
use crate::sim::{Discipline, LinkConfig, Tls};

/// Least share of either, beside one other flow...
const EITHER: f64 = 0.3;
/// ... and shares of one flow in what would be fair, beside several.
const FAIR_LEAST: f64 = 0.6;
const FAIR_MOST: f64 = 1.8;
/// What the other must get where it would not get [`EITHER`] if it were alone.
const OF_ALONE: f64 = 0.5;
/// A second in which ours has less than this many Mbit/s is a standstill.
const STANDSTILL: f64 = 0.1;
/// Share of the link alone...
const FULL: f64 = 0.95;
/// ... and when the others have gone, in three seconds of which a drain may take a part.
const FULL_AFTER: f64 = 0.92;
const STEP: Discipline = Discipline::Step(Duration::from_millis(1));

const BESIDE_NOTES: [&str; 7] = [
    "cargo bench --bench congestion -- beside out=benches/congestion/beside.txt; simulated time, the same on every machine",
    "Mbit/s / round trip in ms / loss in percent, queue in round trips, who began; the second began 5 s later",
    "shares in % of the link's limit from the 10th to the 25th second, all of ours and all of theirs; fair = 100 / flows",
    "slowest second of ours in Mbit/s, re-sent in %, mean queue in ms; others end at 25 s: ours in % and the queue from 28 s",
    "cubic: RFC 9438 with Linux's HyStart; bbr: version 1 as in Linux; bbr3: draft-ietf-ccwg-bbr",
    "bounds: one other: either has >= 30 (or half of what it has alone, if less); several: 0.6 to 1.8 of a fair share each",
    "no second below 0.1 Mbit/s; when the others have gone >= 92 % and a queue of <= 10 ms or RTT / 10",
];

/// Ours beside others, in drop-tail queues.
pub fn beside(out: Option<&Path>, only: Option<&str>) {
    let tls = Tls::generate();
    let mut sheet = Sheet::new(&BESIDE_NOTES);
    let mut alone = Alone::default();
    let chosen = |name: &String| only.is_none_or(|only| name.contains(only));
    for (title, cells) in [("the first table", first_table()), ("the grid", grid()), ("several", several())] {
        sheet.line(&format!("# {title}"));
        for (name, cell) in cells.into_iter().filter(|(name, _)| chosen(name)) {
            let outcome = cell.run(&ours, &tls, 1);
            let missed = missed(&cell, &outcome, alone.share(&cell, &tls));
            sheet.put(&Row { name, figures: figures(&outcome), missed });
        }
    }
    sheet.finish(out);
}

fn figures(outcome: &Outcome) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!(
        "ours {:5.1} theirs {:5.1} slowest {:5.1} re-sent {:5.1} queue {:5.0} | after {:5.1} {:4.0}",
        outcome.ours * 100.0,
        outcome.theirs * 100.0,
        outcome.slowest,
        outcome.resent * 100.0,
        ms(outcome.queue),
        outcome.after * 100.0,
        ms(outcome.queue_after),
    )
}

fn missed(cell: &Match, outcome: &Outcome, alone: f64) -> Vec<&'static str> {
    let (ours, rivals) = (cell.ours as f64, cell.rivals as f64);
    let (least, most, theirs) = if cell.ours + cell.rivals == 2 {
        (EITHER, 1.0, EITHER.min(OF_ALONE * alone))
    } else {
        let fair = 1.0 / (ours + rivals);
        (FAIR_LEAST * fair, FAIR_MOST * fair, (FAIR_LEAST * fair).min(OF_ALONE * alone))
    };
    let queue_max = (cell.link.delay * 2 / 10).max(Duration::from_millis(10));
    [
        (outcome.ours / ours < least, "ours"),
        (outcome.ours / ours > most, "too much"),
        (outcome.theirs / rivals < theirs, "theirs"),
        (outcome.slowest < STANDSTILL, "standstill"),
        (outcome.after < FULL_AFTER, "full after"),
        (outcome.queue_after > queue_max, "queue after"),
    ]
    .into_iter()
    .filter_map(|(is_missed, name)| is_missed.then_some(name))
    .collect()
}

/// What others have where ours is not.
#[derive(Default)]
struct Alone {
    known: Vec<(String, f64)>,
}

impl Alone {
    /// The share of one of them.
    fn share(&mut self, cell: &Match, tls: &Tls) -> f64 {
        let key = format!("{:?} {} {:?}", cell.rival, cell.rivals, cell.link);
        if let Some((_, share)) = self.known.iter().find(|(known, _)| *known == key) {
            return *share;
        }
        let alone = Match { ours: 0, order: Order::OursFirst, ..cell.clone() };
        let share = alone.run(&ours, tls, 1).theirs / cell.rivals as f64;
        self.known.push((key, share));
        share
    }
}

fn named(mbit: f64, rtt: f64, loss: f64, queue: f64, rival: Rival, rivals: usize, order: Order) -> (String, Match) {
    let who = if order == Order::TheyFirst { "they first" } else { "ours first" };
    let name = format!("{mbit}/{rtt}/{loss}, queue {queue}, {}:{rivals}, {who}", rival.word());
    (name, Match { link: link(mbit, rtt, loss, queue), ours: 1, rival, rivals, order })
}

/// What was measured with kernel TCP over the emulator.
fn first_table() -> Vec<(String, Match)> {
    let cell = |mbit, rtt, loss, rival, rivals, order| named(mbit, rtt, loss, 1.0, rival, rivals, order);
    vec![
        cell(100.0, 20.0, 0.0, Rival::Bbr1, 1, Order::TheyFirst),
        cell(100.0, 50.0, 0.0, Rival::Bbr1, 1, Order::TheyFirst),
        cell(100.0, 200.0, 0.0, Rival::Bbr1, 1, Order::TheyFirst),
        cell(100.0, 50.0, 0.0, Rival::Bbr1, 1, Order::OursFirst),
        cell(100.0, 50.0, 1.0, Rival::Bbr1, 1, Order::TheyFirst),
        cell(100.0, 50.0, 0.0, Rival::Bbr1, 4, Order::TheyFirst),
        cell(80.0, 40.0, 0.0, Rival::Bbr1, 3, Order::TheyFirst),
        cell(100.0, 20.0, 0.0, Rival::Cubic, 1, Order::TheyFirst),
        cell(100.0, 50.0, 0.0, Rival::Cubic, 1, Order::TheyFirst),
        cell(100.0, 200.0, 0.0, Rival::Cubic, 1, Order::TheyFirst),
        cell(100.0, 50.0, 0.0, Rival::Cubic, 1, Order::OursFirst),
        cell(100.0, 50.0, 0.0, Rival::Cubic, 4, Order::TheyFirst),
    ]
}

/// The corners of what is promised beside one other, and its middle.
fn grid() -> Vec<(String, Match)> {
    let mut cells = Vec::new();
    for rival in [Rival::Bbr1, Rival::Bbr3, Rival::Cubic] {
        for mbit in [30.0, 100.0] {
            for rtt in [20.0, 50.0, 200.0] {
                for (loss, queue) in [(0.0, 0.5), (0.0, 1.0), (0.0, 2.0), (0.0, 4.0), (1.0, 0.5), (1.0, 2.0)] {
                    for order in [Order::TheyFirst, Order::OursFirst] {
                        cells.push(named(mbit, rtt, loss, queue, rival, 1, order));
                    }
                }
            }
        }
    }
    cells
}

fn several() -> Vec<(String, Match)> {
    let mut cells = Vec::new();
    for rival in [Rival::Bbr1, Rival::Bbr3, Rival::Cubic] {
        for (mbit, rtt) in [(100.0, 20.0), (100.0, 50.0), (50.0, 100.0)] {
            for (rivals, order) in [(2, Order::TheyFirst), (4, Order::OursFirst), (8, Order::TheyFirst)] {
                cells.push(named(mbit, rtt, 0.0, 1.0, rival, rivals, order));
            }
        }
    }
    cells
}

const ECN_NOTES: [&str; 5] = [
    "cargo bench --bench congestion -- ecn out=benches/congestion/ecn.txt; simulated time, the same on every machine",
    "step: marks what waited more than 1 ms; codel: 5 ms for 100 ms, one queue; fq_codel: the same for each flow, in turn",
    "ours sends ECT(0), the link has a queue of two round trips; alone, or beside one that was there first",
    "as in beside.txt; marked: packets of all flows in %",
    "bounds: as in beside.txt; alone >= 95 %, queue <= 10 ms",
];

/// Queues that mark.
pub fn ecn(out: Option<&Path>, only: Option<&str>) {
    let tls = Tls::generate();
    let mut sheet = Sheet::new(&ECN_NOTES);
    for (word, discipline) in [("step", STEP), ("codel", Discipline::CoDel), ("fq_codel", Discipline::FqCodel)] {
        for (mbit, rtt) in [(100.0, 20.0), (100.0, 50.0), (30.0, 50.0), (100.0, 200.0)] {
            for (rival, rivals) in [
                (None, 0),
                (Some(Rival::Cubic), 1),
                (Some(Rival::CubicEcn), 1),
                (Some(Rival::Bbr1), 1),
                (Some(Rival::Bbr3), 1),
            ] {
                let name = format!("{word} {mbit}/{rtt} {}", rival.map_or("alone", Rival::word));
                if only.is_some_and(|only| !name.contains(only)) {
                    continue;
                }
                let link = LinkConfig { discipline, ..link(mbit, rtt, 0.0, 2.0) };
                let order = if rivals == 0 { Order::OursFirst } else { Order::TheyFirst };
                let cell = Match { link, ours: 1, rival: rival.unwrap_or(Rival::Cubic), rivals, order };
                let outcome = cell.run(&ours, &tls, 1);
                let figures = format!("{} | marked {:5.2}", figures(&outcome), outcome.marked * 100.0);
                sheet.put(&Row { name, figures, missed: missed_marking(&cell, &outcome) });
            }
        }
    }
    sheet.finish(out);
}

fn missed_marking(cell: &Match, outcome: &Outcome) -> Vec<&'static str> {
    if cell.rivals > 0 {
        return missed(cell, outcome, 1.0);
    }
    let most = Duration::from_millis(10);
    let found = [(outcome.ours < FULL, "goodput"), (outcome.queue > most, "queue")];
    found.into_iter().filter_map(|(is_missed, name)| is_missed.then_some(name)).collect()
}
