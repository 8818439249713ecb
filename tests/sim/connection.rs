//! Both ends of one connection.

use tokio::sync::mpsc::UnboundedReceiver;

use super::network::Streams;
use super::process::ReceivingProcess;
use super::receiving::Receiving;
use super::scheduler::Scheduler;
use super::sending::Sending;
use super::setup::Client;
use crate::progress::Event;
use crate::protocol::message::Message;

/// Commits of one group, at most.
pub(super) const GROUP_MAX: usize = 4;

pub(super) struct Connection {
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    streams: Streams,
    /// What the server tells of, who knows only this connection.
    pub(super) server_events: UnboundedReceiver<Event>,
    /// An end is about to stop.
    is_draining: bool,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Over,
    /// The rest is for the next one.
    Again,
    /// The client is not there any more.
    Gone,
}

impl Connection {
    pub(super) fn new(sending: Sending, receiving: Receiving, server_events: UnboundedReceiver<Event>) -> Self {
        Self { sending, receiving, streams: Streams::default(), server_events, is_draining: false }
    }

    /// The server is about to stop.
    pub(super) fn drain(&mut self, client: Client) {
        self.is_draining = true;
        match client {
            Client::Sends => {
                self.receiving.receiver().refuse_new();
                self.receiving.say(Message::GoAway);
            }
            Client::Receives => {
                self.sending.says.push_back(Message::GoAway);
                self.sending.stop();
            }
        }
    }

    /// How it ended, if the client calls it over.
    pub(super) fn end(&self, client: Client) -> Option<End> {
        let (is_over, is_left) = match client {
            Client::Sends => (self.sending.is_over, self.sending.ledger.has_left_out()),
            Client::Receives => (self.receiving.is_finished(), true),
        };
        is_over.then_some(if self.is_draining && is_left { End::Again } else { End::Over })
    }

    /// One step of either end, of the network, or of the process that receives; `false`: there is none to take.
    pub(super) fn step(&mut self, process: &ReceivingProcess, scheduler: &mut Scheduler) -> Result<bool, String> {
        let Self { sending, receiving, streams, .. } = self;
        streams.take_back();
        let readable = receiving.readable(streams);
        let has_room = receiving.receiver().has_room_for_an_offer();
        let counts = [
            sending.steps(),
            receiving.steps(),
            usize::from(!sending.says.is_empty() && has_room),
            usize::from(receiving.has_said()),
            readable.len(),
            usize::from(process.committer.has_work()),
            process.ghost_steps(),
        ];
        let Some(kind) = scheduler.pick_kind(&counts) else { return Ok(false) };
        let fault = scheduler.fault;
        let lies = |error: &dyn std::fmt::Display| format!("an honest end is called a liar: {error}");
        match kind {
            0 => sending.step(&mut scheduler.random, streams, fault),
            1 => receiving.step(&mut scheduler.random, fault),
            2 => {
                if let Some(message) = scheduler.next_message("receiver", &mut sending.says) {
                    receiving.hear(message).map_err(|error| lies(&error))?;
                }
            }
            3 => match receiving.next_said(|says| scheduler.next_message("sender", says)) {
                Some(Message::GoAway) => sending.stop(),
                Some(message) => sending.hear(message).map_err(|error| lies(&error))?,
                None => {}
            },
            4 => {
                let number = readable[scheduler.random.below(readable.len())];
                receiving.read(number, &mut scheduler.random, streams).map_err(|error| lies(&error))?;
            }
            5 => process.committer.step(1 + scheduler.random.below(GROUP_MAX)),
            _ => process.step_ghost(scheduler),
        }
        Ok(true)
    }
}
