// Forms that act on accounts: outcome and duration count for the verdict "neither" alone.

import { all, onContent } from "./page";

const WITHOUT_END = new Set(["", "allow", "ban"]);

function update(fields: HTMLElement): void {
  const chosen = fields.querySelector<HTMLInputElement>("[name=verdict]:checked");
  const neither = chosen?.value === "undetermined";
  const outcome = fields.querySelector<HTMLSelectElement>("[name=outcome]");
  const hold = fields.querySelector<HTMLSelectElement>("[name=hold]");
  if (!outcome || !hold) return;
  outcome.disabled = !neither;
  outcome.required = neither;
  hold.disabled = !neither || outcome.value === "allow";
  hold.required = neither && !WITHOUT_END.has(outcome.value);
}

/** Ask for an outcome and a duration where they are needed, and only there. */
export function setUpActs(): void {
  document.addEventListener("change", (event) => {
    const fields = event.target instanceof Element && event.target.closest("[data-act]");
    if (fields instanceof HTMLElement) update(fields);
  });
  // A browser that goes back fills the fields in after the page was there.
  window.addEventListener("pageshow", () => all("[data-act]").forEach(update));
  onContent((root) => all("[data-act]", root).forEach(update));
}
