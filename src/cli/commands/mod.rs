//! The commands, one file or folder each: what was parsed becomes calls of the library, and what they say is printed.
//!
//! | file | noun |
//! |---|---|
//! | `send`, `get`, `ls`, `parts` | the commands that transfer, and show what is there or unfinished |
//! | `serve`, `service`, `status`, `history`, `peers` | the commands of a server |
//! | `remotes`, `ping`, `doctor`, `id`, `cert`, `completions`, `man` | the commands to set up |
//! | `token` | new tokens, for `peers token` |

pub(super) mod cert;
pub(super) mod completions;
pub(super) mod doctor;
pub(super) mod get;
pub(super) mod history;
pub(super) mod id;
pub(super) mod ls;
pub(super) mod man;
pub(super) mod parts;
pub(super) mod peers;
pub(super) mod ping;
pub(super) mod remotes;
pub(super) mod send;
pub(super) mod serve;
pub(super) mod service;
pub(super) mod status;
pub(super) mod token;
