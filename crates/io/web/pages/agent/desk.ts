// What the agent's screen knows, made from the node's notices and nothing else.

import type { Card, CommandError, EndedBy, Notice, Status } from "./protocol";

/** The call before: what the agent may still want to see. */
export interface Past {
  attempt: string;
  name: string;
  number: string;
  disposition: string | null;
  by: EndedBy | null;
}

/** Something to tell that nobody asked for, or a command that was refused. */
export interface Trouble extends CommandError {
  key: number;
  /** The command that was refused; none for the node's own word. */
  command?: string;
}

export interface Desk {
  /** None before the first snapshot. */
  status?: Status;
  call?: Card;
  last?: Past;
  troubles: Trouble[];
  /** Counts troubles, so that each has a name of its own. */
  told: number;
}

export const empty: Desk = { troubles: [], told: 0 };

/** The node's word for a browser's audio that went away; over once the phone is up again. */
export const AUDIO_LOST = "DM3022";

/** Troubles shown at a time; the oldest goes. */
export const TROUBLES = 4;

const past = (card: Card): Past => ({
  attempt: card.attempt,
  name: card.name,
  number: card.number,
  disposition: card.disposition,
  by: card.ended?.by ?? null,
});

const bound = (state: Status["state"]) => state === "on_call" || state === "wrap_up";

function statusOf(notice: Status): Status {
  const { state, code, since, deadline, phone, next } = notice;
  return code === undefined
    ? { state, since, deadline, phone, next }
    : { state, code, since, deadline, phone, next };
}

/** The desk after a notice. `now` is the node's time. */
export function told(desk: Desk, notice: Notice, now: number): Desk {
  switch (notice.type) {
    case "snapshot": {
      const before = desk.call;
      const gone = before && before.attempt !== notice.call?.attempt;
      const next: Desk = { ...desk, status: statusOf(notice) };
      if (gone) next.last = past(before);
      if (notice.call) next.call = notice.call;
      else delete next.call;
      return next;
    }
    case "state": {
      const next: Desk = { ...desk, status: statusOf(notice) };
      if (notice.phone === "up") {
        next.troubles = desk.troubles.filter((t) => t.code !== AUDIO_LOST);
      }
      // The card comes just before the state says ON CALL, so only leaving it counts.
      if (desk.call && desk.status && bound(desk.status.state) && !bound(notice.state)) {
        next.last = past(desk.call);
        delete next.call;
      }
      return next;
    }
    case "call": {
      const { type: _, ...card } = notice;
      // What was refused before is about another call.
      return { ...desk, call: card, troubles: desk.troubles.filter((t) => !t.command) };
    }
    case "call_ended":
      if (desk.call?.attempt !== notice.attempt) return desk;
      return { ...desk, call: { ...desk.call, held_since: null, ended: { at: now, by: notice.by } } };
    case "recording":
      if (desk.call?.attempt !== notice.attempt) return desk;
      return { ...desk, call: { ...desk.call, recording: notice.recording } };
    case "held":
      if (desk.call?.attempt !== notice.attempt) return desk;
      return { ...desk, call: { ...desk.call, held_since: notice.since } };
    case "disposed":
      if (desk.call?.attempt === notice.attempt) {
        return { ...desk, call: { ...desk.call, disposition: notice.disposition } };
      }
      if (desk.last?.attempt === notice.attempt) {
        return { ...desk, last: { ...desk.last, disposition: notice.disposition } };
      }
      return desk;
    case "error":
      return troubled(desk, { code: notice.code, message: notice.message });
  }
}

/** The desk with one trouble more. The same one again replaces the first. */
export function troubled(desk: Desk, error: CommandError, command?: string): Desk {
  const others = desk.troubles.filter((t) => t.code !== error.code || t.command !== command);
  const trouble: Trouble = { ...error, key: desk.told };
  if (command !== undefined) trouble.command = command;
  return { ...desk, told: desk.told + 1, troubles: [...others, trouble].slice(-TROUBLES) };
}

/** The desk without a trouble that was read. */
export const dismissed = (desk: Desk, key: number): Desk => ({
  ...desk,
  troubles: desk.troubles.filter((t) => t.key !== key),
});

/** The desk after a command went well: what refused it before is no longer true. */
export const wentWell = (desk: Desk, command: string): Desk =>
  desk.troubles.some((t) => t.command === command)
    ? { ...desk, troubles: desk.troubles.filter((t) => t.command !== command) }
    : desk;

/** Which commands the node would take now. */
export interface Offers {
  log_in: boolean;
  /** At once, or after the call. */
  log_out: boolean;
  ready: boolean;
  pause: boolean;
  hang_up: boolean;
  dispose: boolean;
  recording_pause: boolean;
  recording_resume: boolean;
  hold: boolean;
  resume: boolean;
  press_keys: boolean;
  /** Whether `ready`, `pause` and `log_out` wait for the call and its wrap-up. */
  later: boolean;
}

export function offers({ status, call }: Desk): Offers {
  const state = status?.state;
  const phone = status?.phone ?? "down";
  const later = state === "reserved" || state === "on_call" || state === "wrap_up";
  const onShift = status !== undefined && state !== "logged_out";
  return {
    log_in: state === "logged_out" && phone === "down",
    // During a shift the phone is told as down while a browser's audio is gone.
    log_out: (onShift || phone !== "down") && !(later && status?.next === "log_out"),
    // A reserved agent is ready already.
    ready: state === "paused" || (later && state !== "reserved" && status?.next !== "ready"),
    pause: onShift,
    hang_up: state === "on_call",
    recording_pause: state === "on_call" && call?.recording === "on",
    recording_resume: state === "on_call" && call?.recording === "paused",
    hold: state === "on_call" && !call?.held_since,
    resume: state === "on_call" && !!call?.held_since,
    // Who is on hold hears no keys.
    press_keys: state === "on_call" && !call?.held_since,
    dispose:
      call !== undefined && call.disposition === null && (state === "on_call" || state === "wrap_up"),
    later,
  };
}

/** Whether closing the page would leave a person or a result behind. */
export const occupied = ({ status }: Desk) =>
  status !== undefined && (status.state === "on_call" || status.state === "wrap_up");
