//! UDP sockets with buffers for the link: the system's default of 208 KiB is full after 2 ms at 1 Gbit/s.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Bytes asked for in each direction: 64 ms of 1 Gbit/s, which no scheduling pause outlasts.
pub const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Where halving stops on systems that refuse what is too large instead of cutting it.
const SOCKET_BUFFER_BYTES_MIN: usize = 256 * 1024;

/// Socket buffers as the system gave them, in bytes; compare with [`SOCKET_BUFFER_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// For packets that arrived and were not read yet.
    pub receive: usize,
    /// For packets that were handed over and did not leave yet.
    pub send: usize,
}

impl Granted {
    /// What to tell the user when a buffer is smaller than it should be: how much there is, and the command that
    /// allows more.
    pub fn hint(&self) -> Option<String> {
        let too_little = |granted: usize| granted < SOCKET_BUFFER_BYTES;
        if !too_little(self.receive) && !too_little(self.send) {
            return None;
        }
        let kib = |bytes: usize| bytes / 1024;
        let (receive, send) = (kib(self.receive), kib(self.send));
        let wanted = kib(SOCKET_BUFFER_BYTES);
        let mut settings = Vec::new();
        if cfg!(target_os = "linux") {
            let rows = [("net.core.rmem_max", self.receive), ("net.core.wmem_max", self.send)];
            settings.extend(rows.into_iter().filter(|row| too_little(row.1)).map(|row| row.0));
        } else {
            settings.push("kern.ipc.maxsockbuf");
        }
        let settings: Vec<_> = settings.iter().map(|name| format!("{name}={SOCKET_BUFFER_BYTES}")).collect();
        Some(format!(
            "UDP buffers are {receive} KiB (receive) and {send} KiB (send) instead of {wanted} KiB, which loses packets on \
             fast links; to allow more: sudo sysctl -w {}",
            settings.join(" ")
        ))
    }
}

/// Binds a UDP socket; `[::]` takes IPv4 too. The socket does not block.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<(UdpSocket, Granted)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    enlarge(&socket);
    let granted = granted(&socket)?;
    Ok((socket.into(), granted))
}

/// Asks for large buffers. What comes of it is read back by [`granted`], so a refusal is no error here.
fn enlarge(socket: &Socket) {
    let sizes = || std::iter::successors(Some(SOCKET_BUFFER_BYTES), |size| Some(size / 2));
    let sizes = || sizes().take_while(|size| *size >= SOCKET_BUFFER_BYTES_MIN);
    let _ = sizes().find(|size| socket.set_recv_buffer_size(*size).is_ok());
    let _ = sizes().find(|size| socket.set_send_buffer_size(*size).is_ok());
    #[cfg(target_os = "linux")]
    force(socket);
}

/// Goes past the system's limit where the process is allowed to (as root).
#[cfg(target_os = "linux")]
fn force(socket: &Socket) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};

    let Ok(granted) = granted(socket) else { return };
    if granted.receive < SOCKET_BUFFER_BYTES {
        let _ = set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER_BYTES);
    }
    if granted.send < SOCKET_BUFFER_BYTES {
        let _ = set_socket_send_buffer_size_force(socket, SOCKET_BUFFER_BYTES);
    }
}

fn granted(socket: &Socket) -> io::Result<Granted> {
    // Linux doubles what is asked for, for its own book-keeping, and reports the double.
    let share = if cfg!(target_os = "linux") { 2 } else { 1 };
    let socket = SockRef::from(socket);
    Ok(Granted { receive: socket.recv_buffer_size()? / share, send: socket.send_buffer_size()? / share })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reported_buffers_are_those_of_the_socket() {
        let (socket, granted) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let socket = SockRef::from(&socket);
        assert!(granted.receive >= 100 * 1024 && granted.receive <= SOCKET_BUFFER_BYTES, "{granted:?}");
        assert_eq!(socket.recv_buffer_size().unwrap() / 2, granted.receive);
        assert_eq!(socket.send_buffer_size().unwrap() / 2, granted.send);
    }

    #[test]
    fn enough_needs_no_hint_and_too_little_names_the_very_setting() {
        let enough = SOCKET_BUFFER_BYTES;
        assert_eq!(Granted { receive: enough, send: enough }.hint(), None);
        let hint = Granted { receive: 212_992, send: enough }.hint().unwrap();
        assert!(hint.contains("208 KiB") && hint.ends_with("sysctl -w net.core.rmem_max=8388608"), "{hint}");
        let hint = Granted { receive: 212_992, send: 212_992 }.hint().unwrap();
        assert!(hint.ends_with("sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608"), "{hint}");
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_packets() {
        // A system without IPv6 has nothing to show here.
        let Ok((socket, _)) = bind("[::]:0".parse().unwrap()) else { return };
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"over v4", ("127.0.0.1", socket.local_addr().unwrap().port())).unwrap();
        let mut buffer = [0; 16];
        let (bytes, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..bytes], from.port()), (&b"over v4"[..], sender.local_addr().unwrap().port()));
    }
}
