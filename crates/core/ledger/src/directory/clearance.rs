//! Patterns and freezes: what else decides whether a number may be dialed.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{
    ClearanceFact, DncPattern, Freeze, PhoneNumber, Prefix, SharedMap, SharedSet, Target, WallTime,
    limits,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

type Done = Result<DirectoryReply, Rejection>;

/// An entry, with the index that added or renewed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row<T> {
    index: u64,
    value: T,
}

/// The directory's patterns and freezes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ClearanceBook {
    patterns: BTreeMap<Prefix, Row<DncPattern>>,
    freezes: SharedMap<Target, Row<Freeze>>,
    /// Freezes by their end.
    ends: SharedSet<(WallTime, Target)>,
}

/// The removal of exactly one entry: of one added later it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal<K> {
    /// Which.
    pub key: K,
    /// The index that added it, as the directory told.
    pub index: u64,
}

impl ClearanceBook {
    /// What an empty one, and an empty [`super::consents::ConsentBook`] after it, are encoded as.
    pub(super) const EMPTY: [u8; 7] = [0; 7];

    fn freeze(&mut self, freeze: Freeze, index: u64) -> bool {
        let (target, until) = (freeze.target, freeze.until);
        let row = Row {
            index,
            value: freeze,
        };
        let old = self.freezes.insert(target, row);
        if let Some(old) = &old {
            self.ends.remove(&(old.value.until, target));
        }
        self.ends.insert((until, target), ());
        old.is_none()
    }

    fn lift(&mut self, target: Target) {
        if let Some(row) = self.freezes.remove(&target) {
            self.ends.remove(&(row.value.until, target));
        }
    }

    /// Forgets freezes whose end is long past.
    pub(super) fn expire(&mut self, clock: WallTime, facts: &mut Vec<Fact>) {
        let mut gone = Vec::new();
        while let Some((&(until, target), ())) = self.ends.first_key_value() {
            if until + limits::FREEZE_KEPT > clock || gone.len() == limits::DNC_BATCH {
                break;
            }
            self.lift(target);
            gone.push(ClearanceFact::Freeze(target, None));
        }
        if !gone.is_empty() {
            facts.push(Fact::Clearance(gone));
        }
    }

    fn facts(&self) -> impl Iterator<Item = ClearanceFact> {
        let patterns = (self.patterns.keys()).map(|prefix| ClearanceFact::Pattern(*prefix, true));
        let freezes = (self.freezes.iter())
            .map(|(target, row)| ClearanceFact::Freeze(*target, Some(row.value.until)));
        patterns.chain(freezes)
    }
}

impl Directory {
    /// Every do-not-call pattern, with the index that added it.
    pub fn dnc_patterns(&self) -> impl Iterator<Item = (&DncPattern, u64)> {
        (self.clearance.patterns.values()).map(|row| (&row.value, row.index))
    }

    /// A do-not-call pattern, with the index that added it.
    pub fn dnc_pattern(&self, prefix: Prefix) -> Option<(&DncPattern, u64)> {
        (self.clearance.patterns.get(&prefix)).map(|row| (&row.value, row.index))
    }

    /// Every freeze, with the index that added it; some have just ended.
    pub fn freezes(&self) -> impl Iterator<Item = (&Freeze, u64)> {
        (self.clearance.freezes.values()).map(|row| (&row.value, row.index))
    }

    /// The freeze of exactly this number or pattern, with the index that added it.
    pub fn freeze_of(&self, target: Target) -> Option<(&Freeze, u64)> {
        (self.clearance.freezes.get(&target)).map(|row| (&row.value, row.index))
    }

    /// The shortest do-not-call pattern for everywhere that covers a number.
    pub fn dnc_pattern_of(&self, number: PhoneNumber) -> Option<Prefix> {
        (1..=Prefix::DIGITS)
            .filter_map(|len| Prefix::of(number, len))
            .find(|prefix| self.clearance.patterns.contains_key(prefix))
    }

    /// The freezes that hold for a number at `wall`: its own, and those of patterns.
    pub fn freezes_of(&self, number: PhoneNumber, wall: WallTime) -> impl Iterator<Item = &Freeze> {
        let prefixes = (1..=Prefix::DIGITS).filter_map(move |len| Prefix::of(number, len));
        (prefixes.map(Target::Prefix))
            .chain([Target::Number(number)])
            .filter_map(|target| self.clearance.freezes.get(&target))
            .map(|row| &row.value)
            .filter(move |freeze| freeze.until > wall)
    }

    /// Everything that [`domain::Clearance`] is made of.
    pub fn clearance_facts(&self) -> impl Iterator<Item = ClearanceFact> {
        let consents = self.consents.facts(&self.withdrawals);
        (self.clearance.facts().chain(consents)).chain(self.exceptions.facts())
    }

    pub(super) fn change_patterns(
        &mut self,
        add: Vec<DncPattern>,
        remove: &[Removal<Prefix>],
        reason: &str,
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::room("add", 0, add.len(), limits::DNC_BATCH)?;
        checks::room("remove", 0, remove.len(), limits::DNC_BATCH)?;
        if !remove.is_empty() {
            checks::name("reason", reason)?;
        }
        for pattern in &add {
            checks::name("add.reason", &pattern.reason)?;
        }
        let known = &self.clearance.patterns;
        let new: BTreeSet<Prefix> = (add.iter().map(|pattern| pattern.prefix))
            .filter(|prefix| !known.contains_key(prefix))
            .collect();
        checks::room("patterns", known.len(), new.len(), limits::DNC_PATTERNS)?;
        let index = self.applied;
        let (mut told, mut kept) = (Vec::new(), 0);
        for pattern in add {
            let prefix = pattern.prefix;
            let row = Row {
                index,
                value: pattern,
            };
            self.clearance.patterns.insert(prefix, row);
            told.push(ClearanceFact::Pattern(prefix, true));
        }
        let mut removed = 0;
        for removal in remove {
            let known = self.clearance.patterns.get(&removal.key);
            if known.is_some_and(|row| row.index == removal.index && row.index < index) {
                self.clearance.patterns.remove(&removal.key);
                told.push(ClearanceFact::Pattern(removal.key, false));
                removed += 1;
            } else {
                kept += 1;
            }
        }
        Ok(self.cleared(new.len() as u32, removed, kept, told, facts))
    }

    pub(super) fn change_freezes(
        &mut self,
        add: Vec<Freeze>,
        lift: &[Removal<Target>],
        reason: &str,
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::room("add", 0, add.len(), limits::DNC_BATCH)?;
        checks::room("lift", 0, lift.len(), limits::DNC_BATCH)?;
        if !lift.is_empty() {
            checks::name("reason", reason)?;
        }
        for freeze in &add {
            checks::name("add.reason", &freeze.reason)?;
            checks::name("add.source", &freeze.source)?;
            if freeze.until <= self.clock {
                return Err(Rejection::new("add.until", "is not in the future"));
            }
            if freeze.until > self.clock + limits::FREEZE_MAX {
                let why = "is over a year away; what must rest for longer belongs on do-not-call";
                let most = limits::FREEZE_MAX.as_secs();
                return Err(Rejection::over("add.until", why, most));
            }
        }
        let known = &self.clearance.freezes;
        let new: BTreeSet<Target> = (add.iter().map(|freeze| freeze.target))
            .filter(|target| !known.contains_key(target))
            .collect();
        checks::room("freezes", known.len(), new.len(), limits::FREEZES)?;
        let index = self.applied;
        let (mut told, mut kept, mut added, mut removed) = (Vec::new(), 0, 0, 0);
        for freeze in add {
            told.push(ClearanceFact::Freeze(freeze.target, Some(freeze.until)));
            added += u32::from(self.clearance.freeze(freeze, index));
        }
        for removal in lift {
            let known = self.clearance.freezes.get(&removal.key);
            if known.is_some_and(|row| row.index == removal.index && row.index < index) {
                self.clearance.lift(removal.key);
                told.push(ClearanceFact::Freeze(removal.key, None));
                removed += 1;
            } else {
                kept += 1;
            }
        }
        Ok(self.cleared(added, removed, kept, told, facts))
    }

    pub(super) fn cleared(
        &mut self,
        added: u32,
        removed: u32,
        kept: u32,
        told: Vec<ClearanceFact>,
        facts: &mut Vec<Fact>,
    ) -> DirectoryReply {
        let index = self.applied;
        if !told.is_empty() {
            self.dnc_index = index;
            facts.push(Fact::Clearance(told));
        }
        DirectoryReply::Clearance {
            index,
            added,
            removed,
            kept,
        }
    }
}
