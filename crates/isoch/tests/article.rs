//! The acceptance scenario of Microsoft's article "Send USB isochronous transfers from a WinUSB desktop app",
//! on the emulated device made for it: 1024 bytes in every microframe each way, three transfers of ten frames.
//! What WinUSB checks and computes is asked of the rules; where the packets went is asked of the device.

mod common;

use std::ops::Range;

use common::{DEVICE, PACKET, Rig, Side, Wire, bus_with, is_out, mark, microframes, packet_bytes};
use isoch::rules::winusb::{self, Pipe, Refusal, Transfer};
use isoch::{
    Blocks, BusClock, Completion, FrameSource, In, IsochIn, IsochOut, Layout, Out, Outcome, PacketStatus,
    Results, Start,
};

const TRANSFER: u32 = 81_920;
const TRANSFERS: u32 = 3;
const BUFFER: u32 = TRANSFER * TRANSFERS;
/// `NumberOfPackets` of a transfer.
const PACKETS: u32 = 80;
/// Frames of a transfer.
const FRAMES: u64 = 10;

/// The bus at its best, and as Windows has it; with both clocks on which frames can be asserted.
const RIGS: [(&str, BusClock); 4] = [
    ("exact", BusClock::Manual),
    ("exact", BusClock::OnWait),
    ("winusb", BusClock::Manual),
    ("winusb", BusClock::OnWait),
];

fn pipe<D: Side>(rig: &Rig<D>) -> Pipe {
    let descriptor = rig.setting.descriptor().endpoint(D::ADDRESS).unwrap();
    Pipe::new(rig.setting.device().information().speed, descriptor).unwrap()
}

/// Step 4 and 5: the sizes; and the frame number that a call gives back.
fn check<D: Side>(pipe: &Pipe, index: u32) -> Transfer {
    let offset = TRANSFER * index;
    let transfer = match is_out::<D>() {
        true => pipe.check_write(BUFFER, offset, TRANSFER),
        false => pipe.check_read(BUFFER, offset, TRANSFER, PACKETS),
    };
    let transfer = transfer.unwrap();
    assert_eq!((transfer.packets, transfer.frames), (PACKETS, FRAMES as u32));
    transfer
}

fn register<D: Side>(rig: &Rig<D>) -> Blocks {
    let blocks = rig.endpoint.register(Layout::frames(FRAMES as u32).blocks(TRANSFERS)).unwrap();
    assert_eq!(blocks.free(), TRANSFERS as usize);
    blocks
}

/// Steps 8 and 9: three transfers. Returns what was sent, packet by packet.
fn submit_three<D: Side>(
    rig: &Rig<D>,
    blocks: &Blocks,
    mut start: impl FnMut(u32, &Transfer) -> Start,
) -> Vec<Vec<u8>> {
    let pipe = pipe(rig);
    let mut sent = Vec::new();
    for index in 0..TRANSFERS {
        let transfer = check::<D>(&pipe, index);
        let mut block = blocks.take().now().expect("a block for each transfer");
        assert_eq!(block.bytes().len(), TRANSFER as usize);
        mark(&mut block, index);
        sent.extend(packet_bytes(&block));
        rig.endpoint.submit(block, start(index, &transfer)).unwrap();
    }
    sent
}

/// Step 9a: explicit frames, each number from the call before.
fn submit_from<D: Side>(rig: &Rig<D>, blocks: &Blocks, first: u64) -> Vec<Vec<u8>> {
    let mut frame_number = first as u32;
    let mut told = Vec::new();
    let sent = submit_three(rig, blocks, |_, transfer| {
        let start = Start::At(u64::from(frame_number));
        frame_number = transfer.frame_number_out(frame_number);
        told.push(u64::from(frame_number));
        start
    });
    assert_eq!(told, [first + 10, first + 20, first + 30]);
    sent
}

/// Step 10 and 14: every transfer ended well, in order, where it should, with all its packets.
fn assert_completed<D: Side>(rig: &Rig<D>, done: &[Completion], first: u64) {
    let reported = rig.endpoint.capabilities().frames == FrameSource::Reported;
    let source = if reported { FrameSource::Reported } else { FrameSource::Assumed };
    for (done, index) in done.iter().zip(0u64..) {
        let frame = first + FRAMES * index;
        assert_eq!(done.outcome(), Outcome::Completed);
        assert_eq!((done.frames(), done.frame_source()), (Some(frame..frame + FRAMES), source));
        let offsets: Vec<u32> = done.block().packets().iter().map(|packet| packet.offset).collect();
        assert_eq!(offsets, (0..PACKETS).map(|packet| packet * PACKET as u32).collect::<Vec<_>>());
        // WinUSB has no results of OUT packets: nothing may be made up.
        let told = rig.endpoint.capabilities().results == Results::PerPacket;
        let (status, length) = if told { (PacketStatus::Done, PACKET) } else { (PacketStatus::Unknown, 0) };
        assert!(done.packets().all(|packet| (packet.status(), packet.transferred()) == (status, length)));
    }
}

/// Step 11: exactly these packets, one in each microframe of these frames.
fn assert_wire(wire: &[Wire], frames: Range<u64>, contents: &[Vec<u8>]) {
    assert_eq!(wire.len(), 240);
    assert_eq!(wire.iter().map(|packet| packet.microframe).collect::<Vec<_>>(), microframes(frames));
    assert!(wire.iter().all(|packet| packet.bytes.len() == PACKET));
    let same = wire.iter().zip(contents).all(|(packet, bytes)| packet.bytes == *bytes);
    assert!(same && contents.len() == wire.len(), "in order, with the right contents");
}

/// What a reader found, packet by packet.
fn received(done: &[Completion]) -> Vec<Vec<u8>> {
    done.iter().flat_map(|done| done.packets().map(|packet| packet.bytes().to_vec())).collect()
}

#[test]
fn the_pipes_are_those_of_the_article() {
    let rig = Rig::<Out>::new("exact", BusClock::Manual);
    let settings = &rig.setting.interface().descriptor().alternates;
    assert_eq!(settings.len(), 2);
    // The sample bounds its loop by the endpoints of setting 0 and asks for those of setting 1.
    assert!(settings[0].endpoints.len() >= settings[1].endpoints.len());
    for endpoint in &rig.setting.descriptor().endpoints {
        assert_eq!((endpoint.is_isochronous(), endpoint.interval), (true, 1));
    }
    let pipe = pipe(&rig);
    assert_eq!((pipe.maximum_bytes_per_interval(), pipe.packets_per_frame()), (1024, 8));
    assert_eq!(pipe.bytes_per_frame(), 8192);
    assert_eq!(u64::from(BUFFER) % pipe.bytes_per_frame(), 0);
}

#[test]
fn writes_go_to_the_named_frames() {
    for (profile, clock) in RIGS {
        let rig = Rig::<Out>::new(profile, clock);
        let blocks = register(&rig);
        let now = rig.now();
        let sent = submit_from(&rig, &blocks, now + 5);
        let done = rig.complete_all(3);
        assert!(rig.now() >= now + 5 + 30, "it takes its time");
        assert_completed(&rig, &done, now + 5);
        assert_wire(&rig.wire(), now + 5..now + 35, &sent);
        drop(done);
        assert_eq!(blocks.free(), 3);
    }
}

#[test]
fn reads_come_from_the_named_frames() {
    for (profile, clock) in RIGS {
        let rig = Rig::<In>::new(profile, clock);
        let blocks = register(&rig);
        let now = rig.now();
        submit_from(&rig, &blocks, now + 5);
        let done = rig.complete_all(3);
        assert_completed(&rig, &done, now + 5);
        assert_eq!(done.iter().map(Completion::transferred).sum::<u64>(), u64::from(BUFFER));
        let received = received(&done);
        assert_wire(&rig.wire(), now + 5..now + 35, &received);
        for (packet, number) in received.iter().zip(0u64..) {
            // The device says which frame it was in, and counts.
            let header = [(now + 5 + number / 8) as u32, number as u32].map(u32::to_le_bytes).concat();
            assert_eq!(packet[..8], header);
        }
    }
}

#[test]
fn as_soon_as_possible_then_continuing_is_one_run_of_frames() {
    for (profile, clock) in RIGS {
        let rig = Rig::<Out>::new(profile, clock);
        let blocks = register(&rig);
        let now = rig.now();
        let start = |index, _: &Transfer| if index == 0 { Start::Asap } else { Start::Continue };
        let sent = submit_three(&rig, &blocks, start);
        let done = rig.complete_all(3);
        let first = rig.wire()[0].microframe / 8;
        assert_wire(&rig.wire(), first..first + 30, &sent);
        if profile == "winusb" {
            assert_eq!(first as u32, winusb::asap_start(now as u32));
            for (done, frame) in done.iter().zip((first..).step_by(10)) {
                assert_eq!(done.frame_source(), FrameSource::Estimated, "nobody told the frame");
                assert!(done.frames().unwrap().start.abs_diff(frame) <= done.frame_uncertainty());
            }
        } else {
            assert_completed(&rig, &done, first);
        }

        let rig = Rig::<In>::new(profile, clock);
        let blocks = register(&rig);
        submit_three(&rig, &blocks, start);
        let done = rig.complete_all(3);
        assert_wire(&rig.wire(), first..first + 30, &received(&done));
        assert!(done.iter().all(|done| done.outcome() == Outcome::Completed));
    }
}

#[test]
fn arguments_that_winusb_refuses() {
    let rig = Rig::<In>::new("winusb", BusClock::Manual);
    let pipe = pipe(&rig);
    let refused = [
        pipe.check_read(BUFFER, 0, TRANSFER - 1, PACKETS),
        pipe.check_read(BUFFER, 0, TRANSFER, PACKETS - 1),
        pipe.check_read(BUFFER, BUFFER - TRANSFER + 1, TRANSFER, PACKETS),
        pipe.check_read(BUFFER, u32::MAX, TRANSFER, PACKETS),
        pipe.check_read(BUFFER, 0, 0, 0),
        pipe.check_write(BUFFER, 0, TRANSFER),
    ];
    assert!(matches!(refused[0], Err(Refusal::PartialFrame { bytes_per_frame: 8192, .. })));
    assert!(matches!(refused[1], Err(Refusal::PacketCount { number_of_packets: 79, expected: 80 })));
    assert!(matches!(refused[2], Err(Refusal::BeyondBuffer { .. })));
    assert!(matches!(refused[3], Err(Refusal::BeyondBuffer { .. })));
    for refused in refused {
        let refusal = refused.unwrap_err();
        assert_eq!(refusal.win32_code(), winusb::ERROR_INVALID_PARAMETER);
        assert!(!refusal.is_reported_by_completion(), "{refusal}");
    }
    // A write may be of any length.
    let rig = Rig::<Out>::new("winusb", BusClock::Manual);
    let short = self::pipe(&rig).check_write(BUFFER, 0, TRANSFER - 1).unwrap();
    assert_eq!((short.packets, short.frames), (80, 10));
}

#[test]
fn a_dead_stream_does_not_continue() {
    let refusal = winusb::continue_start(None, 100, 1).unwrap_err();
    assert_eq!((refusal, refusal.win32_code()), (Refusal::NoStream, 87));
    assert!(refusal.is_reported_by_completion());
    let broken = winusb::continue_start(Some(100), 100, 1).unwrap_err();
    assert!(broken.is_reported_by_completion());
    assert_eq!(winusb::continue_start(Some(110), 100, 1), Ok(110));
}

/// WinUSB refuses what is 1024 frames away or more; `isoch` holds a transfer back until it is not.
#[test]
fn a_start_too_far_ahead_is_refused_by_winusb_and_held_back_here() {
    for direction_is_out in [true, false] {
        match direction_is_out {
            true => far_ahead::<Out>(),
            false => far_ahead::<In>(),
        }
    }
}

fn far_ahead<D: Side>() {
    let rig = Rig::<D>::new("winusb", BusClock::OnWait);
    let now = rig.now();
    let refusal = winusb::check_start_frame(now as u32 + 2000, now as u32).unwrap_err();
    assert!(matches!(refusal, Refusal::StartFrameRange { distance: 2000, .. }));
    assert_eq!((refusal.win32_code(), refusal.is_reported_by_completion()), (87, true));
    assert!(winusb::check_start_frame(now as u32 + 1024, now as u32).is_err());
    assert!(winusb::check_start_frame(now as u32 + 1023, now as u32).is_ok());

    let blocks = register(&rig);
    let block = blocks.take().now().unwrap();
    rig.endpoint.submit(block, Start::At(now + 2000)).unwrap();
    let done = rig.complete();
    assert_eq!((done.outcome(), done.frames()), (Outcome::Completed, Some(now + 2000..now + 2010)));
    assert_eq!(rig.wire().len(), 80);
    assert_eq!(rig.wire()[0].microframe, (now + 2000) * 8);
}

/// What is long past is refused by the bus as a whole. It used no frames, and frees those it was to have.
#[test]
fn a_start_too_far_back_is_a_bad_start_frame() {
    for clock in [BusClock::Manual, BusClock::OnWait] {
        let rig = Rig::<Out>::new("winusb", clock);
        rig.bus.advance(3000).unwrap();
        let blocks = register(&rig);
        let now = rig.now();
        assert!(winusb::check_start_frame((now - 2000) as u32, now as u32).is_err());
        rig.endpoint.submit(blocks.take().now().unwrap(), Start::At(now - 2000)).unwrap();
        let done = rig.complete();
        assert_eq!((done.outcome(), done.frames(), done.misplaced()), (Outcome::BadStartFrame, None, None));
        assert!(done.packets().all(|packet| packet.status() == PacketStatus::Cancelled));
        assert!(rig.wire().is_empty());
        drop(done);

        let sent = submit_from(&rig, &blocks, now + 5);
        assert_completed(&rig, &rig.complete_all(3), now + 5);
        assert_wire(&rig.wire(), now + 5..now + 35, &sent);
    }
}

/// What is longer than the bus takes ahead of time can never be served; the frames it named are free again.
#[test]
fn a_transfer_longer_than_the_window_is_refused_and_takes_no_frames() {
    let rig = Rig::<Out>::new("winusb", BusClock::OnWait);
    let long = rig.endpoint.register(Layout::frames(1100).blocks(1)).unwrap();
    let blocks = register(&rig);
    let now = rig.now();
    rig.endpoint.submit(long.take().now().unwrap(), Start::At(now + 900)).unwrap();
    let done = rig.complete();
    assert_eq!((done.outcome(), done.frames()), (Outcome::BadStartFrame, None));
    submit_from(&rig, &blocks, now + 5);
    assert_completed(&rig, &rig.complete_all(3), now + 5);
}

#[test]
fn a_read_that_began_three_frames_ago_misses_three_frames() {
    for (profile, clock) in RIGS {
        let rig = Rig::<In>::new(profile, clock);
        let blocks = register(&rig);
        let now = rig.now();
        rig.endpoint.submit(blocks.take().now().unwrap(), Start::At(now - 3)).unwrap();
        let done = rig.complete();
        assert_eq!(done.outcome(), Outcome::Completed, "reads succeed with late packets");
        let statuses: Vec<PacketStatus> = done.packets().map(|packet| packet.status()).collect();
        assert!(statuses[..24].iter().all(|status| *status == PacketStatus::Late));
        assert!(statuses[24..].iter().all(|status| *status == PacketStatus::Done));
        assert_eq!(done.transferred(), 56 * PACKET as u64);
        assert_eq!(done.frames(), Some(now - 3..now + 7));
        assert_eq!(rig.wire()[0].microframe, now * 8);
        let gap: Vec<_> = done.gaps().map(|gap| (gap.frames, gap.intervals)).collect();
        assert_eq!(gap, [(now - 3..now, 24)]);
    }
}

#[test]
fn a_transfer_that_is_late_as_a_whole_fails_as_a_whole() {
    for (profile, clock) in RIGS {
        let rig = Rig::<Out>::new(profile, clock);
        let blocks = register(&rig);
        let now = rig.now();
        rig.endpoint.submit(blocks.take().now().unwrap(), Start::At(now - 20)).unwrap();
        let done = rig.complete();
        assert_eq!(done.outcome(), Outcome::Late);
        assert!(done.packets().all(|packet| packet.status() == PacketStatus::Late));
        assert!(rig.wire().is_empty());
        assert_eq!(rig.now(), now, "it is known at once");
    }
}

#[test]
fn abort_ends_all_three_and_the_endpoint_can_be_used_again() {
    for (profile, clock) in RIGS {
        abort_and_again::<Out>(profile, clock);
        abort_and_again::<In>(profile, clock);
    }
}

fn abort_and_again<D: Side>(profile: &str, clock: BusClock) {
    let rig = Rig::<D>::new(profile, clock);
    let blocks = register(&rig);
    let now = rig.now();
    submit_from(&rig, &blocks, now + 5);
    rig.bus.advance(8).unwrap(); // three frames of the first have passed
    rig.endpoint.abort();
    assert_eq!(rig.endpoint.in_flight(), 0);
    let done: Vec<Completion> = (0..3).map(|_| rig.endpoint.next_completion().now().unwrap()).collect();
    assert!(done.iter().all(|done| done.outcome() == Outcome::Cancelled));
    assert!(done.windows(2).all(|pair| pair[0].id() < pair[1].id()), "in order");
    assert!(rig.endpoint.next_completion().now().is_none(), "each once");
    let told = rig.endpoint.capabilities().results == Results::PerPacket;
    let served = |done: &Completion| done.packets().filter(|p| p.status() == PacketStatus::Done).count();
    assert_eq!(done.iter().map(served).collect::<Vec<_>>(), [if told { 24 } else { 0 }, 0, 0]);
    assert_eq!(rig.wire().len(), 24);
    drop(done);
    assert_eq!(blocks.free(), 3);
    drop(blocks);

    let blocks = register(&rig);
    let again = rig.now() + 5;
    submit_from(&rig, &blocks, again);
    assert_completed(&rig, &rig.complete_all(3), again);
    let wire = rig.wire().split_off(24);
    assert_eq!(wire.iter().map(|w| w.microframe).collect::<Vec<_>>(), microframes(again..again + 30));
}

/// Three cases from the field: a full-speed sound device, a Bluetooth voice channel, a SuperSpeed camera.
#[test]
fn other_shapes_use_the_frames_that_they_use_on_windows() {
    let full = [("speed", "full"), ("packet", "360"), ("interval", "1")];
    assert_shape(&full, 3528, &[360, 360, 360, 360, 360, 360, 360, 360, 360, 288], 10);
    let voice = [("speed", "full"), ("packet", "17"), ("interval", "1")];
    assert_shape(&voice, 51, &[17, 17, 17], 3);
    let camera = [("speed", "super"), ("burst", "7"), ("mult", "2"), ("interval", "1")];
    assert_shape(&camera, 393_216, &[24_576; 16], 2);
}

fn assert_shape(parameters: &[(&str, &str)], length: u32, packets: &[usize], frames: u64) {
    for profile in ["exact", "winusb"] {
        let bus = bus_with(profile, BusClock::OnWait, "source-sink", parameters);
        let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
        let out: IsochOut = setting.isoch_out(0x02).unwrap();
        let input: IsochIn = setting.isoch_in(0x82).unwrap();
        let speed = setting.device().information().speed;
        let rules = Pipe::new(speed, setting.descriptor().endpoint(0x02).unwrap()).unwrap();
        let transfer = rules.check_write(length * 2, length, length).unwrap();
        assert_eq!((transfer.packets as usize, u64::from(transfer.frames)), (packets.len(), frames));

        let blocks = out.register(Layout::packets(transfer.packets).blocks(2)).unwrap();
        let mut frame = out.clock().now().frame + 24;
        let first = frame;
        for _ in 0..2 {
            let mut block = blocks.take().now().unwrap();
            block.set_length(length as usize).unwrap();
            out.submit(block, Start::At(frame)).unwrap();
            frame = u64::from(transfer.frame_number_out(frame as u32));
        }
        let ends: Vec<_> = (0..2).map(|_| out.next_completion().wait().unwrap().frames().unwrap()).collect();
        assert_eq!(ends, [first..first + frames, first + frames..first + 2 * frames]);
        let lengths: Vec<usize> = common::wire(&bus, 0x02).iter().map(|wire| wire.bytes.len()).collect();
        assert_eq!(lengths, [packets, packets].concat());

        // The same device sends as much as fits.
        let room = input.register(Layout::packets(transfer.packets)).unwrap();
        input.submit(room.take().now().unwrap(), Start::Asap).unwrap();
        let done = input.next_completion().wait().unwrap();
        assert_eq!(done.transferred(), (packets[0] * packets.len()) as u64);
    }
}
