//! The library's log, for `-vv` and `$QFT_LOG`. What has one writer already, the renderer of a terminal or the queue of a
//! server's log, gets the lines too: nothing of ours writes beside it, and nothing waits for whoever reads.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::lines::{LineSink, lost_line};
use crate::cli::ui::json;
use crate::protocol::path::escape;

/// Names the filter, in `env_logger`'s syntax: `QFT_LOG=qft=debug`.
const VARIABLE: &str = "QFT_LOG";
/// `-v`s from which on the log is shown.
const VERBOSE_FROM: u8 = 2;

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormatting {
    /// As tracing writes them.
    Text,
    /// As events of their own kind.
    Json,
}

/// Where lines of the log go.
#[derive(Clone)]
pub(crate) enum LogSink {
    /// To whoever draws on the terminal.
    Renderer(LogLines),
    Lines(LineSink, LogFormatting),
}

/// Lines that wait for whoever draws on the terminal, which may be held with Ctrl-S.
const LINES_AHEAD: usize = 4096;

/// Lines for whoever draws on the terminal. Those that do not fit are counted, and the count is among the lines when there
/// is room again. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LogLines {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

impl LogLines {
    /// Lines, and where they come out.
    pub(crate) fn new() -> (Self, Receiver<String>) {
        let (lines, received) = sync_channel(LINES_AHEAD);
        (Self { lines, lost: Arc::default() }, received)
    }

    /// Passes a line on. Never waits.
    pub(crate) fn push(&self, line: String) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let is_told = lost == 0 || self.lines.try_send(lost_line(lost)).is_ok();
        let lost = if is_told { 0 } else { lost };
        let lost = lost + u64::from(self.lines.try_send(line).is_err());
        self.lost.fetch_add(lost, Ordering::Relaxed);
    }
}

/// Starts the log if it was asked for.
pub(crate) fn init(verbose: u8, sink: LogSink) {
    let asked = std::env::var(VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = match (asked, verbose >= VERBOSE_FROM) {
        (Some(filter), _) => filter,
        (None, true) => "qft=debug".to_owned(),
        (None, false) => return,
    };
    let writer = move || EventWriter { sink: sink.clone(), text: Vec::new() };
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_ansi(false);
    // Otherwise a sink that fails makes tracing print that, to a stream that may be the reason.
    let log = log.log_internal_errors(false).with_writer(writer);
    // A second start in one process changes nothing, which is what a second caller would want.
    drop(log.try_init());
}

/// Gathers one event's text and passes it on, as one line, when it is dropped.
struct EventWriter {
    sink: LogSink,
    text: Vec<u8>,
}

impl Write for EventWriter {
    fn write(&mut self, raw: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(raw);
        Ok(raw.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        let text = self.text.trim_ascii_end();
        if text.is_empty() {
            return;
        }
        // An event may quote what a peer said.
        let line = escape(text).to_string().replace(r"\\", r"\");
        match &self.sink {
            LogSink::Renderer(lines) => lines.push(line),
            LogSink::Lines(lines, LogFormatting::Text) => lines.push(format!("{line}\n").into_bytes()),
            LogSink::Lines(lines, LogFormatting::Json) => lines.push(json::line("log", &json!({ "text": line }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_arrives_as_one_line_that_moves_no_cursor() {
        let (lines, received) = LogLines::new();
        let mut writer = EventWriter { sink: LogSink::Renderer(lines), text: Vec::new() };
        writer.write_all(b"DEBUG qft: ").expect("memory takes everything");
        writer.write_all(b"hello\n\x1b[2J\xff\n").expect("memory takes everything");
        assert!(received.try_recv().is_err(), "not before it is whole");
        drop(writer);
        assert_eq!(received.try_recv().as_deref(), Ok(r"DEBUG qft: hello\n\033[2J\377"));
    }

    #[test]
    fn a_terminal_that_is_held_costs_lines_and_their_number_is_told() {
        let (lines, received) = LogLines::new();
        (0..LINES_AHEAD + 10).for_each(|n| lines.push(n.to_string()));
        assert_eq!(received.try_iter().count(), LINES_AHEAD);
        lines.push("later".to_owned());
        assert_eq!(received.try_iter().collect::<Vec<_>>(), ["… and 10 more lines, which nobody read", "later"]);
    }
}
