import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Link, PING_MS, REPLY_MS, Unanswered, type LinkState, type World } from "./link";
import type { Notice } from "./protocol";

class Socket {
  static made: Socket[] = [];
  readyState = 1;
  sent: { id: number; type: string }[] = [];
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly url: string;
  constructor(url: string) {
    this.url = url;
    Socket.made.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text) as { id: number; type: string });
  }
  close() {
    this.readyState = 3;
  }
  say(frame: unknown) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

const snapshot = { type: "snapshot", state: "ready", since: 1, deadline: null, phone: "up", next: null, call: null };

describe("Link", () => {
  let states: LinkState[];
  let notices: Notice[];
  let status: number;
  const world: World = {
    fetch: () =>
      Promise.resolve(
        new Response(JSON.stringify(status === 200 ? { ticket: "dmtk_x" } : { title: "no" }), {
          status,
        }),
      ),
    socket: (url) => new Socket(url) as unknown as WebSocket,
    now: () => Date.now(),
    random: () => 0.5,
  };
  const link = () =>
    new Link({
      token: "dmag_x",
      onNotice: (n) => notices.push(n),
      onState: (s) => states.push(s),
      onSkew: () => undefined,
      world,
    });
  const settle = () => vi.advanceTimersByTimeAsync(0);
  beforeEach(() => {
    vi.useFakeTimers();
    Socket.made = [];
    [states, notices, status] = [[], [], 200];
    vi.stubGlobal("location", { origin: "https://node.example" });
    vi.stubGlobal("WebSocket", { OPEN: 1 });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("is live with the snapshot, and matches replies to commands", async () => {
    const one = link();
    await settle();
    const socket = Socket.made[0];
    expect(socket?.url).toBe("wss://node.example/agent/v1/socket?ticket=dmtk_x");
    expect(states.map((s) => s.state)).toEqual(["connecting"]);
    socket?.say(snapshot);
    expect(states.at(-1)?.state).toBe("live");
    const [first, second] = [one.ask({ type: "ready" }), one.ask({ type: "hang_up" })];
    socket?.say({ reply: 2, ok: false, error: { code: "DM3008", message: "no call" } });
    socket?.say({ reply: 1, ok: true });
    expect(await first).toEqual({ reply: 1, ok: true });
    expect((await second).error?.code).toBe("DM3008");
    one.stop();
  });
  it("comes back by itself with longer and longer waits", async () => {
    const one = link();
    await settle();
    Socket.made[0]?.say(snapshot);
    const answer = one.ask({ type: "ready" });
    const refused = expect(answer).rejects.toBeInstanceOf(Unanswered);
    status = 503;
    Socket.made[0]?.onclose?.();
    await refused;
    const waits: number[] = [];
    for (let n = 0; n < 7; n += 1) {
      const last = states.at(-1);
      if (last?.state !== "lost") throw new Error("not lost");
      waits.push(last.retry_at - Date.now());
      await vi.advanceTimersByTimeAsync(last.retry_at - Date.now());
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    status = 200;
    one.retry();
    await settle();
    Socket.made[1]?.say(snapshot);
    expect(states.at(-1)?.state).toBe("live");
    one.stop();
  });
  it("asks no more once the token is refused", async () => {
    status = 401;
    link();
    await settle();
    expect(states.at(-1)?.state).toBe("refused");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(Socket.made).toEqual([]);
  });
  it("finds a line that is dead without being closed", async () => {
    const one = link();
    await settle();
    Socket.made[0]?.say(snapshot);
    await vi.advanceTimersByTimeAsync(PING_MS);
    expect(Socket.made[0]?.sent.map((f) => f.type)).toEqual(["ping"]);
    Socket.made[0]?.say({ reply: 1, ok: true });
    await vi.advanceTimersByTimeAsync(PING_MS + REPLY_MS);
    expect(states.some((s) => s.state === "lost")).toBe(true);
    one.stop();
  });
  it("says at once that nothing can be sent while it is down", async () => {
    const one = link();
    await expect(one.ask({ type: "ready" })).rejects.toBeInstanceOf(Unanswered);
    one.stop();
    await settle();
    expect(Socket.made).toEqual([]);
  });
});
