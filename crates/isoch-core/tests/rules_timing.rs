//! Timing, layouts and WinUSB's rules against documented values, and against counting one by one.

use isoch_core::rules::descriptors::{Endpoint, SuperSpeedCompanion, SuperSpeedPlusCompanion};
use isoch_core::rules::layout::{self, LayoutError, StartError};
use isoch_core::rules::timing::{EndpointTiming, OffPhase, Speed, TimingError};
use isoch_core::rules::winusb::{self, Pipe, Refusal, Transfer};
use isoch_core::{Block, Packet};
use proptest::prelude::*;

const OUT: u8 = 0x01;
const IN: u8 = 0x81;
const ISOCHRONOUS: u8 = 1;
const INTERRUPT: u8 = 3;

fn endpoint(address: u8, max_packet_size: u16, interval: u8) -> Endpoint {
    Endpoint::new(address, ISOCHRONOUS, max_packet_size, interval)
}

fn super_speed(max_packet_size: u16, interval: u8, burst: u8, attributes: u8, bytes: u16) -> Endpoint {
    let companion =
        SuperSpeedCompanion { max_burst: burst, attributes, bytes_per_interval: bytes, tail: vec![] };
    Endpoint { super_speed: Some(companion), ..endpoint(OUT, max_packet_size, interval) }
}

fn timing(speed: Speed, max_packet_size: u16, interval: u8) -> EndpointTiming {
    endpoint(OUT, max_packet_size, interval).timing(speed).expect("valid")
}

fn block(bytes: usize, packets: usize) -> Block {
    Block::new(Box::new(vec![0u8; bytes].into_boxed_slice()), packets, 0)
}

fn laid_out(block: &Block) -> Vec<(u32, u32)> {
    block.packets().iter().map(|packet: &Packet| (packet.offset, packet.length)).collect()
}

#[test]
fn intervals_are_decoded_for_each_speed() {
    for (speed, interval, period) in [
        (Speed::Full, 1, 8),
        (Speed::Full, 4, 64),
        (Speed::Full, 16, 8 << 15),
        (Speed::High, 1, 1),
        (Speed::High, 4, 8),
        (Speed::High, 16, 1 << 15),
        (Speed::Super, 2, 2),
        (Speed::SuperPlus, 5, 16),
    ] {
        assert_eq!(timing(speed, 64, interval).period_microframes(), period, "{speed} {interval}");
    }
    for speed in [Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus] {
        for interval in [0, 17, 255] {
            assert_eq!(
                endpoint(OUT, 64, interval).timing(speed),
                Err(TimingError::Interval { interval, speed, maximum: 16 })
            );
        }
    }
    let interrupt = |speed, interval| Endpoint::new(IN, INTERRUPT, 8, interval).timing(speed);
    let period = |speed, interval| interrupt(speed, interval).map(|timing| timing.period_microframes());
    assert_eq!(period(Speed::Low, 10), Ok(80));
    assert_eq!(period(Speed::Full, 255), Ok(2040));
    assert_eq!(period(Speed::High, 4), Ok(8));
    assert_eq!(
        period(Speed::Full, 0),
        Err(TimingError::Interval { interval: 0, speed: Speed::Full, maximum: 255 })
    );
    assert!(period(Speed::High, 17).is_err());
    assert_eq!(Endpoint::new(OUT, 2, 512, 0).timing(Speed::High), Err(TimingError::NotPeriodic));
    assert_eq!(endpoint(OUT, 8, 1).timing(Speed::Low), Err(TimingError::LowSpeedIsochronous));
}

#[test]
fn bytes_of_an_interval_are_those_of_the_descriptors() {
    for (speed, max_packet_size, bytes) in [
        (Speed::Full, 1023, Ok(1023)),
        (Speed::Full, 0x0800 | 196, Ok(196)), // bits 12-11 say nothing at full speed
        (
            Speed::Full,
            1024,
            Err(TimingError::MaxPacketSize { bytes: 1024, speed: Speed::Full, maximum: 1023 }),
        ),
        (Speed::High, 1024, Ok(1024)),
        (Speed::High, 0x0c00, Ok(2048)),
        (Speed::High, 0x1400, Ok(3072)),
        (Speed::High, 0x1c00, Err(TimingError::ReservedTransactions { value: 0x1c00 })),
        (
            Speed::High,
            1025,
            Err(TimingError::MaxPacketSize { bytes: 1025, speed: Speed::High, maximum: 1024 }),
        ),
        (Speed::Full, 0, Ok(0)),
        (Speed::Super, 1024, Ok(1024)), // companion missing
    ] {
        let found = endpoint(OUT, max_packet_size, 1).timing(speed).map(|timing| timing.bytes_per_interval());
        assert_eq!(found, bytes, "{speed} {max_packet_size:#06x}");
    }
    for (burst, attributes, bytes, expected) in [
        (15, 2, 45_000, Ok(45_000)),
        (15, 2, 49_152, Ok(49_152)),
        (15, 2, 65_535, Ok(49_152)), // more than it can send
        (0, 0, 2000, Ok(1024)),
        (3, 1, 8000, Ok(8000)),
        (3, 1, 9000, Ok(8192)),
        (0, 0, 0, Ok(0)),
        (16, 0, 1024, Err(TimingError::MaxBurst { max_burst: 16 })),
        (0, 3, 1024, Err(TimingError::ReservedMult)),
        (0, 0x80, 1, Err(TimingError::MissingSuperSpeedPlusCompanion)),
    ] {
        let found = super_speed(1024, 1, burst, attributes, bytes).timing(Speed::Super);
        assert_eq!(found.map(|timing| timing.bytes_per_interval()), expected, "{burst} {attributes} {bytes}");
    }
    for (bytes, expected) in [
        (98_304, Ok(98_304)),
        (0x00ff_ffff, Ok(0x00ff_ffff)),
        (0x0100_0000, Err(TimingError::BytesPerInterval { bytes: 0x0100_0000 })),
    ] {
        let plus = SuperSpeedPlusCompanion { reserved: 0, bytes_per_interval: bytes, tail: vec![] };
        let with = |attributes| Endpoint {
            super_speed_plus: Some(plus.clone()),
            ..super_speed(1024, 1, 15, attributes, 1)
        };
        let found = with(0x80).timing(Speed::SuperPlus).map(|timing| timing.bytes_per_interval());
        assert_eq!(found, expected);
        // Without bit 7, nobody asked for it.
        assert_eq!(with(0).timing(Speed::SuperPlus).map(|timing| timing.bytes_per_interval()), Ok(1));
    }
    // Interrupt endpoints have no Mult: the bits are reserved there.
    let interrupt = Endpoint { attributes: INTERRUPT, ..super_speed(1024, 1, 2, 3, 3072) };
    assert_eq!(interrupt.timing(Speed::Super).map(|timing| timing.bytes_per_interval()), Ok(3072));
}

#[test]
fn documented_check_values() {
    // "transfer-data-to-isochronous-endpoints": 25 575 bytes are 25 packets of 1023.
    let full = timing(Speed::Full, 1023, 1);
    assert_eq!(layout::packets_for_bytes(&full, 25_575), Some(25));
    assert_eq!(full.bytes_per_frame(), Some(1023));
    // High speed, three transactions of 1024: 24 576 bytes in a frame.
    assert_eq!(timing(Speed::High, 0x1400, 1).bytes_per_frame(), Some(24_576));
    // SuperSpeed: wBytesPerInterval 45 000, not the 49 152 that burst and Mult would allow.
    let endpoint = super_speed(1024, 1, 15, 2, 45_000);
    assert_eq!(endpoint.timing(Speed::Super).expect("valid").bytes_per_frame(), Some(360_000));
    // The article: 10 frames are 81 920 bytes and 80 packets.
    let article = timing(Speed::High, 1024, 1);
    assert_eq!(layout::bytes_for_frames(&article, 10), Some(81_920));
    assert_eq!(article.packets_in_frames(10), Some(80));
    assert_eq!(layout::frames_used(&article, 0, 80), 10);
    assert_eq!(layout::next_frame(&article, 8 * 105, 80), 115);
}

#[test]
fn packets_per_frame_follow_the_period() {
    for (speed, interval, expected) in [
        (Speed::High, 1, Some(8)),
        (Speed::High, 2, Some(4)),
        (Speed::High, 3, Some(2)),
        (Speed::High, 4, Some(1)),
        (Speed::High, 5, None),
        (Speed::Full, 1, Some(1)),
        (Speed::Full, 2, None),
    ] {
        let timing = timing(speed, 64, interval);
        assert_eq!(timing.packets_per_frame(), expected, "{speed} {interval}");
        assert_eq!(timing.bytes_per_frame(), expected.map(|packets| u64::from(packets) * 64));
    }
    let long = timing(Speed::High, 64, 6); // every 4 frames
    assert_eq!(long.packets_in_frames(8), Some(2));
    assert_eq!(long.packets_in_frames(6), None);
    assert_eq!(long.packets_in_frames(u64::MAX), None);
    assert_eq!(layout::bytes_for_frames(&long, 8), Some(128));
}

#[test]
fn long_periods_have_frames_without_an_interval() {
    let long = timing(Speed::High, 64, 6); // 32 microframes
    assert_eq!(layout::check_start(&long, 0, 8, None), Ok(64));
    assert_eq!(layout::check_start(&long, 0, 9, None), Err(StartError::OffPhase(OffPhase { next: 12 })));
    assert_eq!(layout::check_start(&long, 75, 9, None), Ok(75));
    assert_eq!(layout::check_start(&long, 75, 10, None), Err(StartError::OffPhase(OffPhase { next: 13 })));
    // What was taken counts first: `next` would be wrong advice.
    assert_eq!(
        layout::check_start(&long, 0, 9, Some(16)),
        Err(StartError::Overlap { start: 9, next_free: 16 })
    );
    assert_eq!(layout::check_start(&long, 0, 16, Some(16)), Ok(128));
    assert_eq!(layout::frames_used(&long, 64, 2), 8);
    // A period of a frame whose intervals do not start with the frame still takes one frame each.
    let frame = timing(Speed::High, 64, 4);
    assert_eq!(layout::check_start(&frame, 3, 10, None), Ok(83));
    assert_eq!(layout::next_frame(&frame, 83, 2), 12);
}

#[test]
fn layouts_put_bytes_where_they_say() {
    // Field logs: full speed, 360 bytes, 3528 bytes written are 9 full packets and one of 288.
    let full = timing(Speed::Full, 360, 1);
    let mut memory = block(7200, 20);
    assert_eq!(layout::full_then_short(&mut memory, &full, 3600, 3528), Ok(10));
    let mut expected: Vec<_> = (0..9).map(|packet| (3600 + 360 * packet, 360)).collect();
    expected.push((6840, 288));
    assert_eq!(laid_out(&memory), expected);

    assert_eq!(layout::full_packets(&mut memory, &full, 10, 3), Ok(()));
    assert_eq!(laid_out(&memory), [(10, 360), (370, 360), (730, 360)]);
    assert_eq!(layout::at_stride(&mut memory, &full, 10, &[4, 0, 360]), Ok(()));
    assert_eq!(laid_out(&memory), [(10, 4), (370, 0), (730, 360)]);
    assert_eq!(layout::packed(&mut memory, &full, 10, &[4, 0, 360]), Ok(()));
    assert_eq!(laid_out(&memory), [(10, 4), (14, 0), (14, 360)]);
    assert_eq!(layout::filler(&mut memory, 2), Ok(()));
    assert_eq!(laid_out(&memory), [(0, 0), (0, 0)]);
}

#[test]
fn layouts_refuse_and_change_nothing() {
    let full = timing(Speed::Full, 100, 1);
    let nothing = timing(Speed::Full, 0, 1);
    let mut memory = block(250, 4);
    let capacity = memory.packet_capacity();
    layout::filler(&mut memory, 3).expect("fits");
    let beyond = |end| LayoutError::BeyondMemory { end, memory: 250 };
    let too_many = |packets| LayoutError::TooManyPackets { packets, capacity };
    let too_long = LayoutError::PacketTooLong { packet: 1, length: 101, maximum: 100 };
    for (found, expected) in [
        (layout::full_then_short(&mut memory, &full, 0, 0).err(), LayoutError::NoPackets),
        (layout::full_then_short(&mut memory, &full, 0, 251).err(), beyond(251)),
        (layout::full_then_short(&mut memory, &full, u32::MAX, 1).err(), beyond(1 << 32)),
        (layout::full_then_short(&mut memory, &full, 0, 401).err(), too_many(5)),
        (layout::full_then_short(&mut memory, &nothing, 0, 1).err(), LayoutError::NoBandwidth),
        (layout::full_packets(&mut memory, &full, 0, 0).err(), LayoutError::NoPackets),
        (layout::full_packets(&mut memory, &full, 0, 3).err(), beyond(300)),
        (layout::full_packets(&mut memory, &full, 0, u32::MAX).err(), too_many(u64::from(u32::MAX))),
        (layout::at_stride(&mut memory, &full, 0, &[]).err(), LayoutError::NoPackets),
        (layout::at_stride(&mut memory, &full, 0, &[0, 0, 51]).err(), beyond(251)),
        (layout::at_stride(&mut memory, &full, 0, &[1, 101]).err(), too_long),
        (layout::packed(&mut memory, &full, 0, &[1, 101]).err(), too_long),
        (layout::packed(&mut memory, &full, 51, &[100, 100]).err(), beyond(251)),
        (layout::packed(&mut memory, &full, 0, &[1; 5]).err(), too_many(5)),
        (layout::packed(&mut memory, &full, 0, &[]).err(), LayoutError::NoPackets),
        (layout::filler(&mut memory, 0).err(), LayoutError::NoPackets),
        (layout::filler(&mut memory, 5).err(), too_many(5)),
    ] {
        assert_eq!(found, Some(expected));
        assert_eq!(laid_out(&memory), [(0, 0); 3], "the block is as it was");
    }
    // The last byte and the last packet may be used.
    assert_eq!(layout::at_stride(&mut memory, &full, 0, &[0, 0, 50]), Ok(()));
    assert_eq!(layout::full_then_short(&mut memory, &full, 50, 200), Ok(2));
}

#[test]
fn speeds_are_read_and_shown() {
    for (text, speed) in [
        ("full", Speed::Full),
        ("FS", Speed::Full),
        ("full speed", Speed::Full),
        ("high-speed", Speed::High),
        ("super", Speed::Super),
        ("SuperSpeed", Speed::Super),
        ("super+", Speed::SuperPlus),
        ("low", Speed::Low),
    ] {
        assert_eq!(text.parse(), Ok(speed), "{text}");
    }
    for speed in [Speed::Low, Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus] {
        assert_eq!(speed.to_string().parse(), Ok(speed));
    }
    assert_eq!(Speed::Full.to_string(), "full speed");
    let error = "warp".parse::<Speed>().expect_err("no speed");
    assert_eq!(error.to_string(), "\"warp\" is no USB speed: use low, full, high, super or super-plus");
    assert!("speed".parse::<Speed>().is_err());
    assert!("".parse::<Speed>().is_err());
}

fn pipe(speed: Speed, endpoint: &Endpoint) -> Pipe {
    Pipe::new(speed, endpoint).expect("usable")
}

#[test]
fn the_article_is_accepted() {
    let write = pipe(Speed::High, &endpoint(OUT, 1024, 1));
    assert_eq!((write.packets_per_frame(), write.bytes_per_frame()), (8, 8192));
    let mut frame_number = 100 + winusb::ASAP_LEAD_FRAMES;
    for (transfer, after) in (0..3).zip([115, 125, 135]) {
        let accepted = write.check_write(245_760, 81_920 * transfer, 81_920).expect("accepted");
        assert_eq!((accepted.packets, accepted.frames), (80, 10));
        frame_number = accepted.frame_number_out(frame_number);
        assert_eq!(frame_number, after);
    }
    let read = pipe(Speed::High, &endpoint(IN, 1024, 1));
    let accepted = Transfer { offset: 81_920, length: 81_920, packets: 80, frames: 10 };
    assert_eq!(read.check_read(245_760, 81_920, 81_920, 80), Ok(accepted));
    // Its negative checks.
    assert_eq!(
        read.check_read(245_760, 0, 81_919, 80),
        Err(Refusal::PartialFrame { length: 81_919, bytes_per_frame: 8192 })
    );
    assert_eq!(
        read.check_read(245_760, 0, 81_920, 79),
        Err(Refusal::PacketCount { number_of_packets: 79, expected: 80 })
    );
    assert_eq!(
        read.check_read(245_760, 245_760, 81_920, 80),
        Err(Refusal::BeyondBuffer { offset: 245_760, length: 81_920, registered: 245_760 })
    );
    assert_eq!(read.check_read(245_760, 0, 0, 80), Err(Refusal::NoBytes));
    assert_eq!(read.check_read(245_760, 0, 81_920, 0), Err(Refusal::NoPackets));
    assert_eq!(read.check_write(245_760, 0, 81_920), Err(Refusal::WrongDirection));
    assert_eq!(write.check_read(245_760, 0, 81_920, 80), Err(Refusal::WrongDirection));
}

#[test]
fn shipping_clients_are_accepted() {
    // An audio driver at full speed: 9 packets of 360 and one of 288, in ten frames.
    let audio = pipe(Speed::Full, &endpoint(OUT, 360, 1));
    let accepted = audio.check_write(7200, 3600, 3528).expect("accepted");
    assert_eq!((accepted.packets, accepted.frames), (10, 10));
    assert_eq!(accepted.frame_number_out(u32::MAX), 9, "frame numbers wrap");
    // Bluetooth voice: 3 packets, at offsets that are no multiple of anything.
    let voice = pipe(Speed::Full, &endpoint(IN, 9, 1));
    assert_eq!(voice.check_read(1176, 147 * 7, 27, 3).map(|accepted| accepted.frames), Ok(3));
    // High speed OUT that ends inside a frame uses the whole of it.
    let odd = pipe(Speed::High, &endpoint(OUT, 1024, 1));
    assert_eq!(odd.check_write(100_000, 1, 8193).map(|accepted| accepted.frames), Ok(2));
    // A camera bridge at SuperSpeed: 16 packets of 24 576 bytes are 2 ms.
    let camera = Endpoint { address: IN, ..super_speed(1024, 1, 15, 2, 24_576) };
    let camera = pipe(Speed::Super, &camera);
    assert_eq!(camera.check_read(393_216, 0, 393_216, 16).map(|accepted| accepted.frames), Ok(2));
}

#[test]
fn limits_are_where_they_are_documented() {
    for (speed, packets) in [(Speed::Full, 255), (Speed::High, 1024)] {
        let write = pipe(speed, &endpoint(OUT, 10, 1));
        assert!(write.check_write(u32::MAX, 0, packets * 10).is_ok(), "{speed}");
        assert_eq!(
            write.check_write(u32::MAX, 0, packets * 10 + 1),
            Err(Refusal::TooManyPackets { packets: packets + 1, speed, maximum: packets })
        );
    }
    let write = pipe(Speed::Full, &endpoint(OUT, 10, 1));
    assert!(write.check_write(30, 20, 10).is_ok());
    for (registered, offset, length) in [(30, 21, 10), (30, u32::MAX, 10), (u32::MAX, u32::MAX, 1)] {
        let refusal = write.check_write(registered, offset, length);
        assert_eq!(refusal, Err(Refusal::BeyondBuffer { offset, length, registered }));
    }
    assert_eq!(winusb::check_registration(1), Ok(()));
    assert_eq!(winusb::check_registration(0).map_err(|refusal| refusal.win32_code()), Err(1784));
}

#[test]
fn unusable_pipes_say_why() {
    for (speed, endpoint, refusal) in [
        (Speed::High, Endpoint::new(OUT, 2, 512, 0), Refusal::NotIsochronous),
        (Speed::High, endpoint(OUT, 0, 1), Refusal::NoBandwidth),
        (Speed::High, endpoint(OUT, 64, 5), Refusal::LongPeriod { period: 16 }),
        (Speed::Full, endpoint(OUT, 64, 2), Refusal::LongPeriod { period: 16 }),
        (
            Speed::Full,
            endpoint(OUT, 64, 0),
            Refusal::Timing(TimingError::Interval { interval: 0, speed: Speed::Full, maximum: 16 }),
        ),
    ] {
        assert_eq!(Pipe::new(speed, &endpoint), Err(refusal));
        assert_eq!(refusal.win32_code(), 87);
        assert!(!refusal.is_reported_by_completion());
    }
}

#[test]
fn start_frames_are_near() {
    for current in [0u32, 5, 1_000_000, u32::MAX, i32::MAX as u32] {
        for (distance, near) in
            [(0i32, true), (1023, true), (1024, false), (-1023, true), (-1024, false), (i32::MIN, false)]
        {
            let start = current.wrapping_add_signed(distance);
            let result = winusb::check_start_frame(start, current);
            assert_eq!(result.is_ok(), near, "{start} at {current}");
            if let Err(refusal) = result {
                assert_eq!(refusal, Refusal::StartFrameRange { start, current, distance });
                assert!(refusal.is_reported_by_completion());
                assert_eq!(refusal.win32_code(), 87);
            }
        }
    }
    assert_eq!(winusb::asap_start(u32::MAX), 4);
}

#[test]
fn streams_go_on_only_without_a_hole() {
    assert_eq!(winusb::continue_start(None, 100, 2), Err(Refusal::NoStream));
    assert_eq!(winusb::continue_start(Some(103), 100, 2), Ok(103));
    assert_eq!(winusb::continue_start(Some(102), 100, 2), Err(Refusal::StreamBroken { next: 102 }));
    assert_eq!(winusb::continue_start(Some(99), 100, 0), Err(Refusal::StreamBroken { next: 99 }));
    assert_eq!(winusb::continue_start(Some(2), u32::MAX, 2), Ok(2));
    assert!(Refusal::NoStream.is_reported_by_completion(), "libusb recovers in the completion only");
}

#[test]
fn frame_numbers_are_adjusted_within_a_second() {
    let adjust = |elapsed: i64| winusb::adjusted_frame_number(7, 50, 50 + elapsed, 10_000_000);
    assert_eq!(adjust(0), Ok(7));
    assert_eq!(adjust(19_999), Ok(8), "whole milliseconds");
    assert_eq!(adjust(10_009_999), Ok(1007));
    assert_eq!(adjust(10_010_000), Err(Refusal::TimeStampAge { milliseconds: 1001 }));
    assert_eq!(adjust(-10_000), Err(Refusal::TimeStampAge { milliseconds: -1 }));
    assert_eq!(winusb::adjusted_frame_number(u32::MAX, 0, 2, 1000), Ok(1));
    assert_eq!(winusb::adjusted_frame_number(7, 0, 0, 0), Err(Refusal::CounterFrequency));
    assert!(winusb::adjusted_frame_number(7, i64::MIN, i64::MAX, 1).is_err());
}

fn any_timing() -> impl Strategy<Value = EndpointTiming> {
    let speed = prop::sample::select(vec![Speed::Full, Speed::High, Speed::Super]);
    (speed, 1u16..1024, 1u8..=16).prop_map(|(speed, size, interval)| timing(speed, size, interval))
}

proptest! {
    #[test]
    fn frames_used_are_those_counted_one_by_one(
        timing in any_timing(), start in 0u64..100_000, packets in 1u64..300,
    ) {
        let period = timing.period_microframes();
        let starts: Vec<u64> = (0..packets).map(|packet| start + packet * period).collect();
        let last = starts.last().expect("at least one") / 8;
        let next = layout::next_frame(&timing, start, packets);
        prop_assert!(next > last, "no frame is used twice");
        prop_assert!(next <= last + period.div_ceil(8), "no interval is left out");
        prop_assert_eq!(next, layout::frames_used(&timing, start, packets) + start / 8);
        prop_assert_eq!(layout::next_microframe(&timing, start, packets), start + packets * period);
        let mut frames: Vec<u64> = starts.iter().map(|start| start / 8).collect();
        frames.dedup();
        if let Some(per_frame) = timing.packets_per_frame() {
            prop_assert_eq!(next - start / 8, frames.len() as u64);
            if start % 8 == 0 {
                prop_assert_eq!(frames.len() as u64, packets.div_ceil(u64::from(per_frame)));
            }
        }
    }

    #[test]
    fn alignment_finds_the_first_interval(
        timing in any_timing(), microframe in 0u64..1 << 40, phase: u64,
    ) {
        let period = timing.period_microframes();
        let aligned = timing.align_up(microframe, phase);
        prop_assert!(aligned >= microframe && aligned - microframe < period);
        prop_assert_eq!(aligned % period, phase % period);
        let frame = microframe / 8;
        match timing.first_in_frame(frame, phase) {
            Ok(first) => prop_assert_eq!(first / 8, frame),
            Err(OffPhase { next }) => {
                prop_assert!(period > 8 && next > frame);
                prop_assert_eq!(timing.first_in_frame(next, phase).map(|first| first / 8), Ok(next));
            }
        }
    }

    #[test]
    fn a_length_is_laid_out_without_holes(
        timing in any_timing(), offset in 0u32..5000, length in 0u32..5000, capacity in 1usize..40,
    ) {
        let mut memory = block(6000, capacity);
        let result = layout::full_then_short(&mut memory, &timing, offset, length);
        if let Ok(packets) = result {
            let packets_found = laid_out(&memory);
            prop_assert_eq!(packets as usize, packets_found.len());
            let mut at = offset;
            for (start, bytes) in &packets_found {
                prop_assert_eq!(*start, at);
                at += bytes;
            }
            prop_assert_eq!(at, offset + length);
            let full = packets_found.len() - 1;
            prop_assert!(packets_found[..full].iter().all(|(_, bytes)| *bytes == timing.bytes_per_interval()));
        } else {
            let packets = length.div_ceil(timing.bytes_per_interval()) as usize;
            let fits = packets > 0 && packets <= memory.packet_capacity() && offset + length <= 6000;
            prop_assert!(!fits, "{:?}", result);
        }
    }

    #[test]
    fn nothing_panics_at_the_ends_of_the_numbers(
        timing in any_timing(), a: u64, b: u64, offset: u32, length: u32, packets: u32, registered: u32,
    ) {
        let _ = (timing.align_up(a, b), timing.first_in_frame(a, b), timing.packets_in_frames(a));
        let _ = (layout::next_frame(&timing, a, b), layout::frames_used(&timing, a, b));
        let _ = (layout::bytes_for_frames(&timing, a), layout::packets_for_bytes(&timing, b));
        let _ = layout::check_start(&timing, a, b, Some(a));
        let mut memory = block(4096, 16);
        let _ = layout::full_then_short(&mut memory, &timing, offset, length);
        let _ = layout::full_packets(&mut memory, &timing, offset, packets);
        let _ = layout::at_stride(&mut memory, &timing, offset, &[length, packets]);
        let _ = layout::packed(&mut memory, &timing, offset, &[length, packets]);
        let end = memory.packets().iter().map(|packet| u64::from(packet.offset) + u64::from(packet.length));
        prop_assert!(end.max().unwrap_or(0) <= 4096);
        for address in [IN, OUT] {
            let Ok(pipe) = Pipe::new(Speed::High, &endpoint(address, (a % 1025) as u16, (b % 5) as u8)) else {
                continue;
            };
            for accepted in [
                pipe.check_write(registered, offset, length),
                pipe.check_read(registered, offset, length, packets),
            ].into_iter().flatten() {
                prop_assert!(u64::from(offset) + u64::from(length) <= u64::from(registered));
                prop_assert!(accepted.packets >= 1 && accepted.packets <= 1024);
            }
        }
        let _ = winusb::check_start_frame(offset, length);
        let _ = winusb::continue_start(Some(offset), length, packets);
        let _ = winusb::adjusted_frame_number(offset, a as i64, b as i64, i64::from(length));
    }
}
