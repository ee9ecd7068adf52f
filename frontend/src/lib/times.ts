// Times that go on while a page is open: how long ago, and how long this session lasts.

import { all, language, onContent } from "./page";

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** A time in words, seen from now: "3 minutes ago", "in 2 days". */
export function relativeTime(seconds: number, locale: string): string {
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) < length) continue;
    // Hebrew words for two are followed by the figure in brackets, which nobody would write.
    return format.format(Math.trunc(seconds / length), unit).replace(/ \(\d+\)$/, "");
  }
  return format.format(0, "second");
}

/** A length of time: "1 hr 12 min". */
export function duration(seconds: number, locale: string): string {
  const part = (value: number, unit: string): string =>
    new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short" }).format(value);
  const minutes = Math.max(0, Math.floor(seconds / 60));
  const hours = Math.floor(minutes / 60);
  return hours ? `${part(hours, "hour")} ${part(minutes % 60, "minute")}` : part(minutes, "minute");
}

function update(root: ParentNode): void {
  const now = Date.now();
  const locale = language();
  for (const time of all<HTMLTimeElement>("time[data-relative]", root)) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    if (!time.title) time.title = time.textContent?.trim() || new Date(at).toLocaleString(locale);
    time.textContent = relativeTime((at - now) / 1000, locale);
  }
  for (const place of all("[data-session-started]", root)) {
    const at = Date.parse(place.dataset.sessionStarted ?? "");
    if (!Number.isNaN(at)) place.textContent = duration((now - at) / 1000, locale);
  }
}

/** Keep times up to date. */
export function setUpTimes(): void {
  onContent(update);
  window.setInterval(() => {
    if (!document.hidden) update(document);
  }, 30_000);
}
