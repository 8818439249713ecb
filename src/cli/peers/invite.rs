//! `qft peers invite`: a ticket for one more client, with the address of the server that runs.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::json;

use super::super::address::{parse_advertised, plausible};
use super::super::args::InviteArgs;
use super::super::exit::Complaint;
use super::Out;
use super::words::{all, whole};
use crate::transport::trust::{Clients, Guest, Invites, Rights};
use crate::transport::{self, DEFAULT_PORT, Fingerprint, Identity, Serving, Ticket};

/// Runs the command.
pub(super) fn invite(home: &Path, args: &InviteArgs, out: &mut Out) -> anyhow::Result<()> {
    let advertised = args.advertise.as_deref().map(parse_advertised).transpose()?;
    let running = transport::running(home)?;
    let places = places(home, &running, advertised)?;
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
    let guest = Guest { name: args.name.clone(), rights: args.rights.change(&Rights::default()) };
    let secret = Invites::open(home)?.mint(guest.clone(), args.valid, SystemTime::now())?;
    out.start(json!({"action": "invite"}));
    let whose = args.name.as_ref().map(|name| format!(" as {name}")).unwrap_or_default();
    let valid = whole(args.valid);
    out.say(&format!("Lets one client in{whose}, once, within {valid}."))?;
    out.say(&format!("It {}. On that machine:\n", all(&guest.rights)))?;
    for (n, place) in places.iter().enumerate() {
        let ticket = Ticket { invite: Some(secret), ..place.clone() };
        out.event("ticket", json!({"ticket": ticket.to_string(), "valid_seconds": args.valid.as_secs()}));
        if n > 0 {
            out.say("  or, by another address:\n")?;
        }
        let verb = if guest.rights.mode.writes() { "send FILES --to" } else { "ls" };
        out.say(&format!("    qft {verb} {ticket}\n"))?;
    }
    if running.is_empty() {
        out.remark("No server is running here; start it before the ticket is used: qft serve DIR");
    }
    out.end();
    Ok(())
}

/// Where clients reach the servers of this home, as tickets without invites; the most likely first, never none.
fn places(home: &Path, running: &[Serving], advertised: Option<(String, Option<u16>)>) -> anyhow::Result<Vec<Ticket>> {
    let ticket = |fingerprint: Fingerprint, host: String, port: u16| Ticket { fingerprint, invite: None, host, port };
    if let Some((host, port)) = advertised {
        let (fingerprint, running_port) = match running.first() {
            Some(serving) => (serving.fingerprint, serving.listen.port()),
            None => (Identity::load_or_create(home).context("this machine's identity")?.fingerprint(), DEFAULT_PORT),
        };
        return Ok(vec![ticket(fingerprint, host, port.unwrap_or(running_port))]);
    }
    if let [first, ..] = running
        && running.iter().all(|serving| serving.is_open)
    {
        let text = format!("the server for {} lets anyone in (--no-auth): nobody needs a ticket", first.root);
        return Err(Complaint::usage(text).into());
    }
    let mut places = Vec::new();
    for serving in running.iter().filter(|serving| !serving.is_open) {
        let port = serving.listen.port();
        match &serving.advertised {
            Some((host, advertised)) => {
                places.push(ticket(serving.fingerprint, host.clone(), advertised.unwrap_or(port)));
            }
            None => {
                let hosts = plausible(serving.listen.ip());
                places.extend(hosts.iter().map(|host| ticket(serving.fingerprint, host.to_string(), port)));
            }
        }
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
