//! What the scripts of both ledgers have in common: a step of a job that is played, in words.

use super::JobError;
use crate::protocol::message::{Failure, Status};
use crate::protocol::path::WirePath;

pub(super) fn path(name: &str) -> WirePath {
    WirePath::parse(name.as_bytes()).expect("a plain name")
}

pub(super) fn failure(status: Status) -> Failure {
    Failure::new(status, "")
}

/// What a ledger wants done after an input, and what the input gave, joined by commas.
pub(super) fn in_words(actions: impl Iterator<Item = String>, result: Result<Option<String>, JobError>) -> String {
    let result = result.unwrap_or_else(|error| Some(format!("error: {error}")));
    actions.chain(result).collect::<Vec<_>>().join(", ")
}
