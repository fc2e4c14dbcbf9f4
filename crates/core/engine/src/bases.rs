//! The do-not-call base: which one the directory put into use, and those that are at this node.

use crate::Engine;
use domain::{DncBaseId, Now, PhoneNumber};
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

    /// From here on the required base answers, and what it covers is not dialed. Where it is not
    /// here, what rings is cancelled, since it may be in it.
    fn ask_required_base(&mut self, now: Now, required: Option<DncBaseId>) {
        let base = required.and_then(|id| self.bases.here.get(&id)).cloned();
        (self.permit).base_in_use(now, required, base, self.bases.since);
        self.drain_permit(now);
        let dnc = self.permit.dnc();
        let leads = (self.hoppers).take_if(|lead| dnc.is_listed(lead.number));
        self.give_back(leads);
        let numbers: Vec<PhoneNumber> = (self.calls.attempts())
            .map(|(_, number, ..)| number)
            .filter(|number| self.permit.dnc().is_listed(*number))
            .collect();
        for number in numbers {
            self.forbid(now, number);
        }
        self.pace_soon(now);
    }
}
