//! How long nothing is applied while a directory's snapshot begins, and what its do-not-call entries
//! take: `cargo bench -p ledger --bench directory`; `ENTRIES` sets how many there are.

use domain::*;
use ledger::*;
use sansio::{ApplyContext, Replicated};
use std::time::Instant;

const NOON: i64 = 1_795_280_400_000;
const BATCH: u64 = limits::DNC_BATCH as u64;

fn batch(directory: &mut Directory, batch: u64) {
    let entry = |i: u64| {
        // Numbers come in no order.
        let n = (batch * BATCH + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 31;
        DncEntry {
            number: PhoneNumber::from_digits(10_000_000_000 + n).expect("eleven digits"),
            scope: DncScope::Mesh,
            source: DncSource::Admin,
            added_at: WallTime::from_millis(NOON),
        }
    };
    let change = Change::ChangeDnc {
        add: (0..BATCH).map(entry).collect(),
        remove: Vec::new(),
        reason: String::new(),
    };
    let context = ApplyContext {
        index: batch + 1,
        wall: WallTime::from_millis(NOON + batch as i64),
    };
    directory.apply(context, change.into(), &mut Vec::new());
}

fn main() {
    let entries: u64 = std::env::var("ENTRIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2_000_000);
    let batches = entries / BATCH;
    let mut directory = Directory::default();
    let start = Instant::now();
    (0..batches).for_each(|n| batch(&mut directory, n));
    let filled = start.elapsed().as_secs_f64();
    println!(
        "do-not-call entries  {:>10} at {:.0} a second",
        directory.dnc_len(),
        directory.dnc_len() as f64 / filled
    );

    let start = Instant::now();
    let frozen = directory.freeze();
    println!("applies wait         {:>10.1?}", start.elapsed());
    let writer = std::thread::spawn(move || {
        let start = Instant::now();
        (frozen().len(), start.elapsed())
    });
    // Meanwhile changes copy the chunks that they touch.
    let (mut applied, mut longest) = (0_u64, std::time::Duration::ZERO);
    while !writer.is_finished() {
        let start = Instant::now();
        batch(&mut directory, batches + applied);
        longest = longest.max(start.elapsed());
        applied += 1;
    }
    let (bytes, took) = writer.join().expect("it does not panic");
    println!("snapshot             {bytes:>10} bytes in {took:.1?}");
    println!("applied meanwhile    {applied:>10} batches of {BATCH}, longest {longest:.1?}");
}
