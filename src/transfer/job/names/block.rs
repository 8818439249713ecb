//! Some names that follow each other, and what is remembered of each.
//!
//! They are front-coded, as in the dictionaries of search engines: of each but the first only what it does not share with
//! the one before is kept.

use std::cmp::Ordering;

/// Names of a block at most: enough that its first name and its place in the map weigh little, and few enough to be looked
/// through in the time of one miss of the cache.
const NAMES_MAX: usize = 64;

/// The same in bytes that are kept of them: names may be long.
const BYTES_MAX: usize = 4 << 10;

/// How far behind the name that was found last another one is looked for before the whole map is: answers come in the order of
/// the offers, but for those that took longer.
const NEAR: usize = 4;

/// A length takes seven bits a byte; the last one has the eighth bit clear.
const LENGTH_BITS: usize = 7;

/// The names from one on, which is kept beside this, in ascending order.
#[derive(Debug)]
pub(super) struct NameBlock<T> {
    /// Of each name but the first: how many bytes it shares with the one before, how many follow, and those.
    coded: Vec<u8>,
    values: Vec<T>,
}

/// The place of a name that is not there.
#[derive(Debug)]
pub(super) struct Gap {
    /// The number of the name behind it, and where that is coded.
    index: usize,
    at: usize,
    /// The bytes that it would share with the name before, and the name behind with it.
    shared: usize,
    shared_behind: usize,
}

/// The place of a name that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The number of the name, and where the one behind it is coded.
    pub(super) index: usize,
    next: usize,
}

impl Found {
    /// The first name of a block.
    const FIRST: Self = Self { index: 0, next: 0 };
}

/// A name as it is coded.
struct CodedName<'a> {
    shared: usize,
    suffix: &'a [u8],
    /// Where the next one is coded.
    end: usize,
}

impl Gap {
    /// The bytes of a name that would be kept.
    pub(super) fn kept<'a>(&self, name: &'a [u8]) -> &'a [u8] {
        &name[self.shared..]
    }
}

impl<T: Copy> NameBlock<T> {
    /// A block of one name.
    pub(super) fn of(value: T) -> Self {
        Self { coded: Vec::new(), values: vec![value] }
    }

    pub(super) fn is_full(&self) -> bool {
        self.values.len() >= NAMES_MAX || self.coded.len() >= BYTES_MAX
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// The place of a name, which does not come before the `first`, or where it would be.
    pub(super) fn find(&self, first: &[u8], name: &[u8]) -> Result<Found, Gap> {
        self.find_from(Found::FIRST, first, name, self.values.len())
    }

    /// The place of a name, if it is `last`, which is there at `place`, or one of those close behind.
    pub(super) fn find_near(&self, place: Found, last: &[u8], name: &[u8]) -> Option<Found> {
        self.find_from(place, last, name, NEAR).ok()
    }

    /// Looks for a name that does not come before `last`, which is there at `place`, among that and `count` behind it.
    fn find_from(&self, place: Found, last: &[u8], name: &[u8], count: usize) -> Result<Found, Gap> {
        debug_assert!(last <= name);
        // All names so far come before it; of the last of them it shares so many bytes.
        let mut shared = common(last, name);
        if shared == name.len() {
            return Ok(place);
        }
        let (mut index, mut at) = (place.index + 1, place.next);
        while let Some(next) = self.coded_at(at).filter(|_| index <= place.index + count) {
            // One that shares more with the last comes before the name as that does; one that shares less comes behind it.
            if next.shared < shared {
                return Err(Gap { index, at, shared, shared_behind: next.shared });
            }
            if next.shared == shared {
                let rest = &name[shared..];
                let more = common(next.suffix, rest);
                match next.suffix[more..].cmp(&rest[more..]) {
                    Ordering::Equal => return Ok(Found { index, next: next.end }),
                    Ordering::Greater => {
                        return Err(Gap { index, at, shared, shared_behind: shared + more });
                    }
                    Ordering::Less => shared += more,
                }
            }
            (index, at) = (index + 1, next.end);
        }
        Err(Gap { index, at, shared, shared_behind: 0 })
    }

    /// The place of a name behind the `last` one, which is not looked for.
    pub(super) fn end(&self, last: &[u8], name: &[u8]) -> Gap {
        debug_assert!(last < name);
        Gap { index: self.values.len(), at: self.coded.len(), shared: common(last, name), shared_behind: 0 }
    }

    /// Puts in a name that is not there.
    pub(super) fn insert(&mut self, gap: &Gap, name: &[u8], value: T) {
        if gap.index == self.values.len() {
            code(&mut self.coded, gap.shared, gap.kept(name));
            return self.values.push(value);
        }
        let mut coded = Vec::with_capacity(name.len());
        code(&mut coded, gap.shared, gap.kept(name));
        let end = self.coded_at(gap.at).map_or(gap.at, |behind| {
            code(&mut coded, gap.shared_behind, &behind.suffix[gap.shared_behind - behind.shared..]);
            behind.end
        });
        self.coded.splice(gap.at..end, coded);
        self.values.insert(gap.index, value);
    }

    /// Puts in a name before the `first`, which it takes the place of.
    pub(super) fn insert_first(&mut self, name: &[u8], first: &[u8], value: T) {
        let (mut coded, shared) = (Vec::with_capacity(first.len()), common(name, first));
        code(&mut coded, shared, &first[shared..]);
        self.coded.splice(0..0, coded);
        self.values.insert(0, value);
    }

    /// The first name of the second half, of two names or more.
    pub(super) fn middle(&self, first: &[u8]) -> Box<[u8]> {
        let mut name = first.to_vec();
        for coded in self.names().take(self.half()) {
            name.truncate(coded.shared);
            name.extend_from_slice(coded.suffix);
        }
        name.into()
    }

    /// Takes out the second half of two names or more.
    pub(super) fn split(&mut self) -> Self {
        let half = self.half();
        let end_of = |count| self.names().take(count).last().map_or(0, |coded| coded.end);
        let (begin, end) = (end_of(half - 1), end_of(half));
        let second = Self { coded: self.coded[end..].to_vec(), values: self.values.split_off(half) };
        self.coded.truncate(begin);
        self.fit();
        second
    }

    fn half(&self) -> usize {
        self.values.len() / 2
    }

    /// All names but the first.
    fn names(&self) -> impl Iterator<Item = CodedName<'_>> {
        std::iter::successors(self.coded_at(0), move |before| self.coded_at(before.end))
    }

    /// Takes no more memory than it needs now.
    pub(super) fn fit(&mut self) {
        self.coded.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    fn coded_at(&self, at: usize) -> Option<CodedName<'_>> {
        let (shared, rest) = length(&self.coded[at..])?;
        let (len, rest) = length(rest)?;
        Some(CodedName { shared, suffix: &rest[..len], end: self.coded.len() - rest.len() + len })
    }

    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.coded.capacity() + self.values.capacity() * size_of::<T>()
    }
}

/// How many bytes two names have in common before they differ.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

fn code(into: &mut Vec<u8>, shared: usize, suffix: &[u8]) {
    code_length(into, shared);
    code_length(into, suffix.len());
    into.extend_from_slice(suffix);
}

fn code_length(into: &mut Vec<u8>, mut length: usize) {
    while length >> LENGTH_BITS > 0 {
        into.push((1 << LENGTH_BITS) | length as u8);
        length >>= LENGTH_BITS;
    }
    into.push(length as u8);
}

/// A length, and what follows it.
fn length(mut coded: &[u8]) -> Option<(usize, &[u8])> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = coded.split_first()?;
        length |= usize::from(byte & !(1 << LENGTH_BITS)) << shift;
        if byte >> LENGTH_BITS == 0 {
            return Some((length, rest));
        }
        (coded, shift) = (rest, shift + LENGTH_BITS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_read_as_it_was_written() {
        for written in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 20] {
            let mut coded = Vec::new();
            code_length(&mut coded, written);
            coded.push(7);
            assert_eq!(length(&coded), Some((written, &[7][..])));
        }
        assert_eq!(length(&[0x80]), None);
    }

    #[test]
    fn a_block_that_is_split_has_the_same_names() {
        let name = |n: usize| format!("{:03}", n * n).into_bytes();
        for count in 2..30 {
            let mut block = NameBlock::of(0);
            for n in 1..count {
                let gap = block.find(&name(0), &name(n)).expect_err("it is new");
                block.insert(&gap, &name(n), n);
            }
            let (first, second) = (block.middle(&name(0)), block.split());
            for n in 0..count {
                let of = if *name(n) < *first { block.find(&name(0), &name(n)) } else { second.find(&first, &name(n)) };
                let half = if *name(n) < *first { &block } else { &second };
                assert_eq!(half.values()[of.expect("it is there").index], n);
            }
            assert!(!block.values.is_empty() && block.values.len() + second.values.len() == count);
        }
    }
}
