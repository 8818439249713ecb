//! The line at a rate limit: the bytes that may pass, and those who wait.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep_until;

use super::Rate;

/// Time that may be caught up after something was late. A pool that forgets sooner falls short of its rate: tokio's
/// timers are up to two milliseconds late, and on a busy machine either end waits many more for its turn. How fast that
/// leaves is still paced by QUIC.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Bytes that may pass. It goes into debt by what passes at once, and the debt is waited for.
#[derive(Debug)]
pub(super) struct TokenBucket {
    /// Bytes per second.
    rate: f64,
    balance: f64,
    at: Instant,
}

impl TokenBucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
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
    pub(super) fn debt(&mut self, now: Instant) -> f64 {
        self.earn(now);
        (-self.balance).max(0.0)
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.balance -= bytes as f64;
    }
}

/// Those who wait for a pool. One after the other: who is always there would else take what has just been earned before
/// another has seen it, and a connection beside a busy one would not even get its CONNECTION_CLOSE out.
#[derive(Debug)]
pub(super) struct ThrottleQueue {
    pool: Mutex<TokenBucket>,
    /// The permit of whoever is first.
    first: Semaphore,
}

/// A place in a line.
pub(super) type Place = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl ThrottleQueue {
    pub(super) fn new(pool: TokenBucket) -> Self {
        Self { pool: Mutex::new(pool), first: Semaphore::new(1) }
    }

    pub(super) fn pool(&self) -> MutexGuard<'_, TokenBucket> {
        self.pool.lock().expect("no holder panics")
    }

    /// Waits until something may pass. `place` is kept until then; whoever gives it up lets the next one pass.
    pub(super) fn poll(self: &Arc<Self>, place: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Sends `call` bytes whenever the pool allows it, `late` after that; gives the bytes of each millisecond.
    fn run(rate: u64, call: usize, late: Duration, span: Duration) -> Vec<usize> {
        let start = Instant::now();
        let mut pool = TokenBucket::new(Rate::new(rate).expect("not zero"), start);
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
        let mut pool = TokenBucket::new(Rate::new(1_000_000).expect("not zero"), start);
        let now = start + 60 * SECOND;
        let mut burst = 0;
        while pool.wait(now).is_none() {
            pool.take(1000);
            burst += 1000;
        }
        assert!(f64::from(burst) <= 1_000_000.0 * CATCH_UP.as_secs_f64() + 1000.0, "{burst}");
    }

    /// Passes through a line for a while, `bytes` a time, and counts them; `place` outlasts each time.
    async fn pass_through(line: Arc<ThrottleQueue>, bytes: usize, span: Duration) -> usize {
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
        let line = Arc::new(ThrottleQueue::new(TokenBucket::new(rate, Instant::now())));
        let (one, other) = tokio::join!(
            tokio::spawn(pass_through(line.clone(), 2000, SECOND)),
            tokio::spawn(pass_through(line, 1000, SECOND))
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(other * 2 > one * 9 / 10 && other * 2 < one * 11 / 10, "{one} and {other}");
        assert!(one + other <= 2_000_000 + 3000, "{one} and {other}");
    }
}
