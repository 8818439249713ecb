//! Runs one transfer: the network on a thread of its own, with its own runtime; the terminal and the signals
//! here. A terminal that is stopped (Ctrl-S) or slow so holds up no packet before very much waits to be shown.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use serde_json::json;
use tokio::sync::mpsc::{self, channel};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::log::{self, LogLines, LogSink};
use super::sandbox::Sandbox;
use super::signals::Signals;
use super::spooled::SpooledOutput;
use super::view::{JobView, interrupted};
use crate::cli::args::{BandwidthLimit, IfExistsArg, JobArgs};
use crate::cli::exit::Exit;
use crate::cli::ssh::{FarEnd, SshEnded};
use crate::cli::target::connect::{ConnectSettings, Connected, explain};
use crate::cli::target::plan::ServerTarget;
use crate::cli::text::verb::Verb;
use crate::cli::ui::{TICK, Ui, UiOptions, has_bars, mode};
use crate::client::{Client, Job};
use crate::digest::engine;
use crate::keys::Contact;
use crate::progress::{Counters, Event, JobReport};
use crate::protocol::message::Status;
use crate::protocol::path::escape_path;
use crate::session::processor::ProcessorShare;

/// Starts the job once the client is ready, in the network's runtime.
pub(crate) type Begin = Box<dyn FnOnce(&Client, Contact) -> Job + Send>;

/// A transfer that is ready to run.
pub(crate) struct Transfer {
    pub(crate) place: ServerTarget,
    /// How to reach it.
    pub(crate) settings: ConnectSettings,
    /// The far end behind ssh, which ends with this.
    pub(crate) far_end: Option<FarEnd>,
    pub(crate) begin: Begin,
    /// The file access of the job; `None` is no restriction.
    pub(crate) sandbox: Option<Sandbox>,
    /// Lines of the log.
    pub(crate) log: Receiver<String>,
    /// Where what comes is kept until it goes on to standard output.
    pub(crate) spooled: Option<SpooledOutput>,
}

/// Updates that wait for the renderer, and then events in the job, which has room for far more of them: a stopped terminal
/// must not stop the network, and a server must not fill the memory of whoever has stopped it.
const UPDATES_AHEAD: usize = 16;

/// Events that are told together, if they are there: to wake a thread for each takes longer than to show it.
const EVENTS_TOGETHER_MAX: usize = 64;

/// The news of the network's thread for the renderer.
pub(super) enum Update {
    Counters(Arc<Counters>),
    Events(Vec<Event>),
    /// The system cannot confine the job, for this reason.
    Unconfined(String),
    Ended(anyhow::Result<JobReport>),
}

/// Opens what a transfer is shown by, with its first line, and the log that goes through it.
pub(crate) fn open_ui(
    verb: Verb,
    job: &JobArgs,
    place: &ServerTarget,
    far_end: Option<&FarEnd>,
    shown: &str,
) -> anyhow::Result<(Ui, Receiver<String>)> {
    let dry_run = job.conflict.dry_run;
    let mut ui = Ui::new(UiOptions {
        verb,
        mode: mode(&job.output, dry_run, has_bars()),
        json: job.output.json,
        verbose: job.output.verbose > 0,
        dry_run,
        steps_aside: job.if_exists() == IfExistsArg::Rename,
        jobs: job.link.jobs.get(),
        address: place.address(),
        is_local: matches!(place, ServerTarget::Local { .. }),
        stats: job.output.stats,
        rate_limit: BandwidthLimit::rate_of(job.link.bwlimit).map(|limit| limit.bytes_per_second() as f64),
    })
    .context("starting a thread")?;
    let (lines, log) = LogLines::new();
    far_end.iter().for_each(|far_end| far_end.speak_through(lines.clone()));
    log::init(job.output.verbose, LogSink::Renderer(lines));
    ui.header(
        &place.header(verb.arrow(), shown),
        json!({"path": shown, "address": place.address(), "dry_run": dry_run}),
    );
    engine().complaint().iter().for_each(|complaint| ui.note(complaint));
    Ok((ui, log))
}

impl Transfer {
    /// Runs to the end, draws on the way, and prints how it ended. The outcome is for what comes after.
    pub(crate) async fn run(self, ui: &mut Ui, signals: &mut Signals) -> Exit {
        ui.begin(Instant::now());
        let (updates, received) = channel(UPDATES_AHEAD);
        let stop = CancellationToken::new();
        let (place, log, far_end) = (self.place.clone(), self.log, self.far_end);
        let (settings, begin, sandbox, stopped) = (self.settings, self.begin, self.sandbox, stop.clone());
        let heard = signals.clone();
        let network = move || {
            // All threads of the job are started below this one.
            if let Some(missing) = sandbox.and_then(Sandbox::enforce) {
                drop(updates.blocking_send(Update::Unconfined(missing)));
            }
            network(&self.place, settings, begin, &updates, &stopped, heard);
        };
        let spawned = std::thread::Builder::new().name("qft-network".to_owned()).spawn(network);
        let mut outcome = match spawned {
            Ok(_) => watch(received, ui, &place, far_end.as_ref(), signals, &stop, &log).await,
            Err(error) => Err(error).context("starting a thread"),
        };
        let ended = Instant::now();
        if let (Some(spooled), Ok(report)) = (self.spooled, &outcome) {
            note_spool(ui, &spooled, report);
            // Nothing is called done before standard output has taken it.
            if report.failed == 0 {
                ui.clear();
                match spooled.deliver(signals).await {
                    Ok(Exit::Done) => {}
                    Ok(exit) => {
                        ui.leave();
                        return exit;
                    }
                    Err(error) => outcome = Err(error),
                }
            }
        }
        let exit = exit_of(&outcome, ui);
        ui.end(&outcome, exit, ended);
        exit
    }
}

fn exit_of(outcome: &anyhow::Result<JobReport>, ui: &Ui) -> Exit {
    match outcome {
        Ok(report) => {
            let tally = ui.tally();
            let planned = tally.planned + tally.planned_updates + tally.planned_compares;
            Exit::of_report(report, tally.made, planned)
        }
        Err(error) => Exit::of_error(error),
    }
}

/// Where a disk is full, or refuses, which is not the one that the user has named, it is said which.
fn note_spool(ui: &mut Ui, spooled: &SpooledOutput, report: &JobReport) {
    let is_disk = |status| matches!(status, Status::NoSpace | Status::WriteFailed | Status::NotAllowed);
    if report.failures.iter().any(|(_, failure)| is_disk(failure.status)) {
        let dir = escape_path(spooled.dir());
        ui.note(&format!("it is kept in {dir} until it is whole ($TMPDIR chooses another place)"));
    }
}

/// Takes updates, draws ten times a second, and minds the signals, until the job has ended.
async fn watch(
    mut updates: mpsc::Receiver<Update>,
    ui: &mut Ui,
    place: &ServerTarget,
    far_end: Option<&FarEnd>,
    signals: &mut Signals,
    stop: &CancellationToken,
    log: &Receiver<String>,
) -> anyhow::Result<JobReport> {
    let mut view = JobView::new(ui, place, stop, log);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut gone = pin!(gone(far_end));
    loop {
        tokio::select! {
            update = updates.recv() => match update {
                Some(update) => if let Some(outcome) = view.on_update(update) {
                    // The network's thread may have heard the signal first. After the user has stopped the job, every error
                    // is a consequence of that.
                    return outcome.map_err(|error| signals.latest().map_or(error, interrupted));
                },
                None => return Err(anyhow!("the network's thread ended without a word; please report this")),
            },
            ended = &mut gone, if !view.is_without_ssh() => view.on_ssh_ended(ended, signals.latest())?,
            asked = signals.next() => view.on_signal(asked)?,
            _ = tick.tick() => view.on_tick(),
        }
    }
}

/// The end of ssh; for ever where there is none.
pub(crate) async fn gone(far_end: Option<&FarEnd>) -> SshEnded {
    match far_end {
        Some(far_end) => far_end.gone().await,
        None => std::future::pending().await,
    }
}

/// The network's thread. It hears signals itself, for the main thread may be waiting for its terminal.
fn network(
    place: &ServerTarget,
    settings: ConnectSettings,
    begin: Begin,
    updates: &mpsc::Sender<Update>,
    stop: &CancellationToken,
    mut signals: Signals,
) {
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(async {
                let mut driven = pin!(drive(place, settings, begin, updates, stop));
                tokio::select! {
                    outcome = &mut driven => return outcome,
                    _ = signals.next() => stop.cancel(),
                }
                driven.await
            });
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error).context("starting the runtime"),
    };
    signals.work_is_over();
    // The renderer is gone only when the user would wait no longer.
    drop(updates.blocking_send(Update::Ended(outcome)));
}

async fn drive(
    place: &ServerTarget,
    settings: ConnectSettings,
    begin: Begin,
    updates: &mpsc::Sender<Update>,
    stop: &CancellationToken,
) -> anyhow::Result<JobReport> {
    let connected = Connected::open(place, settings).await?;
    let processor = ProcessorShare::from_now();
    let mut job = begin(&connected.client, connected.contact.clone());
    let counters = job.counters();
    drop(updates.send(Update::Counters(counters.clone())).await);
    let (mut asked, mut waiting) = (false, Vec::new());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !asked => {
                asked = true;
                job.cancel();
            }
            room = updates.reserve(), if !waiting.is_empty() => {
                let events = Update::Events(std::mem::take(&mut waiting));
                // The renderer is gone only when the user would wait no longer.
                if let Ok(room) = room {
                    room.send(events);
                }
            }
            event = job.next(), if waiting.is_empty() => {
                let Some(event) = event else { break };
                let others = std::iter::from_fn(|| job.try_next());
                waiting.extend(std::iter::once(event).chain(others).take(EVENTS_TOGETHER_MAX));
            }
        }
    }
    let report = job.finish().await;
    // The job ran on this thread, but for its disk.
    counters.processor_permille.store((processor.share() * 1000.0) as u64, Ordering::Relaxed);
    connected.close().await;
    report.map_err(|error| explain(place, error))
}
