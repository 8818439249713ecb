//! The roles that an end plays on one connection, and the tasks that play them: both ends may send and receive at once.

use std::future::pending;

use tokio::task::JoinSet;

use super::SessionError;
use super::peer_streams::PeerStreams;
use super::receiver::Receiver;
use super::sender::Sender;
use super::walk::Walked;
use crate::progress::Observer;
use crate::storage::WalkEntry;

/// The roles that this end plays on one connection now. When they are dropped, their tasks end.
#[derive(Default)]
pub(crate) struct Roles {
    sender: Option<Sender>,
    sending: JoinSet<Result<(), SessionError>>,
    receiver: Option<Receiver>,
    /// A receiver that has finished its job still takes streams.
    receiving: JoinSet<SessionError>,
}

impl Roles {
    /// Sends all that `found` yields.
    pub(crate) fn send(&mut self, sender: Sender, found: Walked<WalkEntry>) {
        let running = sender.clone();
        self.sending.spawn(async move { running.run(found).await });
        self.sender = Some(sender);
    }

    /// Receives over the streams that the peer opens, in the place of an earlier receiver.
    pub(crate) fn receive(&mut self, receiver: Receiver, streams: PeerStreams) {
        self.let_go_of_streams();
        self.receiving.spawn(accept_streams(streams, receiver.clone()));
        self.receiver = Some(receiver);
    }

    /// Accepts no more streams for a receiver, which has finished its job.
    pub(crate) fn let_go_of_streams(&mut self) {
        // Not `abort_all`, which looks at every task that was ever ended here and not joined.
        self.receiving = JoinSet::new();
    }

    /// Whether the streams that the peer opens are a receiver's.
    pub(crate) fn takes_streams(&self) -> bool {
        !self.receiving.is_empty()
    }

    /// The sender, until the peer has settled all its files.
    pub(crate) fn sender(&self) -> Option<&Sender> {
        self.sender.as_ref()
    }

    /// The receiver, also one that has finished its job.
    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        self.receiver.as_ref()
    }

    /// Whether a receiver has not finished its job.
    pub(crate) fn is_receiving(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| !receiver.is_finished())
    }

    /// The observer of the job that runs.
    pub(super) fn observer(&self) -> Option<&Observer> {
        self.sender.as_ref().map(Sender::observer).or_else(|| self.receiver.as_ref().map(Receiver::observer))
    }

    /// Whether this end owes the peer the next step.
    pub(crate) fn is_busy(&self) -> bool {
        self.receiver.as_ref().is_some_and(Receiver::is_busy) || self.sender.as_ref().is_some_and(Sender::is_busy)
    }

    /// Waits until the peer has settled all that the sender has sent; for ever where nothing is sent. Safe to cancel.
    ///
    /// # Errors
    /// What ends the sender, or one of the receiver's streams, before.
    pub(super) async fn all_sent(&mut self) -> Result<(), SessionError> {
        tokio::select! {
            Some(ended) = self.receiving.join_next() => Err(ended.unwrap_or_else(SessionError::from)),
            Some(ended) = self.sending.join_next() => {
                ended??;
                self.sender = None;
                Ok(())
            }
            else => pending().await,
        }
    }

    /// Ends all tasks, and waits for that: what they hold is free for the next connection of the job.
    pub(crate) async fn stop(&mut self) {
        self.sending.shutdown().await;
        self.receiving.shutdown().await;
    }
}

/// Serves every data stream that the peer opens. Returns only with an error.
async fn accept_streams(mut opening: PeerStreams, receiver: Receiver) -> SessionError {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            opened = opening.next() => match opened {
                Ok((reports, content)) => {
                    let receiver = receiver.clone();
                    streams.spawn(async move { receiver.serve_stream(reports, content).await });
                }
                Err(error) => return error.into(),
            },
            Some(served) = streams.join_next() => match served {
                Ok(Ok(())) => receiver.on_stream_ended(),
                Ok(Err(error)) => return error,
                Err(_) => return SessionError::Internal("a stream's task"),
            },
        }
    }
}
