//! A disk in memory: what programs see of it, what a power cut would leave, and what is wrong with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

use super::image::{Image, Seen};
use super::state::{ManualClock, Quirks, State};
use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

/// The disk. It outlives the processes that use it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Volume(Arc<Mutex<State>>);

impl Volume {
    pub(crate) fn new(quirks: Quirks, clock: ManualClock) -> Self {
        Self(Arc::new(Mutex::new(State::new(quirks, clock))))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// The process that used it is dead, another one begins to.
    pub(super) fn begin_process(&self) -> u64 {
        self.state().begin_process()
    }

    /// Lets the operation after `others` more fail.
    pub(crate) fn fail_after(&self, others: u64, errno: Errno) {
        self.state().failure = Some((others, errno));
    }

    /// No operation fails any more.
    pub(crate) fn heal(&self) {
        self.state().failure = None;
    }

    /// Operations that were asked for, and those among them that failed on purpose.
    pub(crate) fn operations(&self) -> (u64, u64) {
        let state = self.state();
        (state.operations, state.failed)
    }

    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.state().quirks.capacity = bytes;
    }

    /// From now on the path by which processes reach it leads to another one, or to nothing.
    pub(crate) fn misplace(&self) {
        self.state().is_misplaced = true;
    }

    pub(crate) fn is_misplaced(&self) -> bool {
        self.state().is_misplaced
    }

    /// Whether it keeps all that is written to it.
    pub(crate) fn keeps_all(&self) -> bool {
        self.state().quirks.keeps == u64::MAX
    }

    /// Everything that has a name, as programs see it.
    pub(crate) fn look(&self) -> BTreeMap<String, Seen> {
        seen(&self.state().memory)
    }

    /// The facts of a name.
    pub(crate) fn seen(&self, path: &WirePath) -> Option<Seen> {
        let state = self.state();
        let number = state.number(path).ok()?;
        state.memory.inode(number).ok().map(Seen::of)
    }

    /// Whether names that differ in case alone are one.
    pub(crate) fn folds(&self) -> bool {
        self.state().quirks.folds
    }

    /// The step of times, in nanoseconds.
    pub(crate) fn time_step(&self) -> u64 {
        self.state().quirks.time_step
    }

    /// A time as the disk keeps it.
    pub(crate) fn kept_time(&self, time: Mtime) -> Mtime {
        self.state().kept_time(time)
    }

    /// Bytes that are used.
    pub(crate) fn filled(&self) -> u64 {
        self.state().memory.filled()
    }

    /// Parts that somebody writes.
    pub(crate) fn locked(&self) -> usize {
        self.state().locks.len()
    }

    /// Whether nothing would be lost without power.
    pub(crate) fn is_synced(&self) -> bool {
        let state = self.state();
        state.pending.is_empty() && state.memory == state.durable
    }

    /// All that was written is on the disk.
    pub(crate) fn sync_all(&self) {
        self.state().sync_all();
    }
}

fn seen(image: &Image) -> BTreeMap<String, Seen> {
    let all = image.all().into_iter();
    let shown = all.filter_map(|(path, number)| {
        let inode = image.inode(number).ok()?;
        Some((String::from_utf8_lossy(&path).into_owned(), Seen::of(inode)))
    });
    shown.collect()
}
