//! The status of servers, in lines for people.

use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

use super::FoundServer;
use crate::cli::text::size;
use crate::cli::ui::rate::eta;
use crate::cli::ui::text::{fit, shown};
use crate::keys::Fingerprint;
use crate::progress::FilePhase;
use crate::server::ServerStatus;
use crate::server::Serving;
use crate::server::status::{ConnectionStatus, Direction, FileStatus, JobStatus, Rules};

/// Columns of the longest label and the space behind it.
const LABEL_COLUMNS: usize = "receiving  ".len();
/// Space before what belongs to a server, and to a client of it.
const OF_SERVER: usize = 2;
const OF_CLIENT: usize = 4;
/// Columns that a file's name has at least.
const NAME_COLUMNS_MIN: usize = 10;

/// All servers, in lines of at most `columns` where that can be.
pub(super) fn page(found: &[FoundServer], columns: Option<usize>) -> String {
    let mut page = StatusPage { columns: columns.unwrap_or(usize::MAX), text: String::new() };
    for (n, FoundServer { serving, answer }) in found.iter().enumerate() {
        if n > 0 {
            page.text.push('\n');
        }
        page.server(serving, answer);
    }
    page.text
}

struct StatusPage {
    columns: usize,
    text: String,
}

impl StatusPage {
    fn server(&mut self, serving: &Serving, answer: &Result<ServerStatus, String>) {
        self.parts(0, "", 0, &[shown(&serving.root).into_owned(), format!("on {} (udp)", serving.listen)], " ");
        let pid = format!("pid {}", serving.pid);
        match answer {
            Ok(status) => {
                let up = format!("up {}", size::rough(Duration::from_millis(status.uptime_ms)));
                let mut parts = vec![pid, up, format!("qft {}", shown(&status.version))];
                parts.extend(status.is_ending.then(|| "about to end".to_owned()));
                self.row(OF_SERVER, "process", &parts, ", ");
                self.identity(serving);
                self.status(status);
            }
            Err(why) => {
                self.row(OF_SERVER, "process", &[pid], ", ");
                self.identity(serving);
                self.row(OF_SERVER, "unknown", &[shown(why).into_owned()], "");
            }
        }
    }

    /// The key in full: it is what a client asks about that meets the server for the first time.
    fn identity(&mut self, serving: &Serving) {
        self.row(OF_SERVER, "identity", &[serving.fingerprint.to_string()], "");
    }

    fn status(&mut self, status: &ServerStatus) {
        self.row(OF_SERVER, "access", &access(&status.rules), ", ");
        self.row(OF_SERVER, "workers", &workers(&status.workers), ", ");
        let clients = format!("{} of at most {}", size::count(status.clients as u64), status.clients_max);
        self.row(OF_SERVER, "clients", &[clients], "");
        for connection in &status.connections {
            self.text.push('\n');
            self.connection(connection);
        }
        let more = status.clients.saturating_sub(status.connections.len());
        if more > 0 {
            self.text.push_str(&format!("\n  and {} more\n", size::count(more as u64)));
        }
    }

    fn connection(&mut self, connection: &ConnectionStatus) {
        let key = connection.fingerprint.parse().map_or_else(|_| "?".to_owned(), |key: Fingerprint| key.short());
        let since = size::rough(Duration::from_millis(connection.connected_ms));
        let parts = [
            format!("{} ({key})", shown(&connection.peer)),
            connection.address.to_string(),
            format!("for {since}"),
            format!("worker {}", connection.worker),
        ];
        self.parts(OF_SERVER, "", 0, &parts, ", ");
        self.row(OF_CLIENT, "link", &link(connection), "  ");
        connection.jobs.iter().for_each(|job| self.job(job));
    }

    fn job(&mut self, job: &JobStatus) {
        let label = match job.direction {
            Direction::In => "receiving",
            Direction::Out => "sending",
        };
        self.row(OF_CLIENT, label, &progress(job), "  ");
        job.active.iter().for_each(|file| self.file(file));
        let more = job.files_active.saturating_sub(job.active.len()) as u64;
        if more > 0 {
            let and = if job.active.is_empty() { "" } else { "and " };
            self.row(OF_CLIENT, "", &[format!("{and}{} more under way", size::count(more))], "");
        }
    }

    fn file(&mut self, file: &FileStatus) {
        let percent = format!("{:>3}%  ", size::percent(file.bytes_there, file.size));
        let phase = match file.phase {
            FilePhase::Moving => "",
            FilePhase::Checking => "  checking",
            FilePhase::Committing => "  saving",
        };
        let taken = OF_CLIENT + LABEL_COLUMNS + percent.len() + phase.len();
        let room = self.columns.saturating_sub(taken).max(NAME_COLUMNS_MIN);
        let name = shown(&file.path);
        let name = if name.width() > room { fit(&name, room).into() } else { name };
        self.row(OF_CLIENT, "", &[format!("{percent}{name}{phase}")], "");
    }

    /// A label and what it labels.
    fn row(&mut self, indent: usize, label: &str, parts: &[String], separator: &str) {
        self.parts(indent, label, LABEL_COLUMNS, parts, separator);
    }

    /// Parts one after the other, each whole; those that do not fit go to lines of their own, below the first.
    fn parts(&mut self, indent: usize, label: &str, label_columns: usize, parts: &[String], separator: &str) {
        let start = indent + label_columns;
        let mut line = format!("{:indent$}{label:label_columns$}", "");
        for (n, part) in parts.iter().enumerate() {
            let is_last = n + 1 == parts.len();
            let tail = if is_last { "" } else { separator.trim_end() };
            let is_first = line.width() == start;
            let gap = if is_first { 0 } else { separator.len() - separator.trim_end().len() };
            if !is_first && line.width() + gap + part.width() + tail.len() > self.columns {
                self.line(&line);
                line = " ".repeat(start);
            } else {
                line.push_str(&" ".repeat(gap));
            }
            line.push_str(part);
            line.push_str(tail);
        }
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// The access rules, with the options that set them.
fn access(rules: &Rules) -> Vec<String> {
    let who = if rules.no_auth { "anyone" } else { "enrolled clients" };
    let what = match (rules.read, rules.write) {
        (true, true) => "send and get",
        (true, false) => "get",
        (false, _) => "send",
    };
    let options = [
        (rules.no_auth, "--no-auth"),
        (rules.read && !rules.write, "--read-only"),
        (rules.write && !rules.read, "--write-only"),
        (rules.no_clobber, "--no-clobber"),
        (rules.no_links && !rules.keep_dirlinks, "--no-links"),
        (rules.keep_dirlinks, "--keep-dirlinks"),
        (rules.hidden, "--hidden"),
        (rules.token, "--token-file"),
        (rules.client_ca, "--client-ca"),
        (rules.once, "--once"),
        (!rules.sync, "--no-sync"),
    ];
    let options = options.into_iter().filter(|(is_set, _)| *is_set).map(|(_, option)| option.to_owned());
    let limit = rules.rate_limit.map(|limit| format!("--bwlimit {}", size::rate(limit as f64)));
    std::iter::once(format!("{who} may {what}")).chain(options).chain(limit).collect()
}

/// `2 with 1, 0 connections`.
fn workers(workers: &[usize]) -> Vec<String> {
    let mut parts: Vec<String> = workers.iter().map(ToString::to_string).collect();
    if let Some(first) = parts.first_mut() {
        first.insert_str(0, &format!("{} with ", workers.len()));
    }
    if let Some(last) = parts.last_mut() {
        last.push_str(if workers == [1] { " connection" } else { " connections" });
    }
    parts
}

fn link(connection: &ConnectionStatus) -> Vec<String> {
    let rate = |way: &str, rate: Option<u64>| rate.map(|rate| format!("{way} {}", size::rate(rate as f64)));
    let is_sending = connection.jobs.iter().any(|job| job.direction == Direction::Out);
    // It is known from what was sent, so it is old when nothing is.
    let path = connection.path.filter(|_| is_sending);
    let parts = [
        Some(format!("rtt {}", size::millis(Duration::from_micros(connection.rtt_us)))),
        rate("in", connection.rate_in),
        rate("out", connection.rate_out),
        path.map(|path| format!("path {}", size::bits(path.bandwidth as f64))),
    ];
    parts.into_iter().flatten().collect()
}

/// `12/340 files  1.20/4.00 GiB  30%  41 MiB/s  eta 1m10s  loss 1.3%  1 failed`.
fn progress(job: &JobStatus) -> Vec<String> {
    let more = if job.scan_ended { "" } else { "+" };
    let percent = (job.scan_ended || job.bytes_found > 0).then(|| size::percent(job.bytes_there, job.bytes_found));
    let rate = job.rate.map(|rate| rate as f64);
    let left = job.bytes_found.saturating_sub(job.bytes_there);
    // Of what is found so far; a sender says that this is all only after its last byte.
    let eta = eta(left, rate).filter(|_| left > 0);
    let parts = [
        Some(format!("{}/{}{more} files", size::count(job.files_settled), size::count(job.files_found))),
        Some(size::pair(job.bytes_there, job.bytes_found)),
        percent.map(|percent| format!("{percent}%")),
        rate.map(size::rate),
        eta.map(|eta| format!("eta {}{more}", size::rough(eta))),
        job.loss.map(|loss| format!("loss {:.1}%", loss * 100.0)),
        (job.files_failed > 0).then(|| format!("{} failed", size::count(job.files_failed))),
    ];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
