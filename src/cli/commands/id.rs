//! `qft id`: this machine's name and fingerprint.

use std::io::Write as _;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::args::IdArgs;
use crate::cli::exit::Exit;
use crate::cli::run::standard;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::shown;
use crate::keys::{self, Identity};
use crate::session::host_name;

pub(crate) fn run(args: &IdArgs) -> anyhow::Result<Exit> {
    let identity = Identity::load_or_create(&keys::home()?).context("this machine's identity")?;
    let (name, fingerprint) = (host_name(), identity.fingerprint().to_string());
    if args.json {
        let mut json = Json::stdout();
        json.start("id", json!({}));
        json.note("identity", json!({"name": name, "fingerprint": fingerprint}));
        json.end(None, Exit::Done, json!({}));
    } else {
        writeln!(standard::output(), "{}  {fingerprint}", shown(&name)).context("writing to standard output")?;
    }
    Ok(Exit::Done)
}
