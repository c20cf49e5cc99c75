//! How a stream went, in a sentence and a few lines.
//!
//! Why words beside the report? Because most people who stream look at nothing else, and what they must not
//! miss is which of four things it was: all placed, lost, failed, or not to be known on this bus.

use isoch::Direction;

use crate::interrupt;
use crate::plot;
use crate::report::{StallsReport, Verdict, source};
use crate::tally::Tally;
use crate::words::counted;

pub(crate) struct Summary<'a> {
    pub(crate) direction: Direction,
    pub(crate) tally: &'a Tally,
    pub(crate) verdict: Verdict,
    pub(crate) stalls: Option<StallsReport>,
}

impl Summary<'_> {
    /// What was placed, how that is known, and what was lost.
    pub(crate) fn sentence(&self) -> String {
        let tally = &self.tally;
        let went = tally.packets - tally.cancelled;
        let packets = counted(went, "packet");
        let bytes = match (tally.bytes, tally.unknown) {
            (0, 1..) => format!("{} handed over", counted(tally.bytes_handed_over, "byte")),
            (bytes, _) => counted(bytes, "byte"),
        };
        let place = match (tally.frames(), tally.source()) {
            (Some(frames), Some(known)) if frames.end > frames.start => {
                let seconds = (frames.end - frames.start) as f64 / 1e3;
                let uncertainty = match tally.uncertainty {
                    0 => String::new(),
                    frames => format!(", ±{frames}"),
                };
                let which = match frames.end - frames.start {
                    1 => format!("frame {}", frames.start),
                    _ => format!("frames {} to {}", frames.start, frames.end - 1),
                };
                format!(" in {which} ({}{uncertainty}; {seconds:.3} s)", source(known))
            }
            _ => ", in frames that this bus does not tell".into(),
        };
        let placed = match went {
            0 => "Nothing was transferred".into(),
            _ => format!("{packets}, {bytes}{place}"),
        };
        let how = match self.verdict {
            Verdict::Failed if self.tally.verdict() == Verdict::Lost => {
                format!("ended by an error; LOST before that: {}", self.losses())
            }
            Verdict::Failed => "ended by an error".into(),
            Verdict::Lost => format!("LOST: {}", self.losses()),
            Verdict::Unverifiable => {
                "nothing known to be lost, but delivery cannot be verified on this bus".into()
            }
            Verdict::Placed => "nothing was lost".into(),
        };
        let interrupted = if interrupt::stopped() { " (interrupted)" } else { "" };
        format!("{placed}: {how}{interrupted}")
    }

    fn losses(&self) -> String {
        let tally = &self.tally;
        let mut parts = Vec::new();
        match (tally.intervals_lost, tally.gap_count) {
            (0, 0) => {}
            (0, gaps) => parts.push(counted(gaps, "gap")),
            (intervals, 0) => parts.push(counted(intervals, "interval")),
            (intervals, gaps) => {
                parts.push(format!("{} in {}", counted(intervals, "interval"), counted(gaps, "gap")));
            }
        }
        let mut part = |count: u64, one: &str, many: &str| match count {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            _ => parts.push(format!("{count} {many}")),
        };
        if tally.gap_count == 0 && tally.intervals_lost == 0 {
            part(tally.late, "packet was late", "packets were late");
            part(tally.missed, "packet was missed by the host", "packets were missed by the host");
        }
        part(tally.failed, "packet failed on the bus", "packets failed on the bus");
        part(tally.misplaced, "transfer not on its frame", "transfers not on their frames");
        part(tally.failed_transfers, "transfer failed", "transfers failed");
        part(tally.refused_transfers, "transfer refused", "transfers refused");
        parts.join(", ")
    }

    /// The sentence, and some details.
    pub(crate) fn lines(&self) -> String {
        let mut lines = format!("{}.\n", self.sentence());
        let gaps = self.tally.gaps();
        for gap in gaps.iter().take(5) {
            lines.push_str(&format!("  {}\n", plot::describe(gap)));
        }
        let more = self.tally.gap_count.saturating_sub(gaps.len().min(5) as u64);
        if more > 0 {
            lines.push_str(&format!("  and {more} more (--report lists them, --plot draws them)\n"));
        }
        let mut unlisted = self.tally.failed;
        for run in self.tally.failures().iter().take(5) {
            let packets = counted(run.packets, "packet");
            lines.push_str(&format!("  {}: {packets} failed on the bus\n", plot::range(&run.frames)));
            unlisted = unlisted.saturating_sub(run.packets);
        }
        if unlisted > 0 && unlisted < self.tally.failed {
            lines.push_str(&format!("  and {unlisted} more failed (--report lists where)\n"));
        }
        if self.direction == Direction::In && self.tally.all_empty() {
            lines.push_str("All packets were empty: nothing sends on this endpoint.\n");
        }
        if let Some(stalls) = self.stalls.filter(|stalls| stalls.count > 0) {
            lines.push_str(&format!(
                "This machine held the emulated bus up {}, {:.1} ms at most: its time stood still then.\n",
                if stalls.count == 1 { "once".into() } else { format!("{} times", stalls.count) },
                stalls.longest_milliseconds
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(tally: Tally) -> String {
        let direction = Direction::In;
        Summary { direction, tally: &tally, verdict: Verdict::Lost, stalls: None }.losses()
    }

    /// Counts of lost intervals, gaps, failed packets and late ones.
    fn tally(intervals_lost: u64, gap_count: u64, failed: u64, late: u64) -> Tally {
        let mut tally = Tally::default();
        (tally.intervals_lost, tally.gap_count) = (intervals_lost, gap_count);
        (tally.failed, tally.late) = (failed, late);
        tally
    }

    #[test]
    fn gaps_belong_to_lost_intervals_only() {
        assert_eq!(losses(tally(0, 0, 8, 0)), "8 packets failed on the bus");
        assert_eq!(losses(tally(3, 2, 8, 0)), "3 intervals in 2 gaps, 8 packets failed on the bus");
        assert_eq!(losses(tally(1, 1, 1, 0)), "1 interval in 1 gap, 1 packet failed on the bus");
        assert_eq!(losses(tally(0, 1, 0, 0)), "1 gap");
        assert_eq!(losses(tally(0, 0, 0, 2)), "2 packets were late");
    }
}
