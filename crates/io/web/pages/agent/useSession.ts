import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { keepDraft, readDraft, type Draft } from "./draft";
import type { Session, View } from "./session";

export const useView = (session: Session): View =>
  useSyncExternalStore(session.subscribe, session.view);

/** The node's time, anew twice a second so that no shown second is skipped. */
export function useNow(session: Session): number {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, []);
  return session.now();
}

/** What is typed about a call; kept at every stroke. */
export function useDraft(attempt: string | undefined): [Draft, (change: Partial<Draft>) => void] {
  const read = (of: string | undefined) => readDraft(sessionStorage, of ?? "");
  const [held, hold] = useState(() => ({ attempt, draft: read(attempt) }));
  // Another call: its own draft, at once, never the words about the person before.
  const current = held.attempt === attempt ? held : { attempt, draft: read(attempt) };
  if (current !== held) hold(current);
  const change = useCallback(
    (part: Partial<Draft>) =>
      hold((before) => {
        const draft = { ...before.draft, ...part };
        if (before.attempt !== undefined) keepDraft(sessionStorage, before.attempt, draft);
        return { ...before, draft };
      }),
    [],
  );
  return [current.draft, change];
}

/** A yes or no that this computer remembers. */
export function useSetting(name: string, initial: boolean): [boolean, (on: boolean) => void] {
  const key = `dialmesh.agent.${name}`;
  const [on, set] = useState(() => (localStorage.getItem(key) ?? String(initial)) === "true");
  return [
    on,
    (next) => {
      localStorage.setItem(key, String(next));
      set(next);
    },
  ];
}
