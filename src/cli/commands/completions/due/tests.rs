use clap::CommandFactory as _;

use super::*;
use crate::cli::args::Cli;

/// The kind of word that is expected at the end of a line, in whose last word the cursor is.
fn due(line: &str) -> Expected {
    let mut root = Cli::command();
    root.build();
    let mut words: Vec<OsString> = line.split(' ').skip(1).map(OsString::from).collect();
    let current = words.pop().expect("a word");
    typed(&root, &words, current).due
}

fn value(kind: ValueKind, start: usize) -> Expected {
    Expected::Value { kind, start }
}

#[test]
fn what_is_due_follows_from_the_words_before() {
    let names = |below: &[&str], topics| Expected::CommandName {
        below: below.iter().map(|name| (*name).to_owned()).collect(),
        topics,
    };
    for (line, expected) in [
        ("qft ", Expected::Command),
        ("qft pee", Expected::Command),
        ("qft peers ", Expected::Command),
        ("qft send ", value(ValueKind::Sent, 0)),
        ("qft put a b ", value(ValueKind::Sent, 0)),
        ("qft get ", value(ValueKind::Got, 0)),
        ("qft ls ", value(ValueKind::Listed, 0)),
        ("qft ls box: ", Expected::Nothing),
        ("qft doctor ", value(ValueKind::Server, 0)),
        ("qft doctor box ", Expected::Nothing),
        ("qft id ", Expected::Nothing),
        ("qft send -", Expected::Option),
        ("qft send --i", Expected::Option),
        ("qft send f -n", Expected::Option),
        ("qft send -- -", value(ValueKind::Sent, 0)),
        ("qft send -t ", value(ValueKind::Remote, 0)),
        ("qft send --to ", value(ValueKind::Remote, 0)),
        ("qft send --to=b", value(ValueKind::Remote, 5)),
        ("qft send -tb", value(ValueKind::Remote, 2)),
        ("qft send -nct b", value(ValueKind::Remote, 0)),
        ("qft send -j 4 ", value(ValueKind::Sent, 0)),
        ("qft send --jobs ", value(ValueKind::Text, 0)),
        ("qft send --ca ", value(ValueKind::File, 0)),
        ("qft get --output=d", value(ValueKind::File, 9)),
        ("qft serve ", value(ValueKind::Dir, 0)),
        ("qft serve d ", Expected::Nothing),
        ("qft remote add ", value(ValueKind::Text, 0)),
        ("qft remote forget ", value(ValueKind::RemoteName, 0)),
        ("qft remote rm ", value(ValueKind::RemoteName, 0)),
        ("qft remote rename a ", value(ValueKind::Text, 0)),
        ("qft peers revoke ", value(ValueKind::Peer, 0)),
        ("qft peers allow ", value(ValueKind::Peer, 0)),
        ("qft cert issue ", value(ValueKind::Dir, 0)),
        ("qft help ", names(&[], true)),
        ("qft help peers ", names(&["peers"], true)),
        ("qft man ", names(&[], true)),
        ("qft man peers ", names(&["peers"], true)),
        ("qft config ", names(&[], false)),
        ("qft config send -", Expected::Option),
        ("qft config send --if-exists=", due("qft send --if-exists=")),
    ] {
        assert_eq!(due(line), expected, "{line}");
    }
    assert!(
        matches!(due("qft send --progress "), Expected::Value { kind: ValueKind::Choice(of), .. } if of.len() == 4)
    );
    assert!(matches!(due("qft completions "), Expected::Value { kind: ValueKind::Choice(_), .. }));
}

#[test]
fn every_value_that_the_help_calls_a_path_or_a_remote_is_completed_as_one() {
    fn check(command: &Command, path: &[String], free: &mut Vec<String>) {
        for arg in command.get_arguments().filter(|arg| takes_value(arg) && !arg.is_hide_set()) {
            let name = arg.get_value_names().map_or("", |names| names[0].as_str());
            let kind = kind(path, arg);
            // Names of the other machine's.
            let is_of_a_server = arg.get_id() == "root" || arg.get_id() == "remote_qft";
            if ["PATH", "FILE", "DIR", "PEM", "REMOTE", "FP|NAME"].iter().any(|part| name.contains(part)) {
                assert!(kind != ValueKind::Text || is_of_a_server, "{path:?} {name}");
            } else if kind == ValueKind::Text {
                free.push(name.to_owned());
            }
        }
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            check(inner, &[path, &[inner.get_name().to_owned()]].concat(), free);
        }
    }
    let mut root = Cli::command();
    root.build();
    let mut free = Vec::new();
    check(&root, &[], &mut free);
    assert!(free.contains(&"RATE".to_owned()) && free.contains(&"TIME".to_owned()));
}
