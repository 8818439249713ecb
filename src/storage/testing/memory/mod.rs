//! A store in memory: the second implementation of the interface, for tests of what must hold whatever a disk does.
//!
//! | file | noun |
//! |---|---|
//! | `data` | what a file holds, in miniature |
//! | `image` | objects and the directories that name them, at one moment |
//! | `volume`, `state` | the disk: what programs see, what is durable, what fails |
//! | `power` | what a power cut leaves |
//! | `store`, `interface`, `file`, `names` | a process's view of it, as the interface asks |
//! | `committer` | groups of commits, one step at a time |
//! | `user` | other programs, which write without the interface, and between any two of its operations |
//! | `contract` | the table of operations that disk and memory do alike |
//!
//! It loses what was not synced at a power cut ([`Volume::cut_power`]), file by file, chunk by chunk and name by name; fails
//! the operation that a test names ([`Volume::fail_after`]); is full ([`Volume::set_capacity`]); folds case, keeps coarse
//! times, keeps less of a file than it takes ([`Quirks`]); is not found by its path any more ([`Volume::misplace`]). Slow,
//! and done out of order, is what its driver makes of it: nothing here waits.

mod committer;
mod contract;
mod data;
mod file;
mod image;
mod interface;
mod names;
mod power;
mod state;
mod store;
mod tests;
mod user;
mod volume;

pub(crate) use self::committer::MemoryCommitter;
pub(crate) use self::data::{ChunkContent, FileData};
pub(crate) use self::file::MemorySource;
pub(crate) use self::image::{Object, Seen};
pub(crate) use self::state::{ManualClock, Quirks, UserChange};
pub(crate) use self::store::MemoryStore;
pub(crate) use self::volume::Volume;
