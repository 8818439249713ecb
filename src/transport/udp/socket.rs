//! UDP sockets with buffers for the link: the system's default of 208 KiB is full after 2 ms at 1 Gbit/s.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::AsyncUdpSocket;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::system::Udp;
use super::throttle::Throttle;
use super::{Duplicates, Pacing, split};

/// Bytes asked for in each direction: 64 ms of 1 Gbit/s, which no scheduling pause outlasts.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Where halving stops on systems that refuse what is too large instead of cutting it.
const SOCKET_BUFFER_BYTES_MIN: usize = 256 * 1024;

/// Socket buffers as the system gave them, in bytes; compare with `SOCKET_BUFFER_BYTES`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Granted {
    /// For packets that arrived and were not read yet.
    pub receive: usize,
    /// For packets that were handed over and did not leave yet.
    pub send: usize,
}

impl Granted {
    /// The buffers that are asked for: enough for any link.
    pub const WANTED: Self = Self { receive: SOCKET_BUFFER_BYTES, send: SOCKET_BUFFER_BYTES };

    /// What to tell the user when a buffer is smaller than `needed`: which, how much there is, what it does, and the
    /// command that allows more. `None` when both suffice, or are as large as they will get.
    pub fn hint(&self, needed: Self) -> Option<String> {
        let command = self.command(needed)?;
        let short = self.short(needed);
        let harm = if short[0].0 == RECEIVE { "loses packets" } else { "slows sending down" };
        let sizes: Vec<_> = short.iter().map(|(name, granted, _)| format!("{name} {} KiB", granted / 1024)).collect();
        Some(format!("small UDP buffers ({}): a fast link {harm}; to allow more: {command}", sizes.join(", ")))
    }

    /// The command that raises the limits, without words around it.
    pub fn command(&self, needed: Self) -> Option<String> {
        let short = self.short(needed);
        let mut settings: Vec<_> = short.iter().map(|(.., name)| format!("{name}={SOCKET_BUFFER_BYTES}")).collect();
        settings.dedup();
        (!settings.is_empty()).then(|| format!("sudo sysctl -w {}", settings.join(" ")))
    }

    /// The buffers that are too small: name, size, the setting that limits it.
    fn short(&self, needed: Self) -> Vec<(&'static str, usize, &'static str)> {
        let all =
            [(RECEIVE, self.receive, needed.receive, RECEIVE_LIMIT), ("send", self.send, needed.send, SEND_LIMIT)];
        let short = all.into_iter().filter(|(_, granted, needed, _)| *granted < SOCKET_BUFFER_BYTES.min(*needed));
        short.map(|(name, granted, _, limit)| (name, granted, limit)).collect()
    }
}

/// The name of the limit on the buffer for packets that arrive.
const RECEIVE: &str = "receive";
/// The system's settings that limit the buffers.
const RECEIVE_LIMIT: &str = if cfg!(target_os = "linux") { "net.core.rmem_max" } else { "kern.ipc.maxsockbuf" };
const SEND_LIMIT: &str = if cfg!(target_os = "linux") { "net.core.wmem_max" } else { "kern.ipc.maxsockbuf" };

/// The abilities of a socket of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketReport {
    /// The bytes that the system granted for it.
    pub granted: Granted,
    /// Packets that one call can send (GSO); 1 where the system cannot.
    pub send_segments: usize,
    /// Packets that one call can receive (GRO); 1 where the system cannot.
    pub receive_segments: usize,
}

/// Opens a socket like those of connections, and says what it can do.
///
/// # Errors
/// The system gives no socket.
pub(crate) fn examine_socket() -> io::Result<SocketReport> {
    let bind_any = |ip: IpAddr| bind(SocketAddr::new(ip, 0));
    let (socket, granted) =
        bind_any(Ipv4Addr::UNSPECIFIED.into()).or_else(|_| bind_any(Ipv6Addr::UNSPECIFIED.into()))?;
    let state = quinn::udp::UdpSocketState::new((&socket).into())?;
    Ok(SocketReport { granted, send_segments: state.max_gso_segments(), receive_segments: state.gro_segments() })
}

/// Binds a UDP socket; `[::]` takes IPv4 too. The socket does not block.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<(UdpSocket, Granted)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    enlarge(&socket);
    adopt(socket.into())
}

/// Takes a socket that is bound. Its buffers stay as they are: whoever bound it for this process may be allowed larger ones
/// than this process is.
pub(crate) fn adopt(socket: UdpSocket) -> io::Result<(UdpSocket, Granted)> {
    socket.set_nonblocking(true)?;
    let granted = granted(&SockRef::from(&socket))?;
    Ok((socket, granted))
}

/// Hands a socket with these buffers, which takes packets of up to `packet_max` bytes, to QUIC, behind the limit if there
/// is one, what copies what leaves while a lossy link is nearly empty, and what lets packets go one by one.
pub(crate) fn attach(
    socket: UdpSocket,
    granted: Granted,
    packet_max: u16,
    throttle: Option<&Throttle>,
    duplicates: &Duplicates,
    pacing: &Pacing,
) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    let socket = split::wrap(Arc::new(Udp::new(socket, granted.receive)?), packet_max);
    // Copies come first, so that the limit holds for them too.
    let socket = duplicates.wrap(match throttle {
        Some(throttle) => throttle.wrap(socket),
        None => socket,
    });
    Ok(pacing.wrap(socket))
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

    let Ok(granted) = granted(&SockRef::from(socket)) else { return };
    if granted.receive < SOCKET_BUFFER_BYTES {
        let _ = set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER_BYTES);
    }
    if granted.send < SOCKET_BUFFER_BYTES {
        let _ = set_socket_send_buffer_size_force(socket, SOCKET_BUFFER_BYTES);
    }
}

fn granted(socket: &SockRef<'_>) -> io::Result<Granted> {
    // Linux doubles what is asked for, for its own book-keeping, and reports the double.
    let share = if cfg!(target_os = "linux") { 2 } else { 1 };
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
        let (enough, little) = (SOCKET_BUFFER_BYTES, 212_992);
        let hint = |receive, send| Granted { receive, send }.hint(Granted::WANTED);
        assert_eq!(hint(enough, enough), None);
        let text = hint(little, enough).unwrap();
        assert!(text.contains("(receive 208 KiB)") && text.ends_with("sysctl -w net.core.rmem_max=8388608"), "{text}");
        let text = hint(little, little).unwrap();
        assert!(text.ends_with("sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608"), "{text}");
        let modest = Granted { receive: little, send: little };
        assert_eq!(Granted { receive: little, send: little }.hint(modest), None, "it is all that is needed");
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
