//! Unfinished files on a server.

use std::time::Duration;

use super::Client;
use super::connect::{QueryAnswer, ServerConnection};
use super::list::{LISTING_BYTES_MAX, Listed, NEXT_DEADLINE};
use crate::error::Error;
use crate::keys::Contact;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{Failure, ListedPart, Message, Parts, Problem, ServerMessage, Status};
use crate::protocol::path::WirePath;
use crate::session::SessionError;

/// Which unfinished files are meant, and what becomes of them.
#[derive(Debug, Clone, Default)]
pub struct PartsOptions {
    /// A directory, or the file that is not finished; `None` is everything.
    pub below: Option<WirePath>,
    /// Only those that were not written to for so long; by the second.
    pub older: Duration,
    /// They are removed; else they are only listed.
    pub remove: bool,
}

/// A server's listing of its unfinished files.
#[derive(Debug, Clone, Default)]
pub struct PartsListing {
    /// Those that were found.
    pub parts: Vec<ListedPart>,
    /// Where could not be looked.
    pub problems: Vec<Problem>,
}

pub(super) async fn run(client: &Client, contact: Contact, options: PartsOptions) -> Result<PartsListing, Error> {
    let (observer, _events) = Observer::new();
    let mut link = ServerConnection::open(client, &contact, &observer).await?;
    let deadline = client.within_patience(NEXT_DEADLINE);
    let read = ask(&mut link, options, deadline).await;
    let code = read.as_ref().err().map_or(CloseCode::Done, SessionError::close_code);
    let read = read.map_err(|error| link.explain(error));
    link.close(code).await;
    let Some(found) = read? else {
        let text = "this server is too old to say; it needs a newer qft";
        return Err(Error::Remote { name: b".".to_vec(), failure: Failure::new(Status::Unsupported, text) });
    };
    let (parts, problems) = found.into_result()?;
    Ok(PartsListing { parts, problems })
}

/// The server's answer; `None` when it does not understand the request.
async fn ask(
    link: &mut ServerConnection,
    options: PartsOptions,
    deadline: Duration,
) -> Result<Option<Listed<ListedPart>>, SessionError> {
    if link.replies.features().await? & features::PARTS == 0 {
        return Ok(None);
    }
    let PartsOptions { below, older, remove } = options;
    link.control.send(Message::Parts(Parts { below, older_secs: older.as_secs(), remove }));
    let mut found = Listed::new(LISTING_BYTES_MAX);
    loop {
        match link.replies.answer(deadline, "go on with the list").await? {
            QueryAnswer::Message(ServerMessage::PartsFound(parts)) if parts.is_empty() => return Ok(Some(found)),
            QueryAnswer::Message(ServerMessage::PartsFound(parts)) => {
                found.add(parts, |part: &ListedPart| part.path.as_bytes().len())?;
            }
            QueryAnswer::Problem(problem) => found.add_problem(problem)?,
            QueryAnswer::Message(
                ServerMessage::MoreNames
                | ServerMessage::Entries(_)
                | ServerMessage::ProbeReady(_)
                | ServerMessage::ProbeDone(_),
            ) => return Err(SessionError::Order("anything but unfinished files in a list of them")),
        }
    }
}
