import { type Members, readObject } from "./event_base.js";
import type { Message } from "./sse.js";

/** Outcomes, from least to most severe. */
export const OUTCOMES = [
  "allow",
  "observe",
  "challenge",
  "limit",
  "restrict",
  "suspend",
  "ban",
] as const;

/** What is enforced. */
export type Outcome = (typeof OUTCOMES)[number];

/** After so long without a sign of life the cache is stale. */
export const STALE_MS = 60_000;

/** The enforcement state of an account. */
export interface State {
  account: string;
  outcome: Outcome;
  /** When it ends, by the service's time; null: it does not end by itself. */
  untilMs: number | null;
  /** When the holder may be notified. */
  notifyAtMs: number | null;
  /** The number of the decision; 0: there is none. */
  number: number;
  /** Whether the cache was current when it was asked. */
  fresh: boolean;
}

/** Whether nothing is enforced with an outcome. */
export function isCalm(outcome: Outcome): boolean {
  return outcome === "allow" || outcome === "observe";
}

/** Whether a value names an outcome. */
export function isOutcome(value: unknown): value is Outcome {
  return (OUTCOMES as readonly unknown[]).includes(value);
}

/** Returns the state that an object describes; throws where it is none. */
export function readState(given: unknown): State {
  const members = (typeof given === "object" && given !== null ? given : {}) as Members;
  const { account, outcome, number } = members;
  if (typeof account !== "string" || !isOutcome(outcome) || !Number.isSafeInteger(number)) {
    throw new Error("a state lacks account, outcome or number");
  }
  return {
    account,
    outcome,
    untilMs: readTime(members["until_ms"]),
    notifyAtMs: readTime(members["notify_at_ms"]),
    number: number as number,
    fresh: true,
  };
}

function readTime(value: unknown): number | null {
  if (value === null || value === undefined) {
    return null;
  }
  if (!Number.isSafeInteger(value)) {
    throw new Error("a time of a state is no integer");
  }
  return value as number;
}

/**
 * Holds the states that are not allow. Follow the service in this order: `startSnapshot`,
 * `addPage` for each page, `finishSnapshot`, then `apply` for each message of the stream that
 * starts at `number`.
 */
export class StateCache {
  /** The decision up to which the cache is current. */
  number = 0;

  #states = new Map<string, State>();
  #snapshot: Map<string, State> | null = null;
  #snapshotNumber = 0;
  #heardMs: number | null = null;

  constructor(private readonly monotonicMs: () => number) {}

  /** How many accounts are not allow. */
  get size(): number {
    return this.#states.size;
  }

  /** Whether a snapshot is complete and the stream was heard in the last 60 s. */
  get fresh(): boolean {
    return this.#heardMs !== null && this.monotonicMs() - this.#heardMs < STALE_MS;
  }

  /** Begins anew; the old states serve until the snapshot is complete. */
  startSnapshot(number: number): void {
    this.#snapshot = new Map();
    this.#snapshotNumber = number;
  }

  /** Takes a page of the snapshot; throws where a state is not readable. */
  addPage(page: Members): void {
    const states = page["states"];
    if (!this.#snapshot || !Array.isArray(states)) {
      throw new Error("a page of states is not readable");
    }
    for (const each of states) {
      put(this.#snapshot, readState(each));
    }
  }

  /** Puts the snapshot in place of the old states. */
  finishSnapshot(): void {
    this.#states = this.#snapshot ?? this.#states;
    this.#snapshot = null;
    this.number = this.#snapshotNumber;
    this.heard();
  }

  /** Takes a message of the stream; throws where it is not readable. */
  apply(message: Message): void {
    this.heard();
    if (message.event === "state") {
      const state = readState(readObject(message.data));
      put(this.#states, state);
      this.number = Math.max(this.number, state.number);
    }
  }

  /** The stream gave a sign of life. */
  heard(): void {
    this.#heardMs = this.monotonicMs();
  }

  /** Counts as stale until the next snapshot. */
  forget(): void {
    this.#heardMs = null;
  }

  /** Returns an account's state at the service's time; one whose end has passed is allow. */
  state(account: string, serverMs: number): State {
    const held = this.#states.get(account);
    if (held && (held.untilMs === null || held.untilMs > serverMs)) {
      return { ...held, fresh: this.fresh };
    }
    const number = held?.number ?? 0;
    return { account, outcome: "allow", untilMs: null, notifyAtMs: null, number, fresh: this.fresh };
  }

  /** Returns the states that are not allow at the service's time, in no order. */
  held(serverMs: number): State[] {
    const states = [...this.#states.keys()].map((account) => this.state(account, serverMs));
    return states.filter((state) => state.outcome !== "allow");
  }

  /**
   * Whether an act must be asked about before it happens. No: the account is calm, the cache is
   * fresh, and no chat is opened.
   */
  needsAsking(account: string, opensChat: boolean, serverMs: number): boolean {
    return opensChat || !this.fresh || !isCalm(this.state(account, serverMs).outcome);
  }

  /** Forgets states whose end has passed. */
  prune(serverMs: number): void {
    for (const [account, held] of this.#states) {
      if (held.untilMs !== null && held.untilMs <= serverMs) {
        this.#states.delete(account);
      }
    }
  }
}

function put(states: Map<string, State>, state: State): void {
  if ((states.get(state.account)?.number ?? 0) > state.number) {
    return;
  }
  if (state.outcome === "allow") {
    states.delete(state.account);
  } else {
    states.set(state.account, state);
  }
}
