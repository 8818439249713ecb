//! The files that a server must not serve: those that would let somebody in.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf, absolute};

use crate::cli::args::ServeArgs;
use crate::cli::exit::Complaint;
use crate::protocol::path::escape_path;

/// A client that could read the home would get this machine's key, and one that could write to it would let anyone in.
/// The same holds for a token, a certificate's key and a ticket.
pub(super) fn refuse_to_serve_secrets(args: &ServeArgs, root: &Path, home: &Path) -> Result<(), Complaint> {
    let way_out = if args.hidden { ", or leave --hidden out" } else { "" };
    if is_served(home, root, args.hidden) {
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
        if let Some(path) = path.as_ref().filter(|path| is_served(path, root, args.hidden)) {
            return Err(Complaint::Usage(format!(
                "clients could read the {what} {}: it lies in the directory that is served; move it{way_out}",
                escape_path(path)
            )));
        }
    }
    Ok(())
}

/// Whether clients can see that path, which need not exist yet.
fn is_served(path: &Path, root: &Path, hidden: bool) -> bool {
    let real = real_place(path);
    let Ok(below) = real.strip_prefix(root) else { return false };
    hidden || !below.as_os_str().as_bytes().starts_with(b".")
}

/// Where a path leads, or would lead when what is missing had been made.
fn real_place(path: &Path) -> PathBuf {
    let Ok(path) = absolute(path) else { return path.to_owned() };
    let real = path.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
    let Some((there, real)) = real else { return path };
    real.join(path.strip_prefix(there).unwrap_or_else(|_| Path::new(""))).components().collect()
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
            assert_eq!(is_served(&home, &root, hidden), is_refused, "{home:?} {hidden}");
        }
        std::os::unix::fs::symlink("keys", root.join("link")).expect("made");
        assert!(is_served(&root.join("link/missing"), &root, false), "by whatever name");
        assert!(!is_served(&root.join("link/../../elsewhere"), &root, false), "a name that only begins inside");
    }
}
