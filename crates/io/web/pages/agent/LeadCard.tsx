import { Alert, Button, Paper, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { shown } from "./callback";
import { running } from "./clock";
import type { Offers, Past } from "./desk";
import type { Card, Command } from "./protocol";

/** The clocks where the lead may be. */
function LocalTimes({ zones, now }: { zones: string[]; now: number }) {
  return (
    <>
      {zones.map((zone) => (
        <span key={zone} className="zone">
          {shown(now, zone).slice(11)} <span className="quiet">{zone}</span>
        </span>
      ))}
    </>
  );
}

/** Whom the agent speaks with. */
export function LeadCard({
  call,
  now,
  can,
  live,
  busy,
  onPress,
  tools,
}: {
  call: Card;
  now: number;
  can: Offers;
  live: boolean;
  busy: ReadonlySet<string>;
  onPress: (command: Command) => void;
  /** What can be done in the call. */
  tools: ReactNode;
}) {
  const { t, language } = useSpeech();
  const attributes = Object.entries(call.attributes);
  const end = call.ended?.at ?? now;
  return (
    <Paper withBorder component="section" className="panel" aria-labelledby="lead-name" data-testid="call">
      <header className="lead-head">
        <span className="lead-icon" aria-hidden="true">
          <Icon name="person" size={22} />
        </span>
        <h2 id="lead-name">
          {call.name || t("call.noName")}
        </h2>
        {call.bridged_at !== null && (
          <span className="talk">
            <b data-testid="talk">{running(end - call.bridged_at)}</b> {t("call.talk")}
          </span>
        )}
      </header>
      {call.call_back && (
        <p className="called-back" data-testid="call-back">
          <Icon name="phone" size={15} /> <b>{t("call.back")}</b>{" "}
          {t(call.call_back.yours ? "call.back.yours" : "call.back.called")} {call.call_back.called}
          {typeof call.call_back.city === "string" && (
            <span data-testid="call-back-city">
              {" "}
              · {t("call.back.city")} {call.call_back.city}
            </span>
          )}
          {call.call_back.waited_ms >= 1000 && (
            <span className="quiet">
              {" "}
              · {t("call.back.waited")} {running(call.call_back.waited_ms)}
            </span>
          )}
        </p>
      )}
      {call.ended && (
        <p className="ended" data-testid="ended">
          <Icon name={call.ended.by === "callee" ? "leave" : "hangUp"} size={15} />{" "}
          {t(`call.ended.${call.ended.by}`)}
        </p>
      )}
      {call.recording && !call.ended && (
        <div className="recording" data-testid="recording" data-recording={call.recording}>
          <span role="status" className={call.recording === "on" ? "tone-bad" : "tone-warn"}>
            <Icon name={call.recording === "on" ? "record" : "pause"} size={14} />{" "}
            {t(`recording.${call.recording}`)}
          </span>
          {(["recording_pause", "recording_resume"] as const).map(
            (type) =>
              can[type] && (
                <Button
                  key={type}
                  size="xs"
                  variant="default"
                  disabled={!live}
                  loading={busy.has(type)}
                  onClick={() => onPress({ type })}
                  data-testid={type}
                >
                  {t(`act.${type}`)}
                </Button>
              ),
          )}
        </div>
      )}
      {tools}
      <dl className="facts">
        <div>
          <dt>{t("call.number")}</dt>
          <dd data-testid="number">
            {call.number === "withheld" ? t("call.withheld") : call.number}
          </dd>
        </div>
        <div>
          <dt>{t("call.campaign")}</dt>
          <dd>{call.campaign_name}</dd>
        </div>
        {call.zones && call.zones.length > 0 && (
          <div>
            <dt>{t("call.localTime")}</dt>
            <dd data-testid="local-time">
              <LocalTimes zones={call.zones} now={now} />
            </dd>
          </div>
        )}
        {call.bridged_at !== null && (
          <div>
            <dt>{t("call.begun")}</dt>
            <dd>
              {new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(call.bridged_at)}
            </dd>
          </div>
        )}
      </dl>
      {attributes.length > 0 && (
        <>
          <h3>{t("call.attributes")}</h3>
          <dl className="facts attributes" data-testid="attributes">
            {attributes.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
      <Text size="xs" className="quiet lead-id">
        {t("call.lead")} {call.lead}
      </Text>
    </Paper>
  );
}

/** The call before, and a note that came too late for it. */
export function LastCall({ last, note }: { last: Past; note: string }) {
  const { t } = useSpeech();
  return (
    <Paper withBorder component="section" className="panel last" aria-labelledby="last-call" data-testid="last">
      <h3 id="last-call">{t("last.title")}</h3>
      <p>
        <b>{last.name || t("call.noName")}</b> <span className="quiet">{last.number}</span>
      </p>
      <p className={last.disposition === null ? "tone-warn" : undefined}>
        {last.disposition ?? t("last.none")}
        {last.by && <span className="quiet"> · {t(`call.ended.${last.by}`)}</span>}
      </p>
      {note !== "" && (
        <Alert color="orange" variant="light" title={t("last.note")} data-testid="late-note">
          <span className="late-note">{note}</span>
        </Alert>
      )}
    </Paper>
  );
}

/** What stands where a call will be. */
export function NoCall({ hint }: { hint: string }) {
  const { t } = useSpeech();
  return (
    <Paper withBorder component="section" className="panel no-call" aria-label={t("call.title")}>
      <Icon name="headset" size={34} />
      <p>{t("call.none")}</p>
      <p className="quiet">{hint}</p>
    </Paper>
  );
}
