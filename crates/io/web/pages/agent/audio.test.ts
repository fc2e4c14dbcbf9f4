import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BrowserAudio, faultOf, g711, quality, type AudioState } from "./audio";
import { Unanswered } from "./link";
import type { Command, Reply } from "./protocol";

const codec = (mimeType: string, clockRate = 8_000) => ({ mimeType, clockRate });

describe("g711", () => {
  it("leaves what the node takes, in the order of preference", () => {
    const all = [
      codec("audio/opus", 48_000),
      codec("audio/telephone-event", 48_000),
      codec("audio/PCMA"),
      codec("audio/G722"),
      codec("audio/telephone-event"),
      codec("audio/PCMU"),
    ];
    expect(g711(all).map((c) => c.mimeType)).toEqual([
      "audio/PCMU",
      "audio/PCMA",
      "audio/telephone-event",
    ]);
  });
});

describe("faultOf", () => {
  it("tells a no from a missing microphone", () => {
    expect(faultOf(new DOMException("", "NotAllowedError"))).toBe("denied");
    expect(faultOf(new DOMException("", "NotFoundError"))).toBe("no_device");
    expect(faultOf(new DOMException("", "NotReadableError"))).toBe("no_device");
  });
});

describe("quality", () => {
  const report = (received: number, lost: number) => [
    { type: "candidate-pair", nominated: false, currentRoundTripTime: 9 },
    { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.02 },
    { type: "inbound-rtp", packetsReceived: received, packetsLost: lost, jitter: 0.003 },
  ];
  it("is of the time since the last look", () => {
    const first = quality(report(100, 50), undefined);
    expect(first.quality).toEqual({ roundTrip: 20, jitter: 3 });
    const second = quality(report(195, 55), first.counts);
    expect(second.quality.loss).toBe(5);
    // A new connection counts from nothing.
    expect(quality(report(10, 0), second.counts).quality.loss).toBeUndefined();
  });
  it("prefers the round trip of the audio itself", () => {
    const by_rtcp = { type: "remote-inbound-rtp", roundTripTime: 0.031 };
    expect(quality([by_rtcp, ...report(1, 0)], undefined).quality.roundTrip).toBe(31);
    expect(quality([...report(1, 0), by_rtcp], undefined).quality.roundTrip).toBe(31);
  });
});

/** As much of a browser as the module touches. */
class Peer {
  static made: Peer[] = [];
  connectionState = "new";
  iceGatheringState = "complete";
  localDescription: { sdp: string } | null = null;
  remote: unknown;
  closed = false;
  preferred: { mimeType: string }[] = [];
  ontrack: unknown = null;
  onconnectionstatechange: (() => void) | null = null;
  readonly config: unknown;
  constructor(config: unknown) {
    this.config = config;
    Peer.made.push(this);
  }
  addTransceiver() {
    return { setCodecPreferences: (codecs: { mimeType: string }[]) => (this.preferred = codecs) };
  }
  setLocalDescription = () => {
    this.localDescription = { sdp: "offer" };
    return Promise.resolve();
  };
  setRemoteDescription = (answer: unknown) => {
    this.remote = answer;
    return Promise.resolve();
  };
  close = () => {
    this.closed = true;
  };
  become(state: string) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
}

const track = () => ({ readyState: "live", enabled: true, onended: null, stop: vi.fn() });

describe("BrowserAudio", () => {
  let asked: Command[];
  let states: AudioState[];
  let reply: () => Promise<Reply>;
  let mic: ReturnType<typeof track>;
  const audio = () =>
    new BrowserAudio({
      ask: (command) => {
        asked.push(command);
        return reply();
      },
      onChange: (state) => states.push(state),
    });
  beforeEach(() => {
    vi.useFakeTimers();
    Peer.made = [];
    [asked, states, mic] = [[], [], track()];
    reply = () => Promise.resolve({ reply: 1, ok: true, sdp: "answer" });
    vi.stubGlobal("isSecureContext", true);
    vi.stubGlobal("RTCPeerConnection", Peer);
    vi.stubGlobal("RTCRtpReceiver", {
      getCapabilities: () => ({ codecs: [codec("audio/opus", 48_000), codec("audio/PCMA")] }),
    });
    const getUserMedia = () =>
      Promise.resolve({ getTracks: () => [mic], getAudioTracks: () => [mic] });
    vi.stubGlobal("navigator", { mediaDevices: { getUserMedia } });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("offers G.711 without servers, takes the answer, and is up once connected", async () => {
    const one = audio();
    expect(await one.open("")).toBe(true);
    const peer = Peer.made[0];
    // Asked again before packets flow: the offer stands.
    expect([await one.open(""), Peer.made.length]).toEqual([true, 1]);
    expect(peer?.config).toEqual({ iceServers: [] });
    expect(peer?.preferred.map((c) => c.mimeType)).toEqual(["audio/PCMA"]);
    expect(asked).toEqual([{ type: "audio_offer", sdp: "offer" }]);
    expect(peer?.remote).toEqual({ type: "answer", sdp: "answer" });
    peer?.become("connected");
    expect(states.at(-1)?.phase).toBe("up");
    expect([await one.open(""), Peer.made.length]).toEqual([true, 1]);
    one.setMuted(true);
    expect([mic.enabled, states.at(-1)?.muted]).toEqual([false, true]);
    one.close(true);
    expect([asked.at(-1), mic.stop.mock.calls.length]).toEqual([{ type: "audio_close" }, 1]);
  });
  it("says when a node takes phones only", async () => {
    reply = () =>
      Promise.resolve({ reply: 1, ok: false, error: { code: "DM3016", message: "unknown" } });
    expect(await audio().open("")).toBe(false);
    expect(states.at(-1)).toMatchObject({ phase: "failed", fault: "phones_only" });
    reply = () => Promise.resolve({ reply: 1, ok: false, error: { code: "DM3005", message: "full" } });
    expect(await audio().open("")).toBe(false);
    expect(states.at(-1)).toMatchObject({ fault: "refused", error: { code: "DM3005" } });
  });
  it("offers again by itself when the line is lost, and after the link is back", async () => {
    const one = audio();
    await one.open("");
    Peer.made[0]?.become("connected");
    Peer.made[0]?.become("failed");
    expect(states.at(-1)).toMatchObject({ phase: "failed", fault: "lost" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(Peer.made.length).toBe(2);
    Peer.made[1]?.become("connected");
    one.pause();
    expect(states.at(-1)?.phase).toBe("connecting");
    expect(Peer.made[1]?.closed).toBe(true);
    expect(await one.open("")).toBe(true);
    expect(Peer.made.length).toBe(3);
    // A short gap heals by itself.
    Peer.made[2]?.become("connected");
    Peer.made[2]?.become("disconnected");
    Peer.made[2]?.become("connected");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(Peer.made.length).toBe(3);
  });
  it("offers again when the node says that it hears nothing", async () => {
    const one = audio();
    one.renew();
    expect(Peer.made.length).toBe(0);
    await one.open("");
    Peer.made[0]?.become("connected");
    one.renew();
    await vi.advanceTimersByTimeAsync(0);
    expect([Peer.made.length, Peer.made[0]?.closed]).toEqual([2, true]);
  });
  it("offers again when the link went and came within an offer", async () => {
    const one = audio();
    let answer: (reply: Reply) => void = () => undefined;
    reply = () => new Promise((done) => (answer = done));
    const first = one.open("");
    await vi.advanceTimersByTimeAsync(0);
    one.pause();
    const second = one.open("");
    answer({ reply: 1, ok: true, sdp: "stale" });
    expect([await first, await second]).toEqual([false, false]);
    reply = () => Promise.resolve({ reply: 2, ok: true, sdp: "answer" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect([Peer.made.length, Peer.made[1]?.remote]).toEqual([2, { type: "answer", sdp: "answer" }]);
  });
  it("waits for the link when it goes in the middle of an offer", async () => {
    reply = () => Promise.reject(new Unanswered("gone"));
    expect(await audio().open("")).toBe(false);
    expect(states.at(-1)?.phase).toBe("connecting");
  });
  it("does not ask where a page may have no microphone", async () => {
    vi.stubGlobal("isSecureContext", false);
    expect(await audio().open("")).toBe(false);
    expect(states.at(-1)?.fault).toBe("insecure");
  });
});
