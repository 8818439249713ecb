//! Listing: names, without content.

use std::time::Duration;

use super::Client;
use super::connect::{QueryAnswer, ServerConnection};
use crate::error::Error;
use crate::keys::Contact;
use crate::progress::{Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::message::{Kind, List, ListingEntry, Message, Problem, ServerMessage};
use crate::session::SessionError;

/// Longest silence within a listing: a directory on a slow disk may take its time.
pub(super) const NEXT_DEADLINE: Duration = Duration::from_secs(60);

pub(super) async fn run(
    client: &Client,
    contact: Contact,
    pattern: Vec<u8>,
    recursive: bool,
) -> Result<Listing, Error> {
    let (observer, mut events) = Observer::new();
    let mut link = ServerConnection::open(client, &contact, &observer).await?;
    link.control.send(Message::List(List { pattern, recursive }));
    let deadline = client.within_patience(NEXT_DEADLINE);
    let names = read(&mut link, deadline).await;
    let code = names.as_ref().err().map_or(CloseCode::Done, SessionError::close_code);
    let names = names.map_err(|error| link.explain(error));
    link.close(code).await;
    let (entries, problems) = names?.into_result()?;
    // An answer was read, so the server has introduced itself.
    let mut told = std::iter::from_fn(|| events.try_recv().ok());
    match told.find(|event| matches!(event, Event::Connected { .. })) {
        Some(Event::Connected { peer, enrolled, .. }) => Ok(Listing { peer, enrolled, entries, problems }),
        _ => Err(Error::Session(SessionError::Internal("a listing without a welcome"))),
    }
}

/// The listing of a server.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The server's name for itself, escaped for display.
    pub peer: String,
    /// Whether this connection used an invite to enrol this client.
    pub enrolled: bool,
    /// The entries; that of a directory comes before those of its content.
    pub entries: Vec<ListingEntry>,
    /// The names that could not be listed; if there are any, the entries are not complete.
    pub problems: Vec<Problem>,
}

/// Memory that a listing may take: some four million names. A server that goes on and on is stopped there.
pub const LISTING_BYTES_MAX: usize = 512 << 20;

/// The part of a listing that has come so far: names, or unfinished files.
pub(super) struct Listed<T> {
    entries: Vec<T>,
    problems: Vec<Problem>,
    room: usize,
}

impl<T> Listed<T> {
    /// None so far, of as many as fit in `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        Self { entries: Vec::new(), problems: Vec::new(), room }
    }

    /// Adds some, each of which takes so many bytes beside its own size.
    pub(super) fn add(&mut self, mut entries: Vec<T>, text_bytes: impl Fn(&T) -> usize) -> Result<(), SessionError> {
        self.take_room(entries.iter().map(|entry| size_of::<T>() + text_bytes(entry)).sum())?;
        self.entries.append(&mut entries);
        Ok(())
    }

    pub(super) fn add_problem(&mut self, problem: Problem) -> Result<(), SessionError> {
        self.take_room(size_of::<Problem>() + problem.name.len() + problem.failure.detail.len())?;
        self.problems.push(problem);
        Ok(())
    }

    fn take_room(&mut self, bytes: usize) -> Result<(), SessionError> {
        let room = self.room.checked_sub(bytes);
        self.room = room.ok_or(SessionError::Order("a listing that does not fit in memory"))?;
        Ok(())
    }

    /// One problem alone is the answer to what was asked for as a whole.
    pub(super) fn into_result(mut self) -> Result<(Vec<T>, Vec<Problem>), Error> {
        if self.entries.is_empty()
            && self.problems.len() == 1
            && let Some(Problem { name, failure }) = self.problems.pop()
        {
            return Err(Error::Remote { name, failure });
        }
        Ok((self.entries, self.problems))
    }
}

async fn read(link: &mut ServerConnection, deadline: Duration) -> Result<Listed<ListingEntry>, SessionError> {
    let mut names = Listed::new(LISTING_BYTES_MAX);
    loop {
        match link.replies.answer(deadline, "go on with the listing").await? {
            QueryAnswer::Message(ServerMessage::Entries(entries)) if entries.is_empty() => return Ok(names),
            QueryAnswer::Message(ServerMessage::Entries(entries)) => names.add(entries, text_bytes)?,
            QueryAnswer::Problem(problem) => names.add_problem(problem)?,
            QueryAnswer::Message(
                ServerMessage::MoreNames
                | ServerMessage::PartsFound(_)
                | ServerMessage::ProbeReady(_)
                | ServerMessage::ProbeDone(_),
            ) => return Err(SessionError::Order("anything but names in a listing")),
        }
    }
}

fn text_bytes(entry: &ListingEntry) -> usize {
    let target = if let Kind::Link(target) = &entry.kind { target.len() } else { 0 };
    entry.path.as_bytes().len() + target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{Failure, Mtime, Status};
    use crate::protocol::path::WirePath;

    #[test]
    fn a_listing_without_end_is_stopped_where_memory_would_be_short() {
        let path = WirePath::parse(&[b'x'; 100]).expect("a plain path");
        let entry = ListingEntry {
            path,
            kind: Kind::Link(vec![b'y'; 50]),
            size: 0,
            mtime: Mtime { secs: 0, nanos: 0 },
            mode: 0,
        };
        let mut names = Listed::new(100_000);
        let taken = (0..).take_while(|_| names.add(vec![entry.clone()], text_bytes).is_ok()).count();
        assert_eq!(taken, 100_000 / (size_of::<ListingEntry>() + 150));
        assert_eq!(names.entries.len(), taken);
    }

    #[test]
    fn problems_beside_entries_are_all_kept_and_take_room() {
        let problem = || Problem::new(&b"locked"[..], Failure::new(Status::ReadFailed, "why"));
        let mut names = Listed::new(1000);
        let path = WirePath::parse(b"a").expect("a plain path");
        let mtime = Mtime { secs: 0, nanos: 0 };
        names
            .add(vec![ListingEntry { path, kind: Kind::File, size: 0, mtime, mode: 0 }], text_bytes)
            .expect("there is room");
        let kept = (0..).take_while(|_| names.add_problem(problem()).is_ok()).count();
        assert!((2..1000).contains(&kept), "{kept}");
        let (entries, problems) = names.into_result().expect("a listing");
        assert_eq!((entries.len(), problems), (1, vec![problem(); kept]));
    }

    #[test]
    fn a_problem_alone_is_an_error() {
        let mut names = Listed::<ListingEntry>::new(1000);
        names.add_problem(Problem::new(&b"x"[..], Failure::new(Status::NotFound, ""))).expect("there is room");
        assert!(matches!(names.into_result(), Err(Error::Remote { .. })));
    }
}
