// What was learned of who answers means.

import type { AnswerRate, CampaignLearned } from "./api";

/** So many lists are named. */
export const LISTS = 5;
/** An hour with fewer lines says nothing yet. */
const ENOUGH = 30;

/** The hour at which each list is answered best, of the lists with the most lines. */
export function bestHours(
  learned: CampaignLearned,
): { name: string; hour: number; rate: AnswerRate }[] {
  return learned.lists
    .map(({ name, hours }) => {
      const seen = hours.filter(({ rate }) => rate.lines >= ENOUGH);
      const [first] = seen.sort((a, b) => b.factor - a.factor);
      return first && { name, hour: first.hour, rate: first.rate };
    })
    .filter((best) => best !== undefined)
    .slice(0, LISTS);
}
