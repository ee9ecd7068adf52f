// Forms that act on accounts: outcome and duration count for the verdict "neither" alone; numbered
// reasons of the chosen verdict, by click or by a digit in the empty field.

import { copyText } from "./chrome";
import { all, closest, onContent } from "./page";

const WITHOUT_END = new Set(["", "allow", "ban"]);

function reasonOf(part: Element): HTMLInputElement | null {
  return part.closest("form")?.querySelector<HTMLInputElement>("input[name=reason]") ?? null;
}

function update(fields: HTMLElement): void {
  const chosen = fields.querySelector<HTMLInputElement>("[name=verdict]:checked");
  const neither = chosen?.value === "undetermined";
  const outcome = fields.querySelector<HTMLSelectElement>("[name=outcome]");
  const hold = fields.querySelector<HTMLSelectElement>("[name=hold]");
  const form = fields.closest("form");
  const reason = reasonOf(fields);
  if (reason && fields.dataset.benignFree !== undefined) reason.required = chosen?.value !== "benign";
  for (const presets of form ? all("[data-presets]", form) : []) {
    presets.hidden = presets.dataset.presets !== chosen?.value;
  }
  if (!outcome || !hold) return;
  outcome.disabled = !neither;
  outcome.required = neither;
  hold.disabled = !neither || outcome.value === "allow";
  hold.required = neither && !WITHOUT_END.has(outcome.value);
}

/** Put a numbered reason into the field; what is typed next replaces it. */
function take(preset: HTMLElement): void {
  const reason = reasonOf(preset);
  if (!reason) return;
  reason.value = preset.dataset.preset ?? "";
  reason.focus();
  reason.select();
}

function onReasonKey(event: KeyboardEvent): void {
  const field = event.target;
  if (!(field instanceof HTMLInputElement) || field.name !== "reason" || event.isComposing) return;
  if (event.key === "Escape" && !field.closest("dialog")) {
    field.blur();
    return;
  }
  const whole = field.selectionStart === 0 && field.selectionEnd === field.value.length;
  if (!/^[1-9]$/.test(event.key) || !whole || event.ctrlKey || event.metaKey || event.altKey) return;
  const shown = field.form?.querySelector("[data-presets]:not([hidden])");
  const preset = shown ? all("[data-preset]", shown)[Number(event.key) - 1] : undefined;
  if (!preset) return;
  event.preventDefault();
  take(preset);
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

/** Ask for an outcome and a duration where they are needed, and offer the verdict's reasons. */
export function setUpActs(): void {
  document.addEventListener("change", (event) => {
    const fields = event.target instanceof Element && event.target.closest("[data-act]");
    if (fields instanceof HTMLElement) update(fields);
  });
  document.addEventListener("click", (event) => {
    const preset = closest(event, "[data-preset]");
    if (preset) take(preset);
    const propose = closest(event, "[data-propose]");
    if (propose) void copyProposal(propose);
  });
  document.addEventListener("keydown", onReasonKey);
  // A browser that goes back fills the fields in after the page was there.
  window.addEventListener("pageshow", () => all("[data-act]").forEach(update));
  onContent((root) => all("[data-act]", root).forEach(update));
}
