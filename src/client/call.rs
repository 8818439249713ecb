//! A connection to a server on its way: in a task of its own, so that another connection can be used meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::{Client, path};
use crate::congestion::PathState;
use crate::keys::Contact;
use crate::progress::{Event, Observer};
use crate::protocol::close::CloseCode;
use crate::transport::{self, Dialled, TransportError, Tuning};

/// Longest wait for a server's first answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Time between two lookups of a name that leads nowhere.
const LOOKUP_WAIT: Duration = Duration::from_secs(1);

/// A connection that stands, and has not been greeted.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) dialled: Dialled,
    /// The congestion controller's estimate of the path.
    pub(super) path: Arc<PathState>,
    /// From the first packet until it stood.
    pub(super) handshake: Duration,
}

/// A connection that is being made, or stands and waits to be used. Dropping it ends it.
#[derive(Debug)]
pub(super) struct DialTask {
    task: JoinHandle<Result<Answered, TransportError>>,
    answered: Option<Answered>,
}

impl DialTask {
    /// Begins. `observer` hears of a name that leads nowhere.
    pub(super) fn begin(client: &Client, contact: &Contact, observer: Option<&Observer>) -> Self {
        let task = tokio::spawn(make(client.clone(), contact.clone(), observer.cloned()));
        Self { task, answered: None }
    }

    /// Waits until the connection stands, and gives the time that its handshake took. Safe to cancel. Once.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn stands(&mut self) -> Result<Duration, TransportError> {
        let answered = join(&mut self.task).await?;
        Ok(self.answered.insert(answered).handshake)
    }

    /// The connection, when it stands.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn answered(mut self) -> Result<Answered, TransportError> {
        match self.answered.take() {
            Some(answered) => Ok(answered),
            None => join(&mut self.task).await,
        }
    }
}

impl Drop for DialTask {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(answered) = &self.answered {
            transport::close(&answered.dialled.connection, CloseCode::Done, "");
        }
    }
}

async fn join(task: &mut JoinHandle<Result<Answered, TransportError>>) -> Result<Answered, TransportError> {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only whoever drops the call aborts it.
            Err(_) => std::future::pending().await,
        },
    }
}

async fn make(client: Client, contact: Contact, observer: Option<Observer>) -> Result<Answered, TransportError> {
    let path = Arc::<PathState>::default();
    let mut tuning = Tuning::new(Arc::new(path::controller(&client, &contact, &path).await));
    tuning.idle_timeout = client.within_patience(tuning.idle_timeout);
    tuning.throttle = client.throttle.clone();
    tuning.local = client.local;
    let called = Instant::now();
    let dialled = dial(&client, &contact, &tuning, observer.as_ref()).await?;
    Ok(Answered { dialled, path, handshake: called.elapsed() })
}

/// Dials; a name that leads nowhere yet (a machine that has just woken up, a network that is not there) is looked up
/// again for as long as a silent address would be waited for.
async fn dial(
    client: &Client,
    contact: &Contact,
    tuning: &Tuning,
    observer: Option<&Observer>,
) -> Result<Dialled, TransportError> {
    let deadline = client.within_patience(CONNECT_DEADLINE);
    let end = Instant::now() + deadline;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match transport::dial(contact, &client.identity, tuning, deadline).await {
            Err(TransportError::Resolve { host, source }) if Instant::now() + LOOKUP_WAIT < end => {
                let cause = format!("cannot find the address of {host}: {source}");
                if let Some(observer) = observer {
                    observer.event(Event::Reconnecting { attempt, after: LOOKUP_WAIT, cause });
                }
                tokio::time::sleep(LOOKUP_WAIT).await;
            }
            outcome => return outcome,
        }
    }
}
