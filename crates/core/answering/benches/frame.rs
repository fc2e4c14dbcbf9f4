//! What 20 ms of one line cost: `cargo bench -p answering`. Fails when a frame allocates.

use answering::{FRAME, Listener, Settings};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    f64::consts::TAU,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant as Clock,
};

/// Counts allocations.
struct Counting;

static MADE: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code)]
// SAFETY: every call is handed to the system's allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MADE.fetch_add(1, Ordering::Relaxed);
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

/// Lines that are heard, each for so many frames.
const LINES: usize = 2_000;
const FRAMES: usize = 400;

/// A line of the kind: noise; syllables over noise; ringback.
fn line(kind: usize) -> Vec<[i16; FRAME]> {
    let mut noise = 0x9e37_79b9u32;
    (0..FRAMES)
        .map(|frame| {
            std::array::from_fn(|n| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let hiss = f64::from((noise >> 20) as i32 - 2_048) / 40.0;
                let at = (frame * FRAME + n) as f64 / 8_000.0;
                let sound = match kind {
                    0 => 0.0,
                    1 => {
                        let syllable = (TAU * 3.5 * at).sin().max(0.0);
                        let voice: f64 = (1..=8)
                            .map(|h| (TAU * 140.0 * f64::from(h) * at).sin() / f64::from(h))
                            .sum();
                        4_000.0 * syllable * voice
                    }
                    _ if at % 5.0 < 1.0 => 5_000.0 * (TAU * 450.0 * at).sin(),
                    _ => 0.0,
                };
                (sound + hiss) as i16
            })
        })
        .collect()
}

fn main() {
    println!("{} bytes a listener", size_of::<Listener>());
    for (kind, name) in ["noise", "speech", "ringback"].into_iter().enumerate() {
        let frames = line(kind);
        let mut listeners: Vec<Listener> = (0..LINES)
            .map(|_| Listener::new(Settings::default()))
            .collect();
        let made = MADE.load(Ordering::Relaxed);
        let start = Clock::now();
        for listener in &mut listeners {
            listener.answered();
            for frame in &frames {
                black_box(listener.handle_frame(frame));
            }
        }
        let spent = start.elapsed();
        assert_eq!(MADE.load(Ordering::Relaxed), made, "a frame allocated");
        println!(
            "{name}: {} ns a frame of 20 ms",
            spent.as_nanos() / (LINES * FRAMES) as u128
        );
    }
}
