//! What local numbers are worth to a campaign: dials with and without one, told apart by lot, by region.

use dialmesh_http::dto::{LiftArm, LiftOfRegion, LocalPresence};
use domain::{Arm, CallRecord, Disposition, RegionId};
use numbering::{Answered, LIFT_DIALS, compare};
use std::collections::BTreeMap;

/// What is counted of one region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Arms {
    local: Answered,
    held_out: Answered,
}

/// Dials of one campaign, as records came; at most one row a region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifts {
    regions: BTreeMap<RegionId, Arms>,
    /// Dials that no lot was drawn for.
    aside: u64,
}

/// Whether a dial is counted, and whether a person answered it. What the carrier or a crash decided, or
/// we did before anybody could answer, says nothing of the number.
fn answered(record: &CallRecord) -> Option<bool> {
    let by_us = record.disposition == Disposition::Cancelled && record.answered_at.is_none();
    match record.disposition {
        Disposition::CarrierFailure | Disposition::TrunkFailure | Disposition::Unknown => None,
        _ if by_us || record.invited_at.is_none() || record.call_back.is_some() => None,
        Disposition::Machine | Disposition::Fax | Disposition::MessageLeft => Some(false),
        _ => Some(record.answered_at.is_some()),
    }
}

impl Lifts {
    pub(crate) fn add(&mut self, record: &CallRecord) {
        let (Some(presence), Some(answered)) = (record.presence, answered(record)) else {
            return;
        };
        let Some(arm) = presence.trial else {
            self.aside += 1;
            return;
        };
        let arms = self.regions.entry(record.region).or_default();
        let counts = match arm {
            Arm::Local => &mut arms.local,
            Arm::HeldOut => &mut arms.held_out,
        };
        counts.dials += 1;
        counts.answers += u64::from(answered);
    }

    /// In words; none while nothing is held out and nothing was. `name` says what a region is called.
    pub(crate) fn told(
        &self,
        hold_out_percent: u8,
        name: impl Fn(RegionId) -> String,
    ) -> Option<LocalPresence> {
        if hold_out_percent == 0 && self.regions.is_empty() {
            return None;
        }
        let mut all = Arms::default();
        for arms in self.regions.values() {
            for (sum, one) in [
                (&mut all.local, arms.local),
                (&mut all.held_out, arms.held_out),
            ] {
                sum.dials += one.dials;
                sum.answers += one.answers;
            }
        }
        let regions = self.regions.iter();
        Some(LocalPresence {
            hold_out_percent,
            regions: regions
                .map(|(id, arms)| row(Some(*id), name(*id), *arms))
                .collect(),
            all: row(None, "all".to_owned(), all),
            not_compared: self.aside,
            least_dials: LIFT_DIALS,
            method: "difference of shares, 95 % interval by Newcombe's hybrid score method"
                .to_owned(),
        })
    }
}

/// In percent, to a hundredth.
fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

fn arm(counts: Answered) -> LiftArm {
    LiftArm {
        dials: counts.dials,
        answers: counts.answers,
        percent: counts.share().map(percent),
    }
}

fn row(region: Option<RegionId>, name: String, arms: Arms) -> LiftOfRegion {
    let found = compare(arms.local, arms.held_out);
    let lift = found.lift();
    LiftOfRegion {
        region,
        name,
        local: arm(arms.local),
        held_out: arm(arms.held_out),
        lift_points: lift.map(|lift| percent(lift.difference)),
        low_points: lift.map(|lift| percent(lift.low)),
        high_points: lift.map(|lift| percent(lift.high)),
        local_is_answered: found.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::record;
    use domain::Presence;

    fn dial(
        region: u16,
        trial: Option<Arm>,
        disposition: Disposition,
        answered: bool,
    ) -> CallRecord {
        let mut record = record(1);
        record.region = RegionId(region);
        record.disposition = disposition;
        record.answered_at = answered.then_some(record.ended_at);
        record.presence = Some(Presence {
            local: trial != Some(Arm::HeldOut),
            trial,
        });
        record
    }

    fn told(lifts: &Lifts) -> LocalPresence {
        (lifts.told(10, |id| id.to_string())).expect("a share is held out")
    }

    #[test]
    fn each_region_has_its_own_interval_and_says_where_it_cannot_tell() {
        let (mut lifts, busy) = (Lifts::default(), Disposition::Busy);
        let met = Disposition::Agent(domain::DispositionCode(0));
        // Newcombe's first example: 56 of 70, 48 of 80.
        for (trial, answers, dials) in [(Arm::Local, 56, 70), (Arm::HeldOut, 48, 80)] {
            for n in 0..dials {
                let answered = n < answers;
                let disposition = if answered { met } else { busy };
                lifts.add(&dial(1, Some(trial), disposition, answered));
            }
        }
        for _ in 0..29 {
            lifts.add(&dial(2, Some(Arm::Local), met, true));
            lifts.add(&dial(2, Some(Arm::HeldOut), busy, false));
        }
        let report = told(&lifts);
        let [first, second] = &report.regions[..] else {
            panic!("{report:?}");
        };
        assert_eq!(
            (first.lift_points, first.low_points, first.high_points),
            (Some(20.0), Some(5.24), Some(33.39))
        );
        assert_eq!(first.local_is_answered, "more");
        assert_eq!((first.local.dials, first.local.percent), (70, Some(80.0)));
        assert_eq!(second.local_is_answered, "too_few");
        assert_eq!((second.lift_points, second.held_out.dials), (None, 29));
        assert_eq!(
            (report.all.local.dials, report.all.held_out.answers),
            (99, 48)
        );
    }

    #[test]
    fn what_says_nothing_of_the_number_is_not_counted() {
        let mut lifts = Lifts::default();
        let local = Some(Arm::Local);
        assert_eq!(lifts.told(0, |id| id.to_string()), None);
        for (disposition, answered) in [
            (Disposition::CarrierFailure, false),
            (Disposition::TrunkFailure, false),
            (Disposition::Unknown, false),
            (Disposition::Cancelled, false),
        ] {
            lifts.add(&dial(1, local, disposition, answered));
        }
        assert_eq!(told(&lifts).regions, []);
        // Dials of releases before say nothing of their number.
        let mut before = dial(1, local, Disposition::Busy, false);
        before.presence = None;
        lifts.add(&before);
        assert_eq!(told(&lifts).regions, []);
        lifts.add(&dial(1, None, Disposition::Busy, false));
        // A machine is not an answer; who was let down did answer.
        lifts.add(&dial(1, local, Disposition::Machine, true));
        lifts.add(&dial(1, local, Disposition::Abandoned, true));
        let report = told(&lifts);
        assert_eq!((report.not_compared, report.all.local.dials), (1, 2));
        assert_eq!(
            (report.all.local.answers, report.all.held_out.percent),
            (1, None)
        );
        // Taken back, it is still told.
        assert!(lifts.told(0, |id| id.to_string()).is_some());
    }
}
