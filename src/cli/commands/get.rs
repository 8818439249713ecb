//! `qft get`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::send::REMOTE_VARIABLE;
use crate::absent::is_absent;
use crate::cli::args::GetArgs;
use crate::cli::exit::Exit;
use crate::cli::run::names::{Absolute, listed};
use crate::cli::run::sandbox::Sandbox;
use crate::cli::run::signals::{HangUps, block_on};
use crate::cli::run::spooled::{STANDARD_OUTPUT, SpooledOutput};
use crate::cli::run::standard;
use crate::cli::run::transfer::{Transfer, open_ui};
use crate::cli::target::connect::{ConnectSettings, OnMissing, TargetQuery, resolve};
use crate::cli::target::here::LocalContext;
use crate::cli::target::plan;
use crate::cli::text::verb::Verb;
use crate::client::{Client, GetOptions};
use crate::protocol::path::escape;
use crate::storage::{Root, sync_names_above};

pub(crate) fn run(args: &GetArgs) -> anyhow::Result<Exit> {
    let mut plan = plan::get(args, &LocalContext::new(std::env::var_os(REMOTE_VARIABLE)))?;
    plan.options.transfer.names = listed(&args.job, Absolute::IsBelow)?;
    // Before anything is asked of anybody.
    let output = match plan.into {
        Some(_) => None,
        None => Some(standard::content_output().context(STANDARD_OUTPUT)?),
    };
    let dry_run = args.job.conflict.dry_run;
    let settings =
        ConnectSettings { into: plan.into.clone(), ..ConnectSettings::of(&args.job, true, OnMissing::Refuse) };
    let target = resolve(TargetQuery::by(plan.spec.as_ref(), plan.far, &args.job), &settings)?;
    let (place, far_end, note) = (target.place, target.far_end, target.note);
    let patterns = match &far_end {
        Some(far_end) => plan::below_far_root(plan.patterns, &far_end.names),
        None => plan.patterns,
    };
    let (mut ui, log) = open_ui(Verb::Get, &args.job, &place, far_end.as_ref(), &plan.shown)?;
    let asked = patterns.iter().map(|pattern| escape(pattern).to_string());
    ui.name_as_typed(asked.zip(plan.typed).collect());
    plan.hints.iter().chain(&note).for_each(|hint| ui.note(hint));
    block_on(HangUps::End, async move |mut signals| {
        let (into, spooled) = directory_or_spool(plan.into, output.filter(|_| !dry_run))?;
        let options = plan.options;
        let made = missing(options.directory(&into));
        let sandbox = settings.sandbox(&place, false).and_then(|sandbox| receiving(sandbox, &into, &options));
        let begin = Box::new(move |client: &Client, contact| client.get(contact, patterns, into, options));
        let transfer = Transfer { place, settings, far_end, begin, sandbox, log, spooled };
        let exit = transfer.run(&mut ui, &mut signals).await;
        if exit != Exit::Done {
            // Directories that were made for files that never came are removed, unless they are not empty.
            made.iter().take_while(|dir| fs::remove_dir(dir).is_ok()).count();
        }
        Ok(exit)
    })
}

/// Where the files go: what the user has named, or a directory from which one goes on to standard output.
fn directory_or_spool(
    into: Option<PathBuf>,
    output: Option<fs::File>,
) -> anyhow::Result<(PathBuf, Option<SpooledOutput>)> {
    if let Some(into) = into {
        return Ok((into, None));
    }
    let spooled = SpooledOutput::new(output)?;
    Ok((spooled.dir().to_owned(), Some(spooled)))
}

/// The directories that are to be made for this one, the innermost first.
fn missing(dir: &Path) -> Vec<PathBuf> {
    let above = dir.ancestors().filter(|dir| !dir.as_os_str().is_empty());
    let is_missing = |dir: &&Path| dir.symlink_metadata().is_err_and(|error| is_absent(&error));
    above.take_while(is_missing).map(Path::to_owned).collect()
}

/// With the directory that the files go to. `None` when it cannot be made, of which the job will tell.
fn receiving(sandbox: Sandbox, into: &Path, options: &GetOptions) -> Option<Sandbox> {
    let dir = options.directory(into);
    if options.transfer.dry_run {
        let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or_else(|| Path::new("."));
        return Some(sandbox.reads(there));
    }
    // A rule holds for what is there, so it is made here, just as the job would make it.
    Root::create(dir).ok()?;
    if options.sync {
        sync_names_above(dir);
    }
    Some(sandbox.changes(dir))
}
