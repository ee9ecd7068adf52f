// Short messages that go by themselves, but never while they are read or used.

import { all, closest, element, onContent, text } from "./page";

export type Tone = "info" | "success" | "warning" | "danger";

const STAY = 6000;

/** Show a message: announced to screen readers, gone after a while unless it is a failure. */
export function toast(message: string, tone: Tone = "info"): void {
  let region = document.querySelector<HTMLElement>(".toasts");
  if (!region) {
    region = element("div", "toasts");
    region.setAttribute("role", "status");
    document.body.append(region);
  }
  const shown = element("div", `toast toast-${tone}`);
  const close = element("button", "button button-quiet button-small", text("close"));
  close.type = "button";
  close.dataset.dismiss = "";
  shown.append(element("span", "", message), close);
  if (tone !== "danger") shown.dataset.toast = "";
  region.append(shown);
  leaveLater(shown);
}

function leaveLater(shown: HTMLElement): void {
  const after = Number(shown.dataset.toast || STAY);
  if (shown.dataset.toast === undefined || after === 0 || shown.dataset.toastSet) return;
  shown.dataset.toastSet = "true";
  let timer = 0;
  const start = (): void => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => {
      if (!shown.matches(":hover, :focus-within")) shown.remove();
    }, after);
  };
  shown.addEventListener("pointerleave", start);
  shown.addEventListener("focusout", start);
  start();
}

/** Toasts in the markup, toasts by the `HX-Trigger` header, and everything that is dismissed. */
export function setUpToasts(): void {
  onContent((root) => all("[data-toast]", root).forEach(leaveLater));
  document.addEventListener("toast", (event) => {
    const { text: message, tone } = (event as CustomEvent<{ text?: string; tone?: Tone }>).detail;
    if (message) toast(message, tone);
  });
  document.addEventListener("click", (event) => {
    const button = closest(event, "[data-dismiss]");
    button?.closest(button.dataset.dismiss || ".toast, .alert")?.remove();
  });
}
