// One agent's session in this tab: the link, what the node told, what was pressed. Outside of
// React, so that drawing twice never means connecting twice.

import { BrowserAudio, type AudioState } from "./audio";
import { AUDIO_LOST, dismissed, empty, told, troubled, wentWell, type Desk } from "./desk";
import { clearDrafts } from "./draft";
import { Link, Unanswered, type LinkState } from "./link";
import { KEYS, type Command, type CommandError, type CommandType, type Notice } from "./protocol";
import { beep } from "./sound";

/** Where the agent's voice goes: a SIP phone of its own, or this page. */
export type Voice = { by: "phone" } | { by: "browser"; device: string };

export interface View {
  desk: Desk;
  link: LinkState;
  audio: AudioState;
  /** The node's clock minus this machine's. */
  skew: number;
  /** Commands under way. */
  busy: ReadonlySet<CommandType>;
}

/** Errors of the page itself, beside the node's codes. */
export const PAGE_ERRORS = { unanswered: "page.unanswered", offline: "page.offline" } as const;

export class Session {
  #view: View;
  #listeners = new Set<() => void>();
  readonly #link: Link;
  readonly #audio: BrowserAudio;
  readonly #voice: Voice;
  #sound = true;
  /** Keys of the keypad that no command has taken yet. */
  #keys = "";

  constructor(token: string, voice: Voice) {
    this.#voice = voice;
    this.#view = {
      desk: empty,
      link: { state: "connecting" },
      audio: { phase: "off", muted: false, silent: false },
      skew: 0,
      busy: new Set(),
    };
    this.#audio = new BrowserAudio({
      ask: (command) => this.#link.ask(command),
      onChange: (audio) => this.#show({ audio }),
    });
    this.#link = new Link({
      token,
      onNotice: (notice) => this.#noticed(notice),
      onState: (link) => this.#linked(link),
      onSkew: (skew) => this.#show({ skew }),
    });
  }

  readonly view = (): View => this.#view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get voice(): Voice {
    return this.#voice;
  }

  get audio(): BrowserAudio {
    return this.#audio;
  }

  /** The node's time. */
  now(): number {
    return Date.now() + this.#view.skew;
  }

  setSound(on: boolean): void {
    this.#sound = on;
  }

  retry(): void {
    this.#link.retry();
  }

  /** After a fault that the person has put right. */
  reopenAudio(): void {
    if (this.#voice.by === "browser") void this.#audio.open(this.#voice.device);
  }

  dismiss(key: number): void {
    this.#show({ desk: dismissed(this.#view.desk, key) });
  }

  /** Does what a button says. True when the node has done it; else the desk shows why not. */
  async press(command: Command): Promise<boolean> {
    const { type } = command;
    if (this.#view.busy.has(type)) return false;
    if (this.#view.link.state !== "live") {
      this.#trouble({ code: PAGE_ERRORS.offline, message: "" }, type);
      return false;
    }
    this.#show({ busy: new Set([...this.#view.busy, type]) });
    try {
      // A shift by browser begins with its audio: the node calls the page as it would a phone.
      if (type === "log_in" && this.#voice.by === "browser") {
        if (!(await this.#audio.open(this.#voice.device))) return false;
      }
      const reply = await this.#link.ask(command);
      if (!reply.ok) {
        this.#trouble(reply.error ?? { code: "", message: "" }, type);
        return false;
      }
      this.#show({ desk: wentWell(this.#view.desk, type) });
      return true;
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      this.#trouble({ code: PAGE_ERRORS.unanswered, message: "" }, type);
      return false;
    } finally {
      this.#show({ busy: new Set([...this.#view.busy].filter((other) => other !== type)) });
    }
  }

  /**
   * Sends a key to the person. What is pressed while a command is under way goes with the next one, in
   * its order. False when too many wait.
   */
  pressKey(key: string): boolean {
    if (this.#keys.length >= KEYS) return false;
    this.#keys += key;
    void this.#sendKeys();
    return true;
  }

  async #sendKeys(): Promise<void> {
    while (this.#keys !== "" && !this.#view.busy.has("press_keys")) {
      const keys = this.#keys;
      this.#keys = "";
      // What was refused is told; keys behind it would spell something else.
      if (!(await this.press({ type: "press_keys", keys }))) this.#keys = "";
    }
  }

  /** Ends everything in this tab. The shift itself is ended by `log_out`. */
  stop(): void {
    this.#audio.close(this.#view.link.state === "live");
    this.#link.stop();
  }

  #noticed(notice: Notice): void {
    const before = this.#view.desk;
    const desk = told(before, notice, this.now());
    this.#show({ desk });
    if (notice.type === "call" && before.call?.attempt !== notice.attempt && this.#sound) beep();
    if (notice.type === "error" && notice.code === AUDIO_LOST) this.#audio.renew();
    if (notice.type === "snapshot") {
      clearDrafts(sessionStorage, [desk.call?.attempt, desk.last?.attempt]);
    }
  }

  #linked(link: LinkState): void {
    this.#show({ link });
    if (this.#voice.by !== "browser") return;
    if (link.state === "live") void this.#audio.open(this.#voice.device);
    else this.#audio.pause();
  }

  #trouble(error: CommandError, command: CommandType): void {
    this.#show({ desk: troubled(this.#view.desk, error, command) });
  }

  #show(change: Partial<View>): void {
    this.#view = { ...this.#view, ...change };
    for (const listener of this.#listeners) listener();
  }
}
