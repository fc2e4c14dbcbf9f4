import { Alert, Button, Group, Paper, PasswordInput, Radio, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";
import { Preferences, Wordmark } from "../shared/Chrome";
import { useSpeech } from "../shared/language";
import type { Key } from "../shared/words";
import { Refused, ticketOf } from "./link";
import { MicCheck } from "./MicCheck";
import type { Voice } from "./session";
import { wake } from "./sound";

function wordsFor(error: unknown): Key {
  const status = error instanceof Refused ? error.status : 0;
  if (status === 401 || status === 403) return "desk.signIn.refused";
  return status === 429 ? "desk.signIn.busy" : "desk.signIn.failed";
}

export function SignIn({
  refused,
  voice,
  onSignIn,
}: {
  refused: boolean;
  voice: Voice;
  onSignIn: (token: string, voice: Voice) => void;
}) {
  const { t } = useSpeech();
  const [text, setText] = useState("");
  const [by, setBy] = useState<Voice["by"]>(voice.by);
  const [device, setDevice] = useState(voice.by === "browser" ? voice.device : "");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Key | undefined>(
    refused ? "desk.signIn.refused" : undefined,
  );
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const token = text.trim();
    if (!token) return;
    // This press is what lets the browser beep later.
    wake();
    setBusy(true);
    try {
      await ticketOf(token);
      onSignIn(token, by === "phone" ? { by } : { by, device });
    } catch (error) {
      setProblem(wordsFor(error));
      setBusy(false);
    }
  };
  return (
    <main className="signin">
      <Paper withBorder p="xl" radius="lg" w="100%" maw={440}>
        <form onSubmit={(event) => void submit(event)}>
          <Stack gap="md">
            <Group justify="space-between">
              <Wordmark />
              <Preferences />
            </Group>
            <Title order={1} size="h3">
              {t("desk.signIn.title")}
            </Title>
            {problem && (
              <Alert color="red" variant="light" className="bad" role="alert" data-testid="sign-in-problem">
                {t(problem)}
              </Alert>
            )}
            <PasswordInput
              label={t("desk.signIn.token")}
              description={t("desk.signIn.hint")}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              autoComplete="off"
              autoFocus
              data-testid="token"
            />
            <Radio.Group
              label={t("voice.title")}
              value={by}
              onChange={(value) => setBy(value === "browser" ? "browser" : "phone")}
            >
              <Stack gap="xs" mt={6}>
                <Radio
                  value="phone"
                  label={t("voice.phone")}
                  description={t("voice.phone.hint")}
                  data-testid="voice-phone"
                />
                <Radio
                  value="browser"
                  label={t("voice.browser")}
                  description={t("voice.browser.hint")}
                  data-testid="voice-browser"
                />
              </Stack>
            </Radio.Group>
            {by === "browser" && <MicCheck device={device} onDevice={setDevice} />}
            <Button type="submit" loading={busy} data-testid="sign-in">
              {t("signIn.submit")}
            </Button>
            <Text size="xs" className="quiet">
              {t("signIn.kept")}
            </Text>
          </Stack>
        </form>
      </Paper>
    </main>
  );
}
