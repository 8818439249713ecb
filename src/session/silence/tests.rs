use super::*;

const NEAR: Duration = Duration::from_millis(100);

fn packets(received: u64, sent: u64) -> PacketCounts {
    PacketCounts { received, sent, ..PacketCounts::default() }
}

#[test]
fn a_path_is_asked_after_a_second_and_three_round_trips_without_a_packet() {
    let mut silence = PathSilence::default();
    let mut asks = |received, sent, rtt| silence.look(packets(received, sent), rtt, || true).is_to_be_asked;
    assert!(!asks(7, 1, NEAR));
    assert!(asks(7, 2, NEAR) && asks(7, 3, NEAR), "it is asked again and again");
    assert!(!asks(8, 4, NEAR));
    let far = Duration::from_millis(900);
    let looks: Vec<_> = (5..9).map(|sent| asks(8, sent, far)).collect();
    assert_eq!(looks, [false, false, true, true]);
}

#[test]
fn a_path_that_has_just_gone_silent_is_asked_once_and_again_at_its_next_silence() {
    for (rtt, beats) in [(Duration::from_millis(1), 4), (NEAR, 4), (2 * NEAR, 6)] {
        let mut silence = NewSilence::default();
        silence.tick(7, rtt);
        for received in [7, 8] {
            let asked: Vec<_> = (1..40).filter(|_| silence.tick(received, rtt)).collect();
            assert_eq!(asked.len(), 1, "{rtt:?}");
        }
        silence.tick(9, rtt);
        assert_eq!((1..40).find(|_| silence.tick(9, rtt)), Some(beats), "{rtt:?}");
    }
}

#[test]
fn what_comes_over_a_silent_path_is_answered_once_between_two_looks() {
    let mut silence = PathSilence::default();
    silence.look(packets(7, 1), NEAR, || true);
    assert!(!silence.is_heard_again(8), "the path is not silent");
    silence.look(packets(8, 1), NEAR, || true);
    let heard: Vec<_> = [8, 9, 10].map(|received| silence.is_heard_again(received)).into();
    assert_eq!(heard, [false, true, false], "nothing had left");
    silence.look(packets(10, 2), NEAR, || true);
    assert!(!silence.is_heard_again(11), "all is well again");
    silence.look(packets(11, 3), NEAR, || true);
    silence.look(packets(11, 4), NEAR, || true);
    assert!(!silence.is_heard_again(11) && silence.is_heard_again(12), "nothing had come");
}

#[test]
fn an_end_that_says_nothing_although_it_hears_the_other_asks_too_and_nobody_is_told() {
    let mut silence = PathSilence::default();
    let looks: Vec<_> = (1..9).map(|received| silence.look(packets(received, 1), NEAR, || true)).collect();
    assert_eq!(looks.iter().filter(|look| look.is_to_be_asked).count(), 7);
    assert!(looks.iter().all(|look| look.silence.is_none()));
}

#[test]
fn people_are_told_after_three_seconds_without_a_packet_and_on_a_far_path_after_three_round_trips() {
    for (rtt, first) in [(NEAR, 3), (Duration::from_millis(900), 3), (Duration::from_millis(1500), 5)] {
        let mut silence = PathSilence::default();
        silence.look(packets(1, 0), rtt, || true);
        let looks: Vec<_> = (1..8).map(|sent| silence.look(packets(1, sent), rtt, || true).silence).collect();
        let told = looks.iter().position(Option::is_some).map(|at| at + 1);
        assert_eq!(told, Some(first), "{rtt:?}");
        assert_eq!(looks[6], Some((Duration::from_secs(7), SilenceCause::NoAnswer)));
        assert_eq!(silence.look(packets(2, 9), rtt, || true).silence, None);
    }
}

#[test]
fn a_connection_may_be_dead_after_three_seconds_and_after_one_where_the_way_has_changed() {
    for (has_moved, rtt, first) in
        [(false, NEAR, 3), (true, NEAR, 1), (true, Duration::from_millis(900), 3), (false, 2 * TOLD_AFTER, 18)]
    {
        let mut silence = PathSilence::default();
        silence.look(packets(7, 0), rtt, || true);
        if has_moved {
            silence.on_change();
        }
        let looks: Vec<_> = (1..20).map(|sent| silence.look(packets(7, sent), rtt, || true).silent_since).collect();
        let dead = looks.iter().position(Option::is_some).map(|at| at + 1);
        assert_eq!((dead, looks[18]), (Some(first), Some(7)), "{has_moved} {rtt:?}");
        assert_eq!(silence.look(packets(8, 20), rtt, || true).silent_since, None);
        assert_eq!(silence.look(packets(8, 21), rtt, || true).silent_since.is_some(), first == 1 && !has_moved);
    }
}

#[test]
fn who_has_no_route_is_told_so_whether_the_other_end_is_heard_or_not() {
    for is_heard in [true, false] {
        let mut silence = PathSilence::default();
        silence.look(packets(1, 0), NEAR, || true);
        let mut look = |n: u64, route| {
            let received = if is_heard { 1 + n } else { 1 };
            silence.look(packets(received, n), NEAR, || route).silence
        };
        let looks: Vec<_> = (1..5).map(|n| look(n, false)).collect();
        let told = |seconds| Some((Duration::from_secs(seconds), SilenceCause::NoRoute));
        assert_eq!(looks, [None, None, told(3), told(4)]);
        let after = look(5, true).map(|(_, cause)| cause);
        assert_eq!(after, (!is_heard).then_some(SilenceCause::NoAnswer));
    }
}

#[test]
fn content_flows_where_more_moves_than_reports_and_something_is_heard() {
    let frames =
        |received, frames_received, frames_sent| PacketCounts { received, sent: 1, frames_received, frames_sent };
    for (now, flows) in [
        (frames(1, 0, 100), true),
        (frames(1, 100, 0), true),
        (frames(1, 2, FLOWING_FRAMES), false),
        (frames(0, 0, 100), false),
    ] {
        assert_eq!(PathSilence::default().look(now, NEAR, || true).flows, flows, "{now:?}");
    }
}

/// Seconds that a silent peer survives.
const PATIENT: u64 = SILENCE_MAX.as_secs() - PEER_LOOKS as u64;

fn frames(frames_received: u64, frames_sent: u64) -> PacketCounts {
    PacketCounts { frames_received, frames_sent, ..PacketCounts::default() }
}

/// Whether a watch ends that sees these figures after 1, 2, 3 … seconds for twice as long as it waits.
fn ends(received: impl Fn(u64) -> u64, sent: impl Fn(u64) -> u64, is_ours: impl Fn(u64) -> bool) -> bool {
    let mut silence = PeerSilence::default();
    (1..2 * PATIENT).any(|second| silence.look(frames(received(second), sent(second)), is_ours(second)).is_none())
}

#[test]
fn a_peer_that_owes_something_and_says_nothing_is_given_up() {
    const A_SECOND: u64 = IDLE_FRAMES_MAX / PEER_LOOKS as u64;
    assert!(ends(|_| 0, |_| 0, |_| false));
    assert!(ends(|_| 7, |second| second * A_SECOND, |_| false), "our own reports are no sign of it");
}

#[test]
fn a_peer_that_speaks_takes_content_or_waits_for_us_is_not() {
    assert!(!ends(|second| second / (PATIENT - 5), |_| 0, |_| false));
    assert!(!ends(|_| 0, |second| second * (IDLE_FRAMES_MAX + 1), |_| false));
    assert!(!ends(|_| 0, |_| 0, |second| second % PATIENT < PEER_LOOKS.into()));
}

#[test]
fn silence_counts_from_the_last_sign() {
    let mut silence = PeerSilence::default();
    let mut lasts = |received, seconds: u64| (0..seconds).all(|_| silence.look(frames(received, 0), false).is_some());
    assert!(lasts(0, PATIENT));
    assert!(lasts(1, PATIENT));
    assert!(!lasts(1, 2 * u64::from(PEER_LOOKS)));
}

#[test]
fn who_is_busy_for_long_is_to_say_so() {
    let mut silence = PeerSilence::default();
    let mut look = |sent, is_ours| {
        let looks: Vec<_> = (0..PEER_LOOKS).map(|_| silence.look(frames(0, sent), is_ours)).collect();
        assert!(looks[1..].iter().all(|own| *own == Some(HeardOfUs::Heard)), "one look in five");
        looks[0]
    };
    assert_eq!(look(0, true), Some(HeardOfUs::Heard), "it has only begun");
    assert_eq!(look(5, true), Some(HeardOfUs::Heard), "it has just said something");
    assert_eq!(look(5, true), Some(HeardOfUs::Silent));
    assert_eq!(look(6, true), Some(HeardOfUs::Heard));
    assert_eq!(look(6, false), Some(HeardOfUs::Heard), "it waits for the peer");
}
