use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::keys::Fingerprint;
use crate::keys::Invite;

fn ticket(key: u8, host: &str, port: u16) -> Ticket {
    Ticket { fingerprint: Fingerprint([key; 32]), invite: Some(Invite([3; 16])), host: host.into(), port }
}

fn open() -> (tempfile::TempDir, Remotes) {
    let home = tempfile::tempdir().unwrap();
    let remotes = Remotes::open(home.path()).unwrap();
    (home, remotes)
}

#[test]
fn the_first_server_kept_is_the_default_and_no_invite_is_written() {
    let (home, remotes) = open();
    assert_eq!(remotes.default().unwrap(), None);
    let first = remotes.save("box.lan", &ticket(1, "10.0.0.1", 4433)).unwrap();
    remotes.save("other", &ticket(2, "fe80::1", 4433)).unwrap();
    assert_eq!((first.name.as_str(), first.is_default), ("box", true));
    assert_eq!(remotes.default().unwrap(), Some(first));
    let text = fs::read_to_string(home.path().join(FILE)).unwrap();
    assert!(!text.contains(&Invite([3; 16]).to_string()), "{text}");
    assert!(text.contains(&format!("\nother qft://{}@[fe80::1]:4433 # since 2", Fingerprint([2; 32]))), "{text}");
    assert_eq!(fs::metadata(home.path().join(FILE)).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn names_are_unique_whatever_their_case_and_never_reserved() {
    let (_home, remotes) = open();
    let names: Vec<String> = ["box", "BOX", "box", "local", "  "]
        .iter()
        .zip(1..)
        .map(|(name, n)| remotes.save(name, &ticket(n, "h", 4000 + u16::from(n))).unwrap().name)
        .collect();
    assert_eq!(names, ["box", "BOX-2", "box-3", "local-2", "server"]);
    assert_eq!(remotes.find("bOx-2").unwrap().unwrap().ticket.port, 4002);
}

#[test]
fn a_ticket_for_a_known_address_brings_its_key_and_keeps_the_name() {
    let (_home, remotes) = open();
    remotes.save("box", &ticket(1, "h", 1)).unwrap();
    remotes.add("two", &ticket(1, "h", 2)).unwrap();
    let again = remotes.save("new", &ticket(9, "H", 1)).unwrap();
    assert_eq!((again.name.as_str(), again.is_default), ("box", true));
    assert_eq!(remotes.list().unwrap().len(), 2);
    assert_eq!(remotes.find_address("h", 1).unwrap().unwrap().ticket.fingerprint, Fingerprint([9; 32]));
    assert_eq!(remotes.find_address("h", 2).unwrap().unwrap().ticket.fingerprint, Fingerprint([1; 32]));
    assert_eq!(remotes.find_address("h", 3).unwrap(), None);
}

#[test]
fn a_server_that_has_moved_keeps_its_name_and_its_place_unless_several_share_its_key() {
    let (home, remotes) = open();
    let old = remotes.save("box", &ticket(1, "h", 1)).unwrap();
    remotes.save("lab", &ticket(2, "i", 1)).unwrap();
    assert_eq!(remotes.renewed_by(&ticket(1, "h", 1)).unwrap(), None, "it is there");
    assert_eq!(remotes.renewed_by(&ticket(3, "h", 2)).unwrap(), None, "another server");
    assert_eq!(remotes.renewed_by(&ticket(1, "new", 5)).unwrap(), Some(old.clone()));
    let moved = remotes.save("box", &ticket(1, "new", 5)).unwrap();
    assert_eq!(moved, Remote { ticket: ticket(1, "new", 5).without_invite(), ..old });
    assert_eq!(remotes.list().unwrap().len(), 2);
    assert_eq!(fs::read_to_string(home.path().join(FILE)).unwrap().lines().count(), 3);
    assert_eq!(remotes.add("BOX", &ticket(1, "newer", 6)).unwrap().name, "box");
    // A key from the network moves nobody.
    assert_eq!(remotes.introduce("box", &ticket(1, "evil", 1)).unwrap().name, "box-2");
    assert_eq!(remotes.renewed_by(&ticket(1, "h", 9)).unwrap(), None, "which of the two?");
    assert_eq!(remotes.save("box", &ticket(1, "h", 9)).unwrap().name, "box-3");
}

#[test]
fn a_server_is_found_in_its_line_with_the_day_on_which_it_was_kept() {
    let (home, remotes) = open();
    let kept = remotes.save("a", &ticket(1, "h", 1)).unwrap();
    let later = remotes.save("b", &ticket(2, "h", 2)).unwrap();
    assert_eq!(remotes.list().unwrap(), [kept.clone(), later]);
    assert_eq!((kept.line, kept.since), (2, Some(day(SystemTime::now()))));
    let text = fs::read_to_string(home.path().join(FILE)).unwrap();
    let old = text.replace(&day(SystemTime::now()), "2001-02-03 (moved house)");
    fs::write(home.path().join(FILE), old).unwrap();
    remotes.set_default("b").unwrap();
    let text = fs::read_to_string(home.path().join(FILE)).unwrap();
    assert_eq!(text.matches("# since 2001-02-03 (moved house)\n").count(), 2, "a comment stays: {text}");
    assert_eq!(remotes.find("a").unwrap().unwrap().since.as_deref(), Some("2001-02-03"));
    remotes.save("a", &ticket(9, "h", 1)).unwrap();
    assert_eq!(remotes.find("a").unwrap().unwrap().since, Some(day(SystemTime::now())), "a new key, a new day");
}

#[test]
fn a_key_from_the_network_overrules_no_list() {
    let (_home, remotes) = open();
    remotes.save("box", &ticket(1, "h", 1)).unwrap();
    let kept = remotes.introduce("new", &ticket(9, "h", 1)).unwrap();
    assert_eq!((kept.name.as_str(), kept.ticket.fingerprint), ("box", Fingerprint([1; 32])));
    assert_eq!(remotes.list().unwrap(), [kept]);
    assert_eq!(remotes.introduce("new", &ticket(9, "h", 2)).unwrap().name, "new");
}

#[test]
fn the_default_can_be_moved_and_removed() {
    let (_home, remotes) = open();
    remotes.save("a", &ticket(1, "h", 1)).unwrap();
    remotes.save("b", &ticket(2, "h", 2)).unwrap();
    assert!(remotes.set_default("B").unwrap());
    assert!(!remotes.set_default("c").unwrap());
    assert_eq!(remotes.default().unwrap().unwrap().name, "b");
    assert!(remotes.remove("b").unwrap());
    assert!(!remotes.remove("b").unwrap());
    assert_eq!(remotes.default().unwrap(), None);
    assert_eq!(remotes.list().unwrap().len(), 1);
}

#[test]
fn a_renamed_server_keeps_everything_else() {
    let (_home, remotes) = open();
    let before = remotes.save("vm-17", &ticket(1, "h", 1)).unwrap();
    remotes.save("b", &ticket(2, "h", 2)).unwrap();
    let after = remotes.rename("VM-17", "box").unwrap().unwrap();
    assert_eq!(after, Remote { name: "box".into(), ..before });
    assert_eq!(remotes.find("box").unwrap(), Some(after));
    assert_eq!(remotes.find("vm-17").unwrap(), None);
    assert_eq!(remotes.rename("box", "BOX").unwrap().unwrap().name, "BOX");
    assert!(remotes.rename("vm-17", "c").unwrap().is_none());
    assert!(matches!(remotes.rename("box", "B"), Err(NameError::Taken { .. })));
    assert!(matches!(remotes.rename("box", "local"), Err(NameError::Unfit(_))));
}

#[test]
fn what_a_person_wrote_stays_to_the_letter() {
    let (home, remotes) = open();
    let mine = "# mine\n\nbroken line here\n  x   qft://short@h # note\n";
    let kept = format!("y\tqft://{}@h:7   # at home\n", Fingerprint([5; 32]));
    fs::write(home.path().join(FILE), format!("{mine}{kept}")).unwrap();
    fs::set_permissions(home.path().join(FILE), fs::Permissions::from_mode(0o644)).unwrap();
    remotes.save("z", &ticket(1, "h", 8)).unwrap();
    remotes.remove("z").unwrap();
    assert_eq!(fs::read_to_string(home.path().join(FILE)).unwrap(), format!("{mine}{kept}"));
    assert_eq!(remotes.list().unwrap().len(), 1);
}

#[test]
fn a_server_gets_the_name_that_the_user_gave_or_none() {
    let (_home, remotes) = open();
    let saved = remotes.add("Box-1", &ticket(1, "h", 1)).unwrap();
    assert_eq!((saved.name.as_str(), saved.is_default, saved.ticket.invite), ("Box-1", true, None));
    for name in ["local", "LOCAL", "", "a b", "a.b", "a:b", "a/b", "-a", "qft://x", "é", &"x".repeat(33)] {
        assert!(matches!(remotes.add(name, &ticket(2, "h", 2)), Err(NameError::Unfit(_))), "{name:?}");
    }
    assert!(matches!(remotes.add("box-1", &ticket(2, "h", 2)), Err(NameError::Taken { .. })));
    let again = remotes.add("box-1", &ticket(2, "H", 1)).unwrap();
    assert_eq!((again.name.as_str(), again.ticket.fingerprint), ("Box-1", Fingerprint([2; 32])));
    assert_eq!(remotes.list().unwrap(), [again]);
}
