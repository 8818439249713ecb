//! The command line as a user meets it: the real program, two machines, what is said and how it ends.

#[path = "support/bin.rs"]
mod bin;

#[path = "cli/choices.rs"]
mod choices;
#[path = "cli/conflicts.rs"]
mod conflicts;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/failures.rs"]
mod failures;
#[path = "cli/habits.rs"]
mod habits;
#[path = "cli/logs.rs"]
mod logs;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/owners.rs"]
mod owners;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/pairing.rs"]
mod pairing;
#[path = "cli/pasted.rs"]
mod pasted;
#[path = "cli/peers.rs"]
mod peers;
#[path = "cli/remotes.rs"]
mod remotes;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/serving.rs"]
mod serving;
#[path = "cli/settings.rs"]
mod settings;
#[path = "cli/status.rs"]
mod status;
#[path = "cli/strangers.rs"]
mod strangers;
#[path = "cli/transfers.rs"]
mod transfers;
#[path = "cli/words.rs"]
mod words;

use bin::{Machine, Serve};

/// Two machines, the second of which knows the first by a ticket that it has used.
fn paired(options: &str) -> (Machine, Machine, Serve) {
    let (remote, local) = (Machine::new(), Machine::new());
    let serve = remote.serve("in", options);
    local.qft(["ls", serve.ticket()]).run().exits(0);
    (remote, local, serve)
}
