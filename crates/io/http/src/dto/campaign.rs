//! Campaigns.

use super::{
    Abandonment, Checks, CityOverflow, LeadOrder, LocalPresence, RecordedCalls, Timestamp, Validate,
};
use crate::problem::FieldError;
use domain::{
    CampaignId, CampaignState, DialLevel, Disposition, DispositionCode, DispositionFlags, Levers,
    MemberId, PromptName, RegionId, RetryRule, limits, status::PacingStatus,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use utoipa::ToSchema;

/// How lines are launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PacingMode {
    /// One line for each ready agent.
    Progressive,
    /// `dial_level` lines for each ready agent.
    Ratio,
    /// As many lines as the abandonment budget allows; at most `dial_level` for each agent on
    /// shift.
    Predictive,
}

/// What is done about answering machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweringMachines {
    /// Nobody listens: every answer goes to an agent.
    #[default]
    Off,
    /// Who answers is listened to first; machines and fax are hung up on.
    HangUp,
}

impl From<domain::AnsweringMachines> for AnsweringMachines {
    fn from(machines: domain::AnsweringMachines) -> Self {
        match machines {
            domain::AnsweringMachines::Off => Self::Off,
            domain::AnsweringMachines::HangUp => Self::HangUp,
        }
    }
}

impl From<AnsweringMachines> for domain::AnsweringMachines {
    fn from(machines: AnsweringMachines) -> Self {
        match machines {
            AnsweringMachines::Off => Self::Off,
            AnsweringMachines::HangUp => Self::HangUp,
        }
    }
}

/// One of the campaign's own dispositions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentDisposition {
    /// Short stable name.
    #[schema(example = "sale")]
    pub name: String,
    /// The right person was spoken to.
    #[serde(default)]
    pub contact: bool,
    /// The campaign's aim was reached.
    #[serde(default)]
    pub success: bool,
    /// The person asked not to be called.
    #[serde(default)]
    pub do_not_call: bool,
    /// The lead may be tried again.
    #[serde(default)]
    pub retry: bool,
    /// The lead rests until a date.
    #[serde(default)]
    pub freeze: bool,
}

/// When a lead may be tried again after one kind of result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// A system disposition (`no_answer`, `busy`, …) or one of the campaign's own.
    #[schema(example = "no_answer")]
    pub after: String,
    /// How long the lead rests.
    pub delay_seconds: u64,
    /// Attempts in all once this result has come.
    pub attempts_max: u16,
}

/// What people set of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignSettings {
    /// Unique among campaigns that are not stopped.
    pub name: String,
    /// Regions whose nodes dial it; empty for all.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub regions: Vec<RegionId>,
    /// How lines are launched.
    #[serde(default = "defaults::pacing")]
    pub pacing: PacingMode,
    /// Lines for each ready agent in mode `ratio`, in steps of 0.01.
    #[serde(default = "defaults::dial_level")]
    #[schema(minimum = 1.0, maximum = 10.0)]
    pub dial_level: f64,
    /// How long to let it ring.
    #[serde(default = "defaults::ring_limit")]
    #[schema(minimum = 15, maximum = 120)]
    pub ring_limit_seconds: u64,
    /// How long a call may last.
    #[serde(default = "defaults::talk_limit")]
    #[schema(minimum = 60, maximum = 14400)]
    pub talk_limit_seconds: u64,
    /// How long an answered person may wait for an agent.
    #[serde(default = "defaults::answer_limit")]
    #[schema(minimum = 0, maximum = 10000)]
    pub answer_limit_ms: u64,
    /// How long wrap-up may last.
    #[serde(default = "defaults::wrap_up_limit")]
    #[schema(minimum = 1, maximum = 3600)]
    pub wrap_up_limit_seconds: u64,
    /// Whether an agent becomes ready by itself after wrap-up.
    #[serde(default = "defaults::yes")]
    pub auto_ready: bool,
    /// The rule pack: `us-federal`, `china`.
    #[schema(example = "us-federal")]
    pub rule_pack: String,
    /// Attempts at a lead in all.
    #[serde(default = "defaults::attempts_max")]
    #[schema(minimum = 1, maximum = 100)]
    pub attempts_max: u16,
    /// Retry rules; a result without one ends the lead.
    #[serde(default)]
    pub retry: Vec<Retry>,
    /// What agents may choose from.
    #[serde(default = "defaults::dispositions")]
    pub dispositions: Vec<AgentDisposition>,
    /// The disposition when wrap-up runs out: a name of `dispositions`.
    #[serde(default = "defaults::default_disposition")]
    pub default_disposition: String,
    /// Allow any caller ID of the dialing city when none is local to the number.
    #[serde(default = "defaults::yes")]
    pub any_city_caller_id: bool,
    /// Dial nobody without consent, whatever the rule pack says.
    #[serde(default)]
    pub requires_consent: bool,
    /// What is done about answering machines, from the next attempts on. Leave it `off` for
    /// campaigns that call companies: who answers at length is taken for a recording.
    #[serde(default)]
    pub answering_machines: AnsweringMachines,
    /// Which calls are recorded, from the next joined ones on. Needs a recording key.
    #[serde(default)]
    pub recording: RecordedCalls,
    /// The share of live answers to let down on the long mean in mode `predictive`, in percent in
    /// steps of 0.1, where that is less than the rule pack's budget. None aims at the budget.
    #[serde(default)]
    #[schema(minimum = 0.1, example = 2.0)]
    pub target_abandonment_percent: Option<f64>,
    /// Ready agents of each city that are left to inbound calls: no line counts on them.
    #[serde(default)]
    #[schema(maximum = 5000)]
    pub inbound_agents: u32,
    /// How long the dial level rises from one line an agent to its own, from the begin of dialing on.
    #[serde(default)]
    #[schema(maximum = 14400)]
    pub ramp_up_seconds: u64,
    /// How long it falls to one line an agent before the calling window closes.
    #[serde(default)]
    #[schema(maximum = 14400)]
    pub ramp_down_seconds: u64,
    /// The campaign with which this one counts its abandonments, in one budget for both, as the law
    /// asks of campaigns that are one in its eyes. Fixed once the campaign was started. None for a
    /// budget of its own.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "camp_00000001")]
    pub drop_rate_group: Option<CampaignId>,
    /// Of how many dials in a hundred a number is shown that is not local, where there is a local one
    /// too, from the next attempts on: so the stats can say what local numbers are worth.
    #[serde(default)]
    #[schema(maximum = 20, example = 5)]
    pub hold_out_percent: u8,
    /// Which of the due leads of one priority go out first, from the next claims on. It never overrides
    /// calling windows, attempt limits, retry rules or priorities.
    #[serde(default)]
    pub lead_order: LeadOrder,
    /// The message to leave on answering machines after their beep, by its name in the nodes'
    /// `[prompts.voice_drops]`. Needs `answering_machines` and a rule pack that allows it. None hangs up on
    /// them.
    #[serde(default)]
    #[schema(example = "autumn", max_length = 32)]
    pub voice_drop: Option<String>,
}

mod defaults {
    use super::{AgentDisposition, PacingMode};

    pub(super) const fn pacing() -> PacingMode {
        PacingMode::Progressive
    }
    pub(super) const fn dial_level() -> f64 {
        1.0
    }
    pub(super) const fn ring_limit() -> u64 {
        30
    }
    pub(super) const fn talk_limit() -> u64 {
        3_600
    }
    pub(super) const fn answer_limit() -> u64 {
        2_000
    }
    pub(super) const fn wrap_up_limit() -> u64 {
        60
    }
    pub(super) const fn attempts_max() -> u16 {
        6
    }
    pub(super) const fn yes() -> bool {
        true
    }
    pub(super) fn default_disposition() -> String {
        "no_result".to_owned()
    }
    pub(super) fn dispositions() -> Vec<AgentDisposition> {
        let named = |name: &str| AgentDisposition {
            name: name.to_owned(),
            contact: true,
            success: false,
            do_not_call: false,
            retry: false,
            freeze: false,
        };
        vec![
            AgentDisposition {
                success: true,
                ..named("success")
            },
            named("not_interested"),
            AgentDisposition {
                retry: true,
                ..named("callback")
            },
            AgentDisposition {
                do_not_call: true,
                ..named("do_not_call")
            },
            AgentDisposition {
                contact: false,
                retry: true,
                ..named("no_result")
            },
        ]
    }
}

impl CampaignSettings {
    /// With every default, under a name and a rule pack.
    pub fn new(name: impl Into<String>, rule_pack: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            regions: Vec::new(),
            pacing: defaults::pacing(),
            dial_level: defaults::dial_level(),
            ring_limit_seconds: defaults::ring_limit(),
            talk_limit_seconds: defaults::talk_limit(),
            answer_limit_ms: defaults::answer_limit(),
            wrap_up_limit_seconds: defaults::wrap_up_limit(),
            auto_ready: true,
            rule_pack: rule_pack.into(),
            attempts_max: defaults::attempts_max(),
            retry: Vec::new(),
            dispositions: defaults::dispositions(),
            default_disposition: defaults::default_disposition(),
            any_city_caller_id: true,
            requires_consent: false,
            answering_machines: AnsweringMachines::Off,
            recording: RecordedCalls::Off,
            target_abandonment_percent: None,
            inbound_agents: 0,
            ramp_up_seconds: 0,
            ramp_down_seconds: 0,
            drop_rate_group: None,
            hold_out_percent: 0,
            lead_order: LeadOrder::Oldest,
            voice_drop: None,
        }
    }

    /// The levers among them. Call [`Validate::validate`] first.
    pub fn levers(&self) -> Levers {
        let permille = |percent: f64| (percent * 10.0).round() as u16;
        Levers {
            target_permille: self.target_abandonment_percent.map(permille),
            inbound_agents: self.inbound_agents,
            ramp_up: Duration::from_secs(self.ramp_up_seconds),
            ramp_down: Duration::from_secs(self.ramp_down_seconds),
        }
    }

    /// With these levers.
    pub fn set_levers(&mut self, levers: Levers) {
        let percent = |permille| f64::from(permille) / 10.0;
        self.target_abandonment_percent = levers.target_permille.map(percent);
        self.inbound_agents = levers.inbound_agents;
        self.ramp_up_seconds = levers.ramp_up.as_secs();
        self.ramp_down_seconds = levers.ramp_down.as_secs();
    }

    fn disposition(&self, name: &str) -> Option<Disposition> {
        let own = self.dispositions.iter().position(|d| d.name == name);
        own.and_then(|at| u16::try_from(at).ok())
            .map(|at| Disposition::Agent(DispositionCode(at)))
            .or_else(|| Disposition::SYSTEM.into_iter().find(|d| d.name() == name))
    }

    /// The campaign as the directory keeps it. Call [`Validate::validate`] first.
    ///
    /// # Errors
    /// A retry rule or the default names no disposition.
    pub fn to_domain(
        &self,
        id: CampaignId,
        state: CampaignState,
        version: u64,
    ) -> Result<domain::Campaign, Vec<FieldError>> {
        let unknown = |pointer: String, name: &str| {
            vec![FieldError::new(
                pointer,
                format!("{name:?} is neither a system disposition nor one of the campaign's"),
            )]
        };
        let mut retry = Vec::new();
        for (at, rule) in self.retry.iter().enumerate() {
            let after = self
                .disposition(&rule.after)
                .ok_or_else(|| unknown(format!("/retry/{at}/after"), &rule.after))?;
            retry.push(RetryRule {
                after,
                delay: Duration::from_secs(rule.delay_seconds),
                attempts_max: rule.attempts_max,
            });
        }
        let Some(Disposition::Agent(default_disposition)) =
            self.disposition(&self.default_disposition)
        else {
            return Err(unknown(
                "/default_disposition".to_owned(),
                &self.default_disposition,
            ));
        };
        Ok(domain::Campaign {
            id,
            name: self.name.trim().to_owned(),
            state,
            regions: self.regions.clone(),
            pacing: match self.pacing {
                PacingMode::Progressive => domain::PacingMode::Progressive,
                PacingMode::Ratio => domain::PacingMode::Ratio,
                PacingMode::Predictive => domain::PacingMode::Predictive,
            },
            dial_level: DialLevel((self.dial_level * 100.0).round() as u16),
            ring_limit: Duration::from_secs(self.ring_limit_seconds),
            talk_limit: Duration::from_secs(self.talk_limit_seconds),
            answer_limit: Duration::from_millis(self.answer_limit_ms),
            wrap_up_limit: Duration::from_secs(self.wrap_up_limit_seconds),
            auto_ready: self.auto_ready,
            rule_pack: self.rule_pack.clone(),
            retry,
            attempts_max: self.attempts_max,
            dispositions: self
                .dispositions
                .iter()
                .map(|d| domain::AgentDisposition {
                    name: d.name.clone(),
                    flags: DispositionFlags {
                        contact: d.contact,
                        success: d.success,
                        do_not_call: d.do_not_call,
                        retry: d.retry,
                        freeze: d.freeze,
                    },
                })
                .collect(),
            default_disposition,
            any_city_caller_id: self.any_city_caller_id,
            version,
        })
    }
}

impl From<&domain::Campaign> for CampaignSettings {
    fn from(campaign: &domain::Campaign) -> Self {
        let name = |disposition| campaign.disposition_name(disposition).to_owned();
        Self {
            name: campaign.name.clone(),
            regions: campaign.regions.clone(),
            pacing: match campaign.pacing {
                domain::PacingMode::Progressive => PacingMode::Progressive,
                domain::PacingMode::Ratio => PacingMode::Ratio,
                domain::PacingMode::Predictive => PacingMode::Predictive,
            },
            dial_level: f64::from(campaign.dial_level.0) / 100.0,
            ring_limit_seconds: campaign.ring_limit.as_secs(),
            talk_limit_seconds: campaign.talk_limit.as_secs(),
            answer_limit_ms: u64::try_from(campaign.answer_limit.as_millis()).unwrap_or(u64::MAX),
            wrap_up_limit_seconds: campaign.wrap_up_limit.as_secs(),
            auto_ready: campaign.auto_ready,
            rule_pack: campaign.rule_pack.clone(),
            attempts_max: campaign.attempts_max,
            retry: campaign
                .retry
                .iter()
                .map(|rule| Retry {
                    after: name(rule.after),
                    delay_seconds: rule.delay.as_secs(),
                    attempts_max: rule.attempts_max,
                })
                .collect(),
            dispositions: campaign
                .dispositions
                .iter()
                .map(|d| AgentDisposition {
                    name: d.name.clone(),
                    contact: d.flags.contact,
                    success: d.flags.success,
                    do_not_call: d.flags.do_not_call,
                    retry: d.flags.retry,
                    freeze: d.flags.freeze,
                })
                .collect(),
            default_disposition: name(Disposition::Agent(campaign.default_disposition)),
            any_city_caller_id: campaign.any_city_caller_id,
            // Kept beside the campaign: whoever shows it knows.
            requires_consent: false,
            answering_machines: AnsweringMachines::Off,
            recording: RecordedCalls::Off,
            target_abandonment_percent: None,
            inbound_agents: 0,
            ramp_up_seconds: 0,
            ramp_down_seconds: 0,
            drop_rate_group: None,
            hold_out_percent: 0,
            lead_order: LeadOrder::Oldest,
            voice_drop: None,
        }
    }
}

impl Validate for CampaignSettings {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        checks.range("/dial_level", self.dial_level, (1.0, 10.0));
        if let Some(target) = self.target_abandonment_percent {
            let least = f64::from(limits::TARGET_PERMILLE_MIN) / 10.0;
            checks.range("/target_abandonment_percent", target, (least, 100.0));
        }
        let agents = (0, limits::INBOUND_AGENTS);
        checks.range("/inbound_agents", self.inbound_agents, agents);
        if let Some(Err(wrong)) = self.voice_drop.clone().map(PromptName::try_from) {
            checks.require(false, "/voice_drop", || wrong.to_string());
        }
        let share = (0, limits::HOLD_OUT_PERCENT);
        checks.range("/hold_out_percent", self.hold_out_percent, share);
        let ramp = (0, limits::RAMP_MAX.as_secs());
        checks.range("/ramp_up_seconds", self.ramp_up_seconds, ramp);
        checks.range("/ramp_down_seconds", self.ramp_down_seconds, ramp);
        checks.range("/ring_limit_seconds", self.ring_limit_seconds, (15, 120));
        checks.range("/talk_limit_seconds", self.talk_limit_seconds, (60, 14_400));
        checks.range("/answer_limit_ms", self.answer_limit_ms, (0, 10_000));
        checks.range(
            "/wrap_up_limit_seconds",
            self.wrap_up_limit_seconds,
            (1, 3_600),
        );
        checks.range("/attempts_max", self.attempts_max, (1, 100));
        checks.range("/regions", self.regions.len(), (0, limits::REGIONS));
        checks.range(
            "/dispositions",
            self.dispositions.len(),
            (1, limits::DISPOSITIONS),
        );
        let kinds = limits::DISPOSITIONS + Disposition::SYSTEM.len();
        checks.range("/retry", self.retry.len(), (0, kinds));
        for (at, disposition) in self.dispositions.iter().enumerate() {
            let (pointer, name) = (format!("/dispositions/{at}/name"), &disposition.name);
            checks.name(&pointer, name);
            let first = self.dispositions.iter().position(|d| d.name == *name);
            let system = Disposition::SYSTEM.iter().any(|d| d.name() == name);
            checks.require(first == Some(at) && !system, &pointer, || {
                format!("{name:?} is taken; expected a name of its own")
            });
        }
        for (at, rule) in self.retry.iter().enumerate() {
            checks.require(
                self.disposition(&rule.after).is_some(),
                &format!("/retry/{at}/after"),
                || {
                    format!(
                        "{:?} is neither a system disposition nor one of the campaign's",
                        rule.after
                    )
                },
            );
            checks.range(
                &format!("/retry/{at}/attempts_max"),
                rule.attempts_max,
                (1, 100),
            );
            let year = 366 * 86_400;
            checks.range(
                &format!("/retry/{at}/delay_seconds"),
                rule.delay_seconds,
                (0, year),
            );
        }
        checks.require(
            self.dispositions
                .iter()
                .any(|d| d.name == self.default_disposition),
            "/default_disposition",
            || {
                format!(
                    "{:?} is not one of the campaign's dispositions",
                    self.default_disposition
                )
            },
        );
        checks.done()
    }
}

/// A campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Campaign {
    /// Its id.
    #[schema(value_type = String, example = "camp_00000001")]
    pub id: CampaignId,
    /// `draft`, `running`, `paused` or `stopped`.
    #[schema(value_type = String, example = "running")]
    pub state: CampaignState,
    /// Grows with each change; the ETag.
    pub version: u64,
    /// What people set.
    #[serde(flatten)]
    pub settings: CampaignSettings,
}

impl From<&domain::Campaign> for Campaign {
    fn from(campaign: &domain::Campaign) -> Self {
        Self {
            id: campaign.id,
            state: campaign.state,
            version: campaign.version,
            settings: campaign.into(),
        }
    }
}

/// Why leads of a campaign are not being dialed now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdleReason {
    /// The rule: `outside_calling_window`, `resting`, `attempts_used`, `do_not_call`, `leased`,
    /// `no_ready_agent`, `no_caller_id`, `campaign_paused`, …
    pub rule: String,
    /// How many leads it holds back.
    pub leads: u64,
    /// When the first of them may be dialed, where that is known.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
}

/// What is left of a campaign's abandonment budget, and who holds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AbandonmentBudget {
    /// Over what it is counted: `30 days`, `24 hours`, `the month in Europe/London`.
    pub window: String,
    /// Whole abandonments that may still happen, those held by cities among them; below zero when
    /// more happened than is allowed.
    pub left: i64,
    /// Held by cities that fell silent or died: counted as abandoned until they speak or the window
    /// has passed.
    pub in_doubt: u64,
    /// What each city that dials the campaign may do; and cities that only lend it agents.
    pub cities: Vec<CityShare>,
}

/// What a city may do with a campaign's abandonment budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CityShare {
    /// The node.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// The city's name.
    pub name: String,
    /// Abandonments that it may still cause without asking.
    pub held: u32,
    /// What it would like to hold.
    pub wanted: u32,
    /// Whether it dials ahead of its agents, and if not why: `ahead`, `one_to_one_share_spent`,
    /// `one_to_one_share_unknown`, `one_to_one_by_choice`, `idle`.
    pub dials: String,
    /// What holds its lines; none while the node is silent or does not dial the campaign.
    #[serde(default)]
    pub pacing: Option<CityPacing>,
    /// Its calls of the campaign that it carries with other cities; none while the node is silent.
    #[serde(default)]
    pub overflow: Option<CityOverflow>,
}

/// What holds a city's lines of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CityPacing {
    /// What kept it from one more line over the last second: a lever (`target_abandonment`,
    /// `dial_level`, `inbound_agents`, `ramp_up`, `ramp_down`), the budget (`abandonment_budget`,
    /// `budget_reserve`, `abandonment_risk`, `still_learning`), or what is short (`ready_agents`,
    /// `no_agents`, `leads`, `trunk_channels`, `trunk_calls_per_second`, `do_not_call`).
    pub limit: String,
    /// The dial level of the moment: below the campaign's own while it is ramped.
    pub dial_level: f64,
    /// Lines that may still need an agent.
    pub lines: u32,
    /// Agents on shift who take its calls.
    pub agents: u32,
    /// Those of them who are ready.
    pub ready: u32,
    /// Those of the ready ones who are left to inbound calls.
    pub kept_for_inbound: u32,
}

impl From<&PacingStatus> for CityPacing {
    fn from(status: &PacingStatus) -> Self {
        Self {
            limit: status.limit.name().to_owned(),
            dial_level: f64::from(status.level.0) / 100.0,
            lines: status.lines,
            agents: status.agents,
            ready: status.ready,
            kept_for_inbound: status.spared,
        }
    }
}

/// A campaign's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CampaignStats {
    /// The campaign.
    #[schema(value_type = String)]
    pub campaign: CampaignId,
    /// Leads by state: `due`, `leased`, `resting`, `in_doubt`, `finished`, …
    pub leads: BTreeMap<String, u64>,
    /// Attempts made.
    pub attempts: u64,
    /// Calls that persons made to us; not among the attempts.
    #[serde(default)]
    pub call_backs: u64,
    /// Attempts by disposition.
    pub dispositions: BTreeMap<String, u64>,
    /// Abandonment over the rule pack's window, as all cities have told it.
    pub abandonment: Abandonment,
    /// What is left of its budget, and who holds it.
    pub budget: AbandonmentBudget,
    /// What local numbers are worth; none while no dials are held out and none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_presence: Option<LocalPresence>,
    /// Why nothing more is dialed now, largest first.
    pub why_idle: Vec<IdleReason>,
    /// How fresh the figures are.
    pub as_of: Timestamp,
}
