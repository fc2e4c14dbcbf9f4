// What is worth saying of caller IDs.

import type { CallerIdPlace, CallerIdReputation, CallerIdReputations } from "./api";

/** So many places and numbers are shown. */
export const SHOWN = 20;

/** Places that need a look first: those that want more numbers, then by load. */
export function places({ places }: CallerIdReputations): CallerIdPlace[] {
  const order = (a: CallerIdPlace, b: CallerIdPlace) =>
    Number(b.more_wanted) - Number(a.more_wanted) || b.load_percent - a.load_percent;
  return [...places].sort(order).slice(0, SHOWN);
}

/** Numbers that something speaks against. */
export function troubled({ numbers }: CallerIdReputations): CallerIdReputation[] {
  return numbers.filter(({ state }) => state !== "good").slice(0, SHOWN);
}

/** The place as people of that language call it. */
export function placeName(place: CallerIdPlace, language: string): string {
  const chinese = language.startsWith("zh") ? place.place_zh : undefined;
  const near = chinese ?? place.place ?? "";
  return [near, place.area ?? "", place.country].filter((part) => part !== "").join(" ");
}
