//! The packets to one peer that wait for their turn.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::KeptTransmit;

/// The packets to one peer, and when the next of them may leave.
#[derive(Debug)]
pub(super) struct PacketQueue {
    waiting: VecDeque<KeptTransmit>,
    next: Instant,
}

impl PacketQueue {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: VecDeque::new(), next: now }
    }

    /// One more waits. Silence saves nothing up.
    pub(super) fn push(&mut self, now: Instant, packet: KeptTransmit) {
        if self.waiting.is_empty() {
            self.next = self.next.max(now);
        }
        self.waiting.push_back(packet);
    }

    /// The next packet, if its moment has come, at this pace in bytes per second. Without one, all leave. What a timer was late
    /// with is made up for.
    pub(super) fn take_due(&mut self, now: Instant, pace: Option<f64>) -> Option<KeptTransmit> {
        if pace.is_some() && self.next > now {
            return None;
        }
        let packet = self.waiting.pop_front()?;
        self.next = match pace {
            Some(pace) => self.next + Duration::from_secs_f64(packet.len() as f64 / pace),
            None => now,
        };
        Some(packet)
    }

    /// A packet did not fit into the socket: it is tried again after `wait`.
    pub(super) fn put_back(&mut self, now: Instant, wait: Duration, packet: KeptTransmit) {
        self.waiting.push_front(packet);
        self.next = now + wait;
    }

    /// When it wants to be asked again; `None`: nothing waits, and the next packet may leave at once.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        (!self.waiting.is_empty() || self.next > now).then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use quinn::udp::Transmit;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// A packet of a hundred bytes each two milliseconds.
    const PACE: Option<f64> = Some(50_000.0);

    /// A call of `count` packets of a hundred bytes, each filled with its number.
    fn packets(count: u8) -> impl Iterator<Item = KeptTransmit> {
        let contents: Vec<u8> = (0..count).flat_map(|number| [number; 100]).collect();
        let transmit = Transmit {
            destination: ([10, 0, 0, 1], 1).into(),
            ecn: None,
            contents: &contents,
            segment_size: Some(100),
            src_ip: None,
        };
        KeptTransmit::each(&transmit).collect::<Vec<_>>().into_iter()
    }

    /// The numbers of those that leave at `now`.
    fn leave(queue: &mut PacketQueue, now: Instant, pace: Option<f64>) -> Vec<u8> {
        std::iter::from_fn(|| queue.take_due(now, pace)).map(|packet| packet.transmit().contents[0]).collect()
    }

    #[test]
    fn a_burst_leaves_one_by_one_and_in_order() {
        let now = Instant::now();
        let mut queue = PacketQueue::new(now);
        packets(4).for_each(|packet| queue.push(now, packet));
        let left = [0, 1, 2, 3, 4, 6].map(|at| leave(&mut queue, now + at * MS, PACE));
        assert_eq!(left, [vec![0], vec![], vec![1], vec![], vec![2], vec![3]]);
        assert_eq!(queue.due(now + 6 * MS), Some(now + 8 * MS), "the next one waits for its turn, too");
        assert_eq!(queue.due(now + 8 * MS), None);
    }

    #[test]
    fn what_a_timer_was_late_with_is_made_up_for_and_silence_is_not() {
        let now = Instant::now();
        let mut queue = PacketQueue::new(now);
        packets(4).for_each(|packet| queue.push(now, packet));
        assert_eq!(leave(&mut queue, now + 5 * MS, PACE), [0, 1, 2]);
        assert_eq!(leave(&mut queue, now + 6 * MS, PACE), [3]);
        let later = now + 1000 * MS;
        packets(2).for_each(|packet| queue.push(later, packet));
        assert_eq!(leave(&mut queue, later, PACE), [0]);
    }

    #[test]
    fn where_the_pace_ends_all_that_wait_leave() {
        let now = Instant::now();
        let mut queue = PacketQueue::new(now);
        packets(3).for_each(|packet| queue.push(now, packet));
        assert_eq!(leave(&mut queue, now, PACE), [0]);
        assert_eq!(leave(&mut queue, now, None), [1, 2]);
        assert_eq!(queue.due(now), None);
    }

    #[test]
    fn what_did_not_fit_into_the_socket_stays_the_first() {
        let now = Instant::now();
        let mut queue = PacketQueue::new(now);
        packets(2).for_each(|packet| queue.push(now, packet));
        let first = queue.take_due(now, PACE).expect("it is due");
        queue.put_back(now, MS, first);
        assert_eq!(queue.due(now), Some(now + MS));
        assert_eq!(leave(&mut queue, now + 3 * MS, PACE), [0, 1]);
    }
}
