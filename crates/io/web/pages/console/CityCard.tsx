import { Badge, Group, Paper, Text, Tooltip } from "@mantine/core";
import type { AgentCounts, CityMode, CityProblem, CityStatus, TrunkState } from "../shared/api";
import { Icon, type IconName } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { Sparkline } from "./Sparkline";

/** Older than this, data is shown grey. */
export const STALE_MS = 5_000;

const modes: Record<CityMode, { icon: IconName; tone: string }> = {
  central: { icon: "check", tone: "good" },
  local: { icon: "cut", tone: "warn" },
  unreachable: { icon: "ghost", tone: "bad" },
  cordoned: { icon: "fence", tone: "quiet" },
};

const trunkStates: Record<TrunkState, { icon: IconName; tone: string }> = {
  up: { icon: "check", tone: "good" },
  down: { icon: "down", tone: "bad" },
  disabled: { icon: "off", tone: "quiet" },
  unknown: { icon: "question", tone: "quiet" },
};

const agentStates: { key: keyof AgentCounts; icon: IconName }[] = [
  { key: "ready", icon: "check" },
  { key: "reserved", icon: "bookmark" },
  { key: "on_call", icon: "headset" },
  { key: "wrap_up", icon: "pencil" },
  { key: "paused", icon: "pause" },
];

function Figure({ label, value, testid }: { label: string; value: string; testid: string }) {
  return (
    <div className="figure">
      <dt>{label}</dt>
      <dd data-testid={testid}>{value}</dd>
    </div>
  );
}

function Agents({ agents }: { agents: AgentCounts }) {
  const { t, n } = useSpeech();
  const total = agentStates.reduce((sum, state) => sum + agents[state.key], 0);
  return (
    <section aria-label={t("city.agents")}>
      <h4>
        {t("city.agents")} <span className="quiet">{n(total)}</span>
      </h4>
      {total === 0 ? (
        <Text size="sm" className="quiet">
          {t("agent.none")}
        </Text>
      ) : (
        <div className="agent-bar" aria-hidden="true">
          {agentStates.map(
            ({ key }) =>
              agents[key] > 0 && (
                <span key={key} className={`agent-${key}`} style={{ flexGrow: agents[key] }} />
              ),
          )}
        </div>
      )}
      <ul className="agents">
        {agentStates.map(({ key, icon }) => (
          <li key={key} className={agents[key] === 0 ? "none" : undefined}>
            <span className={`dot agent-${key}`}>
              <Icon name={icon} size={11} />
            </span>
            {t(`agent.${key}`)} <b data-testid={`agents-${key}`}>{n(agents[key])}</b>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Trunks({ city }: { city: CityStatus }) {
  const { t, n } = useSpeech();
  return (
    <section aria-label={t("city.trunks")}>
      <h4>{t("city.trunks")}</h4>
      {city.trunks.length === 0 && (
        <Text size="sm" className="quiet">
          {t("city.noTrunks")}
        </Text>
      )}
      <ul className="trunks">
        {city.trunks.map((trunk) => {
          const state = trunkStates[trunk.state];
          const use = t("trunk.use", { inUse: trunk.in_use, channels: trunk.channels });
          return (
            <li key={trunk.id} data-testid="trunk" data-state={trunk.state}>
              <span className={`tone-${state.tone} trunk-state`}>
                <Icon name={state.icon} size={13} /> {t(`trunk.${trunk.state}`)}
              </span>
              <span className="trunk-name">{trunk.name}</span>
              <span
                className="meter"
                role="meter"
                aria-label={use}
                aria-valuemin={0}
                aria-valuemax={trunk.channels}
                aria-valuenow={trunk.in_use}
              >
                <span style={{ width: `${(100 * trunk.in_use) / Math.max(1, trunk.channels)}%` }} />
              </span>
              <span className="trunk-use" aria-hidden="true">
                {n(trunk.in_use)}/{n(trunk.channels)}
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** Calls that are carried for other cities, or by them; nothing where none were. */
function Overflow({ city }: { city: CityStatus }) {
  const { t } = useSpeech();
  const carried = city.overflow;
  if (!carried || carried.out_total + carried.in_total + carried.missed === 0) {
    return null;
  }
  return (
    <p className="overflow quiet" data-testid="overflow">
      {t("city.overflow", {
        outNow: carried.out_now,
        outTotal: carried.out_total,
        missed: carried.missed,
        inNow: carried.in_now,
        inTotal: carried.in_total,
      })}
    </p>
  );
}

/** What a person must put right in the node's configuration. */
function Problem({ problem }: { problem: CityProblem }) {
  const { t } = useSpeech();
  const { code, setting, value, known } = problem;
  const names = known.length > 0 ? known.join(", ") : t("problem.none");
  return (
    <p className="problem tone-bad" role="alert" data-testid="problem" data-code={code}>
      <Icon name="down" size={14} />{" "}
      {code === "srtp_trunk_unknown"
        ? t("problem.srtpTrunk", { setting, value, names })
        : problem.text}
    </p>
  );
}

export function CityCard({
  city,
  age,
  now,
  rates,
}: {
  city: CityStatus;
  /** How old its data is, in milliseconds. */
  age: number;
  now: number;
  rates: number[];
}) {
  const { t, n, span } = useSpeech();
  const mode = modes[city.mode];
  const stale = age > STALE_MS;
  const { abandonment } = city;
  const over = abandonment.percent > abandonment.budget_percent;
  const budget = `${n(abandonment.budget_percent, 1)} %`;
  return (
    <Paper
      component="article"
      withBorder
      className="city"
      data-testid="city"
      data-city={city.name}
      data-mode={city.mode}
      data-stale={stale}
      aria-label={city.name}
    >
      <Group justify="space-between" wrap="nowrap" align="flex-start" gap="xs">
        <div>
          <h3>{city.name}</h3>
          <Text size="xs" className="quiet">
            {city.region_name}
          </Text>
        </div>
        <Tooltip label={t(`mode.hint.${city.mode}`)} withArrow multiline maw={260}>
          <Badge
            variant="light"
            size="lg"
            className={`badge-${mode.tone}`}
            leftSection={<Icon name={mode.icon} size={14} />}
            data-testid="mode"
            tabIndex={0}
          >
            {t(`mode.${city.mode}`)}
            {city.mode !== "central" && (
              <span className="since">
                {" "}
                {t("mode.since", { time: span(now - Date.parse(city.mode_since)) })}
              </span>
            )}
          </Badge>
        </Tooltip>
      </Group>
      {(city.problems ?? []).map((problem) => (
        <Problem key={`${problem.code} ${problem.setting} ${problem.value}`} problem={problem} />
      ))}
      {city.queued > 0 && (
        <p className="queued tone-warn" data-testid="queued">
          <Icon name="queue" size={14} /> {t("city.queued", { count: city.queued })}
        </p>
      )}
      <div className="city-data">
        <dl className="figures">
          <Figure label={t("city.bridged")} value={n(city.calls.bridged)} testid="bridged" />
          <Figure
            label={t("city.air")}
            value={n(city.calls.dialing + city.calls.ringing)}
            testid="air"
          />
          <Figure label={t("city.waiting")} value={n(city.calls.waiting)} testid="waiting" />
          <Figure label={t("city.hopper")} value={n(city.hopper)} testid="hopper" />
        </dl>
        <Agents agents={city.agents} />
        <Trunks city={city} />
        <Overflow city={city} />
        <div className="foot">
          <section aria-label={t("city.rate")}>
            <h4>{t("city.rate")}</h4>
            <div className="rate">
              <b data-testid="rate">{n(city.calls_per_second, 1)}</b>
              <Sparkline values={rates} />
            </div>
          </section>
          <section aria-label={t("city.abandonment")} className="abandonment">
            <h4>{t("city.abandonment")}</h4>
            <b className={over ? "tone-bad" : undefined} data-testid="abandonment">
              {over && <Icon name="ghost" size={14} />} {n(abandonment.percent, 1)} %
            </b>
            <span className={over ? "tone-bad" : "quiet"}>
              {over ? t("city.over") : t("city.budget", { budget })}
            </span>
          </section>
        </div>
      </div>
      <p className={stale ? "age tone-warn" : "age quiet"} data-testid="age">
        <Icon name="clock" size={12} />{" "}
        {t(stale ? "city.stale" : "city.age", { age: span(age) })}
        <span className="totals">
          {t("city.attempts")} {n(city.attempts_total)} · {t("city.bridgedTotal")}{" "}
          {n(city.bridged_total)}
        </span>
      </p>
    </Paper>
  );
}
