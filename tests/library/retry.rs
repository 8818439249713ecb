//! A crowd in the door makes the server ask for proof of an address (QUIC's Retry), and who gives it gets in.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::field::{self, Field};
use crate::support::{peer, soon, until};
use qft::client::{Client, SendOptions};
use qft::keys::Ticket;
use qft::transport;
use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};

/// Strangers from which on every address has to be proven.
const CROWD: usize = 32;
/// Of these from one address: more of them would have to prove it themselves.
const OF_ONE_ADDRESS: usize = CROWD / 2;
/// The largest datagram that comes by.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// Whether a datagram is a Retry packet of QUIC version 1: a long header of the fourth type (RFC 9000, 17.2.5).
fn is_retry(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xb0 == 0xb0) && datagram.get(1..5) == Some(&[0, 0, 0, 1])
}

async fn bound(ip: Ipv4Addr) -> UdpSocket {
    UdpSocket::bind((ip, 0)).await.unwrap()
}

/// Leaves half-open handshakes at the server: real first packets, taken on their way and passed on from this address,
/// where nobody answers what the server says.
async fn half_open(field: &Field, count: usize, from: Ipv4Addr) {
    let (catcher, forwarder) = (bound(Ipv4Addr::LOCALHOST).await, bound(from).await);
    let addr = catcher.local_addr().unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let (fingerprint, identity) = (field.server.fingerprint(), field.hostile.clone());
        callers.spawn(async move {
            let _ = transport::connect(&[addr], fingerprint, &identity, &peer::tuning(), crate::support::LONG).await;
        });
    }
    let (mut seen, mut packet) = (HashSet::new(), vec![0; DATAGRAM_BYTES]);
    while seen.len() < count {
        let (len, from) = soon("a first packet", catcher.recv_from(&mut packet)).await.unwrap();
        if seen.insert(from) {
            forwarder.send_to(&packet[..len], field.server.local_addr()).await.unwrap();
        }
    }
}

/// Stands between one client and the server, passes all datagrams on, and counts the Retry packets among them.
struct Relay {
    address: SocketAddr,
    retries: Arc<AtomicUsize>,
    work: JoinHandle<()>,
}

impl Relay {
    async fn before(server: SocketAddr) -> Self {
        let (inner, outer) = (bound(Ipv4Addr::LOCALHOST).await, bound(Ipv4Addr::LOCALHOST).await);
        let (address, retries) = (inner.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counted = retries.clone();
        let work = tokio::spawn(async move {
            let (mut up, mut down) = (vec![0; DATAGRAM_BYTES], vec![0; DATAGRAM_BYTES]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((len, from)) = inner.recv_from(&mut up) => {
                        client = Some(from);
                        let _ = outer.send_to(&up[..len], server).await;
                    }
                    Ok(len) = outer.recv(&mut down) => {
                        counted.fetch_add(usize::from(is_retry(&down[..len])), Ordering::Relaxed);
                        let _ = inner.send_to(&down[..len], client.expect("it spoke first")).await;
                    }
                }
            }
        });
        Self { address, retries, work }
    }

    fn retries(&self) -> usize {
        self.retries.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Sends one file through a relay as an honest client; how many Retry packets it was answered with.
async fn send(field: &Field, name: &str) -> usize {
    let relay = Relay::before(field.server.local_addr()).await;
    let ticket = Ticket { port: relay.address.port(), ..field.ticket() };
    let sources = tempfile::tempdir().unwrap();
    field::write(&sources.path().join(name), name.as_bytes());
    let client = Client::builder(field.honest.clone()).build().unwrap();
    let job = client.send(ticket, vec![sources.path().join(name)], SendOptions::default());
    let report = soon("the end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (1, 0), "{report:?}");
    assert_eq!(std::fs::read(field.path(name)).unwrap(), name.as_bytes());
    relay.retries()
}

#[tokio::test]
async fn many_waiting_handshakes_cost_the_next_client_a_round_trip_and_nothing_else() {
    let field = Field::new();
    assert_eq!(send(&field, "before").await, 0, "nobody waits, so nobody pays");
    half_open(&field, OF_ONE_ADDRESS, Ipv4Addr::new(127, 0, 0, 2)).await;
    let waiting = || field.server.active().iter().sum::<usize>();
    until("half of the crowd", || waiting() == OF_ONE_ADDRESS).await;
    assert_eq!(send(&field, "between").await, 0, "there is room");
    half_open(&field, OF_ONE_ADDRESS, Ipv4Addr::new(127, 0, 0, 3)).await;
    until("the crowd", || waiting() == CROWD).await;
    assert_eq!(send(&field, "after").await, 1);
    until("the crowd alone, of which nobody was pushed out", || waiting() == CROWD).await;
}
