//! The layout of the lines of a look, within the columns of the terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use unicode_width::UnicodeWidthStr as _;

use super::super::files::{Doing, FileView};
use super::super::model::Snapshot;
use super::super::rate;
use super::super::stall::Speed;
use super::super::stall::{Stall, StallCause};
use super::super::text::{fit, join_within};
use crate::cli::text::size;

/// The word that takes the place of the rate of a stalled file.
const STALLED: &str = "stalled";
/// How long a slot says where its file resumed.
const RESUMED_SHOWN: Duration = Duration::from_secs(3);
/// Narrowest terminals for: all columns, all but the time left, and more than one line.
const COLUMNS_ALL: usize = 72;
const COLUMNS_SIZES: usize = 60;
pub(super) const COLUMNS_SLOTS: usize = 40;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// The terminal shows more than ASCII.
    pub(crate) utf8: bool,
    /// More about the path than its round trip and loss.
    pub(crate) details: bool,
}

/// The rows and columns that lines must fit into.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotLayout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) style: Style,
}

impl SlotLayout {
    fn name_columns(self) -> usize {
        (self.columns / 4).clamp(12, 48)
    }

    /// A bar that stands still is marked by its colour.
    pub(super) fn bar_style(self, indent: &str, is_still: bool) -> ProgressStyle {
        let color = if is_still { "yellow" } else { "green" };
        // The blank at the end keeps the last column free: some terminals wrap when it is written.
        let template = format!("{indent}{{prefix}} {{wide_bar:.{color}/dim}} {{msg}} ");
        ProgressStyle::with_template(&template)
            .expect("the template is a constant and well formed")
            .progress_chars(if self.style.utf8 { "━╸─" } else { "=>-" })
    }

    pub(super) fn show_file(self, bar: &ProgressBar, view: Option<&FileView>) {
        let Some(view) = view else {
            // A slot keeps its line when it is free, so that no line moves.
            bar.set_style(text_style());
            bar.set_message(" ");
            return;
        };
        let left = rate::eta(view.file.size - view.there, view.rate);
        self.show_row(bar, view, view.rate, left);
    }

    /// The row of a file that moves at this rate.
    fn show_row(self, bar: &ProgressBar, view: &FileView, rate: Option<f64>, left: Option<Duration>) {
        bar.set_style(self.bar_style("  ", view.doing == Doing::Stalled));
        fill(bar, view.there, view.file.size, true);
        bar.set_prefix(fit(&view.file.path, self.name_columns()));
        bar.set_message(self.file_columns(view, rate, left));
    }

    fn file_columns(self, view: &FileView, rate: Option<f64>, left: Option<Duration>) -> String {
        let percent = size::percent(view.there, view.file.size);
        // The existing prefix is often compared while the rest comes in, and then the rate is of more use.
        let is_moving = view.doing == Doing::Moving || (view.doing == Doing::Checking && rate.is_some_and(moves));
        let left = left.filter(|_| is_moving).map(size::rough);
        let rate = match view.doing {
            Doing::Checking if !is_moving => "checking".to_owned(),
            Doing::Moving | Doing::Checking => rate.map_or_else(String::new, size::rate),
            Doing::Saving => "saving".to_owned(),
            Doing::Stalled => STALLED.to_owned(),
        };
        let is_resumed = view.file.resumed > 0 && view.age < RESUMED_SHOWN && view.doing != Doing::Stalled;
        if is_resumed && self.columns >= COLUMNS_ALL {
            let resumed = format!("resumed at {}", size::bytes(view.file.resumed));
            return self.columns_of(percent, (view.there, view.file.size), &format!("{resumed:>18}"), None);
        }
        self.columns_of(percent, (view.there, view.file.size), &rate, Some(left.unwrap_or_default()))
    }

    /// The columns behind a bar, each with a fixed width so that bars do not jump. Of nothing there are no sizes.
    fn columns_of(self, percent: u64, (part, whole): (u64, u64), rate: &str, left: Option<String>) -> String {
        let mut line = format!("{percent:>3}%");
        if self.columns >= COLUMNS_SIZES {
            let sizes = if whole == 0 { String::new() } else { size::pair(part, whole) };
            line.push_str(&format!("  {sizes:>15}"));
        }
        line.push_str(&format!("  {rate:>10}"));
        if let Some(left) = left.filter(|_| self.columns >= COLUMNS_ALL) {
            line.push_str(&format!("  {left:>6}"));
        }
        line
    }

    /// The row of the whole job. That of a job of one file is the file's, which would have the same figures.
    pub(super) fn show_totals(self, bar: &ProgressBar, look: &Snapshot) {
        if let Some(view) = look.only_file().filter(|_| self.columns >= COLUMNS_SLOTS) {
            let rate = match look.speed {
                Speed::Moving(rate) => Some(rate),
                _ => None,
            };
            return self.show_row(bar, view, rate, look.eta);
        }
        let more = if look.scan_ended { "" } else { "+" };
        let files = format!("{}/{}{more}", size::count(look.files_settled), size::count(look.files_found));
        let percent = look.percent();
        let speed = speed(look.speed);
        if self.columns < COLUMNS_SLOTS {
            let parts = [files, format!("{percent}%"), speed];
            bar.set_message(join_within(&parts, " ", self.columns.saturating_sub(1)));
            return;
        }
        let word = if self.columns >= COLUMNS_SIZES { " files" } else { "" };
        let files = format!(" {:<width$}", format!("{files}{word}"), width = self.name_columns() + 1);
        let left = Some(look.eta.map(size::rough).unwrap_or_default());
        let mut message = self.columns_of(percent, (look.bytes_there, look.bytes_found), &speed, left);
        // Three blanks, and a bar of at least one column.
        if files.width() + message.width() + 4 > self.columns {
            message = format!("{percent:>3}%");
        }
        bar.set_style(self.bar_style("", look.speed.is_still()));
        fill(bar, look.bytes_there, look.bytes_found, look.scan_ended);
        bar.set_prefix(files);
        bar.set_message(message);
    }

    pub(super) fn link_line(self, look: &Snapshot) -> String {
        let mut parts = Vec::new();
        match (look.speed, &look.stall) {
            (Speed::Reconnecting { attempt, wait, is_first }, _) => {
                let doing = if is_first { "trying again" } else { "reconnecting" };
                let next = if wait.is_zero() { String::new() } else { format!(", next try in {}s", seconds(wait)) };
                parts.push(format!("{doing} ({attempt}){next}"));
            }
            (Speed::Waiting(wait), _) => {
                parts.push(format!("not let in yet, asking again in {}s", seconds(wait)));
            }
            (_, Some(stall)) => parts.push(stall.clone()),
            (_, None) => parts.extend(look.link.parts()),
        }
        let active = look.files.iter().filter(|view| view.is_active()).count();
        parts.push(format!("{} active", size::count(active as u64)));
        if look.announced > 0 {
            parts.push(format!("{} announced", size::count(look.announced)));
        }
        if look.bytes_resumed > 0 {
            parts.push(format!("{} were there", size::bytes(look.bytes_resumed)));
        }
        if look.tally.same > 0 {
            parts.push(format!("{} same", size::count(look.tally.same)));
        }
        parts.push(format!("{} failed", size::count(look.failed)));
        // Last, since what does not fit is left out.
        if self.style.details {
            parts.extend(look.link.details());
        }
        format!(" {}", join_within(&parts, "  ", self.columns.saturating_sub(2)))
    }
}

/// Fills a bar. indicatif draws that of nothing full, which it is only if there is no more to come.
fn fill(bar: &ProgressBar, part: u64, whole: u64, is_all: bool) {
    let (part, whole) = if whole == 0 { (u64::from(is_all), 1) } else { (part, whole) };
    bar.set_length(whole);
    bar.set_position(part);
}

/// Whether a rate is one that is shown as more than nothing.
fn moves(rate: f64) -> bool {
    rate >= 1.0
}

/// The rate, or that there is none. Why and for how long is said below.
pub(super) fn speed(speed: Speed) -> String {
    match speed {
        Speed::Unknown | Speed::Waiting(_) | Speed::Reconnecting { is_first: true, .. } => String::new(),
        Speed::Stalled(Stall { cause: StallCause::Unreached, .. }) => String::new(),
        Speed::Moving(rate) => size::rate(rate),
        Speed::Stalled(_) | Speed::Reconnecting { .. } => STALLED.to_owned(),
    }
}

/// Whole seconds until something happens.
fn seconds(wait: Duration) -> f64 {
    wait.as_secs_f64().ceil()
}

/// Text that is to be noticed.
pub(super) fn warning_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:.yellow}").expect("the template is a constant and well formed")
}

pub(super) fn text_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").expect("the template is a constant and well formed")
}
