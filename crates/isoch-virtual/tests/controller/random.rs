//! Anything in any order: nothing panics, every block comes back once and in order, and what the host is told
//! agrees with the device's log as far as the profile tells.

use std::collections::VecDeque;

use isoch_core::rules::{Direction, Setup};
use isoch_core::{PacketStatus, Results, Start};
use isoch_virtual::controller::{Controller, Event, PipeId, PortId};
use isoch_virtual::faults::{Fault, FaultKind};
use isoch_virtual::profile::Profile;
use proptest::prelude::*;

use crate::rig::{Probe, block, rig_descriptors};

#[derive(Clone, Debug)]
enum Step {
    Run(u64),
    Submit { pipe: usize, packets: u32, start: Start },
    Cancel { pipe: usize, back: u64 },
    Abort(usize),
    Reopen { pipe: usize, endpoint: u8 },
    Data { endpoint: u8, length: usize },
    CancelData(u64),
    Setting(u8),
    Control(Setup),
    Fault(Fault),
    Claim(Option<usize>),
    Naks(u32),
    Replug,
}

fn steps() -> impl Strategy<Value = Step> {
    let start = prop_oneof![
        Just(Start::Asap),
        Just(Start::Continue),
        (95u64..140).prop_map(Start::At),
        any::<u64>().prop_map(Start::At),
    ];
    let endpoint = prop_oneof![Just(0x01u8), Just(0x81), Just(0x04), Just(0x05), any::<u8>()];
    let data_endpoint = prop_oneof![Just(0x02u8), Just(0x82), Just(0x83), any::<u8>()];
    let kind = prop_oneof![
        Just(FaultKind::HostMissed),
        Just(FaultKind::HostLate),
        Just(FaultKind::HostStalled),
        Just(FaultKind::LostOnWire),
        Just(FaultKind::CrcError),
        (0u32..40).prop_map(FaultKind::Short),
        Just(FaultKind::Empty),
        Just(FaultKind::Babble),
        Just(FaultKind::ControlStall),
        Just(FaultKind::Unplug),
    ];
    let fault = (90u64..160, 0u64..5, kind, prop_oneof![Just(None), endpoint.clone().prop_map(Some)]);
    let setup =
        (any::<u8>(), 0u8..13, any::<u16>(), any::<u16>(), 0u16..300).prop_map(|(t, request, v, i, n)| {
            Setup { request_type: t & 0xe3, request, value: v & 0x0f03, index: i & 0x87, length: n }
        });
    prop_oneof![
        8 => (0u64..60).prop_map(Step::Run),
        8 => (0usize..8, 1u32..30, start).prop_map(|(pipe, packets, start)| Step::Submit { pipe, packets, start }),
        2 => (0usize..8, 0u64..6).prop_map(|(pipe, back)| Step::Cancel { pipe, back }),
        1 => (0usize..8).prop_map(Step::Abort),
        3 => (0usize..8, endpoint).prop_map(|(pipe, endpoint)| Step::Reopen { pipe, endpoint }),
        2 => (data_endpoint, 0usize..2000).prop_map(|(endpoint, length)| Step::Data { endpoint, length }),
        1 => (0u64..40).prop_map(Step::CancelData),
        1 => (0u8..4).prop_map(Step::Setting),
        1 => setup.prop_map(Step::Control),
        2 => fault.prop_map(|(from, length, kind, endpoint)| {
            Step::Fault(Fault { frames: from..from + length, kind, device: None, endpoint })
        }),
        1 => proptest::option::of(0usize..60).prop_map(Step::Claim),
        1 => (0u32..30).prop_map(Step::Naks),
        1 => Just(Step::Replug),
    ]
}

/// What must come back, and what came.
#[derive(Default)]
struct Books {
    pending: Vec<(PipeId, u8, VecDeque<u64>)>,
    data: Vec<u64>,
    /// Packets that the host knows to have been transferred, on endpoints that tell.
    done: u64,
    silent: bool,
    seen: u64,
}

impl Books {
    fn book(&mut self, events: &mut Vec<Event>, profile: &Profile, now: u64) {
        for event in events.drain(..) {
            match event {
                Event::Isoch(done) => {
                    assert!(done.seen >= self.seen && done.seen <= now);
                    self.seen = done.seen;
                    let (_, endpoint, tokens) =
                        self.pending.iter_mut().find(|(pipe, _, _)| *pipe == done.pipe).unwrap();
                    let direction = Direction::of_endpoint(*endpoint);
                    assert_eq!(tokens.pop_front(), Some(done.token), "once, and in order");
                    assert!(profile.tells_first || done.first.is_none());
                    for packet in done.block.packets() {
                        assert_ne!(packet.status, PacketStatus::Pending);
                        assert!(packet.actual <= packet.length);
                        let told = packet.status == PacketStatus::Done;
                        assert!(told || packet.actual == 0);
                        self.done += u64::from(told);
                    }
                    self.silent |= profile.capabilities(direction).results != Results::PerPacket;
                }
                Event::Data(done) => {
                    let index = self.data.iter().position(|token| *token == done.token).unwrap();
                    self.data.remove(index);
                    assert!(done.transferred <= done.data.len());
                }
                Event::Plugged(_) | Event::Unplugged(_) => {}
            }
        }
    }
}

fn plug(controller: &mut Controller) -> (PortId, std::sync::Arc<std::sync::Mutex<crate::rig::Seen>>) {
    let (device, seen) = Probe::new(rig_descriptors());
    let port = controller.plug("rig", device).unwrap();
    let _ = controller.set_alternate_setting(port, 0, 1);
    (port, seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn blocks_come_back_once_and_reports_agree_with_the_log(
        name in proptest::sample::select(Profile::NAMES.as_slice()),
        steps in proptest::collection::vec(steps(), 1..80),
    ) {
        let mut controller = Controller::new(Profile::named(name).unwrap());
        let profile = controller.profile();
        let (mut port, mut seen) = plug(&mut controller);
        let mut events = Vec::new();
        while controller.run(800, &mut events) < 800 {}
        events.clear();
        let mut ports = vec![port];
        let mut pipes: Vec<PipeId> = Vec::new();
        let mut books = Books::default();
        let mut token = 0;
        for step in steps {
            token += 1;
            match step {
                Step::Run(microframes) => {
                    let until = controller.now() + microframes;
                    let next = controller.next_event_at();
                    let now = controller.run(until, &mut events);
                    // It does not overlook what it announced, and announces what happens.
                    prop_assert!(next.is_none_or(|next| now >= next.min(until) || !events.is_empty()));
                    prop_assert!(events.is_empty() || next.is_some_and(|next| next <= now));
                    prop_assert!(now == until || !events.is_empty());
                }
                Step::Submit { pipe, packets, start } => {
                    if let Some(pipe) = pipes.get(pipe)
                        && controller.submit(*pipe, token, block(packets, 24), start).is_ok()
                    {
                        books.pending.iter_mut().find(|(id, _, _)| id == pipe).unwrap().2.push_back(token);
                    }
                }
                Step::Cancel { pipe, back } => {
                    if let Some(pipe) = pipes.get(pipe) {
                        controller.cancel(*pipe, token - back.min(token), &mut events);
                    }
                }
                Step::Abort(pipe) => {
                    if let Some(pipe) = pipes.get(pipe) {
                        controller.abort(*pipe, &mut events);
                        books.book(&mut events, &profile, controller.now());
                        prop_assert!(books.pending.iter().all(|(id, _, left)| id != pipe || left.is_empty()));
                    }
                }
                Step::Reopen { pipe, endpoint } => {
                    if let Some(old) = pipes.get(pipe) {
                        controller.close_pipe(*old, &mut events);
                    }
                    if let Ok(new) = controller.open_pipe(port, endpoint) {
                        prop_assert!(books.pending.iter().all(|(id, _, _)| *id != new));
                        books.pending.push((new, endpoint, VecDeque::new()));
                        if pipe < pipes.len() { pipes[pipe] = new } else { pipes.push(new) }
                    }
                }
                Step::Data { endpoint, length } => {
                    if controller.submit_data(port, endpoint, token, vec![0; length]).is_ok() {
                        books.data.push(token);
                    }
                }
                Step::CancelData(token) => {
                    controller.cancel_data(port, token, &mut events);
                }
                Step::Setting(setting) => {
                    let _ = controller.set_alternate_setting(port, 0, setting);
                }
                Step::Control(setup) => {
                    let data = vec![0; usize::from(setup.length)];
                    let _ = controller.control_out(port, setup, &data);
                    let _ = controller.control_in(port, setup, &mut Vec::new());
                }
                Step::Fault(fault) => controller.add_fault(fault),
                Step::Claim(claim) => seen.lock().unwrap().claim = claim,
                Step::Naks(naks) => seen.lock().unwrap().naks = naks,
                Step::Replug => {
                    controller.unplug(port, &mut events);
                    (port, seen) = plug(&mut controller);
                    ports.push(port);
                }
            }
            books.book(&mut events, &profile, controller.now());
        }
        for pipe in pipes {
            controller.close_pipe(pipe, &mut events);
        }
        controller.unplug(port, &mut events);
        let end = controller.now() + 10_000;
        while controller.run(end, &mut events) < end {}
        books.book(&mut events, &profile, controller.now());
        prop_assert!(books.pending.iter().all(|(_, _, left)| left.is_empty()));
        prop_assert!(books.data.is_empty());
        // Sent and lost, or passed and logged; only damaged packets are logged and not done.
        let logs = ports.iter().filter_map(|port| controller.log(*port));
        let (passed, lost) = logs.fold((0, 0), |(passed, lost), log| {
            (passed + log.total(), lost + log.total_wire_losses())
        });
        prop_assert!(books.silent || books.done <= passed + lost);
    }
}
