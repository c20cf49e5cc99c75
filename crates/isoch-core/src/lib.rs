//! The rules of isochronous USB, without I/O.
//!
//! Why a crate of its own, and why does it never read a clock? Four buses know different things: one
//! starts a transfer on a named frame and reports it, one does neither. What follows from those facts —
//! which frames a transfer used, what was lost, when to hand the next one over — must not depend on
//! which bus told them, and must be testable for billions of frames. So everything here is data in,
//! data out, and time is a parameter ([`Time`]), as in quinn-proto.
//!
//! | module | answers |
//! |---|---|
//! | [`rules`] | What do the descriptors say, what may be asked, which packets does a transfer have? |
//! | [`placer`] | The bus cannot start on a frame: what do I hand over, and when? |
//! | [`ledger`] | Which frames did each transfer use, how is that known, what was lost? |
//! | [`clock`] | Which frame is now, and how sure is that? |
//! | [`pacer`] | How many samples go into the next interval? |
//! | [`audio`] | Which sample formats does an audio device stream, and through which endpoint? |
//! | [`status`], [`block`], [`time`] | The words the others use. |
#![forbid(unsafe_code)]

pub mod audio;
pub mod block;
pub mod clock;
pub mod ledger;
pub mod pacer;
pub mod placer;
pub mod rules;
pub mod status;
pub mod time;

pub use block::{Block, Ending, Memory, Packet, Pieces};
pub use ledger::{Estimate, Report, Revision};
pub use status::{
    Capabilities, ClockSupport, FrameSource, Gap, GapCause, GapReport, Lengths, Outcome, PacketError,
    PacketStatus, Results, Start, StartSupport,
};
pub use time::{MICROFRAMES_PER_FRAME, Time};
