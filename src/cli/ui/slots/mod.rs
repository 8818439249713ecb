//! Bars on a terminal: a slot for each file that takes a while, and two footer lines; of a job of one file that is one row.
//!
//! One caller draws ten times a second; nothing else touches indicatif. The number of lines only grows, so
//! the cursor may move instead of clearing lines (no flicker). Files that live shorter than [`SLOT_AFTER`]
//! never get a slot: ten thousand small files move only the footer.
//!
//! | file | holds |
//! |---|---|
//! | `layout` | the lines of a look, within the columns of the terminal |
//! | `screen` | the terminal on which bars are drawn |

mod layout;
mod screen;

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

pub(crate) use self::layout::Style;
use self::layout::{COLUMNS_SLOTS, SlotLayout, text_style, warning_style};
pub(crate) use self::screen::Screen;
use super::files::{FileView, UNREPORTED_MAX};
use super::model::Snapshot;

/// No bars before this: a short job shows only its result (cargo's figure).
const FIRST_DRAW: Duration = Duration::from_millis(500);
/// Files whose content has moved for less than this get no slot.
const SLOT_AFTER: Duration = Duration::from_millis(300);
/// Most slots: more lines than this are not read.
const SLOTS_MAX: usize = 8;
/// Rows that slots leave free: two footer lines, and what was there before.
const ROWS_KEPT: usize = 6;

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
    slots: Vec<BarSlot>,
    slots_max: usize,
    totals: ProgressBar,
    /// Missing on the narrowest terminals.
    link: Option<ProgressBar>,
    layout: SlotLayout,
}

#[derive(Debug)]
struct BarSlot {
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

    /// Draws one look, where the terminal is ours; a job in the background only prints its lines.
    pub(crate) fn draw(&mut self, look: &Snapshot) {
        let is_ours = self.screen.is_ours();
        if !is_ours {
            self.abandon();
        }
        if look.elapsed < FIRST_DRAW || !is_ours {
            return self.flush_above();
        }
        let (rows, columns) = self.screen.size();
        if self.bars.as_ref().is_some_and(|bars| (bars.layout.rows, bars.layout.columns) != (rows, columns)) {
            self.take_down();
        }
        self.flush_above();
        let layout = SlotLayout { rows, columns, style: self.style };
        let (screen, jobs) = (&self.screen, self.jobs);
        self.bars.get_or_insert_with(|| Bars::new(screen.target(), layout, jobs)).draw(look);
        self.screen.rest();
    }

    /// Whether the footer says why nothing moves.
    pub(crate) fn tells_stalls(&self) -> bool {
        self.screen.is_ours() && self.screen.size().1 >= COLUMNS_SLOTS
    }

    /// Takes the bars off the screen and prints what waits; lines printed after this stay.
    pub(crate) fn close(&mut self) {
        self.take_down();
        self.flush_above();
    }

    /// Forgets the bars where they are: the cursor has been moved by others since.
    fn abandon(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.multi.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    fn take_down(&mut self) {
        if !self.screen.is_ours() {
            return self.abandon();
        }
        let Some(bars) = self.bars.take() else { return };
        drop(bars.multi.clear());
        // Bars that are dropped draw once more, which would bring them back.
        bars.multi.set_draw_target(ProgressDrawTarget::hidden());
        let above = if self.screen.breaks_lines_again() { bars.rows_added(self.screen.size().1) } else { 0 };
        self.screen.wipe_below(above);
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
    fn new(target: ProgressDrawTarget, layout: SlotLayout, jobs: usize) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        multi.set_move_cursor(true);
        let totals = multi.add(ProgressBar::new(0));
        let is_wide = layout.columns >= COLUMNS_SLOTS;
        totals.set_style(if is_wide { layout.bar_style("", false) } else { text_style() });
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

    /// How many rows more the lines above the last one take on a terminal that has only so many columns by now, and breaks
    /// what it shows into lines again.
    fn rows_added(&self, columns: usize) -> usize {
        let named = self.slots.iter().filter(|slot| slot.path.is_some()).count();
        let full = named + usize::from(self.link.is_some());
        full * (self.layout.columns.div_ceil(columns.max(1)).saturating_sub(1))
    }

    fn draw(&mut self, look: &Snapshot) {
        // The row of the job is that of its only file.
        let files = if look.only_file().is_some() { &[][..] } else { &look.files };
        self.assign(files, look.announced);
        for slot in &self.slots {
            let view = files.iter().find(|view| Some(&view.file.path) == slot.path.as_ref());
            self.layout.show_file(&slot.bar, view);
        }
        self.layout.show_totals(&self.totals, look);
        if let Some(link) = &self.link {
            link.set_style(if look.speed.is_still() { warning_style() } else { text_style() });
            link.set_message(self.layout.link_line(look));
        }
        self.totals.force_draw();
    }

    /// Gives slots to files: a file keeps its slot while another takes that of one that has ended, a free slot goes to the file
    /// with most to do.
    fn assign(&mut self, files: &[FileView], announced: u64) {
        let are_few = (files.len() as u64).saturating_add(announced) <= self.slots_max as u64;
        for slot in &mut self.slots {
            if slot.path.as_ref().is_some_and(|path| !files.iter().any(|view| view.file.path == *path)) {
                slot.path = None;
            }
        }
        let mut waiting: Vec<&FileView> = files
            .iter()
            .filter(|view| deserves_a_slot(view, are_few))
            .filter(|view| !self.slots.iter().any(|slot| slot.path.as_ref() == Some(&view.file.path)))
            .collect();
        waiting.sort_by_key(|view| std::cmp::Reverse(view.file.size - view.there));
        for view in waiting {
            match self.free_slot() {
                Some(slot) => slot.path = Some(view.file.path.clone()),
                None => break,
            }
        }
        self.close_ranks();
    }

    /// Lets rows that nobody took be above all others, where they are no hole between them.
    fn close_ranks(&mut self) {
        let taken: Vec<String> = self.slots.iter_mut().filter_map(|slot| slot.path.take()).collect();
        let free = self.slots.len() - taken.len();
        for (slot, path) in self.slots[free..].iter_mut().zip(taken) {
            slot.path = Some(path);
        }
    }

    fn free_slot(&mut self) -> Option<&mut BarSlot> {
        let free = self.slots.iter().position(|slot| slot.path.is_none());
        if let Some(free) = free {
            return self.slots.get_mut(free);
        }
        if self.slots.len() == self.slots_max {
            return None;
        }
        let bar = self.multi.insert_before(&self.totals, ProgressBar::new(0));
        self.slots.push(BarSlot { bar, path: None });
        self.slots.last_mut()
    }
}

/// Whether a file has moved for long enough that people want to see it. Of a small one nothing is known before all of it is
/// there, so where there are many their rows would only change their names.
fn deserves_a_slot(view: &FileView, are_few: bool) -> bool {
    view.age >= SLOT_AFTER && (view.file.size > UNREPORTED_MAX || are_few)
}

#[cfg(test)]
mod tests;
