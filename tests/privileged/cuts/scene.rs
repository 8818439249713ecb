//! What is sent, what was there before, and what must be there in the end.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::support::{MIB, noise, set_mtime, write};
use super::tree::{self, Content, Node, Tree};

/// The file that is compared and continued chunk by chunk.
const LARGE: &str = "large";
const LARGE_BYTES: usize = 2 * MIB + 12_345;
/// More than are synced one by one.
pub(crate) const SMALL_FILES: usize = 10;
/// All files of the source.
pub(crate) const FILES: usize = SMALL_FILES + 5;
/// A directory that its owner may not change.
const SHUT: &str = "shut";

/// One kind of run.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// Words for the command.
    pub(crate) options: &'static str,
    /// Words for the server that receives.
    pub(crate) server: &'static str,
    /// The directory whose contents are sent, with a slash; nothing for all.
    pub(crate) of: &'static str,
    /// Makes what is there before, which is on the disk when the run begins.
    before: fn(source: &Path, there: &Path),
    /// The same for what is there, and only in memory.
    pub(crate) unwritten: Option<fn(source: &Path, there: &Path)>,
}

const fn scene(name: &'static str, options: &'static str, before: fn(&Path, &Path)) -> Scene {
    Scene { name, options, server: "", of: "", before, unwritten: None }
}

pub(crate) const SCENES: [Scene; 21] = [
    scene("first", "", nothing),
    scene("links", "--links", linked),
    scene("resumed", "", parts),
    scene("updated", "", older),
    scene("same", "", same),
    scene("same, not synced", "", nothing).beside(same),
    scene("compared", "--checksum", same),
    scene("times", "", other_times),
    scene("modes", "", other_modes),
    scene("directories", "", other_directories),
    scene("skip", "--if-exists skip", older),
    scene("skip, first", "--if-exists skip", nothing),
    scene("skip, not synced", "--if-exists skip", nothing).beside(some),
    scene("rename", "--if-exists rename", older),
    scene("fail", "--if-exists fail", older),
    scene("no resume", "--no-resume", parts),
    scene("dry run", "--dry-run", older),
    scene("dry run, same", "--dry-run", same),
    // Where no directory is sent none is synced in the end, which would make durable what others have left.
    scene("files", "", nothing).of("small/"),
    scene("files, not synced", "", nothing).beside(same).of("small/"),
    scene("files, skip", "--if-exists skip", other_file).of("small/"),
];

/// A drop box: whoever sends to it learns nothing of what is there. A second run after a new start of the server brings
/// everything again, under other names, so that only first runs are looked at.
pub(crate) const DROP_BOX: Scene = Scene { server: "--write-only", ..scene("drop box", "", nothing) };

/// The scene of that name.
pub(crate) fn named(name: &str) -> Scene {
    SCENES.into_iter().find(|scene| scene.name == name).expect("there is such a scene")
}

impl Scene {
    const fn beside(mut self, unwritten: fn(&Path, &Path)) -> Self {
        self.unwritten = Some(unwritten);
        self
    }

    const fn of(mut self, of: &'static str) -> Self {
        self.of = of;
        self
    }

    pub(crate) fn prepare(&self, source: &Path, there: &Path) {
        fs::create_dir(there).expect("made");
        (self.before)(source, there);
    }

    /// The exit code of a run that nothing disturbs.
    pub(crate) fn exit(&self) -> i32 {
        if self.options.ends_with("fail") { 3 } else { 0 }
    }

    pub(crate) fn is_dry(&self) -> bool {
        self.options == "--dry-run"
    }

    /// What must be there after a run.
    pub(crate) fn after(&self, source: &Tree, before: &Tree) -> Tree {
        let mut after = before.clone();
        if self.is_dry() {
            return after;
        }
        let replaces = !self.options.contains("if-exists");
        for (path, sent) in source {
            let sent = sent.copied();
            let there = match (&sent.content, after.get(path)) {
                (Content::Link(_), _) if self.options != "--links" => continue,
                (_, None) => sent,
                // It gets its time, and becomes narrower where it may be replaced.
                (Content::Directory, Some(there)) if replaces => Node { mode: there.mode & sent.mode, ..sent },
                (Content::Directory, Some(there)) => Node { mode: there.mode, ..sent },
                (_, Some(_)) if replaces => sent,
                (_, Some(there)) => {
                    let there = there.clone();
                    let is_same = there.content == sent.content && there.mtime == sent.mtime;
                    if !is_same && self.options.ends_with("rename") {
                        after.insert(format!("{path}~1"), sent);
                    }
                    there
                }
            };
            after.insert(path.clone(), there);
        }
        after
    }
}

/// Makes what is sent. All of it has times and modes of its own.
pub(crate) fn make_source(top: &Path) {
    write(&top.join(LARGE), &noise(LARGE_BYTES, 1));
    write(&top.join("empty"), b"");
    write(&top.join("d/f"), &noise(20_000, 2));
    write(&top.join("d/e/g"), &noise(70_000, 3));
    write(&top.join(SHUT).join("h"), &noise(500, 4));
    for n in 0..SMALL_FILES {
        write(&top.join(format!("small/{n}")), &noise(100 + n, 10 + n as u64));
    }
    fs::create_dir(top.join("nothing in it")).expect("made");
    symlink("d/f", top.join("link")).expect("made");
    let mut paths: Vec<_> = tree::read(top).into_iter().filter(|(_, node)| node.mode != 0).collect();
    // A directory's time is set after what is in it.
    paths.reverse();
    for (n, (path, node)) in paths.iter().enumerate() {
        let path = top.join(path);
        let mode = if path.ends_with(SHUT) {
            0o500
        } else if node.is_dir() {
            [0o755, 0o750, 0o700][n % 3]
        } else {
            [0o644, 0o600, 0o755, 0o640][n % 4]
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        set_mtime(&path, 1_500_000_000 + n as u64, 7 * n as u32);
    }
}

fn nothing(_: &Path, _: &Path) {}

/// Everything but the link, as it is.
fn same(source: &Path, there: &Path) {
    let copied = Command::new("cp").arg("-a").arg(source.join(".")).arg(there).status();
    assert!(copied.expect("cp runs").success());
    // It is left out where nobody asks for links.
    drop(fs::remove_file(there.join("link")));
}

/// Some files as they are.
fn some(source: &Path, there: &Path) {
    same(source, there);
    for gone in ["empty", "d/e/g", "small/3"] {
        fs::remove_file(there.join(gone)).expect("it was copied");
    }
}

/// Something else has the link's name, and another link is there.
fn linked(_: &Path, there: &Path) {
    symlink("elsewhere", there.join("link")).expect("made");
}

/// Unfinished files: one with a chunk that is not what it should be, as a power cut leaves them.
fn parts(source: &Path, there: &Path) {
    let mut large = fs::read(source.join(LARGE)).expect("ours");
    large[MIB..MIB + 4096].fill(0);
    write(&there.join(format!(".{LARGE}.qft-part")), &large[..2 * MIB]);
    write(&there.join("small/.3.qft-part"), b"nothing of it");
}

/// An older version of some, and a file of which nothing is known there.
fn older(source: &Path, there: &Path) {
    let mut large = fs::read(source.join(LARGE)).expect("ours");
    large[5..100].fill(b'o');
    large.truncate(2 * MIB);
    write(&there.join(LARGE), &large);
    write(&there.join("d/f"), b"old");
    write(&there.join("small/3"), b"old, too");
    write(&there.join("small/4"), &fs::read(source.join("small/4")).expect("ours"));
    write(&there.join("theirs"), b"not ours");
    let found = fs::metadata(source.join("small/4")).and_then(|found| found.modified()).expect("ours");
    fs::File::open(there.join("small/4")).and_then(|file| file.set_modified(found)).expect("ours");
    fs::set_permissions(there.join("small/4"), fs::metadata(source.join("small/4")).expect("ours").permissions())
        .expect("ours");
}

fn other_file(_: &Path, there: &Path) {
    write(&there.join("3"), b"another");
}

fn each(there: &Path, mut change: impl FnMut(&Path, &Node)) {
    tree::read(there).iter().rev().for_each(|(path, node)| change(&there.join(path), node));
}

fn other_times(source: &Path, there: &Path) {
    same(source, there);
    each(there, |path, node| {
        if !node.is_dir() {
            set_mtime(path, 1_400_000_000, 5);
        }
    });
}

fn other_modes(source: &Path, there: &Path) {
    same(source, there);
    each(there, |path, node| {
        if !node.is_dir() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o664)).expect("ours");
        }
    });
}

fn other_directories(source: &Path, there: &Path) {
    same(source, there);
    each(there, |path, node| {
        if node.is_dir() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("ours");
            set_mtime(path, 1_400_000_000, 5);
        }
    });
}
