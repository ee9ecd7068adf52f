// The slider over the thresholds of a rule: each step is a row of the table beside it.

import { all, element, language, onContent, text } from "./page";

function figure(row: HTMLElement | undefined, name: string): string {
  return new Intl.NumberFormat(language()).format(Number(row?.dataset[name] ?? 0));
}

/** Put a slider over a table of thresholds, on the one that decides now. */
function slide(place: HTMLElement): void {
  const rows = all("[data-number]", place);
  const now = rows.findIndex((row) => row.dataset.number === place.dataset.thresholds);
  if (rows.length < 2 || place.querySelector("input")) return;
  const label = element("label", "stack gap-2");
  const name = element("span", "small muted", text("threshold"));
  const range = element("input", "slider");
  const said = element("output", "lead");
  range.type = "range";
  range.min = "0";
  range.max = String(rows.length - 1);
  range.value = String(Math.max(0, now));
  const show = (): void => {
    const chosen = rows[Number(range.value)];
    for (const row of rows) row.toggleAttribute("data-chosen", row === chosen);
    const number = figure(chosen, "number");
    name.textContent = `${text("threshold")}: ${number}`;
    range.setAttribute("aria-valuetext", number);
    said.textContent = text("threshold_meets")
      .replace("{before}", figure(rows[now] ?? chosen, "accounts"))
      .replace("{after}", figure(chosen, "accounts"))
      .replace("{benign}", figure(chosen, "benign"))
      .replace("{abusive}", figure(chosen, "abusive"));
  };
  range.addEventListener("input", show);
  label.append(name, range);
  place.prepend(label, said);
  show();
}

export function setUpThresholds(): void {
  onContent((root) => {
    for (const place of all("[data-thresholds]", root)) slide(place);
  });
}
