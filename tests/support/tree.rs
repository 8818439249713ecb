//! Trees of files: made, and compared down to the nanosecond.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Bytes written or compared at a time.
const BLOCK: usize = 1 << 20;

/// A source of bytes that do not compress, have no runs of zeros and are the same in every run.
#[derive(Debug, Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Xorshift: never zero.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        let (words, rest) = bytes.as_chunks_mut();
        for word in words {
            *word = self.next().to_le_bytes();
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&self.next().to_le_bytes()[..rest.len()]);
        }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }
}

/// Writes a file of `size` bytes of noise, with its parents.
pub(crate) fn write_noise(path: &Path, size: u64, seed: u64) {
    fs::create_dir_all(path.parent().expect("a file has a parent")).expect("directories");
    let mut file = File::create(path).expect("a file");
    let mut noise = Noise::new(seed);
    let mut block = noise.bytes(BLOCK.min(size as usize));
    let mut left = size as usize;
    while left > 0 {
        let now = left.min(block.len());
        file.write_all(&block[..now]).expect("written");
        left -= now;
        // The next block is another one at every place. To make it anew takes long where nothing is optimised.
        if left > 0 {
            block.rotate_left(24);
            noise.fill(&mut block[..8]);
        }
    }
}

/// Gives a file or directory a time with nanoseconds.
pub(crate) fn set_mtime(path: &Path, secs: u64, nanos: u32) {
    let time = UNIX_EPOCH + Duration::new(secs, nanos);
    let opened = File::open(path).expect("it opens");
    opened.set_times(FileTimes::new().set_modified(time)).expect("its time is set");
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode is set");
}

/// Everything that a name, a size, a time or a mode can be: the tree that must arrive whole.
pub(crate) fn make_mixed(top: &Path) {
    let dirs = ["plain", "empty", "a b/c d/deep/er", "locked/empty too"];
    for dir in dirs {
        fs::create_dir_all(top.join(dir)).expect("directories");
    }
    let names: [&[u8]; 9] = [
        b"plain/with space",
        b"plain/new\nline and\ttab",
        b"plain/'quotes' \"both\" `and` $HOME",
        b"plain/not \xff\xfe utf-8 \x80",
        b"plain/-starts-with-dash",
        b"plain/*glob?[x]",
        b"a b/c d/deep/er/\xc3\xa9\xe2\x82\xac",
        b"locked/.hidden",
        b"back\\slash",
    ];
    for (seed, name) in names.iter().enumerate() {
        write_noise(&top.join(OsStr::from_bytes(name)), 1000 + seed as u64, seed as u64);
    }
    for byte in [b'x', 0xf0] {
        write_noise(&top.join("plain").join(OsStr::from_bytes(&[byte; 255])), 70_000, byte.into());
    }
    let sizes = [0, 1, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5];
    for (seed, size) in sizes.into_iter().enumerate() {
        write_noise(&top.join(format!("size-{size}")), size, 100 + seed as u64);
    }
    fs::write(top.join("zeros"), vec![0; (2 << 20) + 77]).expect("written");
    fs::create_dir(top.join(OsStr::from_bytes(b"dir\n\xff"))).expect("a directory");
    give_times_and_modes(top);
}

/// Different ones for everything; directories last, for what is made in them changes their times.
fn give_times_and_modes(top: &Path) {
    let modes = [0o644, 0o600, 0o755, 0o444, 0o400, 0o640, 0o777];
    for (n, path) in walk(top).into_iter().rev().enumerate() {
        let meta = fs::symlink_metadata(&path).expect("it is there");
        set_mtime(&path, 1_000_000_000 + 86_400 * n as u64, 1 + 7_654_321 * (n as u32 % 100));
        set_mode(&path, if meta.is_dir() { [0o755, 0o700, 0o775][n % 3] } else { modes[n % modes.len()] });
    }
}

/// All paths below a directory, each before what is in it.
pub(crate) fn walk(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut names: Vec<PathBuf> = fs::read_dir(top).expect("a directory").map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        let is_dir = fs::symlink_metadata(&path).expect("it is there").is_dir();
        found.push(path.clone());
        if is_dir {
            found.extend(walk(&path));
        }
    }
    found
}

/// What is known of a name without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: &'static str,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) mtime: (i64, i64),
    pub(crate) link: Option<PathBuf>,
}

/// Everything below a directory, by its path there.
pub(crate) fn listing(top: &Path) -> BTreeMap<PathBuf, Facts> {
    walk(top).into_iter().map(|path| (path.strip_prefix(top).expect("below").to_owned(), facts(&path))).collect()
}

pub(crate) fn facts(path: &Path) -> Facts {
    let meta = fs::symlink_metadata(path).expect("it is there");
    let link = meta.is_symlink().then(|| fs::read_link(path).expect("a link"));
    let kind = match (meta.is_dir(), link.is_some()) {
        (true, _) => "directory",
        (_, true) => "link",
        _ => "file",
    };
    Facts {
        kind,
        size: if meta.is_file() { meta.len() } else { 0 },
        mode: if link.is_some() { 0 } else { meta.mode() & 0o7777 },
        // Links are copied as text; nobody promises their times.
        mtime: if link.is_some() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) },
        link,
    }
}

/// The bits that this process, and so each end of a transfer in it, takes from the modes of what it makes.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says so");
    let stated = status.lines().find_map(|line| line.strip_prefix("Umask:")).expect("Linux says so");
    u32::from_str_radix(stated.trim(), 8).expect("octal digits")
}

/// What its copy is, after a transfer.
fn copied(facts: &Facts) -> Facts {
    Facts { mode: facts.mode & !umask(), ..facts.clone() }
}

/// Both trees hold the same names, kinds, modes (less the umask), times and bytes.
///
/// # Panics
/// With the first difference.
pub(crate) fn assert_same(expected: &Path, found: &Path) {
    let (left, right) = (listing(expected), listing(found));
    for (path, facts) in &left {
        assert_eq!(Some(copied(facts)).as_ref(), right.get(path), "{path:?}");
    }
    let extra: Vec<_> = right.keys().filter(|path| !left.contains_key(*path)).collect();
    assert!(extra.is_empty(), "nobody sent {extra:?}");
    for (path, _) in left.iter().filter(|(_, facts)| facts.kind == "file") {
        assert_same_content(&expected.join(path), &found.join(path));
    }
}

/// Byte for byte.
///
/// # Panics
/// With the first block that differs.
pub(crate) fn assert_same_content(expected: &Path, found: &Path) {
    assert_eq!(fs::metadata(expected).unwrap().len(), fs::metadata(found).unwrap().len(), "{found:?}: size");
    assert_eq!(first_difference(expected, found), None, "{found:?}: first block that differs");
}

/// The offset of the first megabyte that differs, of two files of the same size. Where both have a hole
/// there is nothing to read.
pub(crate) fn first_difference(left: &Path, right: &Path) -> Option<u64> {
    let files = [left, right].map(|path| File::open(path).expect("it opens"));
    let len = files[0].metadata().expect("it is open").len();
    let mut blocks = [(); 2].map(|()| vec![0; len.clamp(1, BLOCK as u64) as usize]);
    let mut at = 0;
    while let Some(data) = files.iter().filter_map(|file| next_data(file, at)).min() {
        at = at.max(data - data % BLOCK as u64);
        let mut lens = [0; 2];
        for ((file, block), len) in files.iter().zip(&mut blocks).zip(&mut lens) {
            *len = read_block(file, block, at);
        }
        if lens[0] != lens[1] || blocks[0][..lens[0]] != blocks[1][..lens[1]] {
            return Some(at);
        }
        at += BLOCK as u64;
    }
    None
}

/// Where the next data are, at or after an offset; `None` when only holes follow.
fn next_data(file: &File, at: u64) -> Option<u64> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Err(rustix::io::Errno::NXIO) => None,
        found => Some(found.expect("the file system knows its holes")),
    }
}

fn read_block(file: &File, block: &mut [u8], at: u64) -> usize {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], at + filled as u64).expect("it can be read") {
            0 => break,
            read => filled += read,
        }
    }
    filled
}

/// The name of the part file of a short name.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().expect("a file").as_bytes();
    path.with_file_name(OsStr::from_bytes(&[b".", name, b".qft-part"].concat()))
}

/// Part files anywhere below a directory.
pub(crate) fn parts(top: &Path) -> Vec<PathBuf> {
    walk(top).into_iter().filter(|path| path.as_os_str().as_bytes().ends_with(b".qft-part")).collect()
}

/// Bytes of the files below a directory.
pub(crate) fn total_bytes(top: &Path) -> u64 {
    listing(top).values().map(|facts| facts.size).sum()
}
