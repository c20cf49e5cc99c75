//! What the drivers of host controllers do with isochronous transfers.
//!
//! Why a table by driver, when everything that counts is measured at run time? Because a measurement needs a
//! stream that has run, and some facts leave no trace in one: whether a late packet is dropped or moves all
//! what follows, and whether the number that usbmon shows is the frame it was sent in. The facts are from the
//! drivers' sources (Linux 6.1 and 6.12: `ehci-sched.c`, `ohci-q.c`, `uhci-q.c`, `xhci-ring.c`, `vhci_hcd.c`).

use std::time::Duration;

use isoch_core::clock::unwrap::{Counter, CounterUnit};
use isoch_core::rules::Speed;

/// A kind of host controller, by its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// USB 1.1, Intel's and VIA's.
    Uhci,
    /// USB 1.1, everybody else's.
    Ohci,
    /// USB 2.0.
    Ehci,
    /// USB 3.
    Xhci,
    /// USB/IP: another machine's device, behind the kernel's `vhci_hcd`.
    Vhci,
    /// One that this table does not know.
    Other,
}

/// What a driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// A new stream that is asked for in the last microframe of a frame begins so many frames later.
    pub(crate) lead: u64,
    /// How many frames ahead of now a transfer may end. Less than what the driver takes, which counts from
    /// another moment than a program does.
    pub(crate) horizon: u64,
    /// How many frames before its end a queue must get more for that to follow surely. `None`: whenever the last
    /// request in it is not over, what comes next follows, and what is late by then is dropped and told
    /// (`EXDEV`).
    pub(crate) follows_within: Option<u64>,
    /// What of the `start_frame` that usbmon shows is the true frame; `None` where it is not. Only the bits that are
    /// the controller's: UHCI's driver carries its ten on into 32, but loses wraps while nobody asks
    /// (`uhci_get_current_frame_number`).
    pub(crate) start_frame: Option<Counter>,
    /// How long before the end of its last interval a transfer may be told of: controllers that interrupt when a
    /// packet is through, and not at the end of the frame.
    pub(crate) told_early: Duration,
    /// Whether the status of a packet without data says nothing (OHCI: always `EXDEV`).
    pub(crate) empty_is_unknown: bool,
}

impl Kind {
    /// By the name of the driver of the controller's device: `xhci_hcd`, `ehci-pci`, `uhci_hcd`…
    pub(crate) fn of_driver(driver: Option<&str>) -> Kind {
        let driver = driver.unwrap_or_default();
        let kinds = [
            ("uhci", Kind::Uhci),
            ("ohci", Kind::Ohci),
            ("ehci", Kind::Ehci),
            ("xhci", Kind::Xhci),
            ("vhci", Kind::Vhci),
        ];
        kinds.into_iter().find(|(name, _)| driver.contains(name)).map_or(Kind::Other, |(_, kind)| kind)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Uhci => "UHCI",
            Kind::Ohci => "OHCI",
            Kind::Ehci => "EHCI",
            Kind::Xhci => "xHCI",
            Kind::Vhci => "USB/IP (vhci)",
            Kind::Other => "unknown",
        }
    }

    pub(crate) fn facts(self, speed: Speed) -> Facts {
        let high = speed >= Speed::High;
        let facts = Facts {
            lead: 11,
            horizon: 200,
            follows_within: Some(11),
            start_frame: None,
            told_early: Duration::from_micros(if high { 125 } else { 1_000 }),
            empty_is_unknown: false,
        };
        match self {
            // Ten frames from now; 1024 frames in its list.
            Kind::Uhci => Facts {
                lead: 10,
                horizon: 900,
                follows_within: None,
                start_frame: Some(Counter { bits: 10, unit: CounterUnit::Frames }),
                told_early: Duration::ZERO,
                ..facts
            },
            // Eight frames from now; 16 bits of frame number.
            Kind::Ohci => Facts {
                lead: 8,
                horizon: 900,
                follows_within: None,
                start_frame: Some(Counter { bits: 16, unit: CounterUnit::Frames }),
                told_early: Duration::ZERO,
                empty_is_unknown: true,
            },
            // Behind the threshold; 256 to 1024 frames in its list, of which a program cannot know the number.
            Kind::Ehci => Facts { lead: 2, horizon: 200, follows_within: Some(2), ..facts },
            // Behind the scheduling threshold and ten microframes more; 895 ms ahead at most. Without
            // contiguous frame numbers, and with them before Linux 7.3, a late transfer moves what follows.
            Kind::Xhci => Facts { lead: 4, horizon: 800, follows_within: Some(4), ..facts },
            Kind::Vhci | Kind::Other => facts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_by_name() {
        for (driver, kind) in [
            (Some("uhci_hcd"), Kind::Uhci),
            (Some("ohci-pci"), Kind::Ohci),
            (Some("ehci-platform"), Kind::Ehci),
            (Some("xhci_hcd"), Kind::Xhci),
            (Some("xhci-pci-renesas"), Kind::Xhci),
            (Some("vhci_hcd"), Kind::Vhci),
            (Some("dwc2"), Kind::Other),
            (None, Kind::Other),
        ] {
            assert_eq!(Kind::of_driver(driver), kind, "{driver:?}");
        }
    }

    #[test]
    fn horizons_leave_room_for_the_lead() {
        for kind in [Kind::Uhci, Kind::Ohci, Kind::Ehci, Kind::Xhci, Kind::Vhci, Kind::Other] {
            let facts = kind.facts(Speed::High);
            assert!(facts.horizon > 4 * facts.lead, "{}", kind.name());
        }
    }
}
