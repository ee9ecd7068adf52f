// Charts over time: lines, areas, bars, and the dots of an account's life. Drag zooms, a double
// click shows everything again. The same figures stand in a table beside each, made by the server.

import "./lib/locale";

import uPlot from "uplot";
import { all, element, fetchJson, language, onContent, onTheme, text, tokenColor } from "./lib/page";

interface Mark {
  x: number;
  label: string;
  color?: string;
}
interface Lines {
  x: number[];
  series: { label: string; values: (number | null)[]; color?: string; dash?: boolean }[];
  marks?: Mark[];
  stacked?: boolean;
  percent?: boolean;
  unit?: string;
}
interface Band {
  from: number;
  to: number;
  label: string;
  color: string;
}
interface Events {
  lanes: { label: string; times: number[]; color?: string }[];
  marks?: Mark[];
  // How long each outcome lasted, drawn in a lane above the events.
  bands?: Band[];
  bands_label?: string;
  // What the events tell in words; it comes with them, since both are read from the log.
  story?: string[];
}
type Data = Lines | Events;

const PALETTE = ["chart-1", "chart-2", "chart-3", "chart-4", "chart-5", "chart-6"];
const DASHES: number[][] = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [1, 4]];
const DAY = 86_400;

function timeZone(): string | undefined {
  return document.documentElement.dataset.timezone;
}

function timeFormat(step: number): Intl.DateTimeFormat {
  const options: Intl.DateTimeFormatOptions =
    step >= 28 * DAY
      ? { month: "short", year: "numeric" }
      : step >= DAY
        ? { day: "numeric", month: "short" }
        : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (step < 60) options.second = "2-digit";
  return new Intl.DateTimeFormat(language(), { ...options, timeZone: timeZone() });
}

function number(value: number | null | undefined, data: Lines): string {
  if (value === null || value === undefined) return "–";
  const shown = new Intl.NumberFormat(language(), {
    style: data.percent ? "percent" : "decimal",
    notation: Math.abs(value) >= 100_000 ? "compact" : "standard",
    maximumFractionDigits: data.percent ? 1 : Math.abs(value) < 10 ? 2 : 1,
  }).format(value);
  return data.unit ? `${shown} ${data.unit}` : shown;
}

function marks(list: Mark[], scale: number): uPlot.Plugin {
  return {
    hooks: {
      draw: (plot) => {
        const { ctx, bbox } = plot;
        const ratio = uPlot.pxRatio;
        ctx.save();
        ctx.font = `${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
        ctx.lineWidth = ratio;
        ctx.textBaseline = "top";
        let free = -Infinity;
        for (const mark of list) {
          const x = Math.round(plot.valToPos(mark.x * scale, "x", true));
          if (x < bbox.left || x > bbox.left + bbox.width) continue;
          ctx.strokeStyle = ctx.fillStyle = tokenColor(mark.color ?? "text-muted");
          ctx.setLineDash([4 * ratio, 3 * ratio]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const width = ctx.measureText(mark.label).width + 8 * ratio;
          const end = x + width > bbox.left + bbox.width;
          const start = end ? x - width : x;
          if (start < free) continue;
          ctx.textAlign = end ? "right" : "left";
          ctx.fillText(mark.label, x + (end ? -4 : 4) * ratio, bbox.top + 2 * ratio);
          free = start + width;
        }
        ctx.restore();
      },
    },
  };
}

function drawBands(list: Band[], lane: number): uPlot.Plugin {
  return {
    hooks: {
      drawAxes: ({ ctx, bbox, valToPos }) => {
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        const top = valToPos(lane + 0.3, "y", true);
        const height = valToPos(lane - 0.3, "y", true) - top;
        for (const band of list) {
          const start = valToPos(band.from / 1000, "x", true);
          const end = valToPos(band.to / 1000, "x", true);
          ctx.fillStyle = tokenColor(band.color);
          ctx.fillRect(start, top, Math.max(end - start, 2 * uPlot.pxRatio), height);
        }
        ctx.restore();
      },
    },
  };
}

function axes(): { x: uPlot.Axis; y: uPlot.Axis } {
  const shared: uPlot.Axis = {
    stroke: tokenColor("text-muted"),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    ticks: { show: false },
    grid: { stroke: tokenColor("chart-grid"), width: 1 },
  };
  return {
    x: {
      ...shared,
      grid: { show: false },
      space: 72,
      size: 28,
      values: (_plot, splits, _axis, _space, step) => {
        const format = timeFormat(step);
        return splits.map((at) => format.format(at * 1000));
      },
    },
    y: { ...shared, size: 52, space: 36 },
  };
}

function fade(color: string, share: number): string {
  return `color-mix(in srgb, ${color} ${share * 100}%, transparent)`;
}

function mix(color: string, other: string, share: number): string {
  return `color-mix(in srgb, ${color} ${share * 100}%, ${other})`;
}

function stack(values: (number | null)[][]): (number | null)[][] {
  const sums: number[] = [];
  return values.map((row) =>
    row.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0))),
  );
}

function base(figure: HTMLElement, width: number, height: number): uPlot.Options {
  const zone = figure.dataset.timezone ?? timeZone();
  const options: uPlot.Options = {
    width,
    height,
    // Half of the last date stands beyond the last point.
    padding: [10, 30, 0, 0],
    series: [],
    cursor: { drag: { x: true, y: false }, points: { size: 7 } },
    legend: { show: false },
  };
  if (zone) options.tzDate = (at) => uPlot.tzDate(new Date(at * 1000), zone);
  return options;
}

function lines(figure: HTMLElement, data: Lines, width: number): [uPlot.Options, uPlot.AlignedData] {
  const bars = figure.dataset.chart === "bars";
  const area = figure.dataset.chart === "area" || Boolean(data.stacked);
  const raw = data.series.map((one) => one.values);
  const drawn = data.stacked ? stack(raw) : raw;
  const { x, y } = axes();
  y.values = (_plot, splits) => splits.map((value) => number(value, { ...data, unit: undefined }));
  const shape = (index: number): Partial<uPlot.Series> => {
    const one = data.series[index];
    const color = tokenColor(one?.color ?? PALETTE[index % PALETTE.length] ?? "chart-1");
    const style: Partial<uPlot.Series> = { stroke: color, width: bars ? 0 : 1.75 };
    if (bars) {
      style.fill = color;
      style.paths = uPlot.paths.bars?.({ size: [0.7, 40], radius: 0.12 });
      style.points = { show: false };
    } else {
      style.points = { size: 5 };
      if (!data.stacked) style.dash = one?.dash === false ? [] : DASHES[index % DASHES.length];
      if (data.stacked) style.points = { show: false };
      if (area) style.fill = data.stacked ? mix(color, tokenColor("surface"), 0.45) : fade(color, 0.12);
    }
    return style;
  };
  const series: uPlot.Series[] = data.series.map((one, index) => ({
    label: one.label,
    value: (_plot, _value, _series, at) => number(at === null ? null : raw[index]?.[at], data),
    ...shape(index),
  }));
  const order = series.map((_, index) => index);
  if (data.stacked) order.reverse(); // The tallest sum is drawn first, behind the others.
  const options = base(figure, width, Number(figure.dataset.height ?? 220));
  options.legend = { show: true, live: true };
  options.series = [
    {
      label: text("time"),
      value: (plot, at) => {
        const step = (plot.scales.x?.max ?? 0) - (plot.scales.x?.min ?? 0);
        if (at === null || at === undefined) return "–";
        return new Intl.DateTimeFormat(language(), {
          day: "numeric",
          month: "short",
          ...(step < 90 * DAY ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : {}),
          timeZone: timeZone(),
        }).format(at * 1000);
      },
    },
    ...order.map((index) => series[index] as uPlot.Series),
  ];
  options.axes = [x, y];
  options.scales = {
    y: { range: (_plot, low, high) => (high > low || high > 0 ? [Math.min(0, low), high * 1.08] : [0, 1]) },
  };
  options.plugins = [marks(data.marks ?? [], 1)];
  const values = order.map((index) => drawn[index] ?? []);
  return [options, [data.x, ...values] as uPlot.AlignedData];
}

function events(figure: HTMLElement, data: Events, width: number): [uPlot.Options, uPlot.AlignedData] {
  const bands = data.bands ?? [];
  const labels = data.lanes.map((lane) => lane.label).reverse();
  if (bands.length) labels.push(data.bands_label ?? "");
  const count = data.lanes.length;
  const times = [...new Set(data.lanes.flatMap((lane) => lane.times))].sort((a, b) => a - b);
  const place = new Map(times.map((at, index) => [at, index]));
  const rows = data.lanes.map((lane, index) => {
    const row = new Array<number | null>(times.length).fill(null);
    for (const at of lane.times) row[place.get(at) ?? 0] = count - 1 - index;
    return row;
  });
  const { x, y } = axes();
  const widest = Math.max(...labels.map((label) => label.length));
  y.size = Math.min(width * 0.34, 20 + widest * 6.2);
  y.splits = () => labels.map((_, index) => index);
  y.values = (_plot, splits) => splits.map((at) => labels[at] ?? "");
  const options = base(figure, width, Number(figure.dataset.height ?? 44 + labels.length * 30));
  options.axes = [x, y];
  options.scales = { y: { range: () => [-0.6, labels.length - (bands.length ? 0 : 0.4)] } };
  options.cursor = { ...options.cursor, y: false };
  options.series = [
    {},
    ...data.lanes.map((lane, index): uPlot.Series => {
      const color = tokenColor(lane.color ?? PALETTE[index % PALETTE.length] ?? "chart-1");
      return {
        label: lane.label,
        paths: () => null,
        points: { show: true, size: 7, width: 0, fill: fade(color, 0.75), stroke: color },
      };
    }),
  ];
  const readout = figure.querySelector<HTMLElement>(".chart-readout");
  const exact = new Intl.DateTimeFormat(language(), {
    dateStyle: "medium",
    timeStyle: "medium",
    timeZone: timeZone(),
  });
  options.hooks = {
    setCursor: [
      (plot) => {
        const index = plot.cursor.idx;
        const at = index === null || index === undefined ? undefined : times[index];
        if (!readout || at === undefined || index === null || index === undefined) return;
        const names = data.lanes.filter((_, lane) => rows[lane]?.[index] !== null);
        const lasting = bands.filter((band) => band.from <= at && at < band.to);
        const shown = [...names, ...lasting].map((each) => each.label);
        readout.textContent = `${exact.format(at)} · ${shown.join(", ")}`;
      },
    ],
  };
  options.plugins = [drawBands(bands, count), marks(data.marks ?? [], 0.001)];
  return [options, [times.map((at) => at / 1000), ...rows] as uPlot.AlignedData];
}

function isEmpty(data: Data): boolean {
  return "lanes" in data ? data.lanes.every((lane) => !lane.times.length) : !data.x.length;
}

class Chart {
  private plot: uPlot | undefined;
  private readonly place: HTMLElement;

  constructor(
    private readonly figure: HTMLElement,
    private readonly data: Data,
  ) {
    this.place = figure.querySelector<HTMLElement>(".chart-plot") ?? element("div", "chart-plot");
    this.place.replaceChildren();
    if (!this.place.isConnected) {
      figure.querySelector("figcaption")?.after(this.place);
      if (!this.place.isConnected) figure.prepend(this.place);
    }
    if (isEmpty(data)) {
      this.place.append(element("p", "chart-empty", text("no_data")));
      return;
    }
    this.place.setAttribute("aria-hidden", "true");
    if ("lanes" in data && !figure.querySelector(".chart-readout")) {
      this.place.after(element("p", "chart-readout"));
    }
    this.draw();
    onTheme(() => this.draw());
    new ResizeObserver(() => this.resize()).observe(this.place);
  }

  private draw(): void {
    const width = this.place.clientWidth;
    if (!width || !this.figure.isConnected) return;
    const [options, data] =
      "lanes" in this.data
        ? events(this.figure, this.data, width)
        : lines(this.figure, this.data, width);
    const before = this.plot?.scales.x;
    this.plot?.destroy();
    this.plot = new uPlot(options, data, this.place);
    if (before?.min !== undefined && before.max !== undefined) {
      this.plot.setScale("x", { min: before.min ?? 0, max: before.max ?? 0 });
    }
  }

  private resize(): void {
    const width = this.place.clientWidth;
    if (!this.plot) this.draw();
    else if (width && width !== this.plot.width) this.plot.setSize({ width, height: this.plot.height });
  }
}

function tell(story: string[]): void {
  const place = document.querySelector("[data-story]");
  place?.replaceChildren(
    ...story.map((paragraph, index) => element("p", index ? "" : "lead", paragraph)),
  );
}

async function load(figure: HTMLElement): Promise<void> {
  const inline = figure.querySelector('script[type="application/json"]');
  try {
    const data = inline
      ? (JSON.parse(inline.textContent ?? "") as Data)
      : await fetchJson<Data>(figure.dataset.src ?? "");
    all(".skeleton", figure).forEach((part) => part.remove());
    new Chart(figure, data);
    if ("story" in data && data.story) tell(data.story);
  } catch {
    all(".skeleton", figure).forEach((part) => part.remove());
    const place = figure.querySelector(".chart-plot") ?? element("div", "chart-plot");
    if (!place.isConnected) figure.prepend(place);
    place.replaceChildren(element("p", "chart-empty", text("load_failed")));
  }
}

const known = new WeakSet<Element>();
onContent((root) => {
  for (const figure of all("figure[data-chart]", root)) {
    if (known.has(figure)) continue;
    known.add(figure);
    void load(figure);
  }
});
