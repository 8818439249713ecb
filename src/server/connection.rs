//! One client: let in or turned away, then served until either side has enough.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use quinn::{Connection, Incoming};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::pool::Slot;
use super::{Access, Mode, Notice, Shared, list};
use crate::digest::{Hasher, Salt};
use crate::progress::{Counters, Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{Failure, Get, Hello, IfExists, List, Message, Problem, Push, Status, Welcome};
use crate::protocol::path::{WirePath, escape};
use crate::session::control::{Control, ControlReader};
use crate::session::local::{FOUND_AHEAD, host_name, walk_on_a_thread};
use crate::session::memory::Buffers;
use crate::session::receiver::{self, ReceiveOptions, Receiver};
use crate::session::roles::{Roles, accept_streams};
use crate::session::sender::{self, Sender};
use crate::session::watch::until_silent;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::storage::{self, Filters, Found, Links, Lost};
use crate::transfer::resume::Policy;
use crate::transport::{self, Fingerprint, Listener, TransportError};

/// Files that a server sends to one client at the same time.
const SEND_JOBS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// Serves one client from the handshake to the end. Runs on the worker that will drive the connection.
pub(super) async fn serve(incoming: Incoming, listener: Listener, shared: Arc<Shared>, slot: Slot) {
    let addr = incoming.remote_address();
    let config = listener.server_config_for(addr);
    let connection = match transport::accept(incoming, config, ATTENTION_DEADLINE).await {
        Ok(connection) => connection,
        Err(error) => return refuse(&shared, addr, None, error.to_string()),
    };
    let Some(peer) = transport::peer_fingerprint(&connection) else {
        return refuse(&shared, addr, None, "no client key".to_owned());
    };
    let client = match timeout(ATTENTION_DEADLINE, Client::greet(&connection, &shared, peer)).await {
        Ok(Ok(client)) => client,
        Ok(Err(turned)) => return turned.away(&connection, &shared, addr, peer),
        Err(_) => return Turned::from(SessionError::Timeout("say hello")).away(&connection, &shared, addr, peer),
    };
    client.serve(&shared, addr, peer, &slot).await;
    shared.left.notify_one();
}

fn refuse(shared: &Shared, addr: SocketAddr, peer: Option<Fingerprint>, why: String) {
    info!(%addr, peer = peer.map(|peer| peer.short()), why, "refused");
    shared.notices.send(Notice::Refused { addr, peer, why });
}

/// Why a client was not let in, and what it is told.
struct Turned {
    code: CloseCode,
    why: String,
}

impl From<SessionError> for Turned {
    fn from(error: SessionError) -> Self {
        Self { code: error.close_code(), why: error.to_string() }
    }
}

impl From<CloseCode> for Turned {
    fn from(code: CloseCode) -> Self {
        Self { code, why: code.reason().to_owned() }
    }
}

impl Turned {
    fn away(self, connection: &Connection, shared: &Shared, addr: SocketAddr, peer: Fingerprint) {
        transport::close(connection, self.code, "");
        refuse(shared, addr, Some(peer), self.why);
    }
}

/// A client that was let in.
struct Client {
    connection: Connection,
    control: Control,
    reader: ControlReader,
    hasher: Hasher,
    name: String,
    enrolled: bool,
}

impl Client {
    /// Hears the client's `Hello` and answers it.
    async fn greet(connection: &Connection, shared: &Arc<Shared>, peer: Fingerprint) -> Result<Self, Turned> {
        let (stream, content) = connection.accept_bi().await.map_err(SessionError::from)?;
        let mut reader = ControlReader::new(content);
        let Some(Message::Hello(hello)) = reader.next().await? else {
            return Err(SessionError::Order("anything but a hello first").into());
        };
        let enrolled = authorise(shared, peer, &hello).await?;
        let salt = transport::session_salt(connection).map_err(|_| SessionError::Internal("the key exporter"))?;
        transport::open_up(connection);
        let control = Control::start(connection.clone(), stream);
        let welcome = Welcome { features: hello.features & features::NONE, name: host_name(), enrolled };
        control.send(Message::Welcome(welcome));
        let name = escape(hello.name.as_bytes()).to_string();
        let hasher = Hasher::new(&Salt(salt));
        Ok(Self { connection: connection.clone(), control, reader, hasher, name, enrolled })
    }

    async fn serve(self, shared: &Arc<Shared>, addr: SocketAddr, peer: Fingerprint, slot: &Slot) {
        let connection = self.connection.clone();
        let _entered = shared.leases.enter(peer, connection.clone());
        let (worker, name, enrolled) = (slot.worker(), self.name.clone(), self.enrolled);
        info!(worker, %addr, peer = peer.short(), name, "connected");
        shared.notices.send(Notice::Connected { worker, addr, peer, name, enrolled });
        let mut session = Session::new(self, shared.clone(), peer);
        let error = session.run().await;
        transport::close(&connection, error.close_code(), "");
        let why = farewell(addr, &error);
        let total = session.totals;
        info!(worker, %addr, peer = peer.short(), why, ?total, "disconnected");
        shared.notices.send(total.notice(worker, addr, peer, why));
    }
}

fn farewell(addr: SocketAddr, error: &SessionError) -> String {
    match error {
        SessionError::Connection(error) => match transport::closed_by(error) {
            Some(code) => code.reason().to_owned(),
            None => TransportError::from_connection(addr, error).to_string(),
        },
        error => error.to_string(),
    }
}

/// Decides whether a key may come in; `true` when its invite enrolled it just now.
async fn authorise(shared: &Arc<Shared>, peer: Fingerprint, hello: &Hello) -> Result<bool, Turned> {
    let home_failed = |error: transport::HomeError| {
        warn!(%error, "cannot read who is enrolled");
        Turned { code: CloseCode::Internal, why: error.to_string() }
    };
    let disk_lost = |_: Lost| Turned::from(SessionError::Internal("a disk thread"));
    let clients = match (&shared.access, &shared.clients) {
        (Access::Anyone, _) => return Ok(false),
        (Access::Only(keys), _) if keys.contains(&peer) => return Ok(false),
        (Access::Only(_), _) | (Access::Enrolled { .. }, None) => return Err(CloseCode::NotAuthorised.into()),
        (Access::Enrolled { .. }, Some(clients)) => clients,
    };
    // The list is a file, which no worker thread reads.
    let list = clients.clone();
    let known = shared.disk.run(move || list.is_enrolled(&peer));
    if known.await.map_err(disk_lost)?.map_err(home_failed)? {
        return Ok(false);
    }
    let invite = hello.invite.ok_or(CloseCode::NotAuthorised)?;
    shared.invites.redeem(&invite, Instant::now()).map_err(CloseCode::from)?;
    let (list, name) = (clients.clone(), hello.name.clone());
    let enrolled = shared.disk.run(move || list.enrol(&peer, &name));
    enrolled.await.map_err(disk_lost)?.map_err(home_failed)?;
    Ok(true)
}

/// What one connection amounted to.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    files_in: u64,
    files_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Totals {
    fn notice(self, worker: usize, addr: SocketAddr, peer: Fingerprint, why: String) -> Notice {
        let Self { files_in, files_out, bytes_in, bytes_out } = self;
        Notice::Disconnected { worker, addr, peer, why, files_in, files_out, bytes_in, bytes_out }
    }

    fn add(&mut self, counters: &Counters, from_peer: bool) {
        let files = Counters::read(&counters.files_done);
        let bytes = Counters::read(&counters.bytes_written);
        let (all_files, all_bytes) = if from_peer {
            (&mut self.files_in, &mut self.bytes_in)
        } else {
            (&mut self.files_out, &mut self.bytes_out)
        };
        *all_files += files;
        *all_bytes += bytes;
    }
}

/// One client's conversation: jobs one after the other in each direction, both directions at once.
struct Session {
    client: Client,
    shared: Arc<Shared>,
    peer: Fingerprint,
    buffers: Buffers,
    roles: Roles,
    receiving: JoinSet<SessionError>,
    sending: JoinSet<Result<(), SessionError>>,
    listing: JoinSet<()>,
    /// The watch on the client's other connections.
    ghosts: JoinSet<()>,
    observers: Vec<(Observer, bool)>,
    totals: Totals,
}

impl Session {
    fn new(client: Client, shared: Arc<Shared>, peer: Fingerprint) -> Self {
        Self {
            client,
            shared,
            peer,
            buffers: Buffers::default(),
            roles: Roles::default(),
            receiving: JoinSet::new(),
            sending: JoinSet::new(),
            listing: JoinSet::new(),
            ghosts: JoinSet::new(),
            observers: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Runs to the end of the connection and says why it ended.
    async fn run(&mut self) -> SessionError {
        let error = match self.converse().await {
            Err(error) => error,
            // The client has said all; it ends the connection when it has heard all.
            Ok(()) => match timeout(ATTENTION_DEADLINE, self.client.connection.closed()).await {
                Ok(reason) => reason.into(),
                Err(_) => SessionError::Timeout("end the connection"),
            },
        };
        for (observer, from_peer) in self.observers.drain(..) {
            self.totals.add(observer.counters(), from_peer);
        }
        debug!(%error, "session over");
        // The reason that the peer gave, if it was the peer who ended it, says more than a stream's error.
        match self.client.connection.close_reason() {
            Some(reason) => reason.into(),
            None => error,
        }
    }

    async fn converse(&mut self) -> Result<(), SessionError> {
        let mut drain = self.shared.drain.subscribe();
        let mut draining = false;
        let connection = self.client.connection.clone();
        loop {
            let roles = self.roles.clone();
            let listing = !self.listing.is_empty();
            let control = self.client.control.clone();
            let is_ours = move || roles.is_busy() || (listing && control.has_room());
            tokio::select! {
                message = self.client.reader.next() => match message? {
                    Some(message) => self.on_message(message)?,
                    None => return Ok(()),
                },
                Some(Ok(error)) = self.receiving.join_next() => return Err(error),
                Some(Ok(result)) = self.sending.join_next() => {
                    result?;
                    self.roles.sender = None;
                }
                error = connection.closed() => return Err(error.into()),
                Some(_) = self.listing.join_next() => {}
                error = until_silent(&connection, is_ours) => return Err(error),
                _ = drain.wait_for(Option::is_some), if !draining => {
                    draining = true;
                    self.drain();
                }
            }
        }
    }

    /// Tells the client that this server is ending. The client finishes what is in flight and leaves.
    fn drain(&self) {
        self.client.control.send(Message::GoAway);
        if let Some(sender) = &self.roles.sender {
            sender.stop_offering();
        }
        if let Some((receiver, _)) = &self.roles.receiver {
            receiver.refuse_new();
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), SessionError> {
        match self.roles.route(message)? {
            None => Ok(()),
            Some(Message::Push(push)) => self.on_push(push),
            Some(Message::Get(get)) => self.on_get(get),
            Some(Message::List(wanted)) => self.on_list(wanted),
            Some(Message::GoAway) => Ok(()),
            Some(_) => Err(SessionError::Order("a message that only a server sends")),
        }
    }

    fn on_push(&mut self, push: Push) -> Result<(), SessionError> {
        let running = self.roles.receiver.as_ref().is_some_and(|(receiver, _)| !receiver.is_finished());
        if running {
            return Err(SessionError::Order("a second push while the first is running"));
        }
        let observer = self.observe(true);
        let receiver = Receiver::new(self.receiver_tools(&observer), self.receive_options(push));
        // Not `abort_all`, which looks at every task that was ever ended here and not joined.
        self.receiving = JoinSet::new();
        self.receiving.spawn(accept_streams(self.client.connection.clone(), receiver.clone()));
        self.roles.receiver = Some((receiver, observer));
        // One watch at a time, however many jobs follow each other.
        while self.ghosts.try_join_next().is_some() {}
        if self.ghosts.is_empty() {
            let (shared, peer, own) = (self.shared.clone(), self.peer, self.client.connection.clone());
            self.ghosts.spawn(async move { shared.leases.close_ghosts(peer, &own).await });
        }
        Ok(())
    }

    fn on_list(&mut self, wanted: List) -> Result<(), SessionError> {
        while self.listing.try_join_next().is_some() {}
        // Each takes a thread.
        if !self.listing.is_empty() {
            return Err(SessionError::Order("a second list while the first is running"));
        }
        self.listing.spawn(list::answer(self.shared.clone(), self.client.control.clone(), wanted));
        Ok(())
    }

    fn receiver_tools(&self, observer: &Observer) -> receiver::Tools {
        receiver::Tools {
            connection: self.client.connection.clone(),
            control: self.client.control.clone(),
            disk: self.shared.disk.clone(),
            committer: self.shared.committer.clone(),
            hasher: self.client.hasher.clone(),
            buffers: self.buffers.clone(),
            observer: observer.clone(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    fn receive_options(&self, push: Push) -> ReceiveOptions {
        let read_only = self.shared.mode == Mode::ReadOnly;
        let if_exists = match (self.shared.no_clobber, push.if_exists) {
            (true, IfExists::Replace) => IfExists::Fail,
            (_, asked) => asked,
        };
        ReceiveOptions {
            root: self.shared.root.clone(),
            to: push.to,
            target: push.target,
            policy: Policy { if_exists, checksum: push.checksum, resume: push.resume },
            dry_run: push.dry_run,
            durable: self.shared.durable,
            allows: Box::new(move |_: &WirePath| !read_only),
        }
    }

    fn on_get(&mut self, get: Get) -> Result<(), SessionError> {
        if self.roles.sender.is_some() {
            return Err(SessionError::Order("a second get while the first is running"));
        }
        let observer = self.observe(false);
        let sender = Sender::new(sender::Tools {
            connection: self.client.connection.clone(),
            control: self.client.control.clone(),
            disk: self.shared.disk.clone(),
            hasher: self.client.hasher.clone(),
            buffers: self.buffers.clone(),
            observer,
            jobs: SEND_JOBS,
            dry_run: false,
        });
        let (found, finds) = mpsc::channel(FOUND_AHEAD);
        let shared = self.shared.clone();
        walk_on_a_thread(move || look_for(&shared, &get, &found));
        let running = sender.clone();
        self.sending.spawn(async move { running.run(finds).await });
        self.roles.sender = Some(sender);
        Ok(())
    }

    /// An observer whose news become notices.
    fn observe(&mut self, from_peer: bool) -> Observer {
        // The job before this one in the same direction is over; of thousands only the sums stay.
        for (earlier, _) in self.observers.extract_if(.., |(_, earlier)| *earlier == from_peer) {
            self.totals.add(earlier.counters(), from_peer);
        }
        let (observer, mut events) = Observer::for_one_connection();
        self.observers.push((observer.clone(), from_peer));
        let shared = self.shared.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Some(notice) = to_notice(event, from_peer) {
                    shared.notices.send(notice);
                }
            }
        });
        observer
    }
}

fn to_notice(event: Event, from_peer: bool) -> Option<Notice> {
    match event {
        Event::Finished { file } => {
            debug!(path = file.path, size = file.size, "file done");
            Some(Notice::Finished { path: file.path.clone(), size: file.size, from_peer })
        }
        Event::Failed { path, failure } => {
            warn!(path, %failure, "file failed");
            Some(Notice::Failed { path, why: failure.to_string() })
        }
        _ => None,
    }
}

/// Passes on what a `Get` asks for, until everything is found or nobody takes it any more.
fn look_for(shared: &Shared, get: &Get, found: &mpsc::Sender<Found>) {
    let problem = |name: Vec<u8>, failure| found.blocking_send(Found::Problem { name, failure }).is_ok();
    if shared.mode == Mode::WriteOnly {
        let failure = Failure::new(Status::NotAllowed, "this server only takes files (--write-only)");
        problem(get.patterns.first().cloned().unwrap_or_default(), failure);
        return;
    }
    let mut requests = Vec::new();
    for expanded in storage::expand(&shared.root, &get.patterns) {
        match expanded {
            Ok(request) => requests.push(request),
            Err((name, failure)) if !problem(name.clone(), failure.clone()) => return,
            Err(_) => {}
        }
    }
    let filters = match Filters::new(&get.filters, &[]) {
        Ok(filters) => filters,
        Err(error) => {
            problem(Vec::new(), Failure::new(Status::BadName, error.to_string()));
            return;
        }
    };
    let links = if get.links { Links::Copy } else { Links::Skip };
    for item in storage::walk(requests, filters, links) {
        if found.blocking_send(item).is_err() {
            return;
        }
    }
}

/// A problem that has no file, as the message for the peer.
pub(super) fn problem(name: Vec<u8>, failure: Failure) -> Message {
    Message::Problem(Problem { name, failure })
}
