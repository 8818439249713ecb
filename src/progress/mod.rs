//! Progress of a running job: events that matter one by one, and counters that are sampled.
//!
//! Nothing here decides: what counts, and whether it is news, is said by `session/record`.
//!
//! A transfer touches only atomics on its hot path; whoever draws reads them ten times a second.
//!
//! | file | holds |
//! |---|---|
//! | `file` | one file that is moving |
//! | `totals`, `histogram` | the totals of a job; counts of values by their size |
//! | `unheard` | the events that nobody has heard yet |

mod file;
mod histogram;
mod totals;
mod unheard;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::file::{FILES_MOVING_MAX, FilePhase, FileProgress};
pub(crate) use self::histogram::{Distribution, Histogram, SECONDS, Scale};
pub use self::totals::{Counters, FAILURES_KEPT, JobReport};
pub use self::unheard::EVENT_BYTES_AHEAD;
pub(crate) use self::unheard::Unheard;
use crate::protocol::REMARKS_MAX;
use crate::protocol::message::{Failure, SkipReason, Why};

/// One step of a job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The connection stands and the peer is who it should be.
    Connected {
        /// The address that answered.
        addr: SocketAddr,
        /// Its name for itself, escaped for display.
        peer: String,
        /// Whether this connection used an invite to enrol this client.
        enrolled: bool,
    },
    /// A file's content begins to move or to be compared.
    Started(Arc<FileProgress>),
    /// A file is committed at the receiver.
    Finished {
        /// The file, with its final counts.
        file: Arc<FileProgress>,
    },
    /// A file needed no content.
    Skipped {
        /// Its name, escaped for display.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// Why it needs no content.
        reason: SkipReason,
    },
    /// In a dry run: what would happen to a file.
    Planned {
        /// Its name, escaped for display.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// How many bytes are there already.
        from: u64,
        /// The kind of content that would be sent.
        why: Why,
        /// The last component of the name that it would get instead of its own, escaped for display.
        named: Option<String>,
    },
    /// One file (or name) failed; the others go on.
    Failed {
        /// Its name, escaped for display.
        path: String,
        /// The kind of failure, and its cause in words.
        failure: Failure,
        /// The other end has said so: its disk or its rules are the cause, and not those of this end.
        by_peer: bool,
    },
    /// Something worth a line that is no failure (a link left out, a small socket buffer).
    Note(String),
    /// The connection stands, but nothing has come from the peer for a while; it is asked again and again.
    Silent {
        /// How long nothing has come.
        lasted: Duration,
        /// The cause, as far as it is known.
        cause: SilenceCause,
    },
    /// The peer, which was [`Silent`](Self::Silent), is heard again.
    Answered {
        /// How long nothing came.
        after: Duration,
    },
    /// The connection was lost; the job goes on by itself.
    Reconnecting {
        /// Counts from 1; starts again after progress.
        attempt: u32,
        /// Time until the attempt.
        after: Duration,
        /// Why the last connection ended.
        cause: String,
    },
    /// The server lets no more clients in just now, or is stopping; the job asks again by itself.
    Waiting {
        /// Counts from 1; starts again after progress.
        attempt: u32,
        /// Time until it asks again.
        after: Duration,
        /// Why it was not let in, as far as it is known.
        cause: String,
    },
}

/// Why nothing comes from a peer, as far as this end knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceCause {
    /// Packets leave, and none comes back.
    NoAnswer,
    /// This machine knows no way to the peer.
    NoRoute,
}

/// The receiver of a job's events.
#[derive(Clone)]
enum EventSink {
    /// A stream, read at any time.
    Stream(mpsc::UnboundedSender<Event>),
    /// A callback, called at once.
    Callback(Arc<dyn Fn(Event) + Send + Sync>),
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::Callback(_) => "Callback",
        })
    }
}

/// Where a job's roles report to. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub(crate) struct Observer {
    counters: Arc<Counters>,
    /// The same for all jobs of a server together, where there is one.
    all: Option<Arc<Counters>>,
    events: EventSink,
    unheard: Arc<Unheard>,
    remarks: Arc<AtomicUsize>,
}

impl Observer {
    /// An observer and the stream of its events. Dropping the stream silences it.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, stream) = mpsc::unbounded_channel();
        (Self::with(EventSink::Stream(events)), stream)
    }

    /// An observer of a job that ends with its connection, as a server's do. What is counted is counted in `all`, too.
    /// `on_event` is called on whatever thread an event happens, before whoever caused it goes on, and must not wait.
    pub(crate) fn for_one_connection(all: Arc<Counters>, on_event: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { all: Some(all), ..Self::with(EventSink::Callback(Arc::new(on_event))) }
    }

    fn with(events: EventSink) -> Self {
        Self { counters: Arc::default(), all: None, events, unheard: Arc::default(), remarks: Arc::default() }
    }

    /// The totals of the job, which go on counting.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    fn add(&self, counter: fn(&Counters) -> &AtomicU64, amount: u64) {
        Counters::add(counter(&self.counters), amount);
        if let Some(all) = &self.all {
            Counters::add(counter(all), amount);
        }
    }

    /// Passes an event on.
    pub(crate) fn event(&self, event: Event) {
        match &self.events {
            // A caller that stopped listening does not want to know.
            EventSink::Stream(events) => {
                self.unheard.on_told(&event);
                events.send(event).err().iter().for_each(|unwanted| self.unheard.on_heard(&unwanted.0));
            }
            EventSink::Callback(on_event) => on_event(event),
        }
    }

    /// The events of its stream that nobody has heard yet, for whoever hears them.
    pub(crate) fn unheard(&self) -> &Arc<Unheard> {
        &self.unheard
    }

    /// Waits until there is room for more events in its stream, as far as whoever hears them says so.
    pub(crate) async fn room(&self) {
        self.unheard.room().await;
    }

    /// Whether there is.
    pub(crate) fn has_room(&self) -> bool {
        self.unheard.has_room()
    }

    /// The other end says something of the job that is no failure: untrusted text.
    pub(crate) fn remark(&self, text: String) {
        if self.remarks.fetch_add(1, Ordering::Relaxed) < REMARKS_MAX {
            self.event(Event::Note(text));
        }
    }

    /// The connection is lost, and there is to be another one.
    pub(crate) fn reconnecting(&self, attempt: u32, after: Duration, cause: String) {
        self.event(Event::Reconnecting { attempt, after, cause });
    }

    /// The server lets nobody in, and is to be asked again.
    pub(crate) fn waiting(&self, attempt: u32, after: Duration, cause: String) {
        self.event(Event::Waiting { attempt, after, cause });
    }

    /// A file is part of the job.
    pub(crate) fn found(&self, size: u64) {
        self.add(|counters| &counters.files_found, 1);
        self.add(|counters| &counters.bytes_found, size);
    }

    /// There are no more files than those found.
    pub(crate) fn scan_ended(&self) {
        self.counters.scan_ended.store(true, Ordering::Relaxed);
    }

    /// A file's content begins to move. `untold` bytes of it were written over a connection that did not live to tell of them.
    pub(crate) fn started(&self, file: &Arc<FileProgress>, untold: u64) {
        self.add(|counters| &counters.bytes_written, untold);
        self.event(Event::Started(file.clone()));
    }

    /// Content of a file has been written by the receiver.
    pub(crate) fn written(&self, file: &FileProgress, bytes: u64) {
        file.add_written(bytes);
        self.add(|counters| &counters.bytes_written, bytes);
    }

    /// A file is committed. It is counted where that is news.
    pub(crate) fn finished(&self, file: &Arc<FileProgress>, is_news: bool) {
        if is_news {
            self.add(|counters| &counters.files_done, 1);
            self.add(|counters| &counters.bytes_resumed, file.reused());
        }
        self.event(Event::Finished { file: file.clone() });
    }

    /// A file needed no content any more, after so much of it was `written` in this job.
    pub(crate) fn skipped(&self, path: String, size: u64, reason: SkipReason, written: u64) {
        match reason {
            SkipReason::Made => self.add(|counters| &counters.files_done, 1),
            SkipReason::Same | SkipReason::Exists | SkipReason::Mode => {
                self.add(|counters| &counters.files_skipped, 1);
                self.add(|counters| &counters.bytes_skipped, size.saturating_sub(written));
            }
        }
        self.event(Event::Skipped { path, size, reason });
    }

    /// A file or name failed for good; `by_peer`: so the other end has said.
    pub(crate) fn failed(&self, path: String, failure: Failure, by_peer: bool) {
        self.add(|counters| &counters.files_failed, 1);
        self.event(Event::Failed { path, failure, by_peer });
    }

    /// In a dry run: what would happen to a file.
    pub(crate) fn planned(&self, path: String, size: u64, from: u64, why: Why, named: Option<String>) {
        self.event(Event::Planned { path, size, from, why, named });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Status;

    #[test]
    fn remarks_beyond_what_a_job_may_have_are_left_out() {
        let (observer, mut events) = Observer::new();
        (0..10 * REMARKS_MAX).for_each(|n| observer.remark(n.to_string()));
        assert_eq!(std::iter::from_fn(|| events.try_recv().ok()).count(), REMARKS_MAX);
    }

    #[test]
    fn whoever_is_called_has_heard_of_an_event_before_its_cause_goes_on() {
        let heard = Arc::new(AtomicUsize::new(0));
        let counter = heard.clone();
        let all = Arc::<Counters>::default();
        let observer = Observer::for_one_connection(all.clone(), move |event| {
            assert!(matches!(event, Event::Failed { .. }));
            counter.fetch_add(1, Ordering::Relaxed);
        });
        for n in 1..=3 {
            observer.failed(format!("{n}"), Failure::new(Status::NotAllowed, ""), false);
            assert_eq!(heard.load(Ordering::Relaxed), n);
        }
        assert_eq!([observer.counters(), &all].map(|counters| Counters::read(&counters.files_failed)), [3, 3]);
    }
}
