//! `qft get`, planned.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::super::here::LocalContext;
use super::super::remote::{self, Spec, pattern};
use super::split::{is_glob, split_far, split_root};
use super::{DASH, forgotten_remote, named, refuse_empty, refuse_habits, refuse_scp_port, through_ssh};
use crate::cli::args::{GetArgs, SshArgs};
use crate::cli::config::tilde;
use crate::cli::exit::Complaint;
use crate::client::GetOptions;
use crate::protocol::message::Target;
use crate::protocol::path::{escape, escape_path};

/// The plan of `qft get`.
pub(crate) struct GetPlan {
    /// `None`: the default remote.
    pub(crate) spec: Option<Spec>,
    /// The directory of each pattern, for a far end behind ssh; no path elsewhere.
    pub(crate) far: Vec<Vec<u8>>,
    /// What to ask for.
    pub(crate) patterns: Vec<Vec<u8>>,
    /// `None`: standard output.
    pub(crate) into: Option<PathBuf>,
    pub(crate) options: GetOptions,
    /// The patterns for the header line.
    pub(crate) shown: String,
    /// Each pattern as it was typed, escaped.
    pub(crate) typed: Vec<String>,
    /// Things the user may have meant otherwise.
    pub(crate) hints: Vec<String>,
}

pub(crate) fn get(args: &GetArgs, here: &LocalContext) -> Result<GetPlan, Complaint> {
    refuse_habits(&args.job.habits)?;
    refuse_empty(&args.paths)?;
    if args.job.choice.copy_links {
        return Err(Complaint::usage(
            "what is got never comes through the other side's links (-L); --links copies them as links, and naming what \
             they lead to gets that",
        ));
    }
    refuse_scp_port(&args.job.habits, &args.paths, here)?;
    let is_list = args.job.choice.files_from.is_some();
    let (wanted, into) = split_output(args)?;
    refuse_second_directory(&wanted, is_list)?;
    tilde::refuse(into.as_os_str())?;
    if args.from.is_none() {
        let line = |remote: &str| format!("qft get {remote} .");
        wanted.iter().find_map(|word| forgotten_remote(word, here, line)).map_or(Ok(()), Err)?;
    }
    let env = here.remote.as_deref();
    let GetWords { spec, far, patterns } = wanted_from(&wanted, args.from.as_deref(), env, &args.job.ssh, is_list)?;
    let to_stdout = into.as_os_str() == DASH;
    if to_stdout {
        refuse_for_stdout(&patterns, args.job.output.json)?;
    } else {
        refuse_oddity(&into, here)?;
    }
    let into_dir = to_stdout || is_list || !is_one_file(&patterns) || ends_like_directory(&into) || here.is_dir(&into);
    let options = GetOptions {
        transfer: args.job.transfer(if into_dir { Target::Directory } else { Target::FileOrDirectory }),
        links: args.job.choice.links,
        sync: !args.job.conflict.no_sync && !to_stdout,
        single: to_stdout,
    };
    let typed = as_typed(spec.as_ref(), &far, &patterns);
    let shown = typed.join(" ");
    let hints = spec.as_ref().and_then(Spec::port_hint).into_iter().collect();
    Ok(GetPlan { spec, far, patterns, into: (!to_stdout).then_some(into), options, shown, typed, hints })
}

/// Whether the patterns can stand for a single file alone.
fn is_one_file(patterns: &[Vec<u8>]) -> bool {
    matches!(patterns, [pattern] if !pattern.is_empty() && !pattern.ends_with(b"/") && !is_glob(pattern))
}

/// A device or a pipe is no destination.
fn refuse_oddity(into: &Path, here: &LocalContext) -> Result<(), Complaint> {
    let Some(what) = (here.kind)(into).oddity() else { return Ok(()) };
    let shown = escape_path(into);
    Err(Complaint::Usage(format!(
        "{shown} is {what}, which no file can replace; for standard output write '-': qft get REMOTE:FILE - >{shown}"
    )))
}

/// The patterns with the directories that they were named below.
fn as_typed(spec: Option<&Spec>, far: &[Vec<u8>], patterns: &[Vec<u8>]) -> Vec<String> {
    let dir = |n| match spec {
        Some(Spec::Local { path }) => path.as_slice(),
        _ => far.get(n).map_or(&b""[..], Vec::as_slice),
    };
    let whole = |(n, pattern): (usize, &Vec<u8>)| escape(&[dir(n), pattern].concat()).to_string();
    patterns.iter().enumerate().map(whole).collect()
}

/// Standard output takes the content of one file, and nothing beside it.
fn refuse_for_stdout(patterns: &[Vec<u8>], json: bool) -> Result<(), Complaint> {
    if json {
        return Err(Complaint::usage("'-' and --json both want standard output"));
    }
    let is_directory = |pattern: &Vec<u8>| pattern.is_empty() || pattern.ends_with(b"/");
    if patterns.len() > 1 || patterns.iter().any(is_directory) {
        return Err(Complaint::usage("'-' (standard output) takes one file"));
    }
    Ok(())
}

/// Takes the local destination off the remote paths.
fn split_output(args: &GetArgs) -> Result<(Vec<OsString>, PathBuf), Complaint> {
    let mut wanted = args.paths.clone();
    let into = match (&args.output_path, wanted.last()) {
        (Some(output), _) => output.clone(),
        (None, Some(last)) if wanted.len() > 1 && !remote::is_remote(last) => {
            PathBuf::from(wanted.pop().expect("there is a last one"))
        }
        _ => PathBuf::from("."),
    };
    match wanted.iter().any(|path| path == DASH) {
        true => Err(Complaint::usage("'-' is where to, not what: qft get REMOTE:FILE -")),
        false => Ok((wanted, into)),
    }
}

fn refuse_second_directory(wanted: &[OsString], is_list: bool) -> Result<(), Complaint> {
    match is_list && wanted.len() > 1 {
        true => Err(Complaint::usage(
            "with --files-from there is one directory, which its names are below: qft get --files-from LIST [REMOTE:][DIR] [TO]",
        )),
        false => Ok(()),
    }
}

/// The patterns of `qft get`, and the server that they are for.
struct GetWords {
    spec: Option<Spec>,
    far: Vec<Vec<u8>>,
    patterns: Vec<Vec<u8>>,
}

/// The one remote that all arguments name, and what is wanted of it.
fn wanted_from(
    wanted: &[OsString],
    flag: Option<&OsStr>,
    env: Option<&OsStr>,
    ssh: &SshArgs,
    is_list: bool,
) -> Result<GetWords, Complaint> {
    // The names of a list are below a directory, which may be the whole remote.
    let below_directory = |mut path: Vec<u8>| {
        if is_list && !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        path
    };
    let whole = [OsString::new()];
    let wanted = if wanted.is_empty() { &whole[..] } else { wanted };
    let shaped = wanted.iter().filter(|arg| remote::is_remote(arg)).count();
    if shaped == 0 {
        let spec = through_ssh(named(None, flag, env)?, ssh)?;
        let base = spec.as_ref().map_or(&b""[..], Spec::path);
        let paths = wanted.iter().map(|path| below_directory(remote::below(base, path.as_bytes()))).collect();
        return split_paths(spec, paths);
    }
    if shaped < wanted.len() {
        return Err(Complaint::usage(
            "name the remote for each path, or for none: qft get box:a box:b DIR; a local name with a colon is written \
             ./a:b",
        ));
    }
    let specs: Vec<Spec> = wanted.iter().map(|arg| remote::parse(arg)).collect::<Result<_, _>>()?;
    if !specs.iter().all(|spec| spec.is_same_remote(&specs[0]))
        && !specs.iter().all(|s| matches!(s, Spec::Local { .. }))
    {
        let last = wanted.last().map(|last| escape(last.as_bytes()).to_string()).unwrap_or_default();
        return Err(Complaint::Usage(format!("one remote at a time; if {last} is meant here: ./{last}")));
    }
    let paths = specs.iter().map(|spec| below_directory(spec.path().to_vec())).collect();
    split_paths(through_ssh(named(specs.into_iter().next(), flag, env)?, ssh)?, paths)
}

/// Makes patterns of paths. Paths behind `local:` and ssh are ordinary ones: their directory becomes the served root.
fn split_paths(spec: Option<Spec>, paths: Vec<Vec<u8>>) -> Result<GetWords, Complaint> {
    match spec {
        Some(Spec::Local { .. }) => split_local(&paths),
        Some(Spec::Ssh { .. }) => {
            let split: Vec<_> = paths.iter().map(|path| split_far(path)).collect();
            let patterns = split.iter().map(|(_, rest)| pattern(rest)).collect::<Result<_, _>>()?;
            Ok(GetWords { spec, far: split.iter().map(|(dir, _)| dir.to_vec()).collect(), patterns })
        }
        spec => {
            let patterns = paths.iter().map(|path| pattern(path)).collect::<Result<_, _>>()?;
            Ok(GetWords { spec, far: Vec::new(), patterns })
        }
    }
}

fn split_local(paths: &[Vec<u8>]) -> Result<GetWords, Complaint> {
    // The home directory alone has nothing above it to look from.
    let split = paths.iter().map(|path| if path == b"~" { (&path[..], &b""[..]) } else { split_root(path) });
    let split: Vec<_> = split.collect();
    let root = split[0].0;
    if split.iter().any(|(other, _)| *other != root) {
        return Err(Complaint::usage("local: paths of one command must be in one directory"));
    }
    let patterns = split.iter().map(|(_, rest)| pattern(rest)).collect::<Result<_, _>>()?;
    Ok(GetWords { spec: Some(Spec::Local { path: root.to_vec() }), far: Vec::new(), patterns })
}

fn ends_like_directory(path: &Path) -> bool {
    let raw = path.as_os_str().as_bytes();
    raw.ends_with(b"/") || matches!(raw.rsplit(|b| *b == b'/').next(), Some(b"." | b".."))
}
