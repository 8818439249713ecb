use super::*;

const MIB: f64 = 1_048_576.0;
const LITTLE: usize = 208 << 10;
const MUCH: usize = 8 << 20;

/// 100 Mbit/s at 100 ms, with nothing wrong.
fn plain() -> DirectionFigures {
    DirectionFigures {
        rate: 11.4 * MIB,
        growth: 1.0,
        loss: 0.0,
        rtt: Duration::from_millis(102),
        mtu: 1452,
        cpu: Sides { here: 0.1, there: 0.1 },
        send: Side::Here(MUCH),
        receive: Side::There(MUCH),
    }
}

#[test]
fn the_limit_follows_from_the_figures() {
    let fast = DirectionFigures { rate: 110.0 * MIB, ..plain() };
    let table = [
        (plain(), Bottleneck::Link),
        (DirectionFigures { loss: 0.05, ..plain() }, Bottleneck::Link),
        (DirectionFigures { loss: 0.15, ..plain() }, Bottleneck::Loss),
        (DirectionFigures { growth: 1.5, ..plain() }, Bottleneck::Time),
        (DirectionFigures { cpu: Sides { here: 0.97, there: 0.2 }, growth: 1.5, ..plain() }, Bottleneck::ProcessorHere),
        (DirectionFigures { cpu: Sides { here: 0.4, there: 0.95 }, ..plain() }, Bottleneck::ProcessorThere),
        (
            DirectionFigures { receive: Side::There(LITTLE), loss: 0.02, ..fast },
            Bottleneck::Receive(Side::There(LITTLE)),
        ),
        (DirectionFigures { receive: Side::There(LITTLE), loss: 0.02, ..plain() }, Bottleneck::Link),
        (DirectionFigures { receive: Side::There(LITTLE), ..fast }, Bottleneck::Link),
        (DirectionFigures { send: Side::Here(LITTLE), ..fast }, Bottleneck::Send(Side::Here(LITTLE))),
        (DirectionFigures { rate: 2000.0 * MIB, rtt: Duration::from_millis(1), ..plain() }, Bottleneck::Link),
        (DirectionFigures { rate: 100.0 * MIB, rtt: Duration::from_millis(620), ..plain() }, Bottleneck::Window),
    ];
    for (way, limit) in table {
        assert_eq!(way.limit(), limit, "{way:?}");
    }
}

#[test]
fn plain_words_and_one_command() {
    let idle = Duration::from_millis(100);
    let fast = DirectionFigures { rate: 110.0 * MIB, ..plain() };
    let table = [
        (plain(), "to box: the link is the limit; it carries about 96 Mbit/s, and qft fills it", None),
        (DirectionFigures { loss: 0.031, ..plain() }, "3.1% get lost", None),
        (DirectionFigures { loss: 0.18, ..plain() }, "the losses are the limit: 18%", None),
        (DirectionFigures { growth: 2.0, ..plain() }, "the time was too short", Some("qft doctor --time 20s box")),
        (
            DirectionFigures { receive: Side::There(LITTLE), loss: 0.02, ..fast },
            "the UDP receive buffer of box (208.0 KiB)",
            Some("on box: sudo sysctl -w net.core.rmem_max=8388608"),
        ),
        (
            DirectionFigures { send: Side::Here(LITTLE), ..fast },
            "this machine's UDP send buffer (208.0 KiB)",
            Some("sudo sysctl -w net.core.wmem_max=8388608"),
        ),
    ];
    for (way, words, remedy) in table {
        let verdict = judge("box", idle, (Some(way), None), false);
        assert_eq!(verdict.lines.len(), 1, "{verdict:?}");
        assert!(verdict.lines[0].contains(words), "{verdict:?}");
        assert_eq!(verdict.remedy.as_deref(), remedy);
        assert_eq!(verdict.is_held_up, !words.contains("the link is") && !words.contains("get lost"));
    }
}

#[test]
fn what_concerns_both_ways_is_said_after_them() {
    let idle = Duration::from_millis(20);
    let down = DirectionFigures { rate: 60.0 * MIB, rtt: Duration::from_millis(180), ..plain() };
    let verdict = judge("box", idle, (Some(plain()), Some(down)), false);
    assert_eq!(verdict.lines.len(), 4, "{verdict:?}");
    assert!(verdict.lines[2].contains("5 times slower"), "{verdict:?}");
    assert!(verdict.lines[3].contains("from 20 ms to 180 ms"), "{verdict:?}");
    assert_eq!(judge("box", idle, (None, None), false), Diagnosis::default());
}

fn counts(rate_of_second: impl Fn(u64) -> u64) -> Vec<Count> {
    let mut bytes = 0;
    (0..=50)
        .map(|tenth| {
            bytes += rate_of_second(tenth / 10) / 10;
            Count { at: Duration::from_millis(tenth * 100), bytes }
        })
        .collect()
}

#[test]
fn the_start_of_a_test_does_not_count() {
    let (rate, growth) = settled(&counts(|second| if second < 2 { 10 } else { 1000 })).expect("a rate");
    assert!((rate - 1000.0).abs() < 1.0 && (growth - 1.0).abs() < 0.01, "{rate} {growth}");
    let (_, growth) = settled(&counts(|second| 1000 << second)).expect("a rate");
    assert!(growth >= GROWING, "{growth}");
}

#[test]
fn a_test_of_one_count_has_a_rate_and_one_of_none_has_not() {
    let once = [Count { at: Duration::from_millis(10), bytes: 1000 }];
    assert_eq!(settled(&once), Some((100_000.0, 1.0)));
    assert_eq!(settled(&[]), None);
    assert_eq!(settled(&[Count { at: Duration::ZERO, bytes: 5 }]), None, "no time is no division by zero");
}

#[test]
fn on_a_busy_machine_nothing_is_said_of_the_link() {
    let verdict = judge("box", Duration::from_millis(20), (Some(plain()), None), true);
    assert_eq!(verdict.lines.len(), 1, "{verdict:?}");
    assert!(verdict.lines[0].starts_with("at least ") && verdict.lines[0].contains("too busy"), "{verdict:?}");
    assert!(verdict.remedy.is_some_and(|remedy| remedy.starts_with("qft doctor box")));
    assert_eq!(judge("box", Duration::ZERO, (None, None), true), Diagnosis::default());
}
