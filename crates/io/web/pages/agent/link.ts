// The agent's WebSocket: opened by a ticket, opened again whenever it is lost.

import type { Problem } from "../shared/api";
import { skew } from "./clock";
import { read, type Command, type Notice, type Reply } from "./protocol";

export type LinkState =
  | { state: "connecting" }
  | { state: "live" }
  /** `retry_at` on this machine's clock. */
  | { state: "lost"; retry_at: number }
  /** The token is no good here. */
  | { state: "refused" };

/** A reply may take so long: the node itself gives up after 10 s. */
export const REPLY_MS = 15_000;
/** How often the page asks whether the node is still there. */
export const PING_MS = 5_000;
/** The wait before the first and before every later try, at most. */
const WAIT_MS = { first: 500, most: 10_000 };

/** Why a command got no answer. It may have been done. */
export class Unanswered extends Error {}

/** Why no ticket was given. */
export class Refused extends Error {
  readonly problem: Problem | undefined;
  readonly status: number;
  constructor(status: number, problem?: Problem) {
    super(problem?.title ?? `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** What a browser gives us, so that tests can give something else. */
export interface World {
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  socket: (url: string) => WebSocket;
  now: () => number;
  random: () => number;
}

export const browser: World = {
  fetch: (url, init) => fetch(url, init),
  socket: (url) => new WebSocket(url),
  now: () => Date.now(),
  random: () => Math.random(),
};

/** Asks for a ticket: whether a token is good, and how far the node's clock is ahead. */
export async function ticketOf(
  token: string,
  world: World = browser,
): Promise<{ ticket: string; skew: number }> {
  const asked = world.now();
  const response = await world.fetch("/agent/v1/tickets", {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    cache: "no-store",
    // A proxy that hangs must not hold the page.
    signal: AbortSignal.timeout(REPLY_MS),
  });
  const heard = world.now();
  if (!response.ok) {
    const problem = (await response.json().catch(() => undefined)) as Problem | undefined;
    throw new Refused(response.status, problem);
  }
  const { ticket } = (await response.json()) as { ticket: string };
  return { ticket, skew: skew(response.headers.get("date"), asked, heard) };
}

/** `ws://` or `wss://`, as the page came. */
const socketUrl = (ticket: string) =>
  `${location.origin.replace(/^http/, "ws")}/agent/v1/socket?ticket=${encodeURIComponent(ticket)}`;

export interface LinkOptions {
  token: string;
  onNotice: (notice: Notice) => void;
  onState: (state: LinkState) => void;
  onSkew: (ms: number) => void;
  world?: World;
}

interface Waiting {
  done: (reply: Reply) => void;
  failed: (why: Unanswered) => void;
  timer: ReturnType<typeof setTimeout>;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #world: World;
  #socket: WebSocket | undefined;
  #waiting = new Map<number, Waiting>();
  #last = 0;
  #wait = WAIT_MS.first;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #pings: ReturnType<typeof setInterval> | undefined;
  #stopped = false;
  #opening = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#world = options.world ?? browser;
    void this.#open();
  }

  /** Sends a command; the reply, whether it is `ok` or not. Throws [`Unanswered`]. */
  ask(command: Command): Promise<Reply> {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Unanswered("not connected"));
    }
    this.#last += 1;
    const id = this.#last;
    const answered = new Promise<Reply>((done, failed) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        failed(new Unanswered("no reply in time"));
        // A node that does not answer is as good as gone; the snapshot tells what became of it.
        this.#lose(socket);
      }, REPLY_MS);
      this.#waiting.set(id, { done, failed, timer });
    });
    socket.send(JSON.stringify({ id, ...command }));
    return answered;
  }

  /** Tries at once instead of after the wait. */
  retry(): void {
    if (this.#retry === undefined) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#wait = WAIT_MS.first;
    void this.#open();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    if (this.#socket) this.#lose(this.#socket);
  }

  async #open(): Promise<void> {
    if (this.#stopped || this.#opening) return;
    this.#opening = true;
    this.#options.onState({ state: "connecting" });
    try {
      const { ticket, skew: ahead } = await ticketOf(this.#options.token, this.#world);
      if (this.#stopped) return;
      this.#options.onSkew(ahead);
      this.#attach(this.#world.socket(socketUrl(ticket)));
    } catch (error) {
      if (this.#stopped) return;
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        this.#options.onState({ state: "refused" });
      } else {
        this.#later();
      }
    } finally {
      this.#opening = false;
    }
  }

  #attach(socket: WebSocket): void {
    this.#socket = socket;
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (this.#socket !== socket || typeof event.data !== "string") return;
      const frame = read(event.data);
      if (!frame) return;
      if ("reply" in frame) {
        this.#answered(frame);
        return;
      }
      this.#options.onNotice(frame);
      // Only the snapshot says that the node has this screen.
      if (frame.type === "snapshot") {
        this.#wait = WAIT_MS.first;
        this.#options.onState({ state: "live" });
        this.#watch();
      }
    };
    socket.onclose = () => this.#lose(socket);
  }

  #answered(reply: Reply): void {
    const waiting = this.#waiting.get(reply.reply);
    if (!waiting) return;
    this.#waiting.delete(reply.reply);
    clearTimeout(waiting.timer);
    waiting.done(reply);
  }

  /** The node's own pings are not shown to a page: without this a dead line could look live for minutes. */
  #watch(): void {
    clearInterval(this.#pings);
    this.#pings = setInterval(() => {
      this.ask({ type: "ping" }).catch(() => undefined);
    }, PING_MS);
  }

  #lose(socket: WebSocket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    clearInterval(this.#pings);
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
    for (const { failed, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      failed(new Unanswered("the connection was lost"));
    }
    this.#waiting.clear();
    if (!this.#stopped) this.#later();
  }

  #later(): void {
    const wait = this.#wait * (0.75 + this.#world.random() / 2);
    this.#wait = Math.min(this.#wait * 2, WAIT_MS.most);
    this.#options.onState({ state: "lost", retry_at: this.#world.now() + wait });
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      void this.#open();
    }, wait);
  }
}
