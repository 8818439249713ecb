//! Which remote is meant, and a client that can talk to it.
//!
//! | file | noun |
//! |---|---|
//! | `remote`, `address` | remote-shaped arguments; addresses |
//! | `plan` | which remote, which paths, which options: without a look at the network |
//! | `here` | what this machine knows of the words |
//! | `ask` | servers that are not known yet |
//! | `connect` | a client that can talk to the one that is meant |

pub(super) mod address;
pub(super) mod ask;
pub(super) mod connect;
pub(super) mod here;
pub(super) mod plan;
pub(super) mod remote;
