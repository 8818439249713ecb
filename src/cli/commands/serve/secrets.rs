//! The files that a server must not serve: those that would let somebody in.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf, absolute};

use crate::absent::unless_absent;
use crate::cli::args::ServeArgs;
use crate::cli::exit::Complaint;
use crate::protocol::path::escape_path;

/// A client that could read the home would get this machine's key, and one that could write to it would let anyone in.
/// The same holds for a token, a certificate's key and a ticket.
pub(super) fn refuse_to_serve_secrets(args: &ServeArgs, root: &Path, home: &Path) -> Result<(), Complaint> {
    let way_out = if args.hidden { ", or leave --hidden out" } else { "" };
    if is_served(home, root, args.hidden)? {
        return Err(Complaint::Usage(format!(
            "{} holds this machine's key and its lists of peers, which clients could read and change; serve another \
             directory, or move $QFT_HOME{way_out}",
            escape_path(home)
        )));
    }
    let secrets = [
        ("token", &args.token_file),
        ("token", &args.http_token_file),
        ("private key", &args.key),
        ("ticket", &args.ticket_file),
    ];
    for (what, path) in secrets {
        let Some(path) = path else { continue };
        if is_served(path, root, args.hidden)? {
            return Err(Complaint::Usage(format!(
                "clients could read the {what} {}: it lies in the directory that is served; move it{way_out}",
                escape_path(path)
            )));
        }
    }
    Ok(())
}

/// Whether clients can see that path, which need not exist yet.
fn is_served(path: &Path, root: &Path, hidden: bool) -> Result<bool, Complaint> {
    let real = real_place(path).map_err(|error| {
        // It may lead into the directory that is served.
        Complaint::Usage(format!("nobody can tell where {} leads: {error}", escape_path(path)))
    })?;
    let Ok(below) = real.strip_prefix(root) else { return Ok(false) };
    Ok(hidden || !below.as_os_str().as_bytes().starts_with(b"."))
}

/// Where a path leads, or would lead when what is missing had been made.
fn real_place(path: &Path) -> io::Result<PathBuf> {
    let path = absolute(path)?;
    for there in path.ancestors() {
        if let Some(real) = unless_absent(there.canonicalize())? {
            let missing = path.strip_prefix(there).unwrap_or_else(|_| Path::new(""));
            return Ok(real.join(missing).components().collect());
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_key_is_not_served() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().canonicalize().expect("it is there");
        for (home, hidden, is_refused) in [
            (".config/qft", false, false),
            (".config/qft", true, true),
            ("keys/.qft", false, true),
            ("", false, true),
            ("missing", true, true),
            ("missing/deeper", false, true),
            (".missing/deeper", false, false),
            (".missing/deeper", true, true),
            ("../elsewhere", true, false),
        ] {
            let home = root.join(home);
            if !home.to_string_lossy().contains("missing") && !home.ends_with("elsewhere") {
                fs::create_dir_all(&home).expect("made");
            }
            assert_eq!(is_served(&home, &root, hidden).ok(), Some(is_refused), "{home:?} {hidden}");
        }
        std::os::unix::fs::symlink("keys", root.join("link")).expect("made");
        let is_served = |name: &str| is_served(&root.join(name), &root, false).ok();
        assert_eq!(is_served("link/missing"), Some(true), "by whatever name");
        assert_eq!(is_served("link/../../elsewhere"), Some(false), "a name that only begins inside");
        std::os::unix::fs::symlink("round", root.join("round")).expect("made");
        assert_eq!(is_served("round/token"), None, "where it leads cannot be told");
    }
}
