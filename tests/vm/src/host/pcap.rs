//! The packets that QEMU wrote down at the speaker: a pcap file of Linux' usbmon records (link type 220).

use std::time::Duration;

/// A packet as it left the host controller.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Since 1970, by the clock of the machine that QEMU runs on.
    pub(crate) at: Duration,
    /// With the direction in bit 7.
    pub(crate) endpoint: u8,
    pub(crate) is_isochronous: bool,
    /// Whether it is the device's answer; each packet is there twice.
    pub(crate) is_answer: bool,
    pub(crate) data: Vec<u8>,
}

const MAGIC: u32 = 0xa1b2_c3d4;
const USB_LINUX_MMAPPED: u32 = 220;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const USBMON_HEADER: usize = 64;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// All packets of a file. Its last record may be cut off.
pub(crate) fn read(file: &[u8]) -> Result<Vec<Packet>, String> {
    if (word(file, 0), word(file, 20)) != (Some(MAGIC), Some(USB_LINUX_MMAPPED)) {
        return Err(format!("the packets are in no format known here: link type {:?}", word(file, 20)));
    }
    let mut packets = Vec::new();
    let mut rest = file.get(FILE_HEADER..).unwrap_or_default();
    while let Some(captured) = word(rest, 8) {
        let end = RECORD_HEADER + captured as usize;
        let Some(record) = rest.get(..end) else { break };
        packets.extend(packet(record));
        rest = &rest[end..];
    }
    Ok(packets)
}

fn packet(record: &[u8]) -> Option<Packet> {
    let seconds = Duration::from_secs(u64::from(word(record, 0)?));
    let at = seconds + Duration::from_micros(u64::from(word(record, 4)?));
    let usbmon = record.get(RECORD_HEADER..)?;
    Some(Packet {
        at,
        endpoint: *usbmon.get(10)?,
        is_isochronous: *usbmon.get(9)? == 0,
        is_answer: *usbmon.get(8)? != b'S',
        data: usbmon.get(USBMON_HEADER..)?.to_vec(),
    })
}
