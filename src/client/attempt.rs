//! Trying until it is done: a lost connection is replaced, and the job goes on where it was.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Client;
use crate::error::Error;
use crate::progress::{Counters, Observer};
use crate::session::record::Record;
use crate::transport::{TransportError, is_no_such_name};

/// The first wait before a new connection; it doubles up to the last while nothing moves.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(30);
/// The last wait where nobody answered: it burdens nobody, and the path may be back at any moment.
const LAST_WAIT_UNANSWERED: Duration = Duration::from_secs(1);

/// The longest wait for a server that lets nobody in: asking costs it a few packets, and places come free, and servers are
/// replaced, any moment.
const PLACE_WAIT: Duration = Duration::from_secs(2);

/// Longest that an attempt may take to end its connection when the job is stopped.
const FAREWELL: Duration = Duration::from_millis(200);

/// When to try again, and when to stop trying.
struct Patience {
    limit: Duration,
    attempt: u32,
    moved: u64,
    moved_at: Instant,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, attempt: 0, moved: 0, moved_at: Instant::now() }
    }

    /// The wait before the next attempt, by what the last one came to and how long it took; `None` when nothing has moved
    /// for too long.
    fn next_wait(&mut self, moved: u64, now: Instant, last: Reply, took: Duration) -> Option<Duration> {
        if moved != self.moved {
            (self.moved, self.moved_at, self.attempt) = (moved, now, 0);
        }
        self.attempt += 1;
        let patient = self.limit.is_zero() || now.saturating_duration_since(self.moved_at) < self.limit;
        let doubled = FIRST_WAIT.saturating_mul(1 << (self.attempt - 1).min(16));
        let wait = match last {
            Reply::Successor => Duration::ZERO,
            // The wait for an answer counts as part of the pause.
            Reply::None => doubled.min(LAST_WAIT_UNANSWERED).saturating_sub(took),
            Reply::Some => doubled.min(LAST_WAIT),
        };
        patient.then_some(wait)
    }

    /// The wait before an attempt that is made for this, after one that ended so and took so long.
    fn wait_for(&mut self, again: &Again, moved: u64, last: Reply, took: Duration) -> Option<Duration> {
        match again {
            Again::ForPlace => self.next_place_wait(moved, Instant::now()),
            Again::ForConnection => self.next_wait(moved, Instant::now(), last, took),
        }
    }

    /// The same where a server lets nobody in. Many may wait there: they ask at different times.
    fn next_place_wait(&mut self, moved: u64, now: Instant) -> Option<Duration> {
        let wait = self.next_wait(moved, now, Reply::Some, Duration::ZERO)?.min(PLACE_WAIT);
        let part = RandomState::new().hash_one(self.attempt) % 256;
        Some(wait / 2 + wait / 2 * part as u32 / 256)
    }
}

/// Whether the server was heard of in an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// It said what it did not like, or a connection stood.
    Some,
    /// The path, or the name service, led nowhere.
    None,
    /// The connection was dead, and another one stands.
    Successor,
}

impl Reply {
    fn of(failed: &Attempt) -> Self {
        let unanswered = matches!(
            failed.error,
            Error::Transport(
                TransportError::NoReply { .. }
                    | TransportError::NoRoute { .. }
                    | TransportError::Resolve { .. }
                    | TransportError::Bind { .. }
            )
        );
        match unanswered && !failed.stood {
            _ if failed.error.has_successor() => Self::Successor,
            true => Self::None,
            false => Self::Some,
        }
    }
}

/// The purpose of another attempt.
enum Again {
    /// The server lets nobody in at the moment, or is stopping.
    ForPlace,
    /// There is no connection.
    ForConnection,
}

impl Again {
    fn tell(&self, observer: &Observer, attempt: u32, after: Duration, cause: String) {
        match self {
            Self::ForPlace => observer.waiting(attempt, after, cause),
            Self::ForConnection => observer.reconnecting(attempt, after, cause),
        }
    }
}

impl Client {
    /// Whether, and for what, another attempt follows one that failed. `had_one`: a connection stood in an earlier attempt.
    fn again(&self, failed: &Attempt, had_one: bool) -> Option<Again> {
        let is_first = !(failed.stood || had_one);
        // Where nobody waits for a first connection, no other server comes in place of the one that is stopping.
        let is_stopping = failed.error.is_going_away() && !failed.stood && (self.waits_for_first || !is_first);
        match failed.error.is_busy() || is_stopping {
            _ if !failed.error.is_retryable() => None,
            true => Some(Again::ForPlace),
            false => (!is_first || self.waits_for_first(&failed.error)).then_some(Again::ForConnection),
        }
    }

    /// Whether a first connection that failed so is tried again.
    fn waits_for_first(&self, error: &Error) -> bool {
        // A name of which the name service says that there is none has been looked up for long enough.
        let is_nowhere = matches!(error, Error::Transport(error) if is_no_such_name(error));
        self.waits_for_first && !is_nowhere
    }
}

/// Runs `ask` until the server has a place for it, or for as long as the client is patient. For what has no events of its
/// own.
pub(super) async fn until_let_in<T, F>(client: &Client, mut ask: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut patience = Patience::new(client.patience);
    loop {
        let error = match ask().await {
            Err(error) if error.is_busy() => error,
            other => return other,
        };
        let Some(after) = patience.next_place_wait(0, Instant::now()) else { return Err(error) };
        if let Some(tell) = client.on_wait.as_ref().filter(|_| patience.attempt == 1) {
            tell(&error);
        }
        tokio::time::sleep(after).await;
    }
}

/// Runs `attempt` until it succeeds, is cancelled, fails for a reason that time does not heal, or nothing
/// has moved for as long as the client is patient. A first connection has the same patience as one that was lost: the
/// path, or a machine with too much to do, may keep it from standing at first. A server that has no place, or is stopping,
/// is asked again.
pub(super) async fn persist<F>(
    client: &Client,
    observer: &Observer,
    record: &Record,
    cancel: &CancellationToken,
    mut attempt: impl FnMut() -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Attempt>>,
{
    let mut patience = Patience::new(client.patience);
    // Why the last connection that stood was lost: that, not the silence since then, is what happened. So a wait for a place
    // ends with the error that there was none, a wait for the first connection with the error that nobody answers, and any
    // other wait with the loss of the connection.
    let mut lost = None;
    loop {
        let began = Instant::now();
        let Err(failed) = unless_cancelled(cancel, attempt()).await else { return Ok(()) };
        let moved = progress_of(observer.counters());
        let reply = Reply::of(&failed);
        let Some(again) = client.again(&failed, lost.is_some()) else { return Err(failed.error) };
        let cause = failed.error.to_string();
        let Some(after) = patience.wait_for(&again, moved, reply, began.elapsed()) else {
            return Err(lost.filter(|_| !failed.stood).unwrap_or(failed.error));
        };
        if failed.stood {
            lost = Some(failed.error);
        }
        info!(attempt = patience.attempt, ?after, cause, "trying again");
        record.on_connection_lost();
        again.tell(observer, patience.attempt, after, cause);
        tokio::select! {
            () = tokio::time::sleep(after) => {}
            () = cancel.cancelled() => return Err(Error::Cancelled),
        }
    }
}

/// Makes one attempt, which ends when the job is cancelled.
async fn unless_cancelled(
    cancel: &CancellationToken,
    attempt: impl Future<Output = Result<(), Attempt>>,
) -> Result<(), Attempt> {
    let mut trying = pin!(attempt);
    tokio::select! {
        result = &mut trying => result,
        () = cancel.cancelled() => {
            // A connection that stands is told so; one that is being made is dropped.
            let _ = timeout(FAREWELL, trying).await;
            Err(Attempt { error: Error::Cancelled, stood: false })
        }
    }
}

/// An attempt that failed.
pub(super) struct Attempt {
    pub(super) error: Error,
    /// Whether the server had welcomed us.
    pub(super) stood: bool,
}

fn progress_of(counters: &Counters) -> u64 {
    let all = [&counters.bytes_written, &counters.files_done, &counters.files_skipped, &counters.files_failed];
    all.into_iter().map(Counters::read).sum()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::keys::Identity;
    use crate::protocol::close::CloseCode;
    use crate::session::SessionError;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn waits_double_up_to_a_limit_and_start_again_after_progress() {
        let start = Instant::now();
        let mut patience = Patience::new(LIMIT);
        assert_eq!(patience.next_wait(0, start, Reply::Some, Duration::ZERO), Some(FIRST_WAIT));
        assert_eq!(patience.next_wait(0, start, Reply::Some, Duration::ZERO), Some(FIRST_WAIT * 2));
        for _ in 0..40 {
            patience.next_wait(0, start, Reply::Some, Duration::ZERO);
        }
        assert_eq!(patience.next_wait(0, start, Reply::Some, Duration::ZERO), Some(LAST_WAIT));
        assert_eq!(patience.next_wait(1, start, Reply::Some, Duration::ZERO), Some(FIRST_WAIT));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_tried_every_second() {
        let start = Instant::now();
        let mut patience = Patience::new(LIMIT);
        let waits: Vec<_> = (0..20).map(|_| patience.next_wait(0, start, Reply::None, Duration::ZERO)).collect();
        assert_eq!(waits[..2], [Some(FIRST_WAIT), Some(FIRST_WAIT * 2)]);
        assert!(waits[3..].iter().all(|wait| *wait == Some(LAST_WAIT_UNANSWERED)));
    }

    #[test]
    fn who_has_waited_for_an_answer_tries_again_at_once_and_a_connection_at_hand_is_used_at_once() {
        let start = Instant::now();
        let mut patience = Patience::new(LIMIT);
        (0..5).for_each(|_| assert!(patience.next_wait(0, start, Reply::None, Duration::ZERO).is_some()));
        for (took, wait) in [(0, 1000), (300, 700), (1000, 0), (10_000, 0)] {
            let wait = Some(Duration::from_millis(wait));
            assert_eq!(patience.next_wait(0, start, Reply::None, Duration::from_millis(took)), wait, "{took} ms");
        }
        assert_eq!(patience.next_wait(0, start, Reply::Successor, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(patience.next_wait(0, start + 2 * LIMIT, Reply::Successor, Duration::ZERO), None);
    }

    #[test]
    fn patience_ends_only_when_nothing_moves() {
        let start = Instant::now();
        let mut patience = Patience::new(LIMIT);
        assert!(patience.next_wait(5, start, Reply::Some, Duration::ZERO).is_some());
        assert!(patience.next_wait(5, start + LIMIT / 2, Reply::Some, Duration::ZERO).is_some());
        assert_eq!(patience.next_wait(5, start + LIMIT * 2, Reply::Some, Duration::ZERO), None);
        assert!(patience.next_wait(6, start + LIMIT * 2, Reply::Some, Duration::ZERO).is_some());
    }

    #[test]
    fn who_waits_for_a_place_asks_every_second_or_two_and_not_when_all_others_do() {
        let start = Instant::now();
        let late_waits: Vec<_> = (0..50)
            .map(|_| {
                let mut patience = Patience::new(LIMIT);
                (0..10).for_each(|_| assert!(patience.next_place_wait(0, start).is_some()));
                patience.next_place_wait(0, start).expect("its patience has not ended")
            })
            .collect();
        assert!(late_waits.iter().all(|wait| (PLACE_WAIT / 2..=PLACE_WAIT).contains(wait)), "{late_waits:?}");
        assert!(late_waits.iter().collect::<std::collections::HashSet<_>>().len() > 10, "{late_waits:?}");
    }

    /// The result of a job whose first attempt fails so, and whose second succeeds.
    async fn after(error: Error, waits: bool) -> Result<(), Error> {
        let client = Client::builder(Identity::ephemeral().expect("a key")).wait_for_first(waits).build();
        let (observer, _events) = Observer::new();
        let mut first = Some(error);
        let attempt = || std::future::ready(first.take().map_or(Ok(()), |error| Err(Attempt { error, stood: false })));
        persist(&client.expect("threads"), &observer, &Record::of_job(), &CancellationToken::new(), attempt).await
    }

    #[tokio::test]
    async fn a_first_connection_that_was_answered_and_did_not_stand_is_tried_again_where_time_may_heal_it() {
        let addr = SocketAddr::from(([192, 0, 2, 1], 4433));
        let lost = || TransportError::Lost { addr, reason: "reset by peer".to_owned() };
        let late = || TransportError::Refused { code: CloseCode::Timeout };
        for heals in [lost().into(), late().into(), Error::Session(SessionError::Timeout("welcome us"))] {
            after(heals, true).await.expect("the second attempt succeeds");
        }
        let spent = TransportError::Refused { code: CloseCode::InviteSpent };
        assert!(after(spent.into(), true).await.is_err());
        assert!(after(lost().into(), false).await.is_err(), "of a server that is known to run, at once");
    }

    #[test]
    fn a_limit_of_zero_is_for_ever() {
        let mut patience = Patience::new(Duration::ZERO);
        assert!(patience.next_wait(0, Instant::now() + LIMIT * 1000, Reply::Some, Duration::ZERO).is_some());
    }
}
