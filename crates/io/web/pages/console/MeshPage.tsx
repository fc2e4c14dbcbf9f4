import { ActionIcon, Code, Paper, Table, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import type { CityStatus, GroupStatus } from "../shared/api";
import { Icon, type IconName } from "../shared/icons";
import { useSpeech } from "../shared/language";
import type { Link } from "../shared/sse";
import { Campaigns } from "./Campaigns";
import { Preferences, Wordmark } from "../shared/Chrome";
import { CallerIds } from "./CallerIds";
import { CityCard, STALE_MS } from "./CityCard";
import { LiveCalls } from "./LiveCalls";
import { Sparkline } from "./Sparkline";
import { HISTORY, useMesh, useNow, type Mesh } from "./useMesh";

const links: Record<Link, { icon: IconName; tone: string }> = {
  connecting: { icon: "clock", tone: "quiet" },
  live: { icon: "pulse", tone: "good" },
  lost: { icon: "cut", tone: "warn" },
  refused: { icon: "down", tone: "bad" },
};

function Tile({
  label,
  value,
  detail,
  tone,
  testid,
  children,
}: {
  label: string;
  value: string;
  detail: string;
  tone?: string;
  testid: string;
  children?: ReactNode;
}) {
  return (
    <Paper withBorder className="tile" data-testid={testid}>
      <h3>{label}</h3>
      <div className="tile-value">
        <b className={tone}>{value}</b>
        {children}
      </div>
      <p className="quiet">{detail}</p>
    </Paper>
  );
}

const sum = (cities: CityStatus[], read: (city: CityStatus) => number) =>
  cities.reduce((total, city) => total + read(city), 0);

function Totals({ mesh }: { mesh: Mesh }) {
  const { t, n } = useSpeech();
  const { cities: all, campaigns_running } = mesh.status;
  // What a silent city last said is not the state of now: its card shows it, the sums do not.
  const cities = all.filter((city) => city.age_ms <= STALE_MS);
  const silent = all.length - cities.length;
  const answered = sum(cities, (c) => c.abandonment.answered);
  const abandoned = sum(cities, (c) => c.abandonment.abandoned);
  const percent = answered === 0 ? 0 : (100 * abandoned) / answered;
  const budget = Math.min(...cities.map((c) => c.abandonment.budget_percent));
  const over = cities.length > 0 && percent > budget;
  const rates = mesh.rates.get("") ?? [];
  const central = all.filter((c) => c.mode === "central").length;
  return (
    <div className="tiles">
      <Tile
        testid="total-calls"
        label={t("total.calls")}
        value={n(sum(cities, (c) => c.calls.bridged))}
        detail={t("total.callsDetail", {
          air: sum(cities, (c) => c.calls.dialing + c.calls.ringing),
          waiting: sum(cities, (c) => c.calls.waiting),
        })}
      />
      <Tile
        testid="total-agents"
        label={t("total.agents")}
        value={n(sum(cities, (c) => c.agents.ready))}
        detail={t("total.agentsDetail", {
          onCall: sum(cities, (c) => c.agents.on_call),
          wrapUp: sum(cities, (c) => c.agents.wrap_up),
          paused: sum(cities, (c) => c.agents.paused),
        })}
      />
      <Tile
        testid="total-rate"
        label={t("total.rate")}
        value={n(rates.at(-1) ?? 0, 1)}
        detail={t("total.rateDetail", { seconds: HISTORY })}
      >
        <Sparkline values={rates} height={34} />
      </Tile>
      <Tile
        testid="total-abandonment"
        label={t("total.abandonment")}
        value={`${n(percent, 1)} %`}
        tone={over ? "tone-bad" : undefined}
        detail={t("total.abandonmentDetail", {
          abandoned,
          answered,
          budget: Number.isFinite(budget) ? `${n(budget, 1)} %` : "–",
        })}
      />
      <Tile
        testid="total-cities"
        label={t("total.cities")}
        value={`${n(central)}/${n(all.length)}`}
        tone={central < all.length ? "tone-warn" : undefined}
        detail={
          silent > 0
            ? t("total.silent", { count: silent })
            : t("total.citiesDetail", { campaigns: campaigns_running })
        }
      />
    </div>
  );
}

function Groups({ groups, names }: { groups: GroupStatus[]; names: Map<string, string> }) {
  const { t, n } = useSpeech();
  return (
    <section aria-labelledby="groups">
      <Title order={2} size="h5" id="groups">
        {t("groups.title")}
      </Title>
      <Paper withBorder mt="xs">
        <Table.ScrollContainer minWidth={460}>
          <Table verticalSpacing={6} data-testid="groups">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("groups.name")}</Table.Th>
                <Table.Th>{t("groups.leader")}</Table.Th>
                <Table.Th className="number">{t("groups.term")}</Table.Th>
                <Table.Th className="number">{t("groups.applied")}</Table.Th>
                <Table.Th className="number">{t("groups.voters")}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {groups.map((group) => (
                <Table.Tr key={group.name}>
                  <Table.Td>{group.name}</Table.Td>
                  <Table.Td>
                    {group.leader ? (
                      (names.get(group.leader) ?? group.leader)
                    ) : (
                      <span className="tone-bad">
                        <Icon name="ghost" size={13} /> {t("groups.noLeader")}
                      </span>
                    )}
                  </Table.Td>
                  <Table.Td className="number">{n(group.term)}</Table.Td>
                  <Table.Td className="number">{n(group.applied_index)}</Table.Td>
                  <Table.Td className="number">
                    {n(group.members.filter((m) => m.voter).length)}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Paper>
    </section>
  );
}

export function MeshPage({
  token,
  onLeave,
}: {
  token: string;
  onLeave: (refused: boolean) => void;
}) {
  const { t } = useSpeech();
  const now = useNow();
  const { mesh, link } = useMesh(token, () => onLeave(true));
  const state = links[link];
  const elapsed = mesh ? Math.max(0, now - mesh.receivedAt) : 0;
  const names = new Map(mesh?.status.cities.map((city) => [city.node, city.name]));
  return (
    <>
      <a className="skip" href="#cities">
        {t("app.skip")}
      </a>
      <header className="bar">
        <Wordmark />
        <Title order={1} size="h4" className="bar-title">
          {t("app.title")}
        </Title>
        <span className={`link tone-${state.tone}`} role="status" data-testid="link" data-link={link}>
          <Icon name={state.icon} size={15} /> {t(`link.${link}`)}
        </span>
        <span className="bar-space" />
        <Preferences />
        <ActionIcon
          variant="default"
          size={30}
          aria-label={t("app.signOut")}
          onClick={() => onLeave(false)}
          data-testid="sign-out"
        >
          <Icon name="leave" />
        </ActionIcon>
      </header>
      <main className="page" data-testid="mesh" data-stale={elapsed > STALE_MS}>
        {mesh && (
          <>
            <Totals mesh={mesh} />
            <section aria-labelledby="cities">
              <Title order={2} size="h5" id="cities" tabIndex={-1}>
                {t("cities.title")}
              </Title>
              {mesh.status.cities.length === 0 && (
                <Text mt="xs">
                  {t("cities.none")} <Code>dialmesh token create --role node</Code>
                </Text>
              )}
              <div className="cities">
                {mesh.status.cities.map((city) => (
                  <CityCard
                    key={city.node}
                    city={city}
                    age={city.age_ms + elapsed}
                    now={now}
                    rates={mesh.rates.get(city.node) ?? []}
                  />
                ))}
              </div>
            </section>
            <Campaigns token={token} />
            <CallerIds token={token} names={names} />
            <LiveCalls token={token} names={names} />
            <Groups groups={mesh.status.groups} names={names} />
            <Text size="xs" className="quiet" component="footer">
              dialmesh · {t("app.version", { version: mesh.status.version })}
            </Text>
          </>
        )}
      </main>
    </>
  );
}
