//! Errors as the user reads them.

use std::io::Write as _;

use super::super::exit::{self, Complaint, Exit};
use super::json::Json;
use super::text::shown;
use crate::transport::{self, Fingerprint, Identity};

/// An error in one line; only what has a key in it takes more.
pub(crate) fn message(error: &anyhow::Error) -> String {
    if let Some(Complaint::Untrusted(text)) = error.downcast_ref() {
        return text.lines().map(shown).collect::<Vec<_>>().join("\n");
    }
    let text = shown(&format!("{error:#}")).into_owned();
    match exit::is_not_enrolled(error).then(own_fingerprint).flatten() {
        Some(own) => format!("{text}\n  or have it let in there: qft peers allow {own}"),
        None => text,
    }
}

/// This machine's key, for whoever may let it in.
fn own_fingerprint() -> Option<Fingerprint> {
    let identity = Identity::load_or_create(&transport::home().ok()?).ok()?;
    Some(identity.fingerprint())
}

/// Reports an error of a command that shows no progress.
pub(crate) fn report(error: &anyhow::Error, command: &str, json: bool) -> Exit {
    let exit = Exit::of_error(error);
    match json {
        true => Json::stdout().end(Some(&message(error)), exit, serde_json::json!({ "command": command })),
        // Whoever stopped it knows that it has stopped.
        false if matches!(error.downcast_ref(), Some(Complaint::Interrupted)) => {}
        false => drop(writeln!(std::io::stderr(), "qft: {}", message(error))),
    }
    exit
}
