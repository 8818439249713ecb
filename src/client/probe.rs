//! Probing: what the path to a server carries, and how it behaves meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Client;
use super::connect::{QueryAnswer, ServerConnection};
use crate::error::Error;
use crate::keys::Contact;
use crate::progress::{Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{Failure, LinkReport, Message, Probe, ProbeDone, ProbeKind, ProbeReady, ServerMessage};
use crate::session::link::link_report;
use crate::session::probe::{Count, down, ping, up};
use crate::session::processor::Busy;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::transport::Granted;

/// Round trips that are measured while nothing else moves.
const PINGS: usize = 20;
/// Longest wait for one answer of the server, which first finishes what it does.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2 * ATTENTION_DEADLINE.as_secs());
/// Longest that those may take.
const PINGS_TIME: Duration = Duration::from_secs(5);

/// The result of a probe.
#[derive(Debug, Clone)]
pub struct PathReport {
    /// The server's name for itself, escaped for display.
    pub peer: String,
    /// The address that answered.
    pub addr: SocketAddr,
    /// Whether this connection used an invite to enrol this client.
    pub enrolled: bool,
    /// From the first packet to a connection that stands.
    pub handshake: Duration,
    /// This end's UDP buffers.
    pub local: Granted,
    /// The figures; `None` when the server is too old to be measured.
    pub figures: Option<PathFigures>,
}

/// The figures of a path.
#[derive(Debug, Clone)]
pub struct PathFigures {
    /// Round trips while nothing else moved, in the order of their measurement.
    pub trips: Vec<Duration>,
    /// The server's UDP buffers.
    pub remote: Granted,
    /// From this machine to the server, or why there is no figure.
    pub up: Result<DirectionProbe, Failure>,
    /// From the server to this machine.
    pub down: Result<DirectionProbe, Failure>,
}

/// One direction of a path under load.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectionProbe {
    /// The bytes that had arrived, each with its time.
    pub counts: Vec<Count>,
    /// Packets that the sending end has sent meanwhile.
    pub packets_sent: u64,
    /// Packets of them that were lost.
    pub packets_lost: u64,
    /// Round trip at the end, with whatever queue there was.
    pub rtt: Duration,
    /// The sender's congestion window at the end, in bytes.
    pub window: u64,
    /// The sender's packet size in bytes.
    pub mtu: u16,
    /// How busy this process was, in cores.
    pub local_cpu: f64,
    /// How busy the server's thread for this connection was, in cores.
    pub remote_cpu: f64,
}

/// Measures for `length` in each direction.
///
/// Each direction has a connection of its own, as each transfer has: what a controller learnt from a trickle of echoes
/// is not what it does with a file. All of them end together, so that a server for one client does not end before.
pub(super) async fn run(client: &Client, contact: Contact, length: Duration) -> Result<PathReport, Error> {
    let (mut first, mut events) = ProbeConnection::new(client, &contact).await?;
    let figures = first.measure(async |open| open.echoes(PINGS).await).await?;
    let (addr, peer, enrolled) = welcome(&mut events)?;
    let (handshake, local) = (first.0.handshake, first.0.granted);
    let figures = match figures {
        None => None,
        Some((trips, remote)) => {
            // The key is enrolled by now.
            let contact = Contact { invite: None, ..contact };
            let (mut second, _down_events) = ProbeConnection::new(client, &contact).await?;
            let down = second.measure(async |open| open.down(length).await).await?;
            let (mut third, _up_events) = ProbeConnection::new(client, &contact).await?;
            let up = third.measure(async |open| open.up(length).await).await?;
            tokio::join!(second.0.close(CloseCode::Done), third.0.close(CloseCode::Done));
            Some(PathFigures { trips, remote, up, down })
        }
    };
    first.0.close(CloseCode::Done).await;
    Ok(PathReport { peer, addr, enrolled, handshake, local, figures })
}

/// The result of a few echoes.
#[derive(Debug, Clone)]
pub struct PingReport {
    /// The server's name for itself, escaped for display.
    pub peer: String,
    /// The address that answered.
    pub addr: SocketAddr,
    /// Whether this connection used an invite to enrol this client.
    pub enrolled: bool,
    /// From the first packet to a connection that stands.
    pub handshake: Duration,
    /// Round trips, in the order of their measurement; none when the server is too old to be measured.
    pub trips: Vec<Duration>,
}

/// Measures `count` round trips, at most [`PINGS`].
pub(super) async fn ping_only(client: &Client, contact: Contact, count: usize) -> Result<PingReport, Error> {
    let (mut open, mut events) = ProbeConnection::new(client, &contact).await?;
    let echoes = open.measure(async |open| open.echoes(count.min(PINGS)).await).await?;
    let (addr, peer, enrolled) = welcome(&mut events)?;
    let handshake = open.0.handshake;
    open.0.close(CloseCode::Done).await;
    let trips = echoes.map(|(trips, _)| trips).unwrap_or_default();
    Ok(PingReport { peer, addr, enrolled, handshake, trips })
}

/// The server that has answered: an answer was read, so the server's welcome came before it.
fn welcome(events: &mut mpsc::UnboundedReceiver<Event>) -> Result<(SocketAddr, String, bool), Error> {
    let mut told = std::iter::from_fn(|| events.try_recv().ok());
    match told.find(|event| matches!(event, Event::Connected { .. })) {
        Some(Event::Connected { addr, peer, enrolled }) => Ok((addr, peer, enrolled)),
        _ => Err(Error::Session(SessionError::Internal("a probe without a welcome"))),
    }
}

/// A connection for one measurement.
struct ProbeConnection(ServerConnection);

impl ProbeConnection {
    async fn new(client: &Client, contact: &Contact) -> Result<(Self, mpsc::UnboundedReceiver<Event>), Error> {
        let (observer, events) = Observer::new();
        Ok((Self(ServerConnection::open(client, contact, &observer).await?), events))
    }

    /// Runs a measurement; what ends it early is explained by how the connection ended.
    async fn measure<T>(&mut self, run: impl AsyncFnOnce(&mut Self) -> Result<T, SessionError>) -> Result<T, Error> {
        let outcome = run(self).await;
        outcome.map_err(|error| self.0.explain(error))
    }

    /// Round trips and the server's buffers; `None` when the server cannot be measured.
    async fn echoes(&mut self, count: usize) -> Result<Option<(Vec<Duration>, Granted)>, SessionError> {
        let link = &mut self.0;
        if link.replies.features().await? & features::PROBE == 0 {
            return Ok(None);
        }
        let Ok(ready) = ask(link, ProbeKind::Echo, PINGS_TIME).await? else {
            return Err(SessionError::Order("an echo was refused"));
        };
        let trips = ping(&link.connection, count, PINGS_TIME).await?;
        done(link).await?;
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Some((trips, Granted { receive: size(ready.udp_receive), send: size(ready.udp_send) })))
    }

    async fn down(&mut self, length: Duration) -> Result<Result<DirectionProbe, Failure>, SessionError> {
        let link = &mut self.0;
        let ready = match ask(link, ProbeKind::Down, length).await? {
            Ok(ready) => ready,
            Err(failure) => return Ok(Err(failure)),
        };
        let busy = Busy::of_this_process();
        let counts = down(&link.connection, granted_time(&ready)).await?;
        let local_cpu = busy.share();
        let ProbeDone { link: after, cpu_permille } = done(link).await?;
        Ok(Ok(leg(counts, ready.link, after, local_cpu, cpu_permille)))
    }

    async fn up(&mut self, length: Duration) -> Result<Result<DirectionProbe, Failure>, SessionError> {
        let link = &mut self.0;
        let ready = match ask(link, ProbeKind::Up, length).await? {
            Ok(ready) => ready,
            Err(failure) => return Ok(Err(failure)),
        };
        let (busy, before) = (Busy::of_this_process(), link_report(&link.connection));
        let counts = up(&link.connection, granted_time(&ready)).await?;
        let (local_cpu, after) = (busy.share(), link_report(&link.connection));
        let ProbeDone { cpu_permille, .. } = done(link).await?;
        Ok(Ok(leg(counts, before, after, local_cpu, cpu_permille)))
    }
}

fn leg(counts: Vec<Count>, before: LinkReport, after: LinkReport, local_cpu: f64, cpu_permille: u16) -> DirectionProbe {
    DirectionProbe {
        counts,
        packets_sent: after.packets_sent.saturating_sub(before.packets_sent),
        packets_lost: after.packets_lost.saturating_sub(before.packets_lost),
        rtt: Duration::from_micros(after.rtt_us),
        window: after.window,
        mtu: after.mtu,
        local_cpu,
        remote_cpu: f64::from(cpu_permille) / 1000.0,
    }
}

fn granted_time(ready: &ProbeReady) -> Duration {
    Duration::from_millis(ready.millis.into())
}

/// Asks for a probe; the inner error is the server's refusal.
async fn ask(
    link: &mut ServerConnection,
    kind: ProbeKind,
    length: Duration,
) -> Result<Result<ProbeReady, Failure>, SessionError> {
    let millis = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
    link.control.send(Message::Probe(Probe { kind, millis }));
    match link.replies.answer(ANSWER_DEADLINE, "answer the probe").await? {
        QueryAnswer::Message(ServerMessage::ProbeReady(ready)) => Ok(Ok(ready)),
        QueryAnswer::Problem(problem) => Ok(Err(problem.failure)),
        QueryAnswer::Message(
            ServerMessage::ProbeDone(_)
            | ServerMessage::MoreNames
            | ServerMessage::Entries(_)
            | ServerMessage::PartsFound(_),
        ) => Err(SessionError::Order("anything but the answer to a probe")),
    }
}

async fn done(link: &mut ServerConnection) -> Result<ProbeDone, SessionError> {
    match link.replies.answer(ANSWER_DEADLINE, "answer the probe").await? {
        QueryAnswer::Message(ServerMessage::ProbeDone(done)) => Ok(done),
        QueryAnswer::Problem(_)
        | QueryAnswer::Message(
            ServerMessage::ProbeReady(_)
            | ServerMessage::MoreNames
            | ServerMessage::Entries(_)
            | ServerMessage::PartsFound(_),
        ) => Err(SessionError::Order("anything but the end of a probe")),
    }
}
