//! The common part of the scripts of both ledgers: a step of a job that is played, in words.

use super::JobError;
use crate::protocol::message::{Failure, Status};
use crate::protocol::path::WirePath;

pub(super) fn path(name: &str) -> WirePath {
    WirePath::parse(name.as_bytes()).expect("a plain name")
}

pub(super) fn failure(status: Status) -> Failure {
    Failure::new(status, "")
}

/// The actions of a ledger after an input, and the result of the input, joined by commas.
pub(super) fn in_words(actions: impl Iterator<Item = String>, result: Result<Option<String>, JobError>) -> String {
    let result = result.unwrap_or_else(|error| Some(format!("error: {error}")));
    actions.chain(result).collect::<Vec<_>>().join(", ")
}
