//! Every rule of the region's ledger, one test each.

use super::*;
use crate::{
    directory::{Change, DirectoryCommand},
    envelope::by_wire,
};
use domain::{
    AgentDisposition, AttemptId, CallOutcome, CampaignState, DialLevel, Disposition,
    DispositionCode, DispositionFlags, DncEntry, DncSource, LeadProfile, NewLead, PacingMode,
    RetryRule, ZoneId, limits, zones,
};

const REGION: RegionId = RegionId(1);
const CAMPAIGN: CampaignId = CampaignId(1);
const LIST: ListId = ListId(1);
const NODE: MemberId = MemberId(5);
const T: Duration = Duration::from_secs(30);
/// 2026-11-21 17:00 UTC, noon in New York.
const NOON: i64 = 1_795_280_400_000;
const LEADER: Leadership = Leadership {
    term: 1,
    member: MemberId(1),
};

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(12_125_550_000 + n).unwrap()
}

fn campaign() -> Campaign {
    let flags = DispositionFlags::default();
    let disposition = |name: &str, flags| AgentDisposition {
        name: name.into(),
        flags,
    };
    Campaign {
        id: CAMPAIGN,
        name: "autumn".into(),
        state: CampaignState::Running,
        regions: Vec::new(),
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(30),
        talk_limit: minutes(10),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: minutes(1),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: [Disposition::NoAnswer, Disposition::Unknown]
            .map(|after| RetryRule {
                after,
                delay: minutes(30),
                attempts_max: 3,
            })
            .into(),
        attempts_max: 4,
        dispositions: vec![
            disposition(
                "sale",
                DispositionFlags {
                    success: true,
                    ..flags
                },
            ),
            disposition(
                "later",
                DispositionFlags {
                    retry: true,
                    ..flags
                },
            ),
            disposition(
                "never",
                DispositionFlags {
                    do_not_call: true,
                    ..flags
                },
            ),
        ],
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

fn new_lead(n: u64, zone: &str) -> NewLead {
    NewLead {
        number: number(n),
        zones: zones::find(zone).into_iter().collect(),
        priority: 0,
        profile: LeadProfile {
            name: format!("lead {n}"),
            ..LeadProfile::default()
        },
    }
}

/// A ledger and its log's end.
struct World {
    ledger: RegionLedger,
    index: u64,
    wall: i64,
    events: Vec<RegionEvent>,
}

impl World {
    /// The campaign known, and leads 0..n of New York imported.
    fn new(leads: u64) -> Self {
        let mut world = Self {
            ledger: RegionLedger::new(REGION),
            index: 0,
            wall: NOON,
            events: Vec::new(),
        };
        world.campaign(campaign());
        world.import(
            1,
            (0..leads)
                .map(|n| new_lead(n, "America/New_York"))
                .collect(),
        );
        world.apply(RegionCommand::Tick {
            leadership: LEADER,
            after: 0,
            elapsed: Duration::ZERO,
        });
        world
    }

    fn apply(&mut self, command: RegionCommand) -> RegionReply {
        self.index += 1;
        let context = ApplyContext {
            index: self.index,
            wall: WallTime::from_millis(self.wall),
        };
        let reply = self
            .ledger
            .apply(context, by_wire(&command), &mut self.events);
        assert_eq!(by_wire(&reply), reply);
        // Whatever happened: a restored copy is equal, indexes and counts included.
        if self.ledger.len() < 100 {
            let mut copy = RegionLedger::restore(&self.ledger.snapshot()).unwrap();
            copy.lead_limit = self.ledger.lead_limit;
            assert!(copy == self.ledger, "a restored copy differs");
        }
        reply
    }

    fn pass(&mut self, span: Duration) {
        self.wall += span.as_millis() as i64;
    }

    fn campaign(&mut self, campaign: Campaign) {
        let index = self.ledger.facts_index() + 1;
        self.apply(RegionCommand::Facts(Facts {
            directory_index: index,
            campaigns: vec![campaign],
            ..Facts::default()
        }));
    }

    fn import(&mut self, batch: u64, rows: Vec<NewLead>) -> RegionReply {
        self.apply(RegionCommand::Import {
            list: LIST,
            campaign: CAMPAIGN,
            batch,
            rows,
        })
    }

    fn open(&mut self, node: MemberId, incarnation: u64) -> SessionId {
        match self.open_reply(node, incarnation) {
            RegionReply::SessionOpened { session, .. } => session,
            other => panic!("{other:?}"),
        }
    }

    fn open_reply(&mut self, node: MemberId, incarnation: u64) -> RegionReply {
        self.apply(RegionCommand::OpenSession {
            node,
            incarnation: Incarnation(incarnation),
            ttl: T,
        })
    }

    fn claim(&mut self, session: SessionId, n: u32, sequence: u64) -> Vec<LeasedLead> {
        self.claim_why(session, n, sequence).0
    }

    fn claim_why(
        &mut self,
        session: SessionId,
        n: u32,
        sequence: u64,
    ) -> (Vec<LeasedLead>, Option<Shortage>) {
        match self.claim_reply(session, n, sequence) {
            RegionReply::Claimed { leads, shortage } => (leads, shortage),
            other => panic!("{other:?}"),
        }
    }

    fn claim_reply(&mut self, session: SessionId, n: u32, sequence: u64) -> RegionReply {
        self.apply(RegionCommand::Claim {
            session,
            campaign: CAMPAIGN,
            n,
            sequence,
        })
    }

    fn report(&mut self, session: SessionId, outcomes: &[CallOutcome]) -> OutcomeCounts {
        let command = RegionCommand::Report {
            session,
            sequence: 1,
            outcomes: outcomes.to_vec(),
        };
        counts(self.apply(command))
    }

    fn settle(&mut self, run: u64, outcomes: &[CallOutcome], proof: Proof) -> OutcomeCounts {
        let command = RegionCommand::Settle {
            node: NODE,
            incarnation: Incarnation(run),
            outcomes: outcomes.to_vec(),
            proof,
        };
        counts(self.apply(command))
    }

    fn expire(&mut self, session: SessionId) -> RegionReply {
        self.apply(RegionCommand::ExpireSession {
            session,
            leadership: self.ledger.leadership(),
        })
    }

    /// So much steady time, in ticks as large as may be, after the one that counts for nothing.
    fn tick(&mut self, span: Duration) -> u32 {
        let mut ended = 0;
        let mut left = span;
        while left > Duration::ZERO {
            let elapsed = left.min(limits::TICK_MAX);
            left -= elapsed;
            let command = RegionCommand::Tick {
                leadership: self.ledger.leadership(),
                after: self.ledger.last_tick(),
                elapsed,
            };
            match self.apply(command) {
                RegionReply::Ticked { doubts_ended } => ended += doubts_ended,
                other => panic!("{other:?}"),
            }
        }
        ended
    }

    fn dialed(&self, lead: &LeasedLead, disposition: Disposition) -> CallOutcome {
        let now = WallTime::from_millis(self.wall);
        CallOutcome::Dialed {
            lead: lead.lead,
            attempt: lead.attempt,
            disposition,
            invited_at: now,
            ended_at: now,
            callback_at: None,
        }
    }

    fn standing(&self, lead: &LeasedLead) -> LeadStanding {
        self.ledger.lead(lead.lead).unwrap().standing
    }
}

fn undialed(lead: &LeasedLead) -> CallOutcome {
    CallOutcome::Undialed {
        lead: lead.lead,
        attempt: lead.attempt,
    }
}

fn counts(reply: RegionReply) -> OutcomeCounts {
    match reply {
        RegionReply::Reported(counts) => counts,
        other => panic!("{other:?}"),
    }
}

fn dnc(n: u64, scope: DncScope, index: u64) -> DncFact {
    DncFact {
        entry: DncEntry {
            number: number(n),
            scope,
            source: DncSource::Person,
            added_at: WallTime::EPOCH,
        },
        index,
    }
}

mod best;
mod callers;
mod claims;
mod clearance;
mod ends;
mod imports;
mod moves;
mod moves_by_seed;
mod promises;
