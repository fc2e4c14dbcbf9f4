import { Button, Group, Popover, Text, TextInput, VisuallyHidden } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";
import { Icon, type IconName } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { catalogues, type Key } from "../shared/words";
import { left, running } from "./clock";
import type { Desk, Offers } from "./desk";
import { PAUSE_CODE_BYTES, bytes, type AgentState, type Command, type Status } from "./protocol";

/** Wrap-up that ends so soon is pointed out. */
export const SOON_MS = 10_000;
/** The reasons offered; campaigns' reports show the code as it is. */
const PAUSES = ["break", "lunch", "meeting", "training", "admin"] as const;

const icons: Record<AgentState, IconName> = {
  logged_out: "off",
  paused: "pause",
  ready: "check",
  reserved: "bookmark",
  on_call: "headset",
  wrap_up: "pencil",
};

/** The words of a state, with what to do. */
export function wordsOf(
  { status, call }: Desk,
  browser: boolean,
): { state: Key; hint: Key; icon: IconName; look: string } {
  const state = status?.state ?? "logged_out";
  if (state === "logged_out" && status?.phone === "ringing") {
    return {
      state: "desk.state.ringing",
      hint: browser ? "desk.hint.ringing.browser" : "desk.hint.ringing.phone",
      icon: "phone",
      look: "reserved",
    };
  }
  const disposed = state === "wrap_up" && call?.disposition;
  return {
    state: `desk.state.${state}`,
    hint: disposed ? "desk.hint.disposed" : `desk.hint.${state}`,
    icon: icons[state],
    look: state,
  };
}

/** A pause's code in the agent's language, where it is one of ours. */
export function pauseWord(code: string | undefined, t: (key: Key) => string): string {
  const key = `pause.${code ?? ""}`;
  return key in catalogues.en ? t(key as Key) : (code ?? "");
}

/** When the state ends by itself. */
function Deadline({ status, now }: { status: Status; now: number }) {
  const { t } = useSpeech();
  if (status.deadline === null) return null;
  const key: Key =
    status.state === "on_call"
      ? "desk.deadline.on_call"
      : status.state === "wrap_up"
        ? "desk.deadline.wrap_up"
        : "desk.deadline.other";
  const soon = status.deadline - now <= SOON_MS;
  const whole = Math.max(1, status.deadline - status.since);
  const share = Math.min(1, Math.max(0, (status.deadline - now) / whole));
  return (
    <div className={soon ? "deadline soon" : "deadline"} data-testid="deadline">
      <span>
        <Icon name={soon ? "ghost" : "clock"} size={14} />{" "}
        {t(key, { time: left(status.deadline, now) })}
      </span>
      <span className="deadline-bar" aria-hidden="true">
        <span style={{ width: `${100 * share}%` }} />
      </span>
    </div>
  );
}

function PauseButton({
  open,
  onOpen,
  onPause,
  disabled,
  busy,
}: {
  open: boolean;
  onOpen: (open: boolean) => void;
  onPause: (code: string) => void;
  disabled: boolean;
  busy: boolean;
}) {
  const { t } = useSpeech();
  const [other, setOther] = useState("");
  const long = bytes(other.trim()) > PAUSE_CODE_BYTES;
  const choose = (code: string) => {
    onOpen(false);
    setOther("");
    onPause(code);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (other.trim() !== "" && !long) choose(other.trim());
  };
  return (
    <Popover opened={open} onChange={onOpen} trapFocus returnFocus position="bottom-start" withArrow>
      <Popover.Target>
        <Button
          variant="default"
          leftSection={<Icon name="pause" />}
          onClick={() => onOpen(!open)}
          disabled={disabled}
          loading={busy}
          data-testid="pause"
        >
          {t("act.pause")}
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label={t("pause.title")} data-testid="pause-reasons">
        <Text size="sm" fw={600} mb={6}>
          {t("pause.title")}
        </Text>
        <div className="reasons">
          {PAUSES.map((code, n) => (
            <Button
              key={code}
              variant="default"
              size="sm"
              data-autofocus={n === 0 || undefined}
              data-testid={`pause-${code}`}
              onClick={() => choose(code)}
            >
              {t(`pause.${code}`)}
            </Button>
          ))}
        </div>
        <form onSubmit={submit} className="other-reason">
          <TextInput
            size="sm"
            label={t("pause.other")}
            value={other}
            onChange={(event) => setOther(event.currentTarget.value)}
            error={long && t("pause.long", { most: PAUSE_CODE_BYTES })}
            autoComplete="off"
            data-testid="pause-other"
          />
          <Button type="submit" size="sm" disabled={other.trim() === "" || long}>
            {t("pause.use")}
          </Button>
        </form>
      </Popover.Dropdown>
    </Popover>
  );
}

/** What the agent is, since when, until when, and the buttons that change it. */
export function StateStrip({
  desk,
  can,
  now,
  live,
  busy,
  browser,
  pausing,
  onPausing,
  onPress,
}: {
  desk: Desk;
  can: Offers;
  now: number;
  live: boolean;
  busy: ReadonlySet<string>;
  browser: boolean;
  pausing: boolean;
  onPausing: (open: boolean) => void;
  onPress: (command: Command) => void;
}) {
  const { t } = useSpeech();
  const { status } = desk;
  if (!status) return null;
  const words = wordsOf(desk, browser);
  const ringing = status.state === "logged_out" && status.phone !== "down";
  const next = status.next && `desk.next.${status.next}`;
  const later = can.later && status.state !== "reserved";
  const button = (type: "log_in" | "log_out" | "ready" | "hang_up") => ({
    onClick: () => onPress({ type }),
    loading: busy.has(type),
    disabled: !live,
    "data-testid": type,
  });
  return (
    <section className="strip" data-look={words.look} data-testid="state" data-state={status.state}>
      <div className="strip-state">
        <span className="strip-icon">
          <Icon name={words.icon} size={26} />
        </span>
        <div>
          <h2 data-testid="state-name">
            {t(words.state)}
            {status.state === "paused" && status.code ? (
              <span className="strip-code"> · {pauseWord(status.code, t)}</span>
            ) : null}
          </h2>
          <p>{t(words.hint)}</p>
        </div>
        <span className="strip-timer">
          <span data-testid="timer">{running(now - status.since)}</span>
          <VisuallyHidden> {t("desk.timer")}</VisuallyHidden>
        </span>
      </div>
      <div className="strip-side">
        <Group gap="xs" wrap="wrap" className="strip-buttons">
          {can.log_in && (
            <Button size="md" leftSection={<Icon name="phone" />} {...button("log_in")}>
              {t("act.log_in")}
            </Button>
          )}
          {can.hang_up && (
            <Button size="md" color="red.9" leftSection={<Icon name="hangUp" />} {...button("hang_up")}>
              {t("act.hang_up")}
            </Button>
          )}
          <div
            className="strip-group"
            role="group"
            aria-label={t(later ? "act.later" : "desk.title")}
          >
            {later && <span className="quiet small">{t("act.later")}</span>}
            {can.ready && (
              <Button
                size={later ? "sm" : "md"}
                variant={later ? "default" : "filled"}
                leftSection={<Icon name="check" />}
                {...button("ready")}
              >
                {t("act.ready")}
              </Button>
            )}
            {can.pause && (
              <PauseButton
                open={pausing}
                onOpen={onPausing}
                onPause={(code) => onPress({ type: "pause", code })}
                disabled={!live}
                busy={busy.has("pause")}
              />
            )}
            {can.log_out && (
              <Button variant="default" leftSection={<Icon name="leave" />} {...button("log_out")}>
                {t(ringing ? "act.cancel" : "act.log_out")}
              </Button>
            )}
          </div>
        </Group>
        <div className="strip-facts">
          <Deadline status={status} now={now} />
          {next && next in catalogues.en && (
            <span className="next" data-testid="next">
              <Icon name="queue" size={14} /> {t("desk.next", { next: t(next as Key) })}
            </span>
          )}
          {!browser && (
            <span className="quiet" data-testid="phone">
              <Icon name="phone" size={14} /> {t(`phone.${status.phone}`)}
            </span>
          )}
        </div>
      </div>
    </section>
  );
}
