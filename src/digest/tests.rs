use proptest::prelude::*;

use super::*;

/// Bytes without a pattern that repeats within a chunk (xorshift).
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut data: Vec<u8> = std::iter::repeat_with(&mut next).take(len.div_ceil(8)).flatten().collect();
    data.truncate(len);
    data
}

fn salt() -> Salt {
    Salt(std::array::from_fn(|i| u8::try_from(i * 3).expect("below 192")))
}

const LONGEST: usize = 3 * CHUNK_LEN + 1;

/// Lengths on both sides of every place where MD5, a leaf, a chunk or a window begins again.
fn boundary_lengths() -> Vec<usize> {
    let around = |at: usize| [at.saturating_sub(1), at, at + 1];
    let blocks = [0, 56, 64, 120, 128].into_iter().flat_map(around);
    let leaves = [1, 2, 15, 16, 17, 31, 32, 33]
        .into_iter()
        .flat_map(|leaf| [0, 56, 64, LEAF_BYTES / 2 + 1].map(|rest| leaf * LEAF_BYTES + rest))
        .chain([LEAF_BYTES - 1, CHUNK_LEN - 1, WINDOW_BYTES - 1]);
    let mut lengths: Vec<usize> = blocks.chain(leaves).filter(|len| *len <= LONGEST).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

#[test]
fn lanes_equal_the_reference_on_both_sides_of_every_boundary() {
    hashers(&salt()).for_each(|hasher| equals_the_reference_on_both_sides_of_every_boundary(&hasher));
}

fn equals_the_reference_on_both_sides_of_every_boundary(hasher: &ChunkHasher) {
    let data = noise(LONGEST, 7);
    for len in boundary_lengths() {
        assert_eq!(hasher.chunks(&data[..len]), reference::chunks(&salt(), &data[..len]), "{len} bytes");
        if (1..=CHUNK_LEN).contains(&len) {
            assert_eq!(hasher.chunk(&data[..len]), reference::chunk(&salt(), &data[..len]), "{len} bytes");
        }
    }
}

#[test]
fn many_windows_are_hashed_like_their_chunks_one_by_one() {
    let hasher = ChunkHasher::new(&salt());
    let data = noise(2 * WINDOW_BYTES + CHUNK_LEN + LEAF_BYTES + 17, 3);
    let one_by_one: Vec<Digest> = data.chunks(CHUNK_LEN).map(|chunk| hasher.chunk(chunk)).collect();
    assert_eq!(hasher.chunks(&data), one_by_one);
}

#[test]
fn no_data_has_no_chunks() {
    assert!(ChunkHasher::new(&salt()).chunks(&[]).is_empty());
}

#[test]
fn holes_have_the_digest_of_written_zeros() {
    let hasher = ChunkHasher::new(&salt());
    let zeros = vec![0; CHUNK_LEN];
    for len in [1, 63, 64, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN] {
        let hole = hasher.zero_chunk(u64::try_from(len).expect("fits"));
        assert_eq!(hole, reference::chunk(&salt(), &zeros[..len]), "{len} bytes");
    }
}

#[test]
fn clones_agree_with_their_origin_whether_the_hole_was_cached_or_not() {
    let first = ChunkHasher::new(&salt());
    let before = first.clone();
    let hole = first.zero_chunk(CHUNK_BYTES);
    assert_eq!([before.zero_chunk(CHUNK_BYTES), first.clone().zero_chunk(CHUNK_BYTES)], [hole; 2]);
}

#[test]
fn another_salt_gives_other_digests() {
    let data = noise(CHUNK_LEN, 5);
    let mut other = salt();
    other.0[SALT_BYTES - 1] ^= 1;
    assert_ne!(ChunkHasher::new(&salt()).chunk(&data), ChunkHasher::new(&other).chunk(&data));
}

#[test]
fn a_leaf_is_the_md5_of_salt_and_data() {
    // MD5("a" * 64 + "abc"), from coreutils' md5sum; the chunk is the MD5 of those 16 bytes.
    let leaf = 0xdf0f5d0c5cbd59ac5e9a9a65499cceb9_u128.to_be_bytes();
    let hasher = ChunkHasher::new(&Salt([b'a'; SALT_BYTES]));
    assert_eq!(hasher.leaf(b"abc"), leaf);
    assert_eq!(hasher.chunk(b"abc"), Digest(Md5::digest(leaf).into()));
    // MD5("a" * 64 + "b" * 65536): of a full leaf, in every lane of every instruction set.
    let leaf = 0x3f16fa1463a609ca60e505cd30bd9bdb_u128.to_be_bytes();
    let chunk = Digest(Md5::digest([leaf; CHUNK_LEAVES].as_flattened()).into());
    for hasher in hashers(&Salt([b'a'; SALT_BYTES])) {
        assert_eq!(hasher.chunks(&vec![b'b'; 3 * CHUNK_LEN]), [chunk; 3]);
    }
}

#[test]
fn the_root_of_nothing_is_the_digest_of_a_zero_length() {
    // printf '\0\0\0\0\0\0\0\0' | md5sum
    assert_eq!(root([], 0).to_string(), "7dea362b3fac8e00956a4952a3d4f474");
}

#[test]
fn the_root_depends_on_order_count_and_size() {
    let (a, b) = (Digest([1; 16]), Digest([2; 16]));
    let roots = [root([a, b], 9), root([b, a], 9), root([a, b], 10), root([a], 9), root([a, b, b], 9)];
    for (i, one) in roots.iter().enumerate() {
        assert!(roots[i + 1..].iter().all(|other| other != one), "root {i} repeats");
    }
}

#[test]
fn chunks_cover_a_file_exactly() {
    let sizes = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES, u64::from(u32::MAX) * 7];
    for size in sizes {
        let count = chunk_count(size);
        let last = count.saturating_sub(1);
        assert_eq!(last * CHUNK_BYTES + chunk_len(size, last), size, "size {size}");
        assert!((0..last.min(8)).all(|index| chunk_len(size, index) == CHUNK_BYTES), "size {size}");
        assert_eq!(chunk_len(size, count), 0, "size {size}");
    }
}

#[test]
fn sizes_and_indexes_from_a_peer_do_not_overflow() {
    assert_eq!(chunk_count(u64::MAX), 1 << 44);
    assert_eq!(chunk_len(u64::MAX, (1 << 44) - 1), CHUNK_BYTES - 1);
    assert_eq!(chunk_len(u64::MAX, u64::MAX), 0);
}

#[test]
fn a_digest_is_shown_in_hex_and_a_salt_not_at_all() {
    let digest = Digest(std::array::from_fn(|i| u8::try_from(i * 17).expect("at most 255")));
    assert_eq!(digest.to_string(), "00112233445566778899aabbccddeeff");
    assert_eq!(format!("{digest:?}"), "Digest(00112233445566778899aabbccddeeff)");
    assert_eq!(format!("{:?}", Salt([0xab; SALT_BYTES])), "Salt(..)");
}

#[test]
#[should_panic(expected = "a chunk has 1 to 1048576 bytes, not 0")]
fn an_empty_chunk_is_a_bug_of_the_caller() {
    ChunkHasher::new(&salt()).chunk(&[]);
}

#[test]
#[should_panic(expected = "a chunk has 1 to 1048576 bytes, not 1048577")]
fn two_chunks_are_not_one() {
    ChunkHasher::new(&salt()).chunk(&vec![0; CHUNK_LEN + 1]);
}

/// Threads share one hasher.
const _: fn() = || {
    fn shared<T: Clone + Send + Sync>() {}
    shared::<ChunkHasher>();
};

/// Of the chunks that are not zeros the digest is any that differs from that of zeros.
fn some_digest(index: u64) -> Digest {
    Digest([index as u8 | 1; DIGEST_BYTES])
}

#[test]
fn digests_of_full_chunks_of_zeros_take_no_room() {
    let hasher = ChunkHasher::new(&salt());
    let mut digests = ChunkDigests::new(3 * CHUNK_BYTES + 5, &hasher);
    for index in 0..3 {
        digests.insert(index, hasher.zero_chunk(CHUNK_BYTES));
    }
    assert_eq!((digests.held(), digests.get(2)), (0, Some(hasher.zero_chunk(CHUNK_BYTES))));
    digests.insert(1, some_digest(1));
    digests.insert(3, hasher.zero_chunk(5));
    assert_eq!((digests.held(), digests.get(1), digests.get(3)), (2, Some(some_digest(1)), Some(hasher.zero_chunk(5))));
    digests.insert(1, hasher.zero_chunk(CHUNK_BYTES));
    assert_eq!((digests.held(), digests.get(1)), (1, Some(hasher.zero_chunk(CHUNK_BYTES))), "the later one counts");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_sum_in_steps_is_the_root_whatever_is_a_hole(
        chunks in 0_u64..2000, rest in 0..CHUNK_BYTES, data in proptest::collection::btree_set(0_u64..2000, 0..20),
        step in 1_u64..700,
    ) {
        let hasher = ChunkHasher::new(&salt());
        let size = chunks * CHUNK_BYTES + rest;
        let mut digests = ChunkDigests::new(size, &hasher);
        data.iter().filter(|index| **index < chunk_count(size)).for_each(|index| digests.insert(*index, some_digest(*index)));
        let whole = |index| if data.contains(&index) { some_digest(index) } else { hasher.zero_chunk(chunk_len(size, index)) };
        let expected = root((0..chunk_count(size)).map(whole), size);
        let mut sum = RootSum::new(digests);
        let mut steps = 1;
        let found = loop {
            match sum.step(&hasher, step) {
                Some(found) => break found,
                None => steps += 1,
            }
        };
        prop_assert_eq!(found, expected);
        prop_assert_eq!(steps, chunk_count(size).div_ceil(step).max(1));
    }

    #[test]
    fn lanes_equal_the_reference_for_any_length(len in 0..=3 * CHUNK_LEN, seed: u64, key: [u8; 32]) {
        let mut salt = salt();
        salt.0[..32].copy_from_slice(&key);
        let data = noise(len, seed);
        let expected = reference::chunks(&salt, &data);
        for hasher in hashers(&salt) {
            prop_assert_eq!(&hasher.chunks(&data), &expected);
        }
    }

    #[test]
    fn lanes_equal_the_reference_for_short_data(data in proptest::collection::vec(any::<u8>(), 1..300)) {
        for hasher in hashers(&salt()) {
            prop_assert_eq!(hasher.chunk(&data), reference::chunk(&salt(), &data));
        }
    }
}
