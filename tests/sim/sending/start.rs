//! The start of a file that was sent early.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::super::network::EarlyFate;
use crate::digest::Digest;
use crate::storage::testing::memory::MemorySource;

/// Dropping it says that it was in vain.
pub(in crate::session::receiver::sim) struct Start {
    pub(super) digest: Digest,
    /// Of a file that goes on behind it.
    pub(super) source: Option<Arc<MemorySource>>,
    pub(super) fate: Rc<Cell<EarlyFate>>,
}

impl Start {
    pub(super) fn claim(mut self) -> (Digest, Option<Arc<MemorySource>>) {
        self.fate.set(EarlyFate::Wanted);
        (self.digest, self.source.take())
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if self.fate.get() == EarlyFate::Unknown {
            self.fate.set(EarlyFate::InVain);
        }
    }
}
