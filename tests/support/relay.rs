//! A path with a delay: packets go through here, and leave as late as was asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// More than any packet.
const PACKET_MAX: usize = 64 << 10;

/// A relay on loopback; it ends when it is dropped, or with the runtime.
pub struct Relay {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Carries packets to `server` and back, `delay` each way.
    pub async fn start(server: SocketAddr, delay: Duration) -> Self {
        let front = Arc::new(socket().await);
        let addr = front.local_addr().unwrap();
        let task = tokio::spawn(carry(front, server, delay));
        Self { addr, task }
    }

    /// Where clients find it.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// From clients to the server; each client has a socket of its own there.
async fn carry(front: Arc<UdpSocket>, server: SocketAddr, delay: Duration) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut packet = vec![0; PACKET_MAX];
    loop {
        // A client that is gone makes the system report an error here.
        let Ok((len, client)) = front.recv_from(&mut packet).await else { continue };
        let back = match backs.entry(client) {
            Entry::Occupied(back) => back.get().clone(),
            Entry::Vacant(place) => {
                let back = Arc::new(socket().await);
                tokio::spawn(carry_back(back.clone(), front.clone(), client, delay));
                place.insert(back).clone()
            }
        };
        later(delay, back, packet[..len].to_vec(), server);
    }
}

async fn carry_back(back: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr, delay: Duration) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let Ok((len, _)) = back.recv_from(&mut packet).await else { continue };
        later(delay, front.clone(), packet[..len].to_vec(), client);
    }
}

fn later(delay: Duration, from: Arc<UdpSocket>, packet: Vec<u8>, to: SocketAddr) {
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        // What cannot be delivered is lost, as on any path.
        let _ = from.send_to(&packet, to).await;
    });
}
