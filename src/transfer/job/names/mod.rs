//! Names of a job, each with something to remember, in little room: a million that a walk finds in some ten megabytes.
//!
//! They are kept in order, in front-coded blocks ([`block`]). The order is that of a walk: names in byte order, a directory
//! before what is in it. So what a walk finds is added at the end, and a name takes little more than what distinguishes it
//! from the one before. Names that come in another order take up to twice that.

mod block;

use std::collections::BTreeMap;
use std::ops::Bound;

use self::block::{Gap, NameBlock};
use crate::transfer::GROWTH;

/// Bytes that are kept of names at most. What a peer names is remembered too, and it can name any number.
pub const JOB_NAME_BYTES_MAX: usize = 256 << 20;

/// Names that are kept at most, likewise.
pub const JOB_NAMES_MAX: usize = 8 << 20;

/// The bytes that a name takes at most beside what is kept of it and its value: two lengths, of names that fit a frame.
const NAME_BYTES: usize = 6;

/// The bytes that a block takes beside its names: its place in a map that may be half empty, and what an allocator adds to
/// its three allocations.
const BLOCK_BYTES: usize = 2 * size_of::<(Box<[u8]>, NameBlock<()>)>() + 3 * 16;

/// Names, and what is remembered of each. They are kept with slashes and zeros exchanged: the order of bytes is that of a
/// walk then.
#[derive(Debug)]
pub(crate) struct NameMap<T> {
    /// By their first names. A name belongs into the last block whose first name does not come behind it.
    blocks: BTreeMap<Box<[u8]>, NameBlock<T>>,
    /// The last name of all: what a walk finds next comes behind it, and need not be looked for.
    last: Box<[u8]>,
    names: usize,
    bytes: usize,
    names_max: usize,
    bytes_max: usize,
}

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        let (names_max, bytes_max) = (JOB_NAMES_MAX, JOB_NAME_BYTES_MAX);
        Self { blocks: BTreeMap::new(), last: Box::default(), names: 0, bytes: 0, names_max, bytes_max }
    }
}

impl<T: Copy> NameMap<T> {
    /// The value of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<T> {
        let name = exchanged(name);
        if name > self.last {
            return None;
        }
        let (first, block) = self.blocks.range::<[u8], _>(up_to(&name)).next_back()?;
        block.find(first, &name).ok().map(|index| block.values()[index])
    }

    /// Gives a name the value that `value` makes of the one that it has, if it has one, and says which that was. `None`: the
    /// name is new, and there is no room for more.
    pub(crate) fn update(&mut self, name: &[u8], value: impl FnOnce(Option<T>) -> T) -> Option<Option<T>> {
        self.update_in(name, |_| true, value)
    }

    /// The same, with `room` asked for the bytes that keeping more takes.
    pub(crate) fn update_in(
        &mut self,
        name: &[u8],
        mut room: impl FnMut(usize) -> bool,
        value: impl FnOnce(Option<T>) -> T,
    ) -> Option<Option<T>> {
        let name = exchanged(name);
        let is_full = self.names >= self.names_max || self.bytes + BLOCK_BYTES + name.len() > self.bytes_max;
        let mut room = |bytes| !is_full && room(bytes);
        if name > self.last {
            return self.add_behind_all(name, room, value(None));
        }
        loop {
            let Some((first, block)) = self.blocks.range_mut::<[u8], _>(up_to(&name)).next_back() else {
                return self.add_before_all(name, room, value(None));
            };
            let gap = match block.find(first, &name) {
                Ok(index) => {
                    let known = &mut block.values_mut()[index];
                    let before = *known;
                    *known = value(Some(before));
                    return Some(Some(before));
                }
                Err(gap) => gap,
            };
            if !block.is_full() {
                let kept = put(block, &gap, &name, room, value(None))?;
                (self.names, self.bytes) = (self.names + 1, self.bytes + kept);
                return Some(None);
            }
            self.split(&name, &mut room)?;
        }
    }

    /// All that is remembered.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.values_mut().flat_map(NameBlock::values_mut)
    }

    /// A name behind all others. What a walk adds leaves full blocks behind.
    fn add_behind_all(&mut self, name: Box<[u8]>, room: impl FnMut(usize) -> bool, value: T) -> Option<Option<T>> {
        match self.blocks.last_entry().filter(|last| !last.get().is_full()) {
            Some(mut block) => {
                let gap = block.get().end(&self.last, &name);
                let kept = put(block.get_mut(), &gap, &name, room, value)?;
                (self.names, self.bytes) = (self.names + 1, self.bytes + kept);
            }
            None => drop(self.add_block(name.clone(), room, value)?),
        }
        self.last = name;
        Some(None)
    }

    /// A name before all others.
    fn add_before_all(&mut self, name: Box<[u8]>, mut room: impl FnMut(usize) -> bool, value: T) -> Option<Option<T>> {
        let Some((first, _)) = self.blocks.first_key_value().filter(|(_, block)| !block.is_full()) else {
            return self.add_block(name, room, value);
        };
        // The first one is coded now, and gives up its place.
        let kept = NAME_BYTES + name.len().max(first.len());
        if !room(GROWTH * (kept + size_of::<T>())) {
            return None;
        }
        let (first, mut block) = self.blocks.pop_first()?;
        block.insert_first(&name, &first, value);
        self.blocks.insert(name, block);
        (self.names, self.bytes) = (self.names + 1, self.bytes + kept);
        Some(None)
    }

    /// A block of this name, behind or before all others.
    fn add_block(&mut self, name: Box<[u8]>, mut room: impl FnMut(usize) -> bool, value: T) -> Option<Option<T>> {
        let bytes = BLOCK_BYTES + name.len();
        if !room(bytes + GROWTH * size_of::<T>()) {
            return None;
        }
        self.blocks.last_entry().into_iter().for_each(|mut last| last.get_mut().fit());
        self.blocks.insert(name, NameBlock::of(value));
        (self.names, self.bytes) = (self.names + 1, self.bytes + bytes);
        Some(None)
    }

    /// Splits the block into which a name belongs; `None`: there is no room.
    fn split(&mut self, name: &[u8], room: &mut impl FnMut(usize) -> bool) -> Option<()> {
        let (first, block) = self.blocks.range_mut::<[u8], _>(up_to(name)).next_back()?;
        let middle = block.middle(first);
        let bytes = BLOCK_BYTES + middle.len();
        if !room(bytes) {
            return None;
        }
        let second = block.split();
        self.blocks.insert(middle, second);
        self.bytes += bytes;
        Some(())
    }
}

/// Puts a name into a block that is not full, if there is room for the bytes that are kept of it then, and says how many.
fn put<T: Copy>(
    block: &mut NameBlock<T>,
    gap: &Gap,
    name: &[u8],
    mut room: impl FnMut(usize) -> bool,
    value: T,
) -> Option<usize> {
    let kept = NAME_BYTES + gap.kept(name).len();
    if !room(GROWTH * (kept + size_of::<T>())) {
        return None;
    }
    block.insert(gap, name, value);
    Some(kept)
}

fn up_to(name: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(name))
}

/// The same name with slashes and zeros exchanged: a component then comes before every one that it begins.
fn exchanged(name: &[u8]) -> Box<[u8]> {
    let exchange = |byte: &u8| match byte {
        b'/' => 0,
        0 => b'/',
        other => *other,
    };
    name.iter().map(exchange).collect()
}

#[cfg(test)]
mod tests;
