//! The roots of clients that an operator holds to a directory of their own.

use std::sync::Arc;

use rustix::io::Errno;

use super::super::error::{Op, StorageError, failed};
use super::{Inner, Root};
use crate::protocol::path::WirePath;
use crate::storage::hidden::Dots;

impl Root {
    /// The directory that an operator's list names as the root of a client, confined to itself. It is opened without
    /// links, for others may have put one there: so its text says where it is, and one that is hidden from others is
    /// reached only where the operator named it. With `make` it is made where it is missing.
    ///
    /// # Errors
    /// When it is no directory below this root, a link is on the way, or it cannot be made.
    pub fn client_root(&self, path: &WirePath, make: bool) -> Result<Self, StorageError> {
        let raw = path.as_bytes();
        let found = match self.look_up(raw) {
            Err(Errno::NOENT) if make => {
                self.destination().make_dir(path)?;
                self.look_up(raw)
            }
            found => found,
        };
        Ok(Self(Arc::new(Inner {
            top: found.map_err(failed(Op::Open, path.as_path()))?,
            path: self.0.path.join(path.as_path()),
            dots: Dots::Shown,
            ..self.again()
        })))
    }
}
