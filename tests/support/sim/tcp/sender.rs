//! The sending end: recovery, timers and transmission. What to send how fast is the congestion control's.

use std::collections::VecDeque;

use super::congestion::{Congestion, State, Tcp, burst_of};
use super::reduction::Reduction;
use super::rto::Rto;
use super::sample::{Gathering, Sample};
use super::scoreboard::{Scoreboard, Sent};
use super::{HEADER, INITIAL_WINDOW, MSS, SECOND, Segment, TcpConfig};

/// A SYN is sent again after this.
const SYN_TIMEOUT: u64 = SECOND;
/// A burst is not waited for when it is more than this part of the window (`tcp_tso_win_divisor`).
const BURST_WINDOW: u32 = 3;
/// The kernel's own guess of the rate, for its bursts, over window by round trip: in slow start and after it.
const GUESS_SLOW_START: f64 = 2.0;
const GUESS: f64 = 1.2;

/// A sender that always has something to send.
pub struct Sender {
    config: TcpConfig,
    congestion: Box<dyn Congestion>,
    tcp: Tcp,
    board: Scoreboard,
    is_connected: bool,
    syn_due: Option<u64>,
    rto: Rto,
    order: u64,
    first_sent: u64,
    /// The state ends when this segment is acknowledged.
    high: u64,
    reduction: Reduction,
    sent: u64,
    out: VecDeque<Segment>,
}

impl Sender {
    pub fn new(config: TcpConfig, seed: u64) -> Self {
        let tcp = Tcp {
            window: INITIAL_WINDOW,
            threshold: u32::MAX,
            state: State::Open,
            in_flight: 0,
            delivered: 0,
            delivered_at: 0,
            lost: 0,
            srtt: 0,
            min_rtt: 0,
            pacing: None,
            next_send: 0,
            next: 0,
            first: 0,
        };
        Self {
            config,
            congestion: config.congestion(seed),
            tcp,
            board: Scoreboard::default(),
            is_connected: false,
            syn_due: None,
            rto: Rto::default(),
            order: 0,
            first_sent: 0,
            high: 0,
            reduction: Reduction::default(),
            sent: 0,
            out: VecDeque::new(),
        }
    }

    pub fn connect(&mut self, now: u64) {
        self.out.push_back(Segment::Syn);
        self.syn_due = Some(now + SYN_TIMEOUT);
    }

    /// Segments (sent, found lost).
    pub fn packets(&self) -> (u64, u64) {
        (self.sent, self.tcp.lost)
    }

    /// Nothing more is sent, not even again.
    pub fn stop(&mut self) {
        (self.is_connected, self.syn_due) = (false, None);
        self.rto.disarm();
    }

    /// Bytes.
    pub fn window(&self) -> u64 {
        u64::from(self.tcp.window) * MSS
    }

    pub fn has_ecn(&self) -> bool {
        self.config.ecn
    }

    pub fn on_segment(&mut self, now: u64, segment: &Segment) {
        match segment {
            Segment::SynAck if !self.is_connected => {
                let rtt = self.syn_due.take().map_or(0, |due| now - (due - SYN_TIMEOUT));
                self.is_connected = true;
                self.note_rtt(rtt);
                (self.tcp.delivered_at, self.first_sent) = (now, now);
                self.congestion.on_start(now, &mut self.tcp);
                self.transmit(now);
            }
            Segment::Ack(ack) if self.is_connected => self.on_ack(now, ack),
            Segment::Syn | Segment::SynAck | Segment::Data(_) | Segment::Ack(_) => {}
        }
    }

    fn on_ack(&mut self, now: u64, ack: &super::Ack) {
        let mut sample = Sample { prior_in_flight: self.board.in_flight(), marked: ack.marked, ..Sample::default() };
        let mut gathering = Gathering::new();
        let first = self.board.first();
        self.board.on_ack(ack, |sent| {
            sample.acked += 1;
            gathering.on_delivered(sent);
            if !sent.is_repeated {
                sample.rtt = Some(now - sent.at);
            }
        });
        let has_advanced = self.board.first() > first;
        if sample.acked > 0 {
            self.tcp.delivered += u64::from(sample.acked);
            self.tcp.delivered_at = now;
            self.first_sent = gathering.newest().map_or(self.first_sent, |newest| newest.at);
        }
        if let Some(rtt) = sample.rtt {
            self.note_rtt(rtt);
        }
        if has_advanced {
            self.rto.on_progress();
            self.arm_rto(now);
        }
        let mut losses = Vec::new();
        self.board.find_lost(matches!(self.tcp.state, State::Recovery | State::Loss), |sent| losses.push(*sent));
        self.sync();
        for sent in &losses {
            self.tcp.lost += 1;
            self.congestion.on_lost(now, sent, &mut self.tcp);
        }
        sample.lost = losses.len() as u32;
        gathering.finish(now, self.tcp.delivered, self.tcp.lost, self.tcp.min_rtt, &mut sample);
        self.step(now, &sample, has_advanced);
        self.transmit(now);
    }

    /// Recovery and window after an acknowledgement.
    fn step(&mut self, now: u64, sample: &Sample, has_advanced: bool) {
        self.sync();
        let is_over = self.tcp.state != State::Open && self.board.first() >= self.high;
        if is_over {
            let was_reduced = matches!(self.tcp.state, State::Recovery | State::Reducing);
            if was_reduced && !self.congestion.has_own_recovery() {
                self.tcp.window = self.tcp.threshold;
            }
            self.tcp.state = State::Open;
        }
        if self.tcp.state == State::Open || self.tcp.state == State::Reducing {
            if sample.lost > 0 {
                self.begin(now, State::Recovery);
            } else if sample.marked > 0 && self.tcp.state == State::Open && self.config.ecn {
                self.begin(now, State::Reducing);
            }
        }
        let is_reducing = matches!(self.tcp.state, State::Recovery | State::Reducing);
        if is_reducing && !self.congestion.has_own_recovery() {
            let window = self.reduction.on_ack(sample, has_advanced, &self.tcp);
            self.tcp.window = window.unwrap_or(self.tcp.window);
        } else {
            self.congestion.on_ack(now, sample, &mut self.tcp);
        }
    }

    fn begin(&mut self, now: u64, state: State) {
        if self.tcp.state == State::Open {
            self.reduction = Reduction::new(self.tcp.window);
            self.tcp.threshold = self.congestion.on_congestion(now, &mut self.tcp);
        }
        self.tcp.state = state;
        self.high = self.board.next();
    }

    fn sync(&mut self) {
        (self.tcp.in_flight, self.tcp.next, self.tcp.first) =
            (self.board.in_flight(), self.board.next(), self.board.first());
    }

    fn note_rtt(&mut self, rtt: u64) {
        self.rto.on_rtt(rtt);
        self.tcp.srtt = self.rto.smoothed();
        self.tcp.min_rtt = if self.tcp.min_rtt == 0 { rtt } else { self.tcp.min_rtt.min(rtt) };
    }

    fn arm_rto(&mut self, now: u64) {
        self.rto.arm(now, self.board.first() < self.board.next());
    }

    pub fn on_timer(&mut self, now: u64) {
        if self.syn_due.is_some_and(|due| due <= now) {
            self.connect(now);
        }
        if self.rto.due().is_some_and(|due| due <= now) {
            self.on_timeout(now);
        }
        if self.is_connected {
            self.transmit(now);
        }
    }

    fn on_timeout(&mut self, now: u64) {
        self.sync();
        if self.tcp.state != State::Loss {
            self.tcp.threshold = self.congestion.on_congestion(now, &mut self.tcp);
        }
        self.tcp.lost += u64::from(self.board.lose_all());
        self.sync();
        self.tcp.state = State::Loss;
        self.tcp.window = self.tcp.in_flight + 1;
        self.high = self.board.next();
        self.congestion.on_timeout(now, &mut self.tcp);
        self.rto.back_off();
        self.arm_rto(now);
    }

    pub fn timeout(&self) -> Option<u64> {
        let paced = self.is_connected && self.tcp.pacing.is_some() && self.room() > 0;
        let pacer = paced.then_some(self.tcp.next_send);
        [self.syn_due, self.rto.due(), pacer].into_iter().flatten().min()
    }

    /// Segments that the window has room for, once that is enough for a burst.
    fn room(&self) -> u32 {
        let tcp = &self.tcp;
        let room = tcp.window.saturating_sub(self.board.in_flight());
        if room >= self.burst().min(tcp.window / BURST_WINDOW) || self.board.in_flight() == 0 { room } else { 0 }
    }

    fn burst(&self) -> u32 {
        if let Some(burst) = self.congestion.burst(&self.tcp) {
            return burst;
        }
        let guess = if self.tcp.window < self.tcp.threshold / 2 { GUESS_SLOW_START } else { GUESS };
        let window = f64::from(self.tcp.window) * MSS as f64;
        burst_of(guess * window / (self.tcp.srtt.max(1) as f64 / SECOND as f64))
    }

    fn transmit(&mut self, now: u64) {
        loop {
            self.sync();
            let is_early = self.tcp.pacing.is_some() && self.tcp.next_send > now;
            // What is lost is sent again without waiting for more of it.
            let is_repair = self.board.next_lost().is_some() && self.tcp.window > self.tcp.in_flight;
            let room = if is_repair { self.tcp.window - self.tcp.in_flight } else { self.room() };
            if room == 0 || is_early {
                return;
            }
            let burst = room.min(self.burst());
            (0..burst).for_each(|_| self.send_one(now));
            if let Some(rate) = self.tcp.pacing {
                let bytes = u64::from(burst) * (MSS + HEADER);
                let gap = (bytes as f64 / rate.max(1.0) * SECOND as f64) as u64;
                // A burst that was late makes the next one early, by a half at most.
                let credit = now.saturating_sub(self.tcp.next_send).min(gap / 2);
                self.tcp.next_send = self.tcp.next_send.max(now) + gap - credit;
            }
        }
    }

    fn send_one(&mut self, now: u64) {
        let number = self.board.next_lost().unwrap_or_else(|| self.board.next());
        if self.board.in_flight() == 0 {
            (self.first_sent, self.tcp.delivered_at) = (now, now);
        }
        self.order += 1;
        self.board.on_sent(
            number,
            Sent {
                at: now,
                order: self.order,
                delivered: self.tcp.delivered,
                lost_before: self.tcp.lost,
                delivered_at: self.tcp.delivered_at,
                first_sent: self.first_sent,
                in_flight: self.board.in_flight() + 1,
                is_repeated: false,
            },
        );
        self.sent += 1;
        if matches!(self.tcp.state, State::Recovery | State::Reducing) {
            self.reduction.on_sent();
        }
        self.out.push_back(Segment::Data(number));
        if self.rto.due().is_none() {
            self.arm_rto(now);
        }
    }

    pub fn poll(&mut self) -> Option<Segment> {
        self.out.pop_front()
    }
}
