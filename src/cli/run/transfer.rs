//! Runs one transfer: the network on a thread of its own, with its own runtime; the terminal and the signals
//! here. A terminal that is stopped (Ctrl-S) or slow can so never hold up a packet.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::log::{self, LogSink};
use super::sandbox::Sandbox;
use super::signals::Signals;
use crate::cli::args::{BandwidthLimit, IfExistsArg, JobArgs};
use crate::cli::exit::{Complaint, Exit, StopSignal, Verb};
use crate::cli::ssh::{FarEnd, SshEnded};
use crate::cli::target::connect::{ConnectSettings, Connected, explain, remember};
use crate::cli::target::plan::ServerTarget;
use crate::cli::ui::{TICK, Ui, UiOptions, has_bars, mode};
use crate::client::{Client, Job};
use crate::digest::engine;
use crate::keys::Contact;
use crate::progress::{Counters, Event, JobReport};
use crate::protocol::message::Status;
use crate::protocol::path::escape_path;
use crate::session::probe::Busy;

/// The message when ssh ends and the transfer does not.
const SSH_ENDED: &str = "the ssh connection has ended; the transfer goes on without it";

/// Starts the job once the client is ready, in the network's runtime.
pub(crate) type Begin = Box<dyn FnOnce(&Client, Contact) -> Job + Send>;

/// A transfer that is ready to run.
pub(crate) struct Transfer {
    /// Which way.
    pub(crate) verb: Verb,
    /// With whom.
    pub(crate) place: ServerTarget,
    /// How to reach it.
    pub(crate) settings: ConnectSettings,
    /// The far end behind ssh, which ends with this.
    pub(crate) far_end: Option<FarEnd>,
    /// Starts the job.
    pub(crate) begin: Begin,
    /// The file access of the job; `None` is no restriction.
    pub(crate) sandbox: Option<Sandbox>,
    /// Lines of the log.
    pub(crate) log: Receiver<String>,
    /// Where what comes is kept until it goes on to standard output.
    pub(crate) kept_in: Option<PathBuf>,
}

/// What the network's thread tells the renderer. The channel has no bound: a stopped terminal must not stop
/// the network, and what waits is a few hundred bytes a file.
enum Update {
    Counters(Arc<Counters>),
    Event(Event),
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
    let (lines, log) = std::sync::mpsc::channel();
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
        let (updates, received) = unbounded_channel();
        let stop = CancellationToken::new();
        let (verb, place, log, far_end) = (self.verb, self.place.clone(), self.log, self.far_end);
        let kept_in = self.kept_in;
        let (settings, begin, sandbox, stopped) = (self.settings, self.begin, self.sandbox, stop.clone());
        let heard = signals.clone();
        let network = move || {
            // All threads of the job are started below this one.
            if let Some(missing) = sandbox.and_then(Sandbox::enforce) {
                drop(updates.send(Update::Unconfined(missing)));
            }
            network(&self.place, settings, begin, &updates, &stopped, heard);
        };
        let spawned = std::thread::Builder::new().name("qft-network".to_owned()).spawn(network);
        let outcome = match spawned {
            Ok(_) => watch(received, ui, &place, far_end.as_ref(), signals, &stop, &log).await,
            Err(error) => Err(error).context("starting a thread"),
        };
        let exit = match &outcome {
            Ok(report) => {
                let is_disk = |status| matches!(status, Status::NoSpace | Status::WriteFailed | Status::NotAllowed);
                let kept_in = kept_in.filter(|_| report.failures.iter().any(|(_, failure)| is_disk(failure.status)));
                kept_in.iter().for_each(|dir| {
                    let dir = escape_path(dir);
                    ui.note(&format!("it is kept in {dir} until it is whole ($TMPDIR chooses another place)"));
                });
                let tally = ui.tally();
                let planned = tally.planned + tally.planned_updates + tally.planned_compares;
                Exit::of_report(report, verb, tally.made, planned)
            }
            Err(error) => Exit::of_error(error),
        };
        ui.end(&outcome, exit, Instant::now());
        exit
    }
}

/// Takes updates, draws ten times a second, and minds the signals, until the job has ended.
async fn watch(
    mut updates: UnboundedReceiver<Update>,
    ui: &mut Ui,
    place: &ServerTarget,
    far_end: Option<&FarEnd>,
    signals: &mut Signals,
    stop: &CancellationToken,
    log: &Receiver<String>,
) -> anyhow::Result<JobReport> {
    let (mut is_met, mut is_stopping, mut is_without_ssh) = (false, false, false);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut gone = pin!(gone(far_end));
    loop {
        tokio::select! {
            update = updates.recv() => match update {
                Some(Update::Counters(counters)) => ui.set_counters(counters),
                Some(Update::Event(event)) => {
                    ui.event(&event, Instant::now());
                    // The same remote is met again after every reconnect.
                    is_met = is_met || meet(ui, place, &event);
                }
                Some(Update::Unconfined(missing)) => ui.detail(&missing),
                Some(Update::Ended(outcome)) => {
                    log.try_iter().for_each(|line| ui.log(line));
                    // The network's thread may have heard it first.
                    return match signals.latest() {
                        // After the user has stopped it, every error is a consequence of that.
                        Some(asked) => outcome.map_err(|_| interrupted(asked)),
                        None => outcome,
                    };
                }
                None => return Err(anyhow!("the network's thread ended without a word; please report this")),
            },
            SshEnded { error, far_end_lives } = &mut gone, if !is_without_ssh => {
                if !(is_met && far_end_lives) {
                    stop.cancel();
                    return Err(signals.latest().map_or_else(|| error.into(), interrupted));
                }
                is_without_ssh = true;
                ui.note(SSH_ENDED);
            }
            asked = signals.next() => {
                if is_stopping {
                    return Err(interrupted(asked));
                }
                is_stopping = true;
                stop.cancel();
                ui.note("stopping; once more stops at once");
            }
            _ = tick.tick() => {
                log.try_iter().for_each(|line| ui.log(line));
                ui.tick(Instant::now());
            }
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

fn interrupted(stop: StopSignal) -> anyhow::Error {
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
        Err(error) => ui.note(&format!("this remote could not be saved: {error:#}")),
    }
    true
}

/// The network's thread. It hears signals itself, for the main thread may be waiting for its terminal.
fn network(
    place: &ServerTarget,
    settings: ConnectSettings,
    begin: Begin,
    updates: &UnboundedSender<Update>,
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
    drop(updates.send(Update::Ended(outcome)));
}

async fn drive(
    place: &ServerTarget,
    settings: ConnectSettings,
    begin: Begin,
    updates: &UnboundedSender<Update>,
    stop: &CancellationToken,
) -> anyhow::Result<JobReport> {
    let connected = Connected::open(place, settings).await?;
    let (own, all) = (Busy::of_this_thread(), Busy::of_this_process());
    let mut job = begin(&connected.client, connected.contact.clone());
    let counters = job.counters();
    drop(updates.send(Update::Counters(counters.clone())));
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !asked => {
                asked = true;
                job.cancel();
            }
            event = job.next() => match event {
                Some(event) => drop(updates.send(Update::Event(event))),
                None => break,
            },
        }
    }
    let report = job.finish().await;
    // The job ran on this thread, but for its disk; who has but one processor has it for all.
    let processors = available_parallelism().map_or(1.0, |count| count.get() as f64);
    let processor = own.share().max(all.share() / processors);
    counters.processor_permille.store((processor * 1000.0) as u64, Ordering::Relaxed);
    connected.close().await;
    report.map_err(|error| explain(place, error))
}
