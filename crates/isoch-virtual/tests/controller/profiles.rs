//! What each profile does, tells, and claims.

use isoch_core::rules::Direction;
use isoch_core::{FrameSource, Outcome, PacketStatus, Results, Start, StartSupport};
use isoch_virtual::controller::SubmitError;
use isoch_virtual::faults::FaultKind;
use isoch_virtual::profile::Profile;

use crate::rig::{Rig, block, statuses, summary};

use Outcome::Completed;

#[test]
fn names_lead_to_profiles() {
    assert_eq!(Profile::NAMES, ["exact", "winusb", "usbfs-ehci", "usbfs-uhci", "usbfs-xhci", "usbip-stub"]);
    for name in Profile::NAMES {
        assert_eq!(Profile::named(name).unwrap().name, name);
    }
    assert_eq!(Profile::named("ohci"), None);
    assert_eq!(Profile::default().name, "exact");
}

/// The microframe of the first packet on the wire of a transfer submitted to an idle endpoint.
fn cold_start(profile: &str, now: u64) -> u64 {
    let mut rig = Rig::new(profile);
    let pipe = rig.open(0x01);
    rig.run_to(now);
    rig.submit(pipe, 0, 8, Start::Asap);
    rig.run_to(now + 1000);
    rig.logged()[0]
}

#[test]
fn a_new_stream_begins_after_the_profiles_lead() {
    for (profile, on_the_frame, after_it) in [
        ("exact", 816, 824),
        ("winusb", 840, 848),
        ("usbfs-ehci", 808, 808),
        ("usbfs-uhci", 880, 888),
        ("usbfs-xhci", 832, 832),
        ("usbip-stub", 896, 904),
    ] {
        assert_eq!(cold_start(profile, 800), on_the_frame, "{profile}");
        assert_eq!(cold_start(profile, 801), after_it, "{profile}");
    }
    assert_eq!(cold_start("usbfs-ehci", 807), 816);
}

#[test]
fn after_a_dry_queue_every_profile_begins_anew() {
    for name in Profile::NAMES {
        let mut rig = Rig::new(name);
        let pipe = rig.open(0x01);
        rig.submit(pipe, 0, 8, Start::Asap);
        let ended = rig.controller.run(2000, &mut rig.events);
        rig.done();
        rig.submit(pipe, 1, 8, Start::Continue);
        rig.run_to(ended + 1000);
        let logged = rig.logged();
        let lead = Profile::named(name).unwrap().cold_lead;
        assert_eq!(logged[8], (ended + lead).next_multiple_of(8), "{name}");
        assert!(logged[8] > logged[7] + 1, "{name}: a dry queue leaves a hole");
    }
}

#[test]
fn queued_transfers_follow_without_a_hole_under_every_profile() {
    for name in Profile::NAMES {
        let mut rig = Rig::new(name);
        let pipe = rig.open(0x01);
        for token in 0..8 {
            rig.submit(pipe, token, 64, Start::Asap);
        }
        let mut transfers = 8;
        while transfers < 40 {
            rig.controller.run(100_000, &mut rig.events);
            for done in rig.done() {
                assert_eq!(done.outcome, Completed, "{name}");
                transfers += 1;
                rig.submit(pipe, transfers, 64, Start::Continue);
            }
        }
        rig.run_to(100_000);
        let logged = rig.logged();
        assert!(logged.windows(2).all(|pair| pair[1] == pair[0] + 1), "{name}");
        assert_eq!(logged.len(), 64 * 40, "{name}");
    }
}

#[test]
fn start_frames_are_obeyed_or_ignored_as_claimed() {
    for name in Profile::NAMES {
        let mut rig = Rig::new(name);
        let pipe = rig.open(0x01);
        rig.submit(pipe, 0, 8, Start::At(150));
        rig.run_to(3000);
        let capabilities = rig.controller.profile().capabilities(Direction::Out);
        let exact = capabilities.start == StartSupport::Exact;
        assert_eq!(rig.logged()[0] == 1200, exact, "{name}");
        let done = rig.done();
        let told = done[0].first;
        assert_eq!(told.is_some(), capabilities.frames == FrameSource::Reported, "{name}");
        assert!(told.is_none_or(|first| first == rig.logged()[0]), "{name}");
        let known = statuses(&done[0]).iter().all(|status| *status == PacketStatus::Done);
        assert_eq!(known, capabilities.results == Results::PerPacket, "{name}");
    }
}

#[test]
fn the_earliest_frame_claimed_can_be_served() {
    for (now, frame) in [(800, 101), (803, 101), (807, 101)] {
        for name in ["exact", "winusb"] {
            let mut rig = Rig::new(name);
            let pipe = rig.open(0x81);
            rig.run_to(now);
            assert_eq!(now / 8 + rig.controller.profile().capabilities(Direction::In).lead, frame);
            rig.submit(pipe, 0, 8, Start::At(frame));
            rig.run_to(2000);
            assert_eq!(statuses(&rig.done()[0]), vec![PacketStatus::Done; 8], "{name} at {now}");
        }
    }
}

#[test]
fn winusb_says_nothing_of_out_packets() {
    let mut rig = Rig::new("winusb");
    let pipe = rig.open(0x01);
    rig.run_to(803);
    rig.submit(pipe, 0, 16, Start::At(100));
    rig.submit(pipe, 1, 8, Start::At(90));
    rig.run_to(2000);
    let done = rig.done();
    // Partly late it succeeds, without a word.
    assert_eq!(summary(&done), [(0, Completed, None, 816), (1, Outcome::Late, None, 816)]);
    assert!(done[0].block.packets().iter().all(|p| p.status == PacketStatus::Unknown && p.actual == 0));
    assert_eq!(rig.logged(), (803..816).collect::<Vec<_>>());
}

#[test]
fn winusb_tells_in_packets() {
    let mut rig = Rig::new("winusb");
    let pipe = rig.open(0x81);
    rig.run_to(804);
    rig.submit(pipe, 0, 8, Start::At(100));
    rig.run_to(2000);
    let done = rig.done();
    assert_eq!(statuses(&done[0]), [[PacketStatus::Late; 4], [PacketStatus::Done; 4]].concat());
}

#[test]
fn winusb_uses_whole_frames() {
    let mut rig = Rig::new("winusb");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 3, Start::At(105));
    rig.submit(pipe, 1, 3, Start::Continue);
    rig.run_to(844);
    // The first frame's packets have gone, its end is not told yet, and nobody may take the rest of it.
    assert!(rig.events.is_empty());
    rig.submit(pipe, 2, 8, Start::Continue);
    rig.run_to(2000);
    let seen: Vec<u64> = rig.done().iter().map(|done| done.seen).collect();
    assert_eq!(seen, [848, 856, 864]);
    assert_eq!(
        rig.logged(),
        [[840, 841, 842].as_slice(), &[848, 849, 850], &Vec::from_iter(856..864)].concat()
    );
}

#[test]
fn winusb_refuses_starts_a_thousand_frames_away() {
    for (frame, outcome) in [
        (100 + 1023, Completed),
        (100 + 1024, Outcome::BadStartFrame),
        (u64::MAX, Outcome::BadStartFrame),
        (0, Outcome::Late),
    ] {
        let mut rig = Rig::new("winusb");
        let pipe = rig.open(0x01);
        rig.submit(pipe, 0, 8, Start::At(frame));
        rig.run_to(20_000);
        assert_eq!(rig.done()[0].outcome, outcome, "{frame}");
    }
    let mut rig = Rig::new("winusb");
    let pipe = rig.open(0x01);
    rig.run_to(1024 * 8);
    rig.submit(pipe, 0, 8, Start::At(0));
    rig.run_to(20_000);
    let done = rig.done();
    assert_eq!(summary(&done), [(0, Outcome::BadStartFrame, None, 8192)]);
    assert_eq!(statuses(&done[0]), vec![PacketStatus::Cancelled; 8]);
}

#[test]
fn winusb_sends_full_packets_and_a_short_one() {
    let mut rig = Rig::new("winusb");
    let pipe = rig.open(0x01);
    let mut mixed = block(8, 24);
    mixed.packets_mut()[7].length = 3;
    rig.controller.submit(pipe, 0, mixed, Start::Asap).unwrap();
    let mut mixed = block(8, 24);
    mixed.packets_mut()[3].length = 3;
    let (_, error) = rig.controller.submit(pipe, 0, mixed, Start::Asap).unwrap_err();
    assert_eq!(error, SubmitError::Lengths { index: 3 });
}

#[test]
fn a_transfer_of_failures_fails_on_windows_only() {
    for (name, outcome) in [("exact", Completed), ("winusb", Outcome::Failed(31)), ("usbfs-xhci", Completed)]
    {
        let mut rig = Rig::new(name);
        let pipe = rig.open(0x81);
        rig.fault(0..1000, FaultKind::CrcError);
        rig.submit(pipe, 0, 8, Start::Asap);
        rig.run_to(2000);
        assert_eq!(rig.done()[0].outcome, outcome, "{name}");
    }
}

#[test]
fn late_is_missed_under_usbfs() {
    for (name, status, outcome) in [
        ("exact", PacketStatus::Late, Outcome::Late),
        ("winusb", PacketStatus::Late, Outcome::Late),
        ("usbfs-ehci", PacketStatus::Missed, Completed),
        ("usbfs-uhci", PacketStatus::Missed, Completed),
        ("usbip-stub", PacketStatus::Missed, Completed),
    ] {
        let mut rig = Rig::new(name);
        let pipe = rig.open(0x81);
        rig.fault(0..1000, FaultKind::HostLate);
        rig.submit(pipe, 0, 8, Start::Asap);
        rig.run_to(2000);
        let done = rig.done();
        assert_eq!((done[0].outcome, statuses(&done[0])), (outcome, vec![status; 8]), "{name}");
    }
}

#[test]
fn the_schedule_of_a_controller_ends() {
    for (name, frames) in [("usbfs-ehci", 1024), ("usbfs-uhci", 1024), ("usbfs-xhci", 895)] {
        let mut rig = Rig::new(name);
        let pipe = rig.open(0x01);
        for token in 0..128 {
            rig.submit(pipe, token, 64, Start::Asap);
        }
        rig.run_to(100_000);
        let done = rig.done();
        let taken = done.iter().take_while(|done| done.outcome == Completed).count();
        assert!(done[taken..].iter().all(|done| done.outcome == Outcome::Failed(-27)), "{name}");
        // Eight frames each, the first after the lead.
        let first = rig.logged()[0] / 8 - 100;
        assert_eq!(taken as u64, (frames - first) / 8, "{name}");
    }
}

#[test]
fn xhci_moves_a_queue_whose_end_is_near() {
    let mut rig = Rig::new("usbfs-xhci");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 64, Start::Asap);
    // It ends at 832 + 64; three frames before, it can no longer be continued.
    rig.run_to(896 - 24);
    rig.submit(pipe, 1, 8, Start::Continue);
    rig.run_to(873 + 10);
    rig.submit(pipe, 2, 8, Start::Continue);
    rig.run_to(2000);
    let done = rig.done();
    assert!(done.iter().all(|done| done.outcome == Completed && done.first.is_none()));
    let holes: Vec<u64> = rig.logged().windows(2).filter(|p| p[1] != p[0] + 1).map(|p| p[1]).collect();
    assert_eq!(holes, [912]);
}

#[test]
fn completions_take_their_time_and_keep_their_order() {
    let mut rig = Rig::new("usbip-stub");
    let pipe = rig.open(0x01);
    for token in 0..3 {
        rig.submit(pipe, token, 8, Start::Asap);
    }
    assert_eq!(rig.controller.next_event_at(), Some(904 + 24));
    assert_eq!(rig.controller.run(5000, &mut rig.events), 904 + 24);
    assert_eq!(summary(&rig.done()), [(0, Completed, Some(896), 928)]);
    // The other two have ended too, and nobody knows yet.
    assert!(!rig.controller.cancel(pipe, 1, &mut rig.events));
    rig.controller.close_pipe(pipe, &mut rig.events);
    let expected = [(1, Completed, Some(904), 928), (2, Completed, Some(912), 928)];
    assert_eq!(summary(&rig.done()), expected);
    assert_eq!(rig.controller.run(5000, &mut rig.events), 5000);
    assert!(rig.events.is_empty());
}

#[test]
fn claims_are_no_larger_than_what_is_told() {
    for name in Profile::NAMES {
        let profile = Profile::named(name).unwrap();
        for direction in [Direction::Out, Direction::In] {
            let claimed = profile.capabilities(direction);
            assert!(claimed.frames != FrameSource::Reported || profile.tells_first, "{name}");
            assert!(claimed.frames != FrameSource::Counted, "{name}");
            assert!(claimed.start == StartSupport::Exact || !profile.honours_start, "{name}");
            assert!(!claimed.gaps || claimed.results == Results::PerPacket, "{name}");
        }
    }
    let out = |name| Profile::named(name).unwrap().capabilities(Direction::Out);
    assert!(out("exact").gaps && !out("winusb").gaps && !out("usbfs-xhci").gaps);
    assert_eq!((out("winusb").frames, out("winusb").results), (FrameSource::Assumed, Results::None));
    assert_eq!((out("winusb").horizon, out("usbfs-xhci").horizon), (Some(1023), Some(895)));
}
