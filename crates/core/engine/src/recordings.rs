//! Recordings: which bridges are recorded, and what their call records say of it.

use crate::{Engine, Output, legs::Owner};
use domain::{
    AgentId, AttemptId, CallRecording, CampaignId, LegId, Now, Recording, RecordingEnd,
    RecordingKey, RegionId, WallTime,
};
use media::MediaCommand;

/// A call that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingOrder {
    /// Which.
    pub attempt: AttemptId,
    /// The region of its lead.
    pub region: RegionId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its agent.
    pub agent: AgentId,
    /// When the two were joined.
    pub began_at: WallTime,
    /// The key that it is made with.
    pub key: RecordingKey,
}

impl Engine {
    /// A person and an agent were joined: begins their recording, if the campaign asks for it.
    pub(crate) fn begin_recording(&mut self, now: Now, person: LegId, agent: LegId) {
        let owner = |leg| self.legs.get(leg).map(|leg| leg.owner);
        let (Some(Owner::Person { attempt, .. }), Some(Owner::Agent(who))) =
            (owner(person), owner(agent))
        else {
            return;
        };
        let Some(lease) = self.calls.lease(attempt) else {
            return;
        };
        let (campaign, region) = (lease.campaign, lease.lead.region());
        if self.facts.recording(campaign) == Recording::Off {
            return;
        }
        let Some(key) = self.facts.recording_key else {
            let refused = CallRecording::only(RecordingEnd::Refused);
            self.recordings.insert(attempt, Some(refused));
            return;
        };
        self.recordings.insert(attempt, None);
        self.output(Output::Record(Box::new(RecordingOrder {
            attempt,
            region,
            campaign,
            agent: who,
            began_at: now.wall,
            key,
        })));
        self.media(MediaCommand::Record {
            recording: attempt,
            agent,
            person,
        });
        self.tell_calls(now, call::Input::RecordingBegan { attempt });
        self.tell_lent_recording(attempt);
    }

    /// Whoever writes recordings told what became of one.
    pub(crate) fn recorded(&mut self, attempt: AttemptId, recording: CallRecording) {
        // A record that was written without it stays as it is.
        if let Some(told) = self.recordings.get_mut(&attempt) {
            *told = Some(recording);
            self.settle_ending(attempt);
        }
    }

    /// Whether an attempt's recording is not told of yet.
    pub(crate) fn recording_untold(&self, attempt: AttemptId) -> bool {
        self.recordings.get(&attempt) == Some(&None)
    }

    /// For the call record of an attempt that closes.
    pub(crate) fn take_recording(&mut self, attempt: AttemptId) -> Option<CallRecording> {
        let told = self.recordings.remove(&attempt)?;
        Some(told.unwrap_or(CallRecording::only(RecordingEnd::Untold)))
    }
}
