import { SettingsError } from "./errors.js";
import { type Members, readObject } from "./event_base.js";
import type { Event } from "./events.js";
import { isCalm, isOutcome, type Outcome } from "./states.js";

/** What happens to an act while the service gives no answer, by kind of act. */
export interface OnFailure {
  registration: "open" | "closed";
  messaging: "open";
}

/** The defaults of `onFailure`. */
export const ON_FAILURE: OnFailure = { registration: "closed", messaging: "open" };

const RETRY_AFTER_MS = 2_000;

/** Whether an act may happen. */
export interface Verdict {
  /** The account that acts. */
  account: string;
  /** The outcome; the strictest of several events. */
  outcome: Outcome;
  /** Whether the act may happen. A client in shadow mode always has true here. */
  allowed: boolean;
  /** When the outcome ends, in milliseconds of the service's time. */
  untilMs: number | null;
  /** What the account can pass to be allowed. */
  challenge: string | null;
  /** When it is worth another try. */
  retryAfterMs: number | null;
  /** The ids of the rules that decided. Not for the holder. */
  rules: string[];
  /** Whether the model's score decided. */
  byScore: boolean;
  /** attempt or ask; on_failure where the service gave no answer. */
  mode: string;
  /** Which of several events are refused. */
  refused: number[];
  /** When the holder may be notified; null: at once. */
  notifyAtMs: number | null;
  /** What to show the holder, by language. */
  notice: Record<string, string> | null;
  /** Where the holder reads the statement of reasons, and objects. */
  statementUrl: string | null;
  /**
   * How an act that may happen reaches its recipient: as a message, or as a request: no
   * notification, no media, no link preview, and the question whether they know the sender. A
   * client in shadow mode always has message here.
   */
  deliverAs: "message" | "request";
  /** Which of several events are to arrive as requests. */
  requests: number[];
  /** How many new chats with strangers a limit leaves, this act counted. */
  remaining: number | null;
  /** When the next place comes back; an answer frees one at once. */
  freesAtMs: number | null;
  /** Whether few are left, so that the holder should hear of it, once a limit. */
  nearLimit: boolean;
  /**
   * Outside lists for whose word alone a first message is refused or arrives as a request. `notice`
   * says so: show it once.
   */
  listedBy: string[];
  /**
   * Whether what decides did not answer in time, so that the outcome in force answered. Another try
   * asks it again.
   */
  ownerAway: boolean;
  /** The events asked about, with their ids: hand them to `tell` once they happened. */
  events: Event[];
}

/** Returns the verdict on an act, and whether the service answered it or the request's fault. */
export function judge(
  status: number,
  body: string,
  events: readonly Event[],
  onFailure: OnFailure,
  shadow = false,
): { verdict: Verdict; answered: boolean } {
  const verdict = status === 200 ? readVerdict(body, events, shadow) : null;
  if (verdict) {
    return { verdict: opened(verdict, onFailure), answered: true };
  }
  const failed = status === 200 ? 0 : status;
  return { verdict: failedVerdict(events, onFailure, failed, shadow), answered: isFault(failed) };
}

/**
 * Allows a registration that the service refuses only because its engine does not answer. It says
 * so itself then; an enforcement that it knows of holds.
 */
function opened(verdict: Verdict, onFailure: OnFailure): Verdict {
  const wanting = verdict.mode === "on_failure" && isCalm(verdict.outcome);
  if (!wanting || !registers(verdict.events) || onFailure.registration !== "open") {
    return verdict;
  }
  return { ...verdict, allowed: true, retryAfterMs: null, refused: [] };
}

function registers(events: readonly Event[]): boolean {
  return events.some((event) => event.type === "account.registered");
}

/** Whether a status says that the request is at fault, not the service. */
export function isFault(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

function readVerdict(body: string, events: readonly Event[], shadow: boolean): Verdict | null {
  const members = readObject(body);
  const { account, outcome, allowed } = (members ?? {}) as Record<string, unknown>;
  if (!members || typeof account !== "string" || !isOutcome(outcome) || typeof allowed !== "boolean") {
    return null;
  }
  const notice = members["notice"];
  const quiet = members["deliver_as"] === "request" && !shadow;
  return {
    account,
    outcome,
    allowed: allowed || shadow,
    untilMs: integer(members, "until"),
    challenge: text(members, "challenge"),
    retryAfterMs: integer(members, "retry_after_ms"),
    rules: list(members, "rules").filter((each) => typeof each === "string"),
    byScore: members["by_score"] === true,
    mode: text(members, "mode") ?? (shadow ? "ask" : "attempt"),
    refused: list(members, "refused").filter((each) => Number.isSafeInteger(each)) as number[],
    notifyAtMs: integer(members, "notify_at_ms"),
    notice:
      typeof notice === "object" && notice !== null ? (notice as Record<string, string>) : null,
    statementUrl: text(members, "statement_url"),
    deliverAs: quiet ? "request" : "message",
    requests: quiet
      ? (list(members, "requests").filter((each) => Number.isSafeInteger(each)) as number[])
      : [],
    remaining: integer(members, "remaining"),
    freesAtMs: integer(members, "frees_at"),
    nearLimit: members["near_limit"] === true,
    listedBy: list(members, "listed_by").filter((each) => typeof each === "string") as string[],
    ownerAway: members["owner_away"] === true,
    events: [...events],
  };
}

function integer(members: Members, name: string): number | null {
  const value = members[name];
  return Number.isSafeInteger(value) ? (value as number) : null;
}

function text(members: Members, name: string): string | null {
  const value = members[name];
  return typeof value === "string" ? value : null;
}

function list(members: Members, name: string): unknown[] {
  const value = members[name];
  return Array.isArray(value) ? value : [];
}

/**
 * Returns what happens to an act that the service gave no answer to. A refusal of the request
 * itself (a wrong key, an event that the service does not know) never closes an act.
 */
export function failedVerdict(
  events: readonly Event[],
  onFailure: OnFailure,
  status = 0,
  shadow = false,
): Verdict {
  const table = onFailure[registers(events) ? "registration" : "messaging"];
  const closed = !shadow && !isFault(status) && table === "closed";
  return {
    account: events[0]?.account ?? "",
    outcome: closed ? "limit" : "allow",
    allowed: !closed,
    untilMs: null,
    challenge: null,
    retryAfterMs: closed ? RETRY_AFTER_MS : null,
    rules: [],
    byScore: false,
    mode: "on_failure",
    refused: closed && events.length > 1 ? events.map((_, index) => index) : [],
    notifyAtMs: null,
    notice: null,
    statementUrl: null,
    deliverAs: "message",
    requests: [],
    remaining: null,
    freesAtMs: null,
    nearLimit: false,
    listedBy: [],
    ownerAway: false,
    events: [...events],
  };
}

/** Returns the failure table of a client, with the defaults filled in. */
export function readOnFailure(given: Partial<OnFailure> = {}): OnFailure {
  const chosen: Record<string, unknown> = { ...ON_FAILURE, ...given };
  for (const [act, failure] of Object.entries(chosen)) {
    if (!(act in ON_FAILURE)) {
      throw new SettingsError("onFailure has an unknown act", "use registration, messaging");
    }
    if (failure !== "open" && failure !== "closed") {
      throw new SettingsError("onFailure has an unknown value", "use open or closed");
    }
  }
  if (chosen["messaging"] !== "open") {
    throw new SettingsError(
      "onFailure would stop all messages while the service is away",
      'leave messaging at "open"',
    );
  }
  return chosen as unknown as OnFailure;
}
