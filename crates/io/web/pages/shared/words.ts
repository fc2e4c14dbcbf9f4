// The words of the pages: one file per language, the same keys in each.

import { en } from "./locales/en";
import { zhCN } from "./locales/zh-CN";

export type Key = keyof typeof en;
export type Language = "en" | "zh-CN";
export const catalogues: Record<Language, Record<Key, string>> = { en, "zh-CN": zhCN };

type Values = Record<string, string | number>;

/** Puts values into a text: `{name}`, and `{name, plural, one {…} other {…}}`. */
export function format(language: Language, text: string, values: Values = {}): string {
  const plural = /\{(\w+), plural,((?: \w+ \{(?:[^{}]|\{\w+\})*\})+)\}/g;
  const chosen = text.replace(plural, (_, name: string, forms: string) => {
    const category = new Intl.PluralRules(language).select(Number(values[name]));
    const all = [...forms.matchAll(/(\w+) \{((?:[^{}]|\{\w+\})*)\}/g)];
    const form = all.find((f) => f[1] === category) ?? all.find((f) => f[1] === "other");
    return form?.[2] ?? "";
  });
  return chosen.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? new Intl.NumberFormat(language).format(value) : value;
  });
}

/** The language of the browser, where we have it. */
export function preferred(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    if (tag.toLowerCase().startsWith("zh")) return "zh-CN";
    if (tag.toLowerCase().startsWith("en")) return "en";
  }
  return "en";
}
