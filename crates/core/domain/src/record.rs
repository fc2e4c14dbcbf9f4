//! Call records: what is kept of each attempt.

use crate::{
    AgentId, AttemptId, CallBack, CallRecording, CampaignId, ConsentUsed, Disposition, DncBaseId,
    LeadId, ListId, Listened, MemberId, PhoneNumber, Presence, RegionId, SessionId, TrunkId,
    VoiceDrop, WallTime, ZoneId,
};
use serde::{Deserialize, Serialize};

/// What a leg's RTP was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LegStats {
    /// Packets that came from the leg's peer.
    pub received: u64,
    /// Packets sent to it.
    pub sent: u64,
    /// Packets that never came, by sequence numbers (RFC 3550 A.3).
    pub lost: u64,
    /// Interarrival jitter in microseconds (RFC 3550 A.8).
    pub jitter_us: u32,
    /// Packets refused for their source, version or payload type.
    pub refused: u64,
}

/// Fewer packets say nothing of a connection: half a second.
const MOS_PACKETS: u64 = 25;

impl LegStats {
    /// What a listener would think of what came from the leg's peer: mean opinion score, 1 (bad) to
    /// 4.4 (as good as G.711 gets). By the E-model (ITU-T G.107) with its defaults, G.711 without
    /// concealment (G.113: Ie 0, Bpl 4.3), losses taken for scattered ones, and the delay of 20 ms
    /// packets and of a buffer of twice the jitter; the network's own delay is not known and left
    /// out. In hundredths; `None` below half a second of packets.
    pub fn mos(&self) -> Option<f64> {
        if self.received < MOS_PACKETS {
            return None;
        }
        let lost = 100.0 * self.lost as f64 / (self.received + self.lost) as f64;
        let delay = 20.0 + 2.0 * f64::from(self.jitter_us) / 1000.0;
        let delayed = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
        let rating = 93.2 - delayed - 95.0 * lost / (lost + 4.3);
        let mos = match rating {
            ..=0.0 => 1.0,
            r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5),
        };
        Some((mos * 100.0).round() / 100.0)
    }
}

/// Why an attempt was permitted, beside what its call record says anyway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Its place in the node's audit chain, from 1.
    pub sequence: u64,
    /// Every time zone in which the number may lie: the calling window was open in each.
    pub zones: Vec<ZoneId>,
    /// For how much longer session and do-not-call copy were valid, in milliseconds.
    pub valid_for_ms: u32,
}

/// Version of a call record's bytes, wherever they lie or travel.
pub const RECORD_VERSION: u8 = 11;

/// One attempt from lease to end, or one call-back from its INVITE to its end. Written once, when it
/// is closed. Fields are added at its end only, with a new [`RECORD_VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The attempt; the record's key.
    pub attempt: AttemptId,
    /// The lead.
    pub lead: LeadId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its list.
    pub list: ListId,
    /// Its home region.
    pub region: RegionId,
    /// The node that dialed.
    pub node: MemberId,
    /// The session whose lease allowed it.
    pub session: SessionId,
    /// The called number; of a call-back the person's, or the called one where that is withheld.
    pub number: PhoneNumber,
    /// The number shown; of a call-back the one that was called.
    pub caller_id: Option<PhoneNumber>,
    /// The trunk it left by, or came by.
    pub trunk: Option<TrunkId>,
    /// Call-ID of the (last) INVITE, to match with the carrier's records.
    pub sip_call_id: String,
    /// The agent who took it.
    pub agent: Option<AgentId>,
    /// When the last INVITE left, or a call-back's came.
    pub invited_at: Option<WallTime>,
    /// First 180 or 183.
    pub ringing_at: Option<WallTime>,
    /// 200.
    pub answered_at: Option<WallTime>,
    /// Joined with the agent.
    pub bridged_at: Option<WallTime>,
    /// Audio ended.
    pub ended_at: WallTime,
    /// Record closed, after wrap-up.
    pub closed_at: WallTime,
    /// The one final result.
    pub disposition: Disposition,
    /// The name of the disposition in its campaign.
    pub disposition_name: String,
    /// Final SIP status of the INVITE, 0 where none came.
    pub sip_status: u16,
    /// Q.850 cause from Reason, 0 where none came.
    pub q850: u16,
    /// Who ended an answered call: `caller` (us), `callee`, or empty.
    pub ended_by: String,
    /// The carrier leg's RTP.
    pub carrier_leg: Option<LegStats>,
    /// The agent leg's RTP during the bridge.
    pub agent_leg: Option<LegStats>,
    /// Why it was allowed: the rule pack and its version.
    pub rule_pack: String,
    /// Why it was allowed: the directory index at which do-not-call was checked.
    pub dnc_index: u64,
    /// Why it was allowed: the rest; none where nothing was dialed, or a crash hid it.
    pub permission: Option<Permission>,
    /// A note from the agent, at most [`crate::limits::NOTE_BYTES`].
    pub note: String,
    /// Why it was allowed: the do-not-call base that was asked. Last: formats before it read as
    /// none here.
    pub dnc_base: Option<DncBaseId>,
    /// Why it was allowed: the person's consent, where one was there.
    pub consent: Option<ConsentUsed>,
    /// What was heard by listening; none where the campaign did not ask for it. Since version 5.
    pub listened: Option<Listened>,
    /// The call's recording; none where the campaign did not ask for one. Since version 6.
    pub recording: Option<CallRecording>,
    /// That a person called one of our numbers, and how it went; none for attempts. Since version 7.
    pub call_back: Option<CallBack>,
    /// Whether the shown number was local, and held out by lot or not; none of call-backs. Since
    /// version 8.
    pub presence: Option<Presence>,
    /// What became of the campaign's message to the machine that answered; none where there was no machine
    /// or no message. Since version 9.
    pub voice_drop: Option<VoiceDrop>,
    /// Of a call-back: the node whose number was called, where that is another than the one that answered.
    /// Since version 10.
    pub called_for: Option<MemberId>,
    /// How often and how long the person was on hold; none where that never was. Since version 11.
    pub holds: Option<Holds>,
}

/// The holds of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holds {
    /// How many.
    pub count: u32,
    /// How long all of them were, in milliseconds.
    pub total_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opinions_sink_with_loss_and_jitter() {
        let leg = |received, lost, jitter_ms: u32| LegStats {
            received,
            lost,
            jitter_us: jitter_ms * 1000,
            ..LegStats::default()
        };
        assert_eq!(leg(24, 0, 0).mos(), None);
        // G.107's own figures for G.711: R 93.2 is 4.41; 20 ms take half a point of R.
        assert_eq!(leg(25, 0, 0).mos(), Some(4.4));
        assert_eq!(leg(990, 10, 0).mos(), Some(3.81));
        assert_eq!(leg(950, 50, 0).mos(), Some(2.15));
        assert_eq!(leg(1000, 0, 200).mos(), Some(2.91));
        assert_eq!(leg(25, u64::MAX / 2, u32::MAX / 1000).mos(), Some(1.0));
    }
}
