import { Button, Kbd, Switch, Text } from "@mantine/core";
import { useEffect, useRef } from "react";
import { useSpeech } from "../shared/language";
import { LISTED } from "./keys";

/** The list of hot keys; they can be turned off here (WCAG 2.1.4). */
export function Keys({
  open,
  onClose,
  enabled,
  onEnabled,
}: {
  open: boolean;
  onClose: () => void;
  enabled: boolean;
  onEnabled: (on: boolean) => void;
}) {
  const { t } = useSpeech();
  const dialog = useRef<HTMLDialogElement>(null);
  // The browser's own dialog: it keeps the focus, gives it back, and closes at Esc.
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby="keys-title"
      onClose={onClose}
      onKeyDown={(event) => {
        if (event.key === "?") onClose();
      }}
      onClick={(event) => {
        // The backdrop belongs to the dialog; its content does not.
        if (event.target === dialog.current) onClose();
      }}
    >
      {open && (
        <div data-testid="keys" className="dialog-content">
          <h2 id="keys-title">{t("keys.title")}</h2>
          <dl className="keys">
            {LISTED.map(({ keys, text }) => (
              <div key={text}>
                <dt>
                  {keys.map((key, n) => (
                    <span key={key}>
                      {n > 0 && (key === "9" ? ` ${t("keys.to")} ` : " + ")}
                      <Kbd>{key}</Kbd>
                    </span>
                  ))}
                </dt>
                <dd>{t(text)}</dd>
              </div>
            ))}
          </dl>
          <Text size="sm" className="quiet">
            {t("keys.hint")}
          </Text>
          <div className="dialog-foot">
            <Switch
              label={t("keys.enabled")}
              checked={enabled}
              onChange={(event) => onEnabled(event.currentTarget.checked)}
              data-testid="keys-enabled"
            />
            <Button size="sm" onClick={onClose}>
              {t("keys.close")}
            </Button>
          </div>
        </div>
      )}
    </dialog>
  );
}
