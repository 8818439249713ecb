//! The lines that events get, beside bars and without.

use super::text::{asking_again, cause, shown, without_remedy};
use super::{DisplayMode, Ui, outcome};
use crate::cli::text::size;
use crate::progress::{Event, FileProgress};
use crate::protocol::message::{SkipReason, Why};

/// Larger files get lines of their own where there are no bars.
const BIG_FILE: u64 = 64 << 20;

impl Ui {
    pub(super) fn show(&mut self, event: &Event) {
        let (speaks, verbose) = (self.speaks(), self.options.verbose);
        match event {
            Event::Connected { addr, peer, .. } => {
                self.connected = true;
                self.waits_for = None;
                if verbose {
                    self.printer.line(&format!("connected to {addr}, which calls itself {}", shown(peer)));
                }
            }
            // Bars show the countdown themselves; the cause is said once.
            Event::Reconnecting { attempt, after, cause } if speaks && (*attempt == 1 || self.is_plain()) => {
                let after = after.as_secs_f64().ceil();
                let doing = if self.connected { "reconnecting" } else { "trying again" };
                self.printer.line(&format!("{}; {doing} ({attempt}) in {after}s", without_remedy(cause)));
            }
            // Said once: it asks every second or two.
            Event::Waiting { cause, .. } if speaks && self.waits_for.as_ref() != Some(cause) => {
                self.waits_for = Some(cause.clone());
                self.printer.line(&asking_again(cause));
            }
            Event::Note(text) if speaks => self.printer.note(text),
            Event::Failed { path, failure, .. }
                if !self.options.dry_run && self.options.mode != DisplayMode::Silent =>
            {
                self.printer.failure(&format!("  failed: {}: {}", shown(path), cause(failure)));
            }
            Event::Skipped { path, reason, .. } if speaks && !self.options.dry_run => self.show_skipped(path, *reason),
            Event::Started(file) if self.is_worth_a_line(file.size) => self.show_started(file),
            Event::Finished { file } if (speaks && verbose) || self.is_worth_a_line(file.size) => {
                self.printer.line(&format!("  {}", outcome::line(self.options.verb, file)));
            }
            _ => {}
        }
    }

    fn show_started(&mut self, file: &FileProgress) {
        let resumed = match (file.resumed, file.why) {
            (0, _) => String::new(),
            (there, Why::Resume) => format!(", resumed at {}", size::bytes(there)),
            (there, _) => format!(", {} of it there", size::bytes(there)),
        };
        self.printer.line(&format!("  started {}, {}{resumed}", shown(&file.path), size::bytes(file.size)));
    }

    fn show_skipped(&mut self, path: &str, reason: SkipReason) {
        match reason {
            SkipReason::Exists => self.printer.about_file(&format!("  skipped: {}: exists", shown(path))),
            SkipReason::Same if self.options.verbose => self.printer.line(&format!("  unchanged {}", shown(path))),
            SkipReason::Mode if self.options.verbose => self.printer.line(&format!("  permissions {}", shown(path))),
            SkipReason::Same | SkipReason::Mode | SkipReason::Made => {}
        }
    }

    fn is_worth_a_line(&self, size: u64) -> bool {
        self.is_plain() && size >= BIG_FILE
    }
}
