//! What a stream went through, counted.

use std::time::Duration;

use isoch_core::{Outcome, Packet, PacketStatus, Report, Time};

/// Counts of one endpoint since it was opened. All are measured; nothing is derived from what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Transfers that were accepted.
    pub submitted: u64,
    /// Transfers that are over.
    pub completed: u64,
    /// Transfers that were cancelled, or ended by an unplug.
    pub cancelled: u64,
    /// Transfers that were handed over too late to be served at all.
    pub late_transfers: u64,
    /// Transfers that the bus refused or failed.
    pub failed_transfers: u64,
    /// Transfers after a dry queue, where the stream was meant to go on.
    pub late_submits: u64,
    /// Packets served.
    pub packets_done: u64,
    /// Packets handed over too late.
    pub packets_late: u64,
    /// Packets that the host controller missed.
    pub packets_missed: u64,
    /// Packets that went wrong on the bus.
    pub packets_failed: u64,
    /// Packets of which the system does not say.
    pub packets_unknown: u64,
    /// Bytes that went over the bus.
    pub bytes: u64,
    /// Runs of lost frames.
    pub gaps: u64,
    /// Service intervals lost in them.
    pub intervals_lost: u64,
    /// Transfers for which the system does not tell whether frames were lost.
    pub unknowable: u64,
    /// Transfers that did not begin on the frame they were asked to.
    pub misplaced: u64,
    /// The fewest frames between handing a transfer over and its first frame, where both are known.
    pub smallest_lead: Option<u64>,
    /// From the host learning of a completion to the program taking it.
    pub wake_up: Histogram,
}

impl Statistics {
    pub(super) fn count(
        &mut self,
        report: &Report,
        packets: &[Packet],
        carried: Option<u64>,
        handed_over_in: Option<u64>,
    ) {
        self.completed += 1;
        match report.outcome {
            Outcome::Cancelled | Outcome::DeviceGone => self.cancelled += 1,
            Outcome::Late => self.late_transfers += 1,
            Outcome::BadStartFrame | Outcome::Failed(_) => self.failed_transfers += 1,
            _ => {}
        }
        self.late_submits += u64::from(report.hole.is_some());
        self.misplaced += u64::from(report.misplaced().is_some_and(|by| by != 0));
        let mut lost = report.hole.is_some();
        match carried {
            // Nothing to be learnt from each.
            Some(bytes) => {
                self.bytes += bytes;
                self.packets_done += packets.len() as u64;
            }
            None => lost |= self.count_packets(packets),
        }
        if lost {
            for gap in report.gaps(packets) {
                self.gaps += 1;
                self.intervals_lost += gap.intervals;
            }
        } else {
            self.unknowable += u64::from(!report.gaps_known);
        }
        if let Some((frames, handed_over_in)) = report.frames().zip(handed_over_in) {
            let lead = frames.start.saturating_sub(handed_over_in);
            self.smallest_lead = Some(self.smallest_lead.map_or(lead, |least| least.min(lead)));
        }
    }

    /// Returns whether any was lost.
    fn count_packets(&mut self, packets: &[Packet]) -> bool {
        let mut lost = false;
        for packet in packets {
            self.bytes += u64::from(packet.actual);
            match packet.status {
                PacketStatus::Done => self.packets_done += 1,
                PacketStatus::Late => self.packets_late += 1,
                PacketStatus::Missed => self.packets_missed += 1,
                PacketStatus::Failed(_) => self.packets_failed += 1,
                PacketStatus::Unknown => self.packets_unknown += 1,
                _ => {}
            }
            lost |= packet.status.is_lost();
        }
        lost
    }

    /// Whether everything that is over, and that nobody cancelled, is known to have gone where it should,
    /// when it should. `None`: the system does not tell.
    #[must_use]
    pub fn everything_placed(&self) -> Option<bool> {
        let bad =
            self.gaps + self.misplaced + self.late_transfers + self.failed_transfers + self.packets_failed;
        if bad > 0 {
            Some(false)
        } else if self.unknowable > 0 {
            None
        } else {
            Some(true)
        }
    }
}

/// A histogram of durations by powers of two of a microsecond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// `counts[0]`: below 1 µs; `counts[n]`: from 2ⁿ⁻¹ up to 2ⁿ µs; the last: all above.
    pub counts: [u64; 24],
    /// The longest.
    pub longest: Duration,
}

impl Histogram {
    pub(crate) fn add(&mut self, seen: Time, taken: Time) {
        let duration = taken.since(seen);
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        self.counts[bucket.min(self.counts.len() - 1)] += 1;
        self.longest = self.longest.max(duration);
    }

    /// The number of durations counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}
