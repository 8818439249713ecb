//! A directory that a root keeps from whoever uses it: the home of a server that serves what lies around it.

use std::path::Path;
use std::sync::Arc;

use super::super::dir::{Dir, ObjectId};
use super::super::meta::StatFacts;
use super::{Inner, Root};

impl Root {
    /// The same tree without the directory `withheld` and all in it, if that lies below. It may be made or moved at any
    /// time: what is looked up is compared with what has that path then, as an object, whatever names lead to it. Only a
    /// directory that is in use at that moment may stay so for a second more.
    #[must_use]
    pub fn withholding(&self, withheld: &Path) -> Self {
        Self(Arc::new(Inner { withheld: Some(withheld.into()), ..self.again() }))
    }

    /// Whether a directory below this root is the one that is withheld, or lies in it.
    pub(crate) fn withholds(&self, dir: &Dir) -> bool {
        self.withheld_now().is_some_and(|withheld| dir.lies_in(withheld, self.0.top.id()))
    }

    /// Whether that object is the directory that is withheld.
    pub(crate) fn withholds_object(&self, dev: u64, ino: u64) -> bool {
        self.withheld_now() == Some(ObjectId { dev, ino })
    }

    fn withheld_now(&self) -> Option<ObjectId> {
        let found = rustix::fs::stat(&**self.0.withheld.as_ref()?).ok()?;
        let StatFacts { dev, ino, .. } = StatFacts::of(&found);
        Some(ObjectId { dev, ino })
    }
}
