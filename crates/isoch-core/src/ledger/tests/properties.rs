//! Whatever comes, in whatever order.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Transfer {
    start: Start,
    intervals: u64,
    filler: bool,
    handed_over: bool,
    ran_dry: bool,
    report: Back,
}

fn start(frames: impl Strategy<Value = u64>) -> impl Strategy<Value = Start> {
    (0..3u8, frames).prop_map(|(kind, frame)| match kind {
        0 => Start::At(frame),
        1 => Start::Asap,
        _ => Start::Continue,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Completed,
        Outcome::Completed,
        Outcome::Cancelled,
        Outcome::Late,
        Outcome::BadStartFrame,
        Outcome::DeviceGone,
        Outcome::Failed(-5),
    ])
}

/// Numbers near both ends and anywhere.
fn extreme() -> impl Strategy<Value = u64> {
    prop_oneof![0..20u64, (0..20u64).prop_map(|n| u64::MAX - n), any::<u64>()]
}

fn any_transfer() -> impl Strategy<Value = Transfer> {
    let report = (
        outcome(),
        any::<bool>(),
        prop::option::of(extreme()),
        prop::option::of((extreme(), extreme())),
        any::<bool>(),
    )
        .prop_map(|(outcome, began, first, estimate, defines_frames)| Back {
            began,
            estimate: estimate.map(|(first, uncertainty)| Estimate {
                first,
                uncertainty,
                late: uncertainty / 3,
                seen: Time::ZERO,
                not_before: 0,
                not_after: u64::MAX,
            }),
            defines_frames,
            ending: Ending { outcome, first, seen: Time::MAX, ..Ending::default() },
            told: Report::default(),
        });
    (start(extreme()), extreme(), any::<[bool; 3]>(), report).prop_map(
        |(start, intervals, [filler, handed_over, ran_dry], report)| Transfer {
            start,
            intervals,
            filler,
            handed_over,
            ran_dry,
            report,
        },
    )
}

fn any_config() -> impl Strategy<Value = LedgerConfig> {
    let sources = vec![FrameSource::Reported, FrameSource::Estimated, FrameSource::Assumed];
    let periods = prop_oneof![(0..7u32).prop_map(|log| 1 << log), extreme()];
    (periods, prop::sample::select(sources), any::<bool>()).prop_map(|(period, frames, gaps)| LedgerConfig {
        period,
        frames,
        gaps,
    })
}

proptest! {
    /// Reported in any order, told in the order they were added, each once; and no number is too big.
    #[test]
    fn order_holds_and_nothing_panics(
        config in any_config(),
        transfers in prop::collection::vec((any_transfer(), any::<u32>()), 1..40),
        slides in prop::collection::vec(any::<i64>(), 40),
        statuses in prop::collection::vec(0..5usize, 0..20),
    ) {
        let all = [
            PacketStatus::Done, PacketStatus::Late, PacketStatus::Missed, PacketStatus::Cancelled,
            PacketStatus::Unknown,
        ];
        let packets: Vec<Packet> = statuses.iter().map(|status| packet(all[*status])).collect();
        let mut ledger: Ledger<(), Back> = Ledger::new(config);
        let mut order = Vec::new();
        for ((transfer, rank), id) in transfers.iter().zip(0..) {
            let sequence = match transfer.filler {
                true => ledger.add_filler(transfer.intervals, ()),
                false => ledger.add(id, transfer.start, transfer.intervals, ()),
            };
            if transfer.handed_over {
                ledger.handed_over(sequence, continuity(transfer.ran_dry));
                ledger.handed_over(sequence, continuity(!transfer.ran_dry));
            }
            order.push((*rank, sequence, named(sequence, &transfer.report)));
        }
        order.sort_by_key(|(rank, ..)| *rank);
        let mut told = Vec::new();
        for ((_, sequence, report), slide) in order.into_iter().zip(slides) {
            prop_assert!(ledger.reported(sequence, report.clone()).is_ok());
            prop_assert!(ledger.reported(sequence, report).is_err());
            let _ = ledger.expected_end();
            while let Some(Back { told: report, ending, .. }) = pop(&mut ledger) {
                let _ = (report.frames(), report.misplaced(), report.gap(&packets));
                prop_assert!(report.hole.is_none() || report.requested == Start::Continue);
                told.push(ending.id);
            }
            ledger.slid(slide);
        }
        prop_assert_eq!(told, (0..transfers.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(ledger.at_bus(), (0, 0));
    }

    /// On a bus that tells where transfers went, the gaps of a stream are exactly the intervals that were
    /// neither served nor skipped on purpose.
    #[test]
    fn every_interval_owed_is_served_or_told(
        log in 0..6u32,
        steps in prop::collection::vec((start(1..6u64), 1..20u64, 0..40u64, any::<[bool; 20]>()), 1..30),
    ) {
        let period = 1 << log;
        let mut ledger = reporting(period);
        let grid = period.max(8);
        let mut end = 0u64;
        let mut begun = false;
        let (mut owed, mut told) = (Vec::new(), Vec::new());
        for (start, intervals, pause, missed) in steps {
            let behind = end.next_multiple_of(grid) + pause * grid;
            let (start, first) = match start {
                Start::At(frames) => {
                    let first = behind + (frames * 8).next_multiple_of(grid);
                    (Start::At(first / 8), first)
                }
                Start::Continue if pause < 10 => (Start::Continue, end),
                other => (other, behind),
            };
            if start == Start::Continue && begun {
                owed.extend((end..first).step_by(period as usize).filter(|slot| slot + period <= first));
            }
            begun = true;
            let packets: Vec<Packet> = (0..intervals)
                .map(|index| match missed[index as usize] {
                    true if index % 3 == 0 => packet(PacketStatus::Late),
                    true => packet(PacketStatus::Missed),
                    false => packet(PacketStatus::Done),
                })
                .collect();
            let slots = (first..).step_by(period as usize);
            owed.extend(slots.zip(&packets).filter(|(_, packet)| packet.status.is_lost()).map(|(at, _)| at));
            let sequence = at_bus(&mut ledger, 0, start, intervals);
            let report = finish(&mut ledger, sequence, ran(first));
            for gap in report.gaps(&packets) {
                // A gap's frames are those of its first and last interval.
                told.push((gap.frames, gap.intervals));
            }
            end = first + intervals * period;
        }
        let lost: u64 = told.iter().map(|(_, intervals)| intervals).sum();
        prop_assert_eq!(lost, owed.len() as u64);
        let mut frames: Vec<u64> = owed.iter().map(|slot| slot / 8).collect();
        frames.dedup();
        // Long periods leave frames without an interval inside a gap.
        let mut inside = told.iter().flat_map(|(frames, _)| frames.clone()).collect::<Vec<u64>>();
        inside.dedup();
        if period <= 8 {
            prop_assert_eq!(frames, inside);
        } else {
            prop_assert!(frames.iter().all(|frame| inside.contains(frame)));
        }
    }

    /// However late the completions after a pause are seen, as long as one of the first eight is in time,
    /// the hole is the true one in the end; and it is revised at most once.
    #[test]
    fn a_revised_hole_is_the_true_hole(
        hole in 1..200u64,
        lateness in prop::collection::vec(0..100u64, 30),
        punctual in 0..8usize,
    ) {
        let mut lateness = lateness;
        lateness[punctual] = 0;
        let told = resumed(10 + hole, &lateness);
        let revisions: Vec<&Revision> = told.iter().filter_map(|told| told.revision.as_deref()).collect();
        prop_assert!(revisions.len() <= 1);
        let known = revisions.first().map(|revision| revision.is.clone()).or(told[0].hole.clone());
        prop_assert_eq!(known.map(|gap| (gap.frames, gap.intervals)), Some((10..10 + hole, hole)));
        for (index, later) in told.iter().enumerate().skip(8) {
            prop_assert_eq!(later.first, Some((10 + hole + 4 * index as u64) * 8));
        }
    }
}

fn continuity(ran_dry: bool) -> Continuity {
    if ran_dry { Continuity::Broken } else { Continuity::Unbroken }
}
