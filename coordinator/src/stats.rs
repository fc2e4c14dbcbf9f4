//! A campaign's figures, and why nothing more is dialed.

use crate::{
    backend::{Backend, missing},
    nodes::Heard,
};
use compliance::RulePack;
use consensus::Group;
use dialmesh_http::{
    admin::Answer,
    dto::{
        Abandonment, AbandonmentBudget, CampaignStats, CityOverflow, CityPacing, CityShare,
        IdleReason,
    },
};
use domain::{
    Campaign, CampaignId, CampaignState, LeadId, MemberRole, PacingMode, RegionId, WallTime, ZoneId,
};
use ledger::{BudgetView, LeadStanding, RegionLedger, RegionStats, ShareView};
use std::collections::BTreeMap;

/// Leads of one region looked at for closed calling windows; beyond, their share is taken for all.
const LOOK: u64 = 5_000;

/// What a rule pack allows of abandonment, in percent.
pub(crate) fn budget(pack: Option<&RulePack>) -> f64 {
    let strictest = || {
        RulePack::all()
            .iter()
            .min_by_key(|pack| pack.abandonment.budget_permille)
    };
    let rule = pack.or_else(strictest).map(|pack| pack.abandonment);
    rule.map_or(0.0, |r| f64::from(r.budget_permille) / 10.0)
}

pub(crate) fn campaign(backend: &Backend, id: CampaignId) -> Answer<CampaignStats> {
    let now = service::clock::wall();
    let found = backend.member.directory().read(|d| d.campaign(id).cloned());
    let campaign = found.ok_or_else(|| missing("campaign", id))?;
    let pack = RulePack::by_name(&campaign.rule_pack);
    let mut sum = RegionStats::default();
    let mut finished: u64 = 0;
    let mut windows = Windows::default();
    let mut next_due: Option<WallTime> = None;
    for (region, group) in backend.member.regions() {
        let (stats, next) = group.read(|r| (r.stats(id), r.next_due()));
        sum.due += stats.due;
        sum.waiting += stats.waiting;
        sum.leased += stats.leased;
        sum.in_doubt += stats.in_doubt;
        sum.blocked_dnc += stats.blocked_dnc;
        sum.frozen += stats.frozen;
        sum.no_consent += stats.no_consent;
        sum.no_zone += stats.no_zone;
        sum.moving += stats.moving;
        finished += stats.finished.iter().map(|(_, n)| n).sum::<u64>();
        if stats.waiting > 0 {
            next_due = [next_due, next].into_iter().flatten().min();
        }
        let dialed_here = campaign.regions.is_empty() || campaign.regions.contains(&region);
        if let Some(pack) = pack.filter(|_| stats.due > 0 && dialed_here) {
            windows.look(&group, pack, id, stats.due, now);
        }
    }
    let (counts, lifts) = (backend.records).tally(|tally| (tally.campaign(id), tally.lifts(id)));
    let told = (backend.member.directory())
        .read(|d| d.abandonment(id, now))
        .unwrap_or_default();
    let leads = [
        ("due", sum.due),
        ("resting", sum.waiting),
        ("leased", sum.leased),
        ("in_doubt", sum.in_doubt),
        ("do_not_call", sum.blocked_dnc),
        ("frozen", sum.frozen),
        ("no_consent", sum.no_consent),
        ("unknown_zone", sum.no_zone),
        ("moving", sum.moving),
        ("finished", finished),
    ];
    Ok(CampaignStats {
        campaign: id,
        leads: leads
            .into_iter()
            .map(|(state, n)| (state.to_owned(), n))
            .collect(),
        attempts: counts.attempts,
        call_backs: counts.call_backs,
        dispositions: counts.dispositions,
        abandonment: Abandonment::new(told.answered, told.abandoned, budget(pack)),
        budget: shares(backend, &campaign, pack, &told),
        local_presence: backend.member.directory().read(|d| {
            let known = |id| d.regions().find(|r| r.id == id).map(|r| r.name.clone());
            let name = |id: RegionId| known(id).unwrap_or_else(|| id.to_string());
            lifts.told(d.hold_out(id), name)
        }),
        why_idle: why_idle(backend, &campaign, &sum, finished, &windows, next_due),
        as_of: now.into(),
    })
}

/// What is left of the campaign's budget, and what each city may do with it.
fn shares(
    backend: &Backend,
    campaign: &Campaign,
    pack: Option<&RulePack>,
    told: &BudgetView,
) -> AbandonmentBudget {
    let said = |node| backend.nodes.of(node).filter(Heard::is_fresh);
    // Agents of a city that does not dial it may be lent all the same.
    let lends = |node| {
        said(node).is_some_and(|said| carried(&said, campaign.id) != CityOverflow::default())
    };
    let nodes: Vec<_> = backend.member.directory().read(|d| {
        let nodes = d.members();
        let nodes = nodes.filter(|m| m.role == MemberRole::Node && !m.removed);
        let dials = |m: &domain::Member| {
            campaign.regions.is_empty() || m.region.is_some_and(|r| campaign.regions.contains(&r))
        };
        nodes
            .map(|m| (m.id, m.name.clone(), dials(m)))
            .filter(|(id, _, dials)| *dials || lends(*id))
            .collect()
    });
    let cities = nodes.into_iter().map(|(node, name, dialing)| {
        let share = told.shares.iter().find(|s| s.member == node && s.live);
        CityShare {
            node,
            name,
            held: share.map_or(0, |share| share.out),
            wanted: share.map_or(0, |share| share.want),
            dials: match dialing {
                true => dials(campaign, share).to_owned(),
                false => "idle".to_owned(),
            },
            pacing: said(node).and_then(|said| held(&said, campaign.id)),
            overflow: said(node).map(|said| carried(&said, campaign.id)),
        }
    });
    AbandonmentBudget {
        window: pack.map_or(String::new(), |pack| pack.abandonment.window.to_string()),
        left: told.left,
        in_doubt: told.in_doubt,
        cities: cities.collect(),
    }
}

/// What holds a city's lines, as it said last.
fn held(said: &Heard, campaign: CampaignId) -> Option<CityPacing> {
    let all = &said.status.pacing;
    let status = all.iter().find(|status| status.campaign == campaign)?;
    Some(status.into())
}

/// What a city carries with others, as it said last.
fn carried(said: &Heard, campaign: CampaignId) -> CityOverflow {
    let all = said.status.overflow.iter();
    all.filter(|status| status.campaign == campaign).collect()
}

/// Whether a city dials ahead of its agents, and if not why.
fn dials(campaign: &Campaign, share: Option<&ShareView>) -> &'static str {
    match share {
        _ if campaign.state != CampaignState::Running => "idle",
        _ if campaign.pacing == PacingMode::Progressive => "one_to_one_by_choice",
        None => "one_to_one_share_unknown",
        Some(share) if share.want == 0 => "idle",
        Some(share) if share.out == 0 => "one_to_one_share_spent",
        Some(_) => "ahead",
    }
}

/// Due leads whose calling window is closed.
#[derive(Debug, Default)]
struct Windows {
    closed: u64,
    opens: Option<WallTime>,
}

impl Windows {
    fn look(
        &mut self,
        group: &Group<RegionLedger>,
        pack: &RulePack,
        campaign: CampaignId,
        due: u64,
        now: WallTime,
    ) {
        let numbers: Vec<_> = group.read(|ledger| {
            let all =
                (1..=(ledger.len() as u64).min(LOOK)).map(|n| LeadId::new(ledger.region(), n));
            all.filter_map(|id| ledger.lead(id))
                .filter(|lead| lead.campaign == campaign && lead.standing == LeadStanding::Due)
                .map(|lead| lead.number)
                .collect()
        });
        let mut known: BTreeMap<&'static [ZoneId], (bool, Option<WallTime>)> = BTreeMap::new();
        let mut closed = 0;
        for number in &numbers {
            let zones = numbering::locality(*number).zones;
            let (open, opens) = *known.entry(zones).or_insert_with(|| {
                let open = compliance::may_dial_at(pack, zones, now).is_ok();
                (
                    open,
                    if open {
                        None
                    } else {
                        compliance::next_open(pack, zones, now)
                    },
                )
            });
            closed += u64::from(!open);
            self.opens = [self.opens, opens].into_iter().flatten().min();
        }
        if !numbers.is_empty() {
            self.closed += due * closed / numbers.len() as u64;
        }
    }
}

fn why_idle(
    backend: &Backend,
    campaign: &Campaign,
    sum: &RegionStats,
    finished: u64,
    windows: &Windows,
    next_due: Option<WallTime>,
) -> Vec<IdleReason> {
    let mut reasons = Vec::new();
    let mut say = |rule: &str, leads: u64, next_at: Option<WallTime>| {
        if leads > 0 {
            let (rule, next_at) = (rule.to_owned(), next_at.map(Into::into));
            reasons.push(IdleReason {
                rule,
                leads,
                next_at,
            });
        }
    };
    say("finished", finished, None);
    say("do_not_call", sum.blocked_dnc, None);
    say("frozen", sum.frozen, None);
    say("no_consent", sum.no_consent, None);
    say("unknown_zone", sum.no_zone, None);
    say("moving", sum.moving, None);
    say("leased", sum.leased, None);
    say("in_doubt", sum.in_doubt, None);
    say("resting", sum.waiting, next_due);
    say("outside_calling_window", windows.closed, windows.opens);
    let open = sum.due.saturating_sub(windows.closed);
    match campaign.state {
        CampaignState::Draft => say("campaign_draft", open, None),
        CampaignState::Paused => say("campaign_paused", open, None),
        CampaignState::Stopped => say("campaign_stopped", open, None),
        CampaignState::Running => {
            if base_is_too_old(backend, campaign) {
                say("old_dnc_base", open, None);
            } else if let Some(rule) = held_back_by(backend) {
                say(rule, open, None);
            }
        }
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.leads));
    reasons
}

/// Whether the do-not-call base in use is older than the rule pack allows a registry's data to be.
fn base_is_too_old(backend: &Backend, campaign: &Campaign) -> bool {
    let now = service::clock::wall();
    (backend.member.directory()).read(|d| crate::bases::is_too_old(d, campaign, now))
}

/// What keeps leads that may be dialed now from being dialed, mesh-wide.
fn held_back_by(backend: &Backend) -> Option<&'static str> {
    let nodes = backend.nodes.fresh();
    let (any_node, any_trunk, any_caller_id) = backend.member.directory().read(|directory| {
        let enabled = |t: &domain::Trunk| t.enabled;
        let shown =
            |c: &domain::CallerId| !c.resting && directory.trunk(c.trunk).is_some_and(enabled);
        (
            directory
                .members()
                .any(|m| m.role == MemberRole::Node && !m.removed),
            directory.trunks().any(enabled),
            directory.caller_ids().any(shown),
        )
    });
    let ready = nodes.iter().any(|n| n.agents.ready > 0);
    let up = nodes.iter().any(|n| n.trunks.iter().any(|t| t.up));
    match () {
        () if !any_node => Some("no_node"),
        () if nodes.is_empty() => Some("no_node_reachable"),
        () if !any_trunk => Some("no_trunk"),
        () if !any_caller_id => Some("no_caller_id"),
        () if !up => Some("trunks_down"),
        () if !ready => Some("no_ready_agent"),
        () => None,
    }
}
