//! Bars on a terminal: a slot for each file that takes a while, and two footer lines.
//!
//! One caller draws ten times a second; nothing else touches indicatif. The number of lines only grows, so
//! the cursor may move instead of clearing lines (no flicker). Files that live shorter than [`SLOT_AFTER`]
//! never get a slot: ten thousand small files move only the footer.

use std::io::Write as _;
use std::time::Duration;

#[cfg(test)]
use indicatif::InMemoryTerm;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_width::UnicodeWidthStr as _;

use super::super::size;
use super::model::{FileView, Snapshot, Speed, UNREPORTED_MAX};
use super::text::{fit, join_within};
use crate::progress::Phase;

/// No bars before this: a short job shows only its result (cargo's figure).
const FIRST_DRAW: Duration = Duration::from_millis(500);
/// Files younger than this get no slot.
const SLOT_AFTER: Duration = Duration::from_millis(300);
/// Most slots: more lines than this are not read.
const SLOTS_MAX: usize = 8;
/// Rows that slots leave free: two footer lines, and what was there before.
const ROWS_KEPT: usize = 6;
/// How long a slot says where its file resumed.
const RESUMED_SHOWN: Duration = Duration::from_secs(3);
/// Rate at which indicatif may draw by itself. It is kept low, since each look ends with one forced draw.
const OWN_DRAWS_HZ: u8 = 1;

/// Narrowest terminals for: all columns, all but the time left, and more than one line.
const COLUMNS_ALL: usize = 72;
const COLUMNS_SIZES: usize = 60;
const COLUMNS_SLOTS: usize = 40;

/// Where lines go.
#[derive(Debug)]
pub(crate) enum Screen {
    /// The terminal behind standard error.
    Stderr,
    /// A terminal in memory, whose content a test can read.
    #[cfg(test)]
    Memory(std::cell::RefCell<InMemoryTerm>),
}

impl Screen {
    /// Rows and columns.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Stderr => match rustix::termios::tcgetwinsize(std::io::stderr()) {
                Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
                // A terminal that does not tell is the classic one.
                _ => (24, 80),
            },
            #[cfg(test)]
            Self::Memory(term) => {
                use indicatif::TermLike as _;
                (term.borrow().height().into(), term.borrow().width().into())
            }
        }
    }

    fn target(&self) -> ProgressDrawTarget {
        match self {
            Self::Stderr => ProgressDrawTarget::stderr_with_hz(OWN_DRAWS_HZ),
            #[cfg(test)]
            Self::Memory(term) => ProgressDrawTarget::term_like_with_hz(Box::new(term.borrow().clone()), OWN_DRAWS_HZ),
        }
    }

    /// Takes the cursor to the start of its line, where each draw expects it at the latest. At the end of a full
    /// line the `^C` that a terminal shows would begin a new one, and all bars would be drawn one line too low.
    fn rest(&self) {
        match self {
            Self::Stderr => drop(write!(std::io::stderr(), "\r")),
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }

    /// Prints a line while no bars are on the screen.
    fn line(&self, text: &str) {
        match self {
            // A terminal that is gone is no reason to stop a transfer.
            Self::Stderr => drop(writeln!(std::io::stderr(), "{text}")),
            #[cfg(test)]
            Self::Memory(term) => {
                use indicatif::TermLike as _;
                term.borrow().write_line(text).expect("memory takes everything");
            }
        }
    }
}

/// How bars look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// The terminal shows more than ASCII.
    pub(crate) utf8: bool,
    /// More about the path than its round trip and loss.
    pub(crate) details: bool,
}

/// The bars of one job.
#[derive(Debug)]
pub(crate) struct Slots {
    screen: Screen,
    jobs: usize,
    style: Style,
    bars: Option<Bars>,
    above: Vec<String>,
}

#[derive(Debug)]
struct Bars {
    multi: MultiProgress,
    slots: Vec<Slot>,
    slots_max: usize,
    totals: ProgressBar,
    /// Missing on the narrowest terminals.
    link: Option<ProgressBar>,
    layout: Layout,
}

#[derive(Debug)]
struct Slot {
    bar: ProgressBar,
    path: Option<String>,
}

impl Slots {
    /// Bars for at most `jobs` files at once; nothing is drawn yet.
    pub(crate) fn new(screen: Screen, jobs: usize, style: Style) -> Self {
        Self { screen, jobs, style, bars: None, above: Vec::new() }
    }

    /// Prints a line above the bars, with the next look.
    pub(crate) fn above(&mut self, line: String) {
        self.above.push(line);
    }

    /// Draws one look.
    pub(crate) fn draw(&mut self, look: &Snapshot) {
        if look.elapsed < FIRST_DRAW {
            return self.flush_above();
        }
        let (rows, columns) = self.screen.size();
        if self.bars.as_ref().is_some_and(|bars| (bars.layout.rows, bars.layout.columns) != (rows, columns)) {
            self.take_down();
        }
        self.flush_above();
        let layout = Layout { rows, columns, style: self.style };
        let (screen, jobs) = (&self.screen, self.jobs);
        self.bars.get_or_insert_with(|| Bars::new(screen.target(), layout, jobs)).draw(look);
        self.screen.rest();
    }

    /// Takes the bars off the screen and prints what waits; lines printed after this stay.
    pub(crate) fn close(&mut self) {
        self.take_down();
        self.flush_above();
    }

    fn take_down(&mut self) {
        let Some(bars) = self.bars.take() else { return };
        drop(bars.multi.clear());
        // Bars that are dropped draw once more, which would bring them back.
        bars.multi.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn flush_above(&mut self) {
        if self.above.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.above);
        match &self.bars {
            // One draw for all lines of this look.
            Some(bars) => drop(bars.multi.println(lines.join("\n"))),
            None => lines.iter().for_each(|line| self.screen.line(line)),
        }
    }
}

impl Bars {
    fn new(target: ProgressDrawTarget, layout: Layout, jobs: usize) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        multi.set_move_cursor(true);
        let totals = multi.add(ProgressBar::new(0));
        let is_wide = layout.columns >= COLUMNS_SLOTS;
        totals.set_style(if is_wide { layout.bar_style("") } else { text_style() });
        let link = is_wide.then(|| multi.add(ProgressBar::new(0)));
        if let Some(link) = &link {
            link.set_style(text_style());
        }
        let slots_max = match is_wide {
            true => jobs.min(layout.rows.saturating_sub(ROWS_KEPT)).min(SLOTS_MAX),
            false => 0,
        };
        Self { multi, slots: Vec::new(), slots_max, totals, link, layout }
    }

    fn draw(&mut self, look: &Snapshot) {
        self.assign(&look.files);
        for slot in &self.slots {
            let view = look.files.iter().find(|view| Some(&view.file.path) == slot.path.as_ref());
            self.layout.show_file(&slot.bar, view);
        }
        self.layout.show_totals(&self.totals, look);
        if let Some(link) = &self.link {
            link.set_message(self.layout.link_line(look));
        }
        self.totals.force_draw();
    }

    /// Gives slots to files: a file keeps its slot until it ends, a free slot goes to the file with most to do.
    fn assign(&mut self, files: &[FileView]) {
        for slot in &mut self.slots {
            if slot.path.as_ref().is_some_and(|path| !files.iter().any(|view| view.file.path == *path)) {
                slot.path = None;
            }
        }
        let mut waiting: Vec<&FileView> = files
            .iter()
            .filter(|view| view.age >= SLOT_AFTER)
            // Thousands of small files may wait for one commit.
            .filter(|view| view.phase != Phase::Committing || view.file.size > UNREPORTED_MAX)
            .filter(|view| !self.slots.iter().any(|slot| slot.path.as_ref() == Some(&view.file.path)))
            .collect();
        waiting.sort_by_key(|view| std::cmp::Reverse(view.file.size - view.there));
        for view in waiting {
            match self.free_slot() {
                Some(slot) => slot.path = Some(view.file.path.clone()),
                None => break,
            }
        }
    }

    fn free_slot(&mut self) -> Option<&mut Slot> {
        let free = self.slots.iter().position(|slot| slot.path.is_none());
        if let Some(free) = free {
            return self.slots.get_mut(free);
        }
        if self.slots.len() == self.slots_max {
            return None;
        }
        let bar = self.multi.insert_before(&self.totals, ProgressBar::new(0));
        self.slots.push(Slot { bar, path: None });
        self.slots.last_mut()
    }
}

/// What fits where.
#[derive(Debug, Clone, Copy)]
struct Layout {
    rows: usize,
    columns: usize,
    style: Style,
}

impl Layout {
    fn name_columns(self) -> usize {
        (self.columns / 4).clamp(12, 48)
    }

    fn bar_style(self, indent: &str) -> ProgressStyle {
        // The blank at the end keeps the last column free: some terminals wrap when it is written.
        let template = format!("{indent}{{prefix}} {{wide_bar:.green/dim}} {{msg}} ");
        ProgressStyle::with_template(&template)
            .expect("the template is a constant and well formed")
            .progress_chars(if self.style.utf8 { "━╸─" } else { "=>-" })
    }

    fn show_file(self, bar: &ProgressBar, view: Option<&FileView>) {
        let Some(view) = view else {
            // A slot keeps its line when it is free, so that no line moves.
            bar.set_style(text_style());
            bar.set_message(" ");
            return;
        };
        bar.set_style(self.bar_style("  "));
        bar.set_length(view.file.size);
        bar.set_position(view.there);
        bar.set_prefix(fit(&view.file.path, self.name_columns()));
        bar.set_message(self.file_columns(view));
    }

    fn file_columns(self, view: &FileView) -> String {
        let percent = size::percent(view.there, view.file.size);
        let rate = match view.phase {
            Phase::Checking => "checking".to_owned(),
            Phase::Committing => "saving".to_owned(),
            Phase::Moving => view.rate.map_or_else(String::new, size::rate),
        };
        let left = match view.phase {
            Phase::Moving => super::rate::eta(view.file.size - view.there, view.rate).map(size::rough),
            _ => None,
        };
        if view.file.resumed > 0 && view.age < RESUMED_SHOWN && self.columns >= COLUMNS_ALL {
            let resumed = format!("resumed at {}", size::bytes(view.file.resumed));
            return self.columns_of(percent, (view.there, view.file.size), &format!("{resumed:>18}"), None);
        }
        self.columns_of(percent, (view.there, view.file.size), &rate, Some(left.unwrap_or_default()))
    }

    /// The columns behind a bar, each with a fixed width so that bars do not jump.
    fn columns_of(self, percent: u64, (part, whole): (u64, u64), rate: &str, left: Option<String>) -> String {
        let mut line = format!("{percent:>3}%");
        if self.columns >= COLUMNS_SIZES {
            line.push_str(&format!("  {:>15}", size::pair(part, whole)));
        }
        line.push_str(&format!("  {rate:>10}"));
        if let Some(left) = left.filter(|_| self.columns >= COLUMNS_ALL) {
            line.push_str(&format!("  {left:>6}"));
        }
        line
    }

    fn show_totals(self, bar: &ProgressBar, look: &Snapshot) {
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
        bar.set_length(look.bytes_found);
        bar.set_position(look.bytes_there);
        bar.set_prefix(files);
        bar.set_message(message);
    }

    fn link_line(self, look: &Snapshot) -> String {
        let mut parts = Vec::new();
        match look.speed {
            Speed::Reconnecting(attempt, wait) if wait.is_zero() => parts.push(format!("reconnecting ({attempt})")),
            Speed::Reconnecting(attempt, wait) => {
                let wait = wait.as_secs_f64().ceil();
                parts.push(format!("reconnecting ({attempt}), next try in {wait}s"));
            }
            _ => parts.extend(look.link.parts()),
        }
        parts.push(format!("{} active", size::count(look.files.len() as u64)));
        if look.bytes_resumed > 0 {
            parts.push(format!("resumed {}", size::bytes(look.bytes_resumed)));
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

/// The rate, or why there is none.
pub(super) fn speed(speed: Speed) -> String {
    match speed {
        Speed::Unknown | Speed::Reconnecting(..) => String::new(),
        Speed::Moving(rate) => size::rate(rate),
        Speed::Stalled(still) => format!("stalled {}", size::rough(still)),
    }
}

fn text_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").expect("the template is a constant and well formed")
}

#[cfg(test)]
mod tests;
