//! The probe of a path: bytes without a meaning, counted and timed. No file and no disk is touched.
//!
//! Both ends are here, so that one page shows the whole conversation; [`protocol`](crate::protocol) specifies it.

use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ReadError, RecvStream, SendStream};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::control::Control;
use super::link::link_report;
use super::peer_streams::PeerStreams;
use super::processor::Busy;
use super::{ATTENTION_DEADLINE, SessionError};
use crate::protocol::close::CloseCode;
use crate::protocol::message::{Message, Probe, ProbeDone, ProbeKind, ProbeReady};
use crate::protocol::{PROBE_BYTES_MAX, PROBE_ECHO_BYTES_MAX, PROBE_MILLIS_MAX};
use crate::transport::Granted;

/// Bytes handed to QUIC at a time.
const PIECE: &[u8] = &[b'q'; 256 * 1024];
/// Time between two counts.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of one report: two numbers.
const REPORT_BYTES: usize = 16;
/// Bytes of one round trip of an echo.
const PING_BYTES: usize = 8;

/// How much had arrived when, from the first byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Since the first byte.
    pub at: Duration,
    /// Bytes that had arrived by then.
    pub bytes: u64,
}

impl Count {
    fn to_bytes(self) -> [u8; REPORT_BYTES] {
        let mut raw = [0; REPORT_BYTES];
        raw[..8].copy_from_slice(&(self.at.as_micros() as u64).to_le_bytes());
        raw[8..].copy_from_slice(&self.bytes.to_le_bytes());
        raw
    }

    fn from_bytes(raw: [u8; REPORT_BYTES]) -> Self {
        let number = |at: usize| u64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes"));
        Self { at: Duration::from_micros(number(0)), bytes: number(8) }
    }
}

/// Serves one probe. What becomes of it is between the streams; only the end of the connection ends it early.
pub(crate) async fn serve(
    connection: Connection,
    streams: PeerStreams,
    control: Control,
    granted: Granted,
    asked: Probe,
) {
    let millis = asked.millis.min(PROBE_MILLIS_MAX);
    control.send(Message::ProbeReady(ProbeReady {
        millis,
        udp_receive: granted.receive as u64,
        udp_send: granted.send as u64,
        link: link_report(&connection),
    }));
    let busy = Busy::of_this_thread();
    let length = Duration::from_millis(millis.into());
    // A peer that does not play its part gets the end of the probe, and that is all it gets.
    let _ = timeout(length + ATTENTION_DEADLINE, answer(streams, asked.kind, length)).await;
    let cpu_permille = (busy.share() * 1000.0) as u16;
    control.send(Message::ProbeDone(ProbeDone { link: link_report(&connection), cpu_permille }));
}

async fn answer(mut streams: PeerStreams, kind: ProbeKind, length: Duration) -> Result<(), ProbeBroken> {
    let (mut send, mut recv) = streams.next().await?;
    let mut first = [0];
    recv.read_exact(&mut first).await.map_err(|_| ProbeBroken)?;
    match kind {
        ProbeKind::Echo => echo(&mut send, &mut recv).await,
        ProbeKind::Up => {
            let taken = take(recv, length, Some(&mut send)).await;
            let _ = send.finish();
            taken.map(drop)
        }
        ProbeKind::Down => give(send, length).await,
    }
}

/// A probe's stream that ended before its time, whatever the reason.
#[derive(Debug, thiserror::Error)]
#[error("the probe's stream broke")]
struct ProbeBroken;

impl From<quinn::ConnectionError> for ProbeBroken {
    fn from(_: quinn::ConnectionError) -> Self {
        Self
    }
}

/// Returns what comes, up to the limit.
async fn echo(send: &mut SendStream, recv: &mut RecvStream) -> Result<(), ProbeBroken> {
    let mut left = PROBE_ECHO_BYTES_MAX;
    let mut buffer = [0; 1024];
    while left > 0 {
        let room = left.min(buffer.len());
        let Some(count) = recv.read(&mut buffer[..room]).await.map_err(|_| ProbeBroken)? else { break };
        send.write_all(&buffer[..count]).await.map_err(|_| ProbeBroken)?;
        left -= count;
    }
    let _ = send.finish();
    Ok(())
}

/// Sends for `length`, or until the limit, and then drops what has not left.
async fn give(mut send: SendStream, length: Duration) -> Result<(), ProbeBroken> {
    let end = Instant::now() + length;
    let fill = async {
        let mut left = PROBE_BYTES_MAX;
        while left > 0 {
            let piece = Bytes::from_static(&PIECE[..PIECE.len().min(usize::try_from(left).unwrap_or(usize::MAX))]);
            left -= piece.len() as u64;
            send.write_chunk(piece).await.map_err(|_| ProbeBroken)?;
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = fill => outcome,
        () = sleep_until(end) => Ok(()),
    };
    let _ = send.reset(CloseCode::Done.code().into());
    outcome
}

/// Counts what arrives, in any order, until the sender ends it, the time is long over, or the limit is reached. The
/// counts, the last one included, go to `reports` too.
async fn take(
    mut recv: RecvStream,
    length: Duration,
    mut reports: Option<&mut SendStream>,
) -> Result<Vec<Count>, ProbeBroken> {
    let (mut bytes, mut began, mut counts) = (0_u64, None, Vec::new());
    let mut ticks = interval(COUNT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One that goes on regardless is stopped: dropping the stream does that.
    let end = Instant::now() + length + ATTENTION_DEADLINE;
    let mut is_over = false;
    while !is_over {
        consume_budget().await;
        tokio::select! {
            chunk = recv.read_chunk(usize::MAX, false) => match chunk {
                Ok(Some(chunk)) => {
                    began.get_or_insert_with(Instant::now);
                    bytes += chunk.bytes.len() as u64;
                    is_over = bytes >= PROBE_BYTES_MAX;
                    if !is_over {
                        continue;
                    }
                }
                Ok(None) | Err(ReadError::Reset(_)) => is_over = true,
                Err(_) => return Err(ProbeBroken),
            },
            _ = ticks.tick() => {}
            () = sleep_until(end) => is_over = true,
        }
        let Some(began) = began else { continue };
        let count = Count { at: began.elapsed(), bytes };
        counts.push(count);
        if let Some(reports) = &mut reports {
            reports.write_all(&count.to_bytes()).await.map_err(|_| ProbeBroken)?;
        }
    }
    Ok(counts)
}

/// The client's part of an echo: `count` round trips, one after the other, as many as fit into `length`.
///
/// # Errors
/// The connection or the stream ended.
pub(crate) async fn ping(
    connection: &Connection,
    count: usize,
    length: Duration,
) -> Result<Vec<Duration>, SessionError> {
    let (mut send, mut recv) = open(connection).await?;
    let end = Instant::now() + length;
    let mut trips = Vec::new();
    let mut back = [0; PING_BYTES];
    for number in 0..count.min(PROBE_ECHO_BYTES_MAX / PING_BYTES) as u64 {
        let sent = Instant::now();
        let trip = async {
            send.write_all(&number.to_le_bytes()).await.map_err(|_| BROKEN)?;
            recv.read_exact(&mut back).await.map_err(|_| BROKEN)
        };
        tokio::select! {
            outcome = trip => outcome?,
            () = sleep_until(end) => break,
        }
        trips.push(sent.elapsed());
    }
    let _ = send.finish();
    Ok(trips)
}

/// The client's part of the way up: what the server says has arrived, and when.
///
/// # Errors
/// The connection or the stream ended before its time.
pub(crate) async fn up(connection: &Connection, length: Duration) -> Result<Vec<Count>, SessionError> {
    let (send, mut recv) = open(connection).await?;
    let mut counts = Vec::new();
    let reports = async {
        let mut report = [0; REPORT_BYTES];
        while recv.read_exact(&mut report).await.is_ok() {
            counts.push(Count::from_bytes(report));
        }
    };
    let both = async { tokio::join!(give(send, length), reports) };
    let (given, ()) = timeout(length + ATTENTION_DEADLINE, both).await.map_err(|_| SessionError::Timeout("report"))?;
    given.map_err(|_| explain(connection))?;
    Ok(counts)
}

/// The client's part of the way down: what arrives here, and when.
///
/// # Errors
/// As [`up`].
pub(crate) async fn down(connection: &Connection, length: Duration) -> Result<Vec<Count>, SessionError> {
    let (mut send, recv) = open(connection).await?;
    let _ = send.finish();
    take(recv, length, None).await.map_err(|_| explain(connection))
}

const BROKEN: SessionError = SessionError::Order("the probe's stream ended before its time");

/// A connection that ended explains a stream that broke.
fn explain(connection: &Connection) -> SessionError {
    connection.close_reason().map_or(BROKEN, SessionError::from)
}

async fn open(connection: &Connection) -> Result<(SendStream, RecvStream), SessionError> {
    let opened = timeout(ATTENTION_DEADLINE, connection.open_bi()).await;
    let (mut send, recv) = opened.map_err(|_| SessionError::Timeout("allow a stream"))??;
    // A stream that carries nothing is not seen on the other side.
    send.write_all(&PIECE[..1]).await.map_err(|_| explain(connection))?;
    Ok((send, recv))
}
