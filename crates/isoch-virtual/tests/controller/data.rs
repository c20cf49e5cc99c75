//! Bulk and interrupt transfers.

use isoch_core::rules::Speed;
use isoch_virtual::controller::{Controller, DataDone, DataError, Event};
use isoch_virtual::faults::FaultKind;
use isoch_virtual::profile::Profile;

use crate::rig::{BULK, INTERRUPT, Probe, Rig, descriptors};

fn done(rig: &mut Rig) -> Vec<DataDone> {
    let ended = rig.events.drain(..).map(|event| match event {
        Event::Data(done) => done,
        other => panic!("unexpected: {other:?}"),
    });
    ended.collect()
}

#[test]
fn a_bulk_transfer_goes_in_packets() {
    let mut rig = Rig::new("exact");
    let bytes: Vec<u8> = (0..512 * 20 + 7).map(|byte| (byte % 251) as u8).collect();
    rig.controller.submit_data(rig.port, 0x02, 5, bytes.clone()).unwrap();
    assert_eq!(rig.controller.next_event_at(), Some(801));
    // Thirteen packets fit a microframe.
    assert_eq!(rig.controller.run(5000, &mut rig.events), 802);
    let ended = done(&mut rig);
    assert_eq!((ended[0].token, ended[0].transferred, ended[0].result), (5, bytes.len(), Ok(())));
    assert_eq!((&ended[0].data, ended[0].seen, ended[0].endpoint), (&bytes, 802, 2));
    let seen = rig.seen.lock().unwrap();
    let sizes: Vec<usize> = seen.bulk_out.iter().map(|(_, packet)| packet.len()).collect();
    assert_eq!(sizes, [[512; 20].as_slice(), &[7]].concat());
    assert_eq!(seen.bulk_out[12].0, 800);
    assert_eq!(seen.bulk_out[13].0, 801);
    assert_eq!(seen.bulk_out.iter().flat_map(|(_, packet)| packet).copied().collect::<Vec<u8>>(), bytes);
}

#[test]
fn an_empty_transfer_is_one_empty_packet() {
    let mut rig = Rig::new("exact");
    rig.controller.submit_data(rig.port, 0x02, 5, Vec::new()).unwrap();
    rig.run_to(900);
    assert_eq!(done(&mut rig).len(), 1);
    assert_eq!(rig.seen.lock().unwrap().bulk_out, [(800, Vec::new())]);
}

#[test]
fn a_short_packet_ends_an_in_transfer() {
    let mut rig = Rig::new("exact");
    rig.seen.lock().unwrap().bulk_in = vec![9; 700 + 512];
    rig.controller.submit_data(rig.port, 0x82, 1, vec![0; 512]).unwrap();
    rig.controller.submit_data(rig.port, 0x82, 2, vec![0; 4096]).unwrap();
    rig.run_to(900);
    let ended = done(&mut rig);
    let lengths: Vec<usize> = ended.iter().map(|done| done.transferred).collect();
    assert_eq!(lengths, [512, 700]);
    assert_eq!(ended[1].data[..701], [vec![9; 700], vec![0]].concat());
}

#[test]
fn naks_are_tried_again_and_can_be_given_up() {
    let mut rig = Rig::new("exact");
    rig.seen.lock().unwrap().naks = 100;
    rig.controller.submit_data(rig.port, 0x02, 1, vec![1, 2]).unwrap();
    assert_eq!(rig.controller.run(5000, &mut rig.events), 901);
    assert_eq!(done(&mut rig)[0].seen, 901);
    rig.seen.lock().unwrap().naks = u32::MAX;
    rig.controller.submit_data(rig.port, 0x82, 2, vec![0; 8]).unwrap();
    rig.controller.submit_data(rig.port, 0x82, 3, vec![0; 8]).unwrap();
    assert_eq!(rig.controller.run(1000, &mut rig.events), 1000);
    assert!(!rig.controller.cancel_data(rig.port, 4, &mut rig.events));
    assert!(rig.controller.cancel_data(rig.port, 2, &mut rig.events));
    assert!(!rig.controller.cancel_data(rig.port, 2, &mut rig.events));
    let ended = done(&mut rig);
    assert_eq!((ended[0].token, ended[0].result, ended[0].transferred), (2, Err(DataError::Cancelled), 0));
    rig.seen.lock().unwrap().naks = 0;
    rig.run_to(1001);
    assert_eq!(done(&mut rig)[0].token, 3);
    assert_eq!(rig.controller.next_event_at(), None);
}

#[test]
fn a_stall_halts_the_endpoint_until_it_is_cleared() {
    let mut rig = Rig::new("exact");
    rig.seen.lock().unwrap().stall = true;
    rig.controller.submit_data(rig.port, 0x02, 1, vec![1]).unwrap();
    rig.controller.submit_data(rig.port, 0x02, 2, vec![2]).unwrap();
    rig.run_to(900);
    let results: Vec<_> = done(&mut rig).iter().map(|done| (done.token, done.result)).collect();
    assert_eq!(results, [(1, Err(DataError::Stall)), (2, Err(DataError::Stall))]);
    rig.seen.lock().unwrap().stall = false;
    assert_eq!(rig.controller.submit_data(rig.port, 0x02, 3, vec![3]), Err(DataError::Stall));
    let clear = isoch_core::rules::Setup { request_type: 2, request: 1, value: 0, index: 2, length: 0 };
    rig.controller.control_out(rig.port, clear, &[]).unwrap();
    rig.controller.submit_data(rig.port, 0x02, 3, vec![3]).unwrap();
    rig.run_to(901);
    assert_eq!(done(&mut rig)[0].result, Ok(()));
}

#[test]
fn a_device_that_claims_too_much_babbles() {
    let mut rig = Rig::new("exact");
    rig.seen.lock().unwrap().bulk_claim = Some(usize::MAX);
    rig.controller.submit_data(rig.port, 0x82, 1, vec![0; 8]).unwrap();
    rig.run_to(900);
    assert_eq!(done(&mut rig)[0].result, Err(DataError::Babble));
}

#[test]
fn an_interrupt_endpoint_is_asked_once_per_interval() {
    let mut rig = Rig::new("exact");
    rig.run_to(803);
    rig.seen.lock().unwrap().bulk_in = vec![1; 20];
    rig.controller.submit_data(rig.port, 0x83, 1, vec![0; 24]).unwrap();
    // bInterval 4: in microframes 808, 816 and 824.
    assert_eq!(rig.controller.next_event_at(), Some(816));
    assert_eq!(rig.controller.run(5000, &mut rig.events), 832);
    let ended = done(&mut rig);
    assert_eq!((ended[0].transferred, ended[0].seen), (20, 832));
}

#[test]
fn full_speed_counts_in_frames() {
    let mut controller = Controller::new(Profile::default());
    let all = descriptors(Speed::Full, &[&[(0x02, BULK, 64, 0), (0x83, INTERRUPT, 8, 10)]]);
    let (device, seen) = Probe::new(all);
    let port = controller.plug("full", device).unwrap();
    let mut events = Vec::new();
    controller.run(100, &mut events);
    events.clear();
    controller.run(100, &mut events);
    controller.submit_data(port, 0x02, 0, vec![0; 65]).unwrap();
    seen.lock().unwrap().bulk_in = vec![1];
    controller.submit_data(port, 0x83, 1, vec![0; 8]).unwrap();
    let mut ends = Vec::new();
    while controller.run(5000, &mut events) < 5000 {
        for event in events.drain(..) {
            let Event::Data(done) = event else { panic!("{event:?}") };
            ends.push((done.token, done.seen));
        }
    }
    // Of ten frames the host makes eight; the next eighth frame is 16.
    assert_eq!(ends, [(0, 112), (1, 136)]);
    assert_eq!(seen.lock().unwrap().bulk_out.len(), 2);
    assert_eq!(seen.lock().unwrap().bulk_out[0].0, 104);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut rig = Rig::new("exact");
    let port = rig.port;
    assert_eq!(rig.controller.submit_data(port, 0x01, 0, vec![]), Err(DataError::NoSuchEndpoint));
    assert_eq!(rig.controller.submit_data(port, 0x0f, 0, vec![]), Err(DataError::NoSuchEndpoint));
    rig.controller.unplug(port, &mut rig.events);
    assert_eq!(rig.controller.submit_data(port, 0x02, 0, vec![]), Err(DataError::Gone));
    assert!(!rig.controller.cancel_data(port, 0, &mut rig.events));
}

#[test]
fn a_stalled_host_learns_of_data_afterwards() {
    let mut rig = Rig::new("exact");
    rig.fault(100..110, FaultKind::HostStalled);
    rig.controller.submit_data(rig.port, 0x02, 1, vec![1]).unwrap();
    assert_eq!(rig.controller.run(5000, &mut rig.events), 880);
    assert_eq!(done(&mut rig)[0].seen, 880);
    assert_eq!(rig.seen.lock().unwrap().bulk_out[0].0, 800);
}
