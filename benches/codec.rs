//! What a message costs: a send of many small files is mostly headers and answers.
//!
//! `cargo bench --bench codec`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qft::digest::Digest;
use qft::protocol::HAVE_DIGESTS_MAX;
use qft::protocol::codec::{Decoder, encode};
use qft::protocol::message::{FileId, Have, Header, Kind, Message, Mtime, Pos, Verdict, Why};
use qft::protocol::path::WirePath;

/// Messages in one iteration.
const COUNT: u64 = 1000;

fn headers() -> Vec<Message> {
    let header = |id| {
        let path = WirePath::parse(format!("some/tree/of/files/number-{id}.jpeg").as_bytes());
        Message::Header(Header {
            id: FileId(id),
            path: path.expect("a plain path"),
            kind: Kind::File,
            size: 16 * 1024,
            mtime: Mtime { secs: 1_800_000_000, nanos: 123_456_789 },
            mode: 0o644,
        })
    };
    (0..COUNT).map(header).collect()
}

fn answers() -> Vec<Message> {
    let verdict = Verdict::From { offset: 0, why: Why::New };
    (0..COUNT).map(|id| Message::Pos(Pos { id: FileId(id), verdict: verdict.clone() })).collect()
}

fn digests() -> Vec<Message> {
    let digests = vec![Digest([0xa5; 16]); HAVE_DIGESTS_MAX];
    vec![Message::Have(Have { id: FileId(0), first: 0, digests })]
}

fn encode_all(messages: &[Message], into: &mut Vec<u8>) {
    for message in messages {
        encode(message, into).expect("within the limits");
    }
}

fn decode_all(bytes: &[u8]) -> usize {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    std::iter::from_fn(|| decoder.next().expect("whole frames")).map(black_box).count()
}

fn codec(c: &mut Criterion) {
    for (name, messages) in [("headers", headers()), ("answers", answers()), ("digests", digests())] {
        let mut bytes = Vec::new();
        encode_all(&messages, &mut bytes);
        assert_eq!(decode_all(&bytes), messages.len());

        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(messages.len() as u64));
        let mut into = Vec::with_capacity(bytes.len());
        group.bench_function("encode", |b| {
            b.iter(|| {
                into.clear();
                encode_all(black_box(&messages), &mut into);
            });
        });
        group.bench_function("decode", |b| b.iter(|| decode_all(black_box(&bytes))));
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
