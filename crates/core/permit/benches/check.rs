//! What one permit decision costs: `cargo bench -p permit`. Fails when it allocates.

use domain::*;
use permit::{base::BaseLookup as _, *};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant as Clock},
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

const REGION: RegionId = RegionId(1);
const ENTRIES: u64 = 1_000_000;
const ROUNDS: u64 = 1_000_000;

fn number(n: u64) -> PhoneNumber {
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 31;
    PhoneNumber::from_digits(10_000_000_000 + spread).expect("eleven digits")
}

fn main() {
    let now = Now::default().plus(Duration::from_secs(1));
    let mut permit = Permit::new(Duration::from_secs(30));
    let opened = PermitInput::SessionOpened {
        region: REGION,
        session: SessionId(7),
        ttl: Duration::from_secs(30),
    };
    permit.handle(now, opened).expect("the first session");
    permit.handle_timeout(now);
    let answered = PermitInput::KeepAliveAnswered {
        region: REGION,
        session: SessionId(7),
        sent: now.monotonic,
    };
    permit.handle(now, answered).expect("the current session");
    let fresh = PermitInput::FreshnessAnswered {
        sent: now.monotonic,
        index: 0,
    };
    permit.handle(now, fresh).expect("always taken");
    for n in 0..ENTRIES {
        let scope = if n % 10 == 0 {
            DncScope::Campaign(CampaignId(1))
        } else {
            DncScope::Mesh
        };
        permit.dnc_mut().add(number(2 * n), scope, n);
    }
    // Numbers asked for that are in the base alone: every eighth.
    let base = (0..ROUNDS).filter(|n| n % 8 == 1).map(number).collect();
    let about = base::BaseAbout {
        source: "bench".into(),
        built_at: WallTime::EPOCH,
    };
    let base = base::MemoryBase::of(&base, about).expect("few numbers");
    // A copy without the base that the directory names refuses everybody, and quickly.
    permit.dnc_mut().require(Some(base.id()), ENTRIES);
    permit.dnc_mut().set_base(Some(Arc::new(base)));
    let callers: Vec<CallerId> = (0..100)
        .map(|n| CallerId {
            number: number(u64::MAX / 2 + n),
            trunk: TrunkId(1),
            caps: CallerIdCaps {
                per_day: limits::CALLER_ID_CAP,
                per_hour: limits::CALLER_ID_CAP,
            },
            resting: false,
        })
        .collect();
    for caller in &callers {
        permit.caps_mut().set(caller.number, caller.caps);
    }
    let mut spans = Vec::with_capacity(ROUNDS as usize);
    let mut refused: Option<Denial> = None;
    let made = MADE.load(Ordering::Relaxed);
    let whole = Clock::now();
    for n in 0..ROUNDS {
        let attempt = Attempt {
            attempt: AttemptId(n.into()),
            session: SessionId(7),
            region: REGION,
            campaign: CampaignId(1),
            number: number(n),
            trunk: TrunkId(1),
            caller_id: &callers[(n % 100) as usize],
            consent_required: false,
            registry_age_max: None,
            registry_country: None,
            rule_pack_version: 1,
        };
        let start = Clock::now();
        let granted = permit.check(now, &attempt, || true);
        spans.push(start.elapsed().as_nanos() as u32);
        // Entries of this campaign or of the mesh, and what the base has.
        let listed = n % 2 == 0 || n % 8 == 1;
        match granted {
            Err(why) if !listed || why != Denial::DoNotCall => refused = Some(why),
            Ok(_) if listed => refused = Some(Denial::DoNotCall),
            _ => {}
        }
    }
    let whole = whole.elapsed();
    assert_eq!(
        MADE.load(Ordering::Relaxed),
        made,
        "a permit decision allocated"
    );
    assert_eq!(refused, None, "somebody was judged by another rule");
    spans.sort_unstable();
    let at = |permille: usize| spans[spans.len() * permille / 1000];
    println!(
        "mean {} ns (with two clock reads)",
        whole.as_nanos() as u64 / ROUNDS
    );
    println!(
        "p50 {} ns, p99 {} ns, p99.9 {} ns",
        at(500),
        at(990),
        at(999)
    );
    println!("{:?}", permit.counts());
}
