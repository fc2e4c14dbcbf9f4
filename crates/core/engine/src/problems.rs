//! What of the node's set-up does not fit the directory: trunks are made there, and may come later, so that
//! the configuration alone cannot be refused for it.

use crate::{Engine, Observed};
use domain::{SrtpPolicy, limits, status::NodeProblem};

/// The section of the configuration with trunks' SRTP.
const SRTP_TRUNKS: &str = "sip.srtp.trunks";

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// The copy of the directory was as new as the directory's leader once: before that a trunk may only
    /// not have come yet.
    judged: bool,
    /// In their order, at most [`limits::PROBLEMS_TOLD`].
    said: Vec<NodeProblem>,
}

impl Problems {
    pub(crate) fn said(&self) -> &[NodeProblem] {
        &self.said
    }
}

impl Engine {
    /// The copy of the directory is as new as its leader's was when asked.
    pub(crate) fn look_for_problems(&mut self) {
        self.problems.judged = true;
        self.problems_again();
    }

    /// The directory changed.
    pub(crate) fn problems_again(&mut self) {
        if !self.problems.judged {
            return;
        }
        let found = self.unknown_srtp_trunks();
        if found == self.problems.said {
            return;
        }
        let before = std::mem::replace(&mut self.problems.said, found.clone());
        // The same trouble with other trunks beside it is no news.
        let same = |a: &NodeProblem, b: &NodeProblem| {
            (&a.code, &a.setting, &a.value) == (&b.code, &b.setting, &b.value)
        };
        let over = before
            .iter()
            .filter(|old| !found.iter().any(|new| same(old, new)));
        let new = found
            .iter()
            .filter(|new| !before.iter().any(|old| same(old, new)));
        let said = over.map(|problem| (problem, true));
        let said = said.chain(new.map(|problem| (problem, false)));
        for (problem, over) in said {
            let problem = Box::new(problem.clone());
            self.observe(Observed::Problem { problem, over });
        }
    }

    /// Names that SRTP is set for and that no trunk of this node has. A name that is set to `off` is not
    /// one: its trunk is plain, as any is that is not named.
    fn unknown_srtp_trunks(&self) -> Vec<NodeProblem> {
        let has = |name: &str| self.facts.trunks.values().any(|trunk| trunk.name == name);
        let wanted = self.config.srtp.trunks.iter();
        let unknown = wanted.filter(|(name, policy)| **policy != SrtpPolicy::Off && !has(name));
        let mut known: Vec<String> = (self.facts.trunks.values())
            .map(|trunk| trunk.name.clone())
            .collect();
        known.sort_unstable();
        known.truncate(limits::PROBLEM_NAMES);
        let problem = |(name, _): (&String, &SrtpPolicy)| NodeProblem {
            code: NodeProblem::SRTP_TRUNK.to_owned(),
            setting: SRTP_TRUNKS.to_owned(),
            value: name.clone(),
            known: known.clone(),
        };
        unknown.take(limits::PROBLEMS_TOLD).map(problem).collect()
    }
}
