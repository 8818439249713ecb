//! What to simulate, and what came out.

use std::sync::Arc;
use std::time::Duration;

use qft::transport::limits::ACK_EVERY;
use quinn_proto::congestion::ControllerFactory;

use super::link::{LinkConfig, LinkStats, Loss, PAYLOAD_SHARE};
use super::tcp::{Control, TcpConfig};

/// A controller factory as quinn wants it.
pub type Factory = Arc<dyn ControllerFactory + Send + Sync>;

/// How a receiver holds its peer back without leaving anything unread.
#[derive(Debug, Clone, Copy)]
pub struct Brake {
    /// From this many unwritten bytes on...
    pub kept: u64,
    /// ... the connection's window is no more than this.
    pub window: u32,
}

/// A sender that has little to say for a while.
#[derive(Debug, Clone, Copy)]
pub struct Lull {
    /// Bytes that it has to send before.
    pub after: u64,
    /// Then `.1` bytes every `.0`...
    pub every: (Duration, u64),
    /// ... until this moment of the simulation, and as much as ever from then on.
    pub until: Duration,
}

/// One sender and one receiver.
#[derive(Clone)]
pub struct FlowConfig {
    pub controller: Factory,
    /// When the client begins its handshake.
    pub start: Duration,
    /// Bytes to send; `None` = keep sending until the end.
    pub body: Option<u64>,
    pub lull: Option<Lull>,
    /// The receiver stops at `.0`, for `.1`: it reads nothing, or with `brake` writes nothing.
    pub stall: Option<(Duration, Duration)>,
    /// A receiver that reads on while it cannot write, and slows its peer down when it keeps too much.
    pub brake: Option<Brake>,
    /// Stream window; the connection's is twice that.
    pub stream_window: u64,
    /// Extra delay of this flow's own access line, one way.
    pub access_delay: Duration,
    /// ACK-frequency threshold to ask for: the product's unless told otherwise; `None` = quinn's, every second packet.
    pub ack_threshold: Option<u32>,
    /// A TCP flow instead, which always has something to send. Of what stands above, only `start` and `access_delay` concern
    /// it.
    pub tcp: Option<TcpConfig>,
    /// When a TCP flow ends.
    pub until: Option<Duration>,
}

impl FlowConfig {
    /// A flow that starts at once, never ends and is never limited by flow control.
    pub fn new(controller: Factory) -> Self {
        Self {
            controller,
            start: Duration::ZERO,
            body: None,
            lull: None,
            stall: None,
            brake: None,
            stream_window: 1 << 40,
            access_delay: Duration::ZERO,
            ack_threshold: Some(ACK_EVERY),
            tcp: None,
            until: None,
        }
    }

    /// A TCP flow that starts at once and never ends.
    pub fn tcp(control: Control) -> Self {
        let unused = Arc::new(quinn_proto::congestion::CubicConfig::default());
        Self { tcp: Some(TcpConfig::new(control)), ..Self::new(unused) }
    }
}

/// One or more flows over one link.
#[derive(Clone)]
pub struct Scenario {
    pub forward: LinkConfig,
    pub reverse: LinkConfig,
    pub flows: Vec<FlowConfig>,
    /// The link becomes this (forward, reverse) at that time.
    pub changes: Vec<(Duration, LinkConfig, LinkConfig)>,
    pub seed: u64,
    /// Figures count from here on, so that start-up is looked at apart.
    pub measure_from: Duration,
    pub end: Duration,
    /// Distance of trace points; zero = no trace.
    pub trace_every: Duration,
    /// Timers fire on multiples of this. Tokio's grain is one millisecond.
    pub timer_grain: Duration,
    /// How busy the machines are: a timer fires, and a packet that arrived is looked at, up to so much later. All that
    /// has come by then is taken at once, so acknowledgements bunch too.
    pub wake_late: Duration,
    /// The receiving machines stand still for `.0` of every `.1`, as under a processor quota that is used up: what arrives
    /// waits in the socket, and no timer fires.
    pub standstill: Option<(Duration, Duration)>,
}

impl Scenario {
    /// One endless flow over a link that is the same both ways; measures after the first 2 s + 20 round trips.
    pub fn new(link: LinkConfig, flow: FlowConfig) -> Self {
        let warm_up = Duration::from_secs(2) + link.delay * 2 * 20;
        Self {
            forward: link,
            reverse: link,
            flows: vec![flow],
            changes: Vec::new(),
            seed: 1,
            measure_from: warm_up,
            end: warm_up * 3,
            trace_every: Duration::ZERO,
            timer_grain: Duration::from_millis(1),
            wake_late: Duration::ZERO,
            standstill: None,
        }
    }

    /// The same loss both ways.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.forward.loss = loss;
        self.reverse.loss = loss;
        self
    }

    /// Bytes per second that a perfect sender could deliver.
    pub fn limit(&self) -> f64 {
        self.forward.rate as f64 / 8.0 * PAYLOAD_SHARE
    }
}

/// A point of a flow's life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TracePoint {
    pub at: Duration,
    pub window: u64,
    pub delivered: u64,
    pub queue: Duration,
    pub sent_packets: u64,
    pub lost_packets: u64,
}

/// What one flow did.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowReport {
    /// Stream bytes read by the receiver, each once.
    pub delivered: u64,
    /// The same since `measure_from`, as a share of the limit.
    pub share: f64,
    /// Packets declared lost over packets sent since `measure_from`. Every lost packet's data is sent again.
    pub resent: f64,
    /// The same over the whole life.
    pub resent_total: f64,
    /// From the start of the handshake until the receiver had the whole body.
    pub finished: Option<Duration>,
    /// The most bytes that the receiver had read and could not write.
    pub kept_max: u64,
    /// Why the connection ended, if it did.
    pub closed: Option<String>,
    pub trace: Vec<TracePoint>,
}

/// What a run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub flows: Vec<FlowReport>,
    pub link: LinkStats,
    /// Mean waiting time in the bottleneck's queue since `measure_from`.
    pub queue_mean: Duration,
    /// The time over which `share`, `resent` and `queue_mean` were taken.
    pub measured: Duration,
}
