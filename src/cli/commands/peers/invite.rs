//! `qft peers invite`: a ticket for one more client, with the address of the server that runs.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::json;

use super::Out;
use super::words::{all, whole};
use crate::cli::args::InviteArgs;
use crate::cli::exit::Complaint;
use crate::cli::target::address::{parse_advertised, plausible};
use crate::cli::text::paste::{first_line, other_use};
use crate::keys::trust::{AccessMode, ClientEntry, Clients, Invites, Rights};
use crate::keys::{DEFAULT_PORT, Fingerprint, Identity, Ticket};
use crate::server::{self, Serving};

pub(super) fn invite(home: &Path, args: &InviteArgs, out: &mut Out) -> anyhow::Result<()> {
    let advertised = args.advertise.as_deref().map(parse_advertised).transpose()?;
    let running = server::running(home)?;
    let entry = ClientEntry { name: args.name.clone(), rights: args.rights.change(&Rights::default()) };
    let places = places(home, &running, advertised, entry.rights.mode)?;
    if let Some(name) = &args.name {
        let taken =
            Clients::open(home)?.list()?.clients.into_iter().find(|client| client.name.eq_ignore_ascii_case(name));
        if let Some(client) = taken {
            return Err(Complaint::Usage(format!(
                "{} is the name of another client ({})",
                name,
                client.fingerprint.short()
            ))
            .into());
        }
    }
    let secret = Invites::open(home)?.mint(entry.clone(), args.valid, SystemTime::now())?;
    out.start(json!({"action": "invite"}));
    let whose = args.name.as_ref().map(|name| format!(" as {name}")).unwrap_or_default();
    let valid = whole(args.valid);
    out.say(&format!("Lets one client in{whose}, once, within {valid}."))?;
    out.say(&format!("It {}. On that machine:\n", all(&entry.rights)))?;
    for (n, place) in places.iter().enumerate() {
        let ticket = Ticket { invite: Some(secret), ..place.ticket.clone() };
        out.event("ticket", json!({"ticket": ticket.to_string(), "valid_seconds": args.valid.as_secs()}));
        if n > 0 {
            out.say("  or, by another address:\n")?;
        }
        out.say(&format!("    {}\n", first_line(&ticket, place.mode, &[])))?;
    }
    if let Some(other) = other_use(places[0].mode) {
        out.say(&format!("  {other}"))?;
    }
    if running.is_empty() {
        out.remark("No server is running here; start it before the ticket is used: qft serve DIR");
    }
    out.end();
    Ok(())
}

/// Where a client reaches a server of this home, and what it may do there.
struct InviteTarget {
    /// Without an invite.
    ticket: Ticket,
    mode: AccessMode,
}

/// The servers that clients with these rights can do something with, and what. None where none runs.
fn usable(
    running: &[Serving],
    is_elsewhere: bool,
    entry: AccessMode,
) -> Result<Vec<(&Serving, AccessMode)>, Complaint> {
    let [first, ..] = running else { return Ok(Vec::new()) };
    if running.iter().all(|serving| serving.is_open) && !is_elsewhere {
        let text = format!("the server for {} lets anyone in (--no-auth): nobody needs a ticket", first.root);
        return Err(Complaint::usage(text));
    }
    let usable: Vec<_> = running.iter().filter_map(|serving| Some((serving, serving.mode.and(entry)?))).collect();
    if usable.is_empty() {
        let does = match first.mode.writes() {
            true => "takes files and gives none (--write-only)",
            false => "takes no files (--read-only)",
        };
        let text = format!("the server for {} {does}: such a client could do nothing there", first.root);
        return Err(Complaint::usage(text));
    }
    Ok(usable)
}

/// Where clients with these rights reach the servers of this home; the most likely first, never none.
fn places(
    home: &Path,
    running: &[Serving],
    advertised: Option<(String, Option<u16>)>,
    entry: AccessMode,
) -> anyhow::Result<Vec<InviteTarget>> {
    let ticket = |fingerprint: Fingerprint, host: String, port: u16| Ticket { fingerprint, invite: None, host, port };
    let usable = usable(running, advertised.is_some(), entry)?;
    if let Some((host, port)) = advertised {
        let (fingerprint, running_port, mode) = match usable.first() {
            Some((serving, mode)) => (serving.fingerprint, serving.listen.port(), *mode),
            None => {
                let own = Identity::load_or_create(home).context("this machine's identity")?;
                (own.fingerprint(), DEFAULT_PORT, entry)
            }
        };
        return Ok(vec![InviteTarget { ticket: ticket(fingerprint, host, port.unwrap_or(running_port)), mode }]);
    }
    let mut places = Vec::new();
    for (serving, mode) in usable.into_iter().filter(|(serving, _)| !serving.is_open) {
        let port = serving.listen.port();
        let (hosts, port) = match &serving.advertised {
            Some((host, advertised)) => (vec![host.clone()], advertised.unwrap_or(port)),
            None => (plausible(serving.listen), port),
        };
        let place = |host| InviteTarget { ticket: ticket(serving.fingerprint, host, port), mode };
        places.extend(hosts.into_iter().map(place));
    }
    match places.is_empty() {
        true => Err(Complaint::Usage(
            "no server is running here, so nobody knows its address; start one (qft serve DIR), or say where it will \
             be: --advertise HOST:PORT"
                .to_owned(),
        )
        .into()),
        false => Ok(places),
    }
}
