//! The time line of a stream as a picture.
//!
//! Why not a plotting library? What has to be seen is one thing: where, in a long green band, something is
//! not green. A chart's curves and axes hide that, and a lost frame in an hour is thinner than a pixel. So
//! the worst that happened in a column colours all of it, whatever was lost is at least two pixels wide,
//! and has a mark and its frame numbers above.

use std::fmt::Write;

use crate::tally::GapRecord;
use crate::timeline::{COLUMNS, FATES, Fate, Timeline};
use crate::words::counted;

const LEFT: f64 = 40.0;
const WIDTH: f64 = COLUMNS as f64;
const BAND_HEIGHT: f64 = 84.0;
/// Rows of labels above the band.
const LABEL_ROWS: usize = 2;
/// Gaps listed below.
const LISTED: usize = 12;
/// Roughly: the width of a character.
const CHARACTER: f64 = 6.6;

/// What a picture shows.
pub(crate) struct Plot<'a> {
    pub(crate) title: String,
    /// One sentence on how it went.
    pub(crate) summary: String,
    pub(crate) timeline: &'a Timeline,
    pub(crate) gaps: &'a [GapRecord],
    pub(crate) gap_count: u64,
    /// How the frame numbers are known.
    pub(crate) source: &'static str,
    /// The frame it was to start on.
    pub(crate) requested: Option<u64>,
}

fn colour(fate: Fate) -> &'static str {
    match fate {
        Fate::Sent => "#3d9970",
        Fate::NotSent => "#d5dae1",
        Fate::Unknown => "#8c9db5",
        Fate::Late => "#f0a30a",
        Fate::Failed => "#8e44ad",
        Fate::Lost => "#d7263d",
    }
}

fn name(fate: Fate) -> &'static str {
    match fate {
        Fate::Sent => "transferred",
        Fate::NotSent => "cancelled",
        Fate::Unknown => "unknown: the bus does not tell",
        Fate::Late => "late",
        Fate::Failed => "failed on the bus",
        Fate::Lost => "lost",
    }
}

impl Plot<'_> {
    /// The picture as SVG, complete in itself.
    pub(crate) fn to_svg(&self) -> String {
        let mut svg = String::new();
        let listed = self.gaps.len().min(LISTED);
        let more = self.gap_count > listed as u64;
        let axis = self.band_top() + BAND_HEIGHT;
        let legend = axis + 96.0;
        let list = legend + 38.0;
        let rows = listed + usize::from(more);
        let height = if rows == 0 { list - 14.0 } else { list + rows as f64 * 20.0 + 8.0 };
        let width = WIDTH + 2.0 * LEFT;
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             font-family=\"'DejaVu Sans', Verdana, 'Segoe UI', sans-serif\" font-size=\"12\" fill=\"#1f2933\">\n\
             <title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"36\" font-size=\"19\" font-weight=\"bold\">{}</text>\n\
             <text x=\"{LEFT}\" y=\"60\" font-size=\"13\" fill=\"#52606d\">{}</text>\n",
            escape(&self.title),
            escape(&self.title),
            escape(&self.summary),
        );
        self.band(&mut svg);
        self.marks(&mut svg);
        self.axis(&mut svg, axis);
        self.legend(&mut svg, legend);
        self.list(&mut svg, list);
        svg.push_str("</svg>\n");
        svg
    }

    /// Gaps need room for their labels.
    fn band_top(&self) -> f64 {
        if self.gaps.is_empty() { 84.0 } else { 138.0 }
    }

    /// Pixels for a microframe.
    fn scale(&self) -> f64 {
        let range = self.timeline.range();
        WIDTH / (range.end - range.start).max(1) as f64
    }

    fn x(&self, microframe: u64) -> f64 {
        let range = self.timeline.range();
        LEFT + microframe.clamp(range.start, range.end).saturating_sub(range.start) as f64 * self.scale()
    }

    fn band(&self, svg: &mut String) {
        let top = self.band_top();
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{BAND_HEIGHT}\" fill=\"#f2f4f7\"/>"
        );
        let columns = self.timeline.columns();
        let column_width = self.timeline.width() as f64 * self.scale();
        let right = LEFT + WIDTH;
        // The harmless first, so that what is widened to be seen lies on top.
        for bad in [false, true] {
            let mut at = 0;
            while at < columns.len() {
                let worst = columns[at].worst();
                let length = columns[at..].iter().take_while(|column| column.worst() == worst).count();
                let from = LEFT + at as f64 * column_width;
                let until = (from + length as f64 * column_width).min(right);
                at += length;
                let Some(fate) = worst.filter(|fate| (*fate > Fate::Unknown) == bad) else { continue };
                let least = if bad { 2.0 } else { 0.0 };
                let wide = (until - from).max(least);
                let x = from.min(right - wide);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.2}\" y=\"{top}\" width=\"{wide:.2}\" height=\"{BAND_HEIGHT}\" fill=\"{}\"/>",
                    colour(fate)
                );
            }
        }
        // A short stream shows its intervals one by one.
        if column_width >= 5.0 {
            let mut lines = String::new();
            for index in 1..columns.len() {
                let microframe = self.timeline.range().start + index as u64 * self.timeline.width();
                let x = LEFT + index as f64 * column_width;
                let inset = if microframe.is_multiple_of(8) { 0.0 } else { BAND_HEIGHT * 0.3 };
                let (from, to) = (top + inset, top + BAND_HEIGHT - inset);
                let _ = write!(lines, "M{x:.2} {from:.1}V{to:.1}");
            }
            let _ = writeln!(
                svg,
                "<path d=\"{lines}\" stroke=\"#ffffff\" stroke-opacity=\"0.75\" fill=\"none\"/>"
            );
        }
    }

    /// A mark above each gap, and its frames beside those that have room.
    fn marks(&self, svg: &mut String) {
        let mut row_ends = [LEFT; LABEL_ROWS];
        // Labels come last: a line to the upper row passes behind one of the lower.
        let mut labels = String::new();
        let top = self.band_top() - 2.0;
        for gap in self.gaps.iter().filter(|gap| gap.placed && self.timeline.is_numbered()) {
            let middle =
                f64::midpoint(self.x(gap.frames.start * 8), self.x(gap.frames.end.saturating_mul(8)));
            let (left, right, upper) = (middle - 5.0, middle + 5.0, top - 8.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{left:.1} {upper:.1}H{right:.1}L{middle:.1} {top:.1}Z\" fill=\"#1f2933\"/>",
            );
            let label = frames(gap);
            let wide = label.chars().count() as f64 * CHARACTER;
            let x = (middle - wide / 2.0).clamp(LEFT, LEFT + WIDTH - wide);
            let Some(row) = row_ends.iter().position(|end| *end <= x) else { continue };
            row_ends[row] = x + wide + 14.0;
            let y = top - 14.0 - row as f64 * 17.0;
            let (from, to) = (y + 4.0, top - 9.0);
            let _ = writeln!(svg, "<path d=\"M{middle:.1} {from:.1}V{to:.1}\" stroke=\"#9aa5b1\"/>");
            let _ = writeln!(
                labels,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" stroke=\"#ffffff\" stroke-width=\"4\" paint-order=\"stroke\">{}</text>",
                escape(&label)
            );
        }
        svg.push_str(&labels);
    }

    /// Round frame numbers, and below them round times since the first frame.
    fn axis(&self, svg: &mut String, y: f64) {
        let range = self.timeline.range();
        let first = range.start / 8;
        let frames = (range.end - range.start).div_ceil(8).max(1);
        let step = tick_step(frames);
        self.ticks(svg, y, "#1f2933", step, first.next_multiple_of(step), |frame| frame.to_string());
        let unit = if frames > 20_000 { "s" } else { "ms" };
        self.ticks(svg, y + 30.0, "#7b8794", step, first, |frame| match (unit, frame - first) {
            ("s", since) => format!("{} s", since as f64 / 1e3),
            (_, since) => format!("{since} ms"),
        });
        let column = self.timeline.width();
        let each = match column {
            1..8 => format!("{} µs", column * 125),
            8 => "one frame (1 ms)".into(),
            more => format!("{} frames", more / 8),
        };
        let numbers = if self.timeline.is_numbered() {
            format!("frame numbers ({})", self.source)
        } else {
            "frames since the start (this bus does not tell their numbers)".into()
        };
        let asked = match self.requested {
            Some(frame) if self.timeline.is_numbered() && frame != first => {
                format!(" · asked to start on frame {frame}, and did on frame {first}")
            }
            Some(frame) => format!(" · asked to start on frame {frame}"),
            None => String::new(),
        };
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\" fill=\"#7b8794\" font-size=\"11\">{numbers}, and time since the first · one \
             column is {each}{asked}</text>",
            y + 70.0
        );
    }

    fn ticks(
        &self,
        svg: &mut String,
        y: f64,
        colour: &str,
        step: u64,
        first: u64,
        label: impl Fn(u64) -> String,
    ) {
        let right = LEFT + WIDTH;
        let _ = writeln!(svg, "<path d=\"M{LEFT} {y}H{right}\" stroke=\"#9aa5b1\"/>");
        let end = self.timeline.range().end;
        let mut frame = first;
        while frame.saturating_mul(8) <= end {
            let x = self.x(frame * 8);
            let anchor = match x {
                x if x < LEFT + 20.0 => "start",
                x if x > right - 30.0 => "end",
                _ => "middle",
            };
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.2} {y}v5\" stroke=\"#9aa5b1\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\" \
                 fill=\"{colour}\">{}</text>",
                y + 18.0,
                label(frame)
            );
            frame += step;
        }
    }

    fn legend(&self, svg: &mut String, y: f64) {
        let mut x = LEFT;
        // The same places in every picture, so that one learns where to look; what did not happen is pale.
        let order = [Fate::Sent, Fate::Late, Fate::Lost, Fate::Failed, Fate::Unknown, Fate::NotSent];
        debug_assert_eq!(order.len(), FATES.len());
        for fate in order {
            let count = self.timeline.total(fate);
            let text = format!("{} {}", group(count), name(fate));
            let opacity = if count == 0 { "0.4" } else { "1" };
            let weight = if count > 0 && fate > Fate::Unknown { "bold" } else { "normal" };
            let _ = writeln!(
                svg,
                "<g opacity=\"{opacity}\" font-weight=\"{weight}\"><rect x=\"{x:.1}\" y=\"{:.1}\" width=\"14\" height=\"14\" rx=\"2\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\">{text}</text></g>",
                y - 11.0,
                colour(fate),
                x + 20.0,
            );
            x += 20.0 + text.chars().count() as f64 * CHARACTER * 1.12 + 26.0;
        }
    }

    fn list(&self, svg: &mut String, y: f64) {
        let listed = &self.gaps[..self.gaps.len().min(LISTED)];
        let mut line = |index: usize, text: &str| {
            let y = y + index as f64 * 20.0;
            let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{y:.1}\">{}</text>", escape(text));
        };
        for (index, gap) in listed.iter().enumerate() {
            line(index, &describe(gap));
        }
        let more = self.gap_count.saturating_sub(listed.len() as u64);
        if more > 0 {
            line(listed.len(), &format!("and {} more; the report lists them", group(more)));
        }
    }
}

/// "frames 100–109", or how many if it is not known where.
pub(crate) fn frames(gap: &GapRecord) -> String {
    if gap.placed {
        return range(&gap.frames);
    }
    let count = gap.frames.end.saturating_sub(gap.frames.start);
    format!("{}, unknown which", counted(count, "frame"))
}

/// "frames 100–109", or "frame 100".
pub(crate) fn range(frames: &std::ops::Range<u64>) -> String {
    match frames.end.saturating_sub(frames.start) {
        0 | 1 => format!("frame {}", frames.start),
        _ => format!("frames {}–{}", frames.start, frames.end - 1),
    }
}

/// A gap in words.
pub(crate) fn describe(gap: &GapRecord) -> String {
    let intervals = counted(gap.intervals, "interval");
    let uncertainty = match gap.uncertainty {
        0 => String::new(),
        frames => format!(", give or take {}", counted(frames, "frame")),
    };
    format!("{}: {intervals} lost{uncertainty}, {}", frames(gap), gap.cause)
}

/// A number with its thousands apart.
pub(crate) fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// 1, 2 or 5 times a power of ten, for at most about a dozen ticks.
fn tick_step(frames: u64) -> u64 {
    let mut step: u64 = 1;
    loop {
        for factor in [1, 2, 5] {
            if frames / step.saturating_mul(factor) <= 12 {
                return step.saturating_mul(factor);
            }
        }
        step = step.saturating_mul(10);
    }
}

/// Text for XML: markup escaped, what XML cannot carry left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        for (frames, step) in [(1, 1), (12, 1), (30, 5), (100, 10), (3000, 500), (3_600_000, 500_000)] {
            assert_eq!(tick_step(frames), step, "{frames}");
        }
        assert!(tick_step(u64::MAX) > 0);
    }

    #[test]
    fn names_cannot_break_the_picture() {
        assert_eq!(escape("<a href=\"&\">\u{0}\n"), "&lt;a href=&quot;&amp;&quot;&gt;  ");
        assert_eq!(group(1_234_567), "1\u{2009}234\u{2009}567");
        assert_eq!(group(12), "12");
    }
}
