//! The names of part files.

use sha2::{Digest, Sha256};

use super::dir::Dir;
use crate::protocol::path::{COMPONENT_BYTES_MAX, PART_SUFFIX, WirePath};

/// The shortest longest name that is taken for one: eCryptfs has 143, everything else that is known more.
const LONGEST_MIN: usize = 100;

/// The owner of a part: a peer that continues a part learns what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// Anyone who may write the file.
    Anyone,
    /// The owner of this name, of a few dozen plain characters. Others have a part of their own for the same file.
    Only(&'a str),
}

impl<'a> Owner<'a> {
    /// The owner of that name, if there is one.
    pub(crate) fn of(name: Option<&'a str>) -> Self {
        name.map_or(Self::Anyone, Self::Only)
    }

    pub(super) fn part_name(self, dir: &Dir, target: &WirePath) -> Box<[u8]> {
        let longest = dir.longest_name();
        match self {
            Self::Anyone => part_name(target.name(), longest),
            Self::Only(owner) => owned_part_name(target.name(), owner.as_bytes(), longest),
        }
    }

    /// The name that is used while a part of another user of this machine has the usual one.
    pub(super) fn spare_part_name(self, dir: &Dir, target: &WirePath) -> Box<[u8]> {
        let user = format!("{}{}", USER_MARK.escape_ascii(), rustix::process::geteuid().as_raw());
        match self {
            Self::Anyone => owned_part_name(target.name(), user.as_bytes(), dir.longest_name()),
            Self::Only(owner) => {
                owned_part_name(target.name(), format!("{owner}-{user}").as_bytes(), dir.longest_name())
            }
        }
    }
}

/// The name of the part of a file of that name, where names have at most `longest` bytes.
///
/// Names too long for the suffix are cut and get a hash; those results, and only those, have the greatest
/// length that a name can have there, so no two files ever share a part.
pub(super) fn part_name(name: &[u8], longest: usize) -> Box<[u8]> {
    // Less has no room for a hash; whoever says so is not believed.
    let longest = if longest < LONGEST_MIN { COMPONENT_BYTES_MAX } else { longest.min(COMPONENT_BYTES_MAX) };
    let mut part = vec![b'.'];
    if 1 + name.len() + PART_SUFFIX.len() < longest {
        part.extend_from_slice(name);
    } else {
        let hash = format!("~{}", data_encoding::HEXLOWER.encode(&Sha256::digest(name)));
        let room = longest - 1 - hash.len() - PART_SUFFIX.len();
        part.extend_from_slice(cut(name, room));
        part.resize(1 + room, b'~');
        part.extend_from_slice(hash.as_bytes());
    }
    part.extend_from_slice(PART_SUFFIX);
    part.into_boxed_slice()
}

/// At most `room` bytes from the start, without half a character: some file systems refuse those.
fn cut(name: &[u8], room: usize) -> &[u8] {
    let is_continuation = |b: u8| b & 0b1100_0000 == 0b1000_0000;
    let mut end = room.min(name.len());
    while end > 0 && end < name.len() && is_continuation(name[end]) {
        end -= 1;
    }
    &name[..end]
}

/// The name of the part of a file of that name that only `owner` may continue.
///
/// It is the part of a name that ends like a part itself, which no file can have, so it is the part of no other file.
pub(super) fn owned_part_name(name: &[u8], owner: &[u8], longest: usize) -> Box<[u8]> {
    part_name(&[name, b"~", owner, PART_SUFFIX].concat(), longest)
}

/// The same name of ours for a disk that refuses a leading dot. `owned` is one of [`owned_part_name`], which without its dot
/// is still none that anybody else would give.
pub(super) fn without_dot(owned: &[u8]) -> &[u8] {
    owned.strip_prefix(b".").unwrap_or(owned)
}

/// The name of the mark beside a name that is reserved: like that of a part that is nobody's.
pub(super) fn mark_name(name: &[u8], longest: usize) -> Box<[u8]> {
    owned_part_name(name, RESERVED, longest)
}

/// The name of what had the name of a file until that replaces it, where the file system does not do that in one step. `None`
/// for a name so long that this one would not say any more what it is.
pub(super) fn replaced_name(name: &[u8], longest: usize) -> Option<Box<[u8]>> {
    let replaced = owned_part_name(name, REPLACED, longest);
    let is_read = PartName::parse(&replaced)?.owner == NamedOwner::Only(REPLACED);
    is_read.then_some(replaced)
}

/// Stands for an owner in the name of a mark. No key and no user goes by it.
const RESERVED: &[u8] = b"reserved";

/// The same for what a file is to replace.
pub(super) const REPLACED: &[u8] = b"replaced";

/// The facts that the name of a part tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartName<'a> {
    /// The name of the file, or what a long one was cut to.
    pub(super) target: &'a [u8],
    /// The owner, who alone may continue it.
    pub(super) owner: NamedOwner<'a>,
}

/// The owner of a part, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedOwner<'a> {
    Anyone,
    Only(&'a [u8]),
    /// The name was cut, and its end is in the hash.
    Unknown,
}

impl<'a> PartName<'a> {
    /// Reads a name that [`part_name`] or [`owned_part_name`] made; `None` of any other.
    pub(super) fn parse(name: &'a [u8]) -> Option<Self> {
        let inner = without_dot(name).strip_suffix(PART_SUFFIX).filter(|inner| !inner.is_empty())?;
        if let Some(owned) = inner.strip_suffix(PART_SUFFIX) {
            let tilde = owned.iter().rposition(|byte| *byte == b'~').filter(|at| *at > 0)?;
            let owner = without_user(&owned[tilde + 1..]);
            let owner = if owner.is_empty() { NamedOwner::Anyone } else { NamedOwner::Only(owner) };
            return Some(Self { target: &owned[..tilde], owner });
        }
        let owner = if is_cut(inner) { NamedOwner::Unknown } else { NamedOwner::Anyone };
        // Without a dot, and with no owner, it is a file of the user's.
        let is_ours = name.starts_with(b".") || owner == NamedOwner::Unknown;
        is_ours.then_some(Self { target: inner, owner })
    }
}

/// An owner without the user of the machine for whom the part has another name than usual.
fn without_user(owner: &[u8]) -> &[u8] {
    let digits = owner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match owner[..owner.len() - digits].strip_suffix(USER_MARK) {
        Some(rest) if digits > 0 => rest.strip_suffix(b"-").unwrap_or(rest),
        _ => owner,
    }
}

/// Whether the inside of a name is that of one which was too long.
fn is_cut(inner: &[u8]) -> bool {
    const HASH_DIGITS: usize = 64;
    let Some(hash) = inner.len().checked_sub(HASH_DIGITS + 1) else { return false };
    inner[hash] == b'~' && inner[hash + 1..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The mark before the number of a user of this machine.
const USER_MARK: &[u8] = b"uid";

/// Whether a name is one of ours. One that only ends like them is its user's, and cannot be sent.
pub(crate) fn is_part_name(name: &[u8]) -> bool {
    ends_like_a_part(name) && (name.starts_with(b".") || PartName::parse(name).is_some())
}

/// Whether a name ends like one of ours.
pub(super) fn ends_like_a_part(name: &[u8]) -> bool {
    let start = name.len().saturating_sub(PART_SUFFIX.len());
    name[start..].eq_ignore_ascii_case(PART_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_part_of_what_it_is() {
        let anyone = |name: &[u8]| part_name(name, 255);
        let owned = |name: &[u8], owner: &[u8]| owned_part_name(name, owner, 255);
        for (name, target, owner) in [
            (anyone(b"big.iso"), &b"big.iso"[..], NamedOwner::Anyone),
            (anyone(b".hidden"), b".hidden", NamedOwner::Anyone),
            (anyone(b"a~b"), b"a~b", NamedOwner::Anyone),
            (owned(b"big", b"kx42"), b"big", NamedOwner::Only(b"kx42")),
            (owned(b"a~b", b"kx42"), b"a~b", NamedOwner::Only(b"kx42")),
            (owned(b"big", b"uid0"), b"big", NamedOwner::Anyone),
            (owned(b"big", b"kx42-uid1000"), b"big", NamedOwner::Only(b"kx42")),
        ] {
            assert_eq!(PartName::parse(&name), Some(PartName { target, owner }), "{name:?}");
        }
        for longest in [255, 143] {
            let long = part_name(&[b'x'; 140], longest);
            let owner = if longest == 255 { NamedOwner::Anyone } else { NamedOwner::Unknown };
            assert_eq!(PartName::parse(&long).map(|name| name.owner), Some(owner));
        }
        for name in [&b"a.qft-part"[..], b".qft-part", b".a.QFT-PART", b".a", b".~kx.qft-part.qft-part"] {
            assert_eq!(PartName::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_name_without_a_dot_is_ours_only_where_nobody_else_would_give_it() {
        for (owner, found) in [(&b"uid0"[..], NamedOwner::Anyone), (b"kx42-uid0", NamedOwner::Only(b"kx42"))] {
            let name = owned_part_name(b"big", owner, 255);
            let expected = PartName { target: b"big", owner: found };
            assert_eq!(PartName::parse(without_dot(&name)), Some(expected));
            assert!(is_part_name(without_dot(&name)));
        }
        let long = owned_part_name(&[b'x'; 250], b"uid0", 255);
        assert!(is_part_name(without_dot(&long)));
        for name in [&b"big.qft-part"[..], b"a~b.qft-part", b"big.qft-part.qft-part", b"~uid0.qft-part.qft-part"] {
            assert!(!is_part_name(name), "{name:?}");
        }
    }
}
