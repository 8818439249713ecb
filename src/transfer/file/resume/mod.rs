//! The decision on an offer, given the files that are there already: one decision table.

use crate::broken::BreakableRule;
use crate::digest::CHUNK_BYTES;
use crate::protocol::message::{Failure, Header, IfExists, Kind, Mtime, SkipReason, Status, Why};
use crate::transfer::ACCEPTED_FILE_BYTES_MAX;

/// The bits of a mode that are carried over.
const PERMISSION_BITS: u32 = 0o777;

/// The finest step of time stamps above one nanosecond that a file system has (NTFS).
const ROUND_NANOS: u32 = 100;

/// The coarsest (FAT).
pub(crate) const COARSEST_STEP: u64 = 2_000_000_000;

/// The state of the receiver's disk under an offered name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Local {
    /// The object under the final name.
    pub(crate) target: Option<Existing>,
    /// The target is what this very sender has delivered before, and nobody has changed since.
    pub(crate) is_own: bool,
    /// The target is, or may be, another file of the same job, whose name the disk takes for this one: whatever its size
    /// and time are, it is not what is on offer.
    pub(crate) is_another: bool,
    /// Length in bytes of a partial file for that name.
    pub(crate) part: Option<u64>,
    /// The time and mode that the disk would keep.
    pub(crate) keeps: Keeps,
}

/// The time and mode of an offered file as a disk would keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keeps {
    /// The permission bits that the file would get there.
    pub(crate) mode: u32,
    /// Times are multiples of this many nanoseconds.
    pub(crate) time_step: u64,
}

impl Default for Keeps {
    fn default() -> Self {
        Self { mode: 0, time_step: 1 }
    }
}

/// Something that exists under an offered name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Existing {
    /// The kind of object.
    pub(crate) kind: Kind,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) mtime: Mtime,
    /// Permission bits; the lower nine are used.
    pub(crate) mode: u32,
}

/// The policy of the user and of the receiving end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The rule for a file that exists and differs.
    pub(crate) if_exists: IfExists,
    /// Compare content where size and time would have settled it.
    pub(crate) checksum: bool,
    /// Continue from partial files and reuse what an older version shares.
    pub(crate) resume: bool,
    /// The sender may not learn what is here: of an existing file neither size, time nor content count, so the
    /// answers tell no more than that the name is taken, unless it is by what the sender has delivered itself. For drop
    /// boxes.
    pub(crate) blind: bool,
    /// Symbolic links are taken: whoever decides here asked for them. A sender that is kept blind makes none, whatever
    /// this says: what it leaves behind is looked at with other tools, which follow links.
    pub(crate) links: bool,
}

/// The decision on one offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    Skip(SkipReason),
    /// It cannot be taken.
    Refuse(Failure),
    /// Content and time are right; the permission bits are to be set.
    SetMode,
    /// A directory is to be made.
    MakeDir,
    /// A symbolic link is to be made.
    MakeLink,
    /// Content is needed from an offset on.
    Receive(Start),
}

/// Where content starts and what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// A multiple of the chunk size, or the file's size.
    pub(crate) from: u64,
    /// The basis: the file that holds the bytes before `from`.
    pub(crate) basis: Basis,
    /// The kind of result: a new file, a continued one, or an update.
    pub(crate) why: Why,
}

/// The basis file: it holds the bytes that need not be sent, if they prove right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Nothing: the partial file, if any, starts again.
    None,
    Part,
    /// The file under the final name, an older version.
    Target,
}

/// Decides what an offer needs. Every start is optimistic: what stands before it is verified chunk by
/// chunk while content already flows, so a wrong guess costs a repair, never a wrong file.
pub(crate) fn decide(offer: &Header, local: &Local, policy: &Policy) -> Plan {
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
    if offer.size > ACCEPTED_FILE_BYTES_MAX {
        return Plan::Refuse(Failure::new(
            Status::Unsupported,
            format!("larger than {} TiB", ACCEPTED_FILE_BYTES_MAX >> 40),
        ));
    }
    let Some(there) = &local.target else {
        return Plan::Receive(start_new(offer, local, policy));
    };
    if there.kind == Kind::Dir {
        return in_the_way("a directory of that name is in the way of the file");
    }
    // Of its own file a sender may hear that it is there.
    let is_same_own = local.is_own && !local.is_another && same_stamp(offer, there, local.keeps.time_step);
    if policy.blind && is_same_own && !(policy.checksum && policy.if_exists == IfExists::Replace) {
        return Plan::Skip(SkipReason::Same);
    }
    if policy.blind {
        return keep(policy.if_exists).unwrap_or_else(|| Plan::Receive(start_new(offer, local, policy)));
    }
    let may_differ = policy.checksum && policy.if_exists == IfExists::Replace;
    let is_same = there.kind == Kind::File && !local.is_another && same_stamp(offer, there, local.keeps.time_step);
    if is_same && !may_differ {
        let same_mode = there.mode & PERMISSION_BITS == local.keeps.mode & PERMISSION_BITS;
        return match same_mode || policy.if_exists != IfExists::Replace {
            true => Plan::Skip(SkipReason::Same),
            false => Plan::SetMode,
        };
    }
    keep(policy.if_exists).unwrap_or_else(|| Plan::Receive(start_over(offer, there, local, policy)))
}

/// The plan that keeps what exists; `None` when it may be replaced or stepped aside from.
fn keep(if_exists: IfExists) -> Option<Plan> {
    match if_exists {
        IfExists::Skip => Some(Plan::Skip(SkipReason::Exists)),
        IfExists::Fail => Some(Plan::Refuse(Failure::new(
            Status::Exists,
            "it may not be replaced there; --if-exists skip leaves what exists",
        ))),
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
    // A file that is shorter now has changed for certain: its last chunk is sent, so that it is not taken for
    // unchanged.
    let held = if there.size > offer.size { offer.size.saturating_sub(1) } else { there.size };
    match usable(held, offer.size) {
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

/// Whether only the step of time stamps of the disk could make these two differ in time: worth asking for that step.
pub(crate) fn may_be_rounded(offer: &Header, there: &Existing) -> bool {
    let is_round = there.mtime.nanos.is_multiple_of(ROUND_NANOS);
    let apart = apart(offer.mtime, there.mtime);
    is_round && offer.size == there.size && apart > 0 && apart < u128::from(COARSEST_STEP)
}

/// Same size, and the time of modification that the disk makes of the offered one.
fn same_stamp(offer: &Header, there: &Existing, step: u64) -> bool {
    let apart = apart(offer.mtime, there.mtime);
    BreakableRule::SkipByStamp.is_broken()
        || offer.size == there.size
            && (apart == 0 || (apart < u128::from(step) && nanos(there.mtime).rem_euclid(i128::from(step)) == 0))
}

fn apart(one: Mtime, other: Mtime) -> u128 {
    (nanos(one) - nanos(other)).unsigned_abs()
}

fn nanos(time: Mtime) -> i128 {
    i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos)
}

#[cfg(test)]
mod tests;
