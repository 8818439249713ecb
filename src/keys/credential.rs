//! Files that a user names: certificates, keys and tokens. They live anywhere, not in the home directory.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};

use super::home::{self, HomeError, Privacy};
use crate::protocol::path::escape_path;

/// Why a file with a certificate, a key or a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read, or others can read or change it.
    #[error(transparent)]
    File(HomeError),
    /// There is no such file.
    #[error("cannot open {}: there is no such file", path.display())]
    Absent {
        /// The file that was to be read.
        path: PathBuf,
    },
    /// There is nothing of that kind in it.
    #[error("{} holds no {what}", path.display())]
    Missing {
        /// The file that was to be read.
        path: PathBuf,
        /// The content that was looked for.
        what: &'static str,
    },
    /// Its content cannot be used.
    #[error("{} holds no usable {what}: {reason}", path.display())]
    Damaged {
        /// The file that was to be read.
        path: PathBuf,
        /// The content that was looked for.
        what: &'static str,
        /// The reason, in words for people.
        reason: String,
    },
    /// Certificate and key are of different pairs.
    #[error("the key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
}

impl CredentialError {
    /// Whether the file would be fine if others could not get at it.
    pub fn is_exposed(&self) -> bool {
        matches!(self, Self::File(error) if error.is_distrust())
    }
}

/// Says so of a secret that others can read and that is used all the same, because nobody here could change that: a
/// container's secrets are mounted so.
pub(crate) fn exposure(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let mode = metadata.mode() & 0o7777;
    let is_exposed = mode & 0o077 != 0 && home::is_sealed(path, &metadata);
    let shown = escape_path(path);
    is_exposed
        .then(|| format!("others on this machine can read {shown} (mode {mode:04o}), which cannot be changed here"))
}

/// The whole text of a file that must be there.
pub(crate) fn read(path: &Path, privacy: Privacy, what: &'static str) -> Result<String, CredentialError> {
    let missing = || CredentialError::Absent { path: path.to_owned() };
    match home::read_named(path, privacy) {
        Ok(found) => found.ok_or_else(missing),
        Err(HomeError::Alien { path }) => {
            Err(CredentialError::Damaged { path, what, reason: "no regular file, or far too large".to_owned() })
        }
        Err(error) => Err(CredentialError::File(error)),
    }
}

/// Everything of one kind in a PEM file, at least one.
pub(crate) fn pem_items<T: PemObject>(text: &str, path: &Path, what: &'static str) -> Result<Vec<T>, CredentialError> {
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(items) if items.is_empty() => Err(CredentialError::Missing { path: path.to_owned(), what }),
        Ok(items) => Ok(items),
        Err(error) => Err(CredentialError::Damaged { path: path.to_owned(), what, reason: error.to_string() }),
    }
}
