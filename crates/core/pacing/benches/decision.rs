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

/// The moment after a break of all: nobody talks, nothing rings, and each agent's lines are launched at
/// once.
fn fresh(agents: u64) -> View {
    View {
        ready: agents as u32,
        budget: busy(agents).budget,
        ..View::default()
    }
}

/// What a decision took, and what it asked of the allocator.
struct Measured {
    /// In microseconds, sorted.
    times: Vec<f64>,
    allocations: usize,
    /// Lines that the last decision launched.
    lines: u32,
}

impl Measured {
    fn at(&self, share: f64) -> f64 {
        self.times[(share * (self.times.len() - 1) as f64) as usize]
    }
}

/// So many decisions on one view, the models moving between them as they do in a node.
fn decide(view: &View, decisions: u64) -> Measured {
    let mut controller = grown();
    let mut now = Instant::from_millis(2_000_000);
    let mut measured = Measured {
        times: Vec::with_capacity(decisions as usize),
        allocations: 0,
        lines: 0,
    };
    for n in 0..decisions {
        now = now + Duration::from_millis(50);
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
        black_box(controller.give_up(now, black_box(view)));
        measured.lines = black_box(controller.lines(now, black_box(view)));
        let took = began.elapsed();
        measured.allocations += ASKED.load(Ordering::Relaxed) - asked;
        measured.times.push(took.as_secs_f64() * 1e6);
    }
    measured.times.sort_by(f64::total_cmp);
    measured
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
        let mut view = busy(agents);
        view.neighbours = neighbours(cities, &view);
        for (moment, view, decisions) in [("busy", view, 20_000), ("fresh", fresh(agents), 2_000)] {
            let measured = decide(&view, decisions);
            println!(
                "{agents:4} agents, {cities:2} other cities, {moment:5}, {:4} lines out: median {:6.2} us, 99 % {:6.2} us (limit {limit} us), {} allocations, {} lines launched",
                view.lines.len(),
                measured.at(0.5),
                measured.at(0.99),
                measured.allocations,
                measured.lines,
            );
            assert_eq!(measured.allocations, 0, "a decision allocates nothing");
        }
    }
}
