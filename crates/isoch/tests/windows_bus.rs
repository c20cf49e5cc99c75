//! The bus `winusb`, on this project's own winusb.dll: under Wine, or on Windows without any device.
//!
//! `ISOCH_WINUSB_DLL` names the DLL by its absolute path; without it, the tests are skipped and say so. The bus
//! runs in real time, so no test depends on how fast the machine is: streams begin far enough ahead.
#![cfg(windows)]

use std::time::Duration;

use isoch::{
    Capabilities, Device, Error, FrameSource, GapReport, Layout, Outcome, PacketStatus, Quality, Results,
    Setup, Start, StartSupport,
};

/// The device of Microsoft's article.
const ARTICLE: &str = "winusb:1209:0006";
/// Gadget zero.
const SOURCE_SINK: &str = "winusb:0525:a4a0";
/// What comes OUT goes back IN.
const LOOPBACK: &str = "winusb:1209:0007";
/// How far ahead streams begin.
const AHEAD: u64 = 200;
/// No wait lasts as long unless something is wrong.
const LONG: Duration = Duration::from_secs(20);

/// Opens a device, or says why the test is skipped.
fn open(address: &str) -> Option<Device> {
    if std::env::var_os("ISOCH_WINUSB_DLL").is_none() {
        eprintln!("skipped: ISOCH_WINUSB_DLL names no winusb.dll");
        return None;
    }
    // One emulated device is chosen at a time, for the whole process.
    Some(isoch::open(address).unwrap())
}

fn one_at_a_time() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn three_writes_on_named_frames() {
    let _turn = one_at_a_time();
    let Some(device) = open(ARTICLE) else { return };
    let out = device.interface(0).unwrap().alternate_setting(1).unwrap().isoch_out(0x01).unwrap();
    let Capabilities { start, frames, results, gaps, horizon, lead, .. } = *out.capabilities();
    assert_eq!((start, frames, results), (StartSupport::Exact, FrameSource::Assumed, Results::None));
    assert_eq!((gaps, horizon, lead), (false, Some(1023), 5));

    let blocks = out.register(Layout::frames(10).blocks(3)).unwrap();
    let first = out.clock().now().frame + AHEAD;
    for index in 0..3 {
        let mut block = blocks.take().now().unwrap();
        block.bytes_mut().fill(index as u8 + 1);
        out.submit(block, Start::At(first + 10 * index)).unwrap();
    }
    for index in 0..3 {
        let done = out.next_completion().wait_timeout(LONG).unwrap();
        let frame = first + 10 * index;
        assert_eq!(done.outcome(), Outcome::Completed);
        assert_eq!((done.frames(), done.frame_source()), (Some(frame..frame + 10), FrameSource::Assumed));
        // Windows has no results of OUT packets: nothing may be made up.
        assert!(done.packets().all(|packet| packet.status() == PacketStatus::Unknown));
        assert_eq!(done.gap(), GapReport::Unknowable);
    }
}

#[test]
fn three_reads_bring_the_frames_they_were_asked_for() {
    let _turn = one_at_a_time();
    let Some(device) = open(ARTICLE) else { return };
    let input = device.interface(0).unwrap().alternate_setting(1).unwrap().isoch_in(0x81).unwrap();
    let blocks = input.register(Layout::frames(10).blocks(3)).unwrap();
    let first = input.clock().now().frame + AHEAD;
    for index in 0..3 {
        input.submit(blocks.take().now().unwrap(), Start::At(first + 10 * index)).unwrap();
    }
    let mut written = Vec::new();
    for index in 0..3 {
        let done = input.next_completion().wait_timeout(LONG).unwrap();
        let frame = first + 10 * index;
        assert_eq!((done.outcome(), done.frames()), (Outcome::Completed, Some(frame..frame + 10)));
        for packet in done.packets() {
            assert_eq!((packet.status(), packet.transferred()), (PacketStatus::Done, 1024));
            // The device writes the frame into each packet, by the controller's count.
            written.push(u32::from_le_bytes(packet.bytes()[..4].try_into().unwrap()));
        }
    }
    // The handle may count by a constant more than the controller.
    let bias = (first as u32).wrapping_sub(written[0]);
    let expected: Vec<u32> = (0..240).map(|packet| (first as u32 + packet / 8).wrapping_sub(bias)).collect();
    assert_eq!(written, expected);
    assert!(bias < 1000, "a bias of {bias} frames");
}

#[test]
fn starts_that_name_no_frame_are_put_on_one() {
    let _turn = one_at_a_time();
    let Some(device) = open(ARTICLE) else { return };
    let input = device.interface(0).unwrap().alternate_setting(1).unwrap().isoch_in(0x81).unwrap();
    let blocks = input.register(Layout::frames(20).blocks(8)).unwrap();
    let before = input.clock().now().frame;
    for index in 0..8 {
        let start = if index == 0 { Start::Asap } else { Start::Continue };
        input.submit(blocks.take().now().unwrap(), start).unwrap();
    }
    let mut next = None;
    for _ in 0..8 {
        let done = input.next_completion().wait_timeout(LONG).unwrap();
        let frames = done.frames().unwrap();
        assert_eq!(done.frame_source(), FrameSource::Assumed);
        assert!(frames.start >= next.unwrap_or(before + 5), "{frames:?} after {next:?}, began in {before}");
        next = Some(frames.end);
    }
    // A pause that the stream did not owe is told in full.
    std::thread::sleep(Duration::from_millis(50));
    input.submit(blocks.take().wait_timeout(LONG).unwrap(), Start::Continue).unwrap();
    let done = input.next_completion().wait_timeout(LONG).unwrap();
    let frames = done.frames().unwrap();
    let GapReport::Lost(gap) = done.gap() else { panic!("{:?}", done.gap()) };
    assert_eq!(gap.frames, next.unwrap()..frames.start);
}

#[test]
fn what_the_system_refuses_is_told() {
    let _turn = one_at_a_time();
    let Some(device) = open(ARTICLE) else { return };
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let (out, input) = (setting.isoch_out(0x01).unwrap(), setting.isoch_in(0x81).unwrap());

    // A frame that is past.
    let blocks = out.register(Layout::frames(2).blocks(4)).unwrap();
    let now = out.clock().now().frame + 20;
    out.clock().wait_for(now).unwrap();
    out.submit(blocks.take().now().unwrap(), Start::At(now - 10)).unwrap();
    assert_eq!(out.next_completion().wait_timeout(LONG).unwrap().outcome(), Outcome::Late);
    // One that is held back until it is near enough.
    out.submit(blocks.take().now().unwrap(), Start::At(now + 1_000_000)).unwrap();
    out.abort();
    assert_eq!(out.next_completion().wait_timeout(LONG).unwrap().outcome(), Outcome::Cancelled);
    // Reads take whole frames.
    let reads = input.register(Layout::packets(12).blocks(1)).unwrap();
    let refused = input.submit(reads.take().now().unwrap(), Start::Asap).unwrap_err();
    assert!(matches!(refused.error, Error::Unsupported(_)), "{}", refused.error);
    // An endpoint is open once.
    assert!(matches!(setting.isoch_out(0x01).err().unwrap(), Error::Busy { .. }));
}

#[test]
fn what_is_cancelled_comes_back() {
    let _turn = one_at_a_time();
    let Some(device) = open(ARTICLE) else { return };
    let out = device.interface(0).unwrap().alternate_setting(1).unwrap().isoch_out(0x01).unwrap();
    let blocks = out.register(Layout::frames(4).blocks(4)).unwrap();
    let first = out.clock().now().frame + 800;
    for index in 0..4 {
        out.submit(blocks.take().now().unwrap(), Start::At(first + 4 * index)).unwrap();
    }
    assert!(matches!(out.next_completion().wait_timeout(Duration::from_millis(20)), Err(Error::TimedOut)));
    out.abort();
    for _ in 0..4 {
        assert_eq!(out.next_completion().wait_timeout(LONG).unwrap().outcome(), Outcome::Cancelled);
    }
    // Dropped in flight, and open again at once.
    out.submit(blocks.take().wait_timeout(LONG).unwrap(), Start::Asap).unwrap();
    drop((out, blocks, device));
    let device = open(ARTICLE).unwrap();
    let out = device.interface(0).unwrap().alternate_setting(1).unwrap().isoch_out(0x01).unwrap();
    let blocks = out.register(Layout::frames(1).blocks(1)).unwrap();
    out.submit(blocks.take().now().unwrap(), Start::Asap).unwrap();
    assert_eq!(out.next_completion().wait_timeout(LONG).unwrap().outcome(), Outcome::Completed);
}

#[test]
fn control_and_bulk() {
    let _turn = one_at_a_time();
    let Some(device) = open(SOURCE_SINK) else { return };
    let information = device.information();
    assert_eq!((information.vendor_id, information.product_id), (0x0525, 0xa4a0));
    assert!(information.product.is_some());

    // 0x5b stores its data, 0x5c gives it back.
    let setup = |request, length| Setup { request_type: 0x40, request, value: 0, index: 0, length };
    assert_eq!(device.control_out(setup(0x5b, 0), b"isochronous").wait_timeout(LONG).unwrap(), 11);
    assert_eq!(device.control_in(setup(0x5c, 11)).wait_timeout(LONG).unwrap(), b"isochronous");
    let unknown = device.control_in(setup(0x01, 8)).wait_timeout(LONG);
    assert!(matches!(unknown, Err(Error::Stall)), "{unknown:?}");

    let setting = device.interface(0).unwrap().alternate_setting(0).unwrap();
    let sink = setting.bulk_out(0x01).unwrap();
    assert_eq!(sink.write(vec![0; 5000]).wait_timeout(LONG).unwrap(), 5000);
    let source = setting.bulk_in(0x81).unwrap();
    assert_eq!(source.read(1024).wait_timeout(LONG).unwrap(), vec![0; 1024]);
    source.clear_halt().wait_timeout(LONG).unwrap();
}

#[test]
fn transfers_of_data_that_never_end_time_out_or_are_cancelled() {
    let _turn = one_at_a_time();
    let Some(device) = open(LOOPBACK) else { return };
    let setting = device.interface(0).unwrap().alternate_setting(0).unwrap();
    let (there, back) = (setting.bulk_out(0x01).unwrap(), setting.bulk_in(0x81).unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    // Nothing was sent, so nothing comes back.
    let at_end = move |data: Vec<u8>, result| tell.send((data.len(), result)).unwrap();
    let pending = back.start_read(64, Some(Duration::from_millis(30)), at_end);
    let (length, result) = told.recv_timeout(LONG).unwrap();
    assert!(length == 0 && matches!(result, Err(Error::TimedOut)), "{length} {result:?}");
    drop(pending);
    // Dropped while under way: what is read next gets what comes.
    drop(back.read(64));
    assert_eq!(there.write(b"and back".to_vec()).wait_timeout(LONG).unwrap(), 8);
    assert_eq!(back.read(64).wait_timeout(LONG).unwrap(), b"and back");
}

#[test]
fn the_clock_reads_the_controllers_counter() {
    let _turn = one_at_a_time();
    let Some(device) = open(ARTICLE) else { return };
    let clock = device.clock();
    let first = clock.now();
    clock.wait_for(first.frame + 100).unwrap();
    let then = clock.now();
    assert!(then.frame >= first.frame + 100);
    let (elapsed, counted) = (then.at - first.at, Duration::from_millis(then.frame - first.frame));
    assert!(elapsed.abs_diff(counted) <= Duration::from_millis(2), "{elapsed:?} for {counted:?}");
    assert!(matches!(then.quality, Quality::Register | Quality::Coarse), "{then:?}");
    assert!(then.uncertainty < Duration::from_millis(1), "{then:?}");
}

#[test]
fn an_endpoint_of_another_setting_says_so_and_the_device_is_not_gone() {
    let _turn = one_at_a_time();
    let Some(device) = open(ARTICLE) else { return };
    let interface = device.interface(0).unwrap();
    let out = interface.alternate_setting(1).unwrap().isoch_out(0x01).unwrap();
    let blocks = out.register(Layout::frames(1).blocks(1)).unwrap();
    let submit = |out: &isoch::IsochOut| out.submit(blocks.take().wait_timeout(LONG).unwrap(), Start::Asap);
    // What was registered for the setting is registered anew.
    for _ in 0..2 {
        submit(&out).unwrap();
        assert_eq!(out.next_completion().wait_timeout(LONG).unwrap().outcome(), Outcome::Completed);
        interface.alternate_setting(1).unwrap();
    }
    interface.alternate_setting(0).unwrap();
    let rejected = submit(&out).unwrap_err();
    assert!(matches!(rejected.error, Error::SettingChanged), "{rejected}");
    drop(rejected);
    let again = interface.alternate_setting(1).unwrap().isoch_out(0x01).unwrap();
    submit(&again).unwrap();
    assert_eq!(again.next_completion().wait_timeout(LONG).unwrap().outcome(), Outcome::Completed);
}

/// Runs itself as a process of its own, whose emulated bus has the fault.
#[test]
fn an_unplugged_device_is_gone() {
    const FAULTS: &str = "ISOCH_FAULTS";
    /// The bus begins with frame 0 when the device is opened.
    const UNPLUGGED: u64 = 1000;
    let _turn = one_at_a_time();
    if std::env::var_os(FAULTS).is_none() && std::env::var_os("ISOCH_WINUSB_DLL").is_some() {
        let file = std::env::temp_dir().join(format!("isoch-unplug-{}.toml", std::process::id()));
        let fault = format!("[[fault]]\nframe = {UNPLUGGED}\nkind = \"unplug\"\ndevice = \"article\"\n");
        std::fs::write(&file, fault).unwrap();
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let arguments = ["--exact", "an_unplugged_device_is_gone", "--nocapture"];
        let ended = again.args(arguments).env(FAULTS, &file).status();
        let _ = std::fs::remove_file(&file);
        assert!(ended.unwrap().success());
        return;
    }
    let Some(device) = open(ARTICLE) else { return };
    let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
    let (out, input) = (setting.isoch_out(0x01).unwrap(), setting.isoch_in(0x81).unwrap());
    let blocks = out.register(Layout::frames(50).blocks(4)).unwrap();
    for index in 0..4 {
        out.submit(blocks.take().now().unwrap(), Start::At(UNPLUGGED - 120 + 50 * index)).unwrap();
    }
    let ends: Vec<_> = (0..4).map(|_| out.next_completion().wait_timeout(LONG).unwrap().outcome()).collect();
    assert_eq!(ends[..2], [Outcome::Completed; 2]);
    assert_eq!(ends[2..], [Outcome::DeviceGone; 2]);
    // The other endpoint is told, too, although nothing was in flight on it.
    assert!(matches!(out.next_completion().wait_timeout(LONG), Err(Error::Closed)));
    assert!(matches!(input.next_completion().wait_timeout(LONG), Err(Error::Closed)));
    let rejected = out.submit(blocks.take().now().unwrap(), Start::Asap).unwrap_err();
    assert!(matches!(rejected.error, Error::Gone), "{}", rejected.error);
    let setup = Setup { request_type: 0x80, request: 6, value: 0x100, index: 0, length: 18 };
    assert!(matches!(device.control_in(setup).wait_timeout(LONG), Err(Error::Gone)));
}

#[test]
fn devices_are_listed_with_addresses_that_open_them() {
    let _turn = one_at_a_time();
    if std::env::var_os("ISOCH_WINUSB_DLL").is_none() {
        eprintln!("skipped: ISOCH_WINUSB_DLL names no winusb.dll");
        return;
    }
    let listed = isoch::list_at(ARTICLE).unwrap();
    let article =
        listed.iter().find(|device| device.address.starts_with(ARTICLE)).expect("the article's device");
    assert!(isoch::open(&article.address).is_ok());
    let missing = isoch::open("winusb:dead:beef").unwrap_err();
    assert!(matches!(&missing, Error::NotFound { .. }) && missing.to_string().contains(ARTICLE), "{missing}");
    assert!(matches!(isoch::watch(ARTICLE), Err(Error::Unsupported(_))));
}

#[test]
fn addresses_that_cannot_be_meant_are_refused() {
    for address in ["winusb:", "winusb:1209", "winusb:xyz:1", "winusb:1209:0006?clock=real"] {
        let error = isoch::open(address).unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{address}: {error}");
    }
}
