import { describe, expect, it } from "vitest";
import type { LiveCall, Manner, Seat } from "./api";
import { SHOWN_CALLS, mannerIn, ordered, seatOf } from "./live";

const seat = (agent: string, node: string): Seat => ({ agent, login: agent, node });
const call = (id: string, node: string, supervisors: [string, Manner][] = []): LiveCall => ({
  id,
  campaign: "c",
  campaign_name: "autumn",
  node,
  agent: "a",
  agent_login: "li",
  number: "+86138****8000",
  direction: "outbound",
  joined_at: `2026-11-23T09:00:0${id}Z`,
  supervisors: supervisors.map(([agent, manner]) => ({ agent, manner })),
});

describe("seatOf", () => {
  it("is the chosen one while it is there, else the only one", () => {
    const [one, two] = [seat("1", "n"), seat("2", "n")];
    expect(seatOf([one, two], "2")).toBe(two);
    expect(seatOf([one, two], "3")).toBeUndefined();
    expect(seatOf([one], "3")).toBe(one);
    expect(seatOf([], null)).toBeUndefined();
  });
});

describe("ordered", () => {
  it("puts the call that I am in first, then those of my node", () => {
    const mine = seat("boss", "north");
    const data = [
      call("1", "south"),
      call("3", "north"),
      call("2", "north"),
      call("4", "north", [["boss", "whisper"]]),
    ];
    const { shown, others } = ordered({ data, seats: [mine], silent: [] }, mine);
    expect(shown.map((one) => one.id)).toEqual(["4", "2", "3", "1"]);
    expect(others).toBe(0);
    expect(shown.map((one) => mannerIn(one, mine))).toEqual(["whisper", undefined, undefined, undefined]);
    expect(mannerIn(shown[0] as LiveCall, undefined)).toBeUndefined();
  });
  it("has a bound", () => {
    const data = Array.from({ length: SHOWN_CALLS + 3 }, (_, n) => call(`${n}`, "north"));
    const { shown, others } = ordered({ data, seats: [], silent: [] }, undefined);
    expect([shown.length, others]).toEqual([SHOWN_CALLS, 3]);
  });
});
