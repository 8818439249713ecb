//! Greeting: a connection that asks for nothing but to be let in.

use tokio::time::timeout;

use super::Client;
use super::connect::Link;
use crate::error::Error;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::transport::Ticket;

/// How a server received us.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// The server's name for itself, escaped for display.
    pub peer: String,
    /// Whether this connection used an invite to enrol this client.
    pub enrolled: bool,
}

pub(super) async fn run(client: &Client, ticket: Ticket) -> Result<Greeting, Error> {
    let (observer, _events) = Observer::new();
    let mut link = Link::open(client, &ticket, &observer).await?;
    let deadline = client.within_patience(ATTENTION_DEADLINE);
    let welcomed = timeout(deadline, link.replies.welcome()).await;
    let welcomed = welcomed.unwrap_or(Err(SessionError::Timeout("welcome us")));
    let code = welcomed.as_ref().err().map_or(CloseCode::Done, SessionError::close_code);
    let welcomed = welcomed.map_err(|error| link.explain(error));
    link.close(code).await;
    let (peer, enrolled) = welcomed?;
    Ok(Greeting { peer, enrolled })
}
