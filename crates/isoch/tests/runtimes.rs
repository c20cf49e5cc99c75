//! The same asynchronous programs on two runtimes: smol and tokio's current-thread one. Frames are only asserted
//! where time stands still while a program computes; in real time, that nothing is lost or repeated.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{DEVICE, PACKET, Rig, Side, bus};
use isoch::{
    BusClock, Completion, DataTransfer, Error, HotplugEvent, In, IsochIn, IsochOut, Layout, Out, Outcome,
    Start, VirtualBus,
};

/// What a program here needs of a runtime.
trait Runtime {
    fn block_on<F: Future>(future: F) -> F::Output;
    fn sleep(duration: Duration) -> impl Future<Output = ()>;
}

struct Smol;

impl Runtime for Smol {
    fn block_on<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }
    async fn sleep(duration: Duration) {
        smol::Timer::after(duration).await;
    }
}

struct Tokio;

impl Runtime for Tokio {
    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }
    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

macro_rules! on_both_runtimes {
    ($($program:ident),* $(,)?) => {
        mod on_smol {
            $(#[test] fn $program() { crate::$program::<crate::Smol>(); })*
        }
        mod on_tokio {
            $(#[test] fn $program() { crate::$program::<crate::Tokio>(); })*
        }
    };
}

on_both_runtimes! {
    a_stream_on_wait,
    a_deep_stream_in_real_time,
    a_dropped_wait_loses_nothing,
    two_endpoints_on_one_clock,
    a_wait_against_a_timer,
    blocks_come_back_to_a_waiting_task,
    control_transfers_and_hotplug,
    a_manual_clock_is_moved_by_another_task,
    the_end_wakes_a_waiting_task,
}

/// Keeps every block in flight until `total` transfers are over. Returns them, without their blocks.
async fn stream<D: Side>(endpoint: &isoch::IsochEndpoint<D>, depth: u32, total: usize) -> Vec<isoch::Report> {
    let blocks = endpoint.register(Layout::frames(4).blocks(depth)).unwrap();
    for _ in 0..depth {
        endpoint.submit(blocks.take().await.unwrap(), Start::Asap).unwrap();
    }
    let mut reports = Vec::new();
    let mut submitted = depth as usize;
    while reports.len() < total {
        let done = endpoint.next_completion().await.unwrap();
        reports.push(done.report().clone());
        if submitted < total {
            submitted += 1;
            endpoint.submit(done.into_block(), Start::Continue).unwrap();
        }
    }
    assert_eq!(endpoint.in_flight(), 0);
    reports
}

fn assert_in_order(reports: &[isoch::Report]) {
    assert!(reports.windows(2).all(|pair| pair[1].id == pair[0].id + 1), "in order, each once");
    assert!(reports.iter().all(|report| report.outcome == Outcome::Completed));
}

fn assert_chained(reports: &[isoch::Report]) {
    assert!(reports.windows(2).all(|pair| pair[0].end() == pair[1].first), "gap-free");
}

fn a_stream_on_wait<R: Runtime>() {
    for profile in isoch::emulated::profile::Profile::NAMES {
        let rig = Rig::<Out>::new(profile, BusClock::OnWait);
        let reports = R::block_on(stream(&rig.endpoint, 4, 50));
        assert_in_order(&reports);
        assert_chained(&reports);
        assert_eq!(rig.wire().len(), 50 * 32);
    }
}

fn a_deep_stream_in_real_time<R: Runtime>() {
    let rig = Rig::<In>::new("exact", BusClock::Real);
    let reports = R::block_on(stream(&rig.endpoint, 64, 80));
    assert_in_order(&reports);
    assert_eq!(rig.wire().len(), 80 * 32);
    assert_eq!(rig.endpoint.statistics().wake_up.total(), 80);
}

/// Polls once, and drops the wait: whatever it was about to give must come with the next.
fn a_dropped_wait_loses_nothing<R: Runtime>() {
    for clock in [BusClock::OnWait, BusClock::Real] {
        let rig = Rig::<Out>::new("exact", clock);
        let blocks = rig.endpoint.register(Layout::frames(2).blocks(16)).unwrap();
        let ids: Vec<_> =
            (0..16).map(|_| rig.submit(blocks.take().now().unwrap(), Start::Asap).unwrap()).collect();
        let completed = R::block_on(async {
            let mut completed = Vec::new();
            while completed.len() < 16 {
                for _ in 0..3 {
                    let mut wait = pin!(rig.endpoint.next_completion());
                    // Once, and no more.
                    let polled =
                        std::future::poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await;
                    if let Poll::Ready(done) = polled {
                        completed.push(done.unwrap().id());
                    }
                }
                if completed.len() < 16 {
                    completed.push(rig.endpoint.next_completion().await.unwrap().id());
                }
            }
            completed
        });
        assert_eq!(completed, ids);
    }
}

/// A loudspeaker and a microphone, on one bus.
fn audio(clock: BusClock) -> (VirtualBus, IsochOut, IsochIn) {
    let bus = bus("exact", clock);
    bus.plug_kind("speaker", "speaker", &[]).unwrap();
    bus.plug_kind("microphone", "microphone", &[]).unwrap();
    let setting = |name: &str| bus.open(name).unwrap().interface(1).unwrap().alternate_setting(1).unwrap();
    let out = setting("speaker").isoch_out(0x01).unwrap();
    let input = setting("microphone");
    let address = input.descriptor().endpoints.iter().find(|e| e.is_isochronous()).unwrap().address;
    let input = input.isoch_in(address).unwrap();
    (bus, out, input)
}

fn two_endpoints_on_one_clock<R: Runtime>() {
    const BLOCKS: usize = 6;
    async fn run<D: isoch::EndpointDirection>(
        endpoint: &isoch::IsochEndpoint<D>,
        start: u64,
    ) -> Vec<std::ops::Range<u64>> {
        let blocks = endpoint.register(Layout::frames(5).blocks(3)).unwrap();
        let mut frames = Vec::new();
        for index in 0..3 {
            let block = blocks.take().await.unwrap();
            endpoint.submit(block, Start::At(start + 5 * index)).unwrap();
        }
        while frames.len() < BLOCKS {
            let done: Completion = endpoint.next_completion().await.unwrap();
            frames.push(done.frames().unwrap());
            if frames.len() + endpoint.in_flight() < BLOCKS {
                endpoint.submit(done.into_block(), Start::Continue).unwrap();
            }
        }
        frames
    }
    let (bus, out, input) = audio(BusClock::OnWait);
    assert_eq!(out.clock().now(), input.clock().now());
    let start = bus.frame() + 20;
    let (heard, spoken) = R::block_on(futures_lite::future::zip(run(&out, start), run(&input, start)));
    let expected: Vec<_> = (0..BLOCKS as u64).map(|index| start + 5 * index..start + 5 * index + 5).collect();
    assert_eq!((&heard, &spoken), (&expected, &expected), "both on the same frames");
}

fn a_wait_against_a_timer<R: Runtime>() {
    let rig = Rig::<In>::new("exact", BusClock::Real);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(2)).unwrap();
    R::block_on(async {
        // Nothing is in flight, so the timer is first.
        let wait = async { Some(rig.endpoint.next_completion().await) };
        let timer = async {
            R::sleep(Duration::from_millis(5)).await;
            None
        };
        assert!(futures_lite::future::or(wait, timer).await.is_none());
        // And now the completion is; the timer's hour does not matter.
        let id = rig.submit(blocks.take().now().unwrap(), Start::Asap).unwrap();
        let wait = async { Some(rig.endpoint.next_completion().await.unwrap().id()) };
        let timer = async {
            R::sleep(Duration::from_secs(3600)).await;
            None
        };
        assert_eq!(futures_lite::future::or(wait, timer).await, Some(id));
    });
}

fn blocks_come_back_to_a_waiting_task<R: Runtime>() {
    let rig = Rig::<Out>::new("exact", BusClock::OnWait);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(2)).unwrap();
    let writer = async {
        for _ in 0..10 {
            let block = blocks.take().await.unwrap();
            rig.endpoint.submit(block, Start::Asap).unwrap();
        }
    };
    let reaper = async {
        for _ in 0..10 {
            drop(rig.endpoint.next_completion().await.unwrap());
        }
    };
    R::block_on(futures_lite::future::zip(writer, reaper));
    assert_eq!(rig.wire().len(), 10 * 32);
    assert_eq!(blocks.free(), 2);
}

fn control_transfers_and_hotplug<R: Runtime>() {
    let bus = bus("exact", BusClock::OnWait);
    let watch = bus.watch();
    bus.plug_kind(DEVICE, "loopback", &[]).unwrap();
    R::block_on(async {
        let arrived = watch.next_event().await.unwrap();
        assert!(matches!(arrived, HotplugEvent::Arrived(information) if information.product_id == 0x0007));
        let device = bus.open(DEVICE).unwrap();
        let setup =
            isoch::rules::Setup { request_type: 0x80, request: 6, value: 0x100, index: 0, length: 18 };
        let read: DataTransfer<Vec<u8>> = device.control_in(setup);
        assert_eq!(read.await.unwrap().len(), 18);
        let setting = device.interface(0).unwrap().alternate_setting(1).unwrap();
        let (out, input) = (setting.bulk_out(0x01).unwrap(), setting.bulk_in(0x81).unwrap());
        // The one waits for what the other sends.
        let received = input.read(PACKET);
        let (sent, received) = futures_lite::future::zip(out.write(vec![7; 300]), received).await;
        assert_eq!((sent.unwrap(), received.unwrap()), (300, vec![7; 300]));
        drop(bus.unplug(DEVICE));
        assert!(matches!(watch.next_event().await, Ok(HotplugEvent::Left { .. })));
    });
}

fn a_manual_clock_is_moved_by_another_task<R: Runtime>() {
    let rig = Rig::<Out>::new("exact", BusClock::Manual);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(2)).unwrap();
    let now = rig.now();
    rig.submit(blocks.take().now().unwrap(), Start::At(now + 10)).unwrap();
    let waiting = async { rig.endpoint.next_completion().await.unwrap() };
    let mover = async {
        for _ in 0..20 {
            futures_lite::future::yield_now().await;
            rig.bus.advance(1).unwrap();
        }
    };
    let (done, ()) = R::block_on(futures_lite::future::zip(waiting, mover));
    assert_eq!(done.frames(), Some(now + 10..now + 14));
    // Nothing moves time, so it stays pending, and does not spin.
    rig.submit(blocks.take().now().unwrap(), Start::Asap).unwrap();
    let mut wait = pin!(rig.endpoint.next_completion());
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(wait.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(rig.bus.frame(), now + 20);
}

fn the_end_wakes_a_waiting_task<R: Runtime>() {
    let rig = Rig::<In>::new("exact", BusClock::Real);
    let bus = rig.bus.clone();
    let unplug = async {
        R::sleep(Duration::from_millis(5)).await;
        bus.unplug(DEVICE).unwrap();
    };
    let waiting = async { rig.endpoint.next_completion().await };
    let (end, ()) = R::block_on(futures_lite::future::zip(waiting, unplug));
    assert!(matches!(end, Err(Error::Closed)));
}
