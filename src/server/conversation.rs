//! One client's conversation: its jobs, until either side has enough.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::connection::AdmittedClient;
use super::find::{GetSelection, NamesSender, look_for, problem};
use super::job::{JobRole, Moving, ServerJob};
use super::live_connection::LiveConnection;
use super::meter::{ConnectionEnd, Limit, LinkMark};
use super::places::{ClientActivity, PlaceGuard};
use super::status::Direction;
use super::totals::ConnectionTotals;
use super::{Notice, Peer, ServerInner, list, parts};
use crate::progress::{Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{
    ClientMessage, IfExists, List, ListedName, Location, Message, Names, Parts, Probe, ProbeKind, Push,
};
use crate::protocol::path::WirePath;
use crate::session::budget::HELD_FOR_MAX;
use crate::session::local::{FOUND_AHEAD, walk_on_a_thread};
use crate::session::location::{self, Teller};
use crate::session::probe;
use crate::session::receiver::{self, ReceiveOptions, Receiver};
use crate::session::record::Record;
use crate::session::roles::{Roles, Routed, accept_streams};
use crate::session::sender::{self, Sender};
use crate::session::watch::{OwnActivity, Watch};
use crate::session::window::ReceiveWindow;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::storage::{Committer, LeftOut, Lost, OpenQueue, WalkEntry};
use crate::transfer::file::resume::Policy;

/// How often an end that waits for room for more offers looks for it.
const HELD_LOOK: Duration = Duration::from_millis(20);

/// Files that a server sends to one client at the same time.
const SEND_JOBS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

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
    /// Where the names of the list go that is being sent.
    names: Option<NamesSender>,
    /// Where the client's word goes on where the files go that it gets.
    location: Option<Teller>,
    listing: JoinSet<Result<(), SessionError>>,
    probing: JoinSet<()>,
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
            names: None,
            location: None,
            listing: JoinSet::new(),
            probing: JoinSet::new(),
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
                job.hear_close(self.shared.meter.moved(job.direction()));
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
            tokio::select! {
                () = tokio::time::sleep(HELD_LOOK), if !hears => {}
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
                Some(ended) = self.listing.join_next() => ended??,
                Some(ended) = self.probing.join_next() => ended?,
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
        match &self.roles.receiver {
            Some((receiver, _)) if receiver.is_left_begun(now) => {
                self.shared.meter.limits.count(Limit::Begun);
                Err(SessionError::Timeout("go on with what it began"))
            }
            _ => Ok(()),
        }
    }

    /// Puts a job that is over into the history, if it is not there.
    fn write_down(&self, job: &ServerJob, parting: Option<ConnectionEnd>) {
        if let Some(entry) = job.account(&self.live, parting) {
            self.shared.history.add(entry);
        }
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

    /// Opens the window of a client that is about to send, once. Only now: most clients that stay connected send nothing.
    fn window(&mut self) -> Arc<ReceiveWindow> {
        let AdmittedClient { connection, account, .. } = &self.client;
        let open = || Arc::new(ReceiveWindow::open(connection.clone(), account));
        self.window.get_or_insert_with(open).clone()
    }

    /// The client's activity, by which it keeps its place.
    fn work(&self) -> ClientActivity {
        let runs = self.live.is_running() || !self.listing.is_empty() || !self.probing.is_empty();
        ClientActivity { runs, is_ours: self.is_busy(), moved: self.live.moved() }
    }

    /// Whether its place has gone to another client.
    pub(super) fn has_lost_its_place(&self) -> bool {
        self.place.is_lost()
    }

    /// Whether this end owes the client the next step.
    fn is_busy(&self) -> bool {
        let listing = !self.listing.is_empty() && self.client.control.has_room();
        listing || !self.probing.is_empty() || self.roles.is_busy()
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
            ClientMessage::List(wanted) => self.on_list(wanted),
            ClientMessage::Parts(asked) => self.on_parts(asked),
            ClientMessage::Probe(asked) => self.on_probe(asked),
        }
    }

    fn on_push(&mut self, push: Push) -> Result<(), SessionError> {
        let running = self.roles.receiver.as_ref().is_some_and(|(receiver, _)| !receiver.is_finished());
        if running || !self.probing.is_empty() {
            return Err(SessionError::Order("a second push while the first is running"));
        }
        let place = ServedPlace { root: self.client.root().cloned(), to: push.to.clone(), is_rehearsal: push.dry_run };
        let is_rehearsal = push.dry_run;
        self.say_location(push.to.clone());
        let (observer, moving) = self.observe(Direction::In, place);
        let receiver = Receiver::new(self.receiver_tools(&observer), self.receive_options(push));
        receiver.use_features(self.client.features());
        if self.client.continues() {
            receiver.begin_unsure_of_names();
        }
        self.begin(JobRole::Receiver(receiver.clone()), &observer, moving, is_rehearsal);
        // Not `abort_all`, which looks at every task that was ever ended here and not joined.
        self.receiving = JoinSet::new();
        self.receiving.spawn(accept_streams(self.client.connection.clone(), receiver.clone()));
        self.roles.receiver = Some((receiver, observer));
        self.watch_for_stale();
        Ok(())
    }

    /// Says where the files go, to a client that may be on this machine.
    fn say_location(&self, to: Option<WirePath>) {
        if !self.hears_locations() {
            return;
        }
        let AdmittedClient { connection, control, grant, .. } = &self.client;
        let (connection, control, grant) = (connection.clone(), control.clone(), grant.clone());
        self.disk.queue().spawn(move || control.send(location::said(&connection, &grant.destination(), to.as_ref())));
    }

    fn hears_locations(&self) -> bool {
        self.client.features() & features::LOCATION != 0
    }

    fn on_location(&mut self, told: Location) -> Result<(), SessionError> {
        if !self.hears_locations() {
            return Err(SessionError::Order("a location, which was not agreed on"));
        }
        self.location.take().into_iter().for_each(|teller| teller.tell(told));
        Ok(())
    }

    /// Ends what is left of connections that the client has lost: the job that begins may have been theirs.
    fn watch_for_stale(&mut self) {
        // One watch at a time, however many jobs follow each other.
        while self.stale.try_join_next().is_some() {}
        if self.stale.is_empty() {
            let (shared, peer, own) = (self.shared.clone(), self.live.peer, self.client.connection.clone());
            self.stale.spawn(async move { shared.registry.close_stale(peer, &own).await });
        }
    }

    /// Each list takes a thread.
    fn is_next_list(&mut self) -> Result<(), SessionError> {
        while let Some(ended) = self.listing.try_join_next() {
            ended??;
        }
        match self.listing.is_empty() {
            true => Ok(()),
            false => Err(SessionError::Order("a second list while the first is running")),
        }
    }

    fn on_parts(&mut self, asked: Parts) -> Result<(), SessionError> {
        self.is_next_list()?;
        let AdmittedClient { grant, control, account, .. } = &self.client;
        self.listing.spawn(parts::answer(grant.clone(), control.clone(), account.name_room(), asked));
        Ok(())
    }

    fn on_list(&mut self, wanted: List) -> Result<(), SessionError> {
        self.is_next_list()?;
        let AdmittedClient { grant, control, account, .. } = &self.client;
        self.listing.spawn(list::answer(grant.clone(), control.clone(), account.name_room(), wanted));
        Ok(())
    }

    fn on_probe(&mut self, asked: Probe) -> Result<(), SessionError> {
        while let Some(ended) = self.probing.try_join_next() {
            ended?;
        }
        let receiving = self.roles.receiver.as_ref().is_some_and(|(receiver, _)| !receiver.is_finished());
        // Each of them would take the other's streams.
        if !self.probing.is_empty() || receiving || self.roles.sender.is_some() {
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
        let (connection, control) = (self.client.connection.clone(), self.client.control.clone());
        self.probing.spawn(probe::serve(connection, control, self.client.granted, asked));
        Ok(())
    }

    fn receiver_tools(&mut self, observer: &Observer) -> receiver::ReceiverTools {
        receiver::ReceiverTools {
            window: self.window(),
            account: self.client.account.clone(),
            connection: self.client.connection.clone(),
            control: self.client.control.clone(),
            disk: self.disk.queue(),
            committer: self.committer.clone(),
            hasher: self.client.hasher.clone(),
            buffers: self.shared.buffers.clone(),
            observer: observer.clone(),
            record: Record::default(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    fn receive_options(&self, push: Push) -> ReceiveOptions {
        let grant = self.client.grant.clone();
        ReceiveOptions {
            root: grant.destination(),
            to: push.to,
            target: push.target,
            policy: Policy {
                if_exists: grant.if_exists(push.if_exists),
                checksum: push.checksum,
                resume: push.resume,
                blind: grant.is_blind(),
                links: grant.takes_links(),
            },
            leaves_directories: grant.if_exists(IfExists::Replace) != IfExists::Replace,
            dry_run: push.dry_run,
            tells_plans: true,
            durable: self.shared.config.sync,
            owner: grant.part_owner(),
            delivered: grant.is_blind().then(|| self.shared.delivered.clone()),
            allows: Box::new(move |_, path| grant.may_write(path)),
        }
    }

    fn on_names(&mut self, names: Names) -> Result<(), SessionError> {
        let Some(to) = self.names.take() else { return Err(SessionError::Order("names for no list")) };
        let is_last = names.is_last;
        let bytes: usize = names.names.iter().map(|name| size_of::<ListedName>() + name.path.as_bytes().len()).sum();
        let room = self.client.account.take_for_message(bytes).ok_or(SessionError::Overloaded)?;
        match to.try_send((names, room)) {
            // Nothing is looked for any more; what is under way of the list is dropped.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => return Err(SessionError::Order("more names than may be ahead")),
        }
        self.names = Some(to).filter(|_| !is_last);
        Ok(())
    }

    fn on_get(&mut self, wanted: GetSelection) -> Result<(), SessionError> {
        if self.roles.sender.is_some() {
            return Err(SessionError::Order("a second get while the first is running"));
        }
        // Compiled filters take memory, up to megabytes, so they are charged to the client that sent them.
        let filter_room = self.client.account.take_for_search(wanted.filter_bytes()).ok_or(SessionError::Overloaded)?;
        // The streams of an earlier push may still have somebody who would take what came ahead for something of theirs.
        let early = wanted.early() && self.live.is_fresh();
        let place = ServedPlace { root: self.client.root().cloned(), to: None, is_rehearsal: false };
        let (observer, moving) = self.observe(Direction::Out, place);
        let sender = Sender::new(sender::SenderTools {
            connection: self.client.connection.clone(),
            control: self.client.control.clone(),
            disk: self.disk.queue(),
            hasher: self.client.hasher.clone(),
            buffers: self.shared.buffers.clone(),
            account: self.client.account.clone(),
            observer: observer.clone(),
            record: Record::default(),
            jobs: SEND_JOBS,
            dry_run: false,
            own_tree: false,
            early,
        });
        sender.use_features(self.client.features());
        // A client that only wants to know what it would get says so when it leaves.
        self.begin(JobRole::Sender(sender.clone()), &observer, moving, false);
        let (grant, destination) = (self.client.grant.clone(), self.shared.config.destination.clone());
        let name = wanted.first_pattern();
        let no_thread = |failure| WalkEntry::Problem { name, failure };
        let (teller, recognise) = location::awaited(&self.client.connection).filter(|_| self.hears_locations()).unzip();
        self.location = teller;
        let left_out = LeftOut::at(destination).or(recognise);
        let name_room = self.client.account.name_room();
        let look = move |found: &_| {
            look_for(&grant, wanted, left_out, name_room, found);
            drop(filter_room);
        };
        let finds = walk_on_a_thread(FOUND_AHEAD, no_thread, look);
        let running = sender.clone();
        self.sending.spawn(async move { running.run(finds).await });
        self.roles.sender = Some(sender);
        self.watch_for_stale();
        Ok(())
    }

    /// An observer whose events become notices at once: what happened to a connection's files is told before its end is.
    fn observe(&self, direction: Direction, place: ServedPlace) -> (Observer, Arc<Moving>) {
        let (shared, peer, moving) = (self.shared.clone(), self.peer.clone(), Arc::<Moving>::default());
        let observed = moving.clone();
        // A dry run moves nothing.
        let all = if place.is_rehearsal { Arc::default() } else { shared.meter.moved(direction).clone() };
        let observer = Observer::for_one_connection(all, move |event| {
            observed.on_event(&event, |name| place.path(name));
            if let Some(notice) = to_notice(event, direction, &peer, &place) {
                shared.notices.send(notice);
            }
        });
        (observer, moving)
    }

    /// Makes a job visible.
    fn begin(&mut self, role: JobRole, observer: &Observer, moving: Arc<Moving>, is_rehearsal: bool) {
        let job = Arc::new(ServerJob::new(role, observer.counters().clone(), moving, is_rehearsal));
        // The job before this one in the same direction is over; of thousands only the sums stay.
        if let Some(earlier) = self.live.begin(job) {
            self.totals.add(&earlier);
            earlier.note_end(Instant::now());
            self.write_down(&earlier, None);
        }
    }
}

/// Where the files of a job are, for the operator, who knows the served directory and nothing of a client's view of it.
struct ServedPlace {
    /// All that the client can reach.
    root: Option<WirePath>,
    /// Where in that its files go.
    to: Option<WirePath>,
    /// Nothing is done, so nothing is to be told.
    is_rehearsal: bool,
}

impl ServedPlace {
    fn path(&self, name: &str) -> String {
        let above = self.root.iter().chain(&self.to).map(|path| format!("{path}/"));
        above.chain([name.to_owned()]).collect()
    }
}

fn to_notice(event: Event, direction: Direction, peer: &Arc<Peer>, place: &ServedPlace) -> Option<Notice> {
    let peer = peer.clone();
    match event {
        _ if place.is_rehearsal => None,
        Event::Finished { file } => {
            debug!(path = file.path, size = file.size, "file done");
            let path = place.path(file.source.as_deref().unwrap_or(&file.path));
            let (size, written, elapsed) = (file.size, file.written(), file.since.elapsed());
            let from_peer = direction == Direction::In;
            Some(Notice::Finished { peer, path, size, written, elapsed, from_peer })
        }
        Event::Failed { path, failure } => {
            warn!(path, %failure, "file failed");
            Some(Notice::Failed { peer, path: place.path(&path), why: failure.to_string() })
        }
        _ => None,
    }
}
