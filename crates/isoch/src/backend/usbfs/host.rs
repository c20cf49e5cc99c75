//! Host controllers, as all open devices of a process share them: their clock, and what was learnt of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use isoch_core::rules::Speed;

use super::controller::Kind;
use super::memory::{self, Mode, Timing};
use super::node::Node;
use crate::clock::{EstimatedClock, Host};
use crate::sync::{Arc, Mutex, Weak, lock};

/// How late a completion may be at least: the interrupt, its handler, and the way to the program; in an emulated
/// machine that is most of it.
const LATENCY: Duration = Duration::from_micros(250);

/// A host controller.
pub(super) struct Controller {
    pub(super) kind: Kind,
    pub(super) clock: Arc<EstimatedClock>,
    timing: OnceLock<Option<Timing>>,
}

impl Controller {
    /// The one whose folder in sysfs this is: the same for all devices, as long as one of them is open.
    pub(super) fn of(path: &Path, driver: Option<&str>, speed: Speed) -> Arc<Self> {
        type Known = HashMap<PathBuf, Weak<Controller>>;
        static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
        let mut known = lock(KNOWN.get_or_init(Mutex::default));
        if let Some(controller) = known.get(path).and_then(Weak::upgrade) {
            return controller;
        }
        let kind = Kind::of_driver(driver);
        let latency = LATENCY + kind.facts(speed).told_early;
        let controller = Arc::new(Controller {
            kind,
            clock: Arc::new(EstimatedClock::new(host(), latency)),
            timing: OnceLock::new(),
        });
        known.retain(|_, controller| controller.strong_count() > 0);
        known.insert(path.to_owned(), Arc::downgrade(&controller));
        controller
    }

    /// Which memory is faster here; measured by whoever asks first.
    pub(super) fn memory(&self, node: &Node) -> Mode {
        let timing = self.timing.get_or_init(|| memory::measure(node));
        timing.map_or(Mode::Copied, Timing::mode)
    }
}

/// This machine's clock, the same for all controllers.
fn host() -> Host {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(|| {
        // It lies before everything that is measured.
        let now = Instant::now();
        now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
    });
    Host::new(origin, None)
}
