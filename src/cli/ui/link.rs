//! The state of the path, as people and programs read it.
//!
//! The figures are the sending side's, whichever end that is; only the UDP buffers are this end's own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::text::size;
use crate::cli::text::verb::Verb;
use crate::progress::Counters;
use crate::transport::Granted;

/// How long a thread that reads packets may have to wait for its turn on a busy machine. What arrives meanwhile must
/// fit into the socket's buffer.
const TURN: Duration = Duration::from_millis(16);

/// Bytes that a buffer must hold at `rate`, in bytes per second.
pub(crate) fn needed(rate: f64) -> usize {
    (rate * TURN.as_secs_f64()) as usize
}

/// One look at the path. Zero stands for what is not known yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct LinkView {
    pub(crate) rtt: Option<Duration>,
    /// Share of packets lost of late, 0 to 1.
    pub(crate) loss: Option<f64>,
    /// Packets sent over this connection.
    pub(crate) sent: u64,
    /// Packets of them that were lost.
    pub(crate) lost: u64,
    /// Congestion window in bytes.
    pub(crate) window: u64,
    /// Packet size in bytes.
    pub(crate) mtu: u64,
    /// This end's UDP buffers in bytes; zero before there is a socket.
    pub(crate) buffers: Granted,
}

impl LinkView {
    /// The state by the counters; `loss` is the recent one.
    pub(crate) fn of(counters: &Counters, loss: Option<f64>) -> Self {
        let rtt = Counters::read(&counters.rtt_us);
        let buffer = |counter| usize::try_from(Counters::read(counter)).unwrap_or(usize::MAX);
        Self {
            rtt: (rtt > 0).then(|| Duration::from_micros(rtt)),
            loss,
            sent: Counters::read(&counters.packets_sent),
            lost: Counters::read(&counters.packets_lost),
            window: Counters::read(&counters.window),
            mtu: Counters::read(&counters.mtu),
            buffers: Granted { receive: buffer(&counters.udp_receive), send: buffer(&counters.udp_send) },
        }
    }

    /// Round trip and loss, as far as they are known.
    pub(crate) fn parts(&self) -> Vec<String> {
        let rtt = self.rtt.map(|rtt| format!("rtt {}", size::millis(rtt)));
        let loss = self.loss.map(|loss| format!("loss {:.1}%", loss * 100.0));
        rtt.into_iter().chain(loss).collect()
    }

    /// The details for users who ask for more.
    pub(crate) fn details(&self) -> Vec<String> {
        let window = (self.window > 0).then(|| format!("window {}", size::bytes(self.window)));
        let mtu = (self.mtu > 0).then(|| format!("mtu {}", self.mtu));
        window.into_iter().chain(mtu).collect()
    }

    /// Adds the figures to a JSON object.
    pub(crate) fn write_to(&self, body: &mut Value) {
        let known = |figure: u64| (figure > 0).then_some(figure);
        body["rtt_us"] = json!(self.rtt.map(|rtt| rtt.as_micros() as u64));
        body["loss"] = json!(self.loss);
        body["packets_sent"] = json!(self.sent);
        body["packets_lost"] = json!(self.lost);
        body["window"] = json!(known(self.window));
        body["mtu"] = json!(known(self.mtu));
        body["udp_receive_buffer"] = json!(known(self.buffers.receive as u64));
        body["udp_send_buffer"] = json!(known(self.buffers.send as u64));
    }

    /// The same with the loss over the whole connection, for a summary.
    pub(crate) fn over_all(self) -> Self {
        Self { loss: (self.sent > 0).then(|| self.lost as f64 / self.sent as f64), ..self }
    }

    /// What to tell the user when this end's buffer is too small for `rate`, in bytes per second; `None` when it
    /// suffices. Who sends needs room for what leaves, who gets for what arrives.
    pub(crate) fn hint(&self, verb: Verb, rate: f64) -> Option<String> {
        let needed = needed(rate);
        let needed = match verb {
            Verb::Send => Granted { receive: 0, send: needed },
            Verb::Get => Granted { receive: needed, send: 0 },
        };
        let has_socket = self.buffers != Granted::default();
        self.buffers.hint(needed).filter(|_| has_socket)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    const MIB: f64 = 1_048_576.0;
    const SMALL: Granted = Granted { receive: 208 << 10, send: 208 << 10 };

    #[test]
    fn nothing_known_is_nothing_said() {
        let link = LinkView::of(&Counters::default(), None);
        assert_eq!((link.parts(), link.details()), (vec![], vec![]));
        assert_eq!(link.over_all().loss, None);
        assert_eq!(link.hint(Verb::Get, 1e9), None, "no socket yet");
    }

    #[test]
    fn figures_have_their_units() {
        let counters = Counters::default();
        let figures = [
            (&counters.rtt_us, 182_400),
            (&counters.packets_sent, 1000),
            (&counters.packets_lost, 13),
            (&counters.window, 12 << 20),
            (&counters.mtu, 1452),
        ];
        figures.into_iter().for_each(|(counter, value)| counter.store(value, Ordering::Relaxed));
        let link = LinkView::of(&counters, Some(0.5));
        assert_eq!(link.parts(), ["rtt 182 ms", "loss 50.0%"]);
        assert_eq!(link.details(), ["window 12.0 MiB", "mtu 1452"]);
        assert_eq!(link.over_all().parts(), ["rtt 182 ms", "loss 1.3%"]);
        let mut body = json!({});
        link.over_all().write_to(&mut body);
        assert_eq!(body["loss"], 0.013);
        assert_eq!((&body["window"], &body["mtu"]), (&json!(12 << 20), &json!(1452)));
        assert!(body["udp_send_buffer"].is_null(), "not known");
    }

    #[test]
    fn a_small_buffer_is_mentioned_only_where_the_rate_needs_more_and_only_the_one_in_question() {
        let link = LinkView { buffers: SMALL, ..LinkView::default() };
        assert_eq!(link.hint(Verb::Get, 10.0 * MIB), None, "13 MiB/s fill it in one turn");
        let hint = link.hint(Verb::Get, 100.0 * MIB).expect("too small");
        assert!(hint.contains("rmem_max") && !hint.contains("wmem_max"), "{hint}");
        let hint = link.hint(Verb::Send, 100.0 * MIB).expect("too small");
        assert!(hint.contains("wmem_max") && !hint.contains("rmem_max"), "{hint}");
    }
}
