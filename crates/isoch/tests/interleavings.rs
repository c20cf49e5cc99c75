//! No interleaving of submit, complete, cancel, abort, drop and unplug loses or repeats a block, delivers out
//! of order, deadlocks, or calls a sink that was closed.
//!
//! Under shuttle, its scheduler chooses every thread switch, at random and by priorities (PCT):
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle cargo test -p isoch --test interleavings --release
//! ```
//!
//! Without it the same scenarios run on real threads, a few hundred times. `ISOCH_SCHEDULES` sets how many
//! schedules of each kind, or runs, there are of each scenario.

use isoch::emulated::devices::{ShapeOptions, SourceSink, SourceSinkOptions};
use isoch::emulated::profile::Profile;
use isoch::{
    Block, Blocks, BusClock, Completion, CompletionSink, Error, IsochOut, Layout, Outcome, Speed, Start,
    TransferId, VirtualBus,
};
#[cfg(shuttle)]
use shuttle::{
    sync::{Arc, Mutex},
    thread,
};
#[cfg(not(shuttle))]
use std::{
    sync::{Arc, Mutex},
    thread,
};

const BLOCKS: usize = 4;
const PROFILES: [&str; 3] = ["exact", "usbip-stub", "usbfs-uhci"];

fn schedules(otherwise: usize) -> usize {
    std::env::var("ISOCH_SCHEDULES").map_or(otherwise, |text| text.parse().expect("a number"))
}

#[cfg(shuttle)]
fn explore(scenario: fn(&'static str)) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    let count = schedules(10_000).div_ceil(PROFILES.len());
    for profile in PROFILES {
        let mut config = shuttle::Config::new();
        config.stack_size = 1 << 18;
        shuttle::Runner::new(RandomScheduler::new(count), config.clone()).run(move || scenario(profile));
        shuttle::Runner::new(PctScheduler::new(3, count), config).run(move || scenario(profile));
    }
}

#[cfg(not(shuttle))]
fn explore(scenario: fn(&'static str)) {
    for _ in 0..schedules(300) / PROFILES.len() {
        PROFILES.into_iter().for_each(scenario);
    }
}

/// A bus with an endpoint whose completions are checked as they come.
struct Rig {
    bus: VirtualBus,
    endpoint: Arc<IsochOut>,
    blocks: Arc<Blocks>,
    recorder: Arc<Recorder>,
    /// The transfers that were accepted.
    accepted: Arc<Mutex<Vec<TransferId>>>,
}

/// Checks what a sink is promised.
#[derive(Default)]
struct Recorder {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    ids: Vec<TransferId>,
    closed: u32,
}

impl CompletionSink for Recorder {
    fn completed(&self, completion: Completion) {
        let mut told = self.told.lock().unwrap();
        assert_eq!(told.closed, 0, "a completion after the end");
        assert!(told.ids.last() < Some(&completion.id()), "{:?} after {:?}", completion.id(), told.ids);
        told.ids.push(completion.id());
    }

    fn closed(&self) {
        self.told.lock().unwrap().closed += 1;
    }
}

fn new_bus(profile: &str, clock: BusClock) -> VirtualBus {
    let profile = Profile::named(profile).expect("it exists");
    let bus = VirtualBus::builder().clock(clock).profile(profile).build();
    let shape = ShapeOptions { packet: Some(16), ..ShapeOptions::new(Speed::Full) };
    let options = SourceSinkOptions {
        shape: ShapeOptions { interval: Some(1), ..shape },
        ..SourceSinkOptions::default()
    };
    bus.plug("device", Box::new(SourceSink::new(options).unwrap())).unwrap();
    bus
}

fn open(bus: &VirtualBus) -> IsochOut {
    let interface = bus.open("device").unwrap().interface(0).unwrap();
    interface.alternate_setting(1).unwrap().isoch_out(0x02).unwrap()
}

impl Rig {
    fn new(profile: &str) -> Self {
        let bus = new_bus(profile, BusClock::Manual);
        let endpoint = open(&bus);
        let recorder = Arc::new(Recorder::default());
        endpoint.set_sink(Arc::clone(&recorder) as _);
        let blocks = endpoint.register(Layout::packets(2).blocks(BLOCKS as u32)).unwrap();
        Rig {
            bus,
            endpoint: Arc::new(endpoint),
            blocks: Arc::new(blocks),
            recorder,
            accepted: Arc::default(),
        }
    }

    /// A thread that submits so many blocks, as far as there are free ones.
    fn submitter(&self, count: usize) -> thread::JoinHandle<()> {
        let (endpoint, blocks) = (Arc::clone(&self.endpoint), Arc::clone(&self.blocks));
        let accepted = Arc::clone(&self.accepted);
        thread::spawn(move || {
            for _ in 0..count {
                let Some(block) = blocks.take().now() else { return };
                submit(&endpoint, block, &accepted);
            }
        })
    }

    /// A thread that moves time.
    fn advancer(&self, times: usize) -> thread::JoinHandle<()> {
        let bus = self.bus.clone();
        thread::spawn(move || (0..times).for_each(|_| bus.advance(7).unwrap()))
    }

    fn with_endpoint(&self, act: impl FnOnce(&IsochOut) + Send + 'static) -> thread::JoinHandle<()> {
        let endpoint = Arc::clone(&self.endpoint);
        thread::spawn(move || act(&endpoint))
    }

    /// Waits for all threads, lets everything end, and checks the account.
    fn settle(self, threads: Vec<thread::JoinHandle<()>>) {
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for _ in 0..100 {
            if self.endpoint.in_flight() == 0 {
                break;
            }
            self.bus.advance(8).unwrap();
        }
        assert_eq!(self.endpoint.in_flight(), 0, "a transfer never ends");
        let Rig { endpoint, blocks, recorder, accepted, .. } = self;
        drop(endpoint);
        check(&recorder, &accepted, &blocks);
    }
}

fn submit(endpoint: &IsochOut, block: Block, accepted: &Mutex<Vec<TransferId>>) {
    match endpoint.submit(block, Start::Continue) {
        Ok(id) => accepted.lock().unwrap().push(id),
        Err(rejected) => assert!(matches!(rejected.error, Error::Gone), "{rejected}"),
    }
}

/// Everything that was accepted was told, once, in order; then the end; and every block is back.
fn check(recorder: &Recorder, accepted: &Mutex<Vec<TransferId>>, blocks: &Blocks) {
    let mut accepted = accepted.lock().unwrap().clone();
    accepted.sort_unstable();
    let told = recorder.told.lock().unwrap();
    assert_eq!(told.ids, accepted, "told, and accepted");
    assert_eq!(told.closed, 1, "the end is told once");
    assert_eq!(blocks.free(), BLOCKS, "every block is back");
}

#[test]
fn submit_and_complete() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let threads = vec![rig.submitter(3), rig.submitter(3), rig.advancer(3)];
        rig.settle(threads);
    });
}

#[test]
fn two_threads_move_time() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let threads = vec![rig.submitter(4), rig.advancer(2), rig.advancer(2)];
        rig.settle(threads);
    });
}

#[test]
fn cancel() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let accepted = Arc::clone(&rig.accepted);
        let canceller = rig.with_endpoint(move |endpoint| {
            for _ in 0..3 {
                let id = accepted.lock().unwrap().last().copied();
                id.into_iter().for_each(|id| _ = endpoint.cancel(id));
            }
        });
        let threads = vec![rig.submitter(4), rig.advancer(2), canceller];
        rig.settle(threads);
    });
}

#[test]
fn abort() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let aborter = rig.with_endpoint(|endpoint| (0..2).for_each(|_| endpoint.abort()));
        let threads = vec![rig.submitter(4), rig.advancer(2), aborter];
        rig.settle(threads);
    });
}

#[test]
fn unplug() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let bus = rig.bus.clone();
        let aborter = rig.with_endpoint(|endpoint| endpoint.abort());
        let unplugger = thread::spawn(move || bus.unplug("device").unwrap());
        let threads = vec![rig.submitter(4), rig.advancer(2), aborter, unplugger];
        rig.settle(threads);
    });
}

#[test]
fn drop_the_endpoint() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let threads = vec![rig.submitter(3), rig.advancer(2)];
        let Rig { bus, endpoint, blocks, recorder, accepted } = rig;
        // Whoever has it last drops it.
        drop(endpoint);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        check(&recorder, &accepted, &blocks);
        // The endpoint can be opened again: its pipe and interface were given back.
        drop(open(&bus));
    });
}

#[test]
fn drop_the_endpoint_while_the_device_is_unplugged() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let bus = rig.bus.clone();
        let unplugger = thread::spawn(move || bus.unplug("device").unwrap());
        let threads = vec![rig.submitter(3), rig.advancer(2), unplugger];
        let Rig { endpoint, blocks, recorder, accepted, .. } = rig;
        drop(endpoint);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        check(&recorder, &accepted, &blocks);
    });
}

#[test]
fn drain_while_others_submit_and_abort() {
    explore(|profile| {
        let rig = Rig::new(profile);
        // Only `advance` moves this clock, so a drain ends when all is over or says that time stands still.
        let drainer = rig.with_endpoint(|endpoint| match endpoint.drain() {
            Ok(()) | Err(Error::ClockStopped) => {}
            Err(other) => panic!("{other}"),
        });
        let aborter = rig.with_endpoint(|endpoint| endpoint.abort());
        let threads = vec![rig.submitter(3), rig.advancer(2), drainer, aborter];
        rig.settle(threads);
    });
}

/// Submits the block of a completion again from inside the sink, a few times.
struct Refill {
    recorder: Arc<Recorder>,
    endpoint: Mutex<Option<Arc<IsochOut>>>,
    accepted: Arc<Mutex<Vec<TransferId>>>,
}

impl CompletionSink for Refill {
    fn completed(&self, completion: Completion) {
        let id = completion.id();
        let again = self.recorder.told.lock().unwrap().ids.len() < 6;
        let endpoint = self.endpoint.lock().unwrap().clone();
        if let Some(endpoint) = endpoint.filter(|_| again) {
            let mut told = self.recorder.told.lock().unwrap();
            assert_eq!(told.closed, 0);
            assert!(told.ids.last() < Some(&id));
            told.ids.push(id);
            drop(told);
            submit(&endpoint, completion.into_block(), &self.accepted);
        } else {
            self.recorder.completed(completion);
        }
    }

    fn closed(&self) {
        self.recorder.closed();
    }
}

#[test]
fn a_sink_that_submits() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let refill = Arc::new(Refill {
            recorder: Arc::clone(&rig.recorder),
            endpoint: Mutex::new(Some(Arc::clone(&rig.endpoint))),
            accepted: Arc::clone(&rig.accepted),
        });
        rig.endpoint.set_sink(Arc::clone(&refill) as _);
        let aborter = rig.with_endpoint(|endpoint| endpoint.abort());
        let stopper = thread::spawn(move || drop(refill.endpoint.lock().unwrap().take()));
        let threads = vec![rig.submitter(2), rig.advancer(3), aborter, stopper];
        rig.settle(threads);
    });
}

#[test]
fn change_the_sink() {
    explore(|profile| {
        let rig = Rig::new(profile);
        let recorder = Arc::clone(&rig.recorder);
        // Both sinks write into one record, so that order holds across the change too.
        let changer = rig.with_endpoint(move |endpoint| {
            let refill = Refill { recorder, endpoint: Mutex::new(None), accepted: Arc::default() };
            endpoint.set_sink(Arc::new(refill));
        });
        let threads = vec![rig.submitter(4), rig.advancer(3), changer];
        rig.settle(threads);
    });
}

#[test]
fn blocks_and_completions_are_dropped_anywhere() {
    explore(|profile| {
        let bus = new_bus(profile, BusClock::Manual);
        let endpoint = Arc::new(open(&bus));
        let blocks = endpoint.register(Layout::packets(2).blocks(BLOCKS as u32)).unwrap();
        let count = 3;
        for _ in 0..count {
            endpoint.submit(blocks.take().now().unwrap(), Start::Continue).unwrap();
        }
        let mover = {
            let bus = bus.clone();
            thread::spawn(move || (0..3).for_each(|_| bus.advance(9).unwrap()))
        };
        let take = move |endpoint: &IsochOut| {
            let taken = (0..count).filter_map(|_| endpoint.next_completion().now());
            taken.map(|done| done.id()).collect::<Vec<_>>()
        };
        let taker = {
            let endpoint = Arc::clone(&endpoint);
            thread::spawn(move || take(&endpoint))
        };
        let dropper = thread::spawn(move || drop(blocks));
        mover.join().unwrap();
        dropper.join().unwrap();
        let mut taken = taker.join().unwrap();
        while endpoint.in_flight() > 0 {
            bus.advance(8).unwrap();
        }
        taken.extend(take(&endpoint));
        assert_eq!(taken.len(), count);
        assert!(taken.is_sorted());
    });
}

#[test]
fn waiting_threads_move_time_and_each_gets_its_own() {
    explore(|profile| {
        let bus = new_bus(profile, BusClock::OnWait);
        let endpoint = Arc::new(open(&bus));
        let blocks = Arc::new(endpoint.register(Layout::packets(2).blocks(BLOCKS as u32)).unwrap());
        let ids: Vec<TransferId> = (0..BLOCKS)
            .map(|_| endpoint.submit(blocks.take().now().unwrap(), Start::Continue).unwrap())
            .collect();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let (endpoint, blocks) = (Arc::clone(&endpoint), Arc::clone(&blocks));
                thread::spawn(move || {
                    let first = endpoint.next_completion().wait().unwrap().id();
                    // Its block is free now, or the other thread's is.
                    drop(blocks.take().wait().unwrap());
                    let second = endpoint.next_completion().wait().unwrap().id();
                    assert!(first < second);
                    [first, second]
                })
            })
            .collect();
        let mut got: Vec<TransferId> =
            waiters.into_iter().flat_map(|waiter| waiter.join().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, ids);
        assert_eq!(blocks.free(), BLOCKS);
    });
}

#[test]
fn waiting_ends_when_the_device_goes() {
    explore(|profile| {
        let bus = new_bus(profile, BusClock::OnWait);
        let endpoint = Arc::new(open(&bus));
        let blocks = endpoint.register(Layout::packets(2).blocks(BLOCKS as u32)).unwrap();
        for _ in 0..2 {
            endpoint.submit(blocks.take().now().unwrap(), Start::Continue).unwrap();
        }
        let waiter = {
            let endpoint = Arc::clone(&endpoint);
            thread::spawn(move || {
                let mut told = 0;
                loop {
                    match endpoint.next_completion().wait() {
                        Ok(_) => told += 1,
                        // Nothing is under way, and the device is not gone yet.
                        Err(Error::ClockStopped) => thread::yield_now(),
                        Err(Error::Closed) => return told,
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        };
        bus.unplug("device").unwrap();
        assert_eq!(waiter.join().unwrap(), 2);
        assert_eq!(blocks.free(), BLOCKS);
    });
}

#[test]
fn two_threads_drain_and_both_see_the_end() {
    explore(|profile| {
        let bus = new_bus(profile, BusClock::OnWait);
        let endpoint = Arc::new(open(&bus));
        let blocks = endpoint.register(Layout::packets(2).blocks(BLOCKS as u32)).unwrap();
        for _ in 0..2 {
            endpoint.submit(blocks.take().now().unwrap(), Start::Continue).unwrap();
        }
        let drainer = || {
            let endpoint = Arc::clone(&endpoint);
            thread::spawn(move || endpoint.drain().unwrap())
        };
        [drainer(), drainer()].into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(endpoint.in_flight(), 0);
    });
}

/// In real time others do the work and those who wait sleep: whoever sleeps is woken. (What is submitted
/// here is due long after the test, so that real time decides nothing.)
#[test]
fn whoever_sleeps_is_woken() {
    explore(|_| {
        let bus = new_bus("exact", BusClock::Real);
        let endpoint = Arc::new(open(&bus));
        let blocks = Arc::new(endpoint.register(Layout::packets(2).blocks(2)).unwrap());
        for frame in [1 << 40, 1 << 41] {
            endpoint.submit(blocks.take().now().unwrap(), Start::At(frame)).unwrap();
        }
        let drainer = || {
            let endpoint = Arc::clone(&endpoint);
            thread::spawn(move || endpoint.drain().unwrap())
        };
        let drainers = [drainer(), drainer()];
        let waiter = Arc::clone(&endpoint);
        let waiter = thread::spawn(move || {
            for _ in 0..2 {
                assert_eq!(waiter.next_completion().wait().unwrap().outcome(), Outcome::Cancelled);
            }
            assert!(matches!(waiter.next_completion().wait(), Err(Error::Closed)));
        });
        let taker = Arc::clone(&blocks);
        let taker = thread::spawn(move || drop(taker.take().wait().unwrap()));
        endpoint.abort();
        drainers.into_iter().chain([taker]).for_each(|thread| thread.join().unwrap());
        bus.unplug("device").unwrap();
        waiter.join().unwrap();
        assert_eq!(blocks.free(), 2);
    });
}
