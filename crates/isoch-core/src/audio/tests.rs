//! Descriptors as devices have them, as they should not have them, and random bytes.

mod blobs;

use super::*;
use blobs::{Builder, UAC1_FULL_SPEED, UAC2_HIGH_SPEED};
use proptest::prelude::*;

const RATES: [u8; 9] = [0x44, 0xac, 0, 0x80, 0xbb, 0, 0, 0x77, 0x01];

fn only(configuration: &[u8]) -> StreamingFormat {
    let found = streaming_formats(configuration).expect("well formed");
    assert_eq!(found.unsupported, []);
    assert_eq!(found.formats.len(), 1);
    found.formats[0].clone()
}

/// The reason for which the only setting is unusable.
fn reason(configuration: &[u8]) -> UnsupportedReason {
    let found = streaming_formats(configuration).expect("well formed");
    assert_eq!(found.formats, []);
    assert_eq!(found.unsupported.len(), 1);
    found.unsupported[0].reason
}

/// 16-bit stereo in three rates, with endpoints to be added.
fn stereo() -> Builder {
    Builder::new().setting(1, 1, 1, &[&[2, 2, 16, 3][..], &RATES].concat())
}

#[test]
fn a_speaker_and_a_microphone_of_class_one() {
    let found = streaming_formats(&UAC1_FULL_SPEED).expect("well formed");
    let speaker = StreamingFormat {
        version: AudioVersion::One,
        interface: 1,
        alternate_setting: 1,
        endpoint: 0x01,
        direction: Direction::Out,
        channels: 2,
        subslot_bytes: 2,
        bits: 16,
        sample: SampleFormat::Pcm,
        rates: Rates::Discrete(vec![48_000]),
        rate_control: false,
        feedback: Feedback::None,
        synchronisation: Synchronisation::Adaptive,
        interval: 1,
        max_packet_bytes: 196,
        max_packets_only: false,
    };
    let microphone = StreamingFormat {
        interface: 2,
        endpoint: 0x82,
        direction: Direction::In,
        synchronisation: Synchronisation::Asynchronous,
        ..speaker.clone()
    };
    assert_eq!(found, Streaming { formats: vec![speaker, microphone], unsupported: Vec::new() });
    assert_eq!(found.formats[0].slot_bytes(), 4);
}

#[test]
fn a_speaker_and_a_microphone_of_class_two() {
    let found = streaming_formats(&UAC2_HIGH_SPEED).expect("well formed");
    assert_eq!(found.unsupported, []);
    let [speaker, microphone] = &found.formats[..] else { panic!("{found:?}") };
    assert_eq!((speaker.version, speaker.endpoint, speaker.max_packet_bytes), (AudioVersion::Two, 0x01, 28));
    assert_eq!((speaker.channels, speaker.subslot_bytes, speaker.bits), (2, 2, 16));
    assert_eq!(speaker.rates, Rates::Clock { interface: 0, entity: Some(5) });
    let feedback =
        Feedback::Explicit { endpoint: 0x81, interval: 4, refresh_log2: None, max_packet_bytes: 4 };
    assert_eq!(speaker.feedback, feedback);
    assert_eq!((microphone.endpoint, microphone.feedback), (0x82, Feedback::None));
    assert_eq!(microphone.rates, Rates::Clock { interface: 0, entity: Some(5) });
}

#[test]
fn rates_are_listed_or_a_range() {
    let format =
        only(&stereo().endpoint(0x01, 0x09, 576, 0, 0).descriptor(&[0x25, 1, 0x81, 0, 0, 0]).bytes());
    assert_eq!(format.rates, Rates::Discrete(vec![44_100, 48_000, 96_000]));
    assert!(format.rate_control && format.max_packets_only);
    assert_eq!(format.rates.contain(44_100), Some(true));
    assert_eq!(format.rates.contain(44_101), Some(false));

    let range = [1, 3, 24, 0, 0x40, 0x1f, 0, 0x00, 0x77, 0x01];
    let format = only(&Builder::new().setting(1, 1, 1, &range).endpoint(0x01, 0x09, 300, 0, 0).bytes());
    assert_eq!(format.rates, Rates::Range(8_000, 96_000));
    assert_eq!((format.rate_control, format.rates.contain(12_345)), (false, Some(true)));
}

#[test]
fn feedback_is_named_by_the_data_endpoint() {
    let expected =
        Feedback::Explicit { endpoint: 0x81, interval: 1, refresh_log2: Some(5), max_packet_bytes: 3 };
    // Usage bits as UAC1 devices have them (none), the address with and without its direction, and the
    // feedback endpoint in either place.
    for (synch, usage) in [(0x81, 0), (0x01, 0), (0x81, 0x10), (0, 0x10)] {
        let format =
            only(&stereo().endpoint(0x01, 0x05, 400, 0, synch).endpoint(0x81, 1 | usage, 3, 5, 0).bytes());
        assert_eq!((format.endpoint, format.feedback), (0x01, expected));
        let format =
            only(&stereo().endpoint(0x81, 1 | usage, 3, 5, 0).endpoint(0x01, 0x05, 400, 0, synch).bytes());
        assert_eq!((format.endpoint, format.feedback), (0x01, expected));
    }
}

#[test]
fn feedback_is_implicit_where_a_recording_endpoint_says_so() {
    let format = [&[2, 2, 16, 3][..], &RATES].concat();
    let both = |usage: u8| {
        let builder = stereo().endpoint(0x01, 0x05, 400, 0, 0);
        builder.setting(2, 1, 1, &format).endpoint(0x83, 0x05_u8 | usage, 400, 0, 0).bytes()
    };
    let found = streaming_formats(&both(0x20)).expect("well formed");
    assert_eq!(found.formats[0].feedback, Feedback::Implicit { endpoint: 0x83 });
    assert_eq!(found.formats[1].feedback, Feedback::None);
    let found = streaming_formats(&both(0)).expect("well formed");
    assert_eq!(found.formats[0].feedback, Feedback::None);
}

#[test]
fn additional_transactions_count() {
    let format = only(&stereo().endpoint(0x01, 0x09, 1024 | 2 << 11, 0, 0).bytes());
    assert_eq!(format.max_packet_bytes, 3 * 1024);
}

#[test]
fn what_cannot_be_used_says_why() {
    let with_endpoint = |builder: Builder| builder.endpoint(0x01, 0x09, 200, 0, 0).bytes();
    let format = |format: &[u8]| reason(&with_endpoint(Builder::new().setting(1, 1, 1, format)));
    assert!(matches!(format(&[2, 2, 16, 2, 0x80, 0xbb, 0]), UnsupportedReason::NoFormatType(25)));
    assert_eq!(format(&[2, 2, 16, 1, 0, 0, 0]), UnsupportedReason::NoRates);
    assert_eq!(format(&[2, 2, 16, 0, 2, 0, 0, 1, 0, 0]), UnsupportedReason::NoRates);
    assert_eq!(format(&[2, 2, 17, 1, 0x80, 0xbb, 0]), UnsupportedReason::SampleSize);
    assert_eq!(format(&[0, 2, 16, 1, 0x80, 0xbb, 0]), UnsupportedReason::SampleSize);
    assert_eq!(reason(&stereo().endpoint(0x01, 0x09, 0, 0, 0).bytes()), UnsupportedReason::EmptyEndpoint);
    assert_eq!(reason(&stereo().endpoint(0x01, 0x02, 64, 0, 0).bytes()), UnsupportedReason::NoDataEndpoint);
    let bare = |protocol| Builder::new().descriptor(&[4, 1, 1, 1, 1, 2, protocol, 0]);
    assert_eq!(reason(&with_endpoint(bare(0))), UnsupportedReason::NoGeneral(9));
    assert_eq!(reason(&with_endpoint(bare(0x20))), UnsupportedReason::NoGeneral(9));
    assert_eq!(reason(&with_endpoint(bare(0x30))), UnsupportedReason::Protocol(0x30));
    let general = bare(0).descriptor(&[0x24, 1, 1, 1, 1, 0]);
    assert_eq!(reason(&with_endpoint(general)), UnsupportedReason::NoFormatType(9));
    let general = bare(0).descriptor(&[0x24, 1, 1, 1, 1, 0]).descriptor(&[0x24, 2, 3, 0, 0, 0, 0]);
    assert_eq!(reason(&with_endpoint(general)), UnsupportedReason::FormatType(3));
}

#[test]
fn truncation_at_every_length_is_an_error() {
    for blob in [&UAC1_FULL_SPEED[..], &UAC2_HIGH_SPEED] {
        for length in 0..blob.len() {
            let malformed = streaming_formats(&blob[..length]).expect_err("truncated");
            assert!(malformed.offset <= length);
            assert!(!malformed.to_string().is_empty());
        }
        // What follows the configuration is not part of it.
        let longer = [blob, &[0]].concat();
        assert_eq!(streaming_formats(&longer), streaming_formats(blob));
    }
    let mut zero_length = UAC1_FULL_SPEED;
    zero_length[9] = 0;
    let malformed = Malformed { offset: 9, length: Some(0), left: UAC1_FULL_SPEED.len() - 9 };
    assert_eq!(streaming_formats(&zero_length), Err(malformed));
}

#[test]
fn a_format_is_chosen_by_channels_bits_and_rate() {
    let rate = [0x80, 0xbb, 0];
    let setting = |builder: Builder, alternate_setting, tag, format: [u8; 4]| {
        let builder = builder.setting(1, alternate_setting, tag, &[&format[..], &rate].concat());
        builder.endpoint(0x01, 0x09, 600, 0, 0)
    };
    let builder = setting(Builder::new(), 1, 1, [2, 2, 16, 1]);
    let builder = setting(builder, 2, 1, [2, 4, 24, 1]);
    let builder = setting(builder, 3, 1, [2, 3, 24, 1]);
    let builder = setting(builder, 4, 1, [1, 1, 8, 1]);
    let builder = setting(builder, 5, 2, [1, 1, 8, 1]);
    let builder = setting(builder, 6, 3, [2, 4, 32, 1]);
    let streaming = streaming_formats(&builder.bytes()).expect("well formed");
    let wanted = Wanted { direction: Direction::Out, channels: 2, bits: 16, float: false, rate: 48_000 };
    let chosen = |wanted| choose(&streaming, wanted).map(|format| format.alternate_setting);
    assert_eq!(chosen(wanted), Ok(1));
    // Bytes as they are in a file come before others.
    assert_eq!(chosen(Wanted { bits: 24, ..wanted }), Ok(3));
    assert_eq!(chosen(Wanted { bits: 8, channels: 1, ..wanted }), Ok(5));
    assert_eq!(chosen(Wanted { bits: 32, float: true, ..wanted }), Ok(6));

    let missing = chosen(Wanted { rate: 44_100, ..wanted }).expect_err("not at that rate");
    assert_eq!(missing.supported.len(), 6);
    let text = missing.to_string();
    assert!(text.starts_with("no playback of 2 channels, 16 bits, 44100 Hz. The device offers:\n"), "{text}");
    assert!(text.contains(
        "\n  interface 1 alternate setting 1, endpoint 0x01 OUT: 2 channels, 16 bits PCM in 2 bytes, \
         48000 Hz, adaptive\n"
    ));
    let missing = chosen(Wanted { direction: Direction::In, ..wanted }).expect_err("nothing records");
    assert!(missing.to_string().contains("nothing in this direction"));
}

#[test]
fn rates_of_a_clock_may_fit() {
    let streaming = streaming_formats(&UAC2_HIGH_SPEED).expect("well formed");
    let wanted = Wanted { direction: Direction::Out, channels: 2, bits: 16, float: false, rate: 44_100 };
    assert_eq!(choose(&streaming, wanted).map(|format| format.endpoint), Ok(0x01));
}

#[test]
fn conversions_from_wav() {
    let format = only(&stereo().endpoint(0x01, 0x09, 200, 0, 0).bytes());
    let conversion = |sample, subslot_bytes, wav_bits, float| {
        let format = StreamingFormat { sample, subslot_bytes, bits: subslot_bytes * 8, ..format.clone() };
        format.wav_conversion(wav_bits, float)
    };
    assert_eq!(conversion(SampleFormat::Pcm, 2, 16, false), WavConversion::Identical);
    assert_eq!(conversion(SampleFormat::Pcm, 3, 24, false), WavConversion::Identical);
    assert_eq!(conversion(SampleFormat::Pcm, 3, 20, false), WavConversion::Identical);
    assert_eq!(conversion(SampleFormat::Pcm, 4, 24, false), WavConversion::ZeroBytesBefore(1));
    assert_eq!(conversion(SampleFormat::Pcm, 2, 24, false), WavConversion::None);
    assert_eq!(conversion(SampleFormat::Pcm8, 1, 8, false), WavConversion::Identical);
    assert_eq!(conversion(SampleFormat::Pcm, 1, 8, false), WavConversion::InvertTopBit);
    assert_eq!(conversion(SampleFormat::Float, 4, 32, true), WavConversion::Identical);
    assert_eq!(conversion(SampleFormat::Float, 4, 32, false), WavConversion::None);
    assert_eq!(conversion(SampleFormat::Pcm, 4, 32, true), WavConversion::None);
}

#[test]
fn rate_requests_of_class_one() {
    let (setup, data) = request::set_endpoint_rate(0x01, 44_100).expect("24 bits");
    assert_eq!((setup.request_type, setup.request, setup.value), (0x22, 0x01, 0x0100));
    assert_eq!((setup.index, setup.length, data), (0x01, 3, [0x44, 0xac, 0x00]));
    assert_eq!(request::set_endpoint_rate(0x01, 1 << 24), None);
    let setup = request::get_endpoint_rate(0x82);
    assert_eq!((setup.request_type, setup.request, setup.value), (0xa2, 0x81, 0x0100));
    assert_eq!((setup.index, setup.length), (0x82, 3));
    assert_eq!(request::endpoint_rate(&[0x80, 0xbb, 0x00]), Some(48_000));
    assert_eq!(request::endpoint_rate(&[0x80, 0xbb]), None);
}

#[test]
fn rate_requests_of_class_two() {
    let setup = request::clock_range(0, 5, 2);
    assert_eq!((setup.request_type, setup.request, setup.value), (0xa1, 0x02, 0x0100));
    assert_eq!((setup.index, setup.length), (0x0500, 26));
    let words = [44_100_u32, 44_100, 0, 48_000, 96_000, 48_000].map(u32::to_le_bytes).concat();
    let answer = [&[2, 0][..], &words].concat();
    assert_eq!(request::clock_range_count(&answer), Some(2));
    let ranges = request::clock_ranges(&answer);
    let has = |rate| ranges.iter().any(|range| range.contains(rate));
    assert!(has(44_100) && has(48_000) && has(96_000) && !has(48_001) && !has(88_200));
    assert_eq!(request::clock_ranges(&answer[..20]).len(), 1);
    assert_eq!(request::clock_ranges(&[]), []);
    let (setup, data) = request::set_clock_rate(0, 5, 96_000);
    assert_eq!((setup.request_type, setup.request, setup.index), (0x21, 0x01, 0x0500));
    assert_eq!(request::clock_rate(&data), Some(96_000));
    assert_eq!(request::get_clock_rate(0, 5).request_type, 0xa1);
}

fn exercise(bytes: &[u8]) {
    match streaming_formats(bytes) {
        Err(malformed) => drop(malformed.to_string()),
        Ok(streaming) => {
            for format in &streaming.formats {
                assert!(format.channels > 0 && format.slot_bytes() > 0 && format.max_packet_bytes > 0);
                let wanted = Wanted {
                    direction: format.direction,
                    channels: format.channels,
                    bits: format.bits,
                    float: false,
                    rate: 1,
                };
                drop(choose(&streaming, wanted).map_err(|missing| missing.to_string()));
                let _ = format.wav_conversion(u16::from(format.bits), false);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
        exercise(&[&[9, 2, 0xff, 0xff][..], &bytes].concat());
        let _ = request::clock_ranges(&bytes);
    }

    #[test]
    fn broken_descriptors_are_harmless(
        second in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = if second { UAC2_HIGH_SPEED.to_vec() } else { UAC1_FULL_SPEED.to_vec() };
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        exercise(&bytes);
    }

    #[test]
    fn every_wav_conversion_is_found_for_any_sizes(
        bits in any::<u16>(), subslot_bytes in any::<u8>(), used in any::<u8>(), float in any::<bool>(),
    ) {
        let format = only(&stereo().endpoint(0x01, 0x09, 200, 0, 0).bytes());
        let format = StreamingFormat { subslot_bytes, bits: used, ..format };
        if let WavConversion::ZeroBytesBefore(zeros) = format.wav_conversion(bits, float) {
            prop_assert_eq!(u16::from(zeros) + bits.div_ceil(8), u16::from(subslot_bytes));
        }
    }
}
