//! Greeting: a connection that asks for nothing but to be let in.

use super::Client;
use super::connect::ServerConnection;
use crate::error::Error;
use crate::keys::Contact;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::session::SessionError;

/// How a server received us.
#[derive(Debug, Clone)]
pub struct ServerGreeting {
    /// The server's name for itself, escaped for display.
    pub peer: String,
    /// Whether this connection used an invite to enrol this client.
    pub enrolled: bool,
}

pub(super) async fn run(client: &Client, contact: Contact) -> Result<ServerGreeting, Error> {
    let (observer, _events) = Observer::new();
    let mut link = ServerConnection::open(client, &contact, &observer).await?;
    let welcomed = link.replies.welcome().await;
    let code = welcomed.as_ref().err().map_or(CloseCode::Done, SessionError::close_code);
    let welcomed = welcomed.map_err(|error| link.explain(error));
    link.close(code).await;
    let welcome = welcomed?;
    Ok(ServerGreeting { peer: welcome.name, enrolled: welcome.enrolled })
}
