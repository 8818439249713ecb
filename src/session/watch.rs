//! The watch on a connection: on a path that carries nothing, and on a peer that is there and says nothing.
//!
//! QUIC's probe timer doubles its period with every probe that is lost, so a path that was away for twenty seconds is
//! asked again only ten seconds after it came back. Here it is asked every second; a packet of a thousand bytes is
//! nothing to any path that carries files. quinn holds acknowledgements back behind content that may not leave, so an end
//! whose window is full of what was lost asks too. From a changed address the question is also what tells the peer of it,
//! which a receiver would not do: it sends little but acknowledgements, and there is nothing to acknowledge.

use std::time::Duration;

use quinn::{Connection, ConnectionError};
use tokio::sync::watch::Sender;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::SessionError;
use super::control::Control;
use super::link::link_report;
use super::pause::{Clocks, Pause};
use super::silence::{BEAT, HeardOfUs, LOOK_INTERVAL, NewSilence, PacketCounts, PathLook, PathSilence, PeerSilence};
use crate::progress::{Counters, Event, Observer, SilenceCause};
use crate::protocol::message::Message;
use crate::transport::{self, RouteChanges};

/// For the client: returns when the peer has been silent for too long, asks a silent path meanwhile, and tells `observer`
/// of it. `is_ours` tells whether it is this end's turn, as sender or receiver of files. `silent` is told when the connection
/// may be dead, by the number of packets that it has received, and when it is heard again.
pub(crate) async fn until_silent(
    connection: &Connection,
    control: &Control,
    observer: &Observer,
    is_ours: impl Fn() -> bool,
    silent: &Sender<Option<u64>>,
) -> SessionError {
    let (mut watch, mut changes) = (Watch::new(), RouteChanges::listen());
    let (mut new_silence, mut beats) = (NewSilence::default(), interval(BEAT));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        tokio::select! {
            _ = beats.tick() => {
                let stats = connection.stats();
                if new_silence.tick(stats.udp_rx.datagrams, stats.path.rtt) {
                    ask(connection, control);
                }
            }
            () = watch.next_look(connection, control) => {
                let timing = OwnActivity { is_ours: is_ours(), moves_files: true };
                match watch.look(connection, control, timing) {
                    Ok(look) => {
                        tell(observer, look, &mut told);
                        silent.send_replace(look.silent_since);
                    }
                    Err(error) => return error,
                }
            }
            // After a change of routes everything in flight is lost for certain, and the peer may not know the new
            // path.
            () = changes.next() => {
                watch.path.on_change();
                ask(connection, control);
            }
        }
    }
}

/// Tells of a silence, once or when its cause becomes another, and of its end.
fn tell(observer: &Observer, look: PathLook, told: &mut Option<(Duration, SilenceCause)>) {
    if look.flows {
        Counters::add(&observer.counters().flows, 1);
    }
    if let Some((lasted, cause)) = look.silence {
        if told.is_none_or(|(_, before)| before != cause) {
            observer.event(Event::Silent { lasted, cause });
        }
        *told = Some((lasted, cause));
    } else if let Some((after, _)) = told.take() {
        observer.event(Event::Answered { after });
    }
}

/// Lets a packet leave that the peer answers, if it is not gone: a report on the link, which any peer takes that sends or
/// receives files. What waits in front of it goes in the same packet.
pub(crate) fn ask(connection: &Connection, control: &Control) {
    transport::admit_probe(connection);
    // Reports that wait behind a full stream are no probes; what is at the front of the queue is.
    if control.has_room() {
        show_life(connection, control);
    }
}

/// Lets a peer that sends or receives files hear that this end is at work. No other peer expects it.
fn show_life(connection: &Connection, control: &Control) {
    control.send(Message::Link(link_report(connection)));
}

/// The activity of this end at a look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnActivity {
    /// It owes the peer the next step.
    pub(crate) is_ours: bool,
    /// It sends or receives files, so that the peer takes reports on the link.
    pub(crate) moves_files: bool,
}

/// The same, look by look, for a loop that does other things between them.
pub(crate) struct Watch {
    looks: Interval,
    beats: Interval,
    /// As at the last look.
    moves_files: bool,
    clocks: Clocks,
    path: PathSilence,
    peer: PeerSilence,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let [looks, beats] = [LOOK_INTERVAL, BEAT].map(|period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let (path, peer) = (PathSilence::default(), PeerSilence::default());
        Self { looks, beats, moves_files: false, clocks: Clocks::new(), path, peer }
    }

    /// Resolves when it is time to look. Safe to cancel. Where something comes over a silent path meanwhile, the peer hears at
    /// once that it has: behind a window that is full of what was lost not even an acknowledgement would leave.
    pub(crate) async fn next_look(&mut self, connection: &Connection, control: &Control) {
        loop {
            tokio::select! {
                _ = self.looks.tick() => return,
                _ = self.beats.tick(), if self.moves_files && self.path.awaits_answer() => {
                    if self.path.is_heard_again(connection.stats().udp_rx.datagrams) {
                        ask(connection, control);
                    }
                }
            }
        }
    }

    /// Looks, and asks a silent path whether it is back.
    ///
    /// # Errors
    /// The peer has been silent for too long, or has given up this end, which was asleep.
    pub(crate) fn look(
        &mut self,
        connection: &Connection,
        control: &Control,
        timing: OwnActivity,
    ) -> Result<PathLook, SessionError> {
        self.moves_files = timing.moves_files;
        let stats = connection.stats();
        let traffic = PacketCounts {
            received: stats.udp_rx.datagrams,
            sent: stats.udp_tx.datagrams,
            frames_received: stats.frame_rx.stream,
            frames_sent: stats.frame_tx.stream,
        };
        let has_route = || transport::find_route(connection.remote_address()).is_ok();
        let pause = self.clocks.look(LOOK_INTERVAL);
        if pause == Pause::Short {
            self.path.on_change();
        }
        let path = self.path.look(traffic, stats.path.rtt, has_route);
        let own = self.peer.look(traffic, timing.is_ours).ok_or(SessionError::Timeout("say anything"))?;
        if pause == Pause::Long {
            return Err(ConnectionError::TimedOut.into());
        }
        if timing.moves_files && (path.is_to_be_asked || pause == Pause::Short) {
            ask(connection, control);
        } else if timing.moves_files && timing.is_ours && own == HeardOfUs::Silent {
            show_life(connection, control);
        }
        Ok(path)
    }
}
