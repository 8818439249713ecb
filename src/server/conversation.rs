//! One client's conversation: its jobs, until either side has enough. The two kinds of job are `push` and `get`.

mod get;
mod jobs;
mod push;
mod queries;
mod served_place;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use self::queries::Queries;
use self::served_place::ServedPlace;
use super::find::{GetSelection, NamesSender, problem};
use super::greeting::AdmittedClient;
use super::live_connection::LiveConnection;
use super::meter::{ConnectionEnd, Limit, LinkMark};
use super::places::{ClientActivity, PlaceGuard};
use super::totals::ConnectionTotals;
use super::{Peer, ServerInner};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{ClientMessage, Message, Probe, ProbeKind};
use crate::session::budget::HELD_FOR_MAX;
use crate::session::location::Teller;
use crate::session::peer_streams::PeerStreams;
use crate::session::roles::{Roles, Routed};
use crate::session::sender::Sender;
use crate::session::unread::UnreadGuard;
use crate::session::watch::{OwnActivity, Watch};
use crate::session::window::ReceiveWindow;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::storage::{Committer, Lost, OpenQueue};

/// How often an end that waits for room for more offers looks for it.
const HELD_LOOK: Duration = Duration::from_millis(20);

/// One client's conversation: jobs one after the other in each direction, both directions at once.
pub(super) struct Conversation {
    client: AdmittedClient,
    shared: Arc<ServerInner>,
    live: Arc<LiveConnection>,
    place: PlaceGuard,
    /// Closed with the conversation, so that what waits for the disk ends with it.
    disk: OpenQueue,
    committer: Committer,
    /// As the operator knows it.
    peer: Arc<Peer>,
    roles: Roles,
    receiving: JoinSet<SessionError>,
    sending: JoinSet<Result<(), SessionError>>,
    /// Streams of which nobody knows yet what they are for, and since when there are some.
    streams: PeerStreams,
    early_since: Option<Instant>,
    /// As long as something is not read that the conversation should read.
    unread: Option<UnreadGuard>,
    /// Where the names of the list go that is being sent.
    names: Option<NamesSender>,
    /// Where the client's word goes on where the files go that it gets.
    location: Option<Teller>,
    queries: Queries,
    /// The watch on the client's other connections.
    stale: JoinSet<()>,
    /// When its link was looked at last, while it moved files.
    link: Option<LinkMark>,
    /// The bytes that the client may have in flight, from its first push on.
    window: Option<Arc<ReceiveWindow>>,
    pub(super) totals: ConnectionTotals,
}

impl Conversation {
    /// A conversation that has not begun.
    pub(super) fn new(
        client: AdmittedClient,
        shared: Arc<ServerInner>,
        live: Arc<LiveConnection>,
        peer: Arc<Peer>,
        place: PlaceGuard,
    ) -> Self {
        let streams = PeerStreams::new(client.connection.clone(), client.unread.clone());
        // All connections of one key have one share of the disk.
        let party = u64::from_be_bytes(std::array::from_fn(|at| live.peer.0[at]));
        Self {
            client,
            disk: shared.disk.open_queue_of(party),
            committer: shared.committer.for_client(party),
            shared,
            live,
            peer,
            place,
            roles: Roles::default(),
            receiving: JoinSet::new(),
            sending: JoinSet::new(),
            streams,
            early_since: None,
            unread: None,
            names: None,
            location: None,
            queries: Queries::default(),
            stale: JoinSet::new(),
            link: None,
            window: None,
            totals: ConnectionTotals::default(),
        }
    }

    /// Runs to the end of the connection and says why it ended.
    pub(super) async fn run(&mut self) -> SessionError {
        let error = match self.converse().await {
            Err(error) => error,
            // The client has said all; it ends the connection when it has heard all.
            Ok(()) => match timeout(ATTENTION_DEADLINE, self.client.connection.closed()).await {
                Ok(reason) => reason.into(),
                Err(_) => SessionError::Timeout("end the connection"),
            },
        };
        debug!(%error, "session over");
        // The reason that the peer gave, if it was the peer who ended it, says more than a stream's error.
        let error = self.client.connection.close_reason().map_or(error, SessionError::from);
        let ending = ConnectionEnd::of(&error);
        for job in self.live.end() {
            if ending == ConnectionEnd::Closed(CloseCode::Done) {
                let place = ServedPlace { root: self.client.root().cloned(), to: None, is_rehearsal: false };
                job.hear_close(self.shared.meter.moved(job.direction()), |name| place.path(name));
            }
            self.totals.add(&job);
            self.write_down(&job, Some(ending));
        }
        error
    }

    async fn converse(&mut self) -> Result<(), SessionError> {
        let mut drain = self.shared.drain.subscribe();
        let mut draining = false;
        let mut watch = Watch::new();
        let (connection, control) = (self.client.connection.clone(), self.client.control.clone());
        let disk = self.disk.queue();
        let mut held_since = None;
        loop {
            // What is settled meanwhile makes room. Not for long: what settles the rest may be behind the next offer. So the
            // client is then asked to finish what is begun, and to come again with the rest.
            let takes_offers = draining || self.has_room_for_an_offer();
            held_since = if takes_offers { None } else { held_since.or_else(|| Some(Instant::now())) };
            if held_since.is_some_and(|since| since.elapsed() > HELD_FOR_MAX) {
                draining = true;
                self.shared.meter.limits.count(Limit::Offers);
                self.drain();
                continue;
            }
            // Digests that wait for ours need no message to go on: for them there is no such end of patience.
            let hears = takes_offers && self.has_room_for_digests();
            let reads_all = hears && self.early_since.is_none();
            self.look_at_unread(reads_all)?;
            let waits_for_streams = self.receiving.is_empty() && !self.queries.is_probing();
            tokio::select! {
                () = tokio::time::sleep(HELD_LOOK), if !reads_all => {}
                opened = self.streams.await_early(), if waits_for_streams => {
                    opened?;
                    self.early_since.get_or_insert_with(Instant::now);
                }
                message = self.client.reader.next(), if hears => match message? {
                    Some(message) => self.on_message(message)?,
                    None => return Ok(()),
                },
                Some(ended) = self.receiving.join_next() => return Err(ended.unwrap_or_else(SessionError::from)),
                Some(ended) = self.sending.join_next() => {
                    ended??;
                    self.roles.sender = None;
                }
                error = connection.closed() => return Err(error.into()),
                () = disk.lost() => return Err(Lost.into()),
                answered = self.queries.answered() => answered?,
                () = watch.next_look(&connection, &control) => {
                    self.look_around(Instant::now())?;
                    let turn = OwnActivity { is_ours: self.is_busy(), moves_files: self.moves_files() };
                    watch.look(&connection, &control, turn)?;
                }
                _ = drain.wait_for(Option::is_some), if !draining => {
                    draining = true;
                    self.drain();
                }
            }
        }
    }

    /// Notes what goes on, once a second.
    fn look_around(&mut self, now: Instant) -> Result<(), SessionError> {
        self.live.mark(now);
        self.look_at_link(now);
        self.live.ended_jobs(now).iter().for_each(|job| self.write_down(job, None));
        self.place.note(self.work(), self.client.connection.stats().udp_rx.datagrams, now);
        if let Some(known) = &mut self.client.known {
            known.is_at(self.client.connection.remote_address());
        }
        if self.early_since.is_some_and(|since| now.duration_since(since) > ATTENTION_DEADLINE) {
            return Err(SessionError::Timeout("say what its streams are for"));
        }
        match &self.roles.receiver {
            Some((receiver, _)) if receiver.is_left_begun(now) => {
                self.shared.meter.limits.count(Limit::Begun);
                Err(SessionError::Timeout("go on with what it began"))
            }
            _ => Ok(()),
        }
    }

    /// Looks at what the client sends while not everything is read.
    fn look_at_unread(&mut self, reads_all: bool) -> Result<(), SessionError> {
        if reads_all {
            self.unread = None;
            return Ok(());
        }
        let looked = self.unread.get_or_insert_with(|| self.client.unread.begin()).look();
        looked.inspect_err(|_| self.shared.meter.limits.count(Limit::Unread))
    }

    /// The streams that are there, and those that come, for whoever knows what they are for.
    fn take_streams(&mut self) -> PeerStreams {
        self.early_since = None;
        let AdmittedClient { connection, unread, .. } = &self.client;
        std::mem::replace(&mut self.streams, PeerStreams::new(connection.clone(), unread.clone()))
    }

    /// Counts what the link is like, from the second second of a job on.
    fn look_at_link(&mut self, now: Instant) {
        let connection = &self.client.connection;
        let mark = self.live.is_running().then(|| LinkMark::new(connection, now));
        if let (Some(before), Some(_)) = (self.link, mark) {
            self.shared.meter.links.count(before, connection, now);
        }
        self.link = mark;
    }

    fn has_room_for_an_offer(&self) -> bool {
        self.roles.receiver.as_ref().is_none_or(|(receiver, _)| receiver.has_room_for_an_offer())
    }

    fn has_room_for_digests(&self) -> bool {
        self.roles.sender.as_ref().is_none_or(Sender::has_room_for_digests)
    }

    /// The client's activity, by which it keeps its place.
    fn work(&self) -> ClientActivity {
        let runs = self.live.is_running() || !self.queries.are_none();
        ClientActivity { runs, is_ours: self.is_busy(), moved: self.live.moved() }
    }

    /// Whether its place has gone to another client.
    pub(super) fn has_lost_its_place(&self) -> bool {
        self.place.is_lost()
    }

    /// Whether this end owes the client the next step.
    fn is_busy(&self) -> bool {
        self.queries.is_busy(&self.client) || self.roles.is_busy()
    }

    /// Whether files are sent or received now.
    fn moves_files(&self) -> bool {
        let receives = self.roles.receiver.as_ref().is_some_and(|(receiver, _)| !receiver.is_finished());
        receives || self.roles.sender.is_some()
    }

    /// Tells the client that this server is ending. The client finishes what is in flight and leaves.
    fn drain(&self) {
        // A client that has been offered all its files only waits for their content: it misses nothing by staying, and
        // a new connection would gain it nothing.
        let sends_all = self.roles.sender.as_ref().is_some_and(Sender::has_offered_all);
        let receives = self.roles.receiver.as_ref().is_some_and(|(receiver, _)| !receiver.is_finished());
        if receives || !sends_all {
            self.client.control.send(Message::GoAway);
        }
        if let Some(sender) = &self.roles.sender {
            sender.stop_offering();
        }
        if let Some((receiver, _)) = &self.roles.receiver {
            receiver.refuse_new();
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), SessionError> {
        match self.roles.route(message)? {
            Routed::Taken | Routed::GoAway => Ok(()),
            Routed::Request(request) => self.on_request(request),
            Routed::Location(location) => self.on_location(location),
            Routed::Answer(_) => Err(SessionError::Order("a message that only a server sends")),
        }
    }

    fn on_request(&mut self, request: ClientMessage) -> Result<(), SessionError> {
        match request {
            ClientMessage::Push(push) => self.on_push(push),
            ClientMessage::Get(get) => self.on_get(get.into()),
            ClientMessage::Select(select) => {
                let (wanted, names) = GetSelection::of(select, &self.client.control);
                self.on_get(wanted)?;
                self.names = names;
                Ok(())
            }
            ClientMessage::Names(names) => self.on_names(names),
            ClientMessage::List(wanted) => self.queries.on_list(&self.client, wanted),
            ClientMessage::Parts(asked) => self.queries.on_parts(&self.client, asked),
            ClientMessage::Probe(asked) => self.on_probe(asked),
        }
    }

    fn hears_locations(&self) -> bool {
        self.client.features() & features::LOCATION != 0
    }

    fn on_probe(&mut self, asked: Probe) -> Result<(), SessionError> {
        let receiving = self.roles.receiver.as_ref().is_some_and(|(receiver, _)| !receiver.is_finished());
        // Each of them would take the other's streams.
        if !self.queries.may_probe()? || receiving || self.roles.sender.is_some() {
            return Err(SessionError::Order("a probe while something else is running"));
        }
        // A client that may not send or get files may not measure that direction with empty content either.
        if let Err(failure) = match asked.kind {
            ProbeKind::Echo => Ok(()),
            ProbeKind::Up => self.client.grant.may_send(),
            ProbeKind::Down => self.client.grant.may_read(),
        } {
            self.client.control.send(problem(Vec::new(), failure));
            return Ok(());
        }
        drop(self.window());
        // A receiver that has finished its job still waits for streams.
        self.receiving = JoinSet::new();
        let streams = self.take_streams();
        self.queries.probe(&self.client, streams, asked);
        Ok(())
    }
}
