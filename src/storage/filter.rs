//! Which names are left out of a walk, in the syntax of `.gitignore`.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::pattern::line_within_bounds;
use crate::protocol::path::WirePath;

/// A filter line that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad filter: {0}")]
pub struct FilterError(String);

/// The memory that a line takes beside its text.
const LINE_BYTES: usize = 1024;
/// How many times its text a line takes that is compared as it is.
const PLAIN_TIMES: usize = 80;
/// The same of one with wildcards while a machine is made of it, also if that is refused in the end for its size.
const WILD_TIMES: usize = 512;

/// Lines that leave files out of a walk.
///
/// They are matched against names on the wire: a leading `/` means the top of what is transferred. The last
/// line that matches decides, and nothing below a directory that is left out can come back in.
#[derive(Debug, Clone)]
pub struct Filters(Gitignore);

impl Filters {
    /// Filters that leave nothing out.
    pub fn none() -> Self {
        Self(Gitignore::empty())
    }

    /// The lines that [`Filters::new`] makes of excludes and includes, to be sent to a remote.
    pub fn lines<S: AsRef<str>>(excludes: &[S], includes: &[S]) -> Vec<String> {
        let excludes = excludes.iter().map(|line| line.as_ref().to_owned());
        excludes.chain(includes.iter().map(|line| format!("!{}", line.as_ref()))).collect()
    }

    /// Takes lines that leave out (`!` in front keeps), then lines that keep.
    ///
    /// # Errors
    /// With the first line that is no valid pattern, or too long or too nested for one.
    pub fn new<S: AsRef<str>>(excludes: &[S], includes: &[S]) -> Result<Self, FilterError> {
        let mut lines = GitignoreBuilder::new("");
        // Git takes `a[` for a name; who types it here has more likely forgotten something.
        lines.allow_unclosed_class(false);
        for line in Self::lines(excludes, includes) {
            // They may be a peer's, and all are compiled into one machine.
            line_within_bounds(line.as_bytes()).map_err(|error| FilterError(error.to_string()))?;
            lines.add_line(None, &line).map_err(|error| FilterError(error.to_string()))?;
        }
        lines.build().map(Self).map_err(|error| FilterError(error.to_string()))
    }

    /// Memory that [`Filters::new`] takes for such lines, in bytes, at most.
    pub fn memory_bytes<S: AsRef<str>>(lines: &[S]) -> usize {
        lines.iter().map(|line| line_bytes(line.as_ref())).sum()
    }

    /// Whether a name is left out. Its parents are asked for first, by whoever walks.
    pub fn leaves_out(&self, name: &WirePath, is_dir: bool) -> bool {
        self.why_left_out(name, is_dir).is_some()
    }

    /// The line that leaves a name out.
    pub fn why_left_out(&self, name: &WirePath, is_dir: bool) -> Option<&str> {
        match self.0.matched(name.as_path(), is_dir) {
            Match::Ignore(line) => Some(line.original()),
            Match::None | Match::Whitelist(_) => None,
        }
    }

    /// Whether there are lines that keep what others leave out.
    pub fn keep_some(&self) -> bool {
        self.0.num_whitelists() > 0
    }
}

fn line_bytes(line: &str) -> usize {
    // Names are compared by their ends, and by their whole.
    let compared = line.strip_prefix("*.").unwrap_or(line);
    let times = if compared.contains(['*', '?', '[', '{', '\\']) { WILD_TIMES } else { PLAIN_TIMES };
    LINE_BYTES + times * line.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::wire;

    #[test]
    fn lines_mean_what_they_mean_in_gitignore() {
        let filters = Filters::new(&["*.log", "/build", "tmp/", "a/**/z", "!keep.log"], &["important.log"]).unwrap();
        for (name, is_dir, left_out) in [
            ("x.log", false, true),
            ("a/b/x.log", false, true),
            ("keep.log", false, false),
            ("a/important.log", false, false),
            ("build", true, true),
            ("a/build", true, false),
            ("tmp", true, true),
            ("tmp", false, false),
            ("a/z", false, true),
            ("a/b/c/z", false, true),
            ("b/z", false, false),
        ] {
            assert_eq!(filters.leaves_out(&wire(name), is_dir), left_out, "{name}");
        }
        assert!(!Filters::none().leaves_out(&wire("a"), false));
    }

    #[test]
    fn names_that_are_no_text_can_be_left_out() {
        let name = WirePath::parse(b"a/\xff\n.log").unwrap();
        assert!(Filters::new(&["*.log"], &[]).unwrap().leaves_out(&name, false));
    }

    #[test]
    fn a_line_that_costs_more_than_anybody_needs_is_refused_and_a_long_name_is_not() {
        for (line, why) in [
            ("{".repeat(300) + "a" + &"}".repeat(300), "more than 32 groups"),
            ("{a/".repeat(33) + "b" + &"}".repeat(33), "more than 32 groups"),
            ("?".repeat(1025), "longer than 1024 bytes"),
            (format!("a/!{}/b", "[ab]".repeat(300)), "longer than 1024 bytes"),
        ] {
            for (excludes, includes) in
                [(vec![line.clone()], vec![]), (vec![format!("!{line}")], vec![]), (vec![], vec![line])]
            {
                let error = Filters::new(&excludes, &includes).unwrap_err().to_string();
                assert!(error.starts_with("bad filter: a pattern ") && error.contains(why), "{error}");
            }
        }
        let long = vec!["d".repeat(200); 20].join("/");
        assert!(Filters::new(&[&long], &[]).unwrap().leaves_out(&wire(&long), false));
        assert!(Filters::new(&["*.{jpg,png,gif}"], &[]).unwrap().leaves_out(&wire("a.png"), false));
    }

    #[test]
    fn a_bad_line_is_an_error() {
        let error = Filters::new(&["a[", "b"], &[]).unwrap_err();
        assert!(error.to_string().starts_with("bad filter: "), "{error}");
    }
}
