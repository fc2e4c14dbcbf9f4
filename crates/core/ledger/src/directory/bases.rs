//! Do-not-call bases: files of national size that the directory names by their hash.

use super::{
    Directory, DirectoryEvent, DirectoryReply, Fact, NewDncBase, Rejection, StagedDncBase, checks,
};
use crate::region::DncRemoval;
use domain::{DncBaseId, DncScope, DncSource, MemberId, MemberRole, WallTime, limits};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

type Done = Result<DirectoryReply, Rejection>;

/// From what a base was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    /// All of this one is in it, and what registries said since.
    from: DncBaseId,
    /// The directory's index of which the entries that went into it were true.
    index: u64,
}

/// Where entries of registries have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    /// Into this base: it, or one made from it, has them all.
    base: DncBaseId,
    /// When the last of them was added.
    until: WallTime,
}

/// What keeps numbers from getting lost between bases and entries, and from coming back.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct BaseHistory {
    /// Bases of the table that were made from others.
    made: BTreeMap<DncBaseId, Made>,
    settled: Option<Settled>,
    /// Index of the last removal of an entry for everywhere.
    taken_back: u64,
}

impl BaseHistory {
    /// What an empty one is encoded as.
    pub(super) const EMPTY: [u8; 3] = [0; 3];

    /// Whether `id` is `from` or was made from it, over however many steps.
    fn holds_all_of(&self, id: DncBaseId, from: DncBaseId) -> bool {
        let mut at = Some(id);
        // A base's name is a hash of what is in it, so there is no way round; the bound is for the
        // reader.
        for _ in 0..=self.made.len() {
            match at {
                Some(at) if at == from => return true,
                Some(here) => at = self.made.get(&here).map(|made| made.from),
                None => return false,
            }
        }
        at == Some(from)
    }

    /// Forgets a base; those made from it were then made from what it was made from.
    fn forget(&mut self, id: DncBaseId) {
        if let Some(gone) = self.made.remove(&id) {
            for made in self.made.values_mut().filter(|made| made.from == id) {
                made.from = gone.from;
            }
        }
    }

    /// An entry for everywhere was removed.
    pub(super) const fn took_back(&mut self, index: u64) {
        self.taken_back = index;
    }
}

impl Directory {
    pub(super) fn stage_base(&mut self, base: NewDncBase) -> Done {
        checks::name("base.source", &base.source)?;
        if base.count == 0 {
            return Err(Rejection::new("base.count", "is 0; a base has numbers"));
        }
        if base.count > limits::DNC_BASE_NUMBERS {
            let why = format!("is {}", base.count);
            return Err(Rejection::over("base.count", why, limits::DNC_BASE_NUMBERS));
        }
        // Said again after a lost answer.
        if let Some(known) = self.bases.get(&base.id) {
            return if known.base == base {
                Ok(DirectoryReply::Done)
            } else {
                let why = format!("{} is known already, and described otherwise", base.id);
                Err(Rejection::new("base", why))
            };
        }
        checks::room("bases", self.bases.len(), 1, limits::DNC_BASES)?;
        let staged = StagedDncBase {
            staged_at: self.clock,
            holders: BTreeSet::new(),
            base,
        };
        self.bases.insert(staged.base.id, staged);
        Ok(DirectoryReply::Done)
    }

    /// A base that was made from another and the registries' entries.
    pub(super) fn stage_compacted_base(
        &mut self,
        base: NewDncBase,
        from: DncBaseId,
        index: u64,
    ) -> Done {
        if base.id == from {
            return Err(Rejection::new("from", "is the base itself"));
        }
        if index > self.applied {
            return Err(Rejection::new("index", "is yet to come"));
        }
        let id = base.id;
        let done = self.stage_base(base)?;
        // Made again, with the same in it: what was taken back before is not in it.
        let made = (self.history.made.entry(id)).or_insert(Made { from, index });
        made.index = made.index.max(index);
        Ok(done)
    }

    /// Why a base would lose numbers, or bring some back that were taken out.
    fn base_loses(&self, base: &NewDncBase) -> Option<String> {
        let id = base.id;
        if let Some(settled) = self.history.settled
            && base.built_at <= settled.until
            && !self.history.holds_all_of(id, settled.base)
        {
            return Some(format!(
                "may lack numbers that registries named until {} and that only base {} still has; \
                 use one that was made from that, or one from a list of after that time, or use \
                 force: those numbers may be dialed again",
                settled.until, settled.base
            ));
        }
        let made = self.history.made.get(&id)?;
        (self.history.taken_back > made.index).then(|| {
            "has entries in it that may have been removed since it was made; compact again, or use \
             force: those numbers are on do-not-call again"
                .to_owned()
        })
    }

    /// Removes entries of registries that the base in use has, and that every later list must have.
    pub(super) fn settle_dnc(
        &mut self,
        base: DncBaseId,
        remove: &[DncRemoval],
        events: &mut Vec<DirectoryEvent>,
    ) -> Done {
        checks::room("remove", 0, remove.len(), limits::DNC_BATCH)?;
        if self.base != Some(base) {
            let why = "is not in use any more: its entries stay";
            return Err(Rejection::new("base", why));
        }
        let index = self.applied;
        let until = self.history.settled.map(|settled| settled.until);
        let (mut removed, mut until) = (Vec::new(), until.unwrap_or(WallTime::EPOCH));
        for removal in remove {
            let key = (removal.number, removal.scope);
            let Some(row) = self.dnc.get(&key) else {
                continue;
            };
            if row.index == removal.index
                && removal.scope == DncScope::Mesh
                && row.source == DncSource::Registry
                && row.added_at + limits::DNC_SETTLED_AFTER <= self.clock
            {
                until = until.max(row.added_at);
                self.dnc.remove(&key);
                removed.push(*removal);
            }
        }
        let reply = DirectoryReply::Dnc {
            index,
            added: 0,
            renewed: 0,
            removed: removed.len() as u32,
            kept: (remove.len() - removed.len()) as u32,
        };
        if !removed.is_empty() {
            self.history.settled = Some(Settled { base, until });
            self.dnc_index = index;
            events.push(DirectoryEvent::Dnc {
                index,
                added: Vec::new(),
                removed,
            });
        }
        Ok(reply)
    }

    pub(super) fn hold_base(&mut self, member: MemberId, id: DncBaseId) -> Done {
        let living = self.members.get(&member).is_some_and(|m| !m.removed);
        checks::known("member", member, living)?;
        match self.bases.get_mut(&id) {
            Some(staged) => {
                staged.holders.insert(member);
                Ok(DirectoryReply::Done)
            }
            None => Err(Rejection::new("id", format!("base {id} is not known"))),
        }
    }

    pub(super) fn use_base(
        &mut self,
        id: Option<DncBaseId>,
        force: bool,
        reason: &str,
        facts: &mut Vec<Fact>,
    ) -> Done {
        match id {
            None => checks::name("reason", reason)?,
            Some(id) => {
                let Some(staged) = self.bases.get(&id) else {
                    return Err(Rejection::new("id", format!("base {id} is not known")));
                };
                let without: Vec<&str> = (self.members.values())
                    .filter(|m| m.role == MemberRole::Node && !m.removed)
                    .filter(|m| !staged.holders.contains(&m.id))
                    .map(|m| m.name.as_str())
                    .collect();
                if !(without.is_empty() || force) {
                    let why = format!(
                        "is not yet held by {}; wait until it is, or use force: they dial nobody \
                         until they hold it",
                        without.join(", ")
                    );
                    return Err(Rejection::new("id", why));
                }
                let other = self.base != Some(id) && !force;
                if let Some(why) = other.then(|| self.base_loses(&staged.base)).flatten() {
                    return Err(Rejection::new("id", why));
                }
            }
        }
        let index = self.applied;
        if self.base != id {
            let ages = self.dnc_ages();
            self.base = id;
            self.dnc_index = index;
            facts.push(Fact::DncBase(id));
            self.tell_ages(&ages, facts);
        }
        Ok(DirectoryReply::DncBase { index })
    }

    pub(super) fn drop_base(&mut self, id: DncBaseId) -> Done {
        checks::known("id", format!("base {id}"), self.bases.contains_key(&id))?;
        if self.base == Some(id) {
            let why = "is in use; put another into use first";
            return Err(Rejection::new("id", why));
        }
        self.bases.remove(&id);
        self.history.forget(id);
        self.dnc_lists.forget_base(id);
        Ok(DirectoryReply::Done)
    }
}
