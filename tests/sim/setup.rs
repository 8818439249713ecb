//! What a job is drawn to be: what its files are like, two disks, and what the user asks for.

use crate::digest::CHUNK_BYTES;
use crate::protocol::features;
use crate::protocol::message::IfExists;
use crate::protocol::path::WirePath;
use crate::storage::testing::memory::Quirks;
use crate::storage::testing::random::Random;
use crate::transfer::file::resume::Policy;

/// What the files of a world are like, and what happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// Anything.
    Mixed,
    /// A few small files that change all the time and are there in part, on disks that fail often: both ends change their
    /// minds about one file at the same time.
    Restless,
    /// A few large files that are written in place, on a disk that cannot tell by their times.
    Rewritten,
}

impl Workload {
    pub(super) fn draw(random: &mut Random) -> Self {
        match random.below(10) {
            0..=5 => Self::Mixed,
            6..=8 => Self::Restless,
            _ => Self::Rewritten,
        }
    }
}

/// Of so many worlds one has a disk that keeps little of a file, and one a disk that nobody finds any more by its path.
const RARE_KINDS: u64 = 16;
const KEEPS_LITTLE: u64 = 10;
const MISPLACED: u64 = 14;

/// Steps of times on disks that keep them in seconds, or pairs of seconds.
const COARSE_STEPS: [u64; 2] = [1_000_000_000, 2_000_000_000];

/// Files that may be open at once where that is no matter.
const OPEN_FILES: usize = 1000;

/// Who the client is: it keeps what the job has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Sends,
    Receives,
}

/// What the user asks for, and what the server allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) client: Client,
    pub(super) policy: Policy,
    pub(super) dry_run: bool,
    pub(super) durable: bool,
    pub(super) features: u64,
    pub(super) sends_early: bool,
    /// Directories are not offered, as those are not that the user names as the place where files go.
    pub(super) dirs_are_not_offered: bool,
    /// Files that a server may have open at once.
    pub(super) open_files: usize,
    /// What happens that nobody asked for, at most.
    pub(super) faults: usize,
    /// Most steps of a hundred in which something does.
    pub(super) fault_percent: usize,
}

impl Setup {
    pub(super) fn draw(workload: Workload, random: &mut Random) -> Self {
        let setup = Self::mixed(random);
        let policy = Policy { if_exists: IfExists::Replace, resume: true, blind: false, links: true, ..setup.policy };
        let calm = Self { policy, dry_run: false, sends_early: !policy.checksum, open_files: OPEN_FILES, ..setup };
        match workload {
            Workload::Mixed => setup,
            Workload::Restless => Self { faults: random.below(25), fault_percent: 12, ..calm },
            // Fewer than make the sender give up waiting for a file to come to rest.
            Workload::Rewritten => Self { faults: random.below(4), fault_percent: 8, ..calm },
        }
    }

    fn mixed(random: &mut Random) -> Self {
        let client = if random.percent(50) { Client::Sends } else { Client::Receives };
        let if_exists = match random.below(10) {
            0 => IfExists::Skip,
            1 => IfExists::Fail,
            2 => IfExists::Rename,
            _ => IfExists::Replace,
        };
        let policy = Policy {
            if_exists,
            checksum: random.percent(20),
            resume: random.percent(90),
            blind: client == Client::Sends && random.percent(10),
            links: random.percent(90),
        };
        let dry_run = random.percent(5);
        let replaces = matches!(if_exists, IfExists::Replace | IfExists::Rename);
        Self {
            client,
            policy,
            dry_run,
            durable: random.percent(85),
            features: if random.percent(80) { features::ALL } else { features::NONE },
            sends_early: replaces && !policy.checksum && !dry_run && random.percent(70),
            dirs_are_not_offered: random.percent(30),
            open_files: if random.percent(20) { 1 + random.below(2) } else { OPEN_FILES },
            faults: if random.percent(20) { 0 } else { random.below(10) },
            fault_percent: random.pick(&[1, 3, 8]),
        }
    }
}

/// What the disk of the sender is like.
pub(super) fn source_quirks(workload: Workload, random: &mut Random) -> Quirks {
    let any = quirks(random);
    match workload {
        Workload::Rewritten => Quirks { time_step: random.pick(&COARSE_STEPS), ..any },
        Workload::Mixed | Workload::Restless => any,
    }
}

/// What any disk is like.
pub(super) fn quirks(random: &mut Random) -> Quirks {
    Quirks {
        folds: random.percent(20),
        time_step: if random.percent(67) { 1 } else { random.pick(&COARSE_STEPS) },
        shares: random.percent(30),
        capacity: u64::MAX,
        keeps: u64::MAX,
    }
}

/// What the disk of the receiver is like in the world of that seed. The seed decides by itself over what is rare, so that
/// other worlds stay what they were.
pub(super) fn target_quirks(seed: u64, random: &mut Random) -> Quirks {
    let any = quirks(random);
    if seed % RARE_KINDS == KEEPS_LITTLE { Quirks { keeps: CHUNK_BYTES, ..any } } else { any }
}

/// Whether nobody finds the receiver's disk any more by its path in the world of that seed.
pub(super) fn is_misplaced(seed: u64) -> bool {
    seed % RARE_KINDS == MISPLACED
}

/// Whether a name is that of a part, or of a link that has no name yet.
pub(super) fn is_part(name: &str) -> bool {
    name.ends_with(".qft-part")
}

pub(super) fn path(name: &str) -> WirePath {
    WirePath::parse(name.as_bytes()).expect("a plain name")
}
