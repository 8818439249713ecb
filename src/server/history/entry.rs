//! One job of a client's, when it is over.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::status::Direction;
use crate::calendar;

/// The result of one job. Fields are added, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it was over, in UTC: `2026-03-02T14:05:09Z`.
    pub time: String,
    /// The client's name, escaped for display.
    pub peer: String,
    /// The client's key, as a fingerprint.
    pub fingerprint: String,
    /// The client's address at the end of the job.
    pub address: IpAddr,
    /// Which way the files went.
    pub direction: Direction,
    /// The first of its files, below the served directory, escaped for display; of a very long name only the end. `None`
    /// where there was none.
    pub file: Option<String>,
    /// Files that were moved.
    pub files: u64,
    /// Files that needed no content.
    pub skipped: u64,
    /// Files that failed, at either end.
    pub failed: u64,
    /// Content bytes that crossed the wire and were written.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// How the job ended.
    pub outcome: JobOutcome,
    /// Share of the packets of its sender that were lost, 0 to 1; `None` where that is not known.
    pub loss: Option<f64>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobOutcome {
    /// All of it went well.
    Done,
    /// It ended, and some of its files failed.
    Partial,
    /// It ended, and all of its files failed.
    Failed,
    /// Its user stopped it.
    Stopped,
    /// Its connection ended before it did. The client may have gone on over another one, which is another job here.
    Lost,
}

impl JobOutcome {
    /// The outcome of a job that ran to its end.
    pub(in crate::server) fn of_counts(well: u64, failed: u64) -> Self {
        match (well, failed) {
            (_, 0) => Self::Done,
            (0, _) => Self::Failed,
            _ => Self::Partial,
        }
    }

    /// The outcome in one word, as the history file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }
}

impl HistoryEntry {
    /// When it was over; `None` where that is no moment.
    pub fn ended(&self) -> Option<SystemTime> {
        calendar::parse_end(&self.time)
    }

    /// The day on which it was over, as `2026-03-02`.
    pub fn day(&self) -> &str {
        self.time.get(..10).unwrap_or(&self.time)
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_ran_to_its_end_is_as_good_as_its_files() {
        for (well, failed, outcome) in [
            (0, 0, JobOutcome::Done),
            (5, 0, JobOutcome::Done),
            (5, 1, JobOutcome::Partial),
            (0, 1, JobOutcome::Failed),
        ] {
            assert_eq!(JobOutcome::of_counts(well, failed), outcome, "{well} {failed}");
        }
    }
}
