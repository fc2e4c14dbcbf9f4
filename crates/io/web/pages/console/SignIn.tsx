import { Alert, Button, Group, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";
import { fetchStatus, type Problem } from "../shared/api";
import { useSpeech } from "../shared/language";
import { Preferences, Wordmark } from "../shared/Chrome";

export function SignIn({
  refused,
  onToken,
}: {
  refused: boolean;
  onToken: (token: string) => void;
}) {
  const { t } = useSpeech();
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(refused ? t("signIn.refused") : "");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const token = text.trim();
    if (!token) return;
    setBusy(true);
    try {
      await fetchStatus(token);
      onToken(token);
    } catch (error) {
      const status = (error as Partial<Problem>).status;
      setProblem(t(status === 401 ? "signIn.refused" : "signIn.failed"));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className="signin">
      <Paper withBorder p="xl" radius="lg" w="100%" maw={420}>
        <form onSubmit={(event) => void submit(event)}>
          <Stack gap="md">
            <Group justify="space-between">
              <Wordmark />
              <Preferences />
            </Group>
            <Title order={1} size="h3">
              {t("signIn.title")}
            </Title>
            {problem && (
              <Alert color="red" variant="light" role="alert" data-testid="sign-in-problem">
                {problem}
              </Alert>
            )}
            <PasswordInput
              label={t("signIn.token")}
              description={t("signIn.hint")}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              autoComplete="off"
              autoFocus
              data-testid="token"
            />
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
