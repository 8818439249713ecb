//! Two trees on two disks, for as many jobs as are run one after the other.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Fault;
use super::job::Job;
use super::judge::Judge;
use super::scheduler::Scheduler;
use super::setup::{Setup, Workload, is_misplaced, source_quirks, target_quirks};
use super::tally::Tally;
use super::user::User;
use crate::digest::{CHUNK_BYTES, ChunkHasher, SALT_BYTES, Salt};
use crate::progress::Event;
use crate::storage::Delivered;
use crate::storage::testing::memory::Volume;

/// After so long everything is on its disk, asked for or not.
const WRITTEN_BACK_MILLIS: u64 = 1_000_000;

pub(super) struct World {
    pub(super) scheduler: Scheduler,
    pub(super) workload: Workload,
    user: User,
    pub(super) source: Volume,
    pub(super) target: Volume,
    pub(super) hasher: ChunkHasher,
    pub(super) judge: Judge,
    /// What the server remembers of senders that must not look.
    pub(super) delivered: Arc<Delivered>,
    pub(super) tally: Tally,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> Self {
        static HASHER: OnceLock<ChunkHasher> = OnceLock::new();
        let hasher = HASHER.get_or_init(|| ChunkHasher::new(&Salt([7; SALT_BYTES]))).clone();
        let mut scheduler = Scheduler::new(seed, fault);
        let Scheduler { random, clock, .. } = &mut scheduler;
        let workload = Workload::draw(random);
        let source = Volume::new(source_quirks(workload, random), clock.clone());
        let target = Volume::new(target_quirks(seed, random), clock.clone());
        if is_misplaced(seed) {
            target.misplace();
        }
        let mut user = User::new(clock.clone(), workload);
        user.make_sources(&source, random);
        if random.percent(60) {
            user.make_target(&source, &target, random);
        }
        let (judge, delivered, tally) = Default::default();
        Self { scheduler, workload, user, source, target, hasher, judge, delivered, tally }
    }

    /// Runs some jobs, as a user does that sends a tree again and again; why something is not what it must be, if it is not.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for _ in 0..1 + self.scheduler.random.below(3) {
            self.between_jobs();
            let setup = Setup::draw(self.workload, &mut self.scheduler.random);
            self.run_job(setup).map_err(|error| format!("{error}\n  {:?}, {setup:?}", self.workload))?;
        }
        let operations = [&self.source, &self.target].map(Volume::operations);
        self.tally.operations = operations.iter().map(|(all, _)| all).sum();
        self.tally.failed_operations = operations.iter().map(|(_, failed)| failed).sum();
        self.tally.mistaken_by_stamp = self.judge.mistaken_by_stamp;
        Ok(())
    }

    /// The user changes some of the tree, and time passes.
    fn between_jobs(&mut self) {
        let random = &mut self.scheduler.random;
        for _ in 0..random.below(3) {
            if let Some(change) = self.user.any_change(&self.source, random) {
                self.source.change(change);
            }
        }
        self.source.sync_all();
        self.source.take_changed();
        self.target.take_changed();
        let passes = random.pick(&[1, 30, 5000, WRITTEN_BACK_MILLIS]);
        self.scheduler.clock.advance(Duration::from_millis(passes));
        if passes >= WRITTEN_BACK_MILLIS {
            // A disk writes what is older, whether anybody asks for it or not.
            self.target.sync_all();
        }
    }

    fn run_job(&mut self, setup: Setup) -> Result<(), String> {
        self.judge.begin_job(&setup, &self.source, &self.target);
        self.scheduler.show(|| format!("a job: {setup:?}\n{:#?}\n{:#?}", self.source.look(), self.target.look()));
        self.tally.jobs += 1;
        let mut job = Job::new(self, setup);
        job.run(self)?;
        self.tally.steps += job.steps;
        self.calm();
        job.listen(self, None)?;
        self.judge.check_names(&setup, &self.target, false)?;
        self.judge.check_kept(&setup, &self.target)?;
        if setup.durable && self.scheduler.random.percent(30) {
            self.cut_power_at_target(&setup)?;
        }
        self.judge.told.values().for_each(|told| self.tally.count_told(*told));
        Ok(())
    }

    pub(super) fn cut_power_at_target(&mut self, setup: &Setup) -> Result<(), String> {
        self.note_changes();
        self.target.cut_power(&mut self.scheduler.random);
        self.scheduler.show(|| format!("without power: {:#?}", self.target.look()));
        self.judge.check_names(setup, &self.target, true)
    }

    /// Another program changes the source soon.
    pub(super) fn change_source(&mut self) {
        let random = &mut self.scheduler.random;
        if let Some(change) = self.user.any_change(&self.source, random) {
            self.source.change_after(random.below(6) as u64, change);
        }
    }

    /// Another program changes the target soon.
    pub(super) fn change_target(&mut self) {
        let random = &mut self.scheduler.random;
        if let Some(change) = self.user.any_change(&self.target, random) {
            self.target.change_after(random.below(6) as u64, change);
        }
    }

    /// The target is about to be full, for as many steps as are returned.
    pub(super) fn fill_target(&mut self) -> usize {
        let random = &mut self.scheduler.random;
        self.target.set_capacity(self.target.filled() + random.below(3) as u64 * CHUNK_BYTES);
        random.below(60)
    }

    /// Whatever was wrong is not any more.
    pub(super) fn calm(&self) {
        for volume in [&self.source, &self.target] {
            volume.heal();
            volume.forget_changes();
        }
        self.target.set_capacity(u64::MAX);
    }

    /// What other programs have changed is known to the judge.
    pub(super) fn note_changes(&mut self) {
        for (at, seen) in self.source.take_changed() {
            self.scheduler.show(|| format!("source {at}: {seen:?}"));
            self.judge.source_changed(&at.to_string(), seen);
        }
        for (at, seen) in self.target.take_changed() {
            self.scheduler.show(|| format!("target {at}: {seen:?}"));
            self.judge.target_changed(&at.to_string(), seen);
        }
    }

    /// One of the ends tells of something.
    pub(super) fn hear(&mut self, by: &str, event: &Event, setup: &Setup) -> Result<(), String> {
        self.scheduler.show(|| format!("{by}: {event:?}"));
        self.judge.hear(event, by == "client", setup, &self.target)
    }
}
