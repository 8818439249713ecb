//! What was sent and what became of it: SACK (RFC 2018) and RACK (RFC 8985).

use std::collections::VecDeque;

use super::Ack;

/// Segments beyond a gap that show it to be a loss, before the recovery begins.
const DUPLICATES: u32 = 3;

/// What a segment is believed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    InFlight,
    /// Arrived beyond a gap.
    Sacked,
    /// Not there, and not sent again yet.
    Lost,
}

/// The latest transmission of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: u64,
    /// Transmissions are counted, since several leave at one moment.
    pub(super) order: u64,
    /// Delivered and lost in all by then, when the last of it was delivered, and when that was sent.
    pub(super) delivered: u64,
    pub(super) lost_before: u64,
    pub(super) delivered_at: u64,
    pub(super) first_sent: u64,
    /// In flight with it.
    pub(super) in_flight: u32,
    pub(super) is_repeated: bool,
}

/// All segments from the first that is not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    first: u64,
    segments: VecDeque<(Status, Sent)>,
    /// Transmissions in the order in which they left.
    transmissions: VecDeque<(u64, u64)>,
    lost: VecDeque<u64>,
    in_flight: u32,
    sacked: u32,
    /// The latest transmission that was delivered.
    rack: u64,
}

impl Scoreboard {
    /// The number of the next new segment.
    pub(super) fn next(&self) -> u64 {
        self.first + self.segments.len() as u64
    }

    /// The first that is not acknowledged.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A segment that must be sent again.
    pub(super) fn next_lost(&mut self) -> Option<u64> {
        while let Some(&number) = self.lost.front() {
            if self.get(number).is_some_and(|(status, _)| *status == Status::Lost) {
                return Some(number);
            }
            self.lost.pop_front();
        }
        None
    }

    fn get(&self, number: u64) -> Option<&(Status, Sent)> {
        self.segments.get(number.checked_sub(self.first)? as usize)
    }

    /// A transmission leaves, of a new segment or of a lost one.
    pub(super) fn on_sent(&mut self, number: u64, sent: Sent) {
        self.in_flight += 1;
        self.transmissions.push_back((sent.order, number));
        if number == self.next() {
            self.segments.push_back((Status::InFlight, sent));
            return;
        }
        self.lost.pop_front();
        let index = (number - self.first) as usize;
        self.segments[index] = (Status::InFlight, Sent { is_repeated: true, ..sent });
    }

    /// Takes an acknowledgement; each segment that it delivers goes to `delivered`.
    pub(super) fn on_ack(&mut self, ack: &Ack, mut delivered: impl FnMut(&Sent)) {
        while self.first < ack.next {
            let Some((status, sent)) = self.segments.pop_front() else { break };
            self.first += 1;
            match status {
                Status::Sacked => self.sacked -= 1,
                Status::InFlight | Status::Lost => self.deliver(status, &sent, &mut delivered),
            }
        }
        for &(from, to) in &ack.blocks {
            for number in from.max(self.first)..to.max(self.first) {
                let index = (number - self.first) as usize;
                let (status, sent) = self.segments[index];
                if status != Status::Sacked {
                    self.segments[index].0 = Status::Sacked;
                    self.sacked += 1;
                    self.deliver(status, &sent, &mut delivered);
                }
            }
        }
    }

    fn deliver(&mut self, status: Status, sent: &Sent, delivered: &mut impl FnMut(&Sent)) {
        self.in_flight -= u32::from(status == Status::InFlight);
        self.rack = self.rack.max(sent.order);
        delivered(sent);
    }

    /// Marks what was sent before something that has arrived, and has not arrived itself; each goes to `found`. `eager`: a recovery is under way.
    /// Nothing overtakes on these links, so no time is left for that.
    pub(super) fn find_lost(&mut self, eager: bool, mut found: impl FnMut(&Sent)) {
        if !eager && self.sacked < DUPLICATES {
            return;
        }
        while let Some(&(order, number)) = self.transmissions.front() {
            if order >= self.rack {
                break;
            }
            self.transmissions.pop_front();
            let Some(&(status, sent)) = self.get(number) else { continue };
            if status == Status::InFlight && sent.order == order {
                self.lose(number);
                found(&sent);
            }
        }
    }

    fn lose(&mut self, number: u64) {
        let index = (number - self.first) as usize;
        self.segments[index].0 = Status::Lost;
        self.in_flight -= 1;
        self.lost.push_back(number);
    }

    /// A timeout: nothing that is out is believed in any more.
    pub(super) fn lose_all(&mut self) -> u32 {
        let out: Vec<_> = (self.first..self.next())
            .filter(|&number| self.get(number).is_some_and(|(status, _)| *status == Status::InFlight))
            .collect();
        out.iter().for_each(|&number| self.lose(number));
        self.lost.make_contiguous().sort_unstable();
        out.len() as u32
    }
}
