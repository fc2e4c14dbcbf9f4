//! How a run begins, and what is asked of its end.

use crate::{
    seen::Happening,
    violation::{Checked, Invariant},
    world::{CAMPAIGNS, Event, REGIONS, RETRY, RULE_PACK, World, node_member, number},
};
use domain::*;
use ledger::{
    Change, DirectoryCommand, LeadStanding, MeshId, NewMember, RegionCommand, RegionLedger,
    RegionReply, Shortage, catch_up,
};
use sansio::{ApplyContext, Replicated};
use std::{collections::BTreeSet, time::Duration};

/// Voters and nodes begin within so many milliseconds.
const STAGGER: u64 = 100;

fn campaign(id: CampaignId, ring: u64, talk: u64) -> Campaign {
    let retry = |after| RetryRule {
        after,
        delay: RETRY,
        attempts_max: 9,
    };
    Campaign {
        id,
        name: format!("campaign {}", id.0),
        state: CampaignState::Draft,
        regions: Vec::new(),
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(ring),
        talk_limit: Duration::from_secs(talk),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: RULE_PACK.into(),
        retry: [
            Disposition::NoAnswer,
            Disposition::Busy,
            Disposition::Machine,
            Disposition::Abandoned,
            Disposition::Cancelled,
            Disposition::Unknown,
        ]
        .map(retry)
        .into(),
        attempts_max: 9,
        dispositions: vec![AgentDisposition {
            name: "sale".into(),
            flags: DispositionFlags::default(),
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

impl World {
    /// Campaigns, leads, and the first of every event that repeats itself.
    pub(crate) fn begin(&mut self) -> Checked {
        self.members()?;
        self.first_releases()?;
        for id in CAMPAIGNS {
            let campaign = Box::new(campaign(id, self.options.ring, self.options.talk));
            self.commit_directory(None, &change(Change::CreateCampaign { campaign }))?;
            if self.options.groups && id == CAMPAIGNS[1] {
                self.count_together()?;
            }
            let state = CampaignState::Running;
            let run = Change::SetCampaignState {
                id,
                state,
                if_match: None,
            };
            self.commit_directory(None, &change(run))?;
        }
        self.first_homes()?;
        for region in 0..self.regions.len() {
            for facts in catch_up(&self.directory.witness, &self.regions[region].witness) {
                self.commit(region, &facts)?;
            }
        }
        self.import(CAMPAIGNS[0], 0, self.options.numbers * 2 / 3)?;
        self.import(CAMPAIGNS[1], self.options.numbers / 3, self.options.numbers)?;
        for which in self.groups() {
            self.after(0, Event::Elect(which));
        }
        for event in [
            Event::Watch,
            Event::Fault,
            Event::DncChange,
            Event::CampaignChange,
        ] {
            self.after(1000, event);
        }
        if self.options.registers {
            self.keeper.pulls = self.chance(500);
            self.after(1000, Event::Keeper);
        }
        if self.options.slumbers {
            for _ in 0..=self.random.below(2) {
                let at = self.millis(self.options.safety * 1000);
                self.after(at, Event::Slumber);
            }
        }
        for i in 0..self.nodes.len() {
            let at = self.millis(STAGGER);
            self.after(at, Event::NodeWakes(i));
            self.replicate(i);
        }
        for i in 0..self.voters.len() {
            let at = self.millis(STAGGER);
            self.after(at, Event::VoterWakes(i));
        }
        Ok(())
    }

    /// Everybody who may ask the directory for something, and members beside them: ids are given in
    /// order.
    fn members(&mut self) -> Checked {
        let member = |n: u64| NewMember {
            name: format!("member {n}"),
            mesh_address: format!("192.0.2.{n}:7000"),
            http_address: format!("http://192.0.2.{n}:8080"),
        };
        let found = Change::Found {
            mesh: MeshId(1),
            member: member(1),
        };
        self.commit_directory(None, &change(found))?;
        if self.options.registers || self.regions.len() > 1 {
            for n in 0..self.regions.len() {
                let name = format!("region {n}");
                self.commit_directory(None, &change(Change::SetRegion { id: None, name }))?;
            }
        }
        let last = node_member(self.nodes.len() - 1).0;
        for n in 2..=last {
            let hash = [n as u8; 32];
            let expires_at = self.voter_wall(0) + Duration::from_secs(60);
            // Nodes are asked whether they hold a base.
            let is_node = self.options.registers && n >= node_member(0).0;
            let token = Change::AddJoinToken {
                hash,
                role: match is_node {
                    true => MemberRole::Node,
                    false => MemberRole::Coordinator,
                },
                region: is_node.then(|| {
                    let node = (n - node_member(0).0) as usize;
                    REGIONS[self.nodes[node].region]
                }),
                expires_at,
            };
            self.commit_directory(None, &change(token))?;
            let joins = Change::Join {
                hash,
                member: member(n),
            };
            self.commit_directory(None, &change(joins))?;
        }
        Ok(())
    }

    fn import(&mut self, campaign: CampaignId, first: u64, end: u64) -> Checked {
        let list = ListId(campaign.0);
        for region in 0..self.regions.len() {
            let here = |n: &u64| self.home(number(*n)) == region;
            let rows: Vec<_> = (first..end).filter(here).map(new_lead).collect();
            let batch = RegionCommand::Import {
                list,
                campaign,
                batch: 1,
                rows,
            };
            self.commit(region, &batch)?;
        }
        for n in first..end {
            self.homes.imported.insert((number(n), campaign));
        }
        Ok(())
    }

    /// A month later, at an hour when every window is open, every lead that may still be dialed can
    /// be claimed. Tried on a copy.
    pub(crate) fn dialable_again(&mut self) -> Checked {
        (0..self.regions.len()).try_for_each(|region| self.dialable_again_in(region))
    }

    fn dialable_again_in(&mut self, region: usize) -> Checked {
        let mut index = self.regions[region].last();
        let mut region = self.regions[region].witness.clone();
        let day = 86_400_000;
        let noon = self.options.start + self.now as i64 + 35 * day;
        let noon = noon - noon.rem_euclid(day) + 17 * 3_600_000 + 600_000;
        let mut wall = WallTime::from_millis(noon);
        let mut waits = BTreeSet::new();
        for id in CAMPAIGNS {
            waits.extend(dialable(&region, id));
        }
        let mut apply = |region: &mut RegionLedger, wall, command| {
            index += 1;
            region.apply(ApplyContext { index, wall }, command, &mut Vec::new())
        };
        // Consents end within the month: nobody asks for them any more.
        let directory_index = region.facts_index();
        let nobody_asks = CAMPAIGNS.map(|id| ClearanceFact::RequiresConsent(id, false));
        let nobody_asks = RegionCommand::Clearance {
            directory_index,
            facts: nobody_asks.into(),
        };
        apply(&mut region, wall, nobody_asks);
        let open = RegionCommand::OpenSession {
            node: MemberId(99),
            incarnation: Incarnation(1),
            ttl: limits::SESSION_TTL,
        };
        let RegionReply::SessionOpened { session, .. } = apply(&mut region, wall, open) else {
            return Err(Invariant::I11.broken("no session can be opened at the end"));
        };
        let due = waits.len() as u64;
        let mut why = None;
        for sequence in 1..=8 {
            let campaign = CAMPAIGNS[sequence as usize % CAMPAIGNS.len()];
            wall = wall + Duration::from_secs(150);
            let claim = RegionCommand::Claim {
                session,
                campaign,
                n: 100,
                sequence,
            };
            let RegionReply::Claimed { leads, shortage } = apply(&mut region, wall, claim) else {
                continue;
            };
            why = shortage.filter(|s| *s != Shortage::NothingDue).or(why);
            let outcomes = (leads.iter())
                .map(|lead| CallOutcome::Undialed {
                    lead: lead.lead,
                    attempt: lead.attempt,
                })
                .collect();
            for lead in leads {
                waits.remove(&lead.lead);
            }
            let sequence = 0;
            let report = RegionCommand::Report {
                session,
                sequence,
                outcomes,
            };
            apply(&mut region, wall, report);
        }
        if let Some(lead) = waits.first() {
            return Err(Invariant::I7.broken(format!(
                "{} leads can never be dialed again, {lead} among them: {:?} ({why:?})",
                waits.len(),
                region.lead(*lead)
            )));
        }
        self.checkers.seen.saw_many(Happening::DialableAtEnd, due);
        Ok(())
    }
}

impl World {
    /// Whom the region calls forbidden at the end, an entry, a pattern or the base in use forbids.
    pub(crate) fn blocked_for_a_reason(&self) -> Checked {
        let directory = &self.directory.witness;
        let leads = (self.regions.iter()).flat_map(|group| {
            let region = &group.witness;
            (1..=region.len() as u64).map(|count| region.lead(LeadId::new(region.region(), count)))
        });
        for lead in leads {
            let Some(lead) = lead else {
                continue;
            };
            let covered = directory.dnc_covers(lead.number, lead.campaign, lead.lead.region());
            let listed = self.checkers.dnc.in_base(lead.number);
            if lead.standing == LeadStanding::DoNotCall && !covered && !listed {
                return Err(Invariant::I7.broken(format!(
                    "{} rests for ever although nothing forbids {}",
                    lead.lead, lead.number
                )));
            }
        }
        Ok(())
    }
}

/// Leads of a campaign that nothing forbids for good.
fn dialable(region: &RegionLedger, id: CampaignId) -> BTreeSet<LeadId> {
    let Some(campaign) = region
        .campaign(id)
        .filter(|c| c.state == CampaignState::Running)
    else {
        return BTreeSet::new();
    };
    (1..=region.len() as u64)
        .filter_map(|count| region.lead(LeadId::new(region.region(), count)))
        .filter(|lead| lead.campaign == id && lead.attempts < campaign.attempts_max)
        .filter(|lead| matches!(lead.standing, LeadStanding::Due | LeadStanding::Waiting(_)))
        .map(|lead| lead.lead)
        .collect()
}

/// The lead that number `n` is in every campaign.
pub(crate) fn new_lead(n: u64) -> NewLead {
    let sets: [&[&str]; 6] = [
        &["America/New_York"],
        &["America/Chicago"],
        &["America/Los_Angeles"],
        &["America/New_York", "America/Chicago"],
        &["America/New_York", "America/Los_Angeles"],
        &[],
    ];
    NewLead {
        number: number(n),
        zones: (sets[n as usize % sets.len()].iter())
            .filter_map(|name| zones::find(name))
            .collect(),
        priority: (n % 3) as i16,
        profile: LeadProfile::default(),
    }
}

/// A change that nobody in particular proposes.
pub(crate) fn change(change: Change) -> DirectoryCommand {
    DirectoryCommand {
        origin: None,
        change,
    }
}
