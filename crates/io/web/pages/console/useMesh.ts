import { useQueryClient, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { fetchStatus, type Status } from "../shared/api";
import { follow, type Link } from "../shared/sse";

/** Points of a sparkline. */
export const HISTORY = 60;

export interface Mesh {
  status: Status;
  /** When it came, on this machine's clock. */
  receivedAt: number;
  /** Calls per second over the last snapshots, by node; `""` is the whole mesh. */
  rates: Map<string, number[]>;
}

function grown(before: Mesh | undefined, status: Status): Mesh {
  const rates = new Map<string, number[]>();
  const add = (key: string, value: number) => {
    rates.set(key, [...(before?.rates.get(key) ?? []), value].slice(-HISTORY));
  };
  let total = 0;
  for (const city of status.cities) {
    // What an old report says is no rate of now.
    const rate = city.mode === "unreachable" ? 0 : city.calls_per_second;
    add(city.node, rate);
    total += rate;
  }
  add("", total);
  return { status, receivedAt: Date.now(), rates };
}

/** The live mesh: asked once, then fed by the event stream. */
export function useMesh(token: string, onRefused: () => void): { mesh?: Mesh; link: Link } {
  const queries = useQueryClient();
  const [link, setLink] = useState<Link>("connecting");
  const { data } = useQuery({
    queryKey: ["mesh", token],
    queryFn: async () => {
      const status = await fetchStatus(token);
      return grown(queries.getQueryData<Mesh>(["mesh", token]), status);
    },
    // The stream keeps it fresh.
    staleTime: Number.POSITIVE_INFINITY,
    retry: 3,
  });
  useEffect(
    () =>
      follow({
        url: "/api/v1/events?topics=status",
        token,
        onLink: (next) => {
          setLink(next);
          if (next === "refused") onRefused();
        },
        onEvent: (event) => {
          if (event.event !== "status") return;
          const status = JSON.parse(event.data) as Status;
          queries.setQueryData<Mesh>(["mesh", token], (before) => grown(before, status));
        },
      }),
    // `onRefused` is made anew with each drawing; the stream must not be.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [token, queries],
  );
  return data ? { mesh: data, link } : { link };
}

/** The time, anew each second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
