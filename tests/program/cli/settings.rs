//! `config.toml`, and what is made of the command line's definitions: `qft config`, completions, manual pages.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use super::paired;
use crate::support::bin::{Machine, Outcome};

fn with_settings(text: &str) -> Machine {
    let machine = Machine::new();
    machine.run("id").exits(0);
    machine.write("home/config.toml", text);
    machine
}

fn printed(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).expect("text")
}

fn setting<'a>(lines: &'a [Value], command: &str, name: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["command"] == command && line["name"] == name);
    found.unwrap_or_else(|| panic!("no {command} {name}: {lines:?}"))
}

#[test]
fn a_setting_holds_until_a_flag_says_otherwise() {
    let (_remote, local, _serve) = paired("");
    local.write("home/config.toml", "[send]\nexclude = ['*.tmp']\nverbose = 1\n");
    local.write("d/keep", "x");
    local.write("d/drop.tmp", "x");
    local.run("send d").exits(0).says(&["sent d/keep"]);
    assert!(!printed(local.run("ls -R d").exits(0)).contains("drop.tmp"));
    local.run("send d --exclude keep").exits(0);
    assert!(printed(local.run("ls -R d").exits(0)).contains("drop.tmp"));
}

#[test]
fn a_server_obeys_its_settings() {
    let (remote, local) = (with_settings("[serve]\nwrite-only = true\n"), Machine::new());
    let serve = remote.serve("in", "");
    local.write("f", "x");
    local.qft(["send", "f", "--to", serve.ticket()]).run().exits(0);
    local.run("get f back").exits(7).says(&["--write-only"]);
}

#[test]
fn a_mistake_names_file_line_and_remedy_and_stops_what_it_concerns() {
    let machine = with_settings("\n[send]\njbos = 4\n");
    machine.write("f", "x");
    machine.run("send f --to local:d").exits(2).says_only(&["config.toml:3:", "\"jbos\"", "did you mean \"jobs\"?"]);
    machine.run("config").exits(2).says_only(&["config.toml:3:"]);
    let lines = machine.run("send f --to local:d --json").exits(2).json();
    assert!(lines[0]["message"].as_str().is_some_and(|text| text.contains("config.toml:3:")), "{lines:?}");
    let outcome = machine.run("doctor");
    outcome.exits(2);
    assert!(
        printed(&outcome).contains("TROUBLE") && printed(&outcome).contains("did you mean"),
        "{}",
        printed(&outcome)
    );
    machine.run("id").exits(0);
    machine.run("send --help").exits(0);
}

#[test]
fn a_file_that_others_can_write_to_is_refused() {
    let machine = with_settings("timeout = '1s'\n");
    let path = machine.path("home/config.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("ours");
    machine.write("f", "x");
    machine.run("send f --to local:d").exits(5).says_only(&["others can write to", "chmod go-w", "config.toml"]);
}

#[test]
fn every_setting_is_shown_with_its_source() {
    let machine = with_settings("timeout = '9m'\n[send]\njobs = 3\n[serve]\nread_only = true\n");
    let lines = machine.qft(["config", "--json"]).env("QFT_PROGRESS", "plain").run().exits(0).json();
    for (command, name, value, source) in [
        ("send", "timeout", "9m", "config"),
        ("send", "jobs", "3", "config"),
        ("get", "jobs", "16", "default"),
        ("get", "progress", "plain", "env"),
        ("serve", "read-only", "true", "config"),
        ("doctor", "time", "5s", "default"),
        ("serve", "once", "", ""),
    ] {
        if source.is_empty() {
            assert!(!lines.iter().any(|line| line["name"] == name), "--{name} is about one run");
            continue;
        }
        let row = setting(&lines, command, name);
        assert_eq!((row["values"][0].as_str(), row["source"].as_str()), (Some(value), Some(source)), "{row}");
    }
    assert_eq!(setting(&lines, "send", "jobs")["line"], 3);
    let lines = machine.qft(["config", "--json", "send", "-j", "7"]).run().exits(0).json();
    assert_eq!(
        (&setting(&lines, "send", "jobs")["values"][0], &setting(&lines, "send", "jobs")["source"]),
        (&"7".into(), &"flag".into())
    );
    let text = printed(machine.run("config send").exits(0));
    assert!(text.contains("jobs           3                              config.toml:3"), "{text}");
    assert!(!text.contains("[get]"), "{text}");
    machine.run("config nonsense").exits(2).says_only(&["send"]);
}

#[test]
fn every_shell_gets_a_script_that_it_can_read() {
    let machine = Machine::new();
    for (shell, sign) in
        [("bash", "complete -o bashdefault"), ("zsh", "#compdef qft"), ("fish", "complete --command qft")]
    {
        let script = printed(machine.run(&format!("completions {shell}")).exits(0));
        assert!(script.contains(sign), "{shell}");
        let checked = Command::new(shell).arg("-n").arg(machine.write("script", &script)).status();
        match checked {
            Ok(status) => assert!(status.success(), "{shell} does not accept its script"),
            Err(_) => eprintln!("skipped: {shell} is not installed, its script was not parsed"),
        }
    }
    for other in ["tcsh", "elvish", "powershell"] {
        machine.run(&format!("completions {other}")).exits(2).says(&[other]).says(&["bash, zsh, fish"]);
    }
}

#[test]
fn manual_pages_are_well_formed_and_complete() {
    let machine = Machine::new();
    machine.run("man --out man1").exits(0).says(&["pages to man1"]);
    let pages = machine.tree("man1");
    for name in ["qft.1", "qft-send.1", "qft-serve.1", "qft-doctor.1"] {
        assert!(pages.contains(&name.to_owned()), "{name} is missing: {pages:?}");
    }
    let send = String::from_utf8(machine.read("man1/qft-send.1")).expect("text");
    assert!(send.contains("SH \"EXIT STATUS\"") && send.contains("if\\-exists"), "{send}");
    assert!(!send.contains("compression"), "hidden options are left out");
    assert_eq!(printed(machine.run("man send").exits(0)), send);
    machine.run("man nonsense").exits(2).says_only(&["send"]);
    for page in &pages {
        let checked =
            Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(machine.path("man1").join(page)).output();
        match checked {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}"),
            Err(_) => return eprintln!("skipped: groff is not installed, the pages were not formatted"),
        }
    }
}

#[test]
fn what_depends_on_the_machine_is_shown_and_every_command_with_settings_can_be_named() {
    let local = Machine::new();
    let shown = |line: &str| String::from_utf8(local.run(line).exits(0).stdout.clone()).expect("text");
    let row = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).expect("a row");
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    let serve = shown("config serve");
    assert_eq!(row(&serve, "listen"), "[::]:4433 default");
    assert_eq!(row(&serve, "workers"), "one per core default");
    let send = shown("config send");
    for (name, value) in [("port", "4433 default"), ("rsh", "ssh default"), ("ssh-ports", "60000-61000 default")] {
        assert_eq!(row(&send, name), value);
    }
    assert!(shown("config peers invite").contains("[peers invite]"));
    let refused = local.run("config nonsense");
    refused.exits(2).says_only(&["no settings for \"nonsense\"", "send, get, ls, ", "peers invite", "remote add"]);
    for verb in ["set jobs 4", "init"] {
        local.run(&format!("config {verb}")).exits(2).says_only(&["to change them, edit config.toml"]);
    }
    local.run("config send --if-exists maybe").exits(2).does_not_say("For more information");
}

#[test]
fn a_bad_variable_is_named_as_that() {
    let local = Machine::new();
    local.write("f", "x");
    let refused = local.qft(["send", "f", "local:d"]).env("QFT_PROGRESS", "loud").run();
    refused.exits(2).says(&["'loud' for '$QFT_PROGRESS'"]);
    let typed = local.qft(["send", "--progress", "loud", "f", "local:d"]).env("QFT_PROGRESS", "loud").run();
    typed.exits(2).says(&["'loud' for '--progress <MODE>'"]);
}
