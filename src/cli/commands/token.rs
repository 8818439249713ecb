//! A new token, for `--token-file` on both sides.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::atomic_file::{OnExisting, write_atomically};
use crate::cli::exit::Complaint;
use crate::cli::run::standard;
use crate::keys::Token;
use crate::protocol::path::escape_path;

/// Mode of a token's file; with any other the token would be refused.
const TOKEN_MODE: u32 = 0o600;

/// Writes a new token to a file that does not exist yet, or to standard output.
pub(crate) fn make(file: Option<&Path>) -> anyhow::Result<()> {
    let token = format!("{}\n", Token::random_text());
    let Some(file) = file else {
        return standard::output().write_all(token.as_bytes()).context("writing to standard output");
    };
    let shown = escape_path(file);
    match write_atomically(file, &token, TOKEN_MODE, OnExisting::Kept) {
        Ok(()) => {
            // The token is in the file, so nothing is lost when this line cannot be written.
            drop(writeln!(
                io::stderr(),
                "made {shown}; copy it to the other machines: --token-file FILE on both sides"
            ));
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Complaint::Usage(format!("{shown} exists and was left as it is; use it, or remove it first")).into())
        }
        Err(error) => Err(error).with_context(|| format!("writing the token to {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_file_can_be_used_at_once_and_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("token");
        make(Some(&path)).expect("written");
        Token::load(&path).expect("private and strong");
        let before = std::fs::read(&path).expect("readable");
        assert!(make(Some(&path)).is_err());
        assert_eq!(std::fs::read(&path).expect("readable"), before);
    }
}
