// Server-sent events over fetch: EventSource cannot send an Authorization header.

export interface SseEvent {
  id: string;
  event: string;
  data: string;
}

/** Cuts a text stream into events, as the HTML standard says, whatever the chunks. */
export class SseParser {
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];

  push(chunk: string): SseEvent[] {
    const events: SseEvent[] = [];
    this.#rest += chunk;
    for (;;) {
      const end = /\r\n|\n|\r/.exec(this.#rest);
      // A carriage return at the very end may be half of a line break.
      if (!end || (end[0] === "\r" && end.index === this.#rest.length - 1)) return events;
      const line = this.#rest.slice(0, end.index);
      this.#rest = this.#rest.slice(end.index + end[0].length);
      const event = this.#line(line);
      if (event) events.push(event);
    }
  }

  #line(line: string): SseEvent | undefined {
    if (line === "") {
      const event = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
      const empty = this.#data.length === 0;
      this.#event = "";
      this.#data = [];
      return empty ? undefined : event;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return undefined;
  }
}

export type Link = "connecting" | "live" | "lost" | "refused";

export interface StreamOptions {
  url: string;
  token: string;
  onEvent: (event: SseEvent) => void;
  onLink: (link: Link) => void;
  /** Silence after which the connection is taken for dead; the server speaks every 10 s. */
  silenceMs?: number;
}

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** Follows a stream until it is stopped, coming back with Last-Event-ID. Returns the stop. */
export function follow(options: StreamOptions): () => void {
  const stopped = new AbortController();
  void run(options, stopped.signal);
  return () => stopped.abort();
}

async function run(options: StreamOptions, stopped: AbortSignal): Promise<void> {
  const { url, token, onEvent, onLink, silenceMs = 25_000 } = options;
  let last = "";
  let wait = 500;
  while (!stopped.aborted) {
    const attempt = new AbortController();
    const give_up = () => attempt.abort();
    stopped.addEventListener("abort", give_up);
    let watchdog = setTimeout(give_up, silenceMs);
    try {
      const headers: Record<string, string> = { authorization: `Bearer ${token}` };
      if (last) headers["last-event-id"] = last;
      const response = await fetch(url, { headers, signal: attempt.signal, cache: "no-store" });
      if (response.status === 401 || response.status === 403) {
        onLink("refused");
        return;
      }
      // What was missed is gone: the newest state comes first on a fresh stream.
      if (response.status === 410) last = "";
      if (response.ok && response.body) {
        onLink("live");
        wait = 500;
        const parser = new SseParser();
        const decoder = new TextDecoder();
        const reader = response.body.getReader();
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          clearTimeout(watchdog);
          watchdog = setTimeout(give_up, silenceMs);
          for (const event of parser.push(decoder.decode(value, { stream: true }))) {
            if (event.id) last = event.id;
            onEvent(event);
          }
        }
      }
    } catch {
      // Broken or silent: try again below.
    } finally {
      clearTimeout(watchdog);
      stopped.removeEventListener("abort", give_up);
    }
    if (stopped.aborted) return;
    onLink("lost");
    await pause(wait * (0.75 + Math.random() / 2), stopped);
    wait = Math.min(wait * 2, 10_000);
  }
}
