import { useEffect, useRef, useState } from "react";
import { useSpeech } from "../shared/language";
import { pressed } from "./sound";

/** A level from which on somebody speaks, in decibels below full scale. */
const SPEECH_DB = -45;
/** What an empty meter stands for. */
const FLOOR_DB = -60;
/** Looks a second: enough to see, little to draw. */
const EVERY_MS = 100;

/** How much of the meter is full, by root mean square of samples between -1 and 1. */
export function share(samples: Float32Array): { db: number; percent: number } {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = sum === 0 ? -Infinity : 10 * Math.log10(sum / samples.length);
  const percent = Math.round(Math.min(100, Math.max(0, (100 * (db - FLOOR_DB)) / -FLOOR_DB)));
  return { db, percent };
}

/** The level of a stream's audio. */
export function Meter({ stream, onHeard }: { stream: MediaStream; onHeard?: () => void }) {
  const { t } = useSpeech();
  const [percent, setPercent] = useState(0);
  const heard = useRef(onHeard);
  heard.current = onHeard;
  const [begun, begin] = useState(pressed);
  useEffect(() => {
    if (begun) return undefined;
    const events = ["pointerdown", "keydown"] as const;
    const now = () => begin(true);
    for (const event of events) window.addEventListener(event, now);
    return () => {
      for (const event of events) window.removeEventListener(event, now);
    };
  }, [begun]);
  useEffect(() => {
    // Before the first press after a reload browsers let no page measure: the meter waits for it.
    if (!begun) return undefined;
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 2048 });
    const source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
    source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const level = share(samples);
      setPercent(level.percent);
      if (level.db > SPEECH_DB) heard.current?.();
    }, EVERY_MS);
    return () => {
      clearInterval(timer);
      source.disconnect();
      void context.close();
    };
  }, [stream, begun]);
  return (
    <span
      className="level"
      role="meter"
      aria-label={t("mic.level")}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      data-testid="level"
    >
      <span style={{ width: `${percent}%` }} />
    </span>
  );
}
