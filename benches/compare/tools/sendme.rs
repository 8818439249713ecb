//! `sendme`: QUIC as well, the other way round: the sending side waits, and the receiving side is given a ticket. Both are
//! kept from looking for relays and name servers. What the sending side hashes beforehand is not timed.

use std::fs;
use std::process::Command;

use super::super::process::Program;
use super::{Bed, Tool, installed, version_of};

/// Where to get it.
const REMEDY: &str = "cargo install sendme";
/// What stands before the ticket, on a line of its own.
const TICKET: &str = "sendme receive ";
/// Nobody is asked where the other end is, and nothing is drawn.
const ALONE: [&str; 3] = ["--relay", "disabled", "--no-progress"];

pub(crate) struct Sendme;

impl Tool for Sendme {
    fn name(&self) -> &'static str {
        "sendme"
    }

    fn version(&self) -> anyhow::Result<String> {
        version_of(&installed("sendme", REMEDY)?, "--version")
    }

    fn is_fetched(&self) -> bool {
        true
    }

    fn begin(&self, bed: &Bed<'_>) -> anyhow::Result<(Program, Command)> {
        let program = installed("sendme", REMEDY)?;
        // It keeps a copy of everything where it is started.
        let store = bed.scratch.join("sendme");
        fs::create_dir(&store)?;
        let mut send = bed.command(&program);
        send.current_dir(&store).arg("send").args(ALONE).args(["--ticket-type", "addresses"]).arg(bed.source);
        let log = bed.scratch.join("near.log");
        let mut sender = Program::start(send, &bed.network.near, &log)?;
        let ticket = sender.wait_for(|| ticket(&fs::read_to_string(&log).ok()?))?;
        let mut receive = bed.command(&program);
        receive.current_dir(bed.target).arg("receive").args(ALONE).arg(ticket);
        Ok((sender, receive))
    }
}

/// The ticket in what was said so far, once its line is whole.
fn ticket(said: &str) -> Option<String> {
    let (_, rest) = said.split_once(TICKET)?;
    rest.split_once('\n').map(|(ticket, _)| ticket.trim().to_owned())
}
