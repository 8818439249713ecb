//! What a `Get` asks for, found on a thread of its own.

use super::grant::Grant;
use crate::protocol::message::{Failure, Get, Message, Problem, Status};
use crate::session::local::Finder;
use crate::storage::{self, Filters, Found, Links};

/// Passes on what a `Get` asks for, until everything is found or nobody takes it any more.
pub(super) fn look_for(grant: &Grant, get: &Get, found: &Finder<Found>) {
    let problem = |name: Vec<u8>, failure| found.blocking_send(Found::Problem { name, failure }).is_ok();
    if let Err(failure) = grant.may_read() {
        problem(get.patterns.first().cloned().unwrap_or_default(), failure);
        return;
    }
    let mut requests = Vec::new();
    for expanded in storage::expand(&grant.root, &get.patterns) {
        match expanded {
            Ok(request) => requests.push(request),
            Err((name, failure)) if !problem(name.clone(), failure.clone()) => return,
            Err(_) => {}
        }
    }
    let filters = match Filters::new(&get.filters, &[]) {
        Ok(filters) => filters,
        Err(error) => {
            problem(Vec::new(), Failure::new(Status::BadName, error.to_string()));
            return;
        }
    };
    let links = if get.links { Links::Copy } else { Links::Skip };
    for item in storage::walk(requests, filters, links) {
        if found.blocking_send(item).is_err() {
            return;
        }
    }
}

/// A problem that has no file, as the message for the peer.
pub(super) fn problem(name: Vec<u8>, failure: Failure) -> Message {
    Message::Problem(Problem { name, failure })
}
