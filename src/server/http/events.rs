//! The live feed of the page: the server's status once a second, as server-sent events (of the WHATWG's HTML standard).
//!
//! It is told to everybody alike, so it is put into words once, and only while somebody listens. Who reads slowly misses
//! some of it and gets the newest.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::super::ServerInner;
use super::super::live_connection::UdpTraffic;
use super::super::rate_window::per_second;
use super::super::status::{ConnectionStatus, ServerStatus};
use super::survey::{Survey, UnfinishedCount};
use crate::protocol::path::escape;

/// Pages that are open at the same time.
pub const HTTP_PAGES_MAX: usize = 16;
/// Clients that a page is told of one by one; more are only counted.
pub const HTTP_CLIENTS_SHOWN_MAX: usize = 50;

/// How often the page is told.
const PERIOD: Duration = Duration::from_secs(1);
/// Rates that are kept for whoever comes, one of each period.
const PAST: usize = 300;
/// Milliseconds after which a browser comes again whose connection was lost.
const RETRY: &str = "retry: 1000\n\n";

/// The latest event, and those who listen for it.
#[derive(Debug)]
pub(super) struct EventFeed {
    latest: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
    past: Mutex<Past>,
}

/// Bytes of UDP payload per second, the newest last.
#[derive(Debug, Default, Serialize)]
struct Past {
    into: VecDeque<u64>,
    out: VecDeque<u64>,
}

/// The event: the server's status at one moment, with rates.
#[derive(Serialize)]
struct StatusEvent<'a> {
    root: String,
    /// With [`HTTP_CLIENTS_SHOWN_MAX`] clients at most.
    status: ServerStatus,
    rate_in: u64,
    rate_out: u64,
    refused: Vec<(&'a str, u64)>,
    limits: Vec<(&'a str, u64)>,
    memory: usize,
    free: Option<u64>,
    parts: Option<UnfinishedCount>,
}

/// A page that is open: what it is told.
#[derive(Debug)]
pub(super) struct Listening {
    first: Option<Bytes>,
    next: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl EventFeed {
    pub(super) fn new() -> Self {
        let places = Arc::new(Semaphore::new(HTTP_PAGES_MAX));
        Self { latest: watch::channel(Bytes::new()).0, places, past: Mutex::default() }
    }

    /// Whether a page is open.
    pub(super) fn are_wanted(&self) -> bool {
        self.latest.receiver_count() > 0
    }

    /// Begins to tell one more page, which is told first what was before; `None` when too many are open.
    pub(super) fn listen(&self, shared: &ServerInner, survey: &Survey) -> Option<Listening> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let (to, next) = mpsc::channel(1);
        let mut events = self.latest.subscribe();
        survey.wanted.notify_one();
        let mut first = RETRY.to_owned();
        let (rate_in, rate_out) = {
            let past = self.past();
            event("past", &*past, &mut first);
            (past.into.back().copied().unwrap_or(0), past.out.back().copied().unwrap_or(0))
        };
        event("days", &*survey.days().0, &mut first);
        event("look", &StatusEvent::of(shared, survey, (rate_in, rate_out)), &mut first);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = events.changed() => {
                        let latest = events.borrow_and_update().clone();
                        if changed.is_err() || to.send(latest).await.is_err() {
                            return;
                        }
                    }
                    () = to.closed() => return,
                }
            }
        });
        Some(Listening { first: Some(first.into()), next, _place: place })
    }

    /// Tells until it is dropped.
    pub(super) async fn keep_telling(&self, shared: &ServerInner, survey: &Survey) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut before, mut at, mut days) = (shared.registry.traffic(), Instant::now(), 0);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let (traffic, now) = (shared.registry.traffic(), Instant::now());
            let span = now.saturating_duration_since(at);
            let rate = |of: fn(&UdpTraffic) -> u64| per_second(of(&before), of(&traffic), span);
            let rates = (rate(|traffic| traffic.received), rate(|traffic| traffic.sent));
            (before, at) = (traffic, now);
            self.past().add(rates);
            if self.are_wanted() {
                let (sums, version) = survey.days();
                let mut text = String::new();
                if std::mem::replace(&mut days, version) != version {
                    event("days", &*sums, &mut text);
                }
                event("look", &StatusEvent::of(shared, survey, rates), &mut text);
                self.latest.send_replace(text.into());
            }
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().expect("no holder panics")
    }
}

impl Past {
    fn add(&mut self, (into, out): (u64, u64)) {
        for (rates, rate) in [(&mut self.into, into), (&mut self.out, out)] {
            rates.push_back(rate);
            if rates.len() > PAST {
                rates.pop_front();
            }
        }
    }
}

impl StatusEvent<'_> {
    fn of(shared: &ServerInner, survey: &Survey, (rate_in, rate_out): (u64, u64)) -> Self {
        let mut status = ServerStatus::of(shared);
        status.connections = first(status.connections);
        let counted = |counts: Vec<(&'static str, u64)>| counts.into_iter().filter(|(_, count)| *count > 0).collect();
        Self {
            root: escape(shared.root.tree().path().as_os_str().as_encoded_bytes()).to_string(),
            status,
            rate_in,
            rate_out,
            refused: counted(shared.meter.refused.look()),
            limits: counted(shared.meter.limits.look()),
            memory: shared.budget.held(),
            free: survey.free(),
            parts: survey.parts(),
        }
    }
}

/// Those of many clients that are shown: first those that move files, in the order in which they came.
fn first(mut connections: Vec<ConnectionStatus>) -> Vec<ConnectionStatus> {
    if connections.len() > HTTP_CLIENTS_SHOWN_MAX {
        connections.sort_by_key(|connection| connection.jobs.is_empty());
        connections.truncate(HTTP_CLIENTS_SHOWN_MAX);
    }
    connections
}

/// Adds an event to a text. JSON has no line ends of its own.
fn event(name: &str, data: &impl Serialize, text: &mut String) {
    let data = serde_json::to_string(data).expect("numbers and texts");
    text.push_str(&format!("event: {name}\ndata: {data}\n\n"));
}

impl Listening {
    /// The next event; `None` at the end.
    pub(super) fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.next.poll_recv(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::status::{Direction, JobStatus};

    fn connection(number: usize, is_busy: bool) -> ConnectionStatus {
        let job = JobStatus {
            direction: Direction::In,
            elapsed_ms: 0,
            files_settled: 0,
            files_found: 0,
            files_failed: 0,
            scan_ended: false,
            bytes_there: 0,
            bytes_found: 0,
            bytes_written: 0,
            rate: None,
            loss: None,
            files_active: 0,
            active: Vec::new(),
        };
        ConnectionStatus {
            peer: format!("peer {number}"),
            fingerprint: String::new(),
            address: ([192, 0, 2, 1], 1).into(),
            worker: 0,
            connected_ms: 0,
            rtt_us: 0,
            loss: None,
            rate_in: None,
            rate_out: None,
            mtu: 1200,
            path: None,
            jobs: if is_busy { vec![job] } else { Vec::new() },
        }
    }

    #[test]
    fn of_a_thousand_clients_those_are_shown_that_move_files() {
        let all = (0..1000).map(|number| connection(number, number % 25 == 24)).collect();
        let shown = first(all);
        assert_eq!(shown.len(), HTTP_CLIENTS_SHOWN_MAX);
        assert!(shown[..40].iter().all(|connection| !connection.jobs.is_empty()));
        assert_eq!((&*shown[0].peer, &*shown[39].peer, &*shown[40].peer), ("peer 24", "peer 999", "peer 0"));
        let few: Vec<_> = (0..3).map(|number| connection(number, number == 2)).collect();
        assert_eq!(first(few.clone()), few, "nobody moves while all can be seen");
    }

    #[test]
    fn an_event_is_one_line_whatever_names_are_in_it() {
        let mut text = String::new();
        event("look", &"</script>\r\n\ndata: forged\u{2028}", &mut text);
        assert_eq!(text, "event: look\ndata: \"</script>\\r\\n\\ndata: forged\u{2028}\"\n\n");
    }

    #[test]
    fn the_past_is_bounded() {
        let mut past = Past::default();
        (0..2 * PAST as u64).for_each(|rate| past.add((rate, 1)));
        assert_eq!((past.into.len(), past.into[0], past.out.len()), (PAST, PAST as u64, PAST));
    }
}
