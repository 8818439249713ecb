//! A final name: for what has been made complete under a temporary one.

use std::ops::RangeInclusive;

use rustix::io::Errno;

use crate::protocol::path::WirePath;
use crate::storage::dir::Dir;

/// Numbers that [`Replace::RenameFree`] tries.
const ASIDE: RangeInclusive<u32> = 1..=9999;

/// What happens when the final name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The file (or link) that has it is replaced, atomically.
    Yes,
    /// Fails with status `Exists`.
    No,
    /// The new one gets the first free of `name~1`, `name~2` ….
    RenameFree,
}

/// Renames within `dir`, the directory of `target`, in one step. Says which name it became.
pub(in crate::storage) fn give_final_name(
    dir: &Dir,
    temporary: &[u8],
    target: &WirePath,
    replace: Replace,
) -> Result<WirePath, Errno> {
    let renamed = match replace {
        Replace::Yes => dir.rename(temporary, target.name()),
        Replace::No | Replace::RenameFree => dir.rename_no_replace(temporary, target.name()),
    };
    match (renamed, replace) {
        (Err(Errno::EXIST), Replace::RenameFree) => rename_free(dir, temporary, target),
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
    WirePath::parse(&[target.as_bytes(), suffix.as_bytes()].concat()).ok()
}

fn rename_free(dir: &Dir, temporary: &[u8], target: &WirePath) -> Result<WirePath, Errno> {
    for number in ASIDE {
        let path = aside(target, number).ok_or(Errno::NAMETOOLONG)?;
        match dir.rename_no_replace(temporary, path.name()) {
            Err(Errno::EXIST) => {}
            settled => return settled.map(|()| path),
        }
    }
    Err(Errno::EXIST)
}
