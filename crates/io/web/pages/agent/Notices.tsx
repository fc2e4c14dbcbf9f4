import { Alert, Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { catalogues, type Key } from "../shared/words";
import type { Trouble } from "./desk";
import type { LinkState } from "./link";

/** What was refused and what to do, in the agent's language; the node's own words below. */
export function Troubles({
  troubles,
  onDismiss,
}: {
  troubles: Trouble[];
  onDismiss: (key: number) => void;
}) {
  const { t, language } = useSpeech();
  return (
    <div className="troubles" role="alert" data-testid="troubles">
      {troubles.map(({ key, code, message, command }) => {
        const known = `code.${code}`;
        const named = `command.${command ?? ""}`;
        const title =
          named in catalogues.en
            ? t("trouble.refused", { command: t(named as Key) })
            : t("trouble.told");
        const ours = known in catalogues.en;
        return (
          <Alert
            key={key}
            color="orange"
            variant="light"
            icon={<Icon name="ghost" />}
            title={code.startsWith("page.") || code === "" ? title : `${title} · ${code}`}
            withCloseButton
            closeButtonLabel={t("trouble.dismiss")}
            onClose={() => onDismiss(key)}
            data-testid="trouble"
            data-code={code}
          >
            {ours && <p>{t(known as Key)}</p>}
            {/* They hold details, in English. */}
            {message && (
              <p className={ours ? "quiet small" : undefined} lang="en">
                {ours && <span lang={language}>{t("trouble.words")} </span>}
                {message}
              </p>
            )}
          </Alert>
        );
      })}
    </div>
  );
}

/** The connection is gone: what that means, and when it is tried again. */
export function LostBanner({ link, onRetry }: { link: LinkState; onRetry: () => void }) {
  const { t } = useSpeech();
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds =
    link.state === "lost" ? Math.max(0, Math.ceil((link.retry_at - Date.now()) / 1000)) : 0;
  return (
    <aside className="lost" aria-label={t("desk.link.lost")} data-testid="lost">
      <span role="alert">
        <Icon name="cut" /> <b>{t("desk.link.lost")}.</b> {t("desk.lost")}
      </span>
      <span className="lost-retry">
        {link.state === "lost" && seconds > 0
          ? t("desk.lost.retry", { seconds })
          : t("desk.lost.trying")}
      </span>
      <Button size="xs" variant="default" onClick={onRetry}>
        {t("desk.lost.now")}
      </Button>
    </aside>
  );
}
