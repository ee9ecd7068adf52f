/** Beyond this difference the service's time is used for `ts`. */
export const USED_MS = 5_000;
/** Beyond this difference the health says so. */
export const REPORTED_MS = 30_000;

const KEPT = 8;
/** A Date may be a second old where a server makes it once a second: less is no difference. */
const NOISE_MS = 2_000;

/**
 * Estimates the offset of the service's clock from the Date of its answers: positive where it is
 * ahead. A Date has whole seconds, and the answer was made between sending and receiving: so each
 * gives an interval. The offset is 0 where the interval holds 0, else its middle.
 */
export class ServerClock {
  #samples: { low: number; high: number }[] = [];

  /** Takes the Date of an answer, and when this machine sent and received. */
  observe(date: string | null, sentMs: number, receivedMs: number): void {
    const at = date ? Date.parse(date) : Number.NaN;
    if (Number.isNaN(at) || receivedMs < sentMs) {
      return;
    }
    this.#samples.push({ low: at - receivedMs, high: at + 999 - sentMs });
    this.#samples = this.#samples.slice(-KEPT);
  }

  /** Milliseconds to add to this machine's time; 0 where nothing is known. */
  get offsetMs(): number {
    const width = (each: { low: number; high: number }) => each.high - each.low;
    const quick = this.#samples.filter((each) => width(each) <= 2_000).at(-1);
    const chosen = quick ?? [...this.#samples].sort((a, b) => width(a) - width(b))[0];
    if (!chosen || (chosen.low <= 0 && chosen.high >= 0)) {
      return 0;
    }
    return Math.floor((chosen.low + chosen.high) / 2);
  }

  /** Returns the time to write into an event. */
  eventMs(nowMs: number): number {
    return Math.abs(this.offsetMs) > USED_MS ? nowMs + this.offsetMs : nowMs;
  }

  /** Returns what time it is for the service. */
  serverMs(nowMs: number): number {
    return Math.abs(this.offsetMs) > NOISE_MS ? nowMs + this.offsetMs : nowMs;
  }
}
