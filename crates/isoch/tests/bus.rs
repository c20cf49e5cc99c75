//! The bus around isochronous endpoints: addresses, other transfers, devices that come and go, clocks, and sinks
//! that do what they should not.

mod common;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Barrier, Mutex, Weak};
use std::time::{Duration, Instant};

use common::{DEVICE, PACKET, Rig, Side, bus, bus_with};
use isoch::emulated::{BulkIn, BulkOut, BusTime, Descriptors, Device as EmulatedDevice, devices};
use isoch::rules::Setup;
use isoch::{
    BusClock, Completion, CompletionSink, Device, Error, HotplugEvent, In, IsochEndpoint, Layout, Out,
    Outcome, Start, VirtualBus,
};

const VENDOR_OUT: u8 = 0x40;
const VENDOR_IN: u8 = 0xc0;
const SOON: Duration = Duration::from_millis(20);

fn setup(request_type: u8, request: u8, value: u16, index: u16, length: u16) -> Setup {
    Setup { request_type, request, value, index, length }
}

/// An open device of a built-in kind on a bus of its own.
fn device(kind: &str, parameters: &[(&str, &str)]) -> (VirtualBus, Device) {
    let bus = bus_with("exact", BusClock::OnWait, kind, parameters);
    let device = bus.open(DEVICE).unwrap();
    (bus, device)
}

#[test]
fn control_requests() {
    let (bus, device) = device("source-sink", &[]);
    let descriptor = device.control_in(setup(0x80, 6, 0x0100, 0, 18)).wait().unwrap();
    assert_eq!(descriptor[8..12], [0x25, 0x05, 0xa0, 0xa4]);
    let short = device.control_in(setup(0x80, 6, 0x0200, 0, 9)).wait().unwrap();
    assert_eq!(short, device.configuration_bytes()[..9]);

    let stored: Vec<u8> = (0..4096_u32).map(|index| index as u8).collect();
    assert_eq!(device.control_out(setup(VENDOR_OUT, 0x5b, 0, 0, 0), &stored).wait().unwrap(), 4096);
    assert_eq!(device.control_in(setup(VENDOR_IN, 0x5c, 0, 0, 4096)).wait().unwrap(), stored);
    assert_eq!(device.control_in(setup(VENDOR_IN, 0x5c, 0, 0, 5)).wait().unwrap(), stored[..5]);

    let unknown = device.control_in(setup(VENDOR_IN, 0x77, 0, 0, 8)).wait();
    assert!(matches!(unknown, Err(Error::Stall)));
    let refused = device.control_out(setup(VENDOR_OUT, 0x77, 0, 0, 0), &[]).wait_timeout(SOON);
    assert!(matches!(refused, Err(Error::Stall)));
    let long = device.control_out(setup(VENDOR_OUT, 0x5b, 0, 0, 0), &vec![0; 65_536]).wait();
    assert!(matches!(long, Err(Error::Argument(_))), "nothing is cut off silently");

    bus.unplug(DEVICE).unwrap();
    assert!(matches!(device.control_in(setup(0x80, 6, 0x0100, 0, 18)).wait(), Err(Error::Gone)));
}

#[test]
fn an_interface_goes_back_to_setting_0_when_it_is_let_go() {
    let (_bus, device) = device("loopback", &[]);
    let setting = || device.control_in(setup(0x81, 10, 0, 0, 1)).wait().unwrap();
    assert_eq!(setting(), [0]);
    let endpoint = device.interface(0).unwrap().alternate_setting(1).unwrap().isoch_out(0x02).unwrap();
    assert_eq!(setting(), [1], "an endpoint keeps its setting");
    drop(endpoint);
    assert_eq!(setting(), [0]);
}

#[test]
fn bulk_goes_round_the_loopback() {
    let (_bus, device) = device("loopback", &[]);
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let (out, input) = (setting.bulk_out(0x01).unwrap(), setting.bulk_in(0x81).unwrap());
    let bytes: Vec<u8> = (0..3 * 512 + 100_u32).map(|index| index as u8).collect();
    assert_eq!(out.write(bytes.clone()).wait().unwrap(), bytes.len());
    assert_eq!(input.read(4096).wait().unwrap(), bytes, "a short packet ends it");
    assert_eq!(out.write(Vec::new()).wait().unwrap(), 0);
    assert_eq!(input.read(512).wait().unwrap(), [], "so does an empty one");

    // Several wait in line.
    let reads = [input.read(512), input.read(512)];
    let writes = [out.write(vec![1; 512]), out.write(vec![2; 512])];
    assert!(writes.into_iter().all(|write| write.wait().unwrap() == 512));
    assert_eq!(reads.map(|read| read.wait().unwrap()[0]), [1, 2]);

    for (wrong, direction) in [(0x02, "isochronous"), (0x81, "other direction"), (0x05, "not there")] {
        let refused = setting.bulk_out(wrong);
        assert!(matches!(refused, Err(Error::NoSuchEndpoint { .. })), "{direction}");
    }
    assert!(matches!(setting.interrupt_in(0x81), Err(Error::NoSuchEndpoint { .. })));
}

#[test]
fn a_transfer_that_times_out_or_is_dropped_takes_nothing() {
    let (bus, device) = device("loopback", &[]);
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let (out, input) = (setting.bulk_out(0x01).unwrap(), setting.bulk_in(0x81).unwrap());
    let before = bus.frame();
    assert!(matches!(input.read(512).wait_timeout(SOON), Err(Error::TimedOut)));
    assert_eq!(bus.frame(), before + 20, "of the bus's time");
    drop(input.read(512));
    out.write(vec![3; 100]).wait().unwrap();
    assert_eq!(input.read(512).wait().unwrap(), [3; 100]);
    // The queue of the device is full, so writing waits.
    let many = out.write(vec![4; 512 * 65]);
    assert!(matches!(many.wait_timeout(SOON), Err(Error::TimedOut)));
    assert_eq!(input.read(512 * 64).wait().unwrap().len(), 512 * 64);
}

#[test]
fn bulk_and_interrupt_of_the_instrument() {
    let (_bus, device) = device("sample", &[("status", "5")]);
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let log = setting.bulk_in(0x82).unwrap().read(512).wait().unwrap();
    assert!(String::from_utf8(log).unwrap().contains("started"));
    let status = setting.interrupt_in(0x83).unwrap();
    let samples: Vec<u32> = (0..3)
        .map(|_| {
            let report = status.read(12).wait().unwrap();
            assert_eq!((report.len(), report[10]), (12, 1), "it runs");
            u32::from_le_bytes(report[..4].try_into().unwrap())
        })
        .collect();
    assert_eq!(samples[1] - samples[0], 5000, "a million a second, every 5 ms");
    assert_eq!(samples[2] - samples[1], 5000);
}

#[test]
fn bulk_of_gadget_zero() {
    for speed in ["full", "high", "super"] {
        let (bus, device) = device("source-sink", &[("speed", speed), ("pattern", "1")]);
        let setting = device.interface(0).unwrap().alternate_setting(0).unwrap();
        let received = setting.bulk_in(0x81).unwrap().read(3000).wait().unwrap();
        assert_eq!(received.len(), 3000);
        assert!(received[..63].iter().zip(0..).all(|(byte, index)| *byte == index));
        assert_eq!(setting.bulk_out(0x01).unwrap().write(received).wait().unwrap(), 3000);
        let facts = bus.facts(DEVICE).unwrap();
        assert!(facts.iter().any(|fact| fact.1 == 3000), "{facts:?}");
    }
}

/// A loopback whose bulk endpoints answer with STALL until they are told otherwise; and that tells when it is gone.
struct Stubborn {
    inner: Box<dyn EmulatedDevice>,
    stalls: Arc<Mutex<bool>>,
}

impl Stubborn {
    fn new() -> (Self, Arc<Mutex<bool>>) {
        let stalls = Arc::new(Mutex::new(true));
        let inner = devices::build("loopback", &[]).unwrap();
        (Stubborn { inner, stalls: Arc::clone(&stalls) }, stalls)
    }
}

impl EmulatedDevice for Stubborn {
    fn descriptors(&self) -> &Descriptors {
        self.inner.descriptors()
    }
    fn bulk_out(&mut self, endpoint: u8, data: &[u8], now: BusTime) -> BulkOut {
        match *self.stalls.lock().unwrap() {
            true => BulkOut::Stall,
            false => self.inner.bulk_out(endpoint, data, now),
        }
    }
    fn bulk_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> BulkIn {
        match *self.stalls.lock().unwrap() {
            true => BulkIn::Stall,
            false => self.inner.bulk_in(endpoint, buffer, now),
        }
    }
}

#[test]
fn a_halted_endpoint_stalls_until_its_halt_is_cleared() {
    let bus = bus("exact", BusClock::OnWait);
    let (stubborn, stalls) = Stubborn::new();
    bus.plug(DEVICE, Box::new(stubborn)).unwrap();
    let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
    let (out, input) = (setting.bulk_out(0x01).unwrap(), setting.bulk_in(0x81).unwrap());
    let both = [out.write(vec![1; 10]), out.write(vec![2; 10])];
    for write in both {
        assert!(matches!(write.wait(), Err(Error::Stall)));
    }
    *stalls.lock().unwrap() = false;
    assert!(matches!(out.write(vec![3; 10]).wait(), Err(Error::Stall)), "still halted");
    out.clear_halt().wait().unwrap();
    assert_eq!(out.write(vec![4; 10]).wait().unwrap(), 10);
    assert_eq!(input.read(64).wait().unwrap(), [4; 10], "the other endpoint was never halted");
    // A host can halt an endpoint too (SET_FEATURE(ENDPOINT_HALT)).
    let device = setting.device();
    device.control_out(setup(0x02, 3, 0, 0x81, 0), &[]).wait().unwrap();
    assert!(matches!(input.read(64).wait(), Err(Error::Stall)));
    input.clear_halt().wait().unwrap();
    assert!(matches!(input.read(64).wait_timeout(SOON), Err(Error::TimedOut)));
}

#[test]
fn what_is_under_way_ends_when_the_device_goes() {
    let (bus, device) = device("loopback", &[]);
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let read = setting.bulk_in(0x81).unwrap().read(512);
    bus.unplug(DEVICE).unwrap();
    assert!(matches!(read.wait(), Err(Error::Gone)));
    assert!(matches!(setting.bulk_in(0x81).unwrap().read(1).wait(), Err(Error::Gone)));
    assert!(matches!(setting.isoch_out(0x02), Err(Error::Gone)));
    // Another device of the same name is another device.
    bus.plug_kind(DEVICE, "loopback", &[]).unwrap();
    assert!(matches!(device.control_in(setup(0x80, 6, 0x0100, 0, 18)).wait(), Err(Error::Gone)));
    let again = bus.open(DEVICE).unwrap();
    drop((setting, device));
    again.interface(0).unwrap().alternate_setting(1).unwrap();
}

#[test]
fn a_watch_tells_of_what_comes_and_goes() {
    let bus = bus("exact", BusClock::OnWait);
    let watch = bus.watch();
    assert!(matches!(watch.next_event().wait(), Err(Error::ClockStopped)), "nothing will ever happen");
    bus.plug_kind("now", "article", &[]).unwrap();
    let frame = bus.frame();
    bus.plug_at(frame + 50, "later", devices::build("loopback", &[]).unwrap());
    let arrivals: Vec<_> = (0..2)
        .map(|_| match watch.next_event().wait().unwrap() {
            HotplugEvent::Arrived(information) => (information.address, bus.frame()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(arrivals, [("virtual:now".into(), frame), ("virtual:later".into(), frame + 50)]);
    assert!(matches!(bus.plug_kind("now", "article", &[]), Err(Error::Busy { .. })), "the name is taken");
    bus.unplug("now").unwrap();
    assert_eq!(watch.next_event().wait().unwrap(), HotplugEvent::Left { address: "virtual:now".into() });
    assert!(matches!(bus.unplug("now"), Err(Error::NotFound { .. })));
    let missing = bus.open("now").unwrap_err().to_string();
    assert!(missing.contains("later"), "{missing}");
}

#[test]
fn a_device_plugged_in_by_another_thread_is_waited_for() {
    let bus = VirtualBus::new();
    let watch = bus.watch();
    let other = bus.clone();
    let plugger = std::thread::spawn(move || other.plug_kind(DEVICE, "article", &[]).unwrap());
    assert!(matches!(watch.next_event().wait(), Ok(HotplugEvent::Arrived(_))));
    bus.open(DEVICE).unwrap();
    plugger.join().unwrap();
}

/// A bus file in a directory of its own.
struct BusFile {
    directory: PathBuf,
}

impl BusFile {
    fn new(test: &str, text: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("isoch-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("bus.toml"), text).unwrap();
        BusFile { directory }
    }

    fn address(&self, rest: &str) -> String {
        format!("virtual:{}{rest}", self.directory.join("bus.toml").display())
    }
}

impl Drop for BusFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_bus_file_makes_one_bus() {
    let file = BusFile::new(
        "one",
        "clock = \"on-wait\"\n[[device]]\nkind = \"speaker\"\n[[device]]\nname = \"ear\"\nkind = \"microphone\"\n",
    );
    let first = isoch::open(&file.address("")).unwrap();
    assert_eq!(
        first.descriptor().product,
        isoch::open(&file.address("/speaker")).unwrap().descriptor().product
    );
    let ear = isoch::open(&file.address("/ear")).unwrap();
    first.clock().wait_for(77).unwrap();
    assert_eq!((first.clock().now().frame, ear.clock().now().frame), (77, 77));
    let listed = isoch::list();
    assert!(listed.iter().any(|information| information.address.ends_with("bus.toml/ear")));
    let missing = isoch::open(&file.address("/nose")).unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }));
    assert!(missing.to_string().contains("speaker and ear"), "{missing}");
    let parameter = isoch::open(&file.address("?device_ppm=5")).unwrap_err().to_string();
    assert!(parameter.contains("belongs into the file"), "{parameter}");
    let clock = isoch::open(&file.address("?clock=manual")).unwrap_err().to_string();
    assert!(clock.contains("in use"), "{clock}");
}

#[test]
fn a_device_of_a_file_that_comes_later_is_waited_for() {
    let file = BusFile::new(
        "later",
        "clock = \"on-wait\"\n[[device]]\nkind = \"article\"\n[[device]]\nname = \"late\"\nkind = \"speaker\"\nplug_at = 500\n",
    );
    assert!(matches!(isoch::open(&file.address("/late")), Err(Error::NotFound { .. })));
    let early = isoch::open_when_present(&file.address("/late"), Duration::from_millis(400));
    assert!(matches!(early, Err(Error::NotFound { .. })));
    let watch = isoch::watch(&file.address("")).unwrap();
    let late = isoch::open_when_present(&file.address("/late"), Duration::from_secs(1)).unwrap();
    assert_eq!(late.clock().now().frame, 500);
    assert_eq!(late.information().address, file.address("/late"));
    // What a watch names can be opened.
    let Ok(HotplugEvent::Arrived(information)) = watch.next_event().wait() else { panic!("it arrived") };
    let arrived: HashSet<String> = std::iter::from_fn(|| watch.next_event().now())
        .filter_map(|event| match event {
            HotplugEvent::Arrived(information) => Some(information.address),
            _ => None,
        })
        .chain([information.address])
        .collect();
    for address in arrived {
        isoch::open(&address).unwrap();
    }
}

#[test]
fn bus_files_with_mistakes_say_where() {
    for (name, text, expected) in [
        ("syntax", "[[device]\n", ":1:"),
        ("kind", "[[device]]\nkind = \"spekaer\"\n", "speaker"),
        ("profile", "profile = \"uhci\"\n[[device]]\nkind = \"speaker\"\n", "usbfs-uhci"),
        ("none", "clock = \"manual\"\n", "no device"),
    ] {
        let file = BusFile::new(name, text);
        let error = isoch::open(&file.address("")).unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    let error = isoch::open("virtual:/nowhere/at/all.toml").unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn addresses_with_mistakes_say_what_to_write() {
    for (address, expected) in [
        ("", "virtual:speaker"),
        ("speaker", "virtual:speaker"),
        ("serial:1234:5678", "the buses here are"),
        #[cfg(target_os = "linux")]
        ("usb:1234", "usb:BUS-PORT"),
        #[cfg(target_os = "linux")]
        ("usb:ffff:ffff", "plugged in: "),
        #[cfg(target_os = "linux")]
        ("usb:ffff:ffff?memory=fast", "`mmap` or `copy`"),
        #[cfg(target_os = "linux")]
        ("usb:ffff:ffff?priority=100", "1 to 99"),
        #[cfg(target_os = "linux")]
        ("usb:ffff:ffff?witness=me", "`usbmon`"),
        #[cfg(target_os = "linux")]
        ("usb:ffff:ffff?speed=fast", "no parameter `speed`"),
        ("virtual:", "names no device"),
        ("virtual:mistakes/", "names no device"),
        ("virtual:mistakes/spekaer", "speaker"),
        ("virtual:no-mistake/speaker?", ""),
        ("virtual:mistakes/speaker?clock", "clock=VALUE"),
        ("virtual:mistakes/speaker?clock=fast", "on-wait"),
        ("virtual:mistakes/speaker?clock=manual&clock=manual", "twice"),
        ("virtual:mistakes/speaker?as=uhci", "usbfs-uhci"),
        ("virtual:mistakes/speaker?sof_ppm=fast", "parts per million"),
        ("virtual:mistakes/speaker?sof_ppm=NaN", "parts per million"),
        ("virtual:mistakes/speaker?sof_ppm=1e9", "parts per million"),
        ("virtual:mistakes/speaker?volume=11", "device_ppm"),
        ("virtual:mistakes/speaker?rates=loud", "rates"),
        ("virtual:mistakes/left?kind=spekaer", "speaker"),
    ] {
        match isoch::open(address) {
            Ok(_) => assert!(expected.is_empty(), "{address}"),
            Err(error) => {
                assert!(matches!(error, Error::Address { .. } | Error::NotFound { .. }), "{error:?}");
                let text = error.to_string();
                assert!(!expected.is_empty() && text.contains(expected), "{address}: {text}");
                assert!(text.contains(address), "{text}");
            }
        }
    }
}

#[test]
fn a_bus_by_name_is_the_same_for_all_and_ends_with_its_last_user() {
    let left = isoch::open("virtual:twins/left?kind=speaker&clock=on-wait").unwrap();
    left.clock().wait_for(42).unwrap();
    let right = isoch::open("virtual:twins/right?kind=speaker").unwrap();
    assert_eq!(right.clock().now().frame, 42);
    for other in ["clock=real", "as=winusb", "sof_ppm=3"] {
        let error = isoch::open(&format!("virtual:twins/left?{other}")).unwrap_err().to_string();
        assert!(error.contains("MYBUS"), "{error}");
    }
    let error = isoch::open("virtual:twins/left?device_ppm=3").unwrap_err().to_string();
    assert!(error.contains("plugged in already"), "{error}");
    assert!(isoch::list().iter().any(|information| information.address == "virtual:twins/right"));
    drop((left, right));
    assert!(!isoch::list().iter().any(|information| information.address.contains("twins")));
    let fresh = isoch::open("virtual:twins/left?kind=article&clock=manual").unwrap();
    assert_eq!(fresh.clock().now().frame, 0);
}

#[test]
fn every_kind_that_is_listed_can_be_opened() {
    let listed = isoch::list();
    for kind in devices::KINDS {
        let address = format!("virtual:{}", kind.name);
        let information = listed.iter().find(|information| information.address == address).unwrap();
        let opened = isoch::open(&format!("virtual:kinds/{}?clock=manual", kind.name)).unwrap();
        assert_eq!(opened.information().product_id, information.product_id);
        assert!(information.to_string().starts_with(&address));
    }
}

#[test]
fn many_threads_open_one_device_at_once() {
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..20 {
                    barrier.wait();
                    let address = format!("virtual:race{round}/speaker?clock=manual");
                    let device = isoch::open(&address).unwrap();
                    barrier.wait();
                    drop(device);
                }
            });
        }
    });
}

#[test]
fn the_speaker_and_the_microphone_share_one_clock() {
    let speaker = isoch::open("virtual:pair/speaker?clock=on-wait").unwrap();
    let microphone = isoch::open("virtual:pair/microphone").unwrap();
    let out = speaker.interface(1).unwrap().alternate_setting(1).unwrap().isoch_out(0x01).unwrap();
    let blocks = out.register(Layout::frames(4)).unwrap();
    let frame = microphone.clock().now().frame + 30;
    out.submit(blocks.take().wait().unwrap(), Start::At(frame)).unwrap();
    assert_eq!(out.next_completion().wait().unwrap().frames(), Some(frame..frame + 4));
    assert_eq!(microphone.clock().now(), speaker.clock().now());
    assert_eq!(microphone.clock().now().frame, frame + 4);
    assert_eq!(microphone.clock().time_of(frame), speaker.clock().time_of(frame));
}

#[test]
fn a_manual_clock_moves_by_hand_only() {
    let rig = Rig::<Out>::new("exact", BusClock::Manual);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(1)).unwrap();
    let now = rig.now();
    rig.submit(blocks.take().wait().unwrap(), Start::At(now + 2)).unwrap();
    let timeout = Duration::from_secs(3600);
    assert!(matches!(rig.endpoint.next_completion().wait(), Err(Error::ClockStopped)));
    assert!(matches!(rig.endpoint.next_completion().wait_timeout(timeout), Err(Error::ClockStopped)));
    assert!(matches!(blocks.take().wait(), Err(Error::ClockStopped)));
    assert!(matches!(rig.endpoint.drain(), Err(Error::ClockStopped)));
    assert!(matches!(rig.endpoint.clock().wait_for(now + 1), Err(Error::ClockStopped)));
    assert!(matches!(rig.bus.watch().next_event().wait(), Err(Error::ClockStopped)));
    assert_eq!(rig.now(), now);
    rig.bus.advance(6).unwrap();
    assert_eq!(rig.endpoint.next_completion().wait().unwrap().frames(), Some(now + 2..now + 6));
    rig.endpoint.drain().unwrap();
    assert!(matches!(VirtualBus::new().advance(1), Err(Error::Unsupported(_))));
}

/// Does in a sink what a sink must not do, and notes what came of it.
struct Waits<D: Side> {
    endpoint: Mutex<Weak<IsochEndpoint<D>>>,
    bus: VirtualBus,
    blocks: isoch::Blocks,
    errors: Mutex<Vec<Option<Error>>>,
    done: std::sync::mpsc::Sender<()>,
}

impl<D: Side> CompletionSink for Waits<D> {
    fn completed(&self, completion: Completion) {
        let endpoint = self.endpoint.lock().unwrap().upgrade().unwrap();
        let mut errors = self.errors.lock().unwrap();
        errors.push(self.blocks.take().wait().err());
        errors.push(self.blocks.take().wait_timeout(Duration::from_secs(3600)).err());
        errors.push(endpoint.drain().err());
        errors.push(self.bus.watch().next_event().wait().err());
        assert!(self.bus.bus_clock() == BusClock::Real || self.bus.advance(1).is_err());
        drop(completion);
        let _ = self.done.send(());
    }
}

#[test]
fn a_sink_that_waits_gets_an_error() {
    for clock in [BusClock::Manual, BusClock::OnWait, BusClock::Real] {
        let Rig { bus, endpoint, .. } = Rig::<In>::new("exact", clock);
        let endpoint = Arc::new(endpoint);
        let blocks = endpoint.register(Layout::frames(2).blocks(2)).unwrap();
        let taken = [blocks.take().now().unwrap(), blocks.take().now().unwrap()];
        let (done, told) = std::sync::mpsc::channel();
        let sink = Arc::new(Waits {
            endpoint: Mutex::new(Arc::downgrade(&endpoint)),
            bus: bus.clone(),
            blocks,
            errors: Mutex::new(Vec::new()),
            done,
        });
        endpoint.set_sink(Arc::clone(&sink) as _);
        let [first, kept] = taken;
        endpoint.submit(first, Start::Asap).unwrap();
        match clock {
            BusClock::Real => told.recv_timeout(Duration::from_secs(60)).expect("no deadlock"),
            BusClock::Manual => bus.advance(20).unwrap(),
            BusClock::OnWait => endpoint.drain().unwrap(),
        }
        endpoint.drain().or_else(|error| if clock == BusClock::Real { Err(error) } else { Ok(()) }).unwrap();
        let errors = std::mem::take(&mut *sink.errors.lock().unwrap());
        assert_eq!(errors.len(), 4);
        for error in errors {
            assert!(matches!(error, Some(Error::InSink)), "{clock}: {error:?}");
        }
        drop(kept);
        // The bus goes on.
        assert!(sink.blocks.take().wait_timeout(Duration::from_secs(60)).is_ok());
    }
}

/// Panics once.
struct Panics {
    count: Mutex<u32>,
}

impl CompletionSink for Panics {
    fn completed(&self, _completion: Completion) {
        let count = {
            let mut count = self.count.lock().unwrap();
            *count += 1;
            *count
        };
        assert_ne!(count, 2, "on purpose");
    }
}

#[test]
fn a_sink_that_panics_takes_nothing_with_it() {
    let rig = Rig::<Out>::new("exact", BusClock::Manual);
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(5)).unwrap();
    let sink = Arc::new(Panics { count: Mutex::new(0) });
    rig.endpoint.set_sink(Arc::clone(&sink) as _);
    for _ in 0..5 {
        rig.submit(blocks.take().now().unwrap(), Start::Asap).unwrap();
    }
    rig.bus.advance(26).unwrap();
    assert_eq!(*sink.count.lock().unwrap(), 5);
    assert_eq!((blocks.free(), rig.endpoint.in_flight()), (5, 0));

    // In real time it is the bus's own thread that the sink panics on: it goes on, and a drain ends.
    let rig = Rig::<Out>::new("exact", BusClock::Real);
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(2)).unwrap();
    rig.endpoint.set_sink(Arc::new(Panics { count: Mutex::new(0) }));
    for _ in 0..2 {
        rig.submit(blocks.take().now().unwrap(), Start::Asap).unwrap();
    }
    rig.endpoint.drain().unwrap();
    rig.submit(blocks.take().now().unwrap(), Start::Asap).unwrap();
    rig.endpoint.drain().unwrap();
}

#[test]
fn slips_of_the_pen_are_refused_at_once() {
    let rig = Rig::<Out>::new("exact", BusClock::Manual);
    // A registration of terabytes, and starts that never come.
    let refused = rig.endpoint.register(Layout::packets(65_536).blocks(65_536)).err().unwrap();
    assert!(matches!(refused, Error::Budget { .. }), "{refused:?}");
    let blocks = rig.endpoint.register(Layout::frames(1).blocks(1)).unwrap();
    let rejected = rig.endpoint.submit(blocks.take().now().unwrap(), Start::At(u64::MAX)).unwrap_err();
    assert!(rejected.error.to_string().contains("never comes"), "{rejected}");
    drop(rejected);
    // Times beyond all clocks.
    rig.bus.advance(u64::MAX).unwrap();
    let real = Rig::<Out>::new("exact", BusClock::Real);
    let waiting = real.endpoint.register(Layout::frames(1).blocks(1)).unwrap();
    real.submit(waiting.take().wait_timeout(Duration::MAX).unwrap(), Start::Asap).unwrap();
    real.endpoint.next_completion().wait_timeout(Duration::MAX).unwrap();
    assert!(isoch::open_when_present("virtual:slips/speaker", Duration::MAX).is_ok());
}

#[test]
fn a_real_bus_ends_with_its_last_user() {
    for save in ["one", "two"] {
        let path = std::env::temp_dir().join(format!("isoch-{}-{save}.wav", std::process::id()));
        // The name is free again at once, so other parameters are no conflict.
        let address = format!("virtual:ends-at-once/speaker?save={}", path.display());
        drop(isoch::open(&address).unwrap());
    }
}

#[test]
fn a_deep_queue_in_real_time() {
    let rig = Rig::<Out>::new("exact", BusClock::Real);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(64)).unwrap();
    for _ in 0..64 {
        rig.submit(blocks.take().wait().unwrap(), Start::Asap).unwrap();
    }
    let done = rig.complete_all(64);
    assert!(done.iter().all(|done| done.outcome() == Outcome::Completed));
    assert!(done.windows(2).all(|pair| pair[0].frames().unwrap().end == pair[1].frames().unwrap().start));
    assert_eq!(rig.wire().len(), 64 * 4 * 8);
    assert!(rig.wire().iter().all(|wire| wire.bytes.len() == PACKET));
    drop(done);
    assert_eq!(rig.endpoint.statistics().everything_placed(), Some(true));
}

#[test]
fn several_threads_drain_one_endpoint() {
    let rig = Rig::<Out>::new("exact", BusClock::Real);
    let blocks = rig.endpoint.register(Layout::frames(20).blocks(4)).unwrap();
    for _ in 0..4 {
        rig.submit(blocks.take().wait().unwrap(), Start::Asap).unwrap();
    }
    std::thread::scope(|scope| {
        let drained: Vec<_> = (0..4).map(|_| scope.spawn(|| rig.endpoint.drain())).collect();
        assert!(drained.into_iter().all(|thread| thread.join().unwrap().is_ok()));
    });
    assert_eq!(rig.endpoint.in_flight(), 0);
}

#[test]
fn a_bus_that_nobody_has_ends() {
    let (stubborn, alive) = Stubborn::new();
    let bus = VirtualBus::new();
    bus.plug(DEVICE, Box::new(stubborn)).unwrap();
    let endpoint = {
        let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
        setting.isoch_out(0x02).unwrap()
    };
    let (clock, blocks) = (endpoint.clock().clone(), endpoint.register(Layout::frames(1)).unwrap());
    endpoint.submit(blocks.take().now().unwrap(), Start::Asap).unwrap();
    drop(bus);
    endpoint.next_completion().wait().unwrap();
    drop(endpoint);
    // Its thread looks now and then whether anyone still has it.
    let deadline = Instant::now() + Duration::from_secs(60);
    while Arc::strong_count(&alive) > 1 {
        assert!(Instant::now() < deadline, "the bus and its devices are gone some time");
        std::thread::yield_now();
    }
    // What is left of it still answers.
    let _ = clock.now();
    assert_eq!(blocks.free(), 4);
}

#[test]
fn bandwidth_is_reserved_and_given_back() {
    let bus = bus("exact", BusClock::Manual);
    let open = |name: &str| {
        bus.plug_kind(name, "article", &[]).unwrap();
        bus.open(name).unwrap().interface(0).unwrap()
    };
    let (first, second, third) = (open("first"), open("second"), open("third"));
    let reserved = [first.alternate_setting(1).unwrap(), second.alternate_setting(1).unwrap()];
    // 6000 bytes in a microframe for all; each device wants 1024 each way.
    let error = third.alternate_setting(1).unwrap_err();
    assert!(matches!(error, Error::NoBandwidth { needed: Some(2048), available: Some(1904) }), "{error}");
    assert!(error.to_string().contains("1904 are left"), "{error}");
    let [kept, given_back] = reserved;
    drop((second, given_back));
    third.alternate_setting(1).unwrap();
    drop(kept);
    // A clock that is full does not keep a device of another speed out.
    bus.plug_kind("full", "source-sink", &[("speed", "full"), ("interval", "1")]).unwrap();
    let full = bus.open("full").unwrap().interface(0).unwrap();
    assert!(matches!(
        full.alternate_setting(1),
        Err(Error::NoBandwidth { needed: Some(2046), available: Some(1350) })
    ));
}
