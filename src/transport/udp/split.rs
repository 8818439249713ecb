//! Large packets in calls that the kernel takes.
//!
//! QUIC hands over up to ten packets a call, however large they are, and the kernel silently drops a call of more than
//! 64 KiB. So those are sent in several, each as full as it may be.

use std::io;
use std::sync::Arc;

use quinn::AsyncUdpSocket;
use quinn::udp::Transmit;

use super::layer::{Layer, layered};

/// Most bytes of one call: the length field of IPv4 less its header and UDP's.
const CALL_BYTES_MAX: usize = u16::MAX as usize - 20 - 8;
/// Most bytes that packets which arrive together have, for the same reason.
const ARRIVAL_BYTES_MAX: usize = 1 << 16;

/// Puts the splitting between a socket, which takes packets of up to `packet_max` bytes, and its users.
pub(super) fn wrap(inner: Arc<dyn AsyncUdpSocket>, packet_max: u16) -> Arc<dyn AsyncUdpSocket> {
    layered(Split { inner, packet_max })
}

#[derive(Debug)]
struct Split {
    inner: Arc<dyn AsyncUdpSocket>,
    packet_max: u16,
}

impl Layer for Split {
    fn below(&self) -> &Arc<dyn AsyncUdpSocket> {
        &self.inner
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // When a later call finds the socket full, all is sent again: a packet that comes twice is ignored.
        pieces(transmit).try_for_each(|piece| self.inner.try_send(&piece))
    }

    fn max_receive_segments(&self) -> usize {
        // QUIC makes each buffer as large as this many of the largest packets, but no arrival is larger than this.
        self.inner.max_receive_segments().min(ARRIVAL_BYTES_MAX.div_ceil(self.packet_max.into()))
    }
}

/// The same packets, in as few calls as the kernel takes.
fn pieces<'a>(transmit: &Transmit<'a>) -> impl Iterator<Item = Transmit<'a>> {
    let (destination, ecn, src_ip) = (transmit.destination, transmit.ecn, transmit.src_ip);
    let whole = transmit.contents.len();
    let segment = transmit.segment_size.unwrap_or(whole).max(1);
    let bytes = if whole <= CALL_BYTES_MAX { whole } else { (CALL_BYTES_MAX / segment).max(1) * segment };
    transmit.contents.chunks(bytes.max(1)).map(move |contents| {
        // One packet alone needs no segmentation.
        let segment_size = (contents.len() > segment).then_some(segment);
        Transmit { destination, ecn, contents, segment_size, src_ip }
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// The packets of one call of ten, of `segment` bytes each but the last, as they are sent.
    fn sent(segment: usize, last: usize) -> Vec<(usize, Option<usize>)> {
        let contents: Vec<u8> = (0..9 * segment + last).map(|n| (n % 251) as u8).collect();
        let destination = SocketAddr::from(([127, 0, 0, 1], 1));
        let whole = Transmit { destination, ecn: None, contents: &contents, segment_size: Some(segment), src_ip: None };
        let all: Vec<_> = pieces(&whole).map(|piece| (piece.contents.to_vec(), piece.segment_size)).collect();
        let joined: Vec<u8> = all.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        assert!(joined == contents, "the same bytes in the same order");
        all.into_iter().map(|(bytes, segment)| (bytes.len(), segment)).collect()
    }

    #[test]
    fn what_the_kernel_takes_in_one_call_stays_one() {
        assert_eq!(sent(1452, 1452), [(14_520, Some(1452))]);
        assert_eq!(sent(6550, 6550), [(65_500, Some(6550))]);
    }

    #[test]
    fn what_is_too_much_for_one_call_is_sent_in_full_ones() {
        assert_eq!(sent(32_700, 32_700), [(65_400, Some(32_700)); 5]);
        assert_eq!(sent(32_700, 40)[4], (32_740, Some(32_700)));
        assert_eq!(sent(6552, 6552), [(58_968, Some(6552)), (6552, None)]);
        assert_eq!(sent(40_000, 7)[8..], [(40_000, None), (7, None)], "a packet alone needs no segmentation");
    }
}
