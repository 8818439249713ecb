//! Events as JSON, one object a line: `{"v":1,"type":"start|file|progress|note|log|error|summary",...}`.
//!
//! Sizes are bytes, rates bytes per second, times milliseconds. The last line is always `summary`, with
//! `exit_code`, whatever went wrong.

use std::io::Write;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};

use super::super::exit::Exit;
use super::model::Snapshot;
use super::outcome::{FileOutcome, holes};
use super::stall::{Speed, Stall, StallNews};
use super::tally::EventTally;
use super::text::{cause, status_key};
use crate::calendar;
use crate::cli::run::standard;
use crate::progress::{Event, JobReport};
use crate::protocol::message::{SkipReason, Why};
use crate::protocol::path::is_unsafe_to_show;

/// Version of the format: fields are added, never changed.
const VERSION: u8 = 1;
/// Time between two `progress` lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// A writer of events.
pub(crate) struct Json {
    out: Box<dyn Write>,
    next: Duration,
    /// Whether each line says when it was written.
    is_stamped: bool,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    body: &'a Value,
}

impl Json {
    /// Events go to `out`.
    pub(crate) fn new(out: Box<dyn Write>) -> Self {
        Self { out, next: INTERVAL, is_stamped: false }
    }

    /// Events of a server's log: each has a `time`.
    pub(crate) fn stamped(out: Box<dyn Write>) -> Self {
        Self { is_stamped: true, ..Self::new(out) }
    }

    /// Events go to standard output.
    pub(crate) fn stdout() -> Self {
        Self::new(Box::new(standard::output()))
    }

    /// Writes one line; `body` is an object.
    pub(crate) fn line(&mut self, kind: &str, body: &Value) {
        let text = match self.is_stamped {
            true => {
                let mut body = body.clone();
                body["time"] = calendar::moment_millis(SystemTime::now()).into();
                line(kind, &body)
            }
            false => line(kind, body),
        };
        // A reader that is gone is no reason to stop a transfer. One write, so that lines stay whole.
        drop(self.out.write_all(&text).and_then(|()| self.out.flush()));
    }

    /// The first line of a command.
    pub(crate) fn start(&mut self, command: &str, body: Value) {
        let mut body = body;
        body["command"] = command.into();
        body["version"] = env!("CARGO_PKG_VERSION").into();
        self.line("start", &body);
    }

    /// A line of its own kind, with text for people.
    pub(crate) fn note(&mut self, kind: &str, body: Value) {
        let mut body = body;
        body["kind"] = kind.into();
        self.line("note", &body);
    }

    /// Writes an event of a job.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Connected { addr, peer, enrolled } => {
                self.note("connected", json!({"address": addr.to_string(), "peer": peer, "enrolled": enrolled}));
            }
            Event::Reconnecting { attempt, after, cause } => {
                let after = after.as_millis() as u64;
                self.note("reconnecting", json!({"attempt": attempt, "after_ms": after, "cause": cause}));
            }
            Event::Waiting { attempt, after, cause } => {
                let after = after.as_millis() as u64;
                self.note("waiting", json!({"attempt": attempt, "after_ms": after, "cause": cause}));
            }
            Event::Note(text) => self.note("text", json!({ "text": text })),
            // A stall is told with its cause, whatever else it was found by.
            Event::Silent { .. } | Event::Answered { .. } => {}
            // Progress names what moves; a line for the start of each file would double the output.
            Event::Started(_) => {}
            event => {
                if let Some(body) = file(event) {
                    self.line("file", &body);
                }
            }
        }
    }

    /// Nothing moves any more, or something moves again; `text` is what people read of it.
    pub(super) fn stall(&mut self, news: StallNews, text: Option<&str>) {
        let (kind, Stall { lasted, cause }) = match news {
            StallNews::Began(stall) => ("stalled", stall),
            StallNews::Ended(stall) => ("moving", stall),
        };
        let lasted = lasted.as_millis() as u64;
        self.note(kind, json!({"cause": cause.key(), "stalled_ms": lasted, "text": text}));
    }

    /// Writes the totals when it is time.
    pub(crate) fn tick(&mut self, look: &Snapshot) {
        if look.elapsed < self.next {
            return;
        }
        self.next = look.elapsed + INTERVAL;
        self.line("progress", &progress(look));
    }

    /// The last two lines of a command that failed as a whole, or the last one.
    pub(crate) fn end(&mut self, error: Option<&str>, exit: Exit, body: Value) {
        if let Some(message) = error {
            self.line("error", &json!({"message": message, "exit_code": exit.code()}));
        }
        let mut body = body;
        body["exit_code"] = exit.code().into();
        self.line("summary", &body);
    }
}

/// The line that stands for so many others, which nobody read.
pub(crate) fn missing(lines: u64) -> Vec<u8> {
    line("note", &json!({ "kind": "lost", "lines": lines }))
}

/// One line as it is written; `body` is an object.
pub(crate) fn line(kind: &str, body: &Value) -> Vec<u8> {
    let text = serde_json::to_string(&JsonLine { v: VERSION, kind, body }).expect("an object of strings and numbers");
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            // JSON's own, and what it has escaped already.
            ' '..='~' => line.push(c),
            // Somebody may look at the events on a terminal. Escaped, the text is the same to whoever parses it.
            c if is_unsafe_to_show(c) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| line.push_str(&format!("\\u{unit:04x}")))
            }
            c => line.push(c),
        }
    }
    line.push('\n');
    line.into_bytes()
}

fn file(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Finished { file } if FileOutcome::of(file) == FileOutcome::Equal => {
            json!({"path": file.path, "status": "skipped", "size": file.size, "reason": FileOutcome::Equal.key()})
        }
        Event::Finished { file } => json!({
            "path": file.path, "status": "done", "size": file.size, "bytes_written": file.written_in_all(),
            "bytes_resumed": file.reused(), "bytes_holes": holes(file), "why": why(file.first_why()),
            "outcome": FileOutcome::of(file).key(), "name": file.name(),
        }),
        Event::Skipped { path, size, reason } => {
            let reason = match reason {
                SkipReason::Same => "same",
                SkipReason::Exists => "exists",
                SkipReason::Made => "made",
                SkipReason::Mode => "mode",
            };
            json!({"path": path, "status": "skipped", "size": size, "reason": reason})
        }
        Event::Planned { path, size, from, why: reason, named } => json!({
            "path": path, "status": "planned", "size": size, "bytes_resumed": from, "why": why(*reason), "name": named,
        }),
        Event::Failed { path, failure, .. } => json!({
            "path": path, "status": "failed", "reason": status_key(failure.status), "message": cause(failure),
        }),
        _ => return None,
    })
}

fn why(why: Why) -> &'static str {
    match why {
        Why::New => "new",
        Why::Replace => "replace",
        Why::Resume => "resume",
        Why::Update => "update",
    }
}

fn progress(look: &Snapshot) -> Value {
    let rate = match look.speed {
        Speed::Moving(rate) => Some(rate as u64),
        _ => None,
    };
    let stalled = match look.speed {
        Speed::Stalled(stall) => Some(stall.lasted.as_millis() as u64),
        _ => None,
    };
    let mut body = json!({
        "elapsed_ms": look.elapsed.as_millis() as u64,
        "files_settled": look.files_settled,
        "files_found": look.files_found,
        "scan_ended": look.scan_ended,
        "bytes_there": look.bytes_there,
        "bytes_found": look.bytes_found,
        "bytes_written": look.bytes_written,
        "bytes_resumed": look.bytes_resumed,
        "files_failed": look.failed,
        "rate": rate,
        "eta_ms": look.eta.map(|eta| eta.as_millis() as u64),
        "stalled_ms": stalled,
        "files_announced": look.announced,
        "active": look.files.iter().filter(|view| view.is_active()).map(|view| json!({
            "path": view.file.path, "size": view.file.size, "bytes_there": view.there,
        })).collect::<Vec<_>>(),
    });
    look.link.write_to(&mut body);
    body
}

/// The body of the `summary` of a transfer; its `loss` is over all of the last connection. `report` is missing when the job did not reach its end.
pub(crate) fn summary(report: Option<&JobReport>, look: &Snapshot, tally: EventTally) -> Value {
    let mut body = match report {
        Some(report) => json!({
            "files_done": report.done.saturating_sub(tally.made + tally.equal),
            "files_updated": tally.updated,
            "files_made": tally.made,
            "files_skipped": report.skipped + tally.equal,
            "files_failed": report.failed,
            "bytes_written": report.bytes_written,
            "bytes_resumed": report.bytes_resumed,
            "bytes_skipped": report.bytes_skipped,
            "elapsed_ms": report.elapsed.as_millis() as u64,
            "files_same": tally.same + tally.equal,
            "files_equal": tally.equal,
            "bytes_matched": tally.matched_bytes,
            "bytes_holes": tally.hole_bytes,
            "files_planned": tally.planned + tally.planned_updates,
            "files_to_compare": tally.planned_compares,
        }),
        None => json!({
            "files_settled": look.files_settled,
            "files_failed": look.failed,
            "bytes_written": look.bytes_written,
            "bytes_resumed": look.bytes_resumed,
            "elapsed_ms": look.elapsed.as_millis() as u64,
        }),
    };
    look.link.over_all().write_to(&mut body);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_exact_and_moves_no_cursor() {
        let name = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{e0001}\\ \"h\u{e4}\u{df}lich\"\n\u{56fd}";
        let line = String::from_utf8(line("file", &json!({ "path": name }))).expect("text");
        assert!(line.ends_with('\n') && !line.trim_end().chars().any(is_unsafe_to_show_beside_escapes), "{line}");
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["path"], name);
    }

    fn is_unsafe_to_show_beside_escapes(c: char) -> bool {
        c != '\\' && is_unsafe_to_show(c)
    }
}
