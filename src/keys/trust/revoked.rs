//! Keys that were shut out: `revoked_clients` in the home directory, one a line, `FINGERPRINT NAME  # revoked DAY`.
//!
//! A client that is on no list, because a token or a certificate lets it in, cannot be taken off one. It is put on this
//! one, which wins over both. To be let in by name (`qft peers allow`, an invite) takes a key off again.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use super::content;
use super::with_line;
use crate::calendar;
use crate::keys::Fingerprint;
use crate::keys::home::{self, HomeError, HomeLock, Privacy};

/// The list's name in the home directory.
pub(super) const FILE: &str = "revoked_clients";
/// First lines of a list made here.
const HEADING: &str = "# Keys that were shut out, whatever else would let them in: FINGERPRINT NAME, one a line. A line that \
                       was removed shuts nobody out.\n";

/// The keys that were shut out, with what each was called.
pub(super) type Revoked = HashMap<Fingerprint, String>;

/// Reads a list. A line that names no key shuts nobody out, and is reported.
pub(super) fn parse(text: &str) -> Revoked {
    let mut revoked = Revoked::new();
    for (number, line) in (1..).zip(text.lines()) {
        let said = content(line);
        let (key, name) = said.split_once(char::is_whitespace).unwrap_or((said, ""));
        match key.parse() {
            _ if said.is_empty() => {}
            Ok(key) => drop(revoked.insert(key, name.trim().to_owned())),
            Err(error) => tracing::warn!("{FILE}, line {number}: the fingerprint {error}; it shuts nobody out"),
        }
    }
    revoked
}

/// Reads the list of a home.
pub(super) fn read(home: &Path) -> Result<Revoked, HomeError> {
    Ok(parse(&text(home)?))
}

fn text(home: &Path) -> Result<String, HomeError> {
    Ok(home::read(&home.join(FILE), Privacy::List)?.map(|(text, _)| text).unwrap_or_default())
}

/// Puts a key on the list, unless it is there.
pub(super) fn add(home: &Path, lock: &HomeLock, key: &Fingerprint, name: &str) -> Result<(), HomeError> {
    let text = text(home)?;
    if parse(&text).contains_key(key) {
        return Ok(());
    }
    let text = if text.is_empty() { HEADING.to_owned() } else { text };
    let said = [key.to_string(), name.to_owned()].join(" ");
    let day = calendar::day(SystemTime::now());
    lock.replace(FILE, &with_line(text, &format!("{}  # revoked {day}", said.trim_end())))
}

/// Takes a key off the list.
pub(super) fn remove(home: &Path, lock: &HomeLock, key: &Fingerprint) -> Result<(), HomeError> {
    let text = text(home)?;
    if !parse(&text).contains_key(key) {
        return Ok(());
    }
    let is_other =
        |line: &&str| content(line).split_whitespace().next().and_then(|word| word.parse().ok()) != Some(*key);
    lock.replace(FILE, &text.lines().filter(is_other).fold(String::new(), with_line))
}
