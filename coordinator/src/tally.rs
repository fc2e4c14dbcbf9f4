//! Counts over call records, kept as records come, so that no figure needs a scan.

use crate::lift::Lifts;
use domain::{CallRecord, CampaignId, Disposition, MemberId, WallTime};
use std::{collections::BTreeMap, time::Duration};

/// Hours of answers remembered: the longest window of any rule pack and a day.
const HOURS: i64 = 32 * 24;
const HOUR: i64 = 3_600;

/// Counts of one campaign or one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Attempts whose INVITE left, or may have left.
    pub(crate) attempts: u64,
    /// Calls that persons made; not among the attempts.
    pub(crate) call_backs: u64,
    /// By the name of the disposition.
    pub(crate) dispositions: BTreeMap<String, u64>,
    /// By hour since the epoch: live answers, and those that nobody took.
    hours: BTreeMap<i64, (u64, u64)>,
}

impl Counts {
    fn add(&mut self, record: &CallRecord) {
        if record.call_back.is_some() {
            // Nobody was dialed: neither an attempt nor an answer of the budget's.
            self.call_backs += 1;
            return;
        }
        let lost = record.disposition == Disposition::Unknown;
        if record.invited_at.is_some() || lost {
            self.attempts += 1;
        }
        *self
            .dispositions
            .entry(record.disposition_name.clone())
            .or_default() += 1;
        let machine = matches!(
            record.disposition,
            Disposition::Machine | Disposition::Fax | Disposition::MessageLeft
        );
        if record.answered_at.is_some() && !machine {
            let hour = record.ended_at.as_secs().div_euclid(HOUR);
            let newest = self
                .hours
                .last_key_value()
                .map_or(hour, |(newest, _)| hour.max(*newest));
            self.hours = self.hours.split_off(&(newest - HOURS));
            if hour >= newest - HOURS {
                let counts = self.hours.entry(hour).or_default();
                counts.0 += 1;
                counts.1 += u64::from(record.disposition == Disposition::Abandoned);
            }
        }
    }

    /// Live answers of the last `window`, and those that were abandoned. Whole hours: at most one
    /// hour more than asked for.
    pub(crate) fn answers(&self, now: WallTime, window: Duration) -> (u64, u64) {
        let from = (now - window).as_secs().div_euclid(HOUR);
        let hours = self.hours.range(from..);
        hours.fold((0, 0), |sum, (_, counts)| {
            (sum.0 + counts.0, sum.1 + counts.1)
        })
    }
}

/// Counts of every campaign and node that has records.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    campaigns: BTreeMap<CampaignId, Counts>,
    nodes: BTreeMap<MemberId, Counts>,
    lifts: BTreeMap<CampaignId, Lifts>,
}

impl Tally {
    pub(crate) fn add(&mut self, record: &CallRecord) {
        self.campaigns
            .entry(record.campaign)
            .or_default()
            .add(record);
        self.nodes.entry(record.node).or_default().add(record);
        self.lifts.entry(record.campaign).or_default().add(record);
    }

    pub(crate) fn campaign(&self, id: CampaignId) -> Counts {
        self.campaigns.get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn lifts(&self, id: CampaignId) -> Lifts {
        self.lifts.get(&id).cloned().unwrap_or_default()
    }

    /// Answers of a node; see [`Counts::answers`].
    pub(crate) fn node_answers(&self, id: MemberId, now: WallTime, window: Duration) -> (u64, u64) {
        self.nodes
            .get(&id)
            .map_or((0, 0), |counts| counts.answers(now, window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::record;

    #[test]
    fn abandonment_counts_live_answers_of_the_window() {
        let mut tally = Tally::default();
        let day = 86_400_000;
        for (n, disposition, answered, days) in [
            (1, Disposition::Abandoned, true, 40),
            (2, Disposition::Abandoned, true, 1),
            (3, Disposition::Machine, true, 1),
            (4, Disposition::Busy, false, 1),
            (5, Disposition::NoAnswer, false, 0),
            (6, Disposition::Cancelled, true, 0),
        ] {
            let mut record = record(n);
            record.ended_at = WallTime::from_millis((100 - days) * day);
            record.answered_at = answered.then_some(record.ended_at);
            record.disposition = disposition;
            record.disposition_name = disposition.name().to_owned();
            tally.add(&record);
        }
        let mut called_back = record(7);
        called_back.call_back = Some(domain::CallBack {
            after: None,
            withheld: false,
            waited_ms: 0,
            end: domain::CallBackEnd::GaveUp,
        });
        called_back.ended_at = WallTime::from_millis(100 * day);
        called_back.answered_at = Some(called_back.ended_at);
        tally.add(&called_back);
        let now = WallTime::from_millis(100 * day);
        let counts = tally.campaign(CampaignId(1));
        assert_eq!((counts.attempts, counts.call_backs), (6, 1));
        assert_eq!(counts.dispositions["abandoned"], 2);
        assert_eq!(
            counts.answers(now, Duration::from_secs(30 * 86_400)),
            (2, 1)
        );
        assert_eq!(
            tally.node_answers(MemberId(2), now, Duration::from_secs(3600)),
            (1, 0)
        );
        assert_eq!(tally.campaign(CampaignId(9)), Counts::default());
    }
}
