//! Sending: local paths to the remote, over as many connections as it takes.

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, persist};
use super::connect::{Replies, ServerConnection};
use super::early::EarlyContent;
use super::standby::Standby;
use super::{Client, Job, SendOptions, TransferOptions, path};
use crate::error::Error;
use crate::keys::Contact;
use crate::progress::Observer;
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{Message, Push};
use crate::session::SessionError;
use crate::session::location::{self, Teller};
use crate::session::record::Record;
use crate::session::roles::{Roles, Routed};
use crate::session::sender::{Sender, SenderOptions};
use crate::session::walk::{FOUND_AHEAD, Finder, FinderClosed, walk_on_a_thread};
use crate::storage::{self, Filters, LeftOut, Lost, MissingPath, NameList, WalkEntry, WalkRequest};
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
    let finds = walk_on_a_thread(FOUND_AHEAD, no_thread, move |found| look_for(&walking, left_out, found));
    let roles = Roles { sender: Some(sender.clone()), receiver: None };
    let disk = link.disk.queue();
    let (first, is_ours) = ((&link.connection, &link.control), || roles.is_busy());
    let watching = plan.standby.watch(&plan.client, &plan.contact, first, observer, is_ours);
    let result = tokio::select! {
        result = sender.run(finds) => result,
        error = read(&mut link.replies, &roles, teller) => Err(error),
        error = watching => Err(error),
        () = disk.lost() => Err(Lost.into()),
    };
    result.map_err(|error| link.explain(error))?;
    if sender.has_left_out() {
        // The server is ending: the rest goes to its successor, over a new connection.
        return Err(TransportError::Refused { code: CloseCode::GoingAway }.into());
    }
    Ok(())
}

/// Feeds the sender with what the server answers, and the walk with what it says of its place. Returns only with an error.
async fn read(replies: &mut Replies, roles: &Roles, mut teller: Option<Teller>) -> SessionError {
    let features = match replies.features().await {
        Ok(features) => features,
        Err(error) => return error,
    };
    if let Some(sender) = &roles.sender {
        sender.use_features(features);
    }
    // A server that does not say it is not waited for.
    teller = teller.filter(|_| features & features::LOCATION != 0);
    loop {
        match replies.next().await {
            Ok(message) => match roles.route(message) {
                Ok(Routed::Taken) => {}
                Ok(Routed::Location(location)) if features & features::LOCATION != 0 => {
                    teller.take().into_iter().for_each(|teller| teller.tell(location));
                }
                Ok(Routed::Location(_)) => return SessionError::Order("a location that nobody asked for"),
                Ok(Routed::GoAway) => roles.sender.iter().for_each(Sender::stop_offering),
                Ok(Routed::Answer(_)) => return SessionError::Order("an answer to no question"),
                Ok(Routed::Request(_)) => return SessionError::Order("a message that only a client sends"),
                Err(error) => return error,
            },
            Err(error) => return error,
        }
    }
}

/// On a thread: walks the local paths until everything is found or nobody takes it any more.
fn look_for(plan: &SendJob, left_out: LeftOut, found: &Finder<WalkEntry>) {
    // It fails only when nobody takes what is found any more.
    let _ = find_all(plan, left_out, found);
}

fn find_all(plan: &SendJob, left_out: LeftOut, found: &Finder<WalkEntry>) -> Result<(), FinderClosed> {
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
    let walk = storage::walk(Vec::new(), plan.filters.clone(), options.links).to_be_read();
    let mut walk = walk.on_one_file_system(options.transfer.one_file_system).leaving_out(left_out);
    let Some(names) = &options.transfer.names else {
        requests.into_iter().for_each(|request| walk.add(request));
        return walk.try_for_each(|item| found.blocking_send(item));
    };
    for WalkRequest { root, at, .. } in requests {
        let mut listing = NameList::new(root, at, plan.filters.clone());
        for expanded in names.iter().flat_map(|name| listing.expand(name)) {
            match expanded {
                Ok(request) => walk.add(request),
                Err((name, failure)) => found.blocking_send(WalkEntry::Problem { name, failure })?,
            }
            while let ControlFlow::Continue(item) = walk.step() {
                item.map_or(Ok(()), |item| found.blocking_send(item))?;
            }
        }
    }
    walk.conclusion().map_or(Ok(()), |note| found.blocking_send(note))
}
