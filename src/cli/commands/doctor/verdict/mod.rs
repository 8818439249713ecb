//! From the figures of a path to plain words: what limits it, and the one command that would help.

use std::time::Duration;

use crate::cli::text::size;
use crate::cli::ui::link::needed;
use crate::client::{Count, DirectionProbe};
use crate::transport::limits::STREAM_RECEIVE_WINDOW;
use crate::transport::{Granted, SOCKET_BUFFER_BYTES};

/// From this share of a core on, the thread that drives a connection has no time left.
const BUSY: f64 = 0.9;
/// A rate that grows by this factor from the third quarter of a test to the fourth has not settled.
const GROWING: f64 = 1.25;
/// Loss up to which a transfer takes little longer than without. The controller bears more, but what is lost is sent again.
const LOSS_CHEAP: f64 = 0.10;
/// Loss that is worth a word.
const LOSS_NOTED: f64 = 0.01;
/// Loss that points to a buffer, where a buffer is too small.
const LOSS_OF_BUFFERS: f64 = 0.001;
/// Share of the window that counts as all of it: the rest is under way back.
const WINDOW_FULL: f64 = 0.9;
/// A queue that others on the link feel: a round trip this much longer under load.
const QUEUE_NOTED: Duration = Duration::from_millis(50);
/// Sending that is this many times slower than getting is worth a word.
const LOPSIDED: f64 = 4.0;

/// One direction, as figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DirectionFigures {
    /// Bytes per second once it had settled.
    pub(super) rate: f64,
    /// The rate of the last quarter over that of the third.
    pub(super) growth: f64,
    /// Share of packets lost.
    pub(super) loss: f64,
    /// Round trip under load.
    pub(super) rtt: Duration,
    /// Packet size in bytes.
    pub(super) mtu: u16,
    /// Cores that this process used, and that the server's thread used.
    pub(super) cpu: Sides<f64>,
    /// The sender's buffer for what leaves.
    pub(super) send: Side<usize>,
    /// The receiver's buffer for what arrives.
    pub(super) receive: Side<usize>,
}

/// A figure of each side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sides<T> {
    pub(super) here: T,
    pub(super) there: T,
}

/// A figure of one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Side<T> {
    Here(T),
    There(T),
}

impl<T: Copy> Side<T> {
    fn value(self) -> T {
        match self {
            Self::Here(value) | Self::There(value) => value,
        }
    }
}

/// The bottleneck of a direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bottleneck {
    /// The link carries no more.
    Link,
    /// More is lost than can be made up for.
    Loss,
    /// It had not settled when the test ended.
    Time,
    ProcessorHere,
    ProcessorThere,
    /// A buffer for what arrives, which overflows.
    Receive(Side<usize>),
    /// A buffer for what leaves.
    Send(Side<usize>),
    /// The bytes that may be in flight.
    Window,
}

impl Bottleneck {
    /// A short word for programs.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Loss => "loss",
            Self::Time => "time",
            Self::ProcessorHere => "cpu_here",
            Self::ProcessorThere => "cpu_there",
            Self::Receive(Side::Here(_)) => "receive_buffer_here",
            Self::Receive(Side::There(_)) => "receive_buffer_there",
            Self::Send(Side::Here(_)) => "send_buffer_here",
            Self::Send(Side::There(_)) => "send_buffer_there",
            Self::Window => "window",
        }
    }
}

impl DirectionFigures {
    /// The figures of what goes to the server; `None` when nothing arrived.
    pub(super) fn up(leg: &DirectionProbe, here: Granted, there: Granted) -> Option<Self> {
        Self::of(leg, Side::Here(here.send), Side::There(there.receive))
    }

    /// The figures of what comes from the server.
    pub(super) fn down(leg: &DirectionProbe, here: Granted, there: Granted) -> Option<Self> {
        Self::of(leg, Side::There(there.send), Side::Here(here.receive))
    }

    fn of(leg: &DirectionProbe, send: Side<usize>, receive: Side<usize>) -> Option<Self> {
        let (rate, growth) = settled(&leg.counts)?;
        let loss = match leg.packets_sent {
            0 => 0.0,
            sent => leg.packets_lost as f64 / sent as f64,
        };
        let cpu = Sides { here: leg.local_cpu, there: leg.remote_cpu };
        Some(Self { rate, growth, loss, rtt: leg.rtt, mtu: leg.mtu, cpu, send, receive })
    }

    /// The bottleneck. The first that applies: without processor time all other figures are meaningless, and a rate
    /// that has not settled says nothing about the link.
    pub(super) fn limit(&self) -> Bottleneck {
        let under_way = self.rate * self.rtt.as_secs_f64();
        let needed = needed(self.rate).min(SOCKET_BUFFER_BYTES);
        match () {
            () if self.cpu.here >= BUSY => Bottleneck::ProcessorHere,
            () if self.cpu.there >= BUSY => Bottleneck::ProcessorThere,
            () if self.receive.value() < needed && self.loss >= LOSS_OF_BUFFERS => Bottleneck::Receive(self.receive),
            () if self.loss > LOSS_CHEAP => Bottleneck::Loss,
            () if self.growth >= GROWING => Bottleneck::Time,
            () if under_way >= WINDOW_FULL * f64::from(STREAM_RECEIVE_WINDOW) => Bottleneck::Window,
            () if self.send.value() < needed => Bottleneck::Send(self.send),
            () => Bottleneck::Link,
        }
    }
}

/// The rate over the second half of the counts, in bytes per second, and how much faster the last quarter was than the
/// one before it.
fn settled(counts: &[Count]) -> Option<(f64, f64)> {
    let last = counts.last()?;
    let at_share = |share: f64| counts.iter().find(|count| count.at >= last.at.mul_f64(share));
    let rate = |from: &Count, to: &Count| {
        let time = to.at.saturating_sub(from.at).as_secs_f64();
        (time > 0.0).then(|| to.bytes.saturating_sub(from.bytes) as f64 / time)
    };
    let (half, late) = (at_share(0.5)?, at_share(0.75)?);
    let Some(settled) = rate(half, last) else {
        // All of it came at once.
        let all = rate(&Count { at: Duration::ZERO, bytes: 0 }, last)?;
        return Some((all, 1.0));
    };
    let growth = match (rate(half, late), rate(late, last)) {
        (Some(before), Some(after)) if before > 0.0 => after / before,
        _ => 1.0,
    };
    Some((settled, growth))
}

/// The summary at the end.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Diagnosis {
    pub(super) lines: Vec<String>,
    /// The command that would help, and where it is to be run if that is not here.
    pub(super) remedy: Option<String>,
    /// Something other than the link's own rate is the limit, whether or not a command would help.
    pub(super) is_held_up: bool,
}

/// Interprets the figures. `name` is the server's name here, `idle` its round trip while nothing moved. `is_busy`:
/// other programs took this machine's time meanwhile, so that no figure tells what the link could do.
pub(super) fn judge(
    name: &str,
    idle: Duration,
    ways: (Option<DirectionFigures>, Option<DirectionFigures>),
    is_busy: bool,
) -> Diagnosis {
    let (up, down) = ways;
    if is_busy {
        return while_busy(name, up, down);
    }
    let mut verdict = Diagnosis::default();
    let ways = [(format!("to {name}"), up), (format!("from {name}"), down)];
    for (label, way) in ways.iter().filter_map(|(label, way)| way.map(|way| (label, way))) {
        let limit = way.limit();
        verdict.lines.push(format!("{label}: {}", sentence(limit, &way, name)));
        verdict.is_held_up |= limit != Bottleneck::Link;
        verdict.remedy = verdict.remedy.or_else(|| remedy(limit, &way, name));
    }
    if let (Some(up), Some(down)) = (up, down)
        && down.rate > LOPSIDED * up.rate
        && up.limit() == Bottleneck::Link
    {
        let times = (down.rate / up.rate).round();
        verdict.lines.push(format!("sending is {times} times slower than getting, as on many home lines"));
    }
    let loaded = ways.iter().filter_map(|(_, way)| way.map(|way| way.rtt)).max().unwrap_or_default();
    if loaded > idle + QUEUE_NOTED && loaded > idle * 2 {
        verdict.lines.push(format!(
            "under load the round trip grows from {} to {}: others on this link feel that",
            size::millis(idle),
            size::millis(loaded)
        ));
    }
    verdict
}

/// The verdict on figures that were taken while other programs took this machine's time.
fn while_busy(name: &str, up: Option<DirectionFigures>, down: Option<DirectionFigures>) -> Diagnosis {
    let measured = [("to", up), ("from", down)];
    let rate =
        |(label, way): (&str, Option<DirectionFigures>)| Some(format!("{} {label} {name}", size::bits(way?.rate)));
    let rates: Vec<_> = measured.into_iter().filter_map(rate).collect();
    if rates.is_empty() {
        return Diagnosis::default();
    }
    Diagnosis {
        lines: vec![format!("at least {}: this machine was too busy to tell more", rates.join(", "))],
        remedy: Some(format!("qft doctor {name}, when fewer programs run here")),
        is_held_up: true,
    }
}

fn sentence(limit: Bottleneck, way: &DirectionFigures, name: &str) -> String {
    let rate = size::bits(way.rate);
    match limit {
        Bottleneck::Link if way.loss >= LOSS_NOTED => format!(
            "the link is the limit; it carries about {rate}. Of the packets {:.1}% get lost, which costs no more than \
             that share",
            way.loss * 100.0
        ),
        Bottleneck::Link => format!("the link is the limit; it carries about {rate}, and qft fills it"),
        Bottleneck::Loss => format!(
            "the losses are the limit: {:.0}% of the packets do not arrive. Up to {:.0}% would cost little",
            way.loss * 100.0,
            LOSS_CHEAP * 100.0
        ),
        Bottleneck::Time => format!(
            "the time was too short: at {rate} it was still getting faster (round trip {})",
            size::millis(way.rtt)
        ),
        Bottleneck::ProcessorHere => format!("this machine's processor is the limit; it manages about {rate}"),
        Bottleneck::ProcessorThere => format!("the processor of {name} is the limit; it manages about {rate}"),
        Bottleneck::Receive(side) => {
            format!("packets get lost in {}, which is too small for {rate}", buffer(side, "receive", name))
        }
        Bottleneck::Send(side) => format!("{} is small for {rate}, which may be a limit", buffer(side, "send", name)),
        Bottleneck::Window => format!(
            "the round trip of {} is the limit: qft has at most {} under way",
            size::millis(way.rtt),
            size::bytes(STREAM_RECEIVE_WINDOW.into())
        ),
    }
}

fn buffer(side: Side<usize>, kind: &str, name: &str) -> String {
    let size = size::bytes(side.value() as u64);
    match side {
        Side::Here(_) => format!("this machine's UDP {kind} buffer ({size})"),
        Side::There(_) => format!("the UDP {kind} buffer of {name} ({size})"),
    }
}

fn remedy(limit: Bottleneck, way: &DirectionFigures, name: &str) -> Option<String> {
    let enough = Granted::WANTED;
    let (side, granted) = match limit {
        Bottleneck::Receive(side) => (side, Granted { receive: side.value(), ..enough }),
        Bottleneck::Send(side) => (side, Granted { send: side.value(), ..enough }),
        Bottleneck::Time if way.rtt > Duration::ZERO => return Some(format!("qft doctor --time 20s {name}")),
        _ => return None,
    };
    let command = granted.command(enough)?;
    Some(match side {
        Side::Here(_) => command,
        Side::There(_) => format!("on {name}: {command}"),
    })
}

#[cfg(test)]
mod tests;
