//! Attempts at several addresses beside each other, of which the first that comes to a connection wins (RFC 8305).

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::attempt::{DialAttempt, Dialled};
use super::error::{TransportError, TransportFault};
use super::resolve::resolve_all;
use super::udp::find_route;
use crate::keys::Contact;

/// Time that an address has before the next one is tried beside it (RFC 8305). Without it a machine whose IPv6 leads
/// nowhere, or a server that listens on one of `localhost`'s two addresses, would cost the whole deadline.
pub(crate) const HEAD_START: Duration = Duration::from_millis(250);
/// Time after which addresses that have not answered are tried once more, beside the first attempts. The packets of one
/// attempt leave ever further apart (RFC 9002, section 6.2.1), so one alone would meet a path that is just back seconds
/// late.
const NEXT_ROUND: Duration = Duration::from_secs(1);
/// Attempts at one address at the same time. Their packets together are a second apart at most, until the usual deadline.
const ROUNDS_MAX: usize = 5;
/// A handshake that goes on may take so many times the wait for its first answer: nobody is held for ever by one who
/// answers and never finishes.
const STEPS_MAX: u32 = 10;

/// The result of one task of a race.
enum RaceEvent {
    Attempt(SocketAddr, Result<Dialled, TransportError>),
    /// The addresses that the contact's host has now.
    Found(Vec<SocketAddr>),
}

/// Calls `addrs`, and what addresses `contact` turns out to have meanwhile, until one stands or `call` has no patience left.
pub(super) async fn race(
    addrs: &[SocketAddr],
    call: DialAttempt,
    contact: Option<&Contact>,
) -> Result<Dialled, TransportError> {
    let began = Instant::now();
    if lacks_loopback(addrs) {
        return Err(no_answer(addrs));
    }
    let mut rounds = Rounds::new(reachable(addrs, call.tuning.local)?);
    // Dropping the set gives up the attempts that lost.
    let mut tasks = JoinSet::new();
    let (mut failure, mut is_looking) = (None, false);
    loop {
        rounds.next().map(|addr| tasks.spawn(attempt(call.clone(), addr)));
        let end = deadline(began, call.patience, call.heard.last());
        let turn = (Instant::now() + rounds.pause()).min(end);
        match timeout_at(turn, next_event(&mut tasks)).await {
            Ok(Some(RaceEvent::Attempt(_, Ok(dialled)))) => return Ok(dialled),
            Ok(Some(RaceEvent::Attempt(_, Err(error)))) if error.fault() == TransportFault::Trust => return Err(error),
            Ok(Some(RaceEvent::Attempt(addr, Err(error)))) => {
                // It has answered, or cannot be called at all.
                rounds.is_settled(addr);
                failure = Some(more_telling(failure, error));
            }
            Ok(Some(RaceEvent::Found(found))) => {
                is_looking = false;
                rounds.add(reachable(&found, call.tuning.local).unwrap_or_default());
            }
            Ok(None) if rounds.is_waiting() => {}
            Ok(None) => break,
            // A packet may have come meanwhile.
            Err(_) if turn == end && deadline(began, call.patience, call.heard.last()) <= Instant::now() => break,
            Err(_) if rounds.is_waiting() => {}
            Err(_) => {
                rounds.begin_another();
                let is_first = !std::mem::replace(&mut is_looking, true);
                contact.filter(|_| is_first).cloned().map(|contact| tasks.spawn(look_up(contact)));
            }
        }
    }
    Err(failure.unwrap_or_else(|| no_answer(addrs)))
}

/// The result of the next task; `None` when there is none. Safe to cancel.
async fn next_event(tasks: &mut JoinSet<RaceEvent>) -> Option<RaceEvent> {
    match tasks.join_next().await? {
        Ok(event) => Some(event),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

async fn look_up(contact: Contact) -> RaceEvent {
    RaceEvent::Found(resolve_all(&contact).await.unwrap_or_default())
}

async fn attempt(call: DialAttempt, addr: SocketAddr) -> RaceEvent {
    RaceEvent::Attempt(addr, call.run(addr).await)
}

/// When a race ends that nobody has won: when nothing has come for `patience`, since its beginning or since the last packet.
fn deadline(began: Instant, patience: Duration, heard: Option<Instant>) -> Instant {
    let last = began + patience.saturating_mul(STEPS_MAX);
    (heard.unwrap_or(began).max(began) + patience).min(last)
}

/// Which addresses are called, and when.
#[derive(Debug)]
struct Rounds {
    known: Vec<SocketAddr>,
    /// The addresses to call next.
    waiting: VecDeque<SocketAddr>,
    /// The addresses that have not answered.
    silent: Vec<SocketAddr>,
    begun: usize,
}

impl Rounds {
    fn new(addrs: Vec<SocketAddr>) -> Self {
        Self { known: addrs.clone(), waiting: addrs.iter().copied().collect(), silent: addrs, begun: 1 }
    }

    /// The address to try now.
    fn next(&mut self) -> Option<SocketAddr> {
        self.waiting.pop_front()
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How long those who are called have before anything else is tried.
    fn pause(&self) -> Duration {
        if self.is_waiting() { HEAD_START } else { NEXT_ROUND }
    }

    /// Calls once more who has not answered.
    fn begin_another(&mut self) {
        if self.begun < ROUNDS_MAX {
            self.begun += 1;
            self.waiting.extend(&self.silent);
        }
    }

    /// Calls what is new among these, from now on.
    fn add(&mut self, found: Vec<SocketAddr>) {
        for addr in found {
            if !self.known.contains(&addr) {
                self.known.push(addr);
                self.silent.push(addr);
                self.waiting.push_back(addr);
                // It gets its rounds like those before it.
                self.begun = 1;
            }
        }
    }

    /// It is not called again.
    fn is_settled(&mut self, addr: SocketAddr) {
        self.silent.retain(|other| *other != addr);
    }
}

/// The addresses that packets from `local` can be sent to.
fn reachable(addrs: &[SocketAddr], local: Option<SocketAddr>) -> Result<Vec<SocketAddr>, TransportError> {
    let fits = |addr: &&SocketAddr| local.is_none_or(|local| local.is_ipv6() == addr.is_ipv6());
    let found: Vec<_> = addrs.iter().filter(fits).copied().collect();
    match local {
        Some(local) if found.is_empty() && !addrs.is_empty() => {
            let family = if local.is_ipv6() { "IPv6" } else { "IPv4" };
            let source = io::Error::other(format!("the remote has no {family} address"));
            Err(TransportError::BindTo { ip: local.ip(), source })
        }
        _ => Ok(found),
    }
}

/// Whether all of them are this machine's own and it has no way to any: unlike a network, its loopback interface does not come
/// by itself while somebody waits.
fn lacks_loopback(addrs: &[SocketAddr]) -> bool {
    let is_out_of_reach = |addr: &SocketAddr| addr.ip().to_canonical().is_loopback() && find_route(*addr).is_err();
    !addrs.is_empty() && addrs.iter().all(is_out_of_reach)
}

/// Of two failed attempts the one to report: an answer before silence, silence before a family that this machine lacks.
fn more_telling(old: Option<TransportError>, new: TransportError) -> TransportError {
    let rank = |error: &TransportError| match error.fault() {
        TransportFault::Local => 0,
        TransportFault::Path => 1,
        TransportFault::Peer | TransportFault::Trust => 2,
    };
    match old {
        Some(old) if rank(&old) >= rank(&new) => old,
        _ => new,
    }
}

fn no_answer(addrs: &[SocketAddr]) -> TransportError {
    // Where one of them can be called, that one has not answered.
    let called = addrs.iter().find(|addr| find_route(**addr).is_ok()).or_else(|| addrs.first());
    match called {
        Some(addr) => TransportError::silence(*addr),
        None => TransportError::NoReply { addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn addr(host: u8) -> SocketAddr {
        ([192, 0, 2, host], 4433).into()
    }

    #[test]
    fn a_race_ends_when_nobody_answers_and_goes_on_while_a_handshake_does() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        for (heard, end) in
            [(None, 10), (Some(0), 10), (Some(7), 17), (Some(40), 50), (Some(95), 100), (Some(300), 100)]
        {
            assert_eq!(deadline(began, PATIENCE, heard.map(at)), at(end), "{heard:?}");
        }
        assert_eq!(deadline(began, PATIENCE, began.checked_sub(PATIENCE)), at(10), "of an earlier race");
    }

    /// Calls whoever waits, and then lets time pass without an answer.
    fn called(rounds: &mut Rounds) -> Vec<SocketAddr> {
        let called = std::iter::from_fn(|| rounds.next()).collect();
        assert_eq!(rounds.pause(), NEXT_ROUND);
        rounds.begin_another();
        called
    }

    #[test]
    fn who_does_not_answer_is_called_some_times_and_who_answered_no_more() {
        let mut rounds = Rounds::new(vec![addr(1), addr(2)]);
        assert_eq!(rounds.next(), Some(addr(1)));
        assert_eq!(rounds.pause(), HEAD_START, "the second waits for its turn");
        assert_eq!(called(&mut rounds), [addr(2)]);
        assert_eq!(called(&mut rounds), [addr(1), addr(2)]);
        rounds.is_settled(addr(1));
        // The one that answered had been put into this round.
        assert_eq!(called(&mut rounds), [addr(1), addr(2)]);
        let more: Vec<_> = (0..10).map(|_| called(&mut rounds).len()).collect();
        assert_eq!(more, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_address_that_the_host_has_got_meanwhile_is_called_at_once_and_as_often() {
        let mut rounds = Rounds::new(vec![addr(1)]);
        (0..10).for_each(|_| drop(called(&mut rounds)));
        rounds.add(vec![addr(1)]);
        assert!(!rounds.is_waiting(), "nothing is new");
        rounds.add(vec![addr(1), addr(2)]);
        assert_eq!(called(&mut rounds), [addr(2)]);
        let more: Vec<_> = (0..5).map(|_| called(&mut rounds)).collect();
        assert!(more[..4].iter().all(|round| round.contains(&addr(2))) && more[4].is_empty(), "{more:?}");
    }
}
