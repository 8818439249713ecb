//! What happens that nobody has asked for.

use rustix::io::Errno;

use super::connection::{Connection, End};
use super::job::Job;
use super::setup::{Client, Workload};
use super::world::World;
use crate::storage::testing::memory::MemoryStore;
use crate::storage::testing::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disturbance {
    Cut,
    Drain,
    ServerKilled,
    ServerWithoutPower,
    ClientKilled,
    ClientWithoutPower,
    SourceChanged,
    TargetChanged,
    SourceFails,
    TargetFails,
    TargetFull,
    TimePasses,
}

/// What happens to a mixed workload, as often as it stands here.
const MIXED: [Disturbance; 16] = [
    Disturbance::Cut,
    Disturbance::Cut,
    Disturbance::Drain,
    Disturbance::ServerKilled,
    Disturbance::ServerWithoutPower,
    Disturbance::ClientKilled,
    Disturbance::ClientWithoutPower,
    Disturbance::SourceChanged,
    Disturbance::SourceChanged,
    Disturbance::SourceChanged,
    Disturbance::TargetChanged,
    Disturbance::SourceFails,
    Disturbance::TargetFails,
    Disturbance::TargetFails,
    Disturbance::TargetFull,
    Disturbance::TimePasses,
];

/// The same to a restless one.
const RESTLESS: [Disturbance; 12] = [
    Disturbance::Cut,
    Disturbance::Drain,
    Disturbance::SourceChanged,
    Disturbance::SourceChanged,
    Disturbance::SourceChanged,
    Disturbance::SourceChanged,
    Disturbance::SourceChanged,
    Disturbance::SourceFails,
    Disturbance::TargetFails,
    Disturbance::TargetFails,
    Disturbance::TargetFails,
    Disturbance::TargetFails,
];

impl Disturbance {
    pub(super) fn draw(workload: Workload, random: &mut Random) -> Self {
        match workload {
            Workload::Mixed => random.pick(&MIXED),
            Workload::Restless => random.pick(&RESTLESS),
            Workload::Rewritten => Self::SourceChanged,
        }
    }

    /// It happens now, or between two of the operations that a disk is asked for next; how the connection ends, if it does.
    pub(super) fn happen(
        self,
        world: &mut World,
        job: &mut Job,
        connection: &mut Connection,
    ) -> Result<Option<End>, String> {
        let client = job.setup.client;
        match self {
            Self::Cut => return Ok(Some(End::Again)),
            Self::Drain => connection.drain(client),
            Self::ServerKilled | Self::ServerWithoutPower => {
                match client {
                    Client::Sends => job.restart_receiver(world, self == Self::ServerWithoutPower)?,
                    Client::Receives => job.sender = MemoryStore::of_new_process(&world.source),
                }
                return Ok(Some(End::Again));
            }
            Self::ClientKilled => return Ok(Some(End::Gone)),
            Self::ClientWithoutPower => {
                if client == Client::Receives {
                    world.cut_power_at_target(&job.setup)?;
                }
                return Ok(Some(End::Gone));
            }
            Self::TargetFull => job.full_until = job.steps + 1 + world.fill_target(),
            Self::SourceChanged => world.change_source(),
            Self::TargetChanged => world.change_target(),
            Self::SourceFails => {
                let errno = world.scheduler.random.pick(&[Errno::IO, Errno::ACCESS, Errno::MFILE]);
                world.source.fail_after(world.scheduler.random.below(6) as u64, errno);
            }
            Self::TargetFails => {
                let errnos = [Errno::IO, Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::DQUOT];
                let errno = world.scheduler.random.pick(&errnos);
                world.target.fail_after(world.scheduler.random.below(12) as u64, errno);
            }
            Self::TimePasses => world.scheduler.let_pass(4000),
        }
        Ok(None)
    }
}
