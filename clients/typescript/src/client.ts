import { Breaker } from "./breaker.js";
import { readAnswers, type Send, type SendAnswer, sendsBody } from "./business.js";
import { backoffMs, type Delivery, readAnswer, retryAfterMs } from "./delivery.js";
import { EventError, ServiceError, SettingsError } from "./errors.js";
import { buildEvent, type Members, randomId, readObject } from "./event_base.js";
import { type Batch, EventQueue, type Spool } from "./event_queue.js";
import type { Event } from "./events.js";
import { REPORTED_MS, ServerClock } from "./server_clock.js";
import { EventStreamReader } from "./sse.js";
import { readState, type State, StateCache } from "./states.js";
import { failedVerdict, judge, type OnFailure, readOnFailure, type Verdict } from "./verdicts.js";

const BATCH_TIMEOUT_MS = 30_000;
const SILENCE_MS = 60_000;
const LOUD_MS = 60_000;
const PRUNE_MS = 60_000;
const MOST_EVENTS = 50;
const MOST_ACCOUNTS = 1000;

/** Takes what a client has to say; nothing in it names an account. */
export type Log = (level: "warn" | "error", text: string) => void;

/** Settings of a client. */
export interface Settings {
  /** Where the service is, for example `https://wavebreak.example.org`. */
  url: string;
  /** Its API key, with the scopes `ingest` and `decide`. */
  key: string;
  /** `enforce` (default) asks by attempts; `shadow` asks without effect, and allows every act. */
  mode?: "enforce" | "shadow";
  /** What happens to an act without an answer. */
  onFailure?: Partial<OnFailure>;
  /** How long an attempt waits in all; 250. */
  timeoutMs?: number;
  /** Keep the cache of enforcement states (default); without, every act needs asking. */
  followStates?: boolean;
  /** How many events wait at most; 100,000. One more is dropped and counted. */
  maxEvents?: number;
  /** How many bytes of JSON wait at most; 64 MiB. */
  maxBytes?: number;
  /** Events of a request, at most; 500. */
  batchEvents?: number;
  /** Bytes of a request, at most; 1,000,000. */
  batchBytes?: number;
  /** How long an event waits for others; 200. */
  batchMs?: number;
  /** Keeps events over a restart: `fileSpool` of `@wavebreak/client/spool`. */
  spool?: Spool;
  /** Where warnings go; the console. */
  log?: Log;
  /** In place of the global fetch. */
  fetch?: typeof fetch;
}

/** What happened so far. */
export type Counts = Record<(typeof COUNTS)[number], number>;

const COUNTS = [
  "taken",
  "accepted",
  "late",
  "duplicates",
  "refused",
  "dropped_full",
  "dropped_rejected",
  "dropped_at_close",
  "retries",
  "asked",
  "answered",
  "no_answer",
  "skipped",
  "rejected",
  "spool_failures",
] as const;

/** The health of a client, without asking anybody; nothing in it names an account. */
export interface Health {
  ok: boolean;
  /** What is wrong, each with its fix. */
  problems: string[];
  statesFresh: boolean;
  statesNumber: number;
  states: number;
  queued: number;
  queuedBytes: number;
  breaker: "closed" | "open" | "half_open";
  unauthorized: boolean;
  /** What to add to this machine's time to have the service's. */
  clockOffsetMs: number;
  counts: Counts;
}

interface Answer {
  status: number;
  body: string;
  headers: Headers;
}

/**
 * A client of Wavebreak. It starts with its first use; `close` ends it.
 *
 *     const client = new Client({ url, key });
 *     const verdict = await client.attempt({ type: "message.sent", account: "a", peer: "b" });
 *     if (verdict.allowed) client.tell(...verdict.events);
 */
export class Client {
  #url: string;
  #key: string;
  #shadow: boolean;
  #onFailure: OnFailure;
  #timeoutMs: number;
  #follows: boolean;
  #log: Log;
  #fetch: typeof fetch;
  #queue: EventQueue;
  #clock = new ServerClock();
  #breaker = new Breaker(monotonicMs);
  #states = new StateCache(monotonicMs);
  #counts = Object.fromEntries(COUNTS.map((name) => [name, 0])) as Counts;
  #refusedPaths = new Map<string, number>();
  #loudAt = new Map<string, number>();
  #prunedAt = 0;
  #undelivered = "";
  #started = false;
  #closed = false;
  #flushing = 0;
  #ending = new AbortController();
  #wake: () => void = () => undefined;
  #work: Promise<unknown>[] = [];

  constructor(settings: Settings) {
    checkSettings(settings);
    this.#url = settings.url.replace(/\/+$/, "");
    this.#key = settings.key;
    this.#shadow = settings.mode === "shadow";
    this.#onFailure = readOnFailure(settings.onFailure);
    this.#timeoutMs = settings.timeoutMs ?? 250;
    this.#follows = settings.followStates ?? true;
    this.#log = settings.log ?? ((level, text) => console[level](`wavebreak: ${text}`));
    this.#fetch = settings.fetch ?? ((input, init) => fetch(input, init));
    const { maxEvents, maxBytes, batchEvents, batchBytes, batchMs, spool } = settings;
    const limits = { maxEvents, maxBytes, batchEvents, batchBytes, batchMs };
    this.#queue = new EventQueue({
      ...Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
      spool,
      monotonicMs,
      ready: () => this.#wake(),
    });
  }

  /**
   * Hands over events that happened; returns at once, and whether there was room for all. Throws
   * an EventError where one does not fit the schema; then none is taken.
   */
  tell(...events: Event[]): boolean {
    this.#start();
    let room = true;
    for (const event of events.map(buildEvent)) {
      const ts = event.ts ?? this.#clock.eventMs(Date.now());
      const taken =
        !this.#closed && this.#queue.put({ ...event, id: event.id ?? randomId(), ts });
      this.#counts[taken ? "taken" : "dropped_full"] += 1;
      room &&= taken;
    }
    return room;
  }

  /**
   * Asks before an act happens: one event, or up to 50 of one account that make one act. A refused
   * act is in the service's log; an allowed one is not: hand it to `tell` once it happened.
   */
  async attempt(event: Event | readonly Event[]): Promise<Verdict> {
    this.#start();
    const events = asAct(event);
    if (this.#closed || !this.#breaker.allows()) {
      this.#counts.skipped += 1;
      return failedVerdict(events, this.#onFailure, 0, this.#shadow);
    }
    this.#counts.asked += 1;
    const mode = this.#shadow ? "ask" : "attempt";
    const content = JSON.stringify(Array.isArray(event) ? events : events[0]);
    let answer: Answer;
    try {
      const path = `/v1/decide?mode=${mode}`;
      answer = await this.#request("POST", path, this.#timeoutMs, content);
    } catch {
      answer = { status: 0, body: "", headers: new Headers() };
    }
    return this.#judge(answer, events);
  }

  #judge(answer: Answer, events: Event[]): Verdict {
    if (answer.status) {
      this.#watchKey("/v1/decide", answer.status);
    }
    const { status, body } = answer;
    const { verdict, answered } = judge(status, body, events, this.#onFailure, this.#shadow);
    if (!answered) {
      this.#breaker.failed();
      this.#counts.no_answer += 1;
      return verdict;
    }
    this.#breaker.succeeded();
    if (verdict.mode !== "on_failure") {
      this.#counts.answered += 1;
    } else if (status !== 401 && status !== 403) {
      this.#counts.rejected += 1;
      const text = `the service does not take an attempt: ${describe(answer)}`;
      this.#say(`attempt ${status}`, text);
    }
    return verdict;
  }

  /** Returns an account's enforcement state as the cache has it; see its `fresh`. */
  state(account: string): State {
    this.#start();
    return this.#states.state(account, this.#clock.serverMs(Date.now()));
  }

  /** Returns the states that are not allow, as the cache has them; see their `fresh`. */
  states(): State[] {
    this.#start();
    return this.#states.held(this.#clock.serverMs(Date.now()));
  }

  /**
   * Whether an act has to be asked about by `attempt` before it happens. `opensChat`: the first
   * message to a person or group, an invitation, a new group.
   */
  needsAsking(account: string, opensChat: boolean): boolean {
    this.#start();
    return this.#states.needsAsking(account, opensChat, this.#clock.serverMs(Date.now()));
  }

  /** Asks the service for the states of up to 1,000 accounts, in their order. */
  async fetchStates(accounts: readonly string[]): Promise<State[]> {
    this.#start();
    if (accounts.length < 1 || accounts.length > MOST_ACCOUNTS) {
      throw new SettingsError(`give 1 to ${MOST_ACCOUNTS} accounts`, "ask several times");
    }
    const content = JSON.stringify({ accounts });
    const answer = await this.#request(
      "POST",
      "/v1/states/query",
      BATCH_TIMEOUT_MS,
      content,
    ).catch(() => {
      throw new ServiceError("the service did not answer");
    });
    this.#watchKey("/v1/states", answer.status);
    const states = readObject(answer.body)?.["states"];
    if (answer.status !== 200 || !Array.isArray(states)) {
      throw new ServiceError(describe(answer), answer.status);
    }
    const nowMs = this.#clock.serverMs(Date.now());
    return states.map(readState).map((each) =>
      each.untilMs !== null && each.untilMs <= nowMs
        ? { ...each, outcome: "allow" as const, untilMs: null, notifyAtMs: null }
        : each,
    );
  }

  /**
   * Asks which of up to 500 sends of a business may go out; the answers, in their order. Those that
   * may are counted as sent. After an error ask again with the same ids.
   */
  async decideSends(portfolio: string, sends: readonly Send[]): Promise<SendAnswer[]> {
    this.#start();
    const content = JSON.stringify(sendsBody(portfolio, sends));
    const path = "/v1/business/decide";
    const answer = await this.#request("POST", path, BATCH_TIMEOUT_MS, content).catch(() => {
      throw new ServiceError("the service did not answer");
    });
    this.#watchKey(path, answer.status);
    const answers = readAnswers(readObject(answer.body), sends);
    if (answer.status !== 200 || answers === null) {
      throw new ServiceError(describe(answer), answer.status);
    }
    return answers;
  }

  /** Declares what this source carries and can do, at its start; whether the service took it. */
  async declare(carries: readonly string[], can: readonly string[]): Promise<boolean> {
    this.#start();
    const content = JSON.stringify({ carries, can });
    try {
      const path = "/v1/sources/self";
      const answer = await this.#request("PUT", path, BATCH_TIMEOUT_MS, content);
      this.#watchKey(path, answer.status);
      if (answer.status >= 400) {
        const text = `the service does not take this source's declaration: ${describe(answer)}`;
        this.#say(`declare ${answer.status}`, text);
      }
      return answer.status < 300;
    } catch {
      return false;
    }
  }

  /** Returns how the client does, without asking anybody. */
  health(): Health {
    const problems = this.#problems();
    return {
      ok: problems.length === 0,
      problems,
      statesFresh: this.#states.fresh,
      statesNumber: this.#states.number,
      states: this.#states.size,
      queued: this.#queue.length,
      queuedBytes: this.#queue.bytes,
      breaker: this.#breaker.state,
      unauthorized: this.#refusedPaths.size > 0,
      clockOffsetMs: this.#clock.offsetMs,
      counts: { ...this.#counts, spool_failures: this.#queue.spoolFailures },
    };
  }

  #problems(): string[] {
    const offset = this.#clock.offsetMs;
    const side = offset > 0 ? "behind" : "ahead of";
    const found: [boolean, string][] = [
      [this.#undelivered !== "", this.#undelivered],
      [
        Math.abs(offset) > REPORTED_MS,
        `this machine's clock is ${Math.floor(Math.abs(offset) / 1000)} s ${side} the service's; ` +
          "fix: synchronise it",
      ],
      [
        this.#follows && this.#started && !this.#states.fresh,
        "enforcement states are not current; fix: see that the service answers",
      ],
      [
        this.#breaker.state !== "closed",
        "the service does not answer attempts; fix: see that it runs",
      ],
      [
        this.#counts.dropped_full > 0,
        "events were dropped; fix: raise maxEvents, or see why the service lags",
      ],
      [
        this.#queue.spoolFailures > 0,
        "the spool could not be written; fix: see that its disk has room",
      ],
    ];
    const keys = [...this.#refusedPaths].map(
      ([path, status]) =>
        `the service refuses the key for ${path} (${status}); ` +
        "fix: give a key with the scopes ingest and decide",
    );
    return [...found.filter(([holds]) => holds).map(([, text]) => text), ...keys];
  }

  /** Sends what waits now; whether all of it is delivered. */
  async flush(timeoutMs = 5000): Promise<boolean> {
    this.#start();
    const end = monotonicMs() + timeoutMs;
    this.#flushing += 1;
    try {
      while (this.#queue.length && monotonicMs() < end && !this.#ending.signal.aborted) {
        this.#wake();
        await this.#sleep(Math.min(10, Math.max(0, end - monotonicMs())));
      }
      return this.#queue.length === 0;
    } finally {
      this.#flushing -= 1;
    }
  }

  /** Sends what waits, and ends; whether all of it is delivered. What is not stays in the spool. */
  async close(timeoutMs = 5000): Promise<boolean> {
    if (this.#closed) {
      return this.#queue.length === 0;
    }
    this.#start();
    this.#closed = true;
    const done = await this.flush(timeoutMs);
    this.#ending.abort();
    this.#wake();
    await Promise.all(this.#work);
    this.#counts.dropped_at_close += await this.#queue.close();
    return done;
  }

  #start(): void {
    if (!this.#started && !this.#closed) {
      this.#started = true;
      this.#work.push(this.#sendEvents());
      if (this.#follows) {
        this.#work.push(this.#followStates());
      }
    }
  }

  /** Sends batches, one at a time, until the end. */
  async #sendEvents(): Promise<void> {
    let failures = 0;
    while (!this.#ending.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const dueMs = this.#queue.dueMs(this.#flushing > 0);
      if (dueMs === null || dueMs > 0) {
        await (dueMs === null ? woken : Promise.race([woken, this.#sleep(dueMs)]));
        continue;
      }
      const batch = this.#queue.take();
      if (!batch) {
        continue;
      }
      await this.#queue.sync();
      const [delivery, afterMs] = await this.#sendBatch(batch);
      if (delivery.action === "retry" || delivery.action === "hold") {
        failures += 1;
        this.#counts.retries += 1;
        await this.#sleep(backoffMs(failures, afterMs));
        continue;
      }
      failures = 0;
      this.#settle(batch, delivery);
    }
  }

  async #sendBatch(batch: Batch): Promise<[Delivery, number | null]> {
    let answer: Answer;
    try {
      const body = `[${batch.lines.join(",")}]`;
      const headers = { "Idempotency-Key": batch.key };
      answer = await this.#request("POST", "/v1/events", BATCH_TIMEOUT_MS, body, headers);
    } catch {
      this.#undelivered =
        "events cannot be delivered; fix: see that the service runs and can be reached";
      return [readAnswer(0, ""), null];
    }
    this.#watchKey("/v1/events", answer.status);
    const delivery = readAnswer(answer.status, answer.body);
    this.#undelivered =
      delivery.action === "retry"
        ? `events cannot be delivered (status ${answer.status}); fix: see the service's health`
        : "";
    if (delivery.action === "split" || delivery.action === "drop") {
      const text = `the service does not take a batch of events: ${describe(answer)}`;
      this.#say(`events ${answer.status}`, text);
    }
    return [delivery, retryAfterMs(answer.headers.get("retry-after"), Date.now())];
  }

  #settle(batch: Batch, delivery: Delivery): void {
    if (delivery.action === "split" && this.#queue.split(batch)) {
      return;
    }
    this.#queue.settle(batch);
    if (delivery.action !== "done") {
      this.#counts.dropped_rejected += batch.lines.length;
      return;
    }
    for (const name of ["accepted", "late", "duplicates", "refused"] as const) {
      this.#counts[name] += delivery[name];
    }
    if (delivery.refused) {
      const causes = delivery.causes.join(", ");
      this.#say(`refused ${causes}`, `the service refused ${delivery.refused} events: ${causes}`);
    }
  }

  /** Keeps the cache of enforcement states current, until the end. */
  async #followStates(): Promise<void> {
    let failures = 0;
    while (!this.#ending.signal.aborted) {
      const number = this.#states.number;
      const reader = new EventStreamReader();
      try {
        if (!this.#states.fresh) {
          await this.#loadSnapshot();
        }
        await this.#readStream(reader);
        failures = 0;
      } catch (error) {
        failures = this.#states.number > number ? 1 : failures + 1;
        if (error instanceof ServiceError) {
          this.#say(`states ${error.status}`, `enforcement states: ${error.message}`);
          if (![401, 403, 429].includes(error.status)) {
            this.#states.forget();
          }
        }
      }
      const longest = Math.max(300, reader.retryMs ?? 2000);
      await this.#sleep(
        failures > 1 ? backoffMs(failures) : 200 + Math.random() * (longest - 200),
      );
    }
  }

  async #loadSnapshot(): Promise<void> {
    let since: number | null = 0;
    while (since !== null) {
      const path: string = `/v1/states?since=${since}`;
      const answer: Answer = await this.#request("GET", path, BATCH_TIMEOUT_MS);
      this.#checkStates(answer.status);
      const page: Members = readObject(answer.body) ?? {};
      const { number, next = null } = page;
      if (!Number.isSafeInteger(number)) {
        throw new Error("a page of states is not readable");
      }
      if (since === 0) {
        this.#states.startSnapshot(number as number);
      }
      this.#states.addPage(page);
      if (next !== null && !(Number.isSafeInteger(next) && (next as number) > since)) {
        throw new Error("the next page of states is not readable");
      }
      since = next as number | null;
    }
    this.#states.finishSnapshot();
  }

  async #readStream(reader: EventStreamReader): Promise<void> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const number = String(this.#states.number);
    const sentMs = Date.now();
    try {
      const answer = await this.#fetch(`${this.#url}/v1/states/stream?since=${number}`, {
        headers: {
          ...this.#headers(),
          Accept: "text/event-stream",
          "Last-Event-ID": number,
        },
        redirect: "manual",
        signal: AbortSignal.any([this.#ending.signal, silence.signal]),
      });
      this.#clock.observe(answer.headers.get("date"), sentMs, Date.now());
      this.#checkStates(answer.status);
      this.#states.heard();
      const body = answer.body?.getReader();
      for (let part = await body?.read(); part && !part.done; part = await body?.read()) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        this.#states.heard();
        this.#prune();
        for (const message of reader.feed(part.value)) {
          this.#states.apply(message);
        }
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  /** Forgets, once a minute, states whose end has passed. */
  #prune(): void {
    if (monotonicMs() - this.#prunedAt >= PRUNE_MS) {
      this.#prunedAt = monotonicMs();
      this.#states.prune(this.#clock.serverMs(Date.now()));
    }
  }

  #checkStates(status: number): void {
    this.#watchKey("/v1/states", status);
    if (status !== 200) {
      const fix = status === 404 ? "upgrade the service" : "see the service's log";
      throw new ServiceError(`the service answered ${status}`, status, fix);
    }
  }

  #headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.#key}`, "User-Agent": "wavebreak-client-js/0.1" };
  }

  async #request(
    method: string,
    path: string,
    timeoutMs: number,
    content?: string,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const sentMs = Date.now();
    const media: Record<string, string> =
      content === undefined ? {} : { "Content-Type": "application/json" };
    const answer = await this.#fetch(this.#url + path, {
      method,
      headers: { ...this.#headers(), ...media, ...headers },
      body: content ?? null,
      redirect: "manual",
      signal: AbortSignal.any([this.#ending.signal, AbortSignal.timeout(timeoutMs)]),
    });
    this.#clock.observe(answer.headers.get("date"), sentMs, Date.now());
    return { status: answer.status, body: await answer.text(), headers: answer.headers };
  }

  #watchKey(path: string, status: number): void {
    if (status !== 401 && status !== 403) {
      this.#refusedPaths.delete(path);
      return;
    }
    this.#refusedPaths.set(path, status);
    const text =
      `the service refuses the key for ${path} (${status}); acts are allowed meanwhile — ` +
      "fix: give a key with the scopes ingest and decide";
    this.#say("key", text, "error");
  }

  /** Logs at most once a minute for each subject. */
  #say(subject: string, text: string, level: "warn" | "error" = "warn"): void {
    const now = monotonicMs();
    if (now - (this.#loudAt.get(subject) ?? -LOUD_MS) >= LOUD_MS) {
      if (this.#loudAt.size > 100) {
        this.#loudAt.clear();
      }
      this.#loudAt.set(subject, now);
      this.#log(level, text);
    }
  }

  /** Waits, or until the end. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#ending;
      if (signal.aborted) {
        resolve();
        return;
      }
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
    });
  }
}

function asAct(given: Event | readonly Event[]): Event[] {
  const listed = (Array.isArray(given) ? given : [given]) as Event[];
  const events = listed.map((each) => {
    const event = buildEvent(each);
    return event.id ? event : buildEvent({ ...event, id: randomId() });
  });
  if (events.length < 1 || events.length > MOST_EVENTS) {
    throw new EventError(`an attempt has 1 to ${MOST_EVENTS} events`, "", "split it");
  }
  if (new Set(events.map((each) => each.account)).size > 1) {
    throw new EventError("an attempt is of one account", "account", "split it");
  }
  return events;
}

function checkSettings(settings: Settings): void {
  const { url, key, mode = "enforce", timeoutMs = 250 } = settings;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol) || new URL(url).search) {
    throw new SettingsError("url is no address", "give one such as https://host:port");
  }
  if (typeof key !== "string" || !/^[\x21-\x7e]+$/.test(key)) {
    throw new SettingsError("key is no API key", "give the key as `key create` printed it");
  }
  if (mode !== "enforce" && mode !== "shadow") {
    throw new SettingsError("mode is unknown", "use enforce or shadow");
  }
  if (!(timeoutMs > 0 && timeoutMs <= 60_000)) {
    throw new SettingsError("timeoutMs is out of range", "give milliseconds, for example 250");
  }
}

/** Returns what an error's answer says: title and cause, never what quotes a request. */
function describe(answer: Answer): string {
  const members = readObject(answer.body) ?? {};
  const shown = ["title", "cause", "field"]
    .map((name) => members[name])
    .filter((value) => typeof value === "string")
    .map((value) => value.slice(0, 80));
  return [`status ${answer.status}`, ...shown].join(", ");
}

function monotonicMs(): number {
  return performance.now();
}
