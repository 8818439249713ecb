//! The conversation over one connection: the one loop of both ends.
//!
//! A message goes to the role that it is meant for, by [who says it](Spoken). What is meant for no role, and whatever else
//! happens beside messages and roles, is for the [end](ConversationEnd): a client that sends, a client that gets, or a server.

use std::ops::ControlFlow;

use quinn::Connection;
use tokio::task::coop::consume_budget;

use super::SessionError;
use super::control::ControlReader;
use super::link::{add_sender_stats, record_link};
use super::receiver::Receiver;
use super::roles::Roles;
use crate::protocol::message::{ClientMessage, EitherMessage, Location, Message, ServerMessage, Spoken};
use crate::storage::{DiskQueue, Lost};

/// Messages that are heard together, before whatever else happens is looked at: a fraction of a millisecond's.
const HEARD_TOGETHER_MAX: usize = 64;

/// Something that the peer says.
pub(crate) enum PeerWord {
    /// It has let this end in; both ends use these features.
    Welcome(u64),
    /// Anything after the greeting.
    Message(Message),
    /// It has said all.
    End,
}

/// The words of a peer, in their order.
pub(crate) trait PeerWords {
    /// The next of them. Safe to cancel.
    async fn hear(&mut self) -> Result<PeerWord, SessionError>;

    /// A message that follows, if it has been read already and nothing keeps this end from hearing it.
    fn at_hand(&mut self) -> Result<Option<Message>, SessionError>;
}

/// A client is welcomed by whoever has read its greeting, so a server hears messages alone.
impl PeerWords for ControlReader {
    async fn hear(&mut self) -> Result<PeerWord, SessionError> {
        Ok(self.next().await?.map_or(PeerWord::End, PeerWord::Message))
    }

    fn at_hand(&mut self) -> Result<Option<Message>, SessionError> {
        Self::at_hand(self)
    }
}

/// One end of a conversation: its part beside the roles that it plays. A message that an end does not expect is an error,
/// unless the end says otherwise.
pub(crate) trait ConversationEnd {
    /// Something that happens at this end alone.
    type Event;

    /// Prepares the next step, and tells whether the peer is heard in it.
    fn begin_step(&mut self, _roles: &Roles) -> Result<bool, SessionError> {
        Ok(true)
    }

    /// The next event. Safe to cancel.
    async fn event(&mut self) -> Result<Self::Event, SessionError>;

    /// Carries out an event, and tells whether the conversation goes on.
    fn on_event(&mut self, roles: &mut Roles, event: Self::Event) -> Result<ControlFlow<()>, SessionError>;

    /// The receiver has settled all that this end has sent. Tells whether the conversation goes on.
    fn on_all_sent(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// The peer has let this end in.
    fn on_welcome(&mut self, _roles: &Roles, _features: u64) {}

    /// The peer is about to stop.
    fn on_go_away(&mut self, _roles: &Roles) {}

    /// The peer says where the files go that this end sends.
    fn on_location(&mut self, _location: Location) -> Result<(), SessionError> {
        Err(SessionError::Order("a location that only a receiver says"))
    }

    /// The peer, a client, wants something.
    fn on_request(&mut self, _roles: &mut Roles, _request: ClientMessage) -> Result<(), SessionError> {
        Err(SessionError::Order("a message that only a client sends"))
    }

    /// The peer, a server, answers something.
    fn on_answer(&mut self, _answer: ServerMessage) -> Result<(), SessionError> {
        Err(SessionError::Order("an answer to no question"))
    }
}

/// Converses until this end has what it wants, or the peer has said all.
///
/// # Errors
/// The end of the connection, a rule that the peer broke, or a failure of this end.
pub(crate) async fn converse<E: ConversationEnd>(
    connection: &Connection,
    disk: &DiskQueue,
    words: &mut impl PeerWords,
    roles: &mut Roles,
    end: &mut E,
) -> Result<(), SessionError> {
    loop {
        let (hears, mut together) = (end.begin_step(roles)?, 0);
        let flow = tokio::select! {
            heard = words.hear(), if hears => {
                // What is heard together is planned together.
                let _cork = roles.receiver().map(Receiver::cork);
                let flow = on_heard(heard?, roles, end)?;
                together = 1;
                if flow.is_continue() {
                    together += hear_on(words, roles, end)?;
                }
                flow
            }
            sent = roles.all_sent() => {
                sent?;
                end.on_all_sent()
            }
            event = end.event() => end.on_event(roles, event?)?,
            error = connection.closed() => return Err(error.into()),
            () = disk.lost() => return Err(Lost.into()),
        };
        if flow.is_break() {
            return Ok(());
        }
        // A peer that has said millions of things keeps no others on this thread waiting, nor the packets of its own connection:
        // quinn's streams take nothing of tokio's budget.
        for _ in 0..together {
            consume_budget().await;
        }
    }
}

/// Hears what is at hand already, for a while, and tells how many: to wait for everything that may happen takes longer than most
/// messages.
fn hear_on<E: ConversationEnd>(
    words: &mut impl PeerWords,
    roles: &mut Roles,
    end: &mut E,
) -> Result<usize, SessionError> {
    for together in 0..HEARD_TOGETHER_MAX - 1 {
        if !end.begin_step(roles)? {
            return Ok(together);
        }
        let Some(message) = words.at_hand()? else { return Ok(together) };
        route(message, roles, end)?;
    }
    Ok(HEARD_TOGETHER_MAX - 1)
}

fn on_heard<E: ConversationEnd>(
    heard: PeerWord,
    roles: &mut Roles,
    end: &mut E,
) -> Result<ControlFlow<()>, SessionError> {
    match heard {
        PeerWord::Welcome(features) => end.on_welcome(roles, features),
        PeerWord::Message(message) => route(message, roles, end)?,
        PeerWord::End => return Ok(ControlFlow::Break(())),
    }
    Ok(ControlFlow::Continue(()))
}

/// Hands a message to whoever it is meant for.
///
/// # Errors
/// A message for a role that is not played, or one that breaks a rule.
fn route<E: ConversationEnd>(message: Message, roles: &mut Roles, end: &mut E) -> Result<(), SessionError> {
    match Spoken::from(message) {
        Spoken::Sender(message) => {
            let receiver = roles.receiver().ok_or(SessionError::Order("content that nobody asked for"))?;
            receiver.on_message(message)?;
        }
        Spoken::Receiver(message) => {
            let sender = roles.sender().ok_or(SessionError::Order("an answer to no offer"))?;
            sender.on_message(message)?;
        }
        Spoken::Either(EitherMessage::Link(report)) => {
            roles.receiver().iter().for_each(|receiver| record_link(receiver.observer(), &report));
        }
        Spoken::Either(EitherMessage::SenderStats(stats)) => {
            roles.receiver().iter().for_each(|receiver| add_sender_stats(receiver.observer().counters(), &stats));
        }
        Spoken::Either(EitherMessage::Remark(remark)) => {
            roles.observer().iter().for_each(|observer| observer.remark(remark.text.clone()));
        }
        Spoken::Either(EitherMessage::Location(location)) => end.on_location(location)?,
        Spoken::Either(EitherMessage::GoAway) => end.on_go_away(roles),
        Spoken::Client(request) => end.on_request(roles, request)?,
        Spoken::Server(answer) => end.on_answer(answer)?,
        Spoken::Greeting(_) => return Err(SessionError::Order("a second greeting")),
    }
    Ok(())
}
