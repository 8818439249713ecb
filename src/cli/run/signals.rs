//! Signals that ask for an end, caught on a thread that does nothing else.
//!
//! They are caught, so that what was begun is tidied, and then end the program as the system would have done. Only so does
//! a shell know that its loop, or its script, was meant too.
//!
//! The main thread may wait for a terminal that is held (Ctrl-S) or for a reader that has stopped. A signal must not wait
//! with it: this thread notes the signals for whoever can act on them, and ends the process when nobody does.

use std::fs;
use std::future::pending;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cli::exit::{Exit, StopSignal};

/// Time between the signal that should have ended the process, and its end by force: farewells are said in less.
const FORCE_AFTER: Duration = Duration::from_secs(5);
/// Signals that end a process at once: the first one asks for a clean end.
const ENOUGH: usize = 2;

/// The effect of SIGHUP on a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HangUps {
    /// The terminal is gone, and the user with it: the end, unless `nohup` has set that aside.
    End,
    /// Something else; the command catches it itself.
    AreOthers,
}

/// The signals that ask for an end, one after the other. Clones hear all of them.
#[derive(Clone)]
pub(crate) struct Signals {
    heard: watch::Receiver<Vec<StopSignal>>,
    seen: usize,
    /// Cancelled when there is nothing left to do but to print.
    over: CancellationToken,
}

impl Signals {
    fn catch(hang_ups: HangUps) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Caught from here on, not from when the thread gets to it.
        let caught = {
            let _entered = runtime.enter();
            Caught::new(hang_ups)?
        };
        let (notes, heard) = watch::channel(Vec::new());
        let signals = Self { heard, seen: 0, over: CancellationToken::new() };
        let over = signals.over.clone();
        let mind = move || runtime.block_on(mind(caught, &notes, &over));
        std::thread::Builder::new().name("qft-signals".to_owned()).spawn(mind)?;
        Ok(signals)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> StopSignal {
        let seen = self.seen;
        let next = match self.heard.wait_for(|heard| heard.len() > seen).await {
            Ok(heard) => heard[seen],
            // The thread lives as long as the process.
            Err(_) => pending().await,
        };
        self.seen += 1;
        next
    }

    /// The latest one, whoever has acted on it.
    pub(crate) fn latest(&self) -> Option<StopSignal> {
        self.heard.borrow().last().copied()
    }

    /// The work is done or given up. From here on one signal is enough.
    pub(crate) fn work_is_over(&self) {
        self.over.cancel();
    }
}

/// SIGINT, SIGTERM and perhaps SIGHUP.
struct Caught {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Caught {
    fn new(hang_ups: HangUps) -> std::io::Result<Self> {
        // A process that was started with the signal ignored, as by `nohup`, goes on ignoring it.
        let ends = hang_ups == HangUps::End && !is_ignored(Number::HUP);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: ends.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) -> StopSignal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = hang_up => StopSignal::HangUp,
        }
    }
}

/// Whether whoever started this program had it ignore a signal; `false` where the system does not tell.
fn is_ignored(number: Number) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number.as_raw() - 1) & 1 == 1
}

async fn mind(mut caught: Caught, notes: &watch::Sender<Vec<StopSignal>>, over: &CancellationToken) {
    let mut latest = None;
    while notes.borrow().len() < ENOUGH {
        tokio::select! {
            stop = caught.next() => {
                latest = Some(stop);
                notes.send_modify(|heard| heard.push(stop));
            }
            () = over.cancelled(), if latest.is_some() => break,
        }
    }
    // The main thread ends the process in its own way, if it can.
    sleep(FORCE_AFTER).await;
    let exit = latest.map_or(Exit::Interrupted, StopSignal::exit);
    end_by(exit);
    process::exit(exit.code().into());
}

/// A file that becomes larger than this process may make any (`ulimit -f`) is a call that fails, as on a disk that has no
/// room: by default the system ends the process, which may be serving others.
pub(crate) fn outlive_file_size_limit() {
    // Caught, not ignored: a program that this one starts has the system's default again.
    let caught = Arc::<AtomicBool>::default();
    drop(signal_hook::flag::register(Number::XFSZ.as_raw(), caught));
}

/// Ends the process by the signal that an exit stands for, with the system's own action; does nothing for any other.
/// Everything is tidied by now, or given up.
pub(in crate::cli) fn end_by(exit: Exit) {
    let number = match exit {
        Exit::Interrupted => Number::INT,
        Exit::Terminated => Number::TERM,
        Exit::HungUp => Number::HUP,
        _ => return,
    };
    // If that is not possible, the exit code says the same.
    drop(signal_hook::low_level::emulate_default_handler(number.as_raw()));
}

/// Runs a command on the main thread, with signals caught from here on.
pub(crate) fn block_on<T, F: Future<Output = anyhow::Result<T>>>(
    hang_ups: HangUps,
    main: impl FnOnce(Signals) -> F,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let signals = Signals::catch(hang_ups).context("catching signals")?;
    let result = runtime.block_on(main(signals.clone()));
    signals.work_is_over();
    // Standard input may still be read by a thread that nothing can wake.
    runtime.shutdown_background();
    result
}
