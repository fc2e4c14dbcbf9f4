//! The coordinator that pulls do-not-call lists, makes bases of them, and folds what registries said
//! since into new ones: as `coordinator` does it, by its own copy of the directory, which may lag.

use crate::{
    defect::Defect,
    seen::Happening,
    world::{CAMPAIGNS, Event, REGION, World, number, voter_member},
};
use domain::*;
use ledger::{
    Change, DncLift, DncListChange, DncListObtained, DncListSettings, DncRemoval, NewDncBase,
    NewDncPart, Removal,
};
use permit::base::{BaseAbout, BaseLookup as _, MemoryBase};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The lists' names.
const LISTS: [&str; 2] = ["national", "state"];
/// How long it waits for what it proposed, in milliseconds.
const PATIENCE: u64 = 4_000;

/// What was last accepted of a list.
#[derive(Clone, Debug)]
struct Accepted {
    part: DncBaseId,
    numbers: BTreeSet<PhoneNumber>,
    at: WallTime,
}

/// What the coordinator keeps on its disk.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    accepted: BTreeMap<&'static str, Accepted>,
    /// What each base ought to have in it; the file itself may lack some where somebody was
    /// mistaken.
    pub(crate) contents: BTreeMap<DncBaseId, Arc<BTreeSet<PhoneNumber>>>,
    /// The base in use, once that is effective.
    pub(crate) effective: Option<DncBaseId>,
    /// Whether lists are pulled in this run: where they are, no base is made by hand for long.
    pub(crate) pulls: bool,
    /// A base that was made of another one, and is to be put into use.
    compacted: Option<DncBaseId>,
    quiet_until: u64,
}

impl Keeper {
    /// Whether a base ought to have a number.
    fn lists(&self, base: DncBaseId, number: PhoneNumber) -> bool {
        (self.contents.get(&base)).is_some_and(|numbers| numbers.contains(&number))
    }
}

/// What may be folded into a base: everywhere, on a registry's word.
fn folds(entry: &DncEntry) -> bool {
    entry.scope == DncScope::Mesh && entry.source == DncSource::Registry
}

impl World {
    /// Builds a base file that ought to have `numbers`.
    pub(crate) fn build_base(
        &mut self,
        source: String,
        numbers: BTreeSet<PhoneNumber>,
        built_at: WallTime,
        forgets: impl Fn(&PhoneNumber) -> bool,
    ) -> NewDncBase {
        let written = numbers.iter().copied().filter(|n| !forgets(n)).collect();
        let about = BaseAbout {
            source: source.clone(),
            built_at,
        };
        let base = MemoryBase::of(&written, about).expect("few numbers");
        let id = base.id();
        self.bases.insert(id, Arc::new(base));
        let count = numbers.len() as u64;
        self.keeper.contents.insert(id, Arc::new(numbers));
        NewDncBase {
            id,
            file_bytes: 4096,
            count,
            source,
            built_at,
        }
    }

    /// An administrator, a registry or a publisher does one of the things that need a base.
    pub(crate) fn change_registers(&mut self) {
        match self.random.below(12) {
            0..=2 => self.change_scoped_patterns(),
            3..=5 => self.change_lifts(),
            6 | 7 => self.registry_says(),
            8 | 9 => self.compact(),
            _ if self.keeper.pulls => self.pull(),
            _ => self.change_base(),
        }
    }

    /// A registry's changes are imported; some of them are old enough to be dropped for a base.
    fn registry_says(&mut self) {
        let now = WallTime::from_millis(self.true_wall());
        let add = (0..3).map(|_| {
            let old = self.random.permille(600);
            let n = u64::from(self.random.below(self.options.numbers as u32));
            DncEntry {
                number: number(n),
                scope: DncScope::Mesh,
                source: DncSource::Registry,
                added_at: match old {
                    true => now - limits::DNC_SETTLED_AFTER,
                    false => now,
                },
            }
        });
        let change = Change::ChangeDnc {
            add: add.collect(),
            remove: Vec::new(),
            reason: String::new(),
        };
        self.administrator(change);
    }

    /// A pattern of one campaign or of the region comes or goes.
    fn change_scoped_patterns(&mut self) {
        let now = WallTime::from_millis(self.true_wall());
        let known: Vec<_> = (self.directory.witness.scoped_patterns())
            .map(|(pattern, scope, index)| (pattern.prefix, scope, index))
            .collect();
        // More go than come, or soon nobody could be dialed.
        let goes = !known.is_empty() && self.chance(600);
        let change = if goes {
            let (key, scope, index) = known[self.random.below(known.len() as u32) as usize];
            Change::ChangeScopedPatterns {
                scope,
                add: Vec::new(),
                remove: vec![Removal { key, index }],
                reason: "a test".into(),
            }
        } else {
            let scopes = [
                DncScope::Campaign(CAMPAIGNS[0]),
                DncScope::Campaign(CAMPAIGNS[1]),
                DncScope::Region(REGION),
            ];
            // Often the same numbers, in several scopes.
            let among = if self.chance(500) {
                10
            } else {
                self.options.numbers
            };
            let digits = number(self.millis(among)).digits();
            let prefix = Prefix::from_digits(digits / 10).expect("ten digits");
            Change::ChangeScopedPatterns {
                scope: scopes[self.random.below(3) as usize],
                add: vec![DncPattern {
                    prefix,
                    source: DncSource::Admin,
                    reason: "a test".into(),
                    added_at: now,
                }],
                remove: Vec::new(),
                reason: String::new(),
            }
        };
        self.administrator(change);
    }

    /// A number is lifted from the base in use, or a lift is taken back.
    fn change_lifts(&mut self) {
        let now = WallTime::from_millis(self.true_wall());
        let directory = &self.directory.witness;
        let known: Vec<_> = (directory.dnc_lifts())
            .map(|(lift, index)| (lift.number, index))
            .collect();
        let in_use = directory.dnc_base_in_use();
        let listed: Vec<PhoneNumber> = (in_use.and_then(|id| self.keeper.contents.get(&id)))
            .map(|numbers| numbers.iter().copied().collect())
            .unwrap_or_default();
        let back = !known.is_empty() && self.chance(450);
        let change = if back {
            let (key, index) = known[self.random.below(known.len() as u32) as usize];
            Change::ChangeLifts {
                add: Vec::new(),
                remove: vec![Removal { key, index }],
            }
        } else {
            let lifted = match listed.len() as u32 {
                0 => number(self.millis(self.options.numbers)),
                n => listed[self.random.below(n) as usize],
            };
            Change::ChangeLifts {
                add: vec![DncLift {
                    number: lifted,
                    reason: "a test".into(),
                    lifted_at: now,
                }],
                remove: Vec::new(),
            }
        };
        self.administrator(change);
    }

    /// A new base from the one in use and what registries said since.
    fn compact(&mut self) {
        let directory = self.directory.replica(0);
        let room = directory.dnc_bases().count() < limits::DNC_BASES;
        let Some(from) =
            (directory.dnc_base_in_use()).filter(|id| room && directory.dnc_parts(*id).is_empty())
        else {
            return;
        };
        let (Some(known), Some(described)) =
            (self.keeper.contents.get(&from), directory.dnc_base(from))
        else {
            return;
        };
        let index = directory.applied();
        // Its list is as old as it was.
        let built_at = described.base.built_at;
        let added = (directory.dnc()).filter(|fact| folds(&fact.entry));
        let added: BTreeSet<PhoneNumber> = added.map(|fact| fact.entry.number).collect();
        if added.is_subset(known) {
            return;
        }
        self.checkers.seen.saw(Happening::Compactions);
        let forgets = self.options.has(Defect::CompactionForgets);
        let old = known.clone();
        let numbers = known.union(&added).copied().collect();
        let source = format!("a registry (with {} since)", added.len());
        let base = self.build_base(source, numbers, built_at, |number| {
            forgets && old.contains(number) && !added.contains(number)
        });
        self.keeper.compacted = Some(base.id);
        self.administrator(Change::StageCompactedDncBase { base, from, index });
    }

    /// A publisher's list is pulled: it is another one, or it is confirmed.
    fn pull(&mut self) {
        self.saw(Happening::ListsPulled);
        let at = WallTime::from_millis(self.true_wall());
        let name = LISTS[self.random.below(LISTS.len() as u32) as usize];
        let confirms = self.chance(200);
        if let Some(known) = self.keeper.accepted.get_mut(name).filter(|_| confirms) {
            known.at = at;
            return;
        }
        let numbers = (0..self.options.numbers).filter(|_| self.random.permille(120));
        // A list has numbers; one that nobody has as a lead does no harm.
        let numbers: BTreeSet<_> = numbers
            .chain([8_500 + at.as_millis() as u64 % 500])
            .collect();
        let numbers: BTreeSet<_> = numbers.into_iter().map(number).collect();
        let about = BaseAbout {
            source: name.into(),
            built_at: at,
        };
        let part = MemoryBase::of(&numbers, about).expect("few numbers").id();
        let accepted = Accepted { part, numbers, at };
        self.keeper.accepted.insert(name, accepted);
    }

    /// The coordinator looks at what is to be done. Its process is that of the first voter.
    pub(crate) fn keeper_looks(&mut self) {
        if self.closing() {
            return;
        }
        let next = 1_500 + self.millis(3_000);
        self.after(next, Event::Keeper);
        if self.voters[0].paused_until > self.now || self.keeper.quiet_until > self.now {
            return;
        }
        let change = self.lists_due();
        let change = change.or_else(|| self.compacted_held());
        let change = change.or_else(|| self.settles());
        if let Some(change) = change.or_else(|| self.idle_lifts()) {
            self.keeper.quiet_until = self.now + PATIENCE;
            self.administrator(change);
        }
    }

    /// Brings the base in use in line with what was accepted of lists.
    fn lists_due(&mut self) -> Option<Change> {
        let directory = self.directory.replica(0);
        for (name, accepted) in &self.keeper.accepted {
            let change = match directory.dnc_list(name) {
                None => DncListChange::Declare {
                    settings: Box::new(DncListSettings {
                        from: format!("https://example.com/{name}"),
                        every: limits::DNC_LIST_EVERY_MIN,
                        country: None,
                        max_age: limits::DNC_LIST_AGE_MAX,
                        shrink_permille: 1000,
                        invalid_permille: 0,
                    }),
                    kept_by: voter_member(0),
                },
                Some(list)
                    if list.obtained.is_none_or(|o| {
                        o.part != accepted.part || o.at + Duration::from_secs(60) < accepted.at
                    }) =>
                {
                    DncListChange::Obtained(DncListObtained {
                        part: accepted.part,
                        numbers: accepted.numbers.len() as u64,
                        at: accepted.at,
                    })
                }
                Some(_) => continue,
            };
            let name = (*name).to_owned();
            return Some(Change::ChangeDncList { name, change });
        }
        let wanted: Vec<NewDncPart> = (self.keeper.accepted.iter())
            .map(|(list, accepted)| NewDncPart {
                list: (*list).to_owned(),
                part: accepted.part,
            })
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let same = |id| {
            let parts = directory.dnc_parts(id);
            parts.len() == wanted.len()
                && (parts.iter().zip(&wanted)).all(|(a, b)| a.list == b.list && a.part == b.part)
        };
        let in_use = directory.dnc_base_in_use();
        if in_use.is_some_and(same) {
            return None;
        }
        let known = directory.dnc_bases().map(|staged| staged.base.id);
        let known: Vec<DncBaseId> = known.collect();
        if let Some(id) = known.iter().copied().find(|id| same(*id)) {
            // One that was not made of lists has more in it, perhaps: somebody decides.
            let by_hand = in_use.is_some_and(|id| directory.dnc_parts(id).is_empty());
            return (!by_hand).then(|| Change::UseDncBase {
                id: Some(id),
                force: false,
                reason: "made of lists as they were pulled".into(),
            });
        }
        let old = known
            .iter()
            .copied()
            .find(|id| !directory.dnc_parts(*id).is_empty() && in_use != Some(*id));
        if let Some(id) = old {
            return Some(Change::DropDncBase { id });
        }
        if known.len() == limits::DNC_BASES {
            return None;
        }
        self.union(wanted)
    }

    /// A base that was made of another one is put into use once every node holds it.
    fn compacted_held(&mut self) -> Option<Change> {
        let id = self.keeper.compacted?;
        let directory = self.directory.replica(0);
        let held = directory.dnc_base(id)?.holders.len();
        if held < self.nodes.len() {
            return None;
        }
        self.keeper.compacted = None;
        Some(Change::UseDncBase {
            id: Some(id),
            force: false,
            reason: "with what registries said since".into(),
        })
    }

    /// One base of all lists, as old as the oldest of them.
    fn union(&mut self, parts: Vec<NewDncPart>) -> Option<Change> {
        let accepted = &self.keeper.accepted;
        let built_at = accepted.values().map(|accepted| accepted.at).min()?;
        let all = accepted.values().flat_map(|accepted| &accepted.numbers);
        let all: BTreeSet<PhoneNumber> = all.copied().collect();
        let first = accepted.values().next()?.numbers.clone();
        let leaves_out = self.options.has(Defect::ListLeftOut);
        let source = format!("lists {}", parts.len());
        let base = self.build_base(source, all, built_at, |number| {
            leaves_out && !first.contains(number)
        });
        Some(Change::StageDncBaseOfLists { base, parts })
    }

    /// Drops what registries said that the base in use has in it and that is old enough.
    fn settles(&mut self) -> Option<Change> {
        let directory = self.directory.replica(0);
        let base = directory.dnc_base_in_use()?;
        if self.keeper.effective != Some(base) {
            return None;
        }
        let now = WallTime::from_millis(self.true_wall());
        let asks = !self.options.has(Defect::SettlesUnlisted);
        let remove: Vec<DncRemoval> = (directory.dnc())
            .filter(|fact| folds(&fact.entry))
            .filter(|fact| fact.entry.added_at + limits::DNC_SETTLED_AFTER <= now)
            .filter(|fact| !asks || self.keeper.lists(base, fact.entry.number))
            .map(|fact| DncRemoval {
                number: fact.entry.number,
                scope: fact.entry.scope,
                index: fact.index,
            })
            .collect();
        (!remove.is_empty()).then_some(Change::SettleDnc { base, remove })
    }

    /// Forgets lifts of numbers that the base in use does not have any more.
    fn idle_lifts(&mut self) -> Option<Change> {
        let directory = self.directory.replica(0);
        let base = directory.dnc_base_in_use()?;
        let idle: Vec<_> = (directory.dnc_lifts())
            .filter(|(lift, _)| !self.keeper.lists(base, lift.number))
            .map(|(lift, index)| Removal {
                key: lift.number,
                index,
            })
            .collect();
        (!idle.is_empty()).then_some(Change::ChangeLifts {
            add: Vec::new(),
            remove: idle,
        })
    }
}
