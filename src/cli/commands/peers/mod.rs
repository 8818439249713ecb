//! `qft peers`: who may connect here, and what each may do.

mod invite;
mod words;

use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::{Value, json};

use self::invite::invite;
use self::words::{all, client_json, client_row, invite_json, invite_line, who, whose};
use super::token;
use crate::cli::args::{AllowArgs, PeersAction, PeersArgs, RevokeArgs};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::standard;
use crate::cli::text::table::Table;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::shown;
use crate::keys::trust::{Allowed, Clients, Invites, ListedClient, OpenInvite};
use crate::keys::{self, Fingerprint};

/// Characters of a fingerprint that stand for all of it: what tables show.
const SHORT_CHARS_MIN: usize = 8;

pub(crate) fn run(args: &PeersArgs) -> anyhow::Result<Exit> {
    let mut out = Out { json: args.json().then(Json::stdout) };
    let home = keys::home;
    match &args.action {
        None | Some(PeersAction::List(_)) => list(&home()?, &mut out)?,
        Some(PeersAction::Invite(args)) => invite(&home()?, args, &mut out)?,
        Some(PeersAction::Allow(args)) => allow(&home()?, args, &mut out)?,
        Some(PeersAction::Revoke(args)) => revoke(&home()?, args, &mut out)?,
        // It belongs to no home.
        Some(PeersAction::Token(args)) => token::make(args.file.as_deref())?,
    }
    Ok(Exit::Done)
}

/// Lines for people, or events for programs.
struct Out {
    json: Option<Json>,
}

impl Out {
    fn say(&self, text: &str) -> anyhow::Result<()> {
        match self.json {
            Some(_) => Ok(()),
            None => writeln!(standard::output(), "{text}").context("writing to standard output"),
        }
    }

    /// Something that the user should know; not what was asked for.
    fn remark(&mut self, text: &str) {
        match &mut self.json {
            Some(json) => json.note("text", json!({ "text": text })),
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    fn event(&mut self, kind: &str, body: Value) {
        if let Some(json) = &mut self.json {
            json.line(kind, &body);
        }
    }

    fn start(&mut self, body: Value) {
        if let Some(json) = &mut self.json {
            json.start("peers", body);
        }
    }

    fn end(&mut self) {
        if let Some(json) = &mut self.json {
            json.end(None, Exit::Done, json!({}));
        }
    }
}

fn list(home: &Path, out: &mut Out) -> anyhow::Result<()> {
    let now = SystemTime::now();
    let clients = Clients::open(home)?;
    let (listing, mut revoked) = (clients.list()?, clients.revoked()?);
    revoked.sort_by(|(one_key, one), (other_key, other)| (one, one_key.0).cmp(&(other, other_key.0)));
    let invites = Invites::open(home)?.list(now)?;
    out.start(json!({"action": "list"}));
    for client in &listing.clients {
        out.event("peer", client_json(client));
    }
    for invite in &invites {
        out.event("invite", invite_json(invite));
    }
    let mut table = Table::new(&["NAME", "KEY", "MAY", "ONLY IN", "UNTIL", "NOTE"]);
    for client in &listing.clients {
        table.row(client_row(client, now));
    }
    match listing.clients.is_empty() {
        true => out.say("nobody may connect here yet; to let somebody in: qft peers invite")?,
        false => out.say(table.text().trim_end())?,
    }
    for invite in &invites {
        out.say(&invite_line(invite))?;
    }
    for (key, name) in &revoked {
        out.event("revoked", json!({ "fingerprint": key.to_string(), "name": name }));
        let name = if name.is_empty() { key.short() } else { format!("{} ({})", shown(name), key.short()) };
        out.say(&format!("shut out: {name}"))?;
    }
    for (line, reason) in &listing.broken {
        out.remark(&format!("authorized_clients, line {line}: {reason}; the line lets nobody in"));
    }
    out.end();
    Ok(())
}

fn allow(home: &Path, args: &AllowArgs, out: &mut Out) -> anyhow::Result<()> {
    let clients = Clients::open(home)?;
    let key = match args.who.parse::<Fingerprint>() {
        Ok(key) => key,
        // Somebody who is listed may be named; a stranger needs the whole fingerprint.
        Err(error) => match find(&clients, &args.who)? {
            Some(client) => client.fingerprint,
            None => {
                let who = shown(&args.who);
                let text =
                    format!("{who} is no client here, and as a fingerprint it {error} ('qft id' prints it there)");
                return Err(Complaint::Usage(text).into());
            }
        },
    };
    let outcome = clients.change(&key, args.name.as_deref(), |old| args.rights.change(old))?;
    let (client, line) = match outcome {
        Allowed::Added(new) => (new.clone(), format!("from now on {} {}", who(&new), all(&new.rights))),
        Allowed::Changed { old, new } => {
            let line = changed(&old, &new);
            (new, line)
        }
        Allowed::Same(client) => (client.clone(), format!("{} {}, as before", who(&client), all(&client.rights))),
        Allowed::NameTaken(other) => {
            let text = format!("{} is the name of another client; choose another (--name)", who(&other));
            return Err(Complaint::Usage(text).into());
        }
    };
    out.start(json!({"action": "allow"}));
    out.event("peer", client_json(&client));
    out.say(&line)?;
    out.end();
    Ok(())
}

/// The changes of a client, each in its own words.
fn changed(old: &ListedClient, new: &ListedClient) -> String {
    let rights = all(&new.rights);
    let could = all(&old.rights).replacen("may", "could", 1);
    match (old.name == new.name, old.rights == new.rights) {
        (false, true) => format!("{} is called {} from now on; it {rights}, as before", who(old), shown(&new.name)),
        (true, _) => format!("from now on {} {rights} (it {could})", who(new)),
        (false, false) => {
            format!("from now on {} is called {} and {rights} (it {could})", who(old), shown(&new.name))
        }
    }
}

fn revoke(home: &Path, args: &RevokeArgs, out: &mut Out) -> anyhow::Result<()> {
    // Found before anything is changed.
    let clients = Clients::open(home)?;
    let meant = match &args.who {
        None if !args.invites => return Err(Complaint::usage("whom? FP or NAME, or --invites for open tickets").into()),
        None => None,
        Some(wanted) => Some(meant(home, &clients, wanted)?),
    };
    out.start(json!({"action": "revoke"}));
    if args.invites {
        let ended = Invites::open(home)?.end_all(SystemTime::now())?;
        out.event("invites", json!({ "ended": ended }));
        out.say(&format!("{ended} open invite{} ended", if ended == 1 { "" } else { "s" }))?;
    }
    match meant {
        None => {}
        Some(PeerMatch::Invite(invite)) => {
            // Its bearer may have been faster.
            if !Invites::open(home)?.end_id(&invite.id)? {
                return Err(Complaint::usage("that invite has just been used; see: qft peers").into());
            }
            out.event("invite", invite_json(&invite));
            out.say(&format!("the invite {}{} is ended", invite.id, whose(&invite)))?;
        }
        Some(PeerMatch::Listed(client)) => {
            clients.remove(&client.fingerprint)?;
            out.event("peer", client_json(&client));
            out.say(&format!("{} is shut out; its connections end within a second", who(&client)))?;
        }
        Some(PeerMatch::Unlisted(key)) => {
            clients.remove(&key)?;
            out.event("revoked", json!({ "fingerprint": key.to_string() }));
            let short = key.short();
            out.say(&format!("{short}, on no list here, is shut out; its connections end within a second"))?;
        }
    }
    out.end();
    Ok(())
}

/// The client that a word means.
enum PeerMatch {
    Listed(ListedClient),
    /// Nobody has come with it yet.
    Invite(OpenInvite),
    /// A key that a token or a certificate may let in.
    Unlisted(Fingerprint),
}

fn meant(home: &Path, clients: &Clients, wanted: &str) -> anyhow::Result<PeerMatch> {
    if let Some(client) = find(clients, wanted)? {
        return Ok(PeerMatch::Listed(client));
    }
    let is_named = |invite: &OpenInvite| {
        let name = invite.entry.name.as_ref();
        invite.id.eq_ignore_ascii_case(wanted) || name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
    };
    let open: Vec<OpenInvite> = Invites::open(home)?.list(SystemTime::now())?.into_iter().filter(is_named).collect();
    match &open[..] {
        [] => {}
        [invite] => return Ok(PeerMatch::Invite(invite.clone())),
        several => {
            let ids: Vec<&str> = several.iter().map(|invite| invite.id.as_str()).collect();
            let text = format!("several invites are meant by {}; give one of: {}", shown(wanted), ids.join(", "));
            return Err(Complaint::Usage(text).into());
        }
    }
    match wanted.parse() {
        Ok(key) => Ok(PeerMatch::Unlisted(key)),
        Err(_) => {
            let wanted = shown(wanted);
            Err(Complaint::Usage(format!(
                "no client here is called {wanted} or has that fingerprint, nor an open invite; see: qft peers (one that a token or a \
                certificate lets in needs its whole fingerprint; see: qft status --json)"
            ))
            .into())
        }
    }
}

/// The one client that a name, a fingerprint or the start of one means; `None` when there is none.
fn find(clients: &Clients, wanted: &str) -> anyhow::Result<Option<ListedClient>> {
    let all = clients.list()?.clients;
    let is_named = |client: &&ListedClient| client.name.eq_ignore_ascii_case(wanted);
    let has_key = |client: &&ListedClient| {
        let start = client.fingerprint.to_string().get(..wanted.len()).map(|start| start.eq_ignore_ascii_case(wanted));
        wanted.len() >= SHORT_CHARS_MIN && start == Some(true)
    };
    let mut found: Vec<&ListedClient> = all.iter().filter(is_named).collect();
    if found.is_empty() {
        found = all.iter().filter(has_key).collect();
    }
    match found[..] {
        [client] => Ok(Some(client.clone())),
        [] => Ok(None),
        _ => {
            let keys: Vec<String> = found.iter().map(|client| client.fingerprint.to_string()).collect();
            let text = format!("several clients are meant by {}; give one of: {}", shown(wanted), keys.join(", "));
            Err(Complaint::Usage(text).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(key: u8, name: &str) -> String {
        format!("{} {name}\n", Fingerprint([key; 32]))
    }

    fn clients(lines: &[String]) -> (tempfile::TempDir, Clients) {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(home.path().join("authorized_clients"), lines.concat()).expect("written");
        let clients = Clients::open(home.path()).expect("readable");
        (home, clients)
    }

    #[test]
    fn a_client_is_found_by_name_or_by_enough_of_its_key() {
        let (_home, clients) = clients(&[client(1, "a"), client(2, "b"), client(3, "Twin"), client(4, "twin")]);
        let key = Fingerprint([2; 32]).to_string();
        for wanted in ["b", "B", &key, &key[..8], &key.to_ascii_uppercase()] {
            assert_eq!(find(&clients, wanted).expect("one").expect("found").name, "b", "{wanted}");
        }
        for wanted in ["c", &key[..7], "", "\u{1b}"] {
            assert_eq!(find(&clients, wanted).expect("readable"), None, "{wanted}");
        }
        let error = find(&clients, "twin").expect_err("two clients");
        assert_eq!(Exit::of_error(&error), Exit::Usage);
    }
}
