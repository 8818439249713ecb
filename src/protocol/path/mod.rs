//! Names on the wire: parsed once, safe ever after.
//!
//! A peer names files with bytes. [`WirePath::parse`] is the only way from those bytes to a path that
//! the rest of the program accepts, so no code behind it has to ask again whether a name is safe.
//! Nothing is ever "cleaned": a name that breaks a rule is refused (rclone, croc, scp and rsync each
//! had an escape through a clean-up that missed a case).

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Longest single component in bytes: the limit of every file system we write to.
pub const COMPONENT_BYTES_MAX: usize = 255;
/// Longest whole path in bytes (Linux `PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;
/// Deepest nesting accepted; far beyond real trees, and it bounds the work of walking a path.
pub const DEPTH_MAX: usize = 128;
/// Ending of the names of partial files. They are ours: no peer may read, write or list one.
pub const PART_SUFFIX: &[u8] = b".qft-part";

/// Why a name from the wire was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path has no components.
    #[error("empty path")]
    Empty,
    /// The path starts at the file system's root.
    #[error("absolute path")]
    Absolute,
    /// A component is empty, `.` or `..`.
    #[error("path component that is empty, '.' or '..'")]
    Dots,
    /// A component holds a NUL byte.
    #[error("NUL byte in a path")]
    Nul,
    /// A component, the whole path or its depth is over its limit.
    #[error("path too long")]
    TooLong,
    /// A component ends like our partial files.
    #[error("the suffix .qft-part is for unfinished files; it needs another name")]
    Reserved,
}

/// A relative path of plain components, separated by `/`; bytes, not necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WirePath(Box<[u8]>);

impl WirePath {
    /// Parses a relative path.
    ///
    /// # Errors
    /// The first rule of [`PathError`] that the path breaks.
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        if raw.is_empty() {
            return Err(PathError::Empty);
        }
        if raw.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if raw[0] == b'/' {
            return Err(PathError::Absolute);
        }
        if check_components(raw)? > DEPTH_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(raw.into()))
    }

    /// Parses a local relative path.
    ///
    /// # Errors
    /// As [`WirePath::parse`].
    pub fn from_path(path: &Path) -> Result<Self, PathError> {
        Self::parse(path.as_os_str().as_bytes())
    }

    /// The path's bytes, components separated by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as the operating system takes it: relative, plain components only.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The components, outermost first. Never empty.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/')
    }

    /// The last component, which is never empty.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
        &self.0[start..]
    }

    /// The last component alone.
    #[must_use]
    pub fn last(&self) -> Self {
        Self(self.name().into())
    }

    /// Everything before the last component; `None` for a single component.
    pub fn parent(&self) -> Option<Self> {
        Some(Self(self.parent_bytes()?.into()))
    }

    /// The bytes of that.
    pub(crate) fn parent_bytes(&self) -> Option<&[u8]> {
        let end = self.0.iter().rposition(|b| *b == b'/')?;
        Some(&self.0[..end])
    }

    /// The name of something in this directory, whose own components are not looked at again.
    ///
    /// # Errors
    /// As [`WirePath::parse`].
    pub(crate) fn child(&self, name: &[u8]) -> Result<Self, PathError> {
        let raw = [&self.0, &b"/"[..], name].concat();
        if raw.len() > PATH_BYTES_MAX || self.components().count() + check_components(name)? > DEPTH_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(raw.into()))
    }

    /// This path with `below` appended.
    ///
    /// # Errors
    /// [`PathError::TooLong`] when the whole is over a limit.
    pub fn join(&self, below: &Self) -> Result<Self, PathError> {
        let mut raw = Vec::with_capacity(self.0.len() + 1 + below.0.len());
        raw.extend_from_slice(&self.0);
        raw.push(b'/');
        raw.extend_from_slice(&below.0);
        Self::parse(&raw)
    }

    /// The rest of this path below `base`; `None` when it is not below it.
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*base.0)?.strip_prefix(b"/")?;
        Some(Self(rest.into()))
    }
}

/// Checks each component, and counts them.
fn check_components(raw: &[u8]) -> Result<usize, PathError> {
    let mut depth = 0;
    for component in raw.split(|b| *b == b'/') {
        check_component(component)?;
        depth += 1;
    }
    Ok(depth)
}

fn check_component(component: &[u8]) -> Result<(), PathError> {
    if component.is_empty() || component == b"." || component == b".." {
        return Err(PathError::Dots);
    }
    if component.contains(&0) {
        return Err(PathError::Nul);
    }
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    let start = component.len().saturating_sub(PART_SUFFIX.len());
    // Case-folded: on a case-insensitive disk `.QFT-PART` would be the same file.
    if component[start..].eq_ignore_ascii_case(PART_SUFFIX) {
        return Err(PathError::Reserved);
    }
    Ok(())
}

/// As one byte string: on the wire the same bytes as a list of `u8`, but not taken apart one by one.
impl Serialize for WirePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for WirePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(WirePathVisitor)
    }
}

struct WirePathVisitor;

impl<'de> Visitor<'de> for WirePathVisitor {
    type Value = WirePath;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a relative path as bytes")
    }

    fn visit_bytes<E: de::Error>(self, raw: &[u8]) -> Result<WirePath, E> {
        WirePath::parse(raw).map_err(E::custom)
    }

    /// Formats without byte strings (JSON) have lists of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<WirePath, A::Error> {
        let mut raw = Vec::new();
        while let Some(byte) = list.next_element()? {
            if raw.len() == PATH_BYTES_MAX {
                return Err(de::Error::custom(PathError::TooLong));
            }
            raw.push(byte);
        }
        self.visit_bytes(&raw)
    }
}

impl From<&WirePath> for PathBuf {
    fn from(path: &WirePath) -> Self {
        path.as_path().to_owned()
    }
}

impl fmt::Display for WirePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(&self.0).fmt(f)
    }
}

impl fmt::Debug for WirePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Shows text that a peer chose: control and bidirectional characters, characters that draw nothing, and
/// invalid UTF-8 are escaped, so a name can move no cursor, hide no letter and forge no line. They are written as `ls -b`
/// writes them, and bash reads them back between `$'` and `'`: `\n`, `\r`, `\t`, `\\`, and each other byte in three octal
/// digits, `\033`.
pub fn escape(raw: &[u8]) -> Escaped<'_> {
    Escaped(raw)
}

/// The same for a path of this machine.
pub fn escape_path(path: &Path) -> Escaped<'_> {
    escape(path.as_os_str().as_bytes())
}

/// Text of a peer's choosing, safe to print. Made by [`escape`].
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most names are plain, and those of all files of a job are shown.
        if let Ok(plain) = str::from_utf8(self.0)
            && self.0.iter().all(is_plain)
        {
            return f.pad(plain);
        }
        let mut shown = String::with_capacity(self.0.len());
        for part in self.0.utf8_chunks() {
            for c in part.valid().chars() {
                match c {
                    '\n' => shown.push_str(r"\n"),
                    '\r' => shown.push_str(r"\r"),
                    '\t' => shown.push_str(r"\t"),
                    '\\' => shown.push_str(r"\\"),
                    c if is_unsafe_to_show(c) => push_octal(&mut shown, c.encode_utf8(&mut [0; 4]).as_bytes()),
                    c => shown.push(c),
                }
            }
            push_octal(&mut shown, part.invalid());
        }
        f.pad(&shown)
    }
}

/// The same between double quotes, for text that a message is about.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text.as_bytes()))
}

/// Whether a byte is a printable character of ASCII that is shown as it is.
fn is_plain(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~') && *byte != b'\\'
}

fn push_octal(shown: &mut String, raw: &[u8]) {
    raw.iter().for_each(|byte| shown.push_str(&format!("\\{byte:03o}")));
}

/// Control characters, our own escape, line separators, and all of Unicode's `Default_Ignorable_Code_Point`:
/// what is not drawn makes two different names look alike. Bidirectional controls are among them.
pub(crate) fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\\' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
pub(in crate::protocol) mod tests;
