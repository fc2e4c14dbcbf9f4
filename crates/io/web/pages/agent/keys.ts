// Hot keys: which key means what, and when it means nothing.

export type Action =
  | { do: "dispose"; place: number }
  | { do: "key"; key: string }
  | {
      do:
        | "ready"
        | "pause"
        | "hang_up"
        | "log_in"
        | "log_out"
        | "mute"
        | "recording"
        | "keypad"
        | "hold"
        | "note"
        | "callback"
        | "help";
    };

export interface KeyPress {
  key: string;
  code: string;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
  repeat: boolean;
  isComposing: boolean;
}

export interface Where {
  /** The focus is in a field that takes text. */
  typing: boolean;
  /** A dialog is open: it has the keyboard. */
  dialog: boolean;
  /** The agent has not turned the keys off. */
  enabled: boolean;
  /** The keypad is open and has the digits. */
  keypad: boolean;
}

const letters: Record<string, Action> = {
  r: { do: "ready" },
  p: { do: "pause" },
  h: { do: "hang_up" },
  l: { do: "log_in" },
  m: { do: "mute" },
  s: { do: "recording" },
  n: { do: "note" },
  c: { do: "callback" },
  k: { do: "keypad" },
  o: { do: "hold" },
};

/** The keys as the overlay lists them, in the order of a call. */
export const LISTED = [
  { keys: ["L"], text: "keys.logIn" },
  { keys: ["R"], text: "keys.ready" },
  { keys: ["P"], text: "keys.pause" },
  { keys: ["H"], text: "keys.hangUp" },
  { keys: ["M"], text: "keys.mute" },
  { keys: ["S"], text: "keys.recording" },
  { keys: ["O"], text: "keys.hold" },
  { keys: ["K"], text: "keys.keypad" },
  { keys: ["1", "9"], text: "keys.dispose" },
  { keys: ["N"], text: "keys.note" },
  { keys: ["C"], text: "keys.callback" },
  { keys: ["Esc"], text: "keys.escape" },
  { keys: ["Shift", "L"], text: "keys.logOut" },
  { keys: ["?"], text: "keys.help" },
] as const;

/** What a key press asks for. */
export function actionOf(press: KeyPress, where: Where): Action | undefined {
  if (press.repeat || press.isComposing || press.ctrlKey || press.altKey || press.metaKey) {
    return undefined;
  }
  if (where.typing || where.dialog) return undefined;
  if (where.keypad) {
    if (press.key === "Escape") return { do: "keypad" };
    const place = /^(?:Digit|Numpad)([0-9])$/.exec(press.code)?.[1];
    const key = /^[0-9*#]$/.test(press.key) ? press.key : press.shiftKey ? undefined : place;
    if (key !== undefined) return { do: "key", key };
  }
  // The list of keys can always be asked for: it is where they are turned on again.
  if (press.key === "?") return { do: "help" };
  if (!where.enabled) return undefined;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(press.code)?.[1] ?? /^[1-9]$/.exec(press.key)?.[0];
  if (digit && !press.shiftKey) return { do: "dispose", place: Number(digit) - 1 };
  // By the letter where the layout has Latin ones, else by the place of the key.
  const letter = /^[a-z]$/i.test(press.key)
    ? press.key.toLowerCase()
    : /^Key([A-Z])$/.exec(press.code)?.[1]?.toLowerCase();
  if (letter === undefined) return undefined;
  if (press.shiftKey) return letter === "l" ? { do: "log_out" } : undefined;
  return letters[letter];
}

/** Whether an element takes text. */
export function takesText(element: Element | null): boolean {
  if (!element) return false;
  if (element instanceof HTMLElement && element.isContentEditable) return true;
  if (element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement) return true;
  if (!(element instanceof HTMLInputElement)) return false;
  return !["button", "checkbox", "radio", "range", "submit", "reset", "image", "file"].includes(
    element.type,
  );
}
