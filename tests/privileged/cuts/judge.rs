//! What was said, held against what a disk has after a cut.

use std::fmt;
use std::ops::AddAssign;

use serde_json::Value;

use super::scene::Scene;
use super::tree::{Content, Node, Tree};

/// Most complaints that are kept for the message of a failure.
const COMPLAINTS: usize = 12;

/// What is known of a run.
pub(crate) struct Case<'a> {
    pub(crate) scene: Scene,
    pub(crate) source: &'a Tree,
    pub(crate) before: &'a Tree,
}

/// What many cuts came to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// Cuts, each after another call.
    pub(crate) cuts: u64,
    /// Files that had been reported done or the same, over all cuts.
    pub(crate) reported: u64,
    /// Runs that had ended well.
    pub(crate) ended: u64,
    /// Names or contents that were not there, though they had been reported, or were there before.
    pub(crate) lost: u64,
    /// Final names with a content that is neither the old nor the new one.
    pub(crate) torn: u64,
    /// Times, modes and names that are not what was reported.
    pub(crate) wrong: u64,
    pub(crate) complaints: Vec<String>,
}

impl Counts {
    pub(crate) fn bad(&self) -> u64 {
        self.lost + self.torn + self.wrong
    }

    fn complain(&mut self, kind: fn(&mut Self) -> &mut u64, text: impl FnOnce() -> String) {
        *kind(self) += 1;
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push(text());
        }
    }

    /// A file that was reported has to be there as it was sent.
    fn check(&mut self, path: &str, sent: &Node, found: Option<&Node>) {
        match found {
            Some(found) if found == sent => {}
            Some(found) if found.content == sent.content => {
                self.complain(|counts| &mut counts.wrong, || format!("{path}: {found:?} and not {sent:?}"));
            }
            _ => self.complain(|counts| &mut counts.lost, || format!("{path}: {found:?} and not {sent:?}")),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.reported += other.reported;
        self.ended += other.ended;
        self.lost += other.lost;
        self.torn += other.torn;
        self.wrong += other.wrong;
        self.complaints.extend(other.complaints);
        self.complaints.truncate(COMPLAINTS);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, reported, ended, lost, torn, wrong, .. } = self;
        write!(f, "{cuts:5} cuts {reported:6} reported {ended:4} ended {lost:3} lost {torn:3} torn {wrong:3} wrong")
    }
}

/// What a client has said so far: whole lines.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

impl Case<'_> {
    /// Holds what was said before a cut against what was found after it. `exit` is the code of a run that had ended.
    pub(crate) fn judge(&self, said: &[Value], exit: Option<i32>, found: &Tree, counts: &mut Counts) {
        // What somebody else has not synced is whatever the disk makes of it, until it is reported.
        if self.scene.unwritten.is_none() {
            self.whole_or_old(found, counts);
        }
        for event in said.iter().filter(|event| event["type"] == "file") {
            self.reported(event, found, counts);
        }
        if exit == Some(self.scene.exit()) {
            counts.ended += 1;
            self.complete(found, counts);
        }
    }

    fn whole_or_old(&self, found: &Tree, counts: &mut Counts) {
        for (path, found) in found.iter().filter(|(_, found)| !found.is_dir()) {
            let base = path.strip_suffix("~1").unwrap_or(path);
            let known = [self.before.get(path), self.source.get(base)];
            if !known.into_iter().flatten().any(|known| known.content == found.content) {
                counts.complain(|counts| &mut counts.torn, || format!("{path}: {found:?}"));
            }
        }
        for path in self.before.keys().filter(|path| !found.contains_key(*path)) {
            counts.complain(|counts| &mut counts.lost, || format!("{path} was there before"));
        }
    }

    fn reported(&self, event: &Value, found: &Tree, counts: &mut Counts) {
        let path = event["path"].as_str().expect("a name");
        let Some(sent) = self.source.get(path).map(Node::copied) else { panic!("nobody sent {path}") };
        let aside = format!("{path}~1");
        match (event["status"].as_str(), event["reason"].as_str()) {
            (Some("done"), _) => {
                counts.reported += 1;
                let name = event["name"].as_str().map_or(path, |_| &aside);
                counts.check(name, &sent, found.get(name));
            }
            (Some("skipped"), Some("exists")) => {
                counts.reported += 1;
                // By the time of a second run it may be what an earlier one has brought.
                let there = found.get(path);
                let before = [self.before.get(path), Some(&sent)].into_iter().flatten();
                if !before.into_iter().any(|before| there.is_some_and(|there| there.content == before.content)) {
                    counts.complain(|counts| &mut counts.lost, || format!("{path} exists no more"));
                }
            }
            (Some("skipped"), Some("made")) if matches!(sent.content, Content::Link(_)) => {
                counts.reported += 1;
                counts.check(path, &sent, found.get(path));
            }
            (Some("skipped"), _) if self.scene.is_dry() => {}
            (Some("skipped"), _) => {
                counts.reported += 1;
                let there = found.get(path).filter(|there| there.content == sent.content).or_else(|| found.get(&aside));
                // Who replaces nothing changes no mode either.
                let keeps = self.scene.options.contains("if-exists");
                let sent = Node { mode: there.filter(|_| keeps).map_or(sent.mode, |there| there.mode), ..sent };
                counts.check(path, &sent, there);
            }
            (Some("planned" | "failed"), _) => {}
            _ => panic!("{event}"),
        }
    }

    /// After a run that ended well nothing is missing, directories and all.
    fn complete(&self, found: &Tree, counts: &mut Counts) {
        let expected = self.scene.after(self.source, self.before);
        for (path, node) in &expected {
            counts.check(path, node, found.get(path));
        }
        for path in found.keys().filter(|path| !expected.contains_key(*path)) {
            counts.complain(|counts| &mut counts.wrong, || format!("nobody sent {path}"));
        }
    }
}
