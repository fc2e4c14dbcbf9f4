// A short beep when a call arrives. Made here: no file is loaded.

let context: AudioContext | undefined;

/** Whether the person has pressed something since the page was loaded. */
export const pressed = () => navigator.userActivation?.hasBeenActive ?? true;

/**
 * Browsers make no sound before the person has pressed something: call this from such a press. Before
 * it the beep stays away; the page shows the call all the same.
 */
export function wake(): void {
  if (typeof AudioContext === "undefined" || !pressed()) return;
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume().catch(() => undefined);
}

/** Two short tones, upwards. */
export function beep(): void {
  wake();
  if (!context || context.state !== "running") return;
  const start = context.currentTime + 0.01;
  for (const [place, hertz] of [880, 1175].entries()) {
    const at = start + place * 0.16;
    const tone = new OscillatorNode(context, { frequency: hertz });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.18, at + 0.015);
    gain.gain.linearRampToValueAtTime(0, at + 0.14);
    tone.connect(gain).connect(context.destination);
    tone.start(at);
    tone.stop(at + 0.15);
  }
}
