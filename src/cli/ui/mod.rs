//! What the user sees of a transfer. One [`Ui`] takes the job's events and is asked to draw ten times a second;
//! it shows bars, plain lines or JSON, and the same final block in all forms.

pub(crate) mod fate;
mod files;
pub(crate) mod fold;
pub(crate) mod json;
pub(crate) mod link;
mod message;
mod mode;
pub(crate) mod model;
pub(crate) mod plain;
pub(crate) mod rate;
pub(crate) mod slots;
mod stall;
pub(crate) mod summary;
mod tally;
pub(crate) mod text;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::fate::Prospect;
use self::json::Json;
use self::message::coloured;
pub(crate) use self::message::{message, report};
use self::mode::is_utf8;
pub(crate) use self::mode::{Mode, has_bars, has_colours, mode};
use self::model::{Model, Snapshot, Speed, decision, is_news};
use self::plain::Plain;
use self::slots::{Screen, Slots, Style};
use self::stall::{StallNews, StallTeller};
pub(crate) use self::tally::Tally;
use self::text::{cause, shown};
use super::exit::{Exit, Verb};
use super::lines::{self, Lines};
use super::size;
use crate::progress::{Counters, Event, Report};
use crate::protocol::message::{SkipReason, Why};

/// Time between two looks.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Lines about single files above the bars; more would push everything else off the screen. The final block
/// and the counts go on.
const LIVE_LINES_MAX: u32 = 100;
/// Failures above the final block that are still in sight, so that it need not repeat them.
const IN_SIGHT_LINES: u32 = 12;
/// How the cause of a lost connection ends.
const RESUMES: &str = "; the same command resumes";
/// Notes about single files; more are only counted.
const NOTES_SHOWN: u32 = 20;
/// The same as [`LIVE_LINES_MAX`] where lines are written to a file or a pipe, which a hostile server could fill.
const FILE_LINES_MAX: u32 = 10_000;
/// What is said while a server has no place.
pub(crate) const NO_PLACE: &str = "waiting for a place: as many clients as it lets in (or lets in from this address, or with this key) are connected there";
/// Larger files get lines of their own where there are no bars.
const BIG_FILE: u64 = 64 << 20;

/// What a [`Ui`] has to know.
#[derive(Debug, Clone)]
pub(crate) struct UiOptions {
    /// Which way.
    pub(crate) verb: Verb,
    /// See [`Mode`].
    pub(crate) mode: Mode,
    /// JSON on standard output.
    pub(crate) json: bool,
    /// A line for each file.
    pub(crate) verbose: bool,
    /// Decisions go to standard output.
    pub(crate) dry_run: bool,
    /// A file whose name is taken gets another one.
    pub(crate) steps_aside: bool,
    /// Files in flight.
    pub(crate) jobs: usize,
    /// `HOST:PORT`, for the hint when nobody answers.
    pub(crate) address: String,
    /// The other side is in this process.
    pub(crate) is_local: bool,
}

enum Face {
    Bars(Slots),
    Lines(Plain),
}

/// The one renderer.
pub(crate) struct Ui {
    options: UiOptions,
    model: Model,
    face: Face,
    json: Option<Json>,
    stdout: Box<dyn Write>,
    /// What may still have lines to write at the end, and how long it is given while nobody reads them.
    outputs: Vec<(Lines, Option<Duration>)>,
    live_lines: u32,
    notes: u32,
    /// Lines since the first one about a failure, that one included; 0 while there is none.
    since_failure: u32,
    connected: bool,
    stalls: StallTeller,
    /// Whether small buffers were mentioned.
    hinted_buffers: bool,
    /// Where lines are folded; `None`: nowhere.
    columns: Option<usize>,
    has_colours: bool,
}

impl Ui {
    /// A renderer on the process's own streams. Only bars are drawn by the caller's thread: they are on a terminal, which
    /// somebody has to release who has stopped it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn new(options: UiOptions) -> std::io::Result<Self> {
        let mut outputs = Vec::new();
        let face = match options.mode {
            Mode::Bars => {
                let style = Style { utf8: is_utf8(|name| std::env::var(name).ok()), details: options.verbose };
                Face::Bars(Slots::new(Screen::Stderr, options.jobs, style))
            }
            _ => {
                let lines = Lines::stderr()?;
                let writer = lines.writer();
                outputs.push((lines, Some(lines::END_WAIT)));
                Face::Lines(Plain::new(Box::new(writer), options.verbose))
            }
        };
        let json = match options.json {
            true => {
                let lines = Lines::stdout(json::missing)?;
                let writer = lines.writer();
                // The transfer has ended by then, and a program that reads slowly is to read all.
                outputs.push((lines, None));
                Some(Json::new(Box::new(writer)))
            }
            false => None,
        };
        let ui = Self::with(options, face, json, Box::new(std::io::stdout()), Instant::now());
        Ok(Self { outputs, columns: fold::stderr_columns(), has_colours: has_colours(), ..ui })
    }

    fn with(options: UiOptions, face: Face, json: Option<Json>, stdout: Box<dyn Write>, now: Instant) -> Self {
        let model = Model::new(now, &options.address);
        Self {
            options,
            model,
            face,
            json,
            stdout,
            outputs: Vec::new(),
            live_lines: 0,
            notes: 0,
            since_failure: 0,
            connected: false,
            stalls: StallTeller::default(),
            hinted_buffers: false,
            columns: None,
            has_colours: false,
        }
    }

    /// Prints the resolved target: always the first line.
    pub(crate) fn header(&mut self, line: &str, body: serde_json::Value) {
        if let Some(json) = &mut self.json {
            json.start(self.options.verb.present(), body);
        }
        if self.speaks() {
            self.line(line.to_owned());
        }
    }

    /// Counts of events so far.
    pub(crate) fn tally(&self) -> Tally {
        self.model.tally()
    }

    /// Takes the counters, once the job has them.
    pub(crate) fn set_counters(&mut self, counters: Arc<Counters>) {
        self.model.set_counters(counters);
    }

    /// Prints a remark.
    pub(crate) fn note(&mut self, text: &str) {
        if let Some(json) = &mut self.json {
            json.note("text", serde_json::json!({ "text": text }));
        }
        if self.speaks() {
            self.line(text.to_owned());
        }
    }

    /// Prints a remark for whoever wants to know more (`-v`).
    pub(crate) fn detail(&mut self, text: &str) {
        if self.options.verbose {
            self.note(text);
        }
    }

    /// Prints a line of the log.
    pub(crate) fn log(&mut self, line: String) {
        self.line(line);
    }

    /// The transfer begins only now: until here standard input was read, say, and nobody was asked to reply.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.model.begin(now);
    }

    /// Takes one event.
    pub(crate) fn event(&mut self, event: &Event, now: Instant) {
        self.model.on_event(event, now);
        if let Some(json) = &mut self.json {
            json.event(event);
        }
        if self.options.dry_run && !self.options.json {
            self.print_decision(event);
        }
        self.show(event);
    }

    /// Draws, where it is time to.
    pub(crate) fn tick(&mut self, now: Instant) {
        let look = self.model.sample(now);
        if let Some(news) = self.stalls.next(look.speed) {
            self.tell_stall(news);
        }
        self.mind_buffers(&look);
        if let Some(json) = &mut self.json {
            json.tick(&look);
        }
        match (&mut self.face, self.options.mode) {
            (Face::Bars(slots), _) => slots.draw(&look),
            (Face::Lines(plain), Mode::Plain) => plain.tick(&look),
            (Face::Lines(_), _) => {}
        }
    }

    /// Prints how the job ended: the final block, or the error.
    pub(crate) fn end(&mut self, outcome: &anyhow::Result<Report>, exit: Exit, now: Instant) {
        if let Face::Bars(slots) = &mut self.face {
            slots.close();
        }
        let look = self.model.sample(now);
        let mut lines = match outcome {
            Ok(report) => summary::block(self.options.verb, report, self.model.tally(), self.options.dry_run),
            Err(error) => self.error_lines(error, exit, &look),
        };
        // What a dry run finds stands on standard output.
        let is_printed = self.options.dry_run && !self.options.json && outcome.is_ok();
        if is_printed || (1..=IN_SIGHT_LINES).contains(&self.since_failure) {
            lines.truncate(1);
        }
        let more = if self.options.verbose { 0 } else { self.notes.saturating_sub(NOTES_SHOWN) };
        if more > 0 {
            let many = if more == 1 { "note" } else { "notes" };
            lines.insert(0, format!("... {} more {many} (-v shows all)", size::count(more.into())));
        }
        if self.speaks() || (outcome.is_err() && self.options.mode != Mode::Silent) {
            lines.iter().for_each(|line| self.line(line.clone()));
        }
        if let Some(json) = &mut self.json {
            let error = outcome.as_ref().err().map(message);
            let body = json::summary(outcome.as_ref().ok(), &look, self.model.tally());
            json.end(error.as_deref(), exit, body);
        }
        if let Face::Bars(slots) = &mut self.face {
            slots.close();
        }
        for (lines, patience) in &self.outputs {
            lines.flush(*patience);
        }
    }

    /// Says that nothing moves any more, and why, or that something moves again. Bars show it as long as it lasts.
    fn tell_stall(&mut self, news: StallNews) {
        let text = news.text(self.model.whom());
        if let Some(json) = &mut self.json {
            json.stall(news, text.as_deref());
        }
        let is_seen = matches!(self.face, Face::Bars(_)) && self.connected;
        if let Some(text) = text.filter(|_| self.speaks() && !is_seen) {
            self.line(text);
        }
    }

    /// Says once that the system's buffers are too small for what the path carries. A transfer within this machine
    /// has no path.
    fn mind_buffers(&mut self, look: &Snapshot) {
        let Speed::Moving(rate) = look.speed else { return };
        if self.hinted_buffers || self.options.is_local {
            return;
        }
        if let Some(hint) = look.link.hint(self.options.verb, rate) {
            self.hinted_buffers = true;
            self.note(&hint);
        }
    }

    fn error_lines(&self, error: &anyhow::Error, exit: Exit, look: &Snapshot) -> Vec<String> {
        match exit {
            exit if exit.is_asked_for() => vec![summary::stopped(self.options.verb, look)],
            _ => vec![format!("qft: {}", message(error))],
        }
    }

    fn speaks(&self) -> bool {
        matches!(self.options.mode, Mode::Bars | Mode::Plain | Mode::Final)
    }

    fn line(&mut self, line: String) {
        if self.since_failure > 0 {
            self.since_failure += 1;
        }
        // What has a key in it takes several lines.
        let fold = |part| self.columns.map_or_else(|| vec![str::to_owned(part)], |columns| fold::fold(part, columns));
        let lines: Vec<String> = line.split('\n').flat_map(fold).collect();
        for line in lines {
            let line = if self.has_colours { coloured(&line) } else { line };
            match &mut self.face {
                Face::Bars(slots) => slots.above(line),
                Face::Lines(plain) => plain.line(&line),
            }
        }
    }

    /// A line about one file. Their number is bounded.
    fn live(&mut self, line: String) {
        self.live_lines = self.live_lines.saturating_add(1);
        let lines_max = if matches!(self.face, Face::Lines(_)) { FILE_LINES_MAX } else { LIVE_LINES_MAX };
        if self.options.verbose || self.live_lines < lines_max {
            self.line(line);
        } else if self.live_lines == lines_max {
            self.line("  ... more like these are only counted (-v shows them)".to_owned());
        }
    }

    fn show(&mut self, event: &Event) {
        let (speaks, verbose) = (self.speaks(), self.options.verbose);
        match event {
            Event::Connected { addr, peer, .. } => {
                self.connected = true;
                if verbose {
                    self.line(format!("connected to {addr}, which calls itself {}", shown(peer)));
                }
            }
            // Bars show the countdown themselves; the cause is said once.
            Event::Reconnecting { attempt, after, cause } if speaks && (*attempt == 1 || self.is_plain()) => {
                let after = after.as_secs_f64().ceil();
                // It is this command that resumes, so nobody has to be told to repeat it.
                let cause = cause.trim_end_matches(RESUMES);
                let doing = if self.connected { "reconnecting" } else { "trying again" };
                self.line(format!("{}; {doing} ({attempt}) in {after}s", shown(cause)));
            }
            // Said once: it asks every second or two.
            Event::Waiting { attempt: 1, .. } if speaks => self.line(NO_PLACE.to_owned()),
            Event::Note(text) if speaks => {
                self.notes = self.notes.saturating_add(1);
                if verbose || self.notes <= NOTES_SHOWN {
                    self.line(format!("note: {}", shown(text)));
                }
            }
            Event::Failed { path, failure } if !self.options.dry_run && self.options.mode != Mode::Silent => {
                self.since_failure = self.since_failure.max(1);
                self.live(format!("  failed: {}: {}", shown(path), cause(failure)));
            }
            Event::Skipped { path, reason, .. } if speaks && !self.options.dry_run => self.show_skipped(path, *reason),
            Event::Started(file) if self.is_worth_a_line(file.size) => {
                let resumed = match (file.resumed, file.why) {
                    (0, _) => String::new(),
                    (there, Why::Resume) => format!(", resumed at {}", size::bytes(there)),
                    (there, _) => format!(", {} of it there", size::bytes(there)),
                };
                self.line(format!("  started {}, {}{resumed}", shown(&file.path), size::bytes(file.size)));
            }
            Event::Finished { file } if (speaks && verbose) || self.is_worth_a_line(file.size) => {
                self.line(format!("  {}", fate::line(self.options.verb, file)));
            }
            _ => {}
        }
    }

    fn show_skipped(&mut self, path: &str, reason: SkipReason) {
        match reason {
            SkipReason::Exists => self.live(format!("  skipped: {}: exists", shown(path))),
            SkipReason::Same if self.options.verbose => self.line(format!("  unchanged {}", shown(path))),
            SkipReason::Mode if self.options.verbose => self.line(format!("  permissions {}", shown(path))),
            SkipReason::Same | SkipReason::Mode | SkipReason::Made => {}
        }
    }

    fn is_plain(&self) -> bool {
        self.options.mode == Mode::Plain
    }

    fn is_worth_a_line(&self, size: u64) -> bool {
        self.is_plain() && size >= BIG_FILE
    }

    /// One line a decision, on standard output.
    fn print_decision(&mut self, event: &Event) {
        let (mark, size, path) = match event {
            Event::Planned { path, size, from, why, named } => {
                let mark = decision(Prospect::of(*why, *from, *size, self.options.steps_aside), *from, *size);
                let size = size::bytes(*size);
                let named = named.as_ref().map(|name| format!(" -> {}", shown(name))).unwrap_or_default();
                drop(writeln!(self.stdout, "{mark:<16} {size:>9}  {}{named}", shown(path)));
                return;
            }
            Event::Skipped { path, size, reason: SkipReason::Same } => ("= same".to_owned(), Some(*size), path),
            Event::Skipped { path, size, reason: SkipReason::Mode } => ("~ permissions".to_owned(), Some(*size), path),
            Event::Skipped { path, size, reason } if is_news(*reason) => ("! exists".to_owned(), Some(*size), path),
            Event::Failed { path, failure } => {
                let (mark, blank) = ("! fails", "");
                drop(writeln!(self.stdout, "{mark:<16} {blank:>9}  {}: {}", shown(path), cause(failure)));
                return;
            }
            _ => return,
        };
        let size = size.map(size::bytes).unwrap_or_default();
        drop(writeln!(self.stdout, "{mark:<16} {size:>9}  {}", shown(path)));
    }
}

#[cfg(test)]
pub(crate) mod tests;
