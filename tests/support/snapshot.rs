//! What users see, checked in as text: `QFT_SNAPSHOTS=write cargo test` writes the files anew.
//!
//! What differs from run to run is replaced: keys, invites, ports, paths, times, rates, this machine's name. Lines
//! are then wrapped at the terminal's width again, so that a long name here changes nothing there.
#![allow(dead_code, reason = "every test program uses another part of it")]

use std::fmt::Write as _;
use std::path::PathBuf;

use regex::Regex;

use super::bin::Machine;
use super::screen::{COLUMNS, Terminal};

/// Says that snapshots are to be written, not compared.
const VARIABLE: &str = "QFT_SNAPSHOTS";
/// A fingerprint's length. What stands for a machine's is made of its name.
const FINGERPRINT_CHARS: usize = 52;
/// The same for patterns (of ASCII), in the order in which they are applied.
const PATTERNS: [(&str, &str); 10] = [
    // Every shell has words of its own for this.
    (r"\b\w+: (line )?1: qft: (command )?not found", "bash: line 1: qft: command not found"),
    (r"\b[a-z2-7]{52}\b", "fingerprintfingerprintfingerprintfingerprintfingerpr"),
    (r":[a-z2-7]{26}@", ":inviteinviteinviteinvitein@"),
    (r"\b127\.0\.0\.1:\d{2,5}\b", "192.0.2.7:60123"),
    (r"\b127\.0\.0\.1\b", "192.0.2.7"),
    (r"\bport \d{2,5}\b", "port 60123"),
    (r"\b\d+ workers?\b", "2 workers"),
    (r"\bworker \d+\b", "worker 0"),
    (r"\b[\d.,]+ (B|[KMGT]iB)/s", "9.9 MiB/s"),
    (r"\bin [\d.hms]+ \(", "in 0.1s ("),
];

/// What replaces the names of one test.
pub(crate) struct Names {
    texts: Vec<(String, String)>,
    /// The same for names of hosts: whole words, for a short one may stand in a key by chance.
    hosts: Vec<(Regex, String)>,
}

impl Names {
    /// Machines by the names that they have in the snapshot. All of them are this one, so the first stands for its
    /// name wherever a program prints it.
    pub(crate) fn new(machines: &[(&str, &Machine)]) -> Self {
        let mut texts = Vec::new();
        for (name, machine) in machines {
            let fingerprint = machine.fingerprint();
            let stand_in: String = name.chars().chain("KEY".chars()).cycle().take(FINGERPRINT_CHARS).collect();
            texts
                .push((machine.path("").display().to_string().trim_end_matches('/').to_owned(), "/home/me".to_owned()));
            texts.push((fingerprint[..8].to_owned(), stand_in[..8].to_owned()));
            texts.push((fingerprint, stand_in));
        }
        // Longest first: a short fingerprint is the start of a whole one.
        texts.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let short = host.split('.').next().unwrap_or_default().to_owned();
        let word = |name: &str| pattern(&format!(r"\b{}\b", regex::escape(name)));
        let hosts = [word(&host), word(&short)].map(|word| (word, machines[0].0.to_owned())).into();
        Self { texts, hosts }
    }

    /// One more replacement, made before all others.
    pub(crate) fn and(mut self, from: &str, to: &str) -> Self {
        self.texts.insert(0, (from.to_owned(), to.to_owned()));
        self
    }

    fn replace(&self, text: &str) -> String {
        let text = self.texts.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let text = self.hosts.iter().fold(text, |text, (host, to)| host.replace_all(&text, to).into_owned());
        PATTERNS.iter().fold(text, |text, (from, to)| pattern(from).replace_all(&text, *to).into_owned())
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(&format!("(?-u){text}")).expect("the pattern is one")
}

/// Compares what the terminals have shown, each under its title, with `tests/snapshots/NAME.txt`.
#[track_caller]
pub(crate) fn assert_snapshot(name: &str, names: &Names, terminals: &[(&str, &Terminal)]) {
    let mut now = String::new();
    for (title, terminal) in terminals {
        let rule = "=".repeat(usize::from(COLUMNS) - title.len() - 5);
        let _ = writeln!(now, "=== {title} {rule}\n{}", wrapped(&names.replace(&terminal.seen())));
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.txt"));
    if std::env::var_os(VARIABLE).is_some() {
        return std::fs::write(&path, now).expect("the repository can be written");
    }
    let then = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        now == then,
        "what the user sees has changed ({VARIABLE}=write accepts it: {})\n\n<<< before\n{then}\n>>> now\n{now}",
        path.display()
    );
}

/// Lines as the terminal breaks them.
fn wrapped(text: &str) -> String {
    let mut rows = String::new();
    for line in text.lines() {
        let letters: Vec<char> = line.chars().collect();
        let mut pieces = letters.chunks(COLUMNS.into());
        rows.extend(pieces.next().unwrap_or_default());
        pieces.for_each(|piece| rows.extend(std::iter::once('\n').chain(piece.iter().copied())));
        rows.push('\n');
    }
    rows
}
