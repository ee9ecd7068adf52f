/** A circuit breaker: after `threshold` failures in a row the service is not asked for a while. */
export class Breaker {
  #failures = 0;
  #openedAt: number | null = null;
  #probing = false;

  constructor(
    private readonly monotonicMs: () => number,
    private readonly threshold = 3,
    private readonly openMs = 2000,
  ) {}

  /** Closed: every question is asked. Open: none. Half open: one, to see how it goes. */
  get state(): "closed" | "open" | "half_open" {
    if (this.#openedAt === null) {
      return "closed";
    }
    const passed = this.monotonicMs() - this.#openedAt >= this.openMs;
    return passed || this.#probing ? "half_open" : "open";
  }

  /** Whether to ask; whoever asks then calls succeeded, failed or abandoned. */
  allows(): boolean {
    if (this.#openedAt === null) {
      return true;
    }
    if (this.#probing || this.monotonicMs() - this.#openedAt < this.openMs) {
      return false;
    }
    this.#probing = true;
    return true;
  }

  /** The service answered. */
  succeeded(): void {
    this.#failures = 0;
    this.#openedAt = null;
    this.#probing = false;
  }

  /** The service did not answer, or could not. */
  failed(): void {
    this.#failures += 1;
    const reached = this.#openedAt === null && this.#failures >= this.threshold;
    if (this.#probing || reached) {
      this.#openedAt = this.monotonicMs();
    }
    this.#probing = false;
  }

  /** Whoever asked gave up before the answer. */
  abandoned(): void {
    this.#probing = false;
  }
}
