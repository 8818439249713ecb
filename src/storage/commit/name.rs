//! A final name: for what has been made complete under a temporary one.

use std::ops::RangeInclusive;

use rustix::io::Errno;

use super::Sync;
use crate::protocol::path::WirePath;
use crate::storage::dir::Dir;

/// Numbers that [`Replace::RenameFree`] tries.
const ASIDE: RangeInclusive<u32> = 1..=9999;

/// Up to here numbers are tried one by one, so that a gap that somebody made is filled.
const ONE_BY_ONE_MAX: u32 = 16;

/// How often another free number is looked for when somebody else takes the one that was found.
const RACES_MAX: u32 = 64;

/// What happens when the final name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The file (or link) that has it is replaced, atomically.
    Yes,
    /// Fails with status `Exists`.
    No,
    /// The new one gets the next free of `name~1.txt`, `name~2.txt` ….
    RenameFree,
}

/// Renames within `dir`, the directory of `target`, in one step. Says which name it became. `sync` says whether a name that
/// is not replaced is told apart after a power cut, too.
pub(in crate::storage) fn give_final_name(
    dir: &Dir,
    temporary: &[u8],
    target: &WirePath,
    replace: Replace,
    sync: Sync,
) -> Result<WirePath, Errno> {
    let renamed = match replace {
        Replace::Yes => dir.rename(temporary, target.name()),
        Replace::No | Replace::RenameFree => dir.rename_no_replace(temporary, target.name(), sync),
    };
    match (renamed, replace) {
        (Err(Errno::EXIST), Replace::RenameFree) => rename_free(dir, temporary, target, sync),
        (renamed, _) => renamed.map(|()| target.clone()),
    }
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

/// What tells other programs of which kind a file is, with its dot: `.jpg`, `.tar.gz`; nothing where there is no such end.
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
fn rename_free(dir: &Dir, temporary: &[u8], target: &WirePath, sync: Sync) -> Result<WirePath, Errno> {
    let mut number = *ASIDE.start();
    for _ in 0..RACES_MAX {
        number = free_number(number, |number| is_taken(dir, target, number))?;
        let path = aside(target, number).ok_or(Errno::NAMETOOLONG)?;
        match dir.rename_no_replace(temporary, path.name(), sync) {
            // Somebody else took it meanwhile.
            Err(Errno::EXIST) => number += 1,
            settled => return settled.map(|()| path),
        }
    }
    Err(Errno::EXIST)
}

fn is_taken(dir: &Dir, target: &WirePath, number: u32) -> Result<bool, Errno> {
    let path = aside(target, number).ok_or(Errno::NAMETOOLONG)?;
    match dir.stat(path.name()) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A free number from `first` on: tried one by one where they are few, then in steps that double, then between the last
/// that was taken and the first that was free.
fn free_number(first: u32, is_taken: impl Fn(u32) -> Result<bool, Errno>) -> Result<u32, Errno> {
    let (mut taken, mut step) = (first - 1, 1);
    let mut free = loop {
        if taken >= *ASIDE.end() {
            return Err(Errno::EXIST);
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
    Ok(free)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashSet;

    use super::*;

    /// The number that is found where these are taken, and how many were looked at.
    fn found(taken: impl IntoIterator<Item = u32>) -> (Result<u32, Errno>, u32) {
        let (taken, looks) = (taken.into_iter().collect::<HashSet<_>>(), Cell::new(0));
        let free = free_number(1, |number| {
            looks.set(looks.get() + 1);
            Ok(taken.contains(&number))
        });
        (free, looks.get())
    }

    #[test]
    fn the_first_free_number_is_found_with_few_looks_however_many_are_taken() {
        for count in (0..200).chain([500, 1000, 5000, 9998]) {
            let (free, looks) = found(1..=count);
            assert_eq!(free, Ok(count + 1));
            assert!(looks <= ONE_BY_ONE_MAX + 24, "{looks} looks for {count} names");
        }
        let (free, looks) = found(ASIDE);
        assert_eq!(free, Err(Errno::EXIST));
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
        assert_eq!(found([1, 2, 4]).0, Ok(3));
        let taken = (1..=3000).filter(|number| number % 7 != 0 || *number < ONE_BY_ONE_MAX);
        let free = found(taken.clone()).0.expect("there is one");
        let taken: HashSet<_> = taken.collect();
        assert!(!taken.contains(&free) && taken.contains(&(free - 1)), "{free}");
    }
}
