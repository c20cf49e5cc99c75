//! What is played arrives: every byte, on the frames asked for.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use isoch::audio::{self, Player, SampleFormat, StreamOptions};
use isoch::emulated::BusClock;
use isoch::emulated::profile::Profile;
use isoch::{
    Direction, Error, FrameSource, GapReport, Outcome, PacketStatus, Results, Start, StartSupport, VirtualBus,
};

use crate::rig::{
    Seen, began_at, contiguous, fact, format, noise, play, player, soon, temporary, wav_samples,
};

const RATES: [u32; 3] = [44_100, 48_000, 96_000];
const BITS: [u8; 4] = [8, 16, 24, 32];

#[test]
fn every_format_arrives_byte_by_byte() {
    for (rate, bits, channels) in
        RATES.iter().flat_map(|rate| BITS.iter().flat_map(move |bits| [1, 2].map(|c| (*rate, *bits, c))))
    {
        let name = format!("play-{rate}-{bits}-{channels}");
        let path = temporary(&name);
        let address = format!("virtual:{name}/speaker?clock=on-wait&save={}", path.display());
        let device = isoch::open(&address).unwrap();
        let format = format(&device, Direction::Out, rate, bits, channels);
        assert_eq!(format.sample == SampleFormat::Pcm8, bits == 8);
        let options = soon(&device);
        let Start::At(frame) = options.start else { unreachable!() };
        let mut player = Player::open(&device, &format, rate, options).unwrap();

        // Not a whole number of packets, nor of samples.
        let slot = format.slot_bytes() as usize;
        let sample_frames = rate as usize * 2 + 17;
        let samples = noise(sample_frames * slot, u64::from(rate) + u64::from(bits));
        let cut = &[&samples[..], &[1, 2, 3][..slot.min(4) - 1]].concat();
        let (played, seen) = play(&mut player, cut);
        let played = played.unwrap();

        let frames = contiguous(&seen);
        assert_eq!(frames.start, frame, "{name}");
        // Feedback asks for a little more or less while the buffer fills.
        assert!((1995..=2005).contains(&(frames.end - frames.start)), "{name}: {frames:?}");
        for done in &seen {
            assert_eq!((done.source, &done.gap), (FrameSource::Reported, &GapReport::None), "{name}");
            assert!(
                done.packets
                    .iter()
                    .all(|(status, length)| { *status == PacketStatus::Done && length % slot == 0 })
            );
        }
        assert_eq!(played.sample_frames, sample_frames as u64, "{name}");
        assert_eq!((played.sample_frames_lost, played.sample_frames_unknown), (0, 0));
        assert_eq!(played.bytes_dropped, slot.min(4) as u64 - 1, "{name}");
        assert_eq!(played.statistics.everything_placed(), Some(true));
        assert!(played.feedback_values > 1900 && !played.stopped, "{played:?}");
        drop(player);
        assert!(wav_samples(&path) == samples, "{name}: other bytes arrived");
    }
}

#[test]
fn on_every_bus_the_bytes_arrive_without_a_hole() {
    for profile in Profile::NAMES {
        for rate in RATES {
            let name = format!("play-as-{profile}-{rate}");
            let path = temporary(&name);
            let save = path.display();
            let address = format!("virtual:{name}/speaker?clock=on-wait&as={profile}&save={save}");
            let device = isoch::open(&address).unwrap();
            let options = soon(&device);
            let Start::At(frame) = options.start else { unreachable!() };
            let mut player = player(&device, rate, options);
            let capabilities = *player.endpoint().capabilities();
            assert_ne!(capabilities.start, StartSupport::AsapOnly);

            let samples = noise(rate as usize * 8 + 20, 7);
            let (played, seen) = play(&mut player, &samples);
            let played = played.unwrap();
            began_at(frame, &seen, &played.statistics, capabilities.start);
            let gap = if capabilities.gaps { GapReport::None } else { GapReport::Unknowable };
            for done in &seen {
                assert_eq!(done.gap, gap, "{name}: {:?}", done.frames);
            }
            let sample_frames = (samples.len() / 4) as u64;
            let told = (played.sample_frames, played.sample_frames_unknown, played.sample_frames_lost);
            if capabilities.results == Results::PerPacket {
                assert_eq!(told, (sample_frames, 0, 0), "{name}");
            } else {
                assert_eq!(told, (0, sample_frames, 0), "{name}");
            }
            drop(player);
            assert!(wav_samples(&path) == samples, "{name}: other bytes arrived");
        }
    }
}

/// Gives bytes in odd pieces, is interrupted in between, and fails or ends at last.
struct Awkward {
    bytes: Vec<u8>,
    at: usize,
    calls: usize,
    fails: bool,
}

impl Read for Awkward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.at == self.bytes.len() && self.fails {
            return Err(io::Error::other("the disk is on fire"));
        }
        let length = buffer.len().min(self.calls * 7 % 31 + 1).min(self.bytes.len() - self.at);
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[test]
fn a_source_may_be_awkward_and_may_fail() {
    for fails in [false, true] {
        let name = format!("play-awkward-{fails}");
        let path = temporary(&name);
        let device =
            isoch::open(&format!("virtual:{name}/speaker?clock=on-wait&save={}", path.display())).unwrap();
        let mut player = player(&device, 48_000, soon(&device));
        let samples = noise(30_003, 3);
        let mut source = Awkward { bytes: samples.clone(), at: 0, calls: 0, fails };
        let mut seen = Vec::new();
        let played = player.play(&mut source, &mut |done| seen.push(Seen::new(done)), &false.into());
        match played {
            Ok(played) => assert_eq!((fails, played.bytes_dropped), (false, 3)),
            Err(error) => {
                assert!(fails);
                assert_eq!(error.to_string(), "reading the samples to play: the disk is on fire");
            }
        }
        contiguous(&seen);
        drop(player);
        assert!(wav_samples(&path) == samples[..30_000], "what came before is played");
    }
}

#[test]
fn stopped_it_sends_what_is_queued_and_no_more() {
    let path = temporary("play-stop");
    let address = format!("virtual:play-stop/speaker?clock=on-wait&save={}", path.display());
    let device = isoch::open(&address).unwrap();
    let mut player = player(&device, 48_000, soon(&device));
    let (stop, mut seen) = (AtomicBool::new(false), Vec::new());
    let samples = noise(192_000, 5);
    let mut on_done = |done: &isoch::Completion| {
        seen.push(Seen::new(done));
        stop.store(seen.len() >= 10, Ordering::Relaxed);
    };
    let played = player.play(&mut &samples[..], &mut on_done, &stop).unwrap();
    // Three more were queued behind the tenth.
    assert_eq!((played.stopped, seen.len(), player.endpoint().in_flight()), (true, 13, 0));
    assert_eq!(contiguous(&seen).count(), 26);
    assert_eq!(played.sample_frames, 26 * 48);

    // It can go on: as a new stream, as soon as possible.
    let (again, seen) = play(&mut player, &samples[26 * 192..]);
    // A little more or less by feedback.
    assert!((970..=976).contains(&contiguous(&seen).count()));
    assert_eq!(again.unwrap().sample_frames, 48_000 - 26 * 48);
    drop(player);
    assert!(wav_samples(&path) == samples);

    // And if it is stopped before it begins, it does not.
    let mut player = player_again(&device);
    let stopped = player.play(&mut &samples[..], &mut |_| panic!("nothing was sent"), &true.into());
    assert!(stopped.unwrap().stopped);
}

fn player_again(device: &isoch::Device) -> Player {
    player(device, 48_000, StreamOptions::default())
}

#[test]
fn unplugged_it_says_so_after_all_completions() {
    let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
    bus.plug_kind("speaker", "speaker", &[]).unwrap();
    let device = bus.open("speaker").unwrap();
    let mut player = player(&device, 48_000, soon(&device));
    let samples = noise(192_000, 5);
    let mut seen = Vec::new();
    let mut on_done = |done: &isoch::Completion| {
        seen.push(Seen::new(done));
        if seen.len() == 10 {
            bus.unplug("speaker").unwrap();
        }
    };
    let error = player.play(&mut &samples[..], &mut on_done, &false.into()).unwrap_err();
    assert!(matches!(error, Error::Gone), "{error:?}");
    assert!(error.to_string().contains("unplugged"), "{error}");
    assert_eq!(seen.len(), 13);
    contiguous(&seen[..10]);
    assert!(seen[10..].iter().all(|done| done.outcome == Outcome::DeviceGone), "{seen:?}");
}

#[test]
fn depth_and_transfer_are_as_asked() {
    let device = isoch::open("virtual:play-depth/speaker?clock=on-wait").unwrap();
    let cases = [
        (8, None, 2, 4),
        (2, None, 1, 2),
        (100, Some(30), 30, 4),
        (40, Some(10), 10, 4),
        (0, None, 1, 2),
        (5, Some(20), 20, 2),
    ];
    for (depth, transfer, packets, blocks) in cases {
        let options = StreamOptions {
            depth: Duration::from_millis(depth),
            transfer: transfer.map(Duration::from_millis),
            ..soon(&device)
        };
        let mut player = player(&device, 48_000, options);
        let (played, seen) = play(&mut player, &noise(192 * 400, 1));
        assert_eq!(contiguous(&seen).count(), 400, "{depth} {transfer:?}");
        assert_eq!(seen[0].packets.len(), packets, "{depth} {transfer:?}");
        assert_eq!(played.unwrap().statistics.submitted as usize, seen.len());
        // Stopped at the first completion, what comes is what was queued.
        let (stop, mut queued) = (AtomicBool::new(false), 0);
        let mut on_done = |_: &isoch::Completion| {
            stop.store(true, Ordering::Relaxed);
            queued += 1;
        };
        player.play(&mut &noise(192 * 400, 1)[..], &mut on_done, &stop).unwrap();
        assert_eq!(queued, blocks, "{depth} {transfer:?}");
    }
}

#[test]
fn what_cannot_be_played_says_what_to_do() {
    let device = isoch::open("virtual:play-refused/speaker?clock=on-wait&rates=44100,48000").unwrap();
    let speaker = format(&device, Direction::Out, 48_000, 16, 2);
    let refused = |format: &audio::StreamingFormat, rate| {
        Player::open(&device, format, rate, StreamOptions::default()).err().unwrap()
    };
    let error = refused(&speaker, 96_000);
    assert_eq!(error.to_string(), "96000 Hz is not on offer: use one of its rates, 44100, 48000 Hz");
    // A descriptor that promises a rate which the device then refuses, or which does not fit.
    let promised =
        |rate| audio::StreamingFormat { rates: audio::Rates::Discrete(vec![rate]), ..speaker.clone() };
    let error = refused(&promised(32_000), 32_000);
    assert!(error.to_string().contains("refuses to run at 32000 Hz"), "{error}");
    let error = refused(&audio::StreamingFormat { rate_control: false, ..promised(96_000) }, 96_000);
    assert!(error.to_string().contains("needs packets of 96 samples and the endpoint takes 49"), "{error}");
    let error = refused(&audio::StreamingFormat { direction: Direction::In, ..speaker.clone() }, 48_000);
    assert!(error.to_string().contains("playback"), "{error}");
    // All that was claimed on the way has been given back.
    let player = Player::open(&device, &speaker, 48_000, StreamOptions::default()).unwrap();
    let error = refused(&speaker, 48_000);
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    drop(player);
}

#[test]
fn a_start_beyond_every_horizon_is_reached() {
    for profile in Profile::NAMES {
        let device =
            isoch::open(&format!("virtual:play-far-{profile}/speaker?clock=on-wait&as={profile}")).unwrap();
        let frame = device.clock().now().frame + 5000;
        let mut player =
            player(&device, 48_000, StreamOptions { start: Start::At(frame), ..StreamOptions::default() });
        let (played, seen) = play(&mut player, &noise(19_200, 1));
        let statistics = played.unwrap().statistics;
        assert_eq!(statistics.gaps, 0, "{profile}");
        began_at(frame, &seen, &statistics, player.endpoint().capabilities().start);
    }
}

/// A source in whose reading time passes.
struct Slow<'a> {
    bus: &'a VirtualBus,
    frames: u64,
    left: usize,
    reads: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        self.bus.advance(self.frames).unwrap();
        if self.reads <= 4 {
            assert_eq!(fact(self.bus, "speaker", "packets_received"), 0, "read {}", self.reads);
        }
        let length = buffer.len().min(self.left);
        self.left -= length;
        Ok(length)
    }
}

#[test]
fn the_first_queue_is_read_before_anything_is_sent() {
    for (frames, gaps) in [(1, false), (10, true)] {
        let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
        bus.plug_kind("speaker", "speaker", &[]).unwrap();
        let device = bus.open("speaker").unwrap();
        let mut player = player(&device, 48_000, StreamOptions::default());
        let mut source = Slow { bus: &bus, frames, left: 19_200, reads: 0 };
        let played = player.play(&mut source, &mut |_| {}, &false.into()).unwrap();
        assert_eq!(played.sample_frames, 4800);
        // A source that needs longer for a transfer than all the others last leaves the queue dry.
        assert_eq!(played.statistics.gaps > 0, gaps, "{frames}");
    }
}

#[test]
fn in_real_time_it_arrives_too() {
    let path = temporary("play-real");
    let device =
        isoch::open(&format!("virtual:play-real/speaker?clock=real&save={}", path.display())).unwrap();
    // Deep, so that a busy machine does not matter.
    let options = StreamOptions { depth: Duration::from_millis(400), ..StreamOptions::default() };
    let mut player = player(&device, 44_100, options);
    let samples = noise(44_100 * 3, 11);
    let played = play(&mut player, &samples).0.unwrap();
    assert_eq!(played.sample_frames, 33_075);
    drop(player);
    assert!(wav_samples(&path) == samples);
}

#[test]
fn a_start_that_is_over_is_told() {
    let bus = |profile| {
        let bus = VirtualBus::builder().clock(BusClock::OnWait).profile(Profile::named(profile).unwrap());
        let bus = bus.build();
        bus.plug_kind("speaker", "speaker", &[]).unwrap();
        bus.advance(5000).unwrap();
        bus
    };
    let options = StreamOptions { start: Start::At(7), ..StreamOptions::default() };

    // The transfer that was to start there is late, and not moved; the stream goes on.
    let device = bus("exact").open("speaker").unwrap();
    let mut late = player(&device, 48_000, options.clone());
    let (played, seen) = play(&mut late, &noise(19_200, 1));
    let played = played.unwrap();
    assert_eq!((&seen[0].frames, seen[0].outcome), (&Some(7..9), Outcome::Late));
    assert_eq!((played.sample_frames_lost, played.sample_frames), (96, 4704));
    contiguous(&seen[1..]);

    // A bus that takes starts only near now says so, and nothing is sent elsewhere instead.
    let device = bus("winusb").open("speaker").unwrap();
    let mut refused = player(&device, 48_000, options);
    let (played, seen) = play(&mut refused, &noise(19_200, 1));
    let error = played.unwrap_err().to_string();
    assert!(error.starts_with("the bus refused to start in frame 7: "), "{error}");
    assert_eq!(seen[0].outcome, Outcome::BadStartFrame);
    assert!(seen[1..].iter().all(|done| done.outcome == Outcome::Cancelled), "{seen:?}");
}
