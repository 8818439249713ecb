//! How fast content is hashed: what bounds a resume, and what a transfer has to hide.
//!
//! `cargo bench --bench digest`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use md5::{Digest as _, Md5};
use qft::digest::{CHUNK_BYTES, ChunkHasher, LEAF_BYTES, SALT_BYTES, Salt};

const CHUNK: usize = CHUNK_BYTES as usize;

/// Lengths with a shape of their own: a small file, few leaves, a chunk whose last leaf is short, whole chunks.
const LENGTHS: [usize; 9] =
    [16 * 1024, LEAF_BYTES, 2 * LEAF_BYTES, 300_000, CHUNK - 20_000, CHUNK, 2 * CHUNK, 3 * CHUNK, 8 * CHUNK];

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * i) >> 7) as u8).collect()
}

fn lanes(c: &mut Criterion) {
    let hasher = ChunkHasher::new(&Salt([7; SALT_BYTES]));
    let mut group = c.benchmark_group("lanes");
    for len in LENGTHS {
        let data = data(len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_with_input(BenchmarkId::from_parameter(len), &data, |b, data| {
            b.iter(|| hasher.chunks(black_box(data)));
        });
    }
}

fn scalar(c: &mut Criterion) {
    let mut group = c.benchmark_group("md-5");
    let data = data(CHUNK);
    group.throughput(Throughput::Bytes(CHUNK_BYTES));
    group.bench_function("1048576", |b| b.iter(|| Md5::digest(black_box(&data))));
}

criterion_group!(benches, lanes, scalar);
criterion_main!(benches);
