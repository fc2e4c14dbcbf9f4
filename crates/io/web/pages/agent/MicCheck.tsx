import { Alert, Button, NativeSelect, Stack, Text } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { faultOf, microphone, possible, type AudioFault } from "./audio";
import { Meter } from "./Meter";

/** Permission, device and level, before the agent signs in. */
export function MicCheck({
  device,
  onDevice,
}: {
  device: string;
  onDevice: (device: string) => void;
}) {
  const { t } = useSpeech();
  const [stream, setStream] = useState<MediaStream>();
  const [devices, setDevices] = useState<MediaDeviceInfo[]>([]);
  const [fault, setFault] = useState<AudioFault | undefined>(possible);
  const [asking, setAsking] = useState(false);
  const [heard, setHeard] = useState(false);
  const open = useRef<MediaStream | undefined>(undefined);
  const stop = () => {
    for (const track of open.current?.getTracks() ?? []) track.stop();
    open.current = undefined;
  };
  useEffect(() => stop, []);
  const check = async (wanted: string) => {
    setAsking(true);
    setFault(undefined);
    setHeard(false);
    try {
      stop();
      const opened = await microphone(wanted);
      open.current = opened;
      setStream(opened);
      // Their names are told only once one is allowed.
      const all = await navigator.mediaDevices.enumerateDevices();
      setDevices(all.filter((d) => d.kind === "audioinput" && d.deviceId !== ""));
      onDevice(opened.getAudioTracks()[0]?.getSettings().deviceId ?? "");
    } catch (error) {
      setStream(undefined);
      setFault(faultOf(error));
    } finally {
      setAsking(false);
    }
  };
  const never = fault === "insecure" || fault === "unsupported";
  return (
    <Stack gap="xs" className="mic" data-testid="mic-check">
      {fault && (
        <Alert color="orange" variant="light" role="alert" data-testid="mic-fault">
          {t(`fault.${fault}`)}
        </Alert>
      )}
      {!stream && !never && (
        <Button
          variant="default"
          loading={asking}
          onClick={() => void check(device)}
          leftSection={<Icon name="mic" />}
          data-testid="mic-open"
        >
          {t("mic.check")}
        </Button>
      )}
      {asking && (
        <Text size="sm" role="status" className="quiet">
          {t("mic.asking")}
        </Text>
      )}
      {stream && (
        <>
          <NativeSelect
            label={t("mic.device")}
            value={device}
            onChange={(event) => void check(event.currentTarget.value)}
            data={devices.map((d, n) => ({
              value: d.deviceId,
              label: d.label || t("mic.unnamed", { n: n + 1 }),
            }))}
            data-testid="mic-device"
          />
          <Meter stream={stream} onHeard={() => setHeard(true)} />
          <Text size="sm" role="status" className={heard ? "tone-good" : "quiet"} data-testid="mic-word">
            {heard && <Icon name="check" size={14} />} {t(heard ? "mic.heard" : "mic.speak")}
          </Text>
        </>
      )}
    </Stack>
  );
}
