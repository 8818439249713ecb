use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::keys::trust::Rights;

const SECOND: Duration = Duration::from_secs(1);

struct Home {
    dir: tempfile::TempDir,
    now: SystemTime,
}

impl Home {
    fn new() -> Self {
        // The list keeps whole seconds.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_460_309);
        Self { dir: tempfile::tempdir().unwrap(), now }
    }

    /// As another process opens it.
    fn invites(&self) -> Invites {
        Invites::open(self.dir.path()).unwrap()
    }

    fn mint(&self) -> Invite {
        self.invites().mint(ClientEntry::default(), INVITE_LIFETIME, self.now).unwrap()
    }

    fn redeem_at(&self, invite: &Invite, now: SystemTime) -> Result<ClientEntry, InviteError> {
        match self.invites().redeem(&invite.0, now) {
            Ok(entry) => Ok(entry),
            Err(RedeemError::Invite(error)) => Err(error),
            Err(RedeemError::Home(error)) => panic!("{error}"),
        }
    }

    fn redeem(&self, invite: &Invite) -> Result<ClientEntry, InviteError> {
        self.redeem_at(invite, self.now)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.dir.path().join(FILE)).unwrap()
    }
}

#[test]
fn of_ten_thousand_guesses_none_is_taken_and_none_ends_what_is_open() {
    let home = Home::new();
    let given_out = home.mint();
    for _ in 0..10_000 {
        assert_eq!(home.redeem_at(&Invite::random(), home.now), Err(InviteError::Unknown));
    }
    assert!(home.redeem(&given_out).is_ok(), "strangers cannot take a way in from its bearer");
}

#[test]
fn an_invite_works_once_over_all_processes() {
    let home = Home::new();
    let invite = home.mint();
    assert_eq!(home.redeem(&invite), Ok(ClientEntry::default()));
    assert_eq!(home.redeem(&invite), Err(InviteError::Spent));
}

#[test]
fn an_invite_brings_its_name_and_its_rights() {
    let home = Home::new();
    let rights = Rights::parse("wo,no-clobber,root=\"a b\",expires=2026-12-31").unwrap();
    for entry in [
        ClientEntry { name: Some("ci".into()), rights: rights.clone() },
        ClientEntry { name: None, rights },
        ClientEntry { name: Some("laptop".into()), rights: Rights::default() },
    ] {
        let invite = home.invites().mint(entry.clone(), SECOND, home.now).unwrap();
        assert_eq!(
            home.invites().list(home.now).unwrap().into_iter().map(|open| (open.entry, open.until)).collect::<Vec<_>>(),
            [(entry.clone(), home.now + SECOND)]
        );
        assert_eq!(home.redeem(&invite), Ok(entry));
    }
}

#[test]
fn an_invite_works_until_its_lifetime_ends() {
    let home = Home::new();
    let (early, late) = (home.mint(), home.mint());
    assert!(home.redeem_at(&early, home.now + INVITE_LIFETIME - SECOND).is_ok());
    assert_eq!(home.redeem_at(&late, home.now + INVITE_LIFETIME), Err(InviteError::Spent));
    assert_eq!(home.redeem(&late), Err(InviteError::Spent), "an expired one stays expired");
}

#[test]
fn an_expired_invite_is_still_known_as_such_after_the_next_was_minted() {
    let home = Home::new();
    let old = home.mint();
    let later = home.now + INVITE_LIFETIME;
    let new = home.invites().mint(ClientEntry::default(), INVITE_LIFETIME, later).unwrap();
    assert_eq!(home.redeem_at(&old, later), Err(InviteError::Spent));
    assert!(home.redeem_at(&new, later).is_ok());
}

#[test]
fn a_book_of_a_version_that_counted_wrong_invites_is_read() {
    let home = Home::new();
    let invite = home.mint();
    fs::write(home.dir.path().join(FILE), format!("{}wrong-tries 4\n", home.text())).unwrap();
    assert_eq!(home.redeem(&Invite::random()), Err(InviteError::Unknown));
    assert!(home.redeem(&invite).is_ok());
    assert!(!home.text().contains("wrong-tries"));
}

#[test]
fn nothing_is_written_for_a_wrong_invite() {
    let home = Home::new();
    assert_eq!(home.redeem(&Invite::random()), Err(InviteError::Unknown));
    assert!(!home.dir.path().join(FILE).exists());
    home.mint();
    let inode = || fs::metadata(home.dir.path().join(FILE)).unwrap().ino();
    let before = inode();
    assert_eq!(home.redeem(&Invite::random()), Err(InviteError::Unknown));
    assert_eq!(inode(), before, "a change would have replaced the file");
}

#[test]
fn all_open_invites_can_be_ended() {
    let home = Home::new();
    let invite = home.mint();
    home.mint();
    assert_eq!(home.invites().end_all(home.now).unwrap(), 2);
    assert_eq!(home.invites().end_all(home.now).unwrap(), 0);
    assert_eq!(home.redeem(&invite), Err(InviteError::Spent));
}

#[test]
fn of_many_bearers_at_once_one_gets_in() {
    let home = Home::new();
    let invite = home.mint();
    let let_in = std::thread::scope(|scope| {
        let bearers: Vec<_> = (0..8).map(|_| scope.spawn(|| home.redeem(&invite).is_ok())).collect();
        bearers.into_iter().map(|bearer| bearer.join().unwrap()).filter(|ok| *ok).count()
    });
    assert_eq!(let_in, 1);
}

#[test]
fn the_file_is_private_and_holds_no_secret() {
    let home = Home::new();
    let invite = home.mint();
    assert!(!home.text().contains(&invite.to_string()));
    assert_eq!(fs::metadata(home.dir.path().join(FILE)).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_line_that_cannot_be_read_loses_no_other() {
    let home = Home::new();
    let (first, second) = (home.mint(), home.mint());
    let mangled = home.text().replacen("open ", "opened ", 1);
    fs::write(home.dir.path().join(FILE), mangled).unwrap();
    assert_eq!(home.redeem(&first), Err(InviteError::Unknown));
    assert!(home.redeem(&second).is_ok());
}

#[test]
fn the_memory_of_ended_invites_is_bounded() {
    let mut invites = InviteList::default();
    for n in 0..SPENT_KEPT + 10 {
        invites.remember(hash(&[(n % 256) as u8; 16]));
    }
    assert_eq!(invites.spent.len(), SPENT_KEPT);
}
