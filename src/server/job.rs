//! One job of a client's.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime};

use super::Peer;
use super::history::{HistoryEntry, JobOutcome};
use super::meter::ConnectionEnd;
use super::moving::{Moving, MovingSample, named};
use super::rate_window::{RateWindow, per_second, share_lost};
use super::status::{self, Direction, millis};
use crate::calendar;
use crate::progress::Counters;
use crate::protocol::close::CloseCode;
use crate::session::receiver::Receiver;
use crate::session::sender::Sender;

/// The role of this end in a job.
pub(super) enum JobRole {
    Receiver(Receiver),
    Sender(Sender),
}

/// One job, the last one of its direction.
pub(super) struct ServerJob {
    role: JobRole,
    counters: Arc<Counters>,
    moving: Arc<Moving>,
    /// Nothing is done: the client wants to know what would be.
    is_rehearsal: bool,
    since: Instant,
    /// When it was seen to be over.
    ended: OnceLock<Instant>,
    /// It is in the history.
    is_told: AtomicBool,
    recent: Mutex<RateWindow<RateTotals>>,
}

/// The totals that a job's rates are computed from.
#[derive(Debug, Default, Clone, Copy)]
struct RateTotals {
    written: u64,
    /// Packets sent by its sender, and those of them that were lost.
    packets: (u64, u64),
}

impl RateTotals {
    fn of(counters: &Counters) -> Self {
        let packets = (Counters::read(&counters.packets_sent), Counters::read(&counters.packets_lost));
        Self { written: Counters::read(&counters.bytes_written), packets }
    }
}

impl std::fmt::Debug for ServerJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("direction", &self.direction()).field("counters", &self.counters).finish()
    }
}

impl ServerJob {
    /// A job that begins now; `moving` hears of its events.
    pub(super) fn new(role: JobRole, counters: Arc<Counters>, moving: Arc<Moving>, is_rehearsal: bool) -> Self {
        let since = Instant::now();
        let recent = Mutex::new(RateWindow::new(since, RateTotals::default()));
        let (ended, is_told) = (OnceLock::new(), AtomicBool::new(false));
        Self { role, counters, moving, is_rehearsal, since, ended, is_told, recent }
    }

    pub(super) fn direction(&self) -> Direction {
        match self.role {
            JobRole::Receiver(_) => Direction::In,
            JobRole::Sender(_) => Direction::Out,
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn is_rehearsal(&self) -> bool {
        self.is_rehearsal
    }

    /// Files that need nothing more. What a client got it may have acknowledged in a packet that its CONNECTION_CLOSE
    /// overtook, so that what was found counts there.
    pub(super) fn settled(&self) -> u64 {
        let counters = &self.counters;
        match self.role {
            JobRole::Receiver(_) => Counters::read(&counters.files_done) + Counters::read(&counters.files_skipped),
            JobRole::Sender(_) => Counters::read(&counters.files_found),
        }
    }

    /// Whether something of it is left to do.
    pub(super) fn is_running(&self) -> bool {
        match &self.role {
            JobRole::Receiver(receiver) => !receiver.is_finished(),
            JobRole::Sender(sender) => !sender.is_finished(),
        }
    }

    /// Notes that it is over, the first time that it is seen to be so.
    pub(super) fn note_end(&self, now: Instant) {
        self.ended.get_or_init(|| now);
    }

    /// The client has left and says that it is done. What it got it may have acknowledged in a packet that its
    /// CONNECTION_CLOSE overtook: that counts, in `all` jobs of its direction, too. `place` tells where the operator has a file.
    pub(super) fn hear_close(&self, all: &Counters, place: impl Fn(&str) -> String) {
        let counters = &self.counters;
        if !self.is_running() || self.direction() == Direction::In || Counters::read(&counters.files_failed) > 0 {
            return;
        }
        // So may have been the answer by which a file starts that went ahead of it as a whole.
        if let JobRole::Sender(sender) = &self.role
            && let Some(name) = sender.first_unsettled()
        {
            self.moving.note_name(&name, place);
        }
        let sum = |parts: &[&AtomicU64]| parts.iter().map(|part| Counters::read(part)).sum::<u64>();
        let settled = sum(&[&counters.files_done, &counters.files_skipped]);
        let there = sum(&[&counters.bytes_written, &counters.bytes_resumed, &counters.bytes_skipped]);
        let files = Counters::read(&counters.files_found).saturating_sub(settled);
        let bytes = Counters::read(&counters.bytes_found).saturating_sub(there);
        for counters in [counters, all] {
            Counters::add(&counters.files_done, files);
            Counters::add(&counters.bytes_written, bytes);
        }
    }

    /// The job's entry in the history, once: when the job is over. `address` is where `peer` is now; `parting` is how its
    /// connection ended, if it has.
    pub(super) fn account(&self, peer: &Peer, address: IpAddr, parting: Option<ConnectionEnd>) -> Option<HistoryEntry> {
        if self.is_rehearsal || self.is_told.swap(true, Ordering::Relaxed) {
            return None;
        }
        let [files, skipped, failed, bytes, sent, lost] = [
            &self.counters.files_done,
            &self.counters.files_skipped,
            &self.counters.files_failed,
            &self.counters.bytes_written,
            &self.counters.packets_sent,
            &self.counters.packets_lost,
        ]
        .map(Counters::read);
        let ended = self.ended.get().copied().unwrap_or_else(Instant::now);
        let outcome = match parting {
            Some(ConnectionEnd::Closed(CloseCode::Cancelled)) if self.is_running() => JobOutcome::Stopped,
            Some(ConnectionEnd::Lost) if self.is_running() => JobOutcome::Lost,
            Some(ConnectionEnd::Closed(code)) if code != CloseCode::Done && self.is_running() => JobOutcome::Lost,
            _ => JobOutcome::of_counts(files + skipped, failed),
        };
        // A dry run, and a job that was stopped before anything happened, leave no entry.
        if outcome == JobOutcome::Stopped && files + skipped + failed + bytes == 0 {
            return None;
        }
        Some(HistoryEntry {
            time: calendar::moment(SystemTime::now()),
            peer: peer.name.clone(),
            fingerprint: peer.fingerprint.to_string(),
            address,
            direction: self.direction(),
            file: self.moving.first().map(str::to_owned),
            files,
            skipped,
            failed,
            bytes,
            seconds: ended.saturating_duration_since(self.since).as_secs_f64(),
            outcome,
            loss: share_lost((0, 0), (sent, lost)),
        })
    }

    /// A number that grows whenever something of it moves.
    pub(super) fn moved(&self) -> u64 {
        let counters = &self.counters;
        let moved = [&counters.bytes_written, &counters.files_found, &counters.files_done, &counters.files_skipped];
        moved.into_iter().chain([&counters.files_failed]).map(Counters::read).sum()
    }

    /// Leaves a mark by which rates are told.
    pub(super) fn mark(&self, now: Instant) {
        self.recent.lock().expect("no holder panics").mark(now, RateTotals::of(&self.counters));
    }

    /// A copy of what goes on.
    pub(super) fn look(&self, now: Instant) -> status::JobStatus {
        let (counters, totals) = (&*self.counters, RateTotals::of(&self.counters));
        let recent = self.recent.lock().expect("no holder panics").since(now);
        let MovingSample { made, reused, count, largest } = self.moving.look();
        let [done, skipped, failed] =
            [&counters.files_done, &counters.files_skipped, &counters.files_failed].map(Counters::read);
        let [found, resumed, same] =
            [&counters.bytes_found, &counters.bytes_resumed, &counters.bytes_skipped].map(Counters::read);
        let files_found = Counters::read(&counters.files_found).saturating_sub(made);
        status::JobStatus {
            direction: self.direction(),
            elapsed_ms: millis(now.saturating_duration_since(self.since)),
            // A name that was never found can fail, too.
            files_settled: (done + skipped + failed).saturating_sub(made).min(files_found),
            files_found,
            files_failed: failed,
            scan_ended: counters.scan_ended.load(Ordering::Relaxed),
            bytes_there: (totals.written + resumed + reused + same).min(found),
            bytes_found: found,
            bytes_written: totals.written,
            rate: recent.map(|(before, span)| per_second(before.written, totals.written, span)),
            loss: recent.and_then(|(before, _)| share_lost(before.packets, totals.packets)),
            files_active: count,
            active: largest.iter().map(|file| named(file)).collect(),
        }
    }
}
