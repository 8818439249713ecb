//! `qft send`, planned.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::super::here::{LocalContext, PathKind};
use super::super::remote::{self, Spec, destination};
use super::{DASH, forgotten_colon, named, refuse_empty, refuse_habits, refuse_scp_port, through_ssh};
use crate::cli::args::{JobArgs, SendArgs};
use crate::cli::config::tilde;
use crate::cli::exit::Complaint;
use crate::cli::text::paste::word;
use crate::client::SendOptions;
use crate::protocol::message::Target;
use crate::protocol::path::{WirePath, escape};

/// The plan of `qft send`.
pub(crate) struct SendPlan {
    /// `None`: the default remote.
    pub(crate) spec: Option<Spec>,
    /// What to ask a far end behind ssh for; no path elsewhere.
    pub(crate) far: Vec<Vec<u8>>,
    pub(crate) source: SendSource,
    pub(crate) options: SendOptions,
    /// The destination for the header line.
    pub(crate) shown: String,
    /// Things the user may have meant otherwise.
    pub(crate) hints: Vec<String>,
}

/// Where content comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendSource {
    Paths(Vec<PathBuf>),
    /// Standard input, which will have this name.
    Stdin(OsString),
}

pub(crate) fn send(args: &SendArgs, here: &LocalContext) -> Result<SendPlan, Complaint> {
    refuse_habits(&args.job.habits)?;
    refuse_empty(&args.paths)?;
    let is_list = args.job.choice.files_from.is_some();
    let (paths, last) = split_last_remote(&args.paths, is_list)?;
    let paths = local_paths(args, paths, last.is_none(), here)?;
    let spec = through_ssh(named(last, args.to.as_deref(), here.remote.as_deref())?, &args.job.ssh)?;
    let is_stdin = paths.iter().any(|path| path == DASH);
    let (spec, local_name) = match spec {
        Some(Spec::Local { path }) if is_stdin => {
            let (root, name) = local_file(&path, here)?;
            (Some(Spec::Local { path: root }), Some(name))
        }
        spec => (spec, None),
    };
    let is_local = matches!(spec, Some(Spec::Local { .. }));
    let is_far = matches!(spec, Some(Spec::Ssh { .. }));
    let path = spec.as_ref().filter(|_| !is_local).map_or(&b""[..], Spec::path);
    let destination = if is_far { remote::far_destination(path) } else { destination(path)? };
    let mut far: Vec<Vec<u8>> = is_far.then(|| path.to_vec()).into_iter().collect();
    let mut hints: Vec<String> = spec.as_ref().and_then(Spec::port_hint).into_iter().collect();
    if args.job.conflict.no_sync && !is_local && !is_far {
        hints.push("--no-sync changes nothing here: the server decides (qft serve --no-sync)".to_owned());
    }
    let (source, to, target) = match is_stdin {
        true if local_name.is_some() => {
            (stdin_alone(&paths, &local_name.unwrap_or_default())?, None, Target::Directory)
        }
        true if is_far => {
            let (dir, name) = remote::far_name(path).ok_or_else(nameless)?;
            far = vec![dir.to_vec()];
            (stdin_alone(&paths, name)?, None, Target::Directory)
        }
        true => stdin_source(&paths, &destination)?,
        false => paths_source(paths, destination, is_list, here),
    };
    let mut options = options(&args.job, to, target);
    options.destination = spec.as_ref().and_then(Spec::local_directory);
    Ok(SendPlan { shown: escape(path).to_string(), spec, far, source, options, hints })
}

/// The paths to send, none of which was meant otherwise.
fn local_paths(
    args: &SendArgs,
    paths: Vec<OsString>,
    is_all: bool,
    here: &LocalContext,
) -> Result<Vec<OsString>, Complaint> {
    paths.iter().try_for_each(|path| tilde::refuse(path))?;
    if is_all {
        refuse_forgotten_colon(&paths, here)?;
    }
    refuse_scp_port(&args.job.habits, &paths, here)?;
    refuse_pipes(&paths, here)?;
    if args.job.choice.files_from.is_some() { Ok(vec![directory_of_list(paths, here)?]) } else { Ok(paths) }
}

fn paths_source(
    paths: Vec<OsString>,
    destination: remote::RemotePath,
    is_list: bool,
    here: &LocalContext,
) -> (SendSource, Option<WirePath>, Target) {
    let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
    let into = is_list || destination.is_directory || paths.len() > 1 || paths.iter().any(|path| here.is_dir(path));
    let target = if into { Target::Directory } else { Target::FileOrDirectory };
    (SendSource::Paths(paths), destination.to, target)
}

fn options(job: &JobArgs, to: Option<WirePath>, target: Target) -> SendOptions {
    SendOptions {
        transfer: job.transfer(target),
        to,
        jobs: job.link.jobs,
        links: job.choice.links(),
        destination: None,
    }
}

/// A last argument that is no file here, and the name of a remote, was meant as the destination.
fn refuse_forgotten_colon(paths: &[OsString], here: &LocalContext) -> Result<(), Complaint> {
    let Some((last, others)) = paths.split_last() else { return Ok(()) };
    if (here.kind)(Path::new(last)) != PathKind::Missing {
        return Ok(());
    }
    let files = match others {
        [] => "FILES".to_owned(),
        [only] => word(&escape(only.as_bytes()).to_string()).into_owned(),
        _ => "...".to_owned(),
    };
    forgotten_colon(last, here, |remote| format!("qft send {files} {remote}")).map_or(Ok(()), Err)
}

/// Content without a size is sent as standard input. One among others fails alone, as a missing file does.
fn refuse_pipes(paths: &[OsString], here: &LocalContext) -> Result<(), Complaint> {
    let oddity = |path: &OsString| if path == DASH { None } else { (here.kind)(Path::new(path)).oddity() };
    let odd: Option<Vec<_>> = paths.iter().map(oddity).collect();
    match odd.as_deref() {
        Some([what, ..]) => {
            let shown = escape(paths[0].as_bytes());
            Err(Complaint::Usage(format!(
                "{shown} is {what}: its content has no size, and no name there; send it as standard input: qft send - \
                 REMOTE:NAME <{shown}"
            )))
        }
        _ => Ok(()),
    }
}

/// Directory and name of a file behind `local:`, for standard input.
fn local_file(path: &[u8], here: &LocalContext) -> Result<(Vec<u8>, Vec<u8>), Complaint> {
    let (dir, name) = remote::far_name(path).ok_or_else(nameless)?;
    match here.is_dir(&remote::local_path(path)?) {
        true => Err(nameless()),
        false => Ok((dir.to_vec(), name.to_vec())),
    }
}

/// Takes a remote-shaped last argument off the sources.
fn split_last_remote(args: &[OsString], is_list: bool) -> Result<(Vec<OsString>, Option<Spec>), Complaint> {
    let mut paths = args.to_vec();
    let last = match paths.last() {
        Some(last) if remote::is_remote(last) => Some(remote::parse(last)?),
        _ => None,
    };
    if last.is_some() {
        paths.pop();
    }
    if let Some(early) = paths.iter().find(|path| remote::is_remote(path)) {
        let shown = escape(early.as_bytes());
        return Err(Complaint::Usage(format!(
            "{shown}: a remote comes last; a local name with a colon is written ./a:b"
        )));
    }
    match paths.is_empty() && !is_list {
        true => Err(Complaint::usage("nothing to send: qft send FILES REMOTE:[PATH]; a file a:b is written ./a:b")),
        false => Ok((paths, last)),
    }
}

/// The directory that the names of a list are below, written as one whose contents are meant.
fn directory_of_list(mut paths: Vec<OsString>, here: &LocalContext) -> Result<OsString, Complaint> {
    let Some(mut dir) = paths.pop() else { return Ok("./".into()) };
    if !paths.is_empty() {
        return Err(Complaint::usage(
            "with --files-from there is one directory, which its names are below: qft send --files-from LIST [DIR] REMOTE:",
        ));
    }
    if !here.is_dir(Path::new(&dir)) {
        let shown = escape(dir.as_bytes());
        return Err(Complaint::Usage(format!(
            "{shown} is no directory; the names of --files-from are below one: qft send --files-from LIST [DIR] REMOTE:"
        )));
    }
    dir.push("/");
    Ok(dir)
}

/// Standard input goes under the destination's last name, whether or not a directory of that name exists.
fn stdin_source(
    paths: &[OsString],
    destination: &remote::RemotePath,
) -> Result<(SendSource, Option<WirePath>, Target), Complaint> {
    match &destination.to {
        Some(to) if !destination.is_directory => Ok((stdin_alone(paths, to.name())?, to.parent(), Target::Directory)),
        _ => stdin_alone(paths, b"").and_then(|_| Err(nameless())),
    }
}

fn stdin_alone(paths: &[OsString], name: &[u8]) -> Result<SendSource, Complaint> {
    match paths.len() {
        1 => Ok(SendSource::Stdin(OsStr::from_bytes(name).to_owned())),
        _ => Err(Complaint::usage("'-' (standard input) must be the only source; a file of that name is ./-")),
    }
}

fn nameless() -> Complaint {
    Complaint::usage("standard input needs a name there: qft send - REMOTE:NAME")
}
