//! The command line as a user meets it: the real program, two machines, what is said and how it ends.

mod choices;
mod conflicts;
mod doctor;
mod failures;
mod habits;
mod history;
mod logs;
mod output;
mod owners;
mod pages;
mod pairing;
mod pasted;
mod peers;
mod remotes;
mod secrets;
mod service;
mod serving;
mod settings;
mod status;
mod strangers;
mod transfers;
mod watched;
mod words;

use crate::support::bin::{Machine, Serve};

/// Two machines, the second of which knows the first by a ticket that it has used.
fn paired(options: &str) -> (Machine, Machine, Serve) {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", options);
    local.qft(["ls", serve.ticket()]).run().exits(0);
    (remote, local, serve)
}
