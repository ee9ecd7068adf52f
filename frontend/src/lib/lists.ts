// Lists that are walked by keyboard: `data-list` around rows, one of which is the current one.

import { addShortcut } from "./shortcuts";
import { all, onContent, text } from "./page";

const ROWS = ":scope > [data-row], :scope > tbody > [data-row]";

function rowsOf(list: Element): HTMLElement[] {
  const marked = all(ROWS, list);
  const rows = marked.length ? marked : (Array.from(list.children) as HTMLElement[]);
  return rows.filter((row) => row.checkVisibility());
}

function isRow(row: Element): boolean {
  return row instanceof HTMLTableRowElement || row.getAttribute("role") === "option";
}

function isCurrent(row: Element): boolean {
  return (row.getAttribute(isRow(row) ? "aria-selected" : "aria-current") ?? "false") !== "false";
}

function makeCurrent(list: Element, row: HTMLElement, focus: boolean): void {
  for (const other of rowsOf(list)) {
    const current = other === row;
    other.tabIndex = current ? 0 : -1;
    if (isRow(other)) other.setAttribute("aria-selected", String(current));
    else if (current) other.setAttribute("aria-current", "true");
    else other.removeAttribute("aria-current");
  }
  if (!focus) return;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function activeList(): HTMLElement | null {
  const around = document.activeElement?.closest<HTMLElement>("[data-list]");
  return around ?? all("[data-list]").find((list) => list.checkVisibility()) ?? null;
}

function currentRow(list: Element): HTMLElement | undefined {
  const rows = rowsOf(list);
  const focused = rows.find((row) => row.contains(document.activeElement));
  return focused ?? rows.find(isCurrent);
}

function move(step: number): boolean {
  const list = activeList();
  const rows = list ? rowsOf(list) : [];
  if (!list || !rows.length) return false;
  const current = currentRow(list);
  const at = current ? rows.indexOf(current) + step : step > 0 ? 0 : rows.length - 1;
  const row = rows[Math.min(rows.length - 1, Math.max(0, at))];
  if (row) makeCurrent(list, row, true);
  return true;
}

function open(): boolean {
  const active = document.activeElement;
  if (active?.matches("a, button, summary, input, select, textarea") && !active.matches("[data-row]")) {
    return false;
  }
  const list = activeList();
  const row = list ? currentRow(list) : undefined;
  if (!row) return false;
  const target = row.matches("a, button")
    ? row
    : row.querySelector<HTMLElement>("[data-row-open], [data-open], a[href]");
  target?.click();
  return Boolean(target);
}

function toggle(): boolean {
  const list = activeList();
  const row = list ? currentRow(list) : undefined;
  const box = row?.querySelector<HTMLInputElement>("input[type=checkbox]:not(:disabled)");
  box?.click();
  return Boolean(box);
}

function arrow(step: number): (event: KeyboardEvent) => boolean {
  return (event) =>
    event.target instanceof Element && event.target.closest("[data-list]") !== null && move(step);
}

/** Shortcuts for lists (j, k, arrows, Enter, x), and one row of each list in the tab order. */
export function setUpLists(): void {
  let known = false;
  onContent((root) => {
    const lists = all("[data-list]", root);
    if (root instanceof Element) {
      const around = root.closest<HTMLElement>("[data-list]");
      if (around) lists.push(around);
    }
    for (const list of lists) {
      const rows = rowsOf(list);
      const first = rows.find(isCurrent) ?? rows[0];
      for (const row of rows) row.tabIndex = row === first ? 0 : -1;
    }
    if (!known && lists.length) {
      known = true;
      addShortcut("j", text("next_row"), () => move(1));
      addShortcut("k", text("previous_row"), () => move(-1));
      addShortcut("Enter", text("open_row"), open);
      addShortcut("x", text("select_row"), toggle);
      addShortcut("ArrowDown", "", arrow(1));
      addShortcut("ArrowUp", "", arrow(-1));
    }
  });
  document.addEventListener("focusin", (event) => {
    if (!(event.target instanceof Element)) return;
    const list = event.target.closest<HTMLElement>("[data-list]");
    const row = list ? rowsOf(list).find((one) => one.contains(event.target as Element)) : undefined;
    if (list && row) makeCurrent(list, row, false);
  });
}
