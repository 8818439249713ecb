//! Notices of the server, as lines for people or as events.

use std::time::Duration;

use serde_json::{Value, json};

use super::limit::{LineKind, LineSource};
use super::stamp::Priority;
use crate::cli::text::size;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::{clipped, shown};
use crate::server::{Notice, Peer};

/// Characters of a name or a cause in a line; the rest is a peer's way to fill a disk.
const WORDS_MAX: usize = 300;

/// The kind and source that a notice is limited by; `None` when it is always shown.
pub(super) fn limited(notice: &Notice) -> Option<(LineKind, LineSource)> {
    match notice {
        Notice::Failed { peer, .. } => Some((LineKind::Failed, LineSource::Connection(peer.addr))),
        Notice::Refused { addr, .. } => Some((LineKind::Refused, LineSource::address(*addr))),
        Notice::Connected { peer, .. } | Notice::Disconnected { peer, .. } => {
            Some((LineKind::Connection, LineSource::address(peer.addr)))
        }
        Notice::Finished { .. } | Notice::PartRemoved { .. } | Notice::Missed { .. } => None,
    }
}

pub(super) fn who(peer: &Peer) -> String {
    format!("{} ({})", clipped(&shown(&peer.name), WORDS_MAX), peer.fingerprint.short())
}

/// A notice as one line.
pub(super) fn notice_text(notice: &Notice) -> (Priority, String) {
    let words = |text: &str| clipped(&shown(text), WORDS_MAX).into_owned();
    match notice {
        Notice::Connected { worker, peer, enrolled } => {
            let paired = if *enrolled { ", paired: the invite is used up" } else { "" };
            (Priority::Info, format!("+ {} from {}, worker {worker}{paired}", who(peer), peer.addr))
        }
        Notice::Refused { addr, fingerprint, why } => {
            let who = fingerprint.as_ref().map(|key| format!(" ({})", key.short())).unwrap_or_default();
            (Priority::Warning, format!("! {addr}{who} refused: {}", words(why)))
        }
        Notice::Finished { peer, path, size, written, elapsed, from_peer } => {
            let arrow = if *from_peer { "<-" } else { "->" };
            let moved = moved(*size, *written, *elapsed);
            (Priority::Info, format!("{arrow} {}, {moved}, {}", words(path), who(peer)))
        }
        Notice::Failed { peer, path, why } => {
            (Priority::Warning, format!("! failed: {}: {}, {}", words(path), words(why), who(peer)))
        }
        Notice::Disconnected { peer, why, files_in, files_out, bytes_in, bytes_out, .. } => {
            let (received, sent) = (amount(*files_in, *bytes_in), amount(*files_out, *bytes_out));
            let (who, addr, why) = (who(peer), peer.addr, words(why));
            (Priority::Info, format!("- {who} from {addr}: received {received}; sent {sent}; {why}"))
        }
        Notice::PartRemoved { path, size, age } => {
            let (size, age) = (size::bytes(*size), size::span(*age));
            (Priority::Info, format!("removed what was left of {}: {size}, not written to for {age}", words(path)))
        }
        Notice::Missed { count } => {
            let many = size::count(*count);
            (Priority::Warning, format!("! … and {many} more events, which came faster than they were written"))
        }
    }
}

/// `2.0 GiB in 3.1s (660 MiB/s)`; of a file that was partly there also how much of it came.
fn moved(size: u64, written: u64, elapsed: Duration) -> String {
    let came = if written == size { String::new() } else { format!(", {} of it moved,", size::bytes(written)) };
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { format!(" ({})", size::rate(written as f64 / seconds)) } else { String::new() };
    format!("{}{came} in {seconds:.1}s{rate}", size::bytes(size))
}

fn amount(files: u64, bytes: u64) -> String {
    match (files, bytes) {
        (0, 0) => "nothing".to_owned(),
        (0, bytes) => format!("{} of files that are not whole", size::bytes(bytes)),
        _ => format!("{}, {}", size::files(files), size::bytes(bytes)),
    }
}

pub(super) fn notice_json(json: &mut Json, notice: &Notice) {
    match notice {
        Notice::Connected { worker, peer, enrolled } => {
            json.note("connected", with_peer(peer, json!({ "worker": worker, "enrolled": enrolled })))
        }
        Notice::Refused { addr, fingerprint, why } => json.note(
            "refused",
            json!({"address": addr.to_string(), "fingerprint": fingerprint.map(|key| key.to_string()), "message": why}),
        ),
        Notice::Finished { peer, path, size, written, elapsed, from_peer } => json.line(
            "file",
            &with_peer(
                peer,
                json!({
                    "path": path, "status": "done", "size": size, "bytes_written": written,
                    "elapsed_ms": elapsed.as_millis() as u64, "from_peer": from_peer,
                }),
            ),
        ),
        Notice::Failed { peer, path, why } => {
            json.line("file", &with_peer(peer, json!({"path": path, "status": "failed", "message": why})));
        }
        Notice::Disconnected { worker, peer, why, elapsed, files_in, files_out, bytes_in, bytes_out } => json.note(
            "disconnected",
            with_peer(
                peer,
                json!({
                    "worker": worker, "message": why, "elapsed_ms": elapsed.as_millis() as u64,
                    "files_in": files_in, "files_out": files_out, "bytes_in": bytes_in, "bytes_out": bytes_out,
                }),
            ),
        ),
        Notice::PartRemoved { path, size, age } => {
            json.note("part_removed", json!({"path": path, "size": size, "age_s": age.as_secs()}));
        }
        Notice::Missed { count } => json.note("lost", json!({ "lines": count })),
    }
}

fn with_peer(peer: &Peer, mut body: Value) -> Value {
    body["address"] = peer.addr.to_string().into();
    body["fingerprint"] = peer.fingerprint.to_string().into();
    body["peer"] = peer.name.clone().into();
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_not_nothing() {
        assert_eq!(amount(0, 0), "nothing");
        assert_eq!(amount(0, 40 << 20), "40.0 MiB of files that are not whole");
        assert_eq!(amount(2, 5), "2 files, 5 B");
    }
}
