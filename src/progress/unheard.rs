//! The events of a job that nobody has heard yet.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::Event;

/// Bytes of events that may wait for whoever hears them, those of some hundred thousand files: who draws on a terminal that
/// is held with Ctrl-S hears none, and a server can go on saying that files have failed.
pub const EVENT_BYTES_AHEAD: usize = 64 << 20;

/// How much waits. Shared by who tells and who hears.
#[derive(Debug, Default)]
pub(crate) struct Unheard {
    bytes: AtomicUsize,
    fewer: Notify,
}

impl Unheard {
    pub(super) fn on_told(&self, event: &Event) {
        self.bytes.fetch_add(bytes_of(event), Ordering::Relaxed);
    }

    pub(crate) fn on_heard(&self, event: &Event) {
        let bytes = bytes_of(event);
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= EVENT_BYTES_AHEAD && before - bytes < EVENT_BYTES_AHEAD {
            self.fewer.notify_waiters();
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < EVENT_BYTES_AHEAD
    }

    /// Waits until there is room for more. Safe to cancel.
    pub(super) async fn room(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.has_room() {
                return;
            }
            fewer.await;
        }
    }
}

/// The memory that an event takes, with its texts. It is the same whenever it is asked.
fn bytes_of(event: &Event) -> usize {
    let texts = match event {
        Event::Started(file) | Event::Finished { file } => file.path.len() + size_of_val(&**file),
        Event::Skipped { path, .. } => path.len(),
        Event::Planned { path, named, .. } => path.len() + named.as_ref().map_or(0, String::len),
        Event::Failed { path, failure, .. } => path.len() + failure.detail.len(),
        Event::Note(text) => text.len(),
        Event::Reconnecting { cause, .. } | Event::Waiting { cause, .. } => cause.len(),
        Event::Connected { peer, .. } => peer.len(),
        Event::Silent { .. } | Event::Answered { .. } => 0,
    };
    size_of::<Event>() + texts
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::super::Observer;
    use super::*;
    use crate::protocol::message::{Failure, Status};

    #[test]
    fn a_peer_is_heard_no_further_while_too_much_of_what_it_said_waits_to_be_heard() {
        let (observer, mut events) = Observer::new();
        let has_room = || pin!(observer.room()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let name = "n".repeat(4000);
        let told = (0..).take_while(|_| {
            observer.failed(name.clone(), Failure::new(Status::NotFound, ""), false);
            has_room()
        });
        let told = told.count() + 1;
        assert!((EVENT_BYTES_AHEAD / 5000..=EVENT_BYTES_AHEAD / 4000).contains(&told), "{told}");
        let mut waiting = pin!(observer.room());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        observer.unheard().on_heard(&events.try_recv().expect("all of them wait"));
        assert!(waiting.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        while let Ok(event) = events.try_recv() {
            observer.unheard().on_heard(&event);
        }
        assert_eq!(observer.unheard().bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_nobody_wants_to_hear_waits_for_nobody() {
        let (observer, events) = Observer::new();
        drop(events);
        observer.event(Event::Note("x".repeat(EVENT_BYTES_AHEAD)));
        assert!(pin!(observer.room()).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
