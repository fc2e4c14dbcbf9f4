import { describe, expect, it } from "vitest";
import type { Campaign, CampaignStats, CityShare, Dials } from "./api";
import { SHOWN, atWorst, chosen, held, levers, lift, ways } from "./campaigns";

const campaign = (name: string, state: Campaign["state"]): Campaign => ({
  id: name,
  name,
  state,
  pacing: "predictive",
  dial_level: 3,
  rule_pack: "us-federal",
});
const city = (name: string, dials: Dials, share = 0): CityShare => ({
  node: name,
  name,
  held: share,
  wanted: 20,
  dials,
});
const stats = (answered: number, cities: CityShare[]): CampaignStats => ({
  campaign: "c",
  abandonment: { answered, abandoned: 10, percent: 1, budget_percent: 3 },
  budget: { window: "30 days", left: 18, in_doubt: 2, cities },
  why_idle: [],
  as_of: "",
});

describe("chosen", () => {
  it("shows running ones first, and none that are stopped or never began", () => {
    const all = [
      campaign("b", "running"),
      campaign("a", "paused"),
      campaign("a2", "running"),
      campaign("old", "stopped"),
      campaign("new", "draft"),
    ];
    const { shown, others } = chosen(all);
    expect(shown.map((c) => c.name)).toEqual(["a2", "b", "a"]);
    expect(others).toBe(2);
    expect(chosen([])).toEqual({ shown: [], others: 0 });
  });
  it("has a bound", () => {
    const many = Array.from({ length: SHOWN + 5 }, (_, n) => campaign(`c${n}`, "running"));
    const { shown, others } = chosen(many);
    expect([shown.length, others]).toEqual([SHOWN, 5]);
  });
});

describe("ways", () => {
  it("counts cities, what needs a look first", () => {
    const cities = [
      city("x", "ahead"),
      city("y", "one_to_one_share_spent"),
      city("z", "ahead"),
    ];
    expect(ways(cities).map((w) => [w.dials, w.cities.length])).toEqual([
      ["one_to_one_share_spent", 1],
      ["ahead", 2],
    ]);
    expect(ways([])).toEqual([]);
  });
});

describe("atWorst", () => {
  it("adds what is held and in doubt", () => {
    const some = stats(1000, [city("x", "ahead", 6), city("y", "idle")]);
    expect(held(some)).toBe(6);
    expect(atWorst(some)).toBeCloseTo(1.8);
    expect(atWorst(stats(0, []))).toBe(0);
  });
});

describe("lift", () => {
  const row = (lift_points?: number, low_points?: number, high_points?: number) => ({
    name: "north",
    local: { dials: 70, answers: 56, percent: 80 },
    held_out: { dials: 80, answers: 48, percent: 60 },
    lift_points,
    low_points,
    high_points,
    local_is_answered: "",
  });
  it("is told by the interval alone", () => {
    expect(lift(row(20, 5.24, 33.39))).toEqual({ said: "lift.more", points: 20, low: 5.24, high: 33.39 });
    expect(lift(row(-20, -33.39, -5.24)).said).toBe("lift.less");
    expect(lift(row(2, -1, 5)).said).toBe("lift.notToldApart");
    expect(lift(row(0, 0, 5)).said).toBe("lift.notToldApart");
    expect(lift(row()).said).toBe("lift.tooFew");
  });
});

describe("levers", () => {
  it("names those that are set", () => {
    const set = {
      ...campaign("a", "running"),
      target_abandonment_percent: 2.5,
      inbound_agents: 2,
      ramp_up_seconds: 600,
      ramp_down_seconds: 0,
    };
    expect(levers(set)).toEqual([
      { lever: "target", value: 2.5 },
      { lever: "inbound", value: 2 },
      { lever: "rampUp", value: 10 },
    ]);
    expect(levers({ ...set, target_abandonment_percent: null, inbound_agents: 0, ramp_up_seconds: 0 })).toEqual([]);
    // As a server of an earlier release says it.
    expect(levers(campaign("b", "running"))).toEqual([]);
  });
});
