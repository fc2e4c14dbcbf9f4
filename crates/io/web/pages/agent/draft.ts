// What the agent has typed about a call, kept in this tab so that a reload loses nothing.

export interface Draft {
  note: string;
  /** As the field has it: `2026-11-24T10:00`, in the zone that the field is labelled with. */
  callback: string;
}

export const blank: Draft = { note: "", callback: "" };

const PREFIX = "dialmesh.draft.";

/** The draft of an attempt; a blank one where there is none. */
export function readDraft(store: Storage, attempt: string): Draft {
  try {
    const kept: unknown = JSON.parse(store.getItem(PREFIX + attempt) ?? "null");
    if (typeof kept !== "object" || kept === null) return blank;
    const text = (name: string) => {
      const value: unknown = (kept as Record<string, unknown>)[name];
      return typeof value === "string" ? value : "";
    };
    return { note: text("note"), callback: text("callback") };
  } catch {
    return blank;
  }
}

/** Keeps a draft; a blank one is removed. A full store loses the draft at a reload, nothing else. */
export function keepDraft(store: Storage, attempt: string, draft: Draft): void {
  try {
    if (draft.note === "" && draft.callback === "") store.removeItem(PREFIX + attempt);
    else store.setItem(PREFIX + attempt, JSON.stringify(draft));
  } catch {
    // Nothing to do here: what was typed is still on the screen.
  }
}

/** Removes every draft but those of the attempts named: notes hold personal data. */
export function clearDrafts(store: Storage, but: readonly (string | undefined)[]): void {
  const keys = Array.from({ length: store.length }, (_, n) => store.key(n));
  for (const key of keys) {
    if (key?.startsWith(PREFIX) && !but.includes(key.slice(PREFIX.length))) store.removeItem(key);
  }
}
