//! What is copied: made once, compared byte by byte after each copy.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::links::LinkSpec;
use super::model::rng::Rng;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Bytes written, or compared, at a time. A block of this size of noise is never all zeros.
const BLOCK: usize = 64 << 10;
/// From here on the large file is four times as large, or start-up would be most of what is measured.
const FAST_MBIT: f64 = 400.0;

/// Which of the loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// One file.
    Large,
    /// Many files.
    Small,
    /// Very many very small files.
    Tiny,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Large, Self::Small, Self::Tiny];

    /// As it is written on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Small => "small",
            Self::Tiny => "tiny",
        }
    }
}

/// A number of files of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) files: u64,
    /// Bytes of each.
    pub(crate) size: u64,
}

impl Load {
    /// What a link gets; the quick form only shows that everything works.
    pub(crate) fn of(kind: Kind, link: &LinkSpec, quick: bool) -> Self {
        let (files, size) = match (kind, quick) {
            (Kind::Large, true) => (1, 16 * MIB),
            (Kind::Large, false) if link.mbit >= FAST_MBIT => (1, 256 * MIB),
            (Kind::Large, false) => (1, 64 * MIB),
            (Kind::Small, true) => (200, 16 * KIB),
            (Kind::Small, false) => (1000, 16 * KIB),
            (Kind::Tiny, true) => (2000, KIB),
            (Kind::Tiny, false) => (10_000, KIB),
        };
        Self { kind, files, size }
    }

    /// Bytes of content.
    pub(crate) fn bytes(&self) -> u64 {
        self.files * self.size
    }

    /// The shortest time in which a link can carry it.
    pub(crate) fn time_on(&self, link: &LinkSpec) -> Duration {
        Duration::from_secs_f64(self.bytes() as f64 * 8.0 / 1e6 / link.limit_mbit())
    }

    /// For readers: `64 MiB`, `1000 x 16 KiB`.
    pub(crate) fn title(&self) -> String {
        let size = match self.size {
            large if large >= MIB => format!("{} MiB", large / MIB),
            small => format!("{} KiB", small / KIB),
        };
        if self.files == 1 { format!("one file of {size}") } else { format!("{} files of {size}", self.files) }
    }

    /// Makes the files, unless they are there; the directory that holds nothing else.
    pub(crate) fn make(&self, place: &Path) -> anyhow::Result<PathBuf> {
        let dir = place.join(format!("{}x{}", self.files, self.size));
        if dir.exists() {
            return Ok(dir);
        }
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        let mut rng = Rng::new(self.size);
        for file in 0..self.files {
            let mut content = io::BufWriter::with_capacity(BLOCK, File::create(dir.join(format!("file-{file:05}")))?);
            for _ in 0..self.size / 8 {
                content.write_all(&rng.next_u64().to_le_bytes())?;
            }
            content.flush()?;
        }
        // Or the disk would still be busy with it while copies are measured.
        rustix::fs::syncfs(File::open(&dir)?)?;
        Ok(dir)
    }
}

/// Fails unless `copy` holds the same files as `source`, byte by byte, and no others.
pub(crate) fn compare(source: &Path, copy: &Path) -> anyhow::Result<()> {
    let mut expected = 0;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        expected += 1;
        let name = entry.file_name();
        let there = copy.join(&name);
        let same = same_content(&entry.path(), &there).with_context(|| there.display().to_string())?;
        ensure!(same, "{} differs", there.display());
    }
    let found = fs::read_dir(copy)?.count();
    ensure!(found == expected, "{found} files where {expected} were sent");
    Ok(())
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let size = one.read(&mut a)?;
        if size == 0 {
            return Ok(true);
        }
        other.read_exact(&mut b[..size])?;
        if a[..size] != b[..size] {
            return Ok(false);
        }
    }
}

/// About how many bytes of content are below a directory, under whatever names. Room that was only reserved reads as
/// zeros, which no content of ours has, and does not count.
pub(crate) fn arrived(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let kind = fs::symlink_metadata(&path)?.file_type();
        bytes += match () {
            () if kind.is_dir() => arrived(&path)?,
            () if kind.is_file() => content_bytes(&path)?,
            () => bail!("{}: neither a file nor a directory", path.display()),
        };
    }
    Ok(bytes)
}

fn content_bytes(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let (mut block, mut bytes) = (vec![0; BLOCK], 0);
    loop {
        let size = file.read(&mut block)?;
        if size == 0 {
            return Ok(bytes);
        }
        if block[..size].iter().any(|byte| *byte != 0) {
            bytes += size as u64;
        }
    }
}
