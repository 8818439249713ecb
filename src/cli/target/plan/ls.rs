//! `qft ls`, planned.

use std::ffi::OsStr;

use super::super::here::LocalContext;
use super::super::remote::{self, Spec, pattern};
use super::split::{is_glob, split_far, split_root};
use super::{forgotten_remote, named, through_ssh};
use crate::cli::args::{LsArgs, SshArgs};
use crate::cli::exit::Complaint;

/// The plan of `qft ls`.
#[derive(Debug)]
pub(crate) struct LsPlan {
    /// `None`: the default remote.
    pub(crate) spec: Option<Spec>,
    /// The pattern's directory, for a far end behind ssh, or where a local path parts; no path elsewhere.
    pub(crate) far: Vec<Vec<u8>>,
    pub(crate) pattern: Vec<u8>,
}

pub(crate) fn ls(args: &LsArgs, here: &LocalContext) -> Result<LsPlan, Complaint> {
    let path = args.path.clone().unwrap_or_default();
    let env = here.remote.as_deref();
    if args.from.is_none()
        && let Some(complaint) = forgotten_remote(&path, here, |remote| format!("qft ls {remote}"))
    {
        return Err(complaint);
    }
    if !path.is_empty() && remote::is_remote(&path) {
        let last = remote::parse(&path)?;
        let spec = through_ssh(named(Some(last), args.from.as_deref(), env)?, &args.query.ssh)?;
        return match spec {
            Some(Spec::Local { path }) if is_below_directory(&path, here)? => {
                let (root, rest) = split_root(&path);
                Ok(LsPlan {
                    spec: Some(Spec::Local { path: root.to_vec() }),
                    far: vec![root.to_vec()],
                    pattern: pattern(rest)?,
                })
            }
            spec => ls_of(spec, Vec::new()),
        };
    }
    ls_of(through_ssh(named(None, args.from.as_deref(), env)?, &args.query.ssh)?, path.into_encoded_bytes())
}

/// Whether a path behind `local:` is looked for in its directory: a glob, and what is no directory itself.
fn is_below_directory(path: &[u8], here: &LocalContext) -> Result<bool, Complaint> {
    Ok(is_glob(path) || !here.is_dir(&remote::local_path(path)?))
}

/// Resolves a place on a remote, as `qft ls` would without other options.
pub(crate) fn remote_place(place: &OsStr, ssh: &SshArgs) -> Result<LsPlan, Complaint> {
    ls_of(through_ssh(Some(remote::parse(place)?), ssh)?, Vec::new())
}

fn ls_of(spec: Option<Spec>, path: Vec<u8>) -> Result<LsPlan, Complaint> {
    match spec {
        Some(Spec::Local { path: root }) => {
            Ok(LsPlan { pattern: pattern(&path)?, far: Vec::new(), spec: Some(Spec::Local { path: root }) })
        }
        Some(spec @ Spec::Ssh { .. }) => {
            let path = remote::below(spec.path(), &path);
            let (dir, rest) = split_far(&path);
            Ok(LsPlan { pattern: pattern(rest)?, far: vec![dir.to_vec()], spec: Some(spec) })
        }
        Some(spec) => {
            let pattern = pattern(&remote::below(spec.path(), &path))?;
            Ok(LsPlan { pattern, far: Vec::new(), spec: Some(spec) })
        }
        None => Ok(LsPlan { pattern: pattern(&path)?, far: Vec::new(), spec: None }),
    }
}
