// Figures that change by themselves: a server-sent stream of JSON into `data-live` elements.

import { all, language, onContent, text } from "./page";
import { duration } from "./times";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 60_000;

function format(value: unknown, kind: string | undefined): string {
  if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
  if (kind === "age") return duration(value, language());
  const options: Intl.NumberFormatOptions =
    kind === "percent"
      ? { style: "percent", maximumFractionDigits: 1 }
      : { maximumFractionDigits: Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0 };
  return new Intl.NumberFormat(language(), options).format(value);
}

function field(data: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (part, name) =>
        part && typeof part === "object" ? (part as Record<string, unknown>)[name] : undefined,
      data,
    );
}

class Stream {
  private source: EventSource | undefined;
  private wait = FIRST_WAIT;
  private timer = 0;

  constructor(
    private readonly root: HTMLElement,
    private readonly url: string,
  ) {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.start()));
    window.addEventListener("pagehide", () => this.stop());
    window.addEventListener("pageshow", () => this.start());
    this.start();
  }

  private start(): void {
    if (this.source || document.hidden) return;
    if (!this.root.isConnected) return;
    window.clearTimeout(this.timer);
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("open", () => {
      this.wait = FIRST_WAIT;
      this.say("live");
    });
    source.addEventListener("message", (event: MessageEvent<string>) => this.show(event.data));
    source.addEventListener("error", () => this.again());
  }

  private stop(): void {
    window.clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
    this.say("paused");
  }

  /** Wait twice as long each time, and not all pages alike. */
  private again(): void {
    this.source?.close();
    this.source = undefined;
    this.say("waiting");
    if (!this.root.isConnected) return;
    this.timer = window.setTimeout(() => this.start(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
  }

  private show(message: string): void {
    if (!this.root.isConnected) {
      this.stop();
      return;
    }
    let data: unknown;
    try {
      data = JSON.parse(message);
    } catch {
      return;
    }
    for (const place of all("[data-live]", this.root)) {
      const value = field(data, place.dataset.live ?? "");
      if (value === undefined) continue;
      if (place instanceof HTMLProgressElement) place.value = Number(value);
      else {
        const shown = format(value, place.dataset.liveFormat);
        if (place.textContent !== shown) place.textContent = shown;
      }
    }
    this.root.dispatchEvent(new CustomEvent("live", { detail: data, bubbles: true }));
  }

  private say(state: "live" | "waiting" | "paused"): void {
    for (const place of all("[data-live-state]", this.root)) {
      place.dataset.state = state;
      place.textContent = text(state === "waiting" ? "reconnecting" : state);
    }
  }
}

/** Listen to each stream that the page names. */
export function setUpStreams(): void {
  const known = new WeakSet<Element>();
  onContent((root) => {
    for (const part of all("[data-stream]", root)) {
      const url = part.dataset.stream;
      if (!url || known.has(part)) continue;
      known.add(part);
      new Stream(part, url);
    }
  });
}
