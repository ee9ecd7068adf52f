// Forms that act on accounts: outcome and duration count for the verdict "neither" alone.

import { copyText } from "./chrome";
import { all, closest, onContent } from "./page";

const WITHOUT_END = new Set(["", "allow", "ban"]);

function update(fields: HTMLElement): void {
  const chosen = fields.querySelector<HTMLInputElement>("[name=verdict]:checked");
  const neither = chosen?.value === "undetermined";
  const outcome = fields.querySelector<HTMLSelectElement>("[name=outcome]");
  const hold = fields.querySelector<HTMLSelectElement>("[name=hold]");
  const reason = fields.closest("form")?.querySelector<HTMLInputElement>("input[name=reason]");
  if (reason && fields.dataset.benignFree !== undefined) reason.required = chosen?.value !== "benign";
  if (reason) fillIn(reason, chosen?.dataset.reason ?? "");
  if (!outcome || !hold) return;
  outcome.disabled = !neither;
  outcome.required = neither;
  hold.disabled = !neither || outcome.value === "allow";
  hold.required = neither && !WITHOUT_END.has(outcome.value);
}

/** Fill in the template of a reason, unless the person has written another one. */
function fillIn(reason: HTMLInputElement, template: string): void {
  if (reason.value !== (reason.dataset.filled ?? "")) return;
  reason.value = template;
  reason.dataset.filled = template;
}

/** Choose an outcome with its duration. */
function usePreset(button: HTMLElement): void {
  const fields = button.closest<HTMLElement>("[data-act]");
  const [outcome = "", hold = ""] = (button.dataset.preset ?? "").split(" ");
  const values = { outcome, hold };
  for (const [name, value] of Object.entries(values)) {
    const select = fields?.querySelector<HTMLSelectElement>(`[name=${name}]`);
    if (select) select.value = value;
  }
  fields?.dispatchEvent(new Event("change", { bubbles: true }));
}

function onReasonKey(event: KeyboardEvent): void {
  const field = event.target;
  if (!(field instanceof HTMLInputElement) || field.name !== "reason" || event.isComposing) return;
  if (event.key === "Escape" && !field.closest("dialog")) field.blur();
}

/** Copy the address that fills the form in for a colleague; only their own press decides. */
async function copyProposal(button: HTMLElement): Promise<void> {
  const form = button.closest("form");
  if (!form) return;
  const fields = new FormData(form);
  const query = new URLSearchParams();
  for (const name of ["verdict", "outcome", "hold", "reason"]) {
    const value = fields.get(name);
    if (typeof value === "string" && value) query.set(name, value);
  }
  await copyText(`${form.dataset.proposes ?? ""}?${query}`);
}

/** Ask for an outcome and a duration where they are needed. */
export function setUpActs(): void {
  document.addEventListener("change", (event) => {
    const fields = event.target instanceof Element && event.target.closest("[data-act]");
    if (fields instanceof HTMLElement) update(fields);
  });
  document.addEventListener("click", (event) => {
    const propose = closest(event, "[data-propose]");
    if (propose) void copyProposal(propose);
    const preset = closest(event, "[data-preset]");
    if (preset) usePreset(preset);
  });
  document.addEventListener("keydown", onReasonKey);
  // A browser that goes back fills the fields in after the page was there.
  window.addEventListener("pageshow", () => all("[data-act]").forEach(update));
  onContent((root) => all("[data-act]", root).forEach(update));
}
