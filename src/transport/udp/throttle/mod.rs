//! A limit on bytes per second, where packets meet the socket.
//!
//! A window cannot hold a rate on a short path: four packets each 60 µs are 90 MB/s already. So the socket itself says "not
//! yet". All connections of the socket, and all sockets that are given the same [`Throttle`], share one pool each way, first
//! come first served; a congestion controller above sees a link of that rate and fills it without a queue.
//!
//! A server's limit is for what its clients send: packets of strangers, whom nobody asked for them, spend nothing of it.
//! They have arrived already, and a flood of them would else be a lock-out for everybody.
//!
//! What is sent waits in the sender. What arrives waits in the system's buffer for the socket, so the peer slows down by
//! its own congestion control, whatever that is.

mod line;
mod socket;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use quinn::AsyncUdpSocket;

use self::line::{ThrottleQueue, TokenBucket};
use self::socket::Throttled;
use super::layer::layered;
use crate::transport::canonical;
use crate::transport::limits::MTU_NETWORK;

/// What is let through, of the limit: clocks and counters on the way must not find more than was asked for.
const SHARE: f64 = 0.99;
/// Time that one call may take of the rate, so that bursts stay small.
const CALL: Duration = Duration::from_millis(1);
/// A packet of a network path, to count them in a call.
const PACKET: u16 = MTU_NETWORK;

/// A rate in bytes of UDP payload per second; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// `None` for zero: nothing would ever move.
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        NonZeroU64::new(bytes_per_second).map(Self)
    }

    /// Bytes of UDP payload per second.
    pub fn bytes_per_second(self) -> u64 {
        self.0.get()
    }
}

/// A limit that everything which is given a clone of it shares: as much may be sent, and as much may arrive.
#[derive(Clone)]
pub struct Throttle(Arc<ThrottleInner>);

struct ThrottleInner {
    rate: Rate,
    sent: Arc<ThrottleQueue>,
    received: Arc<ThrottleQueue>,
    /// The peers whose packets are charged to the limit, and how many connections each has; `None` is all peers.
    known: Option<RwLock<HashMap<SocketAddr, usize>>>,
}

impl ThrottleInner {
    fn counts(&self, peer: SocketAddr) -> bool {
        let known = self.known.as_ref().map(|known| known.read().expect("no holder panics"));
        known.is_none_or(|known| known.contains_key(&canonical(peer)))
    }
}

/// A peer whose packets spend the limit, until this is dropped.
#[derive(Debug)]
pub(crate) struct ThrottledPeer {
    throttle: Throttle,
    peer: SocketAddr,
}

impl ThrottledPeer {
    /// The peer may have another address by now.
    pub(crate) fn is_at(&mut self, peer: SocketAddr) {
        if canonical(peer) != self.peer {
            *self = self.throttle.known(peer);
        }
    }
}

impl Drop for ThrottledPeer {
    fn drop(&mut self) {
        let Some(known) = &self.throttle.0.known else { return };
        let mut known = known.write().expect("no holder panics");
        if let Some(count) = known.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                known.remove(&self.peer);
            }
        }
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Throttle").field(&self.0.rate).finish()
    }
}

impl Throttle {
    /// A limit of its own.
    pub fn new(rate: Rate) -> Self {
        Self::with(rate, None)
    }

    /// The same for a server: only packets of peers that are known spend what may arrive.
    pub(crate) fn of_known_peers(rate: Rate) -> Self {
        Self::with(rate, Some(RwLock::default()))
    }

    fn with(rate: Rate, known: Option<RwLock<HashMap<SocketAddr, usize>>>) -> Self {
        let line = || Arc::new(ThrottleQueue::new(TokenBucket::new(rate, Instant::now())));
        Self(Arc::new(ThrottleInner { rate, sent: line(), received: line(), known }))
    }

    /// From now on packets from there spend the limit.
    pub(crate) fn known(&self, peer: SocketAddr) -> ThrottledPeer {
        let peer = canonical(peer);
        if let Some(known) = &self.0.known {
            *known.write().expect("no holder panics").entry(peer).or_default() += 1;
        }
        ThrottledPeer { throttle: self.clone(), peer }
    }

    /// The rate that is never exceeded for long.
    pub fn rate(&self) -> Rate {
        self.0.rate
    }

    /// The time until what is handed over next has left, with packets of so many bytes: first what has left already is
    /// paid for, copies of it included, then one call that may have been ready before it.
    pub(crate) fn flush_time(&self, packet: u16) -> Duration {
        let call = f64::from(packet) * self.packets_in_call() as f64;
        let debt = self.0.sent.pool().debt(Instant::now());
        Duration::from_secs_f64((debt + call) / self.0.rate.per_second())
    }

    /// Puts the limit between a socket and its users.
    pub(super) fn wrap(&self, inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        layered(Throttled::new(inner, self.clone()))
    }

    fn packets_in_call(&self) -> usize {
        self.packets_in_call_of(PACKET) as usize
    }

    /// Packets of `bytes` that one call may take, at least one.
    pub(in crate::transport) fn packets_in_call_of(&self, bytes: u16) -> u32 {
        ((self.0.rate.per_second() * CALL.as_secs_f64() / f64::from(bytes)) as u32).max(1)
    }
}

impl Rate {
    fn per_second(self) -> f64 {
        self.0.get() as f64 * SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_last_waits_for_what_has_left_before_it_however_large_its_packets() {
        let throttle = Throttle::new(Rate::new(100_000).expect("not zero"));
        let idle = throttle.flush_time(1452);
        assert!((0.014..0.016).contains(&idle.as_secs_f64()), "one packet of 1452 bytes: {idle:?}");
        throttle.0.sent.pool().take(3 * 6500);
        let busy = throttle.flush_time(6500);
        // Time passes here, too.
        assert!((0.15..0.27).contains(&busy.as_secs_f64()), "four packets of 6500 bytes: {busy:?}");
    }

    #[test]
    fn a_server_counts_what_comes_from_those_it_knows_wherever_they_are_now() {
        let rate = Rate::new(1000).expect("not zero");
        let addr = |host: u8| SocketAddr::from(([10, 0, 0, host], 1));
        assert!(Throttle::new(rate).0.counts(addr(1)), "of a client everything counts");
        let throttle = Throttle::of_known_peers(rate);
        let (mut first, second) = (throttle.known(addr(1)), throttle.known(addr(1)));
        let mapped = "[::ffff:10.0.0.1]:1".parse().expect("an address");
        assert!(throttle.0.counts(mapped) && !throttle.0.counts(addr(2)));
        first.is_at(addr(2));
        assert!(throttle.0.counts(addr(1)) && throttle.0.counts(addr(2)));
        drop(second);
        assert!(!throttle.0.counts(addr(1)));
        drop(first);
        assert!(!throttle.0.counts(addr(2)));
    }

    #[test]
    fn nothing_per_second_is_no_rate() {
        assert_eq!(Rate::new(0), None);
        assert_eq!(Rate::new(5).map(Rate::bytes_per_second), Some(5));
    }
}
