//! Names of a job, each with something to remember, in little room: a million that a walk finds in some ten megabytes.
//!
//! They are kept in order, in front-coded blocks ([`block`]). The order is that of a walk: names in byte order, a directory
//! before what is in it. So what a walk finds is added at the end, and a name takes little more than what distinguishes it
//! from the one before. Names that come in another order take up to twice that.

mod block;

use std::collections::BTreeMap;
use std::ops::Bound;

use self::block::{Found, Gap, NameBlock};
use crate::transfer::GROWTH;

/// Bytes that are kept of names at most. What a peer names is remembered too, and it can name any number.
pub const JOB_NAME_BYTES_MAX: usize = 256 << 20;

/// Names that are kept at most, likewise.
pub const JOB_NAMES_MAX: usize = 8 << 20;

/// The bytes that a name takes at most beside what is kept of it and its value: two lengths, of names that fit a frame.
const NAME_BYTES: usize = 6;

/// The bytes that a block takes beside its names: its places in a map and a list that may be half empty, and what an allocator
/// adds to its three allocations.
const BLOCK_BYTES: usize = GROWTH * (size_of::<(Box<[u8]>, usize)>() + size_of::<NameBlock<()>>()) + 3 * 16;

/// Names, and what is remembered of each. They are kept with slashes and zeros exchanged: the order of bytes is that of a
/// walk then.
#[derive(Debug)]
pub(crate) struct NameMap<T> {
    blocks: Vec<NameBlock<T>>,
    /// Their numbers by their first names. A name belongs into the last block whose first name does not come behind it.
    order: BTreeMap<Box<[u8]>, usize>,
    /// The last name of all: what a walk finds next comes behind it, and need not be looked for.
    last: Vec<u8>,
    /// The name that was found last: what is answered next is close behind it, and need not be looked for either.
    recent: Option<Recent>,
    /// The room for a name as it is kept, which is asked for each time.
    buffer: Vec<u8>,
    names: usize,
    bytes: usize,
    names_max: usize,
    bytes_max: usize,
}

/// Where a name would be that is not there.
enum Missing {
    BeforeAll,
    /// In the block of this number.
    Between(usize, Gap),
    BehindAll,
}

/// A name that was found, and where.
#[derive(Debug)]
struct Recent {
    name: Vec<u8>,
    block: usize,
    place: Found,
}

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        let (names_max, bytes_max) = (JOB_NAMES_MAX, JOB_NAME_BYTES_MAX);
        let (blocks, order, last, recent, buffer) = Default::default();
        Self { blocks, order, last, recent, buffer, names: 0, bytes: 0, names_max, bytes_max }
    }
}

impl<T: Copy> NameMap<T> {
    /// The value of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<T> {
        let name: Vec<u8> = exchanged(name).collect();
        if name > self.last {
            return None;
        }
        let (first, block) = self.block_of(&name)?;
        let block = &self.blocks[block];
        block.find(first, &name).ok().map(|found| block.values()[found.index])
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
        room: impl FnMut(usize) -> bool,
        value: impl FnOnce(Option<T>) -> T,
    ) -> Option<Option<T>> {
        let mut kept = std::mem::take(&mut self.buffer);
        kept.clear();
        kept.extend(exchanged(name));
        let updated = match self.find(&kept) {
            Ok((block, found)) => {
                let known = &mut self.blocks[block].values_mut()[found.index];
                let before = *known;
                *known = value(Some(before));
                Some(Some(before))
            }
            Err(missing) => self.add(&kept, missing, room, value(None)).map(|()| None),
        };
        self.buffer = kept;
        updated
    }

    /// All that is remembered.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.iter_mut().flat_map(NameBlock::values_mut)
    }

    /// The block into which a name belongs, and its first name; `None`: the name comes before all.
    fn block_of(&self, name: &[u8]) -> Option<(&[u8], usize)> {
        let up_to = (Bound::Unbounded, Bound::Included(name));
        self.order.range::<[u8], _>(up_to).next_back().map(|(first, block)| (&**first, *block))
    }

    /// Where a name is or would be. One that is there is the recent one then.
    fn find(&mut self, name: &[u8]) -> Result<(usize, Found), Missing> {
        if name > &*self.last {
            return Err(Missing::BehindAll);
        }
        let is_near = |recent: &&Recent| *recent.name <= *name;
        let near = self.recent.as_ref().filter(is_near).and_then(|recent| {
            let found = self.blocks[recent.block].find_near(recent.place, &recent.name, name)?;
            Some((recent.block, found))
        });
        let (block, found) = match near {
            Some(near) => near,
            None => {
                let (first, block) = self.block_of(name).ok_or(Missing::BeforeAll)?;
                let found = self.blocks[block].find(first, name).map_err(|gap| Missing::Between(block, gap))?;
                (block, found)
            }
        };
        let mut kept = self.recent.take().map_or_else(Vec::new, |recent| recent.name);
        kept.clear();
        kept.extend_from_slice(name);
        self.recent = Some(Recent { name: kept, block, place: found });
        Ok((block, found))
    }

    /// Puts in a name that is not there, at its place; `None`: there is no room.
    fn add(&mut self, name: &[u8], missing: Missing, mut room: impl FnMut(usize) -> bool, value: T) -> Option<()> {
        let is_full = self.names >= self.names_max || self.bytes + BLOCK_BYTES + name.len() > self.bytes_max;
        if is_full {
            return None;
        }
        if !matches!(missing, Missing::BehindAll) {
            // The places of others change.
            self.recent = None;
        }
        match missing {
            Missing::BeforeAll => self.add_before_all(name, room, value),
            Missing::Between(number, _) if self.blocks[number].is_full() => {
                self.split(name, &mut room)?;
                let missing = self.find(name).expect_err("it is not there");
                self.add(name, missing, room, value)
            }
            Missing::Between(number, gap) => self.put(number, &gap, name, room, value),
            Missing::BehindAll => self.add_behind_all(name, room, value),
        }
    }

    /// A name behind all others. What a walk adds leaves full blocks behind.
    fn add_behind_all(&mut self, name: &[u8], room: impl FnMut(usize) -> bool, value: T) -> Option<()> {
        match self.order.last_key_value().filter(|(_, number)| !self.blocks[**number].is_full()) {
            Some((_, &number)) => {
                let gap = self.blocks[number].end(&self.last, name);
                self.put(number, &gap, name, room, value)?;
            }
            None => self.add_block(name, room, value)?,
        }
        self.last.clear();
        self.last.extend_from_slice(name);
        Some(())
    }

    /// A name before all others.
    fn add_before_all(&mut self, name: &[u8], mut room: impl FnMut(usize) -> bool, value: T) -> Option<()> {
        let Some((first, &number)) =
            self.order.first_key_value().filter(|(_, number)| !self.blocks[**number].is_full())
        else {
            return self.add_block(name, room, value);
        };
        // The first one is coded now, and gives up its place.
        let kept = NAME_BYTES + name.len().max(first.len());
        if !room(GROWTH * (kept + size_of::<T>())) {
            return None;
        }
        let (first, _) = self.order.pop_first()?;
        self.blocks[number].insert_first(name, &first, value);
        self.order.insert(name.into(), number);
        (self.names, self.bytes) = (self.names + 1, self.bytes + kept);
        Some(())
    }

    /// A block of this name, behind or before all others.
    fn add_block(&mut self, name: &[u8], mut room: impl FnMut(usize) -> bool, value: T) -> Option<()> {
        let bytes = BLOCK_BYTES + name.len();
        if !room(bytes + GROWTH * size_of::<T>()) {
            return None;
        }
        let last = self.order.last_key_value().map(|(_, number)| *number);
        last.into_iter().for_each(|number| self.blocks[number].fit());
        self.order.insert(name.into(), self.blocks.len());
        self.blocks.push(NameBlock::of(value));
        (self.names, self.bytes) = (self.names + 1, self.bytes + bytes);
        Some(())
    }

    /// Splits the block into which a name belongs; `None`: there is no room.
    fn split(&mut self, name: &[u8], room: &mut impl FnMut(usize) -> bool) -> Option<()> {
        let (first, number) = self.block_of(name)?;
        let middle = self.blocks[number].middle(first);
        let bytes = BLOCK_BYTES + middle.len();
        if !room(bytes) {
            return None;
        }
        let second = self.blocks[number].split();
        self.order.insert(middle, self.blocks.len());
        self.blocks.push(second);
        self.bytes += bytes;
        Some(())
    }

    /// Puts a name into a block that is not full; `None`: there is no room.
    fn put(
        &mut self,
        number: usize,
        gap: &Gap,
        name: &[u8],
        mut room: impl FnMut(usize) -> bool,
        value: T,
    ) -> Option<()> {
        let kept = NAME_BYTES + gap.kept(name).len();
        if !room(GROWTH * (kept + size_of::<T>())) {
            return None;
        }
        self.blocks[number].insert(gap, name, value);
        (self.names, self.bytes) = (self.names + 1, self.bytes + kept);
        Some(())
    }
}

/// The same name with slashes and zeros exchanged: a component then comes before every one that it begins.
fn exchanged(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(|byte| match byte {
        b'/' => 0,
        0 => b'/',
        other => *other,
    })
}

#[cfg(test)]
mod tests;
