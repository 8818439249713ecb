//! Which role a message belongs to: both ends may send and receive at once.

use tokio::task::JoinSet;

use super::SessionError;
use super::link::{add_sender_stats, record_link};
use super::peer_streams::PeerStreams;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::progress::Observer;
use crate::protocol::message::{ClientMessage, EitherMessage, Location, Message, Remark, ServerMessage, Spoken};

/// The roles that this end plays on one connection now.
#[derive(Clone, Default)]
pub(crate) struct Roles {
    pub(crate) sender: Option<Sender>,
    pub(crate) receiver: Option<(Receiver, Observer)>,
}

/// The part of a message that is not for one of the roles.
pub(crate) enum Routed {
    /// Nothing: a role has taken it.
    Taken,
    /// A client wants something.
    Request(ClientMessage),
    /// A server answers what was asked.
    Answer(ServerMessage),
    /// Where the receiver at the other end writes.
    Location(Location),
    /// The other end is about to stop.
    GoAway,
}

impl Roles {
    /// Hands a message to the role that it is meant for; gives it back when it is meant for none.
    ///
    /// # Errors
    /// A message for a role that is not played, or one that breaks the role's rules.
    pub(crate) fn route(&self, message: Message) -> Result<Routed, SessionError> {
        match Spoken::from(message) {
            Spoken::Sender(message) => {
                let (receiver, _) =
                    self.receiver.as_ref().ok_or(SessionError::Order("content that nobody asked for"))?;
                receiver.on_message(message)?;
            }
            Spoken::Receiver(message) => {
                let sender = self.sender.as_ref().ok_or(SessionError::Order("an answer to no offer"))?;
                sender.on_message(message)?;
            }
            Spoken::Either(EitherMessage::Link(report)) => {
                if let Some((_, observer)) = &self.receiver {
                    record_link(observer, &report);
                }
            }
            Spoken::Either(EitherMessage::SenderStats(stats)) => {
                if let Some((_, observer)) = &self.receiver {
                    add_sender_stats(observer.counters(), &stats);
                }
            }
            Spoken::Either(EitherMessage::Remark(remark)) => self.on_remark(remark),
            Spoken::Either(EitherMessage::Location(location)) => return Ok(Routed::Location(location)),
            Spoken::Either(EitherMessage::GoAway) => return Ok(Routed::GoAway),
            Spoken::Client(request) => return Ok(Routed::Request(request)),
            Spoken::Server(answer) => return Ok(Routed::Answer(answer)),
            Spoken::Greeting(_) => return Err(SessionError::Order("a second greeting")),
        }
        Ok(Routed::Taken)
    }

    /// Passes on what the other end remarks on the job that runs.
    fn on_remark(&self, remark: Remark) {
        let sender = self.sender.as_ref().map(Sender::observer);
        if let Some(observer) = sender.or_else(|| self.receiver.as_ref().map(|(_, observer)| observer)) {
            observer.remark(remark.text);
        }
    }

    /// Whether this end owes the peer the next step.
    pub(crate) fn is_busy(&self) -> bool {
        self.receiver.as_ref().is_some_and(|(receiver, _)| receiver.is_busy())
            || self.sender.as_ref().is_some_and(Sender::is_busy)
    }
}

/// Serves every data stream that the peer opens. Returns only with an error.
pub(crate) async fn accept_streams(mut opening: PeerStreams, receiver: Receiver) -> SessionError {
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
