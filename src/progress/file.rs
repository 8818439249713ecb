//! One file that is moving.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::protocol::HEADERS_AHEAD_MAX;
use crate::protocol::message::Why;

/// Files of a job that have started and are not settled, at most: as many as can be so over one connection, and as many
/// over the one before it that was lost.
pub const FILES_MOVING_MAX: usize = 2 * HEADERS_AHEAD_MAX;

/// One file that is moving.
#[derive(Debug)]
pub struct FileProgress {
    /// Its name, escaped for display.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that the receiver held already when the file started.
    pub resumed: u64,
    /// The kind of content.
    pub why: Why,
    /// When its content was first asked for.
    pub since: Instant,
    /// Where the sending end has it below the directory that it serves, escaped for display; `None` where `path` says it
    /// all.
    pub source: Option<String>,
    /// Bytes that earlier attempts of the same job wrote.
    earlier: AtomicU64,
    /// Most of what is there that was so before the job.
    reused_max: AtomicU64,
    /// The kind of content when the job first asked for it.
    first_why: OnceLock<Why>,
    written: AtomicU64,
    phase: AtomicU8,
    begun: AtomicBool,
    name: OnceLock<String>,
}

/// The phase that a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilePhase {
    /// Content crosses the wire.
    Moving,
    /// Digests of what was there already are compared.
    Checking,
    /// Everything is there; it is being made durable.
    Committing,
}

impl FileProgress {
    /// A file of which `resumed` bytes are there and nothing has moved yet.
    pub(crate) fn new(path: String, size: u64, resumed: u64, why: Why) -> Self {
        let (earlier, written, phase) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU8::new(0));
        let (since, begun, name) = (Instant::now(), AtomicBool::new(false), OnceLock::new());
        let (reused_max, first_why) = (AtomicU64::new(u64::MAX), OnceLock::new());
        Self {
            path,
            size,
            resumed,
            why,
            since,
            source: None,
            earlier,
            reused_max,
            first_why,
            written,
            phase,
            begun,
            name,
        }
    }

    /// The same, of which the sending end knows where it has it.
    pub(crate) fn with_source(mut self, source: String) -> Self {
        self.source = Some(source);
        self
    }

    /// The last component of the name that it got instead of its own, escaped for display; `None` while it has its own.
    pub fn name(&self) -> Option<&str> {
        self.name.get().map(String::as_str)
    }

    /// Notes that it got another name than the one asked for.
    pub(crate) fn set_name(&self, name: String) {
        // A file is committed once, under one name.
        let _ = self.name.set(name);
    }

    /// Content bytes that the receiver has written since the file started.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes that were there before the job and stayed: those that proved wrong were written again.
    pub fn reused(&self) -> u64 {
        let there = self.resumed.min(self.size.saturating_sub(self.written()));
        let before = there.saturating_sub(self.earlier.load(Ordering::Relaxed));
        before.min(self.reused_max.load(Ordering::Relaxed))
    }

    /// Content bytes that the receiver has written in the whole job, over all of its connections.
    pub(crate) fn written_in_all(&self) -> u64 {
        self.earlier.load(Ordering::Relaxed) + self.written()
    }

    /// The kind of content when the job first asked for it: after a lost connection the job continues its own work.
    pub fn first_why(&self) -> Why {
        self.first_why.get().copied().unwrap_or(self.why)
    }

    /// Goes on where `before`, the same file of the same job, was lost. Gives how many bytes `before` wrote that its
    /// connection did not live to tell: what is there is either from before the job, or of its own writing.
    pub(crate) fn follow(&self, before: &Self) -> u64 {
        let (written, reused) = (before.written_in_all(), before.reused());
        let untold = self.resumed.saturating_sub(written).saturating_sub(reused);
        self.earlier.store(written + untold, Ordering::Relaxed);
        self.reused_max.store(reused, Ordering::Relaxed);
        // It follows once.
        let _ = self.first_why.set(before.first_why());
        untold
    }

    /// Bytes of its content that are not known to be there.
    pub fn missing(&self) -> u64 {
        self.size.saturating_sub(self.resumed.saturating_add(self.written()))
    }

    /// Whether content of it has left, or come: before, it is only announced.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Notes that content of it leaves, or comes.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Counts `bytes` more as written.
    pub(crate) fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The phase that the file is in.
    pub fn phase(&self) -> FilePhase {
        match self.phase.load(Ordering::Relaxed) {
            0 => FilePhase::Moving,
            1 => FilePhase::Checking,
            _ => FilePhase::Committing,
        }
    }

    /// Sets what is being done to it.
    pub(crate) fn set_phase(&self, phase: FilePhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}
