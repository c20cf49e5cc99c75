//! The API's promises, in both directions, under every profile of the emulated controller: also on a bus that
//! can do and tells less, everything comes back once and in order, and nothing is claimed that the device did
//! not see. Each scenario is a test of its own for each profile and direction.

#[path = "../common/mod.rs"]
mod common;

mod claims;
mod endings;
mod starts;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use common::{DEVICE, PACKET, PACKETS_PER_FRAME, Rig, Side, Wire, is_out};
use isoch::emulated::faults::{Fault, FaultKind};
use isoch::emulated::profile::Profile;
use isoch::rules::layout::StartError;
use isoch::{
    Block, Blocks, BusClock, ClockSupport, Completion, CompletionSink, Error, FrameSource, GapCause,
    GapReport, IsochEndpoint, Layout, Lengths, Outcome, PacketStatus, Policy, Quality, Results, Start,
    StartSupport, Statistics,
};

macro_rules! under_every_profile {
    ([$($module:ident $profile:literal),* $(,)?] $scenarios:tt) => {
        const PROFILES: &[&str] = &[$($profile),*];
        $(mod $module {
            in_both_directions!($profile $scenarios);
        })*
    };
}

macro_rules! in_both_directions {
    ($profile:literal [$($scenario:ident),* $(,)?]) => {
        mod output {
            $(#[test] fn $scenario() { crate::$scenario::<isoch::Out>($profile); })*
        }
        mod input {
            $(#[test] fn $scenario() { crate::$scenario::<isoch::In>($profile); })*
        }
    };
}

use claims::*;
use endings::*;
use starts::*;

under_every_profile! {
    [
        exact "exact",
        winusb "winusb",
        usbfs_ehci "usbfs-ehci",
        usbfs_uhci "usbfs-uhci",
        usbfs_xhci "usbfs-xhci",
        usbip_stub "usbip-stub",
    ]
    [
        an_interface_is_claimed_once,
        completions_come_in_order_and_once,
        named_frames_are_kept,
        a_chain_has_no_gap,
        a_long_queue_is_held_back_and_has_no_gap,
        a_dry_queue_tells_its_hole,
        asap_after_a_pause_is_no_gap,
        a_continuation_at_the_last_moment_is_told_right,
        a_program_that_is_held_up_is_told_right,
        a_beginning_that_was_seen_late_moves_no_clock,
        transfers_of_parts_of_frames_are_counted_right,
        packet_lengths_are_sent_or_refused,
        one_transfer_is_cancelled,
        abort_ends_everything,
        drain_waits_for_everything,
        what_is_dropped_in_flight_comes_back,
        what_is_unplugged_in_flight_comes_back,
        a_scripted_unplug_ends_the_stream,
        waits_time_out,
        a_sink_submits_from_inside,
        overlaps_are_refused,
        statistics_are_those_of_the_completions,
        placement_policies,
        single_writes_teach_the_lead,
        the_start_that_is_claimed,
        the_results_that_are_claimed,
        the_clock_that_is_claimed,
    ]
}

#[test]
fn every_profile_is_tested() {
    assert_eq!(PROFILES, Profile::NAMES);
}

/// An endpoint served less often than once a frame: a start must be on its phase.
#[test]
fn long_periods_have_a_phase() {
    for profile in ["exact", "winusb", "usbfs-ehci"] {
        let parameters = [("interval", "6"), ("packet", "64")];
        let bus = common::bus_with(profile, BusClock::OnWait, "source-sink", &parameters);
        let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
        let out = setting.isoch_out(0x02).unwrap();
        let blocks = out.register(Layout::packets(3).blocks(2)).unwrap();
        let frame = (out.clock().now().frame + 40).next_multiple_of(4);
        let rejected = out.submit(take(&blocks), Start::At(frame + 1)).unwrap_err();
        let Error::Start(StartError::OffPhase(off_phase)) = rejected.error else { panic!("{profile}") };
        assert!(off_phase.to_string().contains(&(frame + 4).to_string()), "{off_phase}");
        drop(rejected.block);
        out.submit(take(&blocks), Start::At(frame)).unwrap();
        let done = out.next_completion().wait().unwrap();
        assert_eq!(done.frames(), Some(frame..frame + 12));
        let wire = common::wire(&bus, 0x02);
        let gaps: Vec<u64> = wire.windows(2).map(|pair| pair[1].microframe - pair[0].microframe).collect();
        assert_eq!(gaps, [32, 32]);
        if out.capabilities().start == StartSupport::Exact {
            assert_eq!(wire[0].microframe, frame * 8);
        }
    }
}

fn rig<D: Side>(profile: &str) -> Rig<D> {
    Rig::new(profile, BusClock::OnWait)
}

fn take(blocks: &Blocks) -> Block {
    blocks.take().now().expect("a block is free")
}

/// Compares what completions say with what the device saw.
///
/// A bus that never tells frame numbers counts its own: which frame of the bus is its first is a definition,
/// and from then on the difference is fixed.
struct Truth {
    difference: Option<i64>,
    /// Microframes after the last interval that was seen.
    end: Option<u64>,
}

impl Truth {
    fn new<D: Side>(rig: &Rig<D>) -> Self {
        let capabilities = rig.endpoint.capabilities();
        let numbered =
            capabilities.clock == ClockSupport::Exact || capabilities.frames == FrameSource::Reported;
        Truth { difference: numbered.then_some(0), end: None }
    }

    /// The microframe in which the device saw the first interval of a transfer; `None` if it saw nothing of it.
    fn first<D: Side>(&self, rig: &Rig<D>, done: &Completion) -> Option<u64> {
        let wire: HashMap<Vec<u8>, u64> = rig
            .wire()
            .into_iter()
            .filter(|wire| wire.bytes.len() >= 8)
            .map(|wire| (wire.bytes[..8].to_vec(), wire.microframe))
            .collect();
        let mut first = None;
        for (packet, index) in done.block().packets().iter().zip(0u64..) {
            let from = packet.offset as usize;
            let Some(header) = done.block().bytes().get(from..from + 8) else { continue };
            let in_doubt = is_out::<D>() && packet.status == PacketStatus::Unknown;
            if packet.status != PacketStatus::Done && !in_doubt {
                continue;
            }
            let Some(&microframe) = wire.get(header) else {
                assert!(in_doubt, "packet {index} of {done:?} is done, and the device never saw it");
                continue;
            };
            let expected = *first.get_or_insert(microframe - index);
            assert_eq!(microframe, expected + index, "packet {index} of {done:?} is out of line");
        }
        first
    }

    /// Checks one completion; they are to be given in order. Returns the first microframe on the bus.
    fn check<D: Side>(&mut self, rig: &Rig<D>, done: &Completion) -> Option<u64> {
        if done.report().first.is_none() {
            assert_ne!(done.outcome(), Outcome::Completed, "every bus tells something of what ran: {done:?}");
            assert_eq!(self.first(rig, done), None);
            return None;
        }
        let source = done.frame_source();
        let claimed = rig.endpoint.capabilities().frames;
        match claimed {
            FrameSource::Estimated => {
                assert!(
                    matches!(source, FrameSource::Estimated | FrameSource::Counted),
                    "{source} on a bus that estimates"
                );
            }
            // Where nobody named a frame there is nothing to assume.
            FrameSource::Assumed if !matches!(done.report().requested, Start::At(_)) => {
                assert!(matches!(source, FrameSource::Estimated | FrameSource::Assumed), "{done:?}");
            }
            claimed => assert_eq!(source, claimed, "{done:?}"),
        }
        let first = self.first(rig, done)?;
        if let Some(end) = self.end {
            assert!(first >= end, "{done:?} overlaps what was before it");
        }
        self.end = Some(first + done.packets().len() as u64);
        let told = done.report().first? as i64;
        let difference = *self.difference.get_or_insert_with(|| {
            assert_eq!(source, FrameSource::Counted, "the first stream defines the numbers");
            first as i64 - told
        });
        let error = told + difference - first as i64;
        let allowed = if source == FrameSource::Estimated { done.frame_uncertainty() * 8 } else { 0 };
        assert!(
            error.unsigned_abs() <= allowed,
            "{done:?} is {error} microframes off and says at most {allowed}"
        );
        Some(first)
    }

    fn check_all<D: Side>(&mut self, rig: &Rig<D>, done: &[Completion]) -> Vec<u64> {
        let firsts = done.iter().map(|done| self.check(rig, done));
        firsts.map(|first| first.expect("the device saw all of them")).collect()
    }
}

fn assert_outcomes(done: &[Completion], outcome: Outcome) {
    for done in done {
        assert_eq!(done.outcome(), outcome, "{done:?}");
    }
}

/// No frame was lost in or before it, as far as this bus can know.
fn assert_no_gap<D: Side>(rig: &Rig<D>, done: &Completion) {
    let known = rig.endpoint.capabilities().gaps;
    assert_eq!(done.gap(), if known { GapReport::None } else { GapReport::Unknowable }, "{done:?}");
}

/// Each transfer begins in the microframe after the one before it.
fn assert_chained(firsts: &[u64], length: u64) {
    let expected: Vec<u64> = (0..firsts.len() as u64).map(|index| firsts[0] + index * length).collect();
    assert_eq!(firsts, expected);
}

/// Runs a short stream, so that an estimated clock has something to go by.
fn warm_up<D: Side>(rig: &Rig<D>, truth: &mut Truth, blocks: &Blocks) {
    for _ in 0..3 {
        rig.submit(take(blocks), Start::Asap).unwrap();
    }
    truth.check_all(rig, &rig.complete_all(3));
}

fn fault<D: Side>(rig: &Rig<D>, frames: std::ops::Range<u64>, kind: FaultKind) {
    rig.bus.fault(Fault { frames, kind, device: Some(DEVICE.into()), endpoint: None });
}
