// Running times. The node's clock counts, not this machine's.

/** A span as a clock shows it: `0:07`, `12:34`, `1:02:03`. */
export function running(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** What is left until a deadline, rounded up so that 0:00 is shown only when it is over. */
export const left = (deadline: number, now: number) =>
  running(Math.ceil(Math.max(0, deadline - now) / 1000) * 1000);

/** Differences below this come from the header's whole seconds and the way. */
const NOISE_MS = 1_500;

/**
 * How far the node's clock is ahead of this machine's, by a response's `Date` and the times of
 * asking and hearing. 0 where it cannot be told from none.
 */
export function skew(date: string | null, asked: number, heard: number): number {
  const said = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(said)) return 0;
  // The header leaves out the fraction: half a second on average.
  const ahead = said + 500 - (asked + heard) / 2;
  return Math.abs(ahead) < NOISE_MS ? 0 : Math.round(ahead);
}
