//! The measurements of a transfer in words, and for programs.

use serde_json::{Value, json};

use super::limited::{Limited, Measured, part};
use super::link::LinkView;
use crate::cli::text::size;
use crate::cli::text::verb::Verb;

impl Measured {
    /// Adds what was measured, and what follows, to a JSON object.
    pub(crate) fn write_to(&self, body: &mut Value, verb: Verb, link: &LinkView) {
        body["limited_by"] = json!(self.decide(verb, link).map(Limited::name));
        body["processor"] = json!(self.processor);
        if verb == Verb::Get {
            body["bytes_taken"] = json!(self.taken);
            body["bytes_taken_behind"] = json!(self.taken_behind);
            if self.acked == 0 {
                return;
            }
            body["other_processor"] = json!(self.sender_processor);
        }
        body["bytes_acked"] = json!(self.acked);
        body["bytes_acked_idle"] = json!(self.acked_idle);
        body["disk_wait_ms"] = json!(self.read_wait.as_millis() as u64);
        body["send_wait_ms"] = json!(self.write_wait.as_millis() as u64);
    }
}

/// The last line of a transfer: `rtt 24 ms, loss 0.4%; limited by: link full`; `None` where nothing is known.
pub(crate) fn line(measured: &Measured, verb: Verb, link: &LinkView) -> Option<String> {
    let limited = measured.decide(verb, link)?;
    let parts = link.over_all().parts();
    let parts = if parts.is_empty() { String::new() } else { format!("{}; ", parts.join(", ")) };
    Some(format!("{parts}limited by: {}", limited.words()))
}

/// All that was measured, for `--stats`.
pub(crate) fn details(measured: &Measured, verb: Verb, link: &LinkView) -> Vec<String> {
    let link = link.over_all();
    let mut parts = link.parts();
    if link.sent > 0 {
        parts.push(format!("{} of {} packets lost", size::count(link.lost), size::count(link.sent)));
    }
    parts.extend(link.details());
    let percent = |part: f64| format!("{:.0}%", part * 100.0);
    let mut lines = vec![format!("link       {}", parts.join(", "))];
    // A server that is older than these figures does not tell them.
    let sender_tells = measured.acked > 0;
    let disk = match verb {
        Verb::Send => "the disk here",
        Verb::Get => "the disk of the other end",
    };
    let other = match verb {
        Verb::Get if sender_tells => format!(", {} at the other end", percent(measured.sender_processor)),
        _ => String::new(),
    };
    lines.push(format!("processor  {} here{other}", percent(measured.processor)));
    if verb == Verb::Get {
        let behind = part(measured.taken_behind, measured.taken);
        lines.push(format!("disk       behind for {} of what came", percent(behind)));
    }
    if sender_tells {
        lines.push(format!("window     full for {} of what was sent", percent(measured.full())));
        let [read, room] = [measured.read_wait, measured.write_wait].map(size::span);
        lines.push(format!("waits      {read} for {disk}, {room} for room to send, all files together"));
    }
    let limited =
        measured.decide(verb, &link).map_or("not known: too little was moved, or nothing held it back", Limited::words);
    lines.push(format!("limited by {limited}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::limited::tests::{link, measured};
    use super::*;

    #[test]
    fn the_last_line_says_what_the_link_did_and_what_limited_it() {
        let sent = Measured { acked: 100, ..measured() };
        assert_eq!(line(&sent, Verb::Send, &link()).as_deref(), Some("rtt 100 ms, loss 0.4%; limited by: link full"));
        assert_eq!(line(&Measured::default(), Verb::Send, &link()), None);
        let details = details(&sent, Verb::Send, &link());
        assert!(details[0].contains("4 of 1,000 packets lost"), "{details:?}");
        assert_eq!(details.last().map(String::as_str), Some("limited by link full"));
    }
}
