//! A running job: its events, its totals, its end.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::progress::{Counters, Event, FAILURES_KEPT, JobReport, Observer, Unheard};
use crate::protocol::message::{Failure, Status};

/// A job that runs by itself. Dropping it stops it; what was begun can be resumed.
#[derive(Debug)]
pub struct Job {
    events: mpsc::UnboundedReceiver<Event>,
    unheard: Arc<Unheard>,
    counters: Arc<Counters>,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    failures: Vec<(String, Failure)>,
    failed_by_peer: u64,
    started: Instant,
}

impl Job {
    /// Starts `work` on the current runtime.
    pub(super) fn start<F>(work: impl FnOnce(Observer, CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (observer, events) = Observer::new();
        let (counters, unheard) = (observer.counters().clone(), observer.unheard().clone());
        let cancel = CancellationToken::new();
        let task = tokio::spawn(work(observer, cancel.clone()));
        let (failures, failed_by_peer, started) = (Vec::new(), 0, Instant::now());
        Self { events, unheard, counters, cancel, task, failures, failed_by_peer, started }
    }

    /// The next event; `None` when the job has ended. None is lost. While [`EVENT_BYTES_AHEAD`](crate::progress::EVENT_BYTES_AHEAD)
    /// of them wait, the job goes on with what is under way, and listens to its server no further.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.on_heard(&event);
        Some(event)
    }

    /// The next event, if it is there.
    pub(crate) fn try_next(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok()?;
        self.on_heard(&event);
        Some(event)
    }

    fn on_heard(&mut self, event: &Event) {
        self.unheard.on_heard(event);
        self.keep_failure(event);
    }

    /// The totals, updated as the job runs.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Asks the job to stop; it ends with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the job could not go on. Files that failed alone are in the report.
    pub async fn finish(mut self) -> Result<JobReport, Error> {
        while self.next().await.is_some() {}
        match (&mut self.task).await {
            Ok(Ok(())) => Ok(self.report()),
            Ok(Err(error)) => Err(error),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn keep_failure(&mut self, event: &Event) {
        let Event::Failed { path, failure, by_peer } = event else { return };
        self.failed_by_peer += u64::from(*by_peer);
        if self.failures.len() == FAILURES_KEPT {
            if failure.status != Status::VerifyFailed {
                return;
            }
            // It outweighs all others, so it is never one of those that are only counted.
            self.failures.pop();
        }
        self.failures.push((path.clone(), failure.clone()));
    }

    fn report(&mut self) -> JobReport {
        let counters = &self.counters;
        JobReport {
            done: Counters::read(&counters.files_done),
            skipped: Counters::read(&counters.files_skipped),
            failures: std::mem::take(&mut self.failures),
            failed: Counters::read(&counters.files_failed),
            failed_by_peer: self.failed_by_peer,
            bytes_written: Counters::read(&counters.bytes_written),
            bytes_resumed: Counters::read(&counters.bytes_resumed),
            bytes_skipped: Counters::read(&counters.bytes_skipped),
            elapsed: self.started.elapsed(),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_did_not_verify_is_named_behind_any_number_of_other_failures() {
        let count = FAILURES_KEPT + 5;
        let job = Job::start(|observer, _| async move {
            for n in 0..count {
                observer.failed(format!("f{n}"), Failure::new(Status::NotAllowed, ""), n % 2 == 0);
            }
            observer.failed("wrong".into(), Failure::new(Status::VerifyFailed, ""), false);
            observer.failed("last".into(), Failure::new(Status::NotAllowed, ""), false);
            Ok(())
        });
        let report = job.finish().await.expect("it ends well");
        assert_eq!((report.failed, report.failures.len()), (count as u64 + 2, FAILURES_KEPT));
        assert_eq!(report.failed_by_peer, (count as u64).div_ceil(2), "those that are only counted are counted, too");
        assert_eq!(report.failures.last().map(|(path, _)| path.as_str()), Some("wrong"));
    }
}
