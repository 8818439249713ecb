//! A second connection beside one that has gone silent. It takes the place of the first where that is dead: the server was
//! started again, or is to be found under another address. Nothing is said over it before, so that to the server it is no
//! other job.

use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use super::Client;
use super::call::DialTask;
use super::takeover::{Takeover, TakeoverStep};
use crate::keys::Contact;
use crate::progress::Observer;
use crate::session::SessionError;
use crate::session::control::Control;
use crate::session::watch::{ask, until_silent};
use crate::transport::TransportFault;

/// How often the first connection is looked at while there is a second.
const LOOK: Duration = Duration::from_millis(20);

/// The second connection of a job, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Standby(Mutex<Option<DialTask>>);

impl Standby {
    /// The call that was begun beside the connection before, for the next one.
    pub(super) async fn take(&self) -> Option<DialTask> {
        self.0.lock().await.take()
    }

    /// Returns when the peer has been silent for too long, or a second connection takes over; then [`Standby::take`] has
    /// it. `is_ours` tells whether it is this end's turn.
    pub(super) async fn watch(
        &self,
        client: &Client,
        contact: &Contact,
        (connection, control): (&Connection, &Control),
        observer: &Observer,
        is_ours: impl Fn() -> bool,
    ) -> SessionError {
        let (tell, silent) = watch::channel(None);
        tokio::select! {
            error = until_silent(connection, control, observer, is_ours, &tell) => error,
            error = self.take_over(client, contact, (connection, control), silent) => error,
        }
    }

    /// Returns when a second connection takes over. `silent` tells after how many packets the first went silent.
    async fn take_over(
        &self,
        client: &Client,
        contact: &Contact,
        (connection, control): (&Connection, &Control),
        mut silent: watch::Receiver<Option<u64>>,
    ) -> SessionError {
        let mut rule = Takeover::default();
        let mut call = self.0.lock().await;
        // An earlier call was not used.
        *call = None;
        let mut stands = false;
        loop {
            let received = || connection.stats().udp_rx.datagrams;
            let step = tokio::select! {
                Ok(()) = silent.changed(), if rule.is_idle() => rule.look(Instant::now(), received(), *silent.borrow()),
                () = sleep(LOOK), if !rule.is_idle() => rule.look(Instant::now(), received(), *silent.borrow()),
                outcome = next(&mut call), if call.is_some() && !stands => match outcome {
                    Ok(handshake) => {
                        stands = true;
                        rule.stands(Instant::now(), received(), handshake)
                    }
                    Err(error) => {
                        *call = None;
                        rule.failed(error.fault() == TransportFault::Trust);
                        TakeoverStep::Wait
                    }
                },
            };
            match step {
                TakeoverStep::Wait => {}
                TakeoverStep::Call => (*call, stands) = (Some(DialTask::begin(client, contact, None)), false),
                TakeoverStep::GiveUp => (*call, stands) = (None, false),
                TakeoverStep::Ask => ask(connection, control),
                TakeoverStep::TakeOver => return SessionError::Superseded,
            }
        }
    }
}

async fn next(call: &mut Option<DialTask>) -> Result<Duration, crate::transport::TransportError> {
    match call {
        Some(call) => call.stands().await,
        None => std::future::pending().await,
    }
}
