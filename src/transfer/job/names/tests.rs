use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn note<T: Copy>(names: &mut NameMap<T>, name: &str, value: T) -> bool {
    names.update(name.as_bytes(), |_| value).is_some()
}

proptest! {
    #[test]
    fn names_are_remembered_like_in_a_map(names in proptest::collection::vec("[ab/\0]{0,9}", 0..600)) {
        let (mut kept, mut map) = (NameMap::default(), HashMap::new());
        for (number, name) in names.iter().enumerate() {
            prop_assert_eq!(kept.get(name.as_bytes()), map.get(name).copied(), "{}", name);
            prop_assert_eq!(kept.update(name.as_bytes(), |_| number), Some(map.insert(name.clone(), number)));
        }
        for name in &names {
            prop_assert_eq!(kept.get(name.as_bytes()), map.get(name).copied(), "{}", name);
        }
        prop_assert_eq!(kept.values_mut().count(), map.len());
    }
}

#[test]
fn a_name_is_found_whatever_was_found_before() {
    let mut names = NameMap::default();
    let all: Vec<_> = walked(3, 200).collect();
    for (number, name) in all.iter().enumerate() {
        assert!(note(&mut names, name, number));
    }
    let value_of = |names: &mut NameMap<usize>, number: usize| {
        let mut value = None;
        names.update(all[number].as_bytes(), |known| {
            value = known;
            known.unwrap_or_default()
        });
        value
    };
    // In their order, backwards, and with steps of all lengths.
    for step in [1, all.len() - 1, 2, 3, 4, 5, 6, 7, 63, 64, 65] {
        for number in (0..all.len()).map(|turn| turn * step % all.len()) {
            assert_eq!(value_of(&mut names, number), Some(number), "step {step}");
        }
    }
    // What comes in between changes the places of those behind it.
    for number in (0..all.len()).step_by(5) {
        assert_eq!(value_of(&mut names, number), Some(number));
        assert!(note(&mut names, &format!("{}-", all[number]), usize::MAX));
        assert_eq!(value_of(&mut names, number), Some(number));
        assert!((number..all.len().min(number + 9)).all(|behind| value_of(&mut names, behind) == Some(behind)));
    }
}

/// What is allocated, with the map as empty as it may be.
fn allocated<T: Copy>(names: &NameMap<T>) -> usize {
    let first: usize = names.order.keys().map(|first| first.len()).sum();
    let blocks: usize = names.blocks.iter().map(NameBlock::allocated).sum();
    let places = names.order.len() * 2 * size_of::<(Box<[u8]>, usize)>();
    first + blocks + places + names.blocks.capacity() * size_of::<NameBlock<T>>()
}

/// The names of a walk, directories among them.
fn walked(dirs: usize, files: usize) -> impl Iterator<Item = String> {
    (0..dirs).flat_map(move |dir| {
        let files = (0..files).map(move |file| format!("photos/{dir:04}/f{file:04}"));
        std::iter::once(format!("photos/{dir:04}")).chain(files)
    })
}

#[test]
fn a_name_that_a_walk_finds_takes_ten_bytes_and_what_is_remembered_of_it() {
    let mut names = NameMap::default();
    assert!(walked(100, 1000).all(|name| note(&mut names, &name, 0_u64)));
    let each = allocated(&names) / names.names;
    assert!(each <= 10 + size_of::<u64>(), "{each} bytes each");
}

#[test]
fn in_any_other_order_it_takes_twice_that() {
    let backwards = walked(20, 1000).collect::<Vec<_>>().into_iter().rev();
    let (first, last) = (walked(20, 1000).step_by(2), walked(20, 1000).skip(1).step_by(2));
    let orders: [Vec<String>; 3] = [
        backwards.collect(),
        first.chain(last).collect(),
        // Each is far from the one before.
        (0..20_000).map(|n| format!("photos/{:06}", n * 7919 % 20_000)).collect(),
    ];
    for names in orders {
        let mut kept = NameMap::default();
        assert!(names.iter().all(|name| note(&mut kept, name, 0_u64)));
        let each = allocated(&kept) / kept.names;
        assert!(each <= 2 * (10 + size_of::<u64>()), "{each} bytes each, from {} on", names[0]);
        assert!(names.iter().all(|name| kept.get(name.as_bytes()).is_some()));
    }
}

#[test]
fn a_name_takes_no_more_than_it_asks_room_for() {
    let orders: [fn(usize) -> String; 3] = [
        |n| format!("{}/{n}", n % 100),
        |n| format!("{:09}", 1_000_000 - n),
        |n| format!("{}{:04}", "x".repeat(n % 3000), n * 7919 % 1000),
    ];
    for name in orders {
        let (mut names, mut asked) = (NameMap::default(), 0);
        for n in 0..3000 {
            let room = |bytes| {
                asked += bytes;
                true
            };
            names.update_in(name(n).as_bytes(), room, |_| 0_u64).expect("there is room");
            let taken = allocated(&names);
            assert!(n < 100 || taken <= asked, "{taken} bytes are taken, {asked} were asked for");
            assert!(n < 100 || 2 * names.bytes >= taken - names.names * size_of::<u64>(), "{} of {taken}", names.bytes);
        }
    }
}

#[test]
fn names_that_there_is_no_room_for_are_not_remembered_and_those_before_are() {
    for (names_max, bytes_max) in [(100, usize::MAX), (usize::MAX, 1250)] {
        let mut names = NameMap { names_max, bytes_max, ..NameMap::default() };
        let name = |n: usize| format!("directory/{n:09}");
        let taken = (0..1000).take_while(|n| note(&mut names, &name(*n), ())).count();
        assert!((90..=110).contains(&taken), "{taken}");
        assert!((0..1000).all(|n| names.get(name(n).as_bytes()).is_some() == (n < taken)));
        assert!(names.names <= names_max && names.bytes <= bytes_max);
    }
}

#[test]
fn a_directory_of_others_is_no_name_that_is_remembered() {
    let mut names = NameMap::default();
    assert!(note(&mut names, "d/e/f", 1));
    assert_eq!(["d", "d/e", "f", "d/e/f"].map(|name| names.get(name.as_bytes())), [None, None, None, Some(1)]);
}

#[test]
fn names_of_any_length_are_told_apart() {
    let name = |n: usize| "n".repeat(n * 997);
    let mut names = NameMap::default();
    assert!((0..70).rev().all(|n| note(&mut names, &name(n), n)));
    assert!((0..70).all(|n| names.get(name(n).as_bytes()) == Some(n)));
}
