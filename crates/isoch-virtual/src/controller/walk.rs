//! The few facts the controller needs from a device's descriptors.
//!
//! Why a walk of its own? The controller needs sums (period in microframes, bytes per interval) and a yes
//! or no, not a view of every field. It is the only place here that reads descriptor bytes.

use isoch_core::rules::{Direction, Speed};

use crate::Descriptors;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Isochronous,
    Bulk,
    Interrupt,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    pub(super) address: u8,
    pub(super) kind: Kind,
    /// Bytes of one packet.
    pub(super) max_packet: u32,
    /// Bytes of one service interval (isochronous and interrupt).
    pub(super) payload: u32,
    /// Its service interval in microframes, a power of two. Bulk: how often it is tried.
    pub(super) period: u64,
}

impl Endpoint {
    pub(super) fn direction(&self) -> Direction {
        Direction::of_endpoint(self.address)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) interface: u8,
    pub(super) setting: u8,
    pub(super) endpoints: Vec<Endpoint>,
}

/// What the configuration descriptor says.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    pub(super) speed: Speed,
    pub(super) configuration: u8,
    pub(super) self_powered: bool,
    pub(super) settings: Vec<Setting>,
}

impl Walked {
    pub(super) fn setting(&self, interface: u8, setting: u8) -> Option<&Setting> {
        self.settings.iter().find(|s| s.interface == interface && s.setting == setting)
    }
}

impl Walked {
    /// The addresses of all endpoints of all settings.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = u8> {
        self.settings.iter().flat_map(|setting| &setting.endpoints).map(|endpoint| endpoint.address)
    }
}

/// Checks what a host checks when it enumerates, and collects the endpoints.
pub(super) fn walk(descriptors: &Descriptors) -> Result<Walked, String> {
    let device = &descriptors.device;
    if device.len() != 18 || device[0] != 18 || device[1] != 1 {
        return Err("the device descriptor is not 18 bytes of type 1".into());
    }
    let bytes = &descriptors.configuration;
    if bytes.len() < 9 || bytes[0] != 9 || bytes[1] != 2 {
        return Err("the configuration does not begin with 9 bytes of type 2".into());
    }
    let total = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
    if total != bytes.len() {
        return Err(format!("wTotalLength is {total} and the configuration has {} bytes", bytes.len()));
    }
    let mut walked = Walked {
        speed: descriptors.speed,
        configuration: bytes[5],
        self_powered: bytes[7] & 0x40 != 0,
        settings: Vec::new(),
    };
    let mut owed = 0;
    let mut rest = &bytes[9..];
    while !rest.is_empty() {
        let length = usize::from(rest[0]);
        if length < 2 || length > rest.len() {
            return Err(format!("a descriptor claims {length} bytes and {} are left", rest.len()));
        }
        let (descriptor, following) = rest.split_at(length);
        match descriptor[1] {
            4 => {
                if owed != 0 {
                    return Err(format!("an interface has {owed} endpoints fewer than bNumEndpoints says"));
                }
                owed = interface(&mut walked, descriptor)?;
            }
            5 => {
                let setting = walked.settings.last_mut().ok_or("an endpoint stands before any interface")?;
                let endpoint = endpoint(descriptors.speed, descriptor, following)?;
                let Some(less) = owed.checked_sub(1) else {
                    return Err("an interface has more endpoints than bNumEndpoints says".into());
                };
                owed = less;
                if let Some(endpoint) = endpoint {
                    if setting.endpoints.iter().any(|e| e.address == endpoint.address) {
                        return Err(format!("endpoint {:#04x} stands twice", endpoint.address));
                    }
                    setting.endpoints.push(endpoint);
                }
            }
            _ => {}
        }
        rest = following;
    }
    if owed != 0 {
        return Err(format!("an interface has {owed} endpoints fewer than bNumEndpoints says"));
    }
    for setting in &walked.settings {
        if walked.setting(setting.interface, 0).is_none() {
            return Err(format!("interface {} has no alternate setting 0", setting.interface));
        }
    }
    Ok(walked)
}

/// Returns how many endpoints it announces.
fn interface(walked: &mut Walked, descriptor: &[u8]) -> Result<u8, String> {
    if descriptor.len() < 9 {
        return Err("an interface descriptor is shorter than 9 bytes".into());
    }
    let (interface, setting) = (descriptor[2], descriptor[3]);
    if walked.setting(interface, setting).is_some() {
        return Err(format!("interface {interface}, setting {setting} stands twice"));
    }
    walked.settings.push(Setting { interface, setting, endpoints: Vec::new() });
    Ok(descriptor[4])
}

/// One endpoint; `None` for control endpoints, which the controller does not serve.
fn endpoint(speed: Speed, descriptor: &[u8], following: &[u8]) -> Result<Option<Endpoint>, String> {
    if descriptor.len() < 7 {
        return Err("an endpoint descriptor is shorter than 7 bytes".into());
    }
    let address = descriptor[2];
    let wrong = |what: &str| Err(format!("endpoint {address:#04x}: {what}"));
    if address & 0x0f == 0 || address & 0x70 != 0 {
        return wrong("this is no endpoint address");
    }
    let kind = match descriptor[3] & 3 {
        0 => return Ok(None),
        1 => Kind::Isochronous,
        2 => Kind::Bulk,
        _ => Kind::Interrupt,
    };
    if kind == Kind::Isochronous && speed == Speed::Low {
        return wrong("low-speed devices have no isochronous endpoints (USB 2.0 §5.6.3)");
    }
    let size = u16::from_le_bytes([descriptor[4], descriptor[5]]);
    let max_packet = u32::from(size & 0x7ff);
    let payload = match speed {
        Speed::Low | Speed::Full => {
            if max_packet > 1023 {
                return wrong("at full speed a packet has at most 1023 bytes (USB 2.0 §5.6.3)");
            }
            max_packet
        }
        Speed::High => {
            let more = u32::from((size >> 11) & 3);
            if max_packet > 1024 || more == 3 {
                return wrong("wMaxPacketSize is out of range (USB 2.0 §9.6.6)");
            }
            max_packet * (more + 1)
        }
        Speed::Super | Speed::SuperPlus if kind == Kind::Bulk => max_packet,
        Speed::Super | Speed::SuperPlus => match companion(following) {
            Some(payload) => payload,
            None => return wrong("it has no SuperSpeed companion (USB 3.2 §9.6.7)"),
        },
    };
    let interval = descriptor[6];
    let slow = matches!(speed, Speed::Low | Speed::Full);
    let period = match kind {
        Kind::Bulk => {
            if max_packet == 0 {
                return wrong("a bulk endpoint cannot carry empty packets only");
            }
            if slow { 8 } else { 1 }
        }
        // Frames, rounded down to a power of two as hosts do.
        Kind::Interrupt if slow => match interval.checked_ilog2() {
            Some(log) => 8 << log,
            None => return wrong("bInterval is 0"),
        },
        _ if !(1..=16).contains(&interval) => {
            return wrong("bInterval is outside 1 to 16 (USB 2.0 §9.6.6)");
        }
        _ if slow => 8 << (interval - 1),
        _ => 1 << (interval - 1),
    };
    Ok(Some(Endpoint { address, kind, max_packet, payload, period }))
}

/// Bytes per interval from the companion descriptors behind an endpoint.
fn companion(following: &[u8]) -> Option<u32> {
    let first = following.get(..6)?;
    if first[1] != 0x30 || first[0] < 6 {
        return None;
    }
    // SuperSpeedPlus isochronous companion (USB 3.2 §9.6.8): dwBytesPerInterval, if it would not fit.
    let second = following.get(usize::from(first[0])..).and_then(|rest| rest.get(..8));
    if let Some(&[8..=u8::MAX, 0x31, _, _, a, b, c, d]) = second {
        return Some(u32::from_le_bytes([a, b, c, d]));
    }
    Some(u32::from(u16::from_le_bytes([first[4], first[5]])))
}
