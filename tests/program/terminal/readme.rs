//! The README, followed to the letter by somebody who has nothing yet: two machines with empty homes, in a network of
//! their own in which one has the address and the name that stand there.
//!
//! The words behind a fence's `sh` say on which machine a block is typed. What the page cannot know (a key, an invite)
//! stands there with `…`, and is what the program has just printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use regex::Regex;

use crate::support::bin::{Machine, wait_for};
use crate::support::screen::{CTRL_C, Terminal};
use crate::support::sshd::{Setup, Sshd};

/// Says that this process runs in the network that was made for it.
const INSIDE: &str = "QFT_TEST_IN_README_NETWORK";
/// The address that the page gives the server.
const ADDRESS: &str = "203.0.113.7";
/// The host that the page goes to through ssh, and its user.
const SSH: &str = "me@host";
/// How the server's host is called.
const HOST: &str = "box";

/// A block of commands.
#[derive(Debug)]
struct Block {
    /// `local`, `remote` or `install`.
    place: String,
    /// Whether it is a server, which goes on until it is stopped.
    is_server: bool,
    /// Which of the ways to begin it belongs to; each is for somebody who has tried no other.
    way: usize,
    text: String,
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the page is there")
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut lines, mut way) = (page.lines(), 0);
    while let Some(line) = lines.next() {
        // A way begins with its name in bold letters.
        way += usize::from(line.starts_with("**"));
        let Some(info) = line.strip_prefix("```") else { continue };
        let words = info.strip_prefix("sh ").unwrap_or_else(|| panic!("a block that nobody runs: {line}"));
        let text = lines.by_ref().take_while(|line| *line != "```").fold(String::new(), |all, line| all + line + "\n");
        let place = words.split(',').next().unwrap_or_default().to_owned();
        blocks.push(Block { place, is_server: words.ends_with("a server"), way, text });
    }
    blocks
}

/// Two machines, their terminals, and what was printed on them.
struct Story {
    remote: Machine,
    local: Machine,
    sshd: Sshd,
    server: Terminal,
    client: Terminal,
    is_serving: bool,
    servers: usize,
    tickets_used: usize,
}

impl Story {
    fn begin() -> Option<Self> {
        let (remote, local) = (Machine::new(), Machine::new());
        let sshd = Sshd::start(&remote, &local, &Setup::default())?;
        // The page's user and host are those of this test's sshd.
        let own = fs::read_to_string(local.path("bin/ssh")).expect("it was written");
        let own = own.replacen("exec ", "", 1);
        let script = own.lines().last().expect("a command").replace("\"$@\"", "");
        let at = sshd.at("");
        local.write(
            "bin/ssh",
            format!(
                "#!/bin/bash\nwords=()\nfor word; do [[ $word == {SSH} ]] && word={}; words+=(\"$word\"); done\n\
                 exec {script} \"${{words[@]}}\"\n",
                at.trim_end_matches(':'),
            ),
        );
        fs::set_permissions(local.path("bin/ssh"), fs::Permissions::from_mode(0o755)).expect("ours");
        for file in ["photos/beach.jpg", "photos/dune.jpg", "more/hill.jpg", "notes.txt"] {
            local.write(file, file);
        }
        for file in ["me/logs/a.gz", "incoming/logs/b.gz"] {
            remote.write(file, file);
        }
        let (server, client) = (Terminal::new(), Terminal::new());
        Some(Self { remote, local, sshd, server, client, is_serving: false, servers: 0, tickets_used: 0 })
    }

    /// Puts what was printed in the place of what the page cannot know.
    fn filled(&mut self, text: &str) -> String {
        let ticket = pattern(&format!("qft://[a-z2-7]+…:[a-z2-7]+…@{}:4433", regex::escape(ADDRESS)));
        let mut text = text.to_owned();
        if ticket.is_match(&text) {
            let printed = pattern(r"qft://[a-z2-7]{52}:[a-z2-7]{26}@[0-9.:]+");
            let seen = self.server.seen();
            let found = printed.find_iter(&seen).nth(self.tickets_used).expect("the server printed one").as_str();
            assert!(found.ends_with(&format!("@{ADDRESS}:4433")), "the page's address: {found}");
            self.tickets_used += 1;
            text = ticket.replace_all(&text, found).into_owned();
        }
        let key = pattern("[a-z2-7]{4}…");
        if key.is_match(&text) {
            let printed = pattern("[a-z2-7]{52}");
            let seen = self.client.seen();
            let found = printed.find_iter(&seen).last().expect("qft id printed one").as_str().to_owned();
            text = key.replace_all(&text, found.as_str()).into_owned();
        }
        assert!(!text.contains('…'), "nobody knows what this stands for: {text}");
        text
    }

    fn run(&mut self, block: &Block) {
        let text = self.filled(&block.text);
        let (machine, terminal) = match block.place.as_str() {
            "local" => (&self.local, &mut self.client),
            "remote" => (&self.remote, &mut self.server),
            other => panic!("no machine is called {other}"),
        };
        if block.place == "remote" && self.is_serving {
            terminal.press(CTRL_C);
            assert_eq!(terminal.end(), Some(0), "{}", terminal.seen());
            self.is_serving = false;
        }
        machine.write("block.sh", format!("set -e\n{text}"));
        let sshd = &self.sshd;
        terminal.start_with(machine, "bash block.sh", |command| {
            sshd.prepare(command);
            for name in ["QFT_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
                command.env_remove(name);
            }
        });
        if block.is_server {
            let served = |seen: &str| seen.matches("waiting for clients").count();
            wait_for("the server", || (served(&terminal.seen()) > self.servers).then_some(()));
            self.servers += 1;
            self.is_serving = true;
            return;
        }
        if text.contains(&format!("{ADDRESS}:\n")) {
            terminal.wait_to_show("yes");
            terminal.type_line("yes");
        }
        assert_eq!(terminal.end(), Some(0), "{text}\n{}", terminal.seen());
    }

    fn end(mut self) -> (Machine, Machine) {
        if self.is_serving {
            self.server.press(CTRL_C);
            assert_eq!(self.server.end(), Some(0), "{}", self.server.seen());
        }
        (self.remote, self.local)
    }
}

#[test]
fn its_commands_work_from_a_fresh_home_as_they_stand_there() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    // A network and a host name of its own; a user who is not root needs a name space of users for that.
    let kind: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["--net", "--uts"],
        false => &["--net", "--uts", "--map-root-user"],
    };
    let possible = Command::new("unshare").args(kind).args(["ip", "link", "set", "lo", "up"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return println!("skipped: no network of its own can be made here (unshare {})", kind.join(" "));
    }
    let own = std::env::current_exe().expect("it runs");
    let test = "readme::its_commands_work_from_a_fresh_home_as_they_stand_there";
    let output =
        Command::new("unshare").args(kind).arg(own).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output();
    let output = output.expect("unshare runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    print!("{}", String::from_utf8_lossy(&said));
}

fn inside() {
    for line in [
        "ip link set lo up",
        "ip link add eth0 type veth peer name eth1",
        &format!("ip address add {ADDRESS}/24 dev eth0"),
        "ip link set eth0 up",
        "ip link set eth1 up",
        &format!("hostname {HOST}"),
    ] {
        let mut words = line.split(' ');
        let program = words.next().expect("a program");
        assert!(Command::new(program).args(words).status().is_ok_and(|status| status.success()), "{line}");
    }
    let blocks: Vec<_> = blocks(&page()).into_iter().filter(|block| block.place != "install").collect();
    let mut ends = Vec::new();
    for way in blocks.chunk_by(|one, next| one.way == next.way) {
        let Some(mut story) = Story::begin() else { return };
        way.iter().for_each(|block| story.run(block));
        ends.push(story.end());
    }
    let [(far, near), (remote, local), (strange, _)] = &ends[..] else { panic!("three ways: {blocks:?}") };
    assert_eq!(far.tree("me/data"), ["beach.jpg", "dune.jpg"]);
    assert!(near.has("a.gz") && local.has("b.gz") && local.has("copy/notes.txt"));
    let there = remote.tree("incoming");
    for file in ["beach.jpg", "dune.jpg", "hill.jpg", "texts/notes.txt"] {
        assert!(there.contains(&file.to_owned()), "{file}: {there:?}");
    }
    assert!(strange.has("incoming/notes.txt"));
    let allowed = fs::read_to_string(strange.path(".config/qft/authorized_clients")).expect("a list");
    assert!(allowed.contains("laptop"), "{allowed}");
}

#[test]
fn it_is_installed_as_the_package_is() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("it is there");
    let page = page();
    let install: Vec<_> = blocks(&page).into_iter().filter(|block| block.place == "install").collect();
    let [package, source] = &install[..] else { panic!("two ways: {install:?}") };
    assert_eq!(package.text, "sudo dpkg -i qft_*_amd64.deb\n");
    assert!(manifest.contains("[package.metadata.deb]"), "{manifest}");
    // Of the crate registry's `qft`, which is another program, it must not be.
    assert_eq!(source.text, "cargo install --path .\n");
    assert!(manifest.contains("publish = false") && manifest.contains("[[bin]]\nname = \"qft\""), "{manifest}");
    let version = pattern("rust-version = \"([0-9.]+)\"");
    let version = version.captures(&manifest).expect("it is told")[1].to_owned();
    assert!(page.contains(&format!("({version} or later)")), "the toolchain is {version}");
}

#[test]
fn every_command_line_in_it_is_one_that_qft_takes_and_every_key_is_possible() {
    let page = page();
    // Base32 has no 0, 1, 8 and 9.
    let keys = pattern("([a-zA-Z0-9]+)…");
    for key in keys.captures_iter(&page) {
        assert!(key[1].bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')), "{}", &key[1]);
    }
    let machine = Machine::new();
    let code = pattern("`(qft [^`]+)`");
    let mut lines = 0;
    for line in code.captures_iter(&page) {
        let words: Vec<_> = line[1].replace('\'', "").split_whitespace().map(str::to_owned).collect();
        // Help is asked for behind it: what clap does not know, it refuses first.
        let asked = if words[1] == "help" { words.clone() } else { [words, vec!["--help".to_owned()]].concat() };
        machine.qft(&asked[1..]).run().exits(0);
        lines += 1;
    }
    assert!(lines > 10, "{lines}");
    assert!(page.split_whitespace().count() < 1_300, "a page that is read in a few minutes");
}
