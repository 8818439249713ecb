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

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Semaphore;
use tokio::time::sleep_until;

use super::error::canonical;

/// What is let through, of the limit: clocks and counters on the way must not find more than was asked for.
const SHARE: f64 = 0.99;
/// Time that may be caught up after something was late. A pool that forgets sooner falls short of its rate: tokio's
/// timers are up to two milliseconds late, and on a busy machine either end waits many more for its turn. How fast that
/// leaves is still paced by QUIC.
const CATCH_UP: Duration = Duration::from_millis(20);
/// Time that one call may take of the rate, so that bursts stay small.
const CALL: Duration = Duration::from_millis(1);
/// A packet of a network path, to count them in a call.
const PACKET: u16 = 1452;

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
pub struct Throttle(Arc<Shared>);

struct Shared {
    rate: Rate,
    sent: Arc<Line>,
    received: Arc<Line>,
    /// Whose packets spend what may arrive, and how many connections each has; `None` is everybody's.
    known: Option<RwLock<HashMap<SocketAddr, usize>>>,
}

impl Shared {
    fn counts(&self, peer: SocketAddr) -> bool {
        let known = self.known.as_ref().map(|known| known.read().expect("no holder panics"));
        known.is_none_or(|known| known.contains_key(&canonical(peer)))
    }
}

/// A peer whose packets spend the limit, until this is dropped.
#[derive(Debug)]
pub(crate) struct Known {
    throttle: Throttle,
    peer: SocketAddr,
}

impl Known {
    /// The peer may have another address by now.
    pub(crate) fn is_at(&mut self, peer: SocketAddr) {
        if canonical(peer) != self.peer {
            *self = self.throttle.known(peer);
        }
    }
}

impl Drop for Known {
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
        let line = || Arc::new(Line::new(Pool::new(rate, Instant::now())));
        Self(Arc::new(Shared { rate, sent: line(), received: line(), known }))
    }

    /// From now on packets from there spend the limit.
    pub(crate) fn known(&self, peer: SocketAddr) -> Known {
        let peer = canonical(peer);
        if let Some(known) = &self.0.known {
            *known.write().expect("no holder panics").entry(peer).or_default() += 1;
        }
        Known { throttle: self.clone(), peer }
    }

    /// The rate that is never exceeded for long.
    pub fn rate(&self) -> Rate {
        self.0.rate
    }

    /// The time until what is handed over next has left, with packets of so many bytes: first what has left already is
    /// paid for, copies of it included, then one call that may have been ready before it.
    pub fn flush_time(&self, packet: u16) -> Duration {
        let call = f64::from(packet) * self.packets_in_call() as f64;
        let debt = self.0.sent.pool().debt(Instant::now());
        Duration::from_secs_f64((debt + call) / self.0.rate.per_second())
    }

    /// Puts the limit between a socket and its users.
    pub(super) fn wrap(&self, inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(Throttled { inner, throttle: self.clone(), place: Mutex::new(None) })
    }

    fn packets_in_call(&self) -> usize {
        self.packets_in_call_of(PACKET) as usize
    }

    /// Packets of `bytes` that one call may take, at least one.
    pub(super) fn packets_in_call_of(&self, bytes: u16) -> u32 {
        ((self.0.rate.per_second() * CALL.as_secs_f64() / f64::from(bytes)) as u32).max(1)
    }
}

impl Rate {
    fn per_second(self) -> f64 {
        self.0.get() as f64 * SHARE
    }
}

/// Bytes that may pass. It goes into debt by what passes at once, and the debt is waited for.
#[derive(Debug)]
struct Pool {
    /// Bytes per second.
    rate: f64,
    balance: f64,
    at: Instant,
}

impl Pool {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate: rate.per_second(), balance: 0.0, at: now }
    }

    /// `None` when something may pass now, else when to ask again.
    fn wait(&mut self, now: Instant) -> Option<Instant> {
        self.earn(now);
        // Less than a byte is what rounding leaves.
        (self.balance <= -1.0).then(|| now + Duration::from_secs_f64(-self.balance / self.rate))
    }

    fn earn(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.balance = (self.balance + earned).min(self.rate * CATCH_UP.as_secs_f64());
        self.at = self.at.max(now);
    }

    /// Bytes that have passed and are not paid for yet.
    fn debt(&mut self, now: Instant) -> f64 {
        self.earn(now);
        (-self.balance).max(0.0)
    }

    fn take(&mut self, bytes: usize) {
        self.balance -= bytes as f64;
    }
}

/// Those who wait for a pool. One after the other: who is always there would else take what has just been earned before
/// another has seen it, and a connection beside a busy one would not even get its farewell out.
#[derive(Debug)]
struct Line {
    pool: Mutex<Pool>,
    /// The permit of whoever is first.
    first: Semaphore,
}

/// A place in a line.
type Place = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl Line {
    fn new(pool: Pool) -> Self {
        Self { pool: Mutex::new(pool), first: Semaphore::new(1) }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().expect("no holder panics")
    }

    /// Waits until something may pass. `place` is kept until then; whoever gives it up lets the next one pass.
    fn poll(self: &Arc<Self>, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<()> {
        let nobody_waits = place.is_none() && self.first.try_acquire().is_ok();
        if nobody_waits && self.pool().wait(Instant::now()).is_none() {
            return Poll::Ready(());
        }
        let waiting = place.get_or_insert_with(|| Box::pin(self.clone().pass()));
        ready!(waiting.as_mut().poll(cx));
        *place = None;
        Poll::Ready(())
    }

    async fn pass(self: Arc<Self>) {
        // It is never closed.
        let _first = self.first.acquire().await;
        loop {
            let until = self.pool().wait(Instant::now());
            match until {
                Some(until) => sleep_until(until.into()).await,
                None => return,
            }
        }
    }
}

/// A socket behind a limit.
struct Throttled {
    inner: Arc<dyn AsyncUdpSocket>,
    throttle: Throttle,
    /// That of the one task that receives.
    place: Mutex<Option<Place>>,
}

impl AsyncUdpSocket for Throttled {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        let inner = self.inner.clone().create_io_poller();
        Box::pin(Poller { inner, throttle: self.throttle.clone(), place: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        self.throttle.0.sent.pool().take(transmit.contents.len());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let line = &self.throttle.0.received;
        ready!(line.poll(&mut self.place.lock().expect("no holder panics"), cx));
        let calls = self.throttle.packets_in_call().min(bufs.len());
        let count = ready!(self.inner.poll_recv(cx, &mut bufs[..calls], &mut meta[..calls]))?;
        let counted = meta[..count].iter().filter(|received| self.throttle.0.counts(received.addr));
        let bytes = counted.map(|received| received.len).sum();
        line.pool().take(bytes);
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments().min(self.throttle.packets_in_call())
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Says when one connection may send.
struct Poller {
    inner: Pin<Box<dyn UdpPoller>>,
    throttle: Throttle,
    place: Option<Place>,
}

impl fmt::Debug for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled")
            .field("inner", &self.inner)
            .field("throttle", &self.throttle)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("throttle", &self.throttle).finish_non_exhaustive()
    }
}

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.throttle.0.sent.poll(&mut this.place, cx));
        this.inner.as_mut().poll_writable(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Sends `call` bytes whenever the pool allows it, `late` after that; gives the bytes of each millisecond.
    fn run(rate: u64, call: usize, late: Duration, span: Duration) -> Vec<usize> {
        let start = Instant::now();
        let mut pool = Pool::new(Rate::new(rate).expect("not zero"), start);
        let mut sent = vec![0; span.as_millis() as usize];
        let mut now = start;
        while let Some(slot) = sent.get_mut((now - start).as_millis() as usize) {
            match pool.wait(now) {
                Some(until) => now = until + late,
                None => {
                    pool.take(call);
                    *slot += call;
                }
            }
        }
        sent
    }

    #[test]
    fn the_rate_holds_from_slow_to_fast_although_timers_are_late() {
        for (rate, call) in [(100_000, 1452), (10_000_000, 9 * 1452), (1_000_000_000, 65_000)] {
            for late in [0, 1, 3, 15] {
                let sent: usize = run(rate, call, Duration::from_millis(late), 20 * SECOND).iter().sum();
                let share = sent as f64 / 20.0 / rate as f64;
                assert!((0.98..=1.0).contains(&share), "{share} of {rate} B/s with timers {late} ms late");
            }
        }
    }

    #[test]
    fn bursts_are_no_longer_than_what_late_timers_make_up_for() {
        let rate = 10_000_000;
        let sent = run(rate, 9 * 1452, Duration::from_millis(1), SECOND);
        let most = *sent.iter().max().expect("a second has milliseconds");
        assert!(most as f64 <= rate as f64 * CATCH_UP.as_secs_f64(), "{most}");
    }

    #[test]
    fn silence_saves_nothing_up() {
        let start = Instant::now();
        let mut pool = Pool::new(Rate::new(1_000_000).expect("not zero"), start);
        let now = start + 60 * SECOND;
        let mut burst = 0;
        while pool.wait(now).is_none() {
            pool.take(1000);
            burst += 1000;
        }
        assert!(f64::from(burst) <= 1_000_000.0 * CATCH_UP.as_secs_f64() + 1000.0, "{burst}");
    }

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

    /// Passes through a line for a while, `bytes` a time, and counts them; `place` outlasts each time.
    async fn pass_through(line: Arc<Line>, bytes: usize, span: Duration) -> usize {
        let (mut place, mut passed, end) = (None, 0, Instant::now() + span);
        while Instant::now() < end {
            std::future::poll_fn(|cx| line.poll(&mut place, cx)).await;
            line.pool().take(bytes);
            passed += bytes;
        }
        passed
    }

    #[tokio::test]
    async fn who_sends_all_the_time_leaves_every_other_call_to_who_sends_beside_it() {
        let rate = Rate::new(2_000_000).expect("not zero");
        let throttle = Throttle::new(rate);
        let line = || throttle.0.sent.clone();
        let (one, other) = tokio::join!(
            tokio::spawn(pass_through(line(), 2000, SECOND)),
            tokio::spawn(pass_through(line(), 1000, SECOND))
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(other * 2 > one * 9 / 10 && other * 2 < one * 11 / 10, "{one} and {other}");
        assert!(one + other <= 2_000_000 + 3000, "{one} and {other}");
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
