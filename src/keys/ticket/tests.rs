use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn sample() -> Ticket {
    Ticket { fingerprint: Fingerprint([7; 32]), invite: Some(Invite([9; 16])), host: "box.lan".into(), port: 4433 }
}

fn any_ticket() -> impl Strategy<Value = Ticket> {
    let host = prop_oneof![
        "[a-z0-9_]([a-z0-9-]{0,20})(\\.[a-z0-9]{1,10}){0,3}",
        any::<Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<Ipv6Addr>().prop_map(|address| address.to_string()),
        any::<Ipv6Addr>().prop_map(|address| format!("{address}%eth0")),
    ];
    (any::<[u8; 32]>(), any::<Option<[u8; 16]>>(), host, 1..=u16::MAX).prop_map(|(key, invite, host, port)| Ticket {
        fingerprint: Fingerprint(key),
        invite: invite.map(Invite),
        host,
        port,
    })
}

proptest! {
    #[test]
    fn a_ticket_reads_back_as_written(ticket in any_ticket()) {
        prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }

    #[test]
    fn a_cut_ticket_is_refused_or_names_the_same_key(ticket in any_ticket()) {
        let text = ticket.to_string();
        let key_end = text.find('@').unwrap() + 1;
        for cut in 0..text.len() {
            match text[..cut].parse::<Ticket>() {
                // Only the address can be cut so that an address remains; the pin still protects.
                Ok(found) => {
                    prop_assert!(cut > key_end, "{}", &text[..cut]);
                    prop_assert_eq!((found.fingerprint, found.invite), (ticket.fingerprint, ticket.invite));
                }
                Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn random_text_is_refused_without_a_panic(text in any::<String>(), tail in any::<Vec<u8>>()) {
        prop_assert!(text.parse::<Ticket>().is_err());
        let tail = String::from_utf8_lossy(&tail).into_owned();
        let _: Result<Ticket, _> = format!("{SCHEME}{tail}").parse();
        let _: Result<Ticket, _> = format!("{}{tail}", sample()).parse();
        let _ = parse_host_port(&tail);
    }

    #[test]
    fn one_wrong_character_never_changes_the_key_unnoticed(at in 0..52_usize, to in any::<char>()) {
        let mut text: Vec<char> = sample().to_string().chars().collect();
        let old = std::mem::replace(&mut text[SCHEME.len() + at], to);
        let read = text.into_iter().collect::<String>().parse::<Ticket>();
        // Another base32 character gives another key (which no server has), anything else an error.
        if let Ok(read) = read {
            prop_assert_eq!(read.fingerprint == sample().fingerprint, to.eq_ignore_ascii_case(&old));
        }
    }
}

/// A source of numbers that are the same in every run.
struct TestRng(u64);

impl TestRng {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("it is below a usize")
    }

    fn letter(&mut self) -> u8 {
        let letters = b"abcxyz2379018ABZ:@/[].%-_ \n\x1b\xc3\xa9\x00";
        letters[self.below(letters.len())]
    }
}

/// What happens to a text on its way: characters lost, doubled, swapped, changed, put in; the end cut off.
fn mangled(whole: &[u8], dice: &mut TestRng) -> Vec<u8> {
    let mut text = whole.to_vec();
    for _ in 0..=dice.below(4) {
        if text.is_empty() {
            break;
        }
        let at = dice.below(text.len());
        match dice.below(6) {
            0 => drop(text.remove(at)),
            1 => text.insert(at, text[at]),
            2 => {
                let middle = text.len() / 2;
                text.swap(at, middle);
            }
            3 => text[at] = dice.letter(),
            4 => text.insert(at, dice.letter()),
            _ => text.truncate(at + 1),
        }
    }
    text
}

#[test]
fn ten_thousand_tickets_that_nobody_gave_out_are_refused_in_words_or_let_nobody_in() {
    let whole = sample().to_string();
    let mut dice = TestRng(0x5eed_0f71_c4e7_5eed);
    let mut refused = 0;
    for round in 0..20_000 {
        // Every other one is made up from the scheme on.
        let made_up = || -> Vec<u8> { SCHEME.bytes().collect() };
        let text = match round % 2 {
            0 => mangled(whole.as_bytes(), &mut dice),
            _ => (0..dice.below(130)).fold(made_up(), |mut text, _| {
                text.push(dice.letter());
                text
            }),
        };
        let text = String::from_utf8_lossy(&text);
        match text.parse::<Ticket>() {
            Ok(read) => {
                // Another key pins another server, another invite is none; what was read is what is written.
                let same = (read.fingerprint, read.invite) == (sample().fingerprint, sample().invite);
                assert!(same || read.to_string().parse() == Ok(read.clone()), "{text:?}");
            }
            Err(refusal) => {
                refused += 1;
                let words = refusal.to_string();
                assert!(!words.is_empty() && words.len() < 200, "{text:?}: {words}");
                assert!(!words.chars().any(char::is_control), "{text:?}: {words:?}");
            }
        }
    }
    assert!(refused > 15_000, "{refused}");
}

#[test]
fn the_port_may_be_left_out_and_case_does_not_matter() {
    let text = sample().to_string();
    let short = text.strip_suffix(":4433").unwrap();
    assert_eq!(short.parse(), Ok(sample()));
    assert_eq!(format!(" {text}\n").parse(), Ok(sample()));
    let (who, place) = text.split_once('@').unwrap();
    assert_eq!(format!("{}@{place}", who.to_ascii_uppercase()).parse(), Ok(sample()));
}

#[test]
fn a_zone_is_read_in_either_spelling_and_kept_in_one() {
    let zoned = Ticket { host: "fe80::1%veth0".into(), ..sample() };
    for place in ["[fe80::1%veth0]:4433", "[fe80::1%25veth0]", "[FE80:0::1%25veth0]:4433"] {
        let text = sample().to_string().replace("box.lan:4433", place);
        assert_eq!(text.parse(), Ok(zoned.clone()), "{place}");
    }
}

#[test]
fn each_mistake_gets_its_own_words() {
    let key = Fingerprint([7; 32]);
    let refused = |text: &str| text.parse::<Ticket>().unwrap_err();
    assert_eq!(refused("http://x"), TicketError::Scheme);
    assert_eq!(refused("qft:/"), TicketError::Scheme);
    assert_eq!(refused(&format!("qft://{key}")), TicketError::NoHost);
    assert_eq!(refused(&format!("qft://{key}@")), TicketError::NoHost);
    let cut = Base32Error::Length { expected: 52, found: 3 };
    assert_eq!(refused("qft://abc@h:1"), TicketError::Fingerprint(cut));
    assert_eq!(
        refused(&format!("qft://{key}:@h:1")),
        TicketError::Invite(Base32Error::Length { expected: 26, found: 0 })
    );
    assert_eq!(refused(&format!("qft://{key}@h:")), AddressError::Port(String::new()).into());
    assert_eq!(refused(&format!("qft://{key}@h:0")), AddressError::Port("0".into()).into());
    assert_eq!(refused(&format!("qft://{key}@h:+1")), AddressError::Port("+1".into()).into());
    assert_eq!(refused(&format!("qft://{key}@h:65536")), AddressError::Port("65536".into()).into());
    assert_eq!(refused(&format!("qft://{key}@fe80::1")), AddressError::Brackets("fe80::1".into()).into());
    assert_eq!(refused(&format!("qft://{key}@-oProxy=x")), AddressError::Host("-oProxy=x".into()).into());
    assert_eq!(refused(&format!("qft://{key}@a..b")), AddressError::Host("a..b".into()).into());
    assert_eq!(refused(&format!("qft://{key}@[::1]x")), AddressError::Host("[::1]x".into()).into());
    assert_eq!(refused(&format!("qft://{key}@a\x1b[2Jb")), AddressError::Host("a\\033[2Jb".into()).into());
}

#[test]
fn debug_output_hides_the_invite() {
    let ticket = sample();
    let secret = ticket.invite.unwrap().to_string();
    assert!(ticket.to_string().contains(&secret));
    assert!(!format!("{ticket:?}").contains(&secret));
    assert!(!format!("{ticket:?}").contains("9, 9"));
    assert!(!ticket.without_invite().to_string().contains(&secret));
}

#[test]
fn random_invites_differ() {
    assert_ne!(Invite::random(), Invite::random());
}

#[test]
fn a_ticket_that_was_broken_into_lines_is_read() {
    let text = sample().to_string();
    for at in 0..=text.len() {
        let (start, end) = text.split_at(at);
        for blank in ["\n", " ", "\r\n  "] {
            assert_eq!(format!("{start}{blank}{end}").parse(), Ok(sample()), "{at}");
        }
    }
    assert_eq!(
        format!(" {} ", text.to_ascii_uppercase()).parse::<Ticket>().map(|ticket| ticket.invite),
        Ok(sample().invite)
    );
}
