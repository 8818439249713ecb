//! The disk: what may be read, what is written, and when it is safe.
//!
//! | file | holds |
//! |---|---|
//! | [`root`], `dir`, `hidden` | a directory held open, and one way to each kind of name in it; nothing outside can be reached |
//! | [`mod@walk`], [`request`], [`pattern`], [`listed`], [`filter`], `names` | which files a command or a peer means |
//! | [`source`], [`hash`] | a file that is read, and whether it changed meanwhile; the digests of what is there |
//! | [`part`], `part_name`, `own_names` | a file that is being written, beside its target, under a lock; what it is called |
//! | [`commit`], `final_name`, `unsynced`, `doubts` | part files become files, durably, in groups; how they get their names, which names may not be durable yet, and whose durability a job doubts |
//! | `meta`, [`mode`] | what a directory says of a name; which permission bits a copy gets |
//! | `delivered` | which files came from a sender that may not look at what is there |
//! | `spelling`, `file_system`, `system` | how a disk spells names, what is known of it by its kind, what only Linux offers |
//! | `file_io` | where the content of one file is read from and written to, in any store: its old version, its part |
//! | [`store`] | all that a whole job asks of a store, behind one interface: what `session` uses |
//! | [`pool`], `fair` | the threads that all this blocks, so that no network thread does, and who is served next |
//! | `error`, `cause` | what can go wrong, why, and what the peer is told of it |
//!
//! Everything here blocks. Nothing here knows of networks, and no path from a peer gets in that is not a
//! [`WirePath`](crate::protocol::path::WirePath).

mod cause;
pub(crate) mod commit;
mod delivered;
mod dir;
mod doubts;
mod error;
mod fair;
mod file_io;
mod file_system;
pub(crate) mod filter;
mod final_name;
mod hash;
mod hidden;
pub(crate) mod listed;
mod meta;
pub(crate) mod mode;
mod names;
mod own_names;
pub(crate) mod part;
mod part_name;
pub(crate) mod pattern;
pub(crate) mod pool;
pub(crate) mod request;
pub(crate) mod root;
pub(crate) mod source;
mod spelling;
pub(crate) mod store;
mod system;
mod unsynced;
pub(crate) mod walk;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use cause::{Cause, CopiedBy, FailureKind, plain};
pub use commit::{Commit, Committer, Durability, Replace};
pub(crate) use commit::{Committed, Touch};
pub(crate) use delivered::Delivered;
pub(crate) use doubts::{DIRECTORY_BYTES, Doubts};
pub(crate) use error::{FILES_WAIT, FILES_WAITS_MAX};
pub use error::{Op, StorageError};
pub(crate) use file_io::{FileIo, Finished, Proof};
pub use filter::Filters;
pub(crate) use listed::NameList;
pub(crate) use meta::{DirMeta, DirMode, FileIdentity, Meta, kept_mode};
pub(crate) use names::NameRoom;
pub use part::Fresh;
pub(crate) use part::{Fate, PartSearch, Removal, Unfinished};
pub use part_name::Owner;
pub(crate) use pattern::{Expanded, Finds, directory, expand};
pub(crate) use pool::{Disk, DiskQueue, Lost, OpenQueue};
pub(crate) use request::{MissingPath, WalkRequest, local_requests};
pub use root::{Destination, Root};
pub(crate) use root::{Tree, link_stays_inside, sync_names_above};
pub(crate) use source::{DataMap, Since, unknown_size};
pub(crate) use store::{ByteFiles, Commits, Content, Files, ReadFile, Store};
pub use system::allow_many_open_files;
pub(crate) use system::{close, give_way_to_others, open_files_max};
pub use walk::Links;
pub(crate) use walk::{LeftOut, Recognise, Walk, WalkEntry, walk};
