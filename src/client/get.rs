//! Getting: what patterns name on the remote, to a local directory.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, persist};
use super::connect::ServerConnection;
use super::early::EarlyContent;
use super::local_place::LocalPlace;
use super::requested::Requested;
use super::single::Single;
use super::standby::Standby;
use super::{Client, GetOptions, Job, TransferOptions};
use crate::error::Error;
use crate::keys::Contact;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::protocol::message::{Failure, Get, Message, Names, Select, ServerMessage, Status};
use crate::protocol::{NAMES_AHEAD_MAX, codec, features};
use crate::session::SessionError;
use crate::session::control::Control;
use crate::session::conversation::{ConversationEnd, converse};
use crate::session::location;
use crate::session::peer_streams::PeerStreams;
use crate::session::receiver::{ReceiveOptions, Receiver};
use crate::session::record::Record;
use crate::session::roles::Roles;
use crate::session::unread::Unread;
use crate::session::window::ReceiveWindow;
use crate::storage::{Committer, Durability, Filters};
use crate::transfer::file::resume::Policy;
use crate::transport::TransportError;

/// The parts of a job that stay the same over all its connections.
struct GetJob {
    client: Client,
    contact: Contact,
    patterns: Vec<Vec<u8>>,
    filters: Vec<String>,
    requested: Arc<Requested>,
    options: GetOptions,
    place: LocalPlace,
    committer: Committer,
    early: EarlyContent,
    record: Record,
    standby: Standby,
    single: Arc<Single>,
}

pub(super) fn start(
    client: Client,
    contact: Contact,
    patterns: Vec<Vec<u8>>,
    into: PathBuf,
    options: GetOptions,
) -> Job {
    Job::start(move |observer, cancel| run(client, contact, patterns, into, options, observer, cancel))
}

async fn run(
    client: Client,
    contact: Contact,
    patterns: Vec<Vec<u8>>,
    into: PathBuf,
    options: GetOptions,
    observer: Observer,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let TransferOptions { target, dry_run, .. } = options.transfer;
    let durable = options.sync && !dry_run;
    let place = client.disk.run(move || LocalPlace::find(&into, target, dry_run, durable)).await;
    let sync = Durability::when(options.sync);
    let filters = Filters::lines(&options.transfer.excludes, &options.transfer.includes);
    let left_out = Filters::new(&filters, &[]).map_err(|error| Error::Usage(error.to_string()))?;
    let requested = Arc::new(match &options.transfer.names {
        None => Requested::new(&patterns, left_out),
        Some(names) => Requested::listed(names, left_out),
    });
    let early = EarlyContent::of(&options.transfer);
    let plan = Arc::new(GetJob {
        client,
        contact,
        patterns,
        filters,
        requested,
        options,
        place: place.map_err(|lost| Error::Session(lost.into()))??,
        committer: Committer::start(sync).map_err(Error::Thread)?,
        early,
        record: Record::of_job(),
        standby: Standby::default(),
        single: Arc::default(),
    });
    refuse_too_much(&plan.request(false))?;
    persist(&plan.client, &observer, &plan.record, &cancel, || attempt(plan.clone(), observer.clone(), cancel.clone()))
        .await
}

impl GetJob {
    fn request(&self, early: bool) -> Message {
        let (patterns, filters) = (self.patterns.clone(), self.filters.clone());
        let get = Get { patterns, filters, links: self.options.links, early };
        let TransferOptions { one_file_system, names, .. } = &self.options.transfer;
        let (one_file_system, listed) = (*one_file_system, names.is_some());
        match one_file_system || listed {
            false => Message::Get(get),
            true => Message::Select(Select { get, one_file_system, listed }),
        }
    }

    /// Says what is wanted: at once where every server understands it, else when the server has said that it does.
    async fn ask(&self, link: &mut ServerConnection) -> Result<(), Error> {
        let request = self.request(self.early.take());
        if matches!(request, Message::Select(_)) {
            let features = link.replies.features().await.map_err(|error| link.explain(error))?;
            if features & features::SELECT == 0 {
                return Err(unknown_there());
            }
        }
        link.control.send(request);
        Ok(())
    }

    /// The names of the list, in messages.
    fn names(&self) -> impl Iterator<Item = Message> + '_ {
        self.options.transfer.names.iter().flat_map(|names| Names::of(names))
    }
}

fn unknown_there() -> Error {
    let text = "this server is too old for --one-file-system and --files-from; it needs a newer qft";
    Error::Remote { name: b".".to_vec(), failure: Failure::new(Status::Unsupported, text) }
}

/// A request is one message, whose limits are for the user to keep: a shell may have expanded what he meant.
fn refuse_too_much(request: &Message) -> Result<(), Error> {
    codec::encode(request, &mut Vec::new()).map_err(|error| {
        let remedy = "name a directory, or quote a pattern for the remote to expand";
        Error::Usage(format!("too much is asked for at once: {error}; {remedy}"))
    })
}

async fn attempt(plan: Arc<GetJob>, observer: Observer, cancel: CancellationToken) -> Result<(), Attempt> {
    let opened =
        ServerConnection::open_for_job(&plan.client, &plan.contact, &observer, &plan.standby, &plan.record).await;
    let mut link = opened.map_err(|error| Attempt { error, stood: false })?;
    let result = tokio::select! {
        result = receive_over(&plan, &mut link, &observer) => result,
        error = plan.single.exceeded() => Err(error),
        () = cancel.cancelled() => Err(Error::Cancelled),
    };
    if plan.options.transfer.dry_run && result.is_ok() {
        // The server is not to take it for one that has got what it came for.
        link.close(CloseCode::Cancelled).await;
        return Ok(());
    }
    link.end(result).await
}

async fn receive_over(plan: &GetJob, link: &mut ServerConnection, observer: &Observer) -> Result<(), Error> {
    let unread = Unread::new(link.connection.clone(), &link.account);
    let streams = PeerStreams::new(link.connection.clone(), unread.clone());
    let window = Arc::new(ReceiveWindow::open(link.connection.clone(), &link.account, unread));
    let tools = link.tools(observer, &plan.record);
    let receiver = Receiver::new(tools, plan.committer.clone(), window, receive_options(plan));
    plan.ask(link).await?;
    let mut names = plan.names();
    names.by_ref().take(NAMES_AHEAD_MAX).for_each(|message| link.control.send(message));
    let mut roles = Roles::default();
    roles.receive(receiver.clone(), streams);
    let (disk, connection, control) = (link.disk.queue(), link.connection.clone(), link.control.clone());
    let (first, is_ours) = ((&connection, &control), || receiver.is_busy());
    let watching = pin!(plan.standby.watch(&plan.client, &plan.contact, first, observer, is_ours));
    let say_location = || location::say(&connection, &control, &disk, plan.place.root.clone(), plan.place.to.clone());
    let mut end = GettingEnd { control: &control, names, say_location, receiver: &receiver, watching, is_left: false };
    let result = converse(&connection, &disk, &mut link.replies, &mut roles, &mut end).await;
    let is_left = end.is_left;
    roles.stop().await;
    result.map_err(|error| link.explain(error))?;
    if is_left {
        return Err(TransportError::Refused { code: CloseCode::GoingAway }.into());
    }
    Ok(())
}

/// The end of a client that gets.
struct GettingEnd<'a, N, L, W> {
    control: &'a Control,
    /// The names that are to come of the list, in messages.
    names: N,
    /// Says where the files go, to a server that may be on this machine.
    say_location: L,
    receiver: &'a Receiver,
    /// The watch on a server that has gone silent.
    watching: Pin<&'a mut W>,
    /// The server is ending, and leaves the rest to its successor.
    is_left: bool,
}

/// Every file is settled.
struct AllReceived;

impl<N, L, W> ConversationEnd for GettingEnd<'_, N, L, W>
where
    N: Iterator<Item = Message>,
    L: Fn(),
    W: Future<Output = SessionError>,
{
    type Event = AllReceived;

    async fn event(&mut self) -> Result<AllReceived, SessionError> {
        tokio::select! {
            () = self.receiver.finished() => Ok(AllReceived),
            error = self.watching.as_mut() => Err(error),
        }
    }

    fn on_event(&mut self, _roles: &mut Roles, AllReceived: AllReceived) -> Result<ControlFlow<()>, SessionError> {
        Ok(ControlFlow::Break(()))
    }

    fn on_welcome(&mut self, _roles: &Roles, features: u64) {
        self.receiver.use_features(features);
        if features & features::LOCATION != 0 {
            (self.say_location)();
        }
    }

    fn on_go_away(&mut self, _roles: &Roles) {
        self.is_left = true;
    }

    fn on_answer(&mut self, answer: ServerMessage) -> Result<(), SessionError> {
        match answer {
            ServerMessage::MoreNames => {
                self.names.next().into_iter().for_each(|message| self.control.send(message));
                Ok(())
            }
            ServerMessage::Entries(_)
            | ServerMessage::PartsFound(_)
            | ServerMessage::ProbeReady(_)
            | ServerMessage::ProbeDone(_) => Err(SessionError::Order("an answer to no question")),
        }
    }
}

fn receive_options(plan: &GetJob) -> ReceiveOptions {
    let options = &plan.options;
    let TransferOptions { target, if_exists, checksum, dry_run, resume, .. } = options.transfer;
    let (requested, to) = (plan.requested.clone(), plan.place.to.clone());
    let single = options.single.then(|| plan.single.clone());
    ReceiveOptions {
        root: plan.place.root.clone(),
        to: plan.place.to.clone(),
        target,
        policy: Policy { if_exists, checksum, resume, blind: false, links: options.links },
        leaves_directories: false,
        dry_run,
        tells_plans: false,
        durable: options.sync,
        // A server decides what is in a file, never which names appear here.
        allows: Box::new(move |offer, path| {
            requested.check(offer, path, to.as_ref())?;
            single.as_ref().map_or(Ok(()), |single| single.check(offer))
        }),
        owner: None,
        delivered: None,
    }
}
