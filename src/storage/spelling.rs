//! How a disk spells names: whether it tells all of them apart, and whether it keeps them as they were given.

use std::str;

use rustix::io::Errno;
use unicode_normalization::UnicodeNormalization;

use super::dir::Dir;
use super::own_names::scratch_name;

/// A letter with its accent in one character, and in two: whoever rewrites accents keeps one of them at most.
const ACCENTS: &str = "\u{e9}e\u{301}";

impl Dir {
    /// Whether it has an entry of exactly this name, in this spelling.
    pub(crate) fn lists(&self, name: &[u8]) -> Result<bool, Errno> {
        for entry in self.entries()? {
            if entry?.file_name().to_bytes() == name {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether it has an entry of this name as this disk spells it. Some take accents apart from their letters, or put them
    /// together, in every name that they are given: disks of Macs, and servers that have such.
    pub(crate) fn lists_in_its_spelling(&self, name: &[u8]) -> Result<bool, Errno> {
        let (composed, mut is_there) = (composed(name), false);
        for entry in self.entries()? {
            let entry = entry?;
            let entry = entry.file_name().to_bytes();
            if entry == name {
                return Ok(true);
            }
            is_there |= composed.is_some() && self::composed(entry) == composed;
        }
        Ok(is_there && self.rewrites_accents()?)
    }

    /// Whether a file that is made here gets another spelling than the one that was asked for. Where none can be made this is
    /// said, too: nothing there can be replaced.
    fn rewrites_accents(&self) -> Result<bool, Errno> {
        let name = scratch_name(ACCENTS);
        let kept = match self.with_scratch_file(&name, |_, name| self.lists(name)) {
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => return Ok(true),
            kept => kept??,
        };
        Ok(!kept)
    }
}

/// The name with its accents in one character with their letters; `None` for one that has none.
fn composed(name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok()?;
    let composed: String = name.nfc().collect();
    let has_accents = composed != name || !composed.chars().eq(composed.nfd());
    has_accents.then_some(composed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::TestRoot;

    #[test]
    fn a_name_with_accents_is_composed_and_no_other_is() {
        assert_eq!([composed(b"plain"), composed(b"\xff\xcc\x81")], [const { None }; 2]);
        for spelling in ["caf\u{e9}", "cafe\u{301}"] {
            assert_eq!(composed(spelling.as_bytes()).as_deref(), Some("caf\u{e9}"));
        }
    }

    #[test]
    fn where_spellings_are_kept_another_one_is_another_name_and_nothing_stays_of_the_question() {
        let place = TestRoot::new();
        place.write("e\u{301}", b"");
        let dir = Dir::open(&place.path("")).unwrap();
        assert!(dir.lists_in_its_spelling("e\u{301}".as_bytes()).unwrap());
        assert!(!dir.lists_in_its_spelling("\u{e9}".as_bytes()).unwrap());
        assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 1);
    }
}
