//! The output of a server at its start: its address, and the ticket that lets the first client in.

use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::output::ServeOutput;
use super::{mode, workers};
use crate::atomic_file::{OnExisting, write_atomically};
use crate::cli::args::ServeArgs;
use crate::cli::target::address::{needs_zone, plausible};
use crate::cli::text::paste::{first_line, other_use};
use crate::keys::Ticket;
use crate::keys::trust::INVITE_LIFETIME;
use crate::protocol::path::escape_path;
use crate::server::{AccessMode, Server};

/// How long an invite is good for; the server decides, this is what is said about it.
pub(super) const INVITE_MINUTES: u64 = INVITE_LIFETIME.as_secs() / 60;

/// Mode of a ticket's file: nobody else may use it.
const TICKET_MODE: u32 = 0o600;

/// A link-local address is good for one cable, and each end calls that by its own interface.
const ZONE_NOTE: &str = "  behind % stands an interface of this machine: write the one of the other machine there\n";

/// Said when all is ready.
pub(super) const WAITING: &str = "waiting for clients; Ctrl-C stops the server";

/// A way in, with the most likely address; `None` when nobody asked for one.
pub(super) struct WayIn {
    pub(super) ticket: Ticket,
    pub(super) others: Vec<String>,
    /// Whether it is printed, not only written to a file.
    pub(super) is_shown: bool,
}

impl WayIn {
    /// The lines to paste, and what else is to be said about them.
    pub(super) fn lines(&self, mode: AccessMode, is_open: bool) -> Vec<String> {
        let validity = match is_open {
            true => String::new(),
            false => format!(", within {INVITE_MINUTES} minutes, once"),
        };
        let mut lines =
            vec![format!("On the other machine{validity}:\n\n    {}\n", first_line(&self.ticket, mode, &[]))];
        for host in &self.others {
            let other = Ticket { host: host.clone(), ..self.ticket.clone() };
            lines.push(format!("  or, by another address of this machine:\n\n    {}\n", first_line(&other, mode, &[])));
        }
        lines.extend(other_use(mode).map(|text| format!("  {text}\n")));
        if std::iter::once(&self.ticket.host).chain(&self.others).any(|host| needs_zone(host)) {
            lines.push(ZONE_NOTE.to_owned());
        }
        lines
    }
}

/// The hosts under which clients find the server, the most likely one first, and the port.
pub(super) fn found_at(server: &Server, advertised: Option<(String, Option<u16>)>) -> (Vec<String>, u16) {
    let bound = server.local_addr();
    match advertised {
        Some((host, port)) => (vec![host], port.unwrap_or_else(|| bound.port())),
        None => (plausible(bound), bound.port()),
    }
}

/// `found_at` is not empty. `has_clients`: somebody can come in without a ticket.
pub(super) fn way_in(
    args: &ServeArgs,
    server: &Server,
    found_at: (Vec<String>, u16),
    has_clients: bool,
) -> anyhow::Result<Option<WayIn>> {
    let is_first = !has_clients && io::stderr().is_terminal() && !args.quiet;
    let is_shown = args.invite || args.qr || args.no_auth || is_first;
    if !is_shown && args.ticket_file.is_none() {
        return Ok(None);
    }
    let (mut hosts, port) = found_at;
    let host = hosts.remove(0);
    let ticket = match args.no_auth {
        // A server that accepts anyone needs no invites.
        true => Ticket { fingerprint: server.fingerprint(), invite: None, host, port },
        false => Ticket { port, ..server.invite(&host).context("making an invite")? },
    };
    Ok(Some(WayIn { ticket, others: hosts, is_shown }))
}

pub(super) fn announce(
    out: &mut ServeOutput,
    args: &ServeArgs,
    server: &Server,
    (root, is_new): (&Path, bool),
    way_in: Option<&WayIn>,
    passes: &[String],
    enrolled: usize,
) -> anyhow::Result<()> {
    let (address, workers) = (server.local_addr(), workers(args));
    let shown_root = escape_path(root).to_string();
    let version = env!("CARGO_PKG_VERSION");
    let many = if workers.get() == 1 { "" } else { "s" };
    out.say(&format!("qft {version} serving {shown_root} on {address} (udp), {workers} worker{many}"));
    if args.no_auth {
        out.warn(&format!("warning: --no-auth: anyone who can reach {address} may use {shown_root}"));
    }
    let mut start = start_event(server, &shown_root, workers, is_new);
    if let Some(way_in) = way_in.filter(|way_in| way_in.is_shown) {
        start["ticket"] = way_in.ticket.to_string().into();
        way_in.lines(mode(args), args.no_auth).iter().for_each(|line| out.say(line));
        if args.qr {
            out.qr(&way_in.ticket);
        }
    }
    passes.iter().for_each(|line| out.say(line));
    out.start(start);
    if let (Some(way_in), Some(path)) = (way_in, &args.ticket_file) {
        write_ticket(out, &way_in.ticket, path, args.no_auth)?;
    }
    say_who_may_come(out, way_in.is_some() || !passes.is_empty(), enrolled);
    Ok(())
}

/// The event of a server that has started, without those who may come.
fn start_event(server: &Server, shown_root: &str, workers: NonZeroUsize, is_new: bool) -> Value {
    let mut start = json!({
        "root": shown_root, "address": server.local_addr().to_string(), "workers": workers.get(),
        "fingerprint": server.fingerprint().to_string(),
    });
    if is_new {
        start["made"] = true.into();
    }
    if let Some(addr) = server.http_addr() {
        start["http"] = addr.to_string().into();
    }
    start
}

fn write_ticket(out: &mut ServeOutput, ticket: &Ticket, path: &Path, is_open: bool) -> anyhow::Result<()> {
    let shown_path = escape_path(path);
    let validity = match is_open {
        true => String::new(),
        false => format!(" for one client, within {INVITE_MINUTES} minutes,"),
    };
    out.say(&format!("a ticket{validity} is in {shown_path}"));
    // A script that waits for the file finds the start of the log complete.
    out.flush();
    write_atomically(path, &format!("{ticket}\n"), TICKET_MODE, OnExisting::Replaced)
        .with_context(|| format!("writing the ticket to {shown_path}"))
}

/// The last line: that the server waits, or that it waits for nobody. `is_said`: who may come was said above it.
fn say_who_may_come(out: &mut ServeOutput, is_said: bool, enrolled: usize) {
    match (is_said, enrolled) {
        (true, _) => {}
        (false, 0) => {
            return out.warn("no client is enrolled here, so nobody can connect; to let one in: qft peers invite");
        }
        (false, 1) => out.say("1 client is enrolled; a ticket for one more: qft peers invite"),
        (false, _) => out.say(&format!("{enrolled} clients are enrolled; a ticket for one more: qft peers invite")),
    }
    out.say(WAITING);
}
