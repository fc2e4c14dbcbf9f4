//! Claims and reports, leads a second and bytes a lead: `cargo bench -p ledger`. The machine alone,
//! without a log; `LEADS` sets how many leads there are.

use domain::*;
use ledger::*;
use sansio::{ApplyContext, Replicated};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Counts live bytes, as the allocator was asked for them.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)]
// SAFETY: every call is handed to the system's allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOON: i64 = 1_795_280_400_000;
const BATCH: u32 = 500;

struct Log {
    ledger: RegionLedger,
    index: u64,
}

impl Log {
    fn apply(&mut self, command: RegionCommand) -> RegionReply {
        self.index += 1;
        let context = ApplyContext {
            index: self.index,
            wall: WallTime::from_millis(NOON + self.index as i64),
        };
        let mut events = Vec::new();
        self.ledger.apply(context, command, &mut events)
    }
}

fn campaign() -> Campaign {
    Campaign {
        id: CampaignId(1),
        name: "bench".into(),
        state: CampaignState::Running,
        regions: Vec::new(),
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(30),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: vec![RetryRule {
            after: Disposition::NoAnswer,
            delay: Duration::from_secs(7200),
            attempts_max: 5,
        }],
        attempts_max: 5,
        dispositions: Vec::new(),
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

fn main() {
    let leads: u64 = std::env::var("LEADS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let mut log = Log {
        ledger: RegionLedger::new(RegionId(1)),
        index: 0,
    };
    log.apply(RegionCommand::Facts(Facts {
        directory_index: 1,
        campaigns: vec![campaign()],
        ..Facts::default()
    }));
    let zones = [
        "America/New_York",
        "America/Chicago",
        "America/Denver",
        "America/Los_Angeles",
    ];
    let zones = zones.map(|name| zones::find(name).expect("an IANA zone"));
    let before = LIVE.load(Ordering::Relaxed);
    let start = Instant::now();
    for batch in 0..leads / 1000 {
        let row = |i: u64| {
            // Numbers come in no order.
            let n = (batch * 1000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 31;
            NewLead {
                number: PhoneNumber::from_digits(10_000_000_000 + n).expect("eleven digits"),
                zones: vec![zones[(n % 4) as usize]],
                priority: 0,
                profile: LeadProfile::default(),
            }
        };
        log.apply(RegionCommand::Import {
            list: ListId(1),
            campaign: CampaignId(1),
            batch: batch + 1,
            rows: (0..1000).map(row).collect(),
        });
    }
    let count = log.ledger.len() as f64;
    let bytes =
        |log: &Log| (LIVE.load(Ordering::Relaxed) - before) as f64 / log.ledger.len() as f64;
    println!(
        "import        {:>10.0} leads/s",
        count / start.elapsed().as_secs_f64()
    );
    println!(
        "before dialing {:>9.1} bytes/lead (no profiles)",
        bytes(&log)
    );

    let opened = log.apply(RegionCommand::OpenSession {
        node: MemberId(1),
        incarnation: Incarnation(1),
        ttl: Duration::from_secs(30),
    });
    let RegionReply::SessionOpened { session, .. } = opened else {
        panic!("{opened:?}");
    };
    let (mut claiming, mut reporting) = (Duration::ZERO, Duration::ZERO);
    let mut done = 0;
    for sequence in 1.. {
        let start = Instant::now();
        let reply = log.apply(RegionCommand::Claim {
            session,
            campaign: CampaignId(1),
            n: BATCH,
            sequence,
        });
        claiming += start.elapsed();
        let RegionReply::Claimed { leads, .. } = reply else {
            panic!("{reply:?}");
        };
        if leads.is_empty() {
            break;
        }
        done += leads.len();
        let now = log.ledger.clock();
        let outcome = |lead: &LeasedLead| CallOutcome::Dialed {
            lead: lead.lead,
            attempt: lead.attempt,
            disposition: Disposition::NoAnswer,
            invited_at: now,
            ended_at: now,
            callback_at: None,
        };
        let outcomes = leads.iter().map(outcome).collect();
        let start = Instant::now();
        log.apply(RegionCommand::Report {
            session,
            sequence,
            outcomes,
        });
        reporting += start.elapsed();
    }
    let done = done as f64;
    println!(
        "claims        {:>10.0} leads/s",
        done / claiming.as_secs_f64()
    );
    println!(
        "reports       {:>10.0} leads/s",
        done / reporting.as_secs_f64()
    );
    println!(
        "both          {:>10.0} leads/s",
        done / (claiming + reporting).as_secs_f64()
    );
    println!(
        "all dialed    {:>10.1} bytes/lead (no profiles)",
        bytes(&log)
    );

    let start = Instant::now();
    let snapshot = log.ledger.snapshot();
    let size = snapshot.len() as f64 / count;
    println!(
        "snapshot      {:>10.2} s, {size:.1} bytes/lead",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let restored = RegionLedger::restore(&snapshot).expect("our own snapshot");
    println!("restore       {:>10.2} s", start.elapsed().as_secs_f64());
    assert!(restored == log.ledger, "a restored ledger differs");
}
