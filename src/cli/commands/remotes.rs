//! `qft remote`: the servers known here.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use crate::cli::args::{AddArgs, NamedArgs, RemoteAction, RemoteArgs, RenameArgs};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::signals::{HangUps, block_on};
use crate::cli::run::standard;
use crate::cli::target::ask::{Interaction, agree};
use crate::cli::target::connect::say_that_it_waits;
use crate::cli::target::plan::UnknownServer;
use crate::cli::text::table::Table;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::shown;
use crate::client::{Client, ServerGreeting};
use crate::congestion::ControllerConfig;
use crate::error::Error;
use crate::keys::trust::{NameError, Remote, Remotes, check_remote_name};
use crate::keys::{
    self, Authority, Contact, DEFAULT_PORT, Fingerprint, Host, Identity, Ticket, TicketError, Trust, behind_scheme,
    parse_host_port,
};
use crate::protocol::close::CloseCode;
use crate::transport::{self, Tuning};

/// Longest line that is read as a ticket: the longest ticket has some 400 characters.
const TICKET_BYTES_MAX: u64 = 4096;

pub(crate) fn run(args: &RemoteArgs) -> anyhow::Result<Exit> {
    let remotes = Remotes::open(&keys::home()?)?;
    let answer = match &args.action {
        None | Some(RemoteAction::List(_)) => list(&remotes)?,
        Some(RemoteAction::Add(args)) => add(&remotes, args)?,
        Some(RemoteAction::Rename(args)) => rename(&remotes, args)?,
        Some(RemoteAction::Default(args)) => set_default(&remotes, args)?,
        Some(RemoteAction::Forget(args)) => forget(&remotes, args)?,
    };
    answer.print(args.json())
}

/// The output of a command: one line or table for people, events for programs.
struct RemotesOutput {
    action: &'static str,
    text: String,
    remotes: Vec<Remote>,
}

impl RemotesOutput {
    fn print(self, as_json: bool) -> anyhow::Result<Exit> {
        if as_json {
            let mut json = Json::stdout();
            json.start("remote", json!({"action": self.action}));
            for remote in &self.remotes {
                json.line("remote", &remote_json(remote));
            }
            json.end(None, Exit::Done, json!({}));
        } else {
            writeln!(standard::output(), "{}", self.text.trim_end()).context("writing to standard output")?;
        }
        Ok(Exit::Done)
    }
}

fn remote_json(remote: &Remote) -> Value {
    let Remote { name, ticket, is_default, since, .. } = remote;
    json!({
        "name": name, "url": ticket.without_invite().to_string(), "address": ticket.address(),
        "fingerprint": ticket.fingerprint.to_string(), "default": is_default, "since": since,
    })
}

fn list(remotes: &Remotes) -> anyhow::Result<RemotesOutput> {
    let all = remotes.list()?;
    let mut table = Table::new(&["", "NAME", "ADDRESS", "KEY"]);
    for Remote { name, ticket, is_default, .. } in &all {
        let mark = if *is_default { "*" } else { " " };
        table.row(vec![mark.to_owned(), shown(name).into_owned(), ticket.address(), ticket.fingerprint.short()]);
    }
    let text = match all.is_empty() {
        true => "no server is known here yet; the first ticket that you use is remembered".to_owned(),
        false => table.text(),
    };
    Ok(RemotesOutput { action: "list", text, remotes: all })
}

fn add(remotes: &Remotes, args: &AddArgs) -> anyhow::Result<RemotesOutput> {
    // Said before a ticket is asked for, and before an invite is used up.
    check_remote_name(&args.name).map_err(complaint)?;
    let text = match &args.place {
        Some(place) => place.clone(),
        None => ask_for_ticket(&args.name)?,
    };
    let (ticket, path) = match as_ticket(&text, args)? {
        Some((ticket, path)) => (ticket, path),
        None => (by_hand(&text, args)?, None),
    };
    let before = remotes.find(&args.name)?;
    if let Some(other) = &before {
        ensure_same_place(other, &ticket)?;
    }
    let paired = match ticket.invite {
        Some(_) => Some(pair(&ticket, args)?),
        None => None,
    };
    let remote = remotes.add(&args.name, &ticket).map_err(complaint)?;
    let how = match &paired {
        Some(greeting) if greeting.enrolled => format!("paired with {}, ", shown(&greeting.peer)),
        // The server knows this machine already; the invite is still good.
        Some(_) => "known there already, ".to_owned(),
        None => String::new(),
    };
    let was = before.map(|old| old.ticket.address()).filter(|was| *was != remote.ticket.address());
    let was = was.map(|was| format!(", no longer {was}")).unwrap_or_default();
    let default = if remote.is_default { "; it is the default" } else { "" };
    let path = path.map(|path| format!("; a path is not kept: write {}:{}", remote.name, shown(&path)));
    let path = path.unwrap_or_default();
    let text = format!("{how}saved as {} ({}{was}){default}{path}", remote.name, remote.ticket.address());
    Ok(RemotesOutput { action: "add", text, remotes: vec![remote] })
}

/// Reads a ticket and the path behind it; `None` for what is rather an address. What was not typed as an argument is a
/// ticket, or nothing.
fn as_ticket(text: &str, args: &AddArgs) -> anyhow::Result<Option<(Ticket, Option<String>)>> {
    let text = text.trim();
    let Some(rest) = behind_scheme(text.as_bytes()) else {
        return match args.place {
            Some(_) => Ok(None),
            None => Err(anyhow!(TicketError::Scheme).context("cannot read the ticket")),
        };
    };
    if args.trust.fingerprint.is_some() || args.trust.ca.is_some() || args.trust.port.is_some() {
        let text = "the ticket names the server's key and port already: leave out --fingerprint, --ca and --port";
        return Err(Complaint::usage(text).into());
    }
    let slash = rest.iter().position(|b| *b == b'/').map(|at| text.len() - rest.len() + at);
    let (ticket, path) = text.split_at(slash.unwrap_or(text.len()));
    let ticket = ticket.parse().context("cannot read the ticket")?;
    let path = path.trim_start_matches('/');
    Ok(Some((ticket, (!path.is_empty()).then(|| path.to_owned()))))
}

/// The server at an address: its key is named, vouched for by a certificate, or shown and asked about.
fn by_hand(text: &str, args: &AddArgs) -> anyhow::Result<Ticket> {
    let trust = &args.trust;
    if text.contains('@') {
        let text = format!("{}: through ssh nothing has to be remembered: qft send FILES {0}:", shown(text));
        return Err(Complaint::Usage(text).into());
    }
    // The colon that a remote has elsewhere.
    let place = text.strip_suffix(':').unwrap_or(text);
    let read = match place.parse::<Host>() {
        Ok(host) => Ok((host.to_string(), DEFAULT_PORT)),
        Err(_) => parse_host_port(place),
    };
    let (host, port) = read.map_err(|error| {
        Complaint::Usage(format!("{error}: give its ticket (qft://..., from 'qft peers invite' there), or HOST[:PORT]"))
    })?;
    let port = trust.port.map_or(port, NonZeroU16::get);
    let ticket = |fingerprint| Ticket { fingerprint, invite: None, host: host.clone(), port };
    if let Some(fingerprint) = trust.fingerprint {
        return Ok(ticket(fingerprint));
    }
    if let Some(ca) = &trust.ca {
        return certified_key(&host, port, ca, args).map(ticket);
    }
    let interaction = Interaction { json: args.out.json, patience: args.timeout };
    let unknown_server = UnknownServer { host: host.clone(), port, unknown: None };
    agree(&unknown_server, trust, interaction).map(ticket)
}

/// The key that a certificate from `ca` vouches for.
fn certified_key(host: &str, port: u16, ca: &Path, args: &AddArgs) -> anyhow::Result<Fingerprint> {
    let identity = match args.trust.certificate() {
        Some((certificate, key)) => Identity::load(&certificate, &key)?,
        None => Identity::load_or_create(&keys::home()?).context("this machine's identity")?,
    };
    let trust = Trust::Authority(Authority::load(ca)?);
    let contact = Contact { host: host.to_owned(), also_at: Vec::new(), port, trust, invite: None, token: None };
    let tuning = Tuning { local: args.trust.bind, ..Tuning::new(Arc::new(ControllerConfig::default())) };
    block_on(HangUps::End, async |mut signals| {
        let dialled = tokio::select! {
            dialled = transport::dial(&contact, &identity, &tuning, args.timeout) => dialled.map_err(Error::from)?,
            stop = signals.next() => return Err(Complaint::Interrupted(stop).into()),
        };
        let key = transport::peer_fingerprint(&dialled.connection);
        transport::close(&dialled.connection, CloseCode::Done, "");
        key.context("the server showed no key")
    })
}

/// A name that is taken may only be given again for the same place, or for the same server at another one.
fn ensure_same_place(other: &Remote, meant: &Ticket) -> anyhow::Result<()> {
    let is_same_key = meant.fingerprint == other.ticket.fingerprint;
    match is_same_key || meant.address().eq_ignore_ascii_case(&other.ticket.address()) {
        true => Ok(()),
        false => {
            let (name, address) = (other.name.clone(), other.ticket.address());
            Err(complaint(NameError::Taken { name, address }))
        }
    }
}

fn complaint(error: NameError) -> anyhow::Error {
    match error {
        NameError::Home(error) => error.into(),
        error => Complaint::Usage(error.to_string()).into(),
    }
}

/// Lets the server enrol this machine's key.
fn pair(ticket: &Ticket, args: &AddArgs) -> anyhow::Result<ServerGreeting> {
    let identity = Identity::load_or_create(&keys::home()?).context("this machine's identity")?;
    let client = Client::builder(identity).patience(args.timeout).on_wait(say_that_it_waits).build()?;
    block_on(HangUps::End, async |mut signals| {
        tokio::select! {
            greeting = client.greet(ticket.clone()) => Ok(greeting?),
            stop = signals.next() => Err(Complaint::Interrupted(stop).into()),
        }
    })
}

/// Reads a ticket from a terminal that shows nothing of it, or from the first line of standard input.
fn ask_for_ticket(name: &str) -> anyhow::Result<String> {
    // Ctrl-C ends the wait, not the program: else the terminal would go on hiding what is typed.
    let line = block_on(HangUps::End, async |mut signals| {
        let _hidden = hide_ticket(name)?;
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().take(TICKET_BYTES_MAX).read_line(&mut line).map(|_| line)
        });
        tokio::select! {
            line = read => line?.context("reading the ticket"),
            stop = signals.next() => Err(Complaint::Interrupted(stop).into()),
        }
    })?;
    match line.trim().is_empty() {
        true => {
            Err(Complaint::usage("no ticket was given; qft serve --invite, or qft peers invite, prints one").into())
        }
        false => Ok(line),
    }
}

/// Asks, where there is somebody to ask.
fn hide_ticket(name: &str) -> anyhow::Result<Option<Hidden>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    write!(std::io::stderr(), "ticket of {name} (paste it, it is not shown): ").context("asking")?;
    Ok(Some(Hidden::new().context("hiding what is typed")?))
}

/// While this lives the terminal shows nothing that is typed.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn new() -> std::io::Result<Self> {
        let shown = rustix::termios::tcgetattr(std::io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &self.0);
        // The line end that was typed was not shown either.
        drop(writeln!(std::io::stderr()));
    }
}

fn rename(remotes: &Remotes, args: &RenameArgs) -> anyhow::Result<RemotesOutput> {
    let renamed = remotes.rename(&args.name, &args.new).map_err(complaint)?;
    let Some(new) = renamed else { return Err(no_such(remotes, &args.name)?) };
    let text = format!("{} ({}) is called {} now", shown(&args.name), new.ticket.address(), new.name);
    Ok(RemotesOutput { action: "rename", text, remotes: vec![new] })
}

fn set_default(remotes: &Remotes, args: &NamedArgs) -> anyhow::Result<RemotesOutput> {
    let remote = named(remotes, &args.name)?;
    remotes.set_default(&remote.name)?;
    let text = format!("{} ({}) is the default now", shown(&remote.name), remote.ticket.address());
    Ok(RemotesOutput { action: "default", text, remotes: vec![Remote { is_default: true, ..remote }] })
}

fn forget(remotes: &Remotes, args: &NamedArgs) -> anyhow::Result<RemotesOutput> {
    let remote = named(remotes, &args.name)?;
    remotes.remove(&remote.name)?;
    let left = if remote.is_default { "; there is no default now (qft remote default NAME)" } else { "" };
    let text = format!("{} ({}) is forgotten{left}", shown(&remote.name), remote.ticket.address());
    Ok(RemotesOutput { action: "forget", text, remotes: vec![remote] })
}

fn named(remotes: &Remotes, name: &str) -> anyhow::Result<Remote> {
    match remotes.find(name)? {
        Some(remote) => Ok(remote),
        None => Err(no_such(remotes, name)?),
    }
}

fn no_such(remotes: &Remotes, name: &str) -> anyhow::Result<anyhow::Error> {
    let known: Vec<String> = remotes.list()?.iter().map(|remote| shown(&remote.name).into_owned()).collect();
    let known = if known.is_empty() { "none is known yet".to_owned() } else { format!("known: {}", known.join(", ")) };
    Ok(Complaint::Usage(format!("{}: no such remote; {known}", shown(name))).into())
}
