//! What a server does not allow, it refuses file by file, and takes or gives the rest.

use std::fs::{self, File, Metadata, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use crate::support::field::{self, Field};
use crate::support::soon;
use qft::client::{Client, GetOptions, SendOptions, TransferOptions};
use qft::error::Error;
use qft::progress::JobReport;
use qft::protocol::message::{IfExists, Status};
use qft::server::AccessMode;
use tempfile::TempDir;

/// A server in some mode that holds `old`, and a client with newer files.
struct Case {
    field: Field,
    client: Client,
    place: TempDir,
}

const OLD: &[u8] = b"what the server had";
const NEW: &[u8] = b"what the client has, and it is longer";

impl Case {
    fn new(mode: AccessMode, no_clobber: bool) -> Self {
        let field = Field::with(|builder| builder.mode(mode).no_clobber(no_clobber));
        field::write(&field.path("old"), OLD);
        let place = tempfile::tempdir().unwrap();
        for name in ["old", "new", "dir/below"] {
            field::write(&place.path().join(name), NEW);
        }
        let client = Client::builder(field.honest.clone()).build().unwrap();
        Self { field, client, place }
    }

    async fn send(&self, if_exists: IfExists) -> JobReport {
        let paths = ["old", "new", "dir"].map(|name| self.place.path().join(name)).to_vec();
        let options = TransferOptions { if_exists, ..TransferOptions::default() };
        soon("the end", self.client.send(self.field.ticket(), paths, options).finish()).await.unwrap()
    }

    async fn get(&self, pattern: &[u8]) -> JobReport {
        let into = self.place.path().join("into");
        let job = self.client.get(self.field.ticket(), vec![pattern.to_vec()], into, GetOptions::default());
        soon("the end", job.finish()).await.unwrap()
    }
}

/// What failed, and how.
fn failures(report: &JobReport) -> Vec<(&str, Status)> {
    let mut failures: Vec<_> = report.failures.iter().map(|(name, failure)| (&**name, failure.status)).collect();
    failures.sort_unstable_by_key(|(name, _)| *name);
    failures
}

#[tokio::test]
async fn a_read_only_server_refuses_every_file_and_gives_what_it_has() {
    let case = Case::new(AccessMode::ReadOnly, false);
    let report = case.send(IfExists::Replace).await;
    let refused = ["dir", "dir/below", "new", "old"].map(|name| (name, Status::NotAllowed));
    assert_eq!((report.done, failures(&report)), (0, refused.to_vec()));
    assert_eq!(case.field.names(), ["old"]);
    assert_eq!(fs::read(case.field.path("old")).unwrap(), OLD);
    let report = case.get(b"old").await;
    assert_eq!((report.done, report.failed), (1, 0));
    assert_eq!(fs::read(case.place.path().join("into/old")).unwrap(), OLD);
}

#[tokio::test]
async fn a_write_only_server_gives_nothing_lists_nothing_and_takes_files() {
    let case = Case::new(AccessMode::WriteOnly, false);
    let report = case.get(b"old").await;
    assert_eq!((report.done, failures(&report)), (0, vec![("old", Status::NotAllowed)]));
    assert!(!case.place.path().join("into/old").exists());
    for pattern in ["", "old", "*"] {
        let listed = soon("the list", case.client.list(case.field.ticket(), pattern.into(), true)).await;
        let Err(Error::Remote { failure, .. }) = listed else { panic!("{pattern}: {listed:?}") };
        assert_eq!(failure.status, Status::NotAllowed, "{pattern}");
    }
    let report = case.send(IfExists::Replace).await;
    assert_eq!((report.done, report.failed), (3, 0));
    assert_eq!(fs::read(case.field.path("old")).unwrap(), NEW);
}

#[tokio::test]
async fn a_server_that_replaces_nothing_takes_what_is_new() {
    let case = Case::new(AccessMode::ReadWrite, true);
    let report = case.send(IfExists::Replace).await;
    assert_eq!((report.done, failures(&report)), (2, vec![("old", Status::Exists)]));
    assert_eq!(case.field.names(), ["dir/below", "new", "old"]);
    assert_eq!(fs::read(case.field.path("old")).unwrap(), OLD);
    assert_eq!(fs::read(case.field.path("new")).unwrap(), NEW);
}

#[tokio::test]
async fn a_server_that_replaces_nothing_lets_a_client_step_aside() {
    for (if_exists, done, names) in [
        (IfExists::Skip, 2, vec!["dir/below", "new", "old"]),
        (IfExists::Rename, 3, vec!["dir/below", "new", "old", "old~1"]),
        (IfExists::Fail, 2, vec!["dir/below", "new", "old"]),
    ] {
        let case = Case::new(AccessMode::ReadWrite, true);
        let report = case.send(if_exists).await;
        assert_eq!((report.done, case.field.names()), (done, names.iter().map(ToString::to_string).collect()));
        assert_eq!(fs::read(case.field.path("old")).unwrap(), OLD, "{if_exists:?}");
    }
}

/// Time and permission bits of a directory that is ten years old and for its owner alone.
fn age(path: &std::path::Path) -> Metadata {
    fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_460_000_000);
    File::open(path).unwrap().set_modified(long_ago).unwrap();
    path.metadata().unwrap()
}

#[tokio::test]
async fn who_may_replace_nothing_leaves_directories_as_they_are() {
    for (no_clobber, keeps) in [(true, true), (false, false)] {
        let case = Case::new(AccessMode::ReadWrite, no_clobber);
        let (there, new) = (case.field.path("dir"), case.field.path("fresh"));
        // Nothing is new in it, so only its own time and mode could change.
        field::write(&there.join("below"), NEW);
        let before = age(&there);
        let (sent, fresh) = (case.place.path().join("dir"), case.place.path().join("fresh"));
        fs::set_permissions(&sent, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(&fresh).unwrap();
        let young = age(&fresh);
        let job = case.client.send(case.field.ticket(), vec![sent, fresh], SendOptions::default());
        soon("the end", job.finish()).await.unwrap();
        let after = there.metadata().unwrap();
        let is_kept =
            (after.modified().unwrap(), after.permissions()) == (before.modified().unwrap(), before.permissions());
        assert_eq!(is_kept, keeps, "no_clobber: {no_clobber}");
        let made = new.metadata().unwrap();
        assert_eq!(made.modified().unwrap(), young.modified().unwrap(), "a new one gets its own");
        assert_eq!(made.permissions(), young.permissions());
    }
}
