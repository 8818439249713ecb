//! The model of a running job, gathered from events and counters, and one look at all of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::files::{ActiveFiles, FileView};
use super::link::LinkView;
use super::rate::{Estimator, LossWindow};
use super::stall::{PeerLabel, Speed, Stall, StallCause};
use super::tally::EventTally;
use super::text::shown;
use crate::cli::text::size::percent;
use crate::progress::{Counters, Event, SilenceCause};
use crate::protocol::message::SkipReason;

/// Memory of the rate and the time left: long enough to be calm, short enough to follow the link.
const TOTAL_MEMORY: Duration = Duration::from_secs(15);
/// Without a first answer for this long the user is told: UDP drops silently.
const NO_REPLY_AFTER: Duration = Duration::from_secs(2);

/// Everything about a job that is worth showing.
#[derive(Debug)]
pub(crate) struct Model {
    started: Instant,
    counters: Option<Arc<Counters>>,
    rate: Estimator,
    loss: LossWindow,
    files: ActiveFiles,
    link: LinkState,
    /// Whether there has been a connection.
    was_up: bool,
    /// Whether nothing moved at the last look.
    was_still: bool,
    peer: PeerLabel,
    /// Counters at the last look: bytes written, seconds in which content flowed, and what was found or settled.
    written: u64,
    flows: u64,
    counted: u64,
    tally: EventTally,
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// There has been none yet.
    Connecting,
    Up,
    /// It stands, but nothing has come since then.
    Silent(Instant, SilenceCause),
    Lost {
        /// Counts from 1.
        attempt: u32,
        /// When the next attempt begins.
        next: Instant,
    },
    /// The server has no place for one more client; it is asked again then.
    Waiting(Instant),
}

/// One look at a job.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) elapsed: Duration,
    /// Files that are settled in one way or another.
    pub(crate) files_settled: u64,
    /// Files found so far.
    pub(crate) files_found: u64,
    /// Whether those are all.
    pub(crate) scan_ended: bool,
    /// Bytes that are there, whoever brought them.
    pub(crate) bytes_there: u64,
    /// Bytes of all files found so far.
    pub(crate) bytes_found: u64,
    /// Bytes that crossed the wire.
    pub(crate) bytes_written: u64,
    /// Bytes that were there in files that were continued or updated, finished or not.
    pub(crate) bytes_resumed: u64,
    pub(crate) failed: u64,
    pub(crate) speed: Speed,
    /// Time left, once the total is known.
    pub(crate) eta: Option<Duration>,
    /// The state of the path.
    pub(crate) link: LinkView,
    pub(crate) tally: EventTally,
    /// The files whose content is in flight, compared or being saved, oldest first.
    pub(crate) files: Vec<FileView>,
    /// Files that were asked for and whose content has not left yet.
    pub(crate) announced: u64,
    /// The text of a stall.
    pub(crate) stall: Option<String>,
}

impl Snapshot {
    /// Whole percent of the bytes found so far that are there; 0 while nothing is found.
    pub(crate) fn percent(&self) -> u64 {
        match self.bytes_found == 0 && !self.scan_ended {
            true => 0,
            false => percent(self.bytes_there, self.bytes_found),
        }
    }

    /// The file that is all of the job, while its content moves.
    pub(crate) fn only_file(&self) -> Option<&FileView> {
        match self.files.as_slice() {
            [only] if self.scan_ended && self.files_found == 1 => Some(only),
            _ => None,
        }
    }
}

impl Model {
    /// A job that has just begun, with the server at `address`.
    pub(crate) fn new(now: Instant, address: &str) -> Self {
        Self {
            started: now,
            counters: None,
            rate: Estimator::new(TOTAL_MEMORY),
            loss: LossWindow::default(),
            files: ActiveFiles::default(),
            link: LinkState::Connecting,
            was_up: false,
            was_still: false,
            peer: PeerLabel { address: address.to_owned(), name: address.to_owned() },
            written: 0,
            flows: 0,
            counted: 0,
            tally: EventTally::default(),
        }
    }

    /// The job begins only now.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.started = now;
    }

    pub(crate) fn peer(&self) -> &PeerLabel {
        &self.peer
    }

    /// The counters, once the job has them.
    pub(crate) fn counters(&self) -> Option<&Counters> {
        self.counters.as_deref()
    }

    /// Takes the counters, once the job has them.
    pub(crate) fn set_counters(&mut self, counters: Arc<Counters>) {
        self.counters = Some(counters);
    }

    /// Counts of events so far.
    pub(crate) fn tally(&self) -> EventTally {
        self.tally
    }

    pub(crate) fn on_event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Connected { peer, .. } => {
                (self.link, self.was_up) = (LinkState::Up, true);
                self.rate.excuse(now);
                if !peer.is_empty() {
                    self.peer.name = shown(peer).into_owned();
                }
            }
            Event::Silent { lasted, cause } => {
                self.link = LinkState::Silent(now.checked_sub(*lasted).unwrap_or(now), *cause);
            }
            Event::Answered { .. } => {
                self.link = LinkState::Up;
                self.rate.excuse(now);
            }
            Event::Reconnecting { attempt, after, .. } => {
                self.link = LinkState::Lost { attempt: *attempt, next: now + *after };
            }
            Event::Waiting { after, .. } => self.link = LinkState::Waiting(now + *after),
            Event::Started(file) => self.files.start(file),
            Event::Finished { file } => {
                self.files.forget(&file.path);
                self.tally.finished(file);
            }
            Event::Skipped { path, reason, .. } => {
                self.files.forget(path);
                match reason {
                    SkipReason::Same => self.tally.same += 1,
                    SkipReason::Exists => self.tally.kept += 1,
                    SkipReason::Made => self.tally.made += 1,
                    SkipReason::Mode => self.tally.modes += 1,
                }
            }
            Event::Planned { size, from, why, .. } => self.tally.planned(*why, *from, *size),
            Event::Failed { path, .. } => self.files.forget(path),
            Event::Note(_) => {}
        }
    }

    /// Looks at everything, and lets the estimators see it.
    pub(crate) fn sample(&mut self, now: Instant) -> Snapshot {
        let idle = Counters::default();
        let counters = self.counters.clone();
        let counters = counters.as_deref().unwrap_or(&idle);
        let written = Counters::read(&counters.bytes_written);
        // The counter has those of finished files.
        let resumed = Counters::read(&counters.bytes_resumed) + self.files.reused();
        let found = Counters::read(&counters.bytes_found);
        let there = (written + resumed + Counters::read(&counters.bytes_skipped)).min(found);
        self.loss.sample(now, Counters::read(&counters.packets_sent), Counters::read(&counters.packets_lost));
        let made = self.tally.made;
        let done = Counters::read(&counters.files_done);
        let failed = Counters::read(&counters.files_failed);
        let skipped = Counters::read(&counters.files_skipped);
        let counted = found + Counters::read(&counters.files_found) + done + failed + skipped;
        let speed = self.measure(now, written, Counters::read(&counters.flows), counted);
        let (files, announced) = self.files.look(now, speed.is_still(), Counters::read(&counters.window));
        let scan_ended = counters.scan_ended.load(Ordering::Relaxed);
        Snapshot {
            elapsed: now.saturating_duration_since(self.started),
            files_settled: (done + skipped + failed).saturating_sub(made),
            files_found: Counters::read(&counters.files_found).saturating_sub(made),
            scan_ended,
            bytes_there: there,
            bytes_found: found,
            bytes_written: written,
            bytes_resumed: resumed,
            failed,
            speed,
            eta: speed.eta(found - there).filter(|_| scan_ended),
            link: LinkView::of(counters, self.loss.loss()),
            tally: self.tally,
            files,
            announced,
            stall: match speed {
                Speed::Stalled(stall) => Some(stall.text(&self.peer)),
                _ => None,
            },
        }
    }

    /// Lets the estimators see what was written, and gives the speed. After a time in which nothing moved they begin
    /// anew: a mean over that time says nothing of what comes.
    fn measure(&mut self, now: Instant, written: u64, flows: u64, counted: u64) -> Speed {
        self.rate.sample(now, written);
        let has_moved = written > std::mem::replace(&mut self.written, written);
        if has_moved && matches!(self.link, LinkState::Silent(..)) {
            self.link = LinkState::Up;
        }
        // Content that crosses the wire is not reported at once; and what is compared, saved or counted need not cross it.
        let flows_on = flows != std::mem::replace(&mut self.flows, flows);
        let counts_on = counted != std::mem::replace(&mut self.counted, counted);
        if flows_on || (!self.files.is_moving() && (counts_on || self.files.are_busy())) {
            self.rate.excuse(now);
        }
        let is_still = self.speed(now).is_still();
        if std::mem::replace(&mut self.was_still, is_still) && !is_still {
            self.rate.restart(now, written);
            self.files.restart();
        }
        self.speed(now)
    }

    fn speed(&self, now: Instant) -> Speed {
        let since = |then: Instant| now.saturating_duration_since(then);
        match (&self.link, self.rate.stalled(now)) {
            (LinkState::Lost { attempt, next }, _) => {
                let wait = next.saturating_duration_since(now);
                Speed::Reconnecting { attempt: *attempt, wait, is_first: !self.was_up }
            }
            (LinkState::Waiting(next), _) => Speed::Waiting(next.saturating_duration_since(now)),
            (LinkState::Silent(then, SilenceCause::NoAnswer), _) => Stall::speed(since(*then), StallCause::Silent),
            (LinkState::Silent(then, SilenceCause::NoRoute), _) => Stall::speed(since(*then), StallCause::NoRoute),
            (LinkState::Connecting, _) if since(self.started) >= NO_REPLY_AFTER => {
                Stall::speed(since(self.started), StallCause::Unreached)
            }
            (LinkState::Up, Some(lasted)) => Stall::speed(lasted, StallCause::Idle),
            (LinkState::Connecting | LinkState::Up, _) => self.rate.rate().map_or(Speed::Unknown, Speed::Moving),
        }
    }
}

#[cfg(test)]
mod tests;
