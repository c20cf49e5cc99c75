//! Descriptors: everything that devices send, right and wrong.

use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect()
}

macro_rules! data {
    ($($name:literal),*) => { [$(($name, hex(include_str!(concat!("data/", $name, ".hex"))))),*] };
}

fn configurations() -> Vec<(&'static str, Vec<u8>)> {
    data![
        "gzero_fs_config",
        "gzero_hs_autoalt_config",
        "gzero_hs_config",
        "gzero_ss_config",
        "uac1_fs_config",
        "uac2_hs_config",
        "uvc_hs_config"
    ]
    .into()
}

fn devices() -> Vec<(&'static str, Vec<u8>)> {
    data!["gzero_hs_device", "uac1_fs_device", "uac2_hs_device", "uvc_hs_device"].into()
}

fn configuration(name: &str) -> Configuration {
    let (_, bytes) = configurations().into_iter().find(|(other, _)| *other == name).expect("known name");
    let (configuration, warnings) = Configuration::parse(&bytes).expect("valid");
    assert_eq!(warnings, [], "{name}");
    configuration
}

/// A configuration header for `body`.
fn wrap(interfaces: u8, body: &[u8]) -> Vec<u8> {
    let total = u16::try_from(9 + body.len()).expect("short").to_le_bytes();
    let mut bytes = vec![9, 2, total[0], total[1], interfaces, 1, 0, 0x80, 50];
    bytes.extend_from_slice(body);
    bytes
}

fn fails_with(bytes: &[u8], offset: usize, kind: DescriptorErrorKind) {
    let error = Configuration::parse(bytes).expect_err("malformed");
    assert_eq!(error, DescriptorError { offset, kind }, "{bytes:02x?}");
}

const INTERFACE: [u8; 9] = [9, 4, 0, 0, 1, 0xff, 0, 0, 0];
const ENDPOINT: [u8; 7] = [7, 5, 0x81, 1, 0, 1, 1];
const COMPANION: [u8; 6] = [6, 0x30, 0, 0, 0, 1];
const PLUS: [u8; 8] = [8, 0x31, 0, 0, 0, 0, 1, 0];

#[test]
fn every_blob_comes_back_identical() {
    for (name, bytes) in configurations() {
        let (configuration, warnings) = Configuration::parse(&bytes).expect(name);
        assert_eq!(configuration.to_bytes(), bytes, "{name}");
        assert_eq!(warnings, [], "{name}");
    }
    for (name, bytes) in devices() {
        assert_eq!(DeviceDescriptor::parse(&bytes).expect(name).to_bytes(), bytes, "{name}");
    }
}

#[test]
fn every_truncation_is_an_error_inside_the_input() {
    for (name, bytes) in configurations() {
        for length in 0..bytes.len() {
            let mut cut = bytes[..length].to_vec();
            let error = Configuration::parse(&cut).expect_err(name);
            assert!(error.offset <= length, "{name} cut to {length}: {error}");
            // The same with a total that matches: only a cut between two descriptors can be whole.
            if length >= 9 {
                cut[2..4].copy_from_slice(&(length as u16).to_le_bytes());
                let boundary = walk(&bytes).any(|raw| raw.expect("valid").offset == length);
                match Configuration::parse(&cut) {
                    Ok((configuration, _)) => {
                        assert!(boundary, "{name} cut to {length} parsed");
                        assert_eq!(configuration.to_bytes(), cut);
                    }
                    Err(error) => {
                        assert!(!boundary, "{name} cut to {length}: {error}");
                        assert!(error.offset < length);
                        assert!(matches!(error.kind, DescriptorErrorKind::Truncated { .. }), "{error}");
                    }
                }
            }
        }
    }
    for (name, bytes) in devices() {
        for length in 0..bytes.len() {
            let error = DeviceDescriptor::parse(&bytes[..length]).expect_err(name);
            assert!(error.offset <= length);
        }
    }
}

#[test]
fn a_device_node_holds_the_device_and_its_configurations() {
    let (_, mut bytes) = devices().remove(0);
    let device = bytes.len();
    for (_, configuration) in configurations() {
        bytes.extend(configuration);
    }
    let set = DescriptorSet::parse(&bytes).expect("valid");
    assert_eq!((set.device.vendor, set.device.product), (0x0525, 0xa4a0));
    assert_eq!(set.configurations.len(), 7);
    assert_eq!(set.to_bytes(), bytes);
    // Offsets count from the start of the whole input.
    let error = DescriptorSet::parse(&bytes[..bytes.len() - 1]).expect_err("cut");
    assert_eq!(error.offset, bytes.len() - 200);
    // A wTotalLength that would not move on is refused instead of read for ever.
    bytes[device + 2] = 0;
    let error = DescriptorSet::parse(&bytes).expect_err("no length");
    assert_eq!(error.kind, DescriptorErrorKind::TotalLength { claimed: 0, actual: 9 });
    assert_eq!(error.offset, device);
}

#[test]
fn descriptors_longer_than_their_type_keep_the_rest() {
    let mut device = devices().remove(0).1;
    device[0] += 1;
    device.push(0xaa);
    assert_eq!(DeviceDescriptor::parse(&device).expect("legal").to_bytes(), device);
    let endpoints =
        [&[9, 4, 0, 0, 2, 0xff, 0, 0, 0][..], &[8, 5, 1, 1, 8, 0, 1, 7], &[11, 5, 2, 1, 8, 0, 1, 3, 4, 5, 6]];
    let configuration = [&[10, 2, 38, 0, 1, 1, 0, 0x80, 50, 0xaa][..], &endpoints.concat()].concat();
    let (parsed, warnings) = Configuration::parse(&configuration).expect("legal");
    assert_eq!(warnings, []);
    assert_eq!(parsed.tail, [0xaa]);
    let (_, _, short) = parsed.find_endpoint(1).expect("8 bytes");
    assert_eq!((short.audio, short.tail.as_slice()), (None, &[7][..]));
    let (_, _, long) = parsed.find_endpoint(2).expect("11 bytes");
    assert_eq!(long.audio, Some(AudioFields { refresh: 3, synch_address: 4 }));
    assert_eq!(long.tail, [5, 6]);
    assert_eq!(parsed.to_bytes(), configuration);
    let store = [6, 15, 6, 0, 0, 0xaa];
    assert_eq!(BinaryObjectStore::parse(&store).expect("legal").to_bytes(), store);
}

#[test]
fn the_speaker_is_read_field_by_field() {
    let speaker = configuration("uac1_fs_config");
    assert_eq!((speaker.value, speaker.attributes, speaker.declared_interfaces), (1, 0xc0, 3));
    let numbers: Vec<_> = speaker.interfaces.iter().map(|interface| interface.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let control = speaker.interface(0).and_then(|interface| interface.alternate(0)).expect("control");
    assert_eq!((control.class, control.subclass, control.protocol), (1, 1, 0));
    assert_eq!(control.extra.len(), 5, "class-specific header, terminals");
    assert_eq!(control.extra[0], [0x0a, 0x24, 1, 0, 1, 0x34, 0, 2, 1, 2]);

    let found: Vec<_> = speaker
        .isochronous()
        .map(|(interface, alternate, endpoint)| (interface.number, alternate.number, endpoint.address))
        .collect();
    assert_eq!(found, [(1, 1, 0x01), (2, 1, 0x82)]);
    let (_, _, out) = speaker.find_endpoint(0x01).expect("speaker");
    assert_eq!(out.audio, Some(AudioFields { refresh: 0, synch_address: 0 }));
    assert_eq!(out.synchronization(), Synchronization::Adaptive);
    assert_eq!(out.extra, [vec![7, 0x25, 1, 0, 0, 0, 0]]);
    let timing = out.timing(Speed::Full).expect("periodic");
    assert_eq!((timing.bytes_per_interval(), timing.period_microframes()), (196, 8));
    assert_eq!(speaker.find_endpoint(0x03), None);
}

#[test]
fn feedback_and_associations_are_recognised() {
    let device = configuration("uac2_hs_config");
    let [association] = device.associations.as_slice() else { panic!("one association") };
    assert_eq!((association.first_interface, association.count, association.protocol), (0, 3, 0x20));
    assert_eq!(association.position, 9);
    let (_, alternate, feedback) = device.find_endpoint(0x81).expect("feedback");
    assert_eq!(feedback.usage(), Usage::Feedback);
    assert_eq!(alternate.endpoint(0x01).expect("data").usage(), Usage::Data);
    assert_eq!(alternate.endpoint(0x01).expect("data").synchronization(), Synchronization::Asynchronous);
    assert_eq!(feedback.timing(Speed::High).expect("periodic").period_microframes(), 8);

    let camera = configuration("uvc_hs_config");
    let widest = camera.interface(1).and_then(|interface| interface.alternate(3)).expect("alternate 3");
    let timing = widest.endpoints[0].timing(Speed::High).expect("periodic");
    assert_eq!((timing.bytes_per_interval(), timing.max_packet_size()), (3072, 1024));

    let zero = configuration("gzero_ss_config");
    let (_, alternate, endpoint) = zero.find_endpoint(0x82).expect("isochronous");
    assert_eq!(alternate.number, 1);
    assert_eq!(endpoint.super_speed.as_ref().map(|companion| companion.bytes_per_interval), Some(1024));
    assert_eq!(zero.maximum_milliamperes(Speed::Super), 8);
    assert_eq!(zero.maximum_milliamperes(Speed::High), 2);
}

#[test]
fn usage_and_synchronization_belong_to_isochronous_endpoints() {
    for (attributes, transfer, synchronization, usage) in [
        (0x01, TransferType::Isochronous, Synchronization::None, Usage::Data),
        (0x05, TransferType::Isochronous, Synchronization::Asynchronous, Usage::Data),
        (0x09, TransferType::Isochronous, Synchronization::Adaptive, Usage::Data),
        (0x0d, TransferType::Isochronous, Synchronization::Synchronous, Usage::Data),
        (0x11, TransferType::Isochronous, Synchronization::None, Usage::Feedback),
        (0x25, TransferType::Isochronous, Synchronization::Asynchronous, Usage::ImplicitFeedback),
        (0x31, TransferType::Isochronous, Synchronization::None, Usage::Reserved),
        (0x3f, TransferType::Interrupt, Synchronization::None, Usage::Data), // USB 3: bits 5-4 say periodic or not
        (0x02, TransferType::Bulk, Synchronization::None, Usage::Data),
        (0x00, TransferType::Control, Synchronization::None, Usage::Data),
    ] {
        let endpoint = Endpoint::new(1, attributes, 8, 1);
        assert_eq!(
            (endpoint.transfer_type(), endpoint.synchronization(), endpoint.usage()),
            (transfer, synchronization, usage),
            "{attributes:#04x}"
        );
    }
}

#[test]
fn malformed_configurations_say_what_and_where() {
    use DescriptorErrorKind as Kind;
    fails_with(&[], 0, Kind::Truncated { needed: 9, have: 0 });
    fails_with(&[9], 0, Kind::Truncated { needed: 2, have: 1 });
    fails_with(&[0, 2], 0, Kind::LengthBelowHeader { length: 0 });
    fails_with(&[9, 2, 9, 0], 0, Kind::Truncated { needed: 9, have: 4 });
    fails_with(&[8, 2, 8, 0, 0, 1, 0, 0], 0, Kind::TooShort { descriptor_type: 2, length: 8, needed: 9 });
    fails_with(&INTERFACE, 0, Kind::UnexpectedType { expected: 2, found: 4 });
    fails_with(&vec![9; 65536], 0, Kind::TooLong { length: 65536 });

    let mut claims_more = wrap(0, &[]);
    claims_more[2] = 10;
    fails_with(&claims_more, 0, Kind::TotalLength { claimed: 10, actual: 9 });
    claims_more.extend([2, 0x24, 0]);
    fails_with(&claims_more, 0, Kind::TotalLength { claimed: 10, actual: 12 });

    fails_with(&wrap(1, &[1, 4]), 9, Kind::LengthBelowHeader { length: 1 });
    fails_with(&wrap(1, &[9, 4, 0]), 9, Kind::Truncated { needed: 9, have: 3 });
    fails_with(&wrap(1, &INTERFACE[..1]), 9, Kind::Truncated { needed: 2, have: 1 });
    for (body, needed) in [
        (&[8, 4, 0, 0, 0, 0, 0, 0][..], 9),
        (&[7, 11, 0, 0, 0, 0, 0], 8),
        (&[6, 5, 0x81, 1, 0, 1], 7),
        (&[5, 0x30, 0, 0, 0], 6),
        (&[7, 0x31, 0, 0, 0, 0, 0], 8),
    ] {
        let kind = Kind::TooShort { descriptor_type: body[1], length: body[0], needed };
        fails_with(&wrap(1, body), 9, kind);
    }
    fails_with(&wrap(1, &ENDPOINT), 9, Kind::EndpointBeforeInterface);
    fails_with(
        &wrap(1, &[&INTERFACE[..], &[8, 11, 0, 1, 0, 0, 0, 0], &ENDPOINT].concat()),
        26,
        Kind::EndpointBeforeInterface,
    );
    fails_with(
        &wrap(1, &[&INTERFACE[..], &ENDPOINT, &ENDPOINT].concat()),
        25,
        Kind::DuplicateEndpoint { address: 0x81 },
    );
    fails_with(
        &wrap(1, &[INTERFACE, INTERFACE].concat()),
        18,
        Kind::DuplicateAlternateSetting { interface: 0, alternate: 0 },
    );
    for address in [0x00, 0x80, 0x10, 0x91, 0x7f] {
        let mut endpoint = ENDPOINT;
        endpoint[2] = address;
        fails_with(&wrap(1, &[&INTERFACE[..], &endpoint].concat()), 18, Kind::EndpointAddress { address });
    }
    for (body, descriptor_type) in [(&COMPANION[..], 0x30), (&PLUS, 0x31)] {
        let kind = Kind::CompanionWithoutEndpoint { descriptor_type };
        fails_with(&wrap(0, body), 9, kind);
        fails_with(&wrap(1, &[&INTERFACE[..], body].concat()), 18, kind);
    }
}

#[test]
fn messages_tell_where_and_what() {
    let error = Configuration::parse(&wrap(1, &[6, 5, 0x81, 1, 0, 1])).expect_err("short");
    assert_eq!(
        error.to_string(),
        "descriptor at byte 9: bLength is 6, but an endpoint descriptor needs at least 7 bytes"
    );
}

#[test]
fn harmless_faults_are_warnings_and_lose_nothing() {
    let mut two_declared = INTERFACE;
    two_declared[4] = 2;
    let class_specific = [4, 0x25, 1, 2];
    for (body, interfaces, expected) in [
        (
            [&two_declared[..], &ENDPOINT].concat(),
            1,
            vec![Warning::EndpointCount { interface: 0, alternate: 0, declared: 2, found: 1 }],
        ),
        ([&INTERFACE[..], &ENDPOINT].concat(), 4, vec![Warning::InterfaceCount { declared: 4, found: 1 }]),
        (
            [&INTERFACE[..], &ENDPOINT, &class_specific, &COMPANION].concat(),
            1,
            vec![Warning::StrayCompanion { offset: 29, address: 0x81 }],
        ),
        (
            [&INTERFACE[..], &ENDPOINT, &COMPANION, &COMPANION, &PLUS].concat(),
            1,
            vec![
                Warning::StrayCompanion { offset: 31, address: 0x81 },
                Warning::StrayCompanion { offset: 37, address: 0x81 },
            ],
        ),
        (
            [&INTERFACE[..], &ENDPOINT, &PLUS, &COMPANION].concat(),
            1,
            vec![
                Warning::StrayCompanion { offset: 25, address: 0x81 },
                Warning::StrayCompanion { offset: 33, address: 0x81 },
            ],
        ),
        (
            [&INTERFACE[..], &[3, 2, 0], &ENDPOINT].concat(),
            1,
            vec![Warning::OutOfPlace { offset: 18, descriptor_type: 2 }],
        ),
        (
            [&INTERFACE[..], &ENDPOINT, &COMPANION, &PLUS, &PLUS].concat(),
            1,
            vec![Warning::StrayCompanion { offset: 39, address: 0x81 }],
        ),
        ([&INTERFACE[..], &ENDPOINT, &COMPANION, &PLUS].concat(), 1, vec![]),
    ] {
        let bytes = wrap(interfaces, &body);
        let (configuration, warnings) = Configuration::parse(&bytes).expect("harmless");
        assert_eq!(warnings, expected, "{body:02x?}");
        assert_eq!(configuration.to_bytes(), bytes);
    }
}

#[test]
fn settings_that_do_not_stand_together_go_back_to_their_places() {
    let setting = |interface, alternate| [9, 4, interface, alternate, 0, 0xff, 0, 0, 0];
    let association = [9, 11, 0, 2, 0xff, 0, 0, 0, 0xaa]; // with one byte more than its type has
    let body = [
        &[3, 0x29, 7][..],
        &setting(0, 0),
        &association,
        &[2, 0x41],
        &setting(1, 0),
        &setting(0, 1),
        &association,
        &setting(1, 1),
    ]
    .concat();
    let bytes = wrap(2, &body);
    let (configuration, warnings) = Configuration::parse(&bytes).expect("legal");
    assert_eq!(warnings, []);
    assert_eq!(configuration.interfaces.len(), 2);
    assert!(configuration.interfaces.iter().all(|interface| interface.alternates.len() == 2));
    assert_eq!(configuration.associations[0].extra, [vec![2, 0x41]]);
    assert_eq!(configuration.associations[0].tail, [0xaa]);
    assert_eq!(configuration.extra, [vec![3, 0x29, 7]]);
    assert_eq!(configuration.to_bytes(), bytes);
}

#[test]
fn capabilities_are_read() {
    let mut bytes = vec![5, 15, 0, 0, 4];
    bytes.extend([7, 16, 2, 2, 0, 0, 0]);
    bytes.extend([10, 16, 3, 0, 0x0e, 0, 1, 10, 0xff, 7]);
    let id: [u8; 16] = std::array::from_fn(|at| at as u8);
    bytes.extend([20, 16, 4, 0]);
    bytes.extend(id);
    bytes.extend([5, 16, 0x0a, 1, 2]);
    bytes[2] = bytes.len() as u8;
    let store = BinaryObjectStore::parse(&bytes).expect("valid");
    let said: Vec<_> = store.capabilities.iter().map(DeviceCapability::capability).collect();
    assert_eq!(
        said,
        [
            Capability::Usb2Extension { attributes: 2 },
            Capability::SuperSpeed {
                attributes: 0,
                speeds: 0x0e,
                functionality: 1,
                u1_exit_latency: 10,
                u2_exit_latency: 0x07ff
            },
            Capability::ContainerId { id },
            Capability::Other { capability_type: 0x0a, data: &[1, 2] },
        ]
    );
    assert_eq!(store.to_bytes(), bytes);
    for length in 0..bytes.len() {
        assert!(BinaryObjectStore::parse(&bytes[..length]).expect_err("cut").offset <= length);
    }
    for (capability_type, needed) in [(1, 3), (2, 7), (3, 10), (4, 20)] {
        let length = needed - 1;
        let mut bytes = vec![5, 15, 5 + length, 0, 1, length, 16, capability_type];
        bytes.resize(5 + usize::from(length), 0);
        let error = BinaryObjectStore::parse(&bytes).expect_err("short");
        assert_eq!(error.kind, DescriptorErrorKind::TooShort { descriptor_type: 16, length, needed });
    }
    let error = BinaryObjectStore::parse(&[5, 15, 7, 0, 1, 2, 4]).expect_err("an interface");
    assert_eq!(error.kind, DescriptorErrorKind::UnexpectedType { expected: 16, found: 4 });
    assert_eq!(error.offset, 5);
}

#[test]
fn strings_are_read_and_written() {
    assert_eq!(decode_languages(&[4, 3, 9, 4]), Ok(vec![0x0409]));
    assert_eq!(encode_languages(&[0x0409]), Some(vec![4, 3, 9, 4]));
    assert_eq!(
        decode_string(&[6, 3, 0x61, 0, 0x3c, 0xd8]).as_deref(),
        Ok("a\u{fffd}"),
        "half a surrogate pair"
    );
    assert_eq!(decode_string(&[5, 3, 0x61, 0, 0x62]).as_deref(), Ok("a"), "one byte too many");
    assert_eq!(decode_string(&[6, 3, 0x61, 0, 0, 0]).as_deref(), Ok("a"), "trailing NUL");
    assert_eq!(decode_string(&[2, 3]).as_deref(), Ok(""));
    assert_eq!(
        decode_string(&[4, 3, 0x61]).expect_err("cut").kind,
        DescriptorErrorKind::Truncated { needed: 4, have: 3 }
    );
    assert!(decode_string(&[2, 1]).is_err());
    let longest = "x".repeat(126);
    assert_eq!(encode_string(&longest).map(|bytes| bytes[0]), Some(254));
    assert_eq!(encode_string(&format!("{longest}x")), None);
}

/// Configurations that are mostly well-formed: descriptors of known types with plausible lengths.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let one = (
        prop::sample::select(vec![0x04u8, 0x04, 0x05, 0x05, 0x0b, 0x24, 0x25, 0x29, 0x30, 0x31, 0x02]),
        prop::collection::vec(any::<u8>(), 7..12),
        0u8..3,
        0u8..3,
        1u8..16,
    )
        .prop_map(|(kind, mut data, interface, alternate, endpoint)| {
            match kind {
                0x04 => (data[0], data[1]) = (interface, alternate),
                0x05 => data[0] = endpoint | (alternate & 1) << 7,
                _ => {}
            }
            let mut bytes = vec![data.len() as u8 + 2, kind];
            bytes.extend(data);
            bytes
        });
    (any::<u8>(), prop::collection::vec(one, 0..12))
        .prop_map(|(interfaces, all)| wrap(interfaces, &all.concat()))
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for error in [
            Configuration::parse(&bytes).err(),
            DeviceDescriptor::parse(&bytes).err(),
            DescriptorSet::parse(&bytes).err(),
            BinaryObjectStore::parse(&bytes).err(),
            decode_string(&bytes).err(),
        ].into_iter().flatten() {
            prop_assert!(error.offset <= bytes.len());
            prop_assert!(!error.to_string().is_empty());
        }
        let walked: usize = walk(&bytes).map_while(Result::ok).map(|raw| raw.bytes.len()).sum();
        prop_assert!(walked <= bytes.len());
    }

    /// What parses comes back identical, whatever it is.
    #[test]
    fn nothing_is_lost(bytes in plausible()) {
        match Configuration::parse(&bytes) {
            Ok((configuration, _)) => prop_assert_eq!(configuration.to_bytes(), bytes),
            Err(error) => prop_assert!(error.offset < bytes.len()),
        }
    }

    /// One changed byte in a real configuration either is an error or survives the way through the tree.
    #[test]
    fn changed_bytes_are_kept_or_refused(which in 0usize..7, at in any::<prop::sample::Index>(), value: u8) {
        let (_, mut bytes) = configurations().remove(which);
        let at = at.index(bytes.len());
        bytes[at] = value;
        match Configuration::parse(&bytes) {
            Ok((configuration, _)) => prop_assert_eq!(configuration.to_bytes(), bytes),
            // A wrong length may go unnoticed until later descriptors no longer line up.
            Err(error) => prop_assert!(error.offset < bytes.len()),
        }
    }

    #[test]
    fn text_survives(text in "\\PC{0,60}") {
        let bytes = encode_string(&text).expect("short");
        prop_assert_eq!(decode_string(&bytes), Ok(text));
    }

    /// Timing never panics, and never promises more than a bus can carry.
    #[test]
    fn any_endpoint_has_a_timing_or_a_reason(bytes in plausible(), speed in 0usize..5) {
        let speeds = [Speed::Low, Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus];
        if let Ok((configuration, _)) = Configuration::parse(&bytes) {
            for (_, _, endpoint) in configuration.endpoints() {
                match endpoint.timing(speeds[speed]) {
                    Ok(timing) => {
                        prop_assert!(timing.period_microframes() > 0);
                        prop_assert!(timing.bytes_per_interval() <= 0x00ff_ffff);
                    }
                    Err(error) => prop_assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}
