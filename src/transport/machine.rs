//! Directories that both ends of a connection can see, because both are on one machine.

use std::net::SocketAddr;
use std::sync::OnceLock;

use quinn::Connection;
use ring::hmac;

use super::peer::keying_material;
use super::udp::source_of;
use crate::protocol::LOCATION_LABEL;

/// What this machine was called when it was started: random, and known to whoever is on it, in whatever container.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Signs directories, over one connection, so that only a peer on this very machine can recognise them.
///
/// The key is made of the connection's secrets, so no signature can be compared with one of another connection, and of the
/// machine's boot id, so that a peer on another machine cannot try out numbers of directories.
#[derive(Debug, Clone)]
pub(crate) struct MachineKey(hmac::Key);

impl MachineKey {
    /// The key of that connection; `None` where the machine says nothing that others do not know.
    pub(crate) fn of(connection: &Connection) -> Option<Self> {
        let material: [u8; 32] = keying_material(connection, LOCATION_LABEL).ok()?;
        Some(Self::new(&material, boot_id()?))
    }

    fn new(material: &[u8; 32], boot_id: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &[material, boot_id.as_bytes()].concat()))
    }

    /// What stands for the directory of that path below the directory `ino` of the file system `dev`; the path may be empty.
    pub(crate) fn sign(&self, dev: u64, ino: u64, below: &[u8]) -> [u8; 32] {
        let signed = [&dev.to_le_bytes()[..], &ino.to_le_bytes(), below].concat();
        hmac::sign(&self.0, &signed).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }
}

fn boot_id() -> Option<&'static str> {
    static READ: OnceLock<Option<String>> = OnceLock::new();
    let read = || std::fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    READ.get_or_init(read).as_deref()
}

/// Whether the peer is reached by an address of this machine. It may be somewhere else all the same.
pub(crate) fn is_own_address(connection: &Connection) -> bool {
    let peer = connection.remote_address();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    peer.ip().is_loopback() || source_of(peer) == Some(peer.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_recognised_over_the_same_connection_on_the_same_machine_alone() {
        let key = |material, machine| MachineKey::new(&[material; 32], machine);
        let proof = key(1, "here").sign(5, 7, b"a/b");
        assert_eq!(key(1, "here").sign(5, 7, b"a/b"), proof);
        for (other, dev, ino, below) in [
            (key(2, "here"), 5, 7, &b"a/b"[..]),
            (key(1, "there"), 5, 7, b"a/b"),
            (key(1, "here"), 6, 7, b"a/b"),
            (key(1, "here"), 5, 8, b"a/b"),
            (key(1, "here"), 5, 7, b"a"),
        ] {
            assert_ne!(other.sign(dev, ino, below), proof);
        }
    }

    #[test]
    fn loopback_and_own_addresses_are_told_from_others() {
        let own = |peer: &str| {
            let peer: SocketAddr = peer.parse().unwrap();
            source_of(peer) == Some(peer.ip())
        };
        assert!(own("127.0.0.1:9"));
        // Of the range for documentation.
        assert!(!own("192.0.2.1:9"));
    }
}
