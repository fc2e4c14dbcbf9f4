// The agent's voice by WebRTC instead of a phone. Signalling goes over the agent's WebSocket: an
// offer with everything in it, the node's answer in the reply. The node is ICE-lite at one address,
// so that no server for addresses is asked and nothing is trickled.

import { Unanswered } from "./link";
import type { Command, Reply } from "./protocol";

/** Why there is no audio. */
export type AudioFault =
  /** The page did not come by HTTPS or from this machine: browsers give it no microphone. */
  | "insecure"
  /** The person or the browser's settings said no. */
  | "denied"
  /** There is no microphone, or another program holds it. */
  | "no_device"
  /** The browser knows no WebRTC or no G.711. */
  | "unsupported"
  /** The node does not know `audio_offer`. */
  | "phones_only"
  /** The node refused; its words are in `error`. */
  | "refused"
  /** No packets came through. */
  | "lost";

export interface AudioState {
  phase: "off" | "asking" | "connecting" | "up" | "failed";
  fault?: AudioFault;
  error?: { code: string; message: string };
  muted: boolean;
  /** The browser plays nothing before the person presses something. */
  silent: boolean;
}

/** How good the line is, from the browser's own figures. */
export interface Quality {
  /** To the node and back, in milliseconds. */
  roundTrip?: number;
  /** Of packets from the node, in percent, since the last look. */
  loss?: number;
  jitter?: number;
}

/** Refusals of nodes that know no browser audio, or are not set up for it. */
const PHONES_ONLY = ["DM3016", "DM3019"];
/** ICE may gather for so long. */
const GATHER_MS = 1_000;
/** A line that is down for so long is built anew. */
const DOWN_MS = 3_000;
/** The wait before building anew, first and at most. */
const WAIT_MS = { first: 1_000, most: 15_000 };

/** G.711 first and keys as events; nothing else is offered, since the node takes nothing else. */
export function g711<C extends { mimeType: string; clockRate: number }>(codecs: readonly C[]): C[] {
  const wanted = ["audio/pcmu", "audio/pcma", "audio/telephone-event"];
  const place = (codec: C) => wanted.indexOf(codec.mimeType.toLowerCase());
  return codecs
    .filter((codec) => place(codec) >= 0 && codec.clockRate === 8_000)
    .sort((a, b) => place(a) - place(b));
}

/** What a failed `getUserMedia` means. */
export function faultOf(error: unknown): AudioFault {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  return "no_device";
}

/** Whether this page may ask for a microphone at all. */
export function possible(): AudioFault | undefined {
  if (!globalThis.isSecureContext) return "insecure";
  if (typeof RTCPeerConnection === "undefined" || !navigator.mediaDevices) return "unsupported";
  return undefined;
}

/** Opens a microphone; a device that is gone gives way to any other. */
export async function microphone(device: string): Promise<MediaStream> {
  const wishes: MediaTrackConstraints = {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    channelCount: 1,
  };
  if (device) wishes.deviceId = { ideal: device };
  return navigator.mediaDevices.getUserMedia({ audio: wishes, video: false });
}

interface Counts {
  received: number;
  lost: number;
}

/** Quality from a report of `getStats`, and the counts to compare the next one with. */
export function quality(
  report: Iterable<Record<string, unknown>>,
  before: Counts | undefined,
): { quality: Quality; counts: Counts | undefined } {
  const found: Quality = {};
  let counts: Counts | undefined;
  const ms = (value: unknown) => (typeof value === "number" ? Math.round(value * 1000) : undefined);
  for (const part of report) {
    if (part.type === "candidate-pair" && part.nominated === true) {
      const trip = ms(part.currentRoundTripTime);
      if (found.roundTrip === undefined && trip !== undefined) found.roundTrip = trip;
    } else if (part.type === "remote-inbound-rtp") {
      // By RTCP, over the whole way of the audio: better than ICE's own.
      const trip = ms(part.roundTripTime);
      if (trip !== undefined) found.roundTrip = trip;
    } else if (part.type === "inbound-rtp") {
      const jitter = ms(part.jitter);
      if (jitter !== undefined) found.jitter = jitter;
      counts = {
        received: typeof part.packetsReceived === "number" ? part.packetsReceived : 0,
        lost: typeof part.packetsLost === "number" ? part.packetsLost : 0,
      };
    }
  }
  if (counts && before) {
    const received = counts.received - before.received;
    const lost = Math.max(0, counts.lost - before.lost);
    if (received >= 0 && received + lost > 0) found.loss = (100 * lost) / (received + lost);
  }
  return { quality: found, counts };
}

export interface AudioOptions {
  ask: (command: Command) => Promise<Reply>;
  onChange: (state: AudioState) => void;
}

export class BrowserAudio {
  readonly #options: AudioOptions;
  #state: AudioState = { phase: "off", muted: false, silent: false };
  #stream: MediaStream | undefined;
  #peer: RTCPeerConnection | undefined;
  #player: HTMLAudioElement | undefined;
  #device = "";
  #wanted = false;
  #wait = WAIT_MS.first;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #opening: Promise<boolean> | undefined;
  #counts: Counts | undefined;

  constructor(options: AudioOptions) {
    this.#options = options;
  }

  /** The microphone's audio, for a meter. */
  get stream(): MediaStream | undefined {
    return this.#stream;
  }

  /** Brings audio up, or leaves it up. True once the node has answered. */
  open(device: string): Promise<boolean> {
    this.#device = device;
    this.#wanted = true;
    // The node has answered already; the packets' way is found or being looked for.
    if (this.#peer && !this.#opening) return Promise.resolve(true);
    return this.#start();
  }

  /** The node says that it hears nothing any more: what looks up from here is not. */
  renew(): void {
    // What is being offered already comes after what the node speaks of.
    if (!this.#wanted || this.#opening) return;
    this.#drop();
    this.#show({ phase: "connecting" });
    void this.#start();
  }

  /** The link is gone: the leg is left alone until the link is back. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#drop();
    if (this.#state.phase !== "off") this.#show({ phase: "connecting" });
  }

  /** Ends audio for good; `tell` the node where it can be reached. */
  close(tell: boolean): void {
    const was = this.#peer !== undefined;
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#drop();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#show({ phase: "off" });
    if (was && tell) this.#options.ask({ type: "audio_close" }).catch(() => undefined);
  }

  setMuted(muted: boolean): void {
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
    this.#state = { ...this.#state, muted };
    this.#options.onChange(this.#state);
  }

  /** Plays what the browser held back; from a press only. */
  hear(): void {
    void this.#play();
  }

  /** How good the line is now; nothing while it is down. */
  async quality(): Promise<Quality> {
    const peer = this.#peer;
    if (!peer || this.#state.phase !== "up") return {};
    const report: Record<string, unknown>[] = [];
    (await peer.getStats()).forEach((part: Record<string, unknown>) => report.push(part));
    const looked = quality(report, this.#counts);
    this.#counts = looked.counts;
    return looked.quality;
  }

  #start(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#opening ??= this.#build().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #build(): Promise<boolean> {
    const fault = possible();
    if (fault) return this.#fail(fault);
    this.#drop();
    try {
      this.#show({ phase: "asking" });
      await this.#listen();
    } catch (error) {
      return this.#fail(faultOf(error));
    }
    this.#show({ phase: "connecting" });
    const peer = new RTCPeerConnection({ iceServers: [] });
    this.#peer = peer;
    try {
      const track = this.#stream?.getAudioTracks()[0];
      if (!track) return this.#fail("no_device");
      const transceiver = peer.addTransceiver(track, { direction: "sendrecv" });
      const codecs = g711(RTCRtpReceiver.getCapabilities("audio")?.codecs ?? []);
      if (codecs.length === 0) return this.#fail("unsupported");
      transceiver.setCodecPreferences(codecs);
      peer.ontrack = (event) => this.#heard(event.track);
      peer.onconnectionstatechange = () => this.#changed(peer);
      await peer.setLocalDescription();
      await gathered(peer);
      const reply = await this.#options.ask({
        type: "audio_offer",
        sdp: peer.localDescription?.sdp ?? "",
      });
      if (peer !== this.#peer) return this.#overtaken();
      if (!reply.ok || reply.sdp === undefined) {
        const phones = PHONES_ONLY.includes(reply.error?.code ?? "");
        return this.#fail(phones ? "phones_only" : "refused", reply.error);
      }
      await peer.setRemoteDescription({ type: "answer", sdp: reply.sdp });
      return true;
    } catch (error) {
      if (peer !== this.#peer) return this.#overtaken();
      if (error instanceof Unanswered) {
        // The link comes back by itself and opens audio again.
        this.pause();
        return false;
      }
      return this.#fail("refused", { code: "", message: String(error) });
    }
  }

  /** The link went and came while this offer was made: what it brought is of no use. */
  #overtaken(): false {
    if (this.#wanted && !this.#peer) this.#again();
    return false;
  }

  /** The microphone, kept over every new connection so that it is asked for once. */
  async #listen(): Promise<void> {
    if (this.#stream?.getAudioTracks().some((track) => track.readyState === "live")) return;
    const stream = await microphone(this.#device);
    for (const track of stream.getAudioTracks()) {
      track.enabled = !this.#state.muted;
      // Pulled out: whatever microphone is left.
      track.onended = () => {
        if (!this.#wanted) return;
        this.#show({ phase: "connecting" });
        this.#again();
      };
    }
    this.#stream = stream;
  }

  #heard(track: MediaStreamTrack): void {
    this.#player ??= new Audio();
    this.#player.srcObject = new MediaStream([track]);
    void this.#play();
  }

  async #play(): Promise<void> {
    const silent = await (this.#player?.play() ?? Promise.resolve()).then(
      () => false,
      () => true,
    );
    this.#state = { ...this.#state, silent };
    this.#options.onChange(this.#state);
  }

  #changed(peer: RTCPeerConnection): void {
    if (peer !== this.#peer) return;
    switch (peer.connectionState) {
      case "connected":
        clearTimeout(this.#timer);
        this.#wait = WAIT_MS.first;
        this.#show({ phase: "up" });
        break;
      case "failed":
        this.#fail("lost");
        this.#again();
        break;
      case "disconnected":
        // Often a moment of bad Wi-Fi.
        this.#show({ phase: "connecting" });
        this.#again(DOWN_MS);
        break;
      default:
        break;
    }
  }

  #again(wait = this.#wait): void {
    this.#wait = Math.min(this.#wait * 2, WAIT_MS.most);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#wanted && this.#state.phase !== "up") void this.#start();
    }, wait);
  }

  #drop(): void {
    this.#counts = undefined;
    const peer = this.#peer;
    this.#peer = undefined;
    if (!peer) return;
    peer.ontrack = null;
    peer.onconnectionstatechange = null;
    peer.close();
  }

  #fail(fault: AudioFault, error?: { code: string; message: string }): false {
    this.#drop();
    this.#show(error ? { phase: "failed", fault, error } : { phase: "failed", fault });
    return false;
  }

  #show(change: Pick<AudioState, "phase"> & Partial<AudioState>): void {
    const { muted, silent } = this.#state;
    this.#state = { muted, silent, ...change };
    this.#options.onChange(this.#state);
  }
}

/** Until every own address is known, for a second at most: what is known then is offered. */
function gathered(peer: RTCPeerConnection): Promise<void> {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((done) => {
    const timer = setTimeout(done, GATHER_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      done();
    });
  });
}
