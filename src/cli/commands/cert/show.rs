//! The content of a certificate, for people and for programs.

use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::run::standard;
use crate::cli::ui::json::Json;
use crate::cli::ui::text::shown;
use crate::keys::certificate::{Description, Validity, describe_file};

pub(super) fn run(file: &Path, json: bool) -> anyhow::Result<Exit> {
    let found = describe_file(file)?;
    if json {
        let mut json = Json::stdout();
        json.start("cert", json!({}));
        found.iter().for_each(|one| json.note("certificate", value(one)));
        json.end(None, Exit::Done, json!({ "certificates": found.len() }));
    } else {
        let text: Vec<String> = found.iter().map(lines).collect();
        write!(standard::output(), "{}", text.join("\n")).context("writing to standard output")?;
    }
    Ok(Exit::Done)
}

fn lines(certificate: &Description) -> String {
    let Description { subject, issuer, from, until, fingerprint, .. } = certificate;
    let issuer = if issuer == subject { "itself".to_owned() } else { shown(issuer).into_owned() };
    let end = match certificate.ending(SystemTime::now()) {
        Validity::Far => String::new(),
        Validity::Soon { days } => format!("  ENDS WITHIN {} DAY{}", days, if days == 1 { "" } else { "S" }),
        Validity::Over => "  EXPIRED".to_owned(),
    };
    let mut text =
        format!("certificate  {}\nissued by    {issuer}\ngood for     {}\n", shown(subject), uses(certificate));
    if !certificate.hosts.is_empty() {
        text.push_str(&format!("hosts        {}\n", shown(&certificate.hosts.join(", "))));
    }
    text.push_str(&format!("valid        {from} to {until}{end}\nfingerprint  {fingerprint}\n"));
    text
}

fn uses(certificate: &Description) -> &'static str {
    match (certificate.is_authority, certificate.for_servers, certificate.for_clients) {
        (true, _, _) => "issuing certificates (a CA)",
        (_, true, true) => "servers and clients",
        (_, true, false) => "a server",
        (_, false, true) => "a client",
        (_, false, false) => "neither servers nor clients",
    }
}

fn value(certificate: &Description) -> Value {
    let ending = certificate.ending(SystemTime::now());
    json!({
        "subject": certificate.subject, "issuer": certificate.issuer, "ca": certificate.is_authority,
        "server": certificate.for_servers, "client": certificate.for_clients, "hosts": certificate.hosts,
        "from": certificate.from, "until": certificate.until, "expired": ending == Validity::Over,
        "ends_soon": matches!(ending, Validity::Soon { .. }), "fingerprint": certificate.fingerprint.to_string(),
    })
}
