//! `qft cert`: a private authority, its certificates, and what certificates say.

mod show;

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use crate::atomic_file::{OnExisting, write_atomically};
use crate::cli::args::{CertArgs, CertCommand};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::ui::json::Json;
use crate::keys::certificate::{self, CertificateRequest, CertificateRole, IssueError, Issued};
use crate::protocol::path::{escape, escape_path};
use crate::session::host_name;

/// The authority's name in its directory.
const CA: &str = "ca";
/// Mode of a private key.
const KEY_MODE: u32 = 0o600;
/// Mode of a certificate, which is for everyone.
const CERTIFICATE_MODE: u32 = 0o644;
/// Mode of a directory that is made for them.
const DIRECTORY_MODE: u32 = 0o700;

pub(crate) fn run(args: &CertArgs) -> anyhow::Result<Exit> {
    let said = match &args.command {
        CertCommand::Ca { dir, name, term } => ca(dir, name.as_deref(), term.days, existing(term.force))?,
        CertCommand::Issue { dir, name, san, client, days, force } => {
            let role = if *client { CertificateRole::Client } else { CertificateRole::Server };
            issue(dir, name, san, role, *days, existing(*force))?
        }
        CertCommand::Show { file } => return show::run(file, args.json),
    };
    if args.json {
        let mut json = Json::stdout();
        json.start("cert", json!({}));
        json.note("certificate", json!({ "certificate": said.files.0, "key": said.files.1 }));
        json.end(None, Exit::Done, json!({}));
    } else {
        writeln!(io::stderr(), "{}", said.text).context("writing to standard error")?;
    }
    Ok(Exit::Done)
}

/// The files that were made, and the advice on their use.
struct CertOutput {
    files: (String, String),
    text: String,
}

fn existing(force: bool) -> OnExisting {
    if force { OnExisting::Replaced } else { OnExisting::Kept }
}

fn ca(dir: &Path, name: Option<&str>, days: u32, existing: OnExisting) -> anyhow::Result<CertOutput> {
    let name = name.map_or_else(|| format!("qft CA of {}", host_name()), str::to_owned);
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(dir)
        .with_context(|| format!("cannot make {}", escape_path(dir)))?;
    let files = write(dir, CA, &certificate::new_authority(&name, days)?, existing)?;
    let (certificate, key) = &files;
    let dir = escape_path(dir);
    let text = format!(
        "made {certificate} and {key}, good for {days} days\n\
        whoever has {key} can make certificates: keep it off the machines that\n\
        transfer files, and give them {certificate}\n\
        next, for each server:  qft cert issue {dir} HOST\n\
        and for each client:    qft cert issue {dir} NAME --client"
    );
    Ok(CertOutput { files, text })
}

fn issue(
    dir: &Path,
    name: &str,
    more: &[String],
    role: CertificateRole,
    days: u32,
    existing: OnExisting,
) -> anyhow::Result<CertOutput> {
    check_name(name)?;
    let hosts: Vec<String> = match role {
        CertificateRole::Server => std::iter::once(name.to_owned()).chain(more.iter().cloned()).collect(),
        CertificateRole::Client => Vec::new(),
    };
    let (certificate, key) = files(dir, CA);
    if !certificate.exists() || !key.exists() {
        let dir = escape_path(dir);
        return Err(Complaint::Usage(format!("{dir} holds no CA (ca.crt and ca.key): qft cert ca {dir}")).into());
    }
    let request = CertificateRequest { name: name.to_owned(), hosts, role, days };
    let issued = certificate::issue(&certificate, &key, &request).map_err(|error| match error {
        IssueError::Host(_) => Complaint::Usage(format!("{error}; --san takes them with commas between")).into(),
        IssueError::Authority(error) => anyhow::Error::from(error),
        error => error.into(),
    })?;
    let files = write(dir, name, &issued, existing)?;
    let text = next_steps(&request, &files);
    Ok(CertOutput { files, text })
}

/// What to do with a certificate and its key, for who reads.
fn next_steps(request: &CertificateRequest, (certificate, key): &(String, String)) -> String {
    let CertificateRequest { name, hosts, role, days } = request;
    match role {
        CertificateRole::Server => format!(
            "made {certificate} and {key}, good for {days} days\n\
            for a server that clients call: {}\n\
            copy both to that machine and run:\n    \
            qft serve DIR --cert {name}.crt --key {name}.key\n\
            with --client-ca ca.crt it also lets in clients that have a certificate",
            hosts.join(", ")
        ),
        CertificateRole::Client => format!(
            "made {certificate} and {key}, good for {days} days\n\
            for the client {name}\n\
            copy both, and ca.crt, to that machine and run:\n    \
            qft send FILES HOST: --ca ca.crt --cert {name}.crt --key {name}.key"
        ),
    }
}

/// The name of a certificate is that of its files too.
fn check_name(name: &str) -> Result<(), Complaint> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(is_plain) {
        let shown = escape(name.as_bytes());
        return Err(Complaint::Usage(format!(
            "'{shown}' cannot name files: letters, digits, '.', '-' and '_' can; other names and addresses go in --san"
        )));
    }
    match name.eq_ignore_ascii_case(CA) {
        true => Err(Complaint::usage("'ca' is the CA's own name")),
        false => Ok(()),
    }
}

fn files(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")))
}

/// Writes both files, or none where one is there already and is to be kept.
fn write(dir: &Path, name: &str, issued: &Issued, existing: OnExisting) -> anyhow::Result<(String, String)> {
    let (certificate, key) = files(dir, name);
    if existing == OnExisting::Kept {
        for path in [&certificate, &key] {
            if path.symlink_metadata().is_ok() {
                let shown = escape_path(path);
                return Err(
                    Complaint::Usage(format!("{shown} exists; --force replaces it, and its key is lost")).into()
                );
            }
        }
    }
    let failed = |path: &Path| format!("writing {}", escape_path(path));
    write_atomically(&key, &issued.key, KEY_MODE, existing).with_context(|| failed(&key))?;
    write_atomically(&certificate, &issued.certificate, CERTIFICATE_MODE, existing)
        // A key without its certificate is of no use.
        .inspect_err(|_| drop(fs::remove_file(&key)))
        .with_context(|| failed(&certificate))?;
    Ok((escape_path(&certificate).to_string(), escape_path(&key).to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_private_and_never_overwritten_unless_told_to() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path().join("certs");
        ca(&dir, None, 1, OnExisting::Kept).expect("made");
        assert_eq!((mode(&dir), mode(&dir.join("ca.key")), mode(&dir.join("ca.crt"))), (0o700, 0o600, 0o644));
        let before = fs::read(dir.join("ca.key")).expect("readable");
        let refused = ca(&dir, None, 1, OnExisting::Kept).err().expect("refused");
        assert!(refused.to_string().contains("--force"), "{refused}");
        fs::remove_file(dir.join("ca.crt")).expect("removed");
        assert!(ca(&dir, None, 1, OnExisting::Kept).is_err(), "the key alone is reason enough");
        assert_eq!(fs::read(dir.join("ca.key")).expect("readable"), before);
        ca(&dir, None, 1, OnExisting::Replaced).expect("made");
        assert_ne!(fs::read(dir.join("ca.key")).expect("readable"), before);
        assert_eq!(mode(&dir.join("ca.key")), 0o600);
    }

    #[test]
    fn a_certificate_needs_an_authority_and_a_name_that_files_can_have() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let make = |name: &str| issue(dir.path(), name, &[], CertificateRole::Client, 1, OnExisting::Kept).err();
        let refused = make("laptop").expect("no CA");
        assert!(refused.to_string().contains("qft cert ca "), "{refused}");
        ca(dir.path(), None, 1, OnExisting::Kept).expect("made");
        for name in ["", "../x", "a/b", ".hidden", "-x", "ca", "CA", "a b", "fe80::1"] {
            let refused = make(name).expect("refused");
            assert_eq!(Exit::of_error(&refused), Exit::Usage, "{name}: {refused}");
        }
        assert!(make("laptop").is_none() && dir.path().join("laptop.key").exists());
    }
}
