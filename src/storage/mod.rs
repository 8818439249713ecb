//! The disk: what may be read, what is written, and when it is safe.
//!
//! * [`root`]: a directory held open; nothing outside it can be reached, and one way for each kind of name.
//! * [`mod@walk`], [`request`], [`pattern`], [`listed`], [`filter`]: which files a command or a peer means.
//! * [`source`]: a file that is read, and whether it changed meanwhile.
//! * [`part`]: a file that is being written, beside its target, under a lock.
//! * [`commit`]: part files become files, durably, in groups, and files that keep their content get a new time and mode;
//!   `final_name`: how what is complete gets its name.
//! * `store`: all that a whole job asks of a store, behind one interface: what `session` uses.
//! * [`pool`]: the threads that all this blocks, so that no network thread does, and who is served next.
//!
//! Everything here blocks. Nothing here knows of networks, and no path from a peer gets in that is not a
//! [`WirePath`](crate::protocol::path::WirePath).

mod cause;
pub mod commit;
mod dir;
mod error;
mod fair;
mod file_system;
pub mod filter;
mod final_name;
pub(crate) mod hash;
mod hidden;
pub mod listed;
mod meta;
pub(crate) mod mode;
mod names;
mod own_names;
pub mod part;
mod part_name;
pub mod pattern;
pub mod pool;
pub mod request;
pub mod root;
pub mod source;
mod spelling;
pub(crate) mod store;
mod system;
mod unsynced;
pub mod walk;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use cause::{CopiedBy, Refusal, plain};
pub(crate) use commit::Touch;
pub use commit::{Commit, Committed, Committer, Durability, Replace};
pub use dir::Resolver;
pub(crate) use error::{FILES_WAIT, FILES_WAITS_MAX};
pub use error::{Op, StorageError};
pub use filter::{FilterError, Filters};
pub use listed::NameList;
pub(crate) use meta::{DirMeta, DirMode, kept_mode};
pub use meta::{FileIdentity, Meta};
pub use names::NameRoom;
pub use part::{Adoption, Fate, Fresh, Looked, Part, PartSearch, Removal, Unfinished};
pub use part_name::Owner;
pub use pattern::{Expanded, Finds, directory, expand};
pub use pool::{Disk, DiskQueue, Lost, OpenQueue};
pub use request::{MissingPath, WalkRequest, local_requests};
pub(crate) use root::link_stays_inside;
pub use root::{Destination, Root, Tree, sync_names_above};
pub(crate) use source::unknown_size;
pub use source::{DataMap, Since, Source};
pub(crate) use store::{ByteFiles, Commits, Content, Files, PartFile, ReadFile, Store};
pub use system::allow_many_open_files;
pub(crate) use system::close;
pub(crate) use system::give_way_to_others;
pub(crate) use system::open_files_max;
pub use walk::{LeftOut, Links, Recognise, Walk, WalkEntry, walk};
