//! Which offers are planned when: many at a time, on a disk thread that takes other work between.

use std::sync::MutexGuard;
use std::time::Duration;

use super::{Driver, Ledger, ReceiveOptions, Receiver};
use crate::protocol::message::Header;
use crate::storage::Store as _;

/// How long offers are planned before the disk thread takes other work. On a disk that answers that is a thousand of them.
const PLAN_TURN: Duration = Duration::from_millis(5);

/// Offers that are taken together to be planned: each time costs a lock that whoever hears offers needs, too.
const PLANNED_TOGETHER_MAX: usize = 32;

/// How long is waited before it is looked again whether an earlier connection has come to its end here: a commit mostly takes as
/// long as a disk takes to sync.
const EARLIER_WAIT: Duration = Duration::from_millis(20);

/// Whether planning begins at once. To wake a disk thread for each offer takes longer than to plan it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum CorkState {
    #[default]
    Open,
    /// When the cork is out.
    Corked,
    /// Likewise, and there is something to plan.
    Due,
}

/// Holds planning back, as `TCP_CORK` does with packets.
pub(crate) struct Cork<D: Driver>(Receiver<D>);

impl<D: Driver> Drop for Cork<D> {
    fn drop(&mut self) {
        let before = std::mem::take(&mut *self.0.cork_state());
        if before == CorkState::Due {
            self.0.begin_planning();
        }
    }
}

impl<D: Driver> Receiver<D> {
    /// Holds planning back until the guard is dropped, while more offers are at hand.
    pub(crate) fn cork(&self) -> Cork<D> {
        *self.cork_state() = CorkState::Corked;
        Cork(self.clone())
    }

    pub(super) fn begin_planning(&self) {
        let mut state = self.cork_state();
        match *state {
            CorkState::Corked | CorkState::Due => *state = CorkState::Due,
            CorkState::Open => {
                let receiver = self.clone();
                self.0.driver.spawn(move || receiver.plan_some(Vec::new().into_iter()));
            }
        }
    }

    fn cork_state(&self) -> MutexGuard<'_, CorkState> {
        self.0.cork.lock().expect("no holder panics")
    }

    /// On a disk thread: plans offers, those that were taken together first, for a turn; what is left gets another.
    fn plan_some(&self, mut together: std::vec::IntoIter<Header>) {
        let end = self.0.driver.elapsed() + PLAN_TURN;
        let _gathering = self.0.driver.gather();
        loop {
            if together.len() == 0 {
                if self.0.driver.is_over() {
                    return self.feed(Ledger::<D>::stop_planning);
                }
                together = self.feed(|ledger| ledger.next_to_plan(PLANNED_TOGETHER_MAX)).into_iter();
            }
            let Some(header) = together.as_slice().first() else { return };
            if self.awaits_earlier(header) {
                let receiver = self.clone();
                return self.0.driver.spawn_later(EARLIER_WAIT, move || receiver.plan_some(together));
            }
            together.next().into_iter().for_each(|header| self.plan(header, 0));
            if self.0.driver.elapsed() >= end {
                let receiver = self.clone();
                return self.0.driver.spawn(move || receiver.plan_some(together));
            }
        }
    }

    /// Whether an offer, and all behind it, waits until all is done that was begun over an earlier connection. Where the disk
    /// takes some names for one, what has a name may be what that is about to put there, and no look at the disk tells.
    fn awaits_earlier(&self, header: &Header) -> bool {
        let ReceiveOptions { root, dry_run, .. } = &self.0.options;
        let may_be_replaced = self.0.options.replaces() && !dry_run && self.0.tools.record.is_earlier_at_work();
        // Where it has no place, planning says why.
        may_be_replaced && self.0.options.place(header).is_ok_and(|path| !root.tells_names_apart(&path))
    }
}
