//! What a server says at its start: where it is, and the ticket that lets the first client in.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::super::address::plausible;
use super::super::args::ServeArgs;
use super::output::Output;
use super::workers;
use crate::protocol::path::escape;
use crate::server::Server;
use crate::transport::Ticket;

/// How long an invite is good for; the server decides, this is what is said about it.
pub(super) const INVITE_MINUTES: u32 = 15;

/// A way in, with the most likely address; `None` when nobody asked for one.
pub(super) struct WayIn {
    pub(super) ticket: Ticket,
    pub(super) others: Vec<String>,
    /// Whether it is printed, not only written to a file.
    pub(super) is_shown: bool,
}

pub(super) fn way_in(
    args: &ServeArgs,
    server: &Server,
    advertised: Option<(String, Option<u16>)>,
    has_clients: bool,
) -> anyhow::Result<Option<WayIn>> {
    let is_first = !has_clients && io::stderr().is_terminal() && !args.quiet;
    let is_shown = args.invite || args.qr || args.no_auth || is_first;
    if !is_shown && args.ticket_file.is_none() {
        return Ok(None);
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
        false => Ticket { port, ..server.invite(&host).context("making an invite")? },
    };
    Ok(Some(WayIn { ticket, others: hosts, is_shown }))
}

pub(super) fn announce(
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
        if args.qr {
            out.qr(&way_in.ticket);
        }
        out.say("waiting for clients; Ctrl-C stops the server");
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

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
