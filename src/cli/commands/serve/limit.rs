//! How many lines others can make this server write.
//!
//! Clients fail, and strangers are refused, as often as they like; a disk that holds the log is not theirs to fill. Of each
//! client and of each address some lines are written at once and then one now and then, and so of all together. What is
//! left out is counted, and the counts are written now and then.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Time between two looks at what was left out.
pub(super) const REPORT: Duration = Duration::from_secs(10);
/// Addresses and clients that are told apart; of more, those with nothing to tell are forgotten first.
const SOURCES_MAX: usize = 1024;

/// So many at once, then one in each interval.
#[derive(Debug, Clone, Copy)]
struct BurstLimit {
    burst: u32,
    each: Duration,
}

/// Of one client's failed files.
const FAILURES_OF_ONE: BurstLimit = BurstLimit { burst: 100, each: Duration::from_secs(10) };
/// Of one address that is refused, or of a client that comes and goes.
const CALLS_OF_ONE: BurstLimit = BurstLimit { burst: 30, each: Duration::from_secs(10) };
/// Of all of a kind together.
const ALL: BurstLimit = BurstLimit { burst: 1000, each: Duration::from_secs(1) };

/// The kinds of lines that are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LineKind {
    /// A file that failed.
    Failed,
    /// Somebody who was not let in.
    Refused,
    /// A connection that began or ended.
    Connection,
}

impl LineKind {
    fn of_one(self) -> BurstLimit {
        match self {
            Self::Failed => FAILURES_OF_ONE,
            Self::Refused | Self::Connection => CALLS_OF_ONE,
        }
    }
}

/// The source that lines are counted by: a connection, or an address (of IPv6 its /64 prefix) with all its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LineSource {
    Connection(SocketAddr),
    Address(IpAddr),
}

impl LineSource {
    /// The address of somebody who was not let in. Whoever has one IPv6 address has 2⁶⁴ of them.
    pub(super) fn address(addr: SocketAddr) -> Self {
        Self::Address(match addr.ip().to_canonical() {
            IpAddr::V6(ip) => IpAddr::from((ip.to_bits() >> 64 << 64).to_be_bytes()),
            ip => ip,
        })
    }
}

/// A virtual clock that runs ahead of the true one by what was written (the generic cell rate algorithm).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When all that was written would have come at the pace of one in each interval.
    due: Instant,
}

impl Bucket {
    fn has_room(self, pace: BurstLimit, now: Instant) -> bool {
        self.due.saturating_duration_since(now) + pace.each <= pace.each * pace.burst
    }

    fn take(&mut self, pace: BurstLimit, now: Instant) {
        self.due = self.due.max(now) + pace.each;
    }
}

/// Lines that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SuppressedLines {
    pub(super) kind: LineKind,
    pub(super) source: LineSource,
    pub(super) count: u64,
}

/// Decides which lines are written.
#[derive(Debug, Default)]
pub(super) struct Limits {
    all: HashMap<LineKind, Bucket>,
    of_one: HashMap<(LineKind, LineSource), (Bucket, u64)>,
    /// Of sources that were forgotten.
    forgotten: HashMap<LineKind, (LineSource, u64)>,
}

impl Limits {
    /// Whether a line may be written now; else it is counted.
    pub(super) fn allows(&mut self, kind: LineKind, source: LineSource, now: Instant) -> bool {
        self.make_room(now);
        let fresh = Bucket { due: now };
        let all = self.all.entry(kind).or_insert(fresh);
        let (own, left_out) = self.of_one.entry((kind, source)).or_insert((fresh, 0));
        if own.has_room(kind.of_one(), now) && all.has_room(ALL, now) {
            own.take(kind.of_one(), now);
            all.take(ALL, now);
            return true;
        }
        *left_out += 1;
        false
    }

    /// The number of suppressed lines of a source, which is forgotten.
    pub(super) fn end(&mut self, kind: LineKind, source: LineSource) -> u64 {
        self.of_one.remove(&(kind, source)).map_or(0, |(_, left_out)| left_out)
    }

    /// The suppressed lines since the last call: of each kind the source with the most, with the sum over all.
    pub(super) fn report(&mut self) -> Vec<SuppressedLines> {
        let mut sums: HashMap<LineKind, (LineSource, u64, u64)> = HashMap::new();
        let told =
            self.of_one.iter_mut().map(|((kind, source), (_, left_out))| (*kind, *source, std::mem::take(left_out)));
        let forgotten =
            std::mem::take(&mut self.forgotten).into_iter().map(|(kind, (source, count))| (kind, source, count));
        for (kind, source, count) in told.chain(forgotten).filter(|(_, _, count)| *count > 0) {
            let (most, of_most, sum) = sums.entry(kind).or_insert((source, 0, 0));
            if count > *of_most {
                (*most, *of_most) = (source, count);
            }
            *sum += count;
        }
        let mut report: Vec<SuppressedLines> =
            sums.into_iter().map(|(kind, (source, _, count))| SuppressedLines { kind, source, count }).collect();
        report.sort_by_key(|left_out| left_out.kind as u8);
        report
    }

    /// Forgets sources, first those that could write as much if they were new.
    fn make_room(&mut self, now: Instant) {
        if self.of_one.len() < SOURCES_MAX {
            return;
        }
        self.of_one.retain(|_, (bucket, left_out)| bucket.due > now || *left_out > 0);
        if self.of_one.len() >= SOURCES_MAX {
            for ((kind, source), (_, left_out)) in self.of_one.drain() {
                let (last, count) = self.forgotten.entry(kind).or_insert((source, 0));
                (*last, *count) = (source, *count + left_out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(number: u32, port: u16) -> SocketAddr {
        (std::net::Ipv4Addr::from(0x0a00_0000 + number), port).into()
    }

    #[test]
    fn of_many_failures_some_are_told_and_the_rest_is_counted() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let source = LineSource::Connection(stranger(1, 1));
        let told =
            |limits: &mut Limits, now| (0..10_000).filter(|_| limits.allows(LineKind::Failed, source, now)).count();
        assert_eq!(told(&mut limits, start), FAILURES_OF_ONE.burst as usize);
        let report = limits.report();
        assert_eq!(
            report,
            [SuppressedLines { kind: LineKind::Failed, source, count: 10_000 - u64::from(FAILURES_OF_ONE.burst) }]
        );
        assert_eq!(limits.report(), [], "once");
        assert_eq!(told(&mut limits, start + 3 * FAILURES_OF_ONE.each), 3);
        assert_eq!(limits.end(LineKind::Failed, source), 9997);
        let other = LineSource::Connection(stranger(2, 1));
        assert!(limits.allows(LineKind::Failed, other, start), "one client's failures hide no other's");
    }

    #[test]
    fn strangers_from_everywhere_write_no_more_than_all_may() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let many = 100_000;
        let told =
            (0..many).filter(|n| limits.allows(LineKind::Refused, LineSource::address(stranger(*n, 7)), now)).count();
        assert_eq!(told, ALL.burst as usize);
        assert!(limits.of_one.len() <= SOURCES_MAX);
        let [SuppressedLines { kind: LineKind::Refused, count, .. }] = limits.report()[..] else { panic!("one line") };
        assert_eq!(count, u64::from(many - ALL.burst));
        assert!(
            limits.allows(LineKind::Connection, LineSource::address(stranger(1, 1)), now),
            "clients are told of all the same"
        );
    }

    #[test]
    fn the_ports_of_an_address_and_the_addresses_of_a_prefix_are_one_source() {
        assert_eq!(LineSource::address(stranger(1, 1)), LineSource::address(stranger(1, 2)));
        let [one, same, other] = ["[2001:db8::1]:1", "[2001:db8::ffff:2]:1", "[2001:db8:0:1::1]:1"]
            .map(|addr| LineSource::address(addr.parse().expect("an address")));
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(
            LineSource::address("[::ffff:10.0.0.1]:1".parse().expect("an address")),
            LineSource::address(stranger(1, 1))
        );
    }
}
