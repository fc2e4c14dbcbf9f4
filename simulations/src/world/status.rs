//! What the mesh says of itself, as far as it is shown and waited for.

use serde::Deserialize;

/// The live state.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Status {
    /// The cities, by name.
    pub cities: Vec<CityStatus>,
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
            "calls": {"dialing": 1, "ringing": 2, "waiting": 0, "bridged": 4}, "new_field": {}}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.cities[0].calls.total(), 7);
        assert_eq!(status.cities[0].trunks[0].state, "up");
    }
}
