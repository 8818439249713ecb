//! The view of a running job: what its user sees of it, and how the user stops it.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::transfer::Update;
use crate::cli::exit::{Complaint, StopSignal};
use crate::cli::ssh::SshEnded;
use crate::cli::target::connect::remember;
use crate::cli::target::plan::ServerTarget;
use crate::cli::ui::{Ui, message};
use crate::progress::{Event, JobReport};

/// The message when ssh ends and the transfer does not.
const SSH_ENDED: &str = "the ssh connection has ended; the transfer goes on without it";

/// A user's view of a job that runs.
pub(super) struct JobView<'a> {
    ui: &'a mut Ui,
    place: &'a ServerTarget,
    /// Stops the job.
    stop: &'a CancellationToken,
    log: &'a Receiver<String>,
    /// The remote has answered once. It is met again after every reconnect.
    is_met: bool,
    is_stopping: bool,
    is_without_ssh: bool,
}

impl<'a> JobView<'a> {
    pub(super) fn new(
        ui: &'a mut Ui,
        place: &'a ServerTarget,
        stop: &'a CancellationToken,
        log: &'a Receiver<String>,
    ) -> Self {
        Self { ui, place, stop, log, is_met: false, is_stopping: false, is_without_ssh: false }
    }

    /// Whether ssh has ended, and the job goes on without it.
    pub(super) fn is_without_ssh(&self) -> bool {
        self.is_without_ssh
    }

    /// A moment has passed.
    pub(super) fn on_tick(&mut self) {
        self.take_log();
        self.ui.tick(Instant::now());
    }

    /// The user wants the job to stop, or does not want to wait for that any longer, which is an error.
    pub(super) fn on_signal(&mut self, asked: StopSignal) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.is_stopping, true) {
            return Err(interrupted(asked));
        }
        self.stop.cancel();
        self.ui.note("stopping; once more stops at once");
        Ok(())
    }

    /// The way through ssh has ended, which is an error unless the far end is reached without it. `asked`: the user has
    /// stopped the job, which ends ssh, too.
    pub(super) fn on_ssh_ended(&mut self, ended: SshEnded, asked: Option<StopSignal>) -> anyhow::Result<()> {
        let SshEnded { error, far_end_lives } = ended;
        if !(self.is_met && far_end_lives) {
            self.stop.cancel();
            return Err(asked.map_or_else(|| error.into(), interrupted));
        }
        self.is_without_ssh = true;
        self.ui.note(SSH_ENDED);
        Ok(())
    }

    /// Shows what the network's thread tells; returns the outcome when the job has ended.
    pub(super) fn on_update(&mut self, update: Update) -> Option<anyhow::Result<JobReport>> {
        match update {
            Update::Counters(counters) => self.ui.set_counters(counters),
            Update::Events(events) => {
                for event in events {
                    self.ui.event(&event, Instant::now());
                    self.is_met = self.is_met || meet(self.ui, self.place, &event);
                }
            }
            Update::Unconfined(missing) => self.ui.detail(&missing),
            Update::Ended(outcome) => {
                self.take_log();
                return Some(outcome);
            }
        }
        None
    }

    fn take_log(&mut self) {
        self.log.try_iter().for_each(|line| self.ui.log(line));
    }
}

/// The error of a job that the user has stopped.
pub(super) fn interrupted(stop: StopSignal) -> anyhow::Error {
    Complaint::Interrupted(stop).into()
}

/// At the first connection: says where a far end answers, and saves a remote that is new. `false`: it is none.
fn meet(ui: &mut Ui, place: &ServerTarget, event: &Event) -> bool {
    let Event::Connected { addr, peer, enrolled } = event else { return false };
    if let ServerTarget::Far(far) = place {
        far.news_of(*addr).iter().for_each(|news| ui.note(news));
    }
    match remember(place, peer, *enrolled) {
        Ok(Some(line)) => ui.note(&line),
        Ok(None) => {}
        // The transfer works without it; the next one needs the ticket again.
        Err(error) => ui.note(&format!("this remote could not be saved: {}", message(&error))),
    }
    true
}
