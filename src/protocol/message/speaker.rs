//! The speaker of each message. The wire has one enum; each end matches one of these, so that a message which an end
//! forgets does not compile, and one that the other end must not say cannot reach code that does not expect it.

use super::{
    Done, End, Get, Have, Header, Hello, LinkReport, List, ListedPart, ListingEntry, Location, Message, Named, Names,
    Parts, Pos, Probe, ProbeDone, ProbeReady, Problem, Push, Remark, Select, SenderStats, Tail, Welcome,
};

/// A message, by who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// The first message of either side.
    Greeting(Greeting),
    /// A client asks for something.
    Client(ClientMessage),
    /// A server's answer to a request.
    Server(ServerMessage),
    /// Of the end whose files these are.
    Sender(SenderMessage),
    /// Of the end that wants files.
    Receiver(ReceiverMessage),
    /// Of any end, whatever its role: no ledger is fed with it.
    Either(EitherMessage),
}

/// The messages that are said first, and never again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "said at `Message`")]
pub enum Greeting {
    Hello(Hello),
    Welcome(Welcome),
}

/// The messages that only a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "said at `Message`")]
pub enum ClientMessage {
    Push(Push),
    Get(Get),
    Select(Select),
    Names(Names),
    List(List),
    Parts(Parts),
    Probe(Probe),
}

/// The messages that only a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "said at `Message`")]
pub enum ServerMessage {
    MoreNames,
    Entries(Vec<ListingEntry>),
    PartsFound(Vec<ListedPart>),
    ProbeReady(ProbeReady),
    ProbeDone(ProbeDone),
}

/// The messages of the sender of files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "said at `Message`")]
pub enum SenderMessage {
    Header(Header),
    Tail(Tail),
    Problem(Problem),
    Cancel(Done),
    Offered,
    End(End),
}

/// The messages of the receiver of files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "said at `Message`")]
pub enum ReceiverMessage {
    Pos(Pos),
    Have(Have),
    Done(Done),
    Named(Named),
    Settled,
}

/// The messages that any end says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "said at `Message`")]
pub enum EitherMessage {
    GoAway,
    Link(LinkReport),
    SenderStats(SenderStats),
    Remark(Remark),
    Location(Location),
}

impl From<Message> for Spoken {
    fn from(message: Message) -> Self {
        match message {
            Message::Hello(hello) => Self::Greeting(Greeting::Hello(hello)),
            Message::Welcome(welcome) => Self::Greeting(Greeting::Welcome(welcome)),
            Message::Push(push) => Self::Client(ClientMessage::Push(push)),
            Message::Get(get) => Self::Client(ClientMessage::Get(get)),
            Message::Select(select) => Self::Client(ClientMessage::Select(select)),
            Message::Names(names) => Self::Client(ClientMessage::Names(names)),
            Message::List(list) => Self::Client(ClientMessage::List(list)),
            Message::Parts(parts) => Self::Client(ClientMessage::Parts(parts)),
            Message::Probe(probe) => Self::Client(ClientMessage::Probe(probe)),
            Message::MoreNames => Self::Server(ServerMessage::MoreNames),
            Message::Entries(entries) => Self::Server(ServerMessage::Entries(entries)),
            Message::PartsFound(parts) => Self::Server(ServerMessage::PartsFound(parts)),
            Message::ProbeReady(ready) => Self::Server(ServerMessage::ProbeReady(ready)),
            Message::ProbeDone(done) => Self::Server(ServerMessage::ProbeDone(done)),
            Message::Header(header) => Self::Sender(SenderMessage::Header(header)),
            Message::Tail(tail) => Self::Sender(SenderMessage::Tail(tail)),
            Message::Problem(problem) => Self::Sender(SenderMessage::Problem(problem)),
            Message::Cancel(cancel) => Self::Sender(SenderMessage::Cancel(cancel)),
            Message::Offered => Self::Sender(SenderMessage::Offered),
            Message::End(end) => Self::Sender(SenderMessage::End(end)),
            Message::Pos(pos) => Self::Receiver(ReceiverMessage::Pos(pos)),
            Message::Have(have) => Self::Receiver(ReceiverMessage::Have(have)),
            Message::Done(done) => Self::Receiver(ReceiverMessage::Done(done)),
            Message::Named(named) => Self::Receiver(ReceiverMessage::Named(named)),
            Message::Settled => Self::Receiver(ReceiverMessage::Settled),
            Message::GoAway => Self::Either(EitherMessage::GoAway),
            Message::Link(report) => Self::Either(EitherMessage::Link(report)),
            Message::SenderStats(stats) => Self::Either(EitherMessage::SenderStats(stats)),
            Message::Remark(remark) => Self::Either(EitherMessage::Remark(remark)),
            Message::Location(location) => Self::Either(EitherMessage::Location(location)),
        }
    }
}
