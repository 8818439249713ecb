//! The library's log, for `-vv` and `$QFT_LOG`. A terminal with bars has one writer, the renderer, so lines
//! of the log go to it instead of the screen.

use std::io::{self, Write};
use std::sync::mpsc::Sender;

use tracing_subscriber::EnvFilter;

/// Names the filter, in `env_logger`'s syntax: `QFT_LOG=qft=debug`.
const VARIABLE: &str = "QFT_LOG";
/// `-v`s from which on the log is shown.
const VERBOSE_FROM: u8 = 2;

/// Starts the log if it was asked for. Lines go to `lines`, else to standard error.
pub(crate) fn init(verbose: u8, lines: Option<Sender<String>>) {
    let asked = std::env::var(VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = match (asked, verbose >= VERBOSE_FROM) {
        (Some(filter), _) => filter,
        (None, true) => "qft=debug".to_owned(),
        (None, false) => return,
    };
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_ansi(false);
    // A second start in one process changes nothing, which is what a second caller would want.
    drop(match lines {
        Some(lines) => log.with_writer(move || LineWriter { lines: lines.clone(), text: Vec::new() }).try_init(),
        None => log.with_writer(io::stderr).try_init(),
    });
}

/// Gathers one event's text and passes it on when it is dropped.
struct LineWriter {
    lines: Sender<String>,
    text: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, raw: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(raw);
        Ok(raw.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        // The renderer is gone only when the process is about to end.
        drop(self.lines.send(text.trim_end().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_arrives_as_one_line() {
        let (lines, received) = std::sync::mpsc::channel();
        let mut writer = LineWriter { lines, text: Vec::new() };
        writer.write_all(b"DEBUG qft: ").expect("memory takes everything");
        writer.write_all(b"hello\n").expect("memory takes everything");
        assert!(received.try_recv().is_err(), "not before it is whole");
        drop(writer);
        assert_eq!(received.try_recv().as_deref(), Ok("DEBUG qft: hello"));
    }
}
