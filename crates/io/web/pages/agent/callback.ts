// The time of a promised callback: a wall-clock time in a named zone, and the moment it means.

import { CALLBACK_AHEAD_MS } from "./protocol";

/** This machine's zone. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The zone to ask for times in: the lead's where it is certain, else the agent's own. */
export function zoneOf(zones: readonly string[] | undefined): { zone: string; lead: boolean } {
  const known = [...new Set(zones ?? [])].filter(isZone);
  const only = known[0];
  return known.length === 1 && only !== undefined
    ? { zone: only, lead: true }
    : { zone: ownZone(), lead: false };
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** What a clock in a zone shows at a moment, as a `datetime-local` field has it. */
export function shown(at: number, zone: string): string {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  }).formatToParts(at);
  const part = (type: string) => parts.find((p) => p.type === type)?.value ?? "";
  return `${part("year").padStart(4, "0")}-${part("month")}-${part("day")}T${part("hour")}:${part("minute")}`;
}

/**
 * The moment at which clocks in a zone show a time. Of two (the clocks went back) the first; none
 * for a text that is no time or a time that the clocks skip.
 */
export function moment(text: string, zone: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(text)) return undefined;
  const asUtc = Date.parse(`${text}Z`);
  if (Number.isNaN(asUtc)) return undefined;
  // An offset is at most a day, and holds for the moments around.
  const candidates = [-86_400_000, 0, 86_400_000].map((around) => {
    const at = asUtc + around;
    return asUtc - (Date.parse(`${shown(at, zone)}Z`) - at);
  });
  const fitting = candidates.filter((at) => shown(at, zone) === text);
  return fitting.length === 0 ? undefined : Math.min(...fitting);
}

export type CallbackFault = "unreadable" | "past" | "far" | "forbidden";

/** Reads the field: a moment, none where it is empty, or what is wrong. */
export function callbackAt(
  text: string,
  zone: string,
  now: number,
): { at: number | null } | { fault: CallbackFault } {
  if (text === "") return { at: null };
  const at = moment(text, zone);
  if (at === undefined) return { fault: "unreadable" };
  if (at <= now) return { fault: "past" };
  if (at > now + CALLBACK_AHEAD_MS) return { fault: "far" };
  return { at };
}

/** A quick choice: whole minutes from now, or ten in the morning of tomorrow in the zone. */
export function quick(choice: "hour" | "three_hours" | "tomorrow", zone: string, now: number) {
  if (choice === "hour") return shown(now + 3_600_000, zone);
  if (choice === "three_hours") return shown(now + 3 * 3_600_000, zone);
  // A day may have 23 or 25 hours: from noon today a day on is tomorrow in every zone.
  const noon = moment(`${shown(now, zone).slice(0, 10)}T12:00`, zone) ?? now;
  return `${shown(noon + 86_400_000, zone).slice(0, 10)}T10:00`;
}
