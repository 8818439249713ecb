//! Sending: local paths to the remote, over as many connections as it takes.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, persist};
use super::connect::ServerConnection;
use super::early::EarlyContent;
use super::standby::Standby;
use super::{Client, Job, SendOptions, TransferOptions, path};
use crate::error::Error;
use crate::keys::Contact;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{Location, Message, Push};
use crate::session::SessionError;
use crate::session::conversation::{ConversationEnd, converse};
use crate::session::location::{self, Teller};
use crate::session::record::Record;
use crate::session::roles::Roles;
use crate::session::sender::{Sender, SenderOptions};
use crate::session::walk::{FOUND_AHEAD, Finder, FinderClosed, walk_on_a_thread};
use crate::storage::{self, Filters, LeftOut, MissingPath, NameList, WalkEntry, WalkRequest};
use crate::transport::TransportError;

/// The parts of a job that stay the same over all its connections.
struct SendJob {
    client: Client,
    contact: Contact,
    paths: Vec<PathBuf>,
    /// The files that the paths named when the job began, for all its connections: a user who may write to a directory
    /// above them must not choose other files by breaking a connection.
    requests: OnceLock<Vec<Result<WalkRequest, MissingPath>>>,
    options: SendOptions,
    filters: Filters,
    early: EarlyContent,
    record: Record,
    standby: Standby,
}

pub(super) fn start(client: Client, contact: Contact, paths: Vec<PathBuf>, options: SendOptions) -> Job {
    Job::start(move |observer, cancel| run(client, contact, paths, options, observer, cancel))
}

async fn run(
    client: Client,
    contact: Contact,
    paths: Vec<PathBuf>,
    options: SendOptions,
    observer: Observer,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let TransferOptions { excludes, includes, .. } = &options.transfer;
    let filters = Filters::new(excludes, includes).map_err(|error| Error::Usage(error.to_string()))?;
    let early = EarlyContent::of(&options.transfer);
    let plan = Arc::new(SendJob {
        client,
        contact,
        paths,
        requests: OnceLock::new(),
        options,
        filters,
        early,
        record: Record::of_job(),
        standby: Standby::default(),
    });
    persist(&plan.client, &observer, &plan.record, &cancel, || attempt(plan.clone(), observer.clone(), cancel.clone()))
        .await
}

async fn attempt(plan: Arc<SendJob>, observer: Observer, cancel: CancellationToken) -> Result<(), Attempt> {
    let opened =
        ServerConnection::open_for_job(&plan.client, &plan.contact, &observer, &plan.standby, &plan.record).await;
    let mut link = opened.map_err(|error| Attempt { error, stood: false })?;
    let result = tokio::select! {
        result = send_over(&plan, &mut link, &observer) => result,
        () = cancel.cancelled() => Err(Error::Cancelled),
    };
    let (connection, learnt) = (link.connection.clone(), link.path.clone());
    let ended = link.end(result).await;
    path::keep(&plan.client, &plan.contact, &connection, &learnt).await;
    ended
}

async fn send_over(plan: &Arc<SendJob>, link: &mut ServerConnection, observer: &Observer) -> Result<(), Error> {
    let options = &plan.options;
    let TransferOptions { target, if_exists, checksum, dry_run, resume, .. } = options.transfer;
    link.control.send(Message::Push(Push { to: options.to.clone(), target, if_exists, checksum, dry_run, resume }));
    let tools = link.tools(observer, &plan.record);
    let sending = SenderOptions { jobs: options.jobs, dry_run, own_tree: true, early: plan.early.take() };
    let sender = Sender::new(tools, link.path.clone(), sending);
    // Where this process serves the destination itself, it is known by its path.
    let awaits = link.is_local && options.destination.is_none();
    let (teller, recognise) = location::awaited(&link.connection).filter(|_| awaits).unzip();
    let left_out = LeftOut::at(options.destination.clone()).or(recognise);
    let walking = plan.clone();
    let no_thread = |failure| WalkEntry::Problem { name: b".".to_vec(), failure };
    let mut roles = Roles::default();
    roles.send(
        sender.clone(),
        walk_on_a_thread(FOUND_AHEAD, no_thread, move |found| {
            // It fails only when nobody takes what is found any more.
            let _ = walk_sources(&walking, left_out, found);
        }),
    );
    let (disk, connection) = (link.disk.queue(), link.connection.clone());
    let (first, is_ours) = ((&link.connection, &link.control), || sender.is_busy());
    let watching = pin!(plan.standby.watch(&plan.client, &plan.contact, first, observer, is_ours));
    let mut end = SendingEnd { teller, hears_locations: false, watching };
    let result = converse(&connection, &disk, &mut link.replies, &mut roles, &mut end).await;
    roles.stop().await;
    result.map_err(|error| link.explain(error))?;
    if sender.has_left_out() {
        // The server is ending: the rest goes to its successor, over a new connection.
        return Err(TransportError::Refused { code: CloseCode::GoingAway }.into());
    }
    Ok(())
}

/// The end of a client that sends.
struct SendingEnd<'a, W> {
    /// Where the server's word goes on where the files go.
    teller: Option<Teller>,
    hears_locations: bool,
    /// The watch on a server that has gone silent.
    watching: Pin<&'a mut W>,
}

impl<W: Future<Output = SessionError>> ConversationEnd for SendingEnd<'_, W> {
    type Event = Infallible;

    async fn event(&mut self) -> Result<Infallible, SessionError> {
        Err(self.watching.as_mut().await)
    }

    fn on_event(&mut self, _roles: &mut Roles, event: Infallible) -> Result<ControlFlow<()>, SessionError> {
        match event {}
    }

    fn on_all_sent(&mut self) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn on_welcome(&mut self, roles: &Roles, features: u64) {
        roles.sender().into_iter().for_each(|sender| sender.use_features(features));
        self.hears_locations = features & features::LOCATION != 0;
        if !self.hears_locations {
            // A server that does not say it is not waited for.
            self.teller = None;
        }
    }

    fn on_go_away(&mut self, roles: &Roles) {
        roles.sender().into_iter().for_each(Sender::stop_offering);
    }

    fn on_location(&mut self, location: Location) -> Result<(), SessionError> {
        if !self.hears_locations {
            return Err(SessionError::Order("a location that nobody asked for"));
        }
        self.teller.take().into_iter().for_each(|teller| teller.tell(location));
        Ok(())
    }
}

/// On a thread: walks the local paths until everything is found or nobody takes it any more.
fn walk_sources(plan: &SendJob, left_out: LeftOut, found: &Finder<WalkEntry>) -> Result<(), FinderClosed> {
    let options = &plan.options;
    let mut requests = Vec::new();
    for request in plan.requests.get_or_init(|| storage::local_requests(&plan.paths)) {
        match request {
            Ok(request) => requests.push(request.clone()),
            Err(MissingPath { path, failure }) => {
                let name = path.clone().into_os_string().into_vec();
                found.blocking_send(WalkEntry::Problem { name, failure: failure.clone() })?;
            }
        }
    }
    let walk = storage::walk(Vec::new(), plan.filters.clone(), options.links).of_files_to_read();
    let mut walk = walk.on_one_file_system(options.transfer.one_file_system).leaving_out(left_out).until(found.over());
    let Some(names) = &options.transfer.names else {
        requests.into_iter().for_each(|request| walk.add(request));
        return walk.try_for_each(|item| found.blocking_send(item));
    };
    for WalkRequest { root, at, .. } in requests {
        let mut listing = NameList::new(root, at, plan.filters.clone());
        for expanded in names.iter().flat_map(|name| listing.expand(name)) {
            found.walk(&mut walk, expanded)?;
        }
    }
    walk.conclusion().map_or(Ok(()), |note| found.blocking_send(note))
}
