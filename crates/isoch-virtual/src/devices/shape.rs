//! What an isochronous endpoint of a vendor device carries, and how often.
//!
//! Why one type for three speeds? The same five numbers stand in different places at each speed
//! (`wMaxPacketSize` bits 12–11 at high speed, the companion at SuperSpeed), and it is exactly this that
//! programs get wrong. Devices take the numbers as gadget zero's module parameters name them, and this
//! file puts them where the speed wants them.

use isoch_core::rules::Speed;

use super::descriptors::{Configuration, Endpoint};
use super::parameters::{BuildError, Parameters};

/// The isochronous endpoints of a device: `None` fields take what is usual at the speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeOptions {
    /// How the device connects: [`Speed::Full`], [`Speed::High`] or [`Speed::Super`].
    pub speed: Speed,
    /// `bInterval`, 1 to 16: 2^(n−1) frames at full speed, microframes above.
    pub interval: Option<u8>,
    /// Bytes of one transaction: 1 to 1023 at full speed, to 1024 above.
    pub packet: Option<u16>,
    /// Additional transactions (high speed) or bursts (SuperSpeed) per interval, 0 to 2.
    pub mult: u8,
    /// `bMaxBurst`, 0 to 15 (SuperSpeed).
    pub burst: u8,
    /// `wBytesPerInterval` (SuperSpeed), if less than the other numbers allow.
    pub bytes: Option<u16>,
}

impl ShapeOptions {
    /// What is usual at this speed.
    #[must_use]
    pub const fn new(speed: Speed) -> Self {
        ShapeOptions { speed, interval: None, packet: None, mult: 0, burst: 0, bytes: None }
    }

    pub(crate) fn from_parameters(parameters: &Parameters<'_>, speed: Speed) -> Result<Self, BuildError> {
        let speeds = [("full", Speed::Full), ("high", Speed::High), ("super", Speed::Super)];
        Ok(ShapeOptions {
            speed: parameters.choice("speed", &speeds)?.unwrap_or(speed),
            interval: parameters.number("interval", 1..=16)?,
            packet: parameters.number("packet", 1..=1024)?,
            mult: parameters.number("mult", 0..=2)?.unwrap_or(0),
            burst: parameters.number("burst", 0..=15)?.unwrap_or(0),
            bytes: parameters.number("bytes", 1..=49152)?,
        })
    }
}

/// Checked [`ShapeOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) speed: Speed,
    pub(crate) interval: u8,
    pub(crate) packet: u16,
    mult: u8,
    burst: u8,
    /// Bytes per service interval.
    pub(crate) bytes: u16,
}

impl Shape {
    pub(crate) fn new(options: ShapeOptions, interval: u8) -> Result<Self, BuildError> {
        let ShapeOptions { speed, mult, burst, .. } = options;
        let interval = options.interval.unwrap_or(interval);
        let largest = match speed {
            Speed::Full => 1023,
            Speed::High | Speed::Super => 1024,
            Speed::Low | Speed::SuperPlus => {
                return combination("speed", "emulated devices connect at full, high or super speed".into());
            }
        };
        let packet = options.packet.unwrap_or(largest);
        if !(1..=16).contains(&interval) {
            return combination(
                "interval",
                format!("bInterval {interval} is not in 1 to 16: USB 2.0 §9.6.6"),
            );
        }
        if packet > largest {
            let limit =
                format!("packet={packet} is more than the {largest} bytes of this speed's transactions");
            return combination("packet", limit);
        }
        if speed == Speed::Full && mult > 0 {
            return combination("mult", "full speed has one transaction per interval: leave mult out".into());
        }
        if speed != Speed::Super && burst > 0 {
            return combination("burst", "only speed=super has bursts: leave burst out".into());
        }
        if speed != Speed::Super && options.bytes.is_some() {
            return combination("bytes", "only speed=super has wBytesPerInterval: use packet instead".into());
        }
        if mult > 2 || burst > 15 {
            return combination("mult", "mult is at most 2 and burst at most 15".into());
        }
        // USB 2.0 table 9-14: what takes two transactions must not fit into one, nor three into two.
        let least = match (speed, mult) {
            (Speed::High, 1) => 513,
            (Speed::High, 2) => 683,
            _ => 1,
        };
        if packet < least {
            let limit =
                format!("mult={mult} needs packet={least} or more (USB 2.0 table 9-14), not {packet}");
            return combination("packet", limit);
        }
        // USB 3.2 §9.6.6: wMaxPacketSize is 1024 where there is more than one packet.
        if speed == Speed::Super && (mult > 0 || burst > 0) && packet != 1024 {
            return combination("packet", "mult and burst need packet=1024 (USB 3.2 §9.6.6)".into());
        }
        if mult > 0 && burst == 0 && speed == Speed::Super {
            return combination("mult", "at SuperSpeed mult needs burst=1 or more (USB 3.2 §9.6.7)".into());
        }
        let most = packet * (u16::from(mult) + 1) * (u16::from(burst) + 1);
        let bytes = options.bytes.unwrap_or(most);
        if bytes == 0 || bytes > most {
            return combination(
                "bytes",
                format!("bytes={bytes} is not in 1 to {most}, what the packets hold"),
            );
        }
        Ok(Shape { speed, interval, packet, mult, burst, bytes })
    }

    /// Appends the isochronous endpoint, and its companion at SuperSpeed.
    pub(crate) fn append(self, configuration: Configuration, address: u8) -> Configuration {
        let transactions = if self.speed == Speed::High { u16::from(self.mult) << 11 } else { 0 };
        let endpoint = Endpoint::isochronous(address, self.packet | transactions, self.interval);
        let configuration = configuration.endpoint(endpoint);
        if self.speed == Speed::Super {
            configuration.companion(self.burst, self.mult, self.bytes)
        } else {
            configuration
        }
    }

    /// Appends a bulk endpoint of the speed's packet size, and its companion at SuperSpeed.
    pub(crate) fn append_bulk(self, configuration: Configuration, address: u8) -> Configuration {
        let configuration = configuration.endpoint(Endpoint::bulk(address, self.bulk_packet()));
        if self.speed == Speed::Super { configuration.companion(0, 0, 0) } else { configuration }
    }

    /// Bytes of a bulk packet (USB 2.0 §5.8.3, USB 3.2 §8.12.1.2).
    pub(crate) const fn bulk_packet(self) -> u16 {
        match self.speed {
            Speed::Full => 64,
            Speed::High => 512,
            _ => 1024,
        }
    }

    /// Microframes from one service interval to the next.
    pub(crate) const fn period(self) -> u64 {
        let intervals = 1 << (self.interval - 1);
        if matches!(self.speed, Speed::Full) { intervals * 8 } else { intervals }
    }

    /// `bcdUSB` of a device of this speed.
    pub(crate) const fn usb(self) -> u16 {
        if matches!(self.speed, Speed::Super) { 0x0300 } else { 0x0200 }
    }
}

fn combination<T>(parameter: &'static str, sentence: String) -> Result<T, BuildError> {
    Err(BuildError::Combination { parameter, sentence })
}
