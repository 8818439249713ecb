//! `qft serve`: runs a server, prints how to reach it, and what happens.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::address::{every_address, parse_advertised, parse_listen, plausible};
use super::args::ServeArgs;
use super::exit::{Complaint, Exit};
use super::log;
use super::run::{Signals, block_on};
use super::size;
use super::ui::json::Json;
use super::ui::text::shown;
use crate::protocol::path::escape;
use crate::server::{Access, Mode, Notice, Server};
use crate::transport::trust::Clients;
use crate::transport::{self, DEFAULT_PORT, Identity, Ticket};

/// How long an invite is good for; the server decides, this is what is said about it.
const INVITE_MINUTES: u32 = 15;

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<Exit> {
    // One level only: a path that is wrong higher up is a mistake, and so is one that has nothing to read.
    let is_new = !args.read_only && fs::create_dir(&args.dir).is_ok();
    let root = root(&args.dir, rustix::process::geteuid().is_root())?;
    let listen = listen(args.listen.as_deref(), args.no_auth)?;
    let advertised = args.advertise.as_deref().map(parse_advertised).transpose()?;
    log::init(args.verbose, None);
    let home = transport::home()?;
    let identity = Identity::load_or_create(&home).context("this machine's identity")?;
    let mut out = Output::new(args);
    // Starting waits for the server's threads, so it is done outside of any runtime.
    let server = start(args, &root, &listen, identity, &home)?;
    let enrolled = enrolled_clients(&home);
    let way_in = way_in(args, &server, advertised, enrolled > 0);
    block_on(async |signals| {
        // The ticket says that the server can be used, and stopped: signals are caught from here on.
        if is_new {
            out.say(&format!("made {}", escape(root.as_os_str().as_bytes())));
        }
        announce(&mut out, args, &server, &root, way_in.as_ref(), enrolled)?;
        watch(server, &mut out, signals, args.drain).await
    })
}

/// The directory to serve, without links. The whole machine is not served by its administrator.
fn root(dir: &Path, is_superuser: bool) -> anyhow::Result<PathBuf> {
    let shown = escape(dir.as_os_str().as_bytes());
    let root = dir.canonicalize().map_err(|error| Complaint::Usage(format!("cannot serve {shown}: {error}")))?;
    if !root.is_dir() {
        return Err(Complaint::Usage(format!("cannot serve {shown}: not a directory")).into());
    }
    if is_superuser && root == Path::new("/") {
        return Err(Complaint::usage("root does not serve /: name a directory below it, or run as another user").into());
    }
    Ok(root)
}

/// The addresses to try, in order. Only a default may be given up for another one.
fn listen(listen: Option<&str>, no_auth: bool) -> Result<Vec<SocketAddr>, Complaint> {
    match listen {
        Some(listen) => parse_listen(listen).map(|address| vec![address]),
        None if no_auth => Ok(vec![(Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()]),
        // A machine without IPv6 cannot bind [::].
        None => Ok(vec![every_address(DEFAULT_PORT), (Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into()]),
    }
}

fn start(
    args: &ServeArgs,
    root: &Path,
    listen: &[SocketAddr],
    identity: Identity,
    home: &Path,
) -> anyhow::Result<Server> {
    let mode = match (args.read_only, args.write_only) {
        (true, _) => Mode::ReadOnly,
        (_, true) => Mode::WriteOnly,
        _ => Mode::ReadWrite,
    };
    let attempt = |address: SocketAddr| {
        let access = if args.no_auth { Access::Anyone } else { Access::Enrolled { home: home.to_owned() } };
        Server::builder(root.to_owned(), identity.clone())
            .listen(address)
            .workers(workers(args))
            .access(access)
            .mode(mode)
            .no_clobber(args.no_clobber)
            .sync(!args.no_sync)
            .once(args.once)
            .start()
            .with_context(|| format!("cannot listen on {address}"))
    };
    let mut outcome = attempt(listen[0]);
    for address in &listen[1..] {
        // The first error names the address that was meant.
        outcome = outcome.or_else(|first| attempt(*address).map_err(|_| first));
    }
    outcome
}

fn workers(args: &ServeArgs) -> NonZeroUsize {
    args.workers.unwrap_or_else(|| available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Clients that are enrolled in this home.
fn enrolled_clients(home: &Path) -> usize {
    // A list that cannot be read has stopped the server already, unless it accepts anyone.
    Clients::open(home).and_then(|clients| clients.list()).map_or(0, |clients| clients.len())
}

/// A way in, with the most likely address; `None` when nobody asked for one.
struct WayIn {
    ticket: Ticket,
    others: Vec<String>,
    /// Whether it is printed, not only written to a file.
    is_shown: bool,
}

fn way_in(
    args: &ServeArgs,
    server: &Server,
    advertised: Option<(String, Option<u16>)>,
    has_clients: bool,
) -> Option<WayIn> {
    let is_first = !has_clients && io::stderr().is_terminal() && !args.quiet;
    let is_shown = args.invite || args.no_auth || is_first;
    if !is_shown && args.ticket_file.is_none() {
        return None;
    }
    let bound = server.local_addr();
    let (mut hosts, port) = match advertised {
        Some((host, port)) => (vec![host], port.unwrap_or_else(|| bound.port())),
        None => (plausible(bound.ip()).iter().map(ToString::to_string).collect(), bound.port()),
    };
    let host = hosts.remove(0);
    let ticket = match args.no_auth {
        // Who accepts anyone has nobody to invite.
        true => Ticket { fingerprint: server.fingerprint(), invite: None, host, port },
        false => Ticket { port, ..server.invite(&host) },
    };
    Some(WayIn { ticket, others: hosts, is_shown })
}

fn announce(
    out: &mut Output,
    args: &ServeArgs,
    server: &Server,
    root: &Path,
    way_in: Option<&WayIn>,
    enrolled: usize,
) -> anyhow::Result<()> {
    let (address, workers) = (server.local_addr(), workers(args));
    let shown_root = escape(root.as_os_str().as_bytes()).to_string();
    let version = env!("CARGO_PKG_VERSION");
    let many = if workers.get() == 1 { "" } else { "s" };
    out.say(&format!("qft {version} serving {shown_root} on {address} (udp), {workers} worker{many}"));
    if args.no_auth {
        out.warn(&format!("warning: --no-auth: anyone who can reach {address} may use {shown_root}"));
    }
    let mut start = json!({
        "root": shown_root, "address": address.to_string(), "workers": workers.get(),
        "fingerprint": server.fingerprint().to_string(),
    });
    if let Some(way_in) = way_in.filter(|way_in| way_in.is_shown) {
        start["ticket"] = way_in.ticket.to_string().into();
        out.paste_lines(way_in, args.no_auth);
    }
    out.start(start);
    match (way_in, &args.ticket_file) {
        (Some(way_in), Some(path)) => {
            let shown_path = escape(path.as_os_str().as_bytes());
            let validity = match args.no_auth {
                true => String::new(),
                false => format!(" for one client, within {INVITE_MINUTES} minutes,"),
            };
            out.say(&format!("a ticket{validity} is in {shown_path}"));
            write_ticket(path, &way_in.ticket.to_string())
                .with_context(|| format!("writing the ticket to {shown_path}"))
        }
        (None, _) if enrolled == 0 => {
            out.warn("no client is enrolled here, so nobody can connect: add --invite, which prints a ticket");
            Ok(())
        }
        (None, _) => {
            let clients = if enrolled == 1 { "1 client is".to_owned() } else { format!("{enrolled} clients are") };
            out.say(&format!("{clients} enrolled; --invite prints a ticket for one more"));
            Ok(())
        }
        (Some(_), None) => Ok(()),
    }
}

/// Writes the ticket so that a reader finds all of it or nothing, and nobody else finds it at all.
fn write_ticket(path: &Path, ticket: &str) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let hidden = path.with_file_name(hidden);
    // What has this name is left from a process that died here: the number is ours now.
    drop(fs::remove_file(&hidden));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
        writeln!(file, "{ticket}")?;
        file.sync_all()?;
        fs::rename(&hidden, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&hidden)))
}

/// Prints notices until the server has ended; the first signal drains, the second ends at once.
async fn watch(server: Server, out: &mut Output, mut signals: Signals, drain: Duration) -> anyhow::Result<Exit> {
    let mut is_draining = false;
    loop {
        tokio::select! {
            biased;
            () = signals.next() => {
                if is_draining {
                    out.end(Exit::Interrupted);
                    // Dropping it would wait for its threads; the process ends now, and takes them along.
                    std::mem::forget(server);
                    return Ok(Exit::Interrupted);
                }
                out.say(&format!("stopping; files in flight may finish for {}; once more stops at once", size::rough(drain)));
                is_draining = true;
                server.handle().shutdown(drain);
            }
            notice = server.notice() => match notice {
                Some(notice) => out.notice(&notice),
                None => break,
            },
        }
    }
    server.wait();
    out.end(Exit::Done);
    Ok(Exit::Done)
}

/// What the operator sees: lines on standard error, or JSON on standard output.
struct Output {
    lines: Box<dyn Write>,
    json: Option<Json>,
    quiet: bool,
    verbose: bool,
    names: HashMap<SocketAddr, String>,
    totals: Totals,
}

#[derive(Default)]
struct Totals {
    connections: u64,
    files_in: u64,
    files_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    failed: u64,
}

impl Output {
    fn new(args: &ServeArgs) -> Self {
        let json = args.json.then(Json::stdout);
        Self::with(Box::new(io::stderr()), json, args.quiet, args.verbose > 0)
    }

    fn with(lines: Box<dyn Write>, json: Option<Json>, quiet: bool, verbose: bool) -> Self {
        Self { lines, json, quiet, verbose, names: HashMap::new(), totals: Totals::default() }
    }

    /// A line for people; errors and warnings go through [`Output::warn`].
    fn say(&mut self, line: &str) {
        if !self.quiet && self.json.is_none() {
            self.warn(line);
        }
    }

    fn warn(&mut self, line: &str) {
        // A log that nobody reads is no reason to stop serving.
        drop(writeln!(self.lines, "{line}"));
    }

    fn start(&mut self, body: Value) {
        if let Some(json) = &mut self.json {
            json.start("serve", body);
        }
    }

    fn paste_lines(&mut self, way_in: &WayIn, is_open: bool) {
        let validity = match is_open {
            true => String::new(),
            false => format!(", within {INVITE_MINUTES} minutes, once"),
        };
        self.say(&format!("On the other machine{validity}:\n\n    qft send FILES --to {}\n", way_in.ticket));
        for host in &way_in.others {
            let other = Ticket { host: host.clone(), ..way_in.ticket.clone() };
            self.say(&format!("  or, by another address of this machine:\n\n    qft send FILES --to {other}\n"));
        }
        self.say("waiting for clients; Ctrl-C stops the server");
    }

    fn notice(&mut self, notice: &Notice) {
        self.count(notice);
        if let Some(json) = &mut self.json {
            notice_json(json, notice);
            return;
        }
        match notice {
            Notice::Connected { worker, addr, peer, name, enrolled } => {
                let who = format!("{} ({})", shown(name), peer.short());
                let paired = if *enrolled { ", paired: the invite is used up" } else { "" };
                self.say(&format!("+ {who} from {addr}, worker {worker}{paired}"));
                self.names.insert(*addr, who);
            }
            Notice::Refused { addr, peer, why } => {
                let who = peer.as_ref().map(|peer| format!(" ({})", peer.short())).unwrap_or_default();
                self.warn(&format!("! {addr}{who} refused: {}", shown(why)));
            }
            Notice::Finished { path, size, from_peer } if self.verbose => {
                let arrow = if *from_peer { "<-" } else { "->" };
                self.say(&format!("  {arrow} {}, {}", shown(path), size::bytes(*size)));
            }
            Notice::Finished { .. } => {}
            Notice::Failed { path, why } => self.warn(&format!("  failed: {}: {}", shown(path), shown(why))),
            Notice::Disconnected { addr, peer, why, files_in, files_out, bytes_in, bytes_out, .. } => {
                let who = self.names.remove(addr).unwrap_or_else(|| peer.short());
                let (received, sent) = (amount(*files_in, *bytes_in), amount(*files_out, *bytes_out));
                self.say(&format!("- {who} from {addr}: received {received}; sent {sent}; {}", shown(why)));
            }
        }
    }

    fn count(&mut self, notice: &Notice) {
        match notice {
            Notice::Connected { .. } => self.totals.connections += 1,
            Notice::Failed { .. } => self.totals.failed += 1,
            Notice::Disconnected { files_in, files_out, bytes_in, bytes_out, .. } => {
                self.totals.files_in += files_in;
                self.totals.files_out += files_out;
                self.totals.bytes_in += bytes_in;
                self.totals.bytes_out += bytes_out;
            }
            Notice::Refused { .. } | Notice::Finished { .. } => {}
        }
    }

    fn end(&mut self, exit: Exit) {
        let totals = &self.totals;
        let body = json!({
            "connections": totals.connections, "files_in": totals.files_in, "files_out": totals.files_out,
            "bytes_in": totals.bytes_in, "bytes_out": totals.bytes_out, "files_failed": totals.failed,
        });
        if let Some(json) = &mut self.json {
            json.end(None, exit, body);
        }
    }
}

fn amount(files: u64, bytes: u64) -> String {
    match files {
        0 => "nothing".to_owned(),
        _ => format!("{}, {}", size::files(files), size::bytes(bytes)),
    }
}

fn notice_json(json: &mut Json, notice: &Notice) {
    match notice {
        Notice::Connected { worker, addr, peer, name, enrolled } => json.note(
            "connected",
            json!({
                "worker": worker, "address": addr.to_string(), "fingerprint": peer.to_string(),
                "peer": name, "enrolled": enrolled,
            }),
        ),
        Notice::Refused { addr, peer, why } => json.note(
            "refused",
            json!({"address": addr.to_string(), "fingerprint": peer.map(|peer| peer.to_string()), "message": why}),
        ),
        Notice::Finished { path, size, from_peer } => {
            json.line("file", &json!({"path": path, "status": "done", "size": size, "from_peer": from_peer}))
        }
        Notice::Failed { path, why } => {
            json.line("file", &json!({"path": path, "status": "failed", "message": why}));
        }
        Notice::Disconnected { worker, addr, peer, why, files_in, files_out, bytes_in, bytes_out } => json.note(
            "disconnected",
            json!({
                "worker": worker, "address": addr.to_string(), "fingerprint": peer.to_string(), "message": why,
                "files_in": files_in, "files_out": files_out, "bytes_in": bytes_in, "bytes_out": bytes_out,
            }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::ui::tests::Shared;
    use super::*;

    fn output(quiet: bool, verbose: bool, with_json: bool) -> (Output, Shared, Shared) {
        let (lines, json) = (Shared::default(), Shared::default());
        let writer = with_json.then(|| Json::new(Box::new(json.clone())));
        (Output::with(Box::new(lines.clone()), writer, quiet, verbose), lines, json)
    }

    fn file_notices() -> Vec<Notice> {
        vec![
            Notice::Finished { path: "in/a".into(), size: 2048, from_peer: true },
            Notice::Finished { path: "b".into(), size: 1, from_peer: false },
            Notice::Failed { path: "c".into(), why: "no\nspace".into() },
            Notice::Refused {
                addr: "192.0.2.9:1".parse().expect("an address"),
                peer: None,
                why: "not enrolled\x1b[2J".into(),
            },
        ]
    }

    #[test]
    fn failures_are_printed_always_and_files_only_when_asked() {
        for (quiet, verbose, expected) in [
            (false, false, "  failed: c: no\\nspace\n! 192.0.2.9:1 refused: not enrolled\\u{1b}[2J\n"),
            (true, false, "  failed: c: no\\nspace\n! 192.0.2.9:1 refused: not enrolled\\u{1b}[2J\n"),
            (
                false,
                true,
                "  <- in/a, 2.0 KiB\n  -> b, 1 B\n  failed: c: no\\nspace\n! 192.0.2.9:1 refused: not enrolled\\u{1b}[2J\n",
            ),
        ] {
            let (mut out, lines, _) = output(quiet, verbose, false);
            file_notices().iter().for_each(|notice| out.notice(notice));
            assert_eq!(lines.text(), expected);
        }
    }

    #[test]
    fn json_has_a_line_for_each_notice_and_ends_with_the_summary() {
        let (mut out, lines, json) = output(false, true, true);
        out.start(json!({"root": "/srv"}));
        file_notices().iter().for_each(|notice| out.notice(notice));
        out.end(Exit::Done);
        let all: Vec<Value> =
            json.text().lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
        let kinds: Vec<_> = all.iter().map(|line| line["type"].as_str().expect("a type")).collect();
        assert_eq!(kinds, ["start", "file", "file", "file", "note", "summary"]);
        assert_eq!(all[5]["files_failed"], 1);
        assert_eq!(all[5]["exit_code"], 0);
        assert_eq!(lines.text(), "");
    }

    #[test]
    fn the_superuser_does_not_serve_the_whole_machine() {
        let error = root(Path::new("/"), true).expect_err("refused");
        assert_eq!(Exit::of_error(&error), Exit::Usage);
        assert!(root(Path::new("/usr/.."), true).is_err(), "by whatever name");
        assert!(root(Path::new("/"), false).is_ok());
        assert!(root(Path::new("/tmp"), true).is_ok());
    }

    #[test]
    fn only_a_directory_that_exists_is_served() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("file"), b"x").expect("written");
        assert!(root(&dir.path().join("file"), false).is_err());
        assert!(root(&dir.path().join("missing"), false).is_err());
    }

    #[test]
    fn an_open_server_stays_on_this_machine_unless_told_otherwise() {
        assert_eq!(listen(None, true), Ok(vec![(Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()]));
        assert_eq!(listen(Some("0.0.0.0:9"), true), Ok(vec![(Ipv4Addr::UNSPECIFIED, 9).into()]));
        assert_eq!(listen(None, false).map(|tried| tried[0]), Ok(every_address(DEFAULT_PORT)));
        assert_eq!(listen(Some("127.0.0.1:0"), false).map(|tried| tried.len()), Ok(1), "no second try");
    }

    #[test]
    fn a_ticket_file_is_whole_private_and_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("ticket");
        fs::write(&path, b"old and longer than the new one").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        write_ticket(&path, "qft://new").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "qft://new\n");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "nothing is left over");
        assert!(write_ticket(&dir.path().join("missing/ticket"), "x").is_err());
    }
}
