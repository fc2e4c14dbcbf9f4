//! Leads on their way in: each batch once, each number once in a campaign.

use super::{
    ImportState, ImportTotals, RegionLedger, RegionRefusal, RegionReply, RowOutcome, RowRefusal,
    book::{Blocked, LeadState, NONE, Row},
};
use domain::{CampaignId, ListId, NewLead, limits};

/// By which home map rows were routed here.
#[derive(Clone, Copy)]
pub(super) struct Routed {
    /// Its version.
    pub(super) homes: u64,
    /// Whether the number's home is elsewhere by it.
    pub(super) known_only: bool,
}

impl RegionLedger {
    pub(super) fn import(
        &mut self,
        routed: Routed,
        list: ListId,
        campaign: CampaignId,
        batch: u64,
        rows: &[NewLead],
    ) -> Result<RegionReply, RegionRefusal> {
        if rows.len() > limits::IMPORT_BATCH {
            return Err(RegionRefusal::TooMany {
                what: "rows in an import batch".into(),
                got: rows.len() as u64,
                limit: limits::IMPORT_BATCH as u64,
            });
        }
        let known = self.imports.get(&list);
        if let Some(state) = known.filter(|state| state.campaign != campaign) {
            return Err(RegionRefusal::OtherCampaign {
                list,
                campaign: state.campaign,
            });
        }
        let expected = known.map_or(1, |state| state.last_batch + 1);
        let mut totals = known.map_or(ImportTotals::default(), |state| state.totals);
        if batch > expected || batch == 0 {
            return Err(RegionRefusal::ImportGap {
                list,
                got: batch,
                expected,
            });
        }
        if batch < expected {
            let rows = rows
                .iter()
                .map(|row| self.import_again(routed, list, campaign, row));
            return Ok(RegionReply::Imported {
                rows: rows.collect(),
                totals,
                again: true,
            });
        }
        // Only now: an answer that was lost is told again whatever map there is.
        self.hear_homes(routed.homes)?;
        let mut outcomes = Vec::with_capacity(rows.len());
        for row in rows {
            let outcome = self.import_row(routed, list, campaign, row);
            match outcome {
                RowOutcome::Accepted(_) => totals.accepted += 1,
                RowOutcome::Duplicate(_) => totals.duplicate += 1,
                RowOutcome::Refused(_) => totals.refused += 1,
                RowOutcome::Moving | RowOutcome::Elsewhere => {}
            }
            outcomes.push(outcome);
        }
        self.imports.insert(
            list,
            ImportState {
                campaign,
                last_batch: batch,
                totals,
            },
        );
        Ok(RegionReply::Imported {
            rows: outcomes,
            totals,
            again: false,
        })
    }

    /// What a row of a batch that was applied before came to, as far as can be told now.
    fn import_again(
        &self,
        routed: Routed,
        list: ListId,
        campaign: CampaignId,
        row: &NewLead,
    ) -> RowOutcome {
        if let Some(outcome) = self.not_at_home(routed, row.number) {
            return outcome;
        }
        match self.book.lead_in(row.number, campaign) {
            Some(lead) if self.book.rows[lead as usize].list == list => {
                RowOutcome::Accepted(self.lead_id(lead))
            }
            Some(lead) => RowOutcome::Duplicate(self.lead_id(lead)),
            None if self.is_away(row.number) => RowOutcome::Elsewhere,
            None => RowOutcome::Refused(refusal(row).unwrap_or(RowRefusal::RegionFull)),
        }
    }

    fn import_row(
        &mut self,
        routed: Routed,
        list: ListId,
        campaign: CampaignId,
        row: &NewLead,
    ) -> RowOutcome {
        if let Some(outcome) = self.not_at_home(routed, row.number) {
            return outcome;
        }
        if let Some(lead) = self.book.lead_in(row.number, campaign) {
            return RowOutcome::Duplicate(self.lead_id(lead));
        }
        if let Some(refusal) = refusal(row) {
            return RowOutcome::Refused(refusal);
        }
        if self.len() >= self.lead_limit {
            return RowOutcome::Refused(RowRefusal::RegionFull);
        }
        let Some(zones) = self.book.zone_set(&row.zones) else {
            return RowOutcome::Refused(RowRefusal::Zones);
        };
        let lead = self.lead_id(self.len() as u32);
        let new = Row {
            number: 0,
            next: NONE,
            campaign,
            list,
            due: self.clock(),
            priority: row.priority,
            attempts: 0,
            zones,
            state: LeadState::Waiting,
            blocked: self.blocked(row.number, campaign, Blocked::default()),
        };
        self.book.add(row.number, new, &row.profile);
        self.came_home(row.number);
        RowOutcome::Accepted(lead)
    }
}

/// Why a row cannot be taken, whatever is there already.
fn refusal(row: &NewLead) -> Option<RowRefusal> {
    let attributes = &row.profile.attributes;
    let too_long = |text: &String| text.len() > limits::ATTRIBUTE_BYTES;
    if row.profile.name.len() > limits::NAME_BYTES {
        Some(RowRefusal::Name)
    } else if attributes.len() > limits::ATTRIBUTES {
        Some(RowRefusal::Attributes)
    } else if attributes.iter().any(|(k, v)| too_long(k) || too_long(v)) {
        Some(RowRefusal::AttributeBytes)
    } else if row.zones.len() > limits::LEAD_ZONES {
        Some(RowRefusal::Zones)
    } else {
        None
    }
}
