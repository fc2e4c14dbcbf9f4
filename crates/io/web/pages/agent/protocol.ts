// The frames of the agents' API (docs/api.md, "Agents' API"); their source is crates/core/call/src/{command,notice}.rs.

export type AgentState =
  | "logged_out"
  | "paused"
  | "ready"
  | "reserved"
  | "on_call"
  | "wrap_up";
export type Phone = "down" | "ringing" | "up";
/** Who ended the call: we, or the called person. */
export type EndedBy = "caller" | "callee";

export interface Status {
  state: AgentState;
  /** Of a pause. */
  code?: string;
  /** Milliseconds since 1970 by the node's clock, as every time here. */
  since: number;
  deadline: number | null;
  phone: Phone;
  next: string | null;
}

export interface Choice {
  name: string;
  contact: boolean;
  success: boolean;
  do_not_call: boolean;
  retry: boolean;
  freeze: boolean;
}

export interface Card {
  attempt: string;
  lead: string;
  /** Masked. */
  number: string;
  name: string;
  attributes: Record<string, string>;
  campaign: string;
  campaign_name: string;
  /** IANA names of every time zone the number may lie in. */
  zones?: string[];
  dispositions: Choice[];
  bridged_at: number | null;
  ended: { at: number; by: EndedBy } | null;
  disposition: string | null;
  /** While the call is recorded; absent where it is not, or where the node cannot. */
  recording?: Recording | null;
  /** Since when the person is on hold; absent where that is not so. */
  held_since?: number | null;
  /** That the person called us; absent where we called. */
  call_back?: CallBack | null;
}

export interface CallBack {
  /** The number of ours that was called, masked. */
  called: string;
  /** The other city whose number that is, empty where its name is not known; absent for this city's. */
  city?: string | null;
  waited_ms: number;
  /** Whether this agent spoke with the person last. */
  yours: boolean;
}

export type Recording = "on" | "paused";

export type Notice =
  | ({ type: "snapshot"; call: Card | null } & Status)
  | ({ type: "state" } & Status)
  | ({ type: "call" } & Card)
  | { type: "call_ended"; attempt: string; by: EndedBy }
  | { type: "recording"; attempt: string; recording: Recording }
  | { type: "held"; attempt: string; since: number | null }
  | { type: "disposed"; attempt: string; disposition: string }
  | { type: "error"; code: string; message: string };

export type Command =
  | { type: "log_in" }
  | { type: "log_out" }
  | { type: "ready" }
  | { type: "pause"; code: string }
  | { type: "hang_up" }
  | { type: "dispose"; disposition: string; note: string; callback_at: number | null }
  | { type: "recording_pause" }
  | { type: "recording_resume" }
  | { type: "hold" }
  | { type: "resume" }
  | { type: "press_keys"; keys: string }
  | { type: "audio_offer"; sdp: string }
  | { type: "audio_close" }
  | { type: "ping" };
export type CommandType = Command["type"];

/** What went wrong, in the node's words. */
export interface CommandError {
  code: string;
  message: string;
}

export interface Reply {
  reply: number;
  ok: boolean;
  error?: CommandError;
  /** The answer to `audio_offer`. */
  sdp?: string;
}

/** Bytes of a note, as the node counts them (UTF-8). */
export const NOTE_BYTES = 2_000;
/** Bytes of a pause code. */
export const PAUSE_CODE_BYTES = 32;
/** Keys that one command may hold. */
export const KEYS = 32;
/** How far ahead a callback may be promised. */
export const CALLBACK_AHEAD_MS = 366 * 24 * 3_600_000;

const kinds: ReadonlySet<string> = new Set<Notice["type"]>([
  "snapshot",
  "state",
  "call",
  "call_ended",
  "recording",
  "held",
  "disposed",
  "error",
]);

/** Reads a frame of the node; none for one that this page does not know, as of a newer node. */
export function read(text: string): Notice | Reply | undefined {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof frame !== "object" || frame === null) return undefined;
  if ("reply" in frame && typeof frame.reply === "number") return frame as Reply;
  if ("type" in frame && typeof frame.type === "string" && kinds.has(frame.type)) {
    return frame as Notice;
  }
  return undefined;
}

const utf8 = new TextEncoder();

/** Bytes of a text in UTF-8. */
export const bytes = (text: string) => utf8.encode(text).length;
