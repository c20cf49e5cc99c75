use super::*;
use proptest::prelude::*;

fn pacer(numerator: u32, denominator: u32, interval: u64) -> Pacer {
    Pacer::new(SampleRate::new(numerator, denominator).unwrap(), interval).unwrap()
}

const RATES: [(u32, u32); 9] = [
    (44_100, 1),
    (11_025, 1),
    (48_000, 1),
    (96_000, 1),
    (44_100_000, 1001),
    (8_000, 1),
    (44_101, 1),  // prime
    (768_013, 1), // prime
    (1, 7_919),   // a sample every two hours
];

/// The samples that fit into `intervals` intervals, by the definition.
fn exact((numerator, denominator): (u32, u32), interval: u64, intervals: u64) -> u64 {
    let samples = u128::from(numerator) * u128::from(interval) * u128::from(intervals);
    (samples / (u128::from(denominator) * 8000)) as u64
}

#[test]
fn nine_frames_of_44_and_one_of_45() {
    let mut pacer = pacer(44_100, 1, 8);
    let sizes: Vec<u32> = (0..20).map(|_| pacer.next_interval()).collect();
    assert_eq!(sizes, [44, 44, 44, 44, 44, 44, 44, 44, 44, 45].repeat(2));
}

#[test]
fn no_rate_drifts_in_any_interval() {
    for rate in RATES {
        for interval in [1, 2, 3, 8, 64, 100, 1 << 15] {
            let mut pacer = pacer(rate.0, rate.1, interval);
            let mut sum = 0;
            for count in 1..=20_000 {
                sum += u64::from(pacer.next_interval());
                assert_eq!(sum, exact(rate, interval, count), "{rate:?} in {interval}");
            }
            // To 10^9 and beyond in one step, and on from there.
            sum += pacer.advance(1_000_000_000);
            assert_eq!(sum, exact(rate, interval, 1_000_020_000), "{rate:?} in {interval}");
            for count in 1..=1000 {
                sum += u64::from(pacer.next_interval());
                assert_eq!(sum, exact(rate, interval, 1_000_020_000 + count));
            }
        }
    }
}

#[test]
fn impossible_requests_are_refused() {
    let rate = SampleRate::hz(48_000).unwrap();
    assert_eq!(SampleRate::hz(0), Err(PacerError::BadRate));
    assert_eq!(SampleRate::new(1, 0), Err(PacerError::BadRate));
    assert_eq!(Pacer::new(rate, 0).err(), Some(PacerError::BadInterval { microframes: 0 }));
    assert_eq!(Pacer::new(rate, 32_769).err(), Some(PacerError::BadInterval { microframes: 32_769 }));
    assert!(Pacer::new(rate, 32_768).is_ok());
    let fastest = SampleRate::hz(u32::MAX).unwrap();
    assert_eq!(Pacer::new(fastest, 32_768).err(), Some(PacerError::TooFast));
    assert_eq!(Pacer::new(rate, 8).unwrap().with_capacity(0).err(), Some(PacerError::NoCapacity));
}

#[test]
fn feedback_sets_the_rate_and_the_remainder_is_kept() {
    let mut pacer = pacer(44_100, 1, 8);
    let mut sum: u64 = (0..5).map(|_| u64::from(pacer.next_interval())).sum();
    // 44.5 samples per frame from now on: 0.5 samples are still due from before.
    assert!(pacer.feedback(&encode_10_14(89, 2).unwrap()).is_ok());
    assert_eq!(pacer.hz(), 44_500.0);
    sum += pacer.advance(1_000_000);
    assert_eq!(sum, 220 + 44_500_000);
    assert_eq!(pacer.next_interval(), 45);
    assert!(pacer.feedback(&[]).is_err());
    assert!(pacer.feedback(&[0xff, 0xff, 0xff]).is_err());
    assert_eq!((pacer.hz(), pacer.feedback_ignored()), (44_500.0, 2));
}

#[test]
fn high_speed_feedback_counts_microframes() {
    for interval in [1, 2, 4, 8] {
        let mut pacer = pacer(48_000, 1, interval);
        let value = (6u32 << 16) + 1; // the smallest step above nominal
        assert!(pacer.feedback(&value.to_le_bytes()).is_ok());
        assert_eq!(pacer.advance(65_536), 6 * 65_536 * interval + interval);
    }
}

#[test]
fn an_endpoint_is_never_overfilled_and_what_is_left_follows() {
    let mut pacer = pacer(44_100, 1, 8).with_capacity(45).unwrap();
    // A burst by implicit feedback: 60 samples into an endpoint that takes 45.
    pacer.implicit(60, 1);
    pacer.implicit(20, 1);
    assert_eq!([pacer.next_interval(), pacer.next_interval()], [45, 35]);
    assert_eq!(pacer.dropped(), 0);
}

#[test]
fn a_rate_above_the_capacity_is_sent_as_far_as_it_fits() {
    let mut pacer = pacer(44_100, 1, 8).with_capacity(44).unwrap();
    for _ in 0..10_000 {
        assert_eq!(pacer.next_interval(), 44);
    }
    // 0.1 per interval too many: 1000, of which one interval's worth is still kept.
    assert_eq!(pacer.dropped(), 1000 - 44);
}

#[test]
fn out_packets_mirror_in_packets() {
    let mut pacer = pacer(48_000, 1, 8);
    let sizes = [48, 49, 48, 0, 96, 47];
    for size in sizes {
        pacer.implicit(size, 1);
    }
    assert!(pacer.implicit_is_ready());
    assert_eq!(sizes.map(|_| pacer.next_interval()), sizes);
    assert!(!pacer.implicit_is_ready());
}

#[test]
fn guesses_are_made_up_for() {
    let mut pacer = pacer(48_000, 1, 8);
    pacer.implicit(48, 1);
    // One received, three guessed.
    assert_eq!([0; 4].map(|_| pacer.next_interval()), [48; 4]);
    for size in [50, 47, 49] {
        pacer.implicit(size, 1);
    }
    assert!(!pacer.implicit_is_ready());
    assert_eq!(pacer.next_interval(), 50, "2 - 1 + 1 samples more than guessed");
    assert_eq!(pacer.next_interval(), 48);
}

#[test]
fn a_packet_of_a_longer_interval_is_spread() {
    let mut pacer = pacer(44_100, 1, 1);
    pacer.implicit(45, 8);
    let sizes = [0; 8].map(|_| pacer.next_interval());
    assert_eq!(sizes.iter().sum::<u32>(), 45);
    assert!(sizes.iter().all(|size| (5..=6).contains(size)), "{sizes:?}");
}

#[test]
fn the_memory_of_a_stopped_stream_is_bounded() {
    let mut pacer = pacer(48_000, 1, 8);
    for _ in 0..10_000 {
        pacer.implicit(50, 1);
    }
    for _ in 0..256 {
        assert_eq!(pacer.next_interval(), 50);
    }
    for _ in 0..10_000 {
        assert_eq!(pacer.next_interval(), 48);
    }
    pacer.implicit(1, u32::MAX);
    pacer.implicit(7, 0);
}

proptest! {
    #[test]
    fn advancing_is_the_same_as_taking_one_after_another(
        numerator in 1u32..2_000_000,
        denominator in 1u32..2000,
        interval in 1u64..=64,
        capacity in 1u32..3000,
        counts in prop::collection::vec(0u64..300, 1..8),
        burst in 0u32..5000,
    ) {
        let mut jumping = pacer(numerator, denominator, interval).with_capacity(capacity).unwrap();
        jumping.implicit(burst, 1);
        let mut walking = jumping.clone();
        // The received packet leaves a backlog or none, and then the rate goes on by itself.
        prop_assert_eq!(jumping.next_interval(), walking.next_interval());
        for count in counts {
            let walked: u64 = (0..count).map(|_| u64::from(walking.next_interval())).sum();
            prop_assert_eq!(jumping.advance(count), walked);
            prop_assert_eq!(jumping.dropped(), walking.dropped());
        }
    }

    #[test]
    fn nothing_panics_and_nothing_overfills(
        numerator in 1u32..,
        denominator in 1u32..,
        interval: u64,
        capacity: u32,
        steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5), any::<u32>(), 0u32..2000, any::<u64>()), 0..20),
    ) {
        let rate = SampleRate::new(numerator, denominator).unwrap();
        let Ok(pacer) = Pacer::new(rate, 1 + interval % LONGEST_INTERVAL) else { return Ok(()) };
        let Ok(mut pacer) = pacer.with_capacity(capacity) else { return Ok(()) };
        for (packet, samples, intervals, jump) in steps {
            let _ = pacer.feedback(&packet);
            prop_assert!(pacer.next_interval() <= capacity);
            pacer.implicit(samples, intervals);
            prop_assert!(pacer.next_interval() <= capacity);
            prop_assert!(u128::from(pacer.advance(jump)) <= u128::from(jump) * u128::from(capacity));
        }
    }

    #[test]
    fn implicit_feedback_neither_gains_nor_loses(
        arrivals in prop::collection::vec((0u32..60, 0usize..4), 1..300),
    ) {
        // Packets in, and some intervals out after each, in any order but never further apart than 256.
        let mut pacer = pacer(48_000, 1, 8);
        pacer.implicit(0, 1);
        let (mut received, mut sent, mut ahead) = (0i64, 0i64, -1i64);
        for (samples, intervals) in arrivals {
            pacer.implicit(samples, 1);
            received += i64::from(samples);
            ahead -= 1;
            for _ in 0..intervals.min((200 - ahead).max(0) as usize) {
                sent += i64::from(pacer.next_interval());
                ahead += 1;
            }
            if ahead < -200 { break; }
        }
        // Let both come to the same interval.
        while ahead < 0 { sent += i64::from(pacer.next_interval()); ahead += 1; }
        while ahead > 0 { pacer.implicit(48, 1); received += 48; ahead -= 1; }
        // Some ordinary intervals settle what is still to be corrected.
        for _ in 0..300 {
            pacer.implicit(48, 1);
            received += 48;
            sent += i64::from(pacer.next_interval());
        }
        prop_assert_eq!(received, sent);
    }
}
