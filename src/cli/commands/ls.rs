//! `qft ls`: names on a remote.

use std::io::{self, BufWriter, IsTerminal as _, Write};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::send::REMOTE_VARIABLE;
use crate::calendar;
use crate::cli::args::LsArgs;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::sandbox::Sandbox;
use crate::cli::run::signals::{HangUps, Signals, block_on};
use crate::cli::run::standard;
use crate::cli::run::transfer::gone;
use crate::cli::ssh::FarEnd;
use crate::cli::target::connect::{ConnectSettings, Connected, ResolvedTarget, View, explain, remember, resolve_view};
use crate::cli::target::here::LocalContext;
use crate::cli::target::plan::{self, ServerTarget};
use crate::cli::target::remote::{Spec, below};
use crate::cli::text::size;
use crate::cli::ui::json::{self, Json};
use crate::cli::ui::text::{cause, status_key};
use crate::client::Listing;
use crate::error::Error;
use crate::protocol::message::{Kind, ListingEntry, Problem};
use crate::protocol::path::escape;

pub(crate) fn run(args: &LsArgs) -> anyhow::Result<Exit> {
    let plan = plan::ls(args, &LocalContext::new(std::env::var_os(REMOTE_VARIABLE)))?;
    let port_hint = plan.spec.as_ref().and_then(Spec::port_hint);
    let View { target: ResolvedTarget { place, far_end, note }, settings, dir, pattern, typed } =
        resolve_view(plan, &args.query)?;
    let shown = escape(&typed).to_string();
    if args.query.json {
        Json::stdout().start("ls", json!({"path": shown, "address": place.address()}));
    } else if !args.quiet {
        say(&place.header("<-", &shown));
    }
    port_hint.iter().chain(&note).for_each(|line| tell(line, args));
    let (listed, far_end) = confined(&settings, &place, || {
        let list = async |signals| list(&place, settings.clone(), pattern, far_end.as_ref(), args, signals).await;
        (block_on(HangUps::End, list), far_end)
    })?;
    drop(far_end);
    let Listing { entries, problems, .. } = listed?.map_err(|error| explain(&place, by_name(typed, error)))?;
    let exit = if problems.is_empty() { Exit::Done } else { Exit::SomeFailed };
    match args.query.json {
        true => print_json(&dir, &entries, &problems, exit)?,
        false => print(&dir, &entries, args.long)?,
    }
    // Even `--quiet` wants to know that the list is not whole.
    problems.iter().for_each(|problem| say(&problem_line(&dir, problem)));
    Ok(exit)
}

/// Runs what talks to the remote on a thread that may do no more with files than that needs. What that thread cannot be
/// kept from is not said: no option here asks for details.
fn confined<T: Send>(
    settings: &ConnectSettings,
    place: &ServerTarget,
    f: impl FnOnce() -> T + Send,
) -> anyhow::Result<T> {
    let sandbox = settings.sandbox(place, false);
    std::thread::scope(|scope| {
        let run = || {
            sandbox.and_then(Sandbox::enforce);
            f()
        };
        let thread = std::thread::Builder::new().name("qft-network".to_owned()).spawn_scoped(scope, run);
        let ended = thread.context("starting a thread")?.join();
        Ok(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn problem_line(dir: &[u8], Problem { name, failure }: &Problem) -> String {
    format!("  failed: {}: {}", escape(&below(dir, name)), cause(failure))
}

async fn list(
    place: &ServerTarget,
    settings: ConnectSettings,
    pattern: Vec<u8>,
    far_end: Option<&FarEnd>,
    args: &LsArgs,
    mut signals: Signals,
) -> anyhow::Result<Result<Listing, Error>> {
    let connected = Connected::open(place, settings).await?;
    let listed = tokio::select! {
        listed = connected.client.list(connected.contact.clone(), pattern, args.recursive) => listed,
        gone = gone(far_end) => return Err(gone.error.into()),
        stop = signals.next() => return Err(Complaint::Interrupted(stop).into()),
    };
    connected.close().await;
    if let Ok(listing) = &listed {
        let saved = remember(place, &listing.peer, listing.enrolled);
        let saved = saved.unwrap_or_else(|error| Some(format!("this remote could not be saved: {error:#}")));
        saved.iter().for_each(|line| tell(line, args));
    }
    Ok(listed)
}

/// With the name that was typed for the one that was asked for, which may be shorter by the directory it is below.
fn by_name(typed: Vec<u8>, error: Error) -> Error {
    match error {
        Error::Remote { failure, .. } => Error::Remote { name: typed, failure },
        error => error,
    }
}

/// Says something beside the listing.
fn tell(line: &str, args: &LsArgs) {
    match args.query.json {
        true => Json::stdout().note("text", json!({ "text": line })),
        false if args.quiet => {}
        false => say(line),
    }
}

fn say(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Prints the entries, as names below `dir`.
fn print(dir: &[u8], entries: &[ListingEntry], long: bool) -> anyhow::Result<()> {
    let is_terminal = io::stdout().is_terminal();
    let mut out = BufWriter::new(standard::output());
    let written = entries.iter().try_for_each(|entry| write_entry(&mut out, dir, entry, long, is_terminal));
    match written.and_then(|()| out.flush()) {
        // `qft ls | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}

/// One line. A terminal gets escaped names, a pipe the bytes as they are.
fn write_entry(out: &mut impl Write, dir: &[u8], entry: &ListingEntry, long: bool, escaped: bool) -> io::Result<()> {
    if long {
        let (kind, mode) = (kind_letter(&entry.kind), mode_letters(entry.mode));
        let size = if entry.kind == Kind::File { size::bytes(entry.size) } else { "-".to_owned() };
        write!(out, "{kind}{mode}  {size:>9}  {}  ", calendar::minute_of(entry.mtime.secs))?;
    }
    write_name(out, &below(dir, entry.path.as_bytes()), escaped)?;
    match &entry.kind {
        Kind::Dir => out.write_all(b"/")?,
        Kind::Link(target) if long => {
            out.write_all(b" -> ")?;
            write_name(out, target, escaped)?;
        }
        Kind::File | Kind::Link(_) => {}
    }
    out.write_all(b"\n")
}

fn write_name(out: &mut impl Write, name: &[u8], escaped: bool) -> io::Result<()> {
    match escaped {
        true => write!(out, "{}", escape(name)),
        false => out.write_all(name),
    }
}

fn kind_letter(kind: &Kind) -> char {
    match kind {
        Kind::File => '-',
        Kind::Dir => 'd',
        Kind::Link(_) => 'l',
    }
}

fn mode_letters(mode: u32) -> String {
    (0..9).map(|bit| if mode & (0o400 >> bit) != 0 { ['r', 'w', 'x'][bit % 3] } else { '-' }).collect()
}

fn print_json(dir: &[u8], entries: &[ListingEntry], problems: &[Problem], exit: Exit) -> anyhow::Result<()> {
    let mut out = BufWriter::new(standard::output());
    match write_json(&mut out, dir, entries, problems, exit).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}

fn write_json(
    out: &mut impl Write,
    dir: &[u8],
    entries: &[ListingEntry],
    problems: &[Problem],
    exit: Exit,
) -> io::Result<()> {
    for entry in entries {
        out.write_all(&json::line("file", &entry_json(dir, entry)))?;
    }
    for problem in problems {
        let (path, failure) = (text(&below(dir, &problem.name)), &problem.failure);
        let body = json!({
            "path": path, "status": "failed", "reason": status_key(failure.status), "message": cause(failure),
        });
        out.write_all(&json::line("file", &body))?;
    }
    let bytes: u64 = entries.iter().map(|entry| entry.size).sum();
    let mut body = json!({"files": entries.len(), "bytes": bytes, "exit_code": exit.code()});
    if !problems.is_empty() {
        body["files_failed"] = problems.len().into();
    }
    out.write_all(&json::line("summary", &body))
}

fn entry_json(dir: &[u8], entry: &ListingEntry) -> Value {
    let path = below(dir, entry.path.as_bytes());
    let kind = match entry.kind {
        Kind::File => "file",
        Kind::Dir => "dir",
        Kind::Link(_) => "link",
    };
    let mut body = json!({
        "path": text(&path), "kind": kind, "size": entry.size,
        "mtime": calendar::moment_of(entry.mtime.secs), "mode": entry.mode,
    });
    if let Kind::Link(target) = &entry.kind {
        body["target"] = text(target).into();
    }
    if std::str::from_utf8(&path).is_err() {
        body["path_hex"] = data_encoding::HEXLOWER.encode(&path).into();
    }
    body
}

/// JSON escapes control characters itself, so a name stays as it is; one that is not UTF-8 is escaped.
fn text(name: &[u8]) -> String {
    std::str::from_utf8(name).map_or_else(|_| escape(name).to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Mtime;
    use crate::protocol::path::WirePath;

    fn entry(path: &[u8], kind: Kind) -> ListingEntry {
        let path = WirePath::parse(path).expect("a good path");
        ListingEntry { path, kind, size: 1_288_490_188, mtime: Mtime { secs: 1_772_460_309, nanos: 5 }, mode: 0o644 }
    }

    fn line(entry: &ListingEntry, long: bool, escaped: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write_entry(&mut out, b"", entry, long, escaped).expect("memory takes everything");
        out
    }

    #[test]
    fn a_terminal_gets_escaped_names_and_a_pipe_raw_ones() {
        let nasty = entry(b"a\x1b[2J\xff", Kind::File);
        assert_eq!(line(&nasty, false, true), b"a\\033[2J\\377\n");
        assert_eq!(line(&nasty, false, false), b"a\x1b[2J\xff\n");
    }

    #[test]
    fn the_long_form_has_bits_size_and_time() {
        let file = entry(b"dir/file", Kind::File);
        assert_eq!(line(&file, true, true), b"-rw-r--r--    1.2 GiB  2026-03-02 14:05  dir/file\n");
        let dir = entry(b"dir", Kind::Dir);
        assert_eq!(line(&dir, true, true), b"drw-r--r--          -  2026-03-02 14:05  dir/\n");
        let link = entry(b"link", Kind::Link(b"to\nhere".to_vec()));
        assert!(line(&link, true, true).ends_with(b"link -> to\\nhere\n"));
    }

    #[test]
    fn json_keeps_the_bytes_of_every_name() {
        let body = entry_json(b"", &entry(b"a\x1b", Kind::File));
        assert_eq!((body["path"].as_str(), body.get("path_hex")), (Some("a\u{1b}"), None));
        assert_eq!(body["mtime"], "2026-03-02T14:05:09Z");
        let body = entry_json(b"", &entry(b"a\xff", Kind::Link(b"t".to_vec())));
        assert_eq!((body["path_hex"].as_str(), body["target"].as_str()), (Some("61ff"), Some("t")));
    }

    #[test]
    fn mode_bits_become_letters() {
        for (mode, letters) in [(0o755, "rwxr-xr-x"), (0o600, "rw-------"), (0, "---------"), (0o100_777, "rwxrwxrwx")]
        {
            assert_eq!(mode_letters(mode), letters);
        }
    }
}
