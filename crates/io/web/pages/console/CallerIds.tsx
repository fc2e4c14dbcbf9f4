import { Button, Code, Group, Paper, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { fetchReputations, type CallerIdReputations, type CallerIdState } from "../shared/api";
import { placeName, places, troubled } from "../shared/callerIds";
import { Icon, type IconName } from "../shared/icons";
import { useSpeech } from "../shared/language";

/** Every node is asked: only while somebody looks, and not often. */
const EVERY_MS = 60_000;

const states: Record<CallerIdState, { icon: IconName; tone: string }> = {
  good: { icon: "pulse", tone: "good" },
  doubted: { icon: "question", tone: "warn" },
  resting: { icon: "pause", tone: "quiet" },
};

function Places({ known, names }: { known: CallerIdReputations; names: Map<string, string> }) {
  const { t, n, language } = useSpeech();
  return (
    <Table.ScrollContainer minWidth={520}>
      <Table verticalSpacing={6} data-testid="caller-id-places">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t("callerIds.place")}</Table.Th>
            <Table.Th>{t("callerIds.node")}</Table.Th>
            <Table.Th className="number">{t("callerIds.numbers")}</Table.Th>
            <Table.Th className="number">{t("callerIds.today")}</Table.Th>
            <Table.Th className="number">{t("callerIds.load")}</Table.Th>
            <Table.Th className="number">{t("callerIds.doubted")}</Table.Th>
            <Table.Th className="number">{t("callerIds.resting")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {places(known).map((place) => (
            <Table.Tr key={`${place.node} ${placeName(place, "en")}`}>
              <Table.Th scope="row">{placeName(place, language)}</Table.Th>
              <Table.Td>{names.get(place.node) ?? place.node}</Table.Td>
              <Table.Td className="number">{n(place.numbers)}</Table.Td>
              <Table.Td className="number">{n(place.calls_today)}</Table.Td>
              <Table.Td className="number">
                <span className={place.more_wanted ? "tone-warn" : undefined}>
                  {n(place.load_percent, 0)} %
                </span>
                {place.more_wanted && <div className="tone-warn">{t("callerIds.import")}</div>}
              </Table.Td>
              <Table.Td className="number">{n(place.doubted)}</Table.Td>
              <Table.Td className="number">{n(place.resting)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Troubled({ known }: { known: CallerIdReputations }) {
  const { t, n } = useSpeech();
  const numbers = troubled(known);
  if (numbers.length === 0) return <p className="quiet">{t("callerIds.allGood")}</p>;
  return (
    <ul className="ways" data-testid="caller-ids-troubled">
      {numbers.map(({ number, state, rested_days, answered, expected }) => {
        const { icon, tone } = states[state];
        const said = t(`callerIds.state.${state}`, { days: (rested_days ?? 0) + 1 });
        return (
          <li key={number}>
            <span className={`tone-${tone}`}>
              <Icon name={icon} size={13} /> {number} · {said}
            </span>{" "}
            <span className="quiet">
              {t("callerIds.answers", { answered: n(answered, 1), expected: n(expected, 1) })}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** What persons think of the numbers that are shown: asked for once somebody opens it. */
export function CallerIds({ token, names }: { token: string; names: Map<string, string> }) {
  const { t } = useSpeech();
  const [open, setOpen] = useState(false);
  const { data, isError } = useQuery({
    queryKey: ["reputations", token],
    queryFn: () => fetchReputations(token),
    refetchInterval: EVERY_MS,
    enabled: open,
    retry: 1,
  });
  return (
    <section aria-labelledby="caller-ids" data-testid="caller-ids">
      <Group gap="xs">
        <Title order={2} size="h5" id="caller-ids">
          {t("callerIds.title")}
        </Title>
        <Button
          size="compact-xs"
          variant="default"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
          data-testid="caller-ids-show"
        >
          {t(open ? "live.hide" : "live.show")}
        </Button>
      </Group>
      {open && !data && (
        <p className={isError ? "tone-warn" : "quiet"}>
          {t(isError ? "campaigns.noFigures" : "campaigns.asking")}
        </p>
      )}
      {open && data && data.places.length === 0 && (
        <Text mt="xs" size="sm">
          {t("callerIds.none")} <Code>dialmesh number import FILE --trunk TRUNK</Code>
        </Text>
      )}
      {open && data && data.places.length > 0 && (
        <Paper withBorder mt="xs" p="xs">
          <Places known={data} names={names} />
          <Troubled known={data} />
          {data.silent.length > 0 && (
            <p className="tone-warn">{t("learned.silent", { count: data.silent.length })}</p>
          )}
        </Paper>
      )}
    </section>
  );
}
