//! SIGHUP: "read your lists again" from an administrator, "your terminal is gone" from the system.

use std::io::IsTerminal as _;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The meaning of a SIGHUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HangUpMeaning {
    /// Read the lists again.
    ToReload,
    /// Nobody is there any more.
    ToEnd,
}

pub(super) struct HangUp {
    signal: Signal,
    had_terminal: bool,
}

impl HangUp {
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())?, had_terminal: has_terminal() })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> HangUpMeaning {
        self.signal.recv().await;
        // A terminal that has hung up is no terminal any more, as far as the system tells.
        if self.had_terminal && !has_terminal() { HangUpMeaning::ToEnd } else { HangUpMeaning::ToReload }
    }
}

fn has_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stderr().is_terminal()
}
