//! Items that tests, benches and fuzz targets reach beyond the public interface. None of it is promised to anybody.

use std::ops::ControlFlow;
use std::path::Path;

use crate::client;
use crate::protocol::message::{FileId, Header};
use crate::storage::{Expanded, Filters, Finds, Links, Root, WalkEntry, expand, walk};

/// The disk, for benches of it and tests of what it holds.
pub mod storage {
    pub use crate::storage::part::Part;
    pub use crate::storage::{
        Commit, Committer, Destination, Durability, Filters, Fresh, Owner, Replace, Root, allow_many_open_files,
    };
}

pub use crate::cli::testing::{remote, settings};
pub use crate::digest::hashers;
pub use crate::transfer::file::receive::ReceiveFile;

/// The offers of a server of `dir` for the patterns, without the names that the filters leave out.
///
/// # Panics
/// When the directory cannot be read.
pub fn offers(dir: &Path, patterns: &[Vec<u8>], filters: &Filters) -> Vec<Header> {
    struct AllOffers<'a> {
        filters: &'a Filters,
        offers: Vec<Header>,
    }
    impl Finds for AllOffers<'_> {
        fn take(&mut self, expanded: Expanded) -> ControlFlow<()> {
            let Ok(request) = expanded else { return ControlFlow::Continue(()) };
            for found in walk(vec![request], self.filters.clone(), Links::Copy) {
                match found {
                    WalkEntry::File { name: path, meta, .. } => {
                        let id = FileId(self.offers.len() as u64);
                        let (kind, size, mtime, mode) = (meta.kind, meta.size, meta.mtime, meta.mode);
                        self.offers.push(Header { id, path, kind, size, mtime, mode });
                    }
                    WalkEntry::Problem { .. } | WalkEntry::Note(_) => {}
                }
            }
            ControlFlow::Continue(())
        }

        fn is_over(&self) -> bool {
            false
        }
    }
    let root = Root::open(dir).expect("the directory can be read").hiding_dots();
    let mut all = AllOffers { filters, offers: Vec::new() };
    expand(&root.tree(), patterns, &mut all);
    all.offers
}

/// Whether a client that has asked for the patterns, without what the filters leave out, takes an offer.
pub fn takes(patterns: &[Vec<u8>], filters: &Filters, offer: &Header) -> bool {
    client::takes(patterns, filters, offer)
}
