//! The rights of one client, and their form in a list: `ro,root=photos,expires=2026-12-31`.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::protocol::path::{WirePath, escape};

/// The rights of clients on files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AccessMode {
    /// Send, get and list.
    #[default]
    ReadWrite,
    /// The client may get and list, and send nothing.
    ReadOnly,
    /// The client may send, and learns nothing of what is there.
    WriteOnly,
}

impl AccessMode {
    /// Whether files may be got and listed.
    pub fn reads(self) -> bool {
        self != Self::WriteOnly
    }

    /// Whether files may be sent.
    pub fn writes(self) -> bool {
        self != Self::ReadOnly
    }

    /// The rights that both allow; `None` when there are none.
    pub fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::ReadWrite, mode) | (mode, Self::ReadWrite) => Some(mode),
            (one, other) => (one == other).then_some(one),
        }
    }
}

/// The rights of one client. The default is everything, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Send, get, or both.
    pub mode: AccessMode,
    /// It never replaces a file that exists.
    pub no_clobber: bool,
    /// The directory below the served one that is all it sees; `None` is the served one.
    pub root: Option<WirePath>,
    /// When the rights end, to the second.
    pub expires: Option<SystemTime>,
}

/// The options of a list's line.
const READ_ONLY: &str = "ro";
const WRITE_ONLY: &str = "wo";
const NO_CLOBBER: &str = "no-clobber";
const ROOT: &str = "root";
const EXPIRES: &str = "expires";
/// Words that somebody may take for an option. None of them is the name of a client: such a line must not let its
/// client do more than its author meant.
const LOOK_LIKE_OPTIONS: [&str; 12] = [
    READ_ONLY,
    WRITE_ONLY,
    NO_CLOBBER,
    ROOT,
    EXPIRES,
    "rw",
    "read",
    "write",
    "read-only",
    "write-only",
    "readonly",
    "writeonly",
];

/// Whether a word is, or could be taken for, options.
pub(super) fn is_like_options(word: &str) -> bool {
    word.contains(['=', ',', '"']) || LOOK_LIKE_OPTIONS.iter().any(|option| option.eq_ignore_ascii_case(word))
}

impl Rights {
    /// Whether they have ended.
    pub fn have_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether everything that `other` allows is allowed by these too, time left aside: whoever is connected with
    /// `other` may go on.
    pub fn cover(&self, other: &Self) -> bool {
        let mode = self.mode == AccessMode::ReadWrite || self.mode == other.mode;
        let clobber = other.no_clobber || !self.no_clobber;
        // The same tree by another name is another tree to the client.
        mode && clobber && self.root == other.root
    }

    /// Reads options, separated by commas.
    ///
    /// # Errors
    /// What is wrong, in words: an option that is unknown, given twice, without its value, or contradicted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rights = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for option in split_options(text)? {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(unquote(value)?)),
                None => (option, None),
            };
            if seen.iter().any(|earlier| earlier == name) {
                return Err(format!("the option {name} is given twice"));
            }
            rights.set(name, value.as_deref())?;
            seen.push(name.to_owned());
        }
        let exclusive = [READ_ONLY, WRITE_ONLY].iter().all(|mode| seen.iter().any(|name| name == mode));
        if exclusive { Err("ro and wo exclude each other".to_owned()) } else { Ok(rights) }
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        match (name, value) {
            (READ_ONLY, None) => self.mode = AccessMode::ReadOnly,
            (WRITE_ONLY, None) => self.mode = AccessMode::WriteOnly,
            (NO_CLOBBER, None) => self.no_clobber = true,
            (ROOT, Some(path)) => self.root = Some(parse_root(path)?),
            (EXPIRES, Some(end)) => self.expires = Some(parse_expiry(end)?),
            (READ_ONLY | WRITE_ONLY | NO_CLOBBER, Some(_)) => return Err(format!("the option {name} takes no value")),
            (ROOT | EXPIRES, None) => return Err(format!("the option {name} needs a value: {name}=...")),
            _ => {
                let name = escape(name.as_bytes());
                return Err(format!(
                    "unknown option '{name}'; the options are ro, wo, no-clobber, root=DIR and expires=DATE"
                ));
            }
        }
        Ok(())
    }
}

/// Reads a directory below the served one; a slash at its end is ignored.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_root(text: &str) -> Result<WirePath, String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    if text.contains(char::is_control) {
        return Err(format!("the directory '{}' has control characters in its name", escape(text.as_bytes())));
    }
    WirePath::parse(path.as_bytes()).map_err(|error| format!("the directory '{}': {error}", escape(text.as_bytes())))
}

/// Reads when rights end.
///
/// # Errors
/// How a time looks, in words.
pub fn parse_expiry(text: &str) -> Result<SystemTime, String> {
    let shape =
        || format!("'{}' is no date; it looks like 2026-12-31 or 2026-12-31T18:00 (UTC)", escape(text.as_bytes()));
    calendar::parse_end(text).ok_or_else(shape)
}

/// Cuts at commas outside of quotes.
fn split_options(text: &str) -> Result<Vec<&str>, String> {
    let (mut options, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                options.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    options.push(&text[start..]);
    if options.iter().any(|option| option.is_empty()) {
        return Err("an empty option".to_owned());
    }
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(options) }
}

/// A value without the quotes around it; within them `\` makes `"` and `\` plain.
fn unquote(value: &str) -> Result<String, String> {
    let Some(inner) = value.strip_prefix('"') else {
        return if value.contains('"') { Err("a quote within a word".to_owned()) } else { Ok(value.to_owned()) };
    };
    let inner = inner.strip_suffix('"').ok_or("a quote is not closed")?;
    let mut plain = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().ok_or("a quote is not closed")?),
            '"' => return Err("a quote within a quoted word".to_owned()),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

fn quote(value: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, ',' | '"' | '#' | '\\');
    match value.chars().all(is_plain) {
        true => value.to_owned(),
        false => format!("\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#)),
    }
}

/// The options as [`Rights::parse`] reads them; nothing for the default.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        match self.mode {
            AccessMode::ReadWrite => {}
            AccessMode::ReadOnly => options.push(READ_ONLY.to_owned()),
            AccessMode::WriteOnly => options.push(WRITE_ONLY.to_owned()),
        }
        if self.no_clobber {
            options.push(NO_CLOBBER.to_owned());
        }
        if let Some(root) = &self.root {
            // Only text gets here: a list is text, and so is what the command line takes.
            options.push(format!("{ROOT}={}", quote(&String::from_utf8_lossy(root.as_bytes()))));
        }
        if let Some(end) = self.expires {
            options.push(format!("{EXPIRES}={}", calendar::moment(end)));
        }
        f.pad(&options.join(","))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn rights(text: &str) -> Rights {
        Rights::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_option_is_read() {
        let all = rights(r#"wo,no-clobber,root="a b/c, \"d\" #1",expires=2026-12-31"#);
        assert_eq!((all.mode, all.no_clobber), (AccessMode::WriteOnly, true));
        assert_eq!(all.root.as_ref().map(WirePath::as_bytes), Some(&b"a b/c, \"d\" #1"[..]));
        assert_eq!(all.expires, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600)));
        assert_eq!(rights("ro"), Rights { mode: AccessMode::ReadOnly, ..Rights::default() });
        assert_eq!(rights("root=photos/").root, Some(WirePath::parse(b"photos").unwrap()));
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_says_what() {
        for (text, words) in [
            ("", "empty"),
            ("ro,", "empty"),
            ("read-only", "unknown option 'read-only'"),
            ("RO", "unknown option 'RO'"),
            ("ro,ro", "twice"),
            ("ro,wo", "exclude"),
            ("ro=yes", "takes no value"),
            ("root", "needs a value"),
            ("root=", "empty path"),
            ("root=/etc", "absolute"),
            ("root=../x", "'..'"),
            ("root=\"a", "not closed"),
            ("root=a\"b\"", "quote within"),
            ("expires=soon", "no date"),
            ("expires=2026-02-30", "no date"),
            ("ro\u{1b}[2J", r"unknown option 'ro\033[2J'"),
        ] {
            let error = Rights::parse(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn rights_cover_what_is_no_more_than_they_allow() {
        for (new, old, covered) in [
            ("ro", "ro", true),
            ("ro", "wo", false),
            ("no-clobber", "no-clobber,ro", true),
            ("root=a", "root=a,ro", true),
            ("root=a", "root=b", false),
            ("root=a,wo", "root=a", false),
            ("expires=2020-01-01", "expires=2030-01-01", true),
        ] {
            assert_eq!(rights(new).cover(&rights(old)), covered, "{new} {old}");
        }
        assert!(Rights::default().cover(&rights("ro,no-clobber")) && Rights::default().cover(&Rights::default()));
        assert!(!rights("no-clobber").cover(&Rights::default()) && !Rights::default().cover(&rights("root=a")));
    }

    #[test]
    fn rights_end_to_the_second() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_460_309);
        let rights = rights("expires=2026-03-02T14:05:09Z");
        assert!(!rights.have_expired(end - Duration::from_nanos(1)) && rights.have_expired(end));
        assert!(!Rights::default().have_expired(end));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            mode in prop_oneof![Just(AccessMode::ReadWrite), Just(AccessMode::ReadOnly), Just(AccessMode::WriteOnly)],
            no_clobber in any::<bool>(),
            root in proptest::option::of("[^/\u{0}]{1,12}"),
            expires in proptest::option::of(0..4_000_000_000_u64),
        ) {
            let root = root.filter(|root| !root.contains(char::is_control)).and_then(|root| WirePath::parse(root.as_bytes()).ok());
            let expires = expires.map(|secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
            let rights = Rights { mode, no_clobber, root, expires };
            if rights != Rights::default() {
                prop_assert_eq!(Rights::parse(&rights.to_string()), Ok(rights));
            }
        }

        #[test]
        fn random_options_are_read_or_refused_without_a_panic(text in any::<String>()) {
            if let Ok(rights) = Rights::parse(&text) {
                prop_assert_eq!(Rights::parse(&rights.to_string()), Ok(rights));
            }
        }
    }
}
