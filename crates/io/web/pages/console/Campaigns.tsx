import { Code, Paper, Table, Text, Title, Tooltip } from "@mantine/core";
import type { Campaign, CampaignStats, CityShare, Dials, LiftOfRegion } from "../shared/api";
import { atWorst, held, levers, lift, ways } from "../shared/campaigns";
import { Icon, type IconName } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { catalogues, type Key } from "../shared/words";
import { Learned } from "./Learned";
import { useCampaigns, type Row } from "./useCampaigns";

const dialing: Record<Dials, { icon: IconName; tone: string }> = {
  ahead: { icon: "pulse", tone: "good" },
  one_to_one_share_spent: { icon: "queue", tone: "warn" },
  one_to_one_share_unknown: { icon: "question", tone: "bad" },
  one_to_one_by_choice: { icon: "headset", tone: "quiet" },
  idle: { icon: "pause", tone: "quiet" },
};

/** Words by a name that the server gave. One of a newer release has none here yet: the name itself
 * says more than nothing. */
function useWords() {
  const { t, language } = useSpeech();
  return (key: string, name: string) => (key in catalogues[language] ? t(key as Key) : name);
}

function Ways({ cities }: { cities: CityShare[] }) {
  const { t, n } = useSpeech();
  const words = useWords();
  if (cities.length === 0) return <span className="quiet">{t("campaigns.noCity")}</span>;
  return (
    <ul className="ways">
      {ways(cities).map((way) => {
        const { icon, tone } = dialing[way.dials];
        const names = way.cities.map((city) => {
          const share = { city: city.name, held: city.held, wanted: city.wanted };
          const limit = city.pacing && words(`limit.${city.pacing.limit}`, city.pacing.limit);
          const held = limit ? ` (${t("campaigns.heldBack", { limit })})` : "";
          return t("campaigns.cityShare", share) + held;
        });
        return (
          <li key={way.dials} data-testid="way" data-dials={way.dials}>
            <Tooltip label={names.join(" · ")} withArrow multiline maw={320}>
              <span className={`tone-${tone}`} tabIndex={0}>
                <Icon name={icon} size={13} /> {n(way.cities.length)} {t(`dials.${way.dials}`)}
              </span>
            </Tooltip>
          </li>
        );
      })}
    </ul>
  );
}

function Share({ stats }: { stats: CampaignStats }) {
  const { t, n } = useSpeech();
  const { abandonment, budget } = stats;
  const over = budget.left < 0;
  return (
    <>
      <b className={over ? "tone-bad" : undefined} data-testid="campaign-abandonment">
        {over && <Icon name="ghost" size={13} />} {n(abandonment.percent, 2)} %
      </b>
      <div className="quiet">
        {t("campaigns.atWorst", {
          percent: n(atWorst(stats), 2),
          budget: n(abandonment.budget_percent, 1),
          window: budget.window,
        })}
      </div>
    </>
  );
}

function Left({ stats }: { stats: CampaignStats }) {
  const { t, n } = useSpeech();
  const { left, in_doubt } = stats.budget;
  return (
    <>
      <b className={left < 0 ? "tone-bad" : undefined} data-testid="campaign-left">
        {n(left)}
      </b>
      <div className="quiet">{t("campaigns.held", { held: held(stats) })}</div>
      {in_doubt > 0 && (
        <div className="tone-warn">{t("campaigns.inDoubt", { count: in_doubt })}</div>
      )}
    </>
  );
}

function Why({ stats }: { stats: CampaignStats }) {
  const { t } = useSpeech();
  const words = useWords();
  const [first] = stats.why_idle;
  if (!first) return <span className="quiet">{t("campaigns.nothingHeld")}</span>;
  const rule = words(`why.${first.rule}`, first.rule);
  return (
    <span data-testid="campaign-why">{t("campaigns.why", { count: first.leads, rule })}</span>
  );
}

function Levers({ campaign }: { campaign: Campaign }) {
  const { t, n } = useSpeech();
  const set = levers(campaign).map(({ lever, value }) => t(`lever.${lever}`, { value: n(value, 1) }));
  if (set.length === 0) return null;
  return (
    <div className="quiet" data-testid="campaign-levers">
      {set.join(" · ")}
    </div>
  );
}

/** What local numbers are worth: all regions in words, each of them where one points. */
function LocalNumbers({ stats }: { stats: CampaignStats }) {
  const { t, n } = useSpeech();
  const report = stats.local_presence;
  if (!report) return null;
  const words = (row: LiftOfRegion) => {
    const { said, points, low, high } = lift(row);
    const found = { points: n(Math.abs(points), 1), low: n(low, 1), high: n(high, 1) };
    return t(said, { ...found, local: row.local.dials, other: row.held_out.dials });
  };
  const each = report.regions.map((row) => `${row.name}: ${words(row)}`);
  return (
    <Tooltip label={each.join(" · ")} disabled={each.length === 0} withArrow multiline maw={360}>
      <div className="quiet" tabIndex={0} data-testid="campaign-lift">
        {t("lift.localNumbers", { found: words(report.all) })}
      </div>
    </Tooltip>
  );
}

function Line({ row: { campaign, stats, failed }, token }: { row: Row; token: string }) {
  const { t, n } = useSpeech();
  const level = campaign.pacing !== "progressive";
  return (
    <Table.Tr data-testid="campaign" data-campaign={campaign.name}>
      <Table.Th scope="row">
        {campaign.name}
        <div className="quiet">
          {t(`state.${campaign.state}`)} · {t(`pacing.${campaign.pacing}`)}
          {level && ` · ${t("campaigns.level", { level: n(campaign.dial_level, 1) })}`}
        </div>
        <Levers campaign={campaign} />
        {campaign.voice_drop && (
          <div className="quiet" data-testid="campaign-voice-drop">
            {t("campaigns.voiceDrop", { prompt: campaign.voice_drop })}
          </div>
        )}
        {stats && <LocalNumbers stats={stats} />}
        {campaign.lead_order === "best_chance" && (
          <div className="quiet" data-testid="campaign-order">
            {t("campaigns.bestChance")}
          </div>
        )}
        <Learned campaign={campaign.id} token={token} />
      </Table.Th>
      {stats ? (
        <>
          <Table.Td>
            <Ways cities={stats.budget.cities} />
          </Table.Td>
          <Table.Td className="number">
            <Share stats={stats} />
          </Table.Td>
          <Table.Td className="number">
            <Left stats={stats} />
          </Table.Td>
          <Table.Td>
            <Why stats={stats} />
          </Table.Td>
        </>
      ) : (
        <Table.Td colSpan={4} className={failed ? "tone-warn" : "quiet"}>
          {t(failed ? "campaigns.noFigures" : "campaigns.asking")}
        </Table.Td>
      )}
    </Table.Tr>
  );
}

/** Each campaign that runs or is paused: how it dials, and what holds it. */
export function Campaigns({ token }: { token: string }) {
  const { t } = useSpeech();
  const { rows, others, failed } = useCampaigns(token);
  return (
    <section aria-labelledby="campaigns" data-testid="campaigns">
      <Title order={2} size="h5" id="campaigns">
        {t("campaigns.title")}
      </Title>
      {failed && (
        <Text mt="xs" size="sm" className="tone-warn" role="status" data-testid="campaigns-failed">
          <Icon name="ghost" size={14} /> {t("campaigns.failed")}
        </Text>
      )}
      {!rows && !failed && (
        <Text mt="xs" size="sm" className="quiet">
          {t("campaigns.asking")}
        </Text>
      )}
      {rows?.length === 0 && (
        <Text mt="xs" data-testid="campaigns-none">
          {t("campaigns.none")} <Code>dialmesh campaign start</Code>
        </Text>
      )}
      {rows && rows.length > 0 && (
        <Paper withBorder mt="xs">
          <Table.ScrollContainer minWidth={760}>
            <Table verticalSpacing={6} className="campaigns">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t("campaigns.name")}</Table.Th>
                  <Table.Th>{t("campaigns.dials")}</Table.Th>
                  <Table.Th className="number">{t("campaigns.abandonment")}</Table.Th>
                  <Table.Th className="number">{t("campaigns.left")}</Table.Th>
                  <Table.Th>{t("campaigns.whyIdle")}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rows.map((row) => (
                  <Line key={row.campaign.id} row={row} token={token} />
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        </Paper>
      )}
      {others > 0 && (
        <Text size="xs" className="quiet" mt={4}>
          {t("campaigns.others", { count: others })} <Code>dialmesh campaign ls</Code>
        </Text>
      )}
    </section>
  );
}
