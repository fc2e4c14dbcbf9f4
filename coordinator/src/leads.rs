//! Leads, as the regions' groups hold them here.

use crate::backend::{Backend, missing};
use dialmesh_http::{
    admin::Answer,
    dto::{Lead, LeadFilter, Page},
    problem::{BackendError, FieldError},
};
use domain::{LeadId, RegionId, zones};
use ledger::{LeadStanding, LeadView};

/// Leads looked at while a region's group is held.
const LOOK: u64 = 2_000;
/// Leads looked at for one page of a filtered list; the next page goes on from there.
const LOOKED_AT: u64 = 200_000;

/// The name of a standing in API and figures.
pub(crate) const fn state(standing: &LeadStanding) -> &'static str {
    match standing {
        LeadStanding::Due => "due",
        LeadStanding::Waiting(_) => "resting",
        LeadStanding::Leased => "leased",
        LeadStanding::InDoubt => "in_doubt",
        LeadStanding::DoNotCall => "do_not_call",
        LeadStanding::Frozen => "frozen",
        LeadStanding::NoConsent => "no_consent",
        LeadStanding::NoZone => "unknown_zone",
        LeadStanding::Finished(_) => "finished",
        LeadStanding::Moving => "moving",
        LeadStanding::Moved(_) => "moved",
    }
}

fn view(backend: &Backend, lead: LeadView) -> Lead {
    let (mut last_disposition, mut next_at) = (None, None);
    match lead.standing {
        LeadStanding::Finished(disposition) => {
            let directory = backend.member.directory();
            let named = directory.read(|d| {
                d.campaign(lead.campaign)
                    .map(|c| c.disposition_name(disposition).to_owned())
            });
            last_disposition = Some(named.unwrap_or_else(|| disposition.name().to_owned()));
        }
        LeadStanding::Waiting(at) => next_at = Some(at.into()),
        _ => {}
    }
    let place = numbering::locality(lead.number);
    Lead {
        id: lead.lead,
        campaign: lead.campaign,
        list: lead.list,
        region: lead.lead.region(),
        number: lead.number.to_string(),
        name: lead.profile.name,
        attributes: lead.profile.attributes,
        state: state(&lead.standing).to_owned(),
        attempts: lead.attempts,
        last_disposition,
        next_at,
        time_zones: place
            .zones
            .iter()
            .filter_map(|zone| zones::name(*zone))
            .map(str::to_owned)
            .collect(),
    }
}

/// A lead that moved, where it is now: its number and campaign name it there. On its way it is
/// nowhere, and shows as the region that it left remembers it.
fn where_it_is(backend: &Backend, lead: LeadView) -> LeadView {
    if !matches!(lead.standing, LeadStanding::Moved(_)) {
        return lead;
    }
    let regions = backend.member.regions().into_iter();
    let mut found = regions.filter_map(|(_, group)| {
        group.read(|ledger| {
            let mut leads = ledger.leads_of(lead.number).into_iter();
            leads.find_map(|id| {
                let there = ledger.lead(id)?;
                (there.campaign == lead.campaign).then_some(there)
            })
        })
    });
    found.next().unwrap_or(lead)
}

pub(crate) fn show(backend: &Backend, id: LeadId) -> Answer<Lead> {
    let found = backend
        .member
        .region(id.region())
        .and_then(|group| group.read(|r| r.lead(id)));
    found
        .map(|lead| view(backend, where_it_is(backend, lead)))
        .ok_or_else(|| missing("lead", id))
}

pub(crate) fn list(backend: &Backend, filter: &LeadFilter) -> Answer<Page<Lead>> {
    let limit = filter.page().limit();
    let after = match filter.cursor.as_deref().map(str::parse::<LeadId>) {
        None => LeadId(0),
        Some(Ok(id)) => id,
        Some(Err(_)) => {
            let error = FieldError::new("?cursor", "is not one that this list gave");
            return Err(BackendError::Invalid(vec![error]));
        }
    };
    let passes = |lead: &LeadView| {
        // Its new region lists it.
        !matches!(lead.standing, LeadStanding::Moved(_))
            && filter.campaign.is_none_or(|id| id == lead.campaign)
            && filter
                .state
                .as_ref()
                .is_none_or(|wanted| wanted == state(&lead.standing))
    };
    let (mut leads, mut looked_at) = (Vec::new(), 0);
    for (region, group) in backend.member.regions() {
        if region < after.region() {
            continue;
        }
        let mut next = if region == after.region() {
            (after.0 & 0xffff_ffff_ffff) + 1
        } else {
            1
        };
        loop {
            let room = limit - leads.len();
            let (found, last, all) = group.read(|ledger| {
                let all = ledger.len() as u64;
                let end = all.min(next + LOOK - 1);
                let mut found = Vec::new();
                let mut last = next.saturating_sub(1);
                while last < end && found.len() < room {
                    last += 1;
                    found.extend(
                        ledger
                            .lead(LeadId::new(region, last))
                            .filter(|lead| passes(lead)),
                    );
                }
                (found, last, all)
            });
            looked_at += (last + 1).saturating_sub(next);
            leads.extend(found.into_iter().map(|lead| view(backend, lead)));
            next = last + 1;
            if leads.len() == limit || looked_at >= LOOKED_AT {
                let more = last < all
                    || backend
                        .member
                        .regions()
                        .last()
                        .is_some_and(|(r, _)| *r > region);
                return Ok(Page::new(leads, more.then(|| cursor(region, last))));
            }
            if last >= all {
                break;
            }
        }
    }
    Ok(Page::new(leads, None))
}

fn cursor(region: RegionId, last: u64) -> String {
    LeadId::new(region, last).to_string()
}
