//! The state of a disk after a power cut.

use std::collections::BTreeMap;

use super::data::{FileData, Kept};
use super::image::{Inode, Object};
use super::state::State;
use super::volume::Volume;
use crate::storage::testing::random::Random;

impl Volume {
    /// Power is cut. Of what was not synced any part may be on the disk: `random` says which.
    pub(crate) fn cut_power(&self, random: &mut Random) {
        let mut state = self.state();
        let State { memory, durable, pending, .. } = &mut *state;
        let style = random.below(4);
        let mut garbage = 0;
        for number in memory.numbers() {
            let new = memory.inode(number).expect("it is one of them").clone();
            let left = left_of(&new, durable.inode(number).ok(), style, random, &mut garbage);
            durable.insert(number, left);
        }
        // A journal keeps changes up to some moment; without one any of them may be there.
        let kept_until = if pending.is_empty() { 0 } else { random.below(pending.len() + 1) };
        for (index, change) in pending.drain(..).enumerate() {
            let is_kept = match style {
                0 => false,
                1 => true,
                2 => index < kept_until,
                _ => random.percent(50),
            };
            if is_kept {
                durable.apply(&change);
            }
        }
        durable.check();
        *memory = durable.clone();
        state.begin_process();
    }
}

/// The state of one object after a power cut.
fn left_of(new: &Inode, durable: Option<&Inode>, style: usize, random: &mut Random, garbage: &mut u32) -> Inode {
    let Some(old) = durable else {
        // It was made, and nothing of it was synced.
        let object = match &new.object {
            Object::File(data) => Object::File(data.torn(&FileData::default(), |_| kept(style, random, garbage))),
            Object::Dir(_) => Object::Dir(BTreeMap::new()),
            Object::Link(target) => Object::Link(target.clone()),
        };
        return Inode { object, ..new.clone() };
    };
    let object = match (&new.object, &old.object) {
        (Object::File(new), Object::File(old)) => Object::File(new.torn(old, |_| kept(style, random, garbage))),
        (_, old) => old.clone(),
    };
    let is_new = kept(style, random, garbage) == Kept::New;
    let Inode { mtime, ctime, mode, .. } = if is_new { new } else { old };
    Inode { object, mtime: *mtime, ctime: *ctime, mode: *mode }
}

fn kept(style: usize, random: &mut Random, garbage: &mut u32) -> Kept {
    match (style, random.below(3)) {
        (0, _) => Kept::Old,
        (1, _) => Kept::New,
        (_, 0) => Kept::Old,
        (_, 1) => Kept::New,
        _ => {
            *garbage += 1;
            // Nobody writes that, and zeros are what a file system gives that keeps sizes before content.
            Kept::Neither(if random.percent(50) { 0 } else { u32::MAX - *garbage })
        }
    }
}
