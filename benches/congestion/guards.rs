//! `guards`: few cells that together show what a change of the controller may break, in a few minutes.

use std::path::Path;
use std::time::Duration;

use qft::congestion::Without;

use crate::cells::{Cell, Figure, Ours, beside, cell, changed, completion, crowd, goodput, mean, ms, resent, steady};
use crate::policer::policed;
use crate::rivals::{Match, Order, Rival, link};
use crate::sheet::Sheet;
use crate::sim::{Discipline, FlowConfig, LinkConfig, Loss, Policer, Stalls, Tls, bytes_in};

const NOTES: [&str; 2] = [
    "cargo bench --bench congestion -- guards [only=WORD] [out=FILE]; simulated time, the same on every machine",
    "figures as in ablation.txt",
];

/// Runs them, or those whose name or kind has `only` in it.
pub fn guards(out: Option<&Path>, only: Option<&str>) {
    let ours = Ours { without: Without::default(), tls: Tls::generate() };
    let mut sheet = Sheet::new(&NOTES);
    let chosen = |cell: &Cell| only.is_none_or(|only| cell.kind.contains(only) || cell.name.contains(only));
    for Cell { kind, name, run } in all().into_iter().filter(chosen) {
        let figures: Vec<_> = run(&ours).iter().map(Figure::shown).collect();
        sheet.line(&format!("{kind:<8} {name:<48}| {}", figures.join(" | ")));
    }
    sheet.save(out);
}

fn all() -> Vec<Cell> {
    [alone(), crowds(), competition(), marks(), policers()].into_iter().flatten().collect()
}

fn alone() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, rtt, loss) in [(10.0, 20.0, 1.0), (10.0, 300.0, 5.0), (100.0, 20.0, 0.0), (100.0, 300.0, 5.0)] {
        cells.push(cell("links", format!("{mbit}/{rtt}/{loss}"), move |ours| {
            steady(ours, link(mbit, rtt, loss, 1.0), 1)
        }));
    }
    for (rtt, loss) in [(100.0, 0.0), (200.0, 5.0)] {
        cells.push(cell("short", format!("64 MiB, 100/{rtt}/{loss}"), move |ours| {
            let flow = FlowConfig { body: Some(64 << 20), ..ours.flow() };
            completion(ours, link(100.0, rtt, loss, 1.0), flow, Duration::ZERO, 1)
        }));
    }
    let jittery = LinkConfig { jitter: ms(10), ..link(100.0, 40.0, 1.0, 1.0) };
    cells.push(cell("jitter", "100/40/1, jitter 10 ms".to_owned(), move |ours| steady(ours, jittery, 1)));
    let stalls = Some(Stalls { every: ms(100), longest: ms(20) });
    let stalling = LinkConfig { stalls, ..link(100.0, 100.0, 0.0, 1.0) };
    cells.push(cell("pauses", "100/100/0, up to 20 ms in 100".to_owned(), move |ours| steady(ours, stalling, 1)));
    let path = |mbit, rtt| link(mbit, rtt, 0.0, 1.0);
    for (name, at, to) in [("100 to 130 ms", path(100.0, 130.0), 22), ("100 to 20 Mbit/s", path(20.0, 100.0), 16)] {
        cells.push(cell("changes", name.to_owned(), move |ours| {
            changed(ours, ours.flow(), &[(8, at)], Loss::None, 10, to)
        }));
    }
    cells
}

fn crowds() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, rtt, flows, clocks) in [
        (50.0, 20.0, 2, 0),
        (50.0, 100.0, 2, 10_000),
        (100.0, 100.0, 8, 0),
        (100.0, 20.0, 16, 0),
        (100.0, 20.0, 16, 50),
        (100.0, 20.0, 16, 10_000),
    ] {
        let mut path = link(mbit, rtt, 0.0, 1.0);
        path.queue = bytes_in(path.rate, ms(20).max(path.delay * 2));
        let name = format!("{flows} at {mbit}/{rtt}, clocks {clocks} ms apart");
        cells.push(cell("crowds", name, move |ours| {
            // What comes of a crowd turns on when each begins.
            mean(3, |run| crowd(ours, path, flows, ms(560 + 70 * run), ms(clocks)))
        }));
    }
    cells
}

fn competition() -> Vec<Cell> {
    let mut cells = Vec::new();
    let (they, we) = (Order::TheyFirst, Order::OursFirst);
    for (rtt, loss, rival, rivals, order) in [
        (20.0, 0.0, Rival::Bbr1, 1, they),
        (50.0, 0.0, Rival::Bbr1, 1, they),
        (50.0, 0.0, Rival::Bbr1, 1, we),
        (50.0, 1.0, Rival::Bbr1, 1, they),
        (200.0, 0.0, Rival::Bbr1, 1, they),
        (50.0, 0.0, Rival::Bbr1, 4, they),
        (50.0, 0.0, Rival::Bbr3, 1, they),
        (50.0, 0.0, Rival::Bbr3, 4, we),
        (20.0, 0.0, Rival::Cubic, 1, they),
        (50.0, 0.0, Rival::Cubic, 1, they),
        (50.0, 0.0, Rival::Cubic, 1, we),
        (200.0, 0.0, Rival::Cubic, 1, they),
        (50.0, 0.0, Rival::Cubic, 4, they),
    ] {
        let who = if order == they { "they first" } else { "ours first" };
        let name = format!("100/{rtt}/{loss}, {}:{rivals}, {who}", rival.word());
        let of = Match { link: link(100.0, rtt, loss, 1.0), ours: 1, rival, rivals, order };
        cells.push(cell("beside", name, move |ours| beside(ours, &of, 1)));
    }
    cells
}

fn marks() -> Vec<Cell> {
    let step = Discipline::Step(ms(1));
    let mut cells = Vec::new();
    for (word, discipline) in [("step", step), ("codel", Discipline::CoDel), ("fq_codel", Discipline::FqCodel)] {
        let path = LinkConfig { discipline, ..link(100.0, 50.0, 0.0, 2.0) };
        let of = Match { link: path, ours: 1, rival: Rival::CubicEcn, rivals: 1, order: Order::TheyFirst };
        cells.push(cell("marks", format!("{word} 100/50 beside cubic+ecn"), move |ours| beside(ours, &of, 1)));
    }
    let marking = LinkConfig { discipline: step, ..link(100.0, 20.0, 0.0, 2.0) };
    cells.push(cell("marks", "step 100/20 alone".to_owned(), move |ours| steady(ours, marking, 1)));
    cells
}

fn policers() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, burst, rtt) in [(20.0, 64_000, 50.0), (48.0, 128_000, 20.0), (5.0, 32_000, 20.0)] {
        let policer = Policer { rate: (mbit * 1e6) as u64, burst };
        cells.push(cell("policer", format!("{mbit} Mbit/s, {} KB, RTT {rtt}", burst / 1000), move |ours| {
            let (share, lost) = policed(policer, rtt, ours.flow(), &ours.tls);
            vec![goodput(share), resent(lost)]
        }));
    }
    cells
}
