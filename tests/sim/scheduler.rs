//! What comes next, drawn from a seed.

use std::collections::VecDeque;
use std::time::Duration;

use super::Fault;
use crate::protocol::message::Message;
use crate::storage::testing::memory::ManualClock;
use crate::storage::testing::random::Random;

pub(super) struct Scheduler {
    pub(super) random: Random,
    pub(super) clock: ManualClock,
    pub(super) fault: Option<Fault>,
    /// Whether what happens is shown.
    pub(super) is_shown: bool,
}

impl Scheduler {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> Self {
        Self { random: Random::new(seed), clock: ManualClock::new(), fault, is_shown: false }
    }

    pub(super) fn show(&self, what: impl FnOnce() -> String) {
        if self.is_shown {
            println!("{}", what());
        }
    }

    /// Any of the kinds of steps of which there are so many each; `None` where there is none to take.
    pub(super) fn pick_kind(&mut self, counts: &[usize]) -> Option<usize> {
        let all: usize = counts.iter().sum();
        if all == 0 {
            return None;
        }
        // Now and then a step takes time.
        if self.random.percent(20) {
            self.clock.advance(Duration::from_micros(self.random.below(8000) as u64));
        }
        let mut chosen = self.random.below(all);
        counts.iter().position(|count| {
            let is_it = chosen < *count;
            chosen = chosen.saturating_sub(*count);
            is_it
        })
    }

    /// The next message that comes, of those that were said.
    pub(super) fn next_message(&mut self, to: &str, says: &mut VecDeque<Message>) -> Option<Message> {
        let message = match self.fault {
            Some(Fault::ControlOutOfOrder) if self.random.percent(20) => says.pop_back(),
            Some(Fault::MessageTwice) if self.random.percent(5) => says.front().cloned(),
            Some(Fault::MessageLost) if self.random.percent(5) => {
                says.pop_front();
                None
            }
            _ => says.pop_front(),
        };
        self.show(|| format!("{to} hears {message:?}"));
        message
    }

    /// Time passes, up to so many milliseconds.
    pub(super) fn let_pass(&mut self, millis: usize) {
        self.clock.advance(Duration::from_millis(self.random.below(millis) as u64));
    }
}
