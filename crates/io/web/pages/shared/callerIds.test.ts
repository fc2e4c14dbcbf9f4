import { describe, expect, it } from "vitest";
import type { CallerIdPlace, CallerIdReputation, CallerIdState } from "./api";
import { SHOWN, placeName, places, troubled } from "./callerIds";

const place = (name: string, load_percent = 0, more_wanted = false): CallerIdPlace => ({
  node: "mem_2",
  country: "CN",
  place: name,
  place_zh: `${name}市`,
  numbers: 6,
  calls_today: 0,
  doubted: 0,
  resting: 0,
  load_percent,
  more_wanted,
});
const number = (state: CallerIdState): CallerIdReputation => ({
  number: "+8675512345678",
  node: "mem_2",
  state,
  calls_today: 0,
  answered: 1,
  expected: 2,
  quality: 0.9,
});

describe("places", () => {
  it("has those first that want more numbers, then by load, within a bound", () => {
    const all = [place("a", 10), place("b", 90), place("c", 61, true)];
    const names = places({ places: all, numbers: [], silent: [] }).map((p) => p.place);
    expect(names).toEqual(["c", "b", "a"]);
    const many = Array.from({ length: SHOWN + 5 }, () => place("a"));
    expect(places({ places: many, numbers: [], silent: [] }).length).toBe(SHOWN);
  });
});

describe("troubled", () => {
  it("leaves out what nothing speaks against", () => {
    const numbers = [number("resting"), number("doubted"), number("good")];
    const states = troubled({ places: [], numbers, silent: [] }).map(({ state }) => state);
    expect(states).toEqual(["resting", "doubted"]);
  });
});

describe("placeName", () => {
  it("speaks the language, and names an area where no city is known", () => {
    expect(placeName(place("Shenzhen"), "zh-CN")).toBe("Shenzhen市 CN");
    expect(placeName(place("Shenzhen"), "en")).toBe("Shenzhen CN");
    const area = { ...place(""), place: null, place_zh: null, area: 30, country: "DE" };
    expect(placeName(area, "zh-CN")).toBe("30 DE");
  });
});
