import { describe, expect, it } from "vitest";
import { SseParser } from "./sse";

const stream =
  ": hello\n\nid: 1-7\nevent: status\ndata: {\"a\":1}\n\ndata: two\r\ndata: lines\r\n\r\nevent: empty\n\nid\ndata\rdata:x\r\r";

const expected = [
  { id: "1-7", event: "status", data: '{"a":1}' },
  { id: "1-7", event: "message", data: "two\nlines" },
];

describe("SseParser", () => {
  it("gives the same events for every way to cut the stream", () => {
    for (let size = 1; size <= stream.length; size++) {
      const parser = new SseParser();
      const events = [];
      for (let at = 0; at < stream.length; at += size) {
        events.push(...parser.push(stream.slice(at, at + size)));
      }
      expect(events.slice(0, 2)).toEqual(expected);
      // The last line break of the stream may be half of one.
      events.push(...parser.push("\n"));
      expect(events[2]).toEqual({ id: "", event: "message", data: "\nx" });
      expect(events).toHaveLength(3);
    }
  });

  it("gives nothing for comments and events without data", () => {
    const parser = new SseParser();
    expect(parser.push(":\n\n: ping\n\nevent: x\n\n")).toEqual([]);
  });

  it("keeps an unfinished event for the next chunk", () => {
    const parser = new SseParser();
    expect(parser.push("data: half")).toEqual([]);
    expect(parser.push(" and half\n\n")).toEqual([
      { id: "", event: "message", data: "half and half" },
    ]);
  });
});
