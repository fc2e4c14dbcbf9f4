//! What the mesh says of itself, as far as it is shown and waited for.

use serde::Deserialize;
use std::fmt;

/// The live state.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Status {
    /// The cities, by name.
    pub cities: Vec<CityStatus>,
    /// The Raft groups: the directory and every region.
    #[serde(default)]
    pub groups: Vec<GroupStatus>,
}

impl Status {
    /// The groups whose leaders are about to change something, or are not heard: their names and
    /// what is done or waited for.
    pub fn restless_groups(&self) -> Vec<String> {
        let restless = self.groups.iter().filter(|group| !group.is_at_rest());
        restless.map(GroupStatus::to_string).collect()
    }
}

/// A Raft group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GroupStatus {
    /// `directory`, or the region's name.
    pub name: String,
    /// The election term.
    pub term: u64,
    /// What its leader does about voters and lead; none where it was not heard.
    pub autopilot: Option<Autopilot>,
}

impl GroupStatus {
    fn is_at_rest(&self) -> bool {
        (self.autopilot.as_ref()).is_some_and(|autopilot| autopilot.why == "as it should be")
    }
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = (self.autopilot.as_ref()).map_or("its leader is not heard", |pilot| &pilot.why);
        write!(f, "{} (term {}): {why}", self.name, self.term)
    }
}

/// What a group's leader does about its voters and who leads.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Autopilot {
    /// What is done next, or what is waited for.
    pub why: String,
}

/// A city's figures.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CityStatus {
    /// Its name.
    pub name: String,
    /// `central`, `local`, `unreachable`, `cordoned`.
    pub mode: String,
    /// Results waiting to be sent on.
    pub queued: u64,
    /// Leads leased and not dialed yet.
    pub hopper: u64,
    /// Its trunks.
    pub trunks: Vec<TrunkStatus>,
    /// Attempts and calls in the air.
    pub calls: Calls,
    /// Agents by state.
    pub agents: Agents,
    /// Abandonment over the window.
    pub abandonment: Abandonment,
    /// New calls a second.
    pub calls_per_second: f64,
    /// Attempts since the node started.
    pub attempts_total: u64,
    /// Bridged calls since the node started.
    pub bridged_total: u64,
    /// How old this is, in milliseconds.
    pub age_ms: u64,
}

/// A trunk.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TrunkStatus {
    /// `up`, `down`, `disabled`, `unknown`.
    pub state: String,
    /// Calls on it.
    pub in_use: u32,
    /// At most.
    pub channels: u32,
}

/// Calls in the air.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// INVITE sent.
    pub dialing: u32,
    /// Ringing.
    pub ringing: u32,
    /// Answered, waiting for an agent.
    pub waiting: u32,
    /// Joined.
    pub bridged: u32,
}

impl Calls {
    /// All of them.
    pub const fn total(&self) -> u32 {
        self.dialing + self.ringing + self.waiting + self.bridged
    }
}

/// Agents by state.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Agents {
    /// On shift, taking no calls.
    pub paused: u32,
    /// Waiting.
    pub ready: u32,
    /// Kept for a line.
    pub reserved: u32,
    /// In a bridge.
    pub on_call: u32,
    /// After the call.
    pub wrap_up: u32,
}

/// Live answers that no agent took.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Abandonment {
    /// Live answers.
    pub answered: u64,
    /// Abandoned ones.
    pub abandoned: u64,
    /// In percent.
    pub percent: f64,
    /// Allowed, in percent.
    pub budget_percent: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_api_says_and_more() {
        let text = r#"{"as_of": "2026-01-01T00:00:00Z", "cities": [{"name": "beijing", "mode": "central",
            "queued": 2, "trunks": [{"id": "trunk_1", "state": "up", "in_use": 3, "channels": 9}],
            "calls": {"dialing": 1, "ringing": 2, "waiting": 0, "bridged": 4}, "new_field": {}}],
            "groups": [{"name": "directory", "term": 3, "autopilot": {"why": "as it should be"}}, {"name": "beijing", "term": 4,
            "autopilot": {"why": "1 is to lead in 3 s"}}, {"name": "wuhan", "term": 1, "autopilot": null}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.cities[0].calls.total(), 7);
        assert_eq!(status.cities[0].trunks[0].state, "up");
        assert_eq!(
            status.restless_groups(),
            [
                "beijing (term 4): 1 is to lead in 3 s",
                "wuhan (term 1): its leader is not heard"
            ]
        );
    }
}
