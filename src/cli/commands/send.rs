//! `qft send`.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::args::SendArgs;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::names::{Absolute, listed};
use crate::cli::run::private_dir::{CopyError, fill, private_dir};
use crate::cli::run::signals::{HangUps, Signals, block_on};
use crate::cli::run::standard;
use crate::cli::run::transfer::{Transfer, open_ui};
use crate::cli::target::connect::{ConnectSettings, OnMissing, TargetQuery, resolve};
use crate::cli::target::here::LocalContext;
use crate::cli::target::plan::{self, SendSource};
use crate::cli::target::remote;
use crate::cli::text::verb::Verb;
use crate::client::Client;
use crate::storage::Links;

/// What failed where standard input cannot be read.
const STANDARD_INPUT: &str = "reading standard input";

/// Names the default remote in the environment.
pub(crate) const REMOTE_VARIABLE: &str = "QFT_REMOTE";

pub(crate) fn run(args: &SendArgs) -> anyhow::Result<Exit> {
    let mut plan = plan::send(args, &LocalContext::new(std::env::var_os(REMOTE_VARIABLE)))?;
    let absolute =
        if args.paths.iter().all(|path| remote::is_remote(path)) { Absolute::IsElsewhere } else { Absolute::IsBelow };
    plan.options.transfer.names = listed(&args.job, absolute)?;
    // Before anybody is asked for anything.
    let input = match plan.source {
        SendSource::Stdin(_) => Some(standard::input().context(STANDARD_INPUT)?),
        SendSource::Paths(_) => None,
    };
    let dry_run = args.job.conflict.dry_run;
    let missing = if dry_run { OnMissing::Pretend } else { OnMissing::Make };
    let settings = ConnectSettings::of(&args.job, !args.job.conflict.no_sync, missing);
    let target = resolve(TargetQuery::by(plan.spec.as_ref(), plan.far, &args.job), &settings)?;
    let (place, far_end, note) = (target.place, target.far_end, target.note);
    if let Some([name]) = far_end.as_ref().map(|far_end| far_end.names.as_slice()) {
        plan.options.to = remote::destination(name)?.to;
    }
    let (mut ui, log) = open_ui(Verb::Send, &args.job, &place, far_end.as_ref(), &plan.shown)?;
    plan.hints.iter().chain(&note).for_each(|hint| ui.note(hint));
    block_on(HangUps::End, async move |mut signals| {
        // Held until the end: dropping it removes what was spooled.
        let (paths, _spool) = match plan.source {
            SendSource::Paths(paths) => (paths, None),
            SendSource::Stdin(name) => {
                let (spool, input) = (private_dir()?, input.expect("it was opened for this source"));
                (vec![spool_stdin(&spool, &name, input, &mut signals).await?], Some(spool))
            }
        };
        let options = plan.options;
        let sandbox = settings.sandbox(&place, true).map(|sandbox| match options.links {
            // They may lead anywhere.
            Links::Follow => sandbox.reads(Path::new("/")),
            Links::Skip | Links::Copy | Links::List => sandbox.sends(&paths),
        });
        let begin = Box::new(move |client: &Client, contact| client.send(contact, paths, options));
        let transfer = Transfer { place, settings, far_end, begin, sandbox, log, spooled: None };
        Ok(transfer.run(&mut ui, &mut signals).await)
    })
}

/// Copies standard input to a file: a transfer needs a size, and may have to read twice.
async fn spool_stdin(
    spool: &tempfile::TempDir,
    name: &OsStr,
    mut input: File,
    signals: &mut Signals,
) -> anyhow::Result<PathBuf> {
    let (dir, name) = (spool.path().to_owned(), name.to_owned());
    let copy = tokio::task::spawn_blocking(move || fill(&dir, &name, &mut input));
    let copied = tokio::select! {
        copied = copy => copied.context(STANDARD_INPUT)?,
        stop = signals.next() => return Err(Complaint::Interrupted(stop).into()),
    };
    match copied {
        Ok(path) => Ok(path),
        Err(CopyError::Read(error)) => Err(error).context(STANDARD_INPUT),
        Err(CopyError::Write(error)) => Err(error).with_context(|| {
            format!("keeping standard input below {} ($TMPDIR chooses another place)", spool.path().display())
        }),
    }
}
