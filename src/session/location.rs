//! Where the files of a job go, told by the end that receives to the one that sends: if both are on one machine, the
//! destination is not sent into itself.

use std::cell::OnceCell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use quinn::Connection;
use tracing::debug;

use super::ATTENTION_DEADLINE;
use super::control::Control;
use crate::protocol::message::{Location, Message};
use crate::protocol::path::WirePath;
use crate::storage::{Destination, DiskQueue, Recognise};
use crate::transport::MachineKey;

/// Passes on what the receiver says, once. When it is dropped nobody waits for that any more.
#[derive(Debug)]
pub(crate) struct Teller(SyncSender<Location>);

impl Teller {
    pub(crate) fn tell(self, location: Location) {
        // The walk may be over already.
        let _ = self.0.try_send(location);
    }
}

/// For the end that sends: what recognises the destination among the directories of a walk. The first directory waits for
/// the receiver's word, and not for long; no file does.
pub(crate) fn awaited(connection: &Connection) -> Option<(Teller, Box<Recognise>)> {
    let key = MachineKey::of(connection)?;
    let (teller, told) = sync_channel(1);
    let proof = OnceCell::new();
    let recognise = move |dev, ino, below: &[u8]| {
        let proof: &Option<[u8; 32]> = proof.get_or_init(|| wait(&told));
        proof.is_some_and(|proof| proof == key.sign(dev, ino, below))
    };
    Some((Teller(teller), Box::new(recognise)))
}

fn wait(told: &Receiver<Location>) -> Option<[u8; 32]> {
    told.recv_timeout(ATTENTION_DEADLINE).ok()?.proof
}

/// For the end that receives: says of the directory `to` below its root, which need not exist, what tells whether it is one
/// of the sender's machine.
pub(crate) fn say(
    connection: &Connection,
    control: &Control,
    disk: &DiskQueue,
    root: Destination,
    to: Option<WirePath>,
) {
    let (connection, control, disk) = (connection.clone(), control.clone(), disk.clone());
    let look = move || {
        let Some(key) = MachineKey::of(&connection) else { return Ok(None) };
        let (dev, ino, below) = root.nearest(to.as_ref())?;
        Ok(Some(key.sign(dev, ino, &below)))
    };
    tokio::spawn(async move {
        // Where the connection has ended nobody wants to hear it.
        let Ok(proof) = disk.look(look).await else { return };
        let proof = proof.unwrap_or_else(|error| {
            debug!(%error, "it cannot be told where the files go");
            None
        });
        control.send(Message::Location(Location { proof }));
    });
}
