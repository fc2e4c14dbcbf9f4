import { ActionIcon, Group, SegmentedControl, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { Icon } from "./icons";
import { useSpeech } from "./language";
import type { Language } from "./words";

export function Wordmark() {
  return (
    <span className="wordmark">
      <svg aria-hidden="true" width="26" height="26" viewBox="0 0 32 32">
        <rect width="32" height="32" rx="7" fill="#0b7285" />
        <g stroke="#fff" strokeWidth="2.2" strokeLinecap="round">
          <path d="M16 8.5 8.5 22M16 8.5 23.5 22M8.5 22h15" />
        </g>
        <g fill="#fff">
          <circle cx="16" cy="8.5" r="3.6" />
          <circle cx="8.5" cy="22" r="3.6" />
          <circle cx="23.5" cy="22" r="3.6" />
        </g>
      </svg>
      dialmesh
    </span>
  );
}

/** Language and colours. */
export function Preferences() {
  const { t, language, setLanguage } = useSpeech();
  const scheme = useComputedColorScheme("light");
  const { setColorScheme } = useMantineColorScheme();
  const next = scheme === "dark" ? "light" : "dark";
  return (
    <Group gap="xs" wrap="nowrap">
      <SegmentedControl
        size="xs"
        value={language}
        onChange={(value) => setLanguage(value as Language)}
        aria-label={t("app.language")}
        data={[
          { value: "zh-CN", label: "中文" },
          { value: "en", label: "EN" },
        ]}
        data-testid="language"
      />
      <ActionIcon
        variant="default"
        size={30}
        onClick={() => setColorScheme(next)}
        aria-label={t(next === "dark" ? "app.theme.dark" : "app.theme.light")}
        data-testid="theme"
      >
        <Icon name={next === "dark" ? "moon" : "sun"} />
      </ActionIcon>
    </Group>
  );
}
