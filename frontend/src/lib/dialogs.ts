// Dialogs that markup opens and closes, and those that want a text typed before they go on.

import { all, closest, onContent } from "./page";

function open(dialog: HTMLDialogElement): void {
  if (!dialog.open) dialog.showModal();
}

function checkTyped(input: HTMLInputElement): void {
  const expected = (input.dataset.confirmText ?? "").trim();
  const scope = input.form ?? input.closest("dialog") ?? document;
  const fits = expected !== "" && input.value.trim() === expected;
  for (const button of all<HTMLButtonElement>("[data-confirm-submit]", scope)) {
    button.disabled = !fits;
  }
}

/** Listen to what opens, closes and confirms. */
export function setUpDialogs(): void {
  document.addEventListener("click", (event) => {
    const opener = closest(event, "[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog ?? "");
    if (dialog instanceof HTMLDialogElement) {
      event.preventDefault();
      open(dialog);
      return;
    }
    const closer = closest(event, "[data-close]");
    if (closer) {
      closer.closest("dialog")?.close();
      return;
    }
    const target = event.target;
    if (target instanceof HTMLDialogElement && target.dataset.strict === undefined) {
      const box = target.getBoundingClientRect();
      const inside =
        event.clientX >= box.left &&
        event.clientX <= box.right &&
        event.clientY >= box.top &&
        event.clientY <= box.bottom;
      if (!inside) target.close();
    }
  });
  document.addEventListener("input", (event) => {
    const target = event.target;
    if (target instanceof HTMLInputElement && target.dataset.confirmText !== undefined) {
      checkTyped(target);
    }
  });
  // Menus (`<details class="menu">`) close when something else is used.
  document.addEventListener("click", (event) => {
    for (const menu of all<HTMLDetailsElement>("details.menu[open]")) {
      if (!menu.contains(event.target as Node)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of all<HTMLDetailsElement>("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
    }
  });
  onContent((root) => {
    all<HTMLInputElement>("input[data-confirm-text]", root).forEach(checkTyped);
    all<HTMLDialogElement>("dialog[data-dialog-open]", root).forEach(open);
  });
}
