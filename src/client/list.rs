//! Listing: names, without content.

use std::time::Duration;

use tokio::time::timeout;

use super::Client;
use super::connect::Link;
use crate::error::Error;
use crate::progress::{Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::message::{Entry, List, Message, Problem};
use crate::session::SessionError;
use crate::transport::Ticket;

/// Longest silence within a listing: a directory on a slow disk may take its time.
const NEXT_DEADLINE: Duration = Duration::from_secs(60);

pub(super) async fn run(client: &Client, ticket: Ticket, pattern: Vec<u8>, recursive: bool) -> Result<Listing, Error> {
    let (observer, mut events) = Observer::new();
    let mut link = Link::open(client, &ticket, &observer).await?;
    link.control.send(Message::List(List { pattern, recursive }));
    let deadline = client.within_patience(NEXT_DEADLINE);
    let result = read(&mut link, deadline).await.map_err(|error| link.explain(error));
    link.close(CloseCode::Done).await;
    let (entries, problem) = result?;
    if let (Some(Problem { name, failure }), true) = (problem, entries.is_empty()) {
        return Err(Error::Remote { name, failure });
    }
    // An answer was read, so the server has introduced itself.
    match events.try_recv() {
        Ok(Event::Connected { peer, enrolled, .. }) => Ok(Listing { peer, enrolled, entries }),
        _ => Err(Error::Session(SessionError::Internal("a listing without a welcome"))),
    }
}

/// What a server listed.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The server's name for itself, escaped for display.
    pub peer: String,
    /// Whether this connection used an invite to enrol this client.
    pub enrolled: bool,
    /// What is there; a directory's own entry comes before what is in it.
    pub entries: Vec<Entry>,
}

async fn read(link: &mut Link, deadline: Duration) -> Result<(Vec<Entry>, Option<Problem>), SessionError> {
    let (mut all, mut problem) = (Vec::new(), None);
    loop {
        let message = timeout(deadline, link.replies.next()).await;
        match message.map_err(|_| SessionError::Timeout("go on with the listing"))?? {
            Message::Entries(entries) if entries.is_empty() => return Ok((all, problem)),
            Message::Entries(mut entries) => all.append(&mut entries),
            Message::Problem(found) => problem = Some(found),
            Message::GoAway => {}
            _ => return Err(SessionError::Order("anything but names in a listing")),
        }
    }
}
