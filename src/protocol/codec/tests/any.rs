//! Arbitrary messages.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::digest::Digest;
use crate::protocol::FILE_BYTES_MAX;
use crate::protocol::message::STATUSES;
use crate::protocol::message::*;
use crate::protocol::path::tests::wire_path;

fn id() -> impl Strategy<Value = FileId> {
    any::<u64>().prop_map(FileId)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 16]>().prop_map(Digest)
}

fn mtime() -> impl Strategy<Value = Mtime> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Mtime { secs, nanos })
}

fn kind_and_size() -> impl Strategy<Value = (Kind, u64)> {
    let link = vec(1..=u8::MAX, 1..40).prop_map(|target| (Kind::Link(target), 0));
    prop_oneof![(0..=FILE_BYTES_MAX).prop_map(|size| (Kind::File, size)), Just((Kind::Dir, 0)), link]
}

fn failure() -> impl Strategy<Value = Failure> {
    let status = prop::sample::select(STATUSES.to_vec());
    (status, any::<String>()).prop_map(|(status, detail)| Failure::new(status, detail))
}

fn entry() -> impl Strategy<Value = ListingEntry> {
    (wire_path(), kind_and_size(), mtime(), any::<u32>()).prop_map(|(path, (kind, size), mtime, mode)| ListingEntry {
        path,
        kind,
        size,
        mtime,
        mode,
    })
}

fn part() -> impl Strategy<Value = ListedPart> {
    let fate = prop_oneof![Just(PartFate::Kept), Just(PartFate::Removed), failure().prop_map(PartFate::Left)];
    (wire_path(), 0..=FILE_BYTES_MAX, any::<u64>(), fate).prop_map(|(path, size, age_secs, fate)| ListedPart {
        path,
        size,
        age_secs,
        fate,
    })
}

fn push() -> impl Strategy<Value = Push> {
    let target = prop_oneof![Just(Target::Directory), Just(Target::FileOrDirectory)];
    let if_exists = prop::sample::select(vec![IfExists::Replace, IfExists::Skip, IfExists::Rename, IfExists::Fail]);
    let flags = any::<(bool, bool, bool)>();
    (prop::option::of(wire_path()), target, if_exists, flags).prop_map(
        |(to, target, if_exists, (checksum, dry_run, resume))| Push {
            to,
            target,
            if_exists,
            checksum,
            dry_run,
            resume,
        },
    )
}

fn get() -> impl Strategy<Value = Get> {
    let patterns = vec(vec(any::<u8>(), 0..40), 0..6);
    (patterns, vec(any::<String>(), 0..4), any::<(bool, bool)>()).prop_map(|(patterns, filters, (links, early))| Get {
        patterns,
        filters,
        links,
        early,
    })
}

fn select() -> impl Strategy<Value = Select> {
    (get(), any::<(bool, bool)>()).prop_map(|(mut get, (one_file_system, listed))| {
        if listed {
            get.patterns = vec![b"d".to_vec()];
        }
        Select { get, one_file_system, listed }
    })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let skip = prop::sample::select(vec![SkipReason::Same, SkipReason::Exists, SkipReason::Made, SkipReason::Mode]);
    let why = prop::sample::select(vec![Why::New, Why::Replace, Why::Resume, Why::Update]);
    prop_oneof![
        skip.prop_map(Verdict::Skip),
        failure().prop_map(Verdict::Refuse),
        (0..=FILE_BYTES_MAX, why).prop_map(|(offset, why)| Verdict::From { offset, why }),
    ]
}

fn handshake() -> impl Strategy<Value = Message> {
    let invite = prop::option::of(any::<[u8; 16]>());
    let proof = prop::option::of(any::<[u8; 32]>());
    prop_oneof![
        (any::<u64>(), any::<String>(), invite, proof)
            .prop_map(|(f, name, i, p)| Message::Hello(Hello::new(f, name, i).with_token_proof(p))),
        (any::<u64>(), any::<String>(), any::<bool>())
            .prop_map(|(f, name, enrolled)| Message::Welcome(Welcome::new(f, name, enrolled))),
        push().prop_map(Message::Push),
        get().prop_map(Message::Get),
        select().prop_map(Message::Select),
        (vec((wire_path(), any::<bool>()), 0..20), any::<bool>()).prop_map(|(names, is_last)| {
            let names = names.into_iter().map(|(path, whole)| ListedName { path, whole }).collect();
            Message::Names(Names { names, is_last })
        }),
        Just(Message::MoreNames),
        (prop::option::of(wire_path()), any::<u64>(), any::<bool>())
            .prop_map(|(below, older_secs, remove)| Message::Parts(Parts { below, older_secs, remove })),
        vec(part(), 0..20).prop_map(Message::PartsFound),
        (vec(any::<u8>(), 0..60), any::<bool>())
            .prop_map(|(pattern, recursive)| Message::List(List { pattern, recursive })),
        vec(entry(), 0..20).prop_map(Message::Entries),
    ]
}

fn one_file() -> impl Strategy<Value = Message> {
    let done = (id(), prop::option::of(failure())).prop_map(|(id, failure)| Message::Done(Done { id, failure }));
    let cancel = (id(), failure()).prop_map(|(id, why)| Message::Cancel(Done { id, failure: Some(why) }));
    prop_oneof![
        (id(), entry()).prop_map(|(id, ListingEntry { path, kind, size, mtime, mode })| Message::Header(Header {
            id,
            path,
            kind,
            size,
            mtime,
            mode
        })),
        (id(), verdict()).prop_map(|(id, verdict)| Message::Pos(Pos { id, verdict })),
        (id(), 0..=FILE_BYTES_MAX, vec(digest(), 0..40)).prop_map(|(id, first, digests)| Message::Have(Have {
            id,
            first,
            digests
        })),
        (id(), digest(), any::<u64>(), any::<bool>()).prop_map(|(id, root, ranges, early)| Message::Tail(Tail {
            id,
            root,
            ranges,
            early
        })),
        done,
        cancel,
        (id(), entry()).prop_map(|(id, ListingEntry { path, .. })| Message::Named(Named { id, name: path.last() })),
    ]
}

fn rest() -> impl Strategy<Value = Message> {
    prop_oneof![
        (vec(any::<u8>(), 0..60), failure()).prop_map(|(name, failure)| Message::Problem(Problem::new(name, failure))),
        any::<(u64, u64)>().prop_map(|(files, bytes)| Message::End(End { files, bytes })),
        Just(Message::GoAway),
        Just(Message::Settled),
        Just(Message::Offered),
        any::<String>().prop_map(|text| Message::Remark(Remark::new(text))),
        link_report().prop_map(Message::Link),
        any::<[u64; 6]>().prop_map(|[acked, acked_idle, read_wait_us, write_wait_us, elapsed_us, processor_us]| {
            Message::SenderStats(SenderStats {
                acked,
                acked_idle,
                read_wait_us,
                write_wait_us,
                elapsed_us,
                processor_us,
            })
        }),
        prop::option::of(any::<[u8; 32]>()).prop_map(|proof| Message::Location(Location { proof })),
    ]
}

fn link_report() -> impl Strategy<Value = LinkReport> {
    any::<([u64; 4], u16)>().prop_map(|([rtt_us, packets_sent, packets_lost, window], mtu)| LinkReport {
        rtt_us,
        packets_sent,
        packets_lost,
        window,
        mtu,
    })
}

fn probe() -> impl Strategy<Value = Message> {
    let kind = prop::sample::select(vec![ProbeKind::Echo, ProbeKind::Up, ProbeKind::Down]);
    prop_oneof![
        (kind, any::<u32>()).prop_map(|(kind, millis)| Message::Probe(Probe { kind, millis })),
        (any::<(u32, u64, u64)>(), link_report()).prop_map(|((millis, udp_receive, udp_send), link)| {
            Message::ProbeReady(ProbeReady { millis, udp_receive, udp_send, link })
        }),
        (link_report(), any::<u16>())
            .prop_map(|(link, cpu_permille)| Message::ProbeDone(ProbeDone { link, cpu_permille })),
    ]
}

/// Any message within the limits.
pub(super) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![6 => handshake(), 6 => one_file(), 4 => rest(), 2 => probe()]
}
