//! `qft status`: the servers that run here, and what each does now.

mod text;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::cli::args::StatusArgs;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::run::signals::{HangUps, block_on};
use crate::cli::run::standard;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::shown;
use crate::keys;
use crate::server::ServerStatus;
use crate::server::{self, AskError, Serving};

/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;

/// A server that runs, and what it says; else why it says nothing.
struct FoundServer {
    serving: Serving,
    answer: Result<ServerStatus, String>,
}

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<Exit> {
    let home = keys::home()?;
    let running = server::running(&home)?;
    if running.is_empty() {
        let home = home.display().to_string();
        return Err(anyhow!("no server runs here (home {}); to start one: qft serve DIR", shown(&home)));
    }
    let found = block_on(HangUps::End, async |mut signals| {
        tokio::select! {
            found = ask_all(&home, running) => Ok(found),
            stop = signals.next() => Err(Complaint::Interrupted(stop).into()),
        }
    })?;
    let exit = match found.iter().all(|found| found.answer.is_ok()) {
        true => Exit::Done,
        false => Exit::Unreachable,
    };
    match args.json {
        true => print_json(&found, exit),
        // A reader that has closed the pipe has seen enough.
        false => drop(write!(standard::output(), "{}", text::page(&found, columns()))),
    }
    Ok(exit)
}

async fn ask_all(home: &Path, running: Vec<Serving>) -> Vec<FoundServer> {
    let mut found = Vec::new();
    for serving in running {
        let answer = server::ask(home, &serving).await;
        found.push(FoundServer { serving, answer: understood(answer) });
    }
    found
}

fn understood(answer: Result<Vec<u8>, AskError>) -> Result<ServerStatus, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    serde_json::from_slice(&answer).map_err(|_| {
        let version = serde_json::from_slice::<Value>(&answer).ok();
        let version = version.as_ref().and_then(|value| value["version"].as_str()).unwrap_or("of another version");
        format!("this qft does not understand its answer; it is qft {version}")
    })
}

/// The width of the terminal; `None` where there is none.
fn columns() -> Option<usize> {
    let stdout = io::stdout();
    let told = || rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    stdout.is_terminal().then(|| match told() {
        0 => COLUMNS,
        columns => columns,
    })
}

fn print_json(found: &[FoundServer], exit: Exit) {
    let mut json = Json::stdout();
    json.start("status", json!({}));
    found.iter().for_each(|found| json.line("server", &server_json(found)));
    let clients: usize = found.iter().filter_map(|found| found.answer.as_ref().ok()).map(|status| status.clients).sum();
    json.end(None, exit, json!({"servers": found.len(), "clients": clients}));
}

/// The server's status, below the facts from its presence file.
fn server_json(found: &FoundServer) -> Value {
    let Serving { pid, listen, fingerprint, root, .. } = &found.serving;
    let mut body = match &found.answer {
        Ok(status) => serde_json::to_value(status).expect("numbers and texts"),
        Err(why) => json!({ "message": why }),
    };
    body["answers"] = found.answer.is_ok().into();
    body["pid"] = (*pid).into();
    body["address"] = listen.to_string().into();
    body["fingerprint"] = fingerprint.to_string().into();
    body["root"] = root.as_str().into();
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_understood_names_the_version() {
        for (answer, words) in [
            (r#"{"version":"9.9.9","uptime_ms":"long"}"#, "it is qft 9.9.9"),
            (r#"{"uptime_ms":1}"#, "of another version"),
            ("", "of another version"),
        ] {
            let why = understood(Ok(answer.into())).expect_err("it is no status");
            assert!(why.ends_with(words), "{why}");
        }
        assert_eq!(understood(Err(AskError::NoSocket)), Err(AskError::NoSocket.to_string()));
    }
}
