//! What is wrong with how a node is set up, and only shows beside the directory.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A setting of a node that names what the directory does not have. The node goes on without it; a
/// person must put it right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeProblem {
    /// Which kind: one of [`NodeProblem::CODES`]. A text, so that a member of an earlier release reads what
    /// a later one says.
    pub code: String,
    /// The section or key of the node's configuration.
    pub setting: String,
    /// The name that stands there.
    pub value: String,
    /// Names that would do, at most [`crate::limits::PROBLEM_NAMES`] of them, in their order.
    pub known: Vec<String>,
}

impl NodeProblem {
    /// SRTP is set for a trunk that the node does not have: whatever trunk was meant is plain.
    pub const SRTP_TRUNK: &str = "srtp_trunk_unknown";
    /// Every kind.
    pub const CODES: [&str; 1] = [Self::SRTP_TRUNK];
}

/// The whole of it in words: what is wrong, what comes of it, what there is.
impl fmt::Display for NodeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            setting,
            value,
            known,
        } = self;
        let known = match known.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        match code.as_str() {
            Self::SRTP_TRUNK => write!(
                f,
                "[{setting}] names {value:?}, and this node has no trunk of that name: a trunk that is not \
                 named there is not encrypted; its trunks: {known}"
            ),
            other => write!(f, "{other}: [{setting}] names {value:?}; there is: {known}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_setting_value_and_what_there_is() {
        let mut problem = NodeProblem {
            code: NodeProblem::SRTP_TRUNK.into(),
            setting: "sip.srtp.trunks".into(),
            value: "ny-tz".into(),
            known: vec!["ny-tx".into(), "ny-bw".into()],
        };
        let said = problem.to_string();
        for words in [
            "[sip.srtp.trunks]",
            "\"ny-tz\"",
            "ny-tx, ny-bw",
            "not encrypted",
        ] {
            assert!(said.contains(words), "{said}");
        }
        problem.known.clear();
        assert!(problem.to_string().ends_with("its trunks: none"));
        // Of a later release: said all the same.
        problem.code = "moon_full".into();
        assert!(
            problem
                .to_string()
                .starts_with("moon_full: [sip.srtp.trunks]")
        );
    }
}
