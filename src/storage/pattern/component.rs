//! One component of a pattern, and the names that it means. Whoever looks for names and whoever checks what arrives ask here,
//! so that no server can deliver under a pattern what this one would not.

use super::super::request::bad_name;
use super::SPECIAL;
use super::glob::Glob;
use crate::protocol::message::{Failure, Status};
use crate::protocol::path::WirePath;

/// The meaning of one component of a pattern.
#[derive(Debug)]
pub(crate) enum PatternComponent {
    Name(Vec<u8>),
    /// The names that match, with a leading dot only where the pattern has one.
    Glob {
        /// Knows nothing of dots.
        glob: Glob,
        /// The pattern begins with a dot.
        dots: bool,
    },
    /// `**`: any directories, and any name at the end. None of them has a leading dot.
    AnyDepth,
}

impl PatternComponent {
    /// Reads a component as it stands between two `/`.
    ///
    /// # Errors
    /// Status `BadName` for what neither is a plain name nor a pattern that can be understood.
    pub(crate) fn parse(component: &[u8]) -> Result<Self, Failure> {
        if component == b"**" {
            return Ok(Self::AnyDepth);
        }
        if !component.iter().any(|b| SPECIAL.contains(b)) {
            WirePath::parse(component).map_err(|error| bad_name(&error))?;
            return Ok(Self::Name(component.to_vec()));
        }
        let glob = Glob::parse(component).map_err(|error| Failure::new(Status::BadName, error.to_string()))?;
        Ok(Self::Glob { glob, dots: component[0] == b'.' })
    }

    /// Whether `name`, one component of a path, is meant.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob { glob, dots } => (*dots || !name.starts_with(b".")) && glob.matches(name),
            Self::AnyDepth => !name.starts_with(b"."),
        }
    }
}
