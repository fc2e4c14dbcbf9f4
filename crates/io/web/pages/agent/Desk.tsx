import { ActionIcon, Button, Tooltip, VisuallyHidden } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { Preferences, Wordmark } from "../shared/Chrome";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { AudioPanel } from "./Audio";
import { callbackAt, zoneOf } from "./callback";
import { occupied, offers } from "./desk";
import { keepDraft, readDraft, blank } from "./draft";
import { CallTools } from "./CallTools";
import { useKeypad } from "./Keypad";
import { Keys } from "./Keys";
import { actionOf, takesText, type Action } from "./keys";
import { LastCall, LeadCard, NoCall } from "./LeadCard";
import { LostBanner, Troubles } from "./Notices";
import { NOTE_BYTES, bytes } from "./protocol";
import { Result } from "./Result";
import type { Session } from "./session";
import { wake } from "./sound";
import { SOON_MS, StateStrip, wordsOf } from "./StateStrip";
import { useDraft, useNow, useSetting, useView } from "./useSession";

/** A choice that must be confirmed waits so long for the second press. */
const ARMED_MS = 4_000;

/** The words of the page's title and of what a screen reader is told. */
function useAnnounced(session: Session, now: number): { polite: string; urgent: string } {
  const { t } = useSpeech();
  const { desk } = useView(session);
  const browser = session.voice.by === "browser";
  const words = wordsOf(desk, browser);
  const { call, status } = desk;
  const state = t(words.state);
  useEffect(() => {
    const who = call && status?.state === "on_call" ? ` · ${call.name || call.number}` : "";
    document.title = `${state}${who} – dialmesh`;
  }, [state, call, status?.state]);
  const on_call = status?.state === "on_call" && call;
  const soon =
    status?.state === "wrap_up" && status.deadline !== null && status.deadline - now <= SOON_MS;
  return {
    polite: soon
      ? t("desk.announce.tenSeconds")
      : on_call || !status
        ? ""
        : t("desk.announce", { state, hint: t(words.hint) }),
    urgent: on_call
      ? t("desk.announce.call", {
          name: call.name || t("call.noName"),
          campaign: call.campaign_name,
        })
      : "",
  };
}

/** Asks before the page goes while somebody is on the line or a result is owed. */
function useStay(stay: boolean) {
  useEffect(() => {
    if (!stay) return undefined;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [stay]);
}

/** Single keys, anywhere outside of fields. */
function useKeys(enabled: boolean, dialog: boolean, pad: boolean, act: (action: Action) => void) {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      // Whatever is pressed lets the browser beep from now on.
      wake();
      const focus = document.activeElement;
      if (event.key === "Escape" && takesText(focus) && !event.isComposing) {
        if (focus instanceof HTMLElement && !dialog) focus.blur();
        return;
      }
      // Where single keys are off, the open keypad has its own while the focus is in it (WCAG 2.1.4).
      const keypad = pad && (enabled || focus?.closest(".keypad") !== null);
      const action = actionOf(event, { typing: takesText(focus), dialog, enabled, keypad });
      if (!action) return;
      event.preventDefault();
      latest.current(action);
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [enabled, dialog, pad]);
}

/** The agent's whole shift. */
export function Desk({
  session,
  onLeave,
  onPhone,
}: {
  session: Session;
  onLeave: (refused: boolean) => void;
  onPhone: () => void;
}) {
  const { t } = useSpeech();
  const { desk, link, audio, busy } = useView(session);
  const now = useNow(session);
  const { call, last, status } = desk;
  const can = offers(desk);
  const live = link.state === "live";
  const browser = session.voice.by === "browser";
  const [draft, setDraft] = useDraft(call?.attempt);
  const keypad = useKeypad(call?.attempt, can.press_keys);
  const [pausing, setPausing] = useState(false);
  const [listing, setListing] = useState(false);
  const [enabled, setEnabled] = useSetting("keys", true);
  const [sound, setSound] = useSetting("sound", true);
  const [armed, setArmed] = useState<{ attempt: string; place: number }>();
  const [fault, setFault] = useState<{ attempt: string; words: string }>();
  const noteField = useRef<HTMLTextAreaElement>(null);
  const callbackField = useRef<HTMLInputElement>(null);
  const announced = useAnnounced(session, now);
  useStay(occupied(desk));
  useEffect(() => session.setSound(sound), [session, sound]);
  useEffect(() => {
    const back = () => session.retry();
    window.addEventListener("online", back);
    return () => window.removeEventListener("online", back);
  }, [session]);
  const refused = link.state === "refused";
  useEffect(() => {
    if (refused) onLeave(true);
  }, [refused, onLeave]);
  useEffect(() => {
    if (!armed) return undefined;
    const timer = setTimeout(() => setArmed(undefined), ARMED_MS);
    return () => clearTimeout(timer);
  }, [armed]);

  const choose = (place: number) => {
    const choice = call?.dispositions[place];
    if (!call || !choice || !can.dispose || busy.has("dispose")) return;
    const { attempt } = call;
    const stop = (words: string) => setFault({ attempt, words });
    const read = callbackAt(draft.callback, zoneOf(call.zones).zone, session.now());
    if ("fault" in read) {
      stop(t(`callback.${read.fault}`, { name: choice.name }));
      return;
    }
    if (read.at !== null && choice.do_not_call) {
      stop(t("callback.forbidden", { name: choice.name }));
      return;
    }
    const over = bytes(draft.note) - NOTE_BYTES;
    if (over > 0) {
      stop(t("note.over", { n: over }));
      return;
    }
    setFault(undefined);
    // Only an authorised, audited act lifts it again: one slip of a finger must not set it.
    if (choice.do_not_call && armed?.place !== place) {
      setArmed({ attempt, place });
      return;
    }
    setArmed(undefined);
    void session
      .press({
        type: "dispose",
        disposition: choice.name,
        note: draft.note,
        callback_at: read.at,
      })
      .then((kept) => {
        if (kept) keepDraft(sessionStorage, attempt, blank);
      });
  };
  const pressKey = (key: string) => {
    if (live && session.pressKey(key)) keypad.note(key);
  };
  const act = (action: Action) => {
    switch (action.do) {
      case "dispose":
        choose(action.place);
        break;
      case "note":
        noteField.current?.focus();
        break;
      case "callback":
        callbackField.current?.focus();
        break;
      case "help":
        setListing(true);
        break;
      case "pause":
        if (can.pause && live) setPausing(true);
        break;
      case "recording":
        if (can.recording_pause) void session.press({ type: "recording_pause" });
        else if (can.recording_resume) void session.press({ type: "recording_resume" });
        break;
      case "hold":
        if (can.hold) void session.press({ type: "hold" });
        else if (can.resume) void session.press({ type: "resume" });
        break;
      case "keypad":
        keypad.toggle();
        break;
      case "key":
        pressKey(action.key);
        break;
      case "mute":
        if (browser && session.audio.stream) session.audio.setMuted(!audio.muted);
        break;
      default:
        if (can[action.do]) void session.press({ type: action.do });
    }
  };
  useKeys(enabled, listing || pausing, keypad.open, act);

  const away = status === undefined || status.state === "logged_out" || !live;
  const lateNote = last && !call ? readDraft(sessionStorage, last.attempt).note : "";
  return (
    <>
      <a className="skip" href="#desk">
        {t("desk.skip")}
      </a>
      <header className="bar">
        <Wordmark />
        <h1 className="bar-title">{t("desk.title")}</h1>
        <span className="bar-space" />
        <span
          className={`link tone-${live ? "good" : "warn"}`}
          data-testid="link"
          data-link={link.state}
        >
          <Icon name={live ? "pulse" : "cut"} />{" "}
          {t(live ? "desk.link.live" : link.state === "lost" ? "desk.link.lost" : "desk.link.connecting")}
        </span>
        <Tooltip label={t(sound ? "sound.on" : "sound.off")}>
          <ActionIcon
            variant="default"
            size={30}
            aria-label={t(sound ? "sound.on" : "sound.off")}
            aria-pressed={sound}
            onClick={() => setSound(!sound)}
            data-testid="sound"
          >
            <Icon name={sound ? "bell" : "bellOff"} />
          </ActionIcon>
        </Tooltip>
        <Button
          size="xs"
          variant="default"
          leftSection={<Icon name="keyboard" />}
          onClick={() => setListing(true)}
          aria-keyshortcuts="?"
          data-testid="keys-button"
        >
          {t("keys.button")}
        </Button>
        <Preferences />
        <Tooltip label={t("desk.signOut.first")} disabled={away}>
          <Button
            size="xs"
            variant="default"
            leftSection={<Icon name="leave" />}
            aria-disabled={!away}
            data-disabled={!away || undefined}
            onClick={() => away && onLeave(false)}
            data-testid="sign-out"
          >
            {t("desk.signOut")}
          </Button>
        </Tooltip>
      </header>
      {!live && status && <LostBanner link={link} onRetry={() => session.retry()} />}
      <main id="desk" className="desk" data-live={live}>
        <StateStrip
          desk={desk}
          can={can}
          now={now}
          live={live}
          busy={busy}
          browser={browser}
          pausing={pausing}
          onPausing={setPausing}
          onPress={(command) => void session.press(command)}
        />
        {browser && (
          <AudioPanel
            audio={session.audio}
            state={audio}
            onRetry={() => session.reopenAudio()}
            onMute={(muted) => session.audio.setMuted(muted)}
            onPhone={status?.state === "logged_out" ? onPhone : undefined}
          />
        )}
        <Troubles troubles={desk.troubles} onDismiss={(key) => session.dismiss(key)} />
        {call ? (
          <div className="columns">
            <LeadCard
              call={call}
              now={now}
              can={can}
              live={live}
              busy={busy}
              onPress={(command) => void session.press(command)}
              tools={
                <CallTools
                  call={call}
                  can={can}
                  now={now}
                  live={live}
                  busy={busy}
                  keypad={keypad}
                  onKey={pressKey}
                  onPress={(command) => void session.press(command)}
                />
              }
            />
            <Result
              call={call}
              can={can.dispose}
              live={live}
              busy={busy.has("dispose")}
              armed={armed?.attempt === call.attempt ? armed.place : undefined}
              fault={fault?.attempt === call.attempt ? fault.words : undefined}
              draft={draft}
              onDraft={(change) => {
                setFault(undefined);
                setDraft(change);
              }}
              onChoose={choose}
              now={now}
              noteField={noteField}
              callbackField={callbackField}
            />
          </div>
        ) : (
          status && (
            <>
              <NoCall hint={t(wordsOf(desk, browser).hint)} />
              {last && <LastCall last={last} note={lateNote} />}
            </>
          )
        )}
      </main>
      <Keys
        open={listing}
        onClose={() => setListing(false)}
        enabled={enabled}
        onEnabled={setEnabled}
      />
      <VisuallyHidden role="status" data-testid="announced">
        {announced.polite}
      </VisuallyHidden>
      <VisuallyHidden role="alert">{announced.urgent}</VisuallyHidden>
    </>
  );
}
