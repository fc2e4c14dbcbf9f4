//! The do-not-call base: which one the directory put into use, and those that are at this node.

use crate::Engine;
use domain::{Campaign, DncBaseId, DncListAge, Now};
use permit::base::BaseLookup;
use std::{collections::BTreeMap, sync::Arc};

/// Bases at this node, and since when the one in use is.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    here: BTreeMap<DncBaseId, Arc<dyn BaseLookup>>,
    since: u64,
}

impl Engine {
    /// The directory's entry `index` put another base into use. Where it is not here yet, nobody is
    /// dialed until it is.
    pub(crate) fn base_required(&mut self, now: Now, base: Option<DncBaseId>, index: u64) {
        self.bases.since = index;
        self.ask_required_base(now, base);
    }

    /// The directory's entry `index` says how old the lists are that the base in use was made of.
    pub(crate) fn base_ages(&mut self, now: Now, ages: Vec<DncListAge>, index: u64) {
        self.permit.dnc_mut().set_ages(ages, index);
        self.pace_soon(now);
    }

    /// A base is at this node, whole.
    pub(crate) fn base_here(&mut self, now: Now, base: Arc<dyn BaseLookup>) {
        let id = base.id();
        self.bases.here.insert(id, base);
        if self.permit.dnc().required() == Some(id) {
            self.ask_required_base(now, Some(id));
        }
    }

    /// A base is about to be deleted here. The one in use stays open all the same.
    pub(crate) fn base_gone(&mut self, id: DncBaseId) {
        self.bases.here.remove(&id);
    }

    /// Whether the base is older than a campaign's rule pack allows a registry's data to be.
    pub(crate) fn base_is_too_old(&self, now: Now, campaign: &Campaign) -> bool {
        compliance::RulePack::by_name(&campaign.rule_pack)
            .and_then(|pack| Some((pack.registry_age_max?, pack.registry_country)))
            .is_some_and(|(max, country)| self.permit.dnc().base_is_older(max, country, now.wall))
    }

    /// From here on the required base answers, and what it covers is not dialed. Where it is not
    /// here, what rings is cancelled, since it may be in it.
    fn ask_required_base(&mut self, now: Now, required: Option<DncBaseId>) {
        let base = required.and_then(|id| self.bases.here.get(&id)).cloned();
        (self.permit).base_in_use(now, required, base, self.bases.since);
        self.drain_permit(now);
        self.forbid_where(now, |_| true);
        self.pace_soon(now);
    }
}
