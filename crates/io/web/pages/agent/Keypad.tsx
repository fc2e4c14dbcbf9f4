import { Button } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";

/** As on a telephone. */
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"] as const;
/** Of what was pressed, so much is shown. */
const SHOWN = 24;

/** The telephone's keys, for the person's side to hear. What was pressed is shown and kept nowhere. */
export function Keypad({
  pressed,
  live,
  onKey,
  onClose,
}: {
  pressed: string;
  live: boolean;
  onKey: (key: string) => void;
  onClose: () => void;
}) {
  const { t } = useSpeech();
  const panel = useRef<HTMLDivElement>(null);
  // The keyboard belongs to it as soon as it is open.
  useEffect(() => panel.current?.focus(), []);
  return (
    <div
      ref={panel}
      className="keypad"
      role="group"
      aria-label={t("keypad.title")}
      tabIndex={-1}
      data-testid="keypad"
    >
      <output className="keypad-shown" aria-label={t("keypad.pressed")} data-testid="keypad-pressed">
        {pressed.slice(-SHOWN) || "\u00a0"}
      </output>
      <div className="keypad-keys">
        {KEYS.map((key) => (
          <Button
            key={key}
            variant="default"
            size="md"
            disabled={!live}
            onClick={() => onKey(key)}
            data-testid={`keypad-${key}`}
          >
            {key}
          </Button>
        ))}
      </div>
      <p className="quiet small">{t("keypad.hint")}</p>
      <Button size="xs" variant="default" onClick={onClose} data-testid="keypad-close">
        {t("keypad.close")}
      </Button>
    </div>
  );
}

/** How the keypad stands. */
export interface KeypadState {
  open: boolean;
  pressed: string;
  toggle: () => void;
  note: (key: string) => void;
}

/** What was pressed in a call, and whether its keypad is open; another call begins anew. */
export function useKeypad(attempt: string | undefined, can: boolean): KeypadState {
  const [held, hold] = useState({ attempt, open: false, pressed: "" });
  const current = held.attempt === attempt ? held : { attempt, open: false, pressed: "" };
  if (current !== held) hold(current);
  return {
    open: current.open && can,
    pressed: current.pressed,
    toggle: () => hold((before) => ({ ...before, open: can && !before.open })),
    note: (key: string) =>
      hold((before) => ({ ...before, pressed: (before.pressed + key).slice(-SHOWN) })),
  };
}

/** Opens and closes it. */
export function KeypadButton({ open, live, onToggle }: { open: boolean; live: boolean; onToggle: () => void }) {
  const { t } = useSpeech();
  return (
    <Button
      size="xs"
      variant="default"
      leftSection={<Icon name="keypad" size={14} />}
      disabled={!live}
      aria-expanded={open}
      onClick={onToggle}
      data-testid="keypad-button"
    >
      {t("act.keypad")}
    </Button>
  );
}
