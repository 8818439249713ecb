//! `qft parts`: unfinished files, here or on a remote.

use std::ffi::OsStr;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::args::PartsArgs;
use crate::cli::config::tilde;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::signals::{HangUps, block_on};
use crate::cli::run::standard;
use crate::cli::run::transfer::gone;
use crate::cli::target::connect::{Connected, View, explain, resolve_view};
use crate::cli::target::here::LocalContext;
use crate::cli::target::plan::{self, forgotten_colon};
use crate::cli::target::remote::{Spec, below, is_remote, local_path};
use crate::cli::text::size;
use crate::cli::ui::json::{self, Json};
use crate::cli::ui::text::{cause, status_key};
use crate::client::PartsOptions;
use crate::protocol::message::{Failure, ListedPart, PartFate};
use crate::protocol::path::{WirePath, escape};
use crate::storage::{Fate, PartSearch, Removal, Tree, Unfinished};

/// The unfinished files, by the names that the user would write.
#[derive(Default)]
struct PartsOutput {
    parts: Vec<PartRow>,
    problems: Vec<(Vec<u8>, Failure)>,
}

struct PartRow {
    name: Vec<u8>,
    size: u64,
    age: Duration,
    fate: PartFate,
}

pub(crate) fn run(args: &PartsArgs) -> anyhow::Result<Exit> {
    let place = args.place.as_deref().unwrap_or_else(|| OsStr::new("."));
    if args.query.json {
        Json::stdout().start("parts", json!({"path": text(place.as_bytes()), "remove": args.remove}));
    }
    let listing = match is_remote(place) {
        true => there(place, args)?,
        false => {
            tilde::refuse(place)?;
            if Path::new(place).symlink_metadata().is_err()
                && let Some(complaint) =
                    forgotten_colon(place, &LocalContext::new(None), |remote| format!("qft parts {remote}"))
            {
                return Err(complaint.into());
            }
            here(Path::new(place), args)?
        }
    };
    let failed = listing.problems.len() + listing.parts.iter().filter(|row| row.failure().is_some()).count();
    let exit = if failed == 0 { Exit::Done } else { Exit::SomeFailed };
    match args.query.json {
        true => listing.write_json(exit, args)?,
        false => listing.write(args)?,
    }
    Ok(exit)
}

/// Those of this machine, whose user the system lets remove what he may.
fn here(place: &Path, args: &PartsArgs) -> anyhow::Result<PartsOutput> {
    let (dir, file) = match (place.is_dir(), place.file_name()) {
        (false, Some(file)) => {
            (place.parent().unwrap_or_else(|| Path::new("")), Some(WirePath::from_path(Path::new(file))?))
        }
        _ => (place, None),
    };
    let tree = Tree::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?;
    let removal = if args.remove { Removal::ByUser } else { Removal::None };
    let mut search = PartSearch::new(tree, file).older(args.older.unwrap_or_default()).removing(removal);
    let shown: PathBuf = dir.components().filter(|component| component.as_os_str() != ".").collect();
    let name = |path: &[u8]| below(shown.as_os_str().as_bytes(), path);
    let mut listing = PartsOutput::default();
    while let ControlFlow::Continue(found) = search.step() {
        match found {
            Some(Ok(Unfinished { path, size, age, fate })) => {
                let fate = match fate {
                    Fate::Kept => PartFate::Kept,
                    Fate::Removed => PartFate::Removed,
                    Fate::Left(failure) => PartFate::Left(failure),
                };
                listing.parts.push(PartRow { name: name(path.as_bytes()), size, age, fate });
            }
            Some(Err((at, failure))) => listing.problems.push((name(&at), failure)),
            None => {}
        }
    }
    Ok(listing)
}

/// Those of a remote that this machine may know of.
fn there(place: &OsStr, args: &PartsArgs) -> anyhow::Result<PartsOutput> {
    let plan = plan::remote_place(place, &args.query.ssh)?;
    if let Some(Spec::Local { path }) = &plan.spec {
        return here(&local_path(path)?, args);
    }
    let View { target, settings, pattern, typed, .. } = resolve_view(plan, &args.query)?;
    if !args.query.json && !args.quiet {
        say(&target.place.header("<-", &escape(&typed).to_string()));
        target.note.iter().for_each(|line| say(line));
    }
    let plain = pattern.strip_suffix(b"/").unwrap_or(&pattern);
    let options = PartsOptions {
        below: (!plain.is_empty()).then(|| WirePath::parse(plain)).transpose()?,
        older: args.older.unwrap_or_default(),
        remove: args.remove,
    };
    let listing = block_on(HangUps::End, async |mut signals| {
        let connected = Connected::open(&target.place, settings).await?;
        let found = tokio::select! {
            found = connected.client.parts(connected.contact.clone(), options) => found,
            gone = gone(target.far_end.as_ref()) => return Err(gone.error.into()),
            stop = signals.next() => return Err(Complaint::Interrupted(stop).into()),
        };
        connected.close().await;
        found.map_err(|error| explain(&target.place, error))
    })?;
    let row = |ListedPart { path, size, age_secs, fate }| PartRow {
        name: path.as_bytes().to_vec(),
        size,
        age: Duration::from_secs(age_secs),
        fate,
    };
    Ok(PartsOutput {
        parts: listing.parts.into_iter().map(row).collect(),
        problems: listing.problems.into_iter().map(|problem| (problem.name, problem.failure)).collect(),
    })
}

impl PartRow {
    /// Why it is still there although it was to be removed.
    fn failure(&self) -> Option<&Failure> {
        match &self.fate {
            PartFate::Left(failure) => Some(failure),
            PartFate::Kept | PartFate::Removed => None,
        }
    }

    fn json(&self) -> Value {
        let mut body = json!({"path": text(&self.name), "size": self.size, "age_s": self.age.as_secs()});
        body["status"] = match &self.fate {
            PartFate::Kept => "unfinished".into(),
            PartFate::Removed => "removed".into(),
            PartFate::Left(failure) => {
                body["reason"] = status_key(failure.status).into();
                body["message"] = cause(failure).into();
                "failed".into()
            }
        };
        if std::str::from_utf8(&self.name).is_err() {
            body["path_hex"] = data_encoding::HEXLOWER.encode(&self.name).into();
        }
        body
    }
}

impl PartsOutput {
    /// How many are of interest, and how much they hold: those that were removed, where that was asked for.
    fn sum(&self, args: &PartsArgs) -> (usize, u64) {
        let counts = |row: &&PartRow| !args.remove || row.fate == PartFate::Removed;
        let bytes = self.parts.iter().filter(counts).map(|row| row.size).sum();
        (self.parts.iter().filter(counts).count(), bytes)
    }

    fn write(&self, args: &PartsArgs) -> anyhow::Result<()> {
        let is_terminal = io::stdout().is_terminal();
        let mut out = BufWriter::new(standard::output());
        let mut kept = self.parts.iter().filter(|row| row.failure().is_none());
        let written = kept.try_for_each(|row| write_row(&mut out, row, is_terminal));
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.context("writing to standard output")?,
        }
        drop(out);
        let left = self.parts.iter().filter_map(|row| Some((&row.name, row.failure()?)));
        for (name, failure) in left.chain(self.problems.iter().map(|(name, failure)| (name, failure))) {
            say(&format!("  failed: {}: {}", escape(name), cause(failure)));
        }
        if !args.quiet {
            let (count, bytes) = self.sum(args);
            let files = if count == 1 { "unfinished file" } else { "unfinished files" };
            let done = if args.remove { "removed " } else { "" };
            say(&format!("{done}{count} {files}, {}", size::bytes(bytes)));
        }
        Ok(())
    }

    fn write_json(&self, exit: Exit, args: &PartsArgs) -> anyhow::Result<()> {
        let mut out = BufWriter::new(standard::output());
        let mut write = || -> io::Result<()> {
            for row in &self.parts {
                out.write_all(&json::line("part", &row.json()))?;
            }
            for (name, failure) in &self.problems {
                let body = json!({
                    "path": text(name), "status": "failed", "reason": status_key(failure.status), "message": cause(failure),
                });
                out.write_all(&json::line("part", &body))?;
            }
            let (files, bytes) = self.sum(args);
            out.write_all(&json::line("summary", &json!({"files": files, "bytes": bytes, "exit_code": exit.code()})))?;
            out.flush()
        };
        match write() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("writing to standard output"),
        }
    }
}

/// Age, size and name. A terminal gets an escaped name, a pipe the bytes as they are.
fn write_row(out: &mut impl Write, row: &PartRow, escaped: bool) -> io::Result<()> {
    write!(out, "{:>8}  {:>9}  ", size::span(row.age), size::bytes(row.size))?;
    match escaped {
        true => writeln!(out, "{}", escape(&row.name)),
        false => {
            out.write_all(&row.name)?;
            out.write_all(b"\n")
        }
    }
}

/// JSON escapes control characters itself, so a name stays as it is; one that is not UTF-8 is escaped.
fn text(name: &[u8]) -> String {
    std::str::from_utf8(name).map_or_else(|_| escape(name).to_string(), str::to_owned)
}

fn say(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
