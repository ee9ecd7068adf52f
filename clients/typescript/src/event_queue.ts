import { byteLength, type Members, randomId } from "./event_base.js";

/** A journal on disk of events that are not delivered yet; see `@wavebreak/client/spool`. */
export interface Spool {
  /** The JSON of the events that an earlier process left. */
  readonly leftOver: readonly string[];
  /** How often the disk refused. */
  readonly failures: number;
  /** How many events that are not delivered are not on disk. */
  readonly inMemoryOnly: number;
  /** Writes an event; returns whether it is on disk. */
  append(event: Members): boolean;
  /** Writes that the `count` oldest events are delivered, or given up. */
  delivered(count: number): void;
  /** Has what was written survive a power cut. */
  sync(): Promise<void>;
  /** Closes the file; what is not delivered stays in it. */
  close(): Promise<void>;
}

/** Events that go in one request; its key stays the same over retries. */
export interface Batch {
  key: string;
  lines: string[];
  bytes: number;
}

/** The limits of a queue, and what it works with. */
export interface QueueSettings {
  maxEvents?: number;
  maxBytes?: number;
  batchEvents?: number;
  batchBytes?: number;
  batchMs?: number;
  spool?: Spool | undefined;
  monotonicMs: () => number;
  /** Called when the first event of a batch waits, and when a batch is full. */
  ready?: () => void;
}

interface Waiting {
  line: string;
  bytes: number;
  sinceMs: number;
}

/** Keeps events in order until they are delivered or given up: bounded, one batch in flight. */
export class EventQueue {
  /** How many events there was no room for. */
  dropped = 0;

  #settings: Required<Omit<QueueSettings, "spool">>;
  #spool: Spool | undefined;
  #events: Waiting[] = [];
  #head = 0;
  #waitingBytes = 0;
  #bytes = 0;
  #inFlight: Batch[] = [];

  constructor(settings: QueueSettings) {
    const { spool, ...rest } = settings;
    this.#settings = {
      maxEvents: 100_000,
      maxBytes: 64 << 20,
      batchEvents: 500,
      batchBytes: 1_000_000,
      batchMs: 200,
      ready: () => undefined,
      ...rest,
    };
    this.#spool = spool;
    for (const line of spool?.leftOver ?? []) {
      this.#add(line, byteLength(line), 0);
    }
  }

  /** Events that are not delivered. */
  get length(): number {
    return this.#waiting + this.#inFlight.reduce((sum, batch) => sum + batch.lines.length, 0);
  }

  /** Bytes of JSON that are not delivered. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How often the disk refused. */
  get spoolFailures(): number {
    return this.#spool?.failures ?? 0;
  }

  get #waiting(): number {
    return this.#events.length - this.#head;
  }

  get #full(): boolean {
    const { batchEvents, batchBytes } = this.#settings;
    return this.#waiting >= batchEvents || this.#waitingBytes >= batchBytes;
  }

  #add(line: string, bytes: number, sinceMs: number): void {
    this.#events.push({ line, bytes, sinceMs });
    this.#bytes += bytes;
    this.#waitingBytes += bytes;
  }

  /** Takes an event; returns whether there was room. */
  put(event: Members): boolean {
    const { maxEvents, maxBytes, batchBytes, monotonicMs, ready } = this.#settings;
    const line = JSON.stringify(event);
    const bytes = byteLength(line);
    const full = this.length >= maxEvents || this.#bytes + bytes > maxBytes;
    if (full || bytes + 2 > batchBytes) {
      this.dropped += 1;
      return false;
    }
    this.#spool?.append(event);
    const wasFull = this.#full;
    this.#add(line, bytes, monotonicMs());
    if (this.#waiting === 1 || (this.#full && !wasFull)) {
      ready();
    }
    return true;
  }

  /** In how many milliseconds a batch is due; null where there is nothing to send. */
  dueMs(flush = false): number | null {
    const first = this.#events[this.#head];
    if (this.#inFlight.length) {
      return 0;
    }
    if (!first) {
      return null;
    }
    const { batchMs, monotonicMs } = this.#settings;
    return flush || this.#full ? 0 : Math.max(0, first.sinceMs + batchMs - monotonicMs());
  }

  /** Returns the batch to send: the one that was not delivered yet, else a new one. */
  take(): Batch | null {
    if (this.#inFlight[0]) {
      return this.#inFlight[0];
    }
    const { batchEvents, batchBytes } = this.#settings;
    const batch: Batch = { key: randomId(), lines: [], bytes: 0 };
    let size = 1;
    for (let next = this.#events[this.#head]; next; next = this.#events[this.#head]) {
      size += next.bytes + 1;
      if (batch.lines.length >= batchEvents || (batch.lines.length && size > batchBytes)) {
        break;
      }
      batch.lines.push(next.line);
      batch.bytes += next.bytes;
      this.#head += 1;
    }
    if (!batch.lines.length) {
      return null;
    }
    this.#waitingBytes -= batch.bytes;
    if (this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
    this.#inFlight.push(batch);
    return batch;
  }

  /** Has what the spool took survive a power cut. */
  async sync(): Promise<void> {
    await this.#spool?.sync();
  }

  /** Forgets a batch that is delivered, or given up. */
  settle(batch: Batch): void {
    this.#inFlight = this.#inFlight.filter((each) => each !== batch);
    this.#bytes -= batch.bytes;
    this.#spool?.delivered(batch.lines.length);
  }

  /** Puts two halves in place of a batch; returns false where it has one event only. */
  split(batch: Batch): boolean {
    const half = Math.floor(batch.lines.length / 2);
    if (!half) {
      return false;
    }
    const parts = [batch.lines.slice(0, half), batch.lines.slice(half)].map((lines) => ({
      key: randomId(),
      lines,
      bytes: lines.reduce((sum, line) => sum + byteLength(line), 0),
    }));
    this.#inFlight = [...parts, ...this.#inFlight.filter((each) => each !== batch)];
    return true;
  }

  /** Closes the spool, where what is not delivered stays; returns how many events are lost. */
  async close(): Promise<number> {
    const lost = this.#spool ? this.#spool.inMemoryOnly : this.length;
    await this.#spool?.close();
    return lost;
  }
}
