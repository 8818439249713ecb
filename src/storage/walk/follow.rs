//! Links that stand for what they lead to, because the user says so.

use std::io;
use std::sync::Arc;

use super::super::dir::Dir;
use super::super::error::{StorageError, patiently};
use super::super::meta::Meta;
use super::super::request::{Trees, WalkRequest, cannot_follow};
use super::super::root::Tree;
use super::left_out::destination_left_out;
use super::special::kind_of;
use super::{DirListing, Frame, Walk, WalkEntry, problem};
use crate::protocol::message::{Failure, Kind, Status};
use crate::protocol::path::{WirePath, escape};

impl Walk {
    /// What the link `last` in `dir` leads to, wherever that is, under the link's own name.
    pub(super) fn follow(&mut self, dir: &Arc<Dir>, last: &[u8], target: &[u8], name: WirePath) -> Option<WalkEntry> {
        let place = match dir.real_path(last) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.dangling(&name, target),
            Err(error) => {
                let failure = cannot_follow(name.as_path(), error);
                return Some(WalkEntry::Problem { name: name.as_bytes().to_vec(), failure });
            }
        };
        let followed = self.followed.get_or_insert_with(Trees::default).place(&place, name.clone());
        let WalkRequest { root, at: Some(at), .. } = (match followed {
            Ok(request) => request,
            Err(failure) => return Some(WalkEntry::Problem { name: name.as_bytes().to_vec(), failure }),
        }) else {
            return Some(WalkEntry::Note(format!("{name}: symbolic link to / left out")));
        };
        let meta = match patiently(|| root.stat(&at), || self.is_over()) {
            Ok(Some(meta)) => meta,
            Ok(None) => return self.dangling(&name, target),
            Err(error) if error.status() == Status::Unsupported => {
                return Some(WalkEntry::Note(format!("{name}: symbolic link to a {} left out", kind_of(&root, &at))));
            }
            Err(error) => return problem(name.as_bytes(), error),
        };
        let is_dir = meta.kind == Kind::Dir;
        if self.filters.leaves_out(&name, is_dir) {
            return None;
        }
        match self.is_inside(&root, &at, &meta) {
            Ok(false) => {}
            Ok(true) => {
                return Some(WalkEntry::Note(format!("{name}: symbolic link to a directory that it lies in left out")));
            }
            Err(error) => return problem(name.as_bytes(), error),
        }
        match self.is_left_out(&root, &at, &meta) {
            Ok(false) => {}
            Ok(true) => return destination_left_out(&name),
            Err(error) => return problem(name.as_bytes(), error),
        }
        if is_dir && !(self.one_file_system && self.is_elsewhere(&meta)) {
            let (at, name) = (Some(at.clone()), Some(name.clone()));
            self.frames.push(Frame { root: root.clone(), at, name, depth: 0, device: None, listing: DirListing::Top });
        }
        self.judge(&root, at, name, meta, 0)
    }

    /// As with rsync: what a link leads to on another file system counts as mounted here.
    fn is_elsewhere(&self, meta: &Meta) -> bool {
        let device = self.frames.last().and_then(|frame| frame.device);
        device.is_some_and(|device| device != meta.identity.dev)
    }

    fn dangling(&mut self, name: &WirePath, target: &[u8]) -> Option<WalkEntry> {
        if self.filters.leaves_out(name, false) {
            return None;
        }
        let detail = format!("the symbolic link leads to {}", escape(target));
        Some(WalkEntry::Problem { name: name.as_bytes().to_vec(), failure: Failure::new(Status::NotFound, detail) })
    }

    /// Whether that is a directory which the walk is in: to walk it again from there would have no end.
    fn is_inside(&self, root: &Tree, at: &WirePath, meta: &Meta) -> Result<bool, StorageError> {
        if meta.kind != Kind::Dir {
            return Ok(false);
        }
        let id = patiently(|| root.lasting_id(at, meta), || self.is_over())?;
        let is_it = |frame: &Frame| matches!(&frame.listing, DirListing::Open(dir, _) if dir.lasting_id() == id);
        Ok(self.frames.iter().any(is_it))
    }
}
