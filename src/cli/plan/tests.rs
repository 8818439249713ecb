use clap::Parser as _;

use super::super::args::{Cli, Command};
use super::super::ask::Stranger;
use super::super::here::{Here, Known, PathKind};
use super::get::GetPlan;
use super::send::SendPlan;
use super::*;
use crate::protocol::message::Target;
use crate::transport::trust::Remote;
use crate::transport::{DEFAULT_PORT, Fingerprint, Ticket, TicketError, address};

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
        Ok(Found::Place(Place::Remote { label, standing, .. })) => {
            Ok(format!("{label}{}", if matches!(standing, Standing::New { .. }) { " (new)" } else { "" }))
        }
        Ok(Found::Place(Place::Local { root })) => Ok(format!("local {}", root.display())),
        Ok(Found::Stranger(Stranger { host, port, .. })) => Ok(format!("stranger {}", address(&host, port))),
        Ok(Found::Place(Place::Far(_))) => panic!("nothing was started"),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn command(args: &[&str]) -> Command {
    Cli::try_parse_from([&["qft"], args].concat()).expect("well formed").command
}

/// A machine with directories called `dir`, files, one pipe, and nothing called `missing` or by a number; it knows the
/// remote `lab` and, from ssh's configuration, the host `far`.
fn here(remote: Option<&str>) -> Here {
    let kind = |path: &Path| match path.to_str().unwrap_or_default() {
        path if path.ends_with("dir") || path.ends_with("dir/") => PathKind::Directory,
        "pipe" => PathKind::Pipe,
        "2222" | "lab" | "far" | "me@host" | "10.0.0.7" | "missing" => PathKind::Missing,
        _ => PathKind::File,
    };
    let known = |word: &str| match word {
        "lab" => Some(Known::Remote),
        "far" => Some(Known::SshHost),
        _ => None,
    };
    Here { remote: remote.map(OsString::from), kind: Box::new(kind), known: Box::new(known) }
}

fn sent(args: &[&str], env: Option<&str>) -> Result<SendPlan, Complaint> {
    let Command::Send(args) = command(&[&["send"], args].concat()) else { panic!("send") };
    send(&args, &here(env))
}

fn got(args: &[&str], env: Option<&str>) -> Result<GetPlan, Complaint> {
    let Command::Get(args) = command(&[&["get"], args].concat()) else { panic!("get") };
    get(&args, &here(env))
}

fn listed(args: &[&str], env: Option<&str>) -> Result<LsPlan, Complaint> {
    let Command::Ls(args) = command(&[&["ls"], args].concat()) else { panic!("ls") };
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
fn without_words_the_default_or_the_only_remote_is_meant() {
    let one = [known("box", "h", 4433, false)];
    let two = [known("box", "h", 4433, false), known("lab", "i", 4433, false)];
    let two_with_default = [known("box", "h", 4433, false), known("lab", "i", 4433, true)];
    assert_eq!(label(None, &one), Ok("box".into()));
    assert_eq!(label(None, &two_with_default), Ok("lab".into()));
    let error = label(None, &two).expect_err("ambiguous");
    for way in ["REMOTE:[PATH]", "--to", "$QFT_REMOTE", "box, lab"] {
        assert!(error.contains(way), "{error}");
    }
    assert!(label(None, &[]).expect_err("none").contains("qft serve"));
}

#[test]
fn a_name_is_a_name_then_an_address_then_a_host() {
    let remotes = [
        known("a", "h", 5000, false),
        known("h", "elsewhere", 1, false),
        known("b", "twice", 4433, false),
        known("c", "twice", 5000, false),
        known("d", "odd", 9, false),
        known("e", "::1", 4433, false),
    ];
    for (spec, name) in
        [("h:", "h"), ("twice:", "b"), ("odd:", "d"), ("twice:5000:", "c"), ("A:", "a"), ("[::1]:x", "e")]
    {
        assert_eq!(label(Some(spec), &remotes), Ok(name.into()), "{spec}");
    }
}

#[test]
fn an_unknown_host_is_a_stranger_at_its_address() {
    let remotes = [known("box", "h", 4433, true)];
    let table =
        [("other:", "other:4433"), ("h:9:", "h:9"), ("[::2]:", "[::2]:4433"), ("box.example:x", "box.example:4433")];
    for (text, stranger) in table {
        assert_eq!(label(Some(text), &remotes), Ok(format!("stranger {stranger}")), "{text}");
    }
}

#[test]
fn only_a_word_that_may_be_a_remotes_name_is_looked_for_among_them_when_no_machine_has_it() {
    let remotes = [known("box", "h", 4433, true)];
    let unknown = |text: &str| match place(spec(text).as_ref(), &remotes, None, fresh) {
        Ok(Found::Stranger(stranger)) => stranger.unknown,
        _ => panic!("{text} is a stranger"),
    };
    let text = unknown("bxo:").expect("a word");
    assert!(text.contains("known: box") && text.contains("qft serve --invite"), "{text}");
    assert_eq!((unknown("bxo.example:"), unknown("bxo:9:")), (None, None));
}

#[test]
fn what_cannot_be_a_host_is_not_asked_for() {
    for text in ["a_b$:", "-oProxy=x:", "a..b:"] {
        let error = place(spec(text).as_ref(), &[], None, fresh).err().expect("unknown");
        assert_eq!(super::super::exit::Exit::of_error(&error).code(), 4, "{text}");
        assert!(error.to_string().contains("qft serve --invite"), "{error}");
    }
}

#[test]
fn a_port_makes_a_machine_of_a_name() {
    let remotes = [known("box", "h", 4433, true), known("two", "h", 5000, false)];
    let found = |text: &str, port| match place(spec(text).as_ref(), &remotes, Some(port), fresh) {
        Ok(Found::Place(Place::Remote { label, .. })) => Ok(label),
        Ok(Found::Stranger(stranger)) => Ok(format!("stranger {}", address(&stranger.host, stranger.port))),
        Ok(Found::Place(_)) => panic!("{text} is remote"),
        Err(error) => Err(error.to_string()),
    };
    let table = [
        ("h:", 5000, "two"),
        ("box:", 5000, "two"),
        ("box:", 4433, "box"),
        ("h:", 1, "stranger h:1"),
        ("box:", 1, "stranger h:1"),
        ("new:", 1, "stranger new:1"),
        ("[::1]:", 7, "stranger [::1]:7"),
    ];
    for (text, port, label) in table {
        assert_eq!(found(text, port), Ok(label.to_owned()), "{text} -p {port}");
    }
    for text in ["h:1:", "qft://x", "local:d", "me@h:"] {
        assert!(found(text, 9).is_err(), "{text}");
    }
    assert!(place(None, &remotes, Some(1), fresh).is_err(), "a port without a host");
}

#[test]
fn a_ticket_is_new_unless_its_key_and_address_are_known() {
    assert_eq!(label(Some("qft://x"), &[]), Ok("fresh (new)".into()));
    assert_eq!(label(Some("qft://x"), &[known("box", "fresh", 9, true)]), Ok("fresh (new)".into()));
    assert_eq!(label(Some("qft://x"), &[known("box", "fresh", 4433, true)]), Ok("box".into()));
}

fn far(spec: Option<&Spec>) -> &str {
    match spec {
        Some(Spec::Ssh { destination, .. }) => destination,
        _ => "no ssh",
    }
}

#[test]
fn a_destination_behind_ssh_goes_there_as_it_was_typed() {
    for (args, path, target) in [
        (&["a", "me@box:"][..], "", Target::Directory),
        (&["a", "me@box:new"], "new", Target::FileOrDirectory),
        (&["a", "me@box:/abs/new"], "/abs/new", Target::FileOrDirectory),
        (&["a", "me@box:../x/"], "../x/", Target::Directory),
        (&["a", "me@box:~"], "~", Target::Directory),
        (&["a", "b", "me@box:x"], "x", Target::Directory),
        (&["a", "--ssh", "box:x/"], "x/", Target::Directory),
    ] {
        let plan = sent(args, None).expect("fine");
        assert_eq!((plan.far, plan.options.to), (vec![path.as_bytes().to_vec()], None), "{args:?}");
        assert_eq!(plan.options.target, target, "{args:?}");
        assert!(far(plan.spec.as_ref()).ends_with("box"), "{args:?}");
    }
    let plan = sent(&["-", "me@box:x/d.tar"], None).expect("fine");
    assert_eq!((plan.far, plan.source), (vec![b"x/".to_vec()], Source::Stdin("d.tar".into())));
    assert!(sent(&["-", "me@box:x/"], None).is_err());
    assert_eq!(sent(&["a", "me@box:", "--no-sync"], None).expect("fine").hints, Vec::<String>::new());
}

#[test]
fn a_path_behind_ssh_becomes_a_directory_and_a_pattern() {
    for (path, dir, pattern) in [
        ("", "", ""),
        ("a", "", "a"),
        ("logs/*.gz", "logs/", "*.gz"),
        ("a*/b/c", "", "a*/b/c"),
        ("/abs/x", "/abs/", "x"),
        ("data/", "data/", ""),
        ("data*/", "", "data*/"),
        ("..", "..", ""),
        ("../x", "../", "x"),
        ("~", "~", ""),
        ("~/x", "~/", "x"),
        ("/", "/", ""),
    ] {
        let arg = format!("me@box:{path}");
        let plan = got(&[&arg, "out"], None).expect("fine");
        assert_eq!((plan.far, plan.patterns), (vec![dir.into()], vec![pattern.as_bytes().to_vec()]), "{arg}");
        let plan = listed(&[&arg], None).expect("fine");
        assert_eq!((plan.far, plan.pattern), (vec![dir.into()], pattern.as_bytes().to_vec()), "{arg}");
    }
    let plan = got(&["me@box:a/x", "me@box:b/y", "out"], None).expect("one host");
    assert_eq!((plan.far.len(), plan.shown.as_str()), (2, "a/x b/y"));
    assert_eq!(got(&["x", "-o", "."], Some("me@box:d")).expect("fine").far, [b"d/".to_vec()]);
}

#[test]
fn patterns_are_found_below_the_root_that_the_far_end_chose() {
    for (pattern, name, whole) in
        [("*.gz", "", "*.gz"), ("*.gz", "logs", "logs/*.gz"), ("", "", ""), ("", "logs", "logs/")]
    {
        assert_eq!(
            below_far_root(vec![pattern.into()], &[name.into()]),
            [whole.as_bytes().to_vec()],
            "{name} {pattern}"
        );
    }
}

#[test]
fn options_of_ssh_are_refused_where_ssh_is_not_used() {
    for args in [
        &["a", "box:", "--remote-qft", "x"][..],
        &["a", "box:", "--ssh-ports", "1-2"],
        &["a", "--ssh"],
        &["a", "local:d", "--ssh"],
        &["a", "box:4433:", "--ssh"],
    ] {
        assert!(sent(args, None).is_err_and(|error| error.to_string().contains("ssh")), "{args:?}");
    }
    assert!(sent(&["a", "me@box:", "--remote-qft", "x", "--ssh-ports", "1-2", "-e", "ssh -p 2222"], None).is_ok());
}

#[test]
fn send_takes_a_remote_off_the_end() {
    let plan = sent(&["a", "b", "box:in/"], Some("other")).expect("fine");
    assert_eq!(plan.spec, spec("box:in/"));
    assert_eq!(plan.source, Source::Paths(vec!["a".into(), "b".into()]));
    assert_eq!(plan.options.to.as_ref().map(ToString::to_string).as_deref(), Some("in"));
    assert_eq!(plan.shown, "in/");
    assert!(sent(&["box:"], None).is_err(), "nothing to send");
    assert!(sent(&["box:", "a"], None).is_err(), "the remote is not last");
    assert!(sent(&["a", "box:", "--to", "lab"], None).is_err(), "named twice");
    assert!(sent(&["-z", "a", "box:"], None).is_err(), "no compression");
    assert!(sent(&["--delete", "a", "box:"], None).is_err(), "no deletion");
    assert!(sent(&["", "box:"], None).is_err(), "an empty variable");
}

#[test]
fn only_one_plain_file_may_get_a_new_name() {
    let table = [
        (&["a", "box:b"][..], Target::FileOrDirectory),
        (&["a", "box:b/"], Target::Directory),
        (&["a", "box:"], Target::Directory),
        (&["a", "b", "box:c"], Target::Directory),
        (&["dir", "box:c"], Target::Directory),
        (&["dir/", "box:c"], Target::Directory),
    ];
    for (args, target) in table {
        assert_eq!(sent(args, None).expect("fine").options.target, target, "{args:?}");
    }
}

#[test]
fn standard_input_needs_a_name_and_no_company() {
    let plan = sent(&["-", "box:in/d.tar"], None).expect("fine");
    assert_eq!(plan.source, Source::Stdin("d.tar".into()));
    assert_eq!(plan.options.to.map(|to| to.to_string()).as_deref(), Some("in"));
    assert_eq!(plan.options.target, Target::Directory);
    assert_eq!(sent(&["-"], Some("box:x")).expect("fine").options.to, None);
    let plan = sent(&["-", "local:in/log"], None).expect("fine");
    assert_eq!((plan.spec, plan.source), (spec("local:in/"), Source::Stdin("log".into())));
    let plan = sent(&["-", "local:log"], None).expect("fine");
    assert_eq!((plan.spec, plan.source), (spec("local:"), Source::Stdin("log".into())));
    for args in [
        &["-", "box:"][..],
        &["-", "box:in/"],
        &["-", "a", "box:x"],
        &["-", "local:"],
        &["-", "local:x/"],
        &["-", "local:dir"],
    ] {
        assert!(sent(args, None).is_err(), "{args:?}");
    }
}

#[test]
fn local_serves_the_directory_itself() {
    let plan = sent(&["a", "local:/srv/x"], None).expect("fine");
    assert_eq!((plan.options.to, plan.options.target), (None, Target::Directory));
    assert_eq!(label(Some("local:/srv/x"), &[]), Ok("local /srv/x".into()));
    assert_eq!(label(Some("local:"), &[]), Ok("local .".into()));
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
fn get_tells_what_from_where_to() {
    let table = [
        (&["box:a"][..], None, Some("box:a"), &["a"][..], "."),
        (&["box:a", "x"], None, Some("box:a"), &["a"], "x"),
        (&["box:a", "box:b", "x"], None, Some("box:a"), &["a", "b"], "x"),
        (&["box:a", "box:b"], None, Some("box:a"), &["a", "b"], "."),
        (&["a"], None, None, &["a"], "."),
        (&["a", "b", "x"], None, None, &["a", "b"], "x"),
        (&["a", "b", "-o", "x"], None, None, &["a", "b"], "x"),
        (&["a"], Some("box:in"), Some("box:in"), &["in/a"], "."),
        (&["/a/"], Some("box:in/"), Some("box:in/"), &["in/a/"], "."),
        (&["a", "--from", "lab"], Some("box"), Some("lab:"), &["a"], "."),
        (&["box:"], None, Some("box:"), &[""], "."),
    ];
    for (args, env, remote, patterns, into) in table {
        let plan = got(args, env).expect("fine");
        assert_eq!(plan.spec, remote.and_then(spec), "{args:?}");
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        assert_eq!(plan.patterns, patterns, "{args:?}");
        assert_eq!(plan.into, Some(into.into()), "{args:?}");
    }
}

#[test]
fn get_refuses_mixtures() {
    for args in [
        &["box:a", "b", "x"][..],
        &["box:a", "lab:b"],
        &["-"],
        &["box:a", "box:b", "-"],
        &["box:", "-"],
        &["box:a/", "-"],
        &["box:a", "-", "--json"],
        &["box:../a"],
        &["box:a", "--from", "lab"],
        &["local:a/x", "local:b/x", "d"],
    ] {
        assert!(got(args, None).is_err(), "{args:?}");
    }
}

#[test]
fn get_to_standard_output_has_no_directory() {
    let plan = got(&["box:a", "-"], None).expect("fine");
    assert_eq!(plan.into, None);
    assert_eq!(plan.options.target, Target::Directory);
}

#[test]
fn only_one_plain_remote_file_may_get_a_new_name() {
    let table = [
        (&["box:a", "b"][..], Target::FileOrDirectory),
        (&["box:a", "b/"], Target::Directory),
        (&["box:a", "dir"], Target::Directory),
        (&["box:a"], Target::Directory),
        (&["box:a/", "b"], Target::Directory),
        (&["box:", "b"], Target::Directory),
        (&["box:*.gz", "b"], Target::Directory),
        (&["box:a", "box:b", "c"], Target::Directory),
    ];
    for (args, target) in table {
        assert_eq!(got(args, None).expect("fine").options.target, target, "{args:?}");
    }
}

#[test]
fn a_local_path_becomes_a_root_and_a_pattern() {
    let table = [
        ("local:src", "", "src"),
        ("local:src/", "", "src/"),
        ("local:/a/b/c", "/a/b/", "c"),
        ("local:/a/b/c/", "/a/b/", "c/"),
        ("local:/a/*/c", "/a/", "*/c"),
        ("local:*.gz", "", "*.gz"),
        ("local:..", "..", ""),
        ("local:../x", "../", "x"),
        ("local:/", "/", ""),
        ("local:", "", ""),
    ];
    for (arg, root, pattern) in table {
        let plan = got(&[arg, "out"], None).expect("fine");
        assert_eq!(plan.spec, Some(Spec::Local { path: root.as_bytes().to_vec() }), "{arg}");
        assert_eq!(plan.patterns, [pattern.as_bytes().to_vec()], "{arg}");
    }
    assert_eq!(got(&["local:d/a", "local:d/b", "out"], None).expect("one root").patterns.len(), 2);
}

#[test]
fn ls_takes_a_path_of_any_remote() {
    let table = [
        (&[][..], None, None, ""),
        (&["logs"], None, None, "logs"),
        (&["box:logs/*.gz"], None, Some("box:logs/*.gz"), "logs/*.gz"),
        (&["x"], Some("box:in"), Some("box:in"), "in/x"),
        (&[], Some("box:in"), Some("box:in"), "in"),
        (&["local:/srv"], None, Some("local:/srv"), ""),
    ];
    for (args, env, remote, pattern) in table {
        let plan = listed(args, env).expect("fine");
        assert_eq!(plan.spec, remote.and_then(spec), "{args:?}");
        assert_eq!(plan.pattern, pattern.as_bytes(), "{args:?}");
    }
}

#[test]
fn the_header_names_target_and_address() {
    let remote = Place::Remote {
        contact: ticket("203.0.113.7", 4433).into(),
        label: "box".into(),
        standing: Standing::Certified,
    };
    assert_eq!(remote.header("->", "incoming/"), "-> box:incoming/  203.0.113.7:4433");
    let remote = Place::Remote { contact: ticket("::1", 1).into(), label: "six".into(), standing: Standing::Certified };
    assert_eq!(remote.header("<-", "a"), "<- six:a  [::1]:1");
    assert_eq!(Place::Local { root: "/srv/x".into() }.header("->", ""), "-> local:/srv/x");
}
