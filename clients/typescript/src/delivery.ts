import { type Members, readObject } from "./event_base.js";

/**
 * What an answer to a batch means. `done`: in the log, but for `refused`. `retry`: send it again.
 * `hold`: send it again, the key was refused. `split`: send its halves, one event spoils it.
 * `drop`: no event was taken, and none would be.
 */
export interface Delivery {
  action: "done" | "retry" | "hold" | "split" | "drop";
  accepted: number;
  late: number;
  duplicates: number;
  refused: number;
  causes: string[];
}

const NOTHING = { accepted: 0, late: 0, duplicates: 0, refused: 0, causes: [] };
const BASE_MS = 200;
const LONGEST_MS = 30_000;
const LONGEST_RETRY_AFTER_MS = 600_000;

/** Returns what an answer to `POST /v1/events` means. */
export function readAnswer(status: number, body: string): Delivery {
  if (status === 401 || status === 403) {
    return { action: "hold", ...NOTHING };
  }
  if ([408, 409, 425, 429].includes(status) || status >= 500 || status < 200) {
    return { action: "retry", ...NOTHING };
  }
  const members = readObject(body) ?? {};
  if (status < 300) {
    // A 2xx without the counts is not the service's: its answer was cut, or is a proxy's.
    return Number.isSafeInteger(members["accepted"])
      ? counted(members)
      : { action: "retry", ...NOTHING };
  }
  if (status === 422 && count(members, "refused_total") > 0) {
    return counted(members);
  }
  return { action: [400, 413, 422].includes(status) ? "split" : "drop", ...NOTHING };
}

function counted(members: Members): Delivery {
  const listed = Array.isArray(members["refused"]) ? (members["refused"] as Members[]) : [];
  const causes = listed.map((each) =>
    `${each?.["cause"] ?? ""} ${each?.["field"] ?? ""}`.trim().slice(0, 80),
  );
  return {
    action: "done",
    accepted: count(members, "accepted"),
    late: count(members, "late"),
    duplicates: count(members, "duplicates"),
    refused: Math.max(count(members, "refused_total"), listed.length),
    causes: [...new Set(causes)].sort(),
  };
}

function count(members: Members, name: string): number {
  const value = members[name];
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0;
}

/** Returns how long a Retry-After header asks to wait, at most ten minutes. */
export function retryAfterMs(value: string | null, nowMs: number): number | null {
  if (value === null || value.trim() === "") {
    return null;
  }
  const seconds = Number(value);
  const wait = Number.isNaN(seconds) ? Date.parse(value) - nowMs : seconds * 1000;
  return Number.isNaN(wait) ? null : Math.min(Math.max(wait, 0), LONGEST_RETRY_AFTER_MS);
}

/** Returns how long to wait after so many failures in a row: full jitter, 0.2 to 30 s. */
export function backoffMs(failures: number, retryAfter: number | null = null): number {
  const highest = Math.min(LONGEST_MS, BASE_MS * 2 ** Math.min(failures, 16));
  return Math.max(retryAfter ?? 0, BASE_MS + Math.random() * (highest - BASE_MS));
}
