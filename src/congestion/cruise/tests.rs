use super::*;

const MTU: f64 = 1452.0;
const TARGET: Duration = Duration::from_millis(5);
const RTT: Duration = Duration::from_millis(100);
/// A flow that has 100 Mbit/s for itself, at its target.
const ALONE: Round = Round {
    rate: 12.5e6,
    standing: RTT,
    queue: TARGET,
    jitter: Duration::ZERO,
    min_rtt: RTT,
    target: TARGET,
    product: 1.25e6,
    bandwidth: 12.5e6,
    capacity: 12.5e6,
    mtu: MTU,
};

/// A path of 100 Mbit/s and 100 ms, shared by flows of these allowances and shares; gives the queue after each round.
fn run(flows: &mut [(QueueBudget, f64)], rounds: usize) -> Duration {
    const CAPACITY: f64 = 12.5e6;
    let mut queue = Duration::ZERO;
    for _ in 0..rounds {
        let product = CAPACITY * 0.1;
        let held: f64 = flows.iter().map(|(budget, share)| share * product + budget.bytes()).sum();
        queue = Duration::from_secs_f64(((held - product) / CAPACITY).max(0.0));
        for (budget, share) in flows.iter_mut() {
            // FIFO: what a flow gets is its part of what is in the path.
            *share = (*share * product + budget.bytes()) / held;
            let bandwidth = *share * CAPACITY;
            let product = *share * product;
            let round = Round { queue, product, bandwidth, ..ALONE };
            budget.on_round(&round);
        }
    }
    queue
}

#[test]
fn one_flow_settles_at_its_target() {
    let queue = run(&mut [(QueueBudget::default(), 1.0)], 300);
    assert!(queue > TARGET.mul_f64(0.6) && queue < TARGET.mul_f64(1.4), "{queue:?}");
}

#[test]
fn two_flows_converge_to_equal_shares() {
    let mut flows = [(QueueBudget::default(), 0.9), (QueueBudget::default(), 0.1)];
    let queue = run(&mut flows, 600);
    assert!((flows[0].1 - 0.5).abs() < 0.05, "{} {}", flows[0].1, flows[1].1);
    assert!(queue < TARGET * 2, "{queue:?}");
}

#[test]
fn a_mark_is_forgotten_when_the_queue_has_gone() {
    let empty = Round { queue: Duration::ZERO, ..ALONE };
    let grown = |give_up: fn(&mut QueueBudget)| {
        let mut budget = QueueBudget::default();
        budget.fill(&ALONE);
        give_up(&mut budget);
        (0..EMPTY_ROUNDS + 3).for_each(|_| budget.on_round(&empty));
        budget.bytes()
    };
    let overflowed = grown(|budget| budget.set_ceiling(budget.bytes() / 2.0, false));
    assert!(grown(QueueBudget::on_marks) > overflowed + MTU, "{overflowed}");
}

#[test]
fn a_ceiling_binds_until_it_has_been_outgrown() {
    let mut budget = QueueBudget::default();
    let round = Round { queue: TARGET / 2, ..ALONE };
    budget.set_ceiling(3.0 * MTU, false);
    budget.on_round(&round);
    assert!(budget.bytes() <= 3.0 * MTU);
    (0..5000).for_each(|_| budget.on_round(&round));
    assert!(budget.bytes() > 20.0 * MTU, "{}", budget.bytes());
}

#[test]
fn what_was_given_up_to_a_mark_comes_back_slowly() {
    let mut budget = QueueBudget::default();
    budget.fill(&ALONE);
    let before = budget.bytes();
    budget.on_marks();
    budget.on_round(&Round { queue: Duration::ZERO, ..ALONE });
    assert!(budget.bytes() <= before / 2.0, "{} of {before}", budget.bytes());
    (0..1000).for_each(|_| budget.on_round(&Round { queue: TARGET / 2, ..ALONE }));
    assert!(budget.bytes() > before / 2.0, "{} of {before}", budget.bytes());
}

/// A path of 100 bytes per second, while all is calm.
const QUIET: Round = Round { rate: 100.0, queue: Duration::from_millis(4), ..ALONE };

/// A probe that begins after the first pause.
fn started(round: &Round) -> Prober {
    let mut probe = Prober::new();
    (0..MEMORY_ROUNDS).for_each(|_| assert!(!probe.wait()));
    assert!(probe.wait());
    probe.probe = Some(BandwidthProbe::new(round.rate, round.queue));
    probe
}

/// One that has seen this round, after the one in which it began to be felt.
fn felt(round: &Round) -> Prober {
    let mut probe = started(&QUIET);
    assert_eq!([probe.measure(&QUIET), probe.measure(round)], [None, None]);
    probe
}

#[test]
fn what_is_delivered_is_kept_and_the_probe_goes_on() {
    let found = Round { rate: 115.0, ..QUIET };
    let mut probe = felt(&found);
    assert_eq!(probe.measure(&found), Some(ProbeFinding::Room(115.0)));
    assert!(probe.is_running());
}

#[test]
fn what_comes_with_a_longer_queue_is_given_back() {
    let queued = Round { rate: 115.0, queue: Duration::from_millis(12), ..QUIET };
    let mut probe = felt(&queued);
    assert_eq!(probe.measure(&queued), Some(ProbeFinding::Nothing));
    assert!(!probe.is_running());
}

#[test]
fn the_next_probe_waits_twice_as_long() {
    let mut probe = felt(&QUIET);
    assert_eq!(probe.measure(&QUIET), Some(ProbeFinding::Nothing));
    (0..2 * MEMORY_ROUNDS).for_each(|_| assert!(!probe.wait()));
    assert!(probe.wait());
}

#[test]
fn it_takes_the_mean_of_two_rounds() {
    let shown = |rate| Round { rate, jitter: Duration::from_millis(8), ..QUIET };
    let mut probe = started(&shown(100.0));
    let found = [100.0, 100.0, 124.0].map(|rate| probe.measure(&shown(rate)));
    assert_eq!(found, [None, None, Some(ProbeFinding::Room(112.0))]);
    let found = [124.0, 118.0, 112.0].map(|rate| probe.measure(&shown(rate)));
    assert_eq!(found, [None, None, Some(ProbeFinding::Nothing)]);
}

const QUEUED: Before = Before { budget: 7.0, has_queue: true, is_settled: true, is_policed: false };

/// A trial that began at this loss, without asking whether it should.
fn trial(now: Instant, loss: f64, before: Before) -> LossTrial {
    LossTrial { trial: Some(Trial { loss, before, is_felt: false }), ..LossTrial::new(now) }
}

fn finding_of(loss_in_trial: f64) -> Option<TrialFinding> {
    let now = Instant::now();
    let mut trial = trial(now, 0.1, QUEUED);
    let block = LossBlock { share: loss_in_trial, excess: false };
    assert_eq!(trial.measure(now, &block), None);
    trial.measure(now, &block)
}

#[test]
fn a_loss_that_goes_away_was_our_own() {
    assert_eq!(finding_of(0.01), Some(TrialFinding::Overflow(QUEUED)));
}

#[test]
fn a_loss_that_stays_is_the_path() {
    assert_eq!(finding_of(0.09), Some(TrialFinding::Path(QUEUED)));
}

#[test]
fn a_steady_loss_is_tried_once_where_no_queue_stands() {
    let now = Instant::now();
    let steady = LossBlock { share: 0.1, excess: false };
    let empty = Before { has_queue: false, ..QUEUED };
    for known in [QUEUED, Before { is_settled: false, ..empty }] {
        assert!(!LossTrial::new(now).is_doubtful(now, &steady, &known));
    }
    assert!(LossTrial::new(now).is_doubtful(now, &steady, &empty));
    let mut trial = trial(now, steady.share, empty);
    trial.measure(now, &steady);
    assert_eq!(trial.measure(now, &steady), Some(TrialFinding::Path(empty)));
    assert!(!trial.is_doubtful(now + 2 * PROBE_RTT_INTERVAL, &steady, &empty));
}

#[test]
fn the_next_trial_waits() {
    let now = Instant::now();
    let excess = LossBlock { share: 0.1, excess: true };
    assert!(LossTrial::new(now).is_doubtful(now, &excess, &QUEUED));
    let mut trial = trial(now, excess.share, QUEUED);
    assert!(!trial.is_doubtful(now, &excess, &QUEUED), "one at a time");
    assert_eq!(trial.measure(now, &excess), None);
    assert!(trial.measure(now, &excess).is_some());
    assert!(!trial.is_doubtful(now + PROBE_RTT_INTERVAL / 2, &excess, &QUEUED));
    assert!(trial.is_doubtful(now + PROBE_RTT_INTERVAL, &excess, &QUEUED));
}

/// Behind a bucket of 20 Mbit/s and 500 KB that was full in the trial, 12 % was lost for as long as the pause is.
#[test]
fn much_more_loss_than_a_trial_has_left_refutes_it_where_no_policer_is_known() {
    let now = Instant::now();
    let [little, much] = [0.05, 0.2].map(|share| LossBlock { share, excess: false });
    let empty = Before { has_queue: false, ..QUEUED };
    let mut trial = trial(now, little.share, empty);
    trial.measure(now, &little);
    assert_eq!(trial.measure(now, &little), Some(TrialFinding::Path(empty)));
    assert!(!trial.is_doubtful(now, &little, &empty));
    assert!(trial.is_doubtful(now, &much, &empty));
    assert!(!trial.is_doubtful(now, &much, &Before { is_policed: true, ..empty }), "its rate is held already");
}

#[test]
fn what_was_found_where_a_queue_stood_says_nothing_where_none_does() {
    let now = Instant::now();
    let excess = LossBlock { share: 0.1, excess: true };
    let empty = Before { has_queue: false, ..QUEUED };
    for (before, is_tried) in [(QUEUED, true), (empty, false)] {
        let mut trial = trial(now, excess.share, before);
        assert_eq!(trial.measure(now, &excess), None);
        assert!(trial.measure(now, &excess).is_some());
        assert_eq!(trial.is_doubtful(now, &excess, &empty), is_tried, "{before:?}");
    }
}
