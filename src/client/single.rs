//! A job that is to bring one file: what would bring more is given up before it begins.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::protocol::message::{Failure, Header, Kind, Status};
use crate::protocol::path::WirePath;

/// The one file of a job, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Single {
    first: OnceLock<WirePath>,
    why_not: OnceLock<String>,
    exceeded: CancellationToken,
}

impl Single {
    /// Whether an offer may be all there is.
    pub(super) fn check(&self, offer: &Header) -> Result<(), Failure> {
        let why_not = match offer.kind {
            Kind::Dir => format!("{} is a directory, and one file is wanted", offer.path),
            Kind::File | Kind::Link(_) => match self.first.get_or_init(|| offer.path.clone()) {
                first if *first == offer.path => return Ok(()),
                first => format!("{first} and {} are two files, and one is wanted", offer.path),
            },
        };
        // The job says it once, and not each of its files.
        let failure = Failure::new(Status::Cancelled, why_not.clone());
        // The first reason is enough.
        let _ = self.why_not.set(why_not);
        self.exceeded.cancel();
        Err(failure)
    }

    /// The error of a job that would bring more, as soon as that is known.
    pub(super) async fn exceeded(&self) -> Error {
        self.exceeded.cancelled().await;
        Error::Usage(self.why_not.get().cloned().unwrap_or_default())
    }
}
