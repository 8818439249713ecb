use super::*;

#[test]
fn each_phase_ends_by_its_own_events_and_an_outage_ends_all() {
    use Phase::{Contested, Cruise, Drain, Startup};
    use PhaseEnd::{Competitor, DrainDue, Outage, PathEmpty, PathFull, QueueOurs};
    // What each event leads to from start-up, a drain, cruise and competitive mode.
    let table = [
        (Outage, [Startup, Startup, Startup, Startup]),
        (PathFull, [Drain, Drain, Cruise, Contested]),
        (DrainDue, [Startup, Drain, Drain, Drain]),
        (Competitor, [Startup, Contested, Contested, Contested]),
        (QueueOurs, [Startup, Cruise, Cruise, Contested]),
        (PathEmpty, [Startup, Drain, Startup, Startup]),
    ];
    for (event, expected) in table {
        assert_eq!([Startup, Drain, Cruise, Contested].map(|phase| phase.after(event)), expected, "{event:?}");
    }
}
