use super::*;

const PACKETS: usize = 200;

/// A socket, and another one that is connected to it.
fn pair() -> (Udp, UdpSocket) {
    let here = UdpSocket::bind("127.0.0.1:0").expect("a port");
    here.set_nonblocking(true).expect("a socket");
    let there = UdpSocket::bind("127.0.0.1:0").expect("a port");
    there.connect(here.local_addr().expect("bound")).expect("no packet is sent");
    (Udp::new(here, 1 << 20).expect("a socket"), there)
}

/// What is told of a packet of so many bytes that came from another machine.
fn packet_of(len: usize) -> RecvMeta {
    RecvMeta { addr: SocketAddr::from(([192, 0, 2, 1], 1)), len, stride: len, ..RecvMeta::default() }
}

/// The next packets, by their first bytes.
async fn receive(udp: &Udp) -> Vec<u8> {
    let mut space = vec![[0; 100]; quinn::udp::BATCH_SIZE];
    let mut meta = [RecvMeta::default(); quinn::udp::BATCH_SIZE];
    let mut bufs: Vec<_> = space.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
    let count = std::future::poll_fn(|cx| udp.poll_recv(cx, &mut bufs, &mut meta)).await.expect("a socket");
    // Neither GRO nor anything else has joined them: they are single calls of the sender.
    space[..count].iter().map(|packet| packet[0]).collect()
}

fn run(shortage: bool, is_far: bool) -> (Vec<u8>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (udp, there) = pair();
        if shortage {
            let late = Duration::from_secs(1);
            udp.reading.lock().expect("nobody panics").shortage.on_look(Instant::now().into_std(), late, late);
        }
        let (mut all, mut by_the_clock) = (Vec::new(), 0);
        for number in 0..PACKETS {
            there.send(&[number as u8]).expect("it has room");
            let received = receive(&udp).await;
            assert!(!received.is_empty());
            all.extend(received);
            let mut reading = udp.reading.lock().expect("nobody panics");
            if is_far {
                // The same as if it had been content from elsewhere.
                reading.on_received(&[packet_of(1200)], true);
            }
            by_the_clock += usize::from(reading.wakes.is_none() && reading.pause.is_some());
        }
        (all, by_the_clock)
    })
}

fn every_packet() -> Vec<u8> {
    (0..PACKETS).map(|number| number as u8).collect()
}

#[test]
fn who_has_processor_time_is_woken_for_each_packet() {
    assert_eq!(run(false, true), (every_packet(), 0));
}

#[test]
fn who_is_short_of_it_fetches_packets_by_the_clock_and_misses_none() {
    assert_eq!(run(true, true), (every_packet(), PACKETS));
}

#[test]
fn packets_of_this_machine_never_wait() {
    assert_eq!(run(true, false), (every_packet(), 0));
}

#[test]
fn neither_acknowledgements_wait_nor_what_comes_too_fast_for_the_buffer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let (udp, _there) = pair();
    let mut reading = udp.reading.lock().expect("nobody panics");
    let late = Duration::from_secs(1);
    reading.shortage.on_look(Instant::now().into_std(), late, late);
    let most = reading.pause_bytes_max;
    reading.on_received(&[packet_of(most)], false);
    reading.on_received(&[packet_of(1200)], true);
    assert!(reading.pause.is_none(), "they came too fast");
    reading.on_received(&[packet_of(100), packet_of(40)], true);
    assert!(reading.pause.is_none(), "acknowledgements do not wait");
    reading.on_received(&[packet_of(40), packet_of(most - 40)], true);
    assert!(reading.pause.is_some());
}

#[test]
fn who_found_the_system_full_waits_until_it_takes_more() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (udp, there) = pair();
        let udp = Arc::new(udp);
        let mut poller = udp.clone().create_io_poller();
        udp.is_full.store(true, Ordering::Relaxed);
        std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.expect("it has room");
        assert!(!udp.is_full.load(Ordering::Relaxed));
        let destination = there.local_addr().expect("bound");
        let transmit = Transmit { destination, ecn: None, contents: b"x", segment_size: None, src_ip: None };
        udp.try_send(&transmit).expect("it has room");
        let mut buffer = [0; 8];
        assert_eq!(there.recv(&mut buffer).expect("it came"), 1);
    });
}
