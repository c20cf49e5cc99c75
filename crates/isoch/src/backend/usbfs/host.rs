//! Host controllers, as all open devices of a process share them: their clock, and what was learnt of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use isoch_core::rules::Speed;
use rustix::io::Errno;

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
    /// Which memory is faster here, once that is known.
    memory: OnceLock<Mode>,
}

impl Controller {
    /// The one whose folder in sysfs this is: the same for all devices, as long as one of them is open.
    pub(super) fn of(path: &Path, driver: Option<&str>, speed: Speed) -> Arc<Self> {
        type Known = HashMap<PathBuf, Weak<Controller>>;
        static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
        let kind = Kind::of_driver(driver);
        // The clock is everybody's, however fast: it is as sure as the least sure of them.
        let latency = LATENCY + kind.facts(speed).told_early;
        let mut known = lock(KNOWN.get_or_init(Mutex::default));
        if let Some(controller) = known.get(path).and_then(Weak::upgrade) {
            controller.clock.may_be_late(latency);
            return controller;
        }
        let controller = Arc::new(Controller {
            kind,
            clock: Arc::new(EstimatedClock::new(host(), latency)),
            memory: OnceLock::new(),
        });
        known.retain(|_, controller| controller.strong_count() > 0);
        known.insert(path.to_owned(), Arc::downgrade(&controller));
        controller
    }

    /// Which memory is faster here; measured by whoever asks first.
    pub(super) fn memory(&self, node: &Node) -> Mode {
        self.decide(|| memory::measure(node))
    }

    fn decide(&self, measure: impl FnOnce() -> Result<Option<Timing>, Errno>) -> Mode {
        if let Some(known) = self.memory.get() {
            return *known;
        }
        match measure() {
            Ok(timing) => *self.memory.get_or_init(|| timing.map_or(Mode::Copied, Timing::mode)),
            Err(code) => {
                // Perhaps the next one has more luck.
                tracing::debug!(%code, "transfer memory could not be measured: it is copied");
                Mode::Copied
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ClockSource;

    fn controller(name: &str) -> Arc<Controller> {
        Controller::of(Path::new(name), Some("xhci_hcd"), Speed::High)
    }

    #[test]
    fn a_measurement_that_failed_is_made_again() {
        let controller = controller("measured");
        let fast = Timing { mapped: Duration::from_micros(1), copied: Duration::from_micros(2) };
        assert_eq!(controller.decide(|| Err(Errno::NOMEM)), Mode::Copied);
        assert_eq!(controller.decide(|| Ok(Some(fast))), Mode::Mapped);
        assert_eq!(controller.decide(|| unreachable!()), Mode::Mapped);
        let cannot = self::controller("cannot map");
        assert_eq!(cannot.decide(|| Ok(None)), Mode::Copied);
        assert_eq!(cannot.decide(|| unreachable!()), Mode::Copied);
    }

    #[test]
    fn devices_of_all_speeds_share_their_controllers_clock() {
        let path = Path::new("shared");
        let high = Controller::of(path, None, Speed::High);
        let before = high.clock.common_error();
        let full = Controller::of(path, None, Speed::Full);
        assert!(Arc::ptr_eq(&high, &full));
        assert_eq!(high.clock.common_error(), before);
        let (_, uncertainty, _) = high.clock.position(high.clock.host.now());
        assert!(uncertainty >= LATENCY + Kind::Other.facts(Speed::Full).told_early, "{uncertainty:?}");
    }
}
