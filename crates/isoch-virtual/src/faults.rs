//! Fault scripts: what goes wrong, in which frames.
//!
//! Why by frame and not by probability? Because a test must be able to say exactly what the host could
//! have known: host-side faults (`HostMissed`, `HostLate`) must show up in its report, losses on the wire
//! must not, and only a script with frame numbers lets a test compare the two.

use std::ops::Range;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// In which frames. [`FaultKind::Unplug`] uses the first.
    pub frames: Range<u64>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only on this port (by the name it was plugged in with); `None`: on all.
    pub device: Option<String>,
    /// Only on this endpoint address; `None`: on all.
    pub endpoint: Option<u8>,
}

/// The kinds of fault. Those about packets concern isochronous packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// The controller does not serve the interval. The host knows: the packet is *missed*.
    HostMissed,
    /// The controller finds the packet too late. The host knows: the packet is *late*.
    HostLate,
    /// The host program is held up: completions are delivered when the range ends.
    HostStalled,
    /// An OUT packet is sent and never arrives. The host cannot know: the packet is *done*, and the
    /// device's log does not have it.
    LostOnWire,
    /// An IN packet arrives damaged: failed, no bytes.
    CrcError,
    /// An IN packet is cut to this many bytes.
    Short(u32),
    /// The device answers an IN token with an empty packet.
    Empty,
    /// The device sends more than its descriptor allows (IN): failed, no bytes.
    Babble,
    /// Control requests are stalled.
    ControlStall,
    /// The device is unplugged at the first frame.
    Unplug,
}

/// What the packets of one endpoint suffer, in frames in which that does not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PacketFaults {
    pub(crate) any: bool,
    pub(crate) missed: bool,
    pub(crate) late: bool,
    pub(crate) lost: bool,
    pub(crate) crc: bool,
    pub(crate) babble: bool,
    pub(crate) empty: bool,
    pub(crate) short: Option<u32>,
}

/// All faults still to come or active.
///
/// Asking per packet which of them apply would cost more than the packet. So it keeps the first frame in
/// which anything changes, and until then every pipe goes by what it was told last.
#[derive(Debug, Default)]
pub(crate) struct FaultScript {
    faults: Vec<Fault>,
    /// From this frame on, what [`FaultScript::packets`] said last may be wrong.
    next_change: u64,
    stalls: bool,
}

impl Fault {
    fn concerns(&self, device: &str, endpoint: Option<u8>) -> bool {
        self.device.as_deref().is_none_or(|name| name == device)
            && self.endpoint.is_none_or(|address| endpoint == Some(address))
    }
}

impl FaultScript {
    /// Adds a fault; one that lies wholly before frame `now` has no effect.
    pub(crate) fn add(&mut self, fault: Fault, now: u64) {
        let over = match fault.kind {
            FaultKind::Unplug => fault.frames.start < now,
            _ => fault.frames.is_empty() || fault.frames.end <= now,
        };
        if !over {
            self.stalls |= fault.kind == FaultKind::HostStalled;
            self.faults.push(fault);
            self.next_change = 0;
        }
    }

    /// The first frame in which what packets suffer may change.
    pub(crate) fn next_change(&self) -> u64 {
        self.next_change
    }

    /// Forgets what is over by `frame`, and finds the next change after it.
    pub(crate) fn advance(&mut self, frame: u64) {
        self.faults.retain(|fault| fault.kind == FaultKind::Unplug || fault.frames.end > frame);
        self.stalls = self.faults.iter().any(|fault| fault.kind == FaultKind::HostStalled);
        let edges = self.faults.iter().flat_map(|fault| [fault.frames.start, fault.frames.end]);
        self.next_change = edges.filter(|edge| *edge > frame).min().unwrap_or(u64::MAX);
    }

    /// What the packets of an endpoint suffer in `frame`.
    pub(crate) fn packets(&self, device: &str, endpoint: u8, frame: u64) -> PacketFaults {
        let mut found = PacketFaults::default();
        for fault in &self.faults {
            if !fault.frames.contains(&frame) || !fault.concerns(device, Some(endpoint)) {
                continue;
            }
            match fault.kind {
                FaultKind::HostMissed => found.missed = true,
                FaultKind::HostLate => found.late = true,
                FaultKind::LostOnWire => found.lost = true,
                FaultKind::CrcError => found.crc = true,
                FaultKind::Babble => found.babble = true,
                FaultKind::Empty => found.empty = true,
                FaultKind::Short(length) => {
                    found.short = Some(found.short.map_or(length, |shorter| shorter.min(length)));
                }
                FaultKind::HostStalled | FaultKind::ControlStall | FaultKind::Unplug => continue,
            }
            found.any = true;
        }
        found
    }

    /// Whether control requests of a device are stalled in `frame`.
    pub(crate) fn control_stalled(&self, device: &str, frame: u64) -> bool {
        self.faults.iter().any(|fault| {
            fault.kind == FaultKind::ControlStall
                && fault.frames.contains(&frame)
                && (fault.concerns(device, Some(0)) || fault.concerns(device, Some(0x80)))
        })
    }

    /// When the host learns of something that it would learn of in `microframe`.
    pub(crate) fn held_until(&self, device: &str, endpoint: Option<u8>, microframe: u64) -> u64 {
        if !self.stalls {
            return microframe;
        }
        let mut held = microframe;
        // Ranges may touch or overlap: again until none holds it.
        while let Some(stall) = self.faults.iter().find(|fault| {
            fault.kind == FaultKind::HostStalled
                && fault.frames.contains(&(held / 8))
                && fault.concerns(device, endpoint)
        }) {
            if stall.frames.end > u64::MAX / 8 {
                return u64::MAX;
            }
            held = stall.frames.end * 8;
        }
        held
    }

    /// The microframe of the next unplugging.
    pub(crate) fn next_unplug(&self) -> Option<u64> {
        let unplugs = self.faults.iter().filter(|fault| fault.kind == FaultKind::Unplug);
        unplugs.map(|fault| fault.frames.start.saturating_mul(8)).min()
    }

    /// Takes out an unplugging that is due by `microframe`.
    pub(crate) fn take_unplug(&mut self, microframe: u64) -> Option<Fault> {
        let due = self.faults.iter().position(|fault| {
            fault.kind == FaultKind::Unplug && fault.frames.start.saturating_mul(8) <= microframe
        });
        due.map(|index| self.faults.remove(index))
    }
}
