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
export async function fetchStatus(token: string): Promise<Status> {
  const response = await fetch("/api/v1/status", {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!response.ok) throw await problemOf(response);
  return (await response.json()) as Status;
}

export async function problemOf(response: Response): Promise<Problem> {
  try {
    return (await response.json()) as Problem;
  } catch {
    return { title: response.statusText, status: response.status, code: "", remedy: "" };
  }
}
