//! One client's conversation: its jobs, until either side has enough. The two kinds of job are `push` and `get`.
//!
//! | file | holds |
//! |---|---|
//! | `push`, `get` | the two kinds of job |
//! | `jobs`, `served_place` | jobs as others see them; where their files are |
//! | `look` | what is looked at once a second |
//! | `queries` | the questions that are no job |

mod get;
mod jobs;
mod look;
mod push;
mod queries;
mod served_place;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use self::queries::Queries;
use self::served_place::ServedPlace;
use super::find::{GetSelection, NamesSender};
use super::greeting::AdmittedClient;
use super::live_connection::LiveConnection;
use super::meter::{ConnectionEnd, Limit, LinkMark};
use super::places::PlaceGuard;
use super::totals::ConnectionTotals;
use super::{Peer, ServerInner};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{ClientMessage, Location, Message, ServerMessage};
use crate::session::budget::HELD_FOR_MAX;
use crate::session::control::ControlReader;
use crate::session::conversation::{ConversationEnd, converse};
use crate::session::location::Teller;
use crate::session::peer_streams::PeerStreams;
use crate::session::receiver::Receiver;
use crate::session::roles::Roles;
use crate::session::sender::Sender;
use crate::session::unread::UnreadGuard;
use crate::session::watch::Watch;
use crate::session::window::ReceiveWindow;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::storage::{Committer, OpenQueue};

/// How often an end that waits for room for more offers looks for it.
const HELD_LOOK: Duration = Duration::from_millis(20);

/// One client's conversation: jobs one after the other in each direction, both directions at once.
pub(super) struct Conversation {
    reader: ControlReader,
    roles: Roles,
    end: ServerEnd,
}

/// The server's end of a conversation: what it does for one client, beside the roles that it plays.
struct ServerEnd {
    client: AdmittedClient,
    shared: Arc<ServerInner>,
    live: Arc<LiveConnection>,
    place: PlaceGuard,
    /// Closed with the conversation, so that what waits for the disk ends with it.
    disk: OpenQueue,
    committer: Committer,
    /// As the operator knows it.
    peer: Arc<Peer>,
    /// Streams of which nobody knows yet what they are for.
    streams: PeerStreams,
    /// No role, and no probe, takes the streams that come now.
    awaits_streams: bool,
    /// As long as something is not read that the conversation should read.
    unread: Option<UnreadGuard>,
    /// Since when there is no room for another offer.
    held_since: Option<Instant>,
    /// Where the names of the list go that is being sent.
    names: Option<NamesSender>,
    /// Where the client's word goes on where the files go that it gets.
    location: Option<Teller>,
    queries: Queries,
    /// The watch on the client's other connections.
    stale: JoinSet<()>,
    watch: Watch,
    /// Tells when this server is ending.
    ending: watch::Receiver<Option<Instant>>,
    /// The client was told so, or is to come again for another reason.
    is_draining: bool,
    /// When its link was looked at last, while it moved files.
    link: Option<LinkMark>,
    /// The bytes that the client may have in flight, from its first push on.
    window: Option<Arc<ReceiveWindow>>,
    totals: ConnectionTotals,
}

/// An event at the server's end.
enum ServerEvent {
    /// Something that needs no more than a new step: a stream has come, a question is answered, a moment has passed.
    Step,
    /// It is time to look around.
    Look,
    /// The server is ending.
    Ending,
}

impl Conversation {
    /// A conversation that has not begun.
    pub(super) fn new(
        (client, reader): (AdmittedClient, ControlReader),
        shared: Arc<ServerInner>,
        live: Arc<LiveConnection>,
        peer: Arc<Peer>,
        place: PlaceGuard,
    ) -> Self {
        let streams = PeerStreams::new(client.connection.clone(), client.unread.clone());
        // All connections of one key have one share of the disk.
        let party = u64::from_be_bytes(std::array::from_fn(|at| live.peer.0[at]));
        let end = ServerEnd {
            client,
            disk: shared.disk.open_queue_of(party),
            committer: shared.committer.for_client(party),
            ending: shared.drain.subscribe(),
            shared,
            live,
            peer,
            place,
            streams,
            awaits_streams: true,
            unread: None,
            held_since: None,
            names: None,
            location: None,
            queries: Queries::default(),
            stale: JoinSet::new(),
            watch: Watch::new(),
            is_draining: false,
            link: None,
            window: None,
            totals: ConnectionTotals::default(),
        };
        Self { reader, roles: Roles::default(), end }
    }

    /// Runs to the end of the connection and says why it ended.
    pub(super) async fn run(&mut self) -> SessionError {
        let Self { reader, roles, end } = self;
        let (connection, disk) = (end.client.connection.clone(), end.disk.queue());
        let error = match converse(&connection, &disk, reader, roles, end).await {
            Err(error) => error,
            // The client has said all; it ends the connection when it has heard all.
            Ok(()) => match timeout(ATTENTION_DEADLINE, connection.closed()).await {
                Ok(reason) => reason.into(),
                Err(_) => SessionError::Timeout("end the connection"),
            },
        };
        debug!(%error, "session over");
        // The reason that the peer gave, if it was the peer who ended it, says more than a stream's error.
        let error = connection.close_reason().map_or(error, SessionError::from);
        end.settle(&error);
        error
    }

    /// Whether its place has gone to another client.
    pub(super) fn has_lost_its_place(&self) -> bool {
        self.end.place.is_lost()
    }

    /// The sums of all its jobs.
    pub(super) fn totals(&self) -> ConnectionTotals {
        self.end.totals
    }
}

impl ConversationEnd for ServerEnd {
    type Event = ServerEvent;

    fn begin_step(&mut self, roles: &Roles) -> Result<bool, SessionError> {
        // Digests that wait for ours need no message to go on: for them there is no end of patience.
        let hears = self.takes_offers(roles) && roles.sender().is_none_or(Sender::has_room_for_digests);
        self.look_at_unread(hears && self.streams.early_since().is_none())?;
        self.awaits_streams = !roles.takes_streams() && !self.queries.is_probing();
        Ok(hears)
    }

    async fn event(&mut self) -> Result<ServerEvent, SessionError> {
        let AdmittedClient { connection, control, .. } = &self.client;
        tokio::select! {
            () = tokio::time::sleep(HELD_LOOK), if self.unread.is_some() => Ok(ServerEvent::Step),
            opened = self.streams.await_early(), if self.awaits_streams => {
                opened?;
                Ok(ServerEvent::Step)
            }
            answered = self.queries.answered() => answered.map(|()| ServerEvent::Step),
            () = self.watch.next_look(connection, control) => Ok(ServerEvent::Look),
            _ = self.ending.wait_for(Option::is_some), if !self.is_draining => Ok(ServerEvent::Ending),
        }
    }

    fn on_event(&mut self, roles: &mut Roles, event: ServerEvent) -> Result<ControlFlow<()>, SessionError> {
        match event {
            ServerEvent::Step => {}
            ServerEvent::Look => self.look_around(roles, Instant::now())?,
            ServerEvent::Ending => self.drain(roles),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_request(&mut self, roles: &mut Roles, request: ClientMessage) -> Result<(), SessionError> {
        match request {
            ClientMessage::Push(push) => self.on_push(roles, push),
            ClientMessage::Get(get) => self.on_get(roles, get.into()),
            ClientMessage::Select(select) => {
                let (wanted, names) = GetSelection::of(select, &self.client.control);
                self.on_get(roles, wanted)?;
                self.names = names;
                Ok(())
            }
            ClientMessage::Names(names) => self.on_names(names),
            ClientMessage::List(wanted) => self.queries.on_list(&self.client, wanted),
            ClientMessage::Parts(asked) => self.queries.on_parts(&self.client, asked),
            ClientMessage::Probe(asked) => self.on_probe(roles, asked),
        }
    }

    fn on_answer(&mut self, _answer: ServerMessage) -> Result<(), SessionError> {
        Err(SessionError::Order("a message that only a server sends"))
    }

    fn on_location(&mut self, told: Location) -> Result<(), SessionError> {
        if !self.hears_locations() {
            return Err(SessionError::Order("a location, which was not agreed on"));
        }
        self.location.take().into_iter().for_each(|teller| teller.tell(told));
        Ok(())
    }
}

impl ServerEnd {
    /// Sums up the jobs of a conversation that is over.
    fn settle(&mut self, error: &SessionError) {
        let ending = ConnectionEnd::of(error);
        for job in self.live.end() {
            if ending == ConnectionEnd::Closed(CloseCode::Done) {
                let place = ServedPlace { root: self.client.root().cloned(), to: None, is_rehearsal: false };
                job.hear_close(self.shared.meter.moved(job.direction()), |name| place.path(name));
            }
            self.totals.add(&job);
            self.write_down(&job, Some(ending));
        }
    }

    /// Whether the client may offer another file. What is settled meanwhile makes room. That is not waited for long: what
    /// settles the rest may be behind the next offer. So the client is then asked to finish what is begun, and to come again
    /// with the rest.
    fn takes_offers(&mut self, roles: &Roles) -> bool {
        if self.is_draining || roles.receiver().is_none_or(Receiver::has_room_for_an_offer) {
            self.held_since = None;
            return true;
        }
        if self.held_since.get_or_insert_with(Instant::now).elapsed() <= HELD_FOR_MAX {
            return false;
        }
        self.shared.meter.limits.count(Limit::Offers);
        self.held_since = None;
        self.drain(roles);
        true
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
        let AdmittedClient { connection, unread, .. } = &self.client;
        std::mem::replace(&mut self.streams, PeerStreams::new(connection.clone(), unread.clone()))
    }

    /// Whether this end owes the client the next step.
    fn is_busy(&self, roles: &Roles) -> bool {
        self.queries.is_busy(&self.client) || roles.is_busy()
    }

    /// Tells the client that this server is ending. The client finishes what is in flight and leaves.
    fn drain(&mut self, roles: &Roles) {
        self.is_draining = true;
        // A client that has been offered all its files only waits for their content: it misses nothing by staying, and
        // a new connection would gain it nothing.
        let sends_all = roles.sender().is_some_and(Sender::has_offered_all);
        if roles.is_receiving() || !sends_all {
            self.client.control.send(Message::GoAway);
        }
        roles.sender().into_iter().for_each(Sender::stop_offering);
        roles.receiver().into_iter().for_each(Receiver::refuse_new);
    }

    fn hears_locations(&self) -> bool {
        self.client.features() & features::LOCATION != 0
    }
}
