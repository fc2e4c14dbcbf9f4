import { Alert, Button, Paper } from "@mantine/core";
import { useEffect, useState } from "react";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";
import type { AudioState, BrowserAudio, Quality } from "./audio";
import { Meter } from "./Meter";

/** How often the line's quality is looked at. */
const LOOK_MS = 2_000;

function useQuality(audio: BrowserAudio, up: boolean): Quality {
  const [quality, set] = useState<Quality>({});
  useEffect(() => {
    if (!up) {
      set({});
      return undefined;
    }
    let gone = false;
    const look = () =>
      audio.quality().then(
        (found) => !gone && set(found),
        () => undefined,
      );
    void look();
    const timer = setInterval(() => void look(), LOOK_MS);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [audio, up]);
  return quality;
}

/** The microphone, the line to the node, and what is wrong with them. */
export function AudioPanel({
  audio,
  state,
  onRetry,
  onMute,
  onPhone,
}: {
  audio: BrowserAudio;
  state: AudioState;
  onRetry: () => void;
  onMute: (muted: boolean) => void;
  /** Changes to the phone; none during a shift. */
  onPhone: (() => void) | undefined;
}) {
  const { t, n } = useSpeech();
  const up = state.phase === "up";
  const { roundTrip, loss } = useQuality(audio, up);
  const { stream } = audio;
  const tone = up ? "good" : state.phase === "failed" ? "bad" : "warn";
  const trip = roundTrip === undefined ? "–" : `${n(roundTrip)} ms`;
  const lost = loss === undefined ? "–" : `${n(loss, 1)} %`;
  return (
    <Paper
      withBorder
      component="section"
      className="panel audio"
      aria-label={t("voice.title")}
      data-testid="audio"
      data-phase={state.phase}
      data-fault={state.fault}
    >
      <span className={`tone-${tone} audio-word`} role="status">
        <Icon name={state.muted ? "micOff" : "mic"} />{" "}
        {state.muted ? t("audio.muted") : t(`audio.${state.phase}`)}
      </span>
      {stream && !state.muted && <Meter stream={stream} />}
      {up && (
        <span className="quiet small">
          {t("audio.quality", { trip, loss: lost })}
        </span>
      )}
      <span className="bar-space" />
      {state.silent && (
        <Button size="xs" color="orange.9" onClick={() => audio.hear()}>
          {t("audio.hear")}
        </Button>
      )}
      {state.phase === "failed" && onPhone && (
        <Button size="xs" variant="default" onClick={onPhone} data-testid="use-phone">
          {t("voice.usePhone")}
        </Button>
      )}
      {state.phase === "failed" && state.fault !== "phones_only" && (
        <Button size="xs" variant="default" onClick={onRetry} data-testid="audio-retry">
          {t("audio.retry")}
        </Button>
      )}
      {stream && (
        <Button
          size="xs"
          variant={state.muted ? "filled" : "default"}
          aria-pressed={state.muted}
          leftSection={<Icon name={state.muted ? "mic" : "micOff"} size={14} />}
          onClick={() => onMute(!state.muted)}
          data-testid="mute"
        >
          {t(state.muted ? "audio.unmute" : "audio.mute")}
        </Button>
      )}
      {state.fault && (
        <Alert color="red" variant="light" role="alert" className="audio-fault bad" data-testid="audio-fault">
          {t(`fault.${state.fault}`)}
          {state.fault === "refused" && state.error && (
            <span lang="en">
              {" "}
              {state.error.code} {state.error.message}
            </span>
          )}
        </Alert>
      )}
    </Paper>
  );
}
