use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

fn key(number: u8) -> Fingerprint {
    Fingerprint([number; 32])
}

fn knows(clients: &Clients, number: u8) -> bool {
    clients.find(&key(number)).unwrap().is_some()
}

fn enrol(clients: &Clients, number: u8, name: &str) -> Option<ListedClient> {
    clients.enrol(&key(number), name, &ClientEntry::default()).unwrap()
}

fn rights(text: &str) -> Rights {
    Rights::parse(text).unwrap()
}

fn write(home: &Path, text: &str) {
    fs::write(home.join(FILE), text).unwrap();
    fs::set_permissions(home.join(FILE), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn nobody_is_enrolled_where_there_is_no_list() {
    let home = tempfile::tempdir().unwrap();
    assert!(!knows(&Clients::open(home.path()).unwrap(), 1));
}

#[test]
fn an_enrolled_client_is_known_to_every_process_and_only_once() {
    let home = tempfile::tempdir().unwrap();
    let (one, other) = (Clients::open(home.path()).unwrap(), Clients::open(home.path()).unwrap());
    assert!(enrol(&one, 1, "Anna's laptop\n#").is_some());
    assert!(enrol(&other, 1, "again").is_none());
    assert!(knows(&other, 1));
    assert!(!knows(&other, 2));
    let listed = one.list().unwrap().clients;
    assert_eq!((listed.len(), listed[0].fingerprint, listed[0].name.as_str()), (1, key(1), "Anna-s-laptop"));
    assert_eq!(listed[0].rights, Rights::default());
    assert_eq!(fs::metadata(home.path().join(FILE)).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_broken_line_is_skipped_and_all_others_count_and_stay() {
    let home = tempfile::tempdir().unwrap();
    let text = format!("# mine\n{} a\nnonsense\n{} b read-only root=x\n\n{}", key(1), key(2), key(3));
    write(home.path(), &text);
    let clients = Clients::open(home.path()).unwrap();
    assert!(knows(&clients, 1));
    assert!(!knows(&clients, 2), "options that are not understood let no one in");
    assert!(knows(&clients, 3));
    enrol(&clients, 4, "d");
    assert!(knows(&clients, 4));
    assert!(
        fs::read_to_string(home.path().join(FILE)).unwrap().starts_with(&format!("{text}\n{} d  # added ", key(4)))
    );
}

#[test]
fn a_change_of_the_file_is_seen_at_once() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &format!("{} a\n", key(1)));
    let clients = Clients::open(home.path()).unwrap();
    assert!(knows(&clients, 1));
    write(home.path(), &format!("{} a\n# {} a\n", key(2), key(1)));
    assert!(!knows(&clients, 1));
    fs::remove_file(home.path().join(FILE)).unwrap();
    assert!(!knows(&clients, 2));
}

#[test]
fn a_key_that_a_comment_touches_is_shut_out_as_it_is_let_in() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &format!("{}# mine\n{}#\n#{}\n", key(1), key(2), key(3)));
    let clients = Clients::open(home.path()).unwrap();
    assert!(knows(&clients, 1) && knows(&clients, 2) && !knows(&clients, 3));
    assert!(clients.remove(&key(1)).unwrap() && clients.remove(&key(2)).unwrap());
    assert!(!knows(&clients, 1) && !knows(&clients, 2));
    assert!(!clients.remove(&key(3)).unwrap(), "a comment names nobody");
}

#[test]
fn a_removed_client_is_shut_out_and_comments_stay() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &format!("# mine\n{} a\n{} b # old\n", key(1), key(2)));
    let clients = Clients::open(home.path()).unwrap();
    assert!(clients.remove(&key(1)).unwrap());
    assert!(!clients.remove(&key(1)).unwrap());
    assert!(!knows(&clients, 1));
    assert_eq!(fs::read_to_string(home.path().join(FILE)).unwrap(), format!("# mine\n{} b # old\n", key(2)));
}

#[test]
fn a_list_that_others_can_write_to_lets_no_one_in() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &format!("{} a\n", key(1)));
    let clients = Clients::open(home.path()).unwrap();
    fs::set_permissions(home.path().join(FILE), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(clients.find(&key(1)), Err(HomeError::Writable { .. })));
}

#[test]
fn enrolments_at_once_all_survive() {
    const PROCESSES: u8 = 4;
    const EACH: u8 = 8;
    let home = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for process in 0..PROCESSES {
            // The lock belongs to an open file, so instances exclude each other as processes do.
            let clients = Clients::open(home.path()).unwrap();
            scope.spawn(move || {
                for n in 0..EACH {
                    assert!(enrol(&clients, process * EACH + n, "c").is_some());
                }
            });
        }
    });
    assert_eq!(Clients::open(home.path()).unwrap().list().unwrap().clients.len(), usize::from(PROCESSES * EACH));
}

#[test]
fn every_broken_line_is_reported_with_its_number_and_lets_nobody_in() {
    let home = tempfile::tempdir().unwrap();
    let good = format!("{} ro,root=in a # note\n", key(1));
    let broken =
        format!("{} readonly b\n{} c extra word\nxyz d\n{} again\n{} root=../up e\n", key(2), key(3), key(1), key(4));
    write(home.path(), &format!("{good}{broken}{} f\n", key(5)));
    let clients = Clients::open(home.path()).unwrap();
    let ClientListing { clients: listed, broken } = clients.list().unwrap();
    assert_eq!(listed.iter().map(|client| client.name.as_str()).collect::<Vec<_>>(), ["a", "f"]);
    assert_eq!(broken.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    for ((_, reason), words) in broken.iter().zip(["unknown option", "more than", "fingerprint", "line 1", "'..'"]) {
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(clients.find(&key(1)).unwrap().unwrap().rights, rights("ro,root=in"));
    assert!([2, 3, 4].into_iter().all(|number| !knows(&clients, number)) && knows(&clients, 5));
}

#[test]
fn an_invites_name_and_rights_become_the_clients() {
    let home = tempfile::tempdir().unwrap();
    let clients = Clients::open(home.path()).unwrap();
    let entry = ClientEntry { name: Some("ci".into()), rights: rights("wo,root=\"a #b\"") };
    let enrolled = clients.enrol(&key(1), "laptop", &entry).unwrap().unwrap();
    assert_eq!((enrolled.name.as_str(), &enrolled.rights), ("ci", &entry.rights));
    assert_eq!(clients.find(&key(1)).unwrap(), Some(enrolled));
    let names: Vec<_> = (2..5).map(|number| enrol(&clients, number, "CI.lan").unwrap().name).collect();
    assert_eq!(names, ["CI-2", "CI-3", "CI-4"], "names are unique, whatever their case");
}

#[test]
fn allowing_a_known_key_changes_its_rights_and_keeps_the_rest() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &format!("# mine\n{} a # at home\n{} b\n", key(1), key(2)));
    let clients = Clients::open(home.path()).unwrap();
    let Allowed::Changed { old, new } = clients.allow(&key(1), None, &rights("ro")).unwrap() else { panic!() };
    assert_eq!((old.rights, new.rights, new.comment.as_str()), (Rights::default(), rights("ro"), "at home"));
    let text = fs::read_to_string(home.path().join(FILE)).unwrap();
    assert_eq!(text, format!("# mine\n{} ro a  # at home\n{} b\n", key(1), key(2)));
    assert!(matches!(clients.allow(&key(1), Some("a"), &rights("ro")).unwrap(), Allowed::Same(_)));
    assert!(
        matches!(clients.allow(&key(1), Some("B"), &rights("ro")).unwrap(), Allowed::NameTaken(other) if other.name == "b")
    );
    assert!(matches!(clients.allow(&key(3), Some("b"), &rights("ro")).unwrap(), Allowed::NameTaken(_)));
    assert!(
        matches!(clients.allow(&key(3), Some("c"), &rights("wo")).unwrap(), Allowed::Added(new) if new.name == "c")
    );
    assert_eq!(clients.find(&key(3)).unwrap().unwrap().rights, rights("wo"));
}

#[test]
fn a_removed_client_has_no_broken_line_to_come_back_by() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &format!("{} a\n{} oops a b c\n{} b\n", key(1), key(1), key(2)));
    let clients = Clients::open(home.path()).unwrap();
    assert!(clients.remove(&key(1)).unwrap());
    assert_eq!(fs::read_to_string(home.path().join(FILE)).unwrap(), format!("{} b\n", key(2)));
}

#[test]
fn a_key_that_was_shut_out_stays_so_until_it_is_listed_again() {
    let home = tempfile::tempdir().unwrap();
    let (clients, other) = (Clients::open(home.path()).unwrap(), Clients::open(home.path()).unwrap());
    let status = |number| other.status(&key(number)).unwrap();
    enrol(&clients, 1, "laptop");
    assert!(matches!(status(1), KeyStatus::Listed(client) if client.name == "laptop"));
    assert!(clients.remove(&key(1)).unwrap());
    assert!(!clients.remove(&key(2)).unwrap(), "it was on no list");
    assert_eq!((status(1), status(2), status(3)), (KeyStatus::Revoked, KeyStatus::Revoked, KeyStatus::Unknown));
    let mut revoked = clients.revoked().unwrap();
    revoked.sort_by_key(|(key, _)| key.0);
    assert_eq!(revoked, [(key(1), "laptop".to_owned()), (key(2), String::new())]);
    clients.remove(&key(2)).unwrap();
    assert_eq!(clients.revoked().unwrap().len(), 2);
    enrol(&clients, 1, "laptop");
    clients.allow(&key(2), Some("desktop"), &rights("ro")).unwrap();
    assert!(matches!(status(1), KeyStatus::Listed(_)) && matches!(status(2), KeyStatus::Listed(_)));
    assert_eq!(clients.revoked().unwrap(), []);
    assert!(clients.remove(&key(1)).unwrap());
    assert_eq!(status(1), KeyStatus::Revoked);
}

#[test]
fn a_line_that_names_no_key_shuts_nobody_out_and_loses_no_other() {
    let home = tempfile::tempdir().unwrap();
    let clients = Clients::open(home.path()).unwrap();
    let path = home.path().join("revoked_clients");
    fs::write(&path, format!("# mine\nnonsense\n{}\n{} old # why\n", key(1), key(2))).unwrap();
    assert_eq!(
        [1, 2, 3].map(|number| clients.status(&key(number)).unwrap() == KeyStatus::Revoked),
        [true, true, false]
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(clients.status(&key(3)).is_err(), "others could take themselves off it");
}
