//! Names that this connection has offered: a path is offered once, whatever the walk finds.

use std::hash::{BuildHasher, RandomState};

use super::super::names::NameMap;
use crate::protocol::message::Kind;
use crate::protocol::path::WirePath;

/// The value that stands for every directory: two of one name are merged.
const DIRECTORY: u64 = 0;

/// The object found under each name: a directory, or a file by the hash of its inode.
#[derive(Default)]
pub(crate) struct OfferedNames {
    names: NameMap<u64>,
    hasher: RandomState,
}

/// Whether a name may be offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameClaim {
    First,
    /// The same thing was named twice, or two directories are merged: nothing is lost.
    Again,
    /// Something else has the name: one would replace the other.
    Taken,
}

impl OfferedNames {
    /// Notes that `name` was found, which is the file of this device and number. `room` is asked for the bytes that
    /// remembering it takes.
    pub(crate) fn note(
        &mut self,
        name: &WirePath,
        kind: &Kind,
        inode: (u64, u64),
        room: impl FnMut(usize) -> bool,
    ) -> NameClaim {
        let source = if *kind == Kind::Dir { DIRECTORY } else { self.hasher.hash_one(inode).max(DIRECTORY + 1) };
        // The first one keeps the name.
        match self.names.update_in(name.as_bytes(), room, |known| known.unwrap_or(source)) {
            // A name that there is no room to remember is offered: the receiver has the last word on it.
            None | Some(None) => NameClaim::First,
            Some(Some(before)) if before == source => NameClaim::Again,
            Some(Some(_)) => NameClaim::Taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_offered_once_and_the_first_source_keeps_it() {
        let mut names = OfferedNames::default();
        let mut note = |name: &str, kind, inode| {
            names.note(&WirePath::parse(name.as_bytes()).expect("a plain name"), &kind, (1, inode), |_| true)
        };
        assert_eq!(note("a", Kind::File, 7), NameClaim::First);
        assert_eq!(note("a", Kind::File, 7), NameClaim::Again);
        assert_eq!(note("a", Kind::File, 8), NameClaim::Taken);
        assert_eq!(note("a", Kind::File, 7), NameClaim::Again, "the first one keeps it");
        assert_eq!(note("a", Kind::Dir, 9), NameClaim::Taken);
        assert_eq!(note("d", Kind::Dir, 1), NameClaim::First);
        assert_eq!(note("d", Kind::Dir, 2), NameClaim::Again, "two directories are merged");
        assert_eq!(note("d/a", Kind::File, 7), NameClaim::First);
    }

    #[test]
    fn names_that_there_is_no_room_to_remember_are_offered_again() {
        const ROOM: usize = 64 << 10;
        let (mut names, mut left) = (OfferedNames::default(), ROOM);
        let mut note = |number: usize| {
            let name = WirePath::parse(format!("{number}").as_bytes()).expect("a plain name");
            names.note(&name, &Kind::File, (1, number as u64), |bytes| {
                let rest = left.checked_sub(bytes);
                left = rest.unwrap_or(left);
                rest.is_some()
            })
        };
        assert!((0..10_000).all(|number| note(number) == NameClaim::First));
        let known = (0..10_000).filter(|number| note(*number) == NameClaim::Again).count();
        assert!(known > 100 && known < ROOM / 32, "{known} names are remembered");
        assert_eq!(note(0), NameClaim::Again, "the first ones are");
    }
}
