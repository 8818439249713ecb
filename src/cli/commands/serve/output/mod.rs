//! The output for the operator: lines on standard error, or JSON on standard output. Nothing here waits for a reader.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::limit::{Limits, LineKind, LineSource, SuppressedLines};
use super::notice::{limited, notice_json, notice_text, who};
use super::stamp::{LinePrefix, Priority};
use crate::cli::args::{LogFormat, ServeArgs};
use crate::cli::exit::Exit;
use crate::cli::run::lines::{END_WAIT, LineSink};
use crate::cli::run::log::{LogFormatting, LogSink};
use crate::cli::text::qr;
use crate::cli::text::size;
use crate::cli::ui::json::{self as events, Json};
use crate::keys::Ticket;
use crate::server::{Notice, Peer};

/// Columns that a QR code may take where nobody knows the width.
const QR_COLUMNS: usize = 80;

/// The output for the operator.
pub(super) struct ServeOutput {
    lines: Box<dyn Write>,
    json: Option<Json>,
    /// JSON goes where text would.
    is_json_log: bool,
    stamp: LinePrefix,
    quiet: bool,
    verbose: bool,
    /// Whether lines are events from now on, with a time.
    is_running: bool,
    limits: Limits,
    /// The names of connected clients, for notices that know only the address.
    names: HashMap<SocketAddr, String>,
    totals: ServedTotals,
    /// The queues that may still have lines to write at the end.
    queues: Vec<LineSink>,
}

#[derive(Default)]
struct ServedTotals {
    connections: u64,
    files_in: u64,
    files_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    failed: u64,
}

impl ServeOutput {
    /// The process's own streams, and where the library's log goes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn new(args: &ServeArgs) -> anyhow::Result<(Self, LogSink)> {
        let no_thread = "starting a thread";
        let stderr = LineSink::stderr().context(no_thread)?;
        let is_json_log = args.log_format == LogFormat::Json;
        let mut queues = vec![stderr.clone()];
        let json = match (is_json_log, args.json) {
            (true, _) => Some(stderr.clone()),
            (false, true) => {
                let stdout = LineSink::stdout(events::missing).context(no_thread)?;
                queues.push(stdout.clone());
                Some(stdout)
            }
            (false, false) => None,
        };
        let json = json.map(|lines| Json::stamped(Box::new(lines.writer())));
        let mut out =
            Self::with(Box::new(stderr.writer()), json, LinePrefix::of_stderr(), args.quiet, args.verbose > 0);
        let format = if is_json_log { LogFormatting::Json } else { LogFormatting::Text };
        (out.is_json_log, out.queues) = (is_json_log, queues);
        Ok((out, LogSink::Lines(stderr, format)))
    }

    fn with(lines: Box<dyn Write>, json: Option<Json>, stamp: LinePrefix, quiet: bool, verbose: bool) -> Self {
        Self {
            lines,
            json,
            is_json_log: false,
            stamp,
            quiet,
            verbose,
            is_running: false,
            limits: Limits::default(),
            names: HashMap::new(),
            totals: ServedTotals::default(),
            queues: Vec::new(),
        }
    }

    /// Something for whoever starts the server: no event, so it has no time.
    pub(super) fn say(&mut self, text: &str) {
        if !self.quiet && self.json.is_none() {
            self.print(Priority::Info, text, false);
        }
    }

    /// Something that is wrong; `--quiet` hears it too.
    pub(super) fn warn(&mut self, text: &str) {
        self.tell("warning", text);
        if !self.is_json_log {
            self.print(Priority::Warning, text, self.is_running);
        }
    }

    /// The start is over.
    pub(super) fn run(&mut self) {
        self.is_running = true;
    }

    /// Something that this server does, and when.
    pub(super) fn event(&mut self, text: &str) {
        self.tell("text", text);
        if !self.quiet && self.json.is_none() {
            self.print(Priority::Info, text, true);
        }
    }

    /// Waits until what was said is written, if anybody reads.
    pub(super) fn flush(&self) {
        for lines in &self.queues {
            lines.flush(Some(END_WAIT));
        }
    }

    fn tell(&mut self, kind: &str, text: &str) {
        if let Some(json) = &mut self.json {
            json.note(kind, json!({ "text": text }));
        }
    }

    fn print(&mut self, priority: Priority, text: &str, has_time: bool) {
        let text = self.stamp.lines(priority, text, has_time.then(SystemTime::now));
        // The queue takes everything.
        drop(self.lines.write_all(text.as_bytes()));
    }

    pub(super) fn start(&mut self, body: Value) {
        if let Some(json) = &mut self.json {
            json.start("serve", body);
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

    /// Tells of what happened, unless too much does.
    pub(super) fn notice(&mut self, notice: &Notice, now: Instant) {
        self.count(notice);
        if let Notice::Disconnected { peer, .. } = notice {
            self.tell_left_out_of(peer);
        }
        if let Some((kind, source)) = limited(notice)
            && !self.limits.allows(kind, source, now)
        {
            return;
        }
        match &mut self.json {
            Some(json) => notice_json(json, notice),
            None => self.notice_line(notice),
        }
    }

    fn notice_line(&mut self, notice: &Notice) {
        let is_wanted = match notice {
            Notice::Finished { .. } => self.verbose,
            Notice::Failed { .. } | Notice::Refused { .. } => true,
            _ => !self.quiet,
        };
        if is_wanted {
            let (priority, line) = notice_text(notice);
            self.print(priority, &line, true);
        }
    }

    /// Tells how many lines of a client were suppressed, once it is gone.
    fn tell_left_out_of(&mut self, peer: &Peer) {
        let source = LineSource::Connection(peer.addr);
        let count = self.limits.end(LineKind::Failed, source);
        if count > 0 {
            let who = who(peer);
            self.tell_left_out(&SuppressedLines { kind: LineKind::Failed, source, count }, Some(who));
        }
        self.names.remove(&peer.addr);
    }

    /// Tells of what was left out. To be called now and then, and at the end.
    pub(super) fn report_left_out(&mut self) {
        for left_out in self.limits.report() {
            let who = match left_out.source {
                LineSource::Connection(addr) => self.names.get(&addr).cloned(),
                LineSource::Address(_) => None,
            };
            self.tell_left_out(&left_out, who);
        }
    }

    fn tell_left_out(&mut self, left_out: &SuppressedLines, who: Option<String>) {
        let SuppressedLines { kind, source, count } = left_out;
        let address = match source {
            LineSource::Connection(addr) => addr.ip().to_string(),
            LineSource::Address(ip) => ip.to_string(),
        };
        let from = who.unwrap_or_else(|| address.clone());
        let (name, what) = match kind {
            LineKind::Failed => ("failed", format!("more files failed, most of them of {from}")),
            LineKind::Refused => ("refused", format!("more clients were refused, most of them from {from}")),
            LineKind::Connection => {
                ("connection", format!("more connections began or ended, most of them from {from}"))
            }
        };
        if let Some(json) = &mut self.json {
            json.note("left_out", json!({ "of": name, "count": count, "address": address }));
        } else if *kind != LineKind::Connection || !self.quiet {
            self.print(Priority::Warning, &format!("! … and {} {what}", size::count(*count)), true);
        }
    }

    fn count(&mut self, notice: &Notice) {
        match notice {
            Notice::Connected { peer, .. } => {
                self.totals.connections += 1;
                self.names.insert(peer.addr, who(peer));
            }
            Notice::Failed { .. } => self.totals.failed += 1,
            Notice::Disconnected { files_in, files_out, bytes_in, bytes_out, .. } => {
                self.totals.files_in += files_in;
                self.totals.files_out += files_out;
                self.totals.bytes_in += bytes_in;
                self.totals.bytes_out += bytes_out;
            }
            Notice::Refused { .. } | Notice::Finished { .. } | Notice::PartRemoved { .. } | Notice::Missed { .. } => {}
        }
    }

    pub(super) fn end(&mut self, exit: Exit) {
        self.report_left_out();
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

/// Waits until the last lines are written, if anybody reads them.
impl Drop for ServeOutput {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
