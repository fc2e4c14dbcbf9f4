import { Button, Group, Kbd, Paper, Text, Textarea, TextInput } from "@mantine/core";
import type { Ref } from "react";
import { Icon, type IconName } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { callbackAt, moment, quick, shown, zoneOf } from "./callback";
import type { Draft } from "./draft";
import { NOTE_BYTES, bytes, type Card, type Choice } from "./protocol";

const flags = [
  { flag: "success", icon: "check", tone: "good" },
  { flag: "do_not_call", icon: "fence", tone: "bad" },
  { flag: "freeze", icon: "clock", tone: "quiet" },
  { flag: "retry", icon: "queue", tone: "quiet" },
] as const satisfies { flag: keyof Choice; icon: IconName; tone: string }[];

function ChoiceButton({
  choice,
  place,
  armed,
  chosen,
  disabled,
  busy,
  onChoose,
}: {
  choice: Choice;
  place: number;
  armed: boolean;
  chosen: boolean;
  disabled: boolean;
  busy: boolean;
  onChoose: () => void;
}) {
  const { t } = useSpeech();
  const said = flags.filter(({ flag }) => choice[flag]);
  return (
    <button
      type="button"
      className="choice"
      data-armed={armed || undefined}
      data-chosen={chosen || undefined}
      data-testid="disposition"
      data-name={choice.name}
      aria-disabled={disabled || busy}
      aria-pressed={chosen}
      aria-keyshortcuts={place < 9 ? String(place + 1) : undefined}
      onClick={() => {
        if (!disabled && !busy) onChoose();
      }}
    >
      {place < 9 && (
        <Kbd size="sm">{place + 1}</Kbd>
      )}
      <span className="choice-name">{choice.name}</span>
      <span className="choice-flags">
        {armed
          ? t("result.again")
          : said.map(({ flag, icon, tone }) => (
              <span key={flag} className={`tone-${tone}`}>
                <Icon name={icon} size={12} /> {t(`flag.${flag}`)}
              </span>
            ))}
      </span>
    </button>
  );
}

function Callback({
  call,
  draft,
  onDraft,
  now,
  field,
  disabled,
}: {
  call: Card;
  draft: Draft;
  onDraft: (change: Partial<Draft>) => void;
  now: number;
  field: Ref<HTMLInputElement>;
  disabled: boolean;
}) {
  const { t } = useSpeech();
  const { zone, lead } = zoneOf(call.zones);
  const read = callbackAt(draft.callback, zone, now);
  const at = moment(draft.callback, zone);
  const others = lead || at === undefined ? [] : (call.zones ?? []);
  const set = (callback: string) => onDraft({ callback });
  return (
    <div>
      <TextInput
        ref={field}
        type="datetime-local"
        label={t("callback.label")}
        description={t(lead ? "callback.lead" : "callback.own", { zone })}
        value={draft.callback}
        min={shown(now, zone)}
        onChange={(event) => set(event.currentTarget.value)}
        error={"fault" in read && t(`callback.${read.fault as "past" | "far" | "unreadable"}`)}
        disabled={disabled}
        data-testid="callback"
      />
      {others.length > 0 && at !== undefined && (
        <Text size="xs" className="quiet" mt={4}>
          {t("callback.there", {
            times: others.map((z) => `${shown(at, z).replace("T", " ")} (${z})`).join(", "),
          })}
        </Text>
      )}
      <Group gap={6} mt={6}>
        {(
          [
            ["hour", "callback.hour"],
            ["three_hours", "callback.threeHours"],
            ["tomorrow", "callback.tomorrow"],
          ] as const
        ).map(([choice, key]) => (
          <Button
            key={choice}
            size="compact-xs"
            variant="default"
            disabled={disabled}
            onClick={() => set(quick(choice, zone, now))}
          >
            {t(key)}
          </Button>
        ))}
        {draft.callback !== "" && (
          <Button
            size="compact-xs"
            variant="default"
            disabled={disabled}
            onClick={() => set("")}
            data-testid="callback-clear"
          >
            {t("callback.clear")}
          </Button>
        )}
      </Group>
    </div>
  );
}

/** How the call ended, in the campaign's words. */
export function Result({
  call,
  can,
  live,
  busy,
  armed,
  fault,
  draft,
  onDraft,
  onChoose,
  now,
  noteField,
  callbackField,
}: {
  call: Card;
  can: boolean;
  live: boolean;
  busy: boolean;
  /** The place of a choice that must be pressed once more. */
  armed: number | undefined;
  /** Why the last choice was not sent. */
  fault: string | undefined;
  draft: Draft;
  onDraft: (change: Partial<Draft>) => void;
  onChoose: (place: number) => void;
  now: number;
  noteField: Ref<HTMLTextAreaElement>;
  callbackField: Ref<HTMLInputElement>;
}) {
  const { t } = useSpeech();
  const set = call.disposition;
  const room = NOTE_BYTES - bytes(draft.note);
  const word = call.dispositions[armed ?? -1]?.name;
  return (
    <Paper withBorder component="section" className="panel result" aria-labelledby="result-title">
      <h2 id="result-title">{t("result.title")}</h2>
      {set !== null ? (
        <p className="set tone-good" data-testid="set">
          <Icon name="check" /> {t("result.set", { name: set })}
        </p>
      ) : (
        !call.ended && <p className="quiet small">{t("result.early")}</p>
      )}
      <div className="choices" role="group" aria-labelledby="result-title">
        {call.dispositions.map((choice, place) => (
          <ChoiceButton
            key={choice.name}
            choice={choice}
            place={place}
            armed={armed === place}
            chosen={set === choice.name}
            disabled={!can || !live}
            busy={busy}
            onChoose={() => onChoose(place)}
          />
        ))}
      </div>
      <p className="fault tone-bad" role="alert" data-testid="result-fault">
        {word !== undefined ? t("result.againLong", { name: word }) : fault}
      </p>
      {set === null && (
        <>
          <Textarea
            ref={noteField}
            label={t("note.label")}
            description={t("note.hint")}
            value={draft.note}
            onChange={(event) => onDraft({ note: event.currentTarget.value })}
            error={room < 0 && t("note.over", { n: -room })}
            autosize={false}
            rows={4}
            data-testid="note"
          />
          {room >= 0 && room < 300 && (
            <Text size="xs" className="quiet">
              {t("note.left", { n: room })}
            </Text>
          )}
          <Callback
            call={call}
            draft={draft}
            onDraft={onDraft}
            now={now}
            field={callbackField}
            disabled={false}
          />
        </>
      )}
    </Paper>
  );
}
