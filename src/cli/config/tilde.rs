//! `~` where no shell has made a path of it: quoted, behind a colon, in a file of settings.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::cli::exit::Complaint;
use crate::protocol::path::escape;

/// Whether a path begins with somebody's home directory, as shells write it.
pub(crate) fn is_tilde(path: &[u8]) -> bool {
    let first = path.split(|b| *b == b'/').next().unwrap_or_default();
    first == b"~" || (first.starts_with(b"~") && first.len() < path.len())
}

/// A path with `~/` as the home directory; one that is written otherwise stays as it is. For what stands behind an
/// option or a colon, where no shell looks.
///
/// # Errors
/// It is another user's home, or this user has none.
pub(crate) fn expand(path: &OsStr) -> Result<PathBuf, Complaint> {
    let raw = path.as_bytes();
    if !is_tilde(raw) {
        return Ok(path.into());
    }
    let shown = escape(raw);
    let below = match raw {
        b"~" => &b""[..],
        [b'~', b'/', below @ ..] => below,
        _ => return Err(Complaint::Usage(format!("{shown}: only your own ~ is understood; write the whole path"))),
    };
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.ok_or_else(|| Complaint::Usage(format!("{shown}: $HOME is not set; write the whole path")))?;
    let start = below.iter().position(|b| *b != b'/').unwrap_or(below.len());
    Ok(home.join(OsStr::from_bytes(&below[start..])))
}

/// Refuses a path that a shell would have expanded, had it not been quoted: what was meant is not certain enough to
/// read somebody's home, or to make a directory called `~`.
pub(crate) fn refuse(path: &OsStr) -> Result<(), Complaint> {
    let raw = path.as_bytes();
    match is_tilde(raw) {
        true => {
            let shown = escape(raw);
            let home = shown.to_string().replacen('~', "$HOME", 1);
            let meant = if raw.starts_with(b"~/") || raw == b"~" { format!("{home}, or ") } else { String::new() };
            Err(Complaint::Usage(format!(
                "{shown}: no shell has expanded the ~ (was it quoted?); write {meant}./{shown} for what is called so"
            )))
        }
        false => Ok(()),
    }
}

/// Reads the value of an option as [`expand`] does: neither a shell, behind `=`, nor a file of settings expands it.
#[derive(Clone)]
pub(crate) struct TildePath;

impl TypedValueParser for TildePath {
    type Value = PathBuf;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<PathBuf, clap::Error> {
        let read = |value: OsString| expand(&value).map_err(|complaint| complaint.to_string());
        OsStringValueParser::new().try_map(read).parse_ref(command, arg, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_expand_begins_with_a_home() {
        for path in ["~", "~/", "~/x", "~anna/x"] {
            assert!(is_tilde(path.as_bytes()), "{path}");
            assert!(refuse(path.as_ref()).is_err_and(|error| error.to_string().contains(&format!("./{path}"))));
        }
        for path in ["", "x", "./~/x", "/~", "x~", "~$report.docx", "~lock"] {
            assert!(!is_tilde(path.as_bytes()), "{path}");
            assert!(refuse(path.as_ref()).is_ok());
            assert_eq!(expand(path.as_ref()), Ok(path.into()));
        }
    }

    #[test]
    fn ones_own_home_is_put_in_and_nobody_elses() {
        let home = std::env::home_dir().expect("whoever runs tests has one");
        for (path, below) in [("~", ""), ("~/", ""), ("~/a b/c", "a b/c"), ("~//x", "x")] {
            assert_eq!(expand(path.as_ref()), Ok(home.join(below)), "{path}");
        }
        let error = expand("~anna/x".as_ref()).expect_err("another's");
        assert!(error.to_string().contains("only your own ~"), "{error}");
    }
}
