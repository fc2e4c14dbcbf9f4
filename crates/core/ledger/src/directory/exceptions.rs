//! What holds for a part only: patterns of one campaign or region, and numbers of a do-not-call base
//! that may be dialed all the same.

use super::{Directory, DirectoryReply, Fact, Rejection, Removal, checks};
use domain::{
    CampaignId, ClearanceFact, DncPattern, DncScope, PhoneNumber, Prefix, RegionId, SharedMap,
    WallTime, limits,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

type Done = Result<DirectoryReply, Rejection>;

/// A number that may be dialed although the do-not-call base in use has it. An entry for the number
/// still forbids it, whichever came first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncLift {
    /// The number.
    pub number: PhoneNumber,
    /// Why.
    pub reason: String,
    /// When it was asked.
    pub lifted_at: WallTime,
}

/// An entry, with the index that added or renewed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row<T> {
    index: u64,
    value: T,
}

/// The directory's exceptions. Since version 5.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ExceptionBook {
    patterns: BTreeMap<(Prefix, DncScope), Row<DncPattern>>,
    lifts: SharedMap<PhoneNumber, Row<DncLift>>,
}

impl ExceptionBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 2] = [0; 2];

    pub(super) fn facts(&self) -> impl Iterator<Item = ClearanceFact> {
        let patterns = (self.patterns.keys())
            .map(|(prefix, scope)| ClearanceFact::ScopedPattern(*prefix, *scope, true));
        patterns.chain((self.lifts.keys()).map(|number| ClearanceFact::Lift(*number, true)))
    }
}

impl Directory {
    /// Every do-not-call pattern of one campaign or region, with the index that added it.
    pub fn scoped_patterns(&self) -> impl Iterator<Item = (&DncPattern, DncScope, u64)> {
        (self.exceptions.patterns.iter()).map(|((_, scope), row)| (&row.value, *scope, row.index))
    }

    /// A do-not-call pattern of exactly this scope, with the index that added it.
    pub fn pattern_in(&self, prefix: Prefix, scope: DncScope) -> Option<(&DncPattern, u64)> {
        match scope {
            DncScope::Mesh => self.dnc_pattern(prefix),
            _ => {
                (self.exceptions.patterns.get(&(prefix, scope))).map(|row| (&row.value, row.index))
            }
        }
    }

    /// The shortest do-not-call pattern that forbids an attempt at a number of that region for that
    /// campaign.
    pub fn dnc_pattern_for(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        region: RegionId,
    ) -> Option<Prefix> {
        let scopes = [DncScope::Campaign(campaign), DncScope::Region(region)];
        let known = &self.exceptions.patterns;
        let scoped = (1..=Prefix::DIGITS)
            .filter_map(|len| Prefix::of(number, len))
            .find(|prefix| {
                scopes
                    .iter()
                    .any(|scope| known.contains_key(&(*prefix, *scope)))
            });
        let whole = self.dnc_pattern_of(number);
        (whole.into_iter().chain(scoped)).min_by_key(|prefix| prefix.len())
    }

    /// Every number of a base that may be dialed all the same, with the index that added it.
    pub fn dnc_lifts(&self) -> impl Iterator<Item = (&DncLift, u64)> {
        (self.exceptions.lifts.values()).map(|row| (&row.value, row.index))
    }

    /// Whether and why a number may be dialed although the base in use has it.
    pub fn dnc_lift(&self, number: PhoneNumber) -> Option<(&DncLift, u64)> {
        (self.exceptions.lifts.get(&number)).map(|row| (&row.value, row.index))
    }

    fn check_scope(&self, scope: DncScope) -> Result<(), Rejection> {
        match scope {
            DncScope::Mesh => Ok(()),
            DncScope::Campaign(id) => checks::known("scope", id, self.campaigns.contains_key(&id)),
            DncScope::Region(id) => checks::known("scope", id, self.regions.contains_key(&id)),
        }
    }

    pub(super) fn change_scoped_patterns(
        &mut self,
        scope: DncScope,
        add: Vec<DncPattern>,
        remove: &[Removal<Prefix>],
        reason: &str,
        facts: &mut Vec<Fact>,
    ) -> Done {
        if scope == DncScope::Mesh {
            return self.change_patterns(add, remove, reason, facts);
        }
        checks::room("add", 0, add.len(), limits::DNC_BATCH)?;
        checks::room("remove", 0, remove.len(), limits::DNC_BATCH)?;
        if !remove.is_empty() {
            checks::name("reason", reason)?;
        }
        for pattern in &add {
            checks::name("add.reason", &pattern.reason)?;
        }
        if !add.is_empty() {
            self.check_scope(scope)?;
        }
        let known = &mut self.exceptions.patterns;
        let new: BTreeSet<Prefix> = (add.iter().map(|pattern| pattern.prefix))
            .filter(|prefix| !known.contains_key(&(*prefix, scope)))
            .collect();
        checks::room("patterns", known.len(), new.len(), limits::DNC_PATTERNS)?;
        let index = self.applied;
        let (mut told, mut removed, mut kept) = (Vec::new(), 0, 0);
        for pattern in add {
            let prefix = pattern.prefix;
            let row = Row {
                index,
                value: pattern,
            };
            known.insert((prefix, scope), row);
            told.push(ClearanceFact::ScopedPattern(prefix, scope, true));
        }
        for removal in remove {
            let key = (removal.key, scope);
            let named = |row: &Row<_>| row.index == removal.index && row.index < index;
            if known.get(&key).is_some_and(named) {
                known.remove(&key);
                told.push(ClearanceFact::ScopedPattern(removal.key, scope, false));
                removed += 1;
            } else {
                kept += 1;
            }
        }
        Ok(self.cleared(new.len() as u32, removed, kept, told, facts))
    }

    pub(super) fn change_lifts(
        &mut self,
        add: Vec<DncLift>,
        remove: &[Removal<PhoneNumber>],
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::room("add", 0, add.len(), limits::DNC_BATCH)?;
        checks::room("remove", 0, remove.len(), limits::DNC_BATCH)?;
        for lift in &add {
            checks::name("add.reason", &lift.reason)?;
        }
        let known = &mut self.exceptions.lifts;
        let new: BTreeSet<PhoneNumber> = (add.iter().map(|lift| lift.number))
            .filter(|number| !known.contains_key(number))
            .collect();
        checks::room("lifts", known.len(), new.len(), limits::DNC_LIFTS)?;
        let index = self.applied;
        let (mut told, mut removed, mut kept) = (Vec::new(), 0, 0);
        for lift in add {
            let number = lift.number;
            known.insert(number, Row { index, value: lift });
            told.push(ClearanceFact::Lift(number, true));
        }
        for removal in remove {
            let named = |row: &Row<_>| row.index == removal.index && row.index < index;
            if known.get(&removal.key).is_some_and(named) {
                known.remove(&removal.key);
                told.push(ClearanceFact::Lift(removal.key, false));
                removed += 1;
            } else {
                kept += 1;
            }
        }
        Ok(self.cleared(new.len() as u32, removed, kept, told, facts))
    }
}
