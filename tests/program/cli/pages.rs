//! Manual pages and topics, as a user gets at them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::bin::Machine;

/// All pages, in a directory that man(1) would search.
fn installed() -> Machine {
    let machine = Machine::new();
    machine.run("man --out share/man/man1").exits(0).says(&["pages to share/man/man1"]);
    machine
}

/// What a checker says about all pages; `None`, after saying so, where it is not installed.
fn checked(program: &str, args: &[&str]) -> Option<String> {
    let machine = installed();
    let mut said = String::new();
    for section in ["share/man/man1", "share/man/man7"] {
        let pages: Vec<_> =
            machine.tree(section).iter().map(|name| machine.path(&format!("{section}/{name}"))).collect();
        assert!(pages.len() > 4, "{section}");
        for page in pages {
            let Ok(output) = Command::new(program).args(args).arg(&page).env("MANWIDTH", "80").output() else {
                println!("skipped: there is no {program} here");
                return None;
            };
            let complaints = if program == "groff" { output.stderr } else { output.stdout };
            said += &String::from_utf8_lossy(&complaints);
        }
    }
    Some(said)
}

#[test]
fn groff_formats_every_page_without_a_warning() {
    if let Some(said) = checked("groff", &["-man", "-Tutf8", "-ww", "-z"]) {
        assert_eq!(said, "");
    }
}

#[test]
fn mandoc_finds_nothing_to_complain_about() {
    if let Some(said) = checked("mandoc", &["-T", "lint", "-W", "warning"]) {
        assert_eq!(said, "");
    }
}

#[test]
fn a_pipe_gets_roff_and_a_page_is_named_like_its_command() {
    let machine = Machine::new();
    for (line, title) in [
        ("man", ".TH \"QFT\" 1 "),
        ("man qft", ".TH \"QFT\" 1 "),
        ("man send", ".TH \"QFT\\-SEND\" 1 "),
        ("man peers invite", ".TH \"QFT\\-PEERS\\-INVITE\" 1 "),
        ("man qft-peers-invite", ".TH \"QFT\\-PEERS\\-INVITE\" 1 "),
        ("man containers", ".TH \"QFT\\-CONTAINERS\" 7 "),
    ] {
        let page = String::from_utf8(machine.run(line).exits(0).stdout.clone()).expect("text");
        assert!(page.starts_with(title), "{line}: {page}");
    }
    machine.run("man frobnicate").exits(2).says(&["there is no page \"frobnicate\"", "peers-invite"]);
}

#[test]
fn a_topic_is_shown_by_help_and_a_command_s_help_stays_what_it_was() {
    let machine = Machine::new();
    for (line, part) in [
        ("help service", "systemctl restart qft"),
        ("help recipes", "a drop box"),
        ("help containers", "/run/secrets"),
        ("help environment", "QFT_HOME"),
        ("help exit-codes", "130  interrupted"),
        ("help remotes", "USER@HOST:[PATH]"),
        ("help peers invite", "Print a ticket"),
        ("help", "qft help TOPIC"),
    ] {
        let text = String::from_utf8(machine.run(line).exits(0).stdout.clone()).expect("text");
        assert!(text.contains(part), "{line}: {text}");
    }
    let config = String::from_utf8(machine.run("config").exits(0).stdout.clone()).expect("text");
    assert!(config.contains("[variables without an option]") && config.contains("QFT_HOME"), "{config}");
}

/// A directory in which a program of this name is a script.
fn program(machine: &Machine, name: &str, script: &str) {
    let path = machine.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
}

/// What `qft man id` shows on a terminal where only these programs are found.
fn on_a_terminal(machine: &Machine, env: &[(&str, &str)]) -> Option<String> {
    for tool in ["sh", "cat"] {
        std::os::unix::fs::symlink(format!("/bin/{tool}"), machine.path(&format!("bin/{tool}"))).expect("made");
    }
    let line = format!("{} man id", env!("CARGO_BIN_EXE_qft"));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env_clear().env("PATH", machine.path("bin"));
    command.env("HOME", machine.path("")).env("SHELL", "/bin/sh").envs(env.iter().copied());
    // The program itself is looked for in this process's path.
    let Ok(output) = command.output() else {
        println!("skipped: there is no script(1) here");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).replace('\r', ""))
}

#[test]
fn a_terminal_gets_a_page_to_read_and_never_roff() {
    let with_man = Machine::new();
    program(&with_man, "man", "echo man was given $1 $2; head=$(cat); case $head in .TH*) echo and roff;; esac");
    let Some(shown) = on_a_terminal(&with_man, &[]) else { return };
    assert_eq!(shown, "man was given -l -\nand roff\n");

    let with_pager = Machine::new();
    program(&with_pager, "mine", "echo mine was given $1; cat");
    let shown = on_a_terminal(&with_pager, &[("MANPAGER", "no-such-pager"), ("PAGER", "mine -x")]).expect("as before");
    assert!(shown.starts_with("mine was given -x\nNAME\n"), "{shown}");

    let bare = Machine::new();
    let shown = on_a_terminal(&bare, &[]).expect("as before");
    assert!(shown.starts_with("NAME\n       qft-id - show this machine"), "{shown}");
    assert!(!shown.contains(".SH") && !shown.contains("\\-"), "{shown}");
}
