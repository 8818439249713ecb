//! How what is complete becomes a file: in which steps, and under which name.

use std::ops::RangeInclusive;

use crate::broken::BreakableRule;
use crate::protocol::path::WirePath;

/// The promise of a commit.
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "benches of the disk reach it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A file that was answered for survives a power cut.
    Synced,
    /// A file that was answered for is there, but may not survive a power cut.
    Unsynced,
}

impl Durability {
    /// The promise to a user who wants files to be `synced`, or does not care.
    pub(crate) fn when(synced: bool) -> Self {
        if synced { Self::Synced } else { Self::Unsynced }
    }
}

/// One step of a group of commits. All of the group take it before any takes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitStep {
    /// Length, time and mode.
    Finish,
    /// Contents reach the disk.
    SyncContent,
    /// Files get their names.
    Rename,
    /// The names reach the disk, where that was asked for; what was noted of them is forgotten.
    SyncNames,
    /// Those who wait are told.
    Answer,
}

/// The steps, in their order: no name for what the disk may not have, no answer for a name that it may not have.
pub(crate) fn steps(sync: Durability) -> impl Iterator<Item = CommitStep> {
    let all = match BreakableRule::ContentBeforeName.is_broken() {
        true => {
            [CommitStep::Finish, CommitStep::Rename, CommitStep::SyncNames, CommitStep::SyncContent, CommitStep::Answer]
        }
        false => {
            [CommitStep::Finish, CommitStep::SyncContent, CommitStep::Rename, CommitStep::SyncNames, CommitStep::Answer]
        }
    };
    all.into_iter().filter(move |step| sync == Durability::Synced || *step != CommitStep::SyncContent)
}

/// Numbers that [`Replace::RenameFree`] tries.
const ASIDE: RangeInclusive<u32> = 1..=9999;

/// Up to here numbers are tried one by one, so that a gap that somebody made is filled.
const ONE_BY_ONE_MAX: u32 = 16;

/// How often another free number is looked for when somebody else takes the one that was found.
const RACES_MAX: u32 = 64;

/// The rule for a final name that is taken.
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "benches of the disk reach it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The file (or link) that has it is replaced, atomically.
    Yes,
    /// Fails with status `Exists`.
    No,
    /// The new one gets the next free of `name~1.txt`, `name~2.txt` ….
    RenameFree,
}

/// A directory in which something that is complete is to get its name.
pub(crate) trait Naming {
    /// Why it may fail.
    type Error;

    /// Gives it this name, whatever has that.
    fn replace(&self, name: &[u8]) -> Result<(), Self::Error>;

    /// Gives it this name if nothing has that; `false` otherwise.
    fn take(&self, name: &[u8]) -> Result<bool, Self::Error>;

    /// Whether something has this name.
    fn is_taken(&self, name: &[u8]) -> Result<bool, Self::Error>;
}

/// Why something gets no name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoName<E> {
    /// Something has it that may not be replaced, or all have that it could step aside to.
    Taken,
    /// The one that it would step aside to is too long.
    TooLong,
    /// The disk has failed.
    Failed(E),
}

/// Gives a final name, in one step. Says which it became.
pub(crate) fn give_final_name<N: Naming>(
    dir: &N,
    target: &WirePath,
    replace: Replace,
) -> Result<WirePath, NoName<N::Error>> {
    if replace == Replace::Yes || BreakableRule::ExistingIsKept.is_broken() {
        dir.replace(target.name()).map_err(NoName::Failed)?;
    } else if !dir.take(target.name()).map_err(NoName::Failed)? {
        return match replace {
            Replace::RenameFree => step_aside(dir, target),
            Replace::Yes | Replace::No => Err(NoName::Taken),
        };
    }
    Ok(target.clone())
}

/// The names that [`Replace::RenameFree`] tries for `target`, in their order.
pub(crate) fn asides(target: &WirePath) -> impl Iterator<Item = WirePath> {
    ASIDE.map_while(|number| aside(target, number))
}

/// The name of that number beside `target`; `None` when it is too long.
fn aside(target: &WirePath, number: u32) -> Option<WirePath> {
    let suffix = format!("~{number}");
    let (stem, extension) = target.as_bytes().split_at(target.as_bytes().len() - extension(target.name()).len());
    WirePath::parse(&[stem, suffix.as_bytes(), extension].concat()).ok()
}

/// Longest extension: what is longer is more likely a part of the name.
const EXTENSION_BYTES_MAX: usize = 8;

/// The extension by which other programs tell the kind of a file, with its dot: `.jpg`, `.tar.gz`; empty where there is
/// none.
fn extension(name: &[u8]) -> &[u8] {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return b"" };
    let (stem, extension) = name.split_at(dot);
    let letters = &extension[1..];
    let is_one = (1..=EXTENSION_BYTES_MAX).contains(&letters.len())
        && letters.iter().all(u8::is_ascii_alphanumeric)
        && letters.iter().any(u8::is_ascii_alphabetic);
    match stem.strip_suffix(b".tar") {
        // A name that begins with a dot is hidden, and has no extension for that.
        _ if !is_one || stem.is_empty() => b"",
        Some(stem) if !stem.is_empty() => &name[stem.len()..],
        _ => extension,
    }
}

/// The first free of the low numbers, which people leave gaps in; above them one that is free while the one before it is
/// taken. Of thousands of names that are taken only some forty are looked at.
fn step_aside<N: Naming>(dir: &N, target: &WirePath) -> Result<WirePath, NoName<N::Error>> {
    let mut number = *ASIDE.start();
    for _ in 0..RACES_MAX {
        let is_taken = |number| -> Result<bool, NoName<N::Error>> {
            let path = aside(target, number).ok_or(NoName::<N::Error>::TooLong)?;
            dir.is_taken(path.name()).map_err(NoName::Failed)
        };
        number = free_number(number, is_taken)?.ok_or(NoName::Taken)?;
        let path = aside(target, number).ok_or(NoName::TooLong)?;
        if dir.take(path.name()).map_err(NoName::Failed)? {
            return Ok(path);
        }
        // Somebody else took it meanwhile.
        number += 1;
    }
    Err(NoName::Taken)
}

/// A free number from `first` on: tried one by one where they are few, then in steps that double, then between the last
/// that was taken and the first that was free. `None`: all are taken.
fn free_number<E>(first: u32, is_taken: impl Fn(u32) -> Result<bool, E>) -> Result<Option<u32>, E> {
    let (mut taken, mut step) = (first - 1, 1);
    let mut free = loop {
        if taken >= *ASIDE.end() {
            return Ok(None);
        }
        let number = (taken + step).min(*ASIDE.end());
        if !is_taken(number)? {
            break number;
        }
        taken = number;
        if number >= ONE_BY_ONE_MAX {
            step *= 2;
        }
    };
    while free - taken > 1 {
        let middle = taken + (free - taken) / 2;
        if is_taken(middle)? {
            taken = middle;
        } else {
            free = middle;
        }
    }
    Ok(Some(free))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    /// The number that is found where these are taken, and how many were looked at.
    fn found(taken: impl IntoIterator<Item = u32>) -> (Option<u32>, u32) {
        let (taken, looks) = (taken.into_iter().collect::<HashSet<_>>(), Cell::new(0));
        let free = free_number(1, |number| {
            looks.set(looks.get() + 1);
            Ok::<_, ()>(taken.contains(&number))
        });
        (free.expect("nothing fails"), looks.get())
    }

    #[test]
    fn the_first_free_number_is_found_with_few_looks_however_many_are_taken() {
        for count in (0..200).chain([500, 1000, 5000, 9998]) {
            let (free, looks) = found(1..=count);
            assert_eq!(free, Some(count + 1));
            assert!(looks <= ONE_BY_ONE_MAX + 24, "{looks} looks for {count} names");
        }
        let (free, looks) = found(ASIDE);
        assert_eq!(free, None);
        assert!(looks <= ONE_BY_ONE_MAX + 24, "{looks} looks");
    }

    #[test]
    fn a_name_that_steps_aside_keeps_its_extension() {
        for (name, aside_name) in [
            ("p1.jpg", "p1~7.jpg"),
            ("d.d/p1", "d.d/p1~7"),
            ("d/a.b.JPEG", "d/a.b~7.JPEG"),
            ("x.tar.gz", "x~7.tar.gz"),
            (".tar.gz", ".tar~7.gz"),
            (".bashrc", ".bashrc~7"),
            ("v1.25", "v1.25~7"),
            ("mp3.mp3", "mp3~7.mp3"),
            ("end.", "end.~7"),
            ("a.no such", "a.no such~7"),
        ] {
            let path = WirePath::parse(name.as_bytes()).expect("a plain path");
            assert_eq!(aside(&path, 7).expect("short enough").as_bytes(), aside_name.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_gap_among_the_low_numbers_is_filled_and_any_other_number_is_free_behind_a_taken_one() {
        assert_eq!(found([1, 2, 4]).0, Some(3));
        let taken = (1..=3000).filter(|number| number % 7 != 0 || *number < ONE_BY_ONE_MAX);
        let free = found(taken.clone()).0.expect("there is one");
        let taken: HashSet<_> = taken.collect();
        assert!(!taken.contains(&free) && taken.contains(&(free - 1)), "{free}");
    }

    /// Names that are taken, of which each is taken by `new`, which gets one.
    struct TakenNames(RefCell<BTreeMap<Vec<u8>, &'static str>>);

    impl Naming for TakenNames {
        type Error = ();

        fn replace(&self, name: &[u8]) -> Result<(), ()> {
            self.0.borrow_mut().insert(name.to_vec(), "new");
            Ok(())
        }

        fn take(&self, name: &[u8]) -> Result<bool, ()> {
            let is_free = !self.0.borrow().contains_key(name);
            if is_free { self.replace(name).map(|()| true) } else { Ok(false) }
        }

        fn is_taken(&self, name: &[u8]) -> Result<bool, ()> {
            Ok(self.0.borrow().contains_key(name))
        }
    }

    #[test]
    fn what_exists_is_replaced_kept_or_stepped_aside_from() {
        for (replace, taken, gets) in [
            (Replace::Yes, &["f"][..], Ok("f")),
            (Replace::No, &["f"], Err(NoName::Taken)),
            (Replace::No, &[], Ok("f")),
            (Replace::RenameFree, &[], Ok("f")),
            (Replace::RenameFree, &["f", "f~1", "f~3"], Ok("f~2")),
        ] {
            let old = taken.iter().map(|name| (name.as_bytes().to_vec(), "old")).collect();
            let (names, target) = (TakenNames(RefCell::new(old)), WirePath::parse(b"f").expect("a plain path"));
            let given = give_final_name(&names, &target, replace).map(|path| path.to_string());
            assert_eq!(given, gets.map(str::to_owned), "{replace:?} {taken:?}");
            let kept = taken.iter().all(|name| names.0.borrow()[name.as_bytes()] == "old");
            assert_eq!(kept, replace != Replace::Yes, "{replace:?} {taken:?}");
        }
    }

    #[test]
    fn nothing_has_a_name_before_it_is_on_the_disk_and_nobody_is_told_before_the_name_is() {
        use CommitStep::{Answer, Finish, Rename, SyncContent, SyncNames};
        assert_eq!(steps(Durability::Synced).collect::<Vec<_>>(), [Finish, SyncContent, Rename, SyncNames, Answer]);
        assert_eq!(steps(Durability::Unsynced).collect::<Vec<_>>(), [Finish, Rename, SyncNames, Answer]);
    }
}
