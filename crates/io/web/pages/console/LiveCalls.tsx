import { Button, Code, Group, NativeSelect, Paper, Table, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import {
  fetchLive,
  leaveCall,
  supervise,
  type LiveCall,
  type LiveCalls as Live,
  type Manner,
  type Problem,
  type Seat,
} from "../shared/api";
import { Icon } from "../shared/icons";
import { useSpeech } from "../shared/language";
import { mannerIn, manners, ordered, seatOf } from "../shared/live";

/** Calls come and go: every node is asked for them often, while somebody wants to see them. */
const EVERY_MS = 3_000;
const STORED = "dialmesh.seat";
/** The token's role does not let it see live calls. */
const FORBIDDEN = "DM2102";

interface Wish {
  call: LiveCall;
  seat: Seat;
  /** None leaves the call. */
  manner?: Manner;
}

function Controls({
  call,
  seat,
  busy,
  onWish,
}: {
  call: LiveCall;
  seat?: Seat;
  busy: boolean;
  onWish: (manner?: Manner) => void;
}) {
  const { t } = useSpeech();
  const present = mannerIn(call, seat);
  const elsewhere = seat !== undefined && seat.node !== call.node;
  const blocked = seat === undefined || elsewhere || busy;
  const who = { agent: call.agent_login };
  return (
    <Group gap={4} wrap="nowrap">
      {manners.map((manner) => (
        <Button
          key={manner}
          size="compact-xs"
          variant={present === manner ? "filled" : "default"}
          aria-pressed={present === manner}
          aria-label={t(`live.${manner}.label`, who)}
          title={elsewhere ? t("live.elsewhere") : t(`live.${manner}.hint`)}
          disabled={blocked}
          onClick={() => onWish(manner)}
          data-testid={`live-${manner}`}
        >
          {t(`live.${manner}`)}
        </Button>
      ))}
      {present && (
        <Button
          size="compact-xs"
          variant="default"
          aria-label={t("live.leave.label", who)}
          disabled={busy}
          onClick={() => onWish()}
          data-testid="live-leave"
        >
          {t("live.leave")}
        </Button>
      )}
    </Group>
  );
}

/** The calls and the seats as they were told last. */
function Floor({
  live,
  problem,
  names,
  busy,
  onWish,
}: {
  live: Live;
  /** Why the last wish was not followed. */
  problem?: string;
  names: Map<string, string>;
  busy: boolean;
  onWish: (wish: Wish) => void;
}) {
  const { t, language } = useSpeech();
  const [chosen, setChosen] = useState(() => sessionStorage.getItem(STORED));
  const { seats } = live;
  const seat = seatOf(seats, chosen);
  const { shown, others } = ordered(live, seat);
  const city = (node: string) => names.get(node) ?? node;
  const clock = (at: string) => new Date(at).toLocaleTimeString(language);
  return (
    <>
      {live.silent.length > 0 && (
        <Text mt="xs" size="sm" className="tone-warn" role="status" data-testid="live-silent">
          <Icon name="ghost" size={14} />{" "}
          {t("live.silent", { cities: live.silent.map(city).join(", ") })}
        </Text>
      )}
      {shown.length === 0 && (
        <Text mt="xs" size="sm" className="quiet" data-testid="live-none">
          {t("live.none")}
        </Text>
      )}
      {problem && (
        <Text mt="xs" size="sm" className="tone-bad" role="alert" data-testid="live-problem">
          {problem}
        </Text>
      )}
      {shown.length > 0 && (
        <>
          {seats.length === 0 ? (
            <Text mt="xs" size="sm" data-testid="live-no-seat">
              <Icon name="headset" size={14} /> {t("live.noSeat")}
            </Text>
          ) : (
            <NativeSelect
              mt="xs"
              size="xs"
              maw={320}
              label={t("live.seat")}
              value={seat?.agent ?? ""}
              onChange={(event) => {
                setChosen(event.currentTarget.value);
                sessionStorage.setItem(STORED, event.currentTarget.value);
              }}
              data={[
                ...(seat ? [] : [{ value: "", label: t("live.choose") }]),
                ...seats.map((one) => ({
                  value: one.agent,
                  label: `${one.login} · ${city(one.node)}`,
                })),
              ]}
              data-testid="live-seat"
            />
          )}
          <Paper withBorder mt="xs">
            <Table.ScrollContainer minWidth={760}>
              <Table verticalSpacing={6}>
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>{t("live.since")}</Table.Th>
                    <Table.Th>{t("live.city")}</Table.Th>
                    <Table.Th>{t("live.agent")}</Table.Th>
                    <Table.Th>{t("live.number")}</Table.Th>
                    <Table.Th>{t("campaigns.name")}</Table.Th>
                    <Table.Th>{t("live.supervise")}</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {shown.map((call) => (
                    <Table.Tr key={call.id} data-testid="live-call" data-call={call.id}>
                      <Table.Td>{clock(call.joined_at)}</Table.Td>
                      <Table.Td>{city(call.node)}</Table.Td>
                      <Table.Th scope="row">{call.agent_login}</Table.Th>
                      <Table.Td>
                        {call.number}
                        {call.held_since && (
                          <Text size="xs" className="tone-warn" data-testid="live-held">
                            {t("live.held", { since: clock(call.held_since) })}
                          </Text>
                        )}
                      </Table.Td>
                      <Table.Td>{call.campaign_name}</Table.Td>
                      <Table.Td>
                        <Controls
                          call={call}
                          seat={seat}
                          busy={busy}
                          onWish={(manner) => seat && onWish({ call, seat, manner })}
                        />
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Table.ScrollContainer>
          </Paper>
        </>
      )}
      {others > 0 && (
        <Text size="xs" className="quiet" mt={4}>
          {t("live.others", { count: others })} <Code>dialmesh call live</Code>
        </Text>
      )}
    </>
  );
}

/** Calls in which somebody speaks now, and a supervisor's way into them. */
export function LiveCalls({ token, names }: { token: string; names: Map<string, string> }) {
  const { t } = useSpeech();
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  const key = ["live", token];
  const live = useQuery({
    queryKey: key,
    queryFn: () => fetchLive(token),
    enabled: open,
    refetchInterval: (query) =>
      (query.state.error as unknown as Problem | null)?.code === FORBIDDEN ? false : EVERY_MS,
    retry: false,
  });
  const act = useMutation<unknown, Problem, Wish>({
    mutationFn: ({ call, seat, manner }) =>
      manner
        ? supervise(call.id, seat.agent, manner, token)
        : leaveCall(call.id, seat.agent, token),
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
  const problem = live.error as unknown as Problem | null;
  const forbidden = problem?.code === FORBIDDEN;
  return (
    <section aria-labelledby="live" data-testid="live">
      <Group gap="xs">
        <Title order={2} size="h5" id="live">
          {t("live.title")}
        </Title>
        <Button
          size="compact-xs"
          variant="default"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
          data-testid="live-show"
        >
          {t(open ? "live.hide" : "live.show")}
        </Button>
      </Group>
      {open && problem && (
        <Text mt="xs" size="sm" className="tone-warn" role="status" data-testid="live-failed">
          <Icon name="ghost" size={14} /> {t(forbidden ? "live.forbidden" : "live.failed")}
        </Text>
      )}
      {open && live.data && !forbidden && (
        <Floor
          live={live.data}
          problem={act.error?.detail ?? act.error?.title}
          names={names}
          busy={act.isPending}
          onWish={act.mutate}
        />
      )}
    </section>
  );
}
