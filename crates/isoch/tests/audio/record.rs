//! What a device records arrives: every byte, as often as its clock says.

use std::sync::atomic::{AtomicBool, Ordering};

use isoch::audio::{Recorded, Recorder, StreamOptions};
use isoch::emulated::BusClock;
use isoch::emulated::profile::Profile;
use isoch::{Completion, Direction, Error, GapReport, Outcome, Start, VirtualBus};

use crate::rig::{Seen, began_at, contiguous, fact, format, noise, soon, temporary, write_wav};

/// Records so many sample frames, or all there are, and notes every completion.
fn record(recorder: &mut Recorder, frames: Option<u64>) -> (Result<Recorded, Error>, Vec<Seen>) {
    let mut seen = Vec::new();
    let mut sink = |done: &Completion| {
        seen.push(Seen::new(done));
        Ok(())
    };
    let recorded = recorder.record(frames, &mut sink, &AtomicBool::new(false));
    (recorded, seen)
}

fn bytes(seen: &[Seen]) -> Vec<u8> {
    seen.iter().flat_map(|done| done.bytes.clone()).collect()
}

#[test]
fn a_file_is_recorded_byte_by_byte() {
    let mut number = 0;
    for profile in Profile::NAMES {
        for (rate, bits, channels) in [(44_100, 16, 2), (48_000, 24, 1), (96_000, 8, 2), (8_000, 32, 1)] {
            number += 1;
            let name = format!("record-{number}");
            let slot = usize::from(bits) / 8 * usize::from(channels);
            let sample_frames = rate as usize * 2;
            let samples = noise(sample_frames * slot, number);
            let path = temporary(&name);
            write_wav(&path, rate, u16::from(bits), u16::from(channels), &samples);
            let file = path.display();
            let address =
                format!("virtual:{name}/microphone?clock=on-wait&as={profile}&file={file}&end=silence");
            let device = isoch::open(&address).unwrap();
            let options = soon(&device);
            let Start::At(frame) = options.start else { unreachable!() };
            let format = format(&device, Direction::In, rate, bits, channels);
            let mut recorder = Recorder::open(&device, &format, rate, options).unwrap();
            let (recorded, seen) = record(&mut recorder, Some(sample_frames as u64));
            let recorded = recorded.unwrap();
            let capabilities = *recorder.endpoint().capabilities();
            began_at(frame, &seen, &recorded.statistics, capabilities.start);
            let gap = if capabilities.gaps { GapReport::None } else { GapReport::Unknowable };
            assert!(seen.iter().all(|done| done.gap == gap), "{profile}");
            assert!(bytes(&seen)[..samples.len()] == samples, "{profile}: other bytes arrived");
            let more = recorded.sample_frames - sample_frames as u64;
            assert!(more < u64::from(rate) / 500, "{profile}: {more} more than a transfer");
            assert_eq!(
                (recorded.bytes_cut, recorded.stopped, recorder.endpoint().in_flight()),
                (0, false, 0)
            );
            let measured = recorded.rate.unwrap();
            assert!((measured / f64::from(rate) - 1.0).abs() < 1e-3, "{profile}: {measured}");
        }
    }
}

#[test]
fn the_rate_of_a_device_is_measured() {
    for ppm in [-200.0, 100.0] {
        let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
        let parameters = [("device_ppm", &*f64::to_string(&ppm)), ("signal", "counter")];
        bus.plug_kind("microphone", "microphone", &parameters).unwrap();
        let device = bus.open("microphone").unwrap();
        let format = format(&device, Direction::In, 48_000, 32, 1);
        let mut recorder = Recorder::open(&device, &format, 48_000, soon(&device)).unwrap();
        let (mut next, mut seconds) = (0_u32, Vec::new());
        let mut sink = |done: &Completion| {
            for packet in done.packets() {
                for sample in packet.bytes().chunks_exact(4) {
                    assert_eq!(u32::from_le_bytes(sample.try_into().unwrap()), next);
                    next += 1;
                }
            }
            seconds.push(done.transferred());
            Ok(())
        };
        let recorded = recorder.record(Some(48_000 * 60), &mut sink, &false.into()).unwrap();
        assert_eq!(recorded.sample_frames, u64::from(next));
        let device_rate = 48_000.0 * (1.0 + ppm / 1e6);
        assert!((recorded.rate.unwrap() - device_rate).abs() < 0.1, "{ppm}: {recorded:?}");
        assert!((recorded.smallest_rate.unwrap() - device_rate).abs() <= 1.0, "{ppm}: {recorded:?}");
        assert!((recorded.largest_rate.unwrap() - device_rate).abs() <= 1.0, "{ppm}: {recorded:?}");
        assert_eq!(fact(&bus, "microphone", "samples_lost"), 0);
    }
}

#[test]
fn stopped_it_gives_what_is_queued_and_no_more() {
    let device = isoch::open("virtual:record-stop/microphone?clock=on-wait").unwrap();
    let format = format(&device, Direction::In, 48_000, 16, 2);
    let mut recorder = Recorder::open(&device, &format, 48_000, soon(&device)).unwrap();
    let (stop, mut seen) = (AtomicBool::new(false), Vec::new());
    let mut sink = |done: &Completion| {
        seen.push(Seen::new(done));
        stop.store(seen.len() >= 10, Ordering::Relaxed);
        Ok(())
    };
    let recorded = recorder.record(None, &mut sink, &stop).unwrap();
    assert_eq!((recorded.stopped, seen.len()), (true, 13));
    assert_eq!(contiguous(&seen).count(), 26);
    assert_eq!(recorded.sample_frames, bytes(&seen).len() as u64 / 4);

    // It can go on; nothing is nothing; and a sink's error ends it.
    let (recorded, seen) = record(&mut recorder, Some(480));
    assert_eq!((contiguous(&seen).count(), recorded.unwrap().stopped), (10, false));
    let (nothing, seen) = record(&mut recorder, Some(0));
    assert_eq!((nothing.unwrap().stopped, seen), (false, vec![]));
    let mut calls = 0;
    let mut full = |_: &Completion| {
        calls += 1;
        Err(Error::Unsupported("the disk is full".into()))
    };
    let error = recorder.record(None, &mut full, &false.into()).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), calls, recorder.endpoint().in_flight()),
        ("the disk is full", 1, 0)
    );
}

#[test]
fn unplugged_it_says_so_after_all_completions() {
    let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
    bus.plug_kind("microphone", "microphone", &[]).unwrap();
    let device = bus.open("microphone").unwrap();
    let format = format(&device, Direction::In, 48_000, 16, 2);
    let mut recorder = Recorder::open(&device, &format, 48_000, StreamOptions::default()).unwrap();
    let mut seen = Vec::new();
    let mut sink = |done: &Completion| {
        seen.push(Seen::new(done));
        if seen.len() == 10 {
            bus.unplug("microphone").unwrap();
        }
        Ok(())
    };
    let error = recorder.record(None, &mut sink, &false.into()).unwrap_err();
    assert!(matches!(error, Error::Gone), "{error:?}");
    assert_eq!(seen.len(), 13);
    contiguous(&seen[..10]);
    assert!(seen[10..].iter().all(|done| done.outcome == Outcome::DeviceGone));
}
