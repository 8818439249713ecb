//! A path with a delay, and perhaps losses: packets go through here, and leave as late as was asked for, or not at all.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// More than any packet.
const PACKET_MAX: usize = 64 << 10;

/// A relay on loopback; it ends when it is dropped, or with the runtime.
pub struct Relay {
    addr: SocketAddr,
    task: JoinHandle<()>,
    ways: [Arc<Mutex<Way>>; 2],
    flows: Arc<Mutex<Flows>>,
}

/// Who has come by, and what is carried no more.
#[derive(Default)]
struct Flows {
    known: HashSet<SocketAddr>,
    lost: HashSet<SocketAddr>,
    is_shut: bool,
}

impl Flows {
    fn carries(&mut self, client: SocketAddr) -> bool {
        self.known.insert(client);
        !self.is_shut && !self.lost.contains(&client)
    }
}

impl Relay {
    /// Carries packets to `server` and back, `delay` each way.
    pub async fn start(server: SocketAddr, delay: Duration) -> Self {
        Self::losing(server, delay, 0).await
    }

    /// The same, but of a thousand packets each way so many are lost.
    pub async fn losing(server: SocketAddr, delay: Duration, permille: u64) -> Self {
        let front = Arc::new(socket().await);
        let addr = front.local_addr().unwrap();
        let ways = [1, 2].map(|seed| Arc::new(Mutex::new(Way { delay, permille, seed, ..Way::default() })));
        let flows = Arc::<Mutex<Flows>>::default();
        let task = tokio::spawn(carry(front, server, ways.clone(), flows.clone()));
        Self { addr, task, ways, flows }
    }

    /// Whether nothing is carried any more.
    pub fn shut(&self, is_shut: bool) {
        self.flows.lock().unwrap().is_shut = is_shut;
    }

    /// From now on nothing is carried of the connections that there are: to both ends the other one is dead.
    pub fn lose_connections(&self) {
        let mut flows = self.flows.lock().unwrap();
        flows.lost = flows.known.clone();
    }

    /// Connections that have come by, from different ports.
    pub fn connections(&self) -> usize {
        self.flows.lock().unwrap().known.len()
    }

    /// The port of that.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// From now on, of a thousand packets to the server so many are lost.
    pub fn lose_upwards(&self, permille: u64) {
        self.ways[0].lock().unwrap().permille = permille;
    }

    /// Where clients find it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Bytes of packets that came before: from clients, and from the server.
    pub fn copies(&self) -> (usize, usize) {
        let [up, down] = &self.ways;
        (up.lock().unwrap().copies, down.lock().unwrap().copies)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One direction.
#[derive(Default)]
struct Way {
    delay: Duration,
    permille: u64,
    seed: u64,
    seen: HashSet<u64>,
    copies: usize,
}

impl Way {
    /// Counts a packet; after what delay it leaves, if it does.
    fn take(&mut self, packet: &[u8]) -> Option<Duration> {
        let mut hasher = DefaultHasher::new();
        packet.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            self.copies += packet.len();
        }
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.seed >> 33) % 1000 >= self.permille).then_some(self.delay)
    }
}

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// From clients to the server; each client has a socket of its own there.
async fn carry(front: Arc<UdpSocket>, server: SocketAddr, [up, down]: [Arc<Mutex<Way>>; 2], flows: Arc<Mutex<Flows>>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut packet = vec![0; PACKET_MAX];
    loop {
        // A client that is gone makes the system report an error here.
        let Ok((len, client)) = front.recv_from(&mut packet).await else { continue };
        if !flows.lock().unwrap().carries(client) {
            continue;
        }
        let back = match backs.entry(client) {
            Entry::Occupied(back) => back.get().clone(),
            Entry::Vacant(place) => {
                let back = Arc::new(socket().await);
                tokio::spawn(carry_back(back.clone(), front.clone(), client, down.clone(), flows.clone()));
                place.insert(back).clone()
            }
        };
        later(&up, back, packet[..len].to_vec(), server);
    }
}

async fn carry_back(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    down: Arc<Mutex<Way>>,
    flows: Arc<Mutex<Flows>>,
) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let Ok((len, _)) = back.recv_from(&mut packet).await else { continue };
        if !flows.lock().unwrap().carries(client) {
            continue;
        }
        later(&down, front.clone(), packet[..len].to_vec(), client);
    }
}

fn later(way: &Mutex<Way>, from: Arc<UdpSocket>, packet: Vec<u8>, to: SocketAddr) {
    let Some(delay) = way.lock().unwrap().take(&packet) else { return };
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        // What cannot be delivered is lost, as on any path.
        let _ = from.send_to(&packet, to).await;
    });
}
