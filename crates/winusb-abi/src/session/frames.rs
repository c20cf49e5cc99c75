//! Frame numbers as WinUSB counts them: 32 bits, and the performance counter beside them.
//!
//! Why a bias? Programs add 5 or 6 to the current frame and expect to be in time, and some of that is for their own way to
//! the call. Where the bus needs a longer lead, or transfers must be handed over so long before their frame, the current
//! frame is told as one that is so much ahead, by a constant for each open file: only differences of frame numbers mean
//! anything to a WinUSB program.

use std::sync::{Arc, Weak};
use std::time::Duration;

use isoch::rules::winusb::{self, ASAP_LEAD_FRAMES};
use isoch::{ClockSupport, Device, Direction, FrameClock, Stamp, StartSupport};

use crate::codes::win32;
use crate::failure::Failure;
use crate::handles::{Handles, Kind};
use crate::system::File;
use crate::time;
use crate::types::HANDLE;

/// The frame numbers of an open device. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Frames {
    clock: FrameClock,
    bias: u32,
    known: bool,
}

/// The current frame.
pub(crate) struct Current {
    /// As `WinUsb_GetCurrentFrameNumber` gives it.
    pub(crate) number: u32,
    pub(crate) stamp: Stamp,
}

impl Frames {
    pub(super) fn new(device: &Device) -> Self {
        let capabilities = [Direction::Out, Direction::In].map(|direction| device.capabilities(direction));
        let biases = capabilities.iter().map(|capabilities| match capabilities.start {
            // Whatever of the program's frames is left when it has called is not the bus's.
            StartSupport::Anchored => capabilities.lead,
            _ => capabilities.lead.saturating_sub(u64::from(ASAP_LEAD_FRAMES)),
        });
        Frames {
            clock: device.clock(),
            bias: u32::try_from(biases.max().unwrap_or(0)).unwrap_or(0),
            known: capabilities.iter().any(|capabilities| capabilities.clock != ClockSupport::None),
        }
    }

    pub(crate) fn bias(&self) -> u32 {
        self.bias
    }

    pub(crate) fn current(&self) -> Current {
        let stamp = self.clock.now();
        Current { number: self.number(stamp.frame), stamp }
    }

    /// A frame of the clock's in WinUSB's numbers.
    pub(crate) fn number(&self, frame: u64) -> u32 {
        // 32 bits that wrap.
        (frame as u32).wrapping_add(self.bias)
    }
}

impl Current {
    /// The performance counter when that was.
    pub(crate) fn ticks(&self) -> i64 {
        time::ticks(self.stamp.at)
    }

    /// The frame of the clock's that a number near this one means.
    pub(crate) fn absolute(&self, number: u32) -> u64 {
        self.stamp.frame.saturating_add_signed(winusb::frame_distance(number, self.number).into())
    }
}

static TRACKINGS: Handles<Tracking> = Handles::new(Kind::Tracking, "no time is tracked under this handle");

/// What a `TimeTrackingHandle` stands for.
pub(crate) struct Tracking {
    /// Not kept alive: who forgets to stop a tracking does not hold the device.
    file: Weak<File>,
    generation: u32,
}

/// What is known of a tracked clock.
pub(crate) struct Tracked {
    pub(crate) current: Current,
    pub(crate) accuracy_microseconds: u32,
    pub(crate) generation: u32,
    /// The performance counter at the frame that was asked for.
    pub(crate) ticks_at_input: i64,
}

impl Tracking {
    /// StartTrackingForTimeSync.
    pub(crate) fn start(file: &Arc<File>) -> Result<HANDLE, Failure> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static GENERATIONS: AtomicU32 = AtomicU32::new(1);
        if !file.session().frames().known {
            return Err(Failure::new(win32::NOT_SUPPORTED, "this bus knows no frame numbers"));
        }
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        TRACKINGS.insert(Arc::new(Tracking { file: Arc::downgrade(file), generation }))
    }

    /// StopTrackingForTimeSync.
    pub(crate) fn stop(file: &Arc<File>, handle: HANDLE) -> Result<(), Failure> {
        Self::of(file, handle)?;
        TRACKINGS.remove(handle).map(drop).map_err(unknown)
    }

    /// GetCurrentFrameNumberAndQpc. Frame and microframe 0 ask for nothing.
    pub(crate) fn query(
        file: &Arc<File>,
        handle: HANDLE,
        frame: u32,
        microframe: u32,
    ) -> Result<Tracked, Failure> {
        let tracking = Self::of(file, handle)?;
        if microframe > 7 {
            return Err(Failure::argument("InputMicroFrameNumber is 0 to 7"));
        }
        let frames = file.session().frames();
        let current = frames.current();
        let ticks_at_input = match (frame, microframe) {
            (0, 0) => 0,
            _ => {
                let begins = frames.clock.time_of(current.absolute(frame)).0;
                time::ticks(begins + Duration::from_micros(125) * microframe)
            }
        };
        // In steps of a microframe, as documented.
        let steps = current.stamp.uncertainty.as_micros().div_ceil(125);
        let accuracy_microseconds = u32::try_from(steps * 125).unwrap_or(u32::MAX);
        Ok(Tracked { current, accuracy_microseconds, generation: tracking.generation, ticks_at_input })
    }

    /// The tracking of a handle; one of another device is none.
    fn of(file: &Arc<File>, handle: HANDLE) -> Result<Arc<Tracking>, Failure> {
        let tracking = TRACKINGS.get(handle).map_err(unknown)?;
        if std::ptr::eq(tracking.file.as_ptr(), Arc::as_ptr(file)) {
            Ok(tracking)
        } else {
            Err(Failure::argument("the time tracking handle is of another device"))
        }
    }
}

/// Unlike other handles, one of a tracking is a member of a struct, so a wrong one is a wrong argument.
fn unknown(failure: Failure) -> Failure {
    Failure { code: win32::INVALID_PARAMETER, ..failure }
}
