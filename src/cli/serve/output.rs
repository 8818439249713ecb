//! What the operator sees: lines on standard error, or JSON on standard output.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::super::args::ServeArgs;
use super::super::exit::Exit;
use super::super::qr;
use super::super::size;
use super::super::ui::json::Json;
use super::super::ui::text::shown;
use super::way_in::{INVITE_MINUTES, WayIn};
use crate::server::Notice;
use crate::transport::Ticket;

/// Columns that a QR code may take where nobody knows the width.
const QR_COLUMNS: usize = 80;

/// What the operator sees: lines on standard error, or JSON on standard output.
pub(super) struct Output {
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
    pub(super) fn new(args: &ServeArgs) -> Self {
        let json = args.json.then(Json::stdout);
        Self::with(Box::new(io::stderr()), json, args.quiet, args.verbose > 0)
    }

    fn with(lines: Box<dyn Write>, json: Option<Json>, quiet: bool, verbose: bool) -> Self {
        Self { lines, json, quiet, verbose, names: HashMap::new(), totals: Totals::default() }
    }

    /// A line for people; errors and warnings go through [`Output::warn`].
    pub(super) fn say(&mut self, line: &str) {
        if !self.quiet && self.json.is_none() {
            self.warn(line);
        }
    }

    pub(super) fn warn(&mut self, line: &str) {
        // A log that nobody reads is no reason to stop serving.
        drop(writeln!(self.lines, "{line}"));
    }

    pub(super) fn start(&mut self, body: Value) {
        if let Some(json) = &mut self.json {
            json.start("serve", body);
        }
    }

    pub(super) fn paste_lines(&mut self, way_in: &WayIn, is_open: bool) {
        let validity = match is_open {
            true => String::new(),
            false => format!(", within {INVITE_MINUTES} minutes, once"),
        };
        self.say(&format!("On the other machine{validity}:\n\n    qft send FILES --to {}\n", way_in.ticket));
        for host in &way_in.others {
            let other = Ticket { host: host.clone(), ..way_in.ticket.clone() };
            self.say(&format!("  or, by another address of this machine:\n\n    qft send FILES --to {other}\n"));
        }
    }

    /// The ticket for a camera.
    pub(super) fn qr(&mut self, ticket: &Ticket) {
        let stderr = io::stderr();
        let columns = rustix::termios::tcgetwinsize(&stderr).map_or(QR_COLUMNS, |size| usize::from(size.ws_col));
        let with_colours = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        match qr::draw(ticket, columns, with_colours) {
            Some(lines) => self.say(&format!("{}\n", lines.join("\n"))),
            None => self.say(&format!("the QR code does not fit into {columns} columns; widen the terminal")),
        }
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
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

    pub(super) fn end(&mut self, exit: Exit) {
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
    use super::super::super::ui::tests::Shared;
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
}
