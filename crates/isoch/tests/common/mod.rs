//! What the tests of the API share: a bus with one device, both directions of an endpoint as one type, and
//! the device's side of the wire.
#![allow(dead_code, unreachable_pub)] // every test file uses a part of it

use std::cell::Cell;
use std::ops::Range;

use isoch::emulated::profile::Profile;
use isoch::{
    AlternateSetting, Block, BusClock, Completion, Direction, EndpointDirection, Error, In, IsochEndpoint,
    Out, Rejected, Start, TransferId, VirtualBus,
};

/// The name that the device of a rig is plugged in under.
pub const DEVICE: &str = "device";
/// Bytes of a packet of the article's device, which has one in each microframe.
pub const PACKET: usize = 1024;
pub const PACKETS_PER_FRAME: usize = 8;

/// A bus with this profile and clock, some frames after its beginning.
pub fn bus(profile: &str, clock: BusClock) -> VirtualBus {
    let profile = Profile::named(profile).unwrap_or_else(|| panic!("there is a profile {profile}"));
    let bus = VirtualBus::builder().clock(clock).profile(profile).build();
    if clock != BusClock::Real {
        bus.advance(100).unwrap();
    }
    bus
}

/// A bus with one device of a built-in kind.
pub fn bus_with(profile: &str, clock: BusClock, kind: &str, parameters: &[(&str, &str)]) -> VirtualBus {
    let bus = bus(profile, clock);
    bus.plug_kind(DEVICE, kind, parameters).unwrap();
    bus.log(DEVICE, |log| {
        log.keep_bytes(true);
        log.set_capacity(1 << 17);
    })
    .unwrap();
    bus
}

/// The two directions of the article's device and of others with endpoints 1 OUT and IN.
pub trait Side: EndpointDirection + Sized {
    const ADDRESS: u8;

    fn open_at(setting: &AlternateSetting, address: u8) -> Result<IsochEndpoint<Self>, Error>;

    fn open(setting: &AlternateSetting) -> IsochEndpoint<Self> {
        Self::open_at(setting, Self::ADDRESS).unwrap()
    }
}

impl Side for Out {
    const ADDRESS: u8 = 0x01;
    fn open_at(setting: &AlternateSetting, address: u8) -> Result<IsochEndpoint<Out>, Error> {
        setting.isoch_out(address)
    }
}

impl Side for In {
    const ADDRESS: u8 = 0x81;
    fn open_at(setting: &AlternateSetting, address: u8) -> Result<IsochEndpoint<In>, Error> {
        setting.isoch_in(address)
    }
}

/// A bus with the article's device, and one of its endpoints open.
pub struct Rig<D: Side> {
    pub bus: VirtualBus,
    pub setting: AlternateSetting,
    pub endpoint: IsochEndpoint<D>,
    serial: Cell<u32>,
}

impl<D: Side> Rig<D> {
    pub fn new(profile: &str, clock: BusClock) -> Self {
        let bus = bus_with(profile, clock, "article", &[]);
        let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
        let endpoint = D::open(&setting);
        Self::of(bus, setting, endpoint)
    }

    pub fn of(bus: VirtualBus, setting: AlternateSetting, endpoint: IsochEndpoint<D>) -> Self {
        Rig { bus, setting, endpoint, serial: Cell::new(0) }
    }

    /// The frame that is running, by the endpoint's clock.
    pub fn now(&self) -> u64 {
        self.endpoint.clock().now().frame
    }

    /// The next completion; time goes on for it, whatever moves time.
    pub fn complete(&self) -> Completion {
        complete(&self.bus, &self.endpoint)
    }

    /// Submits a block whose packets are recognisable.
    pub fn submit(&self, mut block: Block, start: Start) -> Result<TransferId, Rejected> {
        self.serial.set(self.serial.get() + 1);
        mark(&mut block, self.serial.get());
        self.endpoint.submit(block, start)
    }

    pub fn complete_all(&self, count: usize) -> Vec<Completion> {
        (0..count).map(|_| self.complete()).collect()
    }

    /// What passed on the wire of this endpoint, as the device saw it.
    pub fn wire(&self) -> Vec<Wire> {
        wire(&self.bus, D::ADDRESS)
    }
}

/// The next completion; a manual clock is advanced for it.
pub fn complete<D: EndpointDirection>(bus: &VirtualBus, endpoint: &IsochEndpoint<D>) -> Completion {
    if bus.bus_clock() != BusClock::Manual {
        return endpoint.next_completion().wait().unwrap();
    }
    for _ in 0..10_000 {
        match endpoint.next_completion().wait() {
            Err(Error::ClockStopped) => bus.advance(1).unwrap(),
            done => return done.unwrap(),
        }
    }
    panic!("nothing completes");
}

/// A packet on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    pub microframe: u64,
    pub bytes: Vec<u8>,
}

pub fn wire(bus: &VirtualBus, endpoint: u8) -> Vec<Wire> {
    bus.log(DEVICE, |log| {
        assert_eq!(log.overwritten(), 0, "the log holds everything");
        let of_endpoint = log.entries().filter(|entry| entry.endpoint == endpoint);
        let wire = |entry: isoch::emulated::controller::Logged<'_>| Wire {
            microframe: entry.microframe,
            bytes: entry.bytes.unwrap_or_default().to_vec(),
        };
        of_endpoint.map(wire).collect()
    })
    .unwrap()
}

/// The microframes of these frames.
pub fn microframes(frames: Range<u64>) -> Vec<u64> {
    (frames.start * 8..frames.end * 8).collect()
}

/// Makes each packet recognisable: it begins with the serial number of its transfer and its own number.
pub fn mark(block: &mut Block, serial: u32) {
    for index in 0..block.packets().len() {
        let bytes = block.packet_mut(index);
        let tail = serial.wrapping_mul(31).wrapping_add(index as u32) as u8;
        bytes.fill(tail);
        let header: Vec<u8> = [serial.to_le_bytes(), (index as u32).to_le_bytes()].concat();
        let length = bytes.len().min(header.len());
        bytes[..length].copy_from_slice(&header[..length]);
    }
}

/// The bytes of each packet of a block.
pub fn packet_bytes(block: &Block) -> Vec<Vec<u8>> {
    let bytes = block.bytes();
    let of = |packet: &isoch::Packet| {
        bytes[packet.offset as usize..(packet.offset + packet.length) as usize].to_vec()
    };
    block.packets().iter().map(of).collect()
}

pub fn is_out<D: EndpointDirection>() -> bool {
    D::DIRECTION == Direction::Out
}
