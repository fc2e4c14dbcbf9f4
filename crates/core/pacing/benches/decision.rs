//! What a decision costs: `cargo bench -p pacing`. Prints microseconds and allocations; fails when
//! a decision allocates.

use domain::{DialLevel, Instant};
use pacing::{Budget, Controller, Line, Neighbour, Observation, Phase, Predictive, View};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Counts what is asked of the allocator.
struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)]
// SAFETY: every call is handed to the system's allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A controller that has seen a third of its lines answered after 4 to 21 s.
fn grown() -> Predictive {
    let mut controller = Predictive::new(DialLevel(1000));
    for n in 0..3000u64 {
        let now = Instant::from_millis(n * 500);
        let after = Duration::from_secs(4 + n % 17);
        if n % 3 == 0 {
            controller.observe(now, Observation::Answered { after });
            let lasted = Duration::from_secs(20 + n % 140);
            controller.observe(now, Observation::Talked { lasted });
            let (lasted, ready) = (Duration::from_secs(5 + n % 20), true);
            controller.observe(now, Observation::WrappedUp { lasted, ready });
        } else {
            let after = Duration::from_secs(25);
            controller.observe(now, Observation::Unanswered { after });
        }
    }
    controller
}

/// A busy moment: a fifth of the agents ready, the rest spread over talk and wrap-up, and three
/// lines ringing for each ready agent and for each fourth busy one.
fn busy(agents: u64) -> View {
    let ready = agents / 5;
    let lines = 3 * ready + agents / 2;
    View {
        ready: ready as u32,
        on_call: (0..agents * 7 / 10)
            .map(|n| Duration::from_millis(n * 7919 % 180_000))
            .collect(),
        wrap_up: (0..agents / 10)
            .map(|n| Duration::from_millis(n * 7919 % 20_000))
            .collect(),
        lines: (0..lines)
            .map(|n| Line {
                phase: Phase::Ringing,
                age: Duration::from_millis(n * 7919 % 24_000),
                cancellable: n * 7919 % 24_000 >= 15_000,
                kept: false,
            })
            .collect(),
        budget: Some(Budget {
            permille: 30,
            left: 12_000 + 300 * agents as i64,
        }),
        ..View::default()
    }
}

/// So many other cities of the same kind, whose agents are shared.
fn neighbours(cities: usize, view: &View) -> Vec<Neighbour> {
    let forecast = grown().forecast(view).expect("predictive pacing plans");
    let neighbour = Neighbour {
        age: Duration::from_millis(1200),
        takes: true,
        overlap_permille: 1000,
        forecast,
    };
    vec![neighbour; cities]
}

fn main() {
    for (agents, cities, limit) in [
        (5u64, 0, 10.0),
        (10, 0, 10.0),
        (10, 19, 10.0),
        (24, 0, 100.0),
        (50, 0, 100.0),
        (100, 0, 100.0),
        (500, 0, 100.0),
    ] {
        let mut controller = grown();
        let mut view = busy(agents);
        view.neighbours = neighbours(cities, &view);
        let mut now = Instant::from_millis(2_000_000);
        let mut times = Vec::with_capacity(20_000);
        let mut allocations = 0;
        for n in 0..20_000u64 {
            now = now + Duration::from_millis(50);
            // The models move between decisions, as they do in a node.
            let after = Duration::from_secs(4 + n % 17);
            match n % 12 {
                0 => controller.observe(now, Observation::Answered { after }),
                4 | 8 => {
                    let after = Duration::from_secs(25);
                    controller.observe(now, Observation::Unanswered { after });
                }
                _ => {}
            }
            let asked = ASKED.load(Ordering::Relaxed);
            let began = std::time::Instant::now();
            black_box(controller.give_up(now, black_box(&view)));
            black_box(controller.lines(now, black_box(&view)));
            let took = began.elapsed();
            allocations += ASKED.load(Ordering::Relaxed) - asked;
            times.push(took.as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize];
        println!(
            "{agents:4} agents, {cities:2} other cities, {:4} lines: median {:6.2} us, 99 % {:6.2} us (limit {limit} us), {allocations} allocations, {} more lines",
            view.lines.len(),
            at(0.5),
            at(0.99),
            controller.lines(now, &view),
        );
        assert_eq!(allocations, 0, "a decision allocates nothing");
    }
}
