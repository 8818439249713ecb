//! The messages of the control stream. The order of variants and fields *is* the wire format: append only.
//!
//! | file | holds |
//! |---|---|
//! | `greeting` | how the two ends introduce themselves |
//! | `request`, `listing` | the requests of a client; names without content |
//! | `file`, `failure` | one file: offer, answer, digests, tail, fate; why something was not transferred |
//! | `link`, `location` | reports on the path, and its measurement; where a receiver writes |
//! | `speaker` | who says which message |

mod failure;
mod file;
mod greeting;
mod link;
mod listing;
mod location;
mod request;
mod speaker;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(super) use self::failure::tests::STATUSES;
pub use self::failure::{Failure, Problem, Remark, Status};
pub use self::file::{Done, End, FileId, Have, Header, Kind, Mtime, Named, Pos, SkipReason, Tail, Verdict, Why};
pub use self::greeting::{Hello, Welcome};
pub use self::link::{LinkReport, Probe, ProbeDone, ProbeKind, ProbeReady, SenderStats};
pub use self::listing::{List, ListedPart, ListingEntry, PartFate, Parts};
pub use self::location::Location;
pub use self::request::{Get, IfExists, ListedName, Names, Push, Select, Target};
pub use self::speaker::{
    ClientMessage, EitherMessage, Greeting, ReceiverMessage, SenderMessage, ServerMessage, Spoken,
};

/// Everything that travels on the control stream. [`Spoken`] says who may say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Client, first: who it is and what it can do.
    Hello(Hello),
    /// Server, first: the client is accepted.
    Welcome(Welcome),
    /// Client: it will be the sender; where its files go and by which rules.
    Push(Push),
    /// Client: it wants files; the server becomes the sender.
    Get(Get),
    /// Client: it wants the names of files, not their content.
    List(List),
    /// Server: some of the names asked for by [`Message::List`]; an empty list ends them.
    Entries(Vec<ListingEntry>),
    /// Sender: a file is on offer.
    Header(Header),
    /// Receiver: what it wants of an offered file.
    Pos(Pos),
    /// Receiver: digests of chunks that it holds already.
    Have(Have),
    /// Sender: all content of a file has been sent; this is its digest.
    Tail(Tail),
    /// Receiver: the fate of one file.
    Done(Done),
    /// Sender: a source that never got a header (unreadable, vanished, no match).
    Problem(Problem),
    /// Sender: no more headers will follow.
    End(End),
    /// Sender: one file is given up; the other files go on.
    Cancel(Done),
    /// Either end: it is about to stop. No new files; what is in flight may finish.
    GoAway,
    /// Sender: what its side of the path looks like, about once a second.
    Link(LinkReport),
    /// Receiver, after the sender's [`Message::End`]: every file is settled, directories included.
    Settled,
    /// Client: it wants to measure the path.
    Probe(Probe),
    /// Server: the stream of a probe may be opened.
    ProbeReady(ProbeReady),
    /// Server: a probe is over.
    ProbeDone(ProbeDone),
    /// Sender: all that it found is on offer; [`Message::End`] waits for the last tail.
    Offered,
    /// Either end: something of the job that is no failure, for whoever is at the other end.
    Remark(Remark),
    /// Receiver: a file gets another name than the one asked for.
    Named(Named),
    /// Client: as [`Message::Get`], with more to say.
    Select(Select),
    /// Client, behind [`Message::Select`]: some of the names that it wants.
    Names(Names),
    /// Server: it has looked for the names of one [`Message::Names`].
    MoreNames,
    /// Client: it wants to know of unfinished files, or to have them removed.
    Parts(Parts),
    /// Server: some of the unfinished files asked for by [`Message::Parts`]; an empty list ends them.
    PartsFound(Vec<ListedPart>),
    /// Receiver: where the files go, for a sender on the same machine.
    Location(Location),
    /// Sender: how its time went, about once a second.
    SenderStats(SenderStats),
}

/// The longest start of `text` that has at most `max` bytes and ends between two characters.
fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::path::PATH_BYTES_MAX;
    use crate::protocol::{DETAIL_BYTES_MAX, NAME_BYTES_MAX};

    #[test]
    fn text_is_cut_between_characters() {
        let text = format!("{}é", "x".repeat(DETAIL_BYTES_MAX - 1));
        assert_eq!(Failure::new(Status::Busy, text).detail, "x".repeat(DETAIL_BYTES_MAX - 1));
        assert_eq!(Hello::new(0, "ü".repeat(NAME_BYTES_MAX), None).name, "ü".repeat(NAME_BYTES_MAX / 2));
        assert_eq!(Welcome::new(0, "box", true).name, "box");
        let name = Problem::new(vec![0xff; PATH_BYTES_MAX + 1], Failure::new(Status::BadName, "")).name;
        assert_eq!(name.len(), PATH_BYTES_MAX);
    }
}
