//! A glob for one component of a path. It may be a peer's, so its size is bounded and none can panic.

use globset::{Candidate, GlobBuilder, GlobSet};

use super::SPECIAL;

/// Longest component with special characters in it. A name has at most 255 bytes; one of its characters can take a group
/// to describe.
pub const GLOB_BYTES_MAX: usize = 1024;
/// Most groups in braces. They nest, each level takes stack where they are compiled, and shells have expanded them before
/// a program sees them.
pub const GROUPS_MAX: usize = 32;

/// Why a text is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobError {
    #[error("a pattern that is not UTF-8")]
    NotText,
    /// Nobody types so much.
    #[error("a pattern longer than {GLOB_BYTES_MAX} bytes")]
    Long,
    #[error("a pattern with more than {GROUPS_MAX} groups in braces")]
    Groups,
    /// The words of the glob compiler.
    #[error("{0}")]
    Syntax(String),
}

/// Whether a component is none that costs more to compile than anybody needs.
///
/// # Errors
/// [`GlobError::Long`] and [`GlobError::Groups`].
fn within_bounds(component: &[u8]) -> Result<(), GlobError> {
    if component.len() > GLOB_BYTES_MAX {
        return Err(GlobError::Long);
    }
    if groups_in(component) > GROUPS_MAX {
        return Err(GlobError::Groups);
    }
    Ok(())
}

fn groups_in(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'{').count()
}

/// Whether a line of several components, which is compiled as one, is within the bounds of a glob: each component that has
/// special characters, and the groups of all together. A name that is only spelled out costs no more than its length.
///
/// # Errors
/// [`GlobError::Long`] and [`GlobError::Groups`].
pub(in crate::storage) fn line_within_bounds(line: &[u8]) -> Result<(), GlobError> {
    if groups_in(line) > GROUPS_MAX {
        return Err(GlobError::Groups);
    }
    let mut components = line.split(|byte| *byte == b'/');
    components.try_for_each(|component| {
        let is_special = component.iter().any(|byte| SPECIAL.contains(byte));
        if is_special { within_bounds(component) } else { Ok(()) }
    })
}

/// A glob for one component of a path.
#[derive(Debug)]
pub(crate) struct Glob(GlobSet);

impl Glob {
    /// Reads `*`, `?`, `[…]` and `{…,…}`.
    ///
    /// # Errors
    /// [`GlobError`], for everything that cannot be matched.
    pub(crate) fn parse(component: &[u8]) -> Result<Self, GlobError> {
        within_bounds(component)?;
        let text = std::str::from_utf8(component).map_err(|_| GlobError::NotText)?;
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        // A set of one: unlike `Glob::compile_matcher`, it says what it cannot compile instead of panicking.
        let compiled = glob.and_then(|glob| GlobSet::builder().add(glob).build());
        compiled.map(Self).map_err(|error| GlobError::Syntax(error.kind().to_string()))
    }

    /// Whether a name is one of those that are meant. It need not be text.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        self.0.is_match_candidate(&Candidate::from_bytes(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_or_too_long_is_refused_and_nothing_panics() {
        for (text, error) in [
            ("{".repeat(300) + "a" + &"}".repeat(300), GlobError::Groups),
            ("{".repeat(2040), GlobError::Long),
            ("?".repeat(GLOB_BYTES_MAX + 1), GlobError::Long),
        ] {
            assert_eq!(Glob::parse(text.as_bytes()).err(), Some(error));
        }
        for broken in ["{", "[", "a}", "[z-a]", "\\"] {
            assert!(matches!(Glob::parse(broken.as_bytes()), Err(GlobError::Syntax(_))), "{broken}");
        }
        assert_eq!(Glob::parse(b"\xff*").err(), Some(GlobError::NotText));
        let deepest = "{".repeat(GROUPS_MAX) + "a" + &"}".repeat(GROUPS_MAX);
        assert!(Glob::parse(deepest.as_bytes()).expect("within the limits").matches(b"a"));
        let longest = "?".repeat(GLOB_BYTES_MAX);
        assert!(!Glob::parse(longest.as_bytes()).expect("within the limits").matches(b"a"));
    }

    #[test]
    fn globs_match_whole_names() {
        let glob = Glob::parse(b"{a,b}[0-9]?*.txt").expect("a glob");
        for (name, expected) in [("a1x.txt", true), ("b2xy.txt", true), ("c1x.txt", false), ("a1.txt", false)] {
            assert_eq!(glob.matches(name.as_bytes()), expected, "{name}");
        }
        assert!(Glob::parse(b"*").expect("a glob").matches(b"\xff"));
    }
}
