//! The parts that run during a command: the transfer, signals, output that nobody waits for.
//!
//! | file | noun |
//! |---|---|
//! | `transfer`, `view` | one transfer: its network thread; what its user sees of it |
//! | `names` | lists of names, `--files-from` |
//! | `private_dir` | private directories |
//! | `sandbox` | what the threads that serve peers may do with files |
//! | `standard` | standard input and output, and what they refuse |
//! | `spooled` | a file that is received for standard output |
//! | `lines`, `log` | output that nobody waits for; the log |
//! | `signals` | signals that wait for nobody, and the end that they ask for |

pub(super) mod lines;
pub(super) mod log;
pub(super) mod names;
pub(super) mod private_dir;
pub(super) mod sandbox;
pub(super) mod signals;
pub(super) mod spooled;
pub(super) mod standard;
pub(super) mod transfer;
mod view;
