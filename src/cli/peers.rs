//! `qft peers`: who may connect here, and what each may do.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::address::{parse_advertised, plausible};
use super::args::{AllowArgs, InviteArgs, PeersAction, PeersArgs, RevokeArgs};
use super::exit::{Complaint, Exit};
use super::table::Table;
use super::ui::json::Json;
use super::ui::text::shown;
use crate::calendar;
use crate::transport::trust::{Allowed, Client, Clients, Guest, Invites, Mode, OpenInvite, Rights};
use crate::transport::{self, DEFAULT_PORT, Fingerprint, Identity, Serving, Ticket};

/// Characters of a fingerprint that stand for all of it: what tables show.
const SHORT_CHARS_MIN: usize = 8;
/// Longest comment that a table shows, in columns.
const COMMENT_COLUMNS: usize = 24;

/// Runs the command.
pub(crate) fn run(args: &PeersArgs) -> anyhow::Result<Exit> {
    let home = transport::home()?;
    let mut out = Out { json: args.json().then(Json::stdout) };
    match &args.action {
        None | Some(PeersAction::List(_)) => list(&home, &mut out)?,
        Some(PeersAction::Invite(args)) => invite(&home, args, &mut out)?,
        Some(PeersAction::Allow(args)) => allow(&home, args, &mut out)?,
        Some(PeersAction::Revoke(args)) => revoke(&home, args, &mut out)?,
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
            None => writeln!(std::io::stdout(), "{text}").context("writing to standard output"),
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
    let listing = Clients::open(home)?.list()?;
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
    for (line, reason) in &listing.broken {
        out.remark(&format!("authorized_clients, line {line}: {reason}; the line lets nobody in"));
    }
    out.end();
    Ok(())
}

fn client_row(client: &Client, now: SystemTime) -> Vec<String> {
    let Rights { root, expires, .. } = &client.rights;
    let until = match expires {
        None => "-".to_owned(),
        Some(end) if *end <= now => format!("{} (over)", minute(*end)),
        Some(end) => minute(*end),
    };
    let comment: String = shown(&client.comment).chars().take(COMMENT_COLUMNS).collect();
    vec![
        shown(&client.name).into_owned(),
        client.fingerprint.short(),
        may(&client.rights),
        root.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        until,
        comment,
    ]
}

/// What rights allow, in words.
fn may(rights: &Rights) -> String {
    let mode = match rights.mode {
        Mode::ReadWrite => "send, get",
        Mode::ReadOnly => "get",
        Mode::WriteOnly => "send",
    };
    match rights.no_clobber && rights.mode.writes() {
        true => format!("{mode}, no clobber"),
        false => mode.to_owned(),
    }
}

/// All that rights say, in one line.
fn all(rights: &Rights) -> String {
    let mut text = format!("may {}", may(rights).replace("send, get", "send and get"));
    if let Some(root) = &rights.root {
        text.push_str(&format!(", only in {root}"));
    }
    if let Some(end) = rights.expires {
        text.push_str(&format!(", until {}", minute(end)));
    }
    text
}

/// A time in the largest unit that divides it.
fn whole(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let secs = time.as_secs();
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| secs.is_multiple_of(*unit)).expect("a second divides all");
    let count = secs / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// `2026-12-31 18:00 UTC`; the end of a day is written as that day.
fn minute(time: SystemTime) -> String {
    let text = calendar::moment(time);
    match text.strip_suffix("T00:00:00Z") {
        Some(_) => calendar::day(time - Duration::from_secs(1)),
        None => format!("{} UTC", text[..16].replace('T', " ")),
    }
}

fn invite_line(invite: &OpenInvite) -> String {
    let whose = invite.guest.name.as_ref().map(|name| format!(" for {}", shown(name))).unwrap_or_default();
    format!("open invite{whose}: {}; to be used until {}", all(&invite.guest.rights), minute(invite.until))
}

fn client_json(client: &Client) -> Value {
    let mut body = rights_json(&client.rights);
    body["name"] = client.name.as_str().into();
    body["fingerprint"] = client.fingerprint.to_string().into();
    body["comment"] = client.comment.as_str().into();
    body
}

fn invite_json(invite: &OpenInvite) -> Value {
    let mut body = rights_json(&invite.guest.rights);
    body["name"] = invite.guest.name.as_deref().into();
    body["valid_until"] = calendar::moment(invite.until).into();
    body
}

fn rights_json(rights: &Rights) -> Value {
    json!({
        "read": rights.mode.reads(), "write": rights.mode.writes(), "no_clobber": rights.no_clobber,
        "root": rights.root.as_ref().map(ToString::to_string), "expires": rights.expires.map(calendar::moment),
    })
}

fn invite(home: &Path, args: &InviteArgs, out: &mut Out) -> anyhow::Result<()> {
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
    let guest = Guest { name: args.name.clone(), rights: args.rights.rights() };
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
    let outcome = clients.allow(&key, args.name.as_deref(), &args.rights.rights())?;
    let (client, line) = match outcome {
        Allowed::Added(new) => (new.clone(), format!("{} {} from now on", who(&new), all(&new.rights))),
        Allowed::Changed { old, new } => {
            let line = format!(
                "{} {} from now on (it {})",
                who(&new),
                all(&new.rights),
                all(&old.rights).replacen("may", "could", 1)
            );
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

fn revoke(home: &Path, args: &RevokeArgs, out: &mut Out) -> anyhow::Result<()> {
    // Found before anything is changed.
    let clients = Clients::open(home)?;
    let client = match &args.who {
        None => None,
        Some(wanted) => Some(find(&clients, wanted)?.ok_or_else(|| {
            let text = format!("no client here is called {} or has that fingerprint; see: qft peers", shown(wanted));
            Complaint::Usage(text)
        })?),
    };
    out.start(json!({"action": "revoke"}));
    if args.invites {
        let ended = Invites::open(home)?.end_all(SystemTime::now())?;
        out.event("invites", json!({ "ended": ended }));
        out.say(&format!("{ended} open invite{} ended", if ended == 1 { "" } else { "s" }))?;
    }
    if let Some(client) = client {
        clients.remove(&client.fingerprint)?;
        out.event("peer", client_json(&client));
        out.say(&format!("{} is shut out; its connections end within a second", who(&client)))?;
    }
    out.end();
    Ok(())
}

fn who(client: &Client) -> String {
    format!("{} ({})", shown(&client.name), client.fingerprint.short())
}

/// The one client that a name, a fingerprint or the start of one means; `None` when there is none.
fn find(clients: &Clients, wanted: &str) -> anyhow::Result<Option<Client>> {
    let all = clients.list()?.clients;
    let is_named = |client: &&Client| client.name.eq_ignore_ascii_case(wanted);
    let has_key = |client: &&Client| {
        let start = client.fingerprint.to_string().get(..wanted.len()).map(|start| start.eq_ignore_ascii_case(wanted));
        wanted.len() >= SHORT_CHARS_MIN && start == Some(true)
    };
    let mut found: Vec<&Client> = all.iter().filter(is_named).collect();
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

    #[test]
    fn rights_are_told_in_words() {
        for (options, words) in [
            ("ro", "may get"),
            ("wo,no-clobber", "may send, no clobber"),
            ("ro,no-clobber", "may get"),
            ("root=in,expires=2026-12-31", "may send and get, only in in, until 2026-12-31"),
            ("expires=2026-12-31T18:00", "may send and get, until 2026-12-31 18:00 UTC"),
        ] {
            assert_eq!(all(&Rights::parse(options).expect(options)), words);
        }
    }
}
