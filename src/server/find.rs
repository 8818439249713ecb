//! What a `Get` asks for, found on a thread of its own.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::grant::Grant;
use crate::protocol::message::{Failure, Get, Message, Problem, Status};
use crate::session::local::{Finder, Gone};
use crate::storage::{self, Expanded, Filters, Finds, Found, Links, Walk};

/// Passes on what a `Get` asks for, until everything is found or nobody takes it any more.
///
/// `destination` is the directory that they go to, where this process knows it.
pub(super) fn look_for(grant: &Grant, get: &Get, destination: Option<PathBuf>, found: &Finder<Found>) {
    if let Err(failure) = grant.may_read() {
        let name = get.patterns.first().cloned().unwrap_or_default();
        let _ = found.blocking_send(Found::Problem { name, failure });
        return;
    }
    let filters = match Filters::new(&get.filters, &[]) {
        Ok(filters) => filters,
        Err(error) => {
            let failure = Failure::new(Status::BadName, error.to_string());
            let _ = found.blocking_send(Found::Problem { name: Vec::new(), failure });
            return;
        }
    };
    let links = if get.links { Links::Copy } else { Links::Skip };
    let walk = storage::walk(Vec::new(), filters, links).to_be_read().leaving_out(destination);
    storage::expand(&grant.tree(), &get.patterns, &mut Asked { walk, found });
}

/// What the patterns stand for is walked as it is found: what waits for the client is never more than the queue holds.
struct Asked<'a> {
    walk: Walk,
    found: &'a Finder<Found>,
}

impl Asked<'_> {
    fn pass_on(&mut self, expanded: Expanded) -> Result<(), Gone> {
        match expanded {
            Ok(request) => self.walk.add(request),
            Err((name, failure)) => return self.found.blocking_send(Found::Problem { name, failure }),
        }
        while let ControlFlow::Continue(item) = self.walk.step() {
            match item {
                Some(item) => self.found.blocking_send(item)?,
                None if self.found.is_over() => return Err(Gone),
                None => {}
            }
        }
        Ok(())
    }
}

impl Finds for Asked<'_> {
    fn take(&mut self, expanded: Expanded) -> ControlFlow<()> {
        match self.pass_on(expanded) {
            Ok(()) => ControlFlow::Continue(()),
            Err(Gone) => ControlFlow::Break(()),
        }
    }

    fn is_over(&self) -> bool {
        self.found.is_over()
    }
}

/// A problem that has no file, as the message for the peer.
pub(super) fn problem(name: Vec<u8>, failure: Failure) -> Message {
    Message::Problem(Problem { name, failure })
}
