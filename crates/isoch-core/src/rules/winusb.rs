//! What `WinUsb_*Isoch*` accepts, on top of what USB allows.
//!
//! Why a second rule set? A program that was written for Windows depends on its refusals as much as on its
//! successes (libusb starts every stream with a call that it expects to fail). The C library and the Windows
//! bus ask the same functions here, so that both refuse the same calls, with the same code, for a reason
//! that can be read. One rule is one function.
//!
//! Microsoft documents most rules and hardly any error code. Pages are cited by their names under
//! learn.microsoft.com: "transfer-data-to-isochronous-endpoints" and "usb-client-driver-contract" (kernel side
//! of the same rules), `_URB_ISOCH_TRANSFER`, and the functions' own pages. A rule that only shipping programs
//! show says so.

use super::control::Direction;
use super::descriptors::Endpoint;
use super::layout;
use super::timing::{EndpointTiming, Speed, TimingError};
use crate::time::MICROFRAMES_PER_FRAME;

/// Packets in one transfer at full speed ("transfer-data-to-isochronous-endpoints").
pub const MAXIMUM_PACKETS_FULL_SPEED: u32 = 255;
/// Packets in one transfer from high speed on ("transfer-data-to-isochronous-endpoints").
pub const MAXIMUM_PACKETS_HIGH_SPEED: u32 = 1024;
/// A start frame is less than this many frames away from the current one (`USBD_ISO_START_FRAME_RANGE`).
pub const START_FRAME_RANGE: u32 = 1024;
/// How many frames ahead of the current one an "as soon as possible" transfer starts when nothing is pending.
/// Not documented: libusb's authors measured five empty frames between transfers that are not chained.
pub const ASAP_LEAD_FRAMES: u32 = 5;
/// How old a frame number may be for `WinUsb_GetAdjustedFrameNumber`, in milliseconds. Not documented.
pub const MAXIMUM_ADJUSTMENT_MILLISECONDS: u32 = 1000;

/// `ERROR_INVALID_PARAMETER`.
pub const ERROR_INVALID_PARAMETER: u32 = 87;
/// `ERROR_INVALID_USER_BUFFER`.
pub const ERROR_INVALID_USER_BUFFER: u32 = 1784;

/// Why WinUSB refuses a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The pipe is not isochronous.
    #[error("the pipe is not isochronous")]
    NotIsochronous,
    /// The endpoint's descriptors make no sense.
    #[error("the endpoint cannot be used: {0}")]
    Timing(#[from] TimingError),
    /// The endpoint reserves no bandwidth.
    #[error("MaximumBytesPerInterval is 0: select an alternate setting that reserves bandwidth")]
    NoBandwidth,
    /// The period is longer than a frame.
    #[error(
        "the endpoint is served every {period} microframes, but WinUSB supports 1, 2, 4 and 8: \
         select an alternate setting with a shorter interval, or use isoch's own interface"
    )]
    LongPeriod {
        /// Microframes from one interval to the next.
        period: u64,
    },
    /// A read of an OUT pipe, or a write to an IN pipe.
    #[error("the buffer is registered for a pipe of the other direction")]
    WrongDirection,
    /// Nothing to register.
    #[error("the buffer has no bytes")]
    EmptyBuffer,
    /// `Length` is 0.
    #[error("Length is 0: a transfer has at least one packet")]
    NoBytes,
    /// `NumberOfPackets` is 0.
    #[error("NumberOfPackets is 0: a transfer has at least one packet")]
    NoPackets,
    /// Beyond the registered buffer.
    #[error("Offset {offset} + Length {length} is beyond the registered buffer of {registered} bytes")]
    BeyondBuffer {
        /// `Offset`.
        offset: u32,
        /// `Length`.
        length: u32,
        /// Bytes registered.
        registered: u32,
    },
    /// A read that does not fill whole frames.
    #[error(
        "Length {length} is not a multiple of {bytes_per_frame} bytes, one frame of this pipe: reads take whole frames"
    )]
    PartialFrame {
        /// `Length`.
        length: u32,
        /// Bytes of a frame.
        bytes_per_frame: u64,
    },
    /// `NumberOfPackets` does not match `Length`.
    #[error("NumberOfPackets is {number_of_packets}, but Length is {expected} packets")]
    PacketCount {
        /// `NumberOfPackets`.
        number_of_packets: u32,
        /// `Length` divided by `MaximumBytesPerInterval`.
        expected: u32,
    },
    /// More packets than one transfer may have.
    #[error(
        "{packets} packets in one transfer, but at {speed} at most {maximum} are allowed: split the transfer"
    )]
    TooManyPackets {
        /// Packets of the transfer.
        packets: u32,
        /// The speed that sets the limit.
        speed: Speed,
        /// The limit.
        maximum: u32,
    },
    /// The start frame is too far from now.
    #[error(
        "frame {start} is {distance} frames from the current frame {current}: it must be less than 1024 away"
    )]
    StartFrameRange {
        /// The frame asked for.
        start: u32,
        /// The frame it was compared with.
        current: u32,
        /// Frames between them; negative: in the past.
        distance: i32,
    },
    /// `ContinueStream` on a pipe with nothing pending.
    #[error("ContinueStream is TRUE, but nothing is pending on the pipe: begin the stream with FALSE")]
    NoStream,
    /// `ContinueStream`, but the next frame is too near to be reached.
    #[error(
        "ContinueStream is TRUE, but frame {next} can no longer be reached: begin the stream again with FALSE"
    )]
    StreamBroken {
        /// The frame after the last pending transfer.
        next: u32,
    },
    /// A frame number that cannot be adjusted.
    #[error("the time stamp is {milliseconds} ms old: frame numbers are adjusted by 0 to 1000 ms")]
    TimeStampAge {
        /// Milliseconds since the time stamp; negative: in the future.
        milliseconds: i64,
    },
    /// A performance counter without frequency.
    #[error("the frequency of the performance counter is not positive")]
    CounterFrequency,
}

impl Refusal {
    /// What `GetLastError` says. Microsoft lists no codes for these functions; 87 is what programs log.
    #[must_use]
    pub fn win32_code(&self) -> u32 {
        match self {
            // A choice: seen in another implementation of the interface, not measured.
            Refusal::EmptyBuffer => ERROR_INVALID_USER_BUFFER,
            _ => ERROR_INVALID_PARAMETER,
        }
    }

    /// Whether an overlapped call is accepted first (`ERROR_IO_PENDING`) and refused by its completion.
    ///
    /// Everything that depends on time is. libusb needs it: it begins each stream with `ContinueStream` TRUE
    /// and recovers in the completion only.
    #[must_use]
    pub fn is_reported_by_completion(&self) -> bool {
        matches!(self, Refusal::StartFrameRange { .. } | Refusal::NoStream | Refusal::StreamBroken { .. })
    }
}

/// An isochronous pipe that WinUSB can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipe {
    direction: Direction,
    timing: EndpointTiming,
    packets_per_frame: u32,
}

/// What an accepted transfer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Byte offset in the registered buffer.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
    /// Packets: service intervals.
    pub packets: u32,
    /// Frames used, from a frame's first microframe on.
    pub frames: u32,
}

impl Pipe {
    /// The pipe of `endpoint` on a device connected at `speed`.
    ///
    /// # Errors
    /// [`Refusal::NotIsochronous`], [`Refusal::Timing`], [`Refusal::NoBandwidth`], [`Refusal::LongPeriod`].
    pub fn new(speed: Speed, endpoint: &Endpoint) -> Result<Pipe, Refusal> {
        if !endpoint.is_isochronous() {
            return Err(Refusal::NotIsochronous);
        }
        let timing = endpoint.timing(speed)?;
        // WINUSB_PIPE_INFORMATION_EX: the article "Send USB isochronous transfers" treats 0 as an error.
        if timing.bytes_per_interval() == 0 {
            return Err(Refusal::NoBandwidth);
        }
        let packets_per_frame = packets_per_frame(&timing)?;
        Ok(Pipe { direction: endpoint.direction(), timing, packets_per_frame })
    }

    /// Which way its data goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Its timing.
    #[must_use]
    pub fn timing(&self) -> &EndpointTiming {
        &self.timing
    }

    /// `MaximumBytesPerInterval` ("transfer-data-to-isochronous-endpoints": the maximum bytes per interval).
    #[must_use]
    pub fn maximum_bytes_per_interval(&self) -> u32 {
        self.timing.bytes_per_interval()
    }

    /// Packets in a frame: 8, 4, 2 or 1.
    #[must_use]
    pub fn packets_per_frame(&self) -> u32 {
        self.packets_per_frame
    }

    /// Bytes in a frame.
    #[must_use]
    pub fn bytes_per_frame(&self) -> u64 {
        u64::from(self.maximum_bytes_per_interval()) * u64::from(self.packets_per_frame)
    }

    /// The most packets of one transfer.
    #[must_use]
    pub fn maximum_packets(&self) -> u32 {
        // "transfer-data-to-isochronous-endpoints": 255 at full speed, 1024 at high speed and SuperSpeed.
        if self.timing.speed() <= Speed::Full {
            MAXIMUM_PACKETS_FULL_SPEED
        } else {
            MAXIMUM_PACKETS_HIGH_SPEED
        }
    }

    /// Frames that `packets` packets use.
    #[must_use]
    pub fn frames_used(&self, packets: u32) -> u32 {
        packets.div_ceil(self.packets_per_frame) // WinUsb_WriteIsochPipe: transfers start on frame boundaries
    }

    /// Checks the arguments of `WinUsb_WriteIsochPipe` and `WinUsb_WriteIsochPipeAsap` that do not depend on
    /// time.
    ///
    /// Any length is accepted: full packets, then a short last one. The pages say that it should be whole
    /// frames; shipping drivers send otherwise, and the rest of the last frame carries nothing.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check_write(&self, registered: u32, offset: u32, length: u32) -> Result<Transfer, Refusal> {
        self.check_direction(Direction::Out)?;
        self.check_range(registered, offset, length)?;
        self.check_packets(offset, length)
    }

    /// Checks the arguments of `WinUsb_ReadIsochPipe` and `WinUsb_ReadIsochPipeAsap` that do not depend on
    /// time.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check_read(
        &self,
        registered: u32,
        offset: u32,
        length: u32,
        number_of_packets: u32,
    ) -> Result<Transfer, Refusal> {
        self.check_direction(Direction::In)?;
        if number_of_packets == 0 {
            return Err(Refusal::NoPackets);
        }
        self.check_range(registered, offset, length)?;
        self.check_whole_frames(length)?;
        let transfer = self.check_packets(offset, length)?;
        self.check_number_of_packets(&transfer, number_of_packets)?;
        Ok(transfer)
    }

    /// Checks a write whose packets have lengths of their own, `number_of_packets` of them with `length` bytes together.
    /// WinUSB has no such call: what it says of other writes is applied. (Each packet's length is the layout's to check.)
    ///
    /// # Errors
    /// As [`check_write`](Self::check_write), and [`Refusal::NoPackets`].
    pub fn check_packet_lengths(
        &self,
        registered: u32,
        offset: u32,
        length: u32,
        number_of_packets: u32,
    ) -> Result<Transfer, Refusal> {
        self.check_direction(Direction::Out)?;
        if number_of_packets == 0 {
            return Err(Refusal::NoPackets);
        }
        // All of them may be empty.
        if length > 0 {
            self.check_range(registered, offset, length)?;
        }
        self.check_maximum(number_of_packets)?;
        let frames = self.frames_used(number_of_packets);
        Ok(Transfer { offset, length, packets: number_of_packets, frames })
    }

    fn check_direction(&self, direction: Direction) -> Result<(), Refusal> {
        if self.direction == direction { Ok(()) } else { Err(Refusal::WrongDirection) }
    }

    /// `Offset` counts in the registered buffer, and need not be aligned (BTstack's are not).
    fn check_range(&self, registered: u32, offset: u32, length: u32) -> Result<(), Refusal> {
        if length == 0 {
            return Err(Refusal::NoBytes);
        }
        match offset.checked_add(length) {
            Some(end) if end <= registered => Ok(()),
            _ => Err(Refusal::BeyondBuffer { offset, length, registered }),
        }
    }

    fn check_whole_frames(&self, length: u32) -> Result<(), Refusal> {
        // "transfer-data-to-isochronous-endpoints": the number of packets is a multiple of those in a frame.
        let bytes_per_frame = self.bytes_per_frame();
        if u64::from(length).is_multiple_of(bytes_per_frame) {
            return Ok(());
        }
        Err(Refusal::PartialFrame { length, bytes_per_frame })
    }

    fn check_number_of_packets(&self, transfer: &Transfer, number_of_packets: u32) -> Result<(), Refusal> {
        // WinUsb_ReadIsochPipe: the descriptor array describes Length bytes, one element a packet.
        if transfer.packets == number_of_packets {
            return Ok(());
        }
        Err(Refusal::PacketCount { number_of_packets, expected: transfer.packets })
    }

    fn check_packets(&self, offset: u32, length: u32) -> Result<Transfer, Refusal> {
        let packets = layout::packets_for_bytes(&self.timing, u64::from(length)).unwrap_or(0) as u32;
        self.check_maximum(packets)?;
        Ok(Transfer { offset, length, packets, frames: self.frames_used(packets) })
    }

    fn check_maximum(&self, packets: u32) -> Result<(), Refusal> {
        let maximum = self.maximum_packets();
        if packets > maximum {
            return Err(Refusal::TooManyPackets { packets, speed: self.timing.speed(), maximum });
        }
        Ok(())
    }
}

impl Transfer {
    /// What `*FrameNumber` becomes: the frame after the last (`WinUsb_WriteIsochPipe`). Frame numbers have
    /// 32 bits and wrap.
    #[must_use]
    pub fn frame_number_out(&self, frame_number: u32) -> u32 {
        frame_number.wrapping_add(self.frames)
    }
}

/// Packets in a frame, for periods that WinUSB supports.
fn packets_per_frame(timing: &EndpointTiming) -> Result<u32, Refusal> {
    // "usb-client-driver-contract": periods of 1, 2, 4 and 8 microframes are supported. The published formulas
    // divide by "interval", which is only right for the period, not for the bInterval that QueryPipeEx gives.
    // At full speed Windows is documented to serve every frame whatever bInterval says; no other bus does, so a
    // long period is refused there as well instead of meaning two things.
    let period = timing.period_microframes();
    timing
        .packets_per_frame()
        .filter(|_| period <= MICROFRAMES_PER_FRAME)
        .ok_or(Refusal::LongPeriod { period })
}

/// Checks the length of a buffer to register.
///
/// # Errors
/// [`Refusal::EmptyBuffer`].
pub fn check_registration(length: u32) -> Result<(), Refusal> {
    if length == 0 { Err(Refusal::EmptyBuffer) } else { Ok(()) }
}

/// Frames from `current` to `start`, negative if `start` is past. Frame numbers wrap after 49.7 days, so
/// only their difference means anything.
#[must_use]
pub fn frame_distance(start: u32, current: u32) -> i32 {
    start.wrapping_sub(current).cast_signed()
}

/// Checks that a start frame is near enough to be judged: less than 1024 frames from now, in either direction.
/// Being late is no refusal: late packets are dropped one by one.
///
/// # Errors
/// [`Refusal::StartFrameRange`].
pub fn check_start_frame(start: u32, current: u32) -> Result<(), Refusal> {
    let distance = frame_distance(start, current);
    // _URB_ISOCH_TRANSFER, StartFrame: |start - current| less than USBD_ISO_START_FRAME_RANGE.
    if distance.unsigned_abs() < START_FRAME_RANGE {
        return Ok(());
    }
    Err(Refusal::StartFrameRange { start, current, distance })
}

/// The frame in which an "as soon as possible" transfer starts when nothing is pending.
#[must_use]
pub fn asap_start(current: u32) -> u32 {
    current.wrapping_add(ASAP_LEAD_FRAMES)
}

/// The frame in which a transfer with `ContinueStream` TRUE starts. `next` is the frame after the last
/// pending transfer; `lead` is how many frames ahead of `current` the host controller needs.
///
/// # Errors
/// [`Refusal::NoStream`], [`Refusal::StreamBroken`].
pub fn continue_start(next: Option<u32>, current: u32, lead: u32) -> Result<u32, Refusal> {
    // WinUsb_WriteIsochPipeAsap: fails if the stream cannot go on without dropping one or more frames.
    let next = next.ok_or(Refusal::NoStream)?;
    if i64::from(frame_distance(next, current)) > i64::from(lead) {
        return Ok(next);
    }
    Err(Refusal::StreamBroken { next })
}

/// `WinUsb_GetAdjustedFrameNumber`: the frame number now, from one that was read when the performance counter
/// (`frequency` ticks a second) stood at `time_stamp`.
///
/// # Errors
/// [`Refusal::TimeStampAge`], [`Refusal::CounterFrequency`].
pub fn adjusted_frame_number(
    frame_number: u32,
    time_stamp: i64,
    now: i64,
    frequency: i64,
) -> Result<u32, Refusal> {
    if frequency <= 0 {
        return Err(Refusal::CounterFrequency);
    }
    // Whole milliseconds, towards zero. The limits are known from a measurement, not from the page.
    let elapsed = (i128::from(now) - i128::from(time_stamp)) * 1000 / i128::from(frequency);
    match u32::try_from(elapsed) {
        Ok(milliseconds) if milliseconds <= MAXIMUM_ADJUSTMENT_MILLISECONDS => {
            Ok(frame_number.wrapping_add(milliseconds))
        }
        _ => {
            let milliseconds = elapsed.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
            Err(Refusal::TimeStampAge { milliseconds })
        }
    }
}
