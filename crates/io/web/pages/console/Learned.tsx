import { Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { fetchLearned, type AnswerRate, type CampaignLearned } from "../shared/api";
import { bestHours } from "../shared/learned";
import { useSpeech } from "../shared/language";

/** Every node is asked: only while somebody looks, and not often. */
const EVERY_MS = 60_000;

function useRate() {
  const { t, n } = useSpeech();
  return ({ percent, from, to }: AnswerRate) =>
    percent == null
      ? "–"
      : t("learned.rate", { percent: n(percent, 1), from: n(from, 1), to: n(to, 1) });
}

function Figures({ learned }: { learned: CampaignLearned }) {
  const { t, n } = useSpeech();
  const rate = useRate();
  if (learned.all.lines === 0) return <p className="quiet">{t("learned.nothing")}</p>;
  return (
    <>
      <Table className="learned" data-testid="learned-hours">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t("learned.hour")}</Table.Th>
            <Table.Th className="number">{t("learned.lines")}</Table.Th>
            <Table.Th className="number">{t("learned.answered")}</Table.Th>
            <Table.Th className="number">{t("learned.factor")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {learned.hours.map((hour) => (
            <Table.Tr key={hour.hour}>
              <Table.Th scope="row">{t("learned.oClock", { hour: hour.hour })}</Table.Th>
              <Table.Td className="number">{n(hour.rate.lines)}</Table.Td>
              <Table.Td className="number">{rate(hour.rate)}</Table.Td>
              <Table.Td className="number">{n(hour.factor, 2)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <ul className="ways">
        {bestHours(learned).map(({ name, hour, rate: best }) => (
          <li key={name}>
            {t("learned.best", { list: name || t("learned.others"), hour, rate: rate(best) })}
          </li>
        ))}
        {learned.lead_order === "best_chance" && (
          <li>
            {t("learned.compared", {
              chance: rate(learned.by_chance),
              out: rate(learned.held_out),
            })}
          </li>
        )}
        <li>{t("learned.error", { points: n(learned.calibration_error, 2) })}</li>
        {learned.silent.length > 0 && (
          <li className="tone-warn">{t("learned.silent", { count: learned.silent.length })}</li>
        )}
      </ul>
    </>
  );
}

/** What was learned of who answers a campaign's calls: asked for once somebody opens it. */
export function Learned({ campaign, token }: { campaign: string; token: string }) {
  const { t } = useSpeech();
  const [open, setOpen] = useState(false);
  const { data, isError } = useQuery({
    queryKey: ["learned", token, campaign],
    queryFn: () => fetchLearned(campaign, token),
    refetchInterval: EVERY_MS,
    enabled: open,
    retry: 1,
  });
  return (
    <details
      data-testid="learned"
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>{t("learned.title")}</summary>
      {open && data && <Figures learned={data} />}
      {open && !data && (
        <p className={isError ? "tone-warn" : "quiet"}>
          {t(isError ? "campaigns.noFigures" : "campaigns.asking")}
        </p>
      )}
    </details>
  );
}
