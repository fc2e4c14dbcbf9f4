import { describe, expect, it } from "vitest";
import { callbackAt, moment, quick, shown, zoneOf } from "./callback";
import { left, running, skew } from "./clock";
import { clearDrafts, keepDraft, readDraft } from "./draft";
import { LISTED, actionOf, type KeyPress } from "./keys";
import { share } from "./Meter";
import { CALLBACK_AHEAD_MS } from "./protocol";

describe("running times", () => {
  it("read like a clock", () => {
    expect([0, 999, 61_000, 3_599_000, 3_723_000, -5].map(running)).toEqual([
      "0:00",
      "0:00",
      "1:01",
      "59:59",
      "1:02:03",
      "0:00",
    ]);
  });
  it("show 0:00 only when a deadline is over", () => {
    expect([left(1_000, 1), left(1_000, 1_000), left(1_000, 9_000)]).toEqual(["0:01", "0:00", "0:00"]);
  });
  it("go by the node's clock where it differs", () => {
    const date = "Mon, 23 Nov 2026 02:00:10 GMT";
    const said = Date.parse(date);
    expect(skew(date, said, said + 200)).toBe(0);
    expect(skew(date, said - 60_000, said - 60_000)).toBe(60_500);
    expect([skew(null, 0, 0), skew("soon", 0, 0)]).toEqual([0, 0]);
  });
});

describe("callbacks", () => {
  const now = Date.parse("2026-11-23T02:00:00Z");
  it("mean the time in the zone that is named", () => {
    expect(shown(now, "Asia/Shanghai")).toBe("2026-11-23T10:00");
    expect(moment("2026-11-23T10:00", "Asia/Shanghai")).toBe(now);
    expect(moment("2026-11-22T21:00", "America/New_York")).toBe(now);
    expect(moment("2026-11-23T07:30", "Asia/Kolkata")).toBe(now);
    expect(moment("2026-11-23T16:00", "Pacific/Kiritimati")).toBe(now);
  });
  it("take the first of two, and none of a time that the clocks skip", () => {
    // 1:30 comes twice on 1 November 2026 in New York, 2:30 never on 8 March.
    expect(moment("2026-11-01T01:30", "America/New_York")).toBe(Date.parse("2026-11-01T05:30:00Z"));
    expect(moment("2026-03-08T02:30", "America/New_York")).toBeUndefined();
    expect([moment("soon", "UTC"), moment("2026-13-01T00:00", "UTC")]).toEqual([undefined, undefined]);
  });
  it("are after now and within a year", () => {
    const read = (text: string) => callbackAt(text, "UTC", now);
    expect(read("")).toEqual({ at: null });
    expect(read("2026-11-23T02:01")).toEqual({ at: now + 60_000 });
    expect(read("2026-11-23T02:00")).toEqual({ fault: "past" });
    expect(read(shown(now + CALLBACK_AHEAD_MS, "UTC"))).toEqual({ at: now + CALLBACK_AHEAD_MS });
    expect(read(shown(now + CALLBACK_AHEAD_MS + 60_000, "UTC"))).toEqual({ fault: "far" });
    expect(read("x")).toEqual({ fault: "unreadable" });
  });
  it("have quick choices", () => {
    expect(quick("hour", "UTC", now)).toBe("2026-11-23T03:00");
    expect(quick("three_hours", "UTC", now)).toBe("2026-11-23T05:00");
    expect(quick("tomorrow", "America/New_York", now)).toBe("2026-11-23T10:00");
    // The day before the clocks go back.
    const eve = Date.parse("2026-11-01T03:30:00Z");
    expect(quick("tomorrow", "America/New_York", eve)).toBe("2026-11-01T10:00");
  });
  it("are asked in the lead's zone only where there is one", () => {
    expect(zoneOf(["Asia/Shanghai", "Asia/Shanghai"])).toEqual({ zone: "Asia/Shanghai", lead: true });
    expect(zoneOf(["America/New_York", "America/Chicago"]).lead).toBe(false);
    expect([zoneOf([]).lead, zoneOf(undefined).lead, zoneOf(["Nowhere/At_All"]).lead]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("keys", () => {
  const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
    key,
    code: /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : /^\d$/.test(key) ? `Digit${key}` : key,
    ctrlKey: false,
    altKey: false,
    metaKey: false,
    shiftKey: false,
    repeat: false,
    isComposing: false,
    ...more,
  });
  const free = { typing: false, dialog: false, enabled: true, keypad: false };
  it("mean what the overlay says", () => {
    expect(actionOf(press("1"), free)).toEqual({ do: "dispose", place: 0 });
    expect(actionOf(press("9", { code: "Numpad9" }), free)).toEqual({ do: "dispose", place: 8 });
    expect(actionOf(press("0"), free)).toBeUndefined();
    expect(actionOf(press("R"), free)).toEqual({ do: "ready" });
    expect(actionOf(press("L", { shiftKey: true }), free)).toEqual({ do: "log_out" });
    expect(actionOf(press("H", { shiftKey: true }), free)).toBeUndefined();
    // A French keyboard has digits with Shift, a Russian one has no R.
    expect(actionOf(press("&", { code: "Digit1" }), free)).toEqual({ do: "dispose", place: 0 });
    expect(actionOf(press("к", { code: "KeyR" }), free)).toEqual({ do: "ready" });
    expect(LISTED.length).toBe(14);
    expect(actionOf(press("o"), free)).toEqual({ do: "hold" });
  });
  it("mean nothing while somebody types, or with other keys held", () => {
    for (const key of ["1", "r", "h", "?"]) {
      expect(actionOf(press(key), { ...free, typing: true })).toBeUndefined();
      expect(actionOf(press(key), { ...free, dialog: true })).toBeUndefined();
      for (const held of ["ctrlKey", "altKey", "metaKey", "repeat", "isComposing"]) {
        expect(actionOf(press(key, { [held]: true }), free)).toBeUndefined();
      }
    }
  });
  it("go to the keypad while it is open, digits, star and hash alone", () => {
    const open = { ...free, keypad: true };
    for (const key of ["0", "1", "9", "*", "#"]) {
      expect(actionOf(press(key), open)).toEqual({ do: "key", key });
      expect(actionOf(press(key), { ...open, enabled: false })).toEqual({ do: "key", key });
      expect(actionOf(press(key), { ...open, typing: true })).toBeUndefined();
    }
    expect(actionOf(press("*", { code: "Digit8", shiftKey: true }), open)).toEqual({ do: "key", key: "*" });
    expect(actionOf(press("&", { code: "Digit1" }), open)).toEqual({ do: "key", key: "1" });
    expect(actionOf(press("!", { code: "Digit1", shiftKey: true }), open)).toBeUndefined();
    expect(actionOf(press("h"), open)).toEqual({ do: "hang_up" });
    expect(actionOf(press("Escape"), open)).toEqual({ do: "keypad" });
    expect(actionOf(press("k"), free)).toEqual({ do: "keypad" });
    expect(actionOf(press("1"), free)).toEqual({ do: "dispose", place: 0 });
    expect(actionOf(press("*"), free)).toBeUndefined();
  });
  it("can be turned off, but for their list", () => {
    const off = { ...free, enabled: false };
    expect(actionOf(press("1"), off)).toBeUndefined();
    expect(actionOf(press("?", { shiftKey: true }), off)).toEqual({ do: "help" });
  });
});

class Store implements Storage {
  readonly #kept = new Map<string, string>();
  full = false;
  get length() {
    return this.#kept.size;
  }
  key = (n: number) => [...this.#kept.keys()][n] ?? null;
  getItem = (key: string) => this.#kept.get(key) ?? null;
  setItem = (key: string, value: string) => {
    if (this.full) throw new Error("QuotaExceededError");
    this.#kept.set(key, value);
  };
  removeItem = (key: string) => void this.#kept.delete(key);
  clear = () => this.#kept.clear();
}

describe("drafts", () => {
  it("are kept by attempt until they are sent or another call has come", () => {
    const store = new Store();
    store.setItem("dialmesh.agent.token", "t");
    keepDraft(store, "a", { note: "wants a quote", callback: "" });
    keepDraft(store, "b", { note: "", callback: "2026-11-24T10:00" });
    expect(readDraft(store, "a").note).toBe("wants a quote");
    expect(readDraft(store, "none")).toEqual({ note: "", callback: "" });
    clearDrafts(store, ["b", undefined]);
    expect([readDraft(store, "a").note, readDraft(store, "b").callback]).toEqual([
      "",
      "2026-11-24T10:00",
    ]);
    keepDraft(store, "b", { note: "", callback: "" });
    expect([store.length, store.getItem("dialmesh.agent.token")]).toEqual([1, "t"]);
  });
  it("survive a damaged or full store", () => {
    const store = new Store();
    store.setItem("dialmesh.draft.a", "{");
    store.setItem("dialmesh.draft.b", '{"note":7}');
    expect([readDraft(store, "a").note, readDraft(store, "b").note]).toEqual(["", ""]);
    store.full = true;
    keepDraft(store, "c", { note: "x", callback: "" });
    expect(readDraft(store, "c").note).toBe("");
  });
});

describe("the meter", () => {
  it("is empty in silence and full at full scale", () => {
    expect(share(new Float32Array(8)).percent).toBe(0);
    expect(share(new Float32Array(8).fill(1)).percent).toBe(100);
    expect(share(new Float32Array(8).fill(0.0316)).percent).toBe(50);
  });
});
