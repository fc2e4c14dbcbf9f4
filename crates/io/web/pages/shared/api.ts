// The shapes of the admin API that the pages read; their source is crates/io/http/openapi.json.

export type CityMode = "central" | "local" | "unreachable" | "cordoned";
export type TrunkState = "up" | "down" | "disabled" | "unknown";

export interface TrunkStatus {
  id: string;
  name: string;
  state: TrunkState;
  in_use: number;
  channels: number;
}

export interface AgentCounts {
  paused: number;
  ready: number;
  reserved: number;
  on_call: number;
  wrap_up: number;
}

export interface CallCounts {
  dialing: number;
  ringing: number;
  waiting: number;
  bridged: number;
}

export interface Abandonment {
  answered: number;
  abandoned: number;
  percent: number;
  budget_percent: number;
}

/** What is wrong with how a node is set up; `text` is all of it, in English. */
export interface CityProblem {
  code: string;
  setting: string;
  value: string;
  known: string[];
  text: string;
}

/** Calls that a city carries with other cities; totals since its node started. */
export interface CityOverflow {
  out_now: number;
  in_now: number;
  out_total: number;
  in_total: number;
  missed: number;
}

export interface CityStatus {
  node: string;
  name: string;
  region: string;
  region_name: string;
  mode: CityMode;
  mode_since: string;
  queued: number;
  hopper: number;
  trunks: TrunkStatus[];
  problems?: CityProblem[];
  overflow?: CityOverflow;
  calls: CallCounts;
  agents: AgentCounts;
  abandonment: Abandonment;
  calls_per_second: number;
  attempts_total: number;
  bridged_total: number;
  as_of: string;
  age_ms: number;
}

export interface GroupStatus {
  name: string;
  leader?: string | null;
  term: number;
  applied_index: number;
  members: { member: string; voter: boolean; matched_index?: number | null }[];
}

export interface Status {
  as_of: string;
  member: string;
  version: string;
  campaigns_running: number;
  cities: CityStatus[];
  groups: GroupStatus[];
}

/** An error as the API tells it (RFC 9457). */
export interface Problem {
  title: string;
  status: number;
  code: string;
  detail?: string;
  remedy: string;
}

/** Asks once, to see whether a token is good. */
export const fetchStatus = (token: string) => ask<Status>("status", token);

export async function problemOf(response: Response): Promise<Problem> {
  try {
    return (await response.json()) as Problem;
  } catch {
    return { title: response.statusText, status: response.status, code: "", remedy: "" };
  }
}

export type PacingMode = "progressive" | "ratio" | "predictive";
export type CampaignState = "draft" | "running" | "paused" | "stopped";

export interface Campaign {
  id: string;
  name: string;
  state: CampaignState;
  pacing: PacingMode;
  dial_level: number;
  rule_pack: string;
  target_abandonment_percent?: number | null;
  inbound_agents?: number;
  ramp_up_seconds?: number;
  ramp_down_seconds?: number;
  hold_out_percent?: number;
  voice_drop?: string | null;
  /** A coordinator of an earlier release does not say it. */
  lead_order?: LeadOrder;
}

/** Which of the due leads of one priority go out first. */
export type LeadOrder = "oldest" | "best_chance";

/** Lines, the share that a person answered, and where it lies with 95 % certainty. */
export interface AnswerRate {
  lines: number;
  answered: number;
  percent?: number | null;
  from: number;
  to: number;
}

export interface HourLearned {
  hour: number;
  rate: AnswerRate;
  /** 1.2: a fifth more answers than at a usual hour. */
  factor: number;
}

/** What the cities have learned of who answers. */
export interface CampaignLearned {
  lead_order: LeadOrder;
  all: AnswerRate;
  hours: HourLearned[];
  lists: { name: string; rate: AnswerRate; hours: HourLearned[] }[];
  by_chance: AnswerRate;
  held_out: AnswerRate;
  /** In percentage points. */
  calibration_error: number;
  silent: string[];
}

export type CallerIdState = "good" | "doubted" | "resting";

/** One of our numbers, whole. */
export interface CallerIdReputation {
  number: string;
  node: string;
  state: CallerIdState;
  rested_days?: number | null;
  calls_today: number;
  answered: number;
  expected: number;
  quality: number;
}

/** The numbers that a node has of one place. */
export interface CallerIdPlace {
  node: string;
  country: string;
  place?: string | null;
  place_zh?: string | null;
  area?: number | null;
  numbers: number;
  calls_today: number;
  doubted: number;
  resting: number;
  load_percent: number;
  more_wanted: boolean;
}

/** What persons think of the caller IDs. */
export interface CallerIdReputations {
  places: CallerIdPlace[];
  /** The worst first. */
  numbers: CallerIdReputation[];
  silent: string[];
}

export type Dials =
  | "ahead"
  | "one_to_one_share_spent"
  | "one_to_one_share_unknown"
  | "one_to_one_by_choice"
  | "idle";

/** What holds a city's lines; a node of an earlier release does not say it. */
export interface CityPacing {
  limit: string;
  dial_level: number;
  lines: number;
  agents: number;
  ready: number;
  kept_for_inbound: number;
}

export interface CityShare {
  node: string;
  name: string;
  held: number;
  wanted: number;
  dials: Dials;
  pacing?: CityPacing | null;
}

/** Dials of one kind, and how many of them a person answered. */
export interface LiftArm {
  dials: number;
  answers: number;
  percent?: number | null;
}

/** A region's dials with a local number beside those held out, in percent and points. */
export interface LiftOfRegion {
  name: string;
  local: LiftArm;
  held_out: LiftArm;
  lift_points?: number | null;
  low_points?: number | null;
  high_points?: number | null;
  local_is_answered: string;
}

export interface LocalPresence {
  hold_out_percent: number;
  regions: LiftOfRegion[];
  all: LiftOfRegion;
}

export interface CampaignStats {
  campaign: string;
  abandonment: Abandonment;
  budget: { window: string; left: number; in_doubt: number; cities: CityShare[] };
  local_presence?: LocalPresence | null;
  why_idle: { rule: string; leads: number; next_at?: string | null }[];
  as_of: string;
}

/** How a supervisor is in a call. */
export type Manner = "listen" | "whisper" | "barge";

export interface LiveCall {
  id: string;
  campaign: string;
  campaign_name: string;
  node: string;
  agent: string;
  agent_login: string;
  number: string;
  direction: "outbound" | "inbound";
  joined_at: string;
  /** Since when the person is on hold. */
  held_since?: string;
  supervisors: { agent: string; manner: Manner }[];
}

/** An agent account on shift and paused: its audio leg can be a supervisor's. */
export interface Seat {
  agent: string;
  login: string;
  node: string;
}

export interface LiveCalls {
  data: LiveCall[];
  seats: Seat[];
  /** Nodes that did not answer. */
  silent: string[];
}

async function ask<T>(path: string, token: string): Promise<T> {
  const response = await fetch(`/api/v1/${path}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!response.ok) throw await problemOf(response);
  return (await response.json()) as T;
}

/** Every campaign, page by page. */
export async function fetchCampaigns(token: string): Promise<Campaign[]> {
  const all: Campaign[] = [];
  let cursor = "";
  do {
    const page = await ask<{ data: Campaign[]; next_cursor?: string | null }>(
      `campaigns?limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      token,
    );
    all.push(...page.data);
    cursor = page.next_cursor ?? "";
  } while (cursor);
  return all;
}

export const fetchStats = (id: string, token: string) =>
  ask<CampaignStats>(`campaigns/${id}/stats`, token);

export const fetchLearned = (id: string, token: string) =>
  ask<CampaignLearned>(`campaigns/${id}/learned`, token);

export const fetchReputations = (token: string) =>
  ask<CallerIdReputations>("caller-ids/reputation", token);

/** Calls in which somebody speaks now; for supervisors. */
export const fetchLive = (token: string) => ask<LiveCalls>("live-calls", token);

async function act(method: string, path: string, token: string, body?: unknown): Promise<void> {
  const response = await fetch(`/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) throw await problemOf(response);
}

const place = (call: string, seat: string) =>
  `live-calls/${encodeURIComponent(call)}/supervisors/${encodeURIComponent(seat)}`;

/** Lets the seat into a call, or changes how it is there. */
export const supervise = (call: string, seat: string, manner: Manner, token: string) =>
  act("PUT", place(call, seat), token, { manner });

/** Lets the seat go out of a call. */
export const leaveCall = (call: string, seat: string, token: string) =>
  act("DELETE", place(call, seat), token);
