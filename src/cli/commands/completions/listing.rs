//! What is in a directory of a remote: asked with a short wait and without a question, and kept for some seconds, for
//! whoever completes a name presses Tab more than once.
//!
//! Every error leads to no names; a terminal that waits for a Tab is no place for messages.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::super::send::REMOTE_VARIABLE;
use super::due::Typed;
use crate::atomic_file::Draft;
use crate::cli::args::{Commands, HostKeyArg, LsArgs};
use crate::cli::config;
use crate::cli::ssh::without_questions;
use crate::cli::target::connect::{Connected, View, resolve_view};
use crate::cli::target::here::LocalContext;
use crate::cli::target::plan::{self, LsPlan};
use crate::cli::target::remote::Spec;
use crate::keys::{self, Ticket};
use crate::protocol::message::{Kind, ListingEntry};

/// Longest wait for a server: some round trips of a satellite, and what a person takes for no answer.
const SERVER_WAIT: Duration = Duration::from_secs(2);
/// The same through ssh, which takes several round trips more before it has begun.
const SSH_WAIT: Duration = Duration::from_secs(5);
/// How long names are kept, and that there are none.
const KEPT: Duration = Duration::from_secs(10);
/// Largest answer that is kept. Who has more names in a directory waits for them each time.
const KEPT_BYTES_MAX: u64 = 1 << 20;
/// The directory of kept answers.
const DIRECTORY: &str = "qft-completions";

/// A name, and whether it is a directory's.
pub(super) type Name = (Vec<u8>, bool);

/// The names in a directory: `dir` is `REMOTE:DIR/`, or `DIR/` on the default remote, as it was typed.
pub(super) fn names_in(typed: &Typed, dir: &OsStr) -> Vec<Name> {
    let line = command_line(typed, dir);
    let kept = kept_at(&line);
    if let Some(names) = kept.as_deref().and_then(read_kept) {
        return names;
    }
    let names = ask(&line).unwrap_or_default();
    kept.iter().for_each(|path| keep(path, &names));
    names
}

/// The `qft ls` that was meant, with what the user has typed about trust and ssh.
fn command_line(typed: &Typed, dir: &OsStr) -> Vec<OsString> {
    let wait = SERVER_WAIT.as_secs();
    let mut line: Vec<OsString> = ["qft", "ls", &format!("--timeout={wait}s")].map(OsString::from).into();
    for (id, value) in &typed.options {
        let long = match id.as_str() {
            "from" | "port" | "fingerprint" | "ca" | "cert" | "key" | "ssh" | "rsh" => id.as_str().to_owned(),
            "token_file" | "remote_qft" | "ssh_ports" => id.as_str().replace('_', "-"),
            _ => continue,
        };
        let mut word = OsString::from(format!("--{long}"));
        if let Some(value) = value {
            word.push("=");
            word.push(value);
        }
        line.push(word);
    }
    line.push("--".into());
    line.extend((!dir.is_empty()).then(|| dir.to_owned()));
    line
}

/// Asks the remote, on a thread that nobody waits for any longer than a person would.
fn ask(line: &[OsString]) -> Option<Vec<Name>> {
    let Commands::Ls(mut args) = config::parse(line).ok()?.command else { return None };
    let plan = plan::ls(&args, &LocalContext::new(std::env::var_os(REMOTE_VARIABLE))).ok()?;
    let is_far = matches!(plan.spec, Some(Spec::Ssh { .. }));
    if !may_be_asked(plan.spec.as_ref(), is_far) {
        return None;
    }
    args.query.trust.host_key = HostKeyArg::Strict;
    let wait = if is_far { SSH_WAIT } else { SERVER_WAIT };
    if is_far {
        args.query.ssh.rsh = Some(without_questions(args.query.ssh.rsh.as_deref(), SSH_WAIT)?);
        args.query.timeout = SSH_WAIT;
    }
    // Nobody can be asked, and nothing is to be said.
    args.query.json = true;
    let (names, asked) = mpsc::channel();
    let list = move || drop(list(&args, plan, &names));
    std::thread::Builder::new().name("qft-completions".to_owned()).spawn(list).ok()?;
    asked.recv_timeout(wait).ok()
}

/// A ticket's invite is for a transfer that somebody starts, and a home is not made for a Tab.
fn may_be_asked(spec: Option<&Spec>, is_far: bool) -> bool {
    match spec {
        Some(Spec::Url { ticket, .. }) => ticket.0.parse().is_ok_and(|ticket: Ticket| ticket.invite.is_none()),
        Some(Spec::Local { .. }) => false,
        _ if is_far => true,
        _ => keys::home().is_ok_and(|home| home.is_dir()),
    }
}

fn list(args: &LsArgs, plan: LsPlan, names: &mpsc::Sender<Vec<Name>>) -> anyhow::Result<()> {
    let View { target, settings, pattern, .. } = resolve_view(plan, &args.query)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listed = runtime.block_on(async {
        let connected = Connected::open(&target.place, settings).await?;
        anyhow::Ok(connected.client.list(connected.contact.clone(), pattern, false).await?)
    });
    // The caller need not wait until the far end has ended as well.
    drop(names.send(listed?.entries.iter().map(name).collect()));
    runtime.shutdown_background();
    Ok(())
}

fn name(entry: &ListingEntry) -> Name {
    let path = entry.path.as_bytes();
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    (path[start..].to_vec(), entry.kind == Kind::Dir)
}

/// Where the answer to this line is kept; `None`: nowhere.
fn kept_at(line: &[OsString]) -> Option<PathBuf> {
    let home = keys::home().ok();
    let mut key = Sha256::new();
    let around = [home.clone().map(PathBuf::into_os_string), std::env::var_os(REMOTE_VARIABLE)];
    // The meaning of a relative file name depends on the working directory.
    let here = std::env::current_dir().ok().map(PathBuf::into_os_string);
    for word in around.iter().flatten().chain(&here).chain(line) {
        key.update(word.as_bytes());
        key.update([0]);
    }
    let name = data_encoding::HEXLOWER.encode(&key.finalize()[..16]);
    Some(private_directory(home)?.join(name))
}

/// A directory that is this user's alone: below the one of this session, or in the home.
fn private_directory(home: Option<PathBuf>) -> Option<PathBuf> {
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let mut above = session.into_iter().chain(home).filter(|dir| is_private(dir));
    let dir = above.next()?.join(DIRECTORY);
    drop(DirBuilder::new().mode(0o700).create(&dir));
    is_private(&dir).then_some(dir)
}

fn is_private(dir: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    dir.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own && meta.mode() & 0o022 == 0)
}

/// The names that are cached there, unless they are too old.
fn read_kept(path: &Path) -> Option<Vec<Name>> {
    let is_fresh = fs::metadata(path).is_ok_and(|meta| is_fresh(meta.modified().ok(), SystemTime::now()));
    let text = fs::read(path).ok().filter(|_| is_fresh)?;
    let names = text.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    // A name has no slash in it, so one behind it tells a directory's.
    Some(names.map(|name| (name.strip_suffix(b"/").unwrap_or(name).to_vec(), name.ends_with(b"/"))).collect())
}

fn is_fresh(written: Option<SystemTime>, now: SystemTime) -> bool {
    written.and_then(|written| now.duration_since(written).ok()).is_some_and(|age| age < KEPT)
}

/// Keeps an answer, and throws away those that are too old.
fn keep(path: &Path, names: &[Name]) {
    let Some(dir) = path.parent() else { return };
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let written = entry.metadata().ok().and_then(|meta| meta.modified().ok());
        if !is_fresh(written, SystemTime::now()) {
            drop(fs::remove_file(entry.path()));
        }
    }
    let ends = names.iter().flat_map(|(name, is_dir)| [&name[..], if *is_dir { b"/\0" } else { b"\0" }]);
    let text = ends.collect::<Vec<_>>().concat();
    if text.len() as u64 > KEPT_BYTES_MAX {
        return;
    }
    // Two shells may write at once: each to a name of its own, and the last one stays.
    let write = || {
        let mut draft = Draft::of_this_process(path, 0o600)?;
        draft.file().write_all(&text)?;
        draft.replace()
    };
    // Without it the server is asked again.
    let _: io::Result<_> = write();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_only_for_some_seconds() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("answer");
        assert_eq!(read_kept(&path), None);
        let names = vec![(b"logs".to_vec(), true), (b"a b\n\xff".to_vec(), false)];
        keep(&path, &names);
        assert_eq!(read_kept(&path), Some(names));
        keep(&path, &[]);
        assert_eq!(read_kept(&path), Some(Vec::new()), "nothing is an answer as well");
        let now = SystemTime::now();
        for (written, is_kept) in [(now, true), (now - KEPT, false), (now + KEPT, false)] {
            assert_eq!(is_fresh(Some(written), now), is_kept);
        }
        assert!(!is_fresh(None, now));
    }

    #[test]
    fn answers_that_are_too_old_are_thrown_away_by_the_next() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        keep(&old, &[]);
        let long_ago = SystemTime::now() - 2 * KEPT;
        fs::File::open(&old).and_then(|file| file.set_modified(long_ago)).expect("it is ours");
        keep(&new, &[]);
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn a_directory_that_others_can_write_to_keeps_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(is_private(dir.path()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("ours");
        assert!(!is_private(dir.path()));
        std::os::unix::fs::symlink("/", dir.path().join("link")).expect("made");
        assert!(!is_private(&dir.path().join("link")));
    }
}
