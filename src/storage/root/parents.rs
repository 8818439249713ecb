//! The directories that names lie in.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::super::dir::Dir;
use super::{Root, split};
use crate::protocol::path::WirePath;

/// How long the last parent directory serves without being looked up again. Files come and go directory by directory,
/// thousands a second; but a directory that was moved away must not be used for long.
const RECENT_FOR: Duration = Duration::from_secs(1);

/// Finds the parents of names by one way of looking up, and remembers the last one. Each view of a root has its own: what
/// one way has found is no answer for another.
#[derive(Debug, Default)]
pub(super) struct Parents(Mutex<Option<CachedParent>>);

#[derive(Debug)]
struct CachedParent {
    path: Box<[u8]>,
    dir: Arc<Dir>,
    since: Instant,
}

impl Parents {
    /// The directory that `path` lies in, and whether it was remembered rather than looked up.
    pub(super) fn of(
        &self,
        root: &Root,
        path: &WirePath,
        look_up: impl Fn(&[u8]) -> io::Result<Arc<Dir>>,
    ) -> io::Result<(Arc<Dir>, bool)> {
        let Some(parent) = split(path.as_bytes()).0 else {
            return Ok((Arc::clone(&root.0.top), false));
        };
        if let Some(recent) = &*self.recent()
            && *recent.path == *parent
            && recent.since.elapsed() < RECENT_FOR
        {
            return Ok((Arc::clone(&recent.dir), true));
        }
        let dir = look_up(parent)?;
        *self.recent() = Some(CachedParent { path: parent.into(), dir: Arc::clone(&dir), since: Instant::now() });
        Ok((dir, false))
    }

    /// Runs `f` with the parent of `path` and its last component.
    pub(super) fn with<T>(
        &self,
        root: &Root,
        path: &WirePath,
        look_up: impl Fn(&[u8]) -> io::Result<Arc<Dir>>,
        f: impl Fn(&Arc<Dir>, &[u8]) -> io::Result<T>,
    ) -> io::Result<T> {
        let (dir, remembered) = self.of(root, path, &look_up)?;
        if !root.shows(&dir, path.name()) {
            return Err(Errno::ACCESS.into());
        }
        match f(&dir, path.name()) {
            // The remembered directory may have been removed and made again.
            Err(error) if remembered && error.kind() == io::ErrorKind::NotFound => {
                *self.recent() = None;
                f(&self.of(root, path, look_up)?.0, path.name())
            }
            settled => settled,
        }
    }

    fn recent(&self) -> MutexGuard<'_, Option<CachedParent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
