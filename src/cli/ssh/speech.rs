//! The words of ssh and the far end on standard error: shown to the user, never believed.

use std::io::{Read, Write as _};
use std::process::ChildStderr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::run::log::LogLines;
use super::super::ui::text::shown;
use crate::protocol::path::escape;

/// How long the last words of an ssh that has ended may take.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(500);
/// Time between two looks whether all is said.
const END_LOOK: Duration = Duration::from_millis(2);
/// The words of ssh when one side does not trust the other.
const DISTRUST: [&str; 3] = ["Permission denied", "Host key verification failed", "Too many authentication failures"];
/// The words of ssh when its connection broke under a command that ran.
const LOSS: [&str; 6] = [
    "closed by remote host",
    "Connection reset",
    "Connection timed out",
    "Broken pipe",
    "not responding",
    "unreachable",
];
/// How much of a line of ssh's is examined.
const LINE_BYTES: usize = 4096;
/// Most bytes of a character that can be missing at the end of a piece of text: UTF-8 has at most four.
const PARTIAL_CHAR_BYTES: usize = 3;

/// Where ssh's words go.
#[derive(Debug, Default)]
pub(super) struct SshStderr {
    /// `None`: straight to standard error, where ssh would have written.
    lines: Mutex<Option<LogLines>>,
    distrust: AtomicBool,
    loss: AtomicBool,
    /// Set when ssh has said all.
    silent: AtomicBool,
}

impl SshStderr {
    /// From here on the words come as lines, since something else writes to the terminal.
    pub(super) fn speak_through(&self, lines: LogLines) {
        *self.lines.lock().expect("no holder panics") = Some(lines);
    }

    /// Whether ssh has said that one side does not trust the other. ssh has ended, so its last words are on their way;
    /// a process that it left behind may still hold the pipe.
    pub(super) fn is_distrust(&self) -> bool {
        self.wait_for_last_words();
        self.distrust.load(Ordering::Acquire)
    }

    /// The same for whether its connection broke.
    pub(super) fn is_loss(&self) -> bool {
        self.wait_for_last_words();
        self.loss.load(Ordering::Acquire)
    }

    fn wait_for_last_words(&self) {
        let end = Instant::now() + LAST_WORDS_WAIT;
        while !self.silent.load(Ordering::Acquire) && Instant::now() < end {
            std::thread::sleep(END_LOOK);
        }
    }

    /// Passes on all that ssh says, until it has said all.
    pub(super) fn pass_on(&self, mut stderr: ChildStderr) {
        let mut buffer = [0; LINE_BYTES];
        let (mut line, mut escaper) = (Vec::new(), Escaper::default());
        while let Ok(count @ 1..) = stderr.read(&mut buffer) {
            // A copy at once: what ssh says may have no line end yet.
            let is_direct = self.lines.lock().expect("no holder panics").is_none();
            if is_direct {
                drop(std::io::stderr().write_all(escaper.push(&buffer[..count]).as_bytes()));
            }
            for byte in &buffer[..count] {
                match byte {
                    b'\n' => self.end_line(&mut line, is_direct),
                    byte if line.len() < LINE_BYTES => line.push(*byte),
                    _ => {}
                }
            }
        }
        if self.lines.lock().expect("no holder panics").is_none() {
            drop(std::io::stderr().write_all(escaper.end().as_bytes()));
        }
        self.end_line(&mut line, false);
        self.silent.store(true, Ordering::Release);
    }

    fn end_line(&self, line: &mut Vec<u8>, is_said: bool) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        if DISTRUST.iter().any(|words| text.contains(words)) {
            self.distrust.store(true, Ordering::Release);
        }
        if LOSS.iter().any(|words| text.contains(words)) {
            self.loss.store(true, Ordering::Release);
        }
        if let Some(lines) = &*self.lines.lock().expect("no holder panics")
            && !is_said
            && !text.is_empty()
        {
            lines.push(shown(&text).into_owned());
        }
    }
}

/// Makes a stream of bytes safe for a terminal. The far side decides what comes through ssh's standard error, also before
/// anything of ours is drawn, so of all control characters only the ends of lines and tabs pass.
#[derive(Debug, Default)]
struct Escaper {
    /// The start of a character, or a carriage return whose line end has not come yet.
    held: Vec<u8>,
}

impl Escaper {
    /// Takes the next bytes and gives what can be shown of them now.
    fn push(&mut self, raw: &[u8]) -> String {
        self.held.extend_from_slice(raw);
        let whole = whole_bytes(&self.held);
        let text: Vec<u8> = self.held.drain(..whole).collect();
        escaped(&text)
    }

    /// The text that was held back, at the end.
    fn end(&mut self) -> String {
        escaped(&std::mem::take(&mut self.held))
    }
}

/// Bytes at the start that more bytes will not change the meaning of.
fn whole_bytes(raw: &[u8]) -> usize {
    if raw.ends_with(b"\r") {
        return raw.len() - 1;
    }
    let tail = raw.len().saturating_sub(PARTIAL_CHAR_BYTES)..raw.len();
    let begun = tail.into_iter().find(|at| is_begun(&raw[*at..]));
    begun.unwrap_or(raw.len())
}

/// Whether this is a character whose last bytes are missing.
fn is_begun(raw: &[u8]) -> bool {
    std::str::from_utf8(raw).is_err_and(|error| error.error_len().is_none() && error.valid_up_to() == 0)
}

fn escaped(raw: &[u8]) -> String {
    let mut text = String::new();
    for line in raw.split_inclusive(|byte| b"\n\t".contains(byte)) {
        let (said, end) = match line {
            [said @ .., b'\r', b'\n'] => (said, "\n"),
            [said @ .., b'\n'] => (said, "\n"),
            [said @ .., b'\t'] => (said, "\t"),
            said => (said, ""),
        };
        // This is text and no name, so a backslash may stand for itself.
        text.push_str(&escape(said).to_string().replace(r"\\", r"\"));
        text.push_str(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that is shown when it comes in these pieces.
    fn shown_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut escaper = Escaper::default();
        let mut all: String = pieces.into_iter().map(|piece| escaper.push(piece)).collect();
        all.push_str(&escaper.end());
        all
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal_and_text_does() {
        for (said, seen) in [
            ("Warning: added 'box'\r\n", "Warning: added 'box'\n"),
            ("two\n\tlines\n", "two\n\tlines\n"),
            ("\x1b]0;evil\x07\x1b[2J", r"\033]0;evil\007\033[2J"),
            ("over\rwritten", r"over\rwritten"),
            ("h\u{e4}\u{df}lich \u{56fd}", "h\u{e4}\u{df}lich \u{56fd}"),
            ("a\u{202e}b", r"a\342\200\256b"),
            ("C:\\dir", "C:\\dir"),
        ] {
            assert_eq!(shown_of([said.as_bytes()]), seen, "{said:?}");
        }
        assert!(!shown_of([&b"\x9b2J"[..]]).contains('\u{9b}'), "an escape sequence of one byte");
    }

    #[test]
    fn text_without_a_line_end_is_shown_at_once() {
        let mut escaper = Escaper::default();
        assert_eq!(escaper.push(b"Enter passphrase: "), "Enter passphrase: ");
        assert_eq!(escaper.push(b"h\xc3"), "h", "half a character waits for its other half");
        assert_eq!(escaper.push(b"\xa4"), "\u{e4}");
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_text_is_cut(raw in prop::collection::vec(any::<u8>(), 0..60), cut in 0_usize..60, text in ".{0,20}") {
            for raw in [raw, text.into_bytes()] {
                let cut = cut.min(raw.len());
                let whole = shown_of([&raw[..]]);
                prop_assert_eq!(shown_of([&raw[..cut], &raw[cut..]]), whole.clone());
                prop_assert!(!whole.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            }
        }
    }
}
