//! The callbacks of quinn.

use std::any::Any;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerMetrics};

use super::PathController;
use super::window::INITIAL_PACKETS;
use crate::congestion::state::Phase;

impl Controller for PathController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.first_flight_left = self.first_flight_left.saturating_sub(bytes);
        self.last_sent_packet = last_packet_number;
        self.sampler.on_sent(now);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        if self.min_rtt_filter.is_none() {
            self.begin(now, now.saturating_duration_since(sent));
        }
        self.resume.on_ack(now, bytes);
        self.sampler.on_ack(now, sent, bytes);
        self.config.state.count(bytes, app_limited);
        self.loss.on_ack(bytes);
        if self.is_of_drain(sent) {
            self.loss.on_drain(0, bytes);
        }
        if self.phase == Phase::Startup && !app_limited {
            self.window += self.known().growth(self.window, bytes);
        }
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.watch_for_aggregation(now, app_limited);
        if let Some(sample) = self.sampler.on_end_acks(now, in_flight, app_limited) {
            self.on_sample(now, &sample);
            // Acknowledgements of single packets are held back, which is no queue.
            if self.phase == Phase::Startup && !app_limited {
                self.startup.on_rtt(sample.rtt);
            }
        }
        if self.phase == Phase::Startup {
            self.on_startup_acks(now, app_limited);
        }
        if self.is_drain_due(now) {
            self.start_drain(now);
        }
        if largest_packet_num_acked.is_some_and(|acked| self.samples.is_over(acked, self.round_acks())) {
            self.on_epoch(now);
        }
        self.update_window();
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        if is_persistent_congestion {
            // Everything sent for several timeouts is gone: an outage.
            self.restart(now);
            return;
        }
        self.note_loss(now, sent, lost_bytes);
        if self.is_of_drain(sent) {
            self.loss.on_drain(lost_bytes, 0);
        }
        if self.phase == Phase::Startup {
            // Loss must not slow the doubling; a full queue shows in the round trip.
            self.window += lost_bytes;
        }
        let congestion = self.is_congestion(lost_bytes);
        let share = self.capacity().map_or(1.0, |capacity| self.bandwidth.get() / capacity);
        if let Some(competitive) = &mut self.competitive
            && congestion
        {
            competitive.on_loss(now, sent, share);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.window = self.window.max(self.least_window());
    }

    fn window(&self) -> u64 {
        self.shown_window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window;
        metrics.pacing_rate = Some((self.bandwidth.get() * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_PACKETS * self.mtu
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
