mod get;
mod place;
mod send;
mod ssh;

use clap::Parser as _;

use super::super::here::{LocalContext, PathKind, WordMeaning};
use super::get::GetPlan;
use super::send::SendPlan;
use super::*;
use crate::cli::args::{Cli, Commands};
use crate::keys::trust::Remote;
use crate::keys::{DEFAULT_PORT, Fingerprint, Ticket, TicketError, address};
use crate::protocol::message::Target;

fn ticket(host: &str, port: u16) -> Ticket {
    Ticket { fingerprint: Fingerprint([7; 32]), invite: None, host: host.to_owned(), port }
}

fn known(name: &str, host: &str, port: u16, is_default: bool) -> Remote {
    Remote { name: name.to_owned(), ticket: ticket(host, port), is_default, line: 1, since: None }
}

/// Reads any ticket as one for `fresh:4433`.
fn fresh(_: &str) -> Result<Ticket, TicketError> {
    Ok(ticket("fresh", DEFAULT_PORT))
}

fn label(spec: Option<&str>, remotes: &[Remote]) -> Result<String, String> {
    let spec = spec.map(|spec| remote::parse_bare(spec.as_ref()).expect("well formed"));
    match place(spec.as_ref(), remotes, None, fresh) {
        Ok(ResolvedName::Server(ServerTarget::Remote { label, known_status, .. })) => {
            Ok(format!("{label}{}", if matches!(known_status, KnownStatus::New { .. }) { " (new)" } else { "" }))
        }
        Ok(ResolvedName::Server(ServerTarget::Local { root })) => Ok(format!("local {}", root.display())),
        Ok(ResolvedName::Unknown(UnknownServer { host, port, .. })) => Ok(format!("stranger {}", address(&host, port))),
        Ok(ResolvedName::Server(ServerTarget::Far(_))) => panic!("nothing was started"),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn command(args: &[&str]) -> Commands {
    Cli::try_parse_from([&["qft"], args].concat()).expect("well formed").command
}

/// A machine with directories called `dir`, files, one pipe, and nothing called `missing` or by a number; it knows the
/// remote `lab` and, from ssh's configuration, the host `far`.
fn here(remote: Option<&str>) -> LocalContext {
    let kind = |path: &Path| match path.to_str().unwrap_or_default() {
        path if path.ends_with("dir") || path.ends_with("dir/") => PathKind::Directory,
        "pipe" => PathKind::Pipe,
        "2222" | "lab" | "far" | "me@host" | "10.0.0.7" | "missing" => PathKind::Missing,
        _ => PathKind::File,
    };
    let known = |word: &str| match word {
        "lab" => Some(WordMeaning::Remote),
        "far" => Some(WordMeaning::SshHost),
        _ => None,
    };
    LocalContext { remote: remote.map(OsString::from), kind: Box::new(kind), known: Box::new(known) }
}

fn sent(args: &[&str], env: Option<&str>) -> Result<SendPlan, Complaint> {
    let Commands::Send(args) = command(&[&["send"], args].concat()) else { panic!("send") };
    send(&args, &here(env))
}

fn got(args: &[&str], env: Option<&str>) -> Result<GetPlan, Complaint> {
    let Commands::Get(args) = command(&[&["get"], args].concat()) else { panic!("get") };
    get(&args, &here(env))
}

fn listed(args: &[&str], env: Option<&str>) -> Result<LsPlan, Complaint> {
    let Commands::Ls(args) = command(&[&["ls"], args].concat()) else { panic!("ls") };
    ls(&args, &here(env))
}

fn spec(text: &str) -> Option<Spec> {
    Some(remote::parse_bare(text.as_ref()).expect("well formed"))
}

#[test]
fn a_remote_is_looked_for_in_the_argument_the_flag_and_the_environment() {
    let env = Some(OsStr::new("c:"));
    let flag = Some(OsStr::new("b"));
    assert_eq!(named(spec("a:"), None, env), Ok(spec("a:")));
    assert_eq!(named(None, flag, env), Ok(spec("b:")));
    assert_eq!(named(None, None, env), Ok(spec("c:")));
    assert_eq!(named(None, None, Some(OsStr::new(""))), Ok(None));
    assert!(named(spec("a:"), flag, None).is_err(), "named twice");
}

#[test]
fn a_port_without_its_second_colon_is_hinted_at() {
    assert!(sent(&["a", "box:4433"], None).expect("fine").hints[0].contains("box:4433:"));
    assert_eq!(sent(&["a", "box:x"], None).expect("fine").hints.len(), 0);
    assert_eq!(sent(&["a", "box:", "--no-sync"], None).expect("fine").hints.len(), 1);
    assert_eq!(sent(&["a", "local:x", "--no-sync"], None).expect("fine").hints.len(), 0);
}

#[test]
fn a_remote_without_its_colon_stops_it_with_the_line_that_was_meant() {
    for (args, line) in [
        (&["a", "lab"][..], "qft send a lab:"),
        (&["a", "b", "lab"], "qft send ... lab:"),
        (&["lab"], "qft send FILES lab:"),
        (&["a b", "me@host"], "qft send 'a b' me@host:"),
        (&["a", "far"], "qft send a --ssh far:"),
        (&["a", "10.0.0.7"], "qft send a 10.0.0.7:"),
    ] {
        let error = sent(args, Some("box")).err().expect("stopped").to_string();
        assert!(error.ends_with(line), "{error}");
    }
    // A file of that name is meant where there is one, and so is a path that says so.
    assert!(sent(&["a", "me@2x.png"], Some("box")).is_ok() && sent(&["a", "./lab"], Some("box")).is_ok());
    let error = got(&["lab"], None).err().expect("stopped").to_string();
    assert!(error.ends_with("qft get lab: ."), "{error}");
    let error = listed(&["me@far"], None).expect_err("stopped").to_string();
    assert!(error.ends_with("qft ls me@far:"), "{error}");
    assert!(got(&["me@2x.png"], None).is_ok() && got(&["lab", "--from", "box"], None).is_ok());
}

#[test]
fn the_port_option_of_scp_is_no_file() {
    for plan in [sent(&["-P", "2222", "a", "box:"], None).err(), got(&["-P", "2222", "box:a"], None).err()] {
        let error = plan.expect("stopped").to_string();
        assert!(error.contains("ssh -p 2222") && error.contains("-P is rsync's"), "{error}");
    }
    assert!(sent(&["-P", "a", "box:"], None).is_ok());
}

#[test]
fn a_tilde_that_no_shell_has_expanded_is_no_directory() {
    for error in [
        sent(&["~/x", "box:"], None).err(),
        sent(&["a", "box:~/x"], None).err(),
        sent(&["a", "box:~"], None).err(),
        sent(&["a", "qft://k@h:1/~/x"], None).err(),
        got(&["box:a", "~/x"], None).err(),
        got(&["box:a", "-o", "~"], None).err(),
        got(&["box:~/x"], None).err(),
        listed(&["box:~/x"], None).err(),
    ] {
        let error = error.expect("refused").to_string();
        assert!(error.contains("./~"), "{error}");
    }
    assert_eq!(sent(&["a", "box:./~/x"], None).expect("fine").options.to.map(|to| to.to_string()), Some("~/x".into()));
    assert_eq!(got(&["box:a", "./~/x"], None).expect("fine").into, Some("./~/x".into()));
    let home = std::env::home_dir().expect("whoever runs tests has one");
    for (text, below) in [("local:~/x", "x"), ("local:~", "")] {
        assert_eq!(label(Some(text), &[]), Ok(format!("local {}", home.join(below).display())));
    }
    assert!(label(Some("local:~anna/x"), &[]).is_err_and(|error| error.contains("only your own ~")));
    assert_eq!(got(&["local:~"], None).expect("fine").spec, spec("local:~"));
    assert_eq!(got(&["local:~/x"], None).expect("fine").spec, spec("local:~/"));
}

#[test]
fn colons_in_names_are_told_from_ports_by_what_is_known() {
    let remotes = [known("box", "h", 4433, true)];
    let found = |text: &str| label(Some(text), &remotes);
    assert_eq!(found("box:4433:x"), Ok("box".into()), "its own port");
    assert_eq!(found("box:12:"), Ok("stranger h:12".into()), "the same machine");
    assert_eq!(found("h:12:30.log"), Ok("stranger h:12".into()), "a machine, not a remote's name");
    let error = found("box:12:30.log").expect_err("either could be meant");
    assert!(error.contains("box:./12:30.log") && error.contains("h:12:30.log"), "{error}");
    assert_eq!(found("box:./12:30.log"), Ok("box".into()));
    for text in ["box:4433", "h:4433", "[::1]:4433", "new.example:4433"] {
        let error = found(text).expect_err("the port was meant");
        assert!(error.contains(&format!("{text}:")) && error.contains(":./4433"), "{error}");
    }
    assert_eq!(found("box:2024"), Ok("box".into()), "a year, say");
    let error = got(&["box:a", "12:30.log"], None).err().expect("two remotes").to_string();
    assert!(error.contains("./12:30.log"), "{error}");
}

#[test]
fn a_pipe_by_its_name_is_told_how_dash_does_it() {
    let error = sent(&["pipe", "box:"], None).err().expect("refused").to_string();
    assert!(error.contains("pipe is a pipe") && error.contains("qft send - REMOTE:NAME <pipe"), "{error}");
    assert!(sent(&["a", "pipe", "box:"], None).is_ok(), "one among others fails alone");
    let error = got(&["box:a", "pipe"], None).err().expect("refused").to_string();
    assert!(error.contains("qft get REMOTE:FILE - >pipe"), "{error}");
}

#[test]
fn ls_takes_a_path_of_any_remote() {
    let table = [
        (&[][..], None, None, ""),
        (&["logs"], None, None, "logs"),
        (&["box:logs/*.gz"], None, Some("box:logs/*.gz"), "logs/*.gz"),
        (&["x"], Some("box:in"), Some("box:in"), "in/x"),
        (&[], Some("box:in"), Some("box:in"), "in"),
        (&["local:/srv/dir"], None, Some("local:/srv/dir"), ""),
    ];
    for (args, env, remote, pattern) in table {
        let plan = listed(args, env).expect("fine");
        assert_eq!(plan.spec, remote.and_then(spec), "{args:?}");
        assert_eq!(plan.pattern, pattern.as_bytes(), "{args:?}");
    }
}
