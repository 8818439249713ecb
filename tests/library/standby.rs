//! A connection that goes silent in mid-transfer, and a second one beside it: which of the two goes on, and what the server
//! takes them for.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qft::client::{Client, GetOptions, Job, SendOptions};
use qft::keys::Ticket;
use qft::progress::{Event, JobReport};
use qft::server::{Notice, ServeOnce, ServerBuilder};
use qft::transport::Rate;
use tempfile::TempDir;

use crate::support::field::{Field, write};
use crate::support::relay::Relay;
use crate::support::{content, soon, until};

/// At this rate the file outlasts what is done to its transfer.
const RATE: u64 = 1 << 20;
const BYTES: usize = 6 << 20;
/// It is done when so much has arrived.
const BEGUN_BYTES: u64 = 1 << 20;
/// Content that a lost connection may cost: chunks that were not complete, and what was not reported of those that were.
const LOST_BYTES_MAX: u64 = 3 << 20;

/// Outages in one of which this machine has to be quick enough.
const TRIES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Send,
    Get,
}

/// A transfer that has begun, over a relay.
struct Scene {
    field: Field,
    relay: Relay,
    job: Job,
    role: Role,
    here: TempDir,
    told: Vec<Event>,
}

impl Scene {
    async fn new(role: Role, settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let field = Field::with(settings);
        let relay = Relay::start(field.server.local_addr(), Duration::from_millis(5)).await;
        let here = tempfile::tempdir().unwrap();
        let (from, ticket) = (here.path().join("file"), Ticket { port: relay.port(), ..field.ticket() });
        let client = Client::builder(field.honest.clone()).rate_limit(Rate::new(RATE)).build().unwrap();
        let job = match role {
            Role::Send => {
                write(&from, &content(BYTES));
                client.send(ticket, vec![from], SendOptions::default())
            }
            Role::Get => {
                write(&field.path("file"), &content(BYTES));
                client.get(ticket, vec![b"file".to_vec()], here.path().to_owned(), GetOptions::default())
            }
        };
        let counters = job.counters();
        until("content", || counters.bytes_written.load(Ordering::Relaxed) > BEGUN_BYTES).await;
        Self { field, relay, job, role, here, told: Vec::new() }
    }

    /// Waits for an event.
    async fn wait_to_tell(&mut self, mut wanted: impl FnMut(&Event) -> bool) {
        soon("the event", async {
            loop {
                let Some(event) = self.job.next().await else { panic!("the job has ended: {:?}", self.told) };
                let is_it = wanted(&event);
                self.told.push(event);
                if is_it {
                    return;
                }
            }
        })
        .await;
    }

    /// Waits for the end, sees that all has arrived, and gives what was told here and at the server.
    async fn end(mut self) -> Told {
        soon("the job's end", async {
            while let Some(event) = self.job.next().await {
                self.told.push(event);
            }
        })
        .await;
        let report = self.job.finish().await.unwrap();
        assert_eq!((report.done, report.failed), (1, 0), "{report:?}");
        let arrived: PathBuf = match self.role {
            Role::Send => self.field.path("file"),
            Role::Get => self.here.path().join("file"),
        };
        assert!(fs::read(arrived).unwrap() == content(BYTES), "another content");
        until("every connection's end", || self.field.server.active() == [0, 0]).await;
        let connections = self.relay.connections();
        self.field.server.handle().shutdown(Duration::ZERO);
        let mut notices = Vec::new();
        while let Some(notice) = soon("the server's end", self.field.server.notice()).await {
            notices.push(notice);
        }
        Told { report, events: self.told, notices, connections }
    }
}

struct Told {
    report: JobReport,
    events: Vec<Event>,
    notices: Vec<Notice>,
    connections: usize,
}

impl Told {
    /// Why connections were replaced.
    fn reconnects(&self) -> Vec<&str> {
        let causes = self.events.iter().filter_map(|event| match event {
            Event::Reconnecting { cause, .. } => Some(cause.as_str()),
            _ => None,
        });
        causes.collect()
    }

    /// How many clients the server has let in, and that it has turned none away.
    fn let_in(&self) -> usize {
        let refused = self.notices.iter().find(|notice| matches!(notice, Notice::Refused { .. }));
        assert!(refused.is_none(), "{refused:?}");
        self.notices.iter().filter(|notice| matches!(notice, Notice::Connected { .. })).count()
    }

    /// Another connection has taken over, and what had arrived was not sent again.
    fn was_taken_over(&self) {
        let reconnects = self.reconnects();
        assert!(matches!(reconnects[..], [cause] if cause.contains("a new one takes its place")), "{reconnects:?}");
        assert_eq!(self.let_in(), 2);
        let written = self.report.bytes_written;
        assert!(written.abs_diff(BYTES as u64) <= LOST_BYTES_MAX, "{written} of {BYTES}");
    }
}

async fn dies(role: Role, settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Told {
    let scene = Scene::new(role, settings).await;
    scene.relay.lose_connections();
    scene.end().await
}

#[tokio::test]
async fn a_connection_that_is_dead_is_replaced_by_one_that_was_made_beside_it() {
    let (send, get) = tokio::join!(dies(Role::Send, |builder| builder), dies(Role::Get, |builder| builder));
    send.was_taken_over();
    get.was_taken_over();
}

#[tokio::test]
async fn a_server_for_one_job_takes_the_second_connection_for_the_same_job() {
    let once = |builder: ServerBuilder| builder.once(Some(ServeOnce::Client));
    let (send, get) = tokio::join!(dies(Role::Send, once), dies(Role::Get, once));
    send.was_taken_over();
    get.was_taken_over();
}

#[tokio::test]
async fn a_server_with_one_place_gives_it_to_the_second_connection_of_the_client_that_has_it() {
    let told = dies(Role::Send, |builder| builder.clients_max(1)).await;
    assert_eq!(told.reconnects().len(), 1, "{:?}", told.reconnects());
    let connected = told.notices.iter().filter(|notice| matches!(notice, Notice::Connected { .. })).count();
    assert_eq!(connected, 2);
}

/// `None` where this machine was too busy to let an end answer in time, now or once more before the end: then the second
/// connection rightly takes over.
async fn comes_back(role: Role) -> Option<Told> {
    let mut scene = Scene::new(role, |builder| builder).await;
    scene.relay.shut(true);
    scene.wait_to_tell(|event| matches!(event, Event::Silent { .. })).await;
    // The second connection is called by now.
    let relay = &scene.relay;
    until("a second connection", || relay.connections() > 1).await;
    scene.relay.shut(false);
    scene.wait_to_tell(|event| matches!(event, Event::Answered { .. } | Event::Reconnecting { .. })).await;
    let answered = matches!(scene.told.last(), Some(Event::Answered { .. }));
    let told = scene.end().await;
    let silences = told.events.iter().filter(|event| matches!(event, Event::Silent { .. })).count();
    (answered && silences == 1).then_some(told)
}

/// The same, as often as it takes this machine to be quick enough.
async fn comes_back_in_time(role: Role) -> Told {
    for _ in 0..TRIES {
        if let Some(told) = comes_back(role).await {
            return told;
        }
    }
    panic!("a connection that lives is not heard in time");
}

#[tokio::test]
async fn a_connection_that_answers_again_goes_on_and_nothing_is_heard_of_the_second() {
    let (sent, got) = tokio::join!(comes_back_in_time(Role::Send), comes_back_in_time(Role::Get));
    for told in [sent, got] {
        assert!(told.connections > 1, "a second was called");
        assert_eq!(told.reconnects(), [""; 0]);
        assert_eq!(told.let_in(), 1);
        assert_eq!(told.report.bytes_written, BYTES as u64);
    }
}
