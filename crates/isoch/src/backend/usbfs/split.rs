//! How a transfer is cut into requests.
//!
//! Why cut at whole frames? xHCI numbers what it sends in frames, and a frame that two requests share is served
//! only if both arrive in time. And a request that ends with a frame is told of at its end.

use isoch_core::Packet;

use super::urb::MOST_PACKETS;

/// What limits one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most bytes.
    pub(super) bytes: usize,
    /// Whether what lies in one run of memory must not cross a multiple of that from its beginning: mapped
    /// memory is made of areas, and a request's memory lies in one of them.
    pub(super) areas: bool,
    /// Packets in a frame; 1 where a packet is a frame or longer.
    pub(super) packets_per_frame: usize,
}

/// How many of these packets the next request has: at least one.
pub(super) fn next(packets: &[Packet], limits: Limits) -> usize {
    if fits_whole(packets, limits) {
        return packets.len();
    }
    let mut bytes = 0_usize;
    let area = packets.first().map_or(0, |packet| packet.offset as usize / limits.bytes.max(1));
    let fit = packets
        .iter()
        .take(MOST_PACKETS)
        .take_while(|packet| {
            bytes += packet.length as usize;
            let end = packet.offset as usize + packet.length as usize;
            let same_area = !limits.areas || packet.length == 0 || (end - 1) / limits.bytes.max(1) == area;
            bytes <= limits.bytes && same_area
        })
        .count()
        .max(1);
    if fit == packets.len() {
        return fit;
    }
    let whole = fit - fit % limits.packets_per_frame.max(1);
    if whole == 0 { fit } else { whole }
}

/// Whether all of these fit, as nearly always: packets lie in memory in their order, so the first and the last tell.
pub(super) fn fits_whole(packets: &[Packet], limits: Limits) -> bool {
    let (Some(first), Some(last)) = (packets.first(), packets.last()) else { return false };
    let (begin, end) = (first.offset as usize, last.offset as usize + last.length as usize);
    let area = limits.bytes.max(1);
    packets.len() <= MOST_PACKETS
        && end.saturating_sub(begin) <= limits.bytes
        && (!limits.areas || end <= area || begin == end || begin / area == (end - 1) / area)
}

/// How many requests a transfer of so many packets of so many bytes becomes, at most.
pub(super) fn most_requests(packets: usize, interval: usize, limits: Limits) -> usize {
    let by_bytes = (limits.bytes / interval.max(1)).clamp(1, MOST_PACKETS);
    let whole = by_bytes - by_bytes % limits.packets_per_frame.max(1);
    packets.div_ceil(if whole == 0 { by_bytes } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use isoch_core::PacketStatus;

    fn packets(count: usize, length: u32) -> Vec<Packet> {
        (0..count as u32)
            .map(|n| Packet { offset: n * length, length, actual: 0, status: PacketStatus::Pending })
            .collect()
    }

    fn cut(packets: &[Packet], limits: Limits) -> Vec<usize> {
        let (mut parts, mut from) = (Vec::new(), 0);
        while from < packets.len() {
            parts.push(next(&packets[from..], limits));
            from += parts[parts.len() - 1];
        }
        parts
    }

    const COPIED: Limits = Limits { bytes: 128 * 1024, areas: false, packets_per_frame: 8 };

    #[test]
    fn at_128_packets() {
        assert_eq!(cut(&packets(300, 24), COPIED), [128, 128, 44]);
        assert_eq!(cut(&packets(128, 24), COPIED), [128]);
        assert_eq!(cut(&packets(1, 0), COPIED), [1]);
    }

    #[test]
    fn at_bytes_on_whole_frames() {
        // 42 packets of 3072 bytes fit; 40 are five frames.
        assert_eq!(cut(&packets(88, 3072), COPIED), [40, 40, 8]);
        // Of 49,152 bytes only two fit: no whole frame.
        assert_eq!(cut(&packets(5, 49_152), COPIED), [2, 2, 1]);
        // One that alone is too long goes alone.
        assert_eq!(cut(&packets(3, 200_000), COPIED), [1, 1, 1]);
    }

    #[test]
    fn never_across_areas() {
        let limits = Limits { bytes: 30_720, areas: true, packets_per_frame: 8 };
        assert_eq!(cut(&packets(22, 3072), limits), [8, 2, 8, 2, 2]);
        assert_eq!(cut(&packets(22, 3072), Limits { packets_per_frame: 1, ..limits }), [10, 10, 2]);
    }

    #[test]
    fn everything_is_carried_once() {
        for count in 1..400 {
            for length in [0, 1, 192, 1023, 3072] {
                let of = packets(count, length);
                let parts = cut(&of, COPIED);
                assert_eq!(parts.iter().sum::<usize>(), count);
                assert!(parts.iter().all(|part| (1..=MOST_PACKETS).contains(part)));
                assert!(parts.len() <= most_requests(count, length as usize, COPIED), "{count} of {length}");
            }
        }
    }
}
