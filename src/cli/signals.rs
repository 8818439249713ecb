//! Signals, caught on a thread that does nothing else.
//!
//! The main thread may wait for a terminal that is held (Ctrl-S) or for a reader that has stopped. A signal must not wait
//! with it: this thread counts the signals for whoever can act on them, and ends the process when nobody does.

use std::future::pending;
use std::process;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::exit::Exit;

/// Time between the signal that should have ended the process, and its end by force: farewells are said in less.
const FORCE_AFTER: Duration = Duration::from_secs(5);
/// Signals that end a process at once: the first one asks for a clean end.
const ENOUGH: u32 = 2;
/// SIGHUP in the masks of `/proc/self/status`, whose lowest bit is signal 1.
const HANGUP_BIT: u64 = 1;

/// What SIGHUP means to a command.
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
    count: watch::Receiver<u32>,
    seen: u32,
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
        let (counts, count) = watch::channel(0);
        let signals = Self { count, seen: 0, over: CancellationToken::new() };
        let over = signals.over.clone();
        let mind = move || runtime.block_on(mind(caught, &counts, &over));
        std::thread::Builder::new().name("qft-signals".to_owned()).spawn(mind)?;
        Ok(signals)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let seen = self.seen;
        match self.count.wait_for(|count| *count > seen).await {
            Ok(_) => self.seen += 1,
            // The thread lives as long as the process.
            Err(_) => pending().await,
        }
    }

    /// What was to be done is done or given up. From here on one signal is enough.
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
        let ends = hang_ups == HangUps::End && !hang_ups_are_ignored();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: ends.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => drop(signal.recv().await),
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hang_up => {}
        }
    }
}

/// Whether this process was started with SIGHUP set aside, as `nohup` does; to catch it would undo that.
fn hang_ups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP_BIT != 0)
}

async fn mind(mut caught: Caught, counts: &watch::Sender<u32>, over: &CancellationToken) {
    loop {
        let is_asked = *counts.borrow() > 0;
        tokio::select! {
            () = caught.next() => counts.send_modify(|count| *count += 1),
            () = over.cancelled(), if is_asked => break,
        }
        if *counts.borrow() >= ENOUGH {
            break;
        }
    }
    // The main thread ends the process in its own way, if it can.
    sleep(FORCE_AFTER).await;
    process::exit(Exit::Interrupted.code().into());
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
