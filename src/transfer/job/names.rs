//! Names of a job, each with something to remember, in little room: a million in some thirty megabytes.
//!
//! A name is kept as its last component and the number of the directory that it lies in, which is a name itself. What a
//! walk finds lies in few directories, so a name takes little more than its last component.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Bytes of components that are kept at most. What a peer names is remembered too, and it can name any number.
const COMPONENT_BYTES_MAX: usize = 256 << 20;

/// Names that are kept at most, likewise.
const NAMES_MAX: usize = 8 << 20;

/// The bytes that a name takes beside its component: its entry, its number in the index and its value.
const NAME_BYTES: usize = 32;

/// Tables and vectors grow by doubling.
const GROWTH: usize = 2;

/// The directory of what lies in none.
const TOP: u32 = u32::MAX;

/// Names, and what is remembered of each.
#[derive(Debug)]
pub(crate) struct NameMap<T> {
    hasher: RandomState,
    /// Numbers of entries, by what they are.
    index: HashTable<u32>,
    entries: Vec<NameEntry>,
    /// The components, each behind the one before.
    components: Vec<u8>,
    /// The values; `None` for a name that is only a directory of others.
    values: Vec<Option<T>>,
    /// The directory of the name that was looked for last, and its number: the next one mostly lies there too.
    last: Option<(Vec<u8>, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct NameEntry {
    dir: u32,
    /// Where its component ends.
    end: u32,
}

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            index: HashTable::new(),
            entries: Vec::new(),
            components: Vec::new(),
            values: Vec::new(),
            last: None,
        }
    }
}

impl<T> NameMap<T> {
    /// The value of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&T> {
        let id = self.find(name)?;
        self.values[id as usize].as_ref()
    }

    /// The place of a name; `None`: it is new, and there is no room for more.
    pub(crate) fn entry(&mut self, name: &[u8]) -> Option<&mut Option<T>> {
        self.entry_in(name, |_| true)
    }

    /// The same, with `room` asked for the bytes that keeping more takes, for each component that is new.
    pub(crate) fn entry_in(&mut self, name: &[u8], room: impl FnMut(usize) -> bool) -> Option<&mut Option<T>> {
        let id = self.make(name, room)?;
        self.values.get_mut(id as usize)
    }

    /// All that is remembered.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }

    fn find(&self, name: &[u8]) -> Option<u32> {
        let (dir, component) = split(name);
        let dir = match dir {
            None => TOP,
            Some(dir) => match self.known_dir(dir) {
                Some(id) => id,
                None => dir.split(is_slash).try_fold(TOP, |above, component| self.look_up(above, component))?,
            },
        };
        self.look_up(dir, component)
    }

    fn make(&mut self, name: &[u8], mut room: impl FnMut(usize) -> bool) -> Option<u32> {
        let (dir, component) = split(name);
        let dir = match dir {
            None => TOP,
            Some(dir) => match self.known_dir(dir) {
                Some(id) => id,
                None => {
                    let mut down = dir.split(is_slash);
                    let id = down.try_fold(TOP, |above, component| self.look_up_or_add(above, component, &mut room))?;
                    self.last = Some((dir.to_vec(), id));
                    id
                }
            },
        };
        self.look_up_or_add(dir, component, &mut room)
    }

    fn known_dir(&self, dir: &[u8]) -> Option<u32> {
        self.last.as_ref().filter(|(last, _)| last == dir).map(|(_, id)| *id)
    }

    fn look_up_or_add(&mut self, dir: u32, component: &[u8], room: impl FnMut(usize) -> bool) -> Option<u32> {
        self.look_up(dir, component).or_else(|| self.add(dir, component, room))
    }

    fn look_up(&self, dir: u32, component: &[u8]) -> Option<u32> {
        let is_it = |id: &u32| {
            let entry = self.entries[*id as usize];
            entry.dir == dir && component_of(&self.entries, &self.components, *id) == component
        };
        self.index.find(self.hasher.hash_one((dir, component)), is_it).copied()
    }

    fn add(&mut self, dir: u32, component: &[u8], mut room: impl FnMut(usize) -> bool) -> Option<u32> {
        let end = self.components.len() + component.len();
        if self.entries.len() >= NAMES_MAX || end > COMPONENT_BYTES_MAX {
            return None;
        }
        if !room(GROWTH * (NAME_BYTES + component.len())) {
            return None;
        }
        let id = self.entries.len() as u32;
        self.components.extend_from_slice(component);
        self.entries.push(NameEntry { dir, end: end as u32 });
        self.values.push(None);
        let (hasher, entries, components) = (&self.hasher, &self.entries, &self.components);
        let hash = |id: &u32| hasher.hash_one((entries[*id as usize].dir, component_of(entries, components, *id)));
        self.index.insert_unique(hash(&id), id, hash);
        Some(id)
    }
}

fn component_of<'a>(entries: &[NameEntry], components: &'a [u8], id: u32) -> &'a [u8] {
    let start = id.checked_sub(1).map_or(0, |before| entries[before as usize].end);
    &components[start as usize..entries[id as usize].end as usize]
}

/// The directory that a name lies in, and its last component.
fn split(name: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match name.iter().rposition(is_slash) {
        Some(at) => (Some(&name[..at]), &name[at + 1..]),
        None => (None, name),
    }
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_remembered_like_in_a_map(names in proptest::collection::vec("[ab/]{0,6}", 0..60)) {
            let (mut table, mut map) = (NameMap::default(), HashMap::new());
            for (number, name) in names.iter().enumerate() {
                prop_assert_eq!(table.get(name.as_bytes()), map.get(name), "{}", name);
                *table.entry(name.as_bytes()).expect("there is room") = Some(number);
                map.insert(name.clone(), number);
            }
            for name in &names {
                prop_assert_eq!(table.get(name.as_bytes()), map.get(name), "{}", name);
            }
            prop_assert_eq!(table.values_mut().count(), map.len());
        }
    }

    #[test]
    fn a_name_takes_no_more_than_it_asks_room_for() {
        let (mut names, mut asked) = (NameMap::default(), 0);
        for n in 0..10_000 {
            let name = format!("{}/{n}", n % 100);
            let room = |bytes| {
                asked += bytes;
                true
            };
            *names.entry_in(name.as_bytes(), room).expect("there is room") = Some(0_u64);
            let vectors = names.entries.capacity() * size_of::<NameEntry>()
                + names.values.capacity() * size_of::<Option<u64>>()
                + names.components.capacity();
            let taken = vectors + names.index.allocation_size();
            assert!(n < 100 || taken <= asked, "{taken} bytes are taken, {asked} were asked for");
        }
    }

    #[test]
    fn a_directory_of_others_is_no_name_that_is_remembered() {
        let mut names = NameMap::default();
        *names.entry(b"d/e/f").expect("there is room") = Some(1);
        assert_eq!(
            [names.get(b"d"), names.get(b"d/e"), names.get(b"f"), names.get(b"d/e/f")],
            [None, None, None, Some(&1)]
        );
    }

    #[test]
    fn a_name_takes_little_more_than_its_last_component() {
        let mut names = NameMap::default();
        for dir in 0..10 {
            for file in 0..1000 {
                let name = format!("some/directory/far/down/{dir}/file-{file:04}");
                *names.entry(name.as_bytes()).expect("there is room") = Some(0_u8);
            }
        }
        assert!(names.components.len() < 10_000 * "file-0000".len() + 100, "{}", names.components.len());
    }
}
