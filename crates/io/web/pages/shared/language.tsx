import { createContext, useCallback, useContext, useEffect, useMemo, useState } from "react";
import type { ReactNode } from "react";
import { catalogues, format, preferred, type Key, type Language } from "./words";

interface Speech {
  language: Language;
  setLanguage: (language: Language) => void;
  /** The text of a key, with values put in. */
  t: (key: Key, values?: Record<string, string | number>) => string;
  /** A number as the language writes it. */
  n: (value: number, digits?: number) => string;
  /** A span of time, in its largest unit. */
  span: (ms: number) => string;
}

const STORED = "dialmesh.language";
const Context = createContext<Speech | null>(null);

function initial(): Language {
  const stored = localStorage.getItem(STORED);
  return stored === "en" || stored === "zh-CN" ? stored : preferred(navigator.languages);
}

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, choose] = useState<Language>(initial);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const setLanguage = useCallback((next: Language) => {
    localStorage.setItem(STORED, next);
    choose(next);
  }, []);
  const speech = useMemo<Speech>(() => {
    const t: Speech["t"] = (key, values) => format(language, catalogues[language][key], values);
    const n: Speech["n"] = (value, digits = 0) =>
      new Intl.NumberFormat(language, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      }).format(value);
    const span: Speech["span"] = (ms) => {
      const seconds = Math.max(0, Math.floor(ms / 1000));
      if (seconds < 90) return t("time.seconds", { n: seconds });
      if (seconds < 5_400) return t("time.minutes", { n: Math.floor(seconds / 60) });
      if (seconds < 172_800) return t("time.hours", { n: Math.floor(seconds / 3_600) });
      return t("time.days", { n: Math.floor(seconds / 86_400) });
    };
    return { language, setLanguage, t, n, span };
  }, [language, setLanguage]);
  return <Context.Provider value={speech}>{children}</Context.Provider>;
}

export function useSpeech(): Speech {
  const speech = useContext(Context);
  if (!speech) throw new Error("useSpeech outside of LanguageProvider");
  return speech;
}
