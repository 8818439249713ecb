//! The path as the sending side sees it: for the receiver, the counters and a probe.

use std::sync::atomic::Ordering;

use quinn::Connection;

use crate::progress::{Counters, Observer};
use crate::protocol::message::{LinkReport, SenderStats};

/// This side's view of the path.
pub(crate) fn link_report(connection: &Connection) -> LinkReport {
    let path = connection.stats().path;
    LinkReport {
        rtt_us: path.rtt.as_micros() as u64,
        packets_sent: path.sent_packets,
        packets_lost: path.lost_packets,
        window: path.cwnd,
        mtu: path.current_mtu,
    }
}

/// Puts the sending side's view of the path into a job's counters.
pub(crate) fn record_link(observer: &Observer, report: &LinkReport) {
    let counters = observer.counters();
    counters.rtt_us.store(report.rtt_us, Ordering::Relaxed);
    counters.packets_sent.store(report.packets_sent, Ordering::Relaxed);
    counters.packets_lost.store(report.packets_lost, Ordering::Relaxed);
    counters.window.store(report.window, Ordering::Relaxed);
    counters.mtu.store(report.mtu.into(), Ordering::Relaxed);
}

/// Adds to a job's counters how the sender's time went.
pub(crate) fn add_sender_stats(counters: &Counters, stats: &SenderStats) {
    Counters::add(&counters.acked, stats.acked);
    Counters::add(&counters.acked_idle, stats.acked_idle);
    Counters::add(&counters.read_wait_us, stats.read_wait_us);
    Counters::add(&counters.write_wait_us, stats.write_wait_us);
    Counters::add(&counters.sender_us, stats.elapsed_us);
    Counters::add(&counters.sender_processor_us, stats.processor_us);
}
