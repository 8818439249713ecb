//! The entry of a list about one client: `[options] NAME  # comment`.

use super::rights::{Rights, is_like_options};
use super::{check_name, free_name, short_name};
use crate::protocol::path::escape;

/// The name of a client that gave none.
pub(super) const NAMELESS: &str = "client";

/// Somebody who may come in: a name and rights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientEntry {
    /// Its name in the list; `None` leaves that to the client.
    pub name: Option<String>,
    /// The rights that it has.
    pub rights: Rights,
}

impl ClientEntry {
    /// Reads `[options] [NAME]`; the comment is gone already.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words = words(text);
        match words[..] {
            [] => Ok(Self::default()),
            [word] if is_like_options(word) => Ok(Self { name: None, rights: Rights::parse(word)? }),
            [name] => Ok(Self { name: Some(name.to_owned()), rights: Rights::default() }),
            [_, name] if is_like_options(name) => Err(format!("'{name}' is no name; options are written in one word")),
            [options, name] => Ok(Self { name: Some(name.to_owned()), rights: Rights::parse(options)? }),
            _ => Err("more than a fingerprint, options and a name".to_owned()),
        }
    }

    /// As [`ClientEntry::parse`] reads it.
    pub(super) fn text(&self) -> String {
        let options = self.rights.to_string();
        let words = [options.as_str(), self.name.as_deref().unwrap_or_default()];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Whether a person may give a client this name; else why not.
///
/// # Errors
/// The rule that it breaks, in words.
pub fn check_client_name(name: &str) -> Result<(), String> {
    if is_like_options(name) {
        return Err(format!("'{}' could be taken for an option; choose another name", escape(name.as_bytes())));
    }
    check_name(name)
}

/// A name for a client that is nobody's yet and that nobody takes for an option.
pub(super) fn client_name(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    free_name(&short_name(wanted, NAMELESS), |name| is_like_options(name) || is_taken(name))
}

/// Cuts a line into what is said and the comment behind it: `#` begins one, outside of quotes.
pub(super) fn cut_comment(line: &str) -> (&str, Option<&str>) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return (line[..at].trim(), Some(line[at + 1..].trim())),
            _ => {}
        }
    }
    (line.trim(), None)
}

/// The words of a text; white space within quotes does not end one.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted, mut escaped) = (Vec::new(), None, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                start.get_or_insert(at);
            }
            c if c.is_whitespace() && !quoted => words.extend(start.take().map(|start: usize| &text[start..at])),
            _ => {
                start.get_or_insert(at);
            }
        }
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(options: &str, name: Option<&str>) -> ClientEntry {
        let rights = if options.is_empty() { Rights::default() } else { Rights::parse(options).unwrap() };
        ClientEntry { name: name.map(str::to_owned), rights }
    }

    #[test]
    fn options_and_name_may_both_be_left_out() {
        for (text, expected) in [
            ("", entry("", None)),
            ("laptop", entry("", Some("laptop"))),
            ("ro", entry("ro", None)),
            ("  ro,root=a   laptop ", entry("ro,root=a", Some("laptop"))),
            (r#"root="a b" laptop"#, entry(r#"root="a b""#, Some("laptop"))),
        ] {
            assert_eq!(ClientEntry::parse(text).as_ref(), Ok(&expected), "{text}");
            assert_eq!(ClientEntry::parse(&expected.text()), Ok(expected));
        }
    }

    #[test]
    fn whoever_means_an_option_does_not_get_a_name_and_all_rights() {
        for text in
            ["read-only", "RO", "rw", "laptop ro", "ro no-clobber", "ro wo laptop", "x=y", "a,b", "ro no-clobber a"]
        {
            assert!(ClientEntry::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_that_calls_itself_like_an_option_gets_another_name() {
        for (wanted, name) in [("ro", "ro-2"), ("Read-Only.lan", "Read-Only-2"), ("laptop", "laptop-3"), ("", "client")]
        {
            let taken = |name: &str| name == "laptop" || name == "laptop-2";
            assert_eq!(client_name(wanted, taken), name);
        }
    }

    #[test]
    fn a_comment_begins_outside_of_quotes() {
        assert_eq!(cut_comment(" a b # c # d "), ("a b", Some("c # d")));
        assert_eq!(cut_comment(r##"root="#1 \"#" a"##), (r##"root="#1 \"#" a"##, None));
        assert_eq!(cut_comment("# all"), ("", Some("all")));
    }
}
