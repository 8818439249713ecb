//! The process that receives.

use super::receiving::Receiving;
use super::scheduler::Scheduler;
use super::setup::Setup;
use crate::session::budget::Budget;
use crate::storage::Durability;
use crate::storage::testing::memory::{MemoryCommitter, MemoryStore, Volume};

/// What a server may hold for all its clients.
const SERVER_BYTES: usize = 4 << 20;

pub(super) struct ReceivingProcess {
    pub(super) store: MemoryStore,
    pub(super) committer: MemoryCommitter,
    pub(super) budget: Budget,
    /// Receivers of connections that were lost, of which something is still to be done.
    pub(super) ghosts: Vec<Receiving>,
}

impl ReceivingProcess {
    pub(super) fn new(target: &Volume, setup: &Setup) -> Self {
        let sync = if setup.durable { Durability::Synced } else { Durability::Unsynced };
        Self {
            store: MemoryStore::of_new_process(target),
            committer: MemoryCommitter::new(sync),
            budget: Budget::new(SERVER_BYTES, setup.open_files),
            ghosts: Vec::new(),
        }
    }

    /// How many pieces of work of lost connections could be done now.
    pub(super) fn ghost_steps(&self) -> usize {
        self.ghosts.iter().map(Receiving::steps).sum()
    }

    pub(super) fn step_ghost(&self, scheduler: &mut Scheduler) {
        let with_work = self.ghosts.iter().find(|ghost| ghost.steps() > 0);
        with_work.into_iter().for_each(|ghost| ghost.step(&mut scheduler.random, None));
    }

    pub(super) fn has_work(&self) -> bool {
        let has_work = |ghost: &Receiving| ghost.steps() > 0 || ghost.next_due().is_some();
        self.committer.has_work() || self.ghosts.iter().any(has_work)
    }

    /// Nobody is served any more: nothing is held.
    pub(super) fn check_idle(&self) -> Result<(), String> {
        match SERVER_BYTES - self.budget.free() {
            0 => Ok(()),
            held => Err(format!("{held} bytes are held for nobody")),
        }
    }
}

impl Drop for ReceivingProcess {
    fn drop(&mut self) {
        self.committer.abandon();
    }
}
