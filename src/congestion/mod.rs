//! Our congestion controller: a rate model for links that lose packets at random.
//!
//! Loss is noise until an experiment shows otherwise; a standing queue is the signal. It sits on quinn's [`Controller`] trait,
//! whose only actuator is the window: quinn's pacer sends at `1.25 × window / srtt` whatever a controller thinks, so the window
//! itself limits and the pacer only smooths, in bursts of ten packets. Where those do harm, [`PathState`] shows a pace at which
//! packets leave the socket one by one (`transport/udp/pacing`). [`PathController`] is quinn's callbacks; `model/` observes and
//! holds each estimate once; the experiments send more or less than the model would and say what they found; one table
//! (`phases`) says what follows.
//!
//! # The model
//! While cruising, once per ACK:
//!
//! ```text
//! window = (bandwidth × (min_rtt + jitter) + queue budget) / (1 - base loss) + losses not missed yet
//! ```
//!
//! * **bandwidth** (`model/rate`, `model/bandwidth`): delivery-rate samples keyed by send time
//!   (draft-cheng-iccrg-delivery-rate-estimation). The best of some rounds while the path is not full, as in BBR; the mean of our
//!   last rounds once a queue stands, which is our share of it.
//! * **min_rtt** (`model/rtt`): whole rounds against the round that a drain showed. A longer one is believed when several drains
//!   agree on it, or one that has withdrawn some and found no queue that became shorter; and ends competitive mode: it was the
//!   path.
//! * **jitter** (`model/rtt`): what round trips turn back from one group to the next, which a queue does not do; nothing
//!   on a clean link. It is no queue either: only what stands above both is held to the target. Since packets in a row
//!   do not overtake each other, jitter lengthens round trips the more the faster they follow, so under jitter only a
//!   probe tells whether the path is full, and a round trip at which more was delivered counts as bare.
//! * **ACK aggregation** (`model/bandwidth`): busy machines, Wi-Fi and radio links stop for some milliseconds and then deliver a
//!   lump, much faster than any queue would. Where that goes on, only what a round's shortest round trips show counts as a
//!   queue, the bandwidth is the best of some rounds even on a full path, and what the others are later on average is added to
//!   the round trip, as it is in flight too (Little's law; BBR allows for the same with its `extra_acked`).
//! * **base loss** (`model/loss`): the lowest smoothed loss of late. Lost packets count as in flight until they are missed, one
//!   round trip later, so a full pipe needs `1 / (1 - p)` more, and on small paths until some later packets are acknowledged.
//!   The *present* loss would not do: head-room for losses that the head-room makes keeps itself alive.
//! * **queue budget** (`cruise`): the few packets that stand in the queue, once a round `+= step - decay × (queue / target)³`.
//!   The step follows from what the whole path carries and not from a flow's own share, so flows that see the same queue end at
//!   the same share.
//!
//! # The experiments
//! Each says when it is due, the window while it runs and what it found.
//!
//! | experiment | is due | window | may find |
//! |---|---|---|---|
//! | start-up (`startup`) | nothing is known | what is acknowledged more, and what the latest flight has earned | the path is full |
//! | drain (`drain`; BBR's ProbeRTT) | by the clock on the wall, others drain, or the queue does not obey | a part of the product | min_rtt, somebody else's queue |
//! | probe (`cruise`; BBR's ProbeBW_UP) | all is calm, ever more rarely | more than the product | room |
//! | loss trial (`cruise`) | more is lost than ever, or where no queue ever stands | less than the product | whose doing the loss is |
//! | competition (`compete`; Copa's competitive mode) | a queue stays that is not ours | a share of the path's | that nobody is left |
//!
//! **Start-up** sends its first flight in a part of the round trip, and what the packets of a flight took to arrive opens the
//! window for the next at once. It ends at a short queue, or when bandwidth stops growing (BBR). Near the rate that the spacing
//! of ACKs foretold it waits a round for the queue; when none comes, the spacing was wrong and is not believed any more. Loss
//! alone never ends it. What an earlier connection left of the same path replaces the first window by half of its own (careful
//! resume, RFC 9959), and start-up goes on from there.
//!
//! A **drain** withdraws a little of the product for a moment, and more where a queue may have been taken for path. All flows of
//! ours drain at the same moments, so that each sees the path without the queue of the others: by the clock on the wall, and a
//! flow that sees the queue become shorter by itself joins those that drain. A queue that stays is someone else's if we get only
//! a part of what the path carries; if we get all of it, the path has become slower. However short it is, it is no queue of our
//! kind if only as much of it has gone as we have withdrawn: they would have stood aside with us. One that does not move at all
//! is none, and the path has become longer. A flow that gets less than the share it would hold drains sooner, since a competitor
//! who has not been seen takes a little more each round.
//!
//! **Beside others** we hold a share of the path, a little more than a third, whatever the queue is, and give up of it what is
//! lost; less so where a queue has gone by itself, since then a buffer-filling flow held it. A queue that others keep full takes
//! one or two packets of a burst, so packets leave one by one, unless losses since the last test show that even so it is too
//! much. What the path carries is the median of its trains or the mean of the spacings of ACKs, whichever is lower, since late
//! machines move both. Who has too few of them holds a share of what may be far too little, so that grows as long as losses take
//! less than each round gives back. Every scheduled drain tests whether they are still there, by a part of the queue alone: that
//! much more of it goes than we have withdrawn (or less of a full one is dropped) shows that all of them stood aside, which only
//! our own kind does; a queue that is short for a while is no sign of that, since CUBIC makes one after a loss. Where drains come
//! late, a flow that has lost much of what it had to a queue that is longer than usual, and no packets, waits for none. When a
//! long queue comes back within ten seconds, it was BBR's own ProbeRTT that emptied it, and competitive mode goes on without
//! another drain. Where no queue stands for longer than a drain of theirs, they are gone without a test, and growth as in
//! start-up takes what they had; if that is less than half of the path and any queue stands within ten seconds, they have come
//! back. What is lost meanwhile is never taken for the path's own loss, or its head-room would keep the queue full for ever. A
//! flow that comes late takes what others hold in the queue for path: when that goes for a moment without a drain, as BBR and
//! CUBIC let it, it was theirs. When they have gone before they were seen, a path of which we get only a part shows no queue any
//! more, and start-up takes the rest.
//!
//! **A flood**, more loss than any path makes, is the windows' doing in any phase: then the queue is full all the time, which
//! looks like a longer path without one. Such a round ends start-up, and what it delivered is believed instead of the best of
//! late.
//!
//! **Where no queue ever stands**, a steady loss may be our own doing: a policer drops what exceeds its rate, head-room for that
//! loss keeps it up, and no delay tells. One loss trial tells; where the loss goes, what arrives is the path's rate, and the
//! queue budget grows by a little until something is lost again.
//!
//! **Congestion marks** (RFC 9002, section 7.1): a standing queue that is marked ends start-up, halves the queue budget in
//! cruise, at most once in two rounds and until the queue has gone, and the share of competitive mode. A drain gives up more by
//! itself. Marks where no queue stands are not answered, which is less than the RFC asks: they were at the end of a burst
//! of ours, which a smaller window would not make shorter.
//!
//! A blackout (quinn's persistent congestion) begins again: at half of what the path had if its next round trip is what
//! it was, else as on an unknown path.
//!
//! # What differs from BBRv3 and Copa
//! * BBRv3 cycles through probes for more bandwidth and cuts at a fixed share of loss. Here the queue says whether the path is
//!   full, so probes are rare, and loss alone cuts nothing: links that lose a tenth are used in full.
//! * BBR's ProbeRTT goes to half of the product at moments of its own; ours are less deep, and at moments that all flows share,
//!   since a flow that drains alone sees the queue of the others.
//! * Beside others BBRv3 is bound by loss and what it had before; Copa becomes a Reno. We hold a share: the spacing of ACKs says
//!   what the whole path carries.
//! * Copa steers by the delay of each ACK and looks for its competitors in how the queue oscillates. We set the window from the
//!   measured rate and correct by the queue once a round, since the trait has no pace; and a drain shows competitors more surely.
//! * Both leave ACK spacing, dispersion and jitter alone. They are why start-up takes few round trips and jittery paths are used.
//!
//! Other sources: Vegas and FAST (packets of one's own in the queue), Swift (targets that grow for slow flows), HyStart (RFC
//! 9406: eight ACKs, the delay threshold). Each constant has its reason beside it, and `cargo bench --bench congestion` shows
//! what all of them together give; `benches/congestion/ablation.txt`, what each mechanism does.
//!
//! # Limits
//! A buffer shorter than the target loses some packets for good: at 3 ms of queue, up to 9 % are re-sent. Jitter of a third
//! of the round trip can cost a third of the goodput, of a half three quarters and more where the round trip is 300 ms or
//! the rate 500 Mbit/s; pauses as long as the round trip cost a third. Flows that share such a path may stay uneven for
//! long. Where each of many flows of ours would get less than about ten packets per round trip, they may take each other
//! for strangers while they begin, and a twentieth is lost; if their clocks are wrong by seconds besides, nearly half for
//! long, and so are those of sixteen that begin one after the other at 100 Mbit/s and 50 ms or more. Beside several BBR in
//! a queue of a round trip or less a tenth is lost, and where it is half a round trip on slow paths, a fifth of the link is
//! ours and not a third. Beside a CUBIC that was there first, on a path of 200 ms with a queue of four round trips, it can
//! take tens of seconds to get more than a tenth. Who comes after several of Linux's BBR, whose queue is full all the time,
//! gets a hundredth of the link until they empty it for their ProbeRTT. A path that by itself floods is taken for an
//! overfull one, and little of it is used. A policer that lets more through later is followed slowly. A queue that marks
//! whatever waits for a millisecond (L4S's step) marks bursts of ours, too, and those of a CUBIC that yields to each mark,
//! which keeps next to nothing beside us there. A rate limit is no business of the window's: it is held at the socket
//! (`throttle`).
//!
//! [`Controller`]: quinn_proto::congestion::Controller

mod compete;
mod config;
mod controller;
mod cruise;
mod drain;
mod model;
mod phases;
mod startup;

pub use config::{ControllerConfig, PastPath, PathSnapshot, PathState, Phase};
#[doc(hidden)]
pub use config::{Mechanism, Without};
pub use controller::PathController;
pub use startup::AGE_MAX;
