// Live calls and who may be in them.

import type { LiveCall, LiveCalls, Manner, Seat } from "./api";

/** So many calls are shown; all of them: `dialmesh call live`. */
export const SHOWN_CALLS = 50;

/** Every manner, the least first. */
export const manners: Manner[] = ["listen", "whisper", "barge"];

/** The seat that is meant: the chosen one while it is there, else the only one. */
export function seatOf(seats: Seat[], chosen: string | null): Seat | undefined {
  return seats.find((seat) => seat.agent === chosen) ?? (seats.length === 1 ? seats[0] : undefined);
}

/** How a seat is in a call. */
export const mannerIn = (call: LiveCall, seat: Seat | undefined): Manner | undefined =>
  call.supervisors.find((one) => one.agent === seat?.agent)?.manner;

/** The call that the seat is in comes first, then those that it can be in, the oldest first. */
export function ordered(live: LiveCalls, seat: Seat | undefined): { shown: LiveCall[]; others: number } {
  const rank = (call: LiveCall) => (mannerIn(call, seat) ? 0 : call.node === seat?.node ? 1 : 2);
  const all = [...live.data].sort(
    (a, b) => rank(a) - rank(b) || a.joined_at.localeCompare(b.joined_at) || a.id.localeCompare(b.id),
  );
  return { shown: all.slice(0, SHOWN_CALLS), others: Math.max(0, all.length - SHOWN_CALLS) };
}
