//! Carries packets between two TUN devices as a link would: a thread for each direction.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::carried::{Carried, Snapshot};
use super::counters::{Counters, LATE};
use super::lane::Lane;
use super::model::link::LinkConfig;

/// The largest packet that a TUN device can hand over.
const PACKET_BYTES_MAX: usize = 65_536;
/// Packets taken in before looking whether some are due: a few hundred microseconds of work.
const BATCH: usize = 64;
/// Shortest sleep. Packets come out so much late at most, in small batches; one wake-up for each would cost a core
/// at 1 Gbit/s.
const SLEEP_MIN: Duration = Duration::from_micros(100);
/// Longest sleep: how soon a stop is seen.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// The kernel may add this to a sleep; its default is half of [`SLEEP_MIN`].
const TIMER_SLACK_NANOS: NonZero<u64> = NonZero::new(1000).expect("not zero");

/// The link comes before the programs that use it, or they would measure each other.
const PRIORITY: i32 = -15;

/// A running link. It ends when this is dropped.
pub(crate) struct Emulator {
    stop: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<io::Result<Counters>>>,
    /// Of the direction from the first device.
    carried: Arc<Carried>,
}

impl Emulator {
    /// Starts to carry packets between two devices, whose descriptors do not block.
    pub(crate) fn start(config: LinkConfig, ends: [OwnedFd; 2], seed: u64) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let epoch = Instant::now();
        let [a, b] = ends;
        let pairs = [(a.try_clone()?, b.try_clone()?), (b, a)];
        let mut emulator = Self { stop: stop.clone(), lanes: Vec::new(), carried: Arc::default() };
        for (number, (from, to)) in pairs.into_iter().enumerate() {
            let lane = Lane::new(config, seed * 2 + number as u64);
            if number == 0 {
                emulator.carried = lane.carried();
            }
            let stop = stop.clone();
            let forwarder = Forwarder { lane, from, to, epoch, late: Lateness::default() };
            let name = format!("lane {number}");
            let thread = std::thread::Builder::new().name(name).spawn(move || forwarder.run(&stop))?;
            emulator.lanes.push(thread);
        }
        Ok(emulator)
    }

    /// What went from the first device to the second until now.
    pub(crate) fn carried(&self) -> Snapshot {
        self.carried.snapshot()
    }

    /// Ends it; what each direction did, the one from the first device first.
    pub(crate) fn finish(mut self) -> io::Result<[Counters; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        let mut counters = [Counters::default(); 2];
        for (lane, counters) in self.lanes.drain(..).zip(&mut counters) {
            *counters = lane.join().map_err(|_| io::Error::other("a lane of the link panicked"))??;
        }
        Ok(counters)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for lane in self.lanes.drain(..) {
            let _ = lane.join();
        }
    }
}

/// How late packets came out.
#[derive(Default)]
struct Lateness {
    max: u64,
    packets: u64,
    over: u64,
}

impl Lateness {
    const NOTED_NANOS: u64 = LATE.as_nanos() as u64;

    fn note(&mut self, late: u64) {
        self.max = self.max.max(late);
        self.packets += 1;
        self.over += u64::from(late > Self::NOTED_NANOS);
    }
}

struct Forwarder {
    lane: Lane,
    from: OwnedFd,
    to: OwnedFd,
    epoch: Instant,
    late: Lateness,
}

impl Forwarder {
    fn run(mut self, stop: &AtomicBool) -> io::Result<Counters> {
        rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NANOS))?;
        // Not allowed everywhere; then the table may say that packets were late.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), PRIORITY);
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        while !stop.load(Ordering::Relaxed) {
            self.put_out()?;
            if self.wait()? {
                self.take_in(&mut buffer)?;
            }
        }
        Ok(self.counters())
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn put_out(&mut self) -> io::Result<()> {
        let now = self.now();
        let (to, late) = (self.to.as_fd(), &mut self.late);
        let mut broken = Ok(());
        self.lane.deliver(now, |due, packet| {
            late.note(now - due);
            // A device that is down, or out of room, loses the packet, as a host does.
            match rustix::io::write(to, packet) {
                Ok(_) | Err(Errno::AGAIN | Errno::IO | Errno::NOBUFS | Errno::INVAL) => {}
                Err(error) => broken = Err(error.into()),
            }
        });
        broken
    }

    /// Sleeps until a packet is due or comes in; whether one came in.
    fn wait(&self) -> io::Result<bool> {
        let until = self.lane.next_due().map_or(SLEEP_MAX, |due| Duration::from_nanos(due.saturating_sub(self.now())));
        let sleep = until.clamp(SLEEP_MIN, SLEEP_MAX);
        let timeout = Timespec { tv_sec: 0, tv_nsec: sleep.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.from, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn take_in(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            match rustix::io::read(&self.from, &mut *buffer) {
                Ok(size) => {
                    let now = self.now();
                    self.lane.offer(now, &buffer[..size]);
                }
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        let stats = self.lane.stats();
        Counters {
            packets: stats.offered_packets,
            bytes: self.lane.bytes(),
            lost: stats.lost_packets,
            queue_drops: stats.queue_drops,
            late_max_ms: self.late.max as f64 / 1e6,
            late_percent: self.late.over as f64 * 100.0 / self.late.packets.max(1) as f64,
        }
    }
}
