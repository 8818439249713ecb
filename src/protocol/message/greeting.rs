//! How the two ends introduce themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cut;
use crate::protocol::NAME_BYTES_MAX;

/// The client's opening. Nothing else is accepted before it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Bits of [`features`](crate::protocol::features) that the client can use.
    pub features: u64,
    /// The client's own name for itself (host name), for the server's lists; untrusted text.
    pub name: String,
    /// The one-time invite of a ticket, when the client has one.
    pub invite: Option<[u8; 16]>,
    /// Proof that the client has the token that it shares with the server, when it has one.
    pub token_proof: Option<[u8; 32]>,
}

/// Never the secrets: debug output ends in logs.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |is_there: bool| if is_there { "Some(..)" } else { "None" };
        f.debug_struct("Hello")
            .field("features", &self.features)
            .field("name", &self.name)
            .field("invite", &format_args!("{}", shown(self.invite.is_some())))
            .field("token_proof", &format_args!("{}", shown(self.token_proof.is_some())))
            .finish()
    }
}

impl Hello {
    /// A client's opening; a name over [`NAME_BYTES_MAX`] is cut.
    pub fn new(features: u64, name: impl Into<String>, invite: Option<[u8; 16]>) -> Self {
        Self { features, name: cut(name.into(), NAME_BYTES_MAX), invite, token_proof: None }
    }

    /// The same with a proof that the client has a token.
    #[must_use]
    pub fn with_token_proof(self, token_proof: Option<[u8; 32]>) -> Self {
        Self { token_proof, ..self }
    }
}

/// The server's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The subset of the client's features that both sides will use.
    pub features: u64,
    /// The server's name for itself; untrusted text.
    pub name: String,
    /// Whether the client's key was enrolled by this very connection.
    pub enrolled: bool,
}

impl Welcome {
    /// A server's answer; a name over [`NAME_BYTES_MAX`] is cut.
    pub fn new(features: u64, name: impl Into<String>, enrolled: bool) -> Self {
        Self { features, name: cut(name.into(), NAME_BYTES_MAX), enrolled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;

    #[test]
    fn debug_output_hides_what_lets_a_client_in() {
        let hello = Hello::new(0, "me", Some([0xab; 16])).with_token_proof(Some([0xcd; 32]));
        let shown = format!("{:?}", Message::Hello(hello));
        assert!(shown.contains("invite: Some(..), token_proof: Some(..)"), "{shown}");
        assert!(!shown.contains("171") && !shown.contains("205"), "{shown}");
    }
}
