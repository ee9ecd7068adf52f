// Regions of a page that are removed: drawn with the mouse, and always also fields of the form.
//
// The fields are what is sent. What is drawn fills a row of them, and each row is shown on its page.

import { all, closest, onContent } from "./page";

const SMALLEST = 6; // thousandths: less is a click
const SVG = "http://www.w3.org/2000/svg";
const EDGES = ["page", "left", "top", "right", "bottom"] as const;

interface Box {
  page: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

function fields(row: Element): HTMLInputElement[] {
  return EDGES.flatMap((edge) => all<HTMLInputElement>(`[name=region_${edge}]`, row));
}

/** The region of a row of fields, or none where it is not whole. */
function boxOf(row: Element): Box | undefined {
  const [page, ...edges] = fields(row).map((field) => field.value.trim());
  if (edges.length !== 4 || edges.includes("")) return undefined;
  const [left, top, right, bottom] = edges.map(Number) as [number, number, number, number];
  if (!(left < right && top < bottom)) return undefined;
  return { page: Number(page || 1), left, top, right, bottom };
}

function rectangle(box: Box): SVGRectElement {
  const made = document.createElementNS(SVG, "rect");
  const { left, top, right, bottom } = box;
  const sides = { x: left, y: top, width: right - left, height: bottom - top };
  for (const [name, value] of Object.entries(sides)) made.setAttribute(name, String(value));
  return made;
}

/** Show each region that is in the fields on its page. */
function show(form: HTMLElement): void {
  const active = document.activeElement?.closest("[data-region-row]");
  const pages = new Map(all<SVGSVGElement>("[data-region-page]", form).map((p) => [Number(p.dataset.regionPage), p]));
  for (const page of pages.values()) page.replaceChildren();
  for (const row of all("[data-region-row]", form)) {
    const box = boxOf(row);
    if (!box) continue;
    const shown = rectangle(box);
    if (row === active) shown.classList.add("current");
    pages.get(box.page)?.append(shown);
  }
}

function addRow(form: HTMLElement): HTMLElement | undefined {
  const template = form.querySelector<HTMLTemplateElement>("[data-region-template]");
  const made = template?.content.querySelector("[data-region-row]")?.cloneNode(true);
  if (!(made instanceof HTMLElement)) return undefined;
  form.querySelector("[data-region-rows]")?.append(made);
  return made;
}

function keep(form: HTMLElement, box: Box): void {
  const empty = all("[data-region-row]", form).find((row) =>
    fields(row).every((field, n) => n === 0 || field.value === ""),
  );
  const row = empty ?? addRow(form);
  if (!row) return;
  fields(row).forEach((field, n) => {
    field.value = String(box[EDGES[n] ?? "page"]);
  });
}

function place(page: SVGSVGElement, event: PointerEvent): [number, number] {
  const bounds = page.getBoundingClientRect();
  const share = (at: number, begin: number, size: number): number =>
    Math.round(1000 * Math.min(1, Math.max(0, (at - begin) / size)));
  return [share(event.clientX, bounds.left, bounds.width), share(event.clientY, bounds.top, bounds.height)];
}

/** Follow the mouse from where it was pressed on a page until it is released. */
function draw(form: HTMLElement, page: SVGSVGElement, pressed: PointerEvent): void {
  const [x, y] = place(page, pressed);
  let box: Box | undefined;
  let shown: SVGRectElement | undefined;
  page.setPointerCapture(pressed.pointerId);
  const moved = (event: PointerEvent): void => {
    const [a, b] = place(page, event);
    box = {
      page: Number(page.dataset.regionPage),
      left: Math.min(x, a),
      top: Math.min(y, b),
      right: Math.max(x, a),
      bottom: Math.max(y, b),
    };
    const fresh = rectangle(box);
    fresh.classList.add("current");
    if (shown) shown.replaceWith(fresh);
    else page.append(fresh);
    shown = fresh;
  };
  const ended = (event: PointerEvent): void => {
    page.removeEventListener("pointermove", moved);
    page.removeEventListener("pointerup", ended);
    page.removeEventListener("pointercancel", ended);
    const large = box && box.right - box.left >= SMALLEST && box.bottom - box.top >= SMALLEST;
    if (box && large && event.type === "pointerup") keep(form, box);
    show(form);
  };
  page.addEventListener("pointermove", moved);
  page.addEventListener("pointerup", ended);
  page.addEventListener("pointercancel", ended);
}

function setUp(form: HTMLElement): void {
  form.addEventListener("input", () => show(form));
  form.addEventListener("focusin", () => show(form));
  form.addEventListener("pointerdown", (event) => {
    const page = closest<SVGSVGElement>(event, "[data-region-page]");
    // A finger scrolls; a mouse and a pen draw.
    if (!page || event.button !== 0 || event.pointerType === "touch") return;
    event.preventDefault();
    draw(form, page, event);
  });
  const add = form.querySelector<HTMLButtonElement>("[data-region-add]");
  if (add) {
    add.hidden = false;
    add.addEventListener("click", () => {
      const row = addRow(form);
      if (row) fields(row)[0]?.focus();
    });
  }
  show(form);
}

/** Set up every form of a redaction. */
export function setUpRegions(): void {
  onContent((root) => {
    for (const form of all("[data-redaction]", root)) setUp(form);
  });
}
