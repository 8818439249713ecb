//! Our congestion controller: a rate model for links that lose packets at random.
//!
//! Loss is noise until an experiment shows otherwise; a standing queue is the signal. It sits on quinn's [`Controller`]
//! trait, whose only actuator is the window: quinn's pacer sends at `1.25 × window / srtt` whatever a controller thinks, so
//! the window itself limits and the pacer only smooths.
//!
//! # The model
//! While cruising, once per ACK:
//!
//! ```text
//! window = (bandwidth × (bare round trip + jitter) + queue budget) / (1 - base loss) + losses not missed yet
//! ```
//!
//! * **bandwidth**: delivery-rate samples keyed by send time (`rate`; draft-cheng-iccrg-delivery-rate-estimation). The best
//!   of eight rounds while the path is not full, the mean of our last rounds once a queue stands (`bandwidth`).
//! * **bare round trip**: whole rounds against the round that a drain showed, looked for again every ten seconds or thirty
//!   round trips (`min_rtt`; BBR's ProbeRTT, but to 0.7 of the product and not to four packets; to 0.35 beside others).
//!   A longer one is believed when three drains agree on it, soon after each other, and ends competitive mode: it was
//!   the path.
//! * **jitter**: what round trips turn back from one group to the next, which a queue does not do (`jitter`); nothing
//!   on a clean link. It is no queue either: only what stands above both is held to the target. Since packets in a row
//!   do not overtake each other, jitter lengthens round trips the more the faster they follow, so under jitter only a
//!   probe tells whether the path is full: one is sent soon, ever more rarely where it finds nothing, and a round trip
//!   at which more was delivered counts as bare (`probe`, `min_rtt`).
//! * **ACK aggregation**: busy machines, Wi-Fi and radio links stop for some milliseconds and then deliver a lump, much
//!   faster than any queue would (`ack_aggregation`). Where that goes on, only what a round's shortest round trips show
//!   counts as a queue, the bandwidth is the best of eight rounds even on a full path, and what the others are later on
//!   average is added to the round trip, as it is in flight too (Little's law; BBR allows for the same with its
//!   `extra_acked`).
//! * **base loss**: the lowest smoothed loss of the last 25 seconds (`loss`). Lost packets count as in flight until they are
//!   missed, one round trip later, so a full pipe needs `1 / (1 - p)` more, and on small paths until twelve later packets are
//!   acknowledged. The *present* loss would not do: head-room for
//!   losses that the head-room makes keeps itself alive.
//! * **queue budget**: the few packets that stand in the queue, once a round `+= step - decay × (queue / target)³`
//!   (`queue_budget`). The target is 5 ms or 5 % of the round trip. The step follows from what the whole path carries
//!   and not from a flow's own share, so flows that see the same queue end at the same share.
//!
//! # The phases
//! **Start-up** sends its first flight in a fifth of the round trip, and what the packets of a flight took to arrive
//! (`dispersion`) opens the window for the next at once. Besides, it grows by what is acknowledged and lost, several times
//! as fast while the spacing of ACKs within a batch shows that the path carries much more (paced chirping's idea), and ends
//! at a queue of a sixteenth of the round trip or when bandwidth stops growing (`startup`). Near the rate that the spacing foretold it waits a round for the queue; when
//! none comes, the spacing was wrong and is not believed any more. Loss alone never ends it.
//! What an earlier connection left of the same path replaces the first window by half of its own (`careful_resume`;
//! careful resume, draft-ietf-tsvwg-careful-resume), and start-up goes on from there.
//! A **drain** empties the queue for two rounds. All flows of ours drain at the same moments, by the clock on the wall
//! (`probe_rtt`), so that each sees the path without the queue of the others, and what it loses without any queue.
//! **Cruise** is the model above, with three experiments: a probe that sends 15 % more for two rounds (`probe`; only
//! who has the path for himself), a loss trial that sends 10 % less (`trial`), and a drain when the queue does not obey
//! (`competitors`). If the queue stays in that drain, someone else holds it, and in the **contested** phase we take
//! what CUBIC would (`competitive_mode`; Copa's competitive mode). Every scheduled drain tests whether he is still
//! there: the phase ends when two tests in a row find the queue empty (more, if that was wrong before), or one that
//! cannot have emptied it alone. What is lost meanwhile is never taken for the path's own loss, or its head-room would
//! keep the queue full for ever. A flow that comes late takes what the other holds in the queue for path, and would
//! yield to it for ever: when its rate falls to a half under a standing queue, and after a drain to a half of that,
//! someone else takes what it gives up.
//!
//! **More than a quarter** lost is never the path's doing, in any phase: then the queue is full all the time, which looks like
//! a longer path without one. Such a round ends start-up, and what it delivered is believed instead of the best of late.
//!
//! **Where no queue ever stands**, a steady loss may be our own doing: a policer drops what exceeds its rate, head-room for that
//! loss keeps it up, and no delay tells. One loss trial tells (`trial`); where the loss goes, what arrives is the path's rate
//! (`bandwidth`), and the queue budget grows by a little until something is lost again.
//!
//! A blackout (quinn's persistent congestion) begins again: at half of what the path had if its next round trip is what
//! it was, else as on an unknown path.
//!
//! # Where it comes from
//! BBR (draft-ietf-ccwg-bbr: rate and round-trip filters, start-up gain, head-room), Copa (Arun and Balakrishnan, NSDI 2018:
//! delay as the signal, competitive mode), Vegas and FAST (packets of one's own in the queue), Swift (targets that grow for
//! slow flows), HyStart (RFC 9406: eight ACKs, the delay threshold), CUBIC (RFC 9438). Each constant has its reason beside it;
//! `cargo bench --bench congestion` shows what all of them together give.
//!
//! # Limits
//! A buffer shorter than the target loses some packets for good: at 3 ms of queue, up to 9 % are re-sent. Jitter of a third
//! of the round trip can cost a third of the goodput, of a half three quarters and more where the round trip is 300 ms or the
//! rate 500 Mbit/s; pauses as long as the round trip cost a third. Flows that share such a path may stay uneven for long. Sixteen flows of ours that begin
//! within a few seconds may be uneven after half a minute; where each would get less than about ten packets per round
//! trip, the least windows alone fill the queue, and a tenth is lost. A path that by itself loses more than a quarter is taken
//! for a flooded one, and little of it is used. A policer that lets more through later is followed slowly. Flows whose clocks are apart by more than a round trip see each other's queue,
//! and may take each other for strangers. A rate limit is no business of the window's: it is held at the socket (`throttle`).
//!
//! [`Controller`]: quinn_proto::congestion::Controller

mod ack_aggregation;
mod bandwidth;
mod careful_resume;
mod competitive_mode;
mod competitors;
mod controller;
mod dispersion;
mod filter;
mod jitter;
mod loss;
mod min_rtt;
mod probe;
mod probe_rtt;
mod queue_budget;
mod rate;
mod round;
mod startup;
mod state;
mod trial;
mod without;

pub use careful_resume::{AGE_MAX, PastPath};
pub use controller::{ControllerConfig, PathController};
pub use state::{PathSnapshot, PathState, Phase};
#[doc(hidden)]
pub use without::{Mechanism, Without};
