//! `qft history`: what the servers of this home have done.

mod text;

use std::io::Write as _;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::args::HistoryArgs;
use crate::cli::exit::Exit;
use crate::cli::run::standard;
use crate::cli::ui::json::Json;
use crate::keys;
use crate::server::history::{self, HistoryEntry, Sums};

pub(crate) fn run(args: &HistoryArgs) -> anyhow::Result<Exit> {
    let home = keys::home()?;
    let mut entries = history::read(&home)?;
    entries.retain(|entry| is_meant(entry, args));
    if args.json {
        print_json(&entries, args.lines);
        return Ok(Exit::Done);
    }
    let text = match entries.is_empty() {
        true => format!("{}\n", nothing(args)),
        false => text::page(&entries, args.lines, text::columns()),
    };
    // A reader that has closed the pipe has seen enough.
    drop(standard::output().write_all(text.as_bytes()));
    Ok(Exit::Done)
}

fn is_meant(entry: &HistoryEntry, args: &HistoryArgs) -> bool {
    let is_late = |since: SystemTime| entry.ended().is_some_and(|ended| ended >= since);
    let is_of = |peer: &String| entry.peer == *peer || entry.fingerprint.starts_with(peer.as_str());
    args.since.is_none_or(is_late) && args.peer.as_ref().is_none_or(is_of)
}

fn nothing(args: &HistoryArgs) -> &'static str {
    match args.since.is_some() || args.peer.is_some() {
        true => "no such job is written down here",
        false => "no server of this user has finished a job yet; to start one: qft serve DIR",
    }
}

fn print_json(entries: &[HistoryEntry], lines: usize) {
    let value = |entry: &HistoryEntry| serde_json::to_value(entry).expect("numbers and texts");
    let mut json = Json::stdout();
    json.start("history", json!({}));
    entries[entries.len() - shown(entries.len(), lines)..].iter().for_each(|entry| json.line("job", &value(entry)));
    for sums in Sums::by(entries, |entry| &entry.peer) {
        json.line("peer", &summed("peer", &sums));
    }
    for sums in Sums::by(entries, HistoryEntry::day) {
        json.line("day", &summed("day", &sums));
    }
    json.end(None, Exit::Done, summed("", &Sums::of_all(entries)));
}

/// Sums as JSON; `key` is what their group is called.
fn summed(key: &str, sums: &Sums) -> Value {
    let mut body = serde_json::to_value(sums).expect("numbers and texts");
    let of = body.as_object_mut().and_then(|body| body.remove("of"));
    if let Some(of) = of.filter(|_| !key.is_empty()) {
        body[key] = of;
    }
    body
}

/// How many of so many jobs are listed one by one; 0 stands for all.
fn shown(count: usize, lines: usize) -> usize {
    if lines == 0 { count } else { count.min(lines) }
}
