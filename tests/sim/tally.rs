//! What worlds have been through.

use std::collections::BTreeMap;

use super::disturbance::Disturbance;
use super::told::Told;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) jobs: usize,
    pub(super) connections: usize,
    pub(super) steps: usize,
    pub(super) disturbed: BTreeMap<Disturbance, usize>,
    pub(super) told: BTreeMap<&'static str, usize>,
    pub(super) operations: u64,
    pub(super) failed_operations: u64,
    pub(super) mistaken_by_stamp: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.connections += other.connections;
        self.steps += other.steps;
        other.disturbed.into_iter().for_each(|(kind, count)| *self.disturbed.entry(kind).or_default() += count);
        other.told.into_iter().for_each(|(kind, count)| *self.told.entry(kind).or_default() += count);
        self.operations += other.operations;
        self.failed_operations += other.failed_operations;
        self.mistaken_by_stamp += other.mistaken_by_stamp;
    }

    pub(super) fn count_told(&mut self, told: Told) {
        let kind = match told {
            Told::Done => "done",
            Told::Skipped(_) => "skipped",
            Told::Planned => "planned",
            Told::Failed => "failed",
        };
        *self.told.entry(kind).or_default() += 1;
    }
}
