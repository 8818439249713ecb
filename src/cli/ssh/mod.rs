//! `user@host:path`: the far end is started through the user's own `ssh`, for one run, and leaves nothing behind.
//!
//! The near end runs `ssh user@host qft __bootstrap` and writes one line, the [request](line::NearRequest), to its
//! standard input: which key will come, which paths are meant. The far end makes a key for this run, opens a UDP port,
//! serves what is meant to that one client, and answers with one line: port, key, address. Both keys so come through
//! ssh, whose own checks are the only trust that is needed, and neither is written to a disk. From then on everything
//! goes over UDP. The ssh connection stays open, but once the client is connected the work does not need it: when it
//! breaks, the far end goes on until its client has gone, and for a bounded time after a client that was cut off. When
//! ssh is closed in order, because the near end is done or dead, the far end ends at once.
//!
//! | file | noun |
//! |---|---|
//! | `line` | the two lines |
//! | `ports` | the range of UDP ports |
//! | `command` | the ssh to run, and what it knows about a host |
//! | `config` | the hosts that its configuration names |
//! | `near` | the near end: starts ssh, reads the answer, minds the connection |
//! | `speech` | what ssh says on the way, made safe to show |
//! | `error` | why the far end did not start, and what to do about it |
//! | `place` | what paths mean on the far side |
//! | `far` | the far end |
//! | `stay` | how long it stays |

mod command;
mod config;
mod error;
mod far;
mod line;
mod near;
mod place;
mod ports;
mod speech;
mod stay;

pub(crate) use self::command::without_questions;
pub(crate) use self::config::config_hosts;
pub(crate) use self::error::SshError;
pub(crate) use self::far::run as bootstrap;
pub(crate) use self::near::{Far, FarEnd, FarStart, SshEnded};
pub(crate) use self::ports::Ports;

use anyhow::Context as _;

/// Starts a thread that ends by itself.
fn start_thread(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).context("starting a thread")?;
    Ok(())
}
