//! How transfers end: done, cancelled, dropped, unplugged.

use super::*;

pub(crate) fn one_transfer_is_cancelled<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(5)).unwrap();
    let ids: Vec<_> = (0..5).map(|_| rig.submit(take(&blocks), Start::Asap).unwrap()).collect();
    assert!(rig.endpoint.cancel(ids[2]));
    assert!(rig.endpoint.cancel(ids[2]), "it is cancelled already, and still to come");
    let done = rig.complete_all(5);
    assert_eq!(done.iter().map(Completion::id).collect::<Vec<_>>(), ids);
    for (done, id) in done.iter().zip(&ids) {
        let expected = if *id == ids[2] { Outcome::Cancelled } else { Outcome::Completed };
        assert_eq!(done.outcome(), expected);
        truth.check(&rig, done);
    }
    assert!(truth.first(&rig, &done[2]).is_none(), "nothing of it was on the wire");
    let unserved = |packet: isoch::PacketResult<'_>| {
        matches!(packet.status(), PacketStatus::Cancelled | PacketStatus::Unknown)
            && packet.transferred() == 0
    };
    assert!(done[2].packets().all(unserved));
    assert!(!rig.endpoint.cancel(ids[0]), "it is over");
    drop(done);
    assert_eq!(blocks.free(), 5);
    warm_up(&rig, &mut truth, &blocks);
}

pub(crate) fn abort_ends_everything<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(100).blocks(16)).unwrap();
    // More than a bus with a horizon takes: some are held back.
    for _ in 0..16 {
        rig.submit(take(&blocks), Start::Asap).unwrap();
    }
    rig.bus.advance(150).unwrap();
    rig.endpoint.abort();
    let mut done = Vec::new();
    while let Some(next) = rig.endpoint.next_completion().now() {
        done.push(next);
    }
    assert_eq!((done.len(), rig.endpoint.in_flight()), (16, 0));
    assert!(done.windows(2).all(|pair| pair[0].id() < pair[1].id()));
    assert_outcomes(&done[..1], Outcome::Completed);
    assert_outcomes(&done[1..], Outcome::Cancelled);
    done.iter().for_each(|done| {
        truth.check(&rig, done);
    });
    let sent = rig.wire().len();
    rig.bus.advance(50).unwrap();
    assert_eq!(rig.wire().len(), sent, "nothing goes over the bus any more");
    drop(done);
    assert_eq!(blocks.free(), 16);
    rig.endpoint.abort();
    warm_up(&rig, &mut truth, &blocks);
}

pub(crate) fn drain_waits_for_everything<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    rig.endpoint.drain().unwrap();
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(4)).unwrap();
    for _ in 0..3 {
        for _ in 0..4 {
            rig.submit(take(&blocks), Start::Asap).unwrap();
        }
        rig.endpoint.drain().unwrap();
        assert_eq!((rig.endpoint.in_flight(), blocks.free()), (0, 0));
        let done: Vec<_> = (0..4).map(|_| rig.endpoint.next_completion().now().unwrap()).collect();
        assert_outcomes(&done, Outcome::Completed);
    }
}

pub(crate) fn what_is_dropped_in_flight_comes_back<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let blocks = rig.endpoint.register(Layout::frames(100).blocks(16)).unwrap();
    for _ in 0..16 {
        rig.submit(take(&blocks), Start::Asap).unwrap();
    }
    rig.bus.advance(50).unwrap();
    let before = rig.wire().len();
    let Rig { bus, setting, endpoint, .. } = rig;
    drop(endpoint);
    assert_eq!(blocks.free(), 16, "all blocks are back at once");
    bus.advance(100).unwrap();
    assert_eq!(common::wire(&bus, D::ADDRESS).len(), before);
    // The endpoint is free, and the blocks fit it still.
    let endpoint = D::open(&setting);
    let id = endpoint.submit(take(&blocks), Start::Asap).unwrap();
    assert_eq!(endpoint.next_completion().wait().unwrap().id(), id);
}

fn assert_closed<D: Side>(rig: &Rig<D>, blocks: &Blocks) {
    assert!(matches!(rig.endpoint.next_completion().wait(), Err(Error::Closed)));
    let timed = rig.endpoint.next_completion().wait_timeout(Duration::from_millis(5));
    assert!(matches!(timed, Err(Error::Closed)));
    let rejected = rig.submit(take(blocks), Start::Asap).unwrap_err();
    assert!(matches!(rejected.error, Error::Gone));
    drop(rejected);
    rig.endpoint.drain().unwrap();
    assert!(matches!(rig.endpoint.next_completion().wait(), Err(Error::Closed)), "still");
}

pub(crate) fn what_is_unplugged_in_flight_comes_back<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(100).blocks(16)).unwrap();
    for _ in 0..16 {
        rig.submit(take(&blocks), Start::Asap).unwrap();
    }
    rig.bus.advance(150).unwrap();
    rig.bus.unplug(DEVICE).unwrap();
    let done = rig.complete_all(16);
    assert_outcomes(&done[..1], Outcome::Completed);
    assert_outcomes(&done[1..], Outcome::DeviceGone);
    assert!(done.windows(2).all(|pair| pair[0].id() < pair[1].id()));
    for done in &done[..2] {
        truth.check(&rig, done);
    }
    drop(done);
    assert_eq!(blocks.free(), 16);
    assert_closed(&rig, &blocks);
    assert!(matches!(rig.setting.interface().alternate_setting(1), Err(Error::Gone)));
}

pub(crate) fn a_scripted_unplug_ends_the_stream<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(4)).unwrap();
    let frame = rig.bus.frame() + 50;
    fault(&rig, frame..frame + 1, FaultKind::Unplug);
    for _ in 0..4 {
        rig.submit(take(&blocks), Start::Asap).unwrap();
    }
    let mut outcomes = Vec::new();
    loop {
        match rig.endpoint.next_completion().wait() {
            Ok(done) => {
                outcomes.push(done.outcome());
                // Which of the two is first to hear of it is open.
                let _ = rig.submit(done.into_block(), Start::Continue);
            }
            Err(Error::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let completed = outcomes.iter().take_while(|outcome| **outcome == Outcome::Completed).count();
    assert!(completed > 5, "{outcomes:?}");
    assert!(outcomes[completed..].iter().all(|outcome| *outcome == Outcome::DeviceGone), "{outcomes:?}");
    // One may have completed in the very microframe, and was not taken any more.
    assert!((3..=4).contains(&(outcomes.len() - completed)), "{outcomes:?}");
    assert_eq!(blocks.free(), 4);
    assert_closed(&rig, &blocks);
}

pub(crate) fn waits_time_out<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let blocks = rig.endpoint.register(Layout::frames(20).blocks(1)).unwrap();
    let timeout = Duration::from_millis(5);
    let now = rig.bus.clock().now();
    assert!(matches!(rig.endpoint.next_completion().wait_timeout(timeout), Err(Error::TimedOut)));
    assert_eq!(rig.bus.clock().now().at - now.at, timeout, "of the bus's time");
    // With nothing in flight, no time would be enough.
    assert!(matches!(rig.endpoint.next_completion().wait(), Err(Error::ClockStopped)));

    rig.submit(take(&blocks), Start::Asap).unwrap();
    assert!(matches!(rig.endpoint.next_completion().wait_timeout(timeout), Err(Error::TimedOut)));
    assert!(matches!(blocks.take().wait_timeout(timeout), Err(Error::TimedOut)));
    let done = rig.endpoint.next_completion().wait_timeout(Duration::from_millis(100)).unwrap();
    assert_eq!(done.outcome(), Outcome::Completed);
    drop(done);
    blocks.take().wait_timeout(Duration::ZERO).unwrap();
}

/// Submits each block again, until it has seen enough.
struct Again<D: Side> {
    endpoint: Mutex<Weak<IsochEndpoint<D>>>,
    seen: Mutex<Vec<Completion>>,
    blocks: Blocks,
    total: usize,
    closed: Mutex<u32>,
}

impl<D: Side> CompletionSink for Again<D> {
    fn completed(&self, completion: Completion) {
        let endpoint = self.endpoint.lock().unwrap().upgrade();
        let mut seen = self.seen.lock().unwrap();
        seen.push(completion);
        if let (Some(endpoint), Some(mut block)) = (endpoint, self.blocks.take().now())
            && seen.len() <= self.total
        {
            common::mark(&mut block, 1000 + seen.len() as u32);
            endpoint.submit(block, Start::Continue).unwrap();
        }
    }

    fn closed(&self) {
        *self.closed.lock().unwrap() += 1;
    }
}

pub(crate) fn a_sink_submits_from_inside<D: Side>(profile: &str) {
    const RING: usize = 3;
    const TOTAL: usize = 40;
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks((RING + TOTAL) as u32)).unwrap();
    let first: Vec<Block> = (0..RING).map(|_| take(&blocks)).collect();
    let Rig { bus, setting, endpoint, .. } = rig;
    let endpoint = Arc::new(endpoint);
    let sink = Arc::new(Again::<D> {
        endpoint: Mutex::new(Arc::downgrade(&endpoint)),
        seen: Mutex::new(Vec::new()),
        blocks,
        total: TOTAL,
        closed: Mutex::new(0),
    });
    endpoint.set_sink(Arc::clone(&sink) as _);
    for (mut block, serial) in first.into_iter().zip(0..) {
        common::mark(&mut block, serial);
        endpoint.submit(block, Start::Asap).unwrap();
    }
    endpoint.drain().unwrap();
    assert!(matches!(endpoint.next_completion().wait(), Err(Error::Closed)), "the sink has them all");
    let seen = std::mem::take(&mut *sink.seen.lock().unwrap());
    assert_eq!(seen.len(), RING + TOTAL);
    assert!(seen.windows(2).all(|pair| pair[0].id() < pair[1].id()));
    let endpoint = Arc::into_inner(endpoint).expect("the sink holds it weakly");
    let rig = Rig::of(bus, setting, endpoint);
    assert_chained(&truth.check_all(&rig, &seen), 32);
    rig.bus.unplug(DEVICE).unwrap();
    assert_eq!(*sink.closed.lock().unwrap(), 1);
}

pub(crate) fn overlaps_are_refused<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(4)).unwrap();
    let start = rig.now() + 30;
    rig.submit(take(&blocks), Start::At(start)).unwrap();
    for taken in [0, start - 1, start, start + 3] {
        let rejected = rig.submit(take(&blocks), Start::At(taken)).unwrap_err();
        let Error::Start(StartError::Overlap { start: asked, next_free }) = rejected.error else {
            panic!("{}", rejected.error);
        };
        assert_eq!((asked, next_free), (taken, start + 4));
    }
    rig.submit(take(&blocks), Start::At(start + 4)).unwrap();
    rig.submit(take(&blocks), Start::Continue).unwrap();
    let after = rig.submit(take(&blocks), Start::At(start + 11)).unwrap_err();
    assert!(
        matches!(after.error, Error::Start(StartError::Overlap { next_free, .. }) if next_free == start + 12)
    );
    drop(after);
    let done = rig.complete_all(3);
    assert_outcomes(&done, Outcome::Completed);
    assert_chained(&Truth::new(&rig).check_all(&rig, &done), 32);
    // What was cancelled takes no frames.
    drop(done);
    let later = rig.now() + 500;
    let id = rig.submit(take(&blocks), Start::At(later)).unwrap();
    assert!(rig.endpoint.cancel(id));
    rig.submit(take(&blocks), Start::At(later - 400)).unwrap();
    assert_eq!(rig.complete().outcome(), Outcome::Cancelled);
    assert_eq!(rig.complete().outcome(), Outcome::Completed);
}
