//! The history of servers, in lines for people.

use std::io::{self, IsTerminal as _};

use super::shown;
use crate::cli::text::size;
use crate::cli::text::table::Table;
use crate::cli::ui::text::{fit, shown as safe};
use crate::server::history::{HistoryEntry, JobOutcome, Moved, Sums};
use crate::server::status::Direction;

/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;
/// Columns of a client's name; of a longer one only a part is shown.
const PEER_COLUMNS: usize = 12;
/// Columns that a file's name has at least.
const NAME_COLUMNS_MIN: usize = 12;
/// Columns of all else in a line, with the gaps.
const OTHER_COLUMNS: usize = "2026-03-02 14:05  PEERPEERPEER  got   1023.9 MiB  22m14s  partial  ".len();

/// The width of the terminal; `None` where there is none.
pub(super) fn columns() -> Option<usize> {
    let stdout = io::stdout();
    let told = || rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    stdout.is_terminal().then(|| match told() {
        0 => COLUMNS,
        columns => columns,
    })
}

/// The last jobs one by one, and all of them summed by client.
pub(super) fn page(entries: &[HistoryEntry], lines: usize, columns: Option<usize>) -> String {
    let listed = shown(entries.len(), lines);
    let mut text = jobs(&entries[entries.len() - listed..], columns);
    let earlier = entries.len() - listed;
    if earlier > 0 {
        text.push_str(&format!("{} earlier (-n 0 lists all)\n", size::count(earlier as u64)));
    }
    text.push('\n');
    text.push_str(&sums(entries));
    text
}

fn jobs(entries: &[HistoryEntry], columns: Option<usize>) -> String {
    let room = columns.map(|columns| columns.saturating_sub(OTHER_COLUMNS).max(NAME_COLUMNS_MIN));
    let mut table = Table::new(&["ENDED (UTC)", "PEER", "", "SIZE", "TIME", "OUTCOME", "FILES"]);
    for entry in entries {
        let way = match entry.direction {
            Direction::In => "sent",
            Direction::Out => "got",
        };
        let files = files(entry);
        let files = match room {
            Some(room) if files.chars().count() > room => fit(&files, room),
            _ => files,
        };
        table.row(vec![
            entry.time.get(..16).unwrap_or(&entry.time).replace('T', " "),
            name(&entry.peer),
            way.to_owned(),
            size::bytes(entry.bytes),
            size::span(entry.elapsed()),
            entry.outcome.name().to_owned(),
            files.trim_end().to_owned(),
        ]);
    }
    table.text()
}

fn name(peer: &str) -> String {
    let peer = safe(peer);
    if peer.chars().count() > PEER_COLUMNS { fit(&peer, PEER_COLUMNS) } else { peer.into_owned() }
}

/// `dir/file`, `dir/file and 213 more`, `3 unchanged`.
fn files(entry: &HistoryEntry) -> String {
    let others = (entry.files + entry.skipped + entry.failed).saturating_sub(1);
    match &entry.file {
        _ if entry.files == 0 && entry.outcome == JobOutcome::Done => {
            format!("{} unchanged", size::count(entry.skipped))
        }
        None => "-".to_owned(),
        Some(file) if others == 0 => safe(file).into_owned(),
        Some(file) => format!("{} and {} more", safe(file), size::count(others)),
    }
}

fn sums(entries: &[HistoryEntry]) -> String {
    let mut table = Table::new(&["PEER", "JOBS", "SENT", "", "GOT", "", "NOT WELL"]);
    let mut by_peer = Sums::by(entries, |entry| &entry.peer);
    by_peer.sort_by_key(|sums| std::cmp::Reverse(sums.received.bytes.saturating_add(sums.sent.bytes)));
    let all = (by_peer.len() > 1).then(|| Sums { of: "all".to_owned(), ..Sums::of_all(entries) });
    for sums in by_peer.iter().chain(&all) {
        let [received_files, received] = moved(sums.received);
        let [sent_files, sent] = moved(sums.sent);
        let unwell = if sums.unwell == 0 { "-".to_owned() } else { size::count(sums.unwell) };
        table.row(vec![name(&sums.of), size::count(sums.jobs), received_files, received, sent_files, sent, unwell]);
    }
    table.text()
}

fn moved(moved: Moved) -> [String; 2] {
    match moved.files {
        0 => ["-".to_owned(), String::new()],
        files => [size::files(files), size::bytes(moved.bytes)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(peer: &str, direction: Direction, files: u64, outcome: JobOutcome) -> HistoryEntry {
        HistoryEntry {
            time: "2026-03-02T14:05:09Z".to_owned(),
            peer: peer.to_owned(),
            fingerprint: "3f7k".to_owned(),
            address: [192, 0, 2, 1].into(),
            direction,
            file: Some("photos/2026/a\u{1b}[31m.jpg".to_owned()),
            files,
            skipped: 1,
            failed: u64::from(outcome == JobOutcome::Partial),
            bytes: 3 << 30,
            seconds: 1334.0,
            outcome,
            loss: None,
        }
    }

    #[test]
    fn jobs_are_listed_and_summed_within_the_columns_of_a_terminal() {
        let entries = [
            entry("laptop", Direction::In, 2140, JobOutcome::Partial),
            entry("a machine with a very long name", Direction::Out, 1, JobOutcome::Done),
            entry("laptop", Direction::In, 0, JobOutcome::Done),
        ];
        let text = page(&entries, 2, Some(COLUMNS));
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("2026-03-02 14:05  "), "{text}");
        assert!(lines[1].contains("  got   3.0 GiB  22m14s  done  "), "{text}");
        assert!(lines[2].contains("1 unchanged") && lines[3] == "1 earlier (-n 0 lists all)", "{text}");
        assert!(lines[6].starts_with("laptop        2     2,140 files  6.0 GiB"), "{text}");
        assert!(lines.last().is_some_and(|last| last.starts_with("all           3")), "{text}");
    }
}
