import { describe, expect, it } from "vitest";
import { TROUBLES, dismissed, empty, occupied, offers, told, troubled, wentWell, type Desk } from "./desk";
import { bytes, read, type Card, type Notice, type Status } from "./protocol";

const status = (state: Status["state"], more: Partial<Status> = {}): Status => ({
  state,
  since: 1,
  deadline: null,
  phone: state === "logged_out" ? "down" : "up",
  next: null,
  ...more,
});
const card = (attempt: string): Card => ({
  attempt,
  lead: "lead_1",
  number: "+1415*****34",
  name: "Ada",
  attributes: {},
  campaign: "camp_1",
  campaign_name: "spring",
  dispositions: [],
  bridged_at: 5,
  ended: null,
  disposition: null,
});
const play = (...notices: Notice[]): Desk => notices.reduce((d, n) => told(d, n, 99), empty);
const snapshot = (call: Card | null, of: Status): Notice => ({ type: "snapshot", call, ...of });
const state = (of: Status): Notice => ({ type: "state", ...of });
const call = (attempt: string): Notice => ({ type: "call", ...card(attempt) });

describe("told", () => {
  it("follows a whole call", () => {
    let desk = play(snapshot(null, status("ready")), call("a"));
    expect(desk.call?.name).toBe("Ada");
    // The card comes before the state: it must not be cleared by a READY that is still true.
    desk = told(desk, state(status("ready")), 0);
    expect(desk.call?.attempt).toBe("a");
    desk = told(desk, state(status("on_call", { deadline: 50 })), 0);
    desk = told(desk, { type: "call_ended", attempt: "a", by: "callee" }, 77);
    expect(desk.call?.ended).toEqual({ at: 77, by: "callee" });
    desk = told(desk, state(status("wrap_up", { next: "pause" })), 0);
    desk = told(desk, { type: "disposed", attempt: "a", disposition: "sale" }, 0);
    expect(desk.call?.disposition).toBe("sale");
    desk = told(desk, state(status("paused", { code: "lunch" })), 0);
    expect(desk.call).toBeUndefined();
    expect(desk.last).toMatchObject({ attempt: "a", disposition: "sale", by: "callee" });
    expect(desk.status).toEqual(status("paused", { code: "lunch" }));
  });
  it("forgets the code of a pause that is over", () => {
    const desk = play(snapshot(null, status("paused", { code: "lunch" })), state(status("ready")));
    expect(desk.status?.code).toBeUndefined();
  });
  it("takes the snapshot's word over its own", () => {
    const before = play(snapshot(card("a"), status("on_call")));
    expect(before.call?.attempt).toBe("a");
    const other = told(before, snapshot(card("b"), status("on_call")), 0);
    expect([other.call?.attempt, other.last?.attempt]).toEqual(["b", "a"]);
    const none = told(before, snapshot(null, status("ready")), 0);
    expect([none.call, none.last?.attempt]).toEqual([undefined, "a"]);
    const same = told(before, snapshot(card("a"), status("wrap_up")), 0);
    expect([same.call?.attempt, same.last]).toEqual(["a", undefined]);
  });
  it("shows how the recording stands, where there is one", () => {
    let desk = play(snapshot({ ...card("a"), recording: "on" }, status("on_call")));
    expect([offers(desk).recording_pause, offers(desk).recording_resume]).toEqual([true, false]);
    desk = told(desk, { type: "recording", attempt: "a", recording: "paused" }, 0);
    expect([offers(desk).recording_pause, offers(desk).recording_resume]).toEqual([false, true]);
    const none = offers(play(snapshot(card("a"), status("on_call"))));
    expect([none.recording_pause, none.recording_resume]).toEqual([false, false]);
    expect(told(desk, { type: "recording", attempt: "b", recording: "on" }, 0)).toBe(desk);
  });
  it("knows who is on hold, and that a call that ended holds nobody", () => {
    let desk = play(snapshot(card("a"), status("on_call")));
    const can = () => [offers(desk).hold, offers(desk).resume, offers(desk).press_keys];
    expect(can()).toEqual([true, false, true]);
    desk = told(desk, { type: "held", attempt: "a", since: 7 }, 0);
    expect([desk.call?.held_since, ...can()]).toEqual([7, false, true, false]);
    expect(told(desk, { type: "held", attempt: "b", since: null }, 0)).toBe(desk);
    const over = told(desk, { type: "call_ended", attempt: "a", by: "callee" }, 9);
    expect(over.call?.held_since).toBeNull();
    desk = told(desk, { type: "held", attempt: "a", since: null }, 0);
    expect(can()).toEqual([true, false, true]);
    expect(read('{"type":"held","attempt":"a","since":7}')).toBeDefined();
  });
  it("puts nothing on another call", () => {
    const desk = play(snapshot(card("b"), status("on_call")));
    expect(told(desk, { type: "call_ended", attempt: "a", by: "caller" }, 0)).toBe(desk);
    expect(told(desk, { type: "disposed", attempt: "a", disposition: "x" }, 0)).toBe(desk);
  });
  it("knows the disposition that comes after the shift has ended", () => {
    let desk = play(snapshot(card("a"), status("on_call")), state(status("logged_out")));
    desk = told(desk, { type: "disposed", attempt: "a", disposition: "lost" }, 0);
    expect(desk.last?.disposition).toBe("lost");
  });
});

describe("troubles", () => {
  it("replace the same one, have a bound, and go when the command goes well", () => {
    let desk: Desk = empty;
    for (let n = 0; n < 10; n += 1) desk = troubled(desk, { code: `DM${n}`, message: "" });
    expect(desk.troubles).toHaveLength(TROUBLES);
    desk = troubled(desk, { code: "DM3008", message: "one" }, "hang_up");
    desk = troubled(desk, { code: "DM3008", message: "two" }, "hang_up");
    expect(desk.troubles.filter((t) => t.code === "DM3008").map((t) => t.message)).toEqual(["two"]);
    const key = desk.troubles.at(-1)?.key ?? -1;
    expect(dismissed(desk, key).troubles.map((t) => t.code)).not.toContain("DM3008");
    expect(wentWell(desk, "hang_up").troubles.map((t) => t.code)).not.toContain("DM3008");
    expect(wentWell(desk, "ready")).toBe(desk);
    // The next call begins without the refusals of the one before, but with the node's own word.
    desk = troubled(troubled(empty, { code: "DM3008", message: "" }, "hang_up"), {
      code: "DM3007",
      message: "",
    });
    expect(told(desk, call("b"), 0).troubles.map((t) => t.code)).toEqual(["DM3007"]);
  });
});

describe("lost audio", () => {
  it("is told until it is back, and keeps no one from logging out", () => {
    let desk = play(
      snapshot(null, status("ready")),
      { type: "error", code: "DM3022", message: "" },
      state(status("ready", { phone: "down" })),
    );
    expect([desk.troubles.length, offers(desk).log_out, offers(desk).log_in]).toEqual([1, true, false]);
    desk = told(desk, state(status("ready")), 0);
    expect(desk.troubles).toEqual([]);
  });
});

describe("offers", () => {
  it("gives each state the commands that the node takes", () => {
    const of = (s: Status, c: Card | null = null) =>
      Object.entries(offers(play(snapshot(c, s))))
        .filter(([, on]) => on)
        .map(([name]) => name);
    expect(offers(empty).log_in).toBe(false);
    expect(of(status("logged_out"))).toEqual(["log_in"]);
    expect(of(status("logged_out", { phone: "ringing" }))).toEqual(["log_out"]);
    expect(of(status("paused"))).toEqual(["log_out", "ready", "pause"]);
    expect(of(status("ready"))).toEqual(["log_out", "pause"]);
    expect(of(status("reserved"))).toEqual(["log_out", "pause", "later"]);
    expect(of(status("on_call"), card("a"))).toEqual([
      "log_out",
      "ready",
      "pause",
      "hang_up",
      "hold",
      "press_keys",
      "dispose",
      "later",
    ]);
    expect(of(status("wrap_up", { next: "log_out" }), { ...card("a"), disposition: "x" })).toEqual([
      "ready",
      "pause",
      "later",
    ]);
    expect(of(status("on_call", { next: "ready" }), card("a"))).not.toContain("ready");
  });
  it("asks to stay during a call and its wrap-up only", () => {
    const stays = (s: Status) => occupied(play(snapshot(null, s)));
    expect([stays(status("on_call")), stays(status("wrap_up")), stays(status("ready"))]).toEqual([
      true,
      true,
      false,
    ]);
  });
});

describe("read", () => {
  it("reads what it knows and leaves the rest", () => {
    expect(read('{"reply":7,"ok":true}')).toEqual({ reply: 7, ok: true });
    expect(read('{"type":"disposed","attempt":"a","disposition":"x"}')).toMatchObject({
      type: "disposed",
    });
    for (const text of ['{"type":"newer"}', "[]", "null", "{", "7", '{"reply":null,"ok":false}']) {
      expect(read(text)).toBeUndefined();
    }
    expect(bytes("a中")).toBe(4);
  });
});
