//! What the engine observed, as metrics. Labels are bounded: never a number or an id of a person.

mod signalling;

pub(crate) use signalling::SipMeter;

use call::Observed as Call;
use domain::{
    CallRecord, LegStats, Supervision,
    status::{NodeMode, NodeProblem, NodeStatus, TrunkTrouble},
};
use engine::Observed;
use service::metrics::{Metrics, MetricsError};

/// Declares the histograms of this process.
pub(crate) fn declare(metrics: &Metrics) -> Result<(), MetricsError> {
    metrics.histogram(
        "dialmesh_post_dial_delay_seconds",
        "From INVITE to the first ringing.",
        &["campaign"],
        &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0],
    )?;
    metrics.histogram(
        "dialmesh_answer_wait_seconds",
        "How long an answered person waited for an agent.",
        &["campaign"],
        &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0],
    )?;
    metrics.histogram(
        "dialmesh_call_back_wait_seconds",
        "How long a person who called back waited for an agent, for the announcement, or in vain.",
        &["campaign", "end"],
        &[0.1, 1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0],
    )?;
    metrics.histogram(
        "dialmesh_answering_decision_seconds",
        "From the answer to the verdict on who answered, where somebody listened.",
        &["campaign"],
        &[0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0],
    )?;
    metrics.histogram(
        "dialmesh_leg_mos",
        "What a listener would think of a call's audio as it came in: mean opinion score.",
        &["leg", "trunk"],
        &[1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.3, 4.4],
    )?;
    signalling::describe();
    for (name, help) in [
        (
            "dialmesh_answering_verdicts_total",
            "Answers that were listened to, by campaign and who answered.",
        ),
        (
            "dialmesh_supervision_total",
            "Supervisors of calls, by what they began: listen, whisper, barge, leave (or the call ended).",
        ),
        (
            "dialmesh_recordings_total",
            "Recordings of calls that ended, by how: whole, disk, folder_full, refused.",
        ),
        (
            "dialmesh_recordings_missed_packets_total",
            "Packets that came and are not in their recording.",
        ),
        (
            "dialmesh_recordings_deleted_total",
            "Recordings that were deleted because their time was over.",
        ),
        (
            "dialmesh_recordings_open",
            "Recordings that are being written.",
        ),
        (
            "dialmesh_recordings_bytes",
            "Bytes of the recordings' folder.",
        ),
        (
            "dialmesh_attempts_closed_total",
            "Attempts that ended, by campaign and disposition.",
        ),
        (
            "dialmesh_attempts_refused_total",
            "Attempts that the last check refused, by rule.",
        ),
        (
            "dialmesh_invites_late_total",
            "INVITEs that left after their permission ended and were cancelled at once.",
        ),
        (
            "dialmesh_abandoned_total",
            "Live answers that no agent took in time, by campaign.",
        ),
        (
            "dialmesh_voice_drops_total",
            "Messages for answering machines, by campaign and what became of them.",
        ),
        (
            "dialmesh_call_backs_total",
            "Persons who called back, by campaign and how it ended: taken, gave_up, announced, opted_out.",
        ),
        (
            "dialmesh_call_backs_waiting",
            "Persons who called back and wait for an agent.",
        ),
        (
            "dialmesh_call_backs_refused_total",
            "Calls to this node's numbers that were not taken, by SIP status.",
        ),
        (
            "dialmesh_call_backs_for_others_total",
            "Calls to other cities' numbers that were taken here.",
        ),
        (
            "dialmesh_callers_asked_total",
            "Callers for whom the mesh was asked, by answer: known, stranger, unanswered, full.",
        ),
        (
            "dialmesh_opt_outs_total",
            "Persons who opted out by key, by campaign.",
        ),
        (
            "dialmesh_abandonments_left",
            "Persons whom this node may still let down, by campaign: its share of the budget.",
        ),
        (
            "dialmesh_share_unknown",
            "1 while a campaign that would dial ahead does not know its share of the budget.",
        ),
        (
            "dialmesh_trunk_up",
            "Whether the trunk takes new calls: 1 or 0.",
        ),
        (
            "dialmesh_caller_ids",
            "This node's caller IDs: all, those that seem labelled (doubted), those that rest by themselves.",
        ),
        (
            "dialmesh_caller_id_places_short",
            "Places whose caller IDs are too few for their calls.",
        ),
        (
            "dialmesh_trunk_trouble",
            "1 for why the trunk takes no new calls.",
        ),
        (
            "dialmesh_trunk_failed_over_total",
            "Calls that failed on the carrier's side and were tried on another trunk, by the trunk they left.",
        ),
        (
            "dialmesh_node_local_mode",
            "1 while the node does not hear its groups.",
        ),
        (
            "dialmesh_node_regions_helped",
            "Regions of other cities that are gone and whose leads this node dials.",
        ),
        (
            "dialmesh_node_problems",
            "Settings of this node that name what the directory does not have, by kind.",
        ),
        (
            "dialmesh_node_queued",
            "Outcomes and records that wait to be shipped.",
        ),
        (
            "dialmesh_freshness_seconds",
            "For how long the copy of do-not-call may be trusted.",
        ),
        ("dialmesh_lines", "Attempts in the air, by state."),
        ("dialmesh_agents", "Agents on shift, by state."),
        ("dialmesh_trunk_channels", "Calls on the trunk now."),
        (
            "dialmesh_engine_queue_full_total",
            "Events that found the engine's queue full.",
        ),
        (
            "dialmesh_overflow_total",
            "Answered persons and agents of other nodes, by campaign and step: asked, joined, refused, late, lost (where the person is); kept, withdrawn (where the agent is).",
        ),
        (
            "dialmesh_relay_commands_lost_total",
            "Commands that the RTP relay did not take.",
        ),
    ] {
        if name.ends_with("_total") {
            metrics::describe_counter!(name, help);
        } else {
            metrics::describe_gauge!(name, help);
        }
    }
    Ok(())
}

/// How a call that ended could be heard.
pub(crate) fn quality(record: &CallRecord) {
    let Some(trunk) = record.trunk else { return };
    let legs = [
        ("carrier", &record.carrier_leg),
        ("agent", &record.agent_leg),
    ];
    for (leg, stats) in legs {
        if let Some(mos) = stats.as_ref().and_then(LegStats::mos) {
            metrics::histogram!("dialmesh_leg_mos", "leg" => leg, "trunk" => trunk.to_string())
                .record(mos);
        }
    }
}

/// One observation.
pub(crate) fn observed(observed: &Observed) {
    match observed {
        Observed::Supervision { seat, call, manner } => {
            let act = manner.map_or("leave", Supervision::name);
            tracing::info!(%seat, %call, act, "a supervisor of a call");
            metrics::counter!("dialmesh_supervision_total", "act" => act).increment(1);
        }
        Observed::Overflow { campaign, step } => {
            metrics::counter!(
                "dialmesh_overflow_total",
                "campaign" => campaign.to_string(), "step" => step.name()
            )
            .increment(1);
        }
        Observed::Call(Call::Joined { campaign, waited }) => {
            metrics::histogram!("dialmesh_answer_wait_seconds", "campaign" => campaign.to_string())
                .record(waited.as_secs_f64());
        }
        Observed::Call(Call::Abandoned { campaign, .. }) => {
            metrics::counter!("dialmesh_abandoned_total", "campaign" => campaign.to_string())
                .increment(1);
        }
        Observed::Call(Call::OptedOut { campaign }) => {
            metrics::counter!("dialmesh_opt_outs_total", "campaign" => campaign.to_string())
                .increment(1);
        }
        Observed::Call(Call::VoiceDrop { campaign, drop }) => {
            metrics::counter!(
                "dialmesh_voice_drops_total",
                "campaign" => campaign.to_string(), "end" => drop.name()
            )
            .increment(1);
        }
        Observed::Call(Call::Screened { campaign, who }) => {
            let campaign = campaign.to_string();
            metrics::counter!(
                "dialmesh_answering_verdicts_total",
                "campaign" => campaign.clone(), "verdict" => who.verdict.name()
            )
            .increment(1);
            metrics::histogram!("dialmesh_answering_decision_seconds", "campaign" => campaign)
                .record(f64::from(who.took_ms) / 1000.0);
        }
        Observed::Call(Call::CallBack {
            campaign,
            end,
            waited,
        }) => {
            let campaign = campaign.to_string();
            metrics::counter!(
                "dialmesh_call_backs_total", "campaign" => campaign.clone(), "end" => end.name()
            )
            .increment(1);
            metrics::histogram!(
                "dialmesh_call_back_wait_seconds", "campaign" => campaign, "end" => end.name()
            )
            .record(waited.as_secs_f64());
        }
        Observed::Call(Call::CallBacksWaiting { waiting }) => {
            metrics::gauge!("dialmesh_call_backs_waiting").set(f64::from(*waiting));
        }
        Observed::CallBackRefused { status } => {
            metrics::counter!("dialmesh_call_backs_refused_total", "status" => status.to_string())
                .increment(1);
        }
        Observed::CallerAsked { answer } => {
            metrics::counter!("dialmesh_callers_asked_total", "answer" => answer.name())
                .increment(1);
        }
        Observed::CalledForOther => {
            metrics::counter!("dialmesh_call_backs_for_others_total").increment(1);
        }
        Observed::Call(Call::Attempt { .. } | Call::Agent { .. } | Call::StrayAnswer { .. }) => {}
        Observed::Closed {
            campaign,
            disposition,
            post_dial_delay,
        } => {
            let campaign = campaign.to_string();
            metrics::counter!(
                "dialmesh_attempts_closed_total",
                "campaign" => campaign.clone(), "disposition" => disposition.name()
            )
            .increment(1);
            if let Some(delay) = post_dial_delay {
                metrics::histogram!("dialmesh_post_dial_delay_seconds", "campaign" => campaign)
                    .record(delay.as_secs_f64());
            }
        }
        Observed::Refused { rule } => {
            metrics::counter!("dialmesh_attempts_refused_total", "rule" => *rule).increment(1);
        }
        Observed::Share {
            campaign,
            left,
            want,
        } => {
            let campaign = campaign.to_string();
            let unknown = *want > 0 && left.is_none();
            metrics::gauge!("dialmesh_abandonments_left", "campaign" => campaign.clone())
                .set(f64::from(left.unwrap_or(0)));
            metrics::gauge!("dialmesh_share_unknown", "campaign" => campaign)
                .set(f64::from(u8::from(unknown)));
        }
        Observed::PhoneUnsecured { agent } => tracing::warn!(
            %agent,
            "the agent's phone is not called: [sip.srtp] requires SRTP of phones, and it did not register by TLS"
        ),
        Observed::Problem {
            problem,
            over: false,
        } => {
            tracing::error!(
                setting = problem.setting,
                value = problem.value,
                "{problem}"
            );
        }
        Observed::Problem {
            problem,
            over: true,
        } => tracing::info!(
            setting = problem.setting,
            value = problem.value,
            "what this setting names is there now"
        ),
        Observed::SentLate => metrics::counter!("dialmesh_invites_late_total").increment(1),
        Observed::TrunkHealth { trunk, trouble } => {
            match trouble {
                None => tracing::info!(%trunk, "the trunk takes calls again"),
                Some(why) => {
                    tracing::warn!(%trunk, why = why.name(), "the trunk takes no new calls")
                }
            }
            trunk_health(*trunk, *trouble);
        }
        Observed::CallerIds {
            numbers,
            doubted,
            resting,
            short_of,
        } => {
            for (state, count) in [("all", numbers), ("doubted", doubted), ("resting", resting)] {
                metrics::gauge!("dialmesh_caller_ids", "state" => state).set(f64::from(*count));
            }
            metrics::gauge!("dialmesh_caller_id_places_short").set(f64::from(*short_of));
        }
        Observed::FailedOver { trunk } => {
            metrics::counter!("dialmesh_trunk_failed_over_total", "trunk" => trunk.to_string())
                .increment(1);
        }
    }
}

fn trunk_health(trunk: domain::TrunkId, trouble: Option<TrunkTrouble>) {
    let id = trunk.to_string();
    metrics::gauge!("dialmesh_trunk_up", "trunk" => id.clone())
        .set(f64::from(u8::from(trouble.is_none())));
    for why in TrunkTrouble::ALL {
        let is = f64::from(u8::from(trouble == Some(why)));
        metrics::gauge!("dialmesh_trunk_trouble", "trunk" => id.clone(), "why" => why.name())
            .set(is);
    }
}

/// What the node says of itself, as gauges.
pub(crate) fn status(status: &NodeStatus) {
    let local = status.mode == NodeMode::Local;
    metrics::gauge!("dialmesh_node_local_mode").set(f64::from(u8::from(local)));
    metrics::gauge!("dialmesh_node_queued").set(f64::from(status.queued));
    for code in NodeProblem::CODES {
        let of_it = status
            .problems
            .iter()
            .filter(|problem| problem.code == code);
        metrics::gauge!("dialmesh_node_problems", "problem" => code).set(of_it.count() as f64);
    }
    metrics::gauge!("dialmesh_freshness_seconds").set(status.fresh_ms as f64 / 1000.0);
    for (state, count) in [
        ("dialing", status.lines.dialing),
        ("ringing", status.lines.ringing),
        ("waiting", status.lines.waiting),
        ("bridged", status.lines.bridged),
    ] {
        metrics::gauge!("dialmesh_lines", "state" => state).set(f64::from(count));
    }
    for (state, count) in [
        ("paused", status.agents.paused),
        ("ready", status.agents.ready),
        ("reserved", status.agents.reserved),
        ("on_call", status.agents.on_call),
        ("wrap_up", status.agents.wrap_up),
    ] {
        metrics::gauge!("dialmesh_agents", "state" => state).set(f64::from(count));
    }
    for health in &status.trunk_health {
        trunk_health(health.trunk, health.trouble);
    }
    for trunk in &status.trunks {
        let id = trunk.trunk.to_string();
        metrics::gauge!("dialmesh_trunk_channels", "trunk" => id).set(f64::from(trunk.channels));
    }
}
