//! Control, bulk and interrupt transfers that call back, with time-outs of the bus's own.

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{DEVICE, bus, bus_with};
use isoch::emulated::{BulkIn, BulkOut, BusTime, Descriptors, Device as EmulatedDevice, devices};
use isoch::rules::Setup;
use isoch::{AlternateSetting, BusClock, DataEndpoint, Device, EmulatedStep, Error, In, Out, VirtualBus};

const CLOCKS: [BusClock; 3] = [BusClock::Manual, BusClock::OnWait, BusClock::Real];
const SOON: Duration = Duration::from_millis(20);

type End = (Vec<u8>, Result<usize, Error>);
type Done = Box<dyn FnOnce(Vec<u8>, Result<usize, Error>) + Send>;

/// A callback, and where it tells the end.
fn told() -> (Done, Receiver<End>) {
    let (sender, receiver) = channel();
    (tells(&sender), receiver)
}

fn tells(sender: &Sender<End>) -> Done {
    let sender = sender.clone();
    Box::new(move |data, result| sender.send((data, result)).unwrap())
}

fn loopback(clock: BusClock) -> (VirtualBus, AlternateSetting) {
    let bus = bus_with("exact", clock, "loopback", &[]);
    let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
    (bus, setting)
}

fn both(setting: &AlternateSetting) -> (DataEndpoint<Out>, DataEndpoint<In>) {
    (setting.data_out(0x01).unwrap(), setting.data_in(0x81).unwrap())
}

/// Runs the bus until the callback was called, however its time goes on.
fn end(bus: &VirtualBus, told: &Receiver<End>) -> End {
    for _ in 0..1000 {
        if let Ok(end) = told.try_recv() {
            return end;
        }
        match bus.bus_clock() {
            BusClock::Real => return told.recv_timeout(Duration::from_secs(60)).unwrap(),
            BusClock::Manual => bus.advance(1).unwrap(),
            BusClock::OnWait => {
                let time = bus.clock().emulated_time().unwrap();
                time.step(None, &|| false);
            }
        }
    }
    panic!("it never ends");
}

fn setup(request_type: u8, request: u8, value: u16) -> Setup {
    Setup { request_type, request, value, index: 0, length: 9999 }
}

#[test]
fn control_requests_call_back() {
    let bus = bus_with("exact", BusClock::Manual, "source-sink", &[]);
    let device = bus.open(DEVICE).unwrap();
    let start = |setup, data| {
        let (done, told) = told();
        let pending = device.start_control(setup, data, None, done);
        let end = told.try_recv().expect("an emulated device answers at once");
        pending.cancel();
        assert!(told.try_recv().is_err(), "once");
        end
    };
    let (descriptor, length) = start(setup(0x80, 6, 0x0100), vec![0; 18]);
    assert_eq!((length.unwrap(), &descriptor[8..12]), (18, &[0x25, 0x05, 0xa0, 0xa4][..]));
    let (short, length) = start(setup(0x80, 6, 0x0100), vec![0; 64]);
    assert_eq!((length.unwrap(), short), (18, descriptor));
    assert_eq!(start(setup(0x40, 0x5b, 0), vec![7; 100]).1.unwrap(), 100);
    assert_eq!(start(setup(0xc0, 0x5c, 0), vec![0; 100]).0, [7; 100]);
    let (nothing, stall) = start(setup(0x40, 0x77, 0), vec![1; 10]);
    assert!(nothing.is_empty() && matches!(stall, Err(Error::Stall)));
    let (_, long) = start(setup(0xc0, 0x5c, 0), vec![0; 65_536]);
    assert!(matches!(long, Err(Error::Argument(_))));
    bus.unplug(DEVICE).unwrap();
    assert!(matches!(start(setup(0x80, 6, 0x0100), vec![0; 18]).1, Err(Error::Gone)));
}

#[test]
fn bulk_transfers_call_back() {
    for clock in CLOCKS {
        let (bus, setting) = loopback(clock);
        let (out, input) = both(&setting);
        let (done_read, read) = told();
        let (done_write, written) = told();
        // Dropping what was started cancels nothing.
        drop(input.start_read(4096, None, done_read));
        drop(out.start_write(vec![5; 700], None, done_write));
        let (data, result) = end(&bus, &written);
        assert_eq!((data, result.unwrap()), (vec![5; 700], 700), "{clock}");
        let (data, result) = end(&bus, &read);
        assert_eq!((data, result.unwrap()), (vec![5; 700], 700), "{clock}");
    }
}

#[test]
fn an_endpoint_of_either_kind_can_be_had() {
    let bus = bus_with("exact", BusClock::OnWait, "sample", &[("status", "5")]);
    let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
    assert!(!setting.data_in(0x82).unwrap().read(512).wait().unwrap().is_empty(), "bulk");
    assert_eq!(setting.data_in(0x83).unwrap().read(12).wait().unwrap().len(), 12, "interrupt");
    for wrong in [0x81, 0x02, 0x05] {
        let refused = setting.data_out(wrong).err().unwrap();
        assert!(refused.to_string().contains("bulk or interrupt OUT"), "{refused}");
    }
}

#[test]
fn the_bus_cancels_what_takes_too_long() {
    for clock in CLOCKS {
        let (bus, setting) = loopback(clock);
        let (out, input) = both(&setting);
        let (began, frame) = (Instant::now(), bus.frame());
        let (done, read) = told();
        let _pending = input.start_read(512, Some(SOON), done);
        let (nothing, result) = end(&bus, &read);
        assert!(nothing.is_empty() && matches!(result, Err(Error::TimedOut)), "{clock}: {result:?}");
        match clock {
            BusClock::Real => assert!(began.elapsed() >= SOON),
            _ => assert_eq!(bus.frame(), frame + 20, "{clock}: of the bus's time"),
        }
        // It took nothing; and what ends in time ends as ever.
        let (done_write, written) = told();
        let (done_read, read) = told();
        let hour = Some(Duration::from_secs(3600));
        let _pending = [
            out.start_write(vec![6; 10], hour, done_write),
            input.start_read(512, Some(Duration::MAX), done_read),
        ];
        assert_eq!(end(&bus, &written).1.unwrap(), 10);
        assert_eq!(end(&bus, &read).0, [6; 10]);
        // At once.
        let (done, read) = told();
        let _pending = input.start_read(512, Some(Duration::ZERO), done);
        assert!(matches!(end(&bus, &read).1, Err(Error::TimedOut)), "{clock}");
    }
}

/// A loopback that answers so many bulk packets, takes no more, and notes their lengths.
struct Slow {
    inner: Box<dyn EmulatedDevice>,
    left: usize,
    packets: Arc<Mutex<Vec<usize>>>,
}

impl EmulatedDevice for Slow {
    fn descriptors(&self) -> &Descriptors {
        self.inner.descriptors()
    }
    fn bulk_out(&mut self, _endpoint: u8, data: &[u8], _now: BusTime) -> BulkOut {
        let Some(left) = self.left.checked_sub(1) else { return BulkOut::Nak };
        self.left = left;
        self.packets.lock().unwrap().push(data.len());
        BulkOut::Ack
    }
    fn bulk_in(&mut self, _endpoint: u8, buffer: &mut [u8], _now: BusTime) -> BulkIn {
        let Some(left) = self.left.checked_sub(1) else { return BulkIn::Nak };
        self.left = left;
        buffer.fill(9);
        BulkIn::Data(buffer.len())
    }
}

fn slow(clock: BusClock, left: usize) -> (VirtualBus, Device, Arc<Mutex<Vec<usize>>>) {
    let bus = bus("exact", clock);
    let packets = Arc::new(Mutex::new(Vec::new()));
    let inner = devices::build("loopback", &[]).unwrap();
    bus.plug(DEVICE, Box::new(Slow { inner, left, packets: Arc::clone(&packets) })).unwrap();
    let device = bus.open(DEVICE).unwrap();
    (bus, device, packets)
}

#[test]
fn what_was_moved_before_it_failed_is_not_lost() {
    for clock in CLOCKS {
        let (bus, device, _) = slow(clock, 5);
        let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
        let (out, input) = both(&setting);
        // Three packets arrive, then time is over.
        let (done, read) = told();
        let pending = input.start_read(3 * 512, None, done);
        assert_eq!(end(&bus, &read).0.len(), 3 * 512, "{clock}");
        pending.cancel();
        let (done, read) = told();
        let _pending = input.start_read(4096, Some(SOON), done);
        let (arrived, result) = end(&bus, &read);
        assert!(matches!(result, Err(Error::TimedOut)), "{clock}: {result:?}");
        assert_eq!(arrived, [9; 1024]);
        // Nothing is left: cancelled by hand, and by the device that goes.
        let (done, written) = told();
        let pending = out.start_write(vec![1; 4096], None, done);
        pending.cancel();
        let (sent, result) = end(&bus, &written);
        assert!(sent.is_empty() && matches!(result, Err(Error::Cancelled)));
        pending.cancel();
        let (done, read) = told();
        let _pending = input.start_read(64, Some(SOON), done);
        bus.unplug(DEVICE).unwrap();
        assert!(matches!(end(&bus, &read).1, Err(Error::Gone)));
        assert!(read.recv().is_err(), "once");
    }
    let (bus, device, _) = slow(BusClock::Manual, 2);
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let (done, written) = told();
    let pending = setting.data_out(0x01).unwrap().start_write(vec![1; 4096], None, done);
    bus.advance(2).unwrap();
    pending.cancel();
    let (sent, result) = written.try_recv().unwrap();
    assert!(sent == [1; 1024] && matches!(result, Err(Error::Cancelled)));
}

#[test]
fn writing_nothing_sends_one_empty_packet() {
    let (_bus, device, packets) = slow(BusClock::OnWait, usize::MAX);
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let out = setting.data_out(0x01).unwrap();
    assert_eq!(out.write(Vec::new()).wait().unwrap(), 0);
    assert_eq!(*packets.lock().unwrap(), [0]);
    // One of full packets has none behind it: who wants one writes one.
    assert_eq!(out.write(vec![0; 1024]).wait().unwrap(), 1024);
    assert_eq!(*packets.lock().unwrap(), [0, 512, 512]);
}

#[test]
fn a_callback_may_start_the_next_and_must_not_wait() {
    for clock in CLOCKS {
        let (bus, setting) = loopback(clock);
        let (out, input) = both(&setting);
        let input = Arc::new(input);
        let (sender, ends) = channel();
        let (next, errors) = (tells(&sender), Arc::new(Mutex::new(Vec::new())));
        let (again, noted, watch) = (Arc::clone(&input), Arc::clone(&errors), bus.watch());
        let _first = input.start_read(512, None, move |data, result| {
            noted.lock().unwrap().push(watch.next_event().wait().err());
            noted.lock().unwrap().push(again.read(1).wait().err());
            let _second = again.start_read(512, None, next);
            sender.send((data, result)).unwrap();
        });
        let _write = out.start_write(vec![1; 512], None, |_, _| {});
        assert_eq!(end(&bus, &ends).0, [1; 512]);
        let (done, written) = told();
        let _write = out.start_write(vec![2; 512], None, done);
        assert_eq!(end(&bus, &written).1.unwrap(), 512);
        assert_eq!(end(&bus, &ends).0, [2; 512]);
        let errors = std::mem::take(&mut *errors.lock().unwrap());
        assert!(errors.iter().all(|error| matches!(error, Some(Error::InSink))), "{clock}: {errors:?}");
    }
}

#[test]
fn a_callback_that_panics_takes_nothing_with_it() {
    for clock in CLOCKS {
        let (bus, setting) = loopback(clock);
        let (out, input) = both(&setting);
        let _panics = out.start_write(vec![1; 10], None, |_, _| panic!("on purpose"));
        let (done, read) = told();
        let _read = input.start_read(512, None, done);
        assert_eq!(end(&bus, &read).0, [1; 10]);
        let _panics = setting.device().start_control(setup(0x80, 6, 0x0100), vec![0; 18], None, |_, _| {
            panic!("on purpose");
        });
        assert!(input.clear_halt().wait().is_ok());
    }
}

#[test]
fn letting_go_of_the_interface_cancels_what_is_under_way() {
    // A profile that tells ends late: what has ended must be told, too, before the interface is let go.
    for profile in ["exact", "usbfs-xhci"] {
        let bus = bus_with(profile, BusClock::Manual, "loopback", &[]);
        let device = bus.open(DEVICE).unwrap();
        let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
        let (out, input) = both(&setting);
        let (done, read) = told();
        let kept = input.start_read(512, None, done);
        drop(input);
        assert!(read.try_recv().is_err(), "the interface is still claimed");
        drop((out, setting));
        assert!(matches!(read.try_recv(), Ok((_, Err(Error::Cancelled)))));
        kept.cancel();
        let interface = device.interface(0).unwrap();
        let asked = device.control_in(Setup { length: 1, ..setup(0x81, 10, 0) }).wait().unwrap();
        assert_eq!(asked, [interface.setting_in_force().number()], "it went back to setting 0");
        // A transfer that is waited for keeps the interface.
        let waited = interface.alternate_setting(1).unwrap().bulk_in(0x81).unwrap().read(512);
        drop(interface);
        assert!(matches!(device.interface(0), Err(Error::Busy { .. })));
        drop(waited);
        device.interface(0).unwrap();
    }
}

#[test]
fn a_wait_that_would_never_end_says_so() {
    let (bus, setting) = loopback(BusClock::OnWait);
    let (out, input) = both(&setting);
    let time = bus.clock().emulated_time().unwrap();
    let frame = bus.frame();
    assert!(matches!(input.read(512).wait(), Err(Error::ClockStopped)), "nobody will write");
    assert!(bus.frame() <= frame + 1);
    // One whose time-out is an hour away ends after an hour, in one step or two.
    let (done, read) = told();
    let _pending = input.start_read(512, Some(Duration::from_secs(3600)), done);
    let (frame, steps) = (bus.frame(), std::iter::repeat_with(|| time.step(None, &|| false)));
    let steps = steps.take_while(|step| *step == EmulatedStep::Advanced).take(10).count();
    assert!(matches!(read.try_recv(), Ok((_, Err(Error::TimedOut)))) && steps < 4, "{steps} steps");
    assert_eq!(bus.frame(), frame + 3_600_000);
    // What the host does wakes the device up.
    let (done, read) = told();
    let _pending = input.start_read(512, None, done);
    bus.advance(50).unwrap();
    assert_eq!(time.step(None, &|| false), EmulatedStep::Stopped);
    assert_eq!(out.write(vec![1; 10]).wait().unwrap(), 10);
    assert_eq!(end(&bus, &read).0, [1; 10]);
    // A device that takes no more, until it is read from.
    let (done, written) = told();
    let _pending = out.start_write(vec![2; 512 * 65], None, done);
    while time.step(None, &|| false) == EmulatedStep::Advanced {}
    assert!(written.try_recv().is_err());
    assert_eq!(input.read(512).wait().unwrap(), [2; 512]);
    assert_eq!(end(&bus, &written).1.unwrap(), 512 * 65);
    // One that may change by itself is waited for: the instrument tells its state every 5 ms.
    let bus = bus_with("exact", BusClock::OnWait, "sample", &[("status", "5")]);
    let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
    let status = setting.data_in(0x83).unwrap();
    assert_eq!([status.read(12).wait().unwrap().len(), status.read(12).wait().unwrap().len()], [12; 2]);
}
