//! Small things.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

pub(crate) const MIB: usize = 1 << 20;

/// Bytes without zeros, the same in every run.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8 | 1
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub(crate) fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().expect("it lies somewhere")).expect("made");
    fs::write(path, content).expect("written");
}

pub(crate) fn set_mtime(path: &Path, secs: u64, nanos: u32) {
    let time = UNIX_EPOCH + Duration::new(secs, nanos);
    File::open(path).and_then(|file| file.set_modified(time)).expect("ours");
}
