//! Listing: names, without content.

use tokio::time::timeout;

use super::Client;
use super::connect::Link;
use crate::error::Error;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::protocol::message::{Entry, List, Message, Problem};
use crate::session::SessionError;
use crate::transport::Ticket;

/// Longest silence within a listing: a directory on a slow disk may take its time.
const NEXT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) async fn run(
    client: &Client,
    ticket: Ticket,
    pattern: Vec<u8>,
    recursive: bool,
) -> Result<Vec<Entry>, Error> {
    let (observer, _) = Observer::new();
    let mut link = Link::open(client, &ticket, &observer).await?;
    link.control.send(Message::List(List { pattern, recursive }));
    let result = read(&mut link).await.map_err(|error| link.explain(error)).and_then(Listing::into_result);
    link.close(CloseCode::Done).await;
    result
}

/// What a server listed.
#[derive(Default)]
struct Listing {
    entries: Vec<Entry>,
    problem: Option<Problem>,
}

impl Listing {
    fn into_result(self) -> Result<Vec<Entry>, Error> {
        match self.problem {
            Some(Problem { name, failure }) if self.entries.is_empty() => Err(Error::Remote { name, failure }),
            _ => Ok(self.entries),
        }
    }
}

async fn read(link: &mut Link) -> Result<Listing, SessionError> {
    let mut listing = Listing::default();
    loop {
        let message = timeout(NEXT_DEADLINE, link.replies.next()).await;
        match message.map_err(|_| SessionError::Timeout("go on with the listing"))?? {
            Message::Entries(entries) if entries.is_empty() => return Ok(listing),
            Message::Entries(mut entries) => listing.entries.append(&mut entries),
            Message::Problem(found) => listing.problem = Some(found),
            Message::GoAway => {}
            _ => return Err(SessionError::Order("anything but names in a listing")),
        }
    }
}
