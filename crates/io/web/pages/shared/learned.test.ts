import { describe, expect, it } from "vitest";
import type { AnswerRate, CampaignLearned } from "./api";
import { LISTS, bestHours } from "./learned";

const rate = (lines: number): AnswerRate => ({ lines, answered: 1, percent: 3, from: 1, to: 9 });
const hour = (at: number, factor: number, lines = 100) => ({ hour: at, factor, rate: rate(lines) });
const learned = (lists: CampaignLearned["lists"]): CampaignLearned => ({
  lead_order: "oldest",
  all: rate(1),
  hours: [],
  lists,
  by_chance: rate(0),
  held_out: rate(0),
  calibration_error: 1,
  silent: [],
});
const list = (name: string, hours: ReturnType<typeof hour>[]) => ({ name, rate: rate(1), hours });

describe("bestHours", () => {
  it("names the hour that suits each list, of those that were seen often enough", () => {
    const all = learned([
      list("a", [hour(10, 1.1), hour(18, 1.4), hour(20, 2, 29)]),
      list("b", [hour(10, 1.2), hour(18, 0.8)]),
      list("young", [hour(10, 1.2, 3)]),
    ]);
    expect(bestHours(all).map(({ name, hour }) => [name, hour])).toEqual([
      ["a", 18],
      ["b", 10],
    ]);
  });
  it("has a bound", () => {
    const many = Array.from({ length: LISTS + 3 }, (_, n) => list(`l${n}`, [hour(9, 1)]));
    expect(bestHours(learned(many)).length).toBe(LISTS);
  });
});
