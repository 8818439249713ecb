//! From what was typed to what will be done: which remote, which files, which options.
//!
//! Pure as far as possible: the file system and the list of known remotes come in as arguments.

mod get;
mod ls;
mod place;
mod send;
mod split;

use std::ffi::{OsStr, OsString};

pub(crate) use self::get::get;
pub(crate) use self::ls::{LsPlan, ls};
pub(crate) use self::place::{Found, Place, Standing, place};
pub(crate) use self::send::{Source, send};
pub(crate) use self::split::below_far_root;
use super::args::{HabitArgs, SshArgs};
use super::exit::Complaint;
use super::remote::{self, Spec};

/// The argument that stands for standard input or output.
const DASH: &str = "-";

/// What rsync would do and qft does not.
fn refuse_habits(habits: &HabitArgs) -> Result<(), Complaint> {
    if habits.compress {
        return Err(Complaint::usage(
            "qft does not compress (-z); try: tar c DIR | zstd | qft send - REMOTE:DIR.tar.zst",
        ));
    }
    match habits.delete {
        true => Err(Complaint::usage("qft deletes nothing (--delete): what is there and not here stays")),
        false => Ok(()),
    }
}

/// An empty word would be all there is on a remote.
fn refuse_empty(paths: &[OsString]) -> Result<(), Complaint> {
    match paths.iter().any(|path| path.is_empty()) {
        true => Err(Complaint::usage("an empty argument names nothing: is a variable empty? '.' is all that is here")),
        false => Ok(()),
    }
}

/// The remote that the words name, in this order: the last argument, the flag, the environment.
///
/// The environment gives way silently; an argument and a flag contradict each other.
fn named(last: Option<Spec>, flag: Option<&OsStr>, env: Option<&OsStr>) -> Result<Option<Spec>, Complaint> {
    match (last, flag, env.filter(|value| !value.is_empty())) {
        (Some(_), Some(_), _) => Err(Complaint::usage("the remote is named twice: as an argument and by an option")),
        (Some(spec), None, _) => Ok(Some(spec)),
        (None, Some(value), _) | (None, None, Some(value)) => remote::parse_bare(value).map(Some),
        (None, None, None) => Ok(None),
    }
}

/// Applies `--ssh`, and refuses the options of ssh where ssh is not used.
fn through_ssh(spec: Option<Spec>, ssh: &SshArgs) -> Result<Option<Spec>, Complaint> {
    let is_far = matches!(spec, Some(Spec::Ssh { .. }));
    match spec {
        Some(spec) if ssh.ssh => spec.through_ssh().map(Some),
        None if ssh.ssh => Err(Complaint::usage("--ssh needs a host: HOST:[PATH]")),
        _ if !is_far && (ssh.remote_qft.is_some() || ssh.ssh_ports.is_some()) => {
            Err(Complaint::usage("--remote-qft and --ssh-ports are for ssh: write USER@HOST:[PATH], or add --ssh"))
        }
        spec => Ok(spec),
    }
}

#[cfg(test)]
mod tests;
