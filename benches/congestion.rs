//! What our congestion controller makes of simulated links, beside quinn's Cubic and BBR, beside TCP, and without parts of it.
//!
//! All figures are simulated time: they are the same on every machine. `out=FILE` writes what is printed.
//!
//! * `cargo bench --bench congestion -- [--quick] [WORD=VALUE ...]`: alone on a link, where WORD is `cc` (ours, cubic, bbr),
//!   `rate` (Mbit/s), `rtt` (ms) or `loss` (percent); values may be lists: `rate=10,100 loss=5`. The whole table takes an
//!   hour and a half on a slow core (10 Gbit/s is a million packets a second), `--quick` about a minute. `out=FILE` puts the
//!   cells into a file beside those of earlier runs; the repository has them in `benches/congestion.txt`.
//! * `-- beside`: beside CUBIC and BBR as Linux has them and BBRv3, first or second, one or several; `-- ecn`: in queues
//!   that mark; `-- policer`: behind token buckets. `only=WORD` leaves cells whose name has the word.
//! * `-- guards`: some forty cells of all kinds, the first to look at after a change; `only=WORD` as above.
//! * `-- tcp`: TCP alone and beside TCP, to be held against the kernel's over the emulator (`benches/congestion/tcp.txt`).
//! * `-- without=all`, or names of mechanisms with commas between, or `nothing`: what each mechanism of the controller is
//!   worth. `only=WORD` as above, or a kind of cells.
#![allow(unreachable_pub)]

#[path = "congestion/ablation.rs"]
mod ablation;
#[path = "congestion/beside.rs"]
mod beside;
#[path = "congestion/cells.rs"]
mod cells;
#[path = "congestion/guards.rs"]
mod guards;
#[path = "congestion/policer.rs"]
mod policer;
#[path = "congestion/rivals.rs"]
mod rivals;
#[path = "congestion/sheet.rs"]
mod sheet;
#[path = "congestion/table.rs"]
mod table;
#[path = "congestion/tcp.rs"]
mod tcp;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use qft::congestion::{ControllerConfig, PathState};
use qft_sim as sim;
use quinn_proto::congestion::{BbrConfig, CubicConfig};
use sim::{Factory, FlowConfig, LinkConfig, Loss, Report, Scenario, Tls, run};
use table::{Link, Table};

const RATES_MBIT: [f64; 4] = [10.0, 100.0, 1000.0, 10_000.0];
const RTTS_MS: [f64; 5] = [1.0, 20.0, 100.0, 300.0, 600.0];
const LOSSES_PERCENT: [f64; 6] = [0.0, 0.1, 1.0, 3.0, 5.0, 10.0];
const CONTROLLERS: [&str; 3] = ["ours", "cubic", "bbr"];
/// Columns of the file: the controllers, and what ours missed.
const COLUMNS: [&str; 4] = ["ours", "cubic", "bbr", "ours: longest start-up queue in ms, bounds missed"];
const VERDICT: usize = 3;
const NOTES: [&str; 5] = [
    "cargo bench --bench congestion -- out=benches/congestion.txt; simulated time, the same on every machine",
    "a cell: goodput in % of the limit (0.956 x rate), packets re-sent in %, mean standing queue in ms",
    "start-up is not in it but for its longest queue; the link has a queue of one round trip, at least 20 ms",
    "cubic and bbr: quinn's; bbr gets an acknowledgement for every second packet",
    "bounds: goodput >= 95 %, re-sent <= loss + 1.5, queue <= 10 ms or RTT / 10, start-up queue <= RTT or 20 ms",
];

/// What the command line leaves of the table.
struct Selection {
    rates: Vec<f64>,
    rtts: Vec<f64>,
    losses: Vec<f64>,
    controllers: Vec<String>,
    /// Where the cells go, besides standard output.
    out: Option<PathBuf>,
}

impl Selection {
    fn from_args() -> Self {
        let mut chosen = Self {
            rates: RATES_MBIT.to_vec(),
            rtts: RTTS_MS.to_vec(),
            losses: LOSSES_PERCENT.to_vec(),
            controllers: CONTROLLERS.map(str::to_owned).to_vec(),
            out: None,
        };
        for arg in std::env::args().skip(1) {
            if arg == "--quick" {
                (chosen.rates, chosen.rtts) = (vec![10.0, 100.0], vec![20.0, 100.0]);
                chosen.losses = vec![0.0, 1.0, 5.0, 10.0];
            } else if let Some((word, values)) = arg.split_once('=') {
                chosen.narrow(word, values);
            }
        }
        chosen
    }

    fn narrow(&mut self, word: &str, values: &str) {
        let numbers = || values.split(',').map(|value| value.parse().expect("a number")).collect();
        match word {
            "cc" => self.controllers = values.split(',').map(str::to_owned).collect(),
            "rate" => self.rates = numbers(),
            "rtt" => self.rtts = numbers(),
            "loss" => self.losses = numbers(),
            "out" => self.out = Some(values.into()),
            other => panic!("{other}: not one of cc, rate, rtt, loss, out"),
        }
    }
}

fn factory(name: &str) -> Factory {
    match name {
        "ours" => Arc::new(ControllerConfig::new(Arc::new(PathState::default()))),
        "cubic" => Arc::new(CubicConfig::default()),
        "bbr" => Arc::new(BbrConfig::default()),
        other => panic!("{other}: not one of ours, cubic, bbr"),
    }
}

/// One cell. Start-up gets the doublings it needs and eight round trips; then enough is measured to hold a drain or two
/// at moderate rates, less where a second is a million packets.
fn scenario(name: &str, mbit: f64, rtt_ms: f64, loss_percent: f64) -> Scenario {
    let rate = (mbit * 1e6) as u64;
    let rtt = Duration::from_secs_f64(rtt_ms / 1e3);
    let link = LinkConfig::new(rate, rtt);
    let loss = if loss_percent > 0.0 { Loss::Random(loss_percent / 100.0) } else { Loss::None };
    let mut flow = FlowConfig::new(factory(name));
    if name == "bbr" {
        // It measures the gaps between acknowledgements: thin ones would be unfair to it.
        flow.ack_threshold = None;
    }
    let mut scenario = Scenario::new(link, flow).loss(loss);
    let packets = rate as f64 / 8.0 * rtt.as_secs_f64() / 1452.0;
    let doublings = (packets / 64.0).max(1.0).log2();
    let (start_s, measured_s) = if mbit <= 100.0 {
        (2.0, 25.0)
    } else if mbit <= 1000.0 {
        (1.0, 4.0)
    } else {
        (0.2, 1.0)
    };
    scenario.measure_from = Duration::from_secs_f64(start_s) + rtt.mul_f64(doublings + 8.0);
    scenario.end = scenario.measure_from + Duration::from_secs_f64(measured_s).max(rtt * 10);
    scenario
}

fn cell(report: &Report) -> String {
    let flow = &report.flows[0];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let lost_connection = if flow.closed.is_some() { " CLOSED" } else { "" };
    format!("{:6.1} {:6.2} {:6.1}{lost_connection}", flow.share * 100.0, flow.resent * 100.0, ms(report.queue_mean))
}

/// What of the bounds our controller missed here.
fn missed(report: &Report, rtt_ms: f64, loss_percent: f64) -> String {
    let flow = &report.flows[0];
    let queue_max = Duration::from_secs_f64((rtt_ms * 0.1).max(10.0) / 1e3);
    let mut missed = Vec::new();
    if flow.share < 0.95 {
        missed.push("goodput");
    }
    if flow.resent * 100.0 > loss_percent + 1.5 {
        missed.push("re-sent");
    }
    if report.queue_mean > queue_max {
        missed.push("queue");
    }
    // A window of ten packets may be more than the product; the queue of such a path is 20 ms in any case.
    if report.link.start_queue_max > Duration::from_secs_f64(rtt_ms.max(20.0) / 1e3) {
        missed.push("start-up queue");
    }
    missed.join(", ")
}

/// One link with every controller chosen: its cells by column.
fn row(chosen: &Selection, tls: &Tls, mbit: f64, rtt: f64, loss: f64) -> Vec<(usize, String)> {
    let mut cells = Vec::new();
    for name in &chosen.controllers {
        let report = run(&scenario(name, mbit, rtt, loss), tls);
        let column = CONTROLLERS.iter().position(|known| known == name).expect("the factory knows no other");
        cells.push((column, cell(&report)));
        if name == "ours" {
            let start = report.link.start_queue_max.as_secs_f64() * 1e3;
            cells.push((VERDICT, format!("{start:.1} {}", missed(&report, rtt, loss))));
        }
    }
    cells
}

/// The value of `word=` on the command line.
fn value_of<'a>(words: &'a [String], word: &str) -> Option<&'a str> {
    words.iter().find_map(|given| given.strip_prefix(word)?.strip_prefix('='))
}

fn main() {
    // The last word comes from cargo.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (out, only) = (value_of(&words, "out").map(Path::new), value_of(&words, "only"));
    if let Some(names) = value_of(&words, "without") {
        return ablation::without(names, out, only);
    }
    match words.first().map(String::as_str) {
        Some("beside") => beside::beside(out, only),
        Some("ecn") => beside::ecn(out, only),
        Some("policer") => policer::policer(out),
        Some("guards") => guards::guards(out, only),
        Some("tcp") => tcp::tcp(),
        _ => links(),
    }
}

/// Ours, and quinn's two, each alone on a link.
fn links() {
    let chosen = Selection::from_args();
    let tls = Tls::generate();
    NOTES.iter().skip(1).for_each(|note| println!("{note}"));
    for &mbit in &chosen.rates {
        for &rtt in &chosen.rtts {
            for &loss in &chosen.losses {
                let cells = row(&chosen, &tls, mbit, rtt, loss);
                let line: Vec<_> = cells.iter().map(|(column, cell)| format!("{} {cell}", COLUMNS[*column])).collect();
                println!("{mbit:6} {rtt:6} {loss:6} | {}", line.join(" | "));
                if let Some(file) = &chosen.out {
                    // After each row, and read anew: a run may be broken off, and two may fill one table.
                    let mut table = Table::new(&COLUMNS);
                    table.load(file).expect("the table can be read");
                    cells.into_iter().for_each(|(column, cell)| table.set(Link::new(mbit, rtt, loss), column, cell));
                    table.save(file, &NOTES).expect("the table can be written");
                }
            }
        }
    }
}
