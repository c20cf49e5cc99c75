//! What became of every interval, in bounded memory.
//!
//! Why not a list of runs? A stream that loses every other packet has as many runs as packets, and hours of
//! it do not fit into memory or on a screen. Here time is divided into at most 1200 columns of equal length.
//! When a stream outgrows them, neighbours are added up and each column stands for twice the time. What a
//! column knows is how many intervals ended in which way; nothing is rounded away, only placed less finely.

use isoch::{Completion, PacketStatus};

/// Columns kept, and the width of the plot.
pub(crate) const COLUMNS: usize = 1200;

/// Microframes in a frame.
const MICROFRAMES: u64 = 8;

/// What became of an interval, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Sent,
    NotSent,
    Unknown,
    Late,
    Failed,
    Lost,
}

pub(crate) const FATES: [Fate; 6] =
    [Fate::Sent, Fate::NotSent, Fate::Unknown, Fate::Late, Fate::Failed, Fate::Lost];

/// How many intervals of each [`Fate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Column {
    counts: [u64; FATES.len()],
}

impl Column {
    pub(crate) fn of(&self, fate: Fate) -> u64 {
        self.counts[fate as usize]
    }

    /// The worst that happened in it; `None` if nothing was due.
    pub(crate) fn worst(&self) -> Option<Fate> {
        FATES.into_iter().rev().find(|fate| self.of(*fate) > 0)
    }

    fn add(&mut self, other: &Column) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

/// The intervals of a stream, from its first on.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The microframe in which the first column begins.
    origin: Option<u64>,
    /// Microframes in a column: the period times a power of two.
    width: u64,
    columns: Vec<Column>,
    /// The microframe after everything so far.
    end: u64,
    /// Whether positions are frame numbers. If the bus tells none they are counted from 0.
    numbered: bool,
}

impl Timeline {
    pub(crate) fn new(period_microframes: u64) -> Self {
        Timeline {
            origin: None,
            width: period_microframes.max(1),
            columns: Vec::new(),
            end: 0,
            numbered: false,
        }
    }

    /// Adds a finished transfer, and the hole before it.
    pub(crate) fn add(&mut self, done: &Completion) {
        let report = done.report();
        let period = report.period.max(1);
        if self.origin.is_none() {
            self.numbered = report.first.is_some();
        }
        if let Some(hole) = report.hole.as_ref().filter(|_| self.numbered) {
            let from = hole.frames.start * MICROFRAMES;
            self.put(from, hole.frames.end * MICROFRAMES - from, hole.intervals, Fate::Lost);
        }
        // A transfer whose place nobody knows is drawn behind the last.
        let first = report.first.filter(|_| self.numbered).unwrap_or(self.end);
        let mut packets = done.packets().map(|packet| fate(packet.status())).enumerate().peekable();
        while let Some((index, fate)) = packets.next() {
            let mut count = 1;
            while packets.next_if(|(_, next)| *next == fate).is_some() {
                count += 1;
            }
            self.put(first + index as u64 * period, count * period, count, fate);
        }
    }

    /// `count` intervals, evenly from `from` on.
    fn put(&mut self, from: u64, microframes: u64, count: u64, fate: Fate) {
        if microframes == 0 {
            return;
        }
        let origin = *self.origin.get_or_insert(from);
        let (start, end) = (from.max(origin) - origin, (from + microframes).max(origin) - origin);
        self.end = self.end.max(from + microframes);
        while end.div_ceil(self.width) > COLUMNS as u64 {
            self.fold();
        }
        let columns = end.div_ceil(self.width) as usize;
        if self.columns.len() < columns {
            self.columns.resize(columns, Column::default());
        }
        // Each column gets its share; of what is left over by rounding, the first gets one more each.
        let touched = (start / self.width) as usize..columns;
        let mut placed = 0;
        for column in touched {
            let until = ((column as u64 + 1) * self.width).min(end) - start.min(end);
            let due = (u128::from(count) * u128::from(until)).div_ceil(u128::from(end - start).max(1)) as u64;
            self.columns[column].counts[fate as usize] += due.min(count) - placed;
            placed = due.min(count);
        }
    }

    /// Each column stands for twice the time from now on.
    fn fold(&mut self) {
        self.width *= 2;
        let pairs = self.columns.chunks(2).map(|pair| {
            let mut sum = pair[0];
            pair.get(1).inspect(|second| sum.add(second));
            sum
        });
        self.columns = pairs.collect();
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Microframes in a column.
    pub(crate) fn width(&self) -> u64 {
        self.width
    }

    /// The microframes it covers.
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        self.origin.unwrap_or(0)..self.end
    }

    /// Whether its positions are the bus's frame numbers.
    pub(crate) fn is_numbered(&self) -> bool {
        self.numbered
    }

    /// Intervals of one fate, altogether.
    pub(crate) fn total(&self, fate: Fate) -> u64 {
        self.columns.iter().map(|column| column.of(fate)).sum()
    }
}

fn fate(status: PacketStatus) -> Fate {
    match status {
        PacketStatus::Done => Fate::Sent,
        PacketStatus::Late => Fate::Late,
        PacketStatus::Missed => Fate::Lost,
        PacketStatus::Failed(_) => Fate::Failed,
        PacketStatus::Cancelled => Fate::NotSent,
        _ => Fate::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_fit_and_nothing_is_rounded_away() {
        let mut timeline = Timeline::new(1);
        let transfers = 100_000;
        for transfer in 0..transfers {
            let from = 160 + transfer * 64;
            if transfer == 77_777 {
                timeline.put(from, 63, 63, Fate::Sent);
                timeline.put(from + 63, 1, 1, Fate::Lost);
            } else {
                timeline.put(from, 64, 64, Fate::Sent);
            }
        }
        assert!((COLUMNS / 2..=COLUMNS).contains(&timeline.columns().len()));
        assert_eq!(timeline.range(), 160..160 + transfers * 64);
        assert_eq!(timeline.total(Fate::Lost), 1);
        assert_eq!(timeline.total(Fate::Sent), transfers * 64 - 1);
        let lost = timeline.columns().iter().position(|column| column.worst() == Some(Fate::Lost));
        assert_eq!(lost, Some((77_777 * 64 + 63) / timeline.width() as usize));
    }

    #[test]
    fn a_long_hole_is_spread_and_a_short_one_is_exact() {
        let mut timeline = Timeline::new(8);
        timeline.put(80, 8, 1, Fate::Sent);
        timeline.put(88, 16, 2, Fate::Lost);
        timeline.put(104, 8, 1, Fate::Sent);
        let worst: Vec<_> = timeline.columns().iter().map(Column::worst).collect();
        let (sent, lost) = (Some(Fate::Sent), Some(Fate::Lost));
        assert_eq!(worst, [sent, lost, lost, sent]);
        timeline.put(112, 8_000_000_000, 1_000_000_000, Fate::Lost);
        assert_eq!(timeline.total(Fate::Lost), 1_000_000_002);
        assert_eq!(timeline.total(Fate::Sent), 2);
        assert!(timeline.columns().len() <= COLUMNS);
    }
}
