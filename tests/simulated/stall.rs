//! A receiver whose disk stops for two seconds on a fast, far and lossy link: the connection lives, in bounded memory.
//!
//! It goes on reading, as the product does: left unread, so many gaps would make QUIC give the connection up.
//!
//! What is measured is the memory of a process of its own. It holds both ends, the packets between them
//! and the sender's unacknowledged bytes, so the bound is harder to keep here than for either end alone.

use std::sync::Arc;
use std::time::Duration;

use crate::alone::is_alone;
use crate::sim::{Brake, FlowConfig, LinkConfig, Loss, Scenario, Tls, run};
use qft::congestion::ControllerConfig;
use qft::transport::limits::{RECEIVE_WINDOW, STREAM_RECEIVE_WINDOW};

const MIB: u64 = 1 << 20;
/// As the product holds its peer back while the disk is behind.
const BRAKE: Brake = Brake { kept: 48 * MIB, window: MIB as u32 };
/// What a process may take on such a link. The simulated receiver counts what it keeps instead of holding it.
const RESIDENT_MAX: u64 = 256 * MIB;

/// The most that was ever resident, in bytes.
fn resident_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_receiver_that_stalls_on_a_fast_far_lossy_link_neither_ends_it_nor_fills_the_memory() {
    if !is_alone("stall::a_receiver_that_stalls_on_a_fast_far_lossy_link_neither_ends_it_nor_fills_the_memory") {
        return;
    }
    let stalled = Duration::from_secs(6)..Duration::from_secs(8);
    let mut flow = FlowConfig::new(Arc::new(ControllerConfig::default()));
    flow.stall = Some((stalled.start, stalled.end - stalled.start));
    flow.stream_window = STREAM_RECEIVE_WINDOW.into();
    flow.brake = Some(BRAKE);
    let link = LinkConfig::new(1_000_000_000, Duration::from_millis(300));
    let mut scenario = Scenario::new(link, flow).loss(Loss::Random(0.1));
    scenario.trace_every = Duration::from_millis(100);
    scenario.end = Duration::from_secs(12);
    let report = run(&scenario, &Tls::generate());
    let flow = &report.flows[0];
    assert_eq!(flow.closed, None);
    let at = |time| flow.trace.iter().find(|point| point.at >= time).expect("traced").delivered;
    // What came in the stall is written at once when it ends; two seconds later that is past.
    let before = at(stalled.start) - at(stalled.start - Duration::from_secs(1));
    let after = at(stalled.end + Duration::from_secs(3)) - at(stalled.end + Duration::from_secs(2));
    println!("{} MiB/s before, {} after, {} MiB kept", before / MIB, after / MIB, flow.kept_max / MIB);
    assert_eq!(at(stalled.end - Duration::from_millis(100)), at(stalled.start), "nothing is written while it stalls");
    assert!(before > 60 * MIB && after > before * 9 / 10, "{} MiB/s before, {} after", before / MIB, after / MIB);
    // What was granted before the brake may still come.
    let kept_max = BRAKE.kept + u64::from(RECEIVE_WINDOW + 2 * BRAKE.window);
    assert!((BRAKE.kept..=kept_max).contains(&flow.kept_max), "{} MiB kept", flow.kept_max / MIB);
    let peak = resident_peak() + flow.kept_max;
    assert!(peak < RESIDENT_MAX, "{} MiB", peak / MIB);
}
