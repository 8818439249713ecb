//! From what was typed to what will be done: which remote, which files, which options.
//!
//! Pure as far as possible: the file system and the list of known remotes come in as arguments.
//!
//! | file | holds |
//! |---|---|
//! | `send`, `get`, `ls` | the plan of each command |
//! | `place` | the server that the words for a remote lead to |
//! | `split` | where a path parts into the directory that is served and the pattern below it |

mod get;
mod ls;
mod place;
mod send;
mod split;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub(crate) use self::get::get;
pub(crate) use self::ls::{LsPlan, ls, remote_place};
pub(crate) use self::place::{KnownStatus, ResolvedName, ServerTarget, UnknownServer, place};
pub(crate) use self::send::{SendSource, send};
pub(crate) use self::split::below_far_root;
use super::here::{LocalContext, PathKind, WordMeaning};
use super::remote::{self, Spec};
use crate::cli::args::{HabitArgs, SshArgs};
use crate::cli::exit::Complaint;
use crate::keys::Host;
use crate::protocol::path::escape;

/// The argument that stands for standard input or output.
const DASH: &str = "-";

/// Options that rsync has and qft has not.
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

/// A word without a colon that names a remote, and nothing here: the line that was meant. `line` makes it of the word
/// that it needs.
pub(crate) fn forgotten_colon(word: &OsStr, here: &LocalContext, line: impl Fn(&str) -> String) -> Option<Complaint> {
    let text = word.to_str().filter(|text| !text.contains(':') && *text != DASH)?;
    let shown = escape(word.as_bytes());
    if let Some((name, path)) = text.split_once('/') {
        let is_remote = (here.known)(name) == Some(WordMeaning::Remote);
        let said = || format!("{} is a remote here: {}", escape(name.as_bytes()), line(&format!("{name}:{path}")));
        return is_remote.then(said).map(Complaint::Usage);
    }
    let (host, is_user) = match text.rsplit_once('@') {
        Some((_, host)) => (host, true),
        None => (text, false),
    };
    let is_address = text.parse::<Host>().is_ok_and(|host| host.ip().is_some());
    match (here.known)(text) {
        Some(WordMeaning::Remote) => Some(format!("{shown} is a remote here: {}", line(&format!("{text}:")))),
        Some(WordMeaning::SshHost) => {
            Some(format!("{shown} is a host of ~/.ssh/config; through ssh: {}", line(&format!("--ssh {text}:"))))
        }
        None if is_user && host.parse::<Host>().is_ok() => {
            Some(format!("{shown} has no colon; through ssh: {}", line(&format!("{text}:"))))
        }
        None if is_address => Some(format!("{shown} has no colon; to a server there: {}", line(&format!("{text}:")))),
        None => None,
    }
    .map(Complaint::Usage)
}

/// The same for a word that is a path on the default remote unless it names another: only what is surely a name, for
/// files are called `me@2x.png` too.
fn forgotten_remote(word: &OsStr, here: &LocalContext, line: impl Fn(&str) -> String) -> Option<Complaint> {
    let text = word.to_str()?;
    let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let is_sure = match (here.known)(host) {
        Some(WordMeaning::Remote) => true,
        Some(WordMeaning::SshHost) => host != text,
        None => text != host && host.parse::<Host>().is_ok_and(|host| host.ip().is_some()),
    };
    if is_sure { forgotten_colon(word, here, line) } else { None }
}

/// `-P 2222`, as scp takes ssh's port: here `-P` is rsync's, and the number would be the name of a file.
fn refuse_scp_port(habits: &HabitArgs, paths: &[OsString], here: &LocalContext) -> Result<(), Complaint> {
    let is_number = |path: &&OsString| path.as_bytes().iter().all(u8::is_ascii_digit);
    let is_missing = |path: &&OsString| (here.kind)(Path::new(path)) == PathKind::Missing;
    match paths.iter().filter(is_number).find(is_missing).filter(|_| habits.partial) {
        None => Ok(()),
        Some(number) => {
            let number = escape(number.as_bytes());
            Err(Complaint::Usage(format!(
                "{number}: -P is rsync's (--partial --progress) and takes no value; ssh's port: -e 'ssh -p {number}'; \
                 a server's: -p {number}"
            )))
        }
    }
}

/// The remote that the words name, in this order: the last argument, the flag, the environment.
///
/// The environment gives way silently; an argument and a flag contradict each other.
fn named(last: Option<Spec>, flag: Option<&OsStr>, env: Option<&OsStr>) -> Result<Option<Spec>, Complaint> {
    match (last, flag, env.filter(|value| !value.is_empty())) {
        (Some(_), Some(flag), _) => Err(Complaint::Usage(format!(
            "the remote is named twice: as an argument, and by an option (-t, -f) as '{}'",
            escape(flag.as_bytes())
        ))),
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
