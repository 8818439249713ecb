//! Progress where there is no terminal: a line every ten seconds, no escapes.

use std::io::Write;
use std::time::Duration;

use super::model::Snapshot;
use super::stall::Speed;
use crate::cli::text::size;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lines on a writer.
pub(crate) struct Plain {
    out: Box<dyn Write>,
    next: Duration,
    details: bool,
}

impl Plain {
    /// Lines go to `out`, with more about the path where `details` are wanted.
    pub(crate) fn new(out: Box<dyn Write>, details: bool) -> Self {
        Self { out, next: INTERVAL, details }
    }

    /// Prints a line at once.
    pub(crate) fn line(&mut self, text: &str) {
        // Progress that nobody reads is no reason to stop a transfer.
        drop(writeln!(self.out, "{text}"));
    }

    /// Prints the totals when it is time.
    pub(crate) fn tick(&mut self, look: &Snapshot) {
        if look.elapsed < self.next {
            return;
        }
        self.next = look.elapsed + INTERVAL;
        let line = totals(look, self.details);
        self.line(&line);
    }
}

/// `[00:30] 1,204/10,000 files  12.3/40.1 GiB  31%  88 MiB/s  eta 5m10s  rtt 182 ms  loss 1.2%`.
fn totals(look: &Snapshot, details: bool) -> String {
    let seconds = look.elapsed.as_secs();
    let more = if look.scan_ended { "" } else { "+" };
    let mut parts = vec![
        format!("[{:02}:{:02}]", seconds / 60, seconds % 60),
        format!("{}/{}{more} files", size::count(look.files_settled), size::count(look.files_found)),
        size::pair(look.bytes_there, look.bytes_found),
        format!("{}%", look.percent()),
    ];
    match look.speed {
        Speed::Reconnecting { attempt, is_first: true, .. } => parts.push(format!("trying again ({attempt})")),
        Speed::Reconnecting { attempt, .. } => parts.push(format!("reconnecting ({attempt})")),
        Speed::Waiting(_) => parts.push("not let in yet".to_owned()),
        Speed::Unknown => {}
        Speed::Moving(rate) => parts.push(size::rate(rate)),
        Speed::Stalled(stall) => parts.push(format!("stalled {}", size::rough(stall.lasted))),
    }
    if let Some(eta) = look.eta {
        parts.push(format!("eta {}", size::rough(eta)));
    }
    parts.extend(look.link.parts());
    if details {
        parts.extend(look.link.details());
    }
    if look.failed > 0 {
        parts.push(format!("{} failed", size::count(look.failed)));
    }
    parts[0].push(' ');
    let head = parts.remove(0);
    format!("{head}{}", parts.join("  "))
}

#[cfg(test)]
mod tests {
    use super::super::link::LinkView;
    use super::super::stall::{Stall, StallCause};
    use super::super::tally::EventTally;
    use super::super::tests::SharedText;
    use super::*;

    fn look(seconds: u64) -> Snapshot {
        Snapshot {
            elapsed: Duration::from_secs(seconds),
            files_settled: 1204,
            files_found: 10_000,
            scan_ended: true,
            bytes_there: 12 << 30,
            bytes_found: 40 << 30,
            bytes_written: 12 << 30,
            bytes_resumed: 0,
            failed: 0,
            speed: Speed::Moving(88.0 * 1048576.0),
            eta: Some(Duration::from_secs(310)),
            link: LinkView {
                rtt: Some(Duration::from_millis(182)),
                loss: Some(0.012),
                window: 12 << 20,
                mtu: 1452,
                ..LinkView::default()
            },
            tally: EventTally::default(),
            files: Vec::new(),
            announced: 0,
            stall: None,
        }
    }

    #[test]
    fn a_line_has_everything_and_no_escapes() {
        assert_eq!(
            totals(&look(30), false),
            "[00:30] 1,204/10,000 files  12.0/40.0 GiB  30%  88 MiB/s  eta 5m10s  rtt 182 ms  loss 1.2%"
        );
    }

    #[test]
    fn while_nothing_moves_there_is_no_rate_and_no_time_left() {
        let still = |speed| totals(&Snapshot { speed, eta: None, link: LinkView::default(), ..look(30) }, false);
        let stall = Stall { lasted: Duration::from_secs(20), cause: StallCause::Silent };
        let lost = |is_first| Speed::Reconnecting { attempt: 2, wait: Duration::ZERO, is_first };
        for (speed, end) in [
            (Speed::Stalled(stall), "stalled 20s"),
            (lost(false), "reconnecting (2)"),
            (lost(true), "trying again (2)"),
        ] {
            assert_eq!(still(speed), format!("[00:30] 1,204/10,000 files  12.0/40.0 GiB  30%  {end}"));
        }
    }

    #[test]
    fn details_of_the_path_are_there_for_who_asks() {
        assert!(totals(&look(30), true).ends_with("loss 1.2%  window 12.0 MiB  mtu 1452"));
    }

    #[test]
    fn there_is_one_line_in_ten_seconds() {
        let out = SharedText::default();
        let mut plain = Plain::new(Box::new(out.clone()), false);
        for tenth in 0..350 {
            let look = Snapshot { elapsed: Duration::from_millis(tenth * 100), ..look(0) };
            plain.tick(&look);
        }
        assert_eq!(out.text().lines().count(), 3, "{}", out.text());
        assert!(!out.text().contains(['\x1b', '\r']));
    }
}
