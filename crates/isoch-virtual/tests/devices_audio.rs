//! Speakers and microphones: descriptors, an emulated hour of feedback, exact rates.

use isoch_core::rules::Setup;
use isoch_virtual::devices::{
    Format, Microphone, MicrophoneOptions, Offer, Source, Speaker, SpeakerOptions, Synchronization,
};
use isoch_virtual::{BusTime, Device, Stall};

const ALL_RATES: [u32; 6] = [8_000, 16_000, 32_000, 44_100, 48_000, 96_000];

fn frame(frame: u64) -> BusTime {
    BusTime { microframe: frame * 8 }
}

fn fact(device: &dyn Device, name: &str) -> i64 {
    device.facts().iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no fact {name}")).1
}

fn set_rate(device: &mut dyn Device, endpoint: u8, rate: u32) -> Result<(), Stall> {
    let setup = Setup { request_type: 0x22, request: 0x01, value: 0x0100, index: endpoint.into(), length: 3 };
    device.control_out(setup, &rate.to_le_bytes()[..3], frame(0))
}

fn get_rate(device: &mut dyn Device, endpoint: u8, request: u8) -> Result<u32, Stall> {
    let setup = Setup { request_type: 0xa2, request, value: 0x0100, index: endpoint.into(), length: 3 };
    let mut data = Vec::new();
    device.control_in(setup, &mut data, frame(0))?;
    assert_eq!(data.len(), 3);
    Ok(u32::from_le_bytes([data[0], data[1], data[2], 0]))
}

/// What a walk over an audio device's configuration finds per alternate setting of interface 1.
#[derive(Debug, Default)]
struct Setting {
    channels: u8,
    bits: u8,
    rates: Vec<u32>,
    endpoints: Vec<(u8, u8, u16)>,
}

fn settings(bytes: &[u8]) -> Vec<Setting> {
    assert_eq!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])), bytes.len());
    assert_eq!(bytes[4], 2);
    let (mut position, mut settings, mut left) = (0, Vec::<Setting>::new(), 0);
    let mut control_total = 0;
    while position < bytes.len() {
        let descriptor = &bytes[position..position + usize::from(bytes[position])];
        match (descriptor[1], descriptor[2]) {
            (0x04, interface) => {
                assert_eq!(left, 0);
                left = descriptor[4];
                if interface == 1 {
                    assert_eq!(usize::from(descriptor[3]), settings.len());
                    settings.push(Setting::default());
                }
            }
            (0x24, subtype) if settings.is_empty() => {
                if subtype == 1 {
                    control_total = i32::from(descriptor[5]);
                }
                control_total -= descriptor.len() as i32;
            }
            (0x24, 2) => {
                let setting = settings.last_mut().unwrap();
                assert_eq!(descriptor.len(), 8 + 3 * usize::from(descriptor[7]));
                assert_eq!(descriptor[5] * 8, descriptor[6]);
                setting.channels = descriptor[4];
                setting.bits = descriptor[6];
                setting.rates = descriptor[8..]
                    .chunks_exact(3)
                    .map(|rate| u32::from_le_bytes([rate[0], rate[1], rate[2], 0]))
                    .collect();
            }
            (0x05, address) => {
                left -= 1;
                let size = u16::from_le_bytes([descriptor[4], descriptor[5]]);
                settings.last_mut().unwrap().endpoints.push((address, descriptor[3], size));
            }
            _ => {}
        }
        position += descriptor.len();
    }
    assert_eq!((left, control_total), (0, 0));
    settings
}

#[test]
fn descriptors_hold_for_every_combination() {
    let subsets = |mask: u32, all: &[u32]| -> Vec<u32> {
        all.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, &item)| item).collect()
    };
    for rates in 1..64 {
        for bits in 1..16 {
            for channels in 1..4 {
                let offer = Offer {
                    rates: subsets(rates, &ALL_RATES),
                    bits: subsets(bits, &[8, 16, 24, 32]).iter().map(|&n| n as u8).collect(),
                    channels: subsets(channels, &[1, 2]).iter().map(|&n| n as u8).collect(),
                };
                let formats = offer.formats();
                let fastest = *offer.rates.last().unwrap();
                for synchronization in [Synchronization::Asynchronous, Synchronization::Adaptive] {
                    let options =
                        SpeakerOptions { offer: offer.clone(), synchronization, ..Default::default() };
                    let speaker = Speaker::new(options).unwrap();
                    let settings = settings(&speaker.descriptors().configuration);
                    assert_eq!(settings.len(), formats.len() + 1);
                    for (setting, &Format { bits, channels }) in settings[1..].iter().zip(&formats) {
                        assert_eq!((setting.bits, setting.channels), (bits, channels));
                        assert_eq!(setting.rates, offer.rates);
                        let size = (fastest.div_ceil(1000) + 1) * u32::from(bits / 8 * channels);
                        assert!(size <= 1023);
                        let data = (0x01, 0x05, size as u16);
                        match synchronization {
                            Synchronization::Asynchronous => {
                                assert_eq!(setting.endpoints, [data, (0x81, 0x11, 3)]);
                            }
                            Synchronization::Adaptive => {
                                assert_eq!(setting.endpoints, [(0x01, 0x09, size as u16)]);
                            }
                        }
                    }
                }
                let microphone = Microphone::new(MicrophoneOptions { offer, ..Default::default() }).unwrap();
                let settings = self::settings(&microphone.descriptors().configuration);
                assert!(settings[1..].iter().all(|setting| setting.endpoints.len() == 1));
            }
        }
    }
}

#[test]
fn sampling_frequency_control() {
    let mut speaker = Speaker::new(SpeakerOptions::default()).unwrap();
    assert_eq!(get_rate(&mut speaker, 0x01, 0x81), Ok(48_000));
    set_rate(&mut speaker, 0x01, 44_100).unwrap();
    assert_eq!(get_rate(&mut speaker, 0x01, 0x81), Ok(44_100));
    assert_eq!(get_rate(&mut speaker, 0x01, 0x82), Ok(8_000));
    assert_eq!(get_rate(&mut speaker, 0x01, 0x83), Ok(96_000));
    assert_eq!(set_rate(&mut speaker, 0x01, 12_345), Err(Stall));
    assert_eq!(set_rate(&mut speaker, 0x02, 48_000), Err(Stall));
    assert_eq!(get_rate(&mut speaker, 0x01, 0x84), Err(Stall));
    assert_eq!(get_rate(&mut speaker, 0x01, 0x81), Ok(44_100));
}

/// A host that sends what feedback asks for, `latency` frames after it heard it. Returns facts.
fn play_by_feedback(speaker: &mut Speaker, rate: u32, frames: u64, latency: usize, obey: bool) {
    speaker.alternate_setting(1, 1, frame(0));
    set_rate(speaker, 0x01, rate).unwrap();
    let nominal = (u64::from(rate) << 14) / 1000;
    let packet = [0x80; 98];
    let mut heard = std::collections::VecDeque::from(vec![nominal; latency]);
    let mut owed = 0;
    for now in 1..=frames {
        let mut value = [0; 3];
        assert_eq!(speaker.isoch_in(0x81, &mut value, frame(now)), 3);
        heard.push_back(u64::from(u32::from_le_bytes([value[0], value[1], value[2], 0])));
        owed += if obey { heard.pop_front().unwrap() } else { nominal };
        speaker.isoch_out(0x01, &packet[..(owed >> 14) as usize], frame(now));
        owed &= (1 << 14) - 1;
    }
}

#[test]
fn a_host_that_obeys_feedback_plays_for_an_hour() {
    let offer = Offer { bits: vec![8], channels: vec![1], ..Default::default() };
    for (rate, device_ppm, latency) in [
        (48_000, 200.0, 0),
        (48_000, -200.0, 100),
        (44_100, 200.0, 100),
        (44_100, -200.0, 0),
        (96_000, 200.0, 20),
    ] {
        let options = SpeakerOptions { offer: offer.clone(), device_ppm, ..Default::default() };
        let mut speaker = Speaker::new(options).unwrap();
        play_by_feedback(&mut speaker, rate, 3_600_000, latency, true);
        let facts = speaker.facts();
        assert_eq!(fact(&speaker, "underruns"), 0, "{facts:?}");
        assert_eq!(fact(&speaker, "overruns"), 0, "{facts:?}");
        let expected = f64::from(rate) * 3600.0 * (1.0 + device_ppm / 1e6);
        let played = fact(&speaker, "samples_played") as f64;
        assert!((played - expected).abs() < f64::from(rate) * 0.02, "{played} of {expected}");
        assert!(fact(&speaker, "fill_least") > 0, "{facts:?}");
    }
}

#[test]
fn a_host_that_does_not_obey_runs_dry_or_over() {
    let offer = Offer { bits: vec![8], channels: vec![1], ..Default::default() };
    for (device_ppm, event) in [(200.0, "underruns"), (-200.0, "overruns")] {
        let options = SpeakerOptions { offer: offer.clone(), device_ppm, ..Default::default() };
        let mut speaker = Speaker::new(options).unwrap();
        play_by_feedback(&mut speaker, 48_000, 60_000, 0, false);
        assert!(fact(&speaker, event) > 0, "{:?}", speaker.facts());
        // An adaptive one follows the host instead.
        let options = SpeakerOptions {
            offer: offer.clone(),
            device_ppm,
            synchronization: Synchronization::Adaptive,
            ..Default::default()
        };
        let mut speaker = Speaker::new(options).unwrap();
        speaker.alternate_setting(1, 1, frame(0));
        for now in 1..=3_600_000 {
            speaker.isoch_out(0x01, &[0x80; 48], frame(now));
        }
        assert_eq!((fact(&speaker, "underruns"), fact(&speaker, "overruns")), (0, 0));
    }
}

#[test]
fn the_end_of_a_stream_is_no_underrun() {
    let mut speaker = Speaker::new(SpeakerOptions::default()).unwrap();
    speaker.alternate_setting(1, 4, frame(0));
    for now in 1..100 {
        speaker.isoch_out(0x01, &[0; 192], frame(now));
    }
    let mut value = [0; 3];
    assert_eq!(speaker.isoch_in(0x81, &mut value, frame(1000)), 3);
    assert_eq!(value, [0, 0, 12], "48 in 10.14");
    assert_eq!(fact(&speaker, "underruns"), 0);
    assert_eq!(fact(&speaker, "samples_played"), 99 * 48);
    speaker.isoch_out(0x01, &[0; 192], frame(1001));
    assert_eq!(fact(&speaker, "underruns"), 1);
}

#[test]
fn a_microphone_s_rate_is_exact() {
    for rate in ALL_RATES {
        for device_ppm in [0.0, 200.0, -200.0, 0.25] {
            let options = MicrophoneOptions {
                offer: Offer { bits: vec![8], channels: vec![1], ..Default::default() },
                device_ppm,
                source: Source::Counter,
            };
            let mut microphone = Microphone::new(options).unwrap();
            set_rate(&mut microphone, 0x81, rate).unwrap();
            microphone.alternate_setting(1, 1, frame(0));
            let mut buffer = [0; 97];
            let mut total = 0_u64;
            for now in 0..1_000_000 {
                let length = microphone.isoch_in(0x81, &mut buffer, frame(now)) as u64;
                assert!(length.abs_diff(u64::from(rate / 1000)) <= 1);
                assert_eq!(u64::from(buffer[0]), total & 0xff);
                total += length;
            }
            let parts = (1_000_000_000 + (device_ppm * 1000.0) as i128) as u128;
            assert_eq!(
                u128::from(total),
                u128::from(rate) * 1000 * parts / 1_000_000_000,
                "{rate} {device_ppm}"
            );
            assert_eq!(fact(&microphone, "samples_lost"), 0);
            // Nobody asks for ten frames: theirs are gone, and the signal has moved on.
            microphone.isoch_in(0x81, &mut buffer, frame(1_000_010));
            let lost = fact(&microphone, "samples_lost") as u64;
            assert!(lost.abs_diff(u64::from(rate) * 10 / 1000) <= u64::from(rate / 1000) + 1);
            assert_eq!(u64::from(buffer[0]), (total + lost) & 0xff);
        }
    }
}

#[test]
fn a_microphone_s_sine_has_its_frequency_and_levels() {
    let options = MicrophoneOptions {
        offer: Offer { rates: vec![44_100], bits: vec![16], channels: vec![2] },
        source: Source::Sine(441),
        ..Default::default()
    };
    let mut microphone = Microphone::new(options).unwrap();
    microphone.alternate_setting(1, 1, frame(0));
    let mut samples = Vec::new();
    let mut buffer = [0; 184];
    for now in 0..1000 {
        let length = microphone.isoch_in(0x81, &mut buffer, frame(now));
        for pair in buffer[..length].chunks_exact(4) {
            samples.push((i16::from_le_bytes([pair[0], pair[1]]), i16::from_le_bytes([pair[2], pair[3]])));
        }
    }
    assert_eq!(samples.len(), 44_100);
    assert_eq!(samples.iter().map(|pair| pair.0).max(), Some(16_384));
    assert_eq!(samples.iter().map(|pair| pair.1).max(), Some(8_192));
    let rises = samples.windows(2).filter(|pair| pair[0].0 < 0 && pair[1].0 >= 0).count();
    assert!((440..=441).contains(&rises), "{rises}");
}
