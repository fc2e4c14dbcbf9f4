import { useQueries, useQuery } from "@tanstack/react-query";
import { fetchCampaigns, fetchStats, type Campaign, type CampaignStats } from "../shared/api";
import { chosen } from "../shared/campaigns";

/** Figures of campaigns are counted over all leads: they are asked for less often than the mesh. */
const EVERY_MS = 10_000;

export interface Row {
  campaign: Campaign;
  /** None until they came, or while they cannot be had. */
  stats?: CampaignStats;
  failed: boolean;
}

export interface Campaigns {
  /** None before the first answer. */
  rows?: Row[];
  others: number;
  /** The last question had no answer; what is shown is older. */
  failed: boolean;
}

/** Campaigns that run or are paused, with their figures. */
export function useCampaigns(token: string): Campaigns {
  const list = useQuery({
    queryKey: ["campaigns", token],
    queryFn: () => fetchCampaigns(token),
    refetchInterval: EVERY_MS,
    retry: 1,
  });
  const { shown, others } = chosen(list.data ?? []);
  const stats = useQueries({
    queries: shown.map(({ id }) => ({
      queryKey: ["stats", token, id],
      queryFn: () => fetchStats(id, token),
      refetchInterval: EVERY_MS,
      retry: 1,
    })),
  });
  const rows = shown.map((campaign, at) => ({
    campaign,
    stats: stats[at]?.data,
    failed: stats[at]?.isError ?? false,
  }));
  return { rows: list.data && rows, others, failed: list.isError };
}
