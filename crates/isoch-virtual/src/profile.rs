//! Profiles: which host controller, under which system, the emulated one imitates.
//!
//! Why a table of facts and not a trait with an implementation per system? Because what differs between
//! controllers is a handful of numbers and choices, and a reader who wants to know how Windows differs from
//! xHCI should find two columns to compare, not two programs. The facts are from the sources of the Linux
//! drivers (6.12: `ehci-sched.c`, `uhci-q.c`, `xhci-ring.c`, `usbip/stub_*.c`) and from Microsoft's pages
//! on `USBD_ISO_START_FRAME_RANGE` and `WinUsb_*IsochPipe*`.

use isoch_core::rules::{Direction, winusb};
use isoch_core::{Capabilities, ClockSupport, FrameSource, Lengths, PacketStatus, Results, StartSupport};

/// What a controller does with a transfer whose place in the queue it can no longer serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// Packets keep their intervals; those that are over are not served.
    Drop,
    /// The whole transfer moves to where a new stream would begin, and nobody is told.
    Slide,
}

/// A host controller under a system, as a program sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// Its name, as in `?as=`.
    pub name: &'static str,
    /// How transfers start. The systems that ignore start frames are `AsapOnly` here: anchoring is what a
    /// placer on top of them adds.
    pub start: StartSupport,
    /// Whether a named start frame is obeyed. If not, [`isoch_core::Start::At`] is taken as `Asap`.
    pub honours_start: bool,
    /// Whether a completion tells the frame the transfer began in.
    pub tells_first: bool,
    /// Microframes from now to the first interval of a new stream, before rounding up to a frame and to the
    /// endpoint's period.
    pub cold_lead: u64,
    /// Microframes from now within which the end of a queue can no longer be continued (see [`Lateness`]); less
    /// than `cold_lead`.
    pub reach: u64,
    /// What happens then.
    pub lateness: Lateness,
    /// The status of packets that came too late. usbfs has one code for late and missed.
    pub late_status: PacketStatus,
    /// Whether a transfer that is late as a whole fails as a whole.
    pub late_fails: bool,
    /// The system's code for a transfer of which every packet failed, where that fails as a whole.
    pub all_bad: Option<i32>,
    /// A start must be less than this many frames from now, either way.
    pub window: Option<u64>,
    /// A transfer must end at most this many frames from now.
    pub horizon: Option<u64>,
    /// Whether transfers begin and end with frames, and so are told of at the end of a frame.
    pub whole_frames: bool,
    /// What is told of OUT packets.
    pub out_results: Results,
    /// Which packet lengths can be sent.
    pub lengths: Lengths,
    /// Microframes from the end of a transfer until the program can know of it.
    pub completion_delay: u64,
    /// How the current frame is known.
    pub clock: ClockSupport,
}

/// The bus at its best: every frame exact, every result told.
const EXACT: Profile = Profile {
    name: "exact",
    start: StartSupport::Exact,
    honours_start: true,
    tells_first: true,
    cold_lead: 2 * 8,
    reach: 0,
    lateness: Lateness::Drop,
    late_status: PacketStatus::Late,
    late_fails: true,
    all_bad: None,
    window: None,
    horizon: None,
    whole_frames: false,
    out_results: Results::PerPacket,
    lengths: Lengths::PerPacket,
    completion_delay: 0,
    clock: ClockSupport::Exact,
};

/// What Windows' `winusb.sys` offers: start frames obeyed and never confirmed.
const WINUSB: Profile = Profile {
    name: "winusb",
    tells_first: false,
    cold_lead: winusb::ASAP_LEAD_FRAMES as u64 * 8,
    // ERROR_GEN_FAILURE, which USBD_STATUS_ISOCH_REQUEST_FAILED becomes.
    all_bad: Some(31),
    window: Some(winusb::START_FRAME_RANGE as u64),
    whole_frames: true,
    out_results: Results::None,
    lengths: Lengths::FullThenShort,
    ..EXACT
};

/// usbfs over an EHCI controller: no start frames in or out; new streams begin behind the threshold of a
/// controller that caches a full frame (2 microframes, then the next frame).
const USBFS_EHCI: Profile = Profile {
    name: "usbfs-ehci",
    start: StartSupport::AsapOnly,
    honours_start: false,
    tells_first: false,
    cold_lead: 2,
    late_status: PacketStatus::Missed,
    late_fails: false,
    horizon: Some(1024),
    completion_delay: 1,
    clock: ClockSupport::Estimated,
    ..EXACT
};

/// usbfs over a UHCI controller: new streams begin ten frames from now.
const USBFS_UHCI: Profile =
    Profile { name: "usbfs-uhci", cold_lead: 10 * 8, completion_delay: 0, ..USBFS_EHCI };

/// usbfs over an xHCI controller before Linux 7.3: new streams begin behind the isochronous scheduling
/// threshold (2 frames) and 10 microframes more; a queue whose end is nearer than the threshold and a frame
/// is moved, silently.
const USBFS_XHCI: Profile = Profile {
    name: "usbfs-xhci",
    cold_lead: 2 * 8 + 10,
    reach: 3 * 8,
    lateness: Lateness::Slide,
    horizon: Some(895),
    ..USBFS_EHCI
};

/// A USB/IP server on Linux (`usbip-host`) over UHCI: two frames until a submission arrives there, three
/// until the reply is back; the reply tells the true first frame.
const USBIP_STUB: Profile = Profile {
    name: "usbip-stub",
    tells_first: true,
    cold_lead: (2 + 10) * 8,
    reach: 2 * 8,
    lateness: Lateness::Slide,
    completion_delay: 3 * 8,
    ..USBFS_UHCI
};

const ALL: [Profile; 6] = [EXACT, WINUSB, USBFS_EHCI, USBFS_UHCI, USBFS_XHCI, USBIP_STUB];

impl Default for Profile {
    fn default() -> Self {
        EXACT
    }
}

impl Profile {
    /// The names of all profiles, the default first.
    pub const NAMES: [&'static str; ALL.len()] = {
        let mut names = [""; ALL.len()];
        let mut index = 0;
        while index < ALL.len() {
            names[index] = ALL[index].name;
            index += 1;
        }
        names
    };

    /// The profile of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Profile> {
        ALL.into_iter().find(|profile| profile.name == name)
    }

    /// What an endpoint of this direction can do, and what is told of it; never more than this profile's
    /// completions carry.
    #[must_use]
    pub fn capabilities(&self, direction: Direction) -> Capabilities {
        let results = match direction {
            Direction::Out => self.out_results,
            Direction::In => Results::PerPacket,
        };
        // Where transfers slide without a word, and nobody tells where they went, a hole cannot be known.
        let holes_show = self.tells_first || self.lateness == Lateness::Drop;
        Capabilities {
            start: self.start,
            frames: match (self.tells_first, self.honours_start) {
                (true, _) => FrameSource::Reported,
                (false, true) => FrameSource::Assumed,
                (false, false) => FrameSource::Estimated,
            },
            lengths: self.lengths,
            results,
            gaps: results == Results::PerPacket && holes_show,
            clock: self.clock,
            horizon: match (self.window, self.horizon) {
                (Some(window), _) => Some(window - 1),
                (None, horizon) => horizon,
            },
            // Where a start can be named, any frame that has not begun will do.
            // A new stream that is asked for in the last microframe of a frame begins so many frames later.
            lead: if self.honours_start { 1 } else { (7 + self.cold_lead).div_ceil(8) },
        }
    }
}
