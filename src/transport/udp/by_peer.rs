//! What layers know of the connections to each peer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock, Weak};

use crate::transport::canonical;

/// What is known of the connections to each peer, by address, as long as somebody else holds it.
pub(super) struct ByPeer<T>(RwLock<HashMap<SocketAddr, Weak<T>>>);

impl<T> Default for ByPeer<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> ByPeer<T> {
    /// A new connection, which takes the place of one before it; those that have ended are forgotten.
    pub(super) fn enter(&self, peer: SocketAddr, known: &Arc<T>) {
        let mut all = self.0.write().expect("no holder panics");
        if all.len() == all.capacity() {
            all.retain(|_, known| known.strong_count() > 0);
        }
        all.insert(canonical(peer), Arc::downgrade(known));
    }

    pub(super) fn get(&self, peer: SocketAddr) -> Option<Arc<T>> {
        self.0.read().expect("no holder panics").get(&canonical(peer))?.upgrade()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_by_either_form_of_its_address_until_its_connection_ends() {
        let (all, known) = (ByPeer::default(), Arc::new(1));
        let [short, mapped] = ["10.0.0.1:1", "[::ffff:10.0.0.1]:1"].map(|addr| addr.parse().expect("an address"));
        all.enter(mapped, &known);
        assert_eq!([all.get(short), all.get(mapped)].map(|known| known.as_deref().copied()), [Some(1), Some(1)]);
        drop(known);
        assert_eq!(all.get(short), None);
    }

    #[test]
    fn those_that_have_ended_take_no_room() {
        let all = ByPeer::default();
        let lasting = Arc::new(0);
        let peer = |port| SocketAddr::from(([10, 0, 0, 1], port));
        all.enter(peer(1), &lasting);
        (2..2000).for_each(|port| all.enter(peer(port), &Arc::new(port)));
        assert!(all.0.read().expect("nobody panicked").len() < 100);
        assert_eq!(all.get(peer(1)).as_deref(), Some(&0));
    }
}
