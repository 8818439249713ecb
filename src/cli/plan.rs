//! From what was typed to what will be done: which remote, which files, which options.
//!
//! Pure as far as possible: the file system and the list of known remotes come in as arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::args::{GetArgs, HabitArgs, LsArgs, SendArgs, SshArgs};
use super::ask::Stranger;
use super::exit::Complaint;
use super::remote::{self, Spec, TicketText, destination, pattern};
use super::ssh::Far;
use crate::client::{GetOptions, SendOptions};
use crate::protocol::message::Target;
use crate::protocol::path::{WirePath, escape};
use crate::transport::trust::Remote;
use crate::transport::{Contact, DEFAULT_PORT, Ticket, TicketError, address, parse_host_port};

/// The argument that stands for standard input or output.
const DASH: &str = "-";
/// What makes a pattern of a name.
const GLOB_SIGNS: &[u8] = b"*?[{\\";

/// Where the other side is.
#[derive(Clone)]
pub(crate) enum Place {
    /// A server somewhere.
    Remote {
        /// How to reach it, and how to recognise it.
        contact: Contact,
        /// Its name here, or its host.
        label: String,
        /// Whether it is known here.
        standing: Standing,
    },
    /// A server that was started through ssh for this run.
    Far(Box<Far>),
    /// A server in this process.
    Local {
        /// The directory that it serves.
        root: PathBuf,
    },
}

/// Whether a remote is in the list of known ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    Known {
        /// In which line, from 1.
        line: usize,
        /// Since which day, if that was written down.
        since: Option<String>,
    },
    /// It will be, once the first connection stands.
    New {
        /// Under this name; `None`: the server's own.
        name: Option<String>,
    },
    /// It need not be: a certificate vouches for it every time.
    Certified,
}

/// What the words that name a remote lead to.
pub(crate) enum Found {
    /// A place whose identity is settled.
    Place(Place),
    /// A server whose identity is not known here.
    Stranger(Stranger),
}

impl Place {
    /// A remote from the list.
    pub(crate) fn known(remote: &Remote) -> Self {
        let standing = Standing::Known { line: remote.line, since: remote.since.clone() };
        Self::Remote { contact: remote.ticket.clone().into(), label: remote.name.clone(), standing }
    }

    /// The first line of every transfer: arrow, target, address.
    pub(crate) fn header(&self, arrow: &str, path: &str) -> String {
        match self {
            Self::Remote { label, .. } => format!("{arrow} {label}:{path}  {}", self.address()),
            Self::Far(far) => {
                format!("{arrow} {}:{path}  {}, started through ssh", escape(far.host.as_bytes()), self.address())
            }
            Self::Local { root } => format!("{arrow} local:{}", escape(root.as_os_str().as_bytes())),
        }
    }

    /// `HOST:PORT`, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Remote { contact, .. } => contact.address(),
            Self::Far(far) => far.ticket.address(),
            Self::Local { .. } => "local".to_owned(),
        }
    }
}

/// What `qft send` will do.
pub(crate) struct SendPlan {
    /// `None`: the default remote.
    pub(crate) spec: Option<Spec>,
    /// What to ask a far end behind ssh for; no path elsewhere.
    pub(crate) far: Vec<Vec<u8>>,
    /// What to send.
    pub(crate) source: Source,
    /// How.
    pub(crate) options: SendOptions,
    /// The destination for the header line.
    pub(crate) shown: String,
    /// Things the user may have meant otherwise.
    pub(crate) hints: Vec<String>,
}

/// Where content comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Files and directories.
    Paths(Vec<PathBuf>),
    /// Standard input, which will have this name.
    Stdin(OsString),
}

/// What `qft get` will do.
pub(crate) struct GetPlan {
    /// `None`: the default remote.
    pub(crate) spec: Option<Spec>,
    /// The directory of each pattern, for a far end behind ssh; no path elsewhere.
    pub(crate) far: Vec<Vec<u8>>,
    /// What to ask for.
    pub(crate) patterns: Vec<Vec<u8>>,
    /// `None`: standard output.
    pub(crate) into: Option<PathBuf>,
    /// How.
    pub(crate) options: GetOptions,
    /// The patterns for the header line.
    pub(crate) shown: String,
    /// Things the user may have meant otherwise.
    pub(crate) hints: Vec<String>,
}

/// What `qft ls` will do.
#[derive(Debug)]
pub(crate) struct LsPlan {
    /// `None`: the default remote.
    pub(crate) spec: Option<Spec>,
    /// The pattern's directory, for a far end behind ssh; no path elsewhere.
    pub(crate) far: Vec<Vec<u8>>,
    /// What to list.
    pub(crate) pattern: Vec<u8>,
}

/// Resolves `qft send`. `is_dir` tells whether a local path is a directory.
pub(crate) fn send(
    args: &SendArgs,
    env: Option<&OsStr>,
    is_dir: impl Fn(&Path) -> bool,
) -> Result<SendPlan, Complaint> {
    refuse_compression(&args.job.habits)?;
    let (paths, last) = split_last_remote(&args.paths)?;
    let spec = through_ssh(named(last, args.to.as_deref(), env)?, &args.job.ssh)?;
    let is_local = matches!(spec, Some(Spec::Local { .. }));
    let is_far = matches!(spec, Some(Spec::Ssh { .. }));
    let path = spec.as_ref().filter(|_| !is_local).map_or(&b""[..], Spec::path);
    let destination = if is_far { remote::far_destination(path) } else { destination(path)? };
    let mut far: Vec<Vec<u8>> = is_far.then(|| path.to_vec()).into_iter().collect();
    let mut hints: Vec<String> = spec.as_ref().and_then(Spec::port_hint).into_iter().collect();
    if args.job.conflict.no_sync && !is_local && !is_far {
        hints.push("--no-sync changes nothing here: the server decides (qft serve --no-sync)".to_owned());
    }
    let (source, to, target) = match paths.iter().any(|path| path == DASH) {
        true if is_far => {
            let (dir, name) = remote::far_name(path).ok_or_else(nameless)?;
            far = vec![dir.to_vec()];
            (stdin_alone(&paths, name)?, None, Target::Directory)
        }
        true => stdin_source(&paths, &destination)?,
        false => {
            let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
            let into = destination.is_directory || paths.len() > 1 || paths.iter().any(|path| is_dir(path));
            let target = if into { Target::Directory } else { Target::FileOrDirectory };
            (Source::Paths(paths), destination.to, target)
        }
    };
    let options = SendOptions {
        to,
        target,
        if_exists: args.job.conflict.if_exists.into(),
        checksum: args.job.conflict.checksum,
        dry_run: args.job.conflict.dry_run,
        resume: !args.job.conflict.no_resume,
        jobs: args.job.link.jobs,
        excludes: args.job.choice.exclude.clone(),
        includes: args.job.choice.include.clone(),
        links: args.job.choice.links,
    };
    Ok(SendPlan { shown: escape(path).to_string(), spec, far, source, options, hints })
}

/// Standard input goes under the destination's last name, whether or not a directory of that name exists.
fn stdin_source(
    paths: &[OsString],
    destination: &remote::Destination,
) -> Result<(Source, Option<WirePath>, Target), Complaint> {
    match &destination.to {
        Some(to) if !destination.is_directory => Ok((stdin_alone(paths, to.name())?, to.parent(), Target::Directory)),
        _ => stdin_alone(paths, b"").and_then(|_| Err(nameless())),
    }
}

fn stdin_alone(paths: &[OsString], name: &[u8]) -> Result<Source, Complaint> {
    match paths.len() {
        1 => Ok(Source::Stdin(OsStr::from_bytes(name).to_owned())),
        _ => Err(Complaint::usage("'-' (standard input) must be the only source; a file of that name is ./-")),
    }
}

fn nameless() -> Complaint {
    Complaint::usage("standard input needs a name there: qft send - REMOTE:NAME")
}

/// Resolves `qft get`. `is_dir` tells whether a local path is a directory.
pub(crate) fn get(args: &GetArgs, env: Option<&OsStr>, is_dir: impl Fn(&Path) -> bool) -> Result<GetPlan, Complaint> {
    refuse_compression(&args.job.habits)?;
    let (wanted, into) = split_output(args)?;
    let Wanted { spec, far, patterns } = wanted_from(&wanted, args.from.as_deref(), env, &args.job.ssh)?;
    let to_stdout = into.as_os_str() == DASH;
    if to_stdout && args.job.output.json {
        return Err(Complaint::usage("'-' and --json both want standard output"));
    }
    if to_stdout && patterns.len() > 1 {
        return Err(Complaint::usage("'-' (standard output) takes one file"));
    }
    let single = match patterns.as_slice() {
        [pattern] => !pattern.is_empty() && !pattern.ends_with(b"/") && !is_glob(pattern),
        _ => false,
    };
    let into_dir = to_stdout || !single || ends_like_directory(&into) || is_dir(&into);
    let options = GetOptions {
        target: if into_dir { Target::Directory } else { Target::FileOrDirectory },
        if_exists: args.job.conflict.if_exists.into(),
        checksum: args.job.conflict.checksum,
        dry_run: args.job.conflict.dry_run,
        resume: !args.job.conflict.no_resume,
        excludes: args.job.choice.exclude.clone(),
        includes: args.job.choice.include.clone(),
        links: args.job.choice.links,
        sync: !args.job.conflict.no_sync && !to_stdout,
    };
    let typed = (0..patterns.len()).map(|n| [far.get(n).map_or(&b""[..], |dir| dir), &patterns[n]].concat());
    let shown = typed.map(|path| escape(&path).to_string()).collect::<Vec<_>>().join(" ");
    let hints = spec.as_ref().and_then(Spec::port_hint).into_iter().collect();
    Ok(GetPlan { spec, far, patterns, into: (!to_stdout).then_some(into), options, shown, hints })
}

/// Resolves `qft ls`.
pub(crate) fn ls(args: &LsArgs, env: Option<&OsStr>) -> Result<LsPlan, Complaint> {
    let path = args.path.clone().unwrap_or_default();
    if !path.is_empty() && remote::is_remote(&path) {
        let last = remote::parse(&path)?;
        let spec = through_ssh(named(Some(last), args.from.as_deref(), env)?, &args.ssh)?;
        return ls_of(spec, Vec::new());
    }
    ls_of(through_ssh(named(None, args.from.as_deref(), env)?, &args.ssh)?, path.into_encoded_bytes())
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

fn refuse_compression(habits: &HabitArgs) -> Result<(), Complaint> {
    match habits.compress {
        true => {
            Err(Complaint::usage("qft does not compress (-z); try: tar c DIR | zstd | qft send - REMOTE:DIR.tar.zst"))
        }
        false => Ok(()),
    }
}

/// Takes a remote-shaped last argument off the sources.
fn split_last_remote(args: &[OsString]) -> Result<(Vec<OsString>, Option<Spec>), Complaint> {
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
    match paths.is_empty() {
        true => Err(Complaint::usage("nothing to send: qft send FILES REMOTE:[PATH]")),
        false => Ok((paths, last)),
    }
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

/// What `qft get` wants, and of whom.
struct Wanted {
    spec: Option<Spec>,
    /// See [`GetPlan::far`].
    far: Vec<Vec<u8>>,
    patterns: Vec<Vec<u8>>,
}

/// The one remote that all arguments name, and what is wanted of it.
fn wanted_from(
    wanted: &[OsString],
    flag: Option<&OsStr>,
    env: Option<&OsStr>,
    ssh: &SshArgs,
) -> Result<Wanted, Complaint> {
    let shaped = wanted.iter().filter(|arg| remote::is_remote(arg)).count();
    if shaped == 0 {
        let spec = through_ssh(named(None, flag, env)?, ssh)?;
        let base = spec.as_ref().map_or(&b""[..], Spec::path);
        let paths = wanted.iter().map(|path| remote::below(base, path.as_bytes())).collect();
        return split_paths(spec, paths);
    }
    if shaped < wanted.len() {
        return Err(Complaint::usage("name the remote for each path, or for none: qft get box:a box:b DIR"));
    }
    let specs: Vec<Spec> = wanted.iter().map(|arg| remote::parse(arg)).collect::<Result<_, _>>()?;
    if !specs.iter().all(|spec| spec.is_same_remote(&specs[0]))
        && !specs.iter().all(|s| matches!(s, Spec::Local { .. }))
    {
        return Err(Complaint::usage("one remote at a time"));
    }
    let paths = specs.iter().map(|spec| spec.path().to_vec()).collect();
    split_paths(through_ssh(named(specs.into_iter().next(), flag, env)?, ssh)?, paths)
}

/// Makes patterns of paths. Paths behind `local:` and ssh are ordinary ones: their directory becomes the served root.
fn split_paths(spec: Option<Spec>, paths: Vec<Vec<u8>>) -> Result<Wanted, Complaint> {
    match spec {
        Some(Spec::Local { .. }) => split_local(&paths),
        Some(Spec::Ssh { .. }) => {
            let split: Vec<_> = paths.iter().map(|path| split_far(path)).collect();
            let patterns = split.iter().map(|(_, rest)| pattern(rest)).collect::<Result<_, _>>()?;
            Ok(Wanted { spec, far: split.iter().map(|(dir, _)| dir.to_vec()).collect(), patterns })
        }
        spec => {
            let patterns = paths.iter().map(|path| pattern(path)).collect::<Result<_, _>>()?;
            Ok(Wanted { spec, far: Vec::new(), patterns })
        }
    }
}

fn split_local(paths: &[Vec<u8>]) -> Result<Wanted, Complaint> {
    let split: Vec<_> = paths.iter().map(|path| split_root(path)).collect();
    let root = split[0].0;
    if split.iter().any(|(other, _)| *other != root) {
        return Err(Complaint::usage("local: paths of one command must be in one directory"));
    }
    let patterns = split.iter().map(|(_, rest)| pattern(rest)).collect::<Result<_, _>>()?;
    Ok(Wanted { spec: Some(Spec::Local { path: root.to_vec() }), far: Vec::new(), patterns })
}

/// A path behind ssh as directory and pattern. A directory whose contents are meant is followed even if it is a link.
fn split_far(path: &[u8]) -> (&[u8], &[u8]) {
    match path == b"~" || (path.ends_with(b"/") && !is_glob(path)) {
        true => (path, b""),
        false => split_root(path),
    }
}

/// A local path as root and pattern: the root is all before the last component, or before the first glob.
fn split_root(path: &[u8]) -> (&[u8], &[u8]) {
    let plain = path.strip_suffix(b"/").unwrap_or(path);
    let last = plain.rsplit(|b| *b == b'/').next().unwrap_or_default();
    if last.is_empty() || last == b"." || last == b".." {
        return (path, b"");
    }
    let glob = plain.iter().position(|b| GLOB_SIGNS.contains(b)).unwrap_or(plain.len());
    match plain[..glob].iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..=slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The names of patterns below the root that a far end has chosen; `names` are those of their directories.
pub(crate) fn below_far_root(patterns: Vec<Vec<u8>>, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let joined = patterns.into_iter().zip(names).map(|(pattern, name)| match (name.is_empty(), pattern.is_empty()) {
        (true, _) => pattern,
        // The directory's contents.
        (false, true) => [name, b"/".as_slice()].concat(),
        (false, false) => remote::below(name, &pattern),
    });
    joined.collect()
}

fn is_glob(pattern: &[u8]) -> bool {
    pattern.iter().any(|b| GLOB_SIGNS.contains(b))
}

fn ends_like_directory(path: &Path) -> bool {
    let raw = path.as_os_str().as_bytes();
    raw.ends_with(b"/") || matches!(raw.rsplit(|b| *b == b'/').next(), Some(b"." | b".."))
}

/// The remote that the words name, in this order: the last argument, the flag, the environment.
///
/// The environment gives way silently; an argument and a flag contradict each other.
pub(crate) fn named(last: Option<Spec>, flag: Option<&OsStr>, env: Option<&OsStr>) -> Result<Option<Spec>, Complaint> {
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

/// Finds the remote among the known ones. `None` asks for the default, or the only one.
///
/// # Errors
/// A [`Complaint`] with the remedy, or a ticket that cannot be read.
pub(crate) fn place(
    spec: Option<&Spec>,
    known: &[Remote],
    port: Option<u16>,
    read_ticket: impl Fn(&str) -> Result<Ticket, TicketError>,
) -> anyhow::Result<Found> {
    refuse_port(spec, port)?;
    let found = match spec {
        None => Ok(fallback(known)?),
        Some(Spec::Url { ticket, .. }) => return pinned(ticket, known, read_ticket).map(Found::Place),
        Some(Spec::Local { path }) => return Ok(Found::Place(Place::Local { root: remote::local_path(path) })),
        Some(Spec::Ssh { destination, .. }) => {
            let destination = escape(destination.as_bytes());
            return Err(Complaint::Usage(format!(
                "{destination}: through ssh qft runs there only during a transfer; name a server that runs already"
            ))
            .into());
        }
        Some(Spec::Name { name, .. }) => named_or_stranger(name, port, known),
        Some(Spec::Address { host, port: given, .. }) => {
            let port = port.or(*given).unwrap_or(DEFAULT_PORT);
            by_address(host, port, known).ok_or_else(|| stranger(host, port, None, known))
        }
    };
    match found {
        Ok(remote) => Ok(Found::Place(Place::known(remote))),
        Err(stranger) => Ok(Found::Stranger(stranger?)),
    }
}

/// A port beside a remote that has one already, or needs none, was meant otherwise.
fn refuse_port(spec: Option<&Spec>, port: Option<u16>) -> Result<(), Complaint> {
    match spec {
        _ if port.is_none() => Ok(()),
        Some(Spec::Name { .. } | Spec::Address { port: None, .. }) => Ok(()),
        Some(Spec::Url { .. } | Spec::Address { .. }) => Err(Complaint::usage("the port is named twice")),
        None => Err(Complaint::usage("--port needs a host: HOST:[PATH] or --to HOST")),
        Some(Spec::Local { .. } | Spec::Ssh { .. }) => Err(Complaint::usage("--port is for a server's address")),
    }
}

/// A name is that of a remote, or its host, or the host of a stranger.
fn named_or_stranger<'a>(
    name: &str,
    port: Option<u16>,
    known: &'a [Remote],
) -> Result<&'a Remote, Result<Stranger, Complaint>> {
    let Some(port) = port else {
        return by_name(name, known).ok_or_else(|| stranger(name, DEFAULT_PORT, Some(name), known));
    };
    // With a port it is a machine; that of a known remote goes by the remote's name too.
    let host = known.iter().find(|remote| remote.name.eq_ignore_ascii_case(name)).map(|remote| &remote.ticket.host);
    let host = host.map_or(name, String::as_str);
    by_address(host, port, known).ok_or_else(|| stranger(host, port, None, known))
}

/// A server that is not known, if that can be its address. `name`: a word that may have been meant as a remote's name.
fn stranger(host: &str, port: u16, name: Option<&str>, known: &[Remote]) -> Result<Stranger, Complaint> {
    if parse_host_port(&address(host, port)).is_err() {
        return Err(unknown(host, known));
    }
    // A name with a dot is a host's.
    let unknown = name.filter(|name| !name.contains('.')).map(|name| unknown(name, known).to_string());
    Ok(Stranger { host: host.to_owned(), port, unknown })
}

fn pinned(
    text: &TicketText,
    known: &[Remote],
    read_ticket: impl Fn(&str) -> Result<Ticket, TicketError>,
) -> anyhow::Result<Place> {
    let ticket = read_ticket(&text.0).context("cannot read the ticket")?;
    let old = known.iter().find(|remote| {
        let known = &remote.ticket;
        known.fingerprint == ticket.fingerprint && known.host == ticket.host && known.port == ticket.port
    });
    let label = old.map_or_else(|| escape(ticket.host.as_bytes()).to_string(), |remote| remote.name.clone());
    let standing = match old {
        Some(old) => Standing::Known { line: old.line, since: old.since.clone() },
        None => Standing::New { name: None },
    };
    Ok(Place::Remote { contact: ticket.into(), label, standing })
}

fn fallback(known: &[Remote]) -> Result<&Remote, Complaint> {
    if let Some(default) = known.iter().find(|remote| remote.is_default) {
        return Ok(default);
    }
    match known {
        [only] => Ok(only),
        [] => Err(Complaint::usage(
            "which remote? none is known yet: run 'qft serve' on the other machine and add --to qft://... as it prints",
        )),
        many => Err(Complaint::Usage(format!(
            "which remote? name one as REMOTE:[PATH], with an option (--to, --from) or in $QFT_REMOTE; known: {}",
            names(many)
        ))),
    }
}

/// A remote by its name here, else by its host: with the default port if several share it.
fn by_name<'a>(name: &str, known: &'a [Remote]) -> Option<&'a Remote> {
    if let Some(found) = known.iter().find(|remote| remote.name.eq_ignore_ascii_case(name)) {
        return Some(found);
    }
    if let Some(found) = by_address(name, DEFAULT_PORT, known) {
        return Some(found);
    }
    let mut same_host = known.iter().filter(|remote| remote.ticket.host.eq_ignore_ascii_case(name));
    same_host.next().filter(|_| same_host.next().is_none())
}

fn by_address<'a>(host: &str, port: u16, known: &'a [Remote]) -> Option<&'a Remote> {
    known.iter().find(|remote| remote.is_at(host, port))
}

fn unknown(name: &str, known: &[Remote]) -> Complaint {
    let list = match known {
        [] => String::new(),
        known => format!(" (known: {})", names(known)),
    };
    Complaint::Unknown(format!(
        "{}: not known here{list}, and no machine has that name; ask for a ticket: run 'qft serve --invite' there and use --to qft://... once",
        escape(name.as_bytes())
    ))
}

fn names(known: &[Remote]) -> String {
    known.iter().map(|remote| remote.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
