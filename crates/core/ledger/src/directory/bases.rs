//! Do-not-call bases: files of national size that the directory names by their hash.

use super::{Directory, DirectoryReply, Fact, NewDncBase, Rejection, StagedDncBase, checks};
use domain::{DncBaseId, MemberId, MemberRole, limits};
use std::collections::BTreeSet;

type Done = Result<DirectoryReply, Rejection>;

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
        self.dnc_lists.forget_base(id);
        Ok(DirectoryReply::Done)
    }
}
