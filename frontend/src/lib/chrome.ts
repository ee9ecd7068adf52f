// What is around every page: theme, sidebar, copying, forms that send themselves.

import { closest, onContent, all, text } from "./page";
import { toast } from "./toasts";

function toggleTheme(): void {
  const root = document.documentElement;
  const dark =
    root.dataset.theme === "dark" ||
    (root.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = dark ? "light" : "dark";
  root.dataset.theme = theme;
  try {
    localStorage.setItem("wavebreak-theme", theme);
  } catch {
    // It then lasts until the next page.
  }
  document.dispatchEvent(new CustomEvent("themechange"));
}

function setSidebar(open: boolean): void {
  const root = document.documentElement;
  if (open) root.dataset.sidebar = "open";
  else delete root.dataset.sidebar;
  for (const button of all("[data-sidebar-toggle][aria-controls]")) {
    button.setAttribute("aria-expanded", String(open));
  }
  if (open) document.querySelector<HTMLElement>(".sidebar a, .sidebar button")?.focus();
}

async function copy(button: HTMLElement): Promise<void> {
  const source = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
  await copyText(source ? (source.textContent ?? "").trim() : (button.dataset.copy ?? ""));
}

/** Copy a text, and say whether that was allowed. */
export async function copyText(value: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(value);
    toast(text("copied"), "success");
  } catch {
    toast(text("cannot_copy"), "warning");
  }
}

/** Listen to the buttons of the frame. */
export function setUpChrome(): void {
  document.addEventListener("click", (event) => {
    if (closest(event, "[data-theme-toggle]")) toggleTheme();
    const open = document.documentElement.dataset.sidebar === "open";
    if (closest(event, "[data-sidebar-toggle]")) setSidebar(!open);
    else if (open && !closest(event, ".sidebar")) setSidebar(false);
    // Back in the history, where there is one: the browser may keep what was typed.
    if (closest(event, "[data-back]") && history.length > 1) {
      event.preventDefault();
      history.back();
    }
    const button = closest(event, "[data-copy], [data-copy-from]");
    if (button) void copy(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.documentElement.dataset.sidebar !== "open") return;
    setSidebar(false);
    document.querySelector<HTMLElement>("[data-sidebar-toggle]")?.focus();
  });
  document.addEventListener("change", (event) => {
    if (event.target instanceof HTMLElement && event.target.closest("[data-submit-on-change]")) {
      event.target.closest("form")?.requestSubmit();
    }
  });
  // A form that was sent is not sent twice by a second click.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.matches("[data-once]")) return;
    if (form.dataset.sent) event.preventDefault();
    else if (form.dataset.once) toast(form.dataset.once, "info");
    form.dataset.sent = "true";
  });
  window.addEventListener("pageshow", () => {
    for (const form of all("form[data-sent]")) delete form.dataset.sent;
  });
  onContent((root) => {
    for (const message of all("[data-focus]", root)) message.focus();
  });
}
