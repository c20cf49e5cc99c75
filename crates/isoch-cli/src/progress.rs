//! Progress, for people only.
//!
//! Why nothing when the standard error is no terminal? A log does not need to know that it was at 43 %.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that says how far a stream is.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `frames`: how long it will be, if that is known.
    pub(crate) fn new(frames: Option<u64>, quiet: bool) -> Self {
        let bar = match frames {
            Some(frames) => ProgressBar::new(frames),
            None => ProgressBar::no_length(),
        };
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = match frames {
            Some(_) => "{bar:40.cyan/dim} {percent:>3} %  {msg}",
            None => "{spinner} {msg}",
        };
        // The templates are constant; a bar without style is still a bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Progress { bar }
    }

    /// So many frames are over, in `gaps` gaps something was lost.
    pub(crate) fn update(&self, frames: u64, gaps: u64) {
        // Told often, drawn rarely: putting the words together costs more than a transfer.
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(frames.min(self.bar.length().unwrap_or(u64::MAX)));
        let time = Duration::from_millis(frames);
        let lost = match gaps {
            0 => String::new(),
            1 => "  1 gap".into(),
            many => format!("  {many} gaps"),
        };
        self.bar.set_message(format!("{:.1} s{lost}", time.as_secs_f64()));
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
