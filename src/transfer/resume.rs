//! What to do with an offer, given what is there already: one decision table.

use crate::digest::CHUNK_BYTES;
use crate::protocol::message::{Failure, Header, IfExists, Kind, Mtime, SkipReason, Status, Why};
use crate::transfer::FILE_BYTES_MAX;

/// What the receiver's disk holds under an offered name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// What stands under the final name.
    pub target: Option<Existing>,
    /// Length in bytes of a partial file for that name.
    pub part: Option<u64>,
}

/// Something that exists under an offered name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Last modification.
    pub mtime: Mtime,
}

/// What the user and the receiving end allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What happens to a file that differs.
    pub if_exists: IfExists,
    /// Compare content where size and time would have settled it.
    pub checksum: bool,
    /// Continue from partial files and reuse what an older version shares.
    pub resume: bool,
    /// The sender may not learn what is here: of an existing file neither size, time nor content count, so the
    /// answers tell no more than that the name is taken. For drop boxes.
    pub blind: bool,
    /// Symbolic links are taken: whoever decides here asked for them. A sender that is kept blind makes none, whatever
    /// this says: what it leaves behind is looked at with other tools, which follow links.
    pub links: bool,
}

/// The decision on one offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing is needed.
    Skip(SkipReason),
    /// It cannot be taken.
    Refuse(Failure),
    /// A directory is to be made.
    MakeDir,
    /// A symbolic link is to be made.
    MakeLink,
    /// Content is needed from an offset on.
    Receive(Start),
}

/// Where content starts and what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// A multiple of the chunk size, or the file's size.
    pub from: u64,
    /// What holds the bytes before `from`.
    pub basis: Basis,
    /// What the result will be.
    pub why: Why,
}

/// What holds the bytes that need not be sent, if they prove right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Nothing: the partial file, if any, starts again.
    None,
    /// The partial file.
    Part,
    /// The file under the final name, an older version.
    Target,
}

/// Decides what an offer needs. Every start is optimistic: what stands before it is verified chunk by
/// chunk while content already flows, so a wrong guess costs a repair, never a wrong file.
pub fn decide(offer: &Header, local: &Local, policy: &Policy) -> Plan {
    match &offer.kind {
        Kind::Dir => decide_dir(local),
        Kind::Link(target) => decide_link(target, local, policy),
        Kind::File => decide_file(offer, local, policy),
    }
}

fn decide_dir(local: &Local) -> Plan {
    match local.target.as_ref().map(|there| &there.kind) {
        None | Some(Kind::Dir) => Plan::MakeDir,
        Some(Kind::File) => in_the_way("a file of that name is in the way of the directory"),
        Some(Kind::Link(_)) => in_the_way("a symbolic link is in the way of the directory"),
    }
}

fn decide_link(link: &[u8], local: &Local, policy: &Policy) -> Plan {
    if !policy.links || policy.blind {
        return Plan::Refuse(Failure::new(Status::NotAllowed, "symbolic links are not taken here"));
    }
    match local.target.as_ref().map(|there| &there.kind) {
        None => Plan::MakeLink,
        Some(Kind::Link(there)) if there == link => Plan::Skip(SkipReason::Same),
        Some(Kind::Dir) => in_the_way("a directory of that name is in the way of the link"),
        Some(_) => keep(policy.if_exists).unwrap_or(Plan::MakeLink),
    }
}

fn decide_file(offer: &Header, local: &Local, policy: &Policy) -> Plan {
    if offer.size > FILE_BYTES_MAX {
        return Plan::Refuse(Failure::new(Status::Unsupported, "larger than 16 TiB"));
    }
    let Some(there) = &local.target else {
        return Plan::Receive(start_new(offer, local, policy));
    };
    if there.kind == Kind::Dir {
        return in_the_way("a directory of that name is in the way of the file");
    }
    if policy.blind {
        return keep(policy.if_exists).unwrap_or_else(|| Plan::Receive(start_new(offer, local, policy)));
    }
    let may_differ = policy.checksum && policy.if_exists == IfExists::Replace;
    if there.kind == Kind::File && same_stamp(offer, there) && !may_differ {
        return Plan::Skip(SkipReason::Same);
    }
    keep(policy.if_exists).unwrap_or_else(|| Plan::Receive(start_over(offer, there, local, policy)))
}

/// The plan that keeps what exists; `None` when it may be replaced or stepped aside from.
fn keep(if_exists: IfExists) -> Option<Plan> {
    match if_exists {
        IfExists::Skip => Some(Plan::Skip(SkipReason::Exists)),
        IfExists::Fail => Some(Plan::Refuse(Failure::new(Status::Exists, "it may not be replaced there"))),
        IfExists::Replace | IfExists::Rename => None,
    }
}

fn in_the_way(text: &str) -> Plan {
    Plan::Refuse(Failure::new(Status::BadName, text))
}

fn start_new(offer: &Header, local: &Local, policy: &Policy) -> Start {
    from_part(offer, local, policy).unwrap_or(Start { from: 0, basis: Basis::None, why: Why::New })
}

fn start_over(offer: &Header, there: &Existing, local: &Local, policy: &Policy) -> Start {
    let fresh = Start { from: 0, basis: Basis::None, why: Why::Replace };
    if let Some(start) = from_part(offer, local, policy) {
        return start;
    }
    // Below one chunk there is nothing to reuse, but a comparison may still show that nothing differs.
    let worth_it = policy.checksum || (policy.resume && there.size >= CHUNK_BYTES);
    if policy.if_exists != IfExists::Replace || there.kind != Kind::File || !worth_it {
        return fresh;
    }
    match usable(there.size, offer.size) {
        0 => fresh,
        from => Start { from, basis: Basis::Target, why: Why::Update },
    }
}

fn from_part(offer: &Header, local: &Local, policy: &Policy) -> Option<Start> {
    let held = local.part.filter(|_| policy.resume)?;
    match usable(held, offer.size) {
        0 => None,
        from => Some(Start { from, basis: Basis::Part, why: Why::Resume }),
    }
}

/// How much of `held` bytes can stand for the start of a file of `size` bytes.
fn usable(held: u64, size: u64) -> u64 {
    if held >= size { size } else { held - held % CHUNK_BYTES }
}

/// Same size and time of modification. A file system that keeps whole seconds only is met half-way.
fn same_stamp(offer: &Header, there: &Existing) -> bool {
    let coarse = offer.mtime.nanos == 0 || there.mtime.nanos == 0;
    offer.size == there.size
        && offer.mtime.secs == there.mtime.secs
        && (coarse || offer.mtime.nanos == there.mtime.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::FileId;
    use crate::protocol::path::WirePath;

    const MIB: u64 = CHUNK_BYTES;
    const REPLACE: Policy =
        Policy { if_exists: IfExists::Replace, checksum: false, resume: true, blind: false, links: true };

    fn offer(size: u64) -> Header {
        Header {
            id: FileId(0),
            path: WirePath::parse(b"a").expect("a plain name"),
            kind: Kind::File,
            size,
            mtime: Mtime { secs: 100, nanos: 5 },
            mode: 0o644,
        }
    }

    fn file(size: u64, secs: i64) -> Option<Existing> {
        Some(Existing { kind: Kind::File, size, mtime: Mtime { secs, nanos: 5 } })
    }

    fn receive(from: u64, basis: Basis, why: Why) -> Plan {
        Plan::Receive(Start { from, basis, why })
    }

    #[test]
    fn content_starts_at_what_is_there_rounded_down_to_a_chunk() {
        let part = |len| Local { target: None, part: Some(len) };
        let old = |len| Local { target: file(len, 1), part: None };
        for (size, local, expected) in [
            (10, Local::default(), receive(0, Basis::None, Why::New)),
            (0, Local::default(), receive(0, Basis::None, Why::New)),
            (4 * MIB, part(0), receive(0, Basis::None, Why::New)),
            (4 * MIB, part(MIB - 1), receive(0, Basis::None, Why::New)),
            (4 * MIB, part(MIB), receive(MIB, Basis::Part, Why::Resume)),
            (4 * MIB, part(2 * MIB + 7), receive(2 * MIB, Basis::Part, Why::Resume)),
            (10, part(10), receive(10, Basis::Part, Why::Resume)),
            (4 * MIB, part(4 * MIB), receive(4 * MIB, Basis::Part, Why::Resume)),
            (2 * MIB + 1, part(9 * MIB), receive(2 * MIB + 1, Basis::Part, Why::Resume)),
            (10, old(9), receive(0, Basis::None, Why::Replace)),
            (10, old(10), receive(0, Basis::None, Why::Replace)),
            (4 * MIB, old(3 * MIB + 5), receive(3 * MIB, Basis::Target, Why::Update)),
            (4 * MIB, old(4 * MIB), receive(4 * MIB, Basis::Target, Why::Update)),
            (MIB + 3, old(9 * MIB), receive(MIB + 3, Basis::Target, Why::Update)),
        ] {
            assert_eq!(decide(&offer(size), &local, &REPLACE), expected, "{size} {local:?}");
        }
    }

    #[test]
    fn a_partial_file_is_preferred_to_an_older_version() {
        let local = Local { target: file(9 * MIB, 1), part: Some(2 * MIB) };
        assert_eq!(decide(&offer(9 * MIB), &local, &REPLACE), receive(2 * MIB, Basis::Part, Why::Resume));
    }

    #[test]
    fn without_resume_everything_is_sent() {
        let policy = Policy { resume: false, ..REPLACE };
        let local = Local { target: file(8 * MIB, 1), part: Some(2 * MIB) };
        assert_eq!(decide(&offer(9 * MIB), &local, &policy), receive(0, Basis::None, Why::Replace));
    }

    #[test]
    fn same_size_and_time_is_skipped_unless_content_is_compared() {
        let local = Local { target: file(10, 100), part: None };
        assert_eq!(decide(&offer(10), &local, &REPLACE), Plan::Skip(SkipReason::Same));
        let checksum = Policy { checksum: true, ..REPLACE };
        assert_eq!(decide(&offer(10), &local, &checksum), receive(10, Basis::Target, Why::Update));
    }

    #[test]
    fn a_disk_that_keeps_whole_seconds_still_skips() {
        let there = Existing { kind: Kind::File, size: 10, mtime: Mtime { secs: 100, nanos: 0 } };
        let local = Local { target: Some(there), part: None };
        assert_eq!(decide(&offer(10), &local, &REPLACE), Plan::Skip(SkipReason::Same));
    }

    #[test]
    fn a_drop_box_answers_as_if_nothing_were_there() {
        let link = Existing { kind: Kind::Link(b"to".to_vec()), size: 0, mtime: Mtime { secs: 1, nanos: 0 } };
        for checksum in [false, true] {
            let policy = Policy { blind: true, checksum, ..REPLACE };
            for there in [None, file(10, 100), file(9 * MIB, 1), Some(link.clone())] {
                let local = Local { target: there, part: None };
                for size in [10, 9 * MIB] {
                    assert_eq!(decide(&offer(size), &local, &policy), receive(0, Basis::None, Why::New), "{local:?}");
                }
                let offered = Header { kind: Kind::Link(b"to".to_vec()), ..offer(0) };
                assert!(matches!(decide(&offered, &local, &policy), Plan::Refuse(_)));
            }
            let own = Local { target: file(9 * MIB, 100), part: Some(2 * MIB) };
            assert_eq!(decide(&offer(9 * MIB), &own, &policy), receive(2 * MIB, Basis::Part, Why::Resume));
        }
    }

    #[test]
    fn a_drop_box_tells_that_a_name_is_taken_and_no_more() {
        let policy = |if_exists| Policy { blind: true, if_exists, ..REPLACE };
        for there in [file(10, 100), file(11, 1)] {
            let local = Local { target: there, part: None };
            assert_eq!(decide(&offer(10), &local, &policy(IfExists::Skip)), Plan::Skip(SkipReason::Exists));
            let refused = decide(&offer(10), &local, &policy(IfExists::Fail));
            assert!(matches!(refused, Plan::Refuse(Failure { status: Status::Exists, .. })), "{refused:?}");
        }
    }

    #[test]
    fn what_exists_is_kept_when_so_asked() {
        let local = Local { target: file(9, 1), part: None };
        let with = |if_exists| decide(&offer(10), &local, &Policy { if_exists, ..REPLACE });
        assert_eq!(with(IfExists::Skip), Plan::Skip(SkipReason::Exists));
        assert!(matches!(with(IfExists::Fail), Plan::Refuse(Failure { status: Status::Exists, .. })));
        assert_eq!(with(IfExists::Rename), receive(0, Basis::None, Why::Replace));
    }

    #[test]
    fn kinds_never_replace_each_other_unless_a_link_gives_way() {
        let dir = Existing { kind: Kind::Dir, size: 0, mtime: Mtime { secs: 0, nanos: 0 } };
        let link = Existing { kind: Kind::Link(b"x".to_vec()), ..dir.clone() };
        let at = |there: &Existing| Local { target: Some(there.clone()), part: None };
        let of = |kind: Kind| Header { kind, ..offer(0) };
        assert!(matches!(decide(&of(Kind::File), &at(&dir), &REPLACE), Plan::Refuse(_)));
        assert!(matches!(decide(&of(Kind::Dir), &at(&link), &REPLACE), Plan::Refuse(_)));
        assert!(matches!(decide(&of(Kind::Link(b"x".to_vec())), &at(&dir), &REPLACE), Plan::Refuse(_)));
        assert_eq!(decide(&of(Kind::File), &at(&link), &REPLACE), receive(0, Basis::None, Why::Replace));
        assert_eq!(decide(&of(Kind::Dir), &at(&dir), &REPLACE), Plan::MakeDir);
        assert_eq!(decide(&of(Kind::Link(b"x".to_vec())), &at(&link), &REPLACE), Plan::Skip(SkipReason::Same));
        assert_eq!(decide(&of(Kind::Link(b"y".to_vec())), &at(&link), &REPLACE), Plan::MakeLink);
    }

    #[test]
    fn links_are_taken_where_they_were_asked_for_and_never_from_a_blind_sender() {
        let link = Header { kind: Kind::Link(b"to".to_vec()), ..offer(0) };
        for (links, blind, taken) in [(true, false, true), (false, false, false), (true, true, false)] {
            let policy = Policy { links, blind, ..REPLACE };
            let there = Existing { kind: link.kind.clone(), size: 0, mtime: link.mtime };
            for (target, expected) in [(None, Plan::MakeLink), (Some(there), Plan::Skip(SkipReason::Same))] {
                let plan = decide(&link, &Local { target, part: None }, &policy);
                match taken {
                    true => assert_eq!(plan, expected),
                    false => assert!(matches!(plan, Plan::Refuse(Failure { status: Status::NotAllowed, .. }))),
                }
            }
        }
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let plan = decide(&offer(FILE_BYTES_MAX + 1), &Local::default(), &REPLACE);
        assert!(matches!(plan, Plan::Refuse(Failure { status: Status::Unsupported, .. })));
    }

    proptest::proptest! {
        #[test]
        fn every_start_is_a_chunk_boundary_or_the_end(
            size in 0..20 * MIB, part in proptest::option::of(0..20 * MIB),
            old in proptest::option::of(0..20 * MIB), checksum: bool, resume: bool,
        ) {
            let local = Local { target: old.and_then(|len| file(len, 1)), part };
            let policy = Policy { if_exists: IfExists::Replace, checksum, resume, ..REPLACE };
            if let Plan::Receive(start) = decide(&offer(size), &local, &policy) {
                proptest::prop_assert!(start.from == size || start.from % MIB == 0);
                proptest::prop_assert!(start.from <= size);
                let held = match start.basis {
                    Basis::None => 0,
                    Basis::Part => part.unwrap_or(0),
                    Basis::Target => old.unwrap_or(0),
                };
                proptest::prop_assert!(start.from <= held, "nothing is claimed that is not held");
            }
        }
    }
}
