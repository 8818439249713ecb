//! Work of many clients in one queue that each of them gets an equal share of.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// A client of a queue: one connection, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientId(pub(super) u64);

/// The party that a client belongs to: all connections of one key share what one of them would get alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Party(pub(super) u64);

/// A fair queue (the "start-time fair queueing" of schedulers): work of one client is taken first come, first served;
/// among clients, the one whose work has cost the least so far comes next. A client that had no work for a while has
/// saved up nothing: it starts again beside the one that is served now. What work costs counts as often as its party has
/// clients with work: many connections get no more than one.
///
/// A client that has left is unknown: what is put in for it comes back at once.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    clients: HashMap<ClientId, FairClient<T>>,
    /// Of each party, the clients with work.
    busy: HashMap<Party, u64>,
    /// Clients with work, the next one first.
    waiting: BTreeSet<(u64, ClientId)>,
    /// The cost so far of the client that was served last.
    now: u64,
    len: usize,
}

#[derive(Debug)]
struct FairClient<T> {
    party: Option<Party>,
    work: VecDeque<T>,
    cost: u64,
    /// Forgotten with its last piece of work.
    is_leaving: bool,
}

impl<T> FairQueue<T> {
    pub(super) fn new() -> Self {
        Self { clients: HashMap::new(), busy: HashMap::new(), waiting: BTreeSet::new(), now: 0, len: 0 }
    }

    /// Pieces of work that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Lets a client put in work from now on; `None` is a party of its own.
    pub(super) fn join(&mut self, id: ClientId, party: Option<Party>) {
        let new = || FairClient { party, work: VecDeque::new(), cost: 0, is_leaving: false };
        self.clients.entry(id).or_insert_with(new);
    }

    /// Forgets a client, and hands back its work that has not been taken.
    pub(super) fn leave(&mut self, id: ClientId) -> VecDeque<T> {
        let Some(client) = self.clients.remove(&id) else { return VecDeque::new() };
        if self.waiting.remove(&(client.cost, id)) {
            self.is_idle(client.party);
        }
        self.len -= client.work.len();
        client.work
    }

    /// Forgets a client once all its work has been taken.
    pub(super) fn leave_when_done(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.is_leaving = true;
        if client.work.is_empty() {
            self.clients.remove(&id);
        }
    }

    /// Puts in a piece of work.
    ///
    /// # Errors
    /// The work, when the client is not known (any more).
    pub(super) fn push(&mut self, id: ClientId, work: T) -> Result<(), T> {
        let Some(client) = self.clients.get_mut(&id) else { return Err(work) };
        if client.work.is_empty() {
            client.cost = client.cost.max(self.now);
            self.waiting.insert((client.cost, id));
            if let Some(party) = client.party {
                *self.busy.entry(party).or_default() += 1;
            }
        }
        client.work.push_back(work);
        self.len += 1;
        Ok(())
    }

    /// Takes the next piece of work. `cost` is what it will cost as far as is known, so that other clients are next while
    /// it is done; [`FairQueue::charge`] adds what it cost beyond that.
    pub(super) fn pop(&mut self, cost: u64) -> Option<(ClientId, T)> {
        let (before, id) = self.waiting.pop_first()?;
        let client = self.clients.get_mut(&id)?;
        let work = client.work.pop_front()?;
        self.len -= 1;
        self.now = before;
        let times = client.party.and_then(|party| self.busy.get(&party).copied()).unwrap_or(1);
        client.cost = client.cost.saturating_add(cost.saturating_mul(times));
        if !client.work.is_empty() {
            self.waiting.insert((client.cost, id));
            return Some((id, work));
        }
        let (party, is_leaving) = (client.party, client.is_leaving);
        self.is_idle(party);
        if is_leaving {
            self.clients.remove(&id);
        }
        Some((id, work))
    }

    /// A client's work has cost so much more.
    pub(super) fn charge(&mut self, id: ClientId, cost: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let times = client.party.and_then(|party| self.busy.get(&party).copied()).unwrap_or(1);
        let was_waiting = self.waiting.remove(&(client.cost, id));
        client.cost = client.cost.saturating_add(cost.saturating_mul(times));
        if was_waiting {
            self.waiting.insert((client.cost, id));
        }
    }

    /// A client of a party has no work any more.
    fn is_idle(&mut self, party: Option<Party>) {
        let Some(party) = party else { return };
        if let Some(busy) = self.busy.get_mut(&party) {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(&party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ClientId = ClientId(1);
    const B: ClientId = ClientId(2);
    const C: ClientId = ClientId(3);

    fn queue(work: &[(ClientId, usize)]) -> FairQueue<usize> {
        let mut queue = FairQueue::new();
        for (id, count) in work {
            queue.join(*id, None);
            (0..*count).for_each(|n| queue.push(*id, n).expect("it has joined"));
        }
        queue
    }

    fn order(queue: &mut FairQueue<usize>, cost: u64) -> Vec<(ClientId, usize)> {
        std::iter::from_fn(|| queue.pop(cost)).collect()
    }

    #[test]
    fn one_piece_waits_behind_one_of_each_other_client_and_not_behind_all_of_theirs() {
        let mut queue = queue(&[(A, 8192), (B, 8192)]);
        assert_eq!((0..100).filter_map(|_| queue.pop(1)).count(), 100);
        queue.join(C, None);
        queue.push(C, 7).expect("it has joined");
        let place = order(&mut queue, 1).iter().position(|(id, _)| *id == C).expect("it is served");
        assert!(place <= 2, "{place} pieces were served before it");
    }

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let mut queue = queue(&[(A, 3), (B, 2), (C, 1)]);
        assert_eq!(order(&mut queue, 1), [(A, 0), (B, 0), (C, 0), (A, 1), (B, 1), (A, 2)]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn who_makes_long_work_is_served_seldom() {
        let mut queue = queue(&[(A, 100), (B, 100)]);
        let mut served = HashMap::<ClientId, u64>::new();
        for _ in 0..80 {
            let (id, _) = queue.pop(1).expect("there is work");
            *served.entry(id).or_default() += 1;
            queue.charge(id, if id == A { 9 } else { 0 });
        }
        assert!(served[&B] >= 9 * served[&A], "{served:?}");
    }

    #[test]
    fn many_clients_of_one_party_get_no_more_than_one_client() {
        let mut queue = queue(&[(A, 4000)]);
        for n in 10..42 {
            queue.join(ClientId(n), Some(Party(7)));
            (0..4000).for_each(|work| queue.push(ClientId(n), work).expect("it has joined"));
        }
        let served = std::iter::from_fn(|| queue.pop(1)).take(4000);
        let of_a = served.filter(|(id, _)| *id == A).count();
        assert!((1900..2100).contains(&of_a), "{of_a} of 4000");
    }

    #[test]
    fn who_was_idle_has_saved_up_nothing() {
        let mut queue = queue(&[(A, 1000), (B, 0)]);
        assert_eq!((0..500).filter_map(|_| queue.pop(1)).count(), 500);
        (0..100).for_each(|n| queue.push(B, n).expect("it has joined"));
        let next: Vec<_> = std::iter::from_fn(|| queue.pop(1)).take(100).map(|(id, _)| id).collect();
        let of_b = next.iter().filter(|id| **id == B).count();
        assert!((49..=51).contains(&of_b), "{of_b} of 100");
    }

    #[test]
    fn a_client_that_leaves_takes_its_work_along() {
        let mut queue = queue(&[(A, 5), (B, 1)]);
        assert_eq!(queue.leave(A).len(), 5);
        assert_eq!(queue.push(A, 9), Err(9));
        queue.charge(A, 5);
        assert_eq!(order(&mut queue, 1), [(B, 0)]);
    }

    #[test]
    fn a_client_that_leaves_when_done_is_served_to_the_end() {
        let mut queue = queue(&[(A, 2), (B, 0)]);
        queue.leave_when_done(A);
        queue.leave_when_done(B);
        assert_eq!(order(&mut queue, 1), [(A, 0), (A, 1)]);
        assert!(queue.clients.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_served_twice_or_served_out_of_order(
            steps in proptest::collection::vec((0_u8..4, 0_u64..4, 0_u64..5), 0..200),
        ) {
            let mut queue = FairQueue::new();
            let mut model: HashMap<ClientId, VecDeque<usize>> = HashMap::new();
            for (n, (what, id, cost)) in steps.into_iter().enumerate() {
                let id = ClientId(id);
                match what {
                    0 => {
                        queue.join(id, (id.0 < 3).then_some(Party(id.0 % 2)));
                        model.entry(id).or_default();
                    }
                    1 => match model.get_mut(&id) {
                        Some(waiting) => {
                            prop_assert_eq!(queue.push(id, n), Ok(()));
                            waiting.push_back(n);
                        }
                        None => prop_assert_eq!(queue.push(id, n), Err(n)),
                    },
                    2 => match queue.pop(cost) {
                        Some((id, work)) => {
                            prop_assert_eq!(model.get_mut(&id).and_then(VecDeque::pop_front), Some(work));
                            queue.charge(id, cost);
                        }
                        None => prop_assert!(model.values().all(VecDeque::is_empty)),
                    },
                    _ => prop_assert_eq!(queue.leave(id), model.remove(&id).unwrap_or_default()),
                }
                prop_assert_eq!(queue.len(), model.values().map(VecDeque::len).sum::<usize>());
                let busy = model.iter().filter(|(id, waiting)| id.0 < 3 && !waiting.is_empty()).count();
                prop_assert_eq!(queue.busy.values().sum::<u64>(), busy as u64);
            }
        }
    }
}
