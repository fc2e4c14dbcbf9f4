// What the figures of a campaign's pacing mean.

import type { Campaign, CampaignStats, CityShare, Dials, LiftOfRegion } from "./api";

/** So many campaigns are asked for their figures at a time. */
export const SHOWN = 20;

/** Those that dial, by name, at most `SHOWN`; and how many others there are. */
export function chosen(campaigns: Campaign[]): { shown: Campaign[]; others: number } {
  const alive = campaigns.filter((c) => c.state === "running" || c.state === "paused");
  alive.sort((a, b) =>
    a.state === b.state ? a.name.localeCompare(b.name) : a.state === "running" ? -1 : 1,
  );
  return { shown: alive.slice(0, SHOWN), others: campaigns.length - Math.min(alive.length, SHOWN) };
}

const order: Dials[] = [
  "one_to_one_share_unknown",
  "one_to_one_share_spent",
  "one_to_one_by_choice",
  "ahead",
  "idle",
];

/** How many cities dial in which way; what needs a look comes first. */
export function ways(cities: CityShare[]): { dials: Dials; cities: CityShare[] }[] {
  return order
    .map((dials) => ({ dials, cities: cities.filter((city) => city.dials === dials) }))
    .filter((way) => way.cities.length > 0);
}

export type Lever = "target" | "inbound" | "rampUp" | "rampDown";

/** The levers of a campaign that are set, in percent, agents and minutes. */
export function levers(campaign: Campaign): { lever: Lever; value: number }[] {
  const all: { lever: Lever; value: number }[] = [
    { lever: "target", value: campaign.target_abandonment_percent ?? 0 },
    { lever: "inbound", value: campaign.inbound_agents ?? 0 },
    { lever: "rampUp", value: (campaign.ramp_up_seconds ?? 0) / 60 },
    { lever: "rampDown", value: (campaign.ramp_down_seconds ?? 0) / 60 },
  ];
  return all.filter(({ value }) => value > 0);
}

export type LiftSaid = "lift.more" | "lift.less" | "lift.notToldApart" | "lift.tooFew";

/** What a comparison of local numbers with others came to; what a newer server says otherwise is too
 * little to tell here. */
export function lift(row: LiftOfRegion): { said: LiftSaid; points: number; low: number; high: number } {
  const { lift_points: points, low_points: low, high_points: high } = row;
  if (points == null || low == null || high == null) {
    return { said: "lift.tooFew", points: 0, low: 0, high: 0 };
  }
  const said = low > 0 ? "lift.more" : high < 0 ? "lift.less" : "lift.notToldApart";
  return { said, points, low, high };
}

/** Abandonments that cities hold and may still cause without asking. */
export const held = (stats: CampaignStats) =>
  stats.budget.cities.reduce((sum, city) => sum + city.held, 0);

/** The share abandoned, in percent, if everything that is held or in doubt came to be. */
export function atWorst(stats: CampaignStats): number {
  const { answered, abandoned } = stats.abandonment;
  const all = abandoned + stats.budget.in_doubt + held(stats);
  return answered === 0 ? 0 : (100 * all) / answered;
}
