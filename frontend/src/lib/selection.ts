// Bulk selection: the checkboxes of rows, and those with `data-select`, of a `data-select-scope`,
// of a form, or of the page.

import { all, language, onContent } from "./page";

const BOX = "[data-row] input[type=checkbox], input[data-select]";

const MARKS = "[data-select-all], [data-selected-count], [data-needs-selection]";

let last: HTMLInputElement | null = null;

function scopeOf(part: Element): ParentNode {
  return part.closest("[data-select-scope]") ?? part.closest("form") ?? document;
}

function boxesOf(scope: ParentNode): HTMLInputElement[] {
  return all<HTMLInputElement>(BOX, scope).filter((box) => !box.disabled);
}

function update(scope: ParentNode): void {
  const boxes = boxesOf(scope);
  const count = boxes.filter((box) => box.checked).length;
  for (const whole of all<HTMLInputElement>("[data-select-all]", scope)) {
    whole.checked = count > 0 && count === boxes.length;
    whole.indeterminate = count > 0 && count < boxes.length;
  }
  const shown = new Intl.NumberFormat(language()).format(count);
  for (const place of all("[data-selected-count]", scope)) place.textContent = shown;
  for (const bar of all("[data-selection-bar]", scope)) bar.hidden = count === 0;
  for (const part of all("[data-needs-selection]", scope)) {
    if ("disabled" in part) part.disabled = count === 0;
    else if (count) part.removeAttribute("aria-disabled");
    else part.setAttribute("aria-disabled", "true");
  }
}

/** Check all, check a range with Shift, and keep count. */
export function setUpSelection(): void {
  // A browser that goes back fills the boxes in after the page was counted.
  window.addEventListener("pageshow", () => {
    new Set<ParentNode>(all(MARKS).map(scopeOf)).forEach(update);
  });
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (!(box instanceof HTMLInputElement)) return;
    if (box.matches("[data-select-all]")) {
      for (const one of boxesOf(scopeOf(box))) one.checked = box.checked;
    } else if (!box.matches(BOX)) {
      return;
    }
    update(scopeOf(box));
  });
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-select-none]")) {
      const scope = scopeOf(event.target);
      for (const box of boxesOf(scope)) box.checked = false;
      update(scope);
    }
    const box = event.target;
    if (!(box instanceof HTMLInputElement) || !box.matches(BOX)) return;
    const boxes = boxesOf(scopeOf(box));
    if (event.shiftKey && last && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const one of boxes.slice(from, (to ?? 0) + 1)) one.checked = box.checked;
    }
    last = box;
  });
  onContent((root) => {
    const around = root instanceof Element ? root.closest("[data-select-scope], form") : null;
    const scopes = new Set<ParentNode>(all(MARKS, root).map(scopeOf));
    if (around) scopes.add(around);
    scopes.forEach(update);
  });
}
