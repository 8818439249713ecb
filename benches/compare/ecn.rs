//! The ECN field of an IPv4 packet (RFC 3168).

const FIELD_AT: usize = 1;
const FIELD: u8 = 0b11;
const CHECKSUM_AT: std::ops::Range<usize> = 10..12;

/// Whether the sender of an IPv4 packet understands congestion marks.
pub(crate) fn is_markable(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4) && packet.get(FIELD_AT).is_some_and(|tos| tos & FIELD != 0)
}

/// Marks an IPv4 packet: congestion was experienced.
pub(crate) fn mark(packet: &mut [u8]) {
    let before = u16::from_be_bytes([packet[0], packet[1]]);
    packet[FIELD_AT] |= FIELD;
    let after = u16::from_be_bytes([packet[0], packet[1]]);
    // RFC 1624: the checksum without the old word and with the new one.
    let checksum = u16::from_be_bytes([packet[CHECKSUM_AT.start], packet[CHECKSUM_AT.start + 1]]);
    let mut sum = u32::from(!checksum) + u32::from(!before) + u32::from(after);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[CHECKSUM_AT].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
