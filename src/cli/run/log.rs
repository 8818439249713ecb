//! The library's log, for `-vv` and `$QFT_LOG`. What has one writer already, the renderer of a terminal or the queue of a
//! server's log, gets the lines too: nothing of ours writes beside it, and nothing waits for whoever reads.

use std::io::{self, Write};
use std::sync::mpsc::Sender;

use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::lines::LineSink;
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
    Renderer(Sender<String>),
    /// Into a queue.
    Lines(LineSink, LogFormatting),
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
            // The renderer is gone only when the process is about to end.
            LogSink::Renderer(lines) => drop(lines.send(line)),
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
        let (lines, received) = std::sync::mpsc::channel();
        let mut writer = EventWriter { sink: LogSink::Renderer(lines), text: Vec::new() };
        writer.write_all(b"DEBUG qft: ").expect("memory takes everything");
        writer.write_all(b"hello\n\x1b[2J\xff\n").expect("memory takes everything");
        assert!(received.try_recv().is_err(), "not before it is whole");
        drop(writer);
        assert_eq!(received.try_recv().as_deref(), Ok(r"DEBUG qft: hello\n\033[2J\377"));
    }
}
