//! Files without content that could be sent: pipes, sockets, devices.

use rustix::fs::{FileType, Stat};

use super::super::root::Tree;
use super::WalkEntry;
use crate::protocol::message::{Failure, Status};
use crate::protocol::path::WirePath;

/// The kind of something that is neither a file nor a directory nor a link, in a word.
pub(super) fn kind_of(root: &Tree, at: &WirePath) -> &'static str {
    let found = root.open_dir(at.parent().as_ref()).ok().and_then(|dir| dir.stat(at.name()).ok());
    found.map_or("special file", |found| special_kind(&found))
}

/// A name that stands for something without content.
pub(super) fn special(root: &Tree, at: &WirePath, name: &WirePath) -> Option<WalkEntry> {
    let what = kind_of(root, at);
    let text = format!("it is a {what}; what a command reads of it can be sent: qft send - REMOTE:NAME <FILE");
    Some(WalkEntry::Problem { name: name.as_bytes().to_vec(), failure: Failure::new(Status::Unsupported, text) })
}

/// The same for what nobody has named.
pub(super) fn special_left_out(name: &WirePath, what: &str) -> Option<WalkEntry> {
    Some(WalkEntry::Note(format!("{name}: {what} left out")))
}

pub(super) fn special_kind(found: &Stat) -> &'static str {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "special file",
    }
}
