//! What systemd gives a server that it runs, and what it is told (`sd_listen_fds(3)`, `sd_notify(3)`). Elsewhere all of it is
//! nothing.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::server::ServerHandle;

/// The socket that was handed over, if one was.
pub(super) fn socket() -> anyhow::Result<Option<UdpSocket>> {
    let mut handed_over = ListenFd::from_env();
    match handed_over.len() {
        0 => Ok(None),
        1 => handed_over.take_udp_socket(0).context("using the socket that was handed over"),
        many => bail!("{many} sockets were handed over, and a server has one"),
    }
}

/// The server can be used.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Lists and secrets are read again; [`ready`] says when that is over.
pub(super) fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    tell(&[NotifyState::Reloading].into_iter().chain(now).collect::<Vec<_>>());
}

/// The server is about to end.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Errors are ignored: a server must not end because its supervisor does not listen.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Tells systemd again and again that the server lives, if it wants to know; twice in the time after which it would start
/// another one. A thread that does not get round to answering is silence. It ends with the runtime.
pub(super) fn keep_alive(server: ServerHandle) {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| *within > Duration::ZERO) else { return };
    let mut pace = tokio::time::interval(within / 2);
    tokio::spawn(async move {
        loop {
            pace.tick().await;
            if !server.is_alive().await {
                return;
            }
            tell(&[NotifyState::Watchdog]);
        }
    });
}
