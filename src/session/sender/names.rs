//! Names that this connection has offered: a path is offered once, whatever the walk finds.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::progress::name_hash;
use crate::protocol::message::{Failure, Kind, Status};
use crate::storage::Meta;

/// What every directory counts as: two of one name are merged.
const DIRECTORY: u64 = 0;

/// What was found under each name, both by hash: sixteen bytes a name. Two names of one hash would be a
/// failure that is reported, never a file that is lost in silence.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<u64, u64>);

/// Whether a name may be offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    First,
    /// The same thing was named twice, or two directories are merged: nothing is lost.
    Again,
    /// Something else has the name: one would replace the other.
    Taken,
}

impl Names {
    /// Notes that `name` was found.
    pub(super) fn note(&mut self, name: &str, meta: &Meta) -> Turn {
        let source = source(meta);
        match self.0.insert(name_hash(name), source) {
            None => Turn::First,
            Some(before) if before == source => Turn::Again,
            Some(before) => {
                // The first one keeps the name.
                self.0.insert(name_hash(name), before);
                Turn::Taken
            }
        }
    }
}

fn source(meta: &Meta) -> u64 {
    if meta.kind == Kind::Dir {
        return DIRECTORY;
    }
    let mut hasher = DefaultHasher::new();
    (meta.identity.dev, meta.identity.ino).hash(&mut hasher);
    hasher.finish().max(DIRECTORY + 1)
}

/// The failure of a second source of one name.
pub(super) fn taken(name: &str) -> Failure {
    Failure::new(Status::Exists, format!("will not overwrite {name}, which this job has from elsewhere already"))
}
