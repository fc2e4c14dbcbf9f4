import { Button } from "@mantine/core";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { running } from "./clock";
import type { Offers } from "./desk";
import { Keypad, KeypadButton, type KeypadState } from "./Keypad";
import type { Card, Command } from "./protocol";

/** What can be done in a call that is joined: hold, keypad. */
export function CallTools({
  call,
  can,
  now,
  live,
  busy,
  keypad,
  onKey,
  onPress,
}: {
  call: Card;
  can: Offers;
  now: number;
  live: boolean;
  busy: ReadonlySet<string>;
  keypad: KeypadState;
  onKey: (key: string) => void;
  onPress: (command: Command) => void;
}) {
  const { t } = useSpeech();
  if (!can.hold && !can.resume) return null;
  const type = can.resume ? "resume" : "hold";
  return (
    <>
      {call.held_since && can.resume && (
        <p className="held" data-testid="held">
          <span role="status">
            <Icon name="pause" size={15} /> {t("hold.on")}
          </span>{" "}
          <b>{running(now - call.held_since)}</b>
        </p>
      )}
      <div className="tools">
        <Button
          size="xs"
          variant={can.resume ? "filled" : "default"}
          leftSection={<Icon name={can.resume ? "headset" : "pause"} size={14} />}
          disabled={!live}
          loading={busy.has(type)}
          onClick={() => onPress({ type })}
          data-testid={type}
        >
          {t(`act.${type}`)}
        </Button>
        {can.press_keys && (
          <KeypadButton open={keypad.open} live={live} onToggle={keypad.toggle} />
        )}
      </div>
      {keypad.open && (
        <Keypad pressed={keypad.pressed} live={live} onKey={onKey} onClose={keypad.toggle} />
      )}
    </>
  );
}
