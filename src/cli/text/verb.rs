//! The direction of a job, in words.

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Send,
    Get,
}

impl Verb {
    /// `sent` or `got`.
    pub(crate) fn past(self) -> &'static str {
        match self {
            Self::Send => "sent",
            Self::Get => "got",
        }
    }

    /// `send` or `get`.
    pub(crate) fn present(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Get => "get",
        }
    }

    /// The arrow of the header line: towards the remote, or from it.
    pub(crate) fn arrow(self) -> &'static str {
        match self {
            Self::Send => "->",
            Self::Get => "<-",
        }
    }
}
